/* SPDX-License-Identifier: Apache-2.0 */
#include "inspect/stats_boot.h"

#include <stdlib.h>

#include "base/clock.h"
#include "inspect/trace_int.h"

struct row {
    const char *name, *what;
    uint64_t at;
    bool mark;
};

#define ROWS_MAX (BOOT_STEPS + BOOT_MARKS_MAX)

static const char *const names[BOOT_STEPS][2] = {
    [BOOT_STEP_MAIN] = {"main", "exec and the dynamic linker (CPU time)"},
    [BOOT_STEP_BUILT] = {"built", "memory, vCPUs, devices"},
    [BOOT_STEP_LOADED] = {"loaded", "kernel, initrd and tables in memory"},
    [BOOT_STEP_ENTERED] = {"entered", "up to the guest's first instruction"},
    [BOOT_STEP_KERNEL] = {"kernel", "the kernel unpacks itself"},
    [BOOT_STEP_CONSOLE] = {"console", "up to the first byte on the console"},
    [BOOT_STEP_USER] = {"user", "up to the first user code"},
    [BOOT_STEP_END] = {"end", "up to the machine's end"},
};

void boot_step(struct boot_times *t, enum boot_step step)
{
    uint64_t never = 0;

    if (t && !atomic_load_explicit(&t->at[step], memory_order_relaxed))
        atomic_compare_exchange_strong(&t->at[step], &never, clock_host_now());
}

void boot_mark(struct boot_times *t, const char *name, size_t len)
{
    size_t i;

    if (t->marks == BOOT_MARKS_MAX || !len)
        return;
    len = MIN(len, sizeof(t->mark[0].name) - 1);
    for (i = 0; i < len; i++)
        t->mark[t->marks].name[i] =
            (char)(name[i] >= ' ' && name[i] <= '~' ? name[i] : '.');
    t->mark[t->marks].name[len] = '\0';
    t->mark[t->marks++].at = clock_host_now();
}

static int row_compare(const void *va, const void *vb)
{
    const struct row *a = va, *b = vb;

    return a->at < b->at ? -1 : a->at > b->at;
}

/* What happened, in the order in which it did. */
static unsigned rows(const struct boot_times *t, struct row row[ROWS_MAX])
{
    unsigned n = 0;

    for (unsigned i = 0; i < BOOT_STEPS; i++) {
        uint64_t at = atomic_load(&t->at[i]);

        if (at)
            row[n++] = (struct row){names[i][0], names[i][1], at, false};
    }
    for (unsigned i = 0; i < t->marks; i++)
        row[n++] = (struct row){t->mark[i].name, "a mark of the guest's",
                                t->mark[i].at, true};
    qsort(row, n, sizeof(*row), row_compare);
    return n;
}

/* Where the time begins: at exec, as far as that is known. */
static uint64_t origin(const struct boot_times *t)
{
    return atomic_load(&t->at[BOOT_STEP_MAIN]) - t->exec_ns;
}

void boot_times_table(const struct boot_times *t, FILE *out)
{
    struct row row[ROWS_MAX];
    unsigned n = rows(t, row);
    uint64_t last = origin(t);
    double total = n ? (double)(row[n - 1].at - last) : 1;

    fprintf(out, "boot: %10s %10s %7s\n", "at, ms", "took, ms", "share");
    for (unsigned i = 0; i < n; i++) {
        fprintf(out, "  %14.3f %10.3f %6.2f%%  %-10s %s\n",
                (double)(row[i].at - origin(t)) / 1e6,
                (double)(row[i].at - last) / 1e6,
                100 * (double)(row[i].at - last) / total, row[i].name,
                row[i].what);
        last = row[i].at;
    }
}

void boot_times_json(const struct boot_times *t, FILE *out)
{
    struct row row[ROWS_MAX];
    unsigned n = rows(t, row);
    uint64_t last = origin(t);
    double total = n ? (double)(row[n - 1].at - last) : 1;
    char name[256];

    fprintf(out, "{\"version\":1,\"steps\":[");
    for (unsigned i = 0; i < n; i++) {
        trace_json_quote(name, sizeof(name), row[i].name);
        fprintf(out,
                "%s\n  {\"name\":\"%s\",\"mark\":%s,\"at_ns\":%llu,"
                "\"took_ns\":%llu,\"share\":%.6f}",
                i ? "," : "", name, row[i].mark ? "true" : "false",
                (unsigned long long)(row[i].at - origin(t)),
                (unsigned long long)(row[i].at - last),
                (double)(row[i].at - last) / total);
        last = row[i].at;
    }
    fputs("]}\n", out);
}
