/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ns16550.c - NS16550A, after National's data sheet.
 *
 * Characters take no time to go out: THR is empty as soon as the back-end
 * takes them, and the transmit FIFO only fills while it does not.
 */
#include "dev/ns16550.h"

#include <string.h>

enum { IER_RDI = 1, IER_THRI = 2, IER_RLSI = 4, IER_MSI = 8 };
enum {
    IIR_NONE = 1,
    IIR_MSI = 0,
    IIR_THRI = 2,
    IIR_RDI = 4,
    IIR_RLSI = 6,
    IIR_TIMEOUT = 0xc,
    IIR_FIFO = 0xc0
};
enum { FCR_ENABLE = 1, FCR_RX_CLEAR = 2, FCR_TX_CLEAR = 4 };
enum { LCR_BREAK = 0x40, LCR_DLAB = 0x80 };
enum { MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 0x10 };
enum {
    LSR_DR = 1,
    LSR_OE = 2,
    LSR_BI = 0x10,
    LSR_THRE = 0x20,
    LSR_TEMT = 0x40,
    LSR_FIFO_ERROR = 0x80
};
enum { MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80 };

#define MSR_CONNECTED (MSR_CTS | MSR_DSR | MSR_DCD)

/*
 * So many make a guest one that polls. A driver with interrupts looks once or
 * twice, and between two looks writes something.
 */
#define POLLS 8

static unsigned rx_room(const struct ns16550 *u)
{
    return (u->fcr & FCR_ENABLE ? NS16550_FIFO : 1u) - u->rx_len;
}

static unsigned rx_trigger(const struct ns16550 *u)
{
    static const uint8_t level[4] = {1, 4, 8, 14};

    return u->fcr & FCR_ENABLE ? level[u->fcr >> 6] : 1;
}

static bool head_is_break(const struct ns16550 *u)
{
    return u->rx_len && (u->rx_break >> u->rx_head & 1);
}

static uint8_t uart_iir(const struct ns16550 *u)
{
    if ((u->ier & IER_RLSI) && (u->lsr_errors || head_is_break(u)))
        return IIR_RLSI;
    if ((u->ier & IER_RDI) && u->rx_len >= rx_trigger(u))
        return IIR_RDI;
    if ((u->ier & IER_RDI) && u->timeout_pending && u->rx_len)
        return IIR_TIMEOUT;
    if ((u->ier & IER_THRI) && u->thre_pending)
        return IIR_THRI;
    if ((u->ier & IER_MSI) && (u->msr & 0x0f))
        return IIR_MSI;
    return IIR_NONE;
}

/* OUT2 gates the interrupt line on a PC. */
static void uart_update(struct ns16550 *u)
{
    irq_set(&u->irq, uart_iir(u) != IIR_NONE && (u->mcr & MCR_OUT2) &&
                         !(u->mcr & MCR_LOOP));
}

/* Four characters' time without any traffic [data sheet, 8.6]. */
static void timeout_start(struct ns16550 *u)
{
    uint64_t ns = 40ull * 8681 * (u->divisor ? u->divisor : 1);

    u->timeout_pending = false;
    timer_cancel(&u->timeout);
    if ((u->fcr & FCR_ENABLE) && u->rx_len && u->rx_len < rx_trigger(u))
        timer_arm(&u->timeout,
                  clock_now(u->timeout.loop->clock) + MIN(ns, 50000000ull));
}

static void timeout_fired(struct timer *t)
{
    struct ns16550 *u = container_of(t, struct ns16550, timeout);

    u->timeout_pending = u->rx_len != 0;
    uart_update(u);
}

static void rx_push(struct ns16550 *u, uint8_t c, bool is_break)
{
    unsigned slot = (u->rx_head + u->rx_len) % NS16550_FIFO;

    if (!rx_room(u)) {
        u->lsr_errors |= LSR_OE;
        return;
    }
    u->rx[slot] = c;
    u->rx_break &= (uint16_t) ~(1u << slot);
    u->rx_break |= (uint16_t)((unsigned)is_break << slot);
    u->rx_len++;
    timeout_start(u);
}

static uint8_t rx_pop(struct ns16550 *u)
{
    uint8_t c;

    if (!u->rx_len)
        return 0;
    c = u->rx[u->rx_head];
    u->rx_head = (u->rx_head + 1) % NS16550_FIFO;
    u->rx_len--;
    timeout_start(u);
    return c;
}

static void rx_clear(struct ns16550 *u)
{
    u->rx_head = u->rx_len = 0;
    u->rx_break = 0;
    u->timeout_pending = false;
    timer_cancel(&u->timeout);
}

/*
 * Input waits until somebody will fetch it: what comes while the guest still
 * probes the port would be lost when it clears the FIFO. A guest that polls
 * has raised DTR and left the FIFO alone, or just polls.
 */
static bool uart_polled(void *ctx)
{
    const struct ns16550 *u = ctx;

    return u->polls == POLLS && !(u->ier & IER_RDI) && !(u->mcr & MCR_LOOP);
}

static size_t uart_can_receive(void *ctx)
{
    struct ns16550 *u = ctx;
    bool polls = (u->mcr & MCR_DTR) && !(u->fcr & FCR_ENABLE);

    if ((u->mcr & MCR_LOOP) ||
        !((u->ier & IER_RDI) || polls || uart_polled(ctx)))
        return 0;
    return rx_room(u);
}

static void uart_receive(void *ctx, const uint8_t *buf, size_t len)
{
    struct ns16550 *u = ctx;

    for (size_t i = 0; i < len; i++)
        rx_push(u, buf[i], false);
    uart_update(u);
}

static void uart_break(void *ctx)
{
    struct ns16550 *u = ctx;

    if (!rx_room(u) || (u->mcr & MCR_LOOP))
        return;
    rx_push(u, 0, true);
    uart_update(u);
}

/* Offers the back-end what waits. */
static void tx_flush(struct ns16550 *u)
{
    size_t n = chardev_write(u->chr, u->tx, u->tx_len);

    u->tx_len -= (uint8_t)n;
    memmove(u->tx, u->tx + n, u->tx_len);
    if (!u->tx_len)
        u->thre_pending = true;
}

static void uart_writable(void *ctx)
{
    struct ns16550 *u = ctx;

    if (u->tx_len)
        tx_flush(u);
    uart_update(u);
}

static const struct chardev_client uart_client = {
    .can_receive = uart_can_receive,
    .polled = uart_polled,
    .receive = uart_receive,
    .writable = uart_writable,
    .send_break = uart_break,
};

static void thr_write(struct ns16550 *u, uint8_t c)
{
    unsigned room = u->fcr & FCR_ENABLE ? NS16550_FIFO : 1;

    u->thre_pending = false;
    if (u->mcr & MCR_LOOP) {
        rx_push(u, c, false);
        u->thre_pending = true;
        return;
    }
    if (u->tx_len >= room)
        return; /* overrun: the guest did not look at THRE */
    u->tx[u->tx_len++] = c;
    if (u->tx_len == 1)
        tx_flush(u);
}

static void ier_write(struct ns16550 *u, uint8_t val)
{
    bool thri = (val & IER_THRI) && !(u->ier & IER_THRI);

    u->ier = val & 0x0f;
    if (thri && !u->tx_len)
        u->thre_pending = true;
    chardev_can_accept(u->chr);
}

static void fcr_write(struct ns16550 *u, uint8_t val)
{
    if ((val ^ u->fcr) & FCR_ENABLE)
        val |= FCR_RX_CLEAR | FCR_TX_CLEAR;
    /* The other bits only count with the enable bit. */
    u->fcr = val & FCR_ENABLE ? val & 0xc9 : 0;
    if (val & FCR_RX_CLEAR)
        rx_clear(u);
    if ((val & FCR_TX_CLEAR) && u->tx_len) {
        u->tx_len = 0;
        u->thre_pending = true;
    }
    chardev_can_accept(u->chr);
}

/* New levels on the modem's lines set the delta bits. */
static void modem_lines(struct ns16550 *u, uint8_t lines)
{
    uint8_t diff = (u->msr ^ lines) & 0xf0;
    uint8_t delta = diff >> 4;

    /* TERI: only the trailing edge of RI counts. */
    if ((diff & MSR_RI) && (lines & MSR_RI))
        delta &= (uint8_t)~4;
    u->msr = lines | (u->msr & 0x0f) | delta;
}

static void mcr_write(struct ns16550 *u, uint8_t val)
{
    u->mcr = val & 0x1f;
    if (u->mcr & MCR_LOOP)
        modem_lines(u, (uint8_t)((val & MCR_RTS ? MSR_CTS : 0) |
                                 (val & MCR_DTR ? MSR_DSR : 0) |
                                 (val & MCR_OUT1 ? MSR_RI : 0) |
                                 (val & MCR_OUT2 ? MSR_DCD : 0)));
    else
        modem_lines(u, MSR_CONNECTED);
    chardev_can_accept(u->chr);
}

/* What waits for a reader comes in time for this very look. */
static void poll_count(struct ns16550 *u)
{
    if (u->rx_len || u->tx_len || u->polls == POLLS)
        return;
    if (++u->polls == POLLS)
        chardev_can_accept(u->chr);
}

static uint8_t lsr_read(struct ns16550 *u)
{
    uint8_t v = u->lsr_errors;

    poll_count(u);
    if (u->rx_len)
        v |= LSR_DR;
    if (head_is_break(u)) {
        v |= LSR_BI;
        u->rx_break &= (uint16_t) ~(1u << u->rx_head);
    }
    if ((u->fcr & FCR_ENABLE) && (u->rx_break && u->rx_len))
        v |= LSR_FIFO_ERROR;
    if (!u->tx_len)
        v |= LSR_THRE | LSR_TEMT;
    u->lsr_errors = 0;
    return v;
}

static uint8_t iir_read(struct ns16550 *u)
{
    uint8_t v = uart_iir(u);

    u->polls = 0; /* it has a handler */
    if (v == IIR_THRI)
        u->thre_pending = false;
    return v | (u->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static uint8_t uart_reg_read(struct ns16550 *u, unsigned reg)
{
    uint8_t v;

    switch (reg) {
    case 0:
        if (u->lcr & LCR_DLAB)
            return (uint8_t)u->divisor;
        v = rx_pop(u);
        chardev_can_accept(u->chr);
        return v;
    case 1:
        return u->lcr & LCR_DLAB ? u->divisor >> 8 : u->ier;
    case 2:
        return iir_read(u);
    case 3:
        return u->lcr;
    case 4:
        return u->mcr;
    case 5:
        return lsr_read(u);
    case 6:
        v = u->msr;
        u->msr &= 0xf0;
        return v;
    default:
        return u->scr;
    }
}

static uint64_t uart_read(void *dev, uint64_t off, unsigned width)
{
    struct ns16550 *u = dev;
    uint8_t v = uart_reg_read(u, (unsigned)off);

    (void)width;
    uart_update(u);
    return v;
}

static void uart_write(void *dev, uint64_t off, unsigned width, uint64_t val)
{
    struct ns16550 *u = dev;
    uint8_t v = (uint8_t)val;

    (void)width;
    u->polls = 0;
    switch (off) {
    case 0:
        if (u->lcr & LCR_DLAB)
            u->divisor = (u->divisor & 0xff00) | v;
        else
            thr_write(u, v);
        break;
    case 1:
        if (u->lcr & LCR_DLAB)
            u->divisor = (uint16_t)((u->divisor & 0xff) | v << 8);
        else
            ier_write(u, v);
        break;
    case 2:
        fcr_write(u, v);
        break;
    case 3:
        /* Looped back, a break is received as one. */
        if ((v & ~u->lcr & LCR_BREAK) && (u->mcr & MCR_LOOP))
            rx_push(u, 0, true);
        u->lcr = v;
        break;
    case 4:
        mcr_write(u, v);
        break;
    case 7:
        u->scr = v;
        break;
    }
    uart_update(u);
}

static const struct io_ops uart_ops = {uart_read, uart_write, 0, 1};

static struct ns16550 *uart_of(struct device *d)
{
    return container_of(d, struct ns16550, dev);
}

static void ns16550_reset(struct device *d)
{
    struct ns16550 *u = uart_of(d);

    rx_clear(u);
    u->divisor = 12;
    u->ier = u->fcr = u->lcr = u->mcr = u->scr = u->lsr_errors = 0;
    u->msr = MSR_CONNECTED;
    u->thre_pending = false;
    u->tx_len = u->polls = 0;
    uart_update(u);
}

static void ns16550_save(struct device *d, struct state_writer *w)
{
    struct ns16550 *u = uart_of(d);

    state_begin(w, d->ops->name, d->instance, 1);
    state_put(w, "divisor", u->divisor);
    state_put(w, "ier", u->ier);
    state_put(w, "fcr", u->fcr);
    state_put(w, "lcr", u->lcr);
    state_put(w, "mcr", u->mcr);
    state_put(w, "scr", u->scr);
    state_put(w, "lsr_errors", u->lsr_errors);
    state_put(w, "msr", u->msr);
    state_put(w, "thre_pending", u->thre_pending);
    state_put(w, "timeout_pending", u->timeout_pending);
    state_put(w, "polls", u->polls);
    state_put_blob(w, "rx", u->rx, sizeof(u->rx));
    state_put(w, "rx_head", u->rx_head);
    state_put(w, "rx_len", u->rx_len);
    state_put(w, "rx_break", u->rx_break);
    state_put_blob(w, "tx", u->tx, sizeof(u->tx));
    state_put(w, "tx_len", u->tx_len);
    state_end(w);
}

static int ns16550_load(struct device *d, struct state_reader *r,
                        struct error *err)
{
    struct ns16550 *u = uart_of(d);

    state_open(r, d->ops->name, d->instance, 1);
    u->divisor = (uint16_t)state_get_max(r, "divisor", 0xffff);
    u->ier = (uint8_t)state_get_max(r, "ier", 0x0f);
    u->fcr = (uint8_t)state_get_max(r, "fcr", 0xff);
    u->lcr = (uint8_t)state_get_max(r, "lcr", 0xff);
    u->mcr = (uint8_t)state_get_max(r, "mcr", 0x1f);
    u->scr = (uint8_t)state_get_max(r, "scr", 0xff);
    u->lsr_errors = (uint8_t)state_get_max(r, "lsr_errors", 0x1e);
    u->msr = (uint8_t)state_get_max(r, "msr", 0xff);
    u->thre_pending = state_get_max(r, "thre_pending", 1);
    u->timeout_pending = state_get_max(r, "timeout_pending", 1);
    u->polls = (uint8_t)state_get_max(r, "polls", POLLS);
    state_get_blob(r, "rx", u->rx, sizeof(u->rx));
    u->rx_head = (uint8_t)state_get_max(r, "rx_head", NS16550_FIFO - 1);
    u->rx_len = (uint8_t)state_get_max(r, "rx_len",
                                       u->fcr & FCR_ENABLE ? NS16550_FIFO : 1);
    u->rx_break = (uint16_t)state_get_max(r, "rx_break", 0xffff);
    state_get_blob(r, "tx", u->tx, sizeof(u->tx));
    u->tx_len = (uint8_t)state_get_max(r, "tx_len", NS16550_FIFO);
    if (state_result(r, err))
        return -err->code;
    if (!u->timeout_pending)
        timeout_start(u);
    if (u->tx_len)
        tx_flush(u);
    uart_update(u);
    return 0;
}

static void ns16550_fini(struct device *d)
{
    struct ns16550 *u = uart_of(d);

    timer_cancel(&u->timeout);
    chardev_attach(u->chr, NULL, NULL);
    io_remove(u->mem, IO_PORT, &u->regs);
}

static const struct device_ops ns16550_ops = {
    "ns16550", ns16550_reset, ns16550_save, ns16550_load, ns16550_fini,
};

int ns16550_init(struct ns16550 *u, unsigned instance, struct guest_mem *mem,
                 struct loop *loop, uint16_t port, struct irq_line irq,
                 struct chardev *chr, struct error *err)
{
    *u = (struct ns16550){
        .dev = {&ns16550_ops, instance},
        .mem = mem,
        .regs = {"ns16550", port, 8, &uart_ops, u},
        .irq = irq,
        .chr = chr,
    };
    timer_init(&u->timeout, loop, timeout_fired);
    chardev_attach(chr, &uart_client, u);
    ns16550_reset(&u->dev);
    return io_add(mem, IO_PORT, &u->regs, err);
}
