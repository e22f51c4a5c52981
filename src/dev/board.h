/* SPDX-License-Identifier: Apache-2.0 */
/*
 * board.h - what chips ask of the machine they are part of.
 *
 * Called with the device lock held, on a vCPU's thread in the middle of its
 * access: note it, kick, return.
 */
#pragma once

#include "base/util.h"

struct board_ops {
    void (*reset)(void *ctx);    /* the guest wants a reset */
    void (*shutdown)(void *ctx); /* the guest powered off (S5) */
    void (*debug_exit)(void *ctx, uint32_t val); /* wrote to port 0xf4 */
};

struct board {
    const struct board_ops *ops; /* any member may be NULL */
    void *ctx;
};

static inline void board_reset(const struct board *b)
{
    if (b->ops && b->ops->reset)
        b->ops->reset(b->ctx);
}

static inline void board_shutdown(const struct board *b)
{
    if (b->ops && b->ops->shutdown)
        b->ops->shutdown(b->ctx);
}

static inline void board_debug_exit(const struct board *b, uint32_t val)
{
    if (b->ops && b->ops->debug_exit)
        b->ops->debug_exit(b->ctx, val);
}
