/* SPDX-License-Identifier: Apache-2.0 */
/*
 * i8254.h - an 8254 timer at 0x40 with its three counters, and port 0x61,
 * which gates counter 2 and shows its output.
 */
#pragma once

#include "base/loop.h"
#include "dev/device.h"
#include "irq/irq.h"
#include "mem/guest_mem.h"

#define I8254_HZ  1193182ull
#define I8254_IRQ 0

struct i8254_counter {
    uint16_t reload; /* as written; 0 means 65536 (10000 in BCD) */
    uint8_t mode;    /* 0..5 */
    uint8_t access;  /* 1: low byte, 2: high, 3: low then high */
    bool bcd, gate;
    bool counting;   /* a count was loaded and (modes 1, 5) triggered */
    bool null_count; /* written, not yet in the counter */
    bool write_high, read_high; /* which half of access 3 is next */
    uint8_t write_low;
    uint8_t latched; /* bytes of the latch still to be read */
    uint16_t latch;
    bool status_latched;
    uint8_t status;
    uint64_t start;  /* ns, when counting began */
    uint64_t frozen; /* ticks done when the gate closed */
};

struct i8254 {
    struct device dev;
    struct guest_mem *mem;
    struct io_region regs, port61;
    struct irq_line irq;
    struct clock *clock;
    struct timer timer; /* next change of counter 0's output */
    struct i8254_counter counter[3];
    uint8_t speaker; /* bits 0 and 1 of port 0x61 */
    bool refresh;    /* bit 4 toggles at each read, as the DRAM refresh */
};

int i8254_init(struct i8254 *t, struct guest_mem *mem, struct loop *loop,
               struct irq_line irq, struct error *err) must_check;
