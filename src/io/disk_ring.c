/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_ring.c - see disk_ring.h.
 *
 * A ring has a place for each operation under way, whose number is all that
 * the kernel gets to know of it. Whatever is out of the ordinary (a short
 * transfer, a file system without holes) is not dealt with here: it is done
 * again in the ordinary way. So is what the kernel cancels because the thread
 * that began it has ended.
 */
#include "io/disk_ring.h"

#include <errno.h>
#include <linux/falloc.h>
#include <limits.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io/disk_queue.h"

#define CANCEL ((uint64_t)DISK_RING_ENTRIES) /* what is no operation */

struct disk_ring {
    struct io_uring ring;
    struct disk_io *io[DISK_RING_ENTRIES]; /* by place; NULL: free */
    unsigned char free[DISK_RING_ENTRIES];
    unsigned frees;
};

static const uint8_t ops[] = {IORING_OP_READV, IORING_OP_WRITEV,
                              IORING_OP_FSYNC, IORING_OP_FALLOCATE,
                              IORING_OP_ASYNC_CANCEL};

static int ring_check(struct disk_ring *r)
{
    struct io_uring_probe *p = io_uring_get_probe_ring(&r->ring);
    int rc = p ? 0 : -ENOSYS;

    for (unsigned i = 0; p && i < ARRAY_SIZE(ops); i++)
        if (!io_uring_opcode_supported(p, ops[i]))
            rc = -ENOSYS;
    io_uring_free_probe(p);
    return rc;
}

/* liburing 2.3 forgets to export its functions for these. */
static int ring_register(struct disk_ring *r, unsigned what, const void *arg,
                         unsigned n)
{
    return syscall(SYS_io_uring_register, r->ring.ring_fd, what, arg, n)
               ? -errno
               : 0;
}

/*
 * A ring could open files and sockets, and no filter of system calls would see
 * it: this one does what disks need, for ever.
 */
static int ring_restrict(struct disk_ring *r)
{
    struct io_uring_restriction only[ARRAY_SIZE(ops)] = {0};
    int rc;

    for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
        only[i].opcode = IORING_RESTRICTION_SQE_OP;
        only[i].sqe_op = ops[i];
    }
    rc = ring_register(r, IORING_REGISTER_RESTRICTIONS, only, ARRAY_SIZE(ops));
    return rc ? rc : ring_register(r, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

int disk_ring_open(struct disk_ring **out, struct error *err)
{
    struct disk_ring *r = calloc(1, sizeof(*r));
    int rc;

    if (!r)
        return error_set(err, ENOMEM, "out of memory");
    rc = io_uring_queue_init(DISK_RING_ENTRIES, &r->ring,
                             IORING_SETUP_R_DISABLED);
    if (!rc) {
        rc = ring_check(r);
        if (!rc)
            rc = ring_restrict(r);
        if (rc)
            io_uring_queue_exit(&r->ring);
    }
    if (rc) {
        free(r);
        return error_set(err, -rc, "io_uring: %s", strerror(-rc));
    }
    while (r->frees < DISK_RING_ENTRIES) {
        r->free[r->frees] = (unsigned char)r->frees;
        r->frees++;
    }
    *out = r;
    return 0;
}

void disk_ring_close(struct disk_ring *r)
{
    io_uring_queue_exit(&r->ring);
    free(r);
}

int disk_ring_fd(const struct disk_ring *r)
{
    return r->ring.ring_fd;
}

unsigned disk_ring_pending(const struct disk_ring *r)
{
    return DISK_RING_ENTRIES - r->frees;
}

static bool ring_takes(const struct disk_io *io)
{
    if (io->sync)
        return false;
    if (io->r.op == DISK_READ || io->r.op == DISK_WRITE)
        return io->r.n && io->r.n <= IOV_MAX && io->r.len <= INT_MAX / 2;
    return io->r.op == DISK_FLUSH || io->r.len;
}

bool disk_ring_put(struct disk_ring *r, struct disk *d, struct disk_io *io)
{
    const struct disk_request *q = &io->r;
    struct io_uring_sqe *e;
    int hole = FALLOC_FL_PUNCH_HOLE;

    if (!r->frees || !ring_takes(io))
        return false;
    e = io_uring_get_sqe(&r->ring);
    if (!e)
        return false;
    switch (q->op) {
    case DISK_READ:
        io_uring_prep_readv(e, d->fd, q->iov, q->n, q->off);
        break;
    case DISK_WRITE:
        io_uring_prep_writev(e, d->fd, q->iov, q->n, q->off);
        break;
    case DISK_FLUSH:
        io_uring_prep_fsync(e, d->fd, IORING_FSYNC_DATASYNC);
        break;
    case DISK_ZERO:
        hole = q->unmap ? hole : FALLOC_FL_ZERO_RANGE;
        /* fallthrough */
    case DISK_DISCARD:
        io_uring_prep_fallocate(e, d->fd, hole | FALLOC_FL_KEEP_SIZE,
                                (off_t)q->off, (off_t)q->len);
        break;
    }
    e->user_data = r->free[--r->frees];
    r->io[e->user_data] = io;
    return true;
}

int disk_ring_submit(struct disk_ring *r)
{
    int rc = 0;

    while (io_uring_sq_ready(&r->ring)) {
        rc = io_uring_submit(&r->ring);
        if (rc > 0 || rc == -EINTR)
            continue;
        /* Too much at once? Then one that gets done makes room. */
        if (disk_ring_pending(r) > io_uring_sq_ready(&r->ring))
            return 0;
        return rc ? rc : -EIO;
    }
    return 0;
}

struct disk_io *disk_ring_left(struct disk_ring *r)
{
    struct disk_io *list = NULL;

    for (unsigned i = 0; i < DISK_RING_ENTRIES; i++) {
        if (!r->io[i])
            continue;
        r->io[i]->next = list;
        list = r->io[i];
        r->io[i] = NULL;
    }
    r->frees = 0;
    return list;
}

/* What the file's own functions say of the same; -EAGAIN: ask them. */
static int io_result(const struct disk_io *io, int res)
{
    switch (io->r.op) {
    case DISK_READ:
    case DISK_WRITE:
        return res >= 0 && (uint64_t)res == io->r.len ? 0 : -EAGAIN;
    case DISK_FLUSH:
        return res == -ECANCELED || res == -EINTR ? -EAGAIN : res;
    case DISK_ZERO:
    case DISK_DISCARD:
        return res ? -EAGAIN : 0;
    }
    return -EAGAIN;
}

struct disk_io *disk_ring_next(struct disk_ring *r)
{
    struct disk_io *io = NULL;
    struct io_uring_cqe *e;

    while (!io && !io_uring_peek_cqe(&r->ring, &e)) {
        if (e->user_data < DISK_RING_ENTRIES) {
            io = r->io[e->user_data];
            io->rc = io_result(io, e->res);
            r->io[e->user_data] = NULL;
            r->free[r->frees++] = (unsigned char)e->user_data;
        }
        io_uring_cqe_seen(&r->ring, e);
    }
    return io;
}

void disk_ring_wait(struct disk_ring *r, bool cancel)
{
    struct io_uring_sqe *e = cancel ? io_uring_get_sqe(&r->ring) : NULL;
    struct io_uring_cqe *done;

    if (e) {
        io_uring_prep_cancel(e, NULL, IORING_ASYNC_CANCEL_ANY);
        e->user_data = CANCEL;
        io_uring_submit(&r->ring);
    }
    while (io_uring_wait_cqe(&r->ring, &done) == -EINTR)
        continue;
}
