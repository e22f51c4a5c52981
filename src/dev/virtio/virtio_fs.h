/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_fs.h - a shared folder for the guest.          [virtio 1.2 5.11]
 *
 * The event and vCPU threads only take requests off the rings; a few workers
 * serve them through io/share and post completions back to the loop.
 */
#pragma once

#include <pthread.h>

#include "dev/virtio/virtio.h"
#include "fence/fence.h"
#include "io/share/share.h"

#define VIRTIO_FS_WORKERS 4
#define VIRTIO_FS_NEEDS   FENCE_FILES /* enum fence_needs of each */

struct virtio_fs_req;

struct virtio_fs {
    struct virtio v;
    struct share *share;
    char tag[SHARE_TAG_MAX];
    struct virtio_fs_req *pool, *free;

    pthread_t worker[VIRTIO_FS_WORKERS];
    unsigned workers;
    struct loop_fd done_fd; /* eventfd: `done` is not empty */
    pthread_mutex_t lock;   /* the rest; nothing is taken inside */
    pthread_cond_t work, idle;
    struct virtio_fs_req *todo, **todo_end;
    struct virtio_fs_req *done, **done_end;
    unsigned busy; /* workers that serve a request */
    bool stop;
};

/*
 * share stays the caller's and must outlive the device. tag: at most
 * SHARE_TAG_MAX bytes. Starts threads; not for a clock with a source, whose
 * guest must not see when they are done.
 */
int virtio_fs_init(struct virtio_fs *f, unsigned instance,
                   struct pci_host *host, struct loop *loop,
                   struct share *share, const char *tag,
                   struct error *err) must_check;

/* Device lock held: afterwards no request is under way. */
void virtio_fs_drain(struct virtio_fs *f);
