/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_tap.c - a tap interface of the host's: one that exists, or, with the
 * right to (CAP_NET_ADMIN), one that lives as long as the machine.
 *
 * The kernel's vnet_hdr is virtio's header, so offloads pass through.
 */
#include "io/net.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/log.h"

#define FRAMES_AT_ONCE 64 /* then others get their turn */

struct net_tap {
    struct net net;
    struct loop *loop;
    struct loop_fd fd;
    uint8_t frame[NET_FRAME_MAX];
};

static void tap_send(struct net *n, const struct net_header *h, uint8_t *frame,
                     size_t len)
{
    struct net_tap *t = container_of(n, struct net_tap, net);
    struct iovec iov[2] = {{(void *)h, sizeof(*h)}, {frame, len}};

    if (writev(t->fd.fd, iov, 2) < 0)
        n->dropped++; /* the queue is full, or the interface is down */
}

static void tap_gives(struct net *n, unsigned gives)
{
    struct net_tap *t = container_of(n, struct net_tap, net);
    unsigned long how = 0;

    if (gives & NET_GIVES_CSUM)
        how |= TUN_F_CSUM;
    if (gives & NET_GIVES_TCP4)
        how |= TUN_F_TSO4;
    if (gives & NET_GIVES_TCP6)
        how |= TUN_F_TSO6;
    if ((gives & NET_GIVES_ECN) && (how & (TUN_F_TSO4 | TUN_F_TSO6)))
        how |= TUN_F_TSO_ECN;
    if (ioctl(t->fd.fd, TUNSETOFFLOAD, how))
        log_debug("tap: offloads: %s", strerror(errno));
}

static void tap_ready(struct loop_fd *lf, uint32_t events)
{
    struct net_tap *t = container_of(lf, struct net_tap, fd);
    struct net_header h;
    struct iovec iov[2] = {{&h, sizeof(h)}, {t->frame, sizeof(t->frame)}};

    (void)events;
    for (int i = 0; i < FRAMES_AT_ONCE; i++) {
        ssize_t n = readv(lf->fd, iov, 2);

        if (n > (ssize_t)sizeof(h)) {
            net_receive(&t->net, &h, t->frame, (size_t)n - sizeof(h));
            continue;
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            log_warn("the tap is gone: %s", strerror(errno));
            loop_remove(t->loop, lf); /* else it would be ready for ever */
        }
        return;
    }
}

static void tap_close(struct net *n)
{
    struct net_tap *t = container_of(n, struct net_tap, net);

    if (t->fd.ready)
        loop_remove(t->loop, &t->fd);
    if (t->fd.fd >= 0)
        close(t->fd.fd);
    free(t);
}

static const struct net_ops tap_ops = {tap_send, tap_gives, tap_close};

static int tap_failed(const char *name, int e, struct error *err)
{
    if (e == EPERM || e == EACCES)
        return error_set(err, e,
                         "tap:%s: not allowed; have it made for you (ip tuntap "
                         "add %s mode tap user $USER), or use --net user",
                         name, name);
    if (e == EBUSY)
        return error_set(err, e, "tap:%s: another machine uses it", name);
    if (e == EINVAL)
        return error_set(err, e,
                         "tap:%s: that is no tap, or one of several "
                         "queues",
                         name);
    return error_set(err, e, "tap:%s: %s", name, strerror(e));
}

/* Up, if it is not: whoever made it for us has mostly done so. */
static void tap_up(struct net_tap *t, const char *name)
{
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq r = {0};

    strcpy(r.ifr_name, name);
    if (s >= 0 && !ioctl(s, SIOCGIFMTU, &r) && !t->net.mtu)
        t->net.mtu =
            (uint16_t)MIN(MAX(r.ifr_mtu, (int)NET_MTU_MIN), (int)NET_MTU_MAX);
    if (s >= 0 && !ioctl(s, SIOCGIFFLAGS, &r) && !(r.ifr_flags & IFF_UP)) {
        r.ifr_flags |= IFF_UP;
        if (ioctl(s, SIOCSIFFLAGS, &r))
            log_warn("tap:%s is down, and cannot be brought up: %s", name,
                     strerror(errno));
    }
    if (s >= 0)
        close(s);
}

static int tap_attach(struct net_tap *t, const struct net_config *cfg,
                      struct error *err)
{
    struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int len = sizeof(struct net_header);

    t->fd.fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (t->fd.fd < 0)
        return error_set(err, errno,
                         "/dev/net/tun: %s; a tap needs it, --net user does "
                         "not",
                         strerror(errno));
    strcpy(r.ifr_name, cfg->name);
    if (ioctl(t->fd.fd, TUNSETIFF, &r) ||
        ioctl(t->fd.fd, TUNSETVNETHDRSZ, &len))
        return tap_failed(cfg->name, errno, err);
    tap_up(t, cfg->name);
    tap_gives(&t->net, 0);
    t->fd.ready = tap_ready;
    if (!loop_add(t->loop, &t->fd, EPOLLIN, err))
        return 0;
    t->fd.ready = NULL;
    return -err->code;
}

int net_tap_open(struct net **out, const struct net_config *cfg, struct loop *l,
                 struct error *err)
{
    struct net_tap *t = calloc(1, sizeof(*t));

    if (!t)
        return error_set(err, ENOMEM, "out of memory");
    t->net.ops = &tap_ops;
    t->net.able = NET_ABLE_MASK;
    t->net.mtu = cfg->mtu;
    t->loop = l;
    t->fd.fd = -1;
    if (tap_attach(t, cfg, err)) {
        tap_close(&t->net);
        return -err->code;
    }
    *out = &t->net;
    return 0;
}
