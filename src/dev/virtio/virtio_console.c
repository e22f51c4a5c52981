/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_console.c - port 0's receive queue is 0, its transmit queue 1; then
 * two for control, then two for each other port. Without others there is no
 * control: the size is in the configuration space.      [virtio 1.2 5.3]
 *
 * A chain that the back-end takes only in part stays ours (out_waits) until
 * it is all out: the driver sees back-pressure as a buffer not yet used.
 */
#include "dev/virtio/virtio_console_int.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

#define F_SIZE CONSOLE_F_SIZE

#define QUEUE_SIZE 128

static struct virtio_console *console_of(struct virtio *v)
{
    return container_of(v, struct virtio_console, v);
}

static unsigned rx_of(const struct virtio_console_port *p)
{
    unsigned n = (unsigned)(p - p->con->port);

    return n ? 2 + 2 * n : 0;
}

static unsigned tx_of(const struct virtio_console_port *p)
{
    return rx_of(p) + 1;
}

/* True: the whole chain is out. */
static bool chain_out(struct virtio_console_port *p)
{
    uint64_t skip = p->out_done;

    for (unsigned i = 0; i < p->chain.out_n; i++) {
        const struct iovec *iov = &p->chain.iov[i];
        size_t n;

        if (skip >= iov->iov_len) {
            skip -= iov->iov_len;
            continue;
        }
        n = chardev_write(p->chr, (uint8_t *)iov->iov_base + skip,
                          iov->iov_len - skip);
        p->out_done += n;
        if (n < iov->iov_len - skip)
            return false;
        skip = 0;
    }
    return true;
}

void virtio_console_transmit(struct virtio_console_port *p)
{
    struct virtio *v = &p->con->v;
    struct virtq *q = &v->q[tx_of(p)];

    if (!virtio_running(v))
        return;
    /* A ring's worth of chains at most: a vCPU may be filling it. */
    for (unsigned budget = 2 * VIRTQ_SIZE_MAX; budget; budget--) {
        if (!p->out_waits) {
            int r = virtq_pop(q, &p->chain);

            if (r < 0)
                virtio_broken(v, "bad transmit queue");
            if (r <= 0 && !virtq_want_kicks(q, true))
                break;
            if (r <= 0)
                continue;
        }
        p->out_waits = !chain_out(p);
        if (p->out_waits)
            break;
        p->out_done = 0;
        virtq_push(q, p->chain.head, 0);
    }
    virtio_signal(v, tx_of(p));
}

static bool console_ready(void *ctx)
{
    struct virtio_console_port *p = ctx;
    struct virtq *q = &p->con->v.q[rx_of(p)];

    /* used_idx: the driver has filled the queue at least once. */
    return virtio_running(&p->con->v) && q->ready && !q->broken &&
           (q->used_idx || virtq_waiting(q));
}

/* Others have a program of the guest's that has seen who it talks to. */
static bool port_takes(const struct virtio_console_port *p)
{
    return p == p->con->port || (p->guest_open && !p->due);
}

/* As much as the next chain takes. */
static size_t console_can_receive(void *ctx)
{
    struct virtio_console_port *p = ctx;
    struct virtio_console *c = p->con;
    struct virtq *q = &c->v.q[rx_of(p)];
    int r = 0;

    if (virtio_running(&c->v) && port_takes(p))
        r = virtq_pop(q, &c->in);
    if (r < 0)
        virtio_broken(&c->v, "bad receive queue");
    if (r <= 0)
        return 0;
    virtq_unpop(q);
    /* One without room goes back by itself when something comes. */
    return MAX(c->in.in_len, 1);
}

static void console_receive(void *ctx, const uint8_t *buf, size_t len)
{
    struct virtio_console_port *p = ctx;
    struct virtio_console *c = p->con;
    struct virtq *q = &c->v.q[rx_of(p)];

    while (len && virtio_running(&c->v)) {
        int r = virtq_pop(q, &c->in);
        size_t n;

        if (r < 0)
            virtio_broken(&c->v, "bad receive queue");
        if (r <= 0)
            break;
        n = virtq_buf_write(q, &c->in, 0, buf, len);
        virtq_push(q, c->in.head, (uint32_t)n);
        buf += n;
        len -= n;
    }
    virtq_want_kicks(q, true);
    virtio_signal(&c->v, rx_of(p));
}

static void console_writable(void *ctx)
{
    virtio_console_transmit(ctx);
}

static void console_resize(void *ctx, unsigned cols, unsigned rows)
{
    struct virtio_console_port *p = ctx;
    struct virtio_console *c = p->con;

    if (cols == c->cols && rows == c->rows)
        return;
    c->cols = (uint16_t)cols;
    c->rows = (uint16_t)rows;
    if (c->v.agreed & F_SIZE)
        virtio_config_changed(&c->v);
    if (p->ready)
        virtio_console_say(p, CONSOLE_SAY_SIZE);
}

static const struct chardev_client console_client = {
    .ready = console_ready,
    .can_receive = console_can_receive,
    .receive = console_receive,
    .writable = console_writable,
    .resize = console_resize,
    .connected = virtio_console_connected,
};

/*
 * Linux reads the size when it is told of a change, not when it starts; and
 * before its terminal exists it does not listen. Its first output is proof.
 */
static void console_tell_size(struct virtio_console *c)
{
    if (c->size_told)
        return;
    c->size_told = true;
    if ((c->v.agreed & F_SIZE) && c->cols && c->rows) {
        virtio_config_changed(&c->v);
        if (c->port[0].ready)
            virtio_console_say(c->port, CONSOLE_SAY_SIZE);
    }
}

static void port_notify(struct virtio_console_port *p, unsigned q)
{
    if (q == tx_of(p)) {
        if (p == p->con->port)
            console_tell_size(p->con);
        if (!p->out_waits)
            virtio_console_transmit(p);
        return;
    }
    virtq_want_kicks(&p->con->v.q[q], true);
    chardev_can_accept(p->chr);
}

static void console_notify(struct virtio *v, unsigned q)
{
    struct virtio_console *c = console_of(v);

    if (q == CONSOLE_CTRL_TX)
        virtio_console_ctrl(c);
    else if (q == CONSOLE_CTRL_RX)
        virtio_console_ctrl_flush(c);
    else
        port_notify(&c->port[q > CONSOLE_CTRL_TX ? q / 2 - 1 : 0], q);
}

static void console_driver_ok(struct virtio *v)
{
    /* Buffers may have been put there before. */
    console_notify(v, 0);
}

/* struct virtio_console_config; there is no emergency write. */
static void console_config(struct virtio *v, unsigned off, void *buf,
                           unsigned len)
{
    struct virtio_console *c = console_of(v);
    struct {
        uint16_t cols, rows;
        uint32_t max_nr_ports, emerg_wr;
    } cfg = {c->cols, c->rows, c->ports, 0};

    memcpy(buf, (const uint8_t *)&cfg + off, len);
}

static void console_stop(struct virtio *v)
{
    struct virtio_console *c = console_of(v);

    c->size_told = false;
    for (unsigned i = 0; i < c->ports; i++) {
        struct virtio_console_port *p = &c->port[i];

        if (p->guest_open)
            chardev_opened(p->chr, false);
        p->due = 0;
        p->ready = p->guest_open = p->told = p->out_waits = false;
        p->out_done = 0;
    }
}

static const struct virtio_class console_class = {
    .id = VIRTIO_ID_CONSOLE,
    .class_code = 0x078000,
    .config_len = 12,
    .notify = console_notify,
    .config_read = console_config,
    .driver_ok = console_driver_ok,
    .reset = console_stop,
};

static struct virtio_console *console_dev(struct device *d)
{
    return container_of(d, struct virtio_console, v.pci.dev);
}

static const char *field(char *buf, size_t len, unsigned n, const char *name)
{
    snprintf(buf, len, "p%u.%s", n, name);
    return buf;
}

static void virtio_console_save(struct device *d, struct state_writer *w)
{
    struct virtio_console *c = console_dev(d);
    char f[32];
    unsigned i;

    /* A chain half out goes back; out_done says where to go on. */
    for (i = 0; i < c->ports; i++)
        if (c->port[i].out_waits)
            virtq_unpop(&c->v.q[tx_of(&c->port[i])]);
    state_begin(w, d->ops->name, d->instance, 2);
    virtio_save(&c->v, w);
    for (i = 0; i < c->ports; i++) {
        const struct virtio_console_port *p = &c->port[i];

        state_put(w, field(f, sizeof(f), i, "out_done"), p->out_done);
        state_put(w, field(f, sizeof(f), i, "due"), p->due);
        state_put(w, field(f, sizeof(f), i, "ready"), p->ready);
        state_put(w, field(f, sizeof(f), i, "open"), p->guest_open);
        state_put(w, field(f, sizeof(f), i, "told"), p->told);
    }
    state_end(w);
    for (i = 0; i < c->ports; i++)
        if (c->port[i].out_waits)
            c->v.q[tx_of(&c->port[i])].last_avail++;
}

static void port_load(struct virtio_console_port *p, struct state_reader *r,
                      unsigned i)
{
    char f[32];

    p->out_waits = false;
    p->out_done = state_get(r, field(f, sizeof(f), i, "out_done"));
    p->due = (unsigned)state_get_max(r, field(f, sizeof(f), i, "due"),
                                     2 * CONSOLE_SAY_SIZE - 1);
    p->ready = state_get_max(r, field(f, sizeof(f), i, "ready"), 1);
    p->guest_open = state_get_max(r, field(f, sizeof(f), i, "open"), 1);
    p->told = state_get_max(r, field(f, sizeof(f), i, "told"), 1);
}

/* Who was at the other end is not there any more, and a file is again. */
static void port_restored(struct virtio_console_port *p)
{
    bool here = !p->chr || !p->chr->away;

    if (p->guest_open)
        chardev_opened(p->chr, true);
    p->due &= ~(unsigned)(CONSOLE_SAY_OPEN | CONSOLE_SAY_CLOSE);
    if (p->ready && here != p->told)
        p->due |= here ? CONSOLE_SAY_OPEN : CONSOLE_SAY_CLOSE;
    virtio_console_transmit(p);
}

static int virtio_console_load(struct device *d, struct state_reader *r,
                               struct error *err)
{
    struct virtio_console *c = console_dev(d);
    unsigned i;

    state_open(r, d->ops->name, d->instance, 2);
    for (i = 0; i < c->ports; i++)
        port_load(&c->port[i], r, i);
    if (virtio_load(&c->v, r, err))
        return -err->code;
    c->size_told = true;
    if (!virtio_running(&c->v))
        return 0;
    for (i = 0; i < c->ports; i++)
        port_restored(&c->port[i]);
    virtio_config_changed(&c->v); /* another terminal, another size */
    if (c->port[0].ready && c->cols && c->rows)
        c->port[0].due |= CONSOLE_SAY_SIZE;
    virtio_console_ctrl_flush(c);
    return 0;
}

static void virtio_console_fini(struct device *d)
{
    struct virtio_console *c = console_dev(d);

    for (unsigned i = 0; i < c->ports; i++)
        chardev_attach(c->port[i].chr, NULL, NULL);
    pci_remove(&c->v.pci);
}

static const struct device_ops virtio_console_ops = {
    "virtio-console",    virtio_device_reset, virtio_console_save,
    virtio_console_load, virtio_console_fini,
};

static void port_init(struct virtio_console *c, const char *name,
                      struct chardev *chr)
{
    struct virtio_console_port *p = &c->port[c->ports++];

    *p = (struct virtio_console_port){.con = c, .name = name, .chr = chr};
    chardev_attach(chr, &console_client, p);
}

int virtio_console_init(struct virtio_console *c, unsigned instance,
                        struct pci_host *host, struct chardev *chr,
                        const struct virtio_console_named *named, unsigned n,
                        struct error *err)
{
    rf_assert(n < VIRTIO_CONSOLE_PORTS);
    virtio_init(&c->v, &console_class, &virtio_console_ops, instance, host,
                F_SIZE | (n ? CONSOLE_F_MULTIPORT : 0), n ? 4 + 2 * n : 2,
                QUEUE_SIZE);
    c->cols = chr ? chr->cols : 0;
    c->rows = chr ? chr->rows : 0;
    c->size_told = false;
    c->ports = 0;
    if (pci_add(host, &c->v.pci, err))
        return -err->code;
    port_init(c, NULL, chr);
    for (unsigned i = 0; i < n; i++)
        port_init(c, named[i].name, named[i].chr);
    return 0;
}
