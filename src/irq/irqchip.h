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

struct irqchip {
    struct i8259 pic;
    struct ioapic ioapic;
    struct lapic lapic[GUEST_VCPUS_MAX];
    unsigned cpus;
    unsigned lowest_next; /* round robin among equal priorities */
    struct lapic_bus bus;
};

int irqchip_init(struct irqchip *c, struct guest_mem *mem, struct loop *loop,
                 unsigned cpus, struct error *err) must_check;
void irqchip_fini(struct irqchip *c);
/* For each vCPU, before irqchip_reset(); then reset before it runs. */
void irqchip_connect(struct irqchip *c, unsigned cpu,
                     const struct lapic_cpu_ops *ops, void *ctx);
void irqchip_reset(struct irqchip *c);
/* The wire for global interrupt 0..23. */
struct irq_line irqchip_line(struct irqchip *c, unsigned gsi);
/* Sections "i8259", "ioapic", and "lapic" by vCPU. */
void irqchip_save(struct irqchip *c, struct state_writer *w);
int irqchip_load(struct irqchip *c, struct state_reader *r,
                 struct error *err) must_check;
