/* SPDX-License-Identifier: Apache-2.0 */
/* irq_chips.c - claims about 8259, IOAPIC and local APIC, wired together. */
#include "irq/irqchip.h"

#include <time.h>
#include <unistd.h>

#include "test.h"

struct fake_cpu {
    bool intr;
    unsigned nmis, inits, sipis;
    uint8_t sipi_vector;
    uint64_t page;
};

static void fake_intr(void *cpu, bool pending)
{
    ((struct fake_cpu *)cpu)->intr = pending;
}

static void fake_nmi(void *cpu)
{
    ((struct fake_cpu *)cpu)->nmis++;
}

static void fake_init(void *cpu)
{
    ((struct fake_cpu *)cpu)->inits++;
}

static void fake_sipi(void *cpu, uint8_t vector)
{
    ((struct fake_cpu *)cpu)->sipis++;
    ((struct fake_cpu *)cpu)->sipi_vector = vector;
}

static uint64_t fake_tsc(void *cpu)
{
    struct timespec ts;

    (void)cpu;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static uint64_t fake_to_ns(void *cpu, uint64_t delta)
{
    (void)cpu;
    return delta;
}

static void fake_page(void *cpu, uint64_t gpa)
{
    ((struct fake_cpu *)cpu)->page = gpa;
}

static const struct lapic_cpu_ops fake_ops = {
    fake_intr, fake_nmi, fake_init, fake_sipi, fake_tsc, fake_to_ns, fake_page,
};

struct bench {
    struct clock clock;
    struct loop loop;
    struct guest_mem mem;
    struct irqchip chip;
    struct fake_cpu cpu[3];
    struct error err;
    struct timer stop;
};

static void stop_fire(struct timer *t)
{
    loop_stop(t->loop);
}

static void out8(struct bench *b, uint16_t port, uint8_t v)
{
    io_write(&b->mem, IO_PORT, port, 1, v);
}

static void up(struct bench *b)
{
    memset(b, 0, sizeof(*b));
    clock_start(&b->clock, 1000);
    CHECK_EQ(loop_init(&b->loop, &b->clock, &b->err), 0);
    CHECK_EQ(guest_mem_init(&b->mem, 1 * MiB, &b->loop.lock, &b->err), 0);
    CHECK_EQ(irqchip_init(&b->chip, &b->mem, &b->loop, 3, &b->err), 0);
    for (unsigned i = 0; i < 3; i++)
        irqchip_connect(&b->chip, i, &fake_ops, &b->cpu[i]);
    irqchip_reset(&b->chip);
    timer_init(&b->stop, &b->loop, stop_fire);
}

static void down(struct bench *b)
{
    irqchip_fini(&b->chip);
    guest_mem_fini(&b->mem);
    loop_fini(&b->loop);
}

static void pic_setup(struct bench *b)
{
    static const uint8_t init[][2] = {
        {0x20, 0x11}, {0x21, 0x30}, {0x21, 4}, {0x21, 1}, {0xa0, 0x11},
        {0xa1, 0x38}, {0xa1, 2},    {0xa1, 1}, {0x21, 0}, {0xa1, 0},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(init); i++)
        out8(b, init[i][0], init[i][1]);
}

static void line(struct bench *b, unsigned gsi, bool level)
{
    struct irq_line l = irqchip_line(&b->chip, gsi);

    irq_set(&l, level);
}

static void apic_on(struct bench *b, unsigned cpu)
{
    lapic_mmio_write(&b->chip.lapic[cpu], 0xf0, 0x1ff);
}

static void run_ms(struct bench *b, uint64_t ms)
{
    timer_arm(&b->stop, clock_now(&b->clock) + ms * 1000000);
    loop_run(&b->loop);
}

static void pic_nests_by_priority_and_cascades(void)
{
    struct bench b;
    struct lapic *l = &b.chip.lapic[0];

    up(&b);
    pic_setup(&b);
    line(&b, 4, true);
    CHECK(b.cpu[0].intr);
    CHECK_EQ(lapic_ack(l), 0x34);
    CHECK(!b.cpu[0].intr);
    line(&b, 5, true); /* lower: waits */
    CHECK(!b.cpu[0].intr);
    line(&b, 8, true); /* the slave is above 4 */
    CHECK(b.cpu[0].intr);
    CHECK_EQ(lapic_ack(l), 0x38);
    out8(&b, 0xa0, 0x20);
    out8(&b, 0x20, 0x20);
    CHECK(!b.cpu[0].intr);
    out8(&b, 0x20, 0x64); /* specific EOI of 4 */
    CHECK_EQ(lapic_ack(l), 0x35);
    CHECK_EQ(lapic_ack(l), -1);
    down(&b);
}

static void pic_withdrawn_request_is_spurious(void)
{
    struct bench b;

    up(&b);
    pic_setup(&b);
    line(&b, 3, true);
    line(&b, 3, false);
    CHECK(!b.cpu[0].intr);
    CHECK_EQ(i8259_ack(&b.chip.pic), 0x37);
    out8(&b, 0x20, 0x0b);
    CHECK_EQ(io_read(&b.mem, IO_PORT, 0x20, 1), 0);
    down(&b);
}

static void pic_level_input_asks_again_after_eoi(void)
{
    struct bench b;
    struct lapic *l = &b.chip.lapic[0];

    up(&b);
    pic_setup(&b);
    io_write(&b.mem, IO_PORT, 0x4d0, 2, 0x0e20);
    CHECK_EQ(io_read(&b.mem, IO_PORT, 0x4d0, 2), 0x0e20);
    line(&b, 9, true);
    CHECK_EQ(lapic_ack(l), 0x39);
    out8(&b, 0xa0, 0x20);
    out8(&b, 0x20, 0x20);
    CHECK(b.cpu[0].intr);
    CHECK_EQ(lapic_ack(l), 0x39);
    line(&b, 9, false);
    out8(&b, 0xa0, 0x20);
    out8(&b, 0x20, 0x20);
    CHECK(!b.cpu[0].intr);
    down(&b);
}

static void ioapic_write_entry(struct bench *b, unsigned pin, uint64_t e)
{
    for (unsigned i = 0; i < 2; i++) {
        io_write(&b->mem, IO_MMIO, IOAPIC_BASE, 4, 0x10 + 2 * pin + i);
        io_write(&b->mem, IO_MMIO, IOAPIC_BASE + 0x10, 4,
                 (uint32_t)(e >> (32 * i)));
    }
}

static void ioapic_level_waits_for_eoi(void)
{
    struct bench b;
    struct lapic *l = &b.chip.lapic[1];

    up(&b);
    apic_on(&b, 1);
    ioapic_write_entry(&b, 17, 1ull << 56 | 1 << 15 | 0x61);
    line(&b, 17, true);
    CHECK(b.cpu[1].intr && !b.cpu[0].intr);
    CHECK_EQ(lapic_ack(l), 0x61);
    CHECK(b.chip.ioapic.entry[17] & 1 << 14);
    lapic_mmio_write(l, 0xb0, 0);
    CHECK(b.cpu[1].intr); /* still up: once more */
    CHECK_EQ(lapic_ack(l), 0x61);
    line(&b, 17, false);
    lapic_mmio_write(l, 0xb0, 0);
    CHECK(!b.cpu[1].intr);
    CHECK(!(b.chip.ioapic.entry[17] & 1 << 14));
    down(&b);
}

static void isa_irq0_is_on_ioapic_pin_2_and_edges_are_sent_once(void)
{
    struct bench b;
    struct lapic *l = &b.chip.lapic[0];

    up(&b);
    out8(&b, 0x21, 0xff);
    apic_on(&b, 0);
    ioapic_write_entry(&b, 2, 0x30);
    line(&b, 0, true);
    CHECK_EQ(lapic_ack(l), 0x30);
    lapic_mmio_write(l, 0xb0, 0);
    line(&b, 0, true);
    CHECK_EQ(lapic_ack(l), -1);
    down(&b);
}

static void lapic_priorities_hold_back_lower_classes(void)
{
    struct bench b;
    struct lapic *l = &b.chip.lapic[0];

    up(&b);
    apic_on(&b, 0);
    irq_msi(&b.chip, 0xfee00000, 0x51);
    CHECK_EQ(lapic_ack(l), 0x51);
    irq_msi(&b.chip, 0xfee00000, 0x5f);
    CHECK(!b.cpu[0].intr); /* same class */
    irq_msi(&b.chip, 0xfee00000, 0x60);
    CHECK(b.cpu[0].intr);
    lapic_tpr_set(l, 6);
    CHECK(!b.cpu[0].intr);
    CHECK_EQ(lapic_mmio_read(l, 0xa0), 0x60);
    lapic_tpr_set(l, 0);
    CHECK_EQ(lapic_ack(l), 0x60);
    lapic_mmio_write(l, 0xb0, 0);
    CHECK(!b.cpu[0].intr);
    lapic_mmio_write(l, 0xb0, 0);
    CHECK_EQ(lapic_ack(l), 0x5f);
    down(&b);
}

static void ipis_reach_whom_they_name(void)
{
    struct bench b;
    struct lapic *l = b.chip.lapic;

    up(&b);
    for (unsigned i = 0; i < 3; i++)
        apic_on(&b, i);
    lapic_mmio_write(&l[0], 0x310, 2u << 24);
    lapic_mmio_write(&l[0], 0x300, 0x4500); /* INIT */
    lapic_mmio_write(&l[0], 0x300, 0x8500); /* its de-assert */
    lapic_mmio_write(&l[0], 0x300, 0x4699); /* SIPI */
    CHECK_EQ(b.cpu[2].inits, 1);
    CHECK_EQ(b.cpu[2].sipis, 1);
    CHECK_EQ(b.cpu[2].sipi_vector, 0x99);
    apic_on(&b, 2);
    lapic_mmio_write(&l[1], 0x300, 0xc4077); /* all others, fixed */
    CHECK_EQ(lapic_ack(&l[0]), 0x77);
    CHECK_EQ(lapic_ack(&l[1]), -1);
    CHECK_EQ(lapic_ack(&l[2]), 0x77);
    lapic_mmio_write(&l[1], 0x300, 0x44078); /* self */
    CHECK_EQ(lapic_ack(&l[1]), 0x78);
    lapic_mmio_write(&l[1], 0x300, 0xc4400); /* NMI, all others */
    CHECK_EQ(b.cpu[0].nmis, 1);
    CHECK_EQ(b.cpu[1].nmis, 0);
    lapic_mmio_write(&l[0], 0xd0, 1u << 24);
    lapic_mmio_write(&l[1], 0xd0, 2u << 24);
    lapic_mmio_write(&l[2], 0xd0, 4u << 24);
    lapic_mmio_write(&l[0], 0x310, 6u << 24);
    lapic_mmio_write(&l[0], 0x300, 0x4888); /* logical, flat */
    CHECK_EQ(lapic_ack(&l[0]), -1);
    CHECK_EQ(lapic_ack(&l[1]), 0x88);
    CHECK_EQ(lapic_ack(&l[2]), 0x88);
    down(&b);
}

static void lowest_priority_takes_turns(void)
{
    struct bench b;
    unsigned got[3] = {0};

    up(&b);
    for (unsigned i = 0; i < 3; i++) {
        apic_on(&b, i);
        lapic_mmio_write(&b.chip.lapic[i], 0xd0, 1u << (24 + i));
    }
    for (unsigned i = 0; i < 6; i++)
        irq_msi(&b.chip, 0xfee0700c, 0x151);
    for (unsigned n = 0; n < 6; n++)
        for (unsigned i = 0; i < 3; i++)
            if (lapic_ack(&b.chip.lapic[i]) == 0x51)
                got[i]++;
    CHECK(got[0] && got[1] && got[2]);
    down(&b);
}

static void x2apic_transitions_are_checked(void)
{
    struct bench b;
    struct lapic *l = &b.chip.lapic[2];
    uint64_t v;

    up(&b);
    CHECK_EQ(b.cpu[2].page, LAPIC_BASE);
    CHECK(lapic_msr_read(l, 0x802, &v) != 0);
    CHECK(lapic_msr_write(l, 0x1b, LAPIC_BASE | 0x400) != 0);
    CHECK_EQ(lapic_msr_write(l, 0x1b, LAPIC_BASE | 0xc00), 0);
    CHECK_EQ(b.cpu[2].page, LAPIC_PAGE_OFF);
    CHECK(lapic_msr_write(l, 0x1b, LAPIC_BASE | 0x800) != 0);
    CHECK_EQ(lapic_msr_read(l, 0x802, &v), 0);
    CHECK_EQ(v, 2);
    CHECK_EQ(lapic_msr_read(l, 0x80d, &v), 0);
    CHECK_EQ(v, 4);
    CHECK_EQ(lapic_msr_write(l, 0x80f, 0x1ff), 0);
    CHECK_EQ(lapic_msr_write(l, 0x83f, 0x42), 0);
    CHECK_EQ(lapic_ack(l), 0x42);
    CHECK(lapic_msr_write(l, 0x80b, 1) != 0);
    CHECK_EQ(lapic_msr_write(l, 0x80b, 0), 0);
    CHECK(lapic_msr_write(l, 0x802, 0) != 0);
    CHECK_EQ(lapic_msr_write(l, 0x830, 1ull << 32 | 0x4043), 0);
    CHECK(lapic_msr_read(l, 0x831, &v) != 0);
    down(&b);
}

static void errors_are_latched_by_a_write(void)
{
    struct bench b;
    struct lapic *l = &b.chip.lapic[0];

    up(&b);
    apic_on(&b, 0);
    lapic_mmio_write(l, 0x370, 0xfe);
    lapic_mmio_write(l, 0x300, 0x44005);
    CHECK_EQ(lapic_mmio_read(l, 0x280), 0);
    lapic_mmio_write(l, 0x280, 0);
    CHECK_EQ(lapic_mmio_read(l, 0x280), 0x20);
    CHECK_EQ(lapic_ack(l), 0xfe);
    /* An error vector that is itself an error must not recurse. */
    lapic_mmio_write(l, 0x370, 3);
    irq_msi(&b.chip, 0xfee00000, 2);
    lapic_mmio_write(l, 0x280, 0);
    CHECK_EQ(lapic_mmio_read(l, 0x280), 0x40);
    down(&b);
}

static void timer_counts_down_and_interrupts(void)
{
    struct bench b;
    struct lapic *l = &b.chip.lapic[0];
    uint32_t first, second;

    up(&b);
    apic_on(&b, 0);
    lapic_mmio_write(l, 0x3e0, 0xb); /* divide by 1 */
    lapic_mmio_write(l, 0x320, 0xef);
    lapic_mmio_write(l, 0x380, 20000000);
    first = lapic_mmio_read(l, 0x390);
    usleep(2000);
    second = lapic_mmio_read(l, 0x390);
    CHECK(first - second >= 2000000 && second);
    CHECK(!b.cpu[0].intr);
    run_ms(&b, 30);
    CHECK_EQ(lapic_ack(l), 0xef);
    CHECK_EQ(lapic_mmio_read(l, 0x390), 0);
    lapic_mmio_write(l, 0xb0, 0);
    lapic_mmio_write(l, 0x320, 0x200ef); /* periodic */
    lapic_mmio_write(l, 0x380, 1);       /* a nanosecond: survives */
    run_ms(&b, 5);
    CHECK_EQ(lapic_ack(l), 0xef);
    down(&b);
}

static void tsc_deadline_fires_once(void)
{
    struct bench b;
    struct lapic *l = &b.chip.lapic[0];
    uint64_t v;

    up(&b);
    apic_on(&b, 0);
    lapic_mmio_write(l, 0x320, 0x400ef);
    CHECK_EQ(lapic_msr_write(l, 0x6e0, fake_tsc(NULL) + 3000000), 0);
    CHECK(!b.cpu[0].intr);
    run_ms(&b, 10);
    CHECK_EQ(lapic_ack(l), 0xef);
    CHECK_EQ(lapic_msr_read(l, 0x6e0, &v), 0);
    CHECK_EQ(v, 0);
    lapic_mmio_write(l, 0xb0, 0);
    CHECK_EQ(lapic_msr_write(l, 0x6e0, 1), 0); /* long past */
    CHECK_EQ(lapic_ack(l), 0xef);
    down(&b);
}

static void chip_state_survives_a_round_trip(void)
{
    struct bench b, c;
    struct state_writer *w = state_writer_new();
    struct state_reader *r;
    size_t len;
    const uint8_t *bytes;

    up(&b);
    up(&c);
    pic_setup(&b);
    apic_on(&b, 1);
    ioapic_write_entry(&b, 20, 1ull << 56 | 1 << 15 | 0x71);
    line(&b, 20, true);
    irqchip_save(&b.chip, w);
    bytes = state_writer_bytes(w, &len);
    r = state_reader_new(bytes, len, &c.err);
    CHECK_EQ(irqchip_load(&c.chip, r, &c.err), 0);
    CHECK(c.cpu[1].intr);
    CHECK_EQ(lapic_ack(&c.chip.lapic[1]), 0x71);
    CHECK_EQ(c.chip.pic.half[1].base, 0x38);
    state_reader_free(r);
    state_writer_free(w);
    down(&b);
    down(&c);
}

/* --- local APICs in the host's kernel, here a fake one --- */

static struct {
    struct apic_image img[3];
    struct apic_message sent, level[IOAPIC_PINS];
    unsigned sends, tables;
} kernel;

static int kernel_put(void *ctx, unsigned cpu, const struct apic_image *img,
                      struct error *err)
{
    (void)ctx;
    (void)err;
    kernel.img[cpu] = *img;
    return 0;
}

static int kernel_get(void *ctx, unsigned cpu, struct apic_image *img,
                      struct error *err)
{
    (void)ctx;
    (void)err;
    *img = kernel.img[cpu];
    return 0;
}

static bool kernel_message(void *ctx, const struct apic_message *m)
{
    (void)ctx;
    kernel.sent = *m;
    kernel.sends++;
    return true;
}

static void kernel_levels(void *ctx, const struct apic_message *pin)
{
    (void)ctx;
    memcpy(kernel.level, pin, sizeof(kernel.level));
    kernel.tables++;
}

static const struct irqchip_host fake_kernel = {kernel_put, kernel_get,
                                                kernel_message, kernel_levels};

/* A vector waits and one is served; timers are armed. */
static void busy_apics(struct bench *b)
{
    for (unsigned i = 0; i < 3; i++)
        apic_on(b, i);
    lapic_mmio_write(&b->chip.lapic[0], 0xd0, 0x5000000);
    lapic_mmio_write(&b->chip.lapic[0], 0x310, 0x2000000);
    lapic_mmio_write(&b->chip.lapic[0], 0x320, 0x20055); /* periodic */
    lapic_mmio_write(&b->chip.lapic[0], 0x3e0, 0xb);
    lapic_mmio_write(&b->chip.lapic[0], 0x380, 400000000);
    irq_msi(&b->chip, 0xfee00000, 0x161);
    CHECK_EQ(lapic_ack(&b->chip.lapic[0]), 0x61);
    irq_msi(&b->chip, 0xfee00000, 0x71);
    CHECK(!lapic_msr_write(&b->chip.lapic[1], 0x1b, 0xfee00c00));
    CHECK(!lapic_msr_write(&b->chip.lapic[1], 0x832, 0x40056)); /* deadline */
    CHECK(!lapic_msr_write(&b->chip.lapic[1], 0x6e0,
                           fake_tsc(NULL) + 3000000000ull));
    CHECK(!lapic_msr_write(&b->chip.lapic[1], 0x808, 0x20));
    lapic_mmio_write(&b->chip.lapic[2], 0x380, 5); /* one-shot, soon over */
}

static void apics_lent_come_back_the_same(void)
{
    static struct bench b;
    static struct lapic was[3];
    struct lapic *l = b.chip.lapic;

    up(&b);
    busy_apics(&b);
    run_ms(&b, 2);
    memcpy(was, l, sizeof(was));
    CHECK(!irqchip_lend(&b.chip, &fake_kernel, NULL, &b.err));
    CHECK(!timer_armed(&l[0].timer) && !timer_armed(&l[1].timer));
    CHECK_EQ(kernel.img[0].reg[0x23], BIT(0x71 - 0x60));
    CHECK_EQ(kernel.img[0].reg[0x13], BIT(1));
    CHECK_EQ(kernel.img[1].reg[0x02], 1);
    CHECK_EQ(kernel.img[2].reg[0x38], 0); /* or it would fire again */
    for (unsigned i = 0; i < 3; i++) {
        uint64_t base = l[i].base;

        memset(l[i].irr, 0x55, sizeof(l[i].irr));
        l[i].svr = l[i].tpr = 0;
        l[i].base = 0;
        CHECK_EQ(kernel.img[i].base, base);
    }
    irqchip_take_back(&b.chip);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(l[i].base, was[i].base);
        CHECK_EQ(l[i].tpr, was[i].tpr);
        CHECK_EQ(l[i].svr, was[i].svr);
        CHECK_EQ(l[i].ldr, was[i].ldr);
        CHECK_EQ(l[i].dfr, was[i].dfr);
        CHECK_EQ(l[i].icr, was[i].icr);
        CHECK(!memcmp(l[i].lvt, was[i].lvt, sizeof(l[i].lvt)));
        CHECK(!memcmp(l[i].irr, was[i].irr, sizeof(l[i].irr)));
        CHECK(!memcmp(l[i].isr, was[i].isr, sizeof(l[i].isr)));
        CHECK_EQ(l[i].tsc_deadline, was[i].tsc_deadline);
        CHECK_EQ(timer_armed(&l[i].timer), timer_armed(&was[i].timer));
    }
    CHECK(l[0].timer_start - was[0].timer_start + 50000000 < 100000000);
    CHECK(b.cpu[0].intr);
    down(&b);
}

static void what_comes_meanwhile_goes_to_the_kernel(void)
{
    static struct bench b;

    up(&b);
    apic_on(&b, 0);
    CHECK(!irqchip_lend(&b.chip, &fake_kernel, NULL, &b.err));
    kernel.sends = kernel.tables = 0;
    irq_msi(&b.chip, 0xfee00000, 0x4033);
    CHECK_EQ(kernel.sends, 1);
    CHECK_EQ(kernel.sent.data, 0x4033);
    CHECK(!b.cpu[0].intr);
    /* an edge is no business of its EOIs, a level is */
    ioapic_write_entry(&b, 17, 0x40);
    CHECK_EQ(kernel.tables, 0);
    ioapic_write_entry(&b, 18, 0x8041);
    CHECK(kernel.tables && kernel.level[18].addr && !kernel.level[17].addr);
    line(&b, 18, true);
    CHECK_EQ(kernel.sent.data, 0xc041);
    kernel.sends = 0;
    irqchip_eoi_seen(&b.chip, 0x41);
    CHECK_EQ(kernel.sends, 1); /* it is still up */
    line(&b, 18, false);
    irqchip_eoi_seen(&b.chip, 0x41);
    CHECK_EQ(kernel.sends, 1);
    /* the 8259 is ours, and its INTA */
    pic_setup(&b);
    line(&b, 3, true);
    CHECK(b.cpu[0].intr);
    CHECK_EQ(lapic_ack(&b.chip.lapic[0]), 0x33);
    CHECK(!b.cpu[0].intr);
    irqchip_reset(&b.chip);
    CHECK(!b.chip.host);
    down(&b);
}

int main(void)
{
    RUN(pic_nests_by_priority_and_cascades);
    RUN(pic_withdrawn_request_is_spurious);
    RUN(pic_level_input_asks_again_after_eoi);
    RUN(ioapic_level_waits_for_eoi);
    RUN(isa_irq0_is_on_ioapic_pin_2_and_edges_are_sent_once);
    RUN(lapic_priorities_hold_back_lower_classes);
    RUN(ipis_reach_whom_they_name);
    RUN(lowest_priority_takes_turns);
    RUN(x2apic_transitions_are_checked);
    RUN(errors_are_latched_by_a_write);
    RUN(timer_counts_down_and_interrupts);
    RUN(tsc_deadline_fires_once);
    RUN(chip_state_survives_a_round_trip);
    RUN(apics_lent_come_back_the_same);
    RUN(what_comes_meanwhile_goes_to_the_kernel);
    return test_status();
}
