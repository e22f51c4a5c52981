/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.h - a machine as two files, and a machine made of them.
 *
 * DIR/machine is a state file (base/state.h): the configuration, all vCPUs,
 * interrupt controllers and devices. DIR/memory is RAM by offset, sparse, and
 * mapped privately by whoever restores it: pages come when they are touched.
 * Disks are not part of it; they must be as they were.
 *
 * A fork gives the same two to its children as descriptors.
 */
#pragma once

#include <stdatomic.h>

#include "machine/config.h"

struct machine;
struct snapshot;

/*
 * All vCPUs parked, time standing still, without the device lock. The folder
 * must not exist; it appears when all is written. Nothing is synced: a file
 * that the host's crash has cut is found by its checksum.
 */
int snapshot_save(struct machine *m, const char *dir,
                  struct error *err) must_check;

/* The same in two halves; nobody but these functions looks into it. */
struct snapshot_job {
    char dir[4096], tmp[4096]; /* the folder, and what it is called before */
    int fd;                    /* the folder; -1: nothing to remove */
    struct state_writer *w;
    uint64_t time, digest;
    uint32_t tsc_khz;
    unsigned devices;
    atomic_bool stop; /* anybody: finish() ends soon, with -ECANCELED */
};

/* As snapshot_save(), all but RAM. Then finish or drop it, if there is one. */
int snapshot_begin(struct machine *m, struct snapshot_job *j, const char *dir,
                   struct error *err) must_check;
/* Any thread; mem: RAM as it was then, which nobody writes. */
int snapshot_finish(struct snapshot_job *j, const struct guest_mem *mem,
                    struct error *err) must_check;
void snapshot_drop(struct snapshot_job *j);

/* The state file alone, into a new file without a name; its descriptor. */
int snapshot_save_state(struct machine *m, struct error *err) must_check;

/* Ends what the devices have under way in RAM, as saving them does. */
int snapshot_settle(struct machine *m, struct error *err) must_check;

/*
 * Opens and checks one, and fills what it determines of cfg. `check`: the
 * memory too, which takes as long as reading it.
 */
int snapshot_open(struct snapshot **s, const char *dir, bool check,
                  struct machine_config *cfg, struct error *err) must_check;
/* By descriptors, which become the snapshot's. */
int snapshot_open_fds(struct snapshot **s, int state, int memory,
                      struct machine_config *cfg, struct error *err) must_check;
void snapshot_close(struct snapshot *s);

/* It came from a fork: its disks were inherited, see io/disk_fork.h. */
bool snapshot_forked(const struct snapshot *s);
struct state_reader *snapshot_reader(const struct snapshot *s);
/* The TSC's rate on the host that it was made on. */
uint32_t snapshot_tsc_khz(const struct snapshot *s);
/* RAM's contents; the snapshot's descriptor. */
int snapshot_memory(const struct snapshot *s);
/* Instead of a power-on: before any vCPU runs. */
int snapshot_restore(struct machine *m, struct error *err) must_check;
