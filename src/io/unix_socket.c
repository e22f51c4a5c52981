/* SPDX-License-Identifier: Apache-2.0 */
#include "io/unix_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG  128
#define AT_ONCE  16 /* accepted, then others get their turn */
#define RETRY_NS 100000000ull

static int address(struct sockaddr_un *sa, const char *path)
{
    size_t len = strlen(path);

    *sa = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (!len || len >= sizeof(sa->sun_path))
        return -ENAMETOOLONG;
    memcpy(sa->sun_path, path, len);
    return 0;
}

int unix_connect(const char *path)
{
    struct sockaddr_un sa;
    int fd, e;

    if (address(&sa, path))
        return -ENAMETOOLONG;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (!connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
        return fd;
    e = errno;
    close(fd);
    return -e;
}

/* What is there, if it is left from somebody who was killed, goes. */
static int clear(const char *path, struct error *err)
{
    struct stat st;
    int fd;

    if (lstat(path, &st))
        return 0; /* bind() says what is wrong, if something is */
    if (!S_ISSOCK(st.st_mode))
        return error_set(err, EEXIST,
                         "%s exists and is no socket; give another path", path);
    fd = unix_connect(path);
    if (fd >= 0)
        close(fd);
    if (fd != -ECONNREFUSED)
        return error_set(err, EADDRINUSE,
                         "%s: somebody listens there already; give another "
                         "path",
                         path);
    if (unlink(path))
        return error_set(err, errno, "%s: %s", path, strerror(errno));
    return 0;
}

static int bind_at(struct unix_listener *u, struct error *err)
{
    struct stat st;

    u->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* Before bind(), which makes the file with the socket's own mode. */
    if (u->fd < 0 || fchmod(u->fd, 0600) ||
        bind(u->fd, (struct sockaddr *)&u->at, sizeof(u->at)) ||
        listen(u->fd, BACKLOG))
        return error_set(err, errno, "%s: %s", u->at.sun_path, strerror(errno));
    if (!lstat(u->at.sun_path, &st)) {
        u->dev = st.st_dev;
        u->ino = st.st_ino;
    }
    return 0;
}

int unix_listen(struct unix_listener *u, const char *path, size_t spare,
                struct error *err)
{
    *u = (struct unix_listener){.fd = -1};
    if (strlen(path) + spare >= sizeof(u->at.sun_path) || address(&u->at, path))
        return error_set(err, ENAMETOOLONG,
                         "%s: give a path of 1 to %zu bytes; a socket's name "
                         "cannot be longer",
                         path, sizeof(u->at.sun_path) - 1 - spare);
    if (clear(path, err))
        return -err->code;
    if (!bind_at(u, err))
        return 0;
    unix_unlisten(u);
    return -err->code;
}

/* --- served by the loop --- */

void unix_hold(struct unix_listener *u, bool held)
{
    if (held == u->held)
        return;
    u->held = held;
    timer_cancel(&u->retry);
    loop_change(u->loop, &u->watch, held ? 0 : EPOLLIN);
}

static void serve_retry(struct timer *t)
{
    unix_hold(container_of(t, struct unix_listener, retry), false);
}

static void serve_ready(struct loop_fd *lf, uint32_t events)
{
    struct unix_listener *u = container_of(lf, struct unix_listener, watch);

    (void)events;
    for (int i = 0; i < AT_ONCE && !u->held; i++) {
        int fd = accept4(u->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
                       errno == ENOMEM)) {
            unix_hold(u, true);
            timer_arm(&u->retry, clock_now(u->loop->clock) + RETRY_NS);
        }
        if (fd < 0)
            return;
        u->accepted(u, fd);
    }
}

int unix_serve(struct unix_listener *u, struct loop *l,
               void (*accepted)(struct unix_listener *u, int fd),
               struct error *err)
{
    u->watch = (struct loop_fd){u->fd, serve_ready};
    u->accepted = accepted;
    if (loop_add(l, &u->watch, EPOLLIN, err))
        return -err->code;
    u->loop = l;
    timer_init(&u->retry, l, serve_retry);
    return 0;
}

void unix_unlisten(struct unix_listener *u)
{
    struct stat st;

    if (u->fd < 0)
        return;
    if (u->loop) {
        timer_cancel(&u->retry);
        loop_remove(u->loop, &u->watch);
        u->loop = NULL;
    }
    if (u->ino && !lstat(u->at.sun_path, &st) && st.st_dev == u->dev &&
        st.st_ino == u->ino)
        unlink(u->at.sun_path);
    close(u->fd);
    u->fd = -1;
}
