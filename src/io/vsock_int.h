/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_int.h - what the files of vsock share. */
#pragma once

#include "io/vsock.h"

#define VSOCK_GREETING_MAX 31u
/* The host's ports of its own connections, as Firecracker's. */
#define VSOCK_PORT_BASE (1u << 30)

enum vsock_state {
    VSOCK_GREETING,  /* a host program has not said CONNECT yet */
    VSOCK_REQUESTED, /* the guest has not answered */
    VSOCK_IS_OPEN,
    VSOCK_ENDED, /* for the guest; an RST may be due, or data for the host */
};

struct vsock_conn {
    struct vsock *v;
    struct vsock_conn *next;       /* in its bucket */
    struct vsock_conn *next_ready; /* in v->ready, if in_ready */
    bool in_ready;
    struct loop_fd fd;
    bool watched;       /* epoll has it, for: */
    uint32_t events;    /* and HUP; see conn_watch() */
    struct timer limit; /* the guest is to answer by then */
    enum vsock_state state;
    char line[VSOCK_GREETING_MAX + 1]; /* the greeting, as far as it came */
    unsigned line_len;
    uint32_t guest_port, host_port;
    unsigned due;    /* BIT(op): packets that are to be sent */
    bool readable;   /* there may be data, or the end of it */
    bool no_more;    /* to come from the host */
    bool deaf;       /* the host's program takes no more */
    unsigned told;   /* VSOCK_SHUT flags that the guest got from us, */
    unsigned shut;   /* and we from it */
    uint32_t tx_cnt; /* bytes sent to the guest, ever */
    uint32_t peer_alloc, peer_fwd; /* its buffer, and what it has read */
    bool begged;                   /* for credit, since it last gave any */
    /* Bytes from the guest, ever; written to the host; as the guest knows. */
    uint32_t rx_cnt, fwd_cnt, fwd_told;
    uint8_t *buf; /* a ring of VSOCK_BUF, byte n at n % VSOCK_BUF; or NULL */
};

/* vsock.c */
struct vsock_conn *vsock_conn_new(struct vsock *v, int fd);
/* Gone at once, without a word to the guest. */
void vsock_conn_free(struct vsock_conn *c);
void vsock_conn_number(struct vsock_conn *c, uint32_t guest_port,
                       uint32_t host_port);
struct vsock_conn *vsock_find(struct vsock *v, uint32_t guest_port,
                              uint32_t host_port);
/* `ops`, BIT(op) each, are to be sent. */
void vsock_conn_due(struct vsock_conn *c, unsigned ops);
/* Over; the guest is told. May free c. */
void vsock_conn_abort(struct vsock_conn *c);
/* Sets what epoll looks for. */
void vsock_conn_watch(struct vsock_conn *c);
void vsock_wake(struct vsock *v);

/* vsock_host.c */
int vsock_listen(struct vsock *v, const char *path,
                 struct error *err) must_check;
/* The guest wants a port of the host's: a socket, or -errno. */
int vsock_dial(const struct vsock *v, uint32_t port);
/* c, in GREETING: there is something to read. May free c. */
void vsock_greet(struct vsock_conn *c);
/* There may be room for one more. */
void vsock_accept_more(struct vsock *v);
