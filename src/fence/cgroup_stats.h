/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_stats.h - what a container has used, and whether it ran out of
 * memory. Units are those of `events --stats`: bytes and nanoseconds,
 * whatever the cgroup's version counts in; "no limit" is UINT64_MAX. What this
 * host cannot tell is 0.
 */
#pragma once

#include "fence/cgroup.h"

/* Pressure (PSI): percent of time in 10, 60, 300 s; microseconds in all. */
struct cgroup_stalls {
    double avg10, avg60, avg300;
    uint64_t total;
};

struct cgroup_pressure {
    bool has;
    struct cgroup_stalls some, full;
};

struct cgroup_stats_cpu {
    uint64_t usage, user, kernel;
    uint64_t periods, throttled_periods, throttled_time;
    uint64_t burst_periods, burst_time;
    unsigned cpus; /* length of the lists; 0: not told (v2) */
    uint64_t *percpu, *percpu_kernel, *percpu_user;
    struct cgroup_pressure pressure;
};

struct cgroup_usage {
    uint64_t usage, max, limit, failcnt;
};

struct cgroup_stat_value {
    char name[40];
    uint64_t value;
};

struct cgroup_stats_memory {
    uint64_t cache;
    struct cgroup_usage usage;
    struct cgroup_usage swap; /* memory and swap together, as v1 counts */
    struct cgroup_usage kernel, kernel_tcp;
    bool hierarchy;
    struct cgroup_stat_value *raw; /* memory.stat */
    unsigned raws;
    struct cgroup_pressure pressure;
};

/* One of the lists of blkio.*, or its part of io.stat. */
struct cgroup_io_entry {
    uint64_t major, minor;
    char op[16]; /* "Read", "Write", "Sync", ... */
    uint64_t value;
};

enum cgroup_io_list {
    CGROUP_IO_BYTES,
    CGROUP_IO_SERVICED,
    CGROUP_IO_QUEUED,
    CGROUP_IO_SERVICE_TIME,
    CGROUP_IO_WAIT_TIME,
    CGROUP_IO_MERGED,
    CGROUP_IO_TIME,
    CGROUP_IO_SECTORS,
    CGROUP_IO_LISTS,
};

struct cgroup_stats_io {
    struct {
        struct cgroup_io_entry *entry;
        unsigned count;
    } list[CGROUP_IO_LISTS];
    struct cgroup_pressure pressure;
};

struct cgroup_stats_hugetlb {
    char page_size[16]; /* "2MB" */
    struct cgroup_usage use;
};

struct cgroup_stats {
    struct cgroup_stats_cpu cpu;
    struct cgroup_stats_memory memory;
    struct cgroup_stats_io io;
    uint64_t pids, pids_limit;
    struct cgroup_stats_hugetlb *hugetlb;
    unsigned hugetlbs;
};

/* Of an open cgroup. The caller frees it, also after a failure. */
int cgroup_stats_read(struct cgroup *cg, struct cgroup_stats *stats,
                      struct error *err) must_check;
void cgroup_stats_free(struct cgroup_stats *stats);

/*
 * How many processes the kernel has killed at the memory limit, since the
 * cgroup was made. -ENOTSUP: not told here.
 */
int cgroup_oom_kills(struct cgroup *cg, uint64_t *kills) must_check;
/* The limit that holds now, UINT64_MAX: none. -ENOTSUP: not told here. */
int cgroup_memory_limit(struct cgroup *cg, uint64_t *bytes) must_check;

/* Tells when a container runs out of memory. */
struct cgroup_watch {
    int fd;        /* readable when cgroup_watch_next() has something to do */
    int file;      /* v1: keeps the event; v2: memory.events */
    int events;    /* v2: cgroup.events; v1: -1 */
    uint64_t seen; /* what was told already */
};

enum cgroup_event {
    CGROUP_QUIET, /* nothing new */
    CGROUP_OOM,   /* the memory limit was hit, perhaps several times */
    CGROUP_EMPTY, /* no process is left, or the cgroup has gone: the end */
};

int cgroup_watch_open(struct cgroup *cg, struct cgroup_watch *watch,
                      struct error *err) must_check;
enum cgroup_event cgroup_watch_next(struct cgroup_watch *watch);
void cgroup_watch_close(struct cgroup_watch *watch);
