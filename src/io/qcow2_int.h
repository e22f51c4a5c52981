/* SPDX-License-Identifier: Apache-2.0 */
/* qcow2_int.h - what qcow2.c, qcow2_map.c and qcow2_refs.c share. */
#pragma once

#include "io/qcow2.h"

#define QCOW2_COPIED     (1ull << 63) /* nobody else uses the cluster */
#define QCOW2_COMPRESSED (1ull << 62)
#define QCOW2_ZERO       1ull
#define QCOW2_OFFSET     0x00fffffffffffe00ull
#define QCOW2_FREES      1024u

/* One table of entries, as it is in the file (big-endian). */
struct qcow2_l2 {
    uint64_t *entry;
    uint64_t index; /* in L1 */
    bool used, dirty;
    uint64_t tick;
};

struct qcow2 {
    struct disk *d;
    unsigned version, cluster_bits, refcount_order;
    uint64_t cluster; /* bytes */
    bool zstd, broken;
    struct disk *backing; /* NULL: none */
    uint64_t *l1;         /* host order */
    uint64_t l1_offset, l1_size;
    bool l1_dirty, dirty; /* dirty: some L2 is, too */
    struct qcow2_l2 *l2;
    unsigned l2_count;
    uint64_t tick;
    /* Refcounts; for writers only. */
    uint64_t *reftable; /* host order */
    uint64_t reftable_offset, reftable_size;
    uint8_t *refblock; /* one, written through */
    uint64_t refblock_at;
    uint64_t hint; /* no free cluster below */
    uint64_t frees[QCOW2_FREES];
    unsigned frees_n;
    uint8_t *buf, *packed; /* a cluster; a compressed one */
    uint64_t unpacked;     /* the entry that is in `plain`, 0: none */
    uint8_t *plain;
};

/* What a cluster of the guest's is. */
enum qcow2_kind { QCOW2_HOLE, QCOW2_ZEROES, QCOW2_DATA, QCOW2_PACKED };

static inline uint64_t qcow2_l2_entries(const struct qcow2 *q)
{
    return q->cluster / 8;
}

/* qcow2.c: the file itself; short reads are zeroes. */
int qcow2_pread(struct qcow2 *q, void *buf, uint64_t len, uint64_t off);
int qcow2_pwrite(struct qcow2 *q, const void *buf, uint64_t len, uint64_t off);
int qcow2_sync(struct qcow2 *q);
/* Says why, once, and refuses to write from now on; -EIO. */
int qcow2_corrupt(struct qcow2 *q, const char *why);

/* qcow2_map.c */
int qcow2_map_init(struct qcow2 *q, struct error *err) must_check;
void qcow2_map_fini(struct qcow2 *q);
/* The entry of a guest offset. kind and, for data, its place. */
int qcow2_get(struct qcow2 *q, uint64_t off, uint64_t *entry,
              enum qcow2_kind *kind);
/* In memory; in the file with the next flush. */
int qcow2_set(struct qcow2 *q, uint64_t off, uint64_t entry);
/* Has the table of this offset been made? */
bool qcow2_has_table(const struct qcow2 *q, uint64_t off);
int qcow2_flush(struct qcow2 *q);

/* qcow2_refs.c */
int qcow2_refs_init(struct qcow2 *q, uint64_t clusters,
                    struct error *err) must_check;
void qcow2_refs_fini(struct qcow2 *q);
/* A free cluster's offset; its refcount is 1 in the file. */
int qcow2_alloc(struct qcow2 *q, uint64_t *off);
/* What the old entry used is free after the next flush. */
int qcow2_free_later(struct qcow2 *q, uint64_t entry);
int qcow2_free_now(struct qcow2 *q);
