/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_console.c - receive queue 0, transmit queue 1; size in the
 * configuration space.                                  [virtio 1.2 5.3]
 *
 * A chain that the back-end takes only in part stays ours (out_waits) until
 * it is all out: the driver sees back-pressure as a buffer not yet used.
 */
#include "dev/virtio/virtio_console.h"

#include <string.h>

#define F_SIZE BIT64(0)
#define RX     0
#define TX     1

#define QUEUE_SIZE 128

static struct virtio_console *console_of(struct virtio *v)
{
    return container_of(v, struct virtio_console, v);
}

/* True: the whole chain is out. */
static bool chain_out(struct virtio_console *c)
{
    uint64_t skip = c->out_done;

    for (unsigned i = 0; i < c->chain.out_n; i++) {
        const struct iovec *iov = &c->chain.iov[i];
        size_t n;

        if (skip >= iov->iov_len) {
            skip -= iov->iov_len;
            continue;
        }
        n = chardev_write(c->chr, (uint8_t *)iov->iov_base + skip,
                          iov->iov_len - skip);
        c->out_done += n;
        if (n < iov->iov_len - skip)
            return false;
        skip = 0;
    }
    return true;
}

static void console_transmit(struct virtio_console *c)
{
    struct virtq *q = &c->v.q[TX];

    /* A ring's worth of chains at most: a vCPU may be filling it. */
    for (unsigned budget = 2 * VIRTQ_SIZE_MAX; budget; budget--) {
        if (!c->out_waits) {
            int r = virtq_pop(q, &c->chain);

            if (r < 0)
                virtio_broken(&c->v, "bad transmit queue");
            if (r <= 0 && !virtq_want_kicks(q, true))
                break;
            if (r <= 0)
                continue;
        }
        c->out_waits = !chain_out(c);
        if (c->out_waits)
            break;
        c->out_done = 0;
        virtq_push(q, c->chain.head, 0);
    }
    virtio_signal(&c->v, TX);
}

static bool console_ready(void *ctx)
{
    struct virtio_console *c = ctx;
    const struct virtq *q = &c->v.q[RX];

    /* used_idx: the driver has filled the queue at least once. */
    return virtio_running(&c->v) && q->ready && !q->broken &&
           (q->used_idx || virtq_waiting(&c->v.q[RX]));
}

/* As much as the next chain takes. */
static size_t console_can_receive(void *ctx)
{
    struct virtio_console *c = ctx;
    struct virtq *q = &c->v.q[RX];
    int r = virtio_running(&c->v) ? virtq_pop(q, &c->rx_chain) : 0;

    if (r < 0)
        virtio_broken(&c->v, "bad receive queue");
    if (r <= 0)
        return 0;
    virtq_unpop(q);
    /* One without room goes back by itself when something comes. */
    return MAX(c->rx_chain.in_len, 1);
}

static void console_receive(void *ctx, const uint8_t *buf, size_t len)
{
    struct virtio_console *c = ctx;
    struct virtq *q = &c->v.q[RX];
    struct virtq_chain *chain = &c->rx_chain;

    while (len && virtio_running(&c->v)) {
        int r = virtq_pop(q, chain);
        size_t n;

        if (r < 0)
            virtio_broken(&c->v, "bad receive queue");
        if (r <= 0)
            break;
        n = virtq_buf_write(q, chain, 0, buf, len);
        virtq_push(q, chain->head, (uint32_t)n);
        buf += n;
        len -= n;
    }
    virtq_want_kicks(q, true);
    virtio_signal(&c->v, RX);
}

static void console_writable(void *ctx)
{
    struct virtio_console *c = ctx;

    if (virtio_running(&c->v))
        console_transmit(c);
}

static void console_resize(void *ctx, unsigned cols, unsigned rows)
{
    struct virtio_console *c = ctx;

    if (cols == c->cols && rows == c->rows)
        return;
    c->cols = (uint16_t)cols;
    c->rows = (uint16_t)rows;
    if (c->v.agreed & F_SIZE)
        virtio_config_changed(&c->v);
}

static const struct chardev_client console_client = {
    .ready = console_ready,
    .can_receive = console_can_receive,
    .receive = console_receive,
    .writable = console_writable,
    .resize = console_resize,
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
    if ((c->v.agreed & F_SIZE) && c->cols && c->rows)
        virtio_config_changed(&c->v);
}

static void console_notify(struct virtio *v, unsigned q)
{
    struct virtio_console *c = console_of(v);

    if (q == TX) {
        console_tell_size(c);
        if (!c->out_waits)
            console_transmit(c);
        return;
    }
    virtq_want_kicks(&v->q[RX], true);
    chardev_can_accept(c->chr);
}

static void console_driver_ok(struct virtio *v)
{
    /* Buffers may have been put there before. */
    console_notify(v, RX);
}

/* struct virtio_console_config; we have no ports and no emergency write. */
static void console_config(struct virtio *v, unsigned off, void *buf,
                           unsigned len)
{
    struct virtio_console *c = console_of(v);
    struct {
        uint16_t cols, rows;
        uint32_t max_nr_ports, emerg_wr;
    } cfg = {c->cols, c->rows, 1, 0};

    memcpy(buf, (const uint8_t *)&cfg + off, len);
}

static void console_stop(struct virtio *v)
{
    struct virtio_console *c = console_of(v);

    c->out_waits = c->size_told = false;
    c->out_done = 0;
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

static void virtio_console_reset(struct device *d)
{
    virtio_reset(&console_dev(d)->v);
}

static void virtio_console_save(struct device *d, struct state_writer *w)
{
    struct virtio_console *c = console_dev(d);

    /* A chain half out goes back; out_done says where to go on. */
    if (c->out_waits)
        virtq_unpop(&c->v.q[TX]);
    state_begin(w, d->ops->name, d->instance, 1);
    virtio_save(&c->v, w);
    state_put(w, "out_done", c->out_done);
    state_end(w);
    if (c->out_waits)
        c->v.q[TX].last_avail++;
}

static int virtio_console_load(struct device *d, struct state_reader *r,
                               struct error *err)
{
    struct virtio_console *c = console_dev(d);

    state_open(r, d->ops->name, d->instance, 1);
    c->out_waits = false;
    c->out_done = state_get(r, "out_done");
    if (virtio_load(&c->v, r, err))
        return -err->code;
    c->size_told = true;
    if (virtio_running(&c->v)) {
        console_transmit(c);
        virtio_config_changed(&c->v); /* another terminal, another size */
    }
    return 0;
}

static void virtio_console_fini(struct device *d)
{
    struct virtio_console *c = console_dev(d);

    chardev_attach(c->chr, NULL, NULL);
    pci_remove(&c->v.pci);
}

static const struct device_ops virtio_console_ops = {
    "virtio-console",    virtio_console_reset, virtio_console_save,
    virtio_console_load, virtio_console_fini,
};

int virtio_console_init(struct virtio_console *c, unsigned instance,
                        struct pci_host *host, struct chardev *chr,
                        struct error *err)
{
    virtio_init(&c->v, &console_class, &virtio_console_ops, instance, host,
                F_SIZE, 2, QUEUE_SIZE);
    c->chr = chr;
    c->cols = chr ? chr->cols : 0;
    c->rows = chr ? chr->rows : 0;
    c->out_waits = c->size_told = false;
    c->out_done = 0;
    if (pci_add(host, &c->v.pci, err))
        return -err->code;
    chardev_attach(chr, &console_client, c);
    return 0;
}
