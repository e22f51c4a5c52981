/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_ring.h - a disk's file through io_uring.
 *
 * The kernel does the operations while the caller goes on. What it finds in
 * its page cache it has done when disk_ring_submit() returns. Not thread-safe:
 * one caller at a time, from whichever thread.
 */
#pragma once

#include "io/disk.h"

#define DISK_RING_ENTRIES 64u

struct disk_io;
struct disk_ring;

/* Fails where the kernel has none, or does not let us. */
int disk_ring_open(struct disk_ring **r, struct error *err) must_check;
/* What is pending is lost: wait for it first. */
void disk_ring_close(struct disk_ring *r);
/* Readable when something is done. */
int disk_ring_fd(const struct disk_ring *r);

/* False: not an operation for the ring, or it is full. */
bool disk_ring_put(struct disk_ring *r, struct disk *d, struct disk_io *io);
/*
 * The kernel begins with what was put; if it has no room for all, with the
 * rest when this is called again, after one is done. Nonzero: it takes no
 * more, and nothing is under way; disk_ring_left() has what it did not take.
 */
int disk_ring_submit(struct disk_ring *r) must_check;
struct disk_io *disk_ring_left(struct disk_ring *r);
/*
 * One that is done, or NULL. Its rc is 0, -errno, or -EAGAIN: it has to be
 * done again, by disk_do(), which will know what is wrong.
 */
struct disk_io *disk_ring_next(struct disk_ring *r);
unsigned disk_ring_pending(const struct disk_ring *r);
/* Until one is done; with `cancel`, what has not begun is done at once. */
void disk_ring_wait(struct disk_ring *r, bool cancel);
