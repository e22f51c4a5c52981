/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock_host.c - programs of the host's: their greeting, and where the
 * guest's connections lead.
 */
#include "io/vsock_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_NS (5 * 1000000000ull) /* for the guest to accept */

static int dial_path(const char *path, uint32_t port)
{
    char full[sizeof(((struct sockaddr_un *)0)->sun_path)];
    int n = snprintf(full, sizeof(full), "%s_%u", path, port);

    return (size_t)n < sizeof(full) ? unix_connect(full) : -ENAMETOOLONG;
}

int vsock_dial(const struct vsock *v, uint32_t port)
{
    int fd = dial_path(v->at.at.sun_path, port);

    if ((fd == -ENOENT || fd == -ECONNREFUSED) && *v->base)
        fd = dial_path(v->base, port);
    return fd;
}

/* "CONNECT <port>" without its newline; strict, but for the letters' case. */
static bool greeting_parse(const char *line, uint32_t *port)
{
    unsigned long n;
    char *end;

    if (strncasecmp(line, "connect ", 8) || line[8] < '0' || line[8] > '9')
        return false;
    errno = 0;
    n = strtoul(line + 8, &end, 10);
    *port = (uint32_t)n;
    return !errno && n <= UINT32_MAX && (!*end || !strcmp(end, "\r"));
}

static uint32_t port_free(struct vsock *v, uint32_t guest_port)
{
    do {
        v->next_port =
            VSOCK_PORT_BASE | ((v->next_port + 1) & (VSOCK_PORT_BASE - 1));
    } while (vsock_find(v, guest_port, v->next_port));
    return v->next_port;
}

/* Byte by byte: what stands behind the line is the guest's. */
static int greeting_read(struct vsock_conn *c)
{
    while (c->line_len < VSOCK_GREETING_MAX) {
        ssize_t n = recv(c->fd.fd, c->line + c->line_len, 1, MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return -EAGAIN;
        if (n <= 0)
            return -ECONNRESET;
        if (c->line[c->line_len] == '\n') {
            c->line[c->line_len] = 0;
            return 0;
        }
        c->line_len++;
    }
    return -EMSGSIZE;
}

void vsock_greet(struct vsock_conn *c)
{
    uint32_t port;
    int rc = greeting_read(c);

    if (rc == -EAGAIN)
        return;
    if (rc || !greeting_parse(c->line, &port)) {
        vsock_conn_free(c);
        return;
    }
    vsock_conn_number(c, port, port_free(c->v, port));
    c->state = VSOCK_REQUESTED;
    vsock_conn_due(c, BIT(VSOCK_REQUEST));
    timer_arm(&c->limit, clock_now(c->v->loop->clock) + ANSWER_NS);
    vsock_conn_watch(c);
}

/* --- the listening socket --- */

void vsock_accept_more(struct vsock *v)
{
    if (v->conns < v->conns_max)
        unix_hold(&v->at, false);
}

static void host_accepted(struct unix_listener *u, int fd)
{
    struct vsock *v = container_of(u, struct vsock, at);

    if (!vsock_conn_new(v, fd))
        close(fd);
    if (v->conns >= v->conns_max)
        unix_hold(u, true);
}

int vsock_listen(struct vsock *v, const char *path, struct error *err)
{
    if (unix_listen(&v->at, path, VSOCK_SPARE, err))
        return -err->code;
    if (!unix_serve(&v->at, v->loop, host_accepted, err))
        return 0;
    unix_unlisten(&v->at);
    return -err->code;
}
