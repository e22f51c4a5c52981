/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_vsock.h - a virtio socket device.              [virtio 1.2 5.10]
 */
#pragma once

#include "dev/virtio/virtio.h"
#include "io/vsock.h"

struct virtio_vsock {
    struct virtio v;
    struct vsock *vs;
    struct timer more; /* a queue had too much for one go */
    bool moved;        /* the driver must learn that connections are gone; */
    bool told;         /* it was told, and has not acted yet; */
    struct timer acts; /* by then it has, as far as we wait */
    uint8_t *data;     /* scratch: a packet's, VSOCK_PACKET */
    struct virtq_chain out, in;
};

/*
 * vs stays the caller's and must outlive the device. Takes the next free PCI
 * slot. After load() the guest is told that its connections are reset, and
 * finds vs->cid as its number.
 */
int virtio_vsock_init(struct virtio_vsock *d, unsigned instance,
                      struct pci_host *host, struct loop *loop,
                      struct vsock *vs, struct error *err) must_check;
