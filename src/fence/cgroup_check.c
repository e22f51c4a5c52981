/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_check.c - limits that no kernel takes: told by the values alone,
 * before anything is made.
 */
#include <stdlib.h>
#include <string.h>

#include "fence/cgroup_int.h"

#define RESOURCES "linux.resources."

/* --- memory, cpu, io --- */

/* Files take more than the kernel's own numbers hold, and cut them. */
static int size_check(const char *name, uint64_t value, struct error *err)
{
    return value > INT64_MAX
               ? error_set(err, ERANGE,
                           RESOURCES "%s: %llu is more than can be", name,
                           (unsigned long long)value)
               : 0;
}

/* -1 is "none"; what the kernel would make of others is anybody's guess. */
static int bytes_check(const char *name, bool given, int64_t bytes,
                       struct error *err)
{
    return given && bytes < -1
               ? error_set(err, EINVAL,
                           "linux.resources.memory.%s: %lld is neither bytes "
                           "nor -1 (no limit)",
                           name, (long long)bytes)
               : 0;
}

static int memory_check(const struct cgroup_limits_memory *m, struct error *err)
{
    int rc = bytes_check("limit", m->has & CGROUP_MEMORY_LIMIT, m->limit, err);

    if (!rc)
        rc = bytes_check("swap", m->has & CGROUP_MEMORY_SWAP, m->swap, err);
    if (!rc)
        rc = bytes_check("reservation", m->has & CGROUP_MEMORY_RESERVATION,
                         m->reservation, err);
    if (!rc && m->has & CGROUP_MEMORY_SWAPPINESS)
        rc = size_check("memory.swappiness", m->swappiness, err);
    return rc;
}

static int cpu_check(const struct cgroup_limits_cpu *l, struct error *err)
{
    int rc = size_check("cpu.shares", l->shares, err);

    if (!rc)
        rc = size_check("cpu.period", l->period, err);
    if (!rc)
        rc = size_check("cpu.burst", l->burst, err);
    if (!rc)
        rc = size_check("cpu.realtimePeriod", l->realtime_period, err);
    if (!rc && (l->idle < 0 || l->idle > 1))
        rc = error_set(err, ERANGE, RESOURCES "cpu.idle: %lld is not 0 or 1",
                       (long long)l->idle);
    return rc;
}

static int weight_check(const char *json, bool given, unsigned weight,
                        struct error *err)
{
    return given && weight > 1000
               ? error_set(err, ERANGE,
                           "linux.resources.blockIO.%s: %u is not from 10 to "
                           "1000",
                           json, weight)
               : 0;
}

static int io_check(const struct cgroup_limits_io *io, struct error *err)
{
    int rc = weight_check("weight", io->has & CGROUP_WEIGHT, io->weight, err);

    for (unsigned i = 0; i < io->weight_devices && !rc; i++)
        rc = weight_check("weightDevice",
                          io->weight_device[i].has & CGROUP_WEIGHT,
                          io->weight_device[i].weight, err);
    return rc;
}

/* --- names --- */

static bool is_page_size(const char *s)
{
    size_t n = s ? strspn(s, "0123456789") : 0;

    return n && n < 10 &&
           (!strcmp(s + n, "KB") || !strcmp(s + n, "MB") ||
            !strcmp(s + n, "GB"));
}

/* They move, kill or stop processes; they limit nothing. */
static const char *const not_limits[] = {"cgroup.procs", "cgroup.threads",
                                         "cgroup.kill", "cgroup.freeze",
                                         "cgroup.type"};

static bool is_limit_file(const char *file)
{
    if (!file || !strchr(file, '.') || strchr(file, '/') || *file == '.' ||
        strlen(file) > 100)
        return false;
    for (unsigned i = 0; i < ARRAY_SIZE(not_limits); i++)
        if (!strcmp(file, not_limits[i]))
            return false;
    return true;
}

static int hugepages_check(const struct cgroup_limits *l, struct error *err)
{
    for (unsigned i = 0; i < l->hugepages; i++)
        if (!is_page_size(l->hugepage[i].page_size))
            return error_set(err, EINVAL,
                             RESOURCES "hugepageLimits[%u].pageSize: %.20s is "
                                       "no size like 2MB",
                             i, l->hugepage[i].page_size);
    return 0;
}

/* It is a word in a line: without blanks and newlines. */
static int name_check(const char *json, const char *name, struct error *err)
{
    return !*name || strlen(name) > 64 || strpbrk(name, " \n\t")
               ? error_set(err, EINVAL,
                           RESOURCES "%s: %.64s is no name of a device", json,
                           name)
               : 0;
}

static int names_check(const struct cgroup_limits *l, struct error *err)
{
    int rc = 0;

    for (unsigned i = 0; i < l->net.priorities && !rc; i++)
        rc = name_check("network.priorities", l->net.priority[i].name, err);
    for (unsigned i = 0; i < l->rdmas && !rc; i++)
        rc = name_check("rdma", l->rdma[i].device, err);
    for (unsigned i = 0; i < l->unifieds && !rc; i++)
        if (!is_limit_file(l->unified[i].file))
            rc = error_set(err, EINVAL,
                           RESOURCES "unified: \"%.60s\" is no file of a "
                                     "controller",
                           l->unified[i].file);
    return rc;
}

static int devices_check(const struct cgroup_limits *l, struct error *err)
{
    struct cgroup_device_rule *rule;
    unsigned rules;

    if (!l->devices)
        return 0;
    rule = cgroup_device_rules(l, &rules, err);
    free(rule);
    return rule ? 0 : -err->code;
}

int cgroup_limits_check(const struct cgroup_limits *l, struct error *err)
{
    int rc = memory_check(&l->memory, err);

    if (!rc)
        rc = cpu_check(&l->cpu, err);
    if (!rc)
        rc = io_check(&l->io, err);
    if (!rc)
        rc = hugepages_check(l, err);
    if (!rc)
        rc = names_check(l, err);
    return rc ? rc : devices_check(l, err);
}
