/* SPDX-License-Identifier: Apache-2.0 */
/*
 * debugcon.c - bytes to lines; what cannot be printed becomes a dot, so that
 * no guest gets at the terminal of who reads the log.
 */
#include "dev/debugcon.h"

#include "base/log.h"

static uint64_t debugcon_read(void *dev, uint64_t off, unsigned width)
{
    (void)dev;
    (void)off;
    (void)width;
    return 0xe9;
}

static void debugcon_write(void *dev, uint64_t off, unsigned width,
                           uint64_t val)
{
    struct debugcon *c = dev;
    char ch = (char)val;

    (void)off;
    (void)width;
    if (ch == '\r')
        return;
    if (ch != '\n')
        c->line[c->len++] = ch >= ' ' && ch <= '~' ? ch : '.';
    if (c->len && (ch == '\n' || c->len == sizeof(c->line))) {
        log_debug("firmware: %.*s", (int)c->len, c->line);
        c->len = 0;
    }
}

static const struct io_ops debugcon_io = {debugcon_read, debugcon_write, 0, 1};

static void debugcon_reset(struct device *d)
{
    container_of(d, struct debugcon, dev)->len = 0;
}

static void debugcon_save(struct device *d, struct state_writer *w)
{
    state_begin(w, d->ops->name, d->instance, 1);
    state_end(w);
}

static int debugcon_load(struct device *d, struct state_reader *r,
                         struct error *err)
{
    state_open(r, d->ops->name, d->instance, 1);
    return state_result(r, err);
}

static void debugcon_fini(struct device *d)
{
    struct debugcon *c = container_of(d, struct debugcon, dev);

    io_remove(c->mem, IO_PORT, &c->regs);
}

static const struct device_ops debugcon_ops = {
    "debugcon", debugcon_reset, debugcon_save, debugcon_load, debugcon_fini,
};

int debugcon_init(struct debugcon *c, struct guest_mem *mem, struct error *err)
{
    *c = (struct debugcon){
        .dev = {&debugcon_ops, 0},
        .mem = mem,
        .regs = {"debugcon", DEBUGCON_PORT, 1, &debugcon_io, c},
    };
    return io_add(mem, IO_PORT, &c->regs, err);
}
