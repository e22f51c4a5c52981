/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"

#include <errno.h>
#include <unistd.h>

ssize_t fd_read_some(int fd, void *buf, size_t len, uint64_t off)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n =
            pread(fd, (char *)buf + done, len - done, (off_t)(off + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (!n)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int fd_read_at(int fd, void *buf, size_t len, uint64_t off)
{
    ssize_t n = fd_read_some(fd, buf, len, off);

    if (n < 0)
        return (int)n;
    return (size_t)n < len ? -ENODATA : 0;
}

int fd_write_at(int fd, const void *buf, size_t len, uint64_t off)
{
    const char *p = buf;

    while (len) {
        ssize_t n = pwrite(fd, p, len, (off_t)off);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? -errno : -EIO;
        p += n;
        off += (size_t)n;
        len -= (size_t)n;
    }
    return 0;
}

int fd_read(int fd, void *buf, size_t len)
{
    char *p = buf;

    while (len) {
        ssize_t n = read(fd, p, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? -errno : -ENODATA;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int fd_write(int fd, const void *buf, size_t len)
{
    const char *p = buf;

    while (len) {
        ssize_t n = write(fd, p, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? -errno : -EIO;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

bool fd_data(int fd, uint64_t at, uint64_t size, uint64_t *start, uint64_t *end)
{
    off_t data = at < size ? lseek(fd, (off_t)at, SEEK_DATA) : -1, hole;

    *start = *end = size;
    if (at >= size || (data < 0 && errno == ENXIO))
        return false;
    if (data < 0) {
        *start = at;
        return true;
    }
    hole = lseek(fd, data, SEEK_HOLE);
    *start = MIN((uint64_t)data, size);
    if (hole >= 0)
        *end = MIN((uint64_t)hole, size);
    return *start < size;
}
