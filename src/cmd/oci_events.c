/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_events.c - `events`: what a container uses, as JSON lines in the form
 * that runc gave them.
 */
#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/oci_int.h"
#include "fence/cgroup_stats.h"

/* clang-format off */
const struct option_spec oci_events_options[] = {
    {"stats", NULL, NULL, "once, and no events",
     .field = offsetof(struct oci_events_args, stats)},
    {"interval", NULL, "SECONDS", "between statistics [5]",
     .field = offsetof(struct oci_events_args, interval)},
    {0},
};
/* clang-format on */

static void put(json_object *o, const char *key, json_object *v)
{
    json_object_object_add(o, key, v);
}

static void put_number(json_object *o, const char *key, uint64_t v)
{
    put(o, key, json_object_new_uint64(v));
}

static json_object *sub(json_object *o, const char *key)
{
    json_object *v = json_object_new_object();

    put(o, key, v);
    return v;
}

static void put_list(json_object *o, const char *key, const uint64_t *v,
                     unsigned n)
{
    json_object *l;
    unsigned i;

    if (!n || !v)
        return;
    l = json_object_new_array();
    for (i = 0; i < n; i++)
        json_object_array_add(l, json_object_new_uint64(v[i]));
    put(o, key, l);
}

static void put_pressure(json_object *o, const struct cgroup_pressure *p)
{
    json_object *psi, *s;

    if (!p->has)
        return;
    psi = sub(o, "psi");
    s = sub(psi, "some");
    put(s, "avg10", json_object_new_double(p->some.avg10));
    put(s, "avg60", json_object_new_double(p->some.avg60));
    put(s, "avg300", json_object_new_double(p->some.avg300));
    put_number(s, "total", p->some.total);
    s = sub(psi, "full");
    put(s, "avg10", json_object_new_double(p->full.avg10));
    put(s, "avg60", json_object_new_double(p->full.avg60));
    put(s, "avg300", json_object_new_double(p->full.avg300));
    put_number(s, "total", p->full.total);
}

static void put_cpu(json_object *data, const struct cgroup_stats_cpu *c)
{
    json_object *cpu = sub(data, "cpu"), *o = sub(cpu, "usage");

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

static void put_usage(json_object *o, const char *key,
                      const struct cgroup_usage *u)
{
    o = sub(o, key);
    put_number(o, "limit", u->limit);
    put_number(o, "usage", u->usage);
    put_number(o, "max", u->max);
    put_number(o, "failcnt", u->failcnt);
}

static void put_memory(json_object *data, const struct cgroup_stats_memory *m)
{
    json_object *o = sub(data, "memory"), *raw;
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

static void put_io(json_object *data, const struct cgroup_stats_io *io)
{
    static const char *const names[CGROUP_IO_LISTS] = {
        "ioServiceBytesRecursive", "ioServicedRecursive", "ioQueueRecursive",
        "ioServiceTimeRecursive",  "ioWaitTimeRecursive", "ioMergedRecursive",
        "ioTimeRecursive",         "sectorsRecursive",
    };
    json_object *o = sub(data, "blkio"), *l, *x;
    unsigned k, i;

    for (k = 0; k < CGROUP_IO_LISTS; k++) {
        l = json_object_new_array();
        for (i = 0; i < io->list[k].count; i++) {
            const struct cgroup_io_entry *e = &io->list[k].entry[i];

            x = json_object_new_object();
            put_number(x, "major", e->major);
            put_number(x, "minor", e->minor);
            put(x, "op", json_object_new_string(e->op));
            put_number(x, "value", e->value);
            json_object_array_add(l, x);
        }
        put(o, names[k], l);
    }
    put_pressure(o, &io->pressure);
}

static json_object *stats_json(const struct cgroup_stats *s)
{
    json_object *data = json_object_new_object(), *o;
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
    return data;
}

/* One line. data: owned from here on; or NULL. */
static void print_event(const char *id, const char *type, json_object *data)
{
    json_object *o = json_object_new_object();

    put(o, "type", json_object_new_string(type));
    put(o, "id", json_object_new_string(id));
    if (data)
        put(o, "data", data);
    puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_NOSLASHESCAPE));
    fflush(stdout);
    json_object_put(o);
}

static int print_stats(struct container *c, struct error *err)
{
    struct cgroup_stats s;
    int e = cgroup_stats_read(&c->cgroup, &s, err);

    if (!e)
        print_event(c->id, "stats", stats_json(&s));
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
