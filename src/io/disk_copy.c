/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_copy.c - a disk whose writes nobody else sees: a copy of the image in a
 * file without a name, which is gone with its last descriptor.
 */
#include "io/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const char *copy_folder(void)
{
    const char *t = getenv("TMPDIR");

    return t && *t ? t : "/var/tmp"; /* /tmp may be memory */
}

static int copy_range(int from, int to, off_t at, off_t end)
{
    char buf[65536];

    while (at < end) {
        size_t want = (size_t)MIN(end - at, (off_t)sizeof(buf));
        ssize_t n = pread(from, buf, want, at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? -errno : -EIO; /* the file was made shorter */
        for (ssize_t done = 0; done < n;) {
            ssize_t put = pwrite(to, buf + done, (size_t)(n - done), at + done);

            if (put < 0 && errno != EINTR)
                return -errno;
            done += MAX(put, 0);
        }
        at += n;
    }
    return 0;
}

/* Holes stay holes; where the file system can share blocks, it does. */
static int copy_all(int from, int to, off_t size)
{
    off_t at = 0, end;
    int rc = 0;

    if (ftruncate(to, size))
        return -errno;
    if (!ioctl(to, FICLONE, from))
        return 0;
    while (at < size && !rc) {
        off_t data = lseek(from, at, SEEK_DATA);

        if (data < 0 && errno == ENXIO)
            break; /* a hole up to the end */
        at = MAX(at, data);
        end = lseek(from, at, SEEK_HOLE);
        end = end <= at ? size : MIN(end, size);
        rc = copy_range(from, to, at, end);
        at = end;
    }
    return rc;
}

int disk_open_copy(struct disk *d, const char *path, struct error *err)
{
    const char *folder = copy_folder();
    int fd, rc;

    if (disk_open(d, path, true, err))
        return -err->code;
    fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    rc = fd < 0 ? -errno : copy_all(d->fd, fd, (off_t)d->size);
    if (rc) {
        error_set(err, -rc,
                  "disk %s: cannot copy it to %s: %s; set TMPDIR to a folder "
                  "with room for it, or give %s,ro",
                  path, folder, strerror(-rc), path);
        if (fd >= 0)
            close(fd);
        disk_close(d);
        return rc;
    }
    close(d->fd);
    d->fd = fd;
    d->read_only = d->block_device = false;
    return 0;
}
