/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2_map.c - from the guest's offsets to the file's: L1 and L2.
 *
 * L2 tables are kept in memory, changed there, and written by qcow2_flush():
 * data and refcounts first, then what points to them.
 */
#include "io/qcow2_int.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define L1_MAX   (32 * MiB) /* bytes */
#define L2_BYTES (8 * MiB)  /* of tables in memory */
#define L2_MIN   4u

int qcow2_map_init(struct qcow2 *q, struct error *err)
{
    uint64_t span = q->cluster * qcow2_l2_entries(q), i;
    uint64_t need = (q->d->size + span - 1) / span;

    if (q->l1_size * 8 > L1_MAX || q->l1_size < need ||
        q->l1_offset % q->cluster || (need && !q->l1_offset))
        return error_set(err, EINVAL, "disk %s: its L1 table is not valid",
                         q->d->path);
    q->l1 = calloc(q->l1_size + 1, 8);
    q->l2_count = (unsigned)MAX(L2_BYTES / q->cluster, L2_MIN);
    q->l2_count = MIN(q->l2_count, 64u);
    q->l2 = calloc(q->l2_count, sizeof(*q->l2));
    if (!q->l1 || !q->l2)
        return error_set(err, ENOMEM, "out of memory");
    if (qcow2_pread(q, q->l1, q->l1_size * 8, q->l1_offset))
        return error_set(err, EIO, "disk %s: cannot be read", q->d->path);
    for (i = 0; i < q->l1_size; i++)
        q->l1[i] = be64toh(q->l1[i]);
    return 0;
}

void qcow2_map_fini(struct qcow2 *q)
{
    unsigned i;

    for (i = 0; q->l2 && i < q->l2_count; i++)
        free(q->l2[i].entry);
    free(q->l2);
    free(q->l1);
}

static uint64_t l1_index(const struct qcow2 *q, uint64_t off)
{
    return off >> q->cluster_bits >> (q->cluster_bits - 3);
}

static uint64_t l2_index(const struct qcow2 *q, uint64_t off)
{
    return off >> q->cluster_bits & (qcow2_l2_entries(q) - 1);
}

bool qcow2_has_table(const struct qcow2 *q, uint64_t off)
{
    return q->l1[l1_index(q, off)] & QCOW2_OFFSET;
}

/* --- tables in memory --- */

/* The place for a table: an empty one, or the longest unused. */
static int l2_place(struct qcow2 *q, struct qcow2_l2 **out)
{
    struct qcow2_l2 *t = &q->l2[0];
    unsigned i;
    int rc = 0;

    for (i = 0; i < q->l2_count && t->used; i++)
        if (!q->l2[i].used || q->l2[i].tick < t->tick)
            t = &q->l2[i];
    if (t->used && t->dirty)
        rc = qcow2_flush(q);
    if (rc)
        return rc;
    t->used = false;
    if (!t->entry)
        t->entry = malloc(q->cluster);
    if (!t->entry)
        return -ENOMEM;
    *out = t;
    return 0;
}

/* The table of L1 entry n, which has one. */
static int l2_load(struct qcow2 *q, uint64_t n, struct qcow2_l2 **out)
{
    uint64_t at = q->l1[n] & QCOW2_OFFSET;
    struct qcow2_l2 *t;
    unsigned i;
    int rc;

    for (i = 0; i < q->l2_count; i++) {
        t = &q->l2[i];
        if (t->used && t->index == n) {
            t->tick = ++q->tick;
            *out = t;
            return 0;
        }
    }
    if (at % q->cluster)
        return qcow2_corrupt(q, "an L2 table is out of line");
    rc = l2_place(q, &t);
    if (!rc)
        rc = qcow2_pread(q, t->entry, q->cluster, at);
    if (rc)
        return rc;
    t->used = true;
    t->dirty = false;
    t->index = n;
    t->tick = ++q->tick;
    *out = t;
    return 0;
}

/* A table for L1 entry n of the writer's own: a new one, or a copy. */
static int l2_own(struct qcow2 *q, uint64_t n, struct qcow2_l2 **out)
{
    uint64_t was = q->l1[n] & QCOW2_OFFSET, at;
    struct qcow2_l2 *t;
    int rc;

    if (was && (q->l1[n] & QCOW2_COPIED))
        return l2_load(q, n, out);
    rc = was ? l2_load(q, n, &t) : l2_place(q, &t);
    if (!rc)
        rc = qcow2_alloc(q, &at);
    if (rc)
        return rc;
    if (!was)
        memset(t->entry, 0, q->cluster);
    else
        rc = qcow2_free_later(q, was);
    q->l1[n] = at | QCOW2_COPIED;
    q->l1_dirty = true;
    t->index = n;
    t->used = t->dirty = q->dirty = true;
    t->tick = ++q->tick;
    *out = t;
    return rc;
}

int qcow2_get(struct qcow2 *q, uint64_t off, uint64_t *entry,
              enum qcow2_kind *kind)
{
    uint64_t n = l1_index(q, off), e;
    struct qcow2_l2 *t;
    int rc;

    *entry = 0;
    *kind = QCOW2_HOLE;
    if (!(q->l1[n] & QCOW2_OFFSET))
        return 0;
    rc = l2_load(q, n, &t);
    if (rc)
        return rc;
    e = be64toh(t->entry[l2_index(q, off)]);
    *entry = e;
    if (e & QCOW2_COMPRESSED) {
        *kind = QCOW2_PACKED;
        return 0;
    }
    if ((e & QCOW2_OFFSET) % q->cluster || (q->version < 3 && (e & QCOW2_ZERO)))
        return qcow2_corrupt(q, "a cluster is out of line");
    if (e & QCOW2_ZERO)
        *kind = QCOW2_ZEROES;
    else if (e & QCOW2_OFFSET)
        *kind = QCOW2_DATA;
    return 0;
}

int qcow2_set(struct qcow2 *q, uint64_t off, uint64_t entry)
{
    struct qcow2_l2 *t;
    int rc = l2_own(q, l1_index(q, off), &t);

    if (rc)
        return rc;
    t->entry[l2_index(q, off)] = htobe64(entry);
    t->dirty = q->dirty = true;
    return 0;
}

static int l1_write(struct qcow2 *q)
{
    uint64_t *be = malloc(q->l1_size * 8), i;
    int rc;

    if (!be)
        return -ENOMEM;
    for (i = 0; i < q->l1_size; i++)
        be[i] = htobe64(q->l1[i]);
    rc = qcow2_pwrite(q, be, q->l1_size * 8, q->l1_offset);
    free(be);
    return rc;
}

int qcow2_flush(struct qcow2 *q)
{
    int rc = q->broken ? -EIO : qcow2_sync(q);
    unsigned i;

    if (rc || !q->dirty)
        return rc;
    for (i = 0; !rc && i < q->l2_count; i++) {
        struct qcow2_l2 *t = &q->l2[i];

        if (!t->used || !t->dirty)
            continue;
        rc = qcow2_pwrite(q, t->entry, q->cluster,
                          q->l1[t->index] & QCOW2_OFFSET);
        t->dirty = rc;
    }
    if (!rc && q->l1_dirty) {
        rc = qcow2_sync(q);
        if (!rc)
            rc = l1_write(q);
    }
    if (!rc)
        rc = qcow2_sync(q);
    if (rc)
        return rc; /* all of it is still to do */
    q->dirty = q->l1_dirty = false;
    return qcow2_free_now(q);
}
