/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec_names.c - the specification's names for the kernel's numbers.
 */
#include "oci/spec_int.h"

#include <linux/ioprio.h>
#include <linux/mempolicy.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>

#ifndef MPOL_WEIGHTED_INTERLEAVE /* Linux 6.9 */
#define MPOL_WEIGHTED_INTERLEAVE 6
#endif

struct name {
    const char *name;
    unsigned value;
};

static bool find(const struct name *n, const char *name, unsigned *value)
{
    for (; n->name; n++)
        if (!strcmp(n->name, name)) {
            *value = n->value;
            return true;
        }
    return false;
}

static const struct name namespaces[] = {
    {"pid", CLONE_NEWPID},
    {"network", CLONE_NEWNET},
    {"mount", CLONE_NEWNS},
    {"ipc", CLONE_NEWIPC},
    {"uts", CLONE_NEWUTS},
    {"user", CLONE_NEWUSER},
    {"cgroup", CLONE_NEWCGROUP},
    {"time", CLONE_NEWTIME},
    {NULL, 0},
};

bool spec_find_namespace(const char *name, unsigned *value)
{
    return find(namespaces, name, value);
}

const char *spec_namespace_name(unsigned type)
{
    const struct name *n;

    for (n = namespaces; n->name; n++)
        if (n->value == type)
            return n->name;
    return NULL;
}

bool spec_find_rlimit(const char *name, unsigned *value)
{
    static const struct name table[] = {
        {"RLIMIT_AS", RLIMIT_AS},
        {"RLIMIT_CORE", RLIMIT_CORE},
        {"RLIMIT_CPU", RLIMIT_CPU},
        {"RLIMIT_DATA", RLIMIT_DATA},
        {"RLIMIT_FSIZE", RLIMIT_FSIZE},
        {"RLIMIT_LOCKS", RLIMIT_LOCKS},
        {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
        {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
        {"RLIMIT_NICE", RLIMIT_NICE},
        {"RLIMIT_NOFILE", RLIMIT_NOFILE},
        {"RLIMIT_NPROC", RLIMIT_NPROC},
        {"RLIMIT_RSS", RLIMIT_RSS},
        {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
        {"RLIMIT_RTTIME", RLIMIT_RTTIME},
        {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
        {"RLIMIT_STACK", RLIMIT_STACK},
        {NULL, 0},
    };

    return find(table, name, value);
}

bool spec_find_sched(const char *name, unsigned *value)
{
    static const struct name table[] = {
        {"SCHED_OTHER", SCHED_NORMAL},
        {"SCHED_FIFO", SCHED_FIFO},
        {"SCHED_RR", SCHED_RR},
        {"SCHED_BATCH", SCHED_BATCH},
        {"SCHED_ISO", 4},
        {"SCHED_IDLE", SCHED_IDLE},
        {"SCHED_DEADLINE", SCHED_DEADLINE},
        {NULL, 0},
    };

    return find(table, name, value);
}

bool spec_find_sched_flag(const char *name, unsigned *value)
{
    static const struct name table[] = {
        {"SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK},
        {"SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM},
        {"SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN},
        {"SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY},
        {"SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS},
        {"SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN},
        {"SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX},
        {NULL, 0},
    };

    return find(table, name, value);
}

bool spec_find_ioprio(const char *name, unsigned *value)
{
    static const struct name table[] = {
        {"IOPRIO_CLASS_RT", IOPRIO_CLASS_RT},
        {"IOPRIO_CLASS_BE", IOPRIO_CLASS_BE},
        {"IOPRIO_CLASS_IDLE", IOPRIO_CLASS_IDLE},
        {NULL, 0},
    };

    return find(table, name, value);
}

bool spec_find_domain(const char *name, unsigned *value)
{
    static const struct name table[] = {
        {"LINUX", PER_LINUX},
        {"LINUX32", PER_LINUX32},
        {NULL, 0},
    };

    return find(table, name, value);
}

bool spec_find_mempolicy(const char *name, unsigned *value)
{
    static const struct name table[] = {
        {"MPOL_DEFAULT", MPOL_DEFAULT},
        {"MPOL_PREFERRED", MPOL_PREFERRED},
        {"MPOL_BIND", MPOL_BIND},
        {"MPOL_INTERLEAVE", MPOL_INTERLEAVE},
        {"MPOL_LOCAL", MPOL_LOCAL},
        {"MPOL_PREFERRED_MANY", MPOL_PREFERRED_MANY},
        {"MPOL_WEIGHTED_INTERLEAVE", MPOL_WEIGHTED_INTERLEAVE},
        {NULL, 0},
    };

    return find(table, name, value);
}

bool spec_find_mempolicy_flag(const char *name, unsigned *value)
{
    static const struct name table[] = {
        {"MPOL_F_STATIC_NODES", MPOL_F_STATIC_NODES},
        {"MPOL_F_RELATIVE_NODES", MPOL_F_RELATIVE_NODES},
        {"MPOL_F_NUMA_BALANCING", MPOL_F_NUMA_BALANCING},
        {NULL, 0},
    };

    return find(table, name, value);
}
