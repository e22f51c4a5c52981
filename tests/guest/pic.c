/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pic.c - the 8259 pair: edges, mask, priorities, EOI, AEOI, spurious, and
 * the shadows of STI and MOV SS; HLT wakes. The 8254 is the source.
 */
#include "guest.h"

static volatile unsigned count, spurious, order[8], orders;
static volatile word irq_ip;

static void on_irq0(struct frame *f)
{
    count++;
    irq_ip = f->ip;
    if (orders < 8)
        order[orders++] = (unsigned)f->vector;
    outb(0x20, 0x20);
}

static void on_irq0_auto(struct frame *f)
{
    (void)f;
    count++;
}

static void on_other(struct frame *f)
{
    if (orders < 8)
        order[orders++] = (unsigned)f->vector;
    if (f->vector >= 0x28)
        outb(0xa0, 0x20);
    outb(0x20, 0x20);
}

static uint8_t pic_read(unsigned ocw3)
{
    outb(0x20, (uint8_t)ocw3);
    return inb(0x20);
}

static void wait_irr(unsigned bit)
{
    uint64_t start = rdtsc();

    while (!(pic_read(0x0a) & bit) && rdtsc() - start < 1000000000)
        pause();
}

static void edge(void)
{
    pic_init(1);
    hook[0x20] = on_irq0;
    pit_set(0, 200);
    wait_irr(1);
    ok(pic_read(0x0a) & 1, "IRR shows a masked request");
    is(count, 0, "IF clear: nothing is delivered");
    asm volatile("sti\n nop\n cli");
    is(count, 0, "masked: nothing is delivered");
    pic_mask(0xfffe);
    asm volatile("sti\n nop\n nop\n cli");
    is(count, 1, "unmasked: delivered");
    asm volatile("sti\n nop\n nop\n cli");
    is(count, 1, "an edge comes once");
    is(pic_read(0x0b), 0, "EOI clears ISR");
}

static void shadow(void)
{
    extern uint8_t l_sti[], l_ss[];

    pit_set(0, 200);
    wait_irr(1);
    asm volatile("sti\n nop\n.globl l_sti\nl_sti: nop\n nop\n cli");
    is(irq_ip, (word)l_sti, "STI holds interrupts back for one instruction");
    count = 0;
    pit_set(0, 200);
    wait_irr(1);
    asm volatile("sti\n cli");
    is(count, 0, "STI, CLI: no interrupt gets in");
    asm volatile("mov %%ss, %%eax\n sti\n mov %%eax, %%ss\n nop\n"
                 ".globl l_ss\nl_ss: nop\n cli"
                 :
                 :
                 : "rax");
    ok(irq_ip == (word)l_ss || irq_ip == (word)l_ss - 1,
       "MOV SS behind STI holds them back, or at least STI does");
    count = 0;
    pit_set(0, 2000);
    asm volatile("sti\n hlt\n cli");
    is(count, 1, "HLT waits for the interrupt");
    count = 0;
    pit_set(0, 200);
    wait_irr(1);
    asm volatile("sti\n hlt\n cli");
    is(count, 1, "STI, HLT: a pending one wakes");
    asm volatile("push %%rcx\n" : : : "memory");
    asm volatile("pop %%rcx\n" : : : "memory", "rcx");
}

/* Requests on several lines at once come by priority. */
static void priorities(void)
{
    hook[0x20] = on_irq0;
    hook[0x24] = on_other;
    hook[0x28] = on_other;
    orders = 0;
    pic_mask(0xffff);
    pit_set(0, 200);
    wait_irr(1);
    /* the serial port's transmitter is empty: its interrupt is at once */
    outb(0x3fc, 0x0b);
    outb(0x3f9, 0x02);
    wait_irr(0x10);
    pic_mask(0xffee);
    asm volatile("sti\n nop\n nop\n nop\n nop\n cli");
    outb(0x3f9, 0);
    is(orders, 2, "two requests, two interrupts");
    is(order[0], 0x20, "IRQ 0 goes first");
    is(order[1], 0x24, "then IRQ 4");
    outb(0x3fc, 0x03);
}

/* In service: equal and lower priorities wait for the EOI. */
static volatile unsigned nested;
static void on_irq0_slow(struct frame *f)
{
    count++;
    outb(0x3fc, 0x0b);
    outb(0x3f9, 0x02);
    asm volatile("sti\n nop\n nop\n cli");
    nested = orders;
    outb(0x20, 0x20);
    asm volatile("sti\n nop\n nop\n cli");
    outb(0x3f9, 0);
}

static void in_service(void)
{
    orders = 0;
    hook[0x20] = on_irq0_slow;
    pit_set(0, 200);
    wait_irr(1);
    asm volatile("sti\n nop\n nop\n cli");
    is(nested, 0, "IRQ 4 waits while IRQ 0 is in service");
    is(orders, 1, "and comes after its EOI");
    outb(0x3fc, 0x03);
}

static void automatic(void)
{
    pic_init(3);
    hook[0x20] = on_irq0_auto;
    pic_mask(0xfffe);
    count = 0;
    pit_set(0, 200);
    wait_irr(1);
    asm volatile("sti\n nop\n nop\n cli");
    is(count, 1, "AEOI: delivered");
    is(pic_read(0x0b), 0, "AEOI: nothing in service");
    pit_set(0, 200);
    wait_irr(1);
    asm volatile("sti\n nop\n nop\n cli");
    is(count, 2, "AEOI: and again");
    pic_init(1);
}

static void periodic(void)
{
    uint64_t start = rdtsc();

    pic_mask(0xfffe);
    hook[0x20] = on_irq0;
    count = 0;
    pit_set(2, 2000);
    asm volatile("sti");
    while (count < 5 && rdtsc() - start < 3000000000ull)
        asm volatile("hlt");
    asm volatile("cli");
    ok(count >= 5, "a periodic source keeps coming");
    pit_set(0, 0);
}

void main(void)
{
    edge();
    shadow();
    priorities();
    in_service();
    automatic();
    periodic();
}
