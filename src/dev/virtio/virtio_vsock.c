/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_vsock.c - receive queue 0, transmit queue 1, event queue 2; all that
 * packets mean is io/vsock's business.                  [virtio 1.2 5.10]
 *
 * The transmit queue is served whether or not the driver has given buffers to
 * receive: what one packet makes us keep is bounded there, so a driver that
 * waits for us and we for it cannot be.
 */
#include "dev/virtio/virtio_vsock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define F_STREAM BIT64(0)

#define RX    0
#define TX    1
#define EVENT 2

#define QUEUE_SIZE  128
#define AT_ONCE     VIRTQ_SIZE_MAX /* packets, then others get their turn */
#define ACTS_NS     2000000000ull
#define EVENT_RESET 0 /* VIRTIO_VSOCK_EVENT_TRANSPORT_RESET */

static struct virtio_vsock *vsock_of(struct virtio *v)
{
    return container_of(v, struct virtio_vsock, v);
}

/* --- to the driver --- */

/* 1: a packet went into the chain d->in; 0: there was none; else broken. */
static int rx_packet(struct virtio_vsock *d)
{
    struct virtq *q = &d->v.q[RX];
    struct vsock_header h;

    if (d->in.in_len <= sizeof(h)) {
        virtio_broken(&d->v, "a receive buffer too small for a packet");
        return -EINVAL;
    }
    if (!vsock_give(d->vs, &h, d->data, d->in.in_len - sizeof(h)))
        return 0;
    virtq_buf_write(q, &d->in, 0, &h, sizeof(h));
    virtq_buf_write(q, &d->in, sizeof(h), d->data, h.len);
    virtq_push(q, d->in.head, (uint32_t)(sizeof(h) + h.len));
    return 1;
}

/* Bells are wanted only while packets wait for buffers. */
static void vsock_rx(struct virtio_vsock *d)
{
    struct virtq *q = &d->v.q[RX];
    unsigned left = AT_ONCE;

    if (!virtio_running(&d->v) || !q->ready || d->moved)
        return;
    virtq_want_kicks(q, false);
    while (left && virtio_running(&d->v) && vsock_pending(d->vs)) {
        int r = virtq_pop(q, &d->in);

        left--;
        if (r < 0)
            virtio_broken(&d->v, "bad receive queue");
        if (r < 0 || (!r && !virtq_want_kicks(q, true)))
            break;
        if (r && !rx_packet(d))
            virtq_unpop(q);
    }
    if (!left)
        timer_arm(&d->more, clock_now(d->v.loop->clock));
    virtio_signal(&d->v, RX);
}

/*
 * The driver ends all streams, and asks for its number, some time after it
 * was told: a stream that began before would end with them. It has done so
 * when it gives the buffer back.
 */
static void vsock_event(struct virtio_vsock *d)
{
    struct virtq *q = &d->v.q[EVENT];
    uint32_t id = EVENT_RESET;
    int r;

    if (!d->moved || !virtio_running(&d->v))
        return;
    if (d->told) {
        d->moved = d->told = false;
        timer_cancel(&d->acts);
        return;
    }
    r = virtq_pop(q, &d->in);
    if (r < 0 || (r && d->in.in_len < sizeof(id)))
        virtio_broken(&d->v, "bad event queue");
    else if (r) {
        virtq_buf_write(q, &d->in, 0, &id, sizeof(id));
        virtq_push(q, d->in.head, sizeof(id));
        d->told = true;
        timer_arm(&d->acts, clock_now(d->v.loop->clock) + ACTS_NS);
        virtq_want_kicks(q, true);
        virtio_signal(&d->v, EVENT);
    }
}

/* --- from the driver --- */

static int tx_packet(struct virtio *v, unsigned q)
{
    struct virtio_vsock *d = vsock_of(v);
    struct vsock_header h;

    (void)q;
    if (virtq_buf_read(&d->out, 0, &h, sizeof(h)) != sizeof(h) ||
        h.len > VSOCK_PACKET || h.len > d->out.out_len - sizeof(h)) {
        log_guest("virtio-vsock: a packet that is cut or too long");
        return 0;
    }
    virtq_buf_read(&d->out, sizeof(h), d->data, h.len);
    vsock_take(d->vs, &h, d->data);
    return 0;
}

static void vsock_tx(struct virtio_vsock *d)
{
    virtq_want_kicks(&d->v.q[TX], false);
    if (virtio_serve(&d->v, TX, &d->out, tx_packet))
        timer_arm(&d->more, clock_now(d->v.loop->clock));
}

static void vsock_more(struct timer *t)
{
    struct virtio_vsock *d = container_of(t, struct virtio_vsock, more);

    if (!virtio_running(&d->v))
        return;
    vsock_tx(d);
    vsock_rx(d);
}

static void vsock_acted(struct timer *t)
{
    struct virtio_vsock *d = container_of(t, struct virtio_vsock, acts);

    d->moved = d->told = false;
    vsock_rx(d);
}

static void vsock_woken(void *ctx)
{
    vsock_rx(ctx);
}

/* --- the device --- */

static void vsock_notify(struct virtio *v, unsigned q)
{
    struct virtio_vsock *d = vsock_of(v);

    if (q == TX)
        vsock_tx(d);
    if (q == EVENT)
        vsock_event(d);
    vsock_rx(d); /* buffers, or answers to what was sent */
}

static void vsock_config(struct virtio *v, unsigned off, void *buf,
                         unsigned len)
{
    uint64_t cid = vsock_of(v)->vs->cid;

    memcpy(buf, (const uint8_t *)&cid + off, len);
}

static void vsock_stop(struct virtio *v)
{
    struct virtio_vsock *d = vsock_of(v);

    timer_cancel(&d->more);
    timer_cancel(&d->acts);
    d->moved = d->told = false;
    vsock_reset(d->vs);
}

static const struct virtio_class vsock_class = {
    .id = VIRTIO_ID_VSOCK,
    .class_code = 0x078000,
    .config_len = 8,
    .notify = vsock_notify,
    .config_read = vsock_config,
    .reset = vsock_stop,
};

static struct virtio_vsock *vsock_dev(struct device *d)
{
    return container_of(d, struct virtio_vsock, v.pci.dev);
}

/* Connections are not saved: their other ends are here. */
static void virtio_vsock_save(struct device *dev, struct state_writer *w)
{
    struct virtio_vsock *d = vsock_dev(dev);

    state_begin(w, dev->ops->name, dev->instance, 1);
    virtio_save(&d->v, w);
    state_end(w);
}

static int virtio_vsock_load(struct device *dev, struct state_reader *r,
                             struct error *err)
{
    struct virtio_vsock *d = vsock_dev(dev);

    state_open(r, dev->ops->name, dev->instance, 1);
    if (virtio_load(&d->v, r, err))
        return -err->code;
    vsock_reset(d->vs);
    d->moved = virtio_running(&d->v);
    d->told = false;
    vsock_event(d);
    /* What it had sent, and we had not looked at. */
    timer_arm(&d->more, clock_now(d->v.loop->clock));
    return 0;
}

static void virtio_vsock_fini(struct device *dev)
{
    struct virtio_vsock *d = vsock_dev(dev);

    vsock_attach(d->vs, NULL, NULL);
    timer_cancel(&d->more);
    timer_cancel(&d->acts);
    pci_remove(&d->v.pci);
    free(d->data);
}

static const struct device_ops virtio_vsock_ops = {
    "virtio-vsock",    virtio_device_reset, virtio_vsock_save,
    virtio_vsock_load, virtio_vsock_fini,
};

int virtio_vsock_init(struct virtio_vsock *d, unsigned instance,
                      struct pci_host *host, struct loop *loop,
                      struct vsock *vs, struct error *err)
{
    memset(d, 0, sizeof(*d));
    d->vs = vs;
    d->data = malloc(VSOCK_PACKET);
    if (!d->data)
        return error_set(err, ENOMEM, "out of memory");
    virtio_init(&d->v, &vsock_class, &virtio_vsock_ops, instance, host,
                F_STREAM, 3, QUEUE_SIZE);
    d->v.loop = loop;
    if (pci_add(host, &d->v.pci, err)) {
        free(d->data);
        return -err->code;
    }
    timer_init(&d->more, loop, vsock_more);
    timer_init(&d->acts, loop, vsock_acted);
    vsock_attach(vs, vsock_woken, d);
    return 0;
}
