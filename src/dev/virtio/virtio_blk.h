/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_blk.h - a virtio disk over a raw image.        [virtio 1.2 5.2]
 *
 * The event and vCPU threads only take requests off the rings; one worker
 * thread a disk does the I/O and posts completions back to the loop.
 */
#pragma once

#include <pthread.h>

#include "dev/virtio/virtio.h"
#include "io/disk.h"

#define VIRTIO_BLK_SERIAL 20

struct virtio_blk_req;

struct virtio_blk {
    struct virtio v;
    struct disk *disk;
    char serial[VIRTIO_BLK_SERIAL + 1];
    struct virtio_blk_req *pool, *free; /* as many as descriptors, shared */
    unsigned pool_len;

    bool at_once; /* deterministic: done when the driver notifies */
    pthread_t worker;
    bool worker_on;
    struct loop_fd done_fd; /* eventfd: `done` is not empty */
    pthread_mutex_t lock;   /* the rest; leaf: nothing is taken inside */
    pthread_cond_t work, idle;
    struct virtio_blk_req *todo, **todo_end;
    struct virtio_blk_req *done, **done_end;
    bool busy, stop;
};

/*
 * disk stays the caller's and must outlive the device. serial: what GET_ID
 * answers, at most 20 bytes. queues: 1..VIRTIO_QUEUES_MAX. Starts a thread,
 * unless the loop's clock has a source: then all I/O is done in the notify.
 */
int virtio_blk_init(struct virtio_blk *b, unsigned instance,
                    struct pci_host *host, struct loop *loop, struct disk *disk,
                    const char *serial, unsigned queues,
                    struct error *err) must_check;
