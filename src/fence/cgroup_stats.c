/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_stats.c - what a container has used: v1's many files and v2's few,
 * in one struct. A file that is missing is no failure: kernels differ, and so
 * do the controllers that are turned on.
 */
#include "fence/cgroup_stats.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fence/cgroup_int.h"

/* v1 counts "no limit" as the last page below 2^63. */
#define V1_NO_LIMIT 0x7ffffffffffff000ull

/* cpuacct.stat counts ticks of 10 ms, whatever the kernel's own. */
#define TICK_NS 10000000ull

static uint64_t number(int dir, const char *file)
{
    uint64_t v;

    return cgroup_file_number(dir, file, &v) ? 0 : v;
}

static uint64_t limit(int dir, const char *file)
{
    uint64_t v = number(dir, file);

    return v >= V1_NO_LIMIT ? UINT64_MAX : v;
}

static uint64_t text_value(const char *text, const char *name)
{
    uint64_t v = 0;

    cgroup_text_number(text, name, &v);
    return v;
}

/* The tree's directory, -1 if there is none. */
static int dir_of(struct cgroup *cg, enum cgroup_controller c)
{
    struct cgroup_tree *t = cgroup_tree_of(cg, c);

    return t && !cgroup_tree_open(t) ? t->fd : -1;
}

/* --- pressure --- */

static void pressure_line(const char *text, const char *kind, double avg[3],
                          uint64_t *total)
{
    const char *at = strstr(text, kind);
    unsigned long long n;

    if (at && sscanf(at + 5, "avg10=%lf avg60=%lf avg300=%lf total=%llu",
                     &avg[0], &avg[1], &avg[2], &n) == 4)
        *total = n;
}

void cgroup_pressure_read(int dir, const char *file, struct cgroup_pressure *p)
{
    char text[256];
    double avg[3];

    if (cgroup_file_read(dir, file, text, sizeof(text)) <= 0)
        return;
    p->has = true;
    memset(avg, 0, sizeof(avg));
    pressure_line(text, "some ", avg, &p->some.total);
    p->some.avg10 = avg[0];
    p->some.avg60 = avg[1];
    p->some.avg300 = avg[2];
    memset(avg, 0, sizeof(avg));
    pressure_line(text, "full ", avg, &p->full.total);
    p->full.avg10 = avg[0];
    p->full.avg60 = avg[1];
    p->full.avg300 = avg[2];
}

/* --- cpu --- */

static void cpu_v2(int dir, struct cgroup_stats_cpu *s)
{
    char *text;

    if (cgroup_file_load(dir, "cpu.stat", &text))
        return;
    s->usage = text_value(text, "usage_usec") * 1000;
    s->user = text_value(text, "user_usec") * 1000;
    s->kernel = text_value(text, "system_usec") * 1000;
    s->periods = text_value(text, "nr_periods");
    s->throttled_periods = text_value(text, "nr_throttled");
    s->throttled_time = text_value(text, "throttled_usec") * 1000;
    s->burst_periods = text_value(text, "nr_bursts");
    s->burst_time = text_value(text, "burst_usec") * 1000;
    free(text);
    cgroup_pressure_read(dir, "cpu.pressure", &s->pressure);
}

static void throttling_v1(int dir, struct cgroup_stats_cpu *s)
{
    char *text;

    if (cgroup_file_load(dir, "cpu.stat", &text))
        return;
    s->periods = text_value(text, "nr_periods");
    s->throttled_periods = text_value(text, "nr_throttled");
    s->throttled_time = text_value(text, "throttled_time");
    s->burst_periods = text_value(text, "nr_bursts");
    s->burst_time = text_value(text, "burst_time");
    free(text);
}

static unsigned lines_count(const char *text)
{
    unsigned n = 0;

    for (; (text = strchr(text, '\n')); text++)
        n++;
    return n;
}

/* "cpu user system" and a line for each. */
static void percpu_v1(int dir, struct cgroup_stats_cpu *s)
{
    unsigned long long user, system;
    unsigned room, n = 0, cpu;
    char *text, *at;

    if (cgroup_file_load(dir, "cpuacct.usage_all", &text))
        return;
    room = lines_count(text);
    s->percpu = calloc(3 * (size_t)room + 1, sizeof(uint64_t));
    if (s->percpu) {
        s->percpu_kernel = s->percpu + room;
        s->percpu_user = s->percpu + 2 * room;
        for (at = strchr(text, '\n'); at && n < room; at = strchr(at, '\n')) {
            at++;
            if (sscanf(at, "%u %llu %llu", &cpu, &user, &system) != 3)
                break;
            s->percpu[n] = user + system;
            s->percpu_kernel[n] = system;
            s->percpu_user[n] = user;
            n++;
        }
        s->cpus = n;
    }
    free(text);
}

static void usage_v1(int dir, struct cgroup_stats_cpu *s)
{
    char text[128];

    s->usage = number(dir, "cpuacct.usage");
    if (cgroup_file_read(dir, "cpuacct.stat", text, sizeof(text)) > 0) {
        s->user = text_value(text, "user") * TICK_NS;
        s->kernel = text_value(text, "system") * TICK_NS;
    }
    percpu_v1(dir, s);
}

static void cpu_read(struct cgroup *cg, struct cgroup_stats_cpu *s)
{
    int dir = dir_of(cg, CGROUP_CPU), acct = dir_of(cg, CGROUP_CPUACCT);

    if (cg->layout == CGROUP_V2) {
        cpu_v2(acct, s); /* usage is there without the controller too */
        return;
    }
    if (dir >= 0)
        throttling_v1(dir, s);
    if (acct >= 0)
        usage_v1(acct, s);
}

/* --- memory --- */

static void raw_read(struct cgroup_stats_memory *s, const char *text)
{
    unsigned room = lines_count(text) + 1;
    char name[40];
    unsigned long long v;

    s->raw = calloc(room, sizeof(*s->raw));
    while (s->raw && text && *text && s->raws < room) {
        if (sscanf(text, "%39s %llu", name, &v) == 2) {
            memcpy(s->raw[s->raws].name, name, sizeof(name));
            s->raw[s->raws++].value = v;
        }
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
}

/* v1's names: "memory" or "memory.memsw", "memory.kmem" and so on. */
static void usage_files(int dir, const char *prefix, struct cgroup_usage *u)
{
    char file[64];

    snprintf(file, sizeof(file), "%s.usage_in_bytes", prefix);
    u->usage = number(dir, file);
    snprintf(file, sizeof(file), "%s.max_usage_in_bytes", prefix);
    u->max = number(dir, file);
    snprintf(file, sizeof(file), "%s.limit_in_bytes", prefix);
    u->limit = limit(dir, file);
    snprintf(file, sizeof(file), "%s.failcnt", prefix);
    u->failcnt = number(dir, file);
}

static void memory_v1(int dir, struct cgroup_stats_memory *s)
{
    char *text;

    usage_files(dir, "memory", &s->usage);
    usage_files(dir, "memory.memsw", &s->swap);
    usage_files(dir, "memory.kmem", &s->kernel);
    usage_files(dir, "memory.kmem.tcp", &s->kernel_tcp);
    s->hierarchy = number(dir, "memory.use_hierarchy") == 1;
    if (cgroup_file_load(dir, "memory.stat", &text))
        return;
    s->cache = text_value(text, "cache");
    raw_read(s, text);
    free(text);
}

static uint64_t sum(uint64_t a, uint64_t b)
{
    uint64_t s;

    return __builtin_add_overflow(a, b, &s) ? UINT64_MAX : s;
}

static void memory_v2(int dir, struct cgroup_stats_memory *s)
{
    char *text, events[256];

    s->usage.usage = number(dir, "memory.current");
    s->usage.max = number(dir, "memory.peak");
    s->usage.limit = limit(dir, "memory.max");
    if (cgroup_file_read(dir, "memory.events", events, sizeof(events)) > 0)
        s->usage.failcnt = text_value(events, "max");
    s->swap.usage = sum(s->usage.usage, number(dir, "memory.swap.current"));
    s->swap.limit = sum(s->usage.limit, limit(dir, "memory.swap.max"));
    s->hierarchy = true;
    if (cgroup_file_load(dir, "memory.stat", &text))
        return;
    s->cache = text_value(text, "file");
    s->kernel.usage = text_value(text, "kernel");
    s->kernel_tcp.usage = text_value(text, "sock");
    raw_read(s, text);
    free(text);
    cgroup_pressure_read(dir, "memory.pressure", &s->pressure);
}

static void memory_read(struct cgroup *cg, struct cgroup_stats_memory *s)
{
    int dir = dir_of(cg, CGROUP_MEMORY);

    if (dir < 0)
        return;
    if (cgroup_on_v2(cg, CGROUP_MEMORY))
        memory_v2(dir, s);
    else
        memory_v1(dir, s);
}

/* --- pids, huge pages --- */

static void pids_read(struct cgroup *cg, struct cgroup_stats *s)
{
    int dir = dir_of(cg, CGROUP_PIDS);
    struct error ignored;
    unsigned count;
    pid_t *pids;

    if (dir >= 0 && !cgroup_file_number(dir, "pids.current", &s->pids)) {
        s->pids_limit = limit(dir, "pids.max");
        return;
    }
    if (!cgroup_pids(cg, &pids, &count, &ignored)) {
        s->pids = count;
        s->pids_limit = UINT64_MAX;
        free(pids);
    }
}

/* The kernel's sizes are those that it has files of. */
static bool hugepage_file(const char *name, bool v2, char *size)
{
    const char *end = v2 ? ".max" : ".limit_in_bytes", *dot;

    if (strncmp(name, "hugetlb.", 8))
        return false;
    dot = strchr(name + 8, '.');
    if (!dot || strcmp(dot, end) || dot - name - 8 > 15)
        return false;
    memcpy(size, name + 8, (size_t)(dot - name - 8));
    size[dot - name - 8] = '\0';
    return true;
}

static void hugepage_v2(int dir, struct cgroup_stats_hugetlb *h)
{
    char file[64], events[64];

    snprintf(file, sizeof(file), "hugetlb.%s.current", h->page_size);
    h->use.usage = number(dir, file);
    snprintf(file, sizeof(file), "hugetlb.%s.max", h->page_size);
    h->use.limit = limit(dir, file);
    snprintf(file, sizeof(file), "hugetlb.%s.events", h->page_size);
    if (cgroup_file_read(dir, file, events, sizeof(events)) > 0)
        h->use.failcnt = text_value(events, "max");
}

static void hugepage_add(struct cgroup_stats *s, int dir, bool v2,
                         const char *size)
{
    struct cgroup_stats_hugetlb *more = realloc(s->hugetlb, (s->hugetlbs + 1) *
                                                                sizeof(*more)),
                                *h;
    char prefix[32];

    if (!more)
        return;
    s->hugetlb = more;
    h = &more[s->hugetlbs++];
    memset(h, 0, sizeof(*h));
    snprintf(h->page_size, sizeof(h->page_size), "%s", size);
    snprintf(prefix, sizeof(prefix), "hugetlb.%s", size);
    if (v2)
        hugepage_v2(dir, h);
    else
        usage_files(dir, prefix, &h->use);
}

static void hugetlb_read(struct cgroup *cg, struct cgroup_stats *s)
{
    int dir = dir_of(cg, CGROUP_HUGETLB), fd;
    bool v2 = cgroup_on_v2(cg, CGROUP_HUGETLB);
    struct dirent *e;
    char size[16];
    DIR *d;

    fd = dir < 0 ? -1 : cgroup_dir_open(dir, ".");
    d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((e = readdir(d)))
        if (hugepage_file(e->d_name, v2, size))
            hugepage_add(s, dir, v2, size);
    closedir(d);
}

/* --- all --- */

int cgroup_stats_read(struct cgroup *cg, struct cgroup_stats *stats,
                      struct error *err)
{
    memset(stats, 0, sizeof(*stats));
    if (!cgroup_exists(cg))
        return error_set(err, ENOENT,
                         "the container has no cgroup, so nothing is counted");
    cpu_read(cg, &stats->cpu);
    memory_read(cg, &stats->memory);
    pids_read(cg, stats);
    cgroup_stats_io(cg, &stats->io);
    hugetlb_read(cg, stats);
    return 0;
}

void cgroup_stats_free(struct cgroup_stats *stats)
{
    free(stats->cpu.percpu); /* and the other lists behind it */
    free(stats->memory.raw);
    for (unsigned i = 0; i < CGROUP_IO_LISTS; i++)
        free(stats->io.list[i].entry);
    free(stats->hugetlb);
    memset(stats, 0, sizeof(*stats));
}
