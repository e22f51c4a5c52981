/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/sync.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd_pass.h"

int sync_pair(int fd[2], struct error *err)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd))
        return error_set(err, errno, "socketpair: %s", strerror(errno));
    return 0;
}

bool sync_send(int sock, enum sync_kind kind, int value, int fd)
{
    struct sync_message m = {.kind = kind, .value = value};

    return !fd_pass_send(sock, &m, offsetof(struct sync_message, text), fd);
}

void sync_send_error(int sock, const struct error *err)
{
    struct sync_message m = {.kind = SYNC_ERROR, .code = err->code};

    snprintf(m.text, sizeof(m.text), "%s", err->msg);
    /* If nobody hears it any more, nobody waits for it either. */
    (void)fd_pass_send(sock, &m, sizeof(m), -1);
}

static bool makes_sense(const struct sync_message *m, ssize_t n)
{
    if (n < (ssize_t)offsetof(struct sync_message, text) ||
        m->kind <= SYNC_END || m->kind > SYNC_START)
        return false;
    if (m->kind == SYNC_PID)
        return m->value > 1; /* who is killed if things go wrong */
    /* An error without a number would be taken for success. */
    return m->kind != SYNC_ERROR ||
           (n == sizeof(*m) && m->code > 0 && m->code < 4096 && m->text[0]);
}

void sync_understand(struct sync_message *m, ssize_t n)
{
    if (n <= 0) {
        memset(m, 0, sizeof(*m));
    } else if (!makes_sense(m, n)) {
        memset(m, 0, sizeof(*m));
        m->kind = SYNC_ERROR;
        m->code = EPROTO;
        strcpy(m->text, "the container's process says what none of ours does");
    }
    m->text[sizeof(m->text) - 1] = 0;
}

void sync_receive(int sock, struct sync_message *m, int *fd)
{
    ssize_t n;
    int got;

    memset(m, 0, sizeof(*m));
    n = fd_pass_receive(sock, m, sizeof(*m), 0, &got);
    /* It ended with something of ours unread; what it said is still there. */
    if (n == -ECONNRESET)
        n = fd_pass_receive(sock, m, sizeof(*m), 0, &got);
    sync_understand(m, n);
    if (fd)
        *fd = got;
    else if (got >= 0)
        close(got);
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
