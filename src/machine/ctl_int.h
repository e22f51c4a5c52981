/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl_int.h - what the files of the control socket share.
 */
#pragma once

#include <json-c/json.h>

#include "io/unix_socket.h"
#include "machine/ctl.h"
#include "machine/machine_int.h"

#define CTL_LINE_MAX    65536u
#define CTL_CLIENTS_MAX 32u
#define CTL_OUT_MAX     (1u << 20) /* a client that does not read is dropped */

struct ctl_client {
    struct loop_fd lf;
    struct ctl *ctl;
    struct ctl_client *next;
    char *in; /* CTL_LINE_MAX */
    size_t in_len;
    uint8_t *out;
    size_t out_len, out_room;
    bool on_out;  /* epoll tells when it can be written to */
    bool closing; /* when all is out */
    bool busy;    /* a command is under way: nothing is read meanwhile */
    bool console; /* no longer lines, but the console's bytes */
    struct console_viewer viewer;
};

struct ctl {
    struct machine *m;
    struct unix_listener at;
    struct loop_fd listener; /* its descriptor, which works while time stands */
    struct ctl_client *clients;
    unsigned count;
    uint64_t started; /* host's CLOCK_MONOTONIC */
};

/* ctl_cmd.c: does one; answers through ctl_answer(), now or later. */
void ctl_command(struct ctl_client *c, struct json_object *req);

/* ctl_top.c: a command; all that it counts, without stopping anybody. */
void ctl_counters(struct ctl_client *c, struct json_object *req);
/* running, paused, debugged */
const char *ctl_state(const struct machine *m);

/* Sends {"ok": true} and what `more` (consumed, may be NULL) has. */
void ctl_answer(struct ctl_client *c, struct json_object *more);
void ctl_refuse(struct ctl_client *c, const char *fmt, ...) printf_like(2, 3);
/* Bytes as they are. */
void ctl_send(struct ctl_client *c, const void *buf, size_t len);
/* Is it still there? What was begun for it may end after it has gone. */
bool ctl_alive(const struct ctl *ctl, const struct ctl_client *c);
