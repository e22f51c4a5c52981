/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_events.c - `events`: what a container uses, as JSON lines in the form
 * that runc gave them.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/oci_int.h"
#include "fence/cgroup_stats.h"
#include "oci/json_build.h"

/* clang-format off */
const struct option_spec oci_events_options[] = {
    {"stats", NULL, NULL, "once, and no events",
     .field = offsetof(struct oci_events_args, stats)},
    {"interval", NULL, "SECONDS", "between statistics [5]",
     .field = offsetof(struct oci_events_args, interval)},
    {0},
};
/* clang-format on */

/* An object that is being made, and where. */
struct object {
    struct arena *a;
    struct json_value *v;
};

static void put_number(struct object o, const char *key, uint64_t v)
{
    json_put(o.v, key, json_new_uint(o.a, v));
}

static struct object sub(struct object o, const char *key)
{
    return (struct object){o.a, json_put_object(o.a, o.v, key)};
}

static void put_list(struct object o, const char *key, const uint64_t *v,
                     unsigned n)
{
    unsigned i;

    for (i = 0; v && i < n; i++)
        json_add(json_put_array(o.a, o.v, key), json_new_uint(o.a, v[i]));
}

static void put_stalls(struct object psi, const char *key,
                       const struct cgroup_stalls *s)
{
    struct object o = sub(psi, key);

    json_put(o.v, "avg10", json_new_decimal(o.a, s->avg10));
    json_put(o.v, "avg60", json_new_decimal(o.a, s->avg60));
    json_put(o.v, "avg300", json_new_decimal(o.a, s->avg300));
    put_number(o, "total", s->total);
}

static void put_pressure(struct object o, const struct cgroup_pressure *p)
{
    if (!p->has)
        return;
    put_stalls(sub(o, "psi"), "some", &p->some);
    put_stalls(sub(o, "psi"), "full", &p->full);
}

static void put_cpu(struct object data, const struct cgroup_stats_cpu *c)
{
    struct object cpu = sub(data, "cpu"), o = sub(cpu, "usage");

    put_number(o, "total", c->usage);
    put_list(o, "percpu", c->percpu, c->cpus);
    put_list(o, "percpu_kernel", c->percpu_kernel, c->cpus);
    put_list(o, "percpu_user", c->percpu_user, c->cpus);
    put_number(o, "kernel", c->kernel);
    put_number(o, "user", c->user);
    o = sub(cpu, "throttling");
    put_number(o, "periods", c->periods);
    put_number(o, "throttledPeriods", c->throttled_periods);
    put_number(o, "throttledTime", c->throttled_time);
    o = sub(cpu, "burst");
    put_number(o, "burstsPeriods", c->burst_periods);
    put_number(o, "burstsTime", c->burst_time);
    put_pressure(cpu, &c->pressure);
}

static void put_usage(struct object o, const char *key,
                      const struct cgroup_usage *u)
{
    o = sub(o, key);
    put_number(o, "limit", u->limit);
    put_number(o, "usage", u->usage);
    put_number(o, "max", u->max);
    put_number(o, "failcnt", u->failcnt);
}

static void put_memory(struct object data, const struct cgroup_stats_memory *m)
{
    struct object o = sub(data, "memory"), raw;
    unsigned i;

    put_number(o, "cache", m->cache);
    put_usage(o, "usage", &m->usage);
    put_usage(o, "swap", &m->swap);
    put_usage(o, "kernel", &m->kernel);
    put_usage(o, "kernelTCP", &m->kernel_tcp);
    raw = sub(o, "raw");
    for (i = 0; i < m->raws; i++)
        put_number(raw, m->raw[i].name, m->raw[i].value);
    put_pressure(o, &m->pressure);
}

static void put_io(struct object data, const struct cgroup_stats_io *io)
{
    static const char *const names[CGROUP_IO_LISTS] = {
        "ioServiceBytesRecursive", "ioServicedRecursive", "ioQueueRecursive",
        "ioServiceTimeRecursive",  "ioWaitTimeRecursive", "ioMergedRecursive",
        "ioTimeRecursive",         "sectorsRecursive",
    };
    struct object o = sub(data, "blkio"), x = {.a = o.a};
    struct json_value *l;
    unsigned k, i;

    for (k = 0; k < CGROUP_IO_LISTS; k++) {
        l = json_put_array(o.a, o.v, names[k]);
        for (i = 0; i < io->list[k].count; i++) {
            const struct cgroup_io_entry *e = &io->list[k].entry[i];

            x.v = json_new_object(x.a);
            put_number(x, "major", e->major);
            put_number(x, "minor", e->minor);
            json_put(x.v, "op", json_new_text(x.a, e->op));
            put_number(x, "value", e->value);
            json_add(l, x.v);
        }
    }
    put_pressure(o, &io->pressure);
}

static void put_stats(struct object data, const struct cgroup_stats *s)
{
    struct object o;
    unsigned i;

    put_cpu(data, &s->cpu);
    put_memory(data, &s->memory);
    o = sub(data, "pids");
    put_number(o, "current", s->pids);
    put_number(o, "limit", s->pids_limit == UINT64_MAX ? 0 : s->pids_limit);
    put_io(data, &s->io);
    o = sub(data, "hugetlb");
    for (i = 0; i < s->hugetlbs; i++)
        put_usage(o, s->hugetlb[i].page_size, &s->hugetlb[i].use);
}

/* One line; stats: or NULL. */
static void print_event(const char *id, const char *type,
                        const struct cgroup_stats *stats)
{
    struct arena a = {0};
    struct object o = {&a, json_new_object(&a)};

    json_put(o.v, "type", json_new_text(&a, type));
    json_put(o.v, "id", json_new_text(&a, id));
    if (stats)
        put_stats(sub(o, "data"), stats);
    puts(json_print(&a, o.v, false));
    fflush(stdout);
    arena_free(&a);
}

static int print_stats(struct container *c, struct error *err)
{
    struct cgroup_stats s;
    int e = cgroup_stats_read(&c->cgroup, &s, err);

    if (!e)
        print_event(c->id, "stats", &s);
    cgroup_stats_free(&s);
    return e;
}

/* Until the container ends, or stdout is closed. */
static int follow(struct container *c, int interval_ms, struct error *err)
{
    int pidfd = oci_state_pidfd(c), e = 0;
    struct cgroup_watch w;
    struct pollfd p[2] = {{pidfd, POLLIN, 0}, {-1, POLLIN, 0}};
    bool watched = !cgroup_watch_open(&c->cgroup, &w, err);

    if (watched)
        p[1].fd = w.fd;
    while (pidfd >= 0 && !e && !(p[0].revents & POLLIN)) {
        e = print_stats(c, err);
        if (e || poll(p, 2, interval_ms) < 0)
            break;
        if (watched && (p[1].revents & POLLIN))
            while (cgroup_watch_next(&w) == CGROUP_OOM)
                print_event(c->id, "oom", NULL);
        if (ferror(stdout))
            break;
    }
    if (watched)
        cgroup_watch_close(&w);
    return e == -ENOENT ? 0 : e; /* it ended meanwhile */
}

int oci_events(const struct oci_call *call, struct error *err)
{
    const struct oci_events_args *a = call->options;
    int interval = a->interval ? atoi(a->interval) : 5;
    struct container c = {0};
    int e;

    if (interval < 1 || interval > 86400)
        return error_set(err, EINVAL,
                         "--interval %s: give seconds, 1 to "
                         "86400",
                         a->interval);
    e = oci_state_open(&c, call->g->root, call->word[0], false, err);
    if (!e && !oci_state_alive(&c))
        e = error_set(err, EINVAL, "container \"%s\" is not running",
                      call->word[0]);
    if (!e)
        e = a->stats ? print_stats(&c, err) : follow(&c, interval * 1000, err);
    oci_state_close(&c);
    return e;
}
