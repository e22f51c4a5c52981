/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_user.c - the user network: libslirp ends the guest's connections here
 * and makes its own with the host's sockets, so that nobody needs root.
 *
 * libslirp wants to be asked before each sleep which sockets to watch for
 * what. They are in an epoll of their own, which the loop watches as one
 * descriptor, together with a timer (the host's time, whatever the machine's
 * clock does) and an eventfd: a vCPU that sent something has changed what is
 * to be watched. A turn is: what happened, then what to watch next.
 */
#include "io/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/log.h"

#define NET_DEFAULT  0x0a000200u /* 10.0.2.0/24, as everywhere */
#define MASK_DEFAULT 0xffffff00u
#define HOST_GATEWAY 2u
#define HOST_DNS     3u
#define HOST_GUEST   15u
#define MTU_DEFAULT  NET_MTU_MAX /* nothing of it ever meets a wire */
#define EVENTS       64
#define MS           1000000ull

/* libslirp's socket, by its number. */
struct user_fd {
    uint32_t want, have; /* EPOLL*: asked for this turn; in the epoll */
    uint32_t got;        /* what happened */
    bool listed;
};

struct user_timer {
    struct user_timer *next;
    SlirpTimerCb fire;
    void *ctx;
    int64_t at; /* ms on the host's clock, INT64_MAX: idle */
};

struct net_user {
    struct net net;
    struct loop *loop;
    struct loop_fd watch; /* the epoll */
    int timer_fd, kick_fd;
    bool kicked, turning;
    uint64_t programmed; /* when timer_fd goes off, ns; 0: it does not */
    struct user_timer *timers;
    struct user_fd *fd;
    int *list; /* the sockets that are in the epoll, or should be */
    unsigned fds, listed, list_room;
    Slirp *slirp;
};

static struct net_user *user_of(struct net *n)
{
    return container_of(n, struct net_user, net);
}

/* --- what to watch --- */

static uint32_t to_epoll(int events)
{
    return (events & SLIRP_POLL_IN ? EPOLLIN : 0u) |
           (events & SLIRP_POLL_OUT ? EPOLLOUT : 0u) |
           (events & SLIRP_POLL_PRI ? EPOLLPRI : 0u) |
           (events & SLIRP_POLL_ERR ? EPOLLERR : 0u) |
           (events & SLIRP_POLL_HUP ? EPOLLHUP : 0u);
}

static int from_epoll(uint32_t events)
{
    return (events & EPOLLIN ? SLIRP_POLL_IN : 0) |
           (events & EPOLLOUT ? SLIRP_POLL_OUT : 0) |
           (events & EPOLLPRI ? SLIRP_POLL_PRI : 0) |
           (events & EPOLLERR ? SLIRP_POLL_ERR : 0) |
           (events & EPOLLHUP ? SLIRP_POLL_HUP : 0);
}

/* NULL: no memory. */
static struct user_fd *fd_slot(struct net_user *u, int fd)
{
    unsigned room = MAX(u->fds, 64);
    struct user_fd *p;

    if (fd < 0)
        return NULL;
    if ((unsigned)fd < u->fds)
        return &u->fd[fd];
    while (room <= (unsigned)fd)
        room *= 2;
    p = realloc(u->fd, room * sizeof(*p));
    if (!p)
        return NULL;
    memset(p + u->fds, 0, (room - u->fds) * sizeof(*p));
    u->fd = p;
    u->fds = room;
    return &u->fd[fd];
}

static bool fd_list(struct net_user *u, int fd, struct user_fd *f)
{
    unsigned room = MAX(2 * u->list_room, 64);
    int *p;

    if (u->listed == u->list_room) {
        p = realloc(u->list, room * sizeof(*p));
        if (!p)
            return false;
        u->list = p;
        u->list_room = room;
    }
    u->list[u->listed++] = fd;
    f->listed = true;
    return true;
}

/* libslirp's index of a socket is its number. */
static int user_add_poll(int fd, int events, void *opaque)
{
    struct net_user *u = opaque;
    struct user_fd *f = fd_slot(u, fd);

    if (!f || (!f->listed && !fd_list(u, fd, f)))
        return -1;
    f->want |= to_epoll(events);
    return fd;
}

static int user_revents(int idx, void *opaque)
{
    struct net_user *u = opaque;

    return idx >= 0 && (unsigned)idx < u->fds ? from_epoll(u->fd[idx].got) : 0;
}

/* A socket that was closed left the epoll by itself, and may be another. */
static void fd_watch(struct net_user *u, int fd, struct user_fd *f)
{
    struct epoll_event ev = {.events = f->want, .data.fd = fd};

    if (!f->want) {
        epoll_ctl(u->watch.fd, EPOLL_CTL_DEL, fd, &ev);
    } else if (!f->have) {
        if (epoll_ctl(u->watch.fd, EPOLL_CTL_ADD, fd, &ev) && errno == EEXIST)
            epoll_ctl(u->watch.fd, EPOLL_CTL_MOD, fd, &ev);
    } else if (epoll_ctl(u->watch.fd, EPOLL_CTL_MOD, fd, &ev) &&
               errno == ENOENT) {
        epoll_ctl(u->watch.fd, EPOLL_CTL_ADD, fd, &ev);
    }
    f->have = f->want;
}

static void watch_update(struct net_user *u)
{
    unsigned i, n = 0;

    for (i = 0; i < u->listed; i++) {
        int fd = u->list[i];
        struct user_fd *f = &u->fd[fd];

        if (f->want != f->have)
            fd_watch(u, fd, f);
        f->listed = f->have != 0;
        if (f->listed)
            u->list[n++] = fd;
    }
    u->listed = n;
}

/* At `at` ns of the host's clock, UINT64_MAX: never. */
static void timer_program(struct net_user *u, uint64_t at)
{
    struct itimerspec its = {0};

    /* A later one is left alone: one turn for nothing. */
    if (at == UINT64_MAX || (u->programmed && u->programmed <= at))
        return;
    its.it_value.tv_sec = (time_t)(at / 1000000000);
    its.it_value.tv_nsec = (long)(at % 1000000000);
    timerfd_settime(u->timer_fd, TFD_TIMER_ABSTIME, &its, NULL);
    u->programmed = at;
}

static void user_refill(struct net_user *u)
{
    uint64_t now = clock_host_now(), at = UINT64_MAX;
    uint32_t ms = UINT32_MAX;
    unsigned i;

    for (i = 0; i < u->listed; i++)
        u->fd[u->list[i]].want = 0;
    slirp_pollfds_fill(u->slirp, &ms, user_add_poll, u);
    watch_update(u);
    if (ms != UINT32_MAX)
        at = now + MAX(ms, 1) * MS;
    for (struct user_timer *t = u->timers; t; t = t->next)
        if (t->at != INT64_MAX)
            at = MIN(at, (uint64_t)MAX(t->at, 1) * MS);
    timer_program(u, at);
}

/* --- a turn --- */

static void user_kick(struct net_user *u)
{
    uint64_t one = 1;

    if (u->kicked || u->turning)
        return;
    u->kicked = true;
    if (write(u->kick_fd, &one, sizeof(one)) < 0)
        return; /* full: it is readable */
}

static void timers_fire(struct net_user *u)
{
    int64_t now = (int64_t)(clock_host_now() / MS);

    for (struct user_timer *t = u->timers; t; t = t->next) {
        if (t->at > now)
            continue;
        t->at = INT64_MAX;
        t->fire(t->ctx);
    }
}

static void fds_collect(struct net_user *u)
{
    struct epoll_event ev[EVENTS];
    int n = epoll_wait(u->watch.fd, ev, EVENTS, 0), i;
    uint64_t count;

    for (i = 0; i < n; i++) {
        int fd = ev[i].data.fd;

        if (fd == u->timer_fd) {
            if (read(fd, &count, sizeof(count)) == sizeof(count))
                u->programmed = 0;
        } else if (fd == u->kick_fd) {
            if (read(fd, &count, sizeof(count)) == sizeof(count))
                u->kicked = false;
        } else if ((unsigned)fd < u->fds) {
            u->fd[fd].got = ev[i].events;
        }
    }
}

static void user_turn(struct loop_fd *lf, uint32_t events)
{
    struct net_user *u = container_of(lf, struct net_user, watch);

    (void)events;
    u->turning = true;
    fds_collect(u);
    timers_fire(u);
    slirp_pollfds_poll(u->slirp, 0, user_revents, u);
    for (unsigned i = 0; i < u->listed; i++)
        u->fd[u->list[i]].got = 0;
    user_refill(u);
    u->turning = false;
}

/* --- what libslirp calls --- */

static ssize_t user_packet(const void *buf, size_t len, void *opaque)
{
    struct net_user *u = opaque;
    /* libslirp made its checksums itself, from what sockets gave. */
    struct net_header h = {.flags = NET_CSUM_VALID};

    net_receive(&u->net, &h, buf, len);
    return (ssize_t)len;
}

static void user_guest_error(const char *msg, void *opaque)
{
    (void)opaque;
    log_guest("user network: %s", msg);
}

static int64_t user_clock(void *opaque)
{
    (void)opaque;
    return (int64_t)clock_host_now();
}

static void *user_timer_new(SlirpTimerCb cb, void *ctx, void *opaque)
{
    struct net_user *u = opaque;
    struct user_timer *t = malloc(sizeof(*t));

    rf_assert(t); /* libslirp cannot be told */
    *t = (struct user_timer){u->timers, cb, ctx, INT64_MAX};
    u->timers = t;
    return t;
}

static void user_timer_free(void *timer, void *opaque)
{
    struct net_user *u = opaque;
    struct user_timer **p = &u->timers;

    while (*p && *p != timer)
        p = &(*p)->next;
    if (*p)
        *p = (*p)->next;
    free(timer);
}

static void user_timer_mod(void *timer, int64_t at_ms, void *opaque)
{
    ((struct user_timer *)timer)->at = at_ms;
    user_kick(opaque);
}

static void user_fd_new(int fd, void *opaque)
{
    (void)fd;
    (void)opaque; /* it will ask to watch it */
}

/* It is about to be closed. */
static void user_fd_gone(int fd, void *opaque)
{
    struct net_user *u = opaque;

    if (fd < 0 || (unsigned)fd >= u->fds || !u->fd[fd].have)
        return;
    u->fd[fd].want = u->fd[fd].got = 0;
    fd_watch(u, fd, &u->fd[fd]);
}

static void user_notify(void *opaque)
{
    user_kick(opaque);
}

static const SlirpCb user_callbacks = {
    .send_packet = user_packet,
    .guest_error = user_guest_error,
    .clock_get_ns = user_clock,
    .timer_new = user_timer_new,
    .timer_free = user_timer_free,
    .timer_mod = user_timer_mod,
    .register_poll_fd = user_fd_new,
    .unregister_poll_fd = user_fd_gone,
    .notify = user_notify,
};

/* --- the link --- */

/*
 * Segments of 64 KiB go in whole: libslirp is the far end of the connection,
 * and takes IP packets of any length.
 */
static void user_send(struct net *n, const struct net_header *h, uint8_t *frame,
                      size_t len)
{
    struct net_user *u = user_of(n);

    if (h->flags & NET_NEEDS_CSUM)
        net_finish_csum(h, frame, len);
    slirp_input(u->slirp, frame, (int)len);
    user_kick(u);
}

static void user_close(struct net *n)
{
    struct net_user *u = user_of(n);

    if (u->slirp)
        slirp_cleanup(u->slirp);
    if (u->watch.fd >= 0) {
        loop_remove(u->loop, &u->watch);
        close(u->watch.fd);
    }
    if (u->timer_fd >= 0)
        close(u->timer_fd);
    if (u->kick_fd >= 0)
        close(u->kick_fd);
    while (u->timers)
        user_timer_free(u->timers, u);
    free(u->fd);
    free(u->list);
    free(u);
}

static const struct net_ops user_ops = {
    .send = user_send,
    .close = user_close,
};

/* --- opening --- */

static struct in_addr host_of(const struct net_config *cfg, uint32_t host)
{
    uint32_t net = cfg->net.s_addr ? ntohl(cfg->net.s_addr) : NET_DEFAULT;

    return (struct in_addr){htonl(net | host)};
}

static void user_slirp_config(SlirpConfig *s, const struct net_config *cfg,
                              uint16_t mtu)
{
    *s = (SlirpConfig){
        .version = 1,
        .restricted = cfg->restricted,
        .in_enabled = true,
        .vnetwork = host_of(cfg, 0),
        .vnetmask = cfg->mask,
        .vhost = host_of(cfg, HOST_GATEWAY),
        .vdhcp_start = host_of(cfg, HOST_GUEST),
        .vnameserver = cfg->dns.s_addr ? cfg->dns : host_of(cfg, HOST_DNS),
        .in6_enabled = !cfg->no_ipv6,
        .vprefix_len = 64,
        .vhostname = *cfg->host ? cfg->host : "ringfence",
        .if_mtu = mtu,
        .if_mru = mtu,
    };
    if (!s->vnetmask.s_addr)
        s->vnetmask.s_addr = htonl(MASK_DEFAULT);
    inet_pton(AF_INET6, "fec0::", &s->vprefix_addr6);
    inet_pton(AF_INET6, "fec0::2", &s->vhost6);
    inet_pton(AF_INET6, "fec0::3", &s->vnameserver6);
}

static int user_forward(struct net_user *u, const struct net_forward *f,
                        struct error *err)
{
    char addr[INET_ADDRSTRLEN];
    int e;

    errno = 0;
    if (!slirp_add_hostfwd(u->slirp, f->udp, f->host, f->host_port, f->guest,
                           f->guest_port))
        return 0;
    e = errno ? errno : EADDRINUSE;
    inet_ntop(AF_INET, &f->host, addr, sizeof(addr));
    return error_set(err, e,
                     "cannot listen on %s port %u of %s: %s; give another "
                     "port of the host",
                     f->udp ? "UDP" : "TCP", f->host_port, addr, strerror(e));
}

static int user_command(struct net_user *u, const struct net_command *k,
                        struct error *err)
{
    struct in_addr addr = k->addr;
    char text[INET_ADDRSTRLEN];

    if (!slirp_add_exec(u->slirp, k->line, &addr, k->port))
        return 0;
    inet_ntop(AF_INET, &k->addr, text, sizeof(text));
    return error_set(err, EINVAL,
                     "guestfwd: %s is not a free address of the network; give "
                     "one like its .100",
                     text);
}

static int user_slirp(struct net_user *u, const struct net_config *cfg,
                      struct error *err)
{
    SlirpConfig s;
    unsigned i;

    user_slirp_config(&s, cfg, u->net.mtu);
    u->slirp = slirp_new(&s, &user_callbacks, u);
    if (!u->slirp)
        return error_set(err, EINVAL, "libslirp refused the configuration");
    for (i = 0; i < cfg->forwards; i++)
        if (user_forward(u, &cfg->forward[i], err))
            return -err->code;
    for (i = 0; i < cfg->commands; i++)
        if (user_command(u, &cfg->command[i], err))
            return -err->code;
    return 0;
}

static int user_watch(struct net_user *u, struct error *err)
{
    struct epoll_event timer = {.events = EPOLLIN, .data.fd = u->timer_fd};
    struct epoll_event kick = {.events = EPOLLIN, .data.fd = u->kick_fd};

    if (u->watch.fd < 0 || u->timer_fd < 0 || u->kick_fd < 0 ||
        epoll_ctl(u->watch.fd, EPOLL_CTL_ADD, u->timer_fd, &timer) ||
        epoll_ctl(u->watch.fd, EPOLL_CTL_ADD, u->kick_fd, &kick))
        return error_set(err, errno, "user network: %s", strerror(errno));
    u->watch.ready = user_turn;
    return loop_add(u->loop, &u->watch, EPOLLIN, err);
}

int net_user_open(struct net **out, const struct net_config *cfg,
                  struct loop *l, struct error *err)
{
    struct net_user *u = calloc(1, sizeof(*u));

    if (!u)
        return error_set(err, ENOMEM, "out of memory");
    u->net.ops = &user_ops;
    u->net.able = NET_TAKES_CSUM | NET_TAKES_TCP4 | NET_TAKES_TCP6 |
                  NET_TAKES_ECN | NET_GIVES_CSUM;
    u->net.mtu = cfg->mtu ? cfg->mtu : MTU_DEFAULT;
    u->loop = l;
    u->watch.fd = epoll_create1(EPOLL_CLOEXEC);
    u->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    u->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (user_watch(u, err) || user_slirp(u, cfg, err)) {
        user_close(&u->net);
        return -err->code;
    }
    user_refill(u);
    *out = &u->net;
    return 0;
}
