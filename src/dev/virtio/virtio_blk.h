/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_blk.h - a virtio disk over an image.           [virtio 1.2 5.2]
 *
 * The event and vCPU threads take requests off the rings; io/disk_queue.h does
 * the I/O and posts completions back to the loop.
 */
#pragma once

#include "dev/virtio/virtio.h"
#include "io/disk_queue.h"

#define VIRTIO_BLK_SERIAL 20

struct virtio_blk_req;

struct virtio_blk {
    struct virtio v;
    struct disk *disk;
    char serial[VIRTIO_BLK_SERIAL + 1];
    struct virtio_blk_req *pool, *free; /* as many as descriptors, shared */
    unsigned pool_len;

    /* Done since the machine began, for people; not a part of its state. */
    struct virtio_blk_count {
        uint64_t requests, bytes;
    } count[DISK_OPS]; /* by enum disk_op */

    bool at_once; /* deterministic: done when the driver notifies */
    struct disk_queue io;
};

/*
 * disk stays the caller's and must outlive the device. serial: what GET_ID
 * answers, at most 20 bytes. queues: 1..VIRTIO_QUEUES_MAX. With a loop whose
 * clock has a source all I/O is done in the notify.
 */
int virtio_blk_init(struct virtio_blk *b, unsigned instance,
                    struct pci_host *host, struct loop *loop, struct disk *disk,
                    const char *serial, unsigned queues,
                    struct error *err) must_check;

/* Device lock held: afterwards nothing is in flight. */
void virtio_blk_drain(struct virtio_blk *b);
