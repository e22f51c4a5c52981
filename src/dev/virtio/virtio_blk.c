/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_blk.c - requests and completions.              [virtio 1.2 5.2]
 *
 * A request is popped and checked under the device lock, served by the disk's
 * queue without it, and pushed under it again. The queue touches nothing but
 * the request's operation, the image, and guest RAM through the chain's
 * pointers. A reset drops what is queued and waits for what is being done, so
 * that no buffer is written afterwards.
 */
#include "dev/virtio/virtio_blk.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/iov.h"
#include "base/log.h"

#define F_SEG_MAX      BIT64(2)
#define F_RO           BIT64(5)
#define F_BLK_SIZE     BIT64(6)
#define F_FLUSH        BIT64(9)
#define F_MQ           BIT64(12)
#define F_DISCARD      BIT64(13)
#define F_WRITE_ZEROES BIT64(14)

enum {
    T_IN = 0,
    T_OUT = 1,
    T_FLUSH = 4,
    T_GET_ID = 8,
    T_DISCARD = 11,
    T_WRITE_ZEROES = 13
};
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };

#define QUEUE_SIZE 128
#define SEG_MAX    (QUEUE_SIZE - 2)
#define POOL       64 /* requests in flight; the rest waits in the rings */
#define ZERO_MAX   (16u << 11) /* sectors a request: 16 MiB */
#define ZERO_UNMAP 1u
/* A chain may name the same RAM many times: a reset has to wait for it. */
#define DATA_MAX (64 * MiB)

struct blk_header {
    uint32_t type, reserved;
    uint64_t sector;
};

struct blk_range {
    uint64_t sector;
    uint32_t sectors, flags;
};

struct blk_config {
    uint64_t capacity;
    uint32_t size_max, seg_max;
    uint16_t cylinders;
    uint8_t heads, sectors;
    uint32_t blk_size;
    uint8_t physical_exp, alignment;
    uint16_t min_io;
    uint32_t opt_io;
    uint8_t writeback, unused0;
    uint16_t num_queues;
    uint32_t max_discard_sectors, max_discard_seg, discard_alignment;
    uint32_t max_zeroes_sectors, max_zeroes_seg;
    uint8_t zeroes_may_unmap, unused1[3];
};

static_assert(sizeof(struct blk_header) == 16, "virtio_blk_req");
static_assert(sizeof(struct blk_range) == 16, "discard segment");
static_assert(sizeof(struct blk_config) == 64, "virtio_blk_config");
static_assert(offsetof(struct blk_config, num_queues) == 34, "config");
static_assert(offsetof(struct blk_config, zeroes_may_unmap) == 56, "config");

struct virtio_blk_req {
    struct virtio_blk_req *next;
    unsigned queue;
    struct blk_header head;
    uint8_t status;
    uint32_t written;                /* bytes in in-buffers, less the status */
    struct disk_io io;               /* for the queue */
    struct iovec iov[VIRTQ_IOV_MAX]; /* the data alone */
    struct virtq_chain chain;
};

static struct virtio_blk *blk_of(struct virtio *v)
{
    return container_of(v, struct virtio_blk, v);
}

static struct virtio_blk_req *req_alloc(struct virtio_blk *b)
{
    struct virtio_blk_req *r = b->free;

    if (r)
        b->free = r->next;
    return r;
}

static void req_free(struct virtio_blk *b, struct virtio_blk_req *r)
{
    r->next = b->free;
    b->free = r;
}

static bool sectors_valid(const struct virtio_blk *b, uint64_t sector,
                          uint64_t len)
{
    uint64_t total = b->disk->size / DISK_SECTOR;

    return len <= DATA_MAX && len % DISK_SECTOR == 0 && sector <= total &&
           len / DISK_SECTOR <= total - sector;
}

/* DISCARD and WRITE_ZEROES carry one range here (max_*_seg is 1). */
static uint8_t range_prepare(struct virtio_blk *b, struct virtio_blk_req *r)
{
    bool zero = r->head.type == T_WRITE_ZEROES;
    uint32_t allowed = zero ? ZERO_UNMAP : 0;
    struct blk_range range;

    if (b->disk->read_only ||
        r->chain.out_len != sizeof(r->head) + sizeof(range))
        return S_IOERR;
    virtq_buf_read(&r->chain, sizeof(r->head), &range, sizeof(range));
    if (range.flags & ~allowed)
        return S_UNSUPP;
    if (range.sectors > ZERO_MAX ||
        !sectors_valid(b, range.sector, (uint64_t)range.sectors * DISK_SECTOR))
        return S_IOERR;
    r->io.r = (struct disk_request){
        .op = zero ? DISK_ZERO : DISK_DISCARD,
        .unmap = range.flags & ZERO_UNMAP,
        .off = range.sector * DISK_SECTOR,
        .len = (uint64_t)range.sectors * DISK_SECTOR,
    };
    r->io.sync &= zero;
    return S_OK;
}

/* Everything that can be checked beforehand; S_OK: the queue may go. */
static uint8_t req_prepare(struct virtio_blk *b, struct virtio_blk_req *r)
{
    struct virtq_chain *c = &r->chain;
    struct disk_request *d = &r->io.r;
    uint64_t in = c->in_len - 1;

    virtq_buf_read(c, 0, &r->head, sizeof(r->head));
    r->written = 0;
    /* a driver that knows no FLUSH relies on what it has written */
    r->io = (struct disk_io){.iov = r->iov, .sync = !(b->v.agreed & F_FLUSH)};
    d->iov = r->iov;
    d->off = r->head.sector * DISK_SECTOR;
    switch (r->head.type) {
    case T_IN:
        if (!sectors_valid(b, r->head.sector, in))
            return S_IOERR;
        d->op = DISK_READ;
        d->len = in;
        d->n =
            iov_slice(r->iov, VIRTQ_IOV_MAX, c->iov + c->out_n, c->in_n, 0, in);
        r->io.sync = false;
        return S_OK;
    case T_OUT:
        d->op = DISK_WRITE;
        d->len = c->out_len - sizeof(r->head);
        if (b->disk->read_only || !sectors_valid(b, r->head.sector, d->len))
            return S_IOERR;
        d->n = iov_slice(r->iov, VIRTQ_IOV_MAX, c->iov, c->out_n,
                         sizeof(r->head), d->len);
        return S_OK;
    case T_FLUSH:
        d->op = DISK_FLUSH;
        r->io.sync = false;
        return S_OK;
    case T_GET_ID:
        return S_OK;
    case T_DISCARD:
    case T_WRITE_ZEROES:
        return range_prepare(b, r);
    default:
        return S_UNSUPP;
    }
}

/* The host's answer becomes the guest's status. */
static void req_done(struct virtio_blk *b, struct virtio_blk_req *r)
{
    b->count[r->io.r.op].requests++;
    b->count[r->io.r.op].bytes += r->io.rc ? 0 : r->io.r.len;
    r->status = r->io.rc ? S_IOERR : S_OK;
    if (r->io.rc)
        log_debug("disk %s: %s", b->disk->path, strerror(-r->io.rc));
    else if (r->io.r.op == DISK_READ)
        r->written = (uint32_t)r->io.r.len;
}

/* Status into the last in-byte, chain into the used ring. */
static void req_complete(struct virtio_blk *b, struct virtio_blk_req *r)
{
    struct virtq *q = &b->v.q[r->queue];

    if (r->written)
        virtq_buf_written(q, &r->chain, r->written);
    if (r->head.type == T_GET_ID && r->status == S_OK) {
        char id[VIRTIO_BLK_SERIAL] = {0};

        memcpy(id, b->serial, strnlen(b->serial, sizeof(id)));
        r->written = (uint32_t)virtq_buf_write(
            q, &r->chain, 0, id, MIN(sizeof(id), r->chain.in_len - 1));
    }
    virtq_buf_write(q, &r->chain, r->chain.in_len - 1, &r->status, 1);
    virtq_push(q, r->chain.head, r->written + 1);
}

/* Takes one chain off queue n; false: nothing more for now. */
static bool queue_take(struct virtio_blk *b, unsigned n)
{
    struct virtio_blk_req *r = req_alloc(b);
    int got;

    if (!r)
        return false; /* completions will look again */
    got = virtq_pop(&b->v.q[n], &r->chain);
    if (got == 1 && (r->chain.out_len < sizeof(r->head) || !r->chain.in_len)) {
        b->v.q[n].broken = true; /* no place for a header or a status */
        got = -EINVAL;
    }
    if (got < 0)
        virtio_broken(&b->v, "bad request");
    if (got <= 0) {
        req_free(b, r);
        return got == 0 && virtq_want_kicks(&b->v.q[n], true);
    }
    r->queue = n;
    r->status = req_prepare(b, r);
    if (r->status == S_OK && r->head.type != T_GET_ID) {
        if (!b->at_once) {
            disk_queue_put(&b->io, &r->io);
            return true;
        }
        disk_io_do(b->disk, &r->io);
        req_done(b, r);
    }
    req_complete(b, r);
    req_free(b, r);
    return true;
}

/* Queues of which requests are done. */
static uint32_t blk_complete(struct virtio_blk *b)
{
    struct disk_io *io = disk_queue_take(&b->io);
    uint32_t queues = 0;

    while (io) {
        struct virtio_blk_req *r = container_of(io, struct virtio_blk_req, io);

        io = io->next;
        req_done(b, r);
        req_complete(b, r);
        queues |= BIT(r->queue);
        req_free(b, r);
    }
    return queues;
}

static uint32_t blk_deaf(struct virtio_blk *b)
{
    uint32_t queues = 0;

    for (unsigned i = 0; i < b->v.queues && virtio_running(&b->v); i++)
        queues |= virtq_deaf(&b->v.q[i]) ? BIT(i) : 0;
    return queues;
}

/*
 * Takes what is on these queues, and completes what is done. As that makes
 * places in the pool, it then looks at those that were left for want of one.
 */
static void blk_pump(struct virtio_blk *b, uint32_t look)
{
    /* A ring's worth at most: a vCPU may be filling it. */
    unsigned budget = 2 * VIRTQ_SIZE_MAX;
    uint32_t tell = look;

    do {
        uint32_t done;

        for (unsigned i = 0; i < b->v.queues; i++)
            if (look & BIT(i))
                while (budget && queue_take(b, i))
                    budget--;
        tell |= look;
        if (b->at_once)
            break;
        disk_queue_go(&b->io);
        done = blk_complete(b);
        tell |= done;
        look = done || !budget ? blk_deaf(b) : 0;
    } while (look && budget);
    if (look && !budget)
        disk_queue_poke(&b->io);
    for (unsigned i = 0; i < b->v.queues; i++)
        if (tell & BIT(i))
            virtio_signal(&b->v, i);
}

static void blk_notify(struct virtio *v, unsigned q)
{
    blk_pump(blk_of(v), BIT(q));
}

static void blk_ready(struct disk_queue *q)
{
    struct virtio_blk *b = container_of(q, struct virtio_blk, io);

    blk_pump(b, blk_deaf(b));
}

static void blk_stop(struct virtio *v)
{
    struct virtio_blk *b = blk_of(v);
    struct disk_io *io = b->at_once ? NULL : disk_queue_drop(&b->io);

    while (io) {
        struct virtio_blk_req *r = container_of(io, struct virtio_blk_req, io);

        io = io->next;
        req_free(b, r);
    }
}

static void blk_driver_ok(struct virtio *v)
{
    blk_pump(blk_of(v), BIT(v->queues) - 1);
}

static void blk_config_read(struct virtio *v, unsigned off, void *buf,
                            unsigned len)
{
    struct virtio_blk *b = blk_of(v);
    struct blk_config cfg = {
        .capacity = b->disk->size / DISK_SECTOR,
        .seg_max = SEG_MAX,
        .blk_size = DISK_SECTOR,
        .writeback = 1,
        .num_queues = (uint16_t)v->queues,
        .max_discard_sectors = ZERO_MAX,
        .max_discard_seg = 1,
        .discard_alignment = 1,
        .max_zeroes_sectors = ZERO_MAX,
        .max_zeroes_seg = 1,
        .zeroes_may_unmap = 1,
    };

    memcpy(buf, (const uint8_t *)&cfg + off, len);
}

static const struct virtio_class blk_class = {
    .id = VIRTIO_ID_BLOCK,
    .class_code = 0x010000,
    .config_len = 60,
    .notify = blk_notify,
    .config_read = blk_config_read,
    .driver_ok = blk_driver_ok,
    .reset = blk_stop,
};

static struct virtio_blk *blk_dev(struct device *d)
{
    return container_of(d, struct virtio_blk, v.pci.dev);
}

void virtio_blk_drain(struct virtio_blk *b)
{
    uint32_t done = 0;

    if (b->at_once)
        return;
    disk_queue_drain(&b->io);
    done = blk_complete(b);
    for (unsigned i = 0; i < b->v.queues; i++)
        if (done & BIT(i))
            virtio_signal(&b->v, i);
    if (blk_deaf(b))
        disk_queue_poke(&b->io); /* for when the machine goes on */
}

static void virtio_blk_save(struct device *d, struct state_writer *w)
{
    struct virtio_blk *b = blk_dev(d);

    virtio_blk_drain(b);
    state_begin(w, d->ops->name, d->instance, 1);
    virtio_save(&b->v, w);
    state_put(w, "sectors", b->disk->size / DISK_SECTOR);
    state_end(w);
}

static int virtio_blk_load(struct device *d, struct state_reader *r,
                           struct error *err)
{
    struct virtio_blk *b = blk_dev(d);
    uint64_t sectors;

    blk_stop(&b->v);
    state_open(r, d->ops->name, d->instance, 1);
    sectors = state_get(r, "sectors");
    if (virtio_load(&b->v, r, err))
        return -err->code;
    if (sectors != b->disk->size / DISK_SECTOR)
        return error_set(err, EINVAL,
                         "disk %s: has another size than the "
                         "one that was saved",
                         b->disk->path);
    if (virtio_running(&b->v))
        blk_driver_ok(&b->v);
    return 0;
}

static void virtio_blk_fini(struct device *d)
{
    struct virtio_blk *b = blk_dev(d);

    pci_remove(&b->v.pci);
    disk_queue_close(&b->io); /* what is queued is still written */
    free(b->pool);
    b->pool = b->free = NULL;
}

static const struct device_ops virtio_blk_ops = {
    "virtio-blk",    virtio_device_reset, virtio_blk_save,
    virtio_blk_load, virtio_blk_fini,
};

static int blk_start(struct virtio_blk *b, struct pci_host *host,
                     struct error *err)
{
    b->pool = calloc(POOL, sizeof(*b->pool));
    if (!b->pool)
        return error_set(err, ENOMEM, "out of memory");
    b->pool_len = POOL;
    for (unsigned i = 0; i < POOL; i++)
        req_free(b, &b->pool[i]);
    if (!b->at_once &&
        disk_queue_open(&b->io, b->disk, b->v.loop, blk_ready, err))
        return -err->code;
    return pci_add(host, &b->v.pci, err);
}

int virtio_blk_init(struct virtio_blk *b, unsigned instance,
                    struct pci_host *host, struct loop *loop, struct disk *disk,
                    const char *serial, unsigned queues, struct error *err)
{
    uint64_t features = F_SEG_MAX | F_BLK_SIZE | F_FLUSH;

    features |= disk->read_only ? F_RO : F_DISCARD | F_WRITE_ZEROES;
    if (queues > 1)
        features |= F_MQ;
    memset(b, 0, sizeof(*b));
    virtio_init(&b->v, &blk_class, &virtio_blk_ops, instance, host, features,
                queues, QUEUE_SIZE);
    b->v.loop = loop;
    b->at_once = loop->clock->source != NULL;
    b->disk = disk;
    strncpy(b->serial, serial ? serial : "", VIRTIO_BLK_SERIAL);
    if (!blk_start(b, host, err))
        return 0;
    virtio_blk_fini(&b->v.pci.dev);
    return -err->code;
}
