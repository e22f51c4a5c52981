/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_console_int.h - what the two files of the console share. */
#pragma once

#include "dev/virtio/virtio_console.h"

#define CONSOLE_F_SIZE      BIT64(0)
#define CONSOLE_F_MULTIPORT BIT64(1)

#define CONSOLE_CTRL_RX 2
#define CONSOLE_CTRL_TX 3

/* What waits to be said of a port, in this order; see virtio_console_say(). */
enum {
    CONSOLE_SAY_ADD = BIT(0),
    CONSOLE_SAY_CONSOLE = BIT(1),
    CONSOLE_SAY_NAME = BIT(2),
    CONSOLE_SAY_CLOSE = BIT(3),
    CONSOLE_SAY_OPEN = BIT(4),
    CONSOLE_SAY_SIZE = BIT(5),
};

/* Messages about a port, as soon as the driver has buffers. */
void virtio_console_say(struct virtio_console_port *p, unsigned what);
/* The driver has sent some. */
void virtio_console_ctrl(struct virtio_console *c);
/* Sends what is due. */
void virtio_console_ctrl_flush(struct virtio_console *c);
/* The host's end came or went. */
void virtio_console_connected(void *port, bool on);

/* virtio_console.c: what a port's output waited for may have come. */
void virtio_console_transmit(struct virtio_console_port *p);
