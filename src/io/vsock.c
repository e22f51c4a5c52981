/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock.c - streams, their packets, and who may send how much.
 *                                               [virtio 1.2 5.10.6]
 *
 * A stream ends when either side said RST, or the guest said that it neither
 * sends nor receives: then it gets an RST. What it had sent before still goes
 * to the host's program. An ended stream has no number any more: packets for
 * it are answered like those for what never was.
 *
 * Nothing here grows with what a guest sends: VSOCK_BUF bytes a stream, so
 * many streams, so many answers.
 */
#include "io/vsock_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

#define CLOSE_NS (8 * 1000000000ull) /* for its RST after our SHUTDOWN */

/* --- the lists --- */

static struct vsock_conn **bucket_of(struct vsock *v, uint32_t guest_port,
                                     uint32_t host_port)
{
    return &v->bucket[(guest_port ^ host_port) % ARRAY_SIZE(v->bucket)];
}

struct vsock_conn *vsock_find(struct vsock *v, uint32_t guest_port,
                              uint32_t host_port)
{
    struct vsock_conn *c = *bucket_of(v, guest_port, host_port);

    while (c && (c->guest_port != guest_port || c->host_port != host_port ||
                 c->state == VSOCK_GREETING || c->state == VSOCK_ENDED))
        c = c->next;
    return c;
}

static void bucket_remove(struct vsock_conn *c)
{
    struct vsock_conn **at = bucket_of(c->v, c->guest_port, c->host_port);

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
}

void vsock_conn_number(struct vsock_conn *c, uint32_t guest_port,
                       uint32_t host_port)
{
    struct vsock_conn **at = bucket_of(c->v, guest_port, host_port);

    bucket_remove(c);
    c->guest_port = guest_port;
    c->host_port = host_port;
    c->next = *at;
    *at = c;
}

static void ready_add(struct vsock_conn *c)
{
    if (c->in_ready)
        return;
    c->in_ready = true;
    c->next_ready = NULL;
    *c->v->ready_end = c;
    c->v->ready_end = &c->next_ready;
}

static void ready_remove(struct vsock_conn *c)
{
    struct vsock_conn **at = &c->v->ready;

    if (!c->in_ready)
        return;
    while (*at != c)
        at = &(*at)->next_ready;
    *at = c->next_ready;
    if (!*at)
        c->v->ready_end = at;
    c->in_ready = false;
}

void vsock_conn_due(struct vsock_conn *c, unsigned ops)
{
    c->due |= ops;
    ready_add(c);
}

bool vsock_pending(const struct vsock *v)
{
    return v->rst_len || v->ready;
}

void vsock_wake(struct vsock *v)
{
    if (v->wake && vsock_pending(v))
        v->wake(v->wake_ctx);
}

/* --- a stream's socket --- */

static bool conn_holds(const struct vsock_conn *c)
{
    return c->rx_cnt != c->fwd_cnt;
}

static uint32_t wanted(const struct vsock_conn *c)
{
    uint32_t events = 0;

    if (c->state == VSOCK_GREETING)
        return EPOLLIN;
    if (c->state == VSOCK_IS_OPEN && !c->readable && !c->no_more)
        events |= EPOLLIN;
    return events | (conn_holds(c) ? (uint32_t)EPOLLOUT : 0);
}

static void conn_unwatch(struct vsock_conn *c)
{
    if (c->watched)
        loop_remove(c->v->loop, &c->fd);
    c->watched = false;
}

/* A hang-up is told in any case, and then again and again: see conn_hup(). */
void vsock_conn_watch(struct vsock_conn *c)
{
    uint32_t events = wanted(c);

    if (!c->watched || events == c->events)
        return;
    c->events = events;
    loop_change(c->v->loop, &c->fd, events);
}

static void conn_close(struct vsock_conn *c)
{
    conn_unwatch(c);
    if (c->fd.fd >= 0)
        close(c->fd.fd);
    c->fd.fd = -1;
}

void vsock_conn_free(struct vsock_conn *c)
{
    struct vsock *v = c->v;

    timer_cancel(&c->limit);
    ready_remove(c);
    bucket_remove(c);
    conn_close(c);
    free(c->buf);
    free(c);
    v->conns--;
    vsock_accept_more(v);
}

/* For the guest it is over. The host's program gets what is left for it. */
static void conn_end(struct vsock_conn *c)
{
    c->state = VSOCK_ENDED;
    c->readable = false;
    timer_cancel(&c->limit);
    if (!conn_holds(c))
        conn_close(c);
    if (!c->due && !conn_holds(c))
        vsock_conn_free(c);
    else
        vsock_conn_watch(c);
}

void vsock_conn_abort(struct vsock_conn *c)
{
    c->fwd_cnt = c->rx_cnt;
    c->due = 0;
    vsock_conn_due(c, BIT(VSOCK_RST));
    conn_end(c);
}

static void conn_late(struct timer *t)
{
    struct vsock_conn *c = container_of(t, struct vsock_conn, limit);
    struct vsock *v = c->v;

    vsock_conn_abort(c);
    vsock_wake(v);
}

/* Nobody reads what the guest sends. */
static void conn_deaf(struct vsock_conn *c)
{
    c->deaf = true;
    c->fwd_cnt = c->rx_cnt;
    if (c->state == VSOCK_IS_OPEN && !(c->told & VSOCK_SHUT_RCV))
        vsock_conn_due(c, BIT(VSOCK_SHUTDOWN));
}

/* How many of the bytes the host's program took, or that it never will. */
static size_t conn_send(struct vsock_conn *c, const uint8_t *p, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n =
            send(c->fd.fd, p + done, len - done, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            c->deaf = true;
        if (n < 0)
            break;
        done += (size_t)n;
    }
    c->v->to_host += done;
    return c->deaf ? len : done;
}

/* The guest believes in less than half of the room, and there is more. */
static void credit_check(struct vsock_conn *c)
{
    if (c->state == VSOCK_IS_OPEN && c->fwd_cnt != c->fwd_told &&
        c->rx_cnt - c->fwd_told > VSOCK_BUF / 2)
        vsock_conn_due(c, BIT(VSOCK_CREDIT_UPDATE));
}

/* All that the guest sent is out: is that the end? May free c. */
static void conn_drained(struct vsock_conn *c)
{
    if (c->state == VSOCK_ENDED) {
        conn_end(c);
    } else if (c->shut == VSOCK_SHUT) {
        c->due = 0;
        vsock_conn_due(c, BIT(VSOCK_RST));
        conn_end(c);
    } else {
        if (c->shut & VSOCK_SHUT_SND)
            shutdown(c->fd.fd, SHUT_WR);
        vsock_conn_watch(c);
    }
}

static void conn_flush(struct vsock_conn *c)
{
    while (conn_holds(c)) {
        uint32_t at = c->fwd_cnt % VSOCK_BUF;
        uint32_t len = MIN(c->rx_cnt - c->fwd_cnt, VSOCK_BUF - at);
        size_t n = conn_send(c, c->buf + at, len);

        c->fwd_cnt += (uint32_t)n;
        if (n < len)
            break;
    }
    if (c->deaf)
        conn_deaf(c);
    credit_check(c);
    if (conn_holds(c))
        vsock_conn_watch(c);
    else
        conn_drained(c);
}

/*
 * The host's program is gone, or both directions are shut down. What it had
 * sent can still be read.
 */
static void conn_hup(struct vsock_conn *c)
{
    if (c->state == VSOCK_GREETING) {
        vsock_conn_free(c);
        return;
    }
    if (c->state == VSOCK_REQUESTED) {
        vsock_conn_abort(c);
        return;
    }
    conn_unwatch(c);
    conn_deaf(c);
    if (c->state == VSOCK_ENDED || c->shut == VSOCK_SHUT) {
        conn_drained(c);
        return;
    }
    c->readable = !c->no_more;
    ready_add(c);
}

static void conn_ready(struct loop_fd *lf, uint32_t events)
{
    struct vsock_conn *c = container_of(lf, struct vsock_conn, fd);
    struct vsock *v = c->v;

    if (events & (EPOLLHUP | EPOLLERR)) {
        conn_hup(c);
    } else if (c->state == VSOCK_GREETING) {
        vsock_greet(c);
    } else {
        if ((events & EPOLLIN) && c->state == VSOCK_IS_OPEN) {
            c->readable = true;
            ready_add(c);
            vsock_conn_watch(c);
        }
        if (events & EPOLLOUT)
            conn_flush(c);
    }
    vsock_wake(v);
}

struct vsock_conn *vsock_conn_new(struct vsock *v, int fd)
{
    struct vsock_conn *c = calloc(1, sizeof(*c));
    struct vsock_conn **at = bucket_of(v, 0, 0);
    struct error err;

    if (!c)
        return NULL;
    c->v = v;
    c->fd = (struct loop_fd){fd, conn_ready};
    c->events = EPOLLIN;
    if (loop_add(v->loop, &c->fd, c->events, &err)) {
        free(c);
        return NULL;
    }
    c->watched = true;
    timer_init(&c->limit, v->loop, conn_late);
    c->next = *at;
    *at = c;
    v->conns++;
    return c;
}

/* --- from the guest --- */

/* Not to an RST: two who answer these would never stop. */
static void refuse(struct vsock *v, const struct vsock_header *h)
{
    if (h->op == VSOCK_RST || v->rst_len == ARRAY_SIZE(v->rst))
        return;
    v->rst[(v->rst_first + v->rst_len++) % ARRAY_SIZE(v->rst)] =
        (struct vsock_header){
            .src_cid = h->dst_cid,
            .dst_cid = h->src_cid,
            .src_port = h->dst_port,
            .dst_port = h->src_port,
            .type = h->type,
            .op = VSOCK_RST,
        };
}

static void take_request(struct vsock *v, const struct vsock_header *h)
{
    struct vsock_conn *c;
    int fd;

    fd = v->conns < v->conns_max ? vsock_dial(v, h->dst_port) : -EMFILE;
    if (fd < 0) {
        log_guest("vsock: port %u: %s", h->dst_port, strerror(-fd));
        refuse(v, h);
        return;
    }
    c = vsock_conn_new(v, fd);
    if (!c) {
        close(fd);
        refuse(v, h);
        return;
    }
    vsock_conn_number(c, h->src_port, h->dst_port);
    c->state = VSOCK_IS_OPEN;
    c->peer_alloc = h->buf_alloc;
    c->peer_fwd = h->fwd_cnt;
    vsock_conn_due(c, BIT(VSOCK_RESPONSE));
    vsock_conn_watch(c);
}

/* The guest has accepted a program of the host's. */
static void take_response(struct vsock_conn *c)
{
    char line[32];
    int len = snprintf(line, sizeof(line), "OK %u\n", c->host_port);

    timer_cancel(&c->limit);
    c->state = VSOCK_IS_OPEN;
    if (conn_send(c, (uint8_t *)line, (size_t)len) != (size_t)len || c->deaf)
        vsock_conn_abort(c);
    else
        vsock_conn_watch(c);
}

/* Behind what is in the ring already; there is room. */
static bool ring_put(struct vsock_conn *c, const uint8_t *p, uint32_t len)
{
    uint32_t at = c->rx_cnt % VSOCK_BUF, part = MIN(len, VSOCK_BUF - at);

    if (!c->buf)
        c->buf = malloc(VSOCK_BUF);
    if (!c->buf)
        return false;
    memcpy(c->buf + at, p, part);
    memcpy(c->buf, p + part, len - part);
    c->rx_cnt += len;
    return true;
}

static void take_data(struct vsock_conn *c, const uint8_t *data, uint32_t len)
{
    uint32_t n = 0;

    if ((c->shut & VSOCK_SHUT_SND) ||
        len > VSOCK_BUF - (c->rx_cnt - c->fwd_cnt)) {
        log_guest("vsock: data without leave");
        vsock_conn_abort(c);
        return;
    }
    if (c->deaf)
        n = len;
    else if (!conn_holds(c))
        n = (uint32_t)conn_send(c, data, len);
    c->rx_cnt += n;
    c->fwd_cnt += n;
    if (n < len && !ring_put(c, data + n, len - n)) {
        vsock_conn_abort(c);
        return;
    }
    if (c->deaf)
        conn_deaf(c);
    credit_check(c);
    vsock_conn_watch(c);
}

static void take_shutdown(struct vsock_conn *c, uint32_t flags)
{
    c->shut |= flags & VSOCK_SHUT;
    if ((c->shut & VSOCK_SHUT_RCV) && !c->no_more) {
        c->no_more = true;
        c->readable = false;
        shutdown(c->fd.fd, SHUT_RD);
    }
    if (conn_holds(c))
        vsock_conn_watch(c);
    else
        conn_drained(c);
}

static void take_open(struct vsock_conn *c, const struct vsock_header *h,
                      const uint8_t *data)
{
    switch (h->op) {
    case VSOCK_RW:
        take_data(c, data, h->len);
        break;
    case VSOCK_SHUTDOWN:
        take_shutdown(c, h->flags);
        break;
    case VSOCK_CREDIT_UPDATE:
        break;
    case VSOCK_CREDIT_REQUEST:
        vsock_conn_due(c, BIT(VSOCK_CREDIT_UPDATE));
        break;
    case VSOCK_RST:
        c->due = 0;
        conn_end(c);
        break;
    default:
        vsock_conn_abort(c);
    }
}

static void take_credit(struct vsock_conn *c, const struct vsock_header *h)
{
    if (c->peer_alloc != h->buf_alloc || c->peer_fwd != h->fwd_cnt)
        c->begged = false;
    c->peer_alloc = h->buf_alloc;
    c->peer_fwd = h->fwd_cnt;
    if (c->readable)
        ready_add(c);
}

void vsock_take(struct vsock *v, const struct vsock_header *h,
                const uint8_t *data)
{
    struct vsock_conn *c;

    if (h->src_cid != v->cid) {
        log_guest("vsock: from CID %llu, which it is not",
                  (unsigned long long)h->src_cid);
        return;
    }
    if (h->type != VSOCK_STREAM || h->dst_cid != VSOCK_CID_HOST) {
        refuse(v, h);
        return;
    }
    c = vsock_find(v, h->src_port, h->dst_port);
    if (c)
        take_credit(c, h);
    if (!c && h->op == VSOCK_REQUEST)
        take_request(v, h);
    else if (!c)
        refuse(v, h);
    else if (c->state == VSOCK_IS_OPEN)
        take_open(c, h, data);
    else if (h->op == VSOCK_RESPONSE)
        take_response(c);
    else if (h->op == VSOCK_RST)
        vsock_conn_free(c);
    else
        vsock_conn_abort(c);
}

/* --- to the guest --- */

/* What it has room for; its numbers may be anything. */
static uint32_t credit(const struct vsock_conn *c)
{
    uint32_t under_way = c->tx_cnt - c->peer_fwd;

    return under_way < c->peer_alloc ? c->peer_alloc - under_way : 0;
}

static void header(struct vsock_conn *c, struct vsock_header *h,
                   enum vsock_op op)
{
    *h = (struct vsock_header){
        .src_cid = VSOCK_CID_HOST,
        .dst_cid = c->v->cid,
        .src_port = c->host_port,
        .dst_port = c->guest_port,
        .type = VSOCK_STREAM,
        .op = op,
        .buf_alloc = VSOCK_BUF,
        .fwd_cnt = c->fwd_cnt,
    };
    c->fwd_told = c->fwd_cnt;
    c->due &= ~(BIT(op) | BIT(VSOCK_CREDIT_UPDATE));
}

static bool give_shutdown(struct vsock_conn *c, struct vsock_header *h)
{
    unsigned flags =
        (c->no_more ? VSOCK_SHUT_SND : 0) | (c->deaf ? VSOCK_SHUT_RCV : 0);

    c->due &= ~BIT(VSOCK_SHUTDOWN);
    if (!(flags & ~c->told))
        return false;
    header(c, h, VSOCK_SHUTDOWN);
    c->told |= flags;
    h->flags = c->told;
    if (c->told == VSOCK_SHUT)
        timer_arm(&c->limit, clock_now(c->v->loop->clock) + CLOSE_NS);
    return true;
}

static bool give_data(struct vsock_conn *c, struct vsock_header *h,
                      uint8_t *buf, size_t room)
{
    ssize_t n;

    room = MIN(MIN(room, VSOCK_PACKET), credit(c));
    if (!room) {
        if (c->begged)
            return false;
        c->begged = true;
        header(c, h, VSOCK_CREDIT_REQUEST);
        return true;
    }
    do
        n = recv(c->fd.fd, buf, room, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        c->readable = false;
        vsock_conn_watch(c);
        return false;
    }
    if (n <= 0) {
        c->deaf |= n < 0;
        c->no_more = true;
        c->readable = false;
        vsock_conn_watch(c);
        return give_shutdown(c, h);
    }
    header(c, h, VSOCK_RW);
    h->len = (uint32_t)n;
    c->tx_cnt += (uint32_t)n;
    c->v->to_guest += (uint64_t)n;
    return true;
}

/* The next packet of c's, if it has one. May free c once it is ENDED. */
static bool conn_give(struct vsock_conn *c, struct vsock_header *h,
                      uint8_t *buf, size_t room)
{
    static const enum vsock_op plain[] = {VSOCK_REQUEST, VSOCK_RESPONSE,
                                          VSOCK_CREDIT_UPDATE};

    if (c->due & BIT(VSOCK_RST)) {
        header(c, h, VSOCK_RST);
        conn_end(c);
        return true;
    }
    if (c->due)
        ready_add(c);
    for (unsigned i = 0; i < ARRAY_SIZE(plain); i++) {
        if (c->due & BIT(plain[i])) {
            header(c, h, plain[i]);
            return true;
        }
    }
    /* Data first: the end of it goes with whatever else has ended. */
    if (c->state == VSOCK_IS_OPEN && c->readable &&
        give_data(c, h, buf, room)) {
        if (c->readable)
            ready_add(c); /* behind the others */
        return true;
    }
    return (c->due & BIT(VSOCK_SHUTDOWN)) && give_shutdown(c, h);
}

bool vsock_give(struct vsock *v, struct vsock_header *h, uint8_t *buf,
                size_t room)
{
    struct vsock_conn *c;

    if (v->rst_len) {
        *h = v->rst[v->rst_first];
        v->rst_first = (v->rst_first + 1) % ARRAY_SIZE(v->rst);
        v->rst_len--;
        return true;
    }
    while ((c = v->ready)) {
        ready_remove(c);
        if (conn_give(c, h, buf, room))
            return true;
    }
    return false;
}

/* --- all of it --- */

void vsock_attach(struct vsock *v, void (*wake)(void *ctx), void *ctx)
{
    v->wake = wake;
    v->wake_ctx = ctx;
}

/* Those who have not said what they want have no part in it. */
static void drop_all(struct vsock *v, bool greeting)
{
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(v->bucket); i++) {
        struct vsock_conn *c = v->bucket[i], *next;

        for (; c; c = next) {
            next = c->next;
            if (greeting || c->state != VSOCK_GREETING)
                vsock_conn_free(c);
        }
    }
    v->rst_len = 0;
}

void vsock_reset(struct vsock *v)
{
    drop_all(v, false);
}

/* A guest must not be able to use up the monitor's descriptors. */
static unsigned conns_max(void)
{
    struct rlimit rl;

    if (getrlimit(RLIMIT_NOFILE, &rl))
        return 64;
    if (rl.rlim_cur < rl.rlim_max && rl.rlim_cur < 4 * VSOCK_CONNS_MAX) {
        rl.rlim_cur = MIN(rl.rlim_max, 4 * (rlim_t)VSOCK_CONNS_MAX);
        if (setrlimit(RLIMIT_NOFILE, &rl) && getrlimit(RLIMIT_NOFILE, &rl))
            return 64;
    }
    return (unsigned)MIN(rl.rlim_cur / 4, VSOCK_CONNS_MAX);
}

int vsock_open(struct vsock **out, const struct vsock_config *cfg,
               struct loop *l, struct error *err)
{
    struct vsock *v = calloc(1, sizeof(*v));

    if (!v)
        return error_set(err, ENOMEM, "out of memory");
    v->loop = l;
    v->cid = cfg->cid;
    v->ready_end = &v->ready;
    v->next_port = VSOCK_PORT_BASE;
    v->conns_max = conns_max();
    if (cfg->base && strlen(cfg->base) + VSOCK_SPARE < sizeof(v->base))
        strcpy(v->base, cfg->base);
    if (vsock_listen(v, cfg->path, err)) {
        free(v);
        return -err->code;
    }
    *out = v;
    return 0;
}

void vsock_close(struct vsock *v)
{
    v->wake = NULL;
    drop_all(v, true);
    unix_unlisten(&v->at);
    free(v);
}
