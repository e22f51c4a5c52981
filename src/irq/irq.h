/* SPDX-License-Identifier: Apache-2.0 */
/*
 * irq.h - interrupt lines, message-signalled interrupts, and what a vCPU sees.
 *
 * All functions are called with the device lock held. `struct irqchip` hides
 * whether the 8259 pair, IOAPIC and local APICs are ours or in the kernel.
 */
#pragma once

#include "base/error.h"

struct irqchip;

/* A wire from a device; embed it, let the machine connect it. */
struct irq_line {
    void (*set)(void *ctx, unsigned pin, bool level);
    void *ctx;
    unsigned pin;
};

static inline void irq_set(const struct irq_line *line, bool level)
{
    if (line->set)
        line->set(line->ctx, line->pin, level);
}

/* A message: address and data as PCI's MSI defines them [SDM 3A 11.11]. */
void irq_msi(struct irqchip *chip, uint64_t addr, uint32_t data);
