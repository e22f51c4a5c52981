/* SPDX-License-Identifier: Apache-2.0 */
/*
 * i8254.c - programmable interval timer, after Intel's data sheet (231164).
 *
 * Nothing counts: a counter is the time when it started, and everything
 * follows from the ticks since. Counter 0 has a host timer for the next edge
 * of its output. Deviation: a new count restarts modes 2 and 3 at once,
 * instead of at the end of the current period.
 */
#include "dev/i8254.h"

#define NS_PER_SEC 1000000000ull

/* A guest's tiny period must not keep the event thread busy. */
#define PERIOD_MIN_NS 50000ull

static uint64_t ns_to_ticks(uint64_t ns)
{
    return (uint64_t)((unsigned __int128)ns * I8254_HZ / NS_PER_SEC);
}

static uint64_t ticks_to_ns(uint64_t ticks)
{
    return (uint64_t)(((unsigned __int128)ticks * NS_PER_SEC + I8254_HZ - 1) /
                      I8254_HZ);
}

static unsigned bcd_to_bin(unsigned v)
{
    return (v >> 12 & 15) * 1000 + (v >> 8 & 15) * 100 + (v >> 4 & 15) * 10 +
           (v & 15);
}

static unsigned bin_to_bcd(unsigned v)
{
    return v / 1000 % 10 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10;
}

static bool mode_periodic(const struct i8254_counter *c)
{
    return c->mode == 2 || c->mode == 3;
}

/* Modes 1 and 5 start with the gate's edge, the rest with the count. */
static bool mode_triggered(const struct i8254_counter *c)
{
    return c->mode == 1 || c->mode == 5;
}

static unsigned counter_modulus(const struct i8254_counter *c)
{
    return c->bcd ? 10000 : 65536;
}

/* The initial count, 1..65536. */
static unsigned counter_initial(const struct i8254_counter *c)
{
    unsigned n = c->bcd ? bcd_to_bin(c->reload) % 10000 : c->reload;

    return n ? n : counter_modulus(c);
}

static uint64_t counter_ticks(const struct i8254 *t,
                              const struct i8254_counter *c)
{
    if (!c->counting)
        return 0;
    if (!c->gate && !mode_triggered(c))
        return c->frozen;
    return ns_to_ticks(clock_now(t->clock) - c->start);
}

static uint16_t counter_value(const struct i8254 *t,
                              const struct i8254_counter *c)
{
    uint64_t n = counter_initial(c), ticks = counter_ticks(t, c);
    uint64_t mod = counter_modulus(c), v;

    if (c->mode == 2)
        v = n - ticks % n;
    else if (c->mode == 3)
        v = n - ticks * 2 % n; /* counts down by two, twice a period */
    else
        v = (n + mod - ticks % mod) % mod;
    v %= mod;
    return (uint16_t)(c->bcd ? bin_to_bcd((unsigned)v) : v);
}

static bool counter_out(const struct i8254 *t, const struct i8254_counter *c)
{
    uint64_t n = counter_initial(c), ticks = counter_ticks(t, c);

    if (!c->counting)
        return c->mode != 0;
    switch (c->mode) {
    case 0:
    case 1:
        return ticks >= n;
    case 2:
        return !c->gate || ticks % n != n - 1;
    case 3:
        return !c->gate || ticks % n < (n + 1) / 2;
    default:
        return ticks != n;
    }
}

/*
 * Counter 0's interrupt. Only rising edges count for the 8259, so pulses
 * and square waves stay up between two of them.
 */
static void irq0_arm(struct i8254 *t)
{
    struct i8254_counter *c = &t->counter[0];
    uint64_t now = clock_now(t->clock), n = counter_initial(c), at, done;

    timer_cancel(&t->timer);
    if (!c->counting)
        return;
    done = counter_ticks(t, c);
    if (mode_periodic(c)) {
        at = c->start + ticks_to_ns((done / n + 1) * n);
        timer_arm(&t->timer, MAX(at, now + PERIOD_MIN_NS));
    } else if (done < n) {
        timer_arm(&t->timer, c->start + ticks_to_ns(n));
    }
}

static void irq0_fired(struct timer *timer)
{
    struct i8254 *t = container_of(timer, struct i8254, timer);

    irq_set(&t->irq, false);
    irq_set(&t->irq, true);
    if (mode_periodic(&t->counter[0]))
        irq0_arm(t);
}

static void counter_start(struct i8254 *t, unsigned n)
{
    struct i8254_counter *c = &t->counter[n];

    c->counting = true;
    c->null_count = false;
    c->start = clock_now(t->clock);
    c->frozen = 0;
    if (n)
        return;
    irq_set(&t->irq, c->mode > 1);
    irq0_arm(t);
}

static void counter_load(struct i8254 *t, unsigned n, uint16_t reload)
{
    struct i8254_counter *c = &t->counter[n];

    c->reload = reload;
    c->null_count = true;
    if (!mode_triggered(c))
        counter_start(t, n);
}

static void counter_gate(struct i8254 *t, unsigned n, bool gate)
{
    struct i8254_counter *c = &t->counter[n];
    bool rise = gate && !c->gate;
    uint64_t ticks = counter_ticks(t, c);

    if (gate == c->gate)
        return;
    c->gate = gate;
    if (rise && (mode_triggered(c) || (mode_periodic(c) && c->counting)))
        counter_start(t, n);
    else if (rise) /* modes 0 and 4 go on from where they were */
        c->start = clock_now(t->clock) - ticks_to_ns(c->frozen);
    else if (!mode_triggered(c))
        c->frozen = ticks;
}

static void counter_latch(struct i8254 *t, struct i8254_counter *c)
{
    if (c->latched)
        return; /* the first one stays until it is read */
    c->latch = counter_value(t, c);
    c->latched = c->access == 3 ? 2 : 1;
}

static void counter_latch_status(struct i8254 *t, struct i8254_counter *c)
{
    if (c->status_latched)
        return;
    c->status = (uint8_t)(counter_out(t, c) << 7 | c->null_count << 6 |
                          c->access << 4 | c->mode << 1 | c->bcd);
    c->status_latched = true;
}

static void control_write(struct i8254 *t, uint8_t val)
{
    unsigned n = val >> 6;
    struct i8254_counter *c;

    if (n == 3) { /* read-back */
        for (unsigned i = 0; i < 3; i++) {
            if (!(val & 2u << i))
                continue;
            if (!(val & 0x20))
                counter_latch(t, &t->counter[i]);
            if (!(val & 0x10))
                counter_latch_status(t, &t->counter[i]);
        }
        return;
    }
    c = &t->counter[n];
    if (!(val & 0x30)) {
        counter_latch(t, c);
        return;
    }
    c->access = val >> 4 & 3;
    c->mode = (val >> 1 & 7) > 5 ? val >> 1 & 3 : val >> 1 & 7;
    c->bcd = val & 1;
    c->counting = c->write_high = c->read_high = false;
    c->null_count = true;
    c->latched = 0;
    c->status_latched = false;
    c->frozen = 0;
    if (!n) {
        timer_cancel(&t->timer);
        irq_set(&t->irq, c->mode != 0);
    }
}

static void count_write(struct i8254 *t, unsigned n, uint8_t val)
{
    struct i8254_counter *c = &t->counter[n];

    switch (c->access) {
    case 1:
        counter_load(t, n, val);
        break;
    case 2:
        counter_load(t, n, (uint16_t)(val << 8));
        break;
    case 3:
        if (c->write_high) {
            counter_load(t, n, (uint16_t)(val << 8 | c->write_low));
        } else {
            c->write_low = val;
            if (c->mode == 0 && c->counting) {
                c->counting = false; /* the first byte stops mode 0 */
                if (!n) {
                    timer_cancel(&t->timer);
                    irq_set(&t->irq, false);
                }
            }
        }
        c->write_high = !c->write_high;
        break;
    }
}

static uint8_t count_read(struct i8254 *t, unsigned n)
{
    struct i8254_counter *c = &t->counter[n];
    uint16_t v = c->latched ? c->latch : counter_value(t, c);
    bool high = c->access == 2;

    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    if (c->access == 3) {
        high = c->read_high;
        c->read_high = !c->read_high;
    }
    if (c->latched)
        c->latched--;
    return high ? v >> 8 : (uint8_t)v;
}

static uint64_t i8254_read(void *dev, uint64_t off, unsigned width)
{
    (void)width;
    return off == 3 ? 0xff : count_read(dev, (unsigned)off);
}

static void i8254_write(void *dev, uint64_t off, unsigned width, uint64_t val)
{
    (void)width;
    if (off == 3)
        control_write(dev, (uint8_t)val);
    else
        count_write(dev, (unsigned)off, (uint8_t)val);
}

static uint64_t port61_read(void *dev, uint64_t off, unsigned width)
{
    struct i8254 *t = dev;

    (void)off;
    (void)width;
    t->refresh = !t->refresh;
    return t->speaker | (unsigned)t->refresh << 4 |
           (unsigned)counter_out(t, &t->counter[2]) << 5;
}

static void port61_write(void *dev, uint64_t off, unsigned width, uint64_t val)
{
    struct i8254 *t = dev;

    (void)off;
    (void)width;
    t->speaker = val & 3;
    counter_gate(t, 2, val & 1);
}

static const struct io_ops i8254_io = {i8254_read, i8254_write, 0, 1};
static const struct io_ops port61_io = {port61_read, port61_write, 0, 1};

static struct i8254 *pit_of(struct device *d)
{
    return container_of(d, struct i8254, dev);
}

static void i8254_reset(struct device *d)
{
    struct i8254 *t = pit_of(d);

    timer_cancel(&t->timer);
    for (unsigned i = 0; i < 3; i++)
        t->counter[i] = (struct i8254_counter){
            .access = 3, .mode = 3, .gate = i != 2, .null_count = true};
    t->speaker = 0;
    t->refresh = false;
    irq_set(&t->irq, false);
}

static void i8254_save(struct device *d, struct state_writer *w)
{
    struct i8254 *t = pit_of(d);

    /* One section a counter; the rest goes with the first. */
    for (unsigned i = 0; i < 3; i++) {
        const struct i8254_counter *c = &t->counter[i];

        state_begin(w, d->ops->name, d->instance * 3 + i, 1);
        state_put(w, "reload", c->reload);
        state_put(w, "mode", c->mode);
        state_put(w, "access", c->access);
        state_put(w, "bcd", c->bcd);
        state_put(w, "gate", c->gate);
        state_put(w, "counting", c->counting);
        state_put(w, "null_count", c->null_count);
        state_put(w, "write_high", c->write_high);
        state_put(w, "read_high", c->read_high);
        state_put(w, "write_low", c->write_low);
        state_put(w, "latched", c->latched);
        state_put(w, "latch", c->latch);
        state_put(w, "status_latched", c->status_latched);
        state_put(w, "status", c->status);
        state_put(w, "start", c->start);
        state_put(w, "frozen", c->frozen);
        state_put(w, "speaker", t->speaker);
        state_end(w);
    }
}

static void counter_get(struct i8254 *t, struct i8254_counter *c,
                        struct state_reader *r)
{
    c->reload = (uint16_t)state_get_max(r, "reload", 0xffff);
    c->mode = (uint8_t)state_get_max(r, "mode", 5);
    c->access = (uint8_t)state_get_max(r, "access", 3);
    c->bcd = state_get_max(r, "bcd", 1);
    c->gate = state_get_max(r, "gate", 1);
    c->counting = state_get_max(r, "counting", 1);
    c->null_count = state_get_max(r, "null_count", 1);
    c->write_high = state_get_max(r, "write_high", 1);
    c->read_high = state_get_max(r, "read_high", 1);
    c->write_low = (uint8_t)state_get_max(r, "write_low", 0xff);
    c->latched = (uint8_t)state_get_max(r, "latched", 2);
    c->latch = (uint16_t)state_get_max(r, "latch", 0xffff);
    c->status_latched = state_get_max(r, "status_latched", 1);
    c->status = (uint8_t)state_get_max(r, "status", 0xff);
    /* A start in the future would make the ticks negative. */
    c->start = state_get_max(r, "start", clock_now(t->clock));
    c->frozen = state_get_max(r, "frozen", UINT64_MAX >> 8);
    t->speaker = (uint8_t)state_get_max(r, "speaker", 3);
}

static int i8254_load(struct device *d, struct state_reader *r,
                      struct error *err)
{
    struct i8254 *t = pit_of(d);

    for (unsigned i = 0; i < 3; i++)
        if (state_open(r, d->ops->name, d->instance * 3 + i, 1))
            counter_get(t, &t->counter[i], r);
    if (state_result(r, err))
        return -err->code;
    irq0_arm(t);
    return 0;
}

static void i8254_fini(struct device *d)
{
    struct i8254 *t = pit_of(d);

    timer_cancel(&t->timer);
    io_remove(t->mem, IO_PORT, &t->regs);
    io_remove(t->mem, IO_PORT, &t->port61);
}

static const struct device_ops i8254_ops = {
    "i8254", i8254_reset, i8254_save, i8254_load, i8254_fini,
};

int i8254_init(struct i8254 *t, struct guest_mem *mem, struct loop *loop,
               struct irq_line irq, struct error *err)
{
    *t = (struct i8254){
        .dev = {&i8254_ops, 0},
        .mem = mem,
        .regs = {"i8254", 0x40, 4, &i8254_io, t},
        .port61 = {"port 0x61", 0x61, 1, &port61_io, t},
        .irq = irq,
        .clock = loop->clock,
    };
    timer_init(&t->timer, loop, irq0_fired);
    i8254_reset(&t->dev);
    if (io_add(mem, IO_PORT, &t->regs, err))
        return -err->code;
    if (io_add(mem, IO_PORT, &t->port61, err)) {
        io_remove(mem, IO_PORT, &t->regs);
        return -err->code;
    }
    return 0;
}
