/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lapic.c - the local APIC: self IPI, priorities, EOI, the timer in its three
 * modes, NMI and its blocking, x2APIC registers, where its page is.
 */
#include "guest.h"

static volatile unsigned count, order[8], orders, nmis, nmi_depth, nmi_max;

static void on_irq(struct frame *f)
{
    count++;
    if (orders < 8)
        order[orders++] = (unsigned)f->vector;
    lapic_eoi();
}

static void on_irq_x2(struct frame *f)
{
    (void)f;
    count++;
    wrmsr(0x80b, 0);
}

static void ipi_self(unsigned vector)
{
    lapic_write(0x300, 0x40000 | vector);
}

#define OPEN() asm volatile("sti\n nop\n nop\n cli" : : : "memory")

static void self(void)
{
    lapic_enable();
    is(lapic_read(0x30) & 0xff, 0x14, "version");
    hook[0x50] = hook[0x61] = hook[0x72] = on_irq;
    ipi_self(0x50);
    is(lapic_read(0x200 + 0x20) >> 16 & 1, 1, "IRR shows it");
    OPEN();
    is(count, 1, "self IPI");
    orders = 0;
    ipi_self(0x50);
    ipi_self(0x72);
    ipi_self(0x61);
    asm volatile("sti\n nop\n nop\n nop\n nop\n nop\n nop\n cli");
    is(orders, 3, "three pending, three come");
    is(order[0] << 16 | order[1] << 8 | order[2], 0x726150,
       "highest vector first");
    count = 0;
    ipi_self(0x50);
    ipi_self(0x50);
    OPEN();
    is(count, 1, "one vector is pending once");
}

static void priority(void)
{
    count = 0;
    lapic_write(0x80, 0x50);
    ipi_self(0x50);
    OPEN();
    is(count, 0, "TPR holds its own class back");
    is(get_cr8(), 5, "CR8 is the TPR");
    set_cr8(4);
    is(lapic_read(0x80), 0x40, "the TPR is CR8");
    OPEN();
    is(count, 1, "lowered TPR lets it through");
    set_cr8(0);
    is(lapic_read(0xa0), 0, "PPR");
    TRAP(ipi_self(8));
    lapic_write(0x280, 0);
    ok(lapic_read(0x280) & 0x20, "ESR: illegal vector was sent");
    lapic_write(0x280, 0);
    lapic_write(0x280, 0);
    is(lapic_read(0x280), 0, "ESR is cleared");
}

static void timer(void)
{
    uint64_t start;

    hook[0x52] = on_irq;
    count = 0;
    lapic_write(0x3e0, 0xb);
    lapic_write(0x320, 0x52);
    lapic_write(0x380, 100000);
    ok(lapic_read(0x390) <= 100000, "current count");
    asm volatile("sti\n hlt\n cli");
    is(count, 1, "one-shot wakes from HLT");
    is(lapic_read(0x390), 0, "one-shot stays at 0");
    lapic_write(0x320, 0x20052);
    lapic_write(0x380, 50000);
    start = rdtsc();
    asm volatile("sti");
    while (count < 4 && rdtsc() - start < 3000000000ull)
        pause();
    asm volatile("cli");
    ok(count >= 4, "periodic");
    lapic_write(0x320, 0x30052);
    lapic_write(0x380, 0);
    OPEN();
    count = 0;
    lapic_write(0x320, 0x40052);
    wrmsr(0x6e0, rdtsc() + 30000000); /* time for a slow host to look */
    ok(rdmsr(0x6e0) != 0, "TSC_DEADLINE is armed");
    asm volatile("sti\n hlt\n cli");
    is(count, 1, "TSC deadline wakes from HLT");
    is(rdmsr(0x6e0), 0, "TSC_DEADLINE reads 0 when it has passed");
    wrmsr(0x6e0, 1);
    OPEN();
    is(count, 2, "a deadline in the past fires at once");
    wrmsr(0x6e0, rdtsc() + 3000000);
    wrmsr(0x6e0, 0);
    start = rdtsc();
    asm volatile("sti");
    while (rdtsc() - start < 10000000)
        pause();
    asm volatile("cli");
    is(count, 2, "writing 0 disarms");
    lapic_write(0x320, 0x10052);
}

/* An NMI is sent in an NMI: it must wait for the IRET. */
static void on_nmi(struct frame *f)
{
    (void)f;
    nmis++;
    nmi_depth++;
    if (nmi_depth > nmi_max)
        nmi_max = nmi_depth;
    if (nmis == 1) {
        lapic_write(0x310, lapic_read(0x20));
        lapic_write(0x300, 0x4400);
        for (int i = 0; i < 100; i++)
            pause();
    }
    nmi_depth--;
}

static void nmi(void)
{
    hook[2] = on_nmi;
    lapic_write(0x310, lapic_read(0x20));
    lapic_write(0x300, 0x4400);
    wait_for(&nmis, 2);
    is(nmis, 2, "NMI comes with IF clear, and a second after it");
    is(nmi_max, 1, "NMIs do not nest before IRET");
}

static void disabled(void)
{
    count = 0;
    lapic_write(0x320, 0x10052);
    lapic_write(0xf0, 0xff);
    lapic_write(0x320, 0x52);
    is(lapic_read(0x320) >> 16 & 1, 1, "software-disabled: LVTs stay masked");
    lapic_enable();
}

static void relocated(void)
{
    uint64_t base = rdmsr(0x1b);

    is(base & 0xfff, 0x900, "APIC_BASE: enabled, bootstrap processor");
    map(TEST_VA, 0xd0000000 | P_P | P_W | P_PCD, 1);
    wrmsr(0x1b, (base & 0xfff) | 0xd0000000);
    is(*(volatile uint32_t *)(TEST_VA + 0x30) & 0xff, 0x14,
       "the page moves with APIC_BASE");
    wrmsr(0x1b, base);
    is(lapic_read(0x30) & 0xff, 0x14, "and back");
    TRAP(wrmsr(0x1b, base | 1));
    traps(GP, 0, "reserved bit of APIC_BASE");
    TRAP(wrmsr(0x1b, base | 1ull << 60));
    traps(GP, 0, "address bits beyond the physical width");
}

static void x2apic(void)
{
    uint64_t base = rdmsr(0x1b);

    TRAP(rdmsr(0x802));
    traps(GP, 0, "x2APIC MSR in xAPIC mode");
    wrmsr(0x1b, base | 0x400);
    is(rdmsr(0x803) & 0xff, 0x14, "version by MSR");
    is(rdmsr(0x802), 0, "ID by MSR");
    count = 0;
    hook[0x50] = on_irq_x2;
    wrmsr(0x83f, 0x50);
    OPEN();
    is(count, 1, "SELF_IPI");
    TRAP(wrmsr(0x83f, 0x150));
    traps(GP, 0, "SELF_IPI: reserved bits");
    wrmsr(0x830, 0x50);
    OPEN();
    is(count, 2, "ICR by MSR, to itself");
    TRAP(wrmsr(0x802, 1));
    traps(GP, 0, "the ID is read-only");
    TRAP(wrmsr(0x80b, 1));
    traps(GP, 0, "EOI takes only 0");
    TRAP(rdmsr(0x80b));
    traps(GP, 0, "EOI is write-only");
    TRAP(rdmsr(0x80e));
    traps(GP, 0, "no DFR in x2APIC mode");
    TRAP(wrmsr(0x808, 0x100));
    traps(GP, 0, "TPR: reserved bits");
    wrmsr(0x808, 0x70);
    is(get_cr8(), 7, "TPR by MSR is CR8");
    wrmsr(0x808, 0);
    TRAP(wrmsr(0x1b, base));
    traps(GP, 0, "no way straight back to xAPIC");
    TRAP(wrmsr(0x1b, base & ~0xc00ull); wrmsr(0x1b, base));
    traps(NONE, 0, "but through off");
}

void main(void)
{
    self();
    priority();
    timer();
    nmi();
    disabled();
    relocated();
    x2apic();
}
