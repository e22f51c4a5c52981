/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_v1.c - limits in the files of cgroup v1, whose units are those of
 * the runtime specification.
 */
#include "fence/cgroup_int.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#define MEMORY "linux.resources.memory."
#define CPU    "linux.resources.cpu."
#define IO     "linux.resources.blockIO."

static void setting_add(struct cgroup_setting *list, unsigned *n,
                        const char *json, const char *file, int64_t value)
{
    struct cgroup_setting *s = &list[(*n)++];

    s->json = json;
    s->file = file;
    snprintf(s->value, sizeof(s->value), "%lld", (long long)value);
}

/* --- memory --- */

static bool file_exists(struct cgroup *cg, enum cgroup_controller c,
                        const char *file)
{
    struct cgroup_tree *t = cgroup_tree_of(cg, c);

    return t && !cgroup_tree_open(t) && !faccessat(t->fd, file, F_OK, 0);
}

/* The kernel wants limit <= both at any moment: which goes first depends. */
static int memory_limits(struct cgroup *cg,
                         const struct cgroup_limits_memory *m, bool update,
                         struct error *err)
{
    static const char memsw[] = "memory.memsw.limit_in_bytes";
    int64_t limit = m->has & CGROUP_MEMORY_LIMIT ? m->limit : 0;
    int64_t both = m->has & CGROUP_MEMORY_SWAP ? m->swap : 0;
    struct cgroup_setting list[2];
    unsigned n = 0;

    if (limit)
        setting_add(list, &n, MEMORY "limit", "memory.limit_in_bytes", limit);
    if (!both && limit < 0 && update)
        both = -1; /* else the old one would forbid it */
    if (both && !file_exists(cg, CGROUP_MEMORY, memsw)) {
        if (m->has & CGROUP_MEMORY_SWAP && m->swap > 0)
            log_warn(MEMORY "swap: this kernel does not count swap; memory "
                            "alone is limited");
        both = 0;
    }
    if (both)
        setting_add(list, &n, MEMORY "swap", memsw, both);
    return cgroup_settle(cg, CGROUP_MEMORY, list, n, err);
}

/* Limits of the kernel's own memory: newer kernels count it with the rest. */
static void memory_kernel(struct cgroup *cg, const char *json, const char *file,
                          int64_t value)
{
    struct error err;

    if (value && cgroup_set_number(cg, CGROUP_MEMORY, json, file, value, &err))
        log_warn("%s; it counts as the container's other memory", err.msg);
}

static int memory_behaviour(struct cgroup *cg,
                            const struct cgroup_limits_memory *m, bool update,
                            struct error *err)
{
    int rc = 0;

    if (m->has & CGROUP_MEMORY_SWAPPINESS)
        rc =
            cgroup_set_number(cg, CGROUP_MEMORY, MEMORY "swappiness",
                              "memory.swappiness", (int64_t)m->swappiness, err);
    if (!rc && m->has & CGROUP_MEMORY_NO_OOM_KILLER &&
        (m->disable_oom_killer || update))
        rc =
            cgroup_set_number(cg, CGROUP_MEMORY, MEMORY "disableOOMKiller",
                              "memory.oom_control", m->disable_oom_killer, err);
    if (!rc && m->has & CGROUP_MEMORY_HIERARCHY)
        rc = cgroup_set_number(cg, CGROUP_MEMORY, MEMORY "useHierarchy",
                               "memory.use_hierarchy", m->use_hierarchy, err);
    return rc;
}

int cgroup_memory_v1(struct cgroup *cg, const struct cgroup_limits_memory *m,
                     bool update, struct error *err)
{
    int rc = memory_limits(cg, m, update, err);

    if (!rc && m->has & CGROUP_MEMORY_RESERVATION && m->reservation)
        rc = cgroup_set_number(cg, CGROUP_MEMORY, MEMORY "reservation",
                               "memory.soft_limit_in_bytes", m->reservation,
                               err);
    if (rc)
        return rc;
    if (m->has & CGROUP_MEMORY_KERNEL)
        memory_kernel(cg, MEMORY "kernel", "memory.kmem.limit_in_bytes",
                      m->kernel);
    if (m->has & CGROUP_MEMORY_KERNEL_TCP)
        memory_kernel(cg, MEMORY "kernelTCP", "memory.kmem.tcp.limit_in_bytes",
                      m->kernel_tcp);
    return memory_behaviour(cg, m, update, err);
}

/* --- cpu --- */

int cgroup_cpu_v1(struct cgroup *cg, const struct cgroup_limits_cpu *l,
                  struct error *err)
{
    struct cgroup_setting list[8];
    unsigned n = 0;

    if (l->has & CGROUP_CPU_SHARES && l->shares)
        setting_add(list, &n, CPU "shares", "cpu.shares", (int64_t)l->shares);
    if (l->has & CGROUP_CPU_IDLE)
        setting_add(list, &n, CPU "idle", "cpu.idle", l->idle);
    if (l->has & CGROUP_CPU_PERIOD && l->period)
        setting_add(list, &n, CPU "period", "cpu.cfs_period_us",
                    (int64_t)l->period);
    if (l->has & CGROUP_CPU_QUOTA && l->quota)
        setting_add(list, &n, CPU "quota", "cpu.cfs_quota_us", l->quota);
    if (l->has & CGROUP_CPU_BURST)
        setting_add(list, &n, CPU "burst", "cpu.cfs_burst_us",
                    (int64_t)l->burst);
    if (l->has & CGROUP_CPU_RT_PERIOD && l->realtime_period)
        setting_add(list, &n, CPU "realtimePeriod", "cpu.rt_period_us",
                    (int64_t)l->realtime_period);
    if (l->has & CGROUP_CPU_RT_RUNTIME)
        setting_add(list, &n, CPU "realtimeRuntime", "cpu.rt_runtime_us",
                    l->realtime_runtime);
    return cgroup_settle(cg, CGROUP_CPU, list, n, err);
}

/* --- blkio --- */

/* The file, or its name under the BFQ scheduler, which took it over. */
static const char *weight_file(struct cgroup *cg, const char *file,
                               const char *bfq)
{
    return file_exists(cg, CGROUP_IO, file) ? file : bfq;
}

/* Leaf weights went away with the CFQ scheduler, in 5.0. */
static int leaf_weight(struct cgroup *cg, const char *json, const char *file,
                       const char *value, struct error *err)
{
    if (cgroup_set_tree(cg, CGROUP_IO, json, err) &&
        !file_exists(cg, CGROUP_IO, file)) {
        log_warn("%s: this kernel has no leaf weights; left out", json);
        return 0;
    }
    return cgroup_set(cg, CGROUP_IO, json, file, value, err);
}

static int weights(struct cgroup *cg, const struct cgroup_limits_io *io,
                   struct error *err)
{
    char text[24];
    int rc = 0;

    if (io->has & CGROUP_WEIGHT && io->weight)
        rc = cgroup_set_number(
            cg, CGROUP_IO, IO "weight",
            weight_file(cg, "blkio.weight", "blkio.bfq.weight"), io->weight,
            err);
    if (!rc && io->has & CGROUP_LEAF_WEIGHT && io->leaf_weight) {
        snprintf(text, sizeof(text), "%u", io->leaf_weight);
        rc = leaf_weight(cg, IO "leafWeight", "blkio.leaf_weight", text, err);
    }
    return rc;
}

static void device_text(const struct cgroup_device_id *d, uint64_t value,
                        char *buf, size_t size)
{
    snprintf(buf, size, "%lld:%lld %llu", (long long)d->major,
             (long long)d->minor, (unsigned long long)value);
}

static int weight_device(struct cgroup *cg,
                         const struct cgroup_weight_device *w,
                         struct error *err)
{
    char text[64];
    int rc = 0;

    if (w->has & CGROUP_WEIGHT) {
        device_text(&w->device, w->weight, text, sizeof(text));
        rc = cgroup_set(
            cg, CGROUP_IO, IO "weightDevice",
            weight_file(cg, "blkio.weight_device", "blkio.bfq.weight_device"),
            text, err);
    }
    if (!rc && w->has & CGROUP_LEAF_WEIGHT) {
        device_text(&w->device, w->leaf_weight, text, sizeof(text));
        rc = leaf_weight(cg, IO "weightDevice", "blkio.leaf_weight_device",
                         text, err);
    }
    return rc;
}

static const struct {
    const char *json, *file;
} throttle[CGROUP_THROTTLES] = {
    [CGROUP_READ_BPS] = {IO "throttleReadBpsDevice",
                         "blkio.throttle.read_bps_device"},
    [CGROUP_WRITE_BPS] = {IO "throttleWriteBpsDevice",
                          "blkio.throttle.write_bps_device"},
    [CGROUP_READ_IOPS] = {IO "throttleReadIOPSDevice",
                          "blkio.throttle.read_iops_device"},
    [CGROUP_WRITE_IOPS] = {IO "throttleWriteIOPSDevice",
                           "blkio.throttle.write_iops_device"},
};

int cgroup_io_v1(struct cgroup *cg, const struct cgroup_limits_io *io,
                 struct error *err)
{
    int rc = weights(cg, io, err);

    for (unsigned i = 0; i < io->weight_devices && !rc; i++)
        rc = weight_device(cg, &io->weight_device[i], err);
    for (unsigned k = 0; k < CGROUP_THROTTLES; k++)
        for (unsigned i = 0; i < io->throttle[k].count && !rc; i++) {
            const struct cgroup_throttle *t = &io->throttle[k].list[i];
            char text[80];

            device_text(&t->device, t->rate, text, sizeof(text));
            rc = cgroup_set(cg, CGROUP_IO, throttle[k].json, throttle[k].file,
                            text, err);
        }
    return rc;
}
