/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.h - the file of --record and --replay: everything that a
 * deterministic run did not make itself.
 *
 * The file holds the configuration, the kernel and the initramfs, then in
 * order what came from outside: keys, window sizes, the power button, frames,
 * and the result of each disk operation. It needs no disk image to be replayed.
 * Times are those of the machine's virtual clock.
 *
 * Chunks: a header (struct record_head), then the payload as a zstd frame with
 * a checksum. All integers are little-endian. A file that ends early, as after
 * a kill, replays up to there.
 *
 * Writer: whichever thread holds the device lock. Reader: the same.
 */
#pragma once

#include "io/disk.h"
#include "machine/machine.h"

#define RECORD_VERSION 4u /* of the file's format */

enum record_kind {
    RECORD_CONFIG = 1,
    RECORD_KERNEL, /* or the firmware */
    RECORD_INITRD,
    RECORD_MODULE, /* as many as the configuration has */
    /* From outside, at their time. */
    RECORD_KEYS,
    RECORD_BREAK,
    RECORD_RESIZE,
    RECORD_BUTTON,
    RECORD_PACKET,
    /* When the guest asks for it. */
    RECORD_DISK,
    RECORD_END, /* struct record_end; the last */
};

struct record_chunk {
    enum record_kind kind;
    uint64_t time; /* ns */
    uint8_t *data; /* the reader's, until the next chunk is read */
    size_t len;
};

struct record_end {
    uint32_t end; /* enum machine_end */
    uint32_t debug_value;
    uint64_t insns; /* retired, by all vCPUs */
};

/* What the guest sees of the machine, and where its secrets come from. */
struct record_origin {
    uint64_t seed;
    int64_t epoch_ns; /* wall clock at the start */
};

/* --- writing --- */

struct recorder;

/*
 * Creates (or empties) the file; writes configuration, kernel and initramfs.
 * nets and disks: as many as cfg has, opened.
 */
int recorder_open(struct recorder **r, const char *path,
                  const struct machine_config *cfg,
                  const struct net_config *nets, const struct disk *disks,
                  const struct record_origin *o, struct error *err) must_check;
/* A failure is reported once; the guest goes on, unrecorded. */
void recorder_put(struct recorder *r, enum record_kind kind, uint64_t time,
                  const void *data, size_t len);
/* One disk operation: its result, and what a read returned. */
void recorder_put_disk(struct recorder *r, uint64_t time, unsigned disk,
                       const struct disk_request *req, int rc);
void recorder_close(struct recorder *r);

/* --- reading --- */

struct replayer;

/*
 * Opens and checks the file, and fills what it determines of `cfg`: kernel,
 * initrd, append, cpus, memory, cpu, disks, replay. Strings live as long as
 * the replayer.
 */
int replayer_open(struct replayer **r, const char *path,
                  struct machine_config *cfg, struct error *err) must_check;
void replayer_close(struct replayer *r);
const struct record_origin *replayer_origin(const struct replayer *r);
uint64_t replayer_disk_size(const struct replayer *r, unsigned disk);

/*
 * The next chunk, which stays the next until replayer_done(). NULL: the file
 * ends here; -EIO in err: it is broken here.
 */
const struct record_chunk *replayer_next(struct replayer *r, struct error *err);
void replayer_done(struct replayer *r);
/*
 * The next chunk must be this operation of this disk: fills what it read and
 * its result. Nonzero: it is another, the run has diverged.
 */
int replayer_disk(struct replayer *r, unsigned disk,
                  const struct disk_request *req, int *rc,
                  struct error *err) must_check;
