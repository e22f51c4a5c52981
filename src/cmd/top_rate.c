/* SPDX-License-Identifier: Apache-2.0 */
/*
 * top_rate.c - what two samples make: rates, and an order.
 */
#include "cmd/top_int.h"

#include <stdlib.h>
#include <string.h>

/* Counters of a machine that began anew go back: then it has done nothing. */
static double grown(uint64_t now, uint64_t was, double seconds)
{
    return now > was ? (double)(now - was) / seconds : 0;
}

#define RATE(field) grown(it->now.field, it->was.field, r.seconds)

struct top_rate top_rate_of(const struct top_item *it)
{
    struct top_rate r = {0};

    if (it->samples < 2 || it->now.at_ns <= it->was.at_ns ||
        it->state == TOP_GONE)
        return r;
    r.seconds = (double)(it->now.at_ns - it->was.at_ns) / 1e9;
    r.vcpus = RATE(vcpus_ns) / 1e9;
    r.stubs = RATE(stubs_ns) / 1e9;
    r.monitor = RATE(monitor_ns) / 1e9;
    r.exits = RATE(exits);
    r.insns = RATE(insns);
    r.disk_bytes = RATE(disk_read) + RATE(disk_written);
    r.disk_requests = RATE(disk_requests);
    r.net_bytes = RATE(net_received) + RATE(net_sent);
    r.net_frames = RATE(net_frames);
    return r;
}

void top_count_rates(struct top_item *it)
{
    struct top_rate r = top_rate_of(it);

    for (unsigned i = 0; i < it->now.counts && r.seconds > 0; i++) {
        struct top_count *c = &it->now.count[i];
        const struct top_count *w = top_count_find(&it->was, c);

        c->rate = grown(c->n, w ? w->n : 0, r.seconds);
    }
}

/*
 * Instructions that are emulated whatever the engine; accesses to devices that
 * are not such instructions; where native code stopped, and KVM came back.
 */
bool top_is_exit(const struct top_count *c)
{
    static const char *const others[] = {
        "mmio",
        "apic",
        "direct-system-calls",
        "direct-hidden-faults",
        "direct-true-faults",
        "direct-traps",
        "direct-kicks",
        "kvm-kicks",
        "kvm-interrupt-windows",
        "kvm-interpreted",
    };

    if (!strcmp(c->group, "exit"))
        return true;
    if (strcmp(c->group, "access") && strcmp(c->group, "code"))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        if (!strcmp(c->name, others[i]))
            return true;
    return false;
}

const char *top_state_name(const struct top_item *it)
{
    static const char *const names[] = {
        [TOP_NEW] = "new",         [TOP_SILENT] = "silent",
        [TOP_GARBAGE] = "garbage", [TOP_DENIED] = "denied",
        [TOP_GONE] = "gone",
    };

    return it->state == TOP_UP ? it->says : names[it->state];
}

/* --- order --- */

const char *const top_orders[TOP_ORDERS] = {
    [TOP_BY_CPU] = "cpu",       [TOP_BY_EXITS] = "exits",
    [TOP_BY_IO] = "io",         [TOP_BY_MEMORY] = "memory",
    [TOP_BY_UPTIME] = "uptime", [TOP_BY_NAME] = "name",
};

static double weight(const struct top_item *it, enum top_order by)
{
    struct top_rate r = top_rate_of(it);

    switch (by) {
    case TOP_BY_CPU:
        return r.vcpus + r.stubs + r.monitor;
    case TOP_BY_EXITS:
        return r.exits;
    case TOP_BY_IO:
        return r.disk_bytes + r.net_bytes;
    case TOP_BY_MEMORY:
        return (double)(it->now.resident + it->now.monitor + it->now.stubs);
    case TOP_BY_UPTIME:
        return (double)it->now.uptime_ms;
    default:
        return 0;
    }
}

struct order {
    enum top_order by;
    bool reverse;
};

static int compare(const void *va, const void *vb, void *ctx)
{
    const struct top_item *a = *(struct top_item *const *)va;
    const struct top_item *b = *(struct top_item *const *)vb;
    const struct order *o = ctx;
    double wa = weight(a, o->by), wb = weight(b, o->by);
    int d = wa > wb ? -1 : wa < wb;

    if (!d)
        d = strcmp(a->name, b->name);
    if (!d)
        d = strcmp(a->at.sun_path, b->at.sun_path);
    return o->reverse ? -d : d;
}

void top_sort(struct top *t, enum top_order by, bool reverse)
{
    struct order o = {by, reverse};

    qsort_r(t->item, t->items, sizeof(t->item[0]), compare, &o);
}
