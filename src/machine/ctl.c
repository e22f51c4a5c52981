/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl.c - the control socket: connections, lines, answers.
 */
#include "machine/ctl_int.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "machine/names.h"

/* --- sending --- */

static void client_watch(struct ctl_client *c)
{
    bool out = c->out_len != 0;

    loop_change(&c->ctl->m->loop, &c->lf,
                (c->busy || c->closing ? 0u : (unsigned)EPOLLIN) |
                    (out || c->closing ? (unsigned)EPOLLOUT : 0u));
}

static void client_flush(struct ctl_client *c)
{
    size_t done = 0;

    while (done < c->out_len) {
        ssize_t n = send(c->lf.fd, c->out + done, c->out_len - done,
                         MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            c->closing |= errno != EAGAIN;
            break;
        }
        done += (size_t)n;
    }
    c->out_len -= done;
    if (c->out_len)
        memmove(c->out, c->out + done, c->out_len);
}

void ctl_send(struct ctl_client *c, const void *buf, size_t len)
{
    if (c->closing)
        return;
    if (len > CTL_OUT_MAX - MIN(c->out_len, CTL_OUT_MAX)) {
        c->closing = true; /* it does not read */
        c->out_len = 0;
    } else if (c->out_len + len > c->out_room) {
        size_t room = c->out_len + len + 4096;
        uint8_t *p = realloc(c->out, room);

        if (!p) {
            c->closing = true;
            return;
        }
        c->out = p;
        c->out_room = room;
    }
    if (!c->closing) {
        memcpy(c->out + c->out_len, buf, len);
        c->out_len += len;
        client_flush(c);
    }
    client_watch(c);
}

static void send_json(struct ctl_client *c, struct json_object *o)
{
    const char *text =
        json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);

    ctl_send(c, text, strlen(text));
    ctl_send(c, "\n", 1);
    json_object_put(o);
}

void ctl_answer(struct ctl_client *c, struct json_object *more)
{
    struct json_object *o = json_object_new_object();

    json_object_object_add(o, "ok", json_object_new_boolean(true));
    if (more) {
        json_object_object_foreach(more, key, val)
            json_object_object_add(o, key, json_object_get(val));
        json_object_put(more);
    }
    c->busy = false;
    send_json(c, o);
}

void ctl_refuse(struct ctl_client *c, const char *fmt, ...)
{
    struct json_object *o = json_object_new_object();
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    json_object_object_add(o, "ok", json_object_new_boolean(false));
    json_object_object_add(o, "error", json_object_new_string(text));
    c->busy = false;
    send_json(c, o);
}

/* --- clients --- */

bool ctl_alive(const struct ctl *ctl, const struct ctl_client *c)
{
    const struct ctl_client *i;

    for (i = ctl->clients; i; i = i->next)
        if (i == c)
            return true;
    return false;
}

static void client_free(struct ctl_client *c)
{
    struct ctl_client **at = &c->ctl->clients;

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->ctl->count--;
    if (c->console)
        console_detach(&c->ctl->m->console, &c->viewer);
    loop_remove(&c->ctl->m->loop, &c->lf);
    close(c->lf.fd);
    free(c->in);
    free(c->out);
    free(c);
}

static void client_line(struct ctl_client *c, const char *line)
{
    struct json_object *o = json_tokener_parse(line);

    if (o && json_object_is_type(o, json_type_object))
        ctl_command(c, o);
    else
        ctl_refuse(c, "a line that is no JSON object");
    json_object_put(o);
}

/* All whole lines, one after the other. */
static void client_lines(struct ctl_client *c)
{
    char *end;

    while (!c->busy && !c->console && !c->closing &&
           (end = memchr(c->in, '\n', c->in_len))) {
        size_t len = (size_t)(end - c->in) + 1;
        char *line = strndup(c->in, len - 1);

        c->in_len -= len;
        memmove(c->in, c->in + len, c->in_len);
        if (!line) {
            c->closing = true;
            return;
        }
        if (strspn(line, " \t\r") != len - 1)
            client_line(c, line);
        free(line);
    }
    if (c->in_len == CTL_LINE_MAX) {
        ctl_refuse(c, "a line of more than %u bytes", CTL_LINE_MAX);
        c->closing = true;
    }
}

/* What a viewer types goes where the terminal's keys go. */
static void client_keys(struct ctl_client *c)
{
    struct console *con = &c->ctl->m->console;
    size_t n = MIN(c->in_len, console_room(con));

    if (n)
        console_type(con, (const uint8_t *)c->in, n);
    c->in_len -= n;
    memmove(c->in, c->in + n, c->in_len);
    if (c->in_len == CTL_LINE_MAX)
        c->in_len = 0; /* nobody takes it: typed into the void */
}

static void client_read(struct ctl_client *c)
{
    ssize_t n = recv(c->lf.fd, c->in + c->in_len, CTL_LINE_MAX - c->in_len,
                     MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        c->closing = true;
        c->out_len = 0;
        return;
    }
    c->in_len += (size_t)n;
}

static void client_ready(struct loop_fd *lf, uint32_t events)
{
    struct ctl_client *c = container_of(lf, struct ctl_client, lf);

    if (events & (EPOLLHUP | EPOLLERR)) {
        client_free(c);
        return;
    }
    if (events & EPOLLOUT)
        client_flush(c);
    if (events & EPOLLIN)
        client_read(c);
    if (c->console)
        client_keys(c);
    else
        client_lines(c);
    if (c->closing && !c->out_len)
        client_free(c);
    else
        client_watch(c);
}

static void ctl_accept(struct loop_fd *lf, uint32_t events)
{
    struct ctl *ctl = container_of(lf, struct ctl, listener);
    int fd = accept4(lf->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct ctl_client *c;
    struct error err;

    (void)events;
    if (fd < 0)
        return;
    c = ctl->count < CTL_CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;
    if (c)
        c->in = malloc(CTL_LINE_MAX);
    if (!c || !c->in) {
        free(c);
        close(fd);
        return;
    }
    c->ctl = ctl;
    c->lf = (struct loop_fd){fd, client_ready};
    if (loop_add(&ctl->m->loop, &c->lf, EPOLLIN, &err)) {
        close(fd);
        free(c->in);
        free(c);
        return;
    }
    c->next = ctl->clients;
    ctl->clients = c;
    ctl->count++;
}

/* --- the listening socket --- */

static int ctl_listen(struct ctl *ctl, const char *name, struct error *err)
{
    char folder[sizeof(ctl->at.at.sun_path)];
    struct sockaddr_un sa;
    int rc;

    if (names_folder(folder, sizeof(folder), true, err) ||
        name_address(&sa, name, err))
        return -err->code;
    rc = unix_listen(&ctl->at, sa.sun_path, 0, err);
    if (rc == -EADDRINUSE)
        return error_set(err, EADDRINUSE,
                         "--name %s: a machine of this name runs; take "
                         "another, or see ringfence ctl %s status",
                         name, name);
    if (rc)
        return rc;
    ctl->listener = (struct loop_fd){ctl->at.fd, ctl_accept};
    if (!loop_add(&ctl->m->loop, &ctl->listener, EPOLLIN, err))
        return 0;
    unix_unlisten(&ctl->at);
    return -err->code;
}

int ctl_init(struct machine *m, struct error *err)
{
    const char *name = m->cfg->name;
    struct ctl *ctl = calloc(1, sizeof(*ctl));
    char own[32];

    if (!ctl)
        return error_set(err, ENOMEM, "out of memory");
    ctl->m = m;
    ctl->started = clock_host_now();
    snprintf(own, sizeof(own), "vm-%d", (int)getpid());
    snprintf(m->name, sizeof(m->name), "%s", name ? name : own);
    if (!ctl_listen(ctl, m->name, err)) {
        m->ctl = ctl;
        return 0;
    }
    free(ctl);
    if (name)
        return -err->code;
    log_debug("no control socket: %s", err->msg); /* nobody asked for one */
    return 0;
}

void ctl_fini(struct machine *m)
{
    struct ctl *ctl = m->ctl;

    if (!ctl)
        return;
    loop_remove(&m->loop, &ctl->listener);
    unix_unlisten(&ctl->at);
    while (ctl->clients) {
        client_flush(ctl->clients);
        client_free(ctl->clients);
    }
    free(ctl);
    m->ctl = NULL;
}
