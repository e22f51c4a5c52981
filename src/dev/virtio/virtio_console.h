/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_console.h - a virtio console with one port and a window size.
 *                                                       [virtio 1.2 5.3]
 */
#pragma once

#include "dev/virtio/virtio.h"
#include "io/chardev.h"

struct virtio_console {
    struct virtio v;
    struct chardev *chr;
    uint16_t cols, rows;
    bool size_told;              /* the driver has been made to look at them */
    bool out_waits;              /* a chain is partly written: */
    uint64_t out_done;           /* bytes of it that are out */
    struct virtq_chain chain;    /* the one that goes out */
    struct virtq_chain rx_chain; /* scratch */
};

/* chr may be NULL. Takes the next free PCI slot. */
int virtio_console_init(struct virtio_console *c, unsigned instance,
                        struct pci_host *host, struct chardev *chr,
                        struct error *err) must_check;
