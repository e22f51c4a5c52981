/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtq.h - a split virtqueue, from the device's side.  [virtio 1.2 2.7]
 *
 * The driver is hostile. A ring is read once, through checked accessors;
 * chains are bounded by the queue's size, so loops end; every buffer is RAM
 * or the queue is broken: virtq_pop() says -EINVAL and the transport sets
 * NEEDS_RESET. Device lock, but for virtq_buf_*() on a popped chain.
 */
#pragma once

#include <sys/uio.h>

#include "base/state.h"
#include "mem/guest_mem.h"

#define VIRTQ_SIZE_MAX 256
#define VIRTQ_IOV_MAX  256 /* buffers of a chain, indirect ones included */

#define VIRTQ_DESC_NEXT     1
#define VIRTQ_DESC_WRITE    2
#define VIRTQ_DESC_INDIRECT 4

struct virtq {
    struct guest_mem *mem;
    uint64_t desc, avail, used; /* guest-physical */
    uint16_t size, size_max;
    bool ready;
    bool broken;         /* until the device is reset */
    bool event_index;    /* VIRTIO_F_EVENT_IDX was agreed on */
    bool indirect;       /* VIRTIO_F_INDIRECT_DESC was agreed on */
    uint16_t last_avail; /* next chain that we take */
    uint16_t used_idx;   /* next slot of the used ring */
    uint16_t signalled;  /* used_idx at the last interrupt */
    bool signalled_valid;
    bool deaf;     /* a chain may come without a kick */
    uint16_t msix; /* vector, 0xffff: none */
};

/* A chain: what the device reads, then what it writes. */
struct virtq_chain {
    uint16_t head;
    unsigned out_n, in_n;            /* vectors of each kind */
    uint64_t out_len, in_len;        /* bytes of each kind */
    struct iovec iov[VIRTQ_IOV_MAX]; /* out, then in; host pointers */
    gpa_t gpa[VIRTQ_IOV_MAX];
};

void virtq_init(struct virtq *q, struct guest_mem *mem, uint16_t size_max);
void virtq_reset(struct virtq *q);
/* The driver sets queue_enable. -EINVAL: rings that are not RAM. */
int virtq_enable(struct virtq *q) must_check;
/* 1: a chain; 0: nothing there; -EINVAL: broken. */
int virtq_pop(struct virtq *q, struct virtq_chain *c) must_check;
/*
 * Gives the last popped chain back, as if it had not been taken; again: the
 * one before it.
 */
void virtq_unpop(struct virtq *q);
/* Chains that wait; 0 also if broken or not ready. */
unsigned virtq_waiting(struct virtq *q);
/* `written` bytes went into the chain's in-buffers. */
void virtq_push(struct virtq *q, uint16_t head, uint32_t written);
/*
 * As virtq_push() for several chains that the driver must see at once: the
 * at-th of them, counted from 0; then virtq_flush() of all.
 */
void virtq_fill(struct virtq *q, unsigned at, uint16_t head, uint32_t written);
void virtq_flush(struct virtq *q, unsigned count);
/* After one or more pushes: does the driver want an interrupt? */
bool virtq_should_signal(struct virtq *q);
/*
 * Device to driver: do, or do not, tell about new chains. True: chains came
 * in while switching on; look again.
 */
bool virtq_want_kicks(struct virtq *q, bool on);
/*
 * Chains were popped and no kicks asked for since: whoever stopped there, for
 * want of room or time, has to come back, even if nothing waits now.
 */
bool virtq_deaf(const struct virtq *q);
/*
 * The chains that wait are too few: tell about the next that comes. True: it
 * came meanwhile.
 */
bool virtq_want_more(struct virtq *q);

/* Copies from the out-buffers, from byte `off` on; returns how many. */
size_t virtq_buf_read(const struct virtq_chain *c, uint64_t off, void *buf,
                      size_t len);
/* Copies into the in-buffers and reports the write to mem/. */
size_t virtq_buf_write(struct virtq *q, const struct virtq_chain *c,
                       uint64_t off, const void *buf, size_t len);
/* The first len bytes of the in-buffers were written through pointers. */
void virtq_buf_written(struct virtq *q, const struct virtq_chain *c,
                       uint64_t len);

void virtq_save(const struct virtq *q, struct state_writer *w, unsigned n);
void virtq_load(struct virtq *q, struct state_reader *r, unsigned n);
