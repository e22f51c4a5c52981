/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netdev.c - see netdev.h. By rtnetlink: a socket belongs to the namespace that
 * it was made in, so that one here and one there do everything. The kernel
 * drops addresses when a device moves; those that are global and permanent are
 * set again.                                   [rtnetlink(7), netlink(7)]
 */
#include "oci/netdev.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

#define ADDRESSES_MAX 64 /* of a device */
#define ADDRESS_BYTES 16

/* What an address consists of, as the kernel numbers it. */
static const unsigned short parts[] = {IFA_LOCAL, IFA_ADDRESS, IFA_BROADCAST};

struct address {
    uint8_t family, prefix;
    uint8_t len[ARRAY_SIZE(parts)]; /* 0: it has none */
    uint8_t bytes[ARRAY_SIZE(parts)][ADDRESS_BYTES];
};

struct addresses {
    struct address item[ADDRESSES_MAX];
    unsigned count;
};

/* Both ends of the move. */
struct netdev_way {
    int here, there;       /* rtnetlink sockets */
    int here_ns, there_ns; /* namespaces */
};

struct request {
    struct nlmsghdr h;
    union {
        struct ifinfomsg link;
        struct ifaddrmsg address;
    };
    char attributes[256];
};

static void request_begin(struct request *r, unsigned short type,
                          unsigned flags, size_t body)
{
    memset(r, 0, sizeof(*r));
    r->h.nlmsg_len = (unsigned)NLMSG_LENGTH(body);
    r->h.nlmsg_type = type;
    r->h.nlmsg_flags = (unsigned short)(NLM_F_REQUEST | flags);
}

static void request_add(struct request *r, unsigned short type,
                        const void *data, size_t len)
{
    struct rtattr *a =
        (struct rtattr *)((char *)r + NLMSG_ALIGN(r->h.nlmsg_len));

    rf_assert((char *)a + RTA_SPACE(len) <= (char *)(r + 1));
    a->rta_type = type;
    a->rta_len = (unsigned short)RTA_LENGTH(len);
    memcpy(RTA_DATA(a), data, len);
    r->h.nlmsg_len = (unsigned)(NLMSG_ALIGN(r->h.nlmsg_len) + RTA_SPACE(len));
}

/* The kernel's answer: 0 or -errno. */
static int request_do(int sock, struct request *r)
{
    struct {
        struct nlmsghdr h;
        struct nlmsgerr e;
        char text[512];
    } answer;
    ssize_t n;

    r->h.nlmsg_flags |= NLM_F_ACK;
    if (send(sock, r, r->h.nlmsg_len, 0) < 0)
        return -errno;
    do
        n = recv(sock, &answer, sizeof(answer), 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    if ((size_t)n < sizeof(answer.h) + sizeof(answer.e) ||
        answer.h.nlmsg_type != NLMSG_ERROR)
        return -EPROTO;
    return answer.e.error;
}

/* --- addresses --- */

static void address_read(const struct nlmsghdr *h, int index,
                         struct addresses *all)
{
    const struct ifaddrmsg *m = NLMSG_DATA(h);
    int left = (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof(*m)));
    struct address a = {.family = m->ifa_family, .prefix = m->ifa_prefixlen};
    const struct rtattr *r;
    unsigned i;

    if ((int)m->ifa_index != index || m->ifa_scope != RT_SCOPE_UNIVERSE ||
        !(m->ifa_flags & IFA_F_PERMANENT) || all->count == ADDRESSES_MAX)
        return;
    for (r = IFA_RTA(m); RTA_OK(r, left); r = RTA_NEXT(r, left))
        for (i = 0; i < ARRAY_SIZE(parts); i++)
            if (r->rta_type == parts[i] && RTA_PAYLOAD(r) <= ADDRESS_BYTES) {
                a.len[i] = (uint8_t)RTA_PAYLOAD(r);
                memcpy(a.bytes[i], RTA_DATA(r), a.len[i]);
            }
    all->item[all->count++] = a;
}

/* True: there is more to come. */
static bool addresses_part(const char *text, int n, int index,
                           struct addresses *all)
{
    const struct nlmsghdr *h = (const void *)text;

    for (; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
        if (h->nlmsg_type != RTM_NEWADDR)
            return false; /* done, or an error */
        if (h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct ifaddrmsg)))
            address_read(h, index, all);
    }
    return true;
}

static int addresses_get(int sock, int index, struct addresses *all)
{
    char text[16 * KiB] __attribute__((aligned(8)));
    struct request r;
    ssize_t n;

    all->count = 0;
    request_begin(&r, RTM_GETADDR, NLM_F_DUMP, sizeof(r.address));
    if (send(sock, &r, r.h.nlmsg_len, 0) < 0)
        return -errno;
    do {
        n = recv(sock, text, sizeof(text), 0);
        if (n < 0 && errno != EINTR)
            return -errno;
    } while (n < 0 || addresses_part(text, (int)n, index, all));
    return 0;
}

static int address_set(int sock, int index, const struct address *a)
{
    struct request r;
    unsigned i;

    request_begin(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE,
                  sizeof(r.address));
    r.address.ifa_family = a->family;
    r.address.ifa_prefixlen = a->prefix;
    r.address.ifa_index = (unsigned)index;
    /* It has been seen to be nobody else's already. */
    r.address.ifa_flags = a->family == AF_INET6 ? IFA_F_NODAD : 0;
    for (i = 0; i < ARRAY_SIZE(parts); i++)
        if (a->len[i])
            request_add(&r, parts[i], a->bytes[i], a->len[i]);
    return request_do(sock, &r);
}

/* --- devices --- */

static int device_up(int sock, int index)
{
    struct request r;

    request_begin(&r, RTM_NEWLINK, 0, sizeof(r.link));
    r.link.ifi_index = index;
    r.link.ifi_flags = r.link.ifi_change = IFF_UP;
    return request_do(sock, &r);
}

static int device_send(int sock, int index, int ns, const char *name)
{
    struct request r;

    request_begin(&r, RTM_NEWLINK, 0, sizeof(r.link));
    r.link.ifi_index = index;
    request_add(&r, IFLA_NET_NS_FD, &ns, sizeof(ns));
    request_add(&r, IFLA_IFNAME, name, strlen(name) + 1);
    return request_do(sock, &r);
}

/* Its number, which a move may change: -ENODEV. */
static int device_index(int sock, const char *name)
{
    struct {
        struct nlmsghdr h;
        struct ifinfomsg m;
        char rest[8 * KiB];
    } answer;
    struct request r;
    ssize_t n;

    request_begin(&r, RTM_GETLINK, 0, sizeof(r.link));
    request_add(&r, IFLA_IFNAME, name, strlen(name) + 1);
    if (send(sock, &r, r.h.nlmsg_len, 0) < 0)
        return -errno;
    n = recv(sock, &answer, sizeof(answer), 0);
    if (n < (ssize_t)NLMSG_LENGTH(sizeof(struct ifinfomsg)))
        return n < 0 ? -errno : -EPROTO;
    return answer.h.nlmsg_type == RTM_NEWLINK ? answer.m.ifi_index : -ENODEV;
}

/* From the one to the other namespace, addresses and all. *gone: it has left.
 */
static int device_move(int from, int to, int to_ns, const char *old_name,
                       const char *new_name, bool *gone)
{
    struct addresses all;
    int index = device_index(from, old_name), e;
    unsigned i;

    *gone = false;
    if (index < 0)
        return index;
    e = addresses_get(from, index, &all);
    if (!e)
        e = device_send(from, index, to_ns, new_name);
    if (e)
        return e;
    *gone = true;
    index = device_index(to, new_name);
    e = MIN(index, 0);
    for (i = 0; i < all.count && !e; i++)
        e = address_set(to, index, &all.item[i]);
    return e ? e : device_up(to, index);
}

static const char *new_name(const struct spec_net_device *d)
{
    return d->name && d->name[0] ? d->name : d->key;
}

static void move_back(const struct netdev_way *w,
                      const struct spec_net_device *d, unsigned count)
{
    bool gone;

    while (count--) {
        int e = device_move(w->there, w->here, w->here_ns, new_name(&d[count]),
                            d[count].key, &gone);

        if (e)
            log_warn("linux.netDevices.%s: cannot be moved back: %s",
                     d[count].key, strerror(-e));
    }
}

static int move_all(const struct netdev_way *w,
                    const struct json_array *devices, struct error *err)
{
    const struct spec_net_device *d = devices->items;
    unsigned i;
    bool gone;
    int e;

    for (i = 0; i < devices->count; i++) {
        e = device_move(w->here, w->there, w->there_ns, d[i].key,
                        new_name(&d[i]), &gone);
        if (!e)
            continue;
        /* This one may be there already, and lack an address. */
        move_back(w, d, gone ? i + 1 : i);
        return error_set(err, -e, "linux.netDevices.%s: %s", d[i].key,
                         e == -EINVAL ? "cannot change its namespace"
                                      : strerror(-e));
    }
    return 0;
}

static int route_socket(void)
{
    return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
}

static int way_open(struct netdev_way *w, struct error *err)
{
    int e;

    w->here = w->there = -1;
    w->here_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (w->here_ns >= 0)
        w->here = route_socket();
    if (w->here < 0 || setns(w->there_ns, CLONE_NEWNET))
        return error_set(err, errno, "linux.netDevices: %s", strerror(errno));
    w->there = route_socket();
    e = errno;
    if (setns(w->here_ns, CLONE_NEWNET) || w->there < 0)
        return error_set(err, w->there < 0 ? e : errno,
                         "linux.netDevices: cannot come back from the "
                         "container's network");
    return 0;
}

int netdev_move(const struct json_array *devices, int ns, struct error *err)
{
    struct netdev_way w = {.there_ns = ns};
    int e = way_open(&w, err);

    if (!e)
        e = move_all(&w, devices, err);
    if (w.here >= 0)
        close(w.here);
    if (w.there >= 0)
        close(w.there);
    if (w.here_ns >= 0)
        close(w.here_ns);
    return e;
}
