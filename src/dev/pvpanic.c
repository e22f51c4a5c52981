/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pvpanic.c - one byte at port 0x505: reads say which events are understood,
 * a write of bit 0 says that the guest has panicked.
 */
#include "dev/pvpanic.h"

#define PVPANIC_PANICKED 1u

static uint64_t pvpanic_read(void *dev, uint64_t off, unsigned width)
{
    (void)dev;
    (void)off;
    (void)width;
    return PVPANIC_PANICKED;
}

static void pvpanic_write(void *dev, uint64_t off, unsigned width, uint64_t val)
{
    struct pvpanic *p = dev;

    (void)off;
    (void)width;
    if (val & PVPANIC_PANICKED)
        p->panicked(p->ctx);
}

static const struct io_ops pvpanic_io = {
    .read = pvpanic_read,
    .write = pvpanic_write,
    .max_width = 1,
};

static void pvpanic_reset(struct device *d)
{
    (void)d;
}

static void pvpanic_save(struct device *d, struct state_writer *w)
{
    state_begin(w, d->ops->name, d->instance, 1);
    state_end(w);
}

static int pvpanic_load(struct device *d, struct state_reader *r,
                        struct error *err)
{
    state_open(r, d->ops->name, d->instance, 1);
    return state_result(r, err);
}

static void pvpanic_fini(struct device *d)
{
    struct pvpanic *p = container_of(d, struct pvpanic, dev);

    io_remove(p->mem, IO_PORT, &p->regs);
}

static const struct device_ops pvpanic_ops = {
    .name = "pvpanic",
    .reset = pvpanic_reset,
    .save = pvpanic_save,
    .load = pvpanic_load,
    .fini = pvpanic_fini,
};

int pvpanic_init(struct pvpanic *p, struct guest_mem *mem,
                 void (*panicked)(void *ctx), void *ctx, struct error *err)
{
    *p = (struct pvpanic){
        .dev = {.ops = &pvpanic_ops},
        .mem = mem,
        .regs = {.name = "pvpanic",
                 .base = PVPANIC_PORT,
                 .len = 1,
                 .ops = &pvpanic_io,
                 .dev = p},
        .panicked = panicked,
        .ctx = ctx,
    };
    return io_add(mem, IO_PORT, &p->regs, err);
}
