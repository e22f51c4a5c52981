/* SPDX-License-Identifier: Apache-2.0 */
#include "io/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/iov.h"
#include "base/log.h"
#include "io/disk_fork.h"
#include "io/qcow2.h"

#define ZERO_CHUNK (64 * 1024)
#define IOV_BATCH  256u

static int disk_size(struct disk *d, const struct stat *st, struct error *err)
{
    uint64_t bytes = (uint64_t)st->st_size;

    if (d->block_device && ioctl(d->fd, BLKGETSIZE64, &bytes))
        return error_set(err, errno, "disk %s: cannot get its size: %s",
                         d->path, strerror(errno));
    d->size = bytes;
    return 0;
}

/* The lock belongs to the open file: it goes with the last descriptor. */
static int disk_lock(struct disk *d, struct error *err)
{
    struct flock fl = {
        .l_type = d->read_only ? F_RDLCK : F_WRLCK,
        .l_whence = SEEK_SET,
    };

    if (!fcntl(d->fd, F_OFD_SETLK, &fl))
        return 0;
    if (errno == EAGAIN || errno == EACCES)
        return error_set(err, EBUSY, "disk %s: in use by another machine",
                         d->path);
    return error_set(err, errno, "disk %s: cannot lock it: %s", d->path,
                     strerror(errno));
}

static int disk_check(struct disk *d, struct error *err)
{
    struct stat st;

    if (fstat(d->fd, &st))
        return error_set(err, errno, "disk %s: %s", d->path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return error_set(err, EISDIR, "disk %s: is a directory", d->path);
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return error_set(err, EINVAL,
                         "disk %s: neither a file nor a block device", d->path);
    d->block_device = S_ISBLK(st.st_mode);
    /* With O_NONBLOCK io_uring would give up where it has to wait. */
    if (fcntl(d->fd, F_SETFL, 0))
        return error_set(err, errno, "disk %s: %s", d->path, strerror(errno));
    if (disk_lock(d, err))
        return -err->code;
    return disk_size(d, &st, err);
}

static int file_open(struct disk *d, const char *path, bool read_only,
                     struct error *err)
{
    /* O_NONBLOCK: a FIFO must not hold us; it means nothing for files. */
    int flags = O_CLOEXEC | O_NONBLOCK | (read_only ? O_RDONLY : O_RDWR);

    *d = (struct disk){.fd = -1, .read_only = read_only};
    d->path = strdup(path);
    if (!d->path)
        return error_set(err, ENOMEM, "out of memory");
    d->fd = open(path, flags);
    if (d->fd < 0 && errno == EISDIR)
        error_set(err, EISDIR, "disk %s: is a directory", path);
    else if (d->fd < 0)
        error_set(err, errno, "disk %s: %s%s", path, strerror(errno),
                  !read_only && (errno == EACCES || errno == EROFS)
                      ? " (add ,ro to use it read-only)"
                      : "");
    else if (!disk_check(d, err))
        return 0;
    disk_close(d);
    return -err->code;
}

int disk_open(struct disk *d, const char *path, bool read_only,
              struct error *err)
{
    uint64_t bytes;

    if (file_open(d, path, read_only, err))
        return -err->code;
    bytes = d->size;
    d->size = align_down(bytes, DISK_SECTOR);
    if (d->size != bytes)
        log_warn("disk %s: size is not a multiple of %u: the last %u bytes "
                 "are not used",
                 d->path, DISK_SECTOR, (unsigned)(bytes - d->size));
    return 0;
}

int disk_open_format(struct disk *d, const char *path, bool read_only,
                     bool qcow2, unsigned depth, struct error *err)
{
    if (!qcow2)
        return disk_open(d, path, read_only, err);
    if (file_open(d, path, read_only, err))
        return -err->code;
    if (!qcow2_open(d, depth, err))
        return 0;
    disk_close(d);
    return -err->code;
}

int disk_open_fd(struct disk *d, int fd, const char *path, bool qcow2,
                 struct error *err)
{
    struct stat st;

    *d = (struct disk){.fd = fd, .read_only = true, .path = strdup(path)};
    if (!d->path)
        error_set(err, ENOMEM, "out of memory");
    else if (fstat(fd, &st))
        error_set(err, errno, "disk %s: %s", path, strerror(errno));
    else {
        d->block_device = S_ISBLK(st.st_mode);
        if (!disk_size(d, &st, err) && (!qcow2 || !qcow2_open(d, 0, err)))
            return 0;
    }
    disk_close(d);
    return -err->code;
}

bool disk_named_qcow2(const char *path)
{
    const char *dot = strrchr(path, '.');

    return dot && !strcmp(dot, ".qcow2");
}

int disk_open_tap(struct disk *d, const char *name, uint64_t size,
                  bool read_only, struct disk_tap *tap, struct error *err)
{
    *d = (struct disk){
        .fd = -1, .read_only = read_only, .size = size, .tap = tap};
    d->path = strdup(name);
    return d->path ? 0 : error_set(err, ENOMEM, "out of memory");
}

int disk_settle(struct disk *d, struct error *err)
{
    const struct disk_request flush = {.op = DISK_FLUSH};
    int rc = d->qcow2 ? qcow2_request(d, &flush, NULL) : 0;

    return rc ? error_set(err, -rc, "disk %s: %s", d->path, strerror(-rc)) : 0;
}

void disk_close(struct disk *d)
{
    disk_fork_close(d);
    if (d->qcow2)
        qcow2_close(d);
    if (d->fd >= 0)
        close(d->fd);
    d->fd = -1;
    free(d->path);
    d->path = NULL;
}

/* Drops the first n bytes of the vectors. */
static void iov_skip(struct iovec **iov, unsigned *n, size_t done)
{
    while (*n && done >= (*iov)->iov_len) {
        done -= (*iov)->iov_len;
        (*iov)++;
        (*n)--;
    }
    if (*n) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + done;
        (*iov)->iov_len -= done;
    }
}

static int file_read(struct disk *d, struct iovec *iov, unsigned n,
                     uint64_t off)
{
    iov_skip(&iov, &n, 0);
    while (n) {
        ssize_t got = preadv(d->fd, iov, (int)MIN(n, IOV_BATCH), (off_t)off);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got ? -errno : -EIO; /* the file was made shorter */
        off += (uint64_t)got;
        iov_skip(&iov, &n, (size_t)got);
    }
    return 0;
}

static int file_write(struct disk *d, struct iovec *iov, unsigned n,
                      uint64_t off)
{
    iov_skip(&iov, &n, 0);
    while (n) {
        ssize_t put = pwritev(d->fd, iov, (int)MIN(n, IOV_BATCH), (off_t)off);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put ? -errno : -EIO;
        off += (uint64_t)put;
        iov_skip(&iov, &n, (size_t)put);
    }
    return 0;
}

static int file_flush(struct disk *d)
{
    return fdatasync(d->fd) ? -errno : 0;
}

static int file_write_zeroes(struct disk *d, uint64_t off, uint64_t len)
{
    static const uint8_t zeroes[ZERO_CHUNK];

    while (len) {
        struct iovec iov = {(void *)(uintptr_t)zeroes, MIN(len, ZERO_CHUNK)};
        size_t step = iov.iov_len;
        int r = file_write(d, &iov, 1, off);

        if (r)
            return r;
        off += step;
        len -= step;
    }
    return 0;
}

static int file_fallocate(struct disk *d, int mode, uint64_t off, uint64_t len)
{
    int r;

    do {
        r = fallocate(d->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)off,
                      (off_t)len);
    } while (r && errno == EINTR);
    return r ? -errno : 0;
}

static int file_zero(struct disk *d, uint64_t off, uint64_t len, bool unmap)
{
    int r;

    if (!len)
        return 0;
    r = file_fallocate(d, unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE,
                       off, len);
    if (r != -EOPNOTSUPP && r != -EINVAL && r != -ENODEV && r != -ENOSYS)
        return r;
    return file_write_zeroes(d, off, len);
}

static int file_discard(struct disk *d, uint64_t off, uint64_t len)
{
    int r = len ? file_fallocate(d, FALLOC_FL_PUNCH_HOLE, off, len) : 0;

    return r == -EIO || r == -ENOSPC ? r : 0;
}

/* --- the same, past a tap --- */

static int file_request(struct disk *d, const struct disk_request *r,
                        struct iovec *iov)
{
    if (d->qcow2)
        return qcow2_request(d, r, iov);
    switch (r->op) {
    case DISK_READ:
        return file_read(d, iov, r->n, r->off);
    case DISK_WRITE:
        return file_write(d, iov, r->n, r->off);
    case DISK_FLUSH:
        return file_flush(d);
    case DISK_ZERO:
        return file_zero(d, r->off, r->len, r->unmap);
    case DISK_DISCARD:
        return file_discard(d, r->off, r->len);
    }
    return -EINVAL;
}

/* The file's functions consume the vectors, and a tap wants to see them. */
int disk_file(struct disk *d, const struct disk_request *r)
{
    struct iovec *copy = malloc(r->n * sizeof(*copy) + 1);
    int rc;

    if (!copy)
        return -ENOMEM;
    if (r->n)
        memcpy(copy, r->iov, r->n * sizeof(*copy));
    rc = file_request(d, r, copy);
    free(copy);
    return rc;
}

static int tap_request(struct disk *d, const struct disk_request *r)
{
    struct disk_tap *t = d->tap;
    int rc = t->play ? t->play(t, d, r) : disk_file(d, r);

    if (t->seen)
        t->seen(t, d, r, rc);
    return rc;
}

int disk_do(struct disk *d, const struct disk_request *r, struct iovec *iov)
{
    return unlikely(d->tap != NULL) ? tap_request(d, r)
                                    : file_request(d, r, iov);
}

int disk_read(struct disk *d, struct iovec *iov, unsigned n, uint64_t off)
{
    const struct disk_request r = {DISK_READ, false, iov,
                                   n,         off,   iov_bytes(iov, n)};

    return disk_do(d, &r, iov);
}

int disk_write(struct disk *d, struct iovec *iov, unsigned n, uint64_t off)
{
    const struct disk_request r = {DISK_WRITE, false, iov,
                                   n,          off,   iov_bytes(iov, n)};

    return disk_do(d, &r, iov);
}

int disk_flush(struct disk *d)
{
    const struct disk_request r = {.op = DISK_FLUSH};

    return disk_do(d, &r, NULL);
}

int disk_zero(struct disk *d, uint64_t off, uint64_t len, bool unmap)
{
    const struct disk_request r = {
        .op = DISK_ZERO, .unmap = unmap, .off = off, .len = len};

    return disk_do(d, &r, NULL);
}

int disk_discard(struct disk *d, uint64_t off, uint64_t len)
{
    const struct disk_request r = {.op = DISK_DISCARD, .off = off, .len = len};

    return disk_do(d, &r, NULL);
}
