/* SPDX-License-Identifier: Apache-2.0 */
/*
 * top_table.c - machines as lines for people, as wide as there is room: the
 * columns that matter least are left out first.
 */
#include "cmd/top_int.h"

#include <stdlib.h>
#include <string.h>

#define CELL_MAX       64
#define LINE_WIDTH_MAX 1024u /* no terminal is wider */

/* 1234567 is "1.2M"; at most five characters. */
static void human(char *s, double n)
{
    static const char units[] = " kMGTPE";
    unsigned u = 0;

    while (n >= 999.5 && u < sizeof(units) - 2) {
        n /= 1000;
        u++;
    }
    if (u)
        snprintf(s, CELL_MAX, "%.*f%c", n < 99.95, n, units[u]);
    else
        snprintf(s, CELL_MAX, "%.0f", n);
}

/* The same in powers of 1024. */
static void human_bytes(char *s, double n)
{
    static const char units[] = "BKMGTPE";
    unsigned u = 0;

    while (n >= 1023.5 && u < sizeof(units) - 2) {
        n /= 1024;
        u++;
    }
    snprintf(s, CELL_MAX, "%.*f%c", u && n < 99.95, n, units[u]);
}

static void span(char *s, uint64_t ms)
{
    unsigned long long t = ms / 1000;

    if (t < 100)
        snprintf(s, CELL_MAX, "%llus", t);
    else if (t < 6000)
        snprintf(s, CELL_MAX, "%llum%02llu", t / 60, t % 60);
    else if (t < 360000)
        snprintf(s, CELL_MAX, "%lluh%02llu", t / 3600, t / 60 % 60);
    else
        snprintf(s, CELL_MAX, "%llud", t / 86400);
}

/* --- columns --- */

#define CELL(name)                                                             \
    static void cell_##name(const struct top_item *it,                         \
                            const struct top_rate *r, char *s)

CELL(name)
{
    (void)r;
    snprintf(s, CELL_MAX, "%.63s", it->name);
}
CELL(state)
{
    (void)r;
    snprintf(s, CELL_MAX, "%s", top_state_name(it));
}
CELL(engine)
{
    (void)r;
    snprintf(s, CELL_MAX, "%s", it->engine);
}
CELL(cpus)
{
    (void)r;
    snprintf(s, CELL_MAX, "%llu", (unsigned long long)it->now.cpus);
}
CELL(guest)
{
    (void)it;
    snprintf(s, CELL_MAX, "%.1f", 100 * r->vcpus);
}
CELL(stubs)
{
    (void)it;
    snprintf(s, CELL_MAX, "%.1f", 100 * r->stubs);
}
CELL(monitor)
{
    (void)it;
    snprintf(s, CELL_MAX, "%.1f", 100 * r->monitor);
}
CELL(exits)
{
    (void)it;
    human(s, r->exits);
}
CELL(disk)
{
    (void)it;
    human_bytes(s, r->disk_bytes);
}
CELL(net)
{
    (void)it;
    human_bytes(s, r->net_bytes);
}
CELL(requests)
{
    (void)it;
    human(s, r->disk_requests + r->net_frames);
}
CELL(memory)
{
    (void)r;
    human_bytes(s, (double)it->now.memory);
}
CELL(resident)
{
    (void)r;
    human_bytes(s, (double)it->now.resident);
}
CELL(overhead)
{
    (void)r;
    human_bytes(s, (double)(it->now.monitor + it->now.stubs));
}
CELL(uptime)
{
    (void)r;
    span(s, it->now.uptime_ms);
}

/* The heaviest exits: "hlt 1.2k mmio 300 ...", as far as there is room. */
static void reasons(const struct top_item *it, const struct top_rate *r,
                    char *s, size_t room)
{
    unsigned used[8], n = 0;
    size_t len = 0;

    *s = '\0';
    for (; n < ARRAY_SIZE(used) && r->seconds > 0; n++) {
        double best = 0, rate;
        char each[CELL_MAX];
        unsigned at = 0, k;

        for (unsigned i = 0; i < it->now.counts; i++) {
            if (!top_is_exit(&it->now.count[i]))
                continue;
            for (k = 0; k < n && used[k] != i; k++)
                continue;
            rate = it->now.count[i].rate;
            if (k == n && rate > best) {
                best = rate;
                at = i;
            }
        }
        if (best < 0.5)
            return;
        used[n] = at;
        human(each, best);
        k = (unsigned)strlen(it->now.count[at].name) + (unsigned)strlen(each) +
            1 + (n != 0);
        if (len + k + 1 > room)
            return;
        len += (size_t)snprintf(s + len, room - len, "%s%s %s", n ? " " : "",
                                it->now.count[at].name, each);
    }
}

/* rank: the highest goes first when room is short. */
static const struct column {
    const char *title;
    unsigned width, rank;
    bool left, needs; /* left-aligned; needs samples */
    void (*cell)(const struct top_item *it, const struct top_rate *r, char *s);
} columns[] = {
    {"NAME", 12, 0, true, false, cell_name},
    {"STATE", 8, 1, true, false, cell_state},
    {"ENGINE", 6, 4, true, true, cell_engine},
    {"CPUS", 4, 10, false, true, cell_cpus},
    {"GUEST%", 6, 2, false, true, cell_guest},
    {"STUB%", 5, 9, false, true, cell_stubs},
    {"MON%", 5, 6, false, true, cell_monitor},
    {"EXIT/s", 6, 3, false, true, cell_exits},
    {"DISK/s", 6, 7, false, true, cell_disk},
    {"NET/s", 6, 8, false, true, cell_net},
    {"REQ/s", 5, 12, false, true, cell_requests},
    {"RAM", 5, 13, false, true, cell_memory},
    {"RES", 5, 5, false, true, cell_resident},
    {"VMM", 5, 11, false, true, cell_overhead},
    {"UP", 6, 14, false, true, cell_uptime},
};

/* The columns up to some rank that fit, each with a blank. */
static unsigned ranks_that_fit(unsigned width)
{
    unsigned rank, used = 0;

    for (rank = 0; rank < ARRAY_SIZE(columns); rank++) {
        for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
            if (columns[i].rank == rank)
                used += columns[i].width + 1;
        if (used > width + 1)
            break;
    }
    return rank;
}

/* One cell, cut to its width; returns how far the line is. */
static unsigned cell_put(char *line, unsigned at, unsigned width,
                         const struct column *c, const char *text)
{
    char out[CELL_MAX + 1];
    unsigned n;

    n = (unsigned)snprintf(out, sizeof(out), c->left ? "%-*.*s" : "%*.*s",
                           (int)c->width, (int)c->width, text);
    n = MIN(n, width - at);
    memcpy(line + at, out, n);
    at += n;
    return at < width ? at + 1 : at; /* a blank is there */
}

static unsigned line_clear(char *line, unsigned width)
{
    width = MIN(width, LINE_WIDTH_MAX);
    memset(line, ' ', width);
    line[width] = '\0';
    return width;
}

void top_head(char *line, unsigned width)
{
    unsigned ranks = ranks_that_fit(width), at = 0;
    const char *last = "EXITS BY REASON, a second";

    width = line_clear(line, width);
    for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
        if (columns[i].rank < ranks || !i)
            at = cell_put(line, at, width, &columns[i], columns[i].title);
    if (width - at > strlen(last))
        memcpy(line + at, last, strlen(last));
}

void top_line(const struct top_item *it, char *line, unsigned width)
{
    unsigned ranks = ranks_that_fit(width), at = 0;
    struct top_rate r = top_rate_of(it);
    char text[LINE_WIDTH_MAX];

    width = line_clear(line, width);
    for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
        if (columns[i].rank >= ranks && i)
            continue;
        strcpy(text, "-");
        if (it->samples || !columns[i].needs)
            columns[i].cell(it, &r, text);
        at = cell_put(line, at, width, &columns[i], text);
    }
    if (it->note[0])
        snprintf(text, sizeof(text), "%s", it->note);
    else
        reasons(it, &r, text, width - at + 1);
    memcpy(line + at, text, MIN(strlen(text), width - at));
}

/* --- one of them --- */

static void details_rates(const struct top_item *it, FILE *f)
{
    const struct top_sample *s = &it->now;
    struct top_rate r = top_rate_of(it);
    char a[CELL_MAX], b[CELL_MAX], c[CELL_MAX];

    fprintf(f, "cpu      guest %.1f%%, stubs %.1f%%, monitor %.1f%%\n",
            100 * r.vcpus, 100 * r.stubs, 100 * r.monitor);
    human_bytes(a, (double)s->memory);
    human_bytes(b, (double)s->resident);
    human_bytes(c, (double)s->monitor);
    fprintf(f, "memory   guest %s, of it resident %s; monitor %s", a, b, c);
    human_bytes(a, (double)s->stubs);
    fprintf(f, ", stubs %s\n", a);
    human_bytes(a, (double)s->disk_read);
    human_bytes(b, (double)s->disk_written);
    human_bytes(c, r.disk_bytes);
    fprintf(f, "disk     read %s, written %s; %s/s, %.0f requests/s\n", a, b, c,
            r.disk_requests);
    human_bytes(a, (double)s->net_received);
    human_bytes(b, (double)s->net_sent);
    human_bytes(c, r.net_bytes);
    fprintf(f, "net      received %s, sent %s; %s/s, %.0f frames/s\n", a, b, c,
            r.net_frames);
    human(a, r.insns);
    fprintf(f, "retired  %llu instructions, %s/s\n",
            (unsigned long long)s->insns, a);
}

static void details_counts(const struct top_item *it, FILE *f)
{
    const struct top_sample *s = &it->now;
    double insns = s->insns ? (double)s->insns : 1;
    bool alive = top_rate_of(it).seconds > 0;

    fprintf(f, "  %-28s %14s %12s %12s\n", "", "count", "a second",
            "per 10^6 ins");
    for (unsigned i = 0; i < s->counts; i++) {
        if (!i || strcmp(s->count[i].group, s->count[i - 1].group))
            fprintf(f, "%s\n", s->count[i].group);
        fprintf(f, "  %-28s %14llu %12.1f %12.3f\n", s->count[i].name,
                (unsigned long long)s->count[i].n, alive ? s->count[i].rate : 0,
                (double)s->count[i].n / insns * 1e6);
    }
}

char *top_details(const struct top_item *it)
{
    char *text = NULL, up[CELL_MAX];
    size_t len;
    FILE *f = open_memstream(&text, &len);

    if (!f)
        return NULL;
    span(up, it->now.uptime_ms);
    fprintf(f, "%s: %s, engine %s, %llu vCPUs, process %u, up %s\n", it->name,
            top_state_name(it), it->engine, (unsigned long long)it->now.cpus,
            it->pid, up);
    if (it->note[0])
        fprintf(f, "%s\n", it->note);
    if (it->samples) {
        details_rates(it, f);
        details_counts(it, f);
    }
    fclose(f);
    return text;
}
