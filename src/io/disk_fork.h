/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_fork.h - copy-on-write disks for forked machines.
 *
 * A forked machine (child) has the disk that its parent had at that moment.
 * The parent goes on writing to its image, so that what it has flushed is
 * safe; but before it first overwrites a cluster, it keeps the old one in a
 * file that it shares with its children (copy before write). A child writes to
 * an overlay of its own, which ends with it.
 *
 *     child's view of a cluster: its overlay, if it has written there;
 *         else what the parent kept, if it has overwritten it since;
 *         else the parent's own view of it
 *
 * A child forks like its parent, so this is a chain. The maps of what an
 * overlay has and what was kept are shared memory, a byte a cluster. The
 * order that makes it right without locks between processes: a parent keeps,
 * marks, then writes; a child reads, then looks at the mark, and if it is set
 * takes what was kept.
 *
 * Descriptors of all of these are inherited by the child's process.
 */
#pragma once

#include "base/state.h"
#include "io/disk.h"

#define DISK_FORK_CLUSTER 65536u
#define DISK_FORK_DEPTH   16

struct disk_fork;

/*
 * The disk, at rest, is about to be forked: from now on what it overwrites is
 * kept for the children of this fork. Its descriptors are inherited by what
 * is executed until disk_fork_spawned(). *fork: its number, until its end.
 */
int disk_fork_begin(struct disk *d, unsigned *fork,
                    struct error *err) must_check;
/* The children have been started: descriptors close on exec again. */
void disk_fork_spawned(struct disk *d);
/* The last child of fork number `fork` is gone: nothing is kept for it. */
void disk_fork_end(struct disk *d, unsigned fork);

/* What the child needs to know: section "disk_fork" of this instance. */
void disk_fork_save(struct disk *d, struct state_writer *w, unsigned instance);
/* In the child: a disk whose parts were inherited. */
int disk_fork_open(struct disk *d, const char *name, bool read_only,
                   struct state_reader *r, unsigned instance,
                   struct error *err) must_check;
/* What is written to it ends with this machine. */
bool disk_fork_inherited(const struct disk *d);
void disk_fork_close(struct disk *d);
