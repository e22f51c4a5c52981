/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unix_socket.h - listening unix sockets that come and go with the machine.
 */
#pragma once

#include <sys/stat.h>
#include <sys/un.h>

#include "base/error.h"

struct unix_listener {
    int fd; /* -1: none; accepts without blocking */
    dev_t dev;
    ino_t ino; /* of the file, so that only our own is removed */
    struct sockaddr_un at;
};

/*
 * Only the user may connect (mode 0600). A socket that nobody listens on any
 * more is replaced; anything else at path is an error. spare: bytes that the
 * caller may put behind the path.
 */
int unix_listen(struct unix_listener *u, const char *path, size_t spare,
                struct error *err) must_check;
/* Also removes the file. */
void unix_unlisten(struct unix_listener *u);
/* A connected socket that does not block, or -errno. */
int unix_connect(const char *path);
