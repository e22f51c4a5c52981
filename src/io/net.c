/* SPDX-License-Identifier: Apache-2.0 */
#include "io/net.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static_assert(sizeof(struct net_header) == 12, "virtio_net_hdr_v1");

static int net_nowhere_open(struct net **out, const struct net_config *cfg,
                            struct error *err)
{
    struct net *n = calloc(1, sizeof(*n));

    if (!n)
        return error_set(err, ENOMEM, "out of memory");
    n->able = cfg->able;
    n->mtu = cfg->mtu;
    *out = n;
    return 0;
}

/*
 * A machine that is brought back keeps what its guest was promised. A back-end
 * that can less still works: whoever takes unfinished checksums finishes
 * them, and large segments come from the guest only if it was told so.
 */
static int net_keep_promise(struct net *n, const struct net_config *cfg,
                            struct error *err)
{
    unsigned lost = cfg->able & ~n->able & ~NET_GIVES;

    if (!cfg->fixed)
        return 0;
    if (lost)
        return error_set(err, ENOTSUP,
                         "the guest uses offloads that this network does not "
                         "have; give it the kind it had");
    n->able = cfg->able;
    n->mtu = cfg->mtu;
    return 0;
}

int net_open(struct net **out, const struct net_config *cfg, struct loop *l,
             struct error *err)
{
    int rc = -EINVAL;

    switch (cfg->kind) {
    case NET_NOWHERE:
        rc = net_nowhere_open(out, cfg, err);
        break;
    case NET_USER:
        rc = net_user_open(out, cfg, l, err);
        break;
    case NET_TAP:
        rc = net_tap_open(out, cfg, l, err);
        break;
    }
    if (rc)
        return rc;
    memcpy((*out)->mac, cfg->mac, sizeof(cfg->mac));
    rc = net_keep_promise(*out, cfg, err);
    if (rc)
        net_close(*out);
    return rc;
}

void net_close(struct net *n)
{
    if (n->ops)
        n->ops->close(n);
    else
        free(n);
}

void net_attach(struct net *n, net_receive_fn *receive, void *ctx)
{
    n->receive = receive;
    n->receive_ctx = ctx;
}

void net_gives(struct net *n, unsigned gives)
{
    if (n->ops && n->ops->gives)
        n->ops->gives(n, gives & n->able);
}

static bool header_valid(const struct net *n, const struct net_header *h,
                         size_t len)
{
    unsigned kind = h->gso_type & ~NET_GSO_ECN;

    if (len < NET_FRAME_MIN || len > NET_FRAME_MAX)
        return false;
    if ((h->flags & NET_NEEDS_CSUM) &&
        (!(n->able & NET_TAKES_CSUM) ||
         (size_t)h->csum_start + h->csum_offset + 2 > len))
        return false;
    if (h->gso_type == NET_GSO_NONE)
        return true;
    /* Segments get checksums of their own. */
    if (!h->gso_size || h->header_len > len || !(h->flags & NET_NEEDS_CSUM) ||
        ((h->gso_type & NET_GSO_ECN) && !(n->able & NET_TAKES_ECN)))
        return false;
    return (kind == NET_GSO_TCP4 && (n->able & NET_TAKES_TCP4)) ||
           (kind == NET_GSO_TCP6 && (n->able & NET_TAKES_TCP6));
}

bool net_send(struct net *n, const struct net_header *h, uint8_t *frame,
              size_t len)
{
    if (!header_valid(n, h, len)) {
        n->dropped++;
        return false;
    }
    if (n->ops)
        n->ops->send(n, h, frame, len);
    return true;
}

void net_input(struct net *n, const struct net_header *h, const uint8_t *frame,
               size_t len)
{
    if (n->receive && len >= NET_FRAME_MIN && len <= NET_FRAME_MAX)
        n->receive(n->receive_ctx, h, frame, len);
    else
        n->dropped++;
}

void net_receive(struct net *n, const struct net_header *h,
                 const uint8_t *frame, size_t len)
{
    if (n->defer)
        n->defer(n->defer_ctx, n, h, frame, len);
    else
        net_input(n, h, frame, len);
}

/* Ones' complement addition does not care for the order of bytes. */
static uint16_t csum_fold(const uint8_t *p, size_t len)
{
    uint64_t sum = 0;
    uint32_t w;

    for (; len >= 4; p += 4, len -= 4) {
        memcpy(&w, p, 4);
        sum += w;
    }
    w = 0;
    memcpy(&w, p, len);
    sum += w;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

void net_finish_csum(const struct net_header *h, uint8_t *frame, size_t len)
{
    /* The field holds the sum of the pseudo header: it is part of the sum. */
    uint16_t sum =
        (uint16_t)~csum_fold(frame + h->csum_start, len - h->csum_start);

    if (!sum)
        sum = 0xffff; /* zero is UDP's "no checksum"; for TCP it is the same */
    memcpy(frame + h->csum_start + h->csum_offset, &sum, 2);
}

static uint16_t port_free(const struct net_forward *f)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = f->host};
    int fd =
        socket(AF_INET, (f->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(a);
    uint16_t port = 0;

    if (fd < 0)
        return 0;
    if (!bind(fd, (struct sockaddr *)&a, len) &&
        !getsockname(fd, (struct sockaddr *)&a, &len))
        port = ntohs(a.sin_port);
    close(fd);
    return port;
}

bool net_ports_pick(struct net_config *c)
{
    bool any = false;

    for (unsigned i = 0; i < c->forwards; i++) {
        if (c->forward[i].host_port)
            continue;
        c->forward[i].host_port = port_free(&c->forward[i]);
        any = true;
    }
    return any;
}
