/* SPDX-License-Identifier: Apache-2.0 */
/*
 * irqchip.h - the interrupt controllers of the board, and their wiring.
 *
 * Global interrupts 0..15 (ISA) reach the 8259 pair and the IOAPIC (0 on pin
 * 2 there); 16..23 only the IOAPIC: PCI's INTx. A line has one driver: who
 * shares one ORs first. Everything assumes the device lock.
 */
#pragma once

#include "irq/i8259.h"
#include "irq/ioapic.h"
#include "irq/irq.h"
#include "irq/lapic.h"

/* The host's kernel, when it has the local APICs. With the device lock. */
struct irqchip_host {
    int (*put)(void *ctx, unsigned cpu, const struct apic_image *img,
               struct error *err);
    int (*get)(void *ctx, unsigned cpu, struct apic_image *img,
               struct error *err);
    bool (*message)(void *ctx, const struct apic_message *m); /* taken? */
    /*
     * What level-triggered pins send: for these irqchip_eoi_seen() is to be
     * called. addr 0: none. IOAPIC_PINS of them.
     */
    void (*levels)(void *ctx, const struct apic_message *pin);
};

struct irqchip {
    struct i8259 pic;
    struct ioapic ioapic;
    struct lapic lapic[GUEST_VCPUS_MAX];
    unsigned cpus;
    unsigned lowest_next; /* round robin among equal priorities */
    struct lapic_bus bus;
    const struct irqchip_host *host; /* NULL: the local APICs are ours */
    void *host_ctx;
    struct apic_message level[IOAPIC_PINS]; /* what the host was told */
};

int irqchip_init(struct irqchip *c, struct guest_mem *mem, struct loop *loop,
                 unsigned cpus, struct error *err) must_check;
void irqchip_fini(struct irqchip *c);
/* For each vCPU, before irqchip_reset(); then reset before it runs. */
void irqchip_connect(struct irqchip *c, unsigned cpu,
                     const struct lapic_cpu_ops *ops, void *ctx);
void irqchip_reset(struct irqchip *c);
/*
 * All local APICs to the host; nothing, if they are there. No vCPU may run
 * whose engine does not use the host's.
 */
int irqchip_lend(struct irqchip *c, const struct irqchip_host *host, void *ctx,
                 struct error *err) must_check;
/*
 * And back, if they are there. The vCPUs are parked. To be called before
 * anybody looks at one or saves them; resetting and loading do it.
 */
void irqchip_take_back(struct irqchip *c);
/* The host's APIC had the EOI of a level-triggered interrupt. */
void irqchip_eoi_seen(struct irqchip *c, uint8_t vector);
/* The wire for global interrupt 0..23. */
struct irq_line irqchip_line(struct irqchip *c, unsigned gsi);
/* Sections "i8259", "ioapic", and "lapic" by vCPU. */
void irqchip_save(struct irqchip *c, struct state_writer *w);
int irqchip_load(struct irqchip *c, struct state_reader *r,
                 struct error *err) must_check;
