/* SPDX-License-Identifier: Apache-2.0 */
/*
 * i8042.h - a keyboard controller with nothing attached: it answers its
 * self-tests, and pulses the reset line.
 */
#pragma once

#include "dev/board.h"
#include "dev/device.h"
#include "mem/guest_mem.h"

struct i8042 {
    struct device dev;
    struct guest_mem *mem;
    struct io_region data, command;
    const struct board *board;
    uint8_t ctr;     /* command byte */
    uint8_t pending; /* command that waits for its data, 0: none */
    uint8_t out;     /* output buffer */
    bool full;
    bool timeout; /* `out` is no answer: nobody is there */
    uint8_t outport;
};

int i8042_init(struct i8042 *k, struct guest_mem *mem,
               const struct board *board, struct error *err) must_check;
