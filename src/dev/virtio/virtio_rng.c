/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/virtio/virtio_rng.h"

#include <string.h>
#include <sys/random.h>

#define QUEUE_SIZE 8
#define TICKS      20u /* refills a second */
#define SLICE      (uint32_t)(VIRTIO_RNG_RATE / TICKS)
#define TICK_NS    (1000000000ull / TICKS)

static struct virtio_rng *rng_of(struct virtio *v)
{
    return container_of(v, struct virtio_rng, v);
}

/* SplitMix64: any seed will do, and it is repeatable. */
static uint64_t seed_next(uint64_t *s)
{
    uint64_t z = *s += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static void rng_bytes(struct virtio_rng *r, uint8_t *buf, size_t len)
{
    for (size_t at = 0; at < len; at += 8) {
        uint64_t n = 0;

        if (r->seeded)
            n = seed_next(&r->seed);
        /* Never short for so few bytes, once the host's pool is up. */
        else if (getrandom(&n, sizeof(n), 0) != sizeof(n))
            continue;
        memcpy(buf + at, &n, MIN(8, len - at));
    }
}

/* As much of the chain as the budget allows; a short answer is allowed. */
static uint32_t rng_fill(struct virtio_rng *r, struct virtq *q)
{
    uint32_t len = (uint32_t)MIN(r->chain.in_len, r->budget), done = 0;
    uint8_t buf[512];

    while (done < len) {
        uint32_t n = MIN(len - done, (uint32_t)sizeof(buf));

        rng_bytes(r, buf, n);
        virtq_buf_write(q, &r->chain, done, buf, n);
        done += n;
    }
    return done;
}

static void rng_serve(struct virtio_rng *r)
{
    struct virtq *q = &r->v.q[0];

    /* Chains without room take budget too, so that this ends. */
    while (r->budget && virtio_running(&r->v)) {
        uint32_t n;
        int rc = virtq_pop(q, &r->chain);

        if (rc < 0)
            virtio_broken(&r->v, "bad request queue");
        if (rc < 0 || (!rc && !virtq_want_kicks(q, true)))
            break;
        if (!rc)
            continue;
        n = rng_fill(r, q);
        virtq_push(q, r->chain.head, n);
        r->budget -= MAX(n, 1);
    }
    if (r->budget < SLICE && !timer_armed(&r->refill))
        timer_arm(&r->refill, clock_now(r->v.loop->clock) + TICK_NS);
    virtio_signal(&r->v, 0);
}

static void rng_refill(struct timer *t)
{
    struct virtio_rng *r = container_of(t, struct virtio_rng, refill);

    r->budget = SLICE;
    if (virtio_running(&r->v))
        rng_serve(r);
}

static void rng_notify(struct virtio *v, unsigned q)
{
    (void)q;
    rng_serve(rng_of(v));
}

static void rng_stop(struct virtio *v)
{
    /* The budget and its timer stay: a reset is no way to get more. */
    (void)v;
}

static void rng_config(struct virtio *v, unsigned off, void *buf, unsigned len)
{
    (void)v;
    (void)off;
    memset(buf, 0, len);
}

static const struct virtio_class rng_class = {
    .id = VIRTIO_ID_RNG,
    .class_code = 0xff0000,
    .config_len = 0,
    .notify = rng_notify,
    .config_read = rng_config,
    .reset = rng_stop,
};

static struct virtio_rng *rng_dev(struct device *d)
{
    return container_of(d, struct virtio_rng, v.pci.dev);
}

static void virtio_rng_save(struct device *d, struct state_writer *w)
{
    struct virtio_rng *r = rng_dev(d);

    state_begin(w, d->ops->name, d->instance, 1);
    virtio_save(&r->v, w);
    state_put(w, "budget", r->budget);
    state_put(w, "seed", r->seed);
    state_put(w, "refill", timer_armed(&r->refill) ? r->refill.deadline : 0);
    state_end(w);
}

static int virtio_rng_load(struct device *d, struct state_reader *rd,
                           struct error *err)
{
    struct virtio_rng *r = rng_dev(d);
    uint64_t at, now = clock_now(r->v.loop->clock);

    state_open(rd, d->ops->name, d->instance, 1);
    r->budget = (uint32_t)state_get_max(rd, "budget", SLICE);
    r->seed = state_get(rd, "seed");
    at = state_get(rd, "refill");
    timer_cancel(&r->refill);
    if (at)
        timer_arm(&r->refill, MIN(at, now + TICK_NS));
    return virtio_load(&r->v, rd, err);
}

static void virtio_rng_fini(struct device *d)
{
    struct virtio_rng *r = rng_dev(d);

    timer_cancel(&r->refill);
    pci_remove(&r->v.pci);
}

static const struct device_ops virtio_rng_ops = {
    "virtio-rng",    virtio_device_reset, virtio_rng_save,
    virtio_rng_load, virtio_rng_fini,
};

int virtio_rng_init(struct virtio_rng *r, unsigned instance,
                    struct pci_host *host, struct loop *loop,
                    const uint64_t *seed, struct error *err)
{
    virtio_init(&r->v, &rng_class, &virtio_rng_ops, instance, host, 0, 1,
                QUEUE_SIZE);
    r->v.loop = loop;
    r->budget = SLICE;
    r->seeded = seed != NULL;
    r->seed = seed ? *seed : 0;
    if (pci_add(host, &r->v.pci, err))
        return -err->code;
    timer_init(&r->refill, loop, rng_refill);
    return 0;
}
