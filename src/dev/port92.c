/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port92.c - system control port A and the POST code port.
 */
#include "dev/port92.h"

#define PORT92_RESET 1
#define PORT92_A20   2

static uint64_t control_read(void *dev, uint64_t off, unsigned width)
{
    (void)off;
    (void)width;
    return ((struct port92 *)dev)->val;
}

static void control_write(void *dev, uint64_t off, unsigned width, uint64_t val)
{
    struct port92 *p = dev;

    (void)off;
    (void)width;
    p->val = val & (uint8_t)~PORT92_RESET;
    if (val & PORT92_RESET)
        board_reset(p->board);
}

static uint64_t post_read(void *dev, uint64_t off, unsigned width)
{
    (void)off;
    (void)width;
    return ((struct port92 *)dev)->code;
}

static void post_write(void *dev, uint64_t off, unsigned width, uint64_t val)
{
    (void)off;
    (void)width;
    ((struct port92 *)dev)->code = (uint8_t)val;
}

static const struct io_ops control_io = {control_read, control_write, 0, 1};
static const struct io_ops post_io = {post_read, post_write, 0, 1};

static struct port92 *port92_of(struct device *d)
{
    return container_of(d, struct port92, dev);
}

static void port92_reset(struct device *d)
{
    port92_of(d)->val = PORT92_A20;
    port92_of(d)->code = 0;
}

static void port92_save(struct device *d, struct state_writer *w)
{
    state_begin(w, d->ops->name, d->instance, 1);
    state_put(w, "val", port92_of(d)->val);
    state_put(w, "code", port92_of(d)->code);
    state_end(w);
}

static int port92_load(struct device *d, struct state_reader *r,
                       struct error *err)
{
    state_open(r, d->ops->name, d->instance, 1);
    port92_of(d)->val = (uint8_t)state_get_max(r, "val", 0xff);
    port92_of(d)->code = (uint8_t)state_get_max(r, "code", 0xff);
    return state_result(r, err);
}

static void port92_fini(struct device *d)
{
    io_remove(port92_of(d)->mem, IO_PORT, &port92_of(d)->control);
    io_remove(port92_of(d)->mem, IO_PORT, &port92_of(d)->post);
}

static const struct device_ops port92_ops = {
    "port92", port92_reset, port92_save, port92_load, port92_fini,
};

int port92_init(struct port92 *p, struct guest_mem *mem,
                const struct board *board, struct error *err)
{
    *p = (struct port92){
        .dev = {&port92_ops, 0},
        .mem = mem,
        .control = {"port 0x92", 0x92, 1, &control_io, p},
        .post = {"port 0x80", 0x80, 1, &post_io, p},
        .board = board,
    };
    port92_reset(&p->dev);
    if (io_add(mem, IO_PORT, &p->control, err))
        return -err->code;
    if (io_add(mem, IO_PORT, &p->post, err)) {
        io_remove(mem, IO_PORT, &p->control);
        return -err->code;
    }
    return 0;
}
