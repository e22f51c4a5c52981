/* SPDX-License-Identifier: Apache-2.0 */
/*
 * top_link.c - one machine's control socket, never waited for.
 *
 * One request is out at a time. A machine that does not answer keeps its
 * connection: when it comes to itself, so does the view.
 */
#include "cmd/top_int.h"

#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MAX (1u << 20)   /* a machine's own limit, ctl_int.h */
#define AT_ONCE    (256u << 10) /* read before others have their turn */

void top_link_close(struct top_link *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    l->len = 0;
    l->asked_ns = 0;
}

/* Nobody is there any more: shown for a while if it ever was. */
static void lost(struct top_item *it)
{
    top_link_close(&it->link);
    it->found = false;
    if (it->state != TOP_GONE)
        it->gone_ns = clock_host_now();
    it->state = TOP_GONE;
}

static void whose(struct top_item *it)
{
    struct ucred who;
    socklen_t len = sizeof(who);

    if (getsockopt(it->link.fd, SOL_SOCKET, SO_PEERCRED, &who, &len))
        return;
    it->pid = (unsigned)who.pid;
    it->uid = who.uid;
}

static bool link_open(struct top_item *it)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return false;
    if (connect(fd, (struct sockaddr *)&it->at, sizeof(it->at))) {
        int e = errno;

        close(fd);
        if (e == EACCES || e == EPERM)
            it->state = TOP_DENIED;
        else if (e == EAGAIN)
            it->state = TOP_SILENT; /* too many wait for it */
        else
            lost(it);
        return false;
    }
    if (it->state == TOP_GONE || it->state == TOP_DENIED)
        it->state = TOP_NEW;
    it->link.fd = fd;
    whose(it);
    return true;
}

void top_ask(struct top_item *it)
{
    struct top_link *l = &it->link;
    char line[64];
    int n;

    if (l->asked_ns || (l->fd < 0 && !link_open(it)))
        return;
    n = snprintf(line, sizeof(line), "{\"command\":\"%s\"}\n",
                 it->wanted ? it->wanted : "counters");
    if (send(l->fd, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) != n) {
        lost(it);
        return;
    }
    l->counters = !it->wanted;
    l->asked_ns = clock_host_now();
    if (it->wanted)
        it->note[0] = '\0';
    it->wanted = NULL;
}

static void garbage(struct top_item *it)
{
    it->state = TOP_GARBAGE;
    top_link_close(&it->link); /* asked anew in the next round */
}

static void refused(struct top_item *it, struct json_object *o)
{
    struct json_object *why;

    if (!json_object_object_get_ex(o, "error", &why))
        return;
    top_printable(it->note, sizeof(it->note), json_object_get_string(why));
    /* one that is older than this program cannot be asked */
    it->state = it->link.counters ? TOP_GARBAGE : TOP_UP;
}

static void answered(struct top_item *it, const char *line)
{
    struct json_object *o = json_tokener_parse(line), *ok;
    bool counters = it->link.counters;

    it->link.asked_ns = 0;
    if (!o || !json_object_is_type(o, json_type_object) ||
        !json_object_object_get_ex(o, "ok", &ok))
        garbage(it);
    else if (!json_object_get_boolean(ok))
        refused(it, o);
    else if (!counters)
        it->state = TOP_UP;
    else if (top_sample_take(it, o))
        it->state = TOP_UP;
    else
        garbage(it);
    json_object_put(o);
}

/* Room for more; false: what it says has no end. */
static bool link_room(struct top_link *l)
{
    size_t room = l->room ? 2 * l->room : 16384;
    char *p;

    if (l->len + 1 < l->room)
        return true;
    p = room > ANSWER_MAX ? NULL : realloc(l->buf, room);
    if (!p)
        return false;
    l->buf = p;
    l->room = room;
    return true;
}

void top_link_ready(struct top_item *it)
{
    struct top_link *l = &it->link;
    size_t got = 0;
    ssize_t n;

    while (l->fd >= 0 && got < AT_ONCE) {
        char *end;

        if (!link_room(l)) {
            garbage(it);
            return;
        }
        n = recv(l->fd, l->buf + l->len, l->room - 1 - l->len, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            lost(it);
            return;
        }
        got += (size_t)n;
        l->len += (size_t)n;
        end = memchr(l->buf + l->len - n, '\n', (size_t)n);
        if (!end)
            continue;
        *end = '\0';
        l->len = 0; /* one request, one line: more is not for us */
        if (l->asked_ns)
            answered(it, l->buf);
    }
}

void top_link_late(struct top_item *it, uint64_t after_ns)
{
    if (it->link.asked_ns && clock_host_now() - it->link.asked_ns >= after_ns)
        it->state = TOP_SILENT;
}

/* The descriptors of those whose answer is awaited. */
static unsigned awaited(const struct top *t, struct pollfd *p,
                        struct top_item **who)
{
    unsigned n = 0;

    for (unsigned i = 0; i < t->items; i++) {
        if (!t->item[i]->link.asked_ns)
            continue;
        who[n] = t->item[i];
        p[n++] = (struct pollfd){t->item[i]->link.fd, POLLIN, 0};
    }
    return n;
}

void top_round(struct top *t, uint64_t limit_ns)
{
    uint64_t end = clock_host_now() + limit_ns, now;
    struct pollfd p[TOP_ITEMS_MAX];
    struct top_item *who[TOP_ITEMS_MAX];
    unsigned n;

    top_begin(t);
    while ((n = awaited(t, p, who)) && (now = clock_host_now()) < end) {
        if (poll(p, n, (int)((end - now) / 1000000) + 1) <= 0)
            continue;
        for (unsigned i = 0; i < n; i++)
            if (p[i].revents)
                top_link_ready(who[i]);
    }
    for (unsigned i = 0; i < t->items; i++)
        top_link_late(t->item[i], limit_ns);
}
