/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.c - open files. Data go straight between the file and the vectors.
 */
#include "io/share/share_int.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/iov.h"

#define KERNEL_O_APPEND 02000
/* A change this near to the last look may have left the times as they were. */
#define RACY_NS 50000000u

int open_flags(uint32_t flags)
{
    /*
     * O_TRUNC comes as a SETATTR of its own. O_APPEND is taken at each write:
     * the page cache of the guest writes to where it says. O_DIRECT is the
     * guest's: it reads past its own cache.
     */
    return (int)(flags & (O_ACCMODE | O_SYNC | O_DSYNC)) | O_CLOEXEC |
           O_NOCTTY | O_NONBLOCK;
}

int node_open(struct share *s, const struct share_node *n, uint32_t flags)
{
    struct share_fd_path p;
    int fd;

    (void)s;
    if (n->type == S_IFLNK)
        return -ELOOP;
    if (n->type != S_IFREG && n->type != S_IFDIR)
        return -ENXIO; /* opening a device or FIFO does something */
    if (n->type == S_IFDIR)
        flags = O_RDONLY | O_DIRECTORY;
    share_fd_path(&p, n->fd);
    fd = open(p.text, open_flags(flags) | (int)(flags & O_DIRECTORY));
    return fd < 0 ? -errno : fd;
}

/*
 * What the guest has of a file in its cache is good if the file is as it was
 * when the guest last opened it.
 */
uint32_t open_keeps_cache(struct share *s, struct share_node *n)
{
    struct timespec now;
    struct statx st;
    uint32_t keep = 0;
    uint64_t age;

    if (share_stat(n->fd, &st) || clock_gettime(CLOCK_REALTIME, &now))
        return 0;
    pthread_mutex_lock(&s->lock);
    if (n->seen && n->mtime == share_ns(&st.stx_mtime) &&
        n->ctime == share_ns(&st.stx_ctime) && n->size == st.stx_size)
        keep = FOPEN_KEEP_CACHE;
    n->mtime = share_ns(&st.stx_mtime);
    n->ctime = share_ns(&st.stx_ctime);
    n->size = st.stx_size;
    age = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec -
          (uint64_t)n->ctime;
    n->seen = age > RACY_NS && age < INT64_MAX;
    pthread_mutex_unlock(&s->lock);
    return keep;
}

int op_open(struct share_op *o)
{
    const struct fuse_open_in *in = (const void *)o->arg;
    bool wants_write = (in->flags & O_ACCMODE) != O_RDONLY;
    struct fuse_open_out *out = (void *)op_reply(o, sizeof(*out));
    struct share_node *n;
    int rc, fd;

    if (o->s->read_only && wants_write)
        return -EROFS;
    n = out ? node_get(o->s, o->head.nodeid, &rc) : NULL;
    if (!n)
        return out ? rc : -EIO;
    *out = (struct fuse_open_out){0};
    fd = n->type == S_IFDIR ? -EISDIR : node_open(o->s, n, in->flags);
    rc = fd;
    if (fd >= 0)
        rc = handle_new(o->s, fd, n->id, false, in->flags, &out->fh);
    if (!rc)
        out->open_flags = open_keeps_cache(o->s, n);
    node_put(o->s, n);
    return rc < 0 ? rc : (int)sizeof(*out);
}

int op_read(struct share_op *o)
{
    const struct fuse_read_in *in = (const void *)o->arg;
    uint64_t room = o->m->in_len - sizeof(struct fuse_out_header);
    struct iovec iov[IOV_MAX];
    struct share_handle *h;
    ssize_t got;
    unsigned n;

    if (in->offset > INT64_MAX)
        return -EINVAL;
    h = handle_get(o->s, in->fh, false);
    if (!h)
        return handle_missing(o->s, in->fh);
    n = iov_slice(iov, ARRAY_SIZE(iov), o->m->in, o->m->in_n,
                  sizeof(struct fuse_out_header),
                  MIN(MIN(in->size, room), SHARE_IO_MAX));
    got = n ? preadv(h->fd, iov, (int)n, (off_t)in->offset) : 0;
    got = got < 0 ? -errno : got;
    handle_put(o->s, h);
    if (got > 0)
        o->direct = (uint64_t)got;
    return got < 0 ? (int)got : 0;
}

static ssize_t write_out(struct share_handle *h, const struct iovec *iov,
                         unsigned n, const struct fuse_write_in *in)
{
    bool append =
        (in->flags & KERNEL_O_APPEND) && !(in->write_flags & FUSE_WRITE_CACHE);
    ssize_t put = -1;

    if (append) {
        put = pwritev2(h->fd, iov, (int)n, (off_t)in->offset, RWF_APPEND);
        if (put >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS))
            return put;
    }
    return pwritev(h->fd, iov, (int)n, (off_t)in->offset);
}

int op_write(struct share_op *o)
{
    const struct fuse_write_in *in = (const void *)o->arg;
    uint64_t skip = sizeof(o->head) + sizeof(*in);
    struct fuse_write_out *out = (void *)op_reply(o, sizeof(*out));
    struct iovec iov[IOV_MAX];
    struct share_handle *h;
    ssize_t put;
    unsigned n;

    if (!out || in->offset > INT64_MAX || in->size > SHARE_IO_MAX ||
        in->size > o->m->out_len - skip)
        return -EINVAL;
    h = handle_get(o->s, in->fh, false);
    if (!h)
        return handle_missing(o->s, in->fh);
    put = in->write_flags & FUSE_WRITE_KILL_SUIDGID
              ? owner_kill_setid(o->s, h->fd)
              : 0;
    n = iov_slice(iov, ARRAY_SIZE(iov), o->m->out, o->m->out_n, skip, in->size);
    if (!put && n) {
        put = write_out(h, iov, n, in);
        put = put < 0 ? -errno : put;
    }
    handle_put(o->s, h);
    if (put < 0)
        return (int)put;
    *out = (struct fuse_write_out){.size = (uint32_t)put};
    return sizeof(*out);
}

/* What a close() of the guest's would have said. */
int op_flush(struct share_op *o)
{
    const struct fuse_flush_in *in = (const void *)o->arg;
    struct share_handle *h = handle_get(o->s, in->fh, false);
    int fd, rc;

    if (!h)
        return handle_missing(o->s, in->fh);
    fd = fcntl(h->fd, F_DUPFD_CLOEXEC, 0);
    rc = fd < 0 || close(fd) ? -errno : 0;
    handle_put(o->s, h);
    return rc;
}

int op_release(struct share_op *o)
{
    const struct fuse_release_in *in = (const void *)o->arg;

    handle_release(o->s, in->fh);
    return 0;
}

static int sync_handle(struct share_op *o, bool dir)
{
    const struct fuse_fsync_in *in = (const void *)o->arg;
    struct share_handle *h = handle_get(o->s, in->fh, dir);
    bool data = in->fsync_flags & FUSE_FSYNC_FDATASYNC;
    int rc;

    if (!h)
        return handle_missing(o->s, in->fh);
    rc = (data ? fdatasync(h->fd) : fsync(h->fd)) ? -errno : 0;
    handle_put(o->s, h);
    return rc;
}

int op_fsync(struct share_op *o)
{
    return sync_handle(o, false);
}

int op_fsyncdir(struct share_op *o)
{
    return sync_handle(o, true);
}

int op_fallocate(struct share_op *o)
{
    const struct fuse_fallocate_in *in = (const void *)o->arg;
    struct share_handle *h;
    int rc;

    if (in->offset > INT64_MAX || in->length > INT64_MAX)
        return -EFBIG;
    h = handle_get(o->s, in->fh, false);
    if (!h)
        return handle_missing(o->s, in->fh);
    rc = fallocate(h->fd, (int)in->mode, (off_t)in->offset, (off_t)in->length)
             ? -errno
             : 0;
    handle_put(o->s, h);
    return rc;
}

int op_lseek(struct share_op *o)
{
    const struct fuse_lseek_in *in = (const void *)o->arg;
    struct fuse_lseek_out *out = (void *)op_reply(o, sizeof(*out));
    struct share_handle *h;
    off_t at;
    int rc;

    if (in->whence != SEEK_DATA && in->whence != SEEK_HOLE)
        return -EINVAL;
    h = out ? handle_get(o->s, in->fh, false) : NULL;
    if (!h)
        return handle_missing(o->s, in->fh);
    at = lseek(h->fd, (off_t)in->offset, (int)in->whence);
    rc = at < 0 ? -errno : (int)sizeof(*out);
    handle_put(o->s, h);
    if (rc > 0)
        *out = (struct fuse_lseek_out){.offset = (uint64_t)at};
    return rc;
}

int op_copy_file_range(struct share_op *o)
{
    const struct fuse_copy_file_range_in *in = (const void *)o->arg;
    struct fuse_write_out *out = (void *)op_reply(o, sizeof(*out));
    off_t from = (off_t)in->off_in, to = (off_t)in->off_out;
    struct share_handle *a, *b;
    ssize_t n = -1;
    int rc;

    if (!out || in->flags || from < 0 || to < 0)
        return -EINVAL;
    a = handle_get(o->s, in->fh_in, false);
    b = handle_get(o->s, in->fh_out, false);
    rc = handle_missing(o->s, a ? in->fh_out : in->fh_in);
    if (a && b) {
        /* A bounded piece: the guest asks for the rest. */
        n = copy_file_range(a->fd, &from, b->fd, &to, MIN(in->len, 64 * MiB),
                            0);
        rc = n < 0 ? -errno : (int)sizeof(*out);
    }
    if (a)
        handle_put(o->s, a);
    if (b)
        handle_put(o->s, b);
    if (n >= 0)
        *out = (struct fuse_write_out){.size = (uint32_t)n};
    return rc;
}

int op_syncfs(struct share_op *o)
{
    int rc, fd;

    fd = node_open(o->s, o->s->root, O_RDONLY);
    if (fd < 0)
        return fd;
    rc = syncfs(fd) ? -errno : 0;
    close(fd);
    return rc;
}
