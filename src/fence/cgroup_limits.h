/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_limits.h - what a container may use: linux.resources of the OCI
 * runtime specification as plain structs. A field counts only if its bit is
 * in `has`; lists count if they are not empty. Nothing here is owned: strings
 * and lists are whoever's filled it in, and are looked at only while
 * cgroup_apply() runs.
 *
 * Values are in the specification's units (those of cgroup v1) and unchecked.
 * -1 is "no limit"; 0 is as if not given for bytes of memory, shares, quota,
 * periods and weights. cgroup_apply() translates for v2.
 */
#pragma once

#include "base/util.h"

enum {
    CGROUP_MEMORY_LIMIT = 1 << 0,
    CGROUP_MEMORY_RESERVATION = 1 << 1,
    CGROUP_MEMORY_SWAP = 1 << 2,
    CGROUP_MEMORY_KERNEL = 1 << 3,
    CGROUP_MEMORY_KERNEL_TCP = 1 << 4,
    CGROUP_MEMORY_SWAPPINESS = 1 << 5,
    CGROUP_MEMORY_NO_OOM_KILLER = 1 << 6,
    CGROUP_MEMORY_HIERARCHY = 1 << 7,
};

struct cgroup_limits_memory {
    unsigned has;
    int64_t limit, reservation; /* bytes */
    int64_t swap;               /* bytes of memory and swap together */
    int64_t kernel, kernel_tcp; /* bytes; the kernel may know them no more */
    uint64_t swappiness;        /* 0 to 100 */
    bool disable_oom_killer, use_hierarchy;
    bool check_before_update; /* false is the default: no `has` bit */
};

enum {
    CGROUP_CPU_SHARES = 1 << 0,
    CGROUP_CPU_QUOTA = 1 << 1,
    CGROUP_CPU_BURST = 1 << 2,
    CGROUP_CPU_PERIOD = 1 << 3,
    CGROUP_CPU_RT_RUNTIME = 1 << 4,
    CGROUP_CPU_RT_PERIOD = 1 << 5,
    CGROUP_CPU_IDLE = 1 << 6,
};

struct cgroup_limits_cpu {
    unsigned has;
    uint64_t shares; /* 2 to 262144 */
    int64_t quota;   /* us in each period; below 1: none */
    uint64_t burst, period;
    int64_t realtime_runtime;
    uint64_t realtime_period;
    int64_t idle;            /* 1: SCHED_IDLE */
    const char *cpus, *mems; /* "0-2,7"; NULL or "": not given */
};

/* Numbers of a device. */
struct cgroup_device_id {
    int64_t major, minor;
};

/* linux.resources.devices[]: applied in their order, the last one wins. */
struct cgroup_device_rule {
    bool allow;
    char type;            /* 'a' (all), 'b', 'c'; 0 is 'a' */
    int64_t major, minor; /* -1: any */
    const char *access;   /* of "rwm"; NULL or "": all of it */
};

enum { CGROUP_WEIGHT = 1 << 0, CGROUP_LEAF_WEIGHT = 1 << 1 };

struct cgroup_weight_device {
    unsigned has;
    struct cgroup_device_id device;
    uint16_t weight, leaf_weight;
};

struct cgroup_throttle {
    struct cgroup_device_id device;
    uint64_t rate; /* bytes or operations a second */
};

/* In this order they stand in cgroup_limits_io.throttle. */
enum cgroup_throttle_kind {
    CGROUP_READ_BPS,
    CGROUP_WRITE_BPS,
    CGROUP_READ_IOPS,
    CGROUP_WRITE_IOPS,
    CGROUP_THROTTLES,
};

struct cgroup_limits_io {         /* linux.resources.blockIO */
    unsigned has;                 /* CGROUP_WEIGHT, CGROUP_LEAF_WEIGHT */
    uint16_t weight, leaf_weight; /* 10 to 1000 */
    const struct cgroup_weight_device *weight_device;
    unsigned weight_devices;
    struct {
        const struct cgroup_throttle *list;
        unsigned count;
    } throttle[CGROUP_THROTTLES];
};

struct cgroup_hugepage_limit {
    const char *page_size; /* "2MB", as the kernel spells it */
    uint64_t limit;        /* bytes */
};

struct cgroup_interface_priority {
    const char *name;
    uint32_t priority;
};

enum { CGROUP_NET_CLASS = 1 << 0 };

struct cgroup_limits_net {
    unsigned has;
    uint32_t class_id;
    const struct cgroup_interface_priority *priority;
    unsigned priorities;
};

enum { CGROUP_RDMA_HANDLES = 1 << 0, CGROUP_RDMA_OBJECTS = 1 << 1 };

struct cgroup_rdma_limit {
    unsigned has;
    const char *device;
    uint32_t handles, objects;
};

/* A file of cgroup v2 and what to write, a line at a time. */
struct cgroup_unified {
    const char *file, *value;
};

enum { CGROUP_PIDS_LIMIT = 1 << 0 };

struct cgroup_limits {
    unsigned has; /* CGROUP_PIDS_LIMIT */
    int64_t pids; /* processes and threads; -1: no limit */
    struct cgroup_limits_memory memory;
    struct cgroup_limits_cpu cpu;
    struct cgroup_limits_io io;
    struct cgroup_limits_net net;
    const struct cgroup_device_rule *device;
    unsigned devices;
    /*
     * After `device`: the devices that every container may use (null, zero,
     * full, random, urandom, tty, console, ptmx, pseudoterminals, net/tun),
     * and making any node. What no rule allows is denied, unless there are
     * neither rules nor this.
     */
    bool device_defaults;
    const struct cgroup_hugepage_limit *hugepage;
    unsigned hugepages;
    const struct cgroup_rdma_limit *rdma;
    unsigned rdmas;
    const struct cgroup_unified *unified;
    unsigned unifieds;
};
