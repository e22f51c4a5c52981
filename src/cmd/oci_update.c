/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_update.c - other limits for a container that runs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/oci_int.h"

/* A number, -1 too; with a suffix if it is a size. */
static int parse(const char *name, const char *v, bool size, int64_t *out,
                 struct error *err)
{
    uint64_t bytes;
    char *end;

    *out = strtoll(v, &end, 10);
    if (end != v && !*end)
        return 0;
    if (size && !options_size(v, &bytes) && bytes <= INT64_MAX) {
        *out = (int64_t)bytes;
        return 0;
    }
    return error_set(err, EINVAL, "--%s %s: give a number%s", name, v,
                     size ? ", as 200M, or -1 for no limit" : "");
}

#define SETTER(function, option, group, member, bit, is_size)                  \
    static int function(void *ctx, const char *v, struct error *err)           \
    {                                                                          \
        struct cgroup_limits *l = &((struct oci_update_args *)ctx)->limits;    \
        int64_t n;                                                             \
        int e = parse(option, v, is_size, &n, err);                            \
                                                                               \
        if (e)                                                                 \
            return e;                                                          \
        l->group.member = (__typeof__(l->group.member))n;                      \
        l->group.has |= (bit);                                                 \
        return 0;                                                              \
    }

SETTER(set_weight, "blkio-weight", io, weight, CGROUP_WEIGHT, false)
SETTER(set_period, "cpu-period", cpu, period, CGROUP_CPU_PERIOD, false)
SETTER(set_quota, "cpu-quota", cpu, quota, CGROUP_CPU_QUOTA, false)
SETTER(set_burst, "cpu-burst", cpu, burst, CGROUP_CPU_BURST, false)
SETTER(set_idle, "cpu-idle", cpu, idle, CGROUP_CPU_IDLE, false)
SETTER(set_rt_period, "cpu-rt-period", cpu, realtime_period,
       CGROUP_CPU_RT_PERIOD, false)
SETTER(set_rt_runtime, "cpu-rt-runtime", cpu, realtime_runtime,
       CGROUP_CPU_RT_RUNTIME, false)
SETTER(set_shares, "cpu-share", cpu, shares, CGROUP_CPU_SHARES, false)
SETTER(set_memory, "memory", memory, limit, CGROUP_MEMORY_LIMIT, true)
SETTER(set_reservation, "memory-reservation", memory, reservation,
       CGROUP_MEMORY_RESERVATION, true)
SETTER(set_swap, "memory-swap", memory, swap, CGROUP_MEMORY_SWAP, true)
SETTER(set_kernel, "kernel-memory", memory, kernel, CGROUP_MEMORY_KERNEL, true)
SETTER(set_kernel_tcp, "kernel-memory-tcp", memory, kernel_tcp,
       CGROUP_MEMORY_KERNEL_TCP, true)

static int set_pids(void *ctx, const char *v, struct error *err)
{
    struct cgroup_limits *l = &((struct oci_update_args *)ctx)->limits;

    l->has |= CGROUP_PIDS_LIMIT;
    return parse("pids-limit", v, false, &l->pids, err);
}

#define LIMIT(m) .field = offsetof(struct oci_update_args, limits.m)

/* clang-format off */
const struct option_spec oci_update_options[] = {
    {"resources", "r", "FILE", "linux.resources, as JSON; -: from stdin",
     .field = offsetof(struct oci_update_args, resources)},
    {"blkio-weight", NULL, "N", "10 to 1000", set_weight},
    {"cpu-period", NULL, "US", "of the quota", set_period},
    {"cpu-quota", NULL, "US", "in each period; -1: none", set_quota},
    {"cpu-burst", NULL, "US", "what may be saved up", set_burst},
    {"cpu-idle", NULL, "0|1", "only when nobody else wants the CPU", set_idle},
    {"cpu-share", "cpu-shares", "N", "2 to 262144", set_shares},
    {"cpu-rt-period", NULL, "US", "", set_rt_period},
    {"cpu-rt-runtime", NULL, "US", "", set_rt_runtime},
    {"cpuset-cpus", NULL, "LIST", "0-2,7", LIMIT(cpu.cpus)},
    {"cpuset-mems", NULL, "LIST", "nodes", LIMIT(cpu.mems)},
    {"memory", NULL, "SIZE", "200M; -1: none", set_memory},
    {"memory-reservation", NULL, "SIZE", "", set_reservation},
    {"memory-swap", NULL, "SIZE", "of memory and swap together", set_swap},
    {"kernel-memory", NULL, "SIZE", "", set_kernel},
    {"kernel-memory-tcp", NULL, "SIZE", "", set_kernel_tcp},
    {"pids-limit", NULL, "N", "processes and threads", set_pids},
    {0},
};
/* clang-format on */

int oci_update(const struct oci_call *c, struct error *err)
{
    struct oci_update_args *a = c->options;
    struct arena arena = {0};
    int e = 0;

    if (a->resources)
        e = spec_read_resources(&arena, a->resources, &a->limits, err);
    if (!e)
        e = container_update(c->g->root, c->word[0], &a->limits, err);
    arena_free(&arena);
    return e;
}
