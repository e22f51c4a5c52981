/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_convert.c - limits in cgroup v1's units to those of v2, as the field
 * agrees to convert them: who moves a container to a v2 host with another
 * runtime's figures finds the same shares.
 */
#include "fence/cgroup_int.h"

#include <math.h>
#include <stdio.h>

/*
 * A quadratic in log2 through three points: the least, the default and the
 * most of both. (Linear would make the default 1024 a weight of 39.)
 */
uint64_t cgroup_weight_of_shares(uint64_t shares)
{
    double l;

    if (shares <= 2)
        return 1;
    if (shares >= 262144)
        return 10000;
    l = log2((double)shares);
    /* The default is exact; its power may come out a hair above 100. */
    return (uint64_t)ceil(pow(10, (l * l + 125 * l) / 612 - 7.0 / 34) - 1e-9);
}

uint64_t cgroup_io_weight(unsigned weight)
{
    unsigned w = MIN(MAX(weight, 10u), 1000u);

    return 1 + (uint64_t)(w - 10) * 9999 / 990;
}

bool cgroup_swap_alone(const struct cgroup_limits_memory *m, int64_t *swap,
                       const char **why)
{
    int64_t limit = m->has & CGROUP_MEMORY_LIMIT ? m->limit : 0;
    int64_t both = m->has & CGROUP_MEMORY_SWAP ? m->swap : 0;

    *swap = -1;
    if (both < 0 || (!both && limit < 0)) {
        *swap = INT64_MAX; /* no limit on memory: none on swap either */
    } else if (both && limit < 0) {
        *swap = both;
    } else if (both && !limit) {
        *why = "needs linux.resources.memory.limit beside it on cgroup v2";
        return false;
    } else if (both && both < limit) {
        *why = "is below linux.resources.memory.limit, which it includes";
        return false;
    } else if (both) {
        *swap = both - limit;
    }
    return true;
}

void cgroup_bytes_text(uint64_t bytes, char buf[16])
{
    static const char unit[] = "KMGTPE";
    double v = (double)bytes / 1024;
    unsigned i = 0;

    if (bytes < 1024) {
        snprintf(buf, 16, "%u", (unsigned)bytes);
        return;
    }
    while (v >= 1024 && unit[i + 1]) {
        v /= 1024;
        i++;
    }
    if (v == (double)(uint64_t)v)
        snprintf(buf, 16, "%.0f%c", v, unit[i]);
    else
        snprintf(buf, 16, "%.1f%c", v, unit[i]);
}
