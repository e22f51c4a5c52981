/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/sync.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

int sync_pair(int fd[2], struct error *err)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd))
        return error_set(err, errno, "socketpair: %s", strerror(errno));
    return 0;
}

static bool send_message(int sock, const struct sync_message *m, size_t len,
                         int fd)
{
    union control control;
    struct iovec iov = {(void *)m, len};
    struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

    if (fd >= 0) {
        memset(&control, 0, sizeof(control));
        h.msg_control = control.bytes;
        h.msg_controllen = sizeof(control.bytes);
        CMSG_FIRSTHDR(&h)->cmsg_level = SOL_SOCKET;
        CMSG_FIRSTHDR(&h)->cmsg_type = SCM_RIGHTS;
        CMSG_FIRSTHDR(&h)->cmsg_len = CMSG_LEN(sizeof(fd));
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&h)), &fd, sizeof(fd));
    }
    while (sendmsg(sock, &h, MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            return false;
    return true;
}

bool sync_send(int sock, enum sync_kind kind, int value, int fd)
{
    struct sync_message m = {.kind = kind, .value = value};

    return send_message(sock, &m, offsetof(struct sync_message, text), fd);
}

void sync_send_error(int sock, const struct error *err)
{
    struct sync_message m = {.kind = SYNC_ERROR, .code = err->code};

    snprintf(m.text, sizeof(m.text), "%s", err->msg);
    send_message(sock, &m, sizeof(m), -1);
}

void sync_receive(int sock, struct sync_message *m, int *fd)
{
    union control control;
    struct iovec iov = {m, sizeof(*m)};
    struct msghdr h = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *c;
    ssize_t n;
    int got = -1;

    memset(m, 0, sizeof(*m));
    do
        n = recvmsg(sock, &h, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < (ssize_t)offsetof(struct sync_message, text))
        m->kind = SYNC_END;
    c = n > 0 ? CMSG_FIRSTHDR(&h) : NULL;
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len == CMSG_LEN(sizeof(got)))
        memcpy(&got, CMSG_DATA(c), sizeof(got));
    if (fd)
        *fd = got;
    else if (got >= 0)
        close(got);
    m->text[sizeof(m->text) - 1] = 0;
}

int sync_expect(int sock, enum sync_kind kind, int *fd, struct error *err)
{
    struct sync_message m;

    sync_receive(sock, &m, fd);
    if (m.kind == kind)
        return 0;
    if (m.kind == SYNC_ERROR)
        return error_set(err, m.code, "%s", m.text);
    return error_set(err, EPIPE,
                     "the container's process ended while it was made");
}
