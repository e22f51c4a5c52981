/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_net.c - receive queue 0, transmit queue 1, control queue 2.
 *                                                       [virtio 1.2 5.1]
 *
 * A frame to send is copied out of guest memory before anybody looks at it.
 * Frames that come while the driver has no buffers wait, up to a limit, and
 * are part of the device's state: what a guest sees depends on when frames
 * came, not on when it was looked.
 */
#include "dev/virtio/virtio_net.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define F_CSUM                BIT64(0)
#define F_GUEST_CSUM          BIT64(1)
#define F_CTRL_GUEST_OFFLOADS BIT64(2)
#define F_MTU                 BIT64(3)
#define F_MAC                 BIT64(5)
#define F_GUEST_TSO4          BIT64(7)
#define F_GUEST_TSO6          BIT64(8)
#define F_GUEST_ECN           BIT64(9)
#define F_HOST_TSO4           BIT64(11)
#define F_HOST_TSO6           BIT64(12)
#define F_HOST_ECN            BIT64(13)
#define F_MRG_RXBUF           BIT64(15)
#define F_STATUS              BIT64(16)
#define F_CTRL_VQ             BIT64(17)
#define F_CTRL_RX             BIT64(18)
#define F_CTRL_RX_EXTRA       BIT64(20)
#define F_GUEST_ANNOUNCE      BIT64(21)
#define F_CTRL_MAC_ADDR       BIT64(23)

#define FEATURES                                                               \
    (F_MTU | F_MAC | F_MRG_RXBUF | F_STATUS | F_CTRL_VQ | F_CTRL_RX |          \
     F_CTRL_RX_EXTRA | F_GUEST_ANNOUNCE | F_CTRL_MAC_ADDR)
#define OFFLOADS (F_GUEST_CSUM | F_GUEST_TSO4 | F_GUEST_TSO6 | F_GUEST_ECN)

#define RX   0
#define TX   1
#define CTRL 2

#define QUEUE_SIZE VIRTQ_SIZE_MAX
#define WAIT_MAX   (512 * KiB) /* bytes of frames that wait for buffers */

#define S_LINK_UP  1
#define S_ANNOUNCE 2

/* Commands: class and number [virtio 1.2 5.1.6.5]. */
enum {
    CTRL_PROMISC = 0x0000,
    CTRL_ALLMULTI = 0x0001,
    CTRL_ALLUNI = 0x0002,
    CTRL_NOMULTI = 0x0003,
    CTRL_NOUNI = 0x0004,
    CTRL_NOBCAST = 0x0005,
    CTRL_MAC_TABLE = 0x0100,
    CTRL_MAC_ADDR = 0x0101,
    CTRL_ANNOUNCED = 0x0300,
    CTRL_OFFLOADS = 0x0500,
};
#define ACK_OK  0
#define ACK_ERR 1

struct net_config_space {
    uint8_t mac[6];
    uint16_t status, pairs, mtu;
};

static_assert(sizeof(struct net_config_space) == 12, "virtio_net_config");

/* How a waiting frame begins; its bytes follow. */
struct waiting {
    uint32_t len;
    struct net_header header;
};

static struct virtio_net *net_of(struct virtio *v)
{
    return container_of(v, struct virtio_net, v);
}

/* --- to the driver --- */

static bool filter_has(const struct virtio_net_filter *f, const uint8_t *mac)
{
    for (unsigned i = 0; i < f->count; i++)
        if (!memcmp(f->mac[i], mac, 6))
            return true;
    return f->overflow;
}

/* Does the driver want a frame to this address? */
static bool net_wants(const struct virtio_net *d, const uint8_t *to)
{
    static const uint8_t everybody[6] = {255, 255, 255, 255, 255, 255};

    if (d->promisc)
        return true;
    if (!memcmp(to, everybody, 6))
        return !d->nobcast;
    if (to[0] & 1)
        return !d->nomulti && (d->allmulti || filter_has(&d->multi, to));
    return !d->nouni &&
           (d->alluni || !memcmp(to, d->mac, 6) || filter_has(&d->uni, to));
}

/*
 * Pops chains until there is room for `total` bytes. The first is in d->head,
 * the others got their part. -ENOSPC: the driver has too few; -EMSGSIZE: it
 * never will have enough.
 */
static int rx_scatter(struct virtio_net *d, struct net_header *h,
                      const uint8_t *frame, size_t len)
{
    bool merge = d->v.agreed & F_MRG_RXBUF;
    struct virtq *q = &d->v.q[RX];
    size_t done = 0;
    unsigned n = 0;

    do {
        struct virtq_chain *c = n ? &d->in : &d->head;
        size_t skip = n ? 0 : sizeof(*h), took;
        int r = virtq_pop(q, c);

        if (r < 0)
            virtio_broken(&d->v, "bad receive queue");
        n += r > 0;
        if (r <= 0 || c->in_len < skip) {
            while (n--)
                virtq_unpop(q);
            return r < 0 ? -EIO : r ? -EMSGSIZE : -ENOSPC;
        }
        took = virtq_buf_write(q, c, skip, frame + done, len - done);
        done += took;
        virtq_fill(q, n - 1, c->head, (uint32_t)(skip + took));
    } while (done < len && merge && n < q->size);
    if (done == len) {
        h->buffers = (uint16_t)n;
        virtq_buf_write(q, &d->head, 0, h, sizeof(*h));
        virtq_flush(q, n);
        return 0;
    }
    while (n--)
        virtq_unpop(q);
    return -EMSGSIZE;
}

/* True: it is out of the way, be it because nobody can take it. */
static bool rx_frame(struct virtio_net *d, const struct net_header *header,
                     const uint8_t *frame, size_t len)
{
    struct net_header h = *header;
    int rc;

    if (!(d->v.agreed & F_GUEST_CSUM))
        h = (struct net_header){0};
    rc = rx_scatter(d, &h, frame, len);
    d->net->dropped += rc == -EMSGSIZE;
    d->rx.frames += !rc;
    d->rx.bytes += rc ? 0 : len;
    return rc != -ENOSPC;
}

static void wait_drop_all(struct virtio_net *d)
{
    d->wait_first = d->wait_end = 0;
}

/* Gives what waits to the driver, as far as it has buffers. */
static void rx_flush(struct virtio_net *d)
{
    while (d->wait_first < d->wait_end && virtio_running(&d->v)) {
        struct waiting w;

        memcpy(&w, d->wait + d->wait_first, sizeof(w));
        if (!rx_frame(d, &w.header, d->wait + d->wait_first + sizeof(w), w.len))
            break;
        d->wait_first += sizeof(w) + w.len;
    }
    if (d->wait_first == d->wait_end)
        wait_drop_all(d);
}

/*
 * Bells are wanted only while frames wait. A driver that adds one buffer after
 * each look gets no more than a few of them.
 */
static void rx_serve(struct virtio_net *d)
{
    struct virtq *q = &d->v.q[RX];

    virtq_want_kicks(q, false);
    for (int looks = 4; looks; looks--) {
        rx_flush(d);
        if (!d->wait_end || !virtq_want_more(q))
            break;
    }
    virtio_signal(&d->v, RX);
}

static void wait_add(struct virtio_net *d, const struct net_header *h,
                     const uint8_t *frame, size_t len)
{
    struct waiting w = {(uint32_t)len, *h};

    if (d->wait_end + sizeof(w) + len > WAIT_MAX && d->wait_first) {
        d->wait_end -= d->wait_first;
        memmove(d->wait, d->wait + d->wait_first, d->wait_end);
        d->wait_first = 0;
    }
    if (d->wait_end + sizeof(w) + len > WAIT_MAX) {
        d->net->dropped++;
        return;
    }
    memcpy(d->wait + d->wait_end, &w, sizeof(w));
    memcpy(d->wait + d->wait_end + sizeof(w), frame, len);
    d->wait_end += sizeof(w) + len;
}

static void net_rx(void *ctx, const struct net_header *h, const uint8_t *frame,
                   size_t len)
{
    struct virtio_net *d = ctx;

    if (!virtio_running(&d->v) || !d->v.q[RX].ready) {
        d->net->dropped++; /* nobody is there: like a cable unplugged */
        return;
    }
    if (!net_wants(d, frame))
        return;
    wait_add(d, h, frame, len);
    rx_serve(d);
}

/* --- from the driver --- */

static int tx_chain(struct virtio *v, unsigned q)
{
    struct virtio_net *d = net_of(v);
    const struct virtq_chain *c = &d->out;
    struct net_header h;
    size_t len = c->out_len - sizeof(h);

    (void)q;
    if (c->out_len < sizeof(h) || len > NET_FRAME_MAX) {
        d->net->dropped++;
        return 0;
    }
    virtq_buf_read(c, 0, &h, sizeof(h));
    virtq_buf_read(c, sizeof(h), d->frame, len);
    h.flags &= NET_NEEDS_CSUM;
    h.buffers = 0;
    d->tx.frames++;
    d->tx.bytes += len;
    if (!net_send(d->net, &h, d->frame, len))
        log_guest("virtio-net: a frame that cannot be sent");
    return 0;
}

static void net_transmit(struct virtio_net *d)
{
    virtq_want_kicks(&d->v.q[TX], false);
    if (virtio_serve(&d->v, TX, &d->out, tx_chain))
        timer_arm(&d->more, clock_now(d->v.loop->clock));
}

static void net_more(struct timer *t)
{
    struct virtio_net *d = container_of(t, struct virtio_net, more);

    if (virtio_running(&d->v))
        net_transmit(d);
}

/* --- the control queue --- */

/* One of the two tables; returns where the next begins, 0: it is cut. */
static uint64_t filter_read(struct virtio_net *d, struct virtio_net_filter *f,
                            uint64_t at)
{
    uint32_t n;

    if (virtq_buf_read(&d->out, at, &n, 4) != 4 ||
        (d->out.out_len - at - 4) / 6 < n)
        return 0;
    f->overflow = n > VIRTIO_NET_MACS;
    f->count = f->overflow ? 0 : n;
    virtq_buf_read(&d->out, at + 4, f->mac, 6 * (size_t)f->count);
    return at + 4 + 6ull * n;
}

static uint8_t ctrl_mac_table(struct virtio_net *d)
{
    struct virtio_net_filter uni = {0}, multi = {0};
    uint64_t at = filter_read(d, &uni, 2);

    if (!at || !filter_read(d, &multi, at))
        return ACK_ERR;
    d->uni = uni;
    d->multi = multi;
    return ACK_OK;
}

static uint8_t ctrl_switch(struct virtio_net *d, bool *on, uint64_t feature)
{
    uint8_t v;

    if (!(d->v.agreed & feature) || virtq_buf_read(&d->out, 2, &v, 1) != 1 ||
        v > 1)
        return ACK_ERR;
    *on = v;
    return ACK_OK;
}

static uint8_t ctrl_mac_addr(struct virtio_net *d)
{
    uint8_t mac[6];

    if (!(d->v.agreed & F_CTRL_MAC_ADDR) ||
        virtq_buf_read(&d->out, 2, mac, 6) != 6)
        return ACK_ERR;
    memcpy(d->mac, mac, 6);
    return ACK_OK;
}

static unsigned gives_of(uint64_t features)
{
    return (features & F_GUEST_CSUM ? NET_GIVES_CSUM : 0) |
           (features & F_GUEST_TSO4 ? NET_GIVES_TCP4 : 0) |
           (features & F_GUEST_TSO6 ? NET_GIVES_TCP6 : 0) |
           (features & F_GUEST_ECN ? NET_GIVES_ECN : 0);
}

static uint8_t ctrl_offloads(struct virtio_net *d)
{
    uint64_t want;

    if (!(d->v.agreed & F_CTRL_GUEST_OFFLOADS) ||
        virtq_buf_read(&d->out, 2, &want, 8) != 8 ||
        (want & ~(d->v.agreed & OFFLOADS)))
        return ACK_ERR;
    net_gives(d->net, gives_of(want));
    return ACK_OK;
}

static uint8_t ctrl_announced(struct virtio_net *d)
{
    if (!(d->v.agreed & F_GUEST_ANNOUNCE))
        return ACK_ERR;
    d->announce = false;
    return ACK_OK;
}

static uint8_t ctrl_command(struct virtio_net *d)
{
    uint8_t cmd[2];

    if (virtq_buf_read(&d->out, 0, cmd, 2) != 2)
        return ACK_ERR;
    switch (cmd[0] << 8 | cmd[1]) {
    case CTRL_PROMISC:
        return ctrl_switch(d, &d->promisc, F_CTRL_RX);
    case CTRL_ALLMULTI:
        return ctrl_switch(d, &d->allmulti, F_CTRL_RX);
    case CTRL_ALLUNI:
        return ctrl_switch(d, &d->alluni, F_CTRL_RX_EXTRA);
    case CTRL_NOMULTI:
        return ctrl_switch(d, &d->nomulti, F_CTRL_RX_EXTRA);
    case CTRL_NOUNI:
        return ctrl_switch(d, &d->nouni, F_CTRL_RX_EXTRA);
    case CTRL_NOBCAST:
        return ctrl_switch(d, &d->nobcast, F_CTRL_RX_EXTRA);
    case CTRL_MAC_TABLE:
        return ctrl_mac_table(d);
    case CTRL_MAC_ADDR:
        return ctrl_mac_addr(d);
    case CTRL_ANNOUNCED:
        return ctrl_announced(d);
    case CTRL_OFFLOADS:
        return ctrl_offloads(d);
    }
    return ACK_ERR;
}

static int ctrl_chain(struct virtio *v, unsigned q)
{
    struct virtio_net *d = net_of(v);
    uint8_t ack = ctrl_command(d);

    return (int)virtq_buf_write(&v->q[q], &d->out, 0, &ack, 1);
}

/* --- the device --- */

static void net_notify(struct virtio *v, unsigned q)
{
    struct virtio_net *d = net_of(v);

    switch (q) {
    case RX:
        rx_serve(d);
        break;
    case TX:
        net_transmit(d);
        break;
    case CTRL:
        virtio_serve(v, CTRL, &d->out, ctrl_chain);
        break;
    }
}

static void net_driver_ok(struct virtio *v)
{
    struct virtio_net *d = net_of(v);

    /* Without the command for it, the driver knows nothing of a filter. */
    if (!(v->agreed & F_CTRL_RX))
        d->promisc = true;
    net_gives(d->net, gives_of(v->agreed));
}

static void net_config(struct virtio *v, unsigned off, void *buf, unsigned len)
{
    const struct virtio_net *d = net_of(v);
    struct net_config_space cfg = {
        .status = S_LINK_UP | (d->announce ? S_ANNOUNCE : 0),
        .pairs = 1,
        .mtu = d->net->mtu,
    };

    memcpy(cfg.mac, d->mac, 6);
    memcpy(buf, (const uint8_t *)&cfg + off, len);
}

static void net_stop(struct virtio *v)
{
    struct virtio_net *d = net_of(v);

    timer_cancel(&d->more);
    wait_drop_all(d);
    memcpy(d->mac, d->net->mac, 6);
    d->promisc = d->allmulti = d->alluni = false;
    d->nomulti = d->nouni = d->nobcast = d->announce = false;
    d->uni = d->multi = (struct virtio_net_filter){0};
    net_gives(d->net, 0);
}

static const struct virtio_class net_class = {
    .id = VIRTIO_ID_NET,
    .class_code = 0x020000,
    .config_len = sizeof(struct net_config_space),
    .notify = net_notify,
    .config_read = net_config,
    .driver_ok = net_driver_ok,
    .reset = net_stop,
};

static struct virtio_net *net_dev(struct device *d)
{
    return container_of(d, struct virtio_net, v.pci.dev);
}

/* The switches of the filter, in one number. */
static unsigned switches_get(const struct virtio_net *d)
{
    return (unsigned)(d->promisc | d->allmulti << 1 | d->alluni << 2 |
                      d->nomulti << 3 | d->nouni << 4 | d->nobcast << 5 |
                      d->uni.overflow << 6 | d->multi.overflow << 7);
}

static void switches_set(struct virtio_net *d, unsigned s)
{
    d->promisc = s & 1;
    d->allmulti = s & 2;
    d->alluni = s & 4;
    d->nomulti = s & 8;
    d->nouni = s & 16;
    d->nobcast = s & 32;
    d->uni.overflow = s & 64;
    d->multi.overflow = s & 128;
}

static void virtio_net_save(struct device *dev, struct state_writer *w)
{
    struct virtio_net *d = net_dev(dev);

    state_begin(w, dev->ops->name, dev->instance, 1);
    virtio_save(&d->v, w);
    state_put_blob(w, "mac", d->mac, 6);
    state_put(w, "announce", d->announce);
    state_put(w, "more", timer_armed(&d->more));
    state_put(w, "switches", switches_get(d));
    state_put(w, "uni", d->uni.count);
    state_put_blob(w, "uni_mac", d->uni.mac, 6 * (size_t)d->uni.count);
    state_put(w, "multi", d->multi.count);
    state_put_blob(w, "multi_mac", d->multi.mac, 6 * (size_t)d->multi.count);
    state_put(w, "waiting", d->wait_end - d->wait_first);
    state_put_blob(w, "wait", d->wait + d->wait_first,
                   d->wait_end - d->wait_first);
    state_end(w);
}

/* Whole frames, one behind the other, of lengths that frames have. */
static bool wait_valid(const struct virtio_net *d)
{
    struct waiting w;
    size_t at = 0;

    while (at < d->wait_end) {
        if (d->wait_end - at < sizeof(w))
            return false;
        memcpy(&w, d->wait + at, sizeof(w));
        at += sizeof(w);
        if (w.len < NET_FRAME_MIN || w.len > NET_FRAME_MAX ||
            w.len > d->wait_end - at)
            return false;
        at += w.len;
    }
    return true;
}

static void filter_load(struct virtio_net_filter *f, struct state_reader *r,
                        const char *count, const char *mac)
{
    f->count = (unsigned)state_get_max(r, count, VIRTIO_NET_MACS);
    state_get_blob(r, mac, f->mac, 6 * (size_t)f->count);
}

/* Somebody else may be at the other end now: the driver says who it is. */
static void net_reconnected(struct virtio_net *d)
{
    net_gives(d->net, gives_of(d->v.agreed));
    if (!d->v.loop->clock->source && (d->v.agreed & F_GUEST_ANNOUNCE)) {
        d->announce = true;
        virtio_config_changed(&d->v);
    }
}

static int virtio_net_load(struct device *dev, struct state_reader *r,
                           struct error *err)
{
    struct virtio_net *d = net_dev(dev);
    bool more;

    state_open(r, dev->ops->name, dev->instance, 1);
    state_get_blob(r, "mac", d->mac, 6);
    d->announce = state_get_max(r, "announce", 1);
    more = state_get_max(r, "more", 1);
    switches_set(d, (unsigned)state_get_max(r, "switches", 0xff));
    filter_load(&d->uni, r, "uni", "uni_mac");
    filter_load(&d->multi, r, "multi", "multi_mac");
    d->wait_first = 0;
    d->wait_end = state_get_max(r, "waiting", WAIT_MAX);
    state_get_blob(r, "wait", d->wait, d->wait_end);
    if (virtio_load(&d->v, r, err)) {
        wait_drop_all(d);
        return -err->code;
    }
    if (!wait_valid(d)) {
        wait_drop_all(d);
        return error_set(err, EINVAL, "virtio-net: waiting frames are damaged");
    }
    if (more)
        timer_arm(&d->more, clock_now(d->v.loop->clock));
    if (virtio_running(&d->v))
        net_reconnected(d);
    return 0;
}

static void virtio_net_fini(struct device *dev)
{
    struct virtio_net *d = net_dev(dev);

    net_attach(d->net, NULL, NULL);
    timer_cancel(&d->more);
    pci_remove(&d->v.pci);
    free(d->wait);
    free(d->frame);
}

static const struct device_ops virtio_net_ops = {
    "virtio-net",    virtio_device_reset, virtio_net_save,
    virtio_net_load, virtio_net_fini,
};

static uint64_t features_of(unsigned able)
{
    return FEATURES | (able & NET_TAKES_CSUM ? F_CSUM : 0) |
           (able & NET_TAKES_TCP4 ? F_HOST_TSO4 : 0) |
           (able & NET_TAKES_TCP6 ? F_HOST_TSO6 : 0) |
           (able & NET_TAKES_ECN ? F_HOST_ECN : 0) |
           (able & NET_GIVES_CSUM ? F_GUEST_CSUM | F_CTRL_GUEST_OFFLOADS : 0) |
           (able & NET_GIVES_TCP4 ? F_GUEST_TSO4 : 0) |
           (able & NET_GIVES_TCP6 ? F_GUEST_TSO6 : 0) |
           (able & NET_GIVES_ECN ? F_GUEST_ECN : 0);
}

int virtio_net_init(struct virtio_net *d, unsigned instance,
                    struct pci_host *host, struct loop *loop, struct net *net,
                    struct error *err)
{
    memset(d, 0, sizeof(*d));
    d->net = net;
    memcpy(d->mac, net->mac, 6);
    d->wait = calloc(1, WAIT_MAX);
    d->frame = malloc(NET_FRAME_MAX);
    if (!d->wait || !d->frame)
        error_set(err, ENOMEM, "out of memory");
    else
        err->code = 0;
    virtio_init(&d->v, &net_class, &virtio_net_ops, instance, host,
                features_of(net->able), 3, QUEUE_SIZE);
    d->v.loop = loop;
    if (err->code || pci_add(host, &d->v.pci, err)) {
        free(d->wait);
        free(d->frame);
        return -err->code;
    }
    timer_init(&d->more, loop, net_more);
    net_attach(net, net_rx, d);
    return 0;
}
