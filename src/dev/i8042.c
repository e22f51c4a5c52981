/* SPDX-License-Identifier: Apache-2.0 */
/*
 * i8042.c - keyboard controller without keyboard and mouse.
 *
 * Every command that has an answer gets one at once, so that a probing guest
 * never waits for a timeout: bytes for the (missing) devices are answered
 * with "timeout" in the status, the auxiliary port fails its tests.
 */
#include "dev/i8042.h"

enum {
    ST_OBF = 1,
    ST_SYS = 4,
    ST_CMD = 8,
    ST_UNLOCKED = 0x10,
    ST_AUX = 0x20,
    ST_TIMEOUT = 0x40
};
enum { CTR_SYS = 4, CTR_KBD_OFF = 0x10, CTR_AUX_OFF = 0x20 };

#define OUTPORT_RESET 1 /* low resets the machine */
#define OUTPORT_A20   2

static void i8042_answer(struct i8042 *k, uint8_t val)
{
    k->out = val;
    k->full = true;
    k->timeout = false;
}

static void outport_write(struct i8042 *k, uint8_t val)
{
    k->outport = val | OUTPORT_RESET;
    if (!(val & OUTPORT_RESET))
        board_reset(k->board);
}

static void command_write(struct i8042 *k, uint8_t val)
{
    k->pending = 0;
    switch (val) {
    case 0x20: /* read the command byte */
        i8042_answer(k, k->ctr);
        break;
    case 0x60: /* those that wait for a byte */
    case 0xd1:
    case 0xd2:
    case 0xd3:
    case 0xd4:
        k->pending = val;
        break;
    case 0xa7:
        k->ctr |= CTR_AUX_OFF;
        break;
    case 0xa8:
        k->ctr &= (uint8_t)~CTR_AUX_OFF;
        break;
    case 0xa9: /* auxiliary test: clock line stuck low */
        i8042_answer(k, 1);
        break;
    case 0xaa:
        k->ctr |= CTR_SYS;
        i8042_answer(k, 0x55);
        break;
    case 0xab:
        i8042_answer(k, 0);
        break;
    case 0xad:
        k->ctr |= CTR_KBD_OFF;
        break;
    case 0xae:
        k->ctr &= (uint8_t)~CTR_KBD_OFF;
        break;
    case 0xc0:
        i8042_answer(k, 0);
        break;
    case 0xd0:
        i8042_answer(k, k->outport);
        break;
    case 0xdd:
        k->outport &= (uint8_t)~OUTPORT_A20;
        break;
    case 0xdf:
        k->outport |= OUTPORT_A20;
        break;
    case 0xf0 ... 0xff: /* pulse those lines whose bit is 0 */
        if (!(val & OUTPORT_RESET))
            board_reset(k->board);
        break;
    }
}

static void data_write(struct i8042 *k, uint8_t val)
{
    uint8_t command = k->pending;

    k->pending = 0;
    switch (command) {
    case 0x60:
        k->ctr = val;
        break;
    case 0xd1:
        outport_write(k, val);
        break;
    case 0xd2:
        i8042_answer(k, val);
        break;
    case 0xd3: /* loop-back of an auxiliary port that is not there */
        i8042_answer(k, (uint8_t)~val);
        break;
    default: /* for a keyboard or mouse */
        i8042_answer(k, 0xfe);
        k->timeout = true;
    }
}

static uint64_t i8042_data_read(void *dev, uint64_t off, unsigned width)
{
    struct i8042 *k = dev;

    (void)off;
    (void)width;
    k->full = k->timeout = false;
    return k->out;
}

static void i8042_data_write(void *dev, uint64_t off, unsigned width,
                             uint64_t val)
{
    (void)off;
    (void)width;
    data_write(dev, (uint8_t)val);
}

static uint64_t i8042_status_read(void *dev, uint64_t off, unsigned width)
{
    struct i8042 *k = dev;

    (void)off;
    (void)width;
    return (k->full ? ST_OBF : 0) | (k->ctr & CTR_SYS ? ST_SYS : 0) |
           ST_UNLOCKED | (k->pending ? ST_CMD : 0) |
           (k->timeout ? ST_TIMEOUT : 0);
}

static void i8042_command_write(void *dev, uint64_t off, unsigned width,
                                uint64_t val)
{
    (void)off;
    (void)width;
    command_write(dev, (uint8_t)val);
}

static const struct io_ops data_io = {i8042_data_read, i8042_data_write, 0, 1};
static const struct io_ops command_io = {i8042_status_read, i8042_command_write,
                                         0, 1};

static struct i8042 *kbc_of(struct device *d)
{
    return container_of(d, struct i8042, dev);
}

static void i8042_reset(struct device *d)
{
    struct i8042 *k = kbc_of(d);

    k->ctr = CTR_SYS | CTR_KBD_OFF | CTR_AUX_OFF;
    k->pending = k->out = 0;
    k->full = k->timeout = false;
    k->outport = OUTPORT_RESET | OUTPORT_A20;
}

static void i8042_save(struct device *d, struct state_writer *w)
{
    struct i8042 *k = kbc_of(d);

    state_begin(w, d->ops->name, d->instance, 1);
    state_put(w, "ctr", k->ctr);
    state_put(w, "pending", k->pending);
    state_put(w, "out", k->out);
    state_put(w, "full", k->full);
    state_put(w, "timeout", k->timeout);
    state_put(w, "outport", k->outport);
    state_end(w);
}

static int i8042_load(struct device *d, struct state_reader *r,
                      struct error *err)
{
    struct i8042 *k = kbc_of(d);

    state_open(r, d->ops->name, d->instance, 1);
    k->ctr = (uint8_t)state_get_max(r, "ctr", 0xff);
    k->pending = (uint8_t)state_get_max(r, "pending", 0xff);
    k->out = (uint8_t)state_get_max(r, "out", 0xff);
    k->full = state_get_max(r, "full", 1);
    k->timeout = state_get_max(r, "timeout", 1);
    k->outport = (uint8_t)state_get_max(r, "outport", 0xff);
    return state_result(r, err);
}

static void i8042_fini(struct device *d)
{
    struct i8042 *k = kbc_of(d);

    io_remove(k->mem, IO_PORT, &k->data);
    io_remove(k->mem, IO_PORT, &k->command);
}

static const struct device_ops i8042_ops = {
    "i8042", i8042_reset, i8042_save, i8042_load, i8042_fini,
};

int i8042_init(struct i8042 *k, struct guest_mem *mem,
               const struct board *board, struct error *err)
{
    *k = (struct i8042){
        .dev = {&i8042_ops, 0},
        .mem = mem,
        .data = {"i8042 data", 0x60, 1, &data_io, k},
        .command = {"i8042 command", 0x64, 1, &command_io, k},
        .board = board,
    };
    i8042_reset(&k->dev);
    if (io_add(mem, IO_PORT, &k->data, err))
        return -err->code;
    if (io_add(mem, IO_PORT, &k->command, err)) {
        io_remove(mem, IO_PORT, &k->data);
        return -err->code;
    }
    return 0;
}
