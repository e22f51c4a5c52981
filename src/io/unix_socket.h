/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unix_socket.h - listening unix sockets that come and go with the machine.
 */
#pragma once

#include <sys/stat.h>
#include <sys/un.h>

#include "base/loop.h"

struct unix_listener {
    int fd; /* -1: none; accepts without blocking */
    dev_t dev;
    ino_t ino; /* of the file, so that only our own is removed */
    struct sockaddr_un at;

    /* unix_serve() */
    struct loop *loop; /* NULL: not served */
    struct loop_fd watch;
    void (*accepted)(struct unix_listener *u, int fd);
    bool held;          /* nobody is accepted for now */
    struct timer retry; /* after the host ran out of something */
};

/*
 * Only the user may connect (mode 0600). A socket that nobody listens on any
 * more is replaced; anything else at path is an error, -EADDRINUSE if somebody
 * does listen. spare: bytes that the caller may put behind the path.
 */
int unix_listen(struct unix_listener *u, const char *path, size_t spare,
                struct error *err) must_check;
/*
 * From now on whoever connects is accepted, by the loop: accepted() gets a
 * socket that does not block, its own. Whoever comes while this is held, or
 * the host has no descriptors left, waits.
 */
int unix_serve(struct unix_listener *u, struct loop *l,
               void (*accepted)(struct unix_listener *u, int fd),
               struct error *err) must_check;
void unix_hold(struct unix_listener *u, bool held);
/* Also removes the file. */
void unix_unlisten(struct unix_listener *u);
/* A connected socket that does not block, or -errno. */
int unix_connect(const char *path);
