/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2_refs.c - which clusters of the file are in use.
 *
 * A count is raised before anything points to the cluster and lowered after
 * nothing in the file does, so that whatever is lost in between is a cluster
 * that nobody uses.
 */
#include "io/qcow2_int.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REFTABLE_MAX (8 * MiB) /* bytes */
#define STEPS_MAX    BIT64(26) /* of a search for a free cluster */
#define OVERLAP_MAX  65536u    /* L1 entries that are compared at each turn */

static uint64_t counts_per_block(const struct qcow2 *q)
{
    return q->cluster * 8 >> q->refcount_order;
}

static uint64_t count_get(const struct qcow2 *q, uint64_t i)
{
    unsigned bits = BIT(q->refcount_order);
    const uint8_t *p = q->refblock + i * bits / 8;
    uint64_t v = 0;

    if (bits < 8)
        return *p >> i * bits % 8 & ((1u << bits) - 1);
    for (unsigned n = 0; n < bits / 8; n++)
        v = v << 8 | p[n];
    return v;
}

/* In memory and in the file. */
static int count_set(struct qcow2 *q, uint64_t i, uint64_t v)
{
    unsigned bits = BIT(q->refcount_order), len = bits < 8 ? 1 : bits / 8;
    uint64_t at = i * bits / 8;
    uint8_t *p = q->refblock + at;

    if (bits < 8) {
        unsigned shift = i * bits % 8, mask = ((1u << bits) - 1) << shift;

        *p = (uint8_t)((*p & ~mask) | v << shift);
    } else {
        for (unsigned n = len; n--; v >>= 8)
            p[n] = (uint8_t)v;
    }
    return qcow2_pwrite(q, p, len, q->refblock_at + at);
}

static int block_load(struct qcow2 *q, uint64_t at)
{
    int rc;

    if (q->refblock_at == at)
        return 0;
    if (at % q->cluster)
        return qcow2_corrupt(q, "a refcount block is out of line");
    q->refblock_at = 0;
    rc = qcow2_pread(q, q->refblock, q->cluster, at);
    if (!rc)
        q->refblock_at = at;
    return rc;
}

/* The table at its new place, which lies behind all that was counted. */
static int table_grow(struct qcow2 *q)
{
    uint64_t per = counts_per_block(q), first = q->reftable_size * per;
    uint64_t size = q->reftable_size * 2;
    uint64_t clusters = size * 8 / q->cluster, i, at = first << q->cluster_bits;
    uint64_t old = q->reftable_offset, old_n = clusters / 2;
    uint64_t *table;
    uint8_t head[12];
    int rc = 0;

    if (size * 8 > REFTABLE_MAX || clusters >= per ||
        first >= (uint64_t)INT64_MAX >> q->cluster_bits)
        return -EFBIG;
    table = calloc(size, 8);
    if (!table)
        return -ENOMEM;
    memcpy(table, q->reftable, q->reftable_size * 8);
    table[q->reftable_size] = at;
    memset(q->refblock, 0, q->cluster);
    q->refblock_at = at;
    rc = qcow2_pwrite(q, q->refblock, q->cluster, at);
    for (i = 0; !rc && i <= clusters; i++)
        rc = count_set(q, i, 1);
    for (i = 0; i < size; i++)
        table[i] = htobe64(table[i]);
    if (!rc)
        rc = qcow2_pwrite(q, table, size * 8, at + q->cluster);
    for (i = 0; i < size; i++)
        table[i] = be64toh(table[i]);
    if (!rc)
        rc = qcow2_sync(q);
    *(uint64_t *)head = htobe64(at + q->cluster);
    *(uint32_t *)(head + 8) = htobe32((uint32_t)clusters);
    if (!rc)
        rc = qcow2_pwrite(q, head, sizeof(head), 48);
    if (!rc)
        rc = qcow2_sync(q);
    if (rc) {
        free(table);
        return qcow2_corrupt(q, "its refcount table cannot grow");
    }
    free(q->reftable);
    q->reftable = table;
    q->reftable_offset = at + q->cluster;
    q->reftable_size = size;
    for (i = 0; !rc && i < old_n; i++)
        rc = qcow2_free_later(q, (old + (i << q->cluster_bits)));
    return rc;
}

static bool within(uint64_t off, uint64_t at, uint64_t len)
{
    return off - at < len;
}

/* Would it overwrite what the image stands on? Then its counts are wrong. */
static bool in_use(const struct qcow2 *q, uint64_t off)
{
    uint64_t i;

    if (off < q->cluster ||
        within(off, q->l1_offset, align_up(q->l1_size * 8, q->cluster)) ||
        within(off, q->reftable_offset,
               align_up(q->reftable_size * 8, q->cluster)))
        return true;
    for (i = 0; i < q->l1_size && i < OVERLAP_MAX; i++)
        if ((q->l1[i] & QCOW2_OFFSET) == off)
            return true;
    for (i = 0; i < q->reftable_size && i < OVERLAP_MAX; i++)
        if (q->reftable[i] == off)
            return true;
    return false;
}

/* A block for counts that have none: it is the first that it counts. */
static int block_make(struct qcow2 *q, uint64_t n)
{
    uint64_t at = n * counts_per_block(q) << q->cluster_bits, be;
    int rc;

    if (in_use(q, at))
        return qcow2_corrupt(q, "a cluster in use is not counted");
    memset(q->refblock, 0, q->cluster);
    q->refblock_at = at;
    rc = qcow2_pwrite(q, q->refblock, q->cluster, at);
    if (!rc)
        rc = count_set(q, 0, 1);
    if (!rc)
        rc = qcow2_sync(q);
    be = htobe64(at);
    if (!rc)
        rc = qcow2_pwrite(q, &be, 8, q->reftable_offset + 8 * n);
    if (rc)
        return qcow2_corrupt(q, "a refcount block cannot be written");
    q->reftable[n] = at;
    return 0;
}

int qcow2_alloc(struct qcow2 *q, uint64_t *off)
{
    uint64_t per = counts_per_block(q), left = STEPS_MAX;
    int rc = 0;

    for (;; q->hint++) {
        uint64_t n = q->hint / per;

        if (!left-- || q->hint >= (uint64_t)INT64_MAX >> q->cluster_bits)
            return qcow2_corrupt(q, "no cluster is counted as free");
        if (n >= q->reftable_size)
            rc = table_grow(q);
        else if (!q->reftable[n])
            rc = block_make(q, n);
        if (!rc)
            rc = block_load(q, q->reftable[n]);
        if (rc)
            return rc;
        if (!count_get(q, q->hint % per))
            break;
    }
    *off = q->hint << q->cluster_bits;
    if (in_use(q, *off))
        return qcow2_corrupt(q, "a cluster in use is counted as free");
    rc = count_set(q, q->hint % per, 1);
    q->hint++;
    return rc;
}

static int free_cluster(struct qcow2 *q, uint64_t off)
{
    uint64_t per = counts_per_block(q), i = off >> q->cluster_bits, v;
    int rc;

    if (i / per >= q->reftable_size || !q->reftable[i / per])
        return qcow2_corrupt(q, "a cluster in use is not counted");
    rc = block_load(q, q->reftable[i / per]);
    if (rc)
        return rc;
    v = count_get(q, i % per);
    if (!v)
        return qcow2_corrupt(q, "a cluster in use is counted as free");
    if (v == 1)
        q->hint = MIN(q->hint, i);
    return count_set(q, i % per, v - 1);
}

/* Without room it stays counted: lost until qemu-img check -r leaks. */
static int free_one(struct qcow2 *q, uint64_t off)
{
    if (off && q->frees_n < QCOW2_FREES)
        q->frees[q->frees_n++] = off;
    return 0;
}

int qcow2_free_later(struct qcow2 *q, uint64_t entry)
{
    unsigned shift = 62 - (q->cluster_bits - 8);
    uint64_t at, end;

    if (!(entry & QCOW2_COMPRESSED))
        return free_one(q, entry & QCOW2_OFFSET);
    at = entry & ((1ull << shift) - 1);
    end = (at & ~511ull) +
          (((entry & (QCOW2_COMPRESSED - 1)) >> shift) + 1) * 512;
    for (at = align_down(at, q->cluster); at < end; at += q->cluster)
        free_one(q, at);
    return 0;
}

int qcow2_free_now(struct qcow2 *q)
{
    int rc = 0;

    while (!rc && q->frees_n)
        rc = free_cluster(q, q->frees[--q->frees_n]);
    return rc;
}

int qcow2_refs_init(struct qcow2 *q, uint64_t clusters, struct error *err)
{
    uint64_t size = clusters << q->cluster_bits, i;

    if (!clusters || size > REFTABLE_MAX || q->reftable_offset % q->cluster)
        return error_set(err, EINVAL,
                         "disk %s: its refcount table is not valid",
                         q->d->path);
    q->reftable_size = size / 8;
    q->reftable = malloc(size);
    q->refblock = malloc(q->cluster);
    if (!q->reftable || !q->refblock)
        return error_set(err, ENOMEM, "out of memory");
    if (qcow2_pread(q, q->reftable, size, q->reftable_offset))
        return error_set(err, EIO, "disk %s: cannot be read", q->d->path);
    for (i = 0; i < q->reftable_size; i++)
        q->reftable[i] = be64toh(q->reftable[i]) & ~511ull;
    return 0;
}

void qcow2_refs_fini(struct qcow2 *q)
{
    free(q->reftable);
    free(q->refblock);
}
