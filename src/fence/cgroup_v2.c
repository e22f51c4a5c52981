/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_v2.c - limits in the files of cgroup v2, translated from the runtime
 * specification, which speaks of v1.
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

/* What v2 cannot do is no limit that could be left out in silence. */
static int no_such(const char *json, struct error *err)
{
    return error_set(err, ENOTSUP, "%s: there is no such limit on cgroup v2",
                     json);
}

static void number_text(int64_t value, char buf[24])
{
    if (value < 0 || value == INT64_MAX)
        snprintf(buf, 24, "max");
    else
        snprintf(buf, 24, "%lld", (long long)value);
}

/* --- memory --- */

/* The kernel would kill until the limit holds. */
static int usage_check(struct cgroup *cg, const struct cgroup_limits_memory *m,
                       struct error *err)
{
    struct cgroup_tree *t =
        cgroup_set_tree(cg, CGROUP_MEMORY, MEMORY "limit", err);
    uint64_t used = 0;
    char text[16];

    if (!t)
        return -err->code;
    if (cgroup_file_number(t->fd, "memory.current", &used) ||
        used <= (uint64_t)m->limit)
        return 0;
    cgroup_bytes_text(used, text);
    return error_set(err, EBUSY,
                     MEMORY "limit: %lld is below what is in use (%s)",
                     (long long)m->limit, text);
}

/* Without swap in the kernel its file is missing, and there is none to use. */
static int swap_write(struct cgroup *cg, const char *text, struct error *err)
{
    struct cgroup_tree *t =
        cgroup_set_tree(cg, CGROUP_MEMORY, MEMORY "swap", err);

    if (t && !faccessat(t->fd, "memory.max", F_OK, 0) &&
        faccessat(t->fd, "memory.swap.max", F_OK, 0)) {
        if (strcmp(text, "max") && strcmp(text, "0"))
            log_warn(MEMORY "swap: this kernel does not count swap; memory "
                            "alone is limited");
        return 0;
    }
    return cgroup_set(cg, CGROUP_MEMORY, MEMORY "swap", "memory.swap.max", text,
                      err);
}

static int swap_limit(struct cgroup *cg, const struct cgroup_limits_memory *m,
                      struct error *err)
{
    const char *why = NULL;
    char text[24];
    int64_t swap;

    if (!cgroup_swap_alone(m, &swap, &why))
        return error_set(err, EINVAL, MEMORY "swap: %lld %s",
                         (long long)m->swap, why);
    if (swap < 0)
        return 0;
    number_text(swap, text);
    return swap_write(cg, text, err);
}

static int memory_absent(const struct cgroup_limits_memory *m,
                         struct error *err)
{
    if (m->has & CGROUP_MEMORY_SWAPPINESS)
        return no_such(MEMORY "swappiness", err);
    if (m->has & CGROUP_MEMORY_NO_OOM_KILLER && m->disable_oom_killer)
        return no_such(MEMORY "disableOOMKiller", err);
    if (m->has & CGROUP_MEMORY_HIERARCHY && !m->use_hierarchy)
        return no_such(MEMORY "useHierarchy", err);
    if ((m->has & CGROUP_MEMORY_KERNEL && m->kernel) ||
        (m->has & CGROUP_MEMORY_KERNEL_TCP && m->kernel_tcp))
        log_warn(MEMORY "kernel: the kernel's memory counts as the "
                        "container's other memory on cgroup v2");
    return 0;
}

int cgroup_memory_v2(struct cgroup *cg, const struct cgroup_limits_memory *m,
                     bool update, struct error *err)
{
    int64_t limit = m->has & CGROUP_MEMORY_LIMIT ? m->limit : 0;
    char text[24];
    int rc = memory_absent(m, err);

    if (!rc && update && m->check_before_update && limit > 0)
        rc = usage_check(cg, m, err);
    if (!rc)
        rc = swap_limit(cg, m, err);
    if (!rc && limit) {
        number_text(limit, text);
        rc = cgroup_set(cg, CGROUP_MEMORY, MEMORY "limit", "memory.max", text,
                        err);
    }
    if (!rc && m->has & CGROUP_MEMORY_RESERVATION && m->reservation) {
        number_text(m->reservation, text);
        rc = cgroup_set(cg, CGROUP_MEMORY, MEMORY "reservation", "memory.low",
                        text, err);
    }
    return rc;
}

/* --- cpu --- */

/*
 * "QUOTA PERIOD" of cpu.max. Alone, a quota keeps the period that is set; a
 * period has to be told the quota.
 */
static void max_text(struct cgroup_tree *t, const struct cgroup_limits_cpu *l,
                     char *buf, size_t size)
{
    bool quota = l->has & CGROUP_CPU_QUOTA && l->quota;
    bool period = l->has & CGROUP_CPU_PERIOD && l->period;
    char now[48] = "max", first[24];

    if (quota)
        number_text(l->quota, first);
    else if (cgroup_file_read(t->fd, "cpu.max", now, sizeof(now)) > 0)
        snprintf(first, sizeof(first), "%.*s", (int)strcspn(now, " "), now);
    else
        number_text(-1, first);
    if (period)
        snprintf(buf, size, "%s %llu", first, (unsigned long long)l->period);
    else
        snprintf(buf, size, "%s", first);
}

static struct cgroup_setting *setting_add(struct cgroup_setting *list,
                                          unsigned *n, const char *json,
                                          const char *file, uint64_t value)
{
    struct cgroup_setting *s = &list[(*n)++];

    s->json = json;
    s->file = file;
    snprintf(s->value, sizeof(s->value), "%llu", (unsigned long long)value);
    return s;
}

int cgroup_cpu_v2(struct cgroup *cg, const struct cgroup_limits_cpu *l,
                  struct error *err)
{
    struct cgroup_setting list[4], *s;
    struct cgroup_tree *t;
    unsigned n = 0;

    if (l->has & CGROUP_CPU_RT_RUNTIME && l->realtime_runtime)
        return no_such(CPU "realtimeRuntime", err);
    if (l->has & CGROUP_CPU_RT_PERIOD && l->realtime_period)
        return no_such(CPU "realtimePeriod", err);
    if (l->has & CGROUP_CPU_SHARES && l->shares)
        setting_add(list, &n, CPU "shares", "cpu.weight",
                    cgroup_weight_of_shares(l->shares));
    if (l->has & CGROUP_CPU_IDLE)
        setting_add(list, &n, CPU "idle", "cpu.idle", (uint64_t)l->idle);
    if ((l->has & CGROUP_CPU_QUOTA && l->quota) ||
        (l->has & CGROUP_CPU_PERIOD && l->period)) {
        const char *json =
            l->has & CGROUP_CPU_QUOTA && l->quota ? CPU "quota" : CPU "period";

        t = cgroup_set_tree(cg, CGROUP_CPU, json, err);
        if (!t)
            return -err->code;
        s = setting_add(list, &n, json, "cpu.max", 0);
        max_text(t, l, s->value, sizeof(s->value));
    }
    if (l->has & CGROUP_CPU_BURST)
        setting_add(list, &n, CPU "burst", "cpu.max.burst", l->burst);
    return cgroup_settle(cg, CGROUP_CPU, list, n, err);
}

/* --- io --- */

/* The BFQ scheduler has weights of its own, in v1's range. */
static bool has_bfq(struct cgroup *cg)
{
    struct cgroup_tree *t = cgroup_tree_of(cg, CGROUP_IO);

    return t && !cgroup_tree_open(t) &&
           !faccessat(t->fd, "io.bfq.weight", F_OK, 0);
}

static int weight_write(struct cgroup *cg, bool bfq, const char *json,
                        const struct cgroup_device_id *d, unsigned weight,
                        struct error *err)
{
    uint64_t w = bfq ? weight : cgroup_io_weight(weight);
    char text[64];

    if (d)
        snprintf(text, sizeof(text), "%lld:%lld %llu", (long long)d->major,
                 (long long)d->minor, (unsigned long long)w);
    else
        snprintf(text, sizeof(text), "%llu", (unsigned long long)w);
    return cgroup_set(cg, CGROUP_IO, json, bfq ? "io.bfq.weight" : "io.weight",
                      text, err);
}

static int weights(struct cgroup *cg, const struct cgroup_limits_io *io,
                   struct error *err)
{
    bool bfq = (io->has || io->weight_devices) && has_bfq(cg);
    int rc = 0;

    if (io->has & CGROUP_WEIGHT && io->weight)
        rc = weight_write(cg, bfq, IO "weight", NULL, io->weight, err);
    if (io->has & CGROUP_LEAF_WEIGHT && io->leaf_weight)
        log_warn(IO "leafWeight: cgroup v2 has no leaf weights; left out");
    for (unsigned i = 0; i < io->weight_devices && !rc; i++)
        if (io->weight_device[i].has & CGROUP_WEIGHT)
            rc = weight_write(cg, bfq, IO "weightDevice",
                              &io->weight_device[i].device,
                              io->weight_device[i].weight, err);
    return rc;
}

static const struct {
    const char *json, *key;
} throttle[CGROUP_THROTTLES] = {
    [CGROUP_READ_BPS] = {IO "throttleReadBpsDevice", "rbps"},
    [CGROUP_WRITE_BPS] = {IO "throttleWriteBpsDevice", "wbps"},
    [CGROUP_READ_IOPS] = {IO "throttleReadIOPSDevice", "riops"},
    [CGROUP_WRITE_IOPS] = {IO "throttleWriteIOPSDevice", "wiops"},
};

/* 0 takes a limit away, as on v1. */
static int throttle_write(struct cgroup *cg, unsigned kind,
                          const struct cgroup_throttle *t, struct error *err)
{
    char text[96], rate[24];

    number_text(t->rate ? (int64_t)MIN(t->rate, (uint64_t)INT64_MAX) : -1,
                rate);
    snprintf(text, sizeof(text), "%lld:%lld %s=%s", (long long)t->device.major,
             (long long)t->device.minor, throttle[kind].key, rate);
    return cgroup_set(cg, CGROUP_IO, throttle[kind].json, "io.max", text, err);
}

int cgroup_io_v2(struct cgroup *cg, const struct cgroup_limits_io *io,
                 struct error *err)
{
    int rc = weights(cg, io, err);

    for (unsigned k = 0; k < CGROUP_THROTTLES; k++)
        for (unsigned i = 0; i < io->throttle[k].count && !rc; i++)
            rc = throttle_write(cg, k, &io->throttle[k].list[i], err);
    return rc;
}
