/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mc146818.c - real-time clock, after Motorola's data sheet.
 *
 * The time is the machine's clock plus an offset, and is turned into the
 * registers when they are read; while SET is on, the registers are plain
 * memory. Host timers run only for interrupts that are enabled.
 */
#include "dev/mc146818.h"

#include <time.h>

#define NS_PER_SEC 1000000000ll

enum {
    REG_SEC,
    REG_SEC_ALARM,
    REG_MIN,
    REG_MIN_ALARM,
    REG_HOUR,
    REG_HOUR_ALARM,
    REG_WDAY,
    REG_MDAY,
    REG_MONTH,
    REG_YEAR,
    REG_A,
    REG_B,
    REG_C,
    REG_D
};
enum { A_UIP = 0x80 };
enum {
    B_24H = 2,
    B_BINARY = 4,
    B_UIE = 0x10,
    B_AIE = 0x20,
    B_PIE = 0x40,
    B_SET = 0x80
};
enum { C_UF = 0x10, C_AF = 0x20, C_PF = 0x40, C_IRQF = 0x80 };
enum { D_VRT = 0x80 };

/* The oscillator runs, 1024 Hz: what firmware leaves behind. */
#define REG_A_DEFAULT 0x26

/* Sums of both and the clock stay far from overflow. */
#define EPOCH_MAX  (INT64_MAX / 4) /* 2043 */
#define OFFSET_MAX (INT64_MAX / 2)

/* UIP rises that long before the update [data sheet, t_BUC]. */
#define UIP_NS 244000ll

static int64_t rtc_ns(const struct mc146818 *c)
{
    return c->epoch + c->offset + (int64_t)clock_now(c->clock);
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t rtc_seconds(const struct mc146818 *c)
{
    return floor_div(rtc_ns(c), NS_PER_SEC);
}

static uint8_t rtc_encode(const struct mc146818 *c, int v)
{
    return (uint8_t)(c->ram[REG_B] & B_BINARY ? v : v / 10 << 4 | v % 10);
}

static int rtc_decode(const struct mc146818 *c, uint8_t v)
{
    return c->ram[REG_B] & B_BINARY ? v : (v >> 4) * 10 + (v & 15);
}

static uint8_t hour_encode(const struct mc146818 *c, int hour)
{
    if (c->ram[REG_B] & B_24H)
        return rtc_encode(c, hour);
    return rtc_encode(c, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? 0x80 : 0);
}

static int hour_decode(const struct mc146818 *c, uint8_t v)
{
    if (c->ram[REG_B] & B_24H)
        return rtc_decode(c, v);
    return rtc_decode(c, v & 0x7f) % 12 + (v & 0x80 ? 12 : 0);
}

/* Brings the time registers up to date, unless the guest is setting them. */
static void rtc_fill(struct mc146818 *c)
{
    time_t now = (time_t)rtc_seconds(c);
    struct tm tm;

    if ((c->ram[REG_B] & B_SET) || !gmtime_r(&now, &tm))
        return;
    c->ram[REG_SEC] = rtc_encode(c, tm.tm_sec);
    c->ram[REG_MIN] = rtc_encode(c, tm.tm_min);
    c->ram[REG_HOUR] = hour_encode(c, tm.tm_hour);
    c->ram[REG_WDAY] = rtc_encode(c, tm.tm_wday + 1);
    c->ram[REG_MDAY] = rtc_encode(c, tm.tm_mday);
    c->ram[REG_MONTH] = rtc_encode(c, tm.tm_mon + 1);
    /* tm_year is negative where a guest has set the 19th century. */
    c->ram[REG_YEAR] = rtc_encode(c, (tm.tm_year + 1900) % 100);
    c->ram[MC146818_CENTURY] = rtc_encode(c, (tm.tm_year + 1900) / 100);
}

/* Makes what the time registers say the time. */
static void rtc_take(struct mc146818 *c)
{
    struct tm tm = {
        .tm_sec = rtc_decode(c, c->ram[REG_SEC]),
        .tm_min = rtc_decode(c, c->ram[REG_MIN]),
        .tm_hour = hour_decode(c, c->ram[REG_HOUR]),
        .tm_mday = rtc_decode(c, c->ram[REG_MDAY]),
        .tm_mon = rtc_decode(c, c->ram[REG_MONTH]) - 1,
        .tm_year = rtc_decode(c, c->ram[MC146818_CENTURY]) * 100 - 1900 +
                   rtc_decode(c, c->ram[REG_YEAR]),
    };
    int64_t s = (int64_t)timegm(&tm), ns;

    /* Years beyond what ns can say: the guest asked for nonsense. */
    if (__builtin_mul_overflow(s, NS_PER_SEC, &ns) ||
        __builtin_sub_overflow(ns, c->epoch + (int64_t)clock_now(c->clock),
                               &ns))
        return;
    c->offset = MAX(MIN(ns, OFFSET_MAX), -OFFSET_MAX);
    c->update_seen = rtc_seconds(c);
}

static void rtc_update_irq(struct mc146818 *c)
{
    uint8_t *regc = &c->ram[REG_C];

    *regc &= (uint8_t)~C_IRQF;
    if (*regc & c->ram[REG_B] & (C_PF | C_AF | C_UF))
        *regc |= C_IRQF;
    irq_set(&c->irq, *regc & C_IRQF);
}

static uint64_t periodic_ns(const struct mc146818 *c)
{
    unsigned rs = c->ram[REG_A] & 15;

    if (!rs)
        return 0;
    /* Rates 1 and 2 are those of 8 and 9 [data sheet, table 5]. */
    return (1000000000ull << ((rs < 3 ? rs + 7 : rs) - 1)) / 32768;
}

static void rtc_arm(struct mc146818 *c)
{
    uint64_t now = clock_now(c->clock), period = periodic_ns(c);
    uint8_t regb = c->ram[REG_B];
    int64_t into = rtc_ns(c) - rtc_seconds(c) * NS_PER_SEC;

    if (!(regb & B_PIE) || !period)
        timer_cancel(&c->periodic);
    else if (!timer_armed(&c->periodic))
        timer_arm(&c->periodic, (now / period + 1) * period);

    if (!(regb & (B_UIE | B_AIE)) || (regb & B_SET))
        timer_cancel(&c->second);
    else
        timer_arm(&c->second, now + (uint64_t)(NS_PER_SEC - into));
}

static void periodic_fired(struct timer *t)
{
    struct mc146818 *c = container_of(t, struct mc146818, periodic);

    c->ram[REG_C] |= C_PF;
    rtc_arm(c);
    rtc_update_irq(c);
}

static bool alarm_matches(struct mc146818 *c)
{
    static const uint8_t reg[3] = {REG_SEC, REG_MIN, REG_HOUR};

    rtc_fill(c);
    for (unsigned i = 0; i < 3; i++) {
        uint8_t want = c->ram[reg[i] + 1];

        /* 0xc0 and above: any */
        if (want < 0xc0 && want != c->ram[reg[i]])
            return false;
    }
    return true;
}

static void second_fired(struct timer *t)
{
    struct mc146818 *c = container_of(t, struct mc146818, second);

    c->ram[REG_C] |= C_UF;
    c->update_seen = rtc_seconds(c);
    if (alarm_matches(c))
        c->ram[REG_C] |= C_AF;
    rtc_arm(c);
    rtc_update_irq(c);
}

/* Reading C tells what happened since the last time, and clears it. */
static uint8_t rtc_read_c(struct mc146818 *c)
{
    int64_t now = rtc_seconds(c);
    uint8_t v;

    if (now != c->update_seen && !(c->ram[REG_B] & B_SET))
        c->ram[REG_C] |= C_UF;
    c->update_seen = now;
    v = c->ram[REG_C];
    c->ram[REG_C] = 0;
    rtc_update_irq(c);
    return v;
}

static bool is_time(unsigned reg)
{
    return reg == REG_SEC || reg == REG_MIN || reg == REG_HOUR ||
           (reg >= REG_WDAY && reg <= REG_YEAR) || reg == MC146818_CENTURY;
}

static uint8_t rtc_reg_read(struct mc146818 *c)
{
    switch (c->index) {
    case REG_A:
        if (!(c->ram[REG_B] & B_SET) &&
            rtc_ns(c) - rtc_seconds(c) * NS_PER_SEC >= NS_PER_SEC - UIP_NS)
            return c->ram[REG_A] | A_UIP;
        return c->ram[REG_A];
    case REG_C:
        return rtc_read_c(c);
    case REG_D:
        return D_VRT;
    }
    if (is_time(c->index))
        rtc_fill(c);
    return c->ram[c->index];
}

static void rtc_reg_write(struct mc146818 *c, uint8_t val)
{
    uint8_t old = c->ram[c->index];

    switch (c->index) {
    case REG_A:
        c->ram[REG_A] = val & 0x7f;
        timer_cancel(&c->periodic);
        break;
    case REG_B:
        rtc_fill(c);
        if (val & B_SET)
            val &= (uint8_t)~B_UIE; /* as the chip does */
        c->ram[REG_B] = val;
        if ((old & B_SET) && !(val & B_SET))
            rtc_take(c);
        rtc_update_irq(c);
        break;
    case REG_C:
    case REG_D:
        return;
    default:
        if (!is_time(c->index)) {
            c->ram[c->index] = val;
            return;
        }
        rtc_fill(c);
        c->ram[c->index] = val;
        if (!(c->ram[REG_B] & B_SET))
            rtc_take(c);
    }
    rtc_arm(c);
}

static uint64_t mc146818_read(void *dev, uint64_t off, unsigned width)
{
    (void)width;
    return off ? rtc_reg_read(dev) : 0xff; /* the index is write-only */
}

static void mc146818_write(void *dev, uint64_t off, unsigned width,
                           uint64_t val)
{
    struct mc146818 *c = dev;

    (void)width;
    if (off)
        rtc_reg_write(c, (uint8_t)val);
    else
        c->index = val & (MC146818_LEN - 1); /* bit 7 masks NMI */
}

static const struct io_ops mc146818_io = {mc146818_read, mc146818_write, 0, 1};

static struct mc146818 *rtc_of(struct device *d)
{
    return container_of(d, struct mc146818, dev);
}

/* The battery keeps time and memory; RESET clears interrupts. */
static void mc146818_reset(struct device *d)
{
    struct mc146818 *c = rtc_of(d);

    c->index = 0;
    c->ram[REG_A] = REG_A_DEFAULT;
    if (c->ram[REG_B] & B_SET)
        rtc_take(c);
    c->ram[REG_B] = B_24H;
    c->ram[REG_C] = 0;
    c->update_seen = rtc_seconds(c);
    rtc_arm(c);
    rtc_update_irq(c);
}

void mc146818_set(struct mc146818 *c, unsigned index, uint8_t val)
{
    if (index > REG_D && index < MC146818_LEN)
        c->ram[index] = val;
}

static void mc146818_save(struct device *d, struct state_writer *w)
{
    struct mc146818 *c = rtc_of(d);

    state_begin(w, d->ops->name, d->instance, 1);
    state_put(w, "index", c->index);
    state_put_blob(w, "ram", c->ram, sizeof(c->ram));
    state_put(w, "epoch", (uint64_t)c->epoch);
    state_put(w, "offset", (uint64_t)c->offset);
    state_put(w, "update_seen", (uint64_t)c->update_seen);
    state_end(w);
}

static int mc146818_load(struct device *d, struct state_reader *r,
                         struct error *err)
{
    struct mc146818 *c = rtc_of(d);

    state_open(r, d->ops->name, d->instance, 1);
    c->index = (uint8_t)state_get_max(r, "index", MC146818_LEN - 1);
    state_get_blob(r, "ram", c->ram, sizeof(c->ram));
    c->epoch = (int64_t)state_get(r, "epoch");
    c->offset = (int64_t)state_get(r, "offset");
    c->update_seen = (int64_t)state_get(r, "update_seen");
    if (state_result(r, err))
        return -err->code;
    c->epoch = MAX(MIN(c->epoch, EPOCH_MAX), -EPOCH_MAX);
    c->offset = MAX(MIN(c->offset, OFFSET_MAX), -OFFSET_MAX);
    timer_cancel(&c->periodic);
    rtc_arm(c);
    rtc_update_irq(c);
    return 0;
}

static void mc146818_fini(struct device *d)
{
    struct mc146818 *c = rtc_of(d);

    timer_cancel(&c->periodic);
    timer_cancel(&c->second);
    io_remove(c->mem, IO_PORT, &c->regs);
}

static const struct device_ops mc146818_ops = {
    "mc146818", mc146818_reset, mc146818_save, mc146818_load, mc146818_fini,
};

int mc146818_init(struct mc146818 *c, struct guest_mem *mem, struct loop *loop,
                  struct irq_line irq, int64_t epoch_ns, struct error *err)
{
    *c = (struct mc146818){
        .dev = {&mc146818_ops, 0},
        .mem = mem,
        .regs = {"mc146818", 0x70, 2, &mc146818_io, c},
        .irq = irq,
        .clock = loop->clock,
        .epoch = MAX(MIN(epoch_ns, EPOCH_MAX), -EPOCH_MAX),
    };
    timer_init(&c->periodic, loop, periodic_fired);
    timer_init(&c->second, loop, second_fired);
    mc146818_reset(&c->dev);
    return io_add(mem, IO_PORT, &c->regs, err);
}
