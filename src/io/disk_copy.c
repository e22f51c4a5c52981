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

#include "base/fd.h"

static const char *copy_folder(void)
{
    const char *t = getenv("TMPDIR");

    return t && *t ? t : "/var/tmp"; /* /tmp may be memory */
}

static int copy_range(int from, int to, uint64_t at, uint64_t end)
{
    char buf[65536];
    int rc = 0;

    for (size_t n; at < end && !rc; at += n) {
        n = (size_t)MIN(end - at, sizeof(buf));
        rc = fd_read_at(from, buf, n, at);
        if (!rc)
            rc = fd_write_at(to, buf, n, at);
    }
    return rc;
}

/* Holes stay holes; where the file system can share blocks, it does. */
static int copy_all(int from, int to, uint64_t size)
{
    uint64_t at = 0, end;
    int rc = 0;

    if (ftruncate(to, (off_t)size))
        return -errno;
    if (!ioctl(to, FICLONE, from))
        return 0;
    for (; !rc && fd_data(from, at, size, &at, &end); at = end)
        rc = copy_range(from, to, at, end);
    return rc;
}

int disk_open_copy(struct disk *d, const char *path, struct error *err)
{
    const char *folder = copy_folder();
    int fd, rc;

    if (disk_open(d, path, true, err))
        return -err->code;
    fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    rc = fd < 0 ? -errno : copy_all(d->fd, fd, d->size);
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
