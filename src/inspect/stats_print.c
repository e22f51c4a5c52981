/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats_print.c - the rows as a table for people, and as JSON.
 */
#include "inspect/stats_int.h"

#include <stdlib.h>
#include <string.h>

#include "inspect/trace_int.h"

typedef unsigned long long ull;

/* --- table --- */

/* "12.3 ms" */
static const char *time_text(char buf[16], double ns)
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    unsigned u = 0;

    while (ns >= 999.5 && u < 3) {
        ns /= 1000;
        u++;
    }
    snprintf(buf, 16, "%.*f %s", u && ns < 99.95 ? 1 : 0, ns, units[u]);
    return buf;
}

/* cpus: how many share the time. */
static void table_row(const struct stats *s, FILE *out, const char *name,
                      uint64_t count, uint64_t ns, double insns, unsigned cpus)
{
    char total[16], mean[16];
    double seconds = (double)s->ns / 1e9;

    fprintf(out, "  %-24s %14llu %12.1f %12.3f", name, (ull)count,
            (double)count / seconds, (double)count / insns * 1e6);
    if (ns)
        fprintf(out, " %10s %9s %6.2f%%", time_text(total, (double)ns),
                time_text(mean, (double)ns / (double)count),
                100.0 * (double)ns / (double)s->ns / cpus);
    fputc('\n', out);
}

static void table_head(const struct stats *s, FILE *out, const char *what,
                       uint64_t insns)
{
    double seconds = (double)s->ns / 1e9;

    fprintf(out, "%s: %.3f s, %llu instructions, %.1f million a second\n", what,
            seconds, (ull)insns, (double)insns / seconds / 1e6);
    fprintf(out, "  %-24s %14s %12s %12s", "", "count", "a second",
            "per 10^6 ins");
    if (s->cfg->timed)
        fprintf(out, " %10s %9s %7s", "time", "each", "share");
    fputc('\n', out);
}

static void table_of(const struct stats *s, FILE *out, unsigned cpu,
                     const char *what, struct stats_row *row)
{
    unsigned n = stats_rows(s, cpu, row), cpus = cpu == s->cpus ? s->cpus : 1;
    double insns = (double)MAX(stats_insns(s, cpu), 1);

    table_head(s, out, what, stats_insns(s, cpu));
    for (unsigned i = 0; i < n; i++) {
        if (!i || row[i].group != row[i - 1].group)
            fprintf(out, "%s\n", stats_group_name(row[i].group));
        table_row(s, out, row[i].name, row[i].count, row[i].ns, insns, cpus);
    }
}

static void table_devices(const struct stats *s, FILE *out)
{
    double insns = (double)MAX(stats_insns(s, s->cpus), 1);
    char name[32];

    if (s->devices)
        fprintf(out, "device\n");
    for (unsigned i = 0; i < s->devices; i++) {
        const struct stats_device *d = &s->device[i];

        snprintf(name, sizeof(name), "%.16s %s %llx", d->name,
                 d->kind == IO_PORT ? "port" : "at", (ull)d->base);
        table_row(s, out, name, d->count, d->ns, insns, s->cpus);
    }
}

void stats_table(const struct stats *s, FILE *out)
{
    struct stats_row *row = calloc(STATS_ROWS, sizeof(*row));
    char what[16];

    if (!row)
        return;
    table_of(s, out, s->cpus, s->cpus > 1 ? "all vCPUs" : "vCPU 0", row);
    table_devices(s, out);
    for (unsigned i = 0; i < s->cpus && s->cpus > 1; i++) {
        snprintf(what, sizeof(what), "vCPU %u", i);
        table_of(s, out, i, what, row);
    }
    free(row);
}

/* --- JSON --- */

/* Some events are only counted: they have no time, rather than none. */
static void json_meter(FILE *out, uint64_t count, uint64_t ns)
{
    fprintf(out, "{\"count\":%llu", (ull)count);
    if (ns)
        fprintf(out, ",\"ns\":%llu", (ull)ns);
    fputc('}', out);
}

/* Every group is there, if only as {}. */
static void json_of(const struct stats *s, FILE *out, unsigned cpu,
                    struct stats_row *row)
{
    unsigned n = stats_rows(s, cpu, row), i = 0;

    fprintf(out, "{\"instructions\":%llu", (ull)stats_insns(s, cpu));
    for (unsigned g = 0; g < GROUP_COUNT; g++) {
        fprintf(out, ",\n  \"%s\":{", stats_group_name(g));
        for (bool first = true; i < n && row[i].group == g; i++) {
            fprintf(out, "%s\"%s\":", first ? "" : ",", row[i].name);
            json_meter(out, row[i].count, row[i].ns);
            first = false;
        }
        fputc('}', out);
    }
    fputc('}', out);
}

static void json_devices(const struct stats *s, FILE *out)
{
    char name[256];

    for (unsigned i = 0; i < s->devices; i++) {
        const struct stats_device *d = &s->device[i];

        trace_json_quote(name, sizeof(name), d->name);
        fprintf(out,
                "%s\n  {\"name\":\"%s\",\"kind\":\"%s\",\"base\":\"0x%llx\","
                "\"length\":%llu,\"count\":%llu",
                i ? "," : "", name, d->kind == IO_PORT ? "port" : "mmio",
                (ull)d->base, (ull)d->len, (ull)d->count);
        if (s->cfg->timed)
            fprintf(out, ",\"ns\":%llu", (ull)d->ns);
        fputc('}', out);
    }
}

void stats_json(const struct stats *s, FILE *out)
{
    struct stats_row *row = calloc(STATS_ROWS, sizeof(*row));

    if (!row)
        return;
    fprintf(out, "{\"version\":%u,\"ns\":%llu,\"timed\":%s,\n\"all\":",
            STATS_VERSION, (ull)s->ns, s->cfg->timed ? "true" : "false");
    json_of(s, out, s->cpus, row);
    fputs(",\n\"vcpus\":[", out);
    for (unsigned i = 0; i < s->cpus; i++) {
        fputs(i ? ",\n" : "\n", out);
        json_of(s, out, i, row);
    }
    fputs("],\n\"devices\":[", out);
    json_devices(s, out);
    fputs("]}\n", out);
    free(row);
}
