/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lockstep_wire.c - messages over a socket, for both of its ends.
 */
#include "machine/lockstep.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"

int lockstep_send(int fd, uint32_t type, const void *p, size_t len)
{
    struct lockstep_head head = {type, (uint32_t)len};
    struct iovec iov[2] = {{&head, sizeof(head)}, {(void *)p, len}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

    if (len > LOCKSTEP_BYTES_MAX)
        return -EMSGSIZE;
    while (iov[0].iov_len + iov[1].iov_len) {
        ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR)
            return -errno;
        for (unsigned i = 0; n > 0 && i < 2; i++) {
            size_t part = MIN((size_t)n, iov[i].iov_len);

            iov[i].iov_base = (char *)iov[i].iov_base + part;
            iov[i].iov_len -= part;
            n -= (ssize_t)part;
        }
    }
    return 0;
}

int lockstep_receive(int fd, void *p, size_t len)
{
    int rc = fd_read(fd, p, len);

    return rc == -ENODATA ? -EPIPE : rc;
}
