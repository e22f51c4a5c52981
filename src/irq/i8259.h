/* SPDX-License-Identifier: Apache-2.0 */
/*
 * i8259.h - the pair of 8259A interrupt controllers of a PC, with the
 * edge/level control registers at 0x4d0.
 */
#pragma once

#include "base/state.h"
#include "mem/guest_mem.h"

struct i8259_half {
    uint8_t irr, isr, imr;
    uint8_t level;    /* what the pins show */
    uint8_t elcr;     /* 1: level-triggered */
    uint8_t base;     /* vector of input 0 */
    uint8_t icw_step; /* 0: ready, else the ICW that comes next */
    uint8_t lowest;   /* priority: this input is the lowest */
    bool icw4_due, single, ltim;
    bool auto_eoi, rotate_aeoi, special_mask, special_nested;
    bool read_isr, poll;
};

struct i8259 {
    struct i8259_half half[2];           /* master, slave on its input 2 */
    bool out;                            /* the INTR pin */
    void (*intr)(void *ctx, bool level); /* INTR changed */
    void *intr_ctx;
    struct guest_mem *mem;
    struct io_region master, slave, elcr;
};

int i8259_init(struct i8259 *p, struct guest_mem *mem,
               void (*intr)(void *ctx, bool level), void *ctx,
               struct error *err) must_check;
void i8259_fini(struct i8259 *p);
void i8259_reset(struct i8259 *p);
void i8259_set(struct i8259 *p, unsigned irq, bool level); /* 0..15 */
/* INTA: the vector, a spurious one if the request is gone. */
uint8_t i8259_ack(struct i8259 *p);
void i8259_save(struct i8259 *p, struct state_writer *w);
int i8259_load(struct i8259 *p, struct state_reader *r,
               struct error *err) must_check;
