/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_balloon.c - queues inflate 0 and deflate 1, then those of the
 * features that were agreed on: statistics, free page reports.
 *
 * A page that is given back reads as anything until the guest writes it. The
 * guest can only hurt itself: these are its own pages.
 */
#include "dev/virtio/virtio_balloon.h"

#include <assert.h>
#include <string.h>

#include "base/log.h"

#define F_STATS     BIT64(1)
#define F_DEFLATE   BIT64(2) /* on its own, when memory is short */
#define F_REPORTING BIT64(5)

#define INFLATE    0
#define DEFLATE    1
#define QUEUE_SIZE 128
#define PFNS       256u /* looked at at a time */

struct balloon_config {
    uint32_t pages, actual;
};

struct stat_entry {
    uint16_t tag;
    uint64_t val;
} __attribute__((packed));

static_assert(sizeof(struct balloon_config) == 8, "virtio_balloon_config");
static_assert(sizeof(struct stat_entry) == 10, "virtio_balloon_stat");

enum role { ROLE_INFLATE, ROLE_DEFLATE, ROLE_STATS, ROLE_REPORT, ROLE_NONE };

const char *virtio_balloon_stat(unsigned i)
{
    static const char *const names[VIRTIO_BALLOON_STATS] = {
        "swap-in", "swap-out",  "major-faults", "minor-faults", "free",
        "total",   "available", "disk-caches",  "huge-allocs",  "huge-fails"};

    return i < VIRTIO_BALLOON_STATS ? names[i] : NULL;
}

static struct virtio_balloon *balloon_of(struct virtio *v)
{
    return container_of(v, struct virtio_balloon, v);
}

/* A queue exists only with its feature, and the next takes its number. */
static enum role role_of(const struct virtio_balloon *b, unsigned q)
{
    if (q <= DEFLATE)
        return q == INFLATE ? ROLE_INFLATE : ROLE_DEFLATE;
    q -= 2;
    if (b->v.agreed & F_STATS) {
        if (!q)
            return ROLE_STATS;
        q--;
    }
    return !q && (b->v.agreed & F_REPORTING) ? ROLE_REPORT : ROLE_NONE;
}

static void give_back(struct virtio_balloon *b, gpa_t gpa, uint64_t len)
{
    b->reported += guest_mem_discard(b->v.q[0].mem, gpa, len);
}

/* Page numbers; runs of them go at once. */
static void inflate(struct virtio_balloon *b)
{
    uint32_t pfn[PFNS];
    uint64_t at = 0;
    size_t n;

    while ((n = virtq_buf_read(&b->chain, at, pfn, sizeof(pfn)) / 4)) {
        for (size_t i = 0, run; i < n; i += run) {
            uint64_t first = pfn[i];

            for (run = 1; i + run < n && pfn[i + run] == first + run; run++)
                continue;
            give_back(b, first << PAGE_SHIFT, (uint64_t)run << PAGE_SHIFT);
        }
        at += 4 * n;
    }
}

static void report(struct virtio_balloon *b)
{
    const struct virtq_chain *c = &b->chain;

    for (unsigned i = c->out_n; i < c->out_n + c->in_n; i++)
        give_back(b, c->gpa[i], c->iov[i].iov_len);
}

static void stats_read(struct virtio_balloon *b)
{
    struct stat_entry e;

    /* As many entries as there are tags; more says nothing new. */
    for (unsigned i = 0; i < VIRTIO_BALLOON_STATS; i++) {
        if (virtq_buf_read(&b->chain, i * sizeof(e), &e, sizeof(e)) !=
            sizeof(e))
            break;
        if (e.tag >= VIRTIO_BALLOON_STATS)
            continue;
        b->stat[e.tag] = e.val;
        b->stat_valid |= BIT(e.tag);
    }
}

static int balloon_chain(struct virtio *v, unsigned q)
{
    struct virtio_balloon *b = balloon_of(v);

    switch (role_of(b, q)) {
    case ROLE_INFLATE:
        inflate(b);
        return 0;
    case ROLE_REPORT:
        report(b);
        return 0;
    case ROLE_STATS:
        stats_read(b);
        if (b->stats_held)
            return 0; /* a driver with two of them */
        b->stats_held = true;
        b->stats_head = b->chain.head;
        return -1;
    default:
        return 0; /* deflated pages come back when they are touched */
    }
}

static void balloon_notify(struct virtio *v, unsigned q)
{
    virtio_serve(v, q, &balloon_of(v)->chain, balloon_chain);
}

/* Linux rings the bell for its first statistics before it is ready. */
static void balloon_driver_ok(struct virtio *v)
{
    for (unsigned i = 0; i < v->queues; i++)
        if (v->q[i].ready)
            balloon_notify(v, i);
}

void virtio_balloon_set(struct virtio_balloon *b, uint64_t bytes)
{
    uint64_t max = b->v.q[0].mem->ram_size >> PAGE_SHIFT;

    b->target = (uint32_t)MIN(bytes >> PAGE_SHIFT, max);
    virtio_config_changed(&b->v);
}

void virtio_balloon_ask(struct virtio_balloon *b)
{
    if (!b->stats_held || !virtio_running(&b->v))
        return;
    b->stats_held = false;
    virtq_push(&b->v.q[2], b->stats_head, 0);
    virtio_signal(&b->v, 2);
}

static void balloon_config(struct virtio *v, unsigned off, void *buf,
                           unsigned len)
{
    struct balloon_config cfg = {balloon_of(v)->target, balloon_of(v)->actual};

    memcpy(buf, (const uint8_t *)&cfg + off, len);
}

/* The driver tells how large it is. */
static void balloon_config_write(struct virtio *v, unsigned off,
                                 const void *buf, unsigned len)
{
    struct virtio_balloon *b = balloon_of(v);

    if (off == offsetof(struct balloon_config, actual) && len == 4)
        memcpy(&b->actual, buf, 4);
}

static void balloon_stop(struct virtio *v)
{
    struct virtio_balloon *b = balloon_of(v);

    b->actual = 0;
    b->stats_held = false;
    b->stat_valid = 0;
}

static const struct virtio_class balloon_class = {
    .id = VIRTIO_ID_BALLOON,
    .class_code = 0xff0000,
    .config_len = sizeof(struct balloon_config),
    .notify = balloon_notify,
    .config_read = balloon_config,
    .config_write = balloon_config_write,
    .driver_ok = balloon_driver_ok,
    .reset = balloon_stop,
};

static struct virtio_balloon *balloon_dev(struct device *d)
{
    return container_of(d, struct virtio_balloon, v.pci.dev);
}

static void virtio_balloon_reset(struct device *d)
{
    balloon_dev(d)->target = 0; /* a kernel that boots needs its memory */
    virtio_device_reset(d);
}

static void virtio_balloon_save(struct device *d, struct state_writer *w)
{
    struct virtio_balloon *b = balloon_dev(d);

    state_begin(w, d->ops->name, d->instance, 1);
    virtio_save(&b->v, w);
    state_put(w, "target", b->target);
    state_put(w, "actual", b->actual);
    state_put(w, "stats_held", b->stats_held);
    state_put(w, "stats_head", b->stats_head);
    state_end(w);
}

static int virtio_balloon_load(struct device *d, struct state_reader *r,
                               struct error *err)
{
    struct virtio_balloon *b = balloon_dev(d);

    state_open(r, d->ops->name, d->instance, 1);
    b->target = (uint32_t)state_get_max(r, "target", UINT32_MAX);
    b->actual = (uint32_t)state_get_max(r, "actual", UINT32_MAX);
    b->stats_held = state_get_max(r, "stats_held", 1);
    b->stats_head =
        (uint16_t)state_get_max(r, "stats_head", VIRTQ_SIZE_MAX - 1);
    return virtio_load(&b->v, r, err);
}

static void virtio_balloon_fini(struct device *d)
{
    pci_remove(&balloon_dev(d)->v.pci);
}

static const struct device_ops virtio_balloon_ops = {
    "virtio-balloon",    virtio_balloon_reset, virtio_balloon_save,
    virtio_balloon_load, virtio_balloon_fini,
};

int virtio_balloon_init(struct virtio_balloon *b, unsigned instance,
                        struct pci_host *host, struct error *err)
{
    memset(b, 0, sizeof(*b));
    virtio_init(&b->v, &balloon_class, &virtio_balloon_ops, instance, host,
                F_STATS | F_DEFLATE | F_REPORTING, 4, QUEUE_SIZE);
    return pci_add(host, &b->v.pci, err);
}
