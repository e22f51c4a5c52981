/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ioapic.h - an 82093AA I/O APIC of 24 pins, version 0x20 (with EOI register)
 * at 0xfec00000.
 */
#pragma once

#include "base/state.h"
#include "mem/guest_mem.h"

#define IOAPIC_BASE 0xfec00000ull
#define IOAPIC_PINS 24

struct ioapic {
    uint8_t id, index;
    uint32_t level; /* what the pins show */
    uint64_t entry[IOAPIC_PINS];
    /* Sends a message, in the form of an MSI; true if an APIC took it. */
    bool (*send)(void *ctx, uint64_t addr, uint32_t data);
    void *send_ctx;
    void (*changed)(void *ctx); /* entries; optional, with send_ctx */
    struct guest_mem *mem;
    struct io_region regs;
};

int ioapic_init(struct ioapic *io, struct guest_mem *mem,
                bool (*send)(void *ctx, uint64_t addr, uint32_t data),
                void *ctx, struct error *err) must_check;
void ioapic_fini(struct ioapic *io);
void ioapic_reset(struct ioapic *io);
void ioapic_set(struct ioapic *io, unsigned pin, bool level);
void ioapic_eoi(struct ioapic *io, uint8_t vector); /* broadcast by an APIC */
/* What the pin sends; false: an edge, to which no EOI comes back. */
bool ioapic_message(const struct ioapic *io, unsigned pin, uint64_t *addr,
                    uint32_t *data);
void ioapic_save(struct ioapic *io, struct state_writer *w);
int ioapic_load(struct ioapic *io, struct state_reader *r,
                struct error *err) must_check;
