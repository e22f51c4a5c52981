/* SPDX-License-Identifier: Apache-2.0 */
/* dev_chips.c - claims about the ISA chips, each with a line that counts. */
#include <unistd.h>

#include "dev/acpi_pm.h"
#include "dev/debug_exit.h"
#include "dev/i8042.h"
#include "dev/i8254.h"
#include "dev/mc146818.h"
#include "dev/ns16550.h"
#include "dev/port92.h"

#include "test.h"

/* 2024-02-29 12:34:56.5 UTC, a Thursday */
#define EPOCH 1709210096500000000ll

struct bench {
    struct clock clock;
    struct loop loop;
    struct guest_mem mem;
    struct error err;
    struct timer stop;
    bool level;
    unsigned rises, resets, shutdowns;
    uint32_t exit_value;
    struct board board;
    struct irq_line irq;
    char out[64];
    size_t out_room;
    struct chardev chr;
};

static void stop_fire(struct timer *t)
{
    loop_stop(t->loop);
}

static void line_set(void *ctx, unsigned pin, bool level)
{
    struct bench *b = ctx;

    (void)pin;
    b->rises += level && !b->level;
    b->level = level;
}

static void on_reset(void *ctx)
{
    ((struct bench *)ctx)->resets++;
}

static void on_shutdown(void *ctx)
{
    ((struct bench *)ctx)->shutdowns++;
}

static void on_exit_port(void *ctx, uint32_t val)
{
    ((struct bench *)ctx)->exit_value = val;
}

static const struct board_ops board_ops = {on_reset, on_shutdown, on_exit_port};

static size_t chr_write(struct chardev *c, const uint8_t *buf, size_t len)
{
    struct bench *b = container_of(c, struct bench, chr);
    size_t n = MIN(len, b->out_room);

    strncat(b->out, (const char *)buf, n);
    b->out_room -= n;
    return n;
}

static const struct chardev_ops chr_ops = {.write = chr_write};

static void up(struct bench *b)
{
    memset(b, 0, sizeof(*b));
    clock_start(&b->clock, 0);
    CHECK_EQ(loop_init(&b->loop, &b->clock, &b->err), 0);
    timer_init(&b->stop, &b->loop, stop_fire);
    CHECK_EQ(guest_mem_init(&b->mem, 1 * MiB, &b->loop.lock, &b->err), 0);
    b->board = (struct board){&board_ops, b};
    b->irq = (struct irq_line){line_set, b, 0};
    b->chr.ops = &chr_ops;
    b->out_room = 60;
}

static void down(struct bench *b, struct device *d)
{
    d->ops->fini(d);
    CHECK_EQ(b->mem.io[IO_PORT].count, 0);
    guest_mem_fini(&b->mem);
    loop_fini(&b->loop);
}

static uint64_t in(struct bench *b, uint16_t port, unsigned w)
{
    return io_read(&b->mem, IO_PORT, port, w);
}

static void out(struct bench *b, uint16_t port, uint32_t v)
{
    io_write(&b->mem, IO_PORT, port, 1, v);
}

/* So long, or longer on a busy host: how long in fact. */
static uint64_t run_ms(struct bench *b, uint64_t ms)
{
    uint64_t start = clock_now(&b->clock);

    timer_arm(&b->stop, start + ms * 1000000);
    loop_run(&b->loop);
    return (clock_now(&b->clock) - start) / 1000000;
}

static void reload(struct bench *b, struct device *d)
{
    struct state_writer *w = state_writer_new();
    struct state_reader *r;
    size_t len;
    const uint8_t *bytes;

    d->ops->save(d, w);
    d->ops->reset(d);
    bytes = state_writer_bytes(w, &len);
    r = state_reader_new(bytes, len, &b->err);
    CHECK(r && !d->ops->load(d, r, &b->err));
    state_reader_free(r);
    state_writer_free(w);
}

static void pit_periodic_interrupts_come_at_their_rate(void)
{
    struct bench b;
    struct i8254 t;
    uint64_t ms;

    up(&b);
    CHECK_EQ(i8254_init(&t, &b.mem, &b.loop, b.irq, &b.err), 0);
    out(&b, 0x43, 0x34); /* counter 0, mode 2 */
    out(&b, 0x40, 0xa9);
    out(&b, 0x40, 0x04); /* 1193: 1 kHz */
    b.rises = 0;
    ms = run_ms(&b, 50);
    CHECK(b.rises >= 5 && b.rises <= ms + 1);
    reload(&b, &t.dev);
    b.rises = 0;
    ms = run_ms(&b, 20);
    CHECK(b.rises >= 2 && b.rises <= ms + 1);
    out(&b, 0x43, 0x34);
    out(&b, 0x40, 1);
    out(&b, 0x40, 0); /* a megahertz: survives */
    run_ms(&b, 5);
    down(&b, &t.dev);
}

static void pit_counts_down_latches_and_reads_back(void)
{
    struct bench b;
    struct i8254 t;
    unsigned v, w, status;

    up(&b);
    CHECK_EQ(i8254_init(&t, &b.mem, &b.loop, b.irq, &b.err), 0);
    out(&b, 0x43, 0xb0); /* counter 2, mode 0 */
    out(&b, 0x61, 1);
    out(&b, 0x42, 0xff);
    out(&b, 0x42, 0xff);
    CHECK(!(in(&b, 0x61, 1) & 0x20));
    usleep(2000);
    out(&b, 0x43, 0x80); /* latch */
    usleep(1000);
    v = (unsigned)in(&b, 0x42, 1);
    v |= (unsigned)in(&b, 0x42, 1) << 8;
    w = (unsigned)in(&b, 0x42, 1);
    w |= (unsigned)in(&b, 0x42, 1) << 8;
    CHECK(0xffff - v >= 2386);
    CHECK(v - w >= 1193);
    out(&b, 0x43, 0xe8); /* status of counter 2 */
    status = (unsigned)in(&b, 0x42, 1);
    CHECK_EQ(status, 0x30);
    usleep(56000);
    CHECK(in(&b, 0x61, 1) & 0x20);
    out(&b, 0x61, 0); /* the gate closes: the count stands still */
    out(&b, 0x43, 0x80);
    v = (unsigned)in(&b, 0x42, 1);
    usleep(1000);
    in(&b, 0x42, 1);
    out(&b, 0x43, 0x80);
    CHECK_EQ(in(&b, 0x42, 1), v);
    down(&b, &t.dev);
}

static void pit_one_shot_rises_once(void)
{
    struct bench b;
    struct i8254 t;

    up(&b);
    CHECK_EQ(i8254_init(&t, &b.mem, &b.loop, b.irq, &b.err), 0);
    out(&b, 0x43, 0x30);
    CHECK(!b.level);
    out(&b, 0x40, 0x00);
    out(&b, 0x40, 0x10); /* 4096 ticks: 3.4 ms */
    b.rises = 0;
    run_ms(&b, 1);
    CHECK_EQ(b.rises, 0);
    run_ms(&b, 15);
    CHECK_EQ(b.rises, 1);
    down(&b, &t.dev);
}

static unsigned rtc(struct bench *b, unsigned reg)
{
    out(b, 0x70, reg);
    return (unsigned)in(b, 0x71, 1);
}

static void rtc_put(struct bench *b, unsigned reg, unsigned v)
{
    out(b, 0x70, reg);
    out(b, 0x71, v);
}

static void rtc_tells_and_takes_the_time(void)
{
    struct bench b;
    struct mc146818 c;

    up(&b);
    CHECK_EQ(mc146818_init(&c, &b.mem, &b.loop, b.irq, EPOCH, &b.err), 0);
    CHECK_EQ(rtc(&b, 0), 0x56);
    CHECK_EQ(rtc(&b, 2), 0x34);
    CHECK_EQ(rtc(&b, 4), 0x12);
    CHECK_EQ(rtc(&b, 6), 5);
    CHECK_EQ(rtc(&b, 7), 0x29);
    CHECK_EQ(rtc(&b, 8), 2);
    CHECK_EQ(rtc(&b, 9), 0x24);
    CHECK_EQ(rtc(&b, 0x32), 0x20);
    rtc_put(&b, 11, 0x86); /* SET, binary, 24 h */
    rtc_put(&b, 0, 1);
    rtc_put(&b, 2, 34);
    rtc_put(&b, 4, 23);
    rtc_put(&b, 0x32, 20);
    rtc_put(&b, 7, 31);
    rtc_put(&b, 8, 12);
    rtc_put(&b, 9, 99);
    rtc_put(&b, 11, 6);
    CHECK_EQ(rtc(&b, 4), 23);
    CHECK_EQ(rtc(&b, 6), 5); /* a Thursday: computed */
    rtc_put(&b, 11, 4);      /* 12 h */
    CHECK_EQ(rtc(&b, 4), 0x80 | 11);
    CHECK_EQ(rtc(&b, 9), 99);
    reload(&b, &c.dev);
    CHECK_EQ(rtc(&b, 8), 12);
    rtc_put(&b, 9, 0xff); /* nonsense does no harm */
    rtc_put(&b, 0x32, 0xff);
    rtc_put(&b, 8, 0xff);
    rtc(&b, 9);
    down(&b, &c.dev);
}

static void rtc_interrupts(void)
{
    struct bench b;
    struct mc146818 c;

    up(&b);
    CHECK_EQ(mc146818_init(&c, &b.mem, &b.loop, b.irq, EPOCH, &b.err), 0);
    rtc_put(&b, 11, 0x42); /* PIE at 1024 Hz */
    run_ms(&b, 10);
    CHECK(b.level);
    CHECK_EQ(rtc(&b, 12) & 0xc0, 0xc0);
    CHECK(!b.level);
    rtc_put(&b, 11, 0x12); /* UIE; half a second to go */
    b.rises = 0;
    run_ms(&b, 550);
    CHECK_EQ(b.rises, 1);
    CHECK_EQ(rtc(&b, 12) & 0x90, 0x90);
    rtc_put(&b, 1, 0xff);
    rtc_put(&b, 3, 0xff);
    rtc_put(&b, 5, 0xff);
    rtc_put(&b, 11, 0x22); /* AIE, any second */
    run_ms(&b, 1050);
    CHECK_EQ(rtc(&b, 12) & 0xa0, 0xa0);
    down(&b, &c.dev);
}

static void uart_transmits_with_back_pressure(void)
{
    struct bench b;
    struct ns16550 u;

    up(&b);
    CHECK_EQ(ns16550_init(&u, 0, &b.mem, &b.loop, 0x3f8, b.irq, &b.chr, &b.err),
             0);
    out(&b, 0x3fa, 1);
    out(&b, 0x3fc, 0x0b);
    out(&b, 0x3f9, 2);
    CHECK(b.level);
    CHECK_EQ(in(&b, 0x3fa, 1), 0xc2);
    CHECK(!b.level);
    out(&b, 0x3f8, 'a');
    CHECK(b.level);
    b.out_room = 0;
    out(&b, 0x3f8, 'b');
    CHECK(!b.level);
    CHECK_EQ(in(&b, 0x3fd, 1) & 0x60, 0);
    reload(&b, &u.dev);
    CHECK_EQ(in(&b, 0x3fd, 1) & 0x60, 0);
    b.out_room = 10;
    chardev_writable(&b.chr);
    CHECK(b.level);
    CHECK_EQ(in(&b, 0x3fd, 1) & 0x60, 0x60);
    CHECK(!strcmp(b.out, "ab"));
    down(&b, &u.dev);
}

static void uart_receives_by_trigger_and_timeout(void)
{
    struct bench b;
    struct ns16550 u;

    up(&b);
    CHECK_EQ(ns16550_init(&u, 0, &b.mem, &b.loop, 0x3f8, b.irq, &b.chr, &b.err),
             0);
    CHECK_EQ(chardev_room(&b.chr), 0); /* nobody listens yet */
    out(&b, 0x3fa, 0x41);              /* trigger at 4 */
    out(&b, 0x3fc, 0x0b);
    out(&b, 0x3f9, 1);
    CHECK_EQ(chardev_room(&b.chr), 16);
    chardev_receive(&b.chr, (const uint8_t *)"xyz", 3);
    CHECK(!b.level);
    run_ms(&b, 30);
    CHECK(b.level);
    CHECK_EQ(in(&b, 0x3fa, 1), 0xcc);
    CHECK_EQ(in(&b, 0x3f8, 1), 'x');
    CHECK(!b.level);
    chardev_receive(&b.chr, (const uint8_t *)"12", 2);
    CHECK(b.level);
    CHECK_EQ(in(&b, 0x3fa, 1), 0xc4);
    out(&b, 0x3f9, 5);
    for (int i = 0; i < 4; i++)
        in(&b, 0x3f8, 1);
    chardev_break(&b.chr);
    CHECK_EQ(in(&b, 0x3fa, 1), 0xc6);
    CHECK_EQ(in(&b, 0x3fd, 1) & 0x11, 0x11);
    CHECK_EQ(in(&b, 0x3f8, 1), 0);
    down(&b, &u.dev);
}

/* Firmware and boot loaders: FIFO on, no interrupts, no DTR. */
static void uart_sees_who_polls(void)
{
    struct ns16550 u;
    struct bench b;

    up(&b);
    CHECK_EQ(ns16550_init(&u, 0, &b.mem, &b.loop, 0x3f8, b.irq, &b.chr, &b.err),
             0);
    out(&b, 0x3fa, 1);
    for (int i = 0; i < 7; i++)
        in(&b, 0x3fd, 1);
    CHECK(!chardev_polled(&b.chr));
    CHECK_EQ(chardev_room(&b.chr), 0);
    out(&b, 0x3f8, 'x'); /* it was for the transmitter */
    for (int i = 0; i < 7; i++)
        in(&b, 0x3fd, 1);
    CHECK(!chardev_polled(&b.chr));
    in(&b, 0x3fd, 1);
    CHECK(chardev_polled(&b.chr));
    CHECK_EQ(chardev_room(&b.chr), 16);
    chardev_receive(&b.chr, (const uint8_t *)"k", 1);
    CHECK_EQ(in(&b, 0x3fd, 1) & 1, 1);
    CHECK_EQ(in(&b, 0x3f8, 1), 'k');
    CHECK(chardev_polled(&b.chr)); /* and goes on */
    in(&b, 0x3fa, 1);              /* IIR: a driver */
    CHECK(!chardev_polled(&b.chr));
    reload(&b, &u.dev);
    for (int i = 0; i < 8; i++)
        in(&b, 0x3fd, 1);
    reload(&b, &u.dev);
    CHECK(chardev_polled(&b.chr));
    down(&b, &u.dev);
}

static void uart_loops_back(void)
{
    struct bench b;
    struct ns16550 u;

    up(&b);
    CHECK_EQ(ns16550_init(&u, 0, &b.mem, &b.loop, 0x3f8, b.irq, &b.chr, &b.err),
             0);
    out(&b, 0x3fc, 0x1a);
    CHECK_EQ(in(&b, 0x3fe, 1) & 0xf0, 0x90);
    out(&b, 0x3f8, 0x5a);
    CHECK_EQ(in(&b, 0x3fd, 1) & 1, 1);
    CHECK_EQ(in(&b, 0x3f8, 1), 0x5a);
    out(&b, 0x3ff, 0x77);
    CHECK_EQ(in(&b, 0x3ff, 1), 0x77);
    CHECK(!b.out[0]);
    down(&b, &u.dev);
}

static void acpi_button_sleep_and_timer(void)
{
    struct bench b;
    struct acpi_pm pm;
    uint32_t t0, t1;

    up(&b);
    CHECK_EQ(acpi_pm_init(&pm, &b.mem, &b.loop, b.irq, &b.board, &b.err), 0);
    CHECK_EQ(in(&b, ACPI_PM1_CNT, 2), 1);
    CHECK(!acpi_pm_power_button(&pm));
    CHECK(!b.level);
    io_write(&b.mem, IO_PORT, ACPI_PM1_EVT + 2, 2, 0x100);
    CHECK(b.level);
    CHECK_EQ(in(&b, ACPI_PM1_EVT, 4), 0x01000100);
    io_write(&b.mem, IO_PORT, ACPI_PM1_EVT, 2, 0x100);
    CHECK(!b.level);
    CHECK(acpi_pm_power_button(&pm));
    reload(&b, &pm.dev);
    CHECK(b.level);
    t0 = (uint32_t)in(&b, ACPI_PM_TMR, 4);
    usleep(2000);
    t1 = (uint32_t)in(&b, ACPI_PM_TMR, 4);
    CHECK(t1 - t0 >= 7159 && t1 - t0 < 3579545);
    io_write(&b.mem, IO_PORT, ACPI_PM1_CNT, 2, 5 << 10);
    CHECK_EQ(b.shutdowns, 0);
    io_write(&b.mem, IO_PORT, ACPI_PM1_CNT, 2, 5 << 10 | 1 << 13);
    CHECK_EQ(b.shutdowns, 1);
    down(&b, &pm.dev);
}

static void reset_lines_and_debug_exit(void)
{
    struct bench b;
    struct i8042 k;
    struct port92 p;
    struct debug_exit e;

    up(&b);
    CHECK_EQ(i8042_init(&k, &b.mem, &b.board, &b.err), 0);
    CHECK_EQ(port92_init(&p, &b.mem, &b.board, &b.err), 0);
    CHECK_EQ(debug_exit_init(&e, &b.mem, &b.board, &b.err), 0);
    out(&b, 0x64, 0xaa);
    CHECK_EQ(in(&b, 0x64, 1) & 1, 1);
    CHECK_EQ(in(&b, 0x60, 1), 0x55);
    CHECK_EQ(in(&b, 0x64, 1) & 1, 0);
    out(&b, 0x60, 0xff); /* a keyboard that is not there */
    CHECK_EQ(in(&b, 0x64, 1) & 0x41, 0x41);
    CHECK_EQ(in(&b, 0x60, 1), 0xfe);
    out(&b, 0x64, 0xfe);
    CHECK_EQ(b.resets, 1);
    out(&b, 0x92, 2);
    CHECK_EQ(b.resets, 1);
    out(&b, 0x92, 3);
    CHECK_EQ(b.resets, 2);
    io_write(&b.mem, IO_PORT, 0xf4, 4, 0x12345678);
    CHECK_EQ(b.exit_value, 0x12345678);
    out(&b, 0xf4, 7);
    CHECK_EQ(b.exit_value, 7);
    reload(&b, &k.dev);
    reload(&b, &p.dev);
    reload(&b, &e.dev);
    k.dev.ops->fini(&k.dev);
    p.dev.ops->fini(&p.dev);
    down(&b, &e.dev);
}

int main(void)
{
    RUN(pit_periodic_interrupts_come_at_their_rate);
    RUN(pit_counts_down_latches_and_reads_back);
    RUN(pit_one_shot_rises_once);
    RUN(rtc_tells_and_takes_the_time);
    RUN(rtc_interrupts);
    RUN(uart_transmits_with_back_pressure);
    RUN(uart_receives_by_trigger_and_timeout);
    RUN(uart_sees_who_polls);
    RUN(uart_loops_back);
    RUN(acpi_button_sleep_and_timer);
    RUN(reset_lines_and_debug_exit);
    return test_status();
}
