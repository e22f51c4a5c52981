/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_console.h - a virtio console: port 0 is a terminal with a size; with
 * others, which have names, it has control queues too.  [virtio 1.2 5.3]
 */
#pragma once

#include "dev/virtio/virtio.h"
#include "io/chardev.h"

#define VIRTIO_CONSOLE_PORTS 7 /* as many as there are queues for */

/* A port but the first, as init() gets it. */
struct virtio_console_named {
    const char *name; /* the caller's, outlives the device */
    struct chardev *chr;
};

struct virtio_console_port {
    struct virtio_console *con;
    const char *name;
    struct chardev *chr;
    unsigned due;             /* control messages for the driver */
    bool ready;               /* the driver knows it */
    bool guest_open;          /* a program of the guest's has it open */
    bool told;                /* the driver: somebody is at the other end */
    bool out_waits;           /* a chain is partly written: */
    uint64_t out_done;        /* bytes of it that are out */
    struct virtq_chain chain; /* the one that goes out */
};

struct virtio_console {
    struct virtio v;
    uint16_t cols, rows;
    bool size_told; /* the driver has been made to look at them */
    unsigned ports;
    struct virtio_console_port port[VIRTIO_CONSOLE_PORTS];
    struct virtq_chain in; /* scratch */
};

/*
 * chr: port 0's, may be NULL. named: n others, copied; they may come and go
 * (chardev_connect()), as the guest's ends do (chardev_opened()). Takes the
 * next free PCI slot.
 */
int virtio_console_init(struct virtio_console *c, unsigned instance,
                        struct pci_host *host, struct chardev *chr,
                        const struct virtio_console_named *named, unsigned n,
                        struct error *err) must_check;
