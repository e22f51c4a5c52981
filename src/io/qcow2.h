/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2.h - images in QEMU's qcow2 format, versions 2 and 3, behind disk.h.
 *
 * Read: all clusters, compressed ones too, and chains of backing files.
 * Written: images without internal snapshots that were closed cleanly; new
 * refcounts are written before the cluster is used, data before the table that
 * points to them, and what is no longer pointed to is freed last. So an image
 * whose writer was killed has all that was flushed, and at worst clusters that
 * nobody uses.
 *
 * The image is hostile: tables are bounded, what it points to is checked. It
 * does name the files it stands on: who opens an image trusts it in that.
 */
#pragma once

#include "io/disk.h"

struct qcow2;

/* d, opened as a file, becomes what the image in it holds. d keeps its fd. */
int qcow2_open(struct disk *d, unsigned depth, struct error *err) must_check;
/* Flushes what the image has to know. */
void qcow2_close(struct disk *d);
/* Bytes that the image places together. */
uint64_t qcow2_cluster(const struct disk *d);
/* As disk.h's operations; one at a time. */
int qcow2_request(struct disk *d, const struct disk_request *r,
                  const struct iovec *iov);
