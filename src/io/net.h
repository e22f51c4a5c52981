/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net.h - the two ends of an Ethernet link: a host back-end (the user network,
 * a tap) and a device.
 *
 * Frames go one at a time, and either side may drop one: nothing here blocks
 * or says "later". Frames of a guest are hostile bytes; net_send() has checked
 * their header. All calls come with the device lock held, from any thread.
 */
#pragma once

#include "base/loop.h"
#include "io/net_config.h"

/* Ethernet, one VLAN tag, and what IP can count. */
#define NET_FRAME_MAX (18 + 65535u)
#define NET_FRAME_MIN 14u /* an Ethernet header */

/* struct virtio_net_hdr_v1 [virtio 1.2 5.1.6]; a tap wants the same. */
struct net_header {
    uint8_t flags, gso_type;
    uint16_t header_len, gso_size;
    uint16_t csum_start, csum_offset;
    uint16_t buffers; /* the device's business */
};

#define NET_NEEDS_CSUM 1 /* flags */
#define NET_CSUM_VALID 2

#define NET_GSO_NONE 0 /* gso_type */
#define NET_GSO_TCP4 1
#define NET_GSO_TCP6 4
#define NET_GSO_ECN  0x80

/* What a back-end can do; what it was asked to do with what it gives. */
#define NET_TAKES_CSUM BIT(0) /* frames with unfinished checksums */
#define NET_TAKES_TCP4 BIT(1) /* TCP segments of up to 64 KiB */
#define NET_TAKES_TCP6 BIT(2)
#define NET_TAKES_ECN  BIT(3)
#define NET_GIVES_CSUM BIT(4) /* frames marked valid or unfinished */
#define NET_GIVES_TCP4 BIT(5)
#define NET_GIVES_TCP6 BIT(6)
#define NET_GIVES_ECN  BIT(7)
#define NET_GIVES      0xf0u
#define NET_ABLE_MASK  0xffu

struct net;

struct net_ops {
    /* A guest's frame, a copy; the back-end may change it. */
    void (*send)(struct net *n, const struct net_header *h, uint8_t *frame,
                 size_t len);
    /* Optional: which of its NET_GIVES the driver can take. */
    void (*gives)(struct net *n, unsigned gives);
    void (*close)(struct net *n);
};

/* What the device offers. */
typedef void net_receive_fn(void *ctx, const struct net_header *h,
                            const uint8_t *frame, size_t len);

struct net {
    const struct net_ops *ops; /* NULL: a cable that leads nowhere */
    unsigned able;             /* NET_TAKES and NET_GIVES */
    uint16_t mtu;
    uint8_t mac[6];
    net_receive_fn *receive; /* the device's */
    void *receive_ctx;
    /*
     * Where frames from outside go instead, if it is set: whoever it is gives
     * them to net_input() when their time has come.
     */
    void (*defer)(void *ctx, struct net *n, const struct net_header *h,
                  const uint8_t *frame, size_t len);
    void *defer_ctx;
    uint64_t dropped; /* frames, either way */
};

/*
 * Opens the back-end that cfg asks for. On error nothing is left. *out stays
 * the caller's, for net_close().
 */
int net_open(struct net **out, const struct net_config *cfg, struct loop *l,
             struct error *err) must_check;
void net_close(struct net *n);
/*
 * Forwards whose port was left open get one that is free now: somebody may
 * take it until net_open(), which then fails with EADDRINUSE. False: there
 * are none.
 */
bool net_ports_pick(struct net_config *c);

/* The device's side. */
void net_attach(struct net *n, net_receive_fn *receive, void *ctx);
/* False: not a frame that anybody may send. */
bool net_send(struct net *n, const struct net_header *h, uint8_t *frame,
              size_t len);
void net_gives(struct net *n, unsigned gives);

/* The back-end's side. */
void net_receive(struct net *n, const struct net_header *h,
                 const uint8_t *frame, size_t len);
/* Straight to the device. */
void net_input(struct net *n, const struct net_header *h, const uint8_t *frame,
               size_t len);

/* Puts the checksum in that h asks for; h->csum_* have been checked. */
void net_finish_csum(const struct net_header *h, uint8_t *frame, size_t len);

/* The kinds, for net_open(). */
int net_user_open(struct net **out, const struct net_config *cfg,
                  struct loop *l, struct error *err) must_check;
int net_tap_open(struct net **out, const struct net_config *cfg, struct loop *l,
                 struct error *err) must_check;
