/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_queue.h - operations of a disk that are done while the caller goes on.
 *
 * There are two ways: io_uring (disk_ring.h), for plain files; and a thread
 * that does one after the other, for everything: images in a format, disks
 * with a tap, a kernel that has or allows no io_uring, and operations that
 * did not go smoothly. The ways may be mixed: operations that are under way
 * together have no order, as on a real disk.
 *
 * All functions are called with the device lock held.
 */
#pragma once

#include <pthread.h>

#include "base/loop.h"
#include "fence/fence.h"
#include "io/disk.h"

/* enum fence_needs of the worker. */
#define DISK_QUEUE_NEEDS FENCE_DISK

struct disk_ring;

/* The caller's until it is put, and again when it was taken. */
struct disk_io {
    struct disk_io *next;
    struct disk_request r; /* r.iov and iov: the same vectors */
    struct iovec *iov;     /* consumed */
    bool sync;             /* a flush behind it */
    int rc;                /* 0 or -errno, when it is done */
};

struct disk_queue {
    struct disk *d;
    struct loop *loop;
    struct disk_ring *ring; /* NULL: by the thread alone */
    /* Event thread: some are done. */
    void (*ready)(struct disk_queue *q);
    struct loop_fd ring_fd, done_fd;
    pthread_t worker;
    bool worker_on;
    pthread_mutex_t lock; /* the rest; leaf: nothing is taken inside */
    pthread_cond_t work, idle;
    struct disk_io *todo, **todo_end;
    struct disk_io *done, **done_end;
    bool busy, stop;
};

/* d outlives the queue, and says by its `aio' how. */
int disk_queue_open(struct disk_queue *q, struct disk *d, struct loop *loop,
                    void (*ready)(struct disk_queue *q),
                    struct error *err) must_check;
/* What is under way is done before. */
void disk_queue_close(struct disk_queue *q);

void disk_queue_put(struct disk_queue *q, struct disk_io *io);
/* What was put is begun. */
void disk_queue_go(struct disk_queue *q);
/* A list of those that are done; no more than go() and ready() are needed. */
struct disk_io *disk_queue_take(struct disk_queue *q);
/* ready() will be called. */
void disk_queue_poke(struct disk_queue *q);
/* Waits until all are done. */
void disk_queue_drain(struct disk_queue *q);
/* As little as possible is done of what was put; a list of all of them. */
struct disk_io *disk_queue_drop(struct disk_queue *q);
/* Is something under way, or done and not taken? */
bool disk_queue_busy(struct disk_queue *q);

/* The operation itself, here and now. */
void disk_io_do(struct disk *d, struct disk_io *io);
