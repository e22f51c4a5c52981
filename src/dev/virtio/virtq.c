/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtq.c - split virtqueues.                          [virtio 1.2 2.7]
 *
 * Ring layout: avail is flags, idx, ring[size], used_event; used is flags,
 * idx, {id, len}[size], avail_event. All little-endian, as the host is.
 */
#include "dev/virtio/virtq.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/iov.h"
#include "base/log.h"

#define AVAIL_NO_INTERRUPT 1
#define USED_NO_NOTIFY     1

struct desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
};

void virtq_init(struct virtq *q, struct guest_mem *mem, uint16_t size_max)
{
    *q = (struct virtq){.mem = mem, .size_max = MIN(size_max, VIRTQ_SIZE_MAX)};
    virtq_reset(q);
}

void virtq_reset(struct virtq *q)
{
    *q = (struct virtq){
        .mem = q->mem,
        .size_max = q->size_max,
        .size = q->size_max,
        .msix = 0xffff,
    };
}

/* A 16-bit word of a ring; rings were checked when the queue was enabled. */
static uint16_t ring_get16(const struct virtq *q, gpa_t gpa)
{
    const uint16_t *p = guest_mem_ptr(q->mem, gpa, 2);

    return p ? __atomic_load_n(p, __ATOMIC_ACQUIRE) : 0;
}

static void ring_put16(const struct virtq *q, gpa_t gpa, uint16_t v)
{
    uint16_t *p = guest_mem_ptr(q->mem, gpa, 2);

    if (!p)
        return;
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
    guest_mem_written(q->mem, gpa, 2);
}

static int rings_check(const struct virtq *q)
{
    uint64_t n = q->size;

    if (!n || n > q->size_max || (n & (n - 1)))
        return -EINVAL;
    if ((q->desc & 15) || (q->avail & 1) || (q->used & 3))
        return -EINVAL;
    if (!guest_mem_ptr(q->mem, q->desc, 16 * n) ||
        !guest_mem_ptr(q->mem, q->avail, 6 + 2 * n) ||
        !guest_mem_ptr(q->mem, q->used, 6 + 8 * n))
        return -EINVAL;
    return 0;
}

int virtq_enable(struct virtq *q)
{
    if (rings_check(q))
        return -EINVAL;
    q->ready = true;
    return 0;
}

static int virtq_break(struct virtq *q, const char *why)
{
    log_guest("virtqueue: %s", why);
    q->broken = true;
    return -EINVAL;
}

unsigned virtq_waiting(struct virtq *q)
{
    uint16_t n;

    if (!q->ready || q->broken)
        return 0;
    n = (uint16_t)(ring_get16(q, q->avail + 2) - q->last_avail);
    return n > q->size ? 0 : n;
}

static int chain_add(struct virtq *q, struct virtq_chain *c,
                     const struct desc *d)
{
    unsigned n = c->out_n + c->in_n;
    void *p;

    if (n == VIRTQ_IOV_MAX)
        return virtq_break(q, "too many buffers in a chain");
    /* RAM only: no descriptor may name a device. */
    p = guest_mem_ptr(q->mem, d->addr, d->len);
    if (!p)
        return virtq_break(q, "a buffer is not in RAM");
    c->iov[n] = (struct iovec){p, d->len};
    c->gpa[n] = d->addr;
    if (d->flags & VIRTQ_DESC_WRITE) {
        c->in_n++;
        c->in_len += d->len;
        return 0;
    }
    if (c->in_n)
        return virtq_break(q, "a buffer to read after one to write");
    c->out_n++;
    c->out_len += d->len;
    return 0;
}

/* A table of `size` descriptors; every link counts, so that loops end. */
static int table_walk(struct virtq *q, struct virtq_chain *c, gpa_t table,
                      unsigned size, unsigned at, bool indirect)
{
    for (unsigned left = size; left; left--) {
        struct desc d;

        if (at >= size)
            return virtq_break(q, "a link out of the table");
        if (guest_mem_read(q->mem, table + 16ull * at, &d, sizeof(d)))
            return virtq_break(q, "a descriptor is not in RAM");
        if (d.flags & VIRTQ_DESC_INDIRECT) {
            if (indirect || !q->indirect || (d.flags & VIRTQ_DESC_NEXT) ||
                !d.len || d.len % 16 || d.len / 16 > q->size)
                return virtq_break(q, "a wrong indirect descriptor");
            return table_walk(q, c, d.addr, d.len / 16, 0, true);
        }
        if (chain_add(q, c, &d))
            return -EINVAL;
        if (!(d.flags & VIRTQ_DESC_NEXT))
            return 0;
        at = d.next;
    }
    return virtq_break(q, "a chain is a loop");
}

int virtq_pop(struct virtq *q, struct virtq_chain *c)
{
    uint16_t n, head;

    if (!q->ready)
        return 0;
    if (q->broken)
        return -EINVAL;
    /* Acquire: the ring and the descriptors are read after the index. */
    n = (uint16_t)(ring_get16(q, q->avail + 2) - q->last_avail);
    if (!n)
        return 0;
    if (n > q->size)
        return virtq_break(q, "the available index ran away");
    head = ring_get16(q, q->avail + 4 + 2 * (q->last_avail & (q->size - 1u)));
    if (head >= q->size)
        return virtq_break(q, "a head out of the table");
    c->head = head;
    c->out_n = c->in_n = 0;
    c->out_len = c->in_len = 0;
    if (table_walk(q, c, q->desc, q->size, head, false))
        return -EINVAL;
    q->last_avail++;
    q->deaf = true;
    return 1;
}

void virtq_unpop(struct virtq *q)
{
    q->last_avail--;
}

void virtq_fill(struct virtq *q, unsigned at, uint16_t head, uint32_t written)
{
    uint32_t elem[2] = {head, written};
    uint16_t slot = (uint16_t)(q->used_idx + at);

    if (!q->ready || q->broken)
        return;
    if (guest_mem_write(q->mem, q->used + 4 + 8 * (slot & (q->size - 1u)), elem,
                        sizeof(elem)))
        q->broken = true; /* the rings were RAM when they were enabled */
}

void virtq_flush(struct virtq *q, unsigned count)
{
    if (!q->ready || q->broken)
        return;
    q->used_idx += (uint16_t)count;
    /* Release: the elements, and the buffers, before the index. */
    ring_put16(q, q->used + 2, q->used_idx);
}

void virtq_push(struct virtq *q, uint16_t head, uint32_t written)
{
    virtq_fill(q, 0, head, written);
    virtq_flush(q, 1);
}

bool virtq_should_signal(struct virtq *q)
{
    uint16_t old = q->signalled, event;
    bool valid = q->signalled_valid;

    if (!q->ready || q->broken)
        return false;
    /* The index before the driver's wish; pairs with the driver's barrier. */
    atomic_thread_fence(memory_order_seq_cst);
    q->signalled = q->used_idx;
    q->signalled_valid = true;
    if (!q->event_index)
        return q->used_idx != old &&
               !(ring_get16(q, q->avail) & AVAIL_NO_INTERRUPT);
    event = ring_get16(q, q->avail + 4 + 2 * q->size);
    return !valid ||
           (uint16_t)(q->used_idx - event - 1) < (uint16_t)(q->used_idx - old);
}

bool virtq_want_kicks(struct virtq *q, bool on)
{
    if (!q->ready || q->broken)
        return false;
    if (!q->event_index)
        ring_put16(q, q->used, on ? 0 : USED_NO_NOTIFY);
    else if (on)
        ring_put16(q, q->used + 4 + 8 * q->size, q->last_avail);
    q->deaf = !on;
    if (!on)
        return false;
    /* Our wish before the look; pairs with the driver's barrier. */
    atomic_thread_fence(memory_order_seq_cst);
    return virtq_waiting(q) != 0;
}

bool virtq_deaf(const struct virtq *q)
{
    return q->ready && !q->broken && q->deaf;
}

bool virtq_want_more(struct virtq *q)
{
    unsigned n = virtq_waiting(q);

    if (!q->ready || q->broken)
        return false;
    if (!q->event_index)
        ring_put16(q, q->used, 0);
    else
        ring_put16(q, q->used + 4 + 8 * q->size, (uint16_t)(q->last_avail + n));
    /* Our wish before the look; pairs with the driver's barrier. */
    atomic_thread_fence(memory_order_seq_cst);
    return virtq_waiting(q) != n;
}

size_t virtq_buf_read(const struct virtq_chain *c, uint64_t off, void *buf,
                      size_t len)
{
    return iov_get(c->iov, c->out_n, off, buf, len);
}

/* Reports [off, off + len) of the in-buffers. */
static void buf_written(struct virtq *q, const struct virtq_chain *c,
                        uint64_t off, uint64_t len)
{
    for (unsigned i = c->out_n; i < c->out_n + c->in_n && len; i++) {
        uint64_t have = c->iov[i].iov_len, n = MIN(have - MIN(off, have), len);

        if (n)
            guest_mem_written(q->mem, c->gpa[i] + off, n);
        off -= MIN(off, have);
        len -= n;
    }
}

size_t virtq_buf_write(struct virtq *q, const struct virtq_chain *c,
                       uint64_t off, const void *buf, size_t len)
{
    len = iov_put(c->iov + c->out_n, c->in_n, off, buf, len);
    buf_written(q, c, off, len);
    return len;
}

void virtq_buf_written(struct virtq *q, const struct virtq_chain *c,
                       uint64_t len)
{
    buf_written(q, c, 0, len);
}

static const char *field(char *buf, size_t len, unsigned n, const char *name)
{
    snprintf(buf, len, "q%u.%s", n, name);
    return buf;
}

void virtq_save(const struct virtq *q, struct state_writer *w, unsigned n)
{
    char f[32];

    state_put(w, field(f, sizeof(f), n, "desc"), q->desc);
    state_put(w, field(f, sizeof(f), n, "avail"), q->avail);
    state_put(w, field(f, sizeof(f), n, "used"), q->used);
    state_put(w, field(f, sizeof(f), n, "size"), q->size);
    state_put(w, field(f, sizeof(f), n, "ready"), q->ready);
    state_put(w, field(f, sizeof(f), n, "broken"), q->broken);
    state_put(w, field(f, sizeof(f), n, "last_avail"), q->last_avail);
    state_put(w, field(f, sizeof(f), n, "used_idx"), q->used_idx);
    state_put(w, field(f, sizeof(f), n, "signalled"), q->signalled);
    state_put(w, field(f, sizeof(f), n, "valid"), q->signalled_valid);
    state_put(w, field(f, sizeof(f), n, "msix"), q->msix);
}

void virtq_load(struct virtq *q, struct state_reader *r, unsigned n)
{
    char f[32];

    q->desc = state_get(r, field(f, sizeof(f), n, "desc"));
    q->avail = state_get(r, field(f, sizeof(f), n, "avail"));
    q->used = state_get(r, field(f, sizeof(f), n, "used"));
    q->size =
        (uint16_t)state_get_max(r, field(f, sizeof(f), n, "size"), q->size_max);
    q->ready = state_get_max(r, field(f, sizeof(f), n, "ready"), 1);
    q->broken = state_get_max(r, field(f, sizeof(f), n, "broken"), 1);
    q->last_avail = (uint16_t)state_get_max(
        r, field(f, sizeof(f), n, "last_avail"), 0xffff);
    q->used_idx =
        (uint16_t)state_get_max(r, field(f, sizeof(f), n, "used_idx"), 0xffff);
    q->signalled =
        (uint16_t)state_get_max(r, field(f, sizeof(f), n, "signalled"), 0xffff);
    q->signalled_valid = state_get_max(r, field(f, sizeof(f), n, "valid"), 1);
    q->msix =
        (uint16_t)state_get_max(r, field(f, sizeof(f), n, "msix"), 0xffff);
    if (q->ready && rings_check(q))
        q->broken = true;
}
