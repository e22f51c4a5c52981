/* SPDX-License-Identifier: Apache-2.0 */
#include "io/port.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

#define AT_ONCE 65536u /* bytes read, then others get their turn */

static struct port *port_of(struct chardev *c)
{
    return container_of(c, struct port, chr);
}

/* --- options --- */

static bool name_valid(const char *name, size_t len)
{
    if (!len || len > PORT_NAME_MAX || *name == '.')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("._-", name[i]))
            return false;
    return true;
}

int port_config_parse(struct port_config *c, const char *text,
                      struct error *err)
{
    const char *eq = strchr(text, '='), *path;

    *c = (struct port_config){.kind = PORT_NOWHERE};
    if (!eq)
        return error_set(err, EINVAL, "give NAME=unix:PATH or NAME=file:PATH");
    if (!name_valid(text, (size_t)(eq - text)))
        return error_set(err, EINVAL,
                         "give a name of up to %u letters, digits, `.', `_' "
                         "and `-', like org.example.agent",
                         PORT_NAME_MAX);
    memcpy(c->name, text, (size_t)(eq - text));
    if (!strncmp(eq + 1, "unix:", 5))
        c->kind = PORT_UNIX;
    else if (!strncmp(eq + 1, "file:", 5))
        c->kind = PORT_FILE;
    else
        return error_set(err, EINVAL, "%s=: give unix:PATH or file:PATH",
                         c->name);
    path = eq + 6;
    if (!*path || strlen(path) >= sizeof(c->path))
        return error_set(err, EINVAL, "%s=: give a path of 1 to %zu bytes",
                         c->name, sizeof(c->path) - 1);
    strcpy(c->path, path);
    return 0;
}

/* --- the socket's program --- */

static void conn_watch(struct port *p)
{
    uint32_t events = 0;

    if (!p->watched)
        return;
    if (!p->ended && p->guest_open && chardev_room(&p->chr))
        events |= EPOLLIN;
    if (p->waits)
        events |= EPOLLOUT;
    if (events != p->events)
        loop_change(p->loop, &p->conn, events);
    p->events = events;
}

static void conn_unwatch(struct port *p)
{
    if (p->watched)
        loop_remove(p->loop, &p->conn);
    p->watched = false;
}

static void conn_close(struct port *p)
{
    conn_unwatch(p);
    close(p->conn.fd);
    p->conn.fd = -1;
    p->waits = false;
    chardev_connect(&p->chr, false);
    unix_hold(&p->at, false); /* the next one's turn */
}

/* What the guest has room for; the end of it ends the connection, if it is. */
static void conn_read(struct port *p)
{
    uint8_t buf[4096];
    size_t total = 0;

    while (p->conn.fd >= 0 && !p->ended && p->guest_open && total < AT_ONCE) {
        size_t room = MIN(chardev_room(&p->chr), sizeof(buf));
        ssize_t n;

        if (!room)
            break;
        n = recv(p->conn.fd, buf, room, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        p->ended = n <= 0;
        if (n > 0)
            chardev_receive(&p->chr, buf, (size_t)n);
        total += n > 0 ? (size_t)n : 0;
    }
    if (p->conn.fd < 0)
        return;
    if (p->hung_up && (p->ended || !p->guest_open))
        conn_close(p);
    else
        conn_watch(p);
}

static void conn_ready(struct loop_fd *lf, uint32_t events)
{
    struct port *p = container_of(lf, struct port, conn);

    if (events & (EPOLLHUP | EPOLLERR)) {
        conn_unwatch(p); /* it would be told again and again */
        p->hung_up = true;
        if (p->waits) {
            p->waits = false;
            chardev_writable(&p->chr);
        }
    } else if (events & EPOLLOUT) {
        p->waits = false;
        chardev_writable(&p->chr);
    }
    conn_read(p);
}

static void conn_accepted(struct unix_listener *u, int fd)
{
    struct port *p = container_of(u, struct port, at);
    struct error err;

    p->conn.fd = fd;
    p->events = 0;
    if (loop_add(p->loop, &p->conn, 0, &err)) {
        close(fd);
        p->conn.fd = -1;
        return;
    }
    p->watched = true;
    p->ended = p->hung_up = p->waits = false;
    unix_hold(u, true);
    chardev_connect(&p->chr, true);
    conn_watch(p);
}

/*
 * A program that is gone takes everything; that it is gone is told from the
 * loop, as the device may be in the middle of its queue.
 */
static size_t unix_write(struct chardev *c, const uint8_t *buf, size_t len)
{
    struct port *p = port_of(c);
    size_t done = 0;

    while (done < len && p->conn.fd >= 0 && !p->hung_up) {
        ssize_t n = send(p->conn.fd, buf + done, len - done,
                         MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            p->waits = true;
            conn_watch(p);
            return done;
        }
        if (n < 0)
            return len;
        done += (size_t)n;
    }
    return len;
}

static void unix_accept(struct chardev *c)
{
    struct port *p = port_of(c);

    if (p->conn.fd >= 0)
        conn_read(p);
}

static void unix_opened(struct chardev *c, bool on)
{
    struct port *p = port_of(c);

    p->guest_open = on;
    if (p->conn.fd >= 0 && !on)
        conn_read(p); /* nobody will read what is left of one that is gone */
}

static const struct chardev_ops unix_ops = {unix_write, unix_accept,
                                            unix_opened};

/* --- the file --- */

static size_t file_write(struct chardev *c, const uint8_t *buf, size_t len)
{
    struct port *p = port_of(c);
    int rc = p->failed ? 0 : fd_write(p->file, buf, len);

    if (rc) {
        log_warn("port %s: %s: %s; what the guest says is lost from here",
                 p->cfg.name, p->cfg.path, strerror(-rc));
        p->failed = true;
    }
    return len;
}

static void file_opened(struct chardev *c, bool on)
{
    port_of(c)->guest_open = on;
}

static const struct chardev_ops file_ops = {file_write, NULL, file_opened};

static int file_open(struct port *p, struct error *err)
{
    const char *path = p->cfg.path;
    struct stat st;

    p->file = open(
        path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
        0600);
    if (p->file < 0)
        return error_set(err, errno, "%s: %s", path, strerror(errno));
    if (!fstat(p->file, &st) && S_ISREG(st.st_mode))
        return 0;
    close(p->file);
    return error_set(err, EINVAL, "%s is no file; give one, or unix:PATH",
                     path);
}

/* --- both --- */

static int unix_open(struct port *p, struct error *err)
{
    if (unix_listen(&p->at, p->cfg.path, 0, err))
        return -err->code;
    p->chr.away = true;
    p->conn.ready = conn_ready;
    if (!unix_serve(&p->at, p->loop, conn_accepted, err))
        return 0;
    unix_unlisten(&p->at);
    return -err->code;
}

int port_open(struct port **out, const struct port_config *cfg, struct loop *l,
              struct error *err)
{
    static const struct chardev_ops nowhere_ops;
    static const struct chardev_ops *const ops[] = {&nowhere_ops, &unix_ops,
                                                    &file_ops};
    struct port *p = calloc(1, sizeof(*p));
    int rc = 0;

    if (!p)
        return error_set(err, ENOMEM, "out of memory");
    p->cfg = *cfg;
    p->loop = l;
    p->conn.fd = p->at.fd = p->file = -1;
    p->chr.ops = ops[cfg->kind];
    if (cfg->kind == PORT_UNIX)
        rc = unix_open(p, err);
    else if (cfg->kind == PORT_FILE)
        rc = file_open(p, err);
    if (rc) {
        error_prefix(err, "--port %s", cfg->name);
        free(p);
        return -err->code;
    }
    *out = p;
    return 0;
}

void port_close(struct port *p)
{
    if (p->conn.fd >= 0) {
        conn_unwatch(p);
        close(p->conn.fd);
    }
    unix_unlisten(&p->at);
    if (p->file >= 0)
        close(p->file);
    free(p);
}
