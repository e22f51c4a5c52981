/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_balloon.h - memory that the guest does without goes back to the
 * host: what it puts into the balloon, and what it reports as free.
 *                                                       [virtio 1.2 5.5]
 */
#pragma once

#include "dev/virtio/virtio.h"

/* Tags of the driver's statistics [virtio 1.2 5.5.6.3]. */
#define VIRTIO_BALLOON_STATS 10

struct virtio_balloon {
    struct virtio v;
    uint32_t target, actual;             /* pages of 4 KiB in the balloon */
    bool stats_held;                     /* the driver waits to be asked: */
    uint16_t stats_head;                 /* by this chain's coming back */
    uint64_t stat[VIRTIO_BALLOON_STATS]; /* bytes or counts; */
    uint32_t stat_valid;                 /* a bit each */
    uint64_t reported; /* bytes that were given back, all in all */
    struct virtq_chain chain;
};

/* Takes the next free PCI slot. */
int virtio_balloon_init(struct virtio_balloon *b, unsigned instance,
                        struct pci_host *host, struct error *err) must_check;
/* How large it should be. The driver sees to it, or not. Device lock. */
void virtio_balloon_set(struct virtio_balloon *b, uint64_t bytes);
/* Asks for new statistics: they come some time later. */
void virtio_balloon_ask(struct virtio_balloon *b);
/* The name of statistic i. */
const char *virtio_balloon_stat(unsigned i);
