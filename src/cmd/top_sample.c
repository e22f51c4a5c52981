/* SPDX-License-Identifier: Apache-2.0 */
/*
 * top_sample.c - a machine's answer, and what /proc says of its process.
 */
#include "cmd/top_int.h"

#include <ctype.h>
#include <dirent.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHILDREN_MAX 4096u

void top_printable(char *to, size_t len, const char *from)
{
    size_t i;

    for (i = 0; from && from[i] && i + 1 < len; i++)
        to[i] = (char)(from[i] >= ' ' && from[i] <= '~' ? from[i] : '?');
    to[i] = '\0';
}

/* --- the answer --- */

static uint64_t number(struct json_object *o, const char *key)
{
    struct json_object *v;

    if (!json_object_object_get_ex(o, key, &v) ||
        !json_object_is_type(v, json_type_int))
        return 0;
    return json_object_get_uint64(v);
}

static void word(struct json_object *o, const char *key, char *to, size_t len)
{
    struct json_object *v;

    top_printable(to, len,
                  json_object_object_get_ex(o, key, &v)
                      ? json_object_get_string(v)
                      : "-");
}

/* The sum of a number over the objects of an array. */
static uint64_t sum(struct json_object *o, const char *list, const char *key)
{
    struct json_object *all, *one;
    uint64_t n = 0;

    if (!json_object_object_get_ex(o, list, &all) ||
        !json_object_is_type(all, json_type_array))
        return 0;
    for (size_t i = 0; i < json_object_array_length(all); i++) {
        one = json_object_array_get_idx(all, i);
        if (json_object_is_type(one, json_type_object))
            n += number(one, key);
    }
    return n;
}

const struct top_count *top_count_find(const struct top_sample *s,
                                       const struct top_count *c)
{
    for (unsigned i = 0; i < s->counts; i++)
        if (!strcmp(s->count[i].name, c->name) &&
            !strcmp(s->count[i].group, c->group))
            return &s->count[i];
    return NULL;
}

static void counts_of(struct top_sample *s, const char *group,
                      struct json_object *rows)
{
    if (!json_object_is_type(rows, json_type_object))
        return;
    json_object_object_foreach(rows, name, n)
    {
        struct top_count *c = &s->count[s->counts];

        if (s->counts == TOP_COUNTS_MAX)
            return;
        if (!json_object_is_type(n, json_type_int))
            continue;
        top_printable(c->group, sizeof(c->group), group);
        top_printable(c->name, sizeof(c->name), name);
        if (top_count_find(s, c))
            continue; /* it would make two series of one name */
        c->n = json_object_get_uint64(n);
        s->exits += top_is_exit(c) ? c->n : 0;
        s->counts++;
    }
}

static void sample_counters(struct top_sample *s, struct json_object *o)
{
    struct json_object *counts;
    uint64_t process = number(o, "process_ns");

    s->cpus = number(o, "cpus");
    s->uptime_ms = number(o, "uptime_ms");
    s->guest_ms = number(o, "guest_ms");
    s->insns = number(o, "instructions");
    s->vcpus_ns = number(o, "vcpus_ns");
    s->monitor_ns = process > s->vcpus_ns ? process - s->vcpus_ns : 0;
    s->memory = number(o, "memory");
    s->resident = number(o, "resident");
    s->disk_read = sum(o, "disks", "read_bytes");
    s->disk_written = sum(o, "disks", "written_bytes");
    s->disk_requests = sum(o, "disks", "reads") + sum(o, "disks", "writes") +
                       sum(o, "disks", "flushes") + sum(o, "disks", "discards");
    s->net_received = sum(o, "nets", "received_bytes");
    s->net_sent = sum(o, "nets", "sent_bytes");
    s->net_frames = sum(o, "nets", "received") + sum(o, "nets", "sent");
    if (json_object_object_get_ex(o, "counts", &counts) &&
        json_object_is_type(counts, json_type_object)) {
        json_object_object_foreach(counts, group, rows)
            counts_of(s, group, rows);
    }
}

/* --- /proc: of a process that may end at any moment --- */

static FILE *proc_open(unsigned pid, const char *what)
{
    char path[96];

    snprintf(path, sizeof(path), "/proc/%u/%s", pid, what);
    return fopen(path, "re");
}

/* Times of a process, and of its dead children, in ns. [proc(5)] */
static void proc_times(unsigned pid, uint64_t *own, uint64_t *dead)
{
    unsigned long long ut = 0, st = 0, cut = 0, cst = 0;
    uint64_t tick = 1000000000ull / (uint64_t)sysconf(_SC_CLK_TCK);
    FILE *f = proc_open(pid, "stat");
    char line[1024], *p = NULL;

    if (f && fgets(line, sizeof(line), f))
        p = strrchr(line, ')'); /* its name may have one too */
    if (p)
        sscanf(p + 1,
               " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu "
               "%llu %llu",
               &ut, &st, &cut, &cst);
    if (f)
        fclose(f);
    *own = (ut + st) * tick;
    *dead = (cut + cst) * tick;
}

/* Resident memory that is its own, not shared with others. */
static uint64_t proc_private(unsigned pid)
{
    unsigned long long rss = 0, shared = 0;
    FILE *f = proc_open(pid, "statm");

    if (!f)
        return 0;
    if (fscanf(f, "%*u %llu %llu", &rss, &shared) != 2 || shared > rss)
        rss = shared = 0;
    fclose(f);
    return (rss - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Engine trap's stubs, mostly: living ones, and the sum of the dead. */
static void proc_children(unsigned pid, struct top_sample *s)
{
    char path[64];
    unsigned child, n = 0;
    struct dirent *e;
    DIR *d;

    snprintf(path, sizeof(path), "/proc/%u/task", pid);
    d = opendir(path);
    while (d && (e = readdir(d))) {
        FILE *f;

        if (!isdigit((unsigned char)*e->d_name))
            continue;
        snprintf(path, sizeof(path), "task/%.20s/children", e->d_name);
        f = proc_open(pid, path);
        while (f && n++ < CHILDREN_MAX && fscanf(f, "%u", &child) == 1) {
            uint64_t own, dead;

            proc_times(child, &own, &dead);
            s->stubs_ns += own + dead;
            s->stubs += proc_private(child);
        }
        if (f)
            fclose(f);
    }
    if (d)
        closedir(d);
}

/* Resident pages of the mappings of a file, by its inode. */
static uint64_t proc_mapped(unsigned pid, uint64_t inode)
{
    FILE *f = proc_open(pid, "smaps");
    unsigned long long at, kib, total = 0;
    char line[512];
    bool in = false;

    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%*x-%*x %*s %*x %*s %llu", &at) == 1)
            in = at == inode;
        else if (in && sscanf(line, "Rss: %llu kB", &kib) == 1)
            total += kib;
    }
    if (f)
        fclose(f);
    return total * KiB;
}

static void proc_memory(unsigned pid, struct top_sample *s,
                        struct json_object *o)
{
    unsigned long long kib, all = 0, shared = 0;
    FILE *f = proc_open(pid, "status");
    struct json_object *v;
    char line[256];

    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "VmRSS: %llu kB", &kib) == 1)
            all = kib * KiB;
        else if (sscanf(line, "RssShmem: %llu kB", &kib) == 1)
            shared = kib * KiB;
    }
    if (f)
        fclose(f);
    /* restored: RAM is a private mapping of a file, its pages anonymous */
    if (json_object_object_get_ex(o, "ram_private", &v) &&
        json_object_get_boolean(v))
        shared = s->resident = proc_mapped(pid, number(o, "ram_inode"));
    s->monitor = all > shared ? all - shared : 0;
}

/* --- both --- */

bool top_sample_take(struct top_item *it, struct json_object *answer)
{
    struct json_object *counts;
    uint64_t own;

    if (!json_object_object_get_ex(answer, "counts", &counts) ||
        !json_object_is_type(counts, json_type_object))
        return false;
    it->was = it->now;
    if (it->samples < 2)
        it->samples++;
    memset(&it->now, 0, sizeof(it->now));
    it->now.at_ns = clock_host_now();
    word(answer, "engine", it->engine, sizeof(it->engine));
    word(answer, "state", it->says, sizeof(it->says));
    sample_counters(&it->now, answer);
    top_count_rates(it);
    if (it->pid) {
        proc_times(it->pid, &own, &it->now.stubs_ns);
        proc_children(it->pid, &it->now);
        proc_memory(it->pid, &it->now, answer);
    }
    return true;
}
