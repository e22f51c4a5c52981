/* SPDX-License-Identifier: Apache-2.0 */
/*
 * i8259.c - the 8259A pair, after Intel's data sheet (order 231468).
 *
 * The slave hangs on input 2 of the master. Edge-triggered requests are
 * remembered in IRR until acknowledged, and withdrawn if the line falls
 * before that, as the chip does: hence spurious interrupts.
 */
#include "irq/i8259.h"

#define CASCADE 2

enum { ICW_NONE, ICW2 = 2, ICW3, ICW4 };

static struct i8259_half *master_of(struct i8259 *p)
{
    return &p->half[0];
}

/* 0 is the highest priority, 8: no bit is set. */
static unsigned half_priority(const struct i8259_half *h, uint8_t bits)
{
    unsigned n = 0;

    if (!bits)
        return 8;
    while (!(bits & (1u << ((h->lowest + 1u + n) & 7))))
        n++;
    return n;
}

static unsigned half_input(const struct i8259_half *h, unsigned priority)
{
    return (h->lowest + 1u + priority) & 7;
}

/* The input that wants service now, or -1. */
static int half_pending(const struct i8259 *p, unsigned which)
{
    const struct i8259_half *h = &p->half[which];
    unsigned want = half_priority(h, h->irr & (uint8_t)~h->imr);
    uint8_t busy = h->isr;

    if (want == 8)
        return -1;
    if (h->special_mask)
        busy &= (uint8_t)~h->imr;
    /* Fully nested among the slave's own inputs [data sheet, SFNM]. */
    if (h->special_nested && !which)
        busy &= (uint8_t) ~(1u << CASCADE);
    if (half_priority(h, busy) <= want)
        return -1;
    return (int)half_input(h, want);
}

static void half_pin(struct i8259_half *h, unsigned n, bool level)
{
    uint8_t bit = (uint8_t)(1u << n);

    if (h->ltim || (h->elcr & bit)) {
        h->irr = level ? h->irr | bit : h->irr & (uint8_t)~bit;
    } else if (level && !(h->level & bit)) {
        h->irr |= bit;
    } else if (!level) {
        h->irr &= (uint8_t)~bit;
    }
    h->level = level ? h->level | bit : h->level & (uint8_t)~bit;
}

static void i8259_update(struct i8259 *p)
{
    bool out;

    half_pin(master_of(p), CASCADE, half_pending(p, 1) >= 0);
    out = half_pending(p, 0) >= 0;
    if (out == p->out)
        return;
    p->out = out;
    p->intr(p->intr_ctx, out);
}

void i8259_set(struct i8259 *p, unsigned irq, bool level)
{
    if (irq > 15 || irq == CASCADE)
        return;
    half_pin(&p->half[irq / 8], irq % 8, level);
    i8259_update(p);
}

static void half_ack(struct i8259_half *h, unsigned n)
{
    uint8_t bit = (uint8_t)(1u << n);

    if (!h->ltim && !(h->elcr & bit))
        h->irr &= (uint8_t)~bit;
    if (!h->auto_eoi)
        h->isr |= bit;
    else if (h->rotate_aeoi)
        h->lowest = (uint8_t)n;
}

uint8_t i8259_ack(struct i8259 *p)
{
    struct i8259_half *m = master_of(p), *s = &p->half[1];
    int n = half_pending(p, 0);
    uint8_t vector;

    if (n < 0) {
        /* The request is gone: input 7, without setting ISR. */
        vector = m->base | 7;
    } else if (n != CASCADE) {
        half_ack(m, (unsigned)n);
        vector = m->base | (uint8_t)n;
    } else {
        int sn = half_pending(p, 1);

        half_ack(m, CASCADE);
        if (sn >= 0)
            half_ack(s, (unsigned)sn);
        vector = s->base | (sn >= 0 ? (uint8_t)sn : 7);
        /* The slave's output falls at INTA, and may rise again. */
        half_pin(m, CASCADE, false);
    }
    i8259_update(p);
    return vector;
}

static void half_icw1(struct i8259 *p, struct i8259_half *h, uint8_t val)
{
    uint8_t elcr = h->elcr, level = h->level;

    *h = (struct i8259_half){.elcr = elcr, .level = level, .lowest = 7};
    h->icw_step = ICW2;
    h->icw4_due = val & 1;
    h->single = val & 2;
    h->ltim = val & 8;
    /* The edge detector is cleared; level inputs still ask. */
    h->irr = h->ltim ? level : level & elcr;
    (void)p;
}

/* OCW2: end of interrupt and rotation. */
static void half_ocw2(struct i8259_half *h, uint8_t val)
{
    unsigned level = val & 7, op = val >> 5;
    unsigned busy =
        half_priority(h, h->special_mask ? h->isr & (uint8_t)~h->imr : h->isr);

    switch (op) {
    case 0: /* rotate in automatic EOI mode: clear, set */
    case 4:
        h->rotate_aeoi = op == 4;
        return;
    case 1: /* non-specific EOI, and with rotation */
    case 5:
        if (busy == 8)
            return;
        level = half_input(h, busy);
        break;
    case 3: /* specific EOI, and with rotation */
    case 7:
        break;
    case 6:
        h->lowest = (uint8_t)level;
        return;
    default:
        return;
    }
    h->isr &= (uint8_t) ~(1u << level);
    if (op & 4)
        h->lowest = (uint8_t)level;
}

static void half_ocw3(struct i8259_half *h, uint8_t val)
{
    if (val & 0x40)
        h->special_mask = val & 0x20;
    h->poll = val & 4;
    if (val & 2)
        h->read_isr = val & 1;
}

static void half_data(struct i8259_half *h, uint8_t val)
{
    switch (h->icw_step) {
    case ICW2:
        h->base = val & 0xf8;
        h->icw_step = !h->single ? ICW3 : h->icw4_due ? ICW4 : ICW_NONE;
        break;
    case ICW3: /* the cascade is wired as a PC's, whatever it says */
        h->icw_step = h->icw4_due ? ICW4 : ICW_NONE;
        break;
    case ICW4:
        h->auto_eoi = val & 2;
        h->special_nested = val & 0x10;
        h->icw_step = ICW_NONE;
        break;
    default:
        h->imr = val;
    }
}

static void half_write(struct i8259 *p, unsigned which, uint64_t off,
                       uint8_t val)
{
    struct i8259_half *h = &p->half[which];

    if (off & 1)
        half_data(h, val);
    else if (val & 0x10)
        half_icw1(p, h, val);
    else if (val & 8)
        half_ocw3(h, val);
    else
        half_ocw2(h, val);
    i8259_update(p);
}

/* Poll command: the read is an acknowledge. */
static uint8_t half_poll(struct i8259 *p, unsigned which)
{
    struct i8259_half *h = &p->half[which];
    int n = half_pending(p, which);

    h->poll = false;
    if (n < 0)
        return 0;
    half_ack(h, (unsigned)n);
    i8259_update(p);
    return 0x80 | (uint8_t)n;
}

static uint8_t half_read(struct i8259 *p, unsigned which, uint64_t off)
{
    struct i8259_half *h = &p->half[which];

    if (h->poll)
        return half_poll(p, which);
    if (off & 1)
        return h->imr;
    return h->read_isr ? h->isr : h->irr;
}

static uint64_t master_read(void *dev, uint64_t off, unsigned width)
{
    (void)width;
    return half_read(dev, 0, off);
}

static void master_write(void *dev, uint64_t off, unsigned width, uint64_t val)
{
    (void)width;
    half_write(dev, 0, off, (uint8_t)val);
}

static uint64_t slave_read(void *dev, uint64_t off, unsigned width)
{
    (void)width;
    return half_read(dev, 1, off);
}

static void slave_write(void *dev, uint64_t off, unsigned width, uint64_t val)
{
    (void)width;
    half_write(dev, 1, off, (uint8_t)val);
}

static uint64_t elcr_read(void *dev, uint64_t off, unsigned width)
{
    struct i8259 *p = dev;

    (void)width;
    return p->half[off & 1].elcr;
}

static void elcr_write(void *dev, uint64_t off, unsigned width, uint64_t val)
{
    /* Inputs 0, 1, 2, 8 and 13 are edge-triggered for good. */
    static const uint8_t may[2] = {0xf8, 0xde};
    struct i8259 *p = dev;
    struct i8259_half *h = &p->half[off & 1];

    (void)width;
    h->elcr = (uint8_t)val & may[off & 1];
    h->irr = (h->irr & (uint8_t)~h->elcr) | (h->level & h->elcr);
    i8259_update(p);
}

static const struct io_ops master_ops = {master_read, master_write, 0, 1};
static const struct io_ops slave_ops = {slave_read, slave_write, 0, 1};
static const struct io_ops elcr_ops = {elcr_read, elcr_write, 0, 1};

int i8259_init(struct i8259 *p, struct guest_mem *mem,
               void (*intr)(void *ctx, bool level), void *ctx,
               struct error *err)
{
    *p = (struct i8259){.intr = intr, .intr_ctx = ctx, .mem = mem};
    p->master = (struct io_region){"8259 master", 0x20, 2, &master_ops, p};
    p->slave = (struct io_region){"8259 slave", 0xa0, 2, &slave_ops, p};
    p->elcr = (struct io_region){"8259 ELCR", 0x4d0, 2, &elcr_ops, p};
    p->half[0].lowest = p->half[1].lowest = 7;
    if (io_add(mem, IO_PORT, &p->master, err) ||
        io_add(mem, IO_PORT, &p->slave, err) ||
        io_add(mem, IO_PORT, &p->elcr, err)) {
        i8259_fini(p);
        return -err->code;
    }
    return 0;
}

void i8259_fini(struct i8259 *p)
{
    io_remove(p->mem, IO_PORT, &p->master);
    io_remove(p->mem, IO_PORT, &p->slave);
    io_remove(p->mem, IO_PORT, &p->elcr);
}

void i8259_reset(struct i8259 *p)
{
    for (unsigned i = 0; i < 2; i++) {
        uint8_t level = p->half[i].level;

        p->half[i] = (struct i8259_half){.level = level, .lowest = 7};
    }
    master_of(p)->level &= (uint8_t) ~(1u << CASCADE);
    i8259_update(p);
}

void i8259_save(struct i8259 *p, struct state_writer *w)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct i8259_half *h = &p->half[i];

        state_begin(w, "i8259", i, 1);
        state_put(w, "irr", h->irr);
        state_put(w, "isr", h->isr);
        state_put(w, "imr", h->imr);
        state_put(w, "level", h->level);
        state_put(w, "elcr", h->elcr);
        state_put(w, "base", h->base);
        state_put(w, "icw_step", h->icw_step);
        state_put(w, "lowest", h->lowest);
        state_put(w, "icw4_due", h->icw4_due);
        state_put(w, "single", h->single);
        state_put(w, "ltim", h->ltim);
        state_put(w, "auto_eoi", h->auto_eoi);
        state_put(w, "rotate_aeoi", h->rotate_aeoi);
        state_put(w, "special_mask", h->special_mask);
        state_put(w, "special_nested", h->special_nested);
        state_put(w, "read_isr", h->read_isr);
        state_put(w, "poll", h->poll);
        state_end(w);
    }
}

static void half_load(struct i8259_half *h, struct state_reader *r)
{
    h->irr = (uint8_t)state_get_max(r, "irr", 255);
    h->isr = (uint8_t)state_get_max(r, "isr", 255);
    h->imr = (uint8_t)state_get_max(r, "imr", 255);
    h->level = (uint8_t)state_get_max(r, "level", 255);
    h->elcr = (uint8_t)state_get_max(r, "elcr", 255);
    h->base = (uint8_t)state_get_max(r, "base", 255) & 0xf8;
    h->icw_step = (uint8_t)state_get_max(r, "icw_step", ICW4);
    h->lowest = (uint8_t)state_get_max(r, "lowest", 7);
    h->icw4_due = state_get_max(r, "icw4_due", 1);
    h->single = state_get_max(r, "single", 1);
    h->ltim = state_get_max(r, "ltim", 1);
    h->auto_eoi = state_get_max(r, "auto_eoi", 1);
    h->rotate_aeoi = state_get_max(r, "rotate_aeoi", 1);
    h->special_mask = state_get_max(r, "special_mask", 1);
    h->special_nested = state_get_max(r, "special_nested", 1);
    h->read_isr = state_get_max(r, "read_isr", 1);
    h->poll = state_get_max(r, "poll", 1);
}

int i8259_load(struct i8259 *p, struct state_reader *r, struct error *err)
{
    for (unsigned i = 0; i < 2; i++)
        if (state_open(r, "i8259", i, 1))
            half_load(&p->half[i], r);
    if (state_result(r, err))
        return -err->code;
    /* Tell the wire again, whatever it was told before. */
    p->out = half_pending(p, 0) >= 0;
    p->intr(p->intr_ctx, p->out);
    return 0;
}
