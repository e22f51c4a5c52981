/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2.c - the header, and the operations of a disk, a cluster at a time.
 */
#include "io/qcow2.h"

#include <endian.h>
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/fd.h"
#include "base/log.h"
#include "io/qcow2_int.h"

#define MAGIC       0x514649fbu
#define DEPTH_MAX   16u   /* of backing files; also ends loops */
#define BACKING_MAX 1023u /* bytes of its name */
#define EXT_BACKING 0xe2792acau

#define INCOMPAT_DIRTY       BIT64(0)
#define INCOMPAT_CORRUPT     BIT64(1)
#define INCOMPAT_COMPRESSION BIT64(3)

struct header {
    uint32_t magic, version;
    uint64_t backing_offset;
    uint32_t backing_size, cluster_bits;
    uint64_t size;
    uint32_t crypt, l1_size;
    uint64_t l1_offset, reftable_offset;
    uint32_t reftable_clusters, snapshots;
    uint64_t snapshots_offset;
    /* version 3 */
    uint64_t incompatible, compatible, autoclear;
    uint32_t refcount_order, length;
    uint8_t compression, unused[7];
};

_Static_assert(sizeof(struct header) == 112, "qcow2 header");

/* --- the file --- */

int qcow2_pread(struct qcow2 *q, void *buf, uint64_t len, uint64_t off)
{
    ssize_t n = fd_read_some(q->d->fd, buf, len, off);

    if (n < 0)
        return (int)n;
    memset((uint8_t *)buf + n, 0, len - (uint64_t)n);
    return 0;
}

int qcow2_pwrite(struct qcow2 *q, const void *buf, uint64_t len, uint64_t off)
{
    return fd_write_at(q->d->fd, buf, len, off);
}

int qcow2_sync(struct qcow2 *q)
{
    return q->d->read_only || !fdatasync(q->d->fd) ? 0 : -errno;
}

int qcow2_corrupt(struct qcow2 *q, const char *why)
{
    if (!q->broken)
        log_error("disk %s: %s: the image is damaged, and not written to any "
                  "more; see qemu-img check",
                  q->d->path, why);
    q->broken = true;
    return -EIO;
}

/* --- reading --- */

static bool inflate_to(void *out, size_t out_len, void *in, size_t in_len)
{
    z_stream z = {.next_in = in,
                  .avail_in = (unsigned)in_len,
                  .next_out = out,
                  .avail_out = (unsigned)out_len};
    bool ok;

    if (inflateInit2(&z, -12) != Z_OK)
        return false;
    inflate(&z, Z_FINISH); /* bytes may follow that are not ours */
    ok = !z.avail_out;
    inflateEnd(&z);
    return ok;
}

static bool unzstd_to(void *out, size_t out_len, const void *in, size_t in_len)
{
    ZSTD_outBuffer o = {out, out_len, 0};
    ZSTD_inBuffer i = {in, in_len, 0};
    ZSTD_DCtx *ctx = ZSTD_createDCtx();
    size_t rc = 1;

    while (ctx && o.pos < out_len && i.pos < in_len) {
        rc = ZSTD_decompressStream(ctx, &o, &i);
        if (ZSTD_isError(rc) || !rc)
            break;
    }
    ZSTD_freeDCtx(ctx);
    return o.pos == out_len && !ZSTD_isError(rc);
}

/* A compressed cluster into q->plain, where the last one stays. */
static int unpack(struct qcow2 *q, uint64_t entry)
{
    unsigned shift = 62 - (q->cluster_bits - 8);
    uint64_t at = entry & ((1ull << shift) - 1);
    uint64_t len =
        (((entry & (QCOW2_COMPRESSED - 1)) >> shift) + 1) * 512 - (at & 511);
    int rc;
    bool ok;

    if (q->unpacked == entry)
        return 0;
    q->unpacked = 0;
    rc = qcow2_pread(q, q->packed, len, at);
    if (rc)
        return rc;
    ok = q->zstd ? unzstd_to(q->plain, q->cluster, q->packed, len)
                 : inflate_to(q->plain, q->cluster, q->packed, len);
    if (!ok)
        return qcow2_corrupt(q, "a compressed cluster is broken");
    q->unpacked = entry;
    return 0;
}

/* What the image below has; behind its end, zeroes. */
static int below_read(struct qcow2 *q, uint8_t *buf, uint64_t len, uint64_t off)
{
    struct disk *b = q->backing;
    uint64_t have = b && off < b->size ? MIN(len, b->size - off) : 0;
    struct iovec iov = {buf, have};

    memset(buf + have, 0, len - have);
    return have ? disk_read(b, &iov, 1, off) : 0;
}

/* Bytes of one cluster. */
static int piece_read(struct qcow2 *q, uint8_t *buf, uint64_t len, uint64_t off)
{
    uint64_t in = off & (q->cluster - 1), entry;
    enum qcow2_kind kind;
    int rc = qcow2_get(q, off, &entry, &kind);

    if (rc)
        return rc;
    switch (kind) {
    case QCOW2_HOLE:
        return below_read(q, buf, len, off);
    case QCOW2_ZEROES:
        memset(buf, 0, len);
        return 0;
    case QCOW2_DATA:
        return qcow2_pread(q, buf, len, (entry & QCOW2_OFFSET) + in);
    case QCOW2_PACKED:
        rc = unpack(q, entry);
        if (!rc)
            memcpy(buf, q->plain + in, len);
        return rc;
    }
    return -EIO;
}

/* --- writing --- */

/* What is not written of the cluster stays as it was. */
static int piece_copy(struct qcow2 *q, const uint8_t *buf, uint64_t len,
                      uint64_t off)
{
    uint64_t in = off & (q->cluster - 1), start = off - in;
    uint64_t size = MIN(q->cluster, q->d->size - start);
    int rc = 0;

    memset(q->buf + size, 0, q->cluster - size);
    if (len < size)
        rc = piece_read(q, q->buf, size, start);
    if (!rc)
        memcpy(q->buf + in, buf, len);
    return rc;
}

static int piece_write(struct qcow2 *q, const uint8_t *buf, uint64_t len,
                       uint64_t off)
{
    uint64_t in = off & (q->cluster - 1), entry, at;
    enum qcow2_kind kind;
    bool own;
    int rc = qcow2_get(q, off, &entry, &kind);

    if (rc)
        return rc;
    own = kind != QCOW2_PACKED && (entry & QCOW2_COPIED) &&
          (entry & QCOW2_OFFSET);
    at = entry & QCOW2_OFFSET;
    if (own && kind == QCOW2_DATA)
        return qcow2_pwrite(q, buf, len, at + in);
    rc = piece_copy(q, buf, len, off);
    if (!rc && !own)
        rc = qcow2_alloc(q, &at);
    if (!rc)
        rc = qcow2_pwrite(q, q->buf, q->cluster, at);
    if (!rc)
        rc = qcow2_set(q, off, at | QCOW2_COPIED);
    if (!rc && !own)
        rc = qcow2_free_later(q, entry);
    return rc;
}

/* A whole cluster becomes zeroes; drop: its place may go. */
static int cluster_zero(struct qcow2 *q, uint64_t off, bool drop)
{
    uint64_t entry, now;
    enum qcow2_kind kind;
    int rc = qcow2_get(q, off, &entry, &kind);

    if (rc || kind == QCOW2_ZEROES || (kind == QCOW2_HOLE && !q->backing))
        return rc;
    if (q->version < 3 && (q->backing || !drop)) {
        memset(q->plain, 0, q->cluster);
        q->unpacked = 0;
        return piece_write(q, q->plain, MIN(q->cluster, q->d->size - off), off);
    }
    drop |= kind == QCOW2_PACKED || !(entry & QCOW2_COPIED);
    now = drop ? 0 : entry & (QCOW2_OFFSET | QCOW2_COPIED);
    if (q->version >= 3)
        now |= drop && !q->backing ? 0 : QCOW2_ZERO;
    rc = qcow2_set(q, off, now);
    return rc || !drop ? rc : qcow2_free_later(q, entry);
}

static int piece_zero(struct qcow2 *q, uint64_t len, uint64_t off, bool drop)
{
    uint64_t start = align_down(off, q->cluster), entry;
    enum qcow2_kind kind;
    int rc;

    if (len >= MIN(q->cluster, q->d->size - start))
        return cluster_zero(q, start, drop);
    rc = qcow2_get(q, off, &entry, &kind);
    if (rc || kind == QCOW2_ZEROES || (kind == QCOW2_HOLE && !q->backing))
        return rc;
    q->unpacked = 0;
    memset(q->plain, 0, len);
    if (kind == QCOW2_PACKED) { /* which comes through q->plain itself */
        uint8_t *zeroes = calloc(1, len);

        rc = zeroes ? piece_write(q, zeroes, len, off) : -ENOMEM;
        free(zeroes);
        return rc;
    }
    return piece_write(q, q->plain, len, off);
}

/* --- operations --- */

typedef int piece_fn(struct qcow2 *q, uint8_t *buf, uint64_t len, uint64_t off);

/* Cuts vectors at the ends of clusters. */
static int each_piece(struct qcow2 *q, const struct iovec *iov, unsigned n,
                      uint64_t off, piece_fn *fn)
{
    for (unsigned i = 0; i < n; i++) {
        uint8_t *p = iov[i].iov_base;
        uint64_t left = iov[i].iov_len;

        while (left) {
            uint64_t len = MIN(left, q->cluster - (off & (q->cluster - 1)));
            int rc = fn(q, p, len, off);

            if (rc)
                return rc;
            p += len;
            off += len;
            left -= len;
        }
    }
    return 0;
}

static int write_fn(struct qcow2 *q, uint8_t *buf, uint64_t len, uint64_t off)
{
    /* Room for what a piece may free: see qcow2_free_later(). */
    int rc = q->frees_n > QCOW2_FREES - 64 ? qcow2_flush(q) : 0;

    return rc ? rc : piece_write(q, buf, len, off);
}

static int zero_range(struct qcow2 *q, uint64_t off, uint64_t len, bool drop,
                      bool whole)
{
    while (len) {
        uint64_t n = MIN(len, q->cluster - (off & (q->cluster - 1)));
        int rc = q->frees_n > QCOW2_FREES - 64 ? qcow2_flush(q) : 0;

        if (!rc && (!whole || n == q->cluster))
            rc = piece_zero(q, n, off, drop);
        if (rc)
            return rc;
        off += n;
        len -= n;
    }
    return 0;
}

int qcow2_request(struct disk *d, const struct disk_request *r,
                  const struct iovec *iov)
{
    struct qcow2 *q = d->qcow2;

    if (r->op == DISK_READ)
        return each_piece(q, iov, r->n, r->off, piece_read);
    if (d->read_only)
        return r->op == DISK_FLUSH ? 0 : -EROFS;
    if (q->broken)
        return -EIO;
    switch (r->op) {
    case DISK_WRITE:
        return each_piece(q, iov, r->n, r->off, write_fn);
    case DISK_FLUSH:
        return qcow2_flush(q);
    case DISK_ZERO:
        return zero_range(q, r->off, r->len, r->unmap, false);
    case DISK_DISCARD: /* a hint: what would cost space is left out */
        return q->version < 3 && q->backing
                   ? 0
                   : zero_range(q, r->off, r->len, true, true);
    default:
        return -EINVAL;
    }
}

/* --- opening --- */

static int refuse(const struct disk *d, struct error *err, const char *why)
{
    return error_set(err, EINVAL, "disk %s: %s", d->path, why);
}

static void header_swap(struct header *h)
{
    h->magic = be32toh(h->magic);
    h->version = be32toh(h->version);
    h->backing_offset = be64toh(h->backing_offset);
    h->backing_size = be32toh(h->backing_size);
    h->cluster_bits = be32toh(h->cluster_bits);
    h->size = be64toh(h->size);
    h->crypt = be32toh(h->crypt);
    h->l1_size = be32toh(h->l1_size);
    h->l1_offset = be64toh(h->l1_offset);
    h->reftable_offset = be64toh(h->reftable_offset);
    h->reftable_clusters = be32toh(h->reftable_clusters);
    h->snapshots = be32toh(h->snapshots);
    h->incompatible = be64toh(h->incompatible);
    h->autoclear = be64toh(h->autoclear);
    h->refcount_order = be32toh(h->refcount_order);
    h->length = be32toh(h->length);
    if (h->version == 2) {
        h->incompatible = h->autoclear = 0;
        h->refcount_order = 4;
        h->length = 72;
    }
    if (h->length <= offsetof(struct header, compression))
        h->compression = 0;
}

static int header_check(const struct disk *d, const struct header *h,
                        struct error *err)
{
    if (h->magic != MAGIC)
        return refuse(d, err,
                      "not a qcow2 image; add ,format=raw if it is "
                      "raw");
    if (h->version != 2 && h->version != 3)
        return refuse(d, err, "a version of qcow2 that is not known");
    if (h->cluster_bits < 9 || h->cluster_bits > 21 || h->refcount_order > 6 ||
        h->size > INT64_MAX || h->length < 72 || h->compression > 1)
        return refuse(d, err, "its header is not valid");
    if (h->crypt)
        return refuse(d, err, "is encrypted; qemu-img convert it first");
    if (h->incompatible &
        ~(INCOMPAT_DIRTY | INCOMPAT_CORRUPT | INCOMPAT_COMPRESSION))
        return refuse(d, err,
                      "uses features of qcow2 that are not known here "
                      "(external data, subclusters); qemu-img convert "
                      "it first");
    if (d->read_only)
        return 0;
    if (h->incompatible & (INCOMPAT_DIRTY | INCOMPAT_CORRUPT))
        return refuse(d, err,
                      "was not closed cleanly; run qemu-img check -r "
                      "all, or add ,ro");
    if (h->snapshots)
        return refuse(d, err,
                      "has internal snapshots; delete them with "
                      "qemu-img snapshot -d, or add ,ro");
    return 0;
}

/* The format that the header's extensions give to the backing file. */
static void backing_format(struct qcow2 *q, const struct header *h, char *name,
                           size_t room)
{
    uint64_t at = h->length;
    uint32_t ext[2];

    name[0] = 0;
    /* All of them are within the first cluster. */
    while (at + 8 <= q->cluster && !qcow2_pread(q, ext, 8, at)) {
        uint32_t type = be32toh(ext[0]), len = be32toh(ext[1]);

        if (!type || len > q->cluster)
            return;
        if (type == EXT_BACKING && len < room) {
            if (qcow2_pread(q, name, len, at + 8))
                len = 0;
            name[len] = 0;
        }
        at += 8 + align_up(len, 8);
    }
}

/* Relative to the image's own folder. */
static int backing_path(const struct disk *d, const char *name, char *path,
                        size_t room)
{
    char *copy = strdup(d->path);
    int n = -1;

    if (copy && *name == '/')
        n = snprintf(path, room, "%s", name);
    else if (copy)
        n = snprintf(path, room, "%s/%s", dirname(copy), name);
    free(copy);
    return n < 0 || (size_t)n >= room ? -ENAMETOOLONG : 0;
}

static int backing_open(struct qcow2 *q, const struct header *h, unsigned depth,
                        struct error *err)
{
    char name[BACKING_MAX + 1] = "", path[4096], format[16];
    struct disk *d = q->d;
    bool qcow2;

    if (!h->backing_offset)
        return 0;
    if (depth == DEPTH_MAX)
        return refuse(d, err,
                      "more than 16 images on top of each other, or a "
                      "loop");
    if (!h->backing_size || h->backing_size > BACKING_MAX ||
        qcow2_pread(q, name, h->backing_size, h->backing_offset) ||
        backing_path(d, name, path, sizeof(path)))
        return refuse(d, err, "the name of its backing file is not valid");
    backing_format(q, h, format, sizeof(format));
    qcow2 = !strcmp(format, "qcow2") || (!*format && disk_named_qcow2(path));
    if (!qcow2 && strcmp(format, "raw"))
        return refuse(d, err,
                      "does not say what format its backing file has; "
                      "qemu-img rebase -u -F raw (or qcow2) does");
    q->backing = calloc(1, sizeof(*q->backing));
    if (!q->backing)
        return error_set(err, ENOMEM, "out of memory");
    if (disk_open_format(q->backing, path, true, qcow2, depth + 1, err)) {
        free(q->backing);
        q->backing = NULL;
        return depth ? -err->code
                     : error_prefix(err, "disk %s stands on", d->path);
    }
    return 0;
}

static int buffers(struct qcow2 *q, struct error *err)
{
    q->buf = malloc(q->cluster);
    q->plain = malloc(q->cluster);
    q->packed = malloc(2 * q->cluster + 512);
    return q->buf && q->plain && q->packed
               ? 0
               : error_set(err, ENOMEM, "out of memory");
}

static int image_open(struct qcow2 *q, unsigned depth, struct error *err)
{
    const uint64_t none = 0;
    struct header h = {0};

    if (qcow2_pread(q, &h, sizeof(h), 0))
        return refuse(q->d, err, "cannot be read");
    header_swap(&h);
    if (header_check(q->d, &h, err))
        return -err->code;
    q->version = h.version;
    q->cluster_bits = h.cluster_bits;
    q->cluster = 1ull << h.cluster_bits;
    q->refcount_order = h.refcount_order;
    q->zstd = h.compression == 1;
    q->l1_offset = h.l1_offset;
    q->l1_size = h.l1_size;
    q->reftable_offset = h.reftable_offset;
    q->d->size = align_down(h.size, DISK_SECTOR);
    if (buffers(q, err) || qcow2_map_init(q, err) ||
        backing_open(q, &h, depth, err))
        return -err->code;
    if (q->d->read_only)
        return 0;
    if (qcow2_refs_init(q, h.reftable_clusters, err))
        return -err->code;
    /* Bitmaps and the like, which we do not keep up to date. */
    if (h.autoclear && qcow2_pwrite(q, &none, 8, 88))
        return refuse(q->d, err, "cannot be written to");
    return 0;
}

static void image_free(struct qcow2 *q)
{
    if (q->backing) {
        disk_close(q->backing);
        free(q->backing);
    }
    qcow2_map_fini(q);
    qcow2_refs_fini(q);
    free(q->buf);
    free(q->plain);
    free(q->packed);
    free(q);
}

int qcow2_open(struct disk *d, unsigned depth, struct error *err)
{
    struct qcow2 *q = calloc(1, sizeof(*q));

    if (!q)
        return error_set(err, ENOMEM, "out of memory");
    q->d = d;
    if (image_open(q, depth, err)) {
        image_free(q);
        return -err->code;
    }
    d->qcow2 = q;
    return 0;
}

uint64_t qcow2_cluster(const struct disk *d)
{
    return d->qcow2->cluster;
}

void qcow2_close(struct disk *d)
{
    struct qcow2 *q = d->qcow2;

    if (!d->read_only && !q->broken && qcow2_flush(q))
        log_error("disk %s: what was written last is lost: the image could "
                  "not be brought up to date",
                  d->path);
    image_free(q);
    d->qcow2 = NULL;
}
