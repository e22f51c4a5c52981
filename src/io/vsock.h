/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock.h - the host's end of a virtio socket device: streams of the guest's
 * on unix sockets, in Firecracker's convention.
 *
 * The guest connects to the host (CID 2), port P: we connect to PATH_P. A
 * program of the host's connects to PATH, writes "CONNECT P\n" and reads "OK
 * <its port>\n" once the guest's port P has accepted; else it is closed.
 *
 * Packets are those of the device [virtio 1.2 5.10.6]. The guest is hostile:
 * each stream buffers VSOCK_BUF bytes for a host program that does not read,
 * and whoever sends more than that without credit loses its connection.
 * What the host sends stays in its socket until the guest has room.
 *
 * All calls come with the device lock held.
 */
#pragma once

#include <assert.h>

#include "base/loop.h"
#include "io/unix_socket.h"

#define VSOCK_CID_HOST  2u
#define VSOCK_CID_FIRST 3u /* of a guest */
#define VSOCK_CID_LAST  0xfffffffeu
#define VSOCK_BUF       65536u /* bytes; a power of two */
#define VSOCK_PACKET    65536u /* data in one, at most */
#define VSOCK_CONNS_MAX 1024u
#define VSOCK_SPARE     11u /* behind PATH: "_4294967295" */

enum vsock_op {
    VSOCK_INVALID,
    VSOCK_REQUEST,
    VSOCK_RESPONSE,
    VSOCK_RST,
    VSOCK_SHUTDOWN,
    VSOCK_RW,
    VSOCK_CREDIT_UPDATE,
    VSOCK_CREDIT_REQUEST,
};

#define VSOCK_STREAM   1 /* type */
#define VSOCK_SHUT_RCV 1 /* flags of SHUTDOWN: its sender will not receive */
#define VSOCK_SHUT_SND 2 /* nor send */
#define VSOCK_SHUT     3

/* struct virtio_vsock_hdr */
struct vsock_header {
    uint64_t src_cid, dst_cid;
    uint32_t src_port, dst_port;
    uint32_t len;
    uint16_t type, op;
    uint32_t flags;
    uint32_t buf_alloc, fwd_cnt; /* the sender's credit for its peer */
} __attribute__((packed));

static_assert(sizeof(struct vsock_header) == 44, "virtio_vsock_hdr");

struct vsock_conn;

struct vsock_config {
    const char *path;
    /*
     * Of a fork: the first parent's. Where nobody listens at PATH_P, its
     * services are the fork's too. NULL: none.
     */
    const char *base;
    uint32_t cid; /* 0: no vsock */
};

struct vsock {
    struct loop *loop;
    struct unix_listener at;
    char base[sizeof(((struct sockaddr_un *)0)->sun_path)];
    uint32_t cid;
    void (*wake)(void *ctx); /* the device's: a packet may be there */
    void *wake_ctx;
    struct vsock_conn *bucket[64];
    struct vsock_conn *ready, **ready_end; /* have something for the guest */
    unsigned conns, conns_max;
    uint32_t next_port; /* of the host's side of its own connections */
    /* RSTs for what is no connection; one too many is dropped. */
    struct vsock_header rst[64];
    unsigned rst_first, rst_len;
    uint64_t to_guest, to_host; /* bytes ever */
};

/* Creates the socket and listens. *out stays the caller's. */
int vsock_open(struct vsock **out, const struct vsock_config *cfg,
               struct loop *l, struct error *err) must_check;
void vsock_close(struct vsock *v);

/* --- the device's side --- */

void vsock_attach(struct vsock *v, void (*wake)(void *ctx), void *ctx);
/* All connections end. */
void vsock_reset(struct vsock *v);
/* A packet of the guest's, with h->len bytes, at most VSOCK_PACKET. */
void vsock_take(struct vsock *v, const struct vsock_header *h,
                const uint8_t *data);
/* May there be a packet for the guest? */
bool vsock_pending(const struct vsock *v);
/*
 * The next packet for the guest, with up to room bytes (at least 1) in buf.
 * False: there is none after all.
 */
bool vsock_give(struct vsock *v, struct vsock_header *h, uint8_t *buf,
                size_t room);
