/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ioapic.c - the IOAPIC: routing, mask, edge and level with remote IRR.
 */
#include "guest.h"

static volatile unsigned count;
static bool quiet;

static void on_edge(struct frame *f)
{
    (void)f;
    count++;
    lapic_eoi();
}

/* The serial port holds its line until IER is cleared. */
static void on_level(struct frame *f)
{
    (void)f;
    count++;
    if (quiet || count >= 3)
        outb(0x3f9, 0);
    lapic_eoi();
}

static void redirect(unsigned pin, uint32_t low)
{
    ioapic_write(0x11 + 2 * pin, 0);
    ioapic_write(0x10 + 2 * pin, low);
}

#define OPEN()                                                                 \
    asm volatile("sti\n nop\n nop\n nop\n nop\n nop\n nop\n cli" : : : "memor" \
                                                                       "y")

void main(void)
{
    pic_init(1);
    lapic_enable();
    is(ioapic_read(1) >> 16 & 0xff, 23, "24 pins");
    is(ioapic_read(0x10) >> 16 & 1, 1, "pins are masked at reset");
    hook[0x55] = on_edge;
    hook[0x66] = on_level;
    redirect(2, 0x55);
    pit_set(0, 500);
    asm volatile("sti\n hlt\n cli");
    is(count, 1, "IRQ 0 comes at pin 2");
    redirect(2, 0x10055);
    pit_set(0, 200);
    for (uint64_t t = rdtsc(); rdtsc() - t < 5000000;)
        OPEN();
    is(count, 1, "masked");
    redirect(4, 0x10000 | 0x8066);
    count = 0;
    outb(0x3fc, 0x0b);
    outb(0x3f9, 2);
    redirect(4, 0x8066);
    OPEN();
    OPEN();
    is(count, 3, "level: again after each EOI while the line is up");
    is(ioapic_read(0x18) >> 14 & 1, 0, "remote IRR is clear after EOI");
    OPEN();
    is(count, 3, "level: gone with the line");
    count = 0;
    quiet = true;
    outb(0x3f9, 2);
    asm volatile("nop");
    is(ioapic_read(0x18) >> 14 & 1, 1, "remote IRR is set while it is served");
    OPEN();
    is(count, 1, "level: once");
    redirect(4, 0x10000);
    ioapic_write(0x18, 0xffffffff);
    is(ioapic_read(0x18) & 0x5000, 0, "remote IRR and status are read-only");
    redirect(4, 0x10000);
    outb(0x3fc, 0x03);
}
