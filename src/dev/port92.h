/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port92.h - system control port A (A20, fast reset) and the POST code port
 * 0x80, which software writes to for its delay.
 *
 * A20 is remembered but never masks an address.
 */
#pragma once

#include "dev/board.h"
#include "dev/device.h"
#include "mem/guest_mem.h"

struct port92 {
    struct device dev;
    struct guest_mem *mem;
    struct io_region control, post;
    const struct board *board;
    uint8_t val, code;
};

int port92_init(struct port92 *p, struct guest_mem *mem,
                const struct board *board, struct error *err) must_check;
