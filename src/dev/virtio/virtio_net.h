/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_net.h - a virtio network card with one pair of queues.
 *                                                       [virtio 1.2 5.1]
 */
#pragma once

#include "dev/virtio/virtio.h"
#include "io/net.h"

#define VIRTIO_NET_MACS 64 /* of each kind in the driver's filter */

/* Unicast or multicast addresses that the driver wants. */
struct virtio_net_filter {
    unsigned count;
    bool overflow; /* more than fit: all of the kind are wanted */
    uint8_t mac[VIRTIO_NET_MACS][6];
};

struct virtio_net {
    struct virtio v;
    struct net *net;
    struct timer more; /* the transmit queue had too much for one go */
    uint8_t mac[6];
    bool announce; /* the driver is to tell the network where it is */
    bool promisc, allmulti, alluni, nomulti, nouni, nobcast;
    struct virtio_net_filter uni, multi;
    /* Frames that wait for buffers: a length, a header, bytes; and so on. */
    uint8_t *wait;
    size_t wait_first, wait_end;
    /* Frames that the driver got and gave; not a part of its state. */
    struct virtio_net_count {
        uint64_t frames, bytes;
    } rx, tx;
    uint8_t *frame; /* scratch: the one that goes out */
    struct virtq_chain out, in, head;
};

/*
 * net stays the caller's and must outlive the device. Takes the next free PCI
 * slot.
 */
int virtio_net_init(struct virtio_net *d, unsigned instance,
                    struct pci_host *host, struct loop *loop, struct net *net,
                    struct error *err) must_check;
