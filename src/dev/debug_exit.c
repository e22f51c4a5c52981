/* SPDX-License-Identifier: Apache-2.0 */
/*
 * debug_exit.c - port 0xf4, four bytes wide, write-only; without state.
 */
#include "dev/debug_exit.h"

static uint64_t exit_read(void *dev, uint64_t off, unsigned width)
{
    (void)dev;
    (void)off;
    return width_mask(width);
}

static void exit_write(void *dev, uint64_t off, unsigned width, uint64_t val)
{
    struct debug_exit *d = dev;

    (void)off;
    (void)width;
    board_debug_exit(d->board, (uint32_t)val);
}

static const struct io_ops exit_io = {exit_read, exit_write, 0, 4};

static void debug_exit_reset(struct device *d)
{
    (void)d;
}

static void debug_exit_save(struct device *d, struct state_writer *w)
{
    state_begin(w, d->ops->name, d->instance, 1);
    state_end(w);
}

static int debug_exit_load(struct device *d, struct state_reader *r,
                           struct error *err)
{
    state_open(r, d->ops->name, d->instance, 1);
    return state_result(r, err);
}

static void debug_exit_fini(struct device *d)
{
    struct debug_exit *e = container_of(d, struct debug_exit, dev);

    io_remove(e->mem, IO_PORT, &e->regs);
}

static const struct device_ops debug_exit_ops = {
    "debug_exit",    debug_exit_reset, debug_exit_save,
    debug_exit_load, debug_exit_fini,
};

int debug_exit_init(struct debug_exit *d, struct guest_mem *mem,
                    const struct board *board, struct error *err)
{
    *d = (struct debug_exit){
        .dev = {&debug_exit_ops, 0},
        .mem = mem,
        .regs = {"debug exit", DEBUG_EXIT_PORT, 4, &exit_io, d},
        .board = board,
    };
    return io_add(mem, IO_PORT, &d->regs, err);
}
