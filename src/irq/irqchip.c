/* SPDX-License-Identifier: Apache-2.0 */
/*
 * irqchip.c - wires: lines to the 8259 pair and the IOAPIC, messages to the
 * local APICs, the 8259's INTR to LINT0 of each.
 */
#include "irq/irqchip.h"

#include <string.h>

#include "base/log.h"

/* Where an inter-processor or device message goes; true if anywhere. */
static bool irqchip_route(struct irqchip *c, struct lapic *from,
                          const struct lapic_msg *m)
{
    struct lapic *best = NULL;
    bool taken = false;

    for (unsigned i = 0; i < c->cpus; i++) {
        /* Start behind the last winner: equals take turns. */
        struct lapic *l = &c->lapic[(c->lowest_next + i) % c->cpus];

        if (m->shorthand == LAPIC_TO_SELF     ? l != from
            : m->shorthand == LAPIC_TO_OTHERS ? l == from
            : m->shorthand == LAPIC_TO_ALL    ? false
                                              : !lapic_matches(l, m))
            continue;
        if (m->mode != LAPIC_LOWEST) {
            lapic_deliver(l, m);
            taken = true;
        } else if (lapic_enabled(l) &&
                   (!best || lapic_priority(l) < lapic_priority(best))) {
            best = l;
        }
    }
    if (!best)
        return taken;
    c->lowest_next = (best->index + 1) % c->cpus;
    lapic_deliver(best, m);
    return true;
}

static void irqchip_ipi(void *ctx, struct lapic *from,
                        const struct lapic_msg *m)
{
    irqchip_route(ctx, from, m);
}

/* [SDM 3A 11.11] */
static bool irqchip_send(void *ctx, uint64_t addr, uint32_t data)
{
    struct irqchip *c = ctx;
    struct lapic_msg m = {
        .dest = addr >> 12 & 0xff,
        .logical = addr & 4,
        .vector = (uint8_t)data,
        .mode = data >> 8 & 7,
        .level = data >> 15 & 1,
        .assert_ = true,
    };

    if (addr >> 20 != 0xfee)
        return false; /* the bus would write memory: nobody is there */
    if (c->host)
        return c->host->message(c->host_ctx,
                                &(struct apic_message){addr, data});
    if ((addr & 8) && m.logical && m.mode == LAPIC_FIXED)
        m.mode = LAPIC_LOWEST;
    return irqchip_route(c, NULL, &m);
}

void irq_msi(struct irqchip *chip, uint64_t addr, uint32_t data)
{
    irqchip_send(chip, addr, data);
}

static void irqchip_eoi(void *ctx, uint8_t vector)
{
    struct irqchip *c = ctx;

    ioapic_eoi(&c->ioapic, vector);
}

static bool irqchip_extint(void *ctx, struct lapic *l)
{
    struct irqchip *c = ctx;

    (void)l;
    return c->pic.out;
}

static uint8_t irqchip_inta(void *ctx)
{
    struct irqchip *c = ctx;

    return i8259_ack(&c->pic);
}

static void irqchip_pic_intr(void *ctx, bool level)
{
    struct irqchip *c = ctx;

    for (unsigned i = 0; i < c->cpus; i++)
        lapic_lint0(&c->lapic[i], level);
}

/* --- local APICs in the host's kernel --- */

/* Seldom: the kernel takes its time for a new table. */
static void irqchip_levels(void *ctx)
{
    struct irqchip *c = ctx;
    struct apic_message now[IOAPIC_PINS];

    if (!c->host)
        return;
    memset(now, 0, sizeof(now)); /* they are compared as bytes */
    for (unsigned i = 0; i < IOAPIC_PINS; i++)
        if (!ioapic_message(&c->ioapic, i, &now[i].addr, &now[i].data))
            memset(&now[i], 0, sizeof(now[i]));
    if (!memcmp(now, c->level, sizeof(now)))
        return;
    memcpy(c->level, now, sizeof(now));
    c->host->levels(c->host_ctx, now);
}

int irqchip_lend(struct irqchip *c, const struct irqchip_host *host, void *ctx,
                 struct error *err)
{
    struct apic_image img;

    if (c->host)
        return 0;
    for (unsigned i = 0; i < c->cpus; i++) {
        lapic_lend(&c->lapic[i], &img);
        if (!host->put(ctx, i, &img, err))
            continue;
        for (unsigned j = 0; j <= i; j++)
            lapic_recall(&c->lapic[j]);
        return -err->code;
    }
    c->host = host;
    c->host_ctx = ctx;
    memset(c->level, 0, sizeof(c->level));
    irqchip_levels(c);
    return 0;
}

void irqchip_take_back(struct irqchip *c)
{
    const struct irqchip_host *host = c->host;
    struct apic_image img;
    struct error err;

    if (!host)
        return;
    c->host = NULL;
    for (unsigned i = 0; i < c->cpus; i++) {
        if (!host->get(c->host_ctx, i, &img, &err)) {
            lapic_return(&c->lapic[i], &img);
        } else {
            log_error("APIC %u: %s", i, err.msg);
            lapic_recall(&c->lapic[i]);
        }
    }
}

void irqchip_eoi_seen(struct irqchip *c, uint8_t vector)
{
    ioapic_eoi(&c->ioapic, vector);
}

static void irqchip_set(void *ctx, unsigned gsi, bool level)
{
    struct irqchip *c = ctx;

    if (gsi < 16)
        i8259_set(&c->pic, gsi, level);
    /* The 8254 is on pin 2; nothing is on pin 0. */
    ioapic_set(&c->ioapic, gsi ? gsi : 2, level);
}

struct irq_line irqchip_line(struct irqchip *c, unsigned gsi)
{
    return (struct irq_line){irqchip_set, c, gsi};
}

int irqchip_init(struct irqchip *c, struct guest_mem *mem, struct loop *loop,
                 unsigned cpus, struct error *err)
{
    *c = (struct irqchip){.cpus = MIN(cpus, (unsigned)GUEST_VCPUS_MAX)};
    c->bus = (struct lapic_bus){irqchip_ipi, irqchip_eoi, irqchip_extint,
                                irqchip_inta, c};
    for (unsigned i = 0; i < c->cpus; i++)
        lapic_init(&c->lapic[i], i, loop, &c->bus);
    if (i8259_init(&c->pic, mem, irqchip_pic_intr, c, err))
        return -err->code;
    if (ioapic_init(&c->ioapic, mem, irqchip_send, c, err)) {
        i8259_fini(&c->pic);
        return -err->code;
    }
    c->ioapic.changed = irqchip_levels;
    return 0;
}

void irqchip_fini(struct irqchip *c)
{
    for (unsigned i = 0; i < c->cpus; i++)
        lapic_fini(&c->lapic[i]);
    ioapic_fini(&c->ioapic);
    i8259_fini(&c->pic);
}

void irqchip_connect(struct irqchip *c, unsigned cpu,
                     const struct lapic_cpu_ops *ops, void *ctx)
{
    lapic_connect(&c->lapic[cpu], ops, ctx);
}

void irqchip_reset(struct irqchip *c)
{
    irqchip_take_back(c);
    for (unsigned i = 0; i < c->cpus; i++)
        lapic_reset(&c->lapic[i]);
    ioapic_reset(&c->ioapic);
    i8259_reset(&c->pic);
}

void irqchip_save(struct irqchip *c, struct state_writer *w)
{
    rf_assert(!c->host);
    i8259_save(&c->pic, w);
    ioapic_save(&c->ioapic, w);
    for (unsigned i = 0; i < c->cpus; i++)
        lapic_save(&c->lapic[i], w);
}

int irqchip_load(struct irqchip *c, struct state_reader *r, struct error *err)
{
    irqchip_take_back(c);
    for (unsigned i = 0; i < c->cpus; i++)
        if (lapic_load(&c->lapic[i], r, err))
            return -err->code;
    if (ioapic_load(&c->ioapic, r, err) || i8259_load(&c->pic, r, err))
        return -err->code;
    return 0;
}
