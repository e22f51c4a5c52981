/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk.h - a disk image (raw or qcow2) or block device on the host.
 *
 * The image is locked whole (an open file description lock), shared by
 * readers, exclusive for a writer, so that two machines cannot spoil it. The
 * I/O functions block: they belong on a worker thread. They do all or return
 * -errno; offsets and lengths have been checked against `size` by the caller.
 */
#pragma once

#include <sys/uio.h>

#include "base/error.h"

#define DISK_SECTOR 512u

struct disk;
struct qcow2;

enum disk_op { DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_ZERO, DISK_DISCARD };
#define DISK_OPS (DISK_DISCARD + 1)

/* One operation as a tap sees it; iov only for DISK_READ and DISK_WRITE. */
struct disk_request {
    enum disk_op op;
    bool unmap; /* DISK_ZERO */
    const struct iovec *iov;
    unsigned n;
    uint64_t off, len;
};

/*
 * Stands between a disk and its file, on whichever thread does the I/O. Each
 * operation is given to play(), if there is one, which does it instead of
 * the file; then its result to seen(), if there is one.
 */
struct disk_tap {
    int (*play)(struct disk_tap *t, struct disk *d,
                const struct disk_request *r);
    void (*seen)(struct disk_tap *t, struct disk *d,
                 const struct disk_request *r, int rc);
    bool idle; /* for now the file may be used past it */
};

/* How operations are done while the machine goes on, see disk_queue.h. */
enum disk_aio { DISK_AIO_DEFAULT, DISK_AIO_URING, DISK_AIO_THREADS };

struct disk {
    int fd;
    bool read_only;
    bool block_device;
    uint64_t size; /* bytes, a multiple of DISK_SECTOR */
    char *path;
    enum disk_aio aio;
    struct disk_tap *tap; /* NULL: none */
    struct qcow2 *qcow2;  /* NULL: raw */
};

int disk_open(struct disk *d, const char *path, bool read_only,
              struct error *err) must_check;
/*
 * The format is what the user says, or the name: never what is in the image,
 * for there a guest with a raw disk could say that it stands on any file.
 * depth: images above this one, 0 for a disk.
 */
int disk_open_format(struct disk *d, const char *path, bool read_only,
                     bool qcow2, unsigned depth, struct error *err) must_check;
bool disk_named_qcow2(const char *path);
/*
 * An image that is open already, to read while its owner writes: no lock is
 * taken. path: whose folder it stands in. The descriptor becomes the disk's,
 * also on failure.
 */
int disk_open_fd(struct disk *d, int fd, const char *path, bool qcow2,
                 struct error *err) must_check;
/* A copy: writes go nowhere else, and are lost with the disk. */
int disk_open_copy(struct disk *d, const char *path,
                   struct error *err) must_check;
/* A disk without a file: its tap plays it. */
int disk_open_tap(struct disk *d, const char *name, uint64_t size,
                  bool read_only, struct disk_tap *tap,
                  struct error *err) must_check;
void disk_close(struct disk *d);
/*
 * At rest: from now on what the guest has written is in the file for others
 * who read it, past a tap.
 */
int disk_settle(struct disk *d, struct error *err) must_check;
/* For taps: the operation on the file itself. */
int disk_file(struct disk *d, const struct disk_request *r);

/* Any operation; iov: r's vectors, consumed. */
int disk_do(struct disk *d, const struct disk_request *r, struct iovec *iov);

/* The vectors are consumed (changed) by the call. */
int disk_read(struct disk *d, struct iovec *iov, unsigned n, uint64_t off);
int disk_write(struct disk *d, struct iovec *iov, unsigned n, uint64_t off);
int disk_flush(struct disk *d);
/* Reads as zeroes afterwards; unmap: may also free the space. */
int disk_zero(struct disk *d, uint64_t off, uint64_t len, bool unmap);
/* A hint; success where the host cannot. */
int disk_discard(struct disk *d, uint64_t off, uint64_t len);
