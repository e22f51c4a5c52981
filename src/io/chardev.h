/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chardev.h - the two ends of a byte channel: a host back-end (terminal) and
 * a device (serial port, virtio console).
 *
 * Nothing here blocks. Each side says how much it takes and tells the other
 * when it can take more. All calls come with the device lock held.
 *
 * Either end may have a program that comes and goes: who is at the host's is
 * told by chardev_connect(), who is at the guest's by chardev_opened(). A
 * terminal is always there.
 */
#pragma once

#include "base/util.h"

struct chardev;

/* What the device offers; any member may be NULL. */
struct chardev_client {
    /* Is anybody listening, be it that there is no room now? NULL: yes. */
    bool (*ready)(void *ctx);
    size_t (*can_receive)(void *ctx); /* bytes it would take now */
    /* Does somebody ask for input over and over? NULL: no. */
    bool (*polled)(void *ctx);
    void (*receive)(void *ctx, const uint8_t *buf, size_t len);
    void (*writable)(void *ctx); /* after a short chardev_write() */
    void (*resize)(void *ctx, unsigned cols, unsigned rows);
    void (*send_break)(void *ctx);
    void (*connected)(void *ctx, bool on); /* somebody is at the host's end */
};

/* What the back-end offers. */
struct chardev_ops {
    /* How many of the bytes it took; fewer than len: writable() will come. */
    size_t (*write)(struct chardev *c, const uint8_t *buf, size_t len);
    /* can_receive() may have grown. */
    void (*can_accept)(struct chardev *c);
    /* Optional: a program of the guest's has it open, or no more. */
    void (*opened)(struct chardev *c, bool on);
};

struct chardev {
    const struct chardev_ops *ops; /* NULL: output vanishes, no input */
    const struct chardev_client *client;
    void *client_ctx;
    uint16_t cols, rows; /* last known size, 0: unknown */
    bool away;           /* nobody is at the host's end: output vanishes */
};

/* The device's side. c may be NULL: nothing is connected. */
void chardev_attach(struct chardev *c, const struct chardev_client *client,
                    void *ctx);
size_t chardev_write(struct chardev *c, const uint8_t *buf, size_t len);
void chardev_can_accept(struct chardev *c);
void chardev_opened(struct chardev *c, bool on);

/* The back-end's side. */
bool chardev_ready(struct chardev *c);
size_t chardev_room(struct chardev *c);
bool chardev_polled(struct chardev *c);
void chardev_receive(struct chardev *c, const uint8_t *buf, size_t len);
void chardev_writable(struct chardev *c);
void chardev_resize(struct chardev *c, unsigned cols, unsigned rows);
void chardev_break(struct chardev *c);
void chardev_connect(struct chardev *c, bool on);
