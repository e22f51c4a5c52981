/* SPDX-License-Identifier: Apache-2.0 */
/*
 * debug_exit.h - a port by which a test guest ends the machine with a status.
 */
#pragma once

#include "dev/board.h"
#include "dev/device.h"
#include "mem/guest_mem.h"

#define DEBUG_EXIT_PORT 0xf4

struct debug_exit {
    struct device dev;
    struct guest_mem *mem;
    struct io_region regs;
    const struct board *board;
};

int debug_exit_init(struct debug_exit *d, struct guest_mem *mem,
                    const struct board *board, struct error *err) must_check;
