/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port.h - the host's end of a named port: a unix socket that one program at
 * a time connects to, or a file that gets what the guest says.
 *
 * Nothing is buffered here: what a program sends stays in its socket until the
 * guest takes it, and what the guest sends stays in its ring until the program
 * does. All calls come with the device lock held.
 */
#pragma once

#include "base/loop.h"
#include "io/chardev.h"
#include "io/unix_socket.h"

#define PORT_NAME_MAX 63u

enum port_kind {
    PORT_NOWHERE, /* in a replay: somebody reads it, nobody writes */
    PORT_UNIX,
    PORT_FILE,
};

/* Without pointers: it can be kept in a snapshot as it is. */
struct port_config {
    enum port_kind kind;
    char name[PORT_NAME_MAX + 1];
    char path[512];
    char base[512]; /* of a fork: the first parent's path */
};

struct port {
    struct chardev chr; /* to be given to the device */
    struct loop *loop;
    struct port_config cfg;
    struct unix_listener at;
    struct loop_fd conn; /* fd -1: nobody is there */
    bool watched;        /* conn is in epoll's set, for: */
    uint32_t events;
    bool ended;      /* it sends no more, */
    bool hung_up;    /* nor reads */
    bool waits;      /* the guest's last output was not taken */
    bool guest_open; /* a program of the guest's has it open */
    int file;        /* -1: none */
    bool failed;     /* it cannot be written to; that was told */
};

/* "NAME=unix:PATH" or "NAME=file:PATH". */
int port_config_parse(struct port_config *c, const char *text,
                      struct error *err) must_check;
int port_open(struct port **out, const struct port_config *cfg, struct loop *l,
              struct error *err) must_check;
void port_close(struct port *p);
