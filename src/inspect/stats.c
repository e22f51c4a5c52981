/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats.c - collects what was counted, and makes rows of it.
 */
#include "inspect/stats_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "x86/exception.h"
#include "x86/exit.h"

int stats_parse(const char *text, struct stats_config *cfg, struct error *err)
{
    static const char *const formats[] = {
        [STATS_TABLE] = "table",
        [STATS_JSON] = "json",
        [STATS_BOOT] = "boot",
        [STATS_BOOT_JSON] = "boot-json",
    };
    size_t len = strcspn(text, ":");

    cfg->format = STATS_NONE;
    for (unsigned i = STATS_TABLE; i < ARRAY_SIZE(formats); i++)
        if (len == strlen(formats[i]) && !memcmp(text, formats[i], len))
            cfg->format = i;
    if (!cfg->format || (text[len] && !text[len + 1]))
        return error_set(err, EINVAL,
                         "give table, json, boot or boot-json, and :FILE if it "
                         "is not to go to stderr");
    cfg->file = text[len] ? text + len + 1 : NULL;
    cfg->timed = cfg->format == STATS_TABLE || cfg->format == STATS_JSON;
    return 0;
}

static int boot_begin(struct stats *s, struct error *err)
{
    if (s->cfg->format != STATS_BOOT && s->cfg->format != STATS_BOOT_JSON)
        return 0;
    s->boot = calloc(1, sizeof(*s->boot));
    if (!s->boot)
        return error_set(err, ENOMEM, "out of memory");
    s->boot->exec_ns = s->cfg->exec_ns;
    atomic_store(&s->boot->at[BOOT_STEP_MAIN],
                 s->cfg->main_ns ? s->cfg->main_ns : clock_host_now());
    return 0;
}

struct boot_times *stats_boot(struct stats *s)
{
    return s ? s->boot : NULL;
}

int stats_open(struct stats **out, const struct stats_config *cfg,
               struct error *err)
{
    struct stats *s = calloc(1, sizeof(*s));
    int e;

    if (!s)
        return error_set(err, ENOMEM, "out of memory");
    s->cfg = cfg;
    if (boot_begin(s, err)) {
        free(s);
        return -err->code;
    }
    s->out = cfg->file ? fopen(cfg->file, "we") : stderr;
    e = errno;
    if (!s->out) {
        free(s->boot);
        free(s);
        return error_set(err, e, "statistics: cannot write %s: %s", cfg->file,
                         strerror(e));
    }
    s->ns0 = clock_host_now();
    s->ticks0 = __builtin_ia32_rdtsc();
    *out = s;
    return 0;
}

void stats_attach(struct stats *s, struct vcpu *cpu)
{
    cpu->stats.timed = s->cfg->timed;
    cpu->mem->io_timed = s->cfg->timed;
}

/* --- collecting --- */

static void collect_device(struct stats *s, enum io_kind kind,
                           const struct io_region *r)
{
    struct stats_device *d = &s->device[s->devices];

    if (!r->hits)
        return;
    s->devices++;
    *d = (struct stats_device){.kind = kind,
                               .base = r->base,
                               .len = r->len,
                               .count = r->hits,
                               .ns = stats_ns(s, r->ticks)};
    snprintf(d->name, sizeof(d->name), "%s", r->name);
}

static int device_compare(const void *va, const void *vb)
{
    const struct stats_device *a = va, *b = vb;

    if (a->ns != b->ns)
        return a->ns < b->ns ? 1 : -1;
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return a->base < b->base ? -1 : a->base > b->base;
}

static void collect_devices(struct stats *s, const struct guest_mem *mem)
{
    s->device = calloc(mem->io[IO_MMIO].count + mem->io[IO_PORT].count + 1,
                       sizeof(*s->device));
    if (!s->device)
        return;
    for (unsigned k = 0; k < ARRAY_SIZE(mem->io); k++)
        for (unsigned i = 0; i < mem->io[k].count; i++)
            collect_device(s, k, mem->io[k].regions[i]);
    qsort(s->device, s->devices, sizeof(*s->device), device_compare);
}

void stats_collect(struct stats *s, struct vcpu *const *cpus, unsigned count)
{
    s->ns = MAX(clock_host_now() - s->ns0, 1);
    s->ticks = MAX(__builtin_ia32_rdtsc() - s->ticks0, 1);
    s->cpus = count;
    for (unsigned i = 0; i < count; i++) {
        s->cpu[i].insns = vcpu_insns(cpus[i]);
        s->cpu[i].stats = cpus[i]->stats;
    }
    collect_devices(s, cpus[0]->mem);
    s->collected = true;
}

/* --- rows --- */

uint64_t stats_ns(const struct stats *s, uint64_t ticks)
{
    return (uint64_t)((unsigned __int128)ticks * s->ns / s->ticks);
}

const char *stats_group_name(enum stats_group group)
{
    static const char *const names[GROUP_COUNT] = {
        [GROUP_EXIT] = "exit",           [GROUP_ENGINE] = "engine",
        [GROUP_EVENT] = "event",         [GROUP_INTERRUPT] = "interrupt",
        [GROUP_EXCEPTION] = "exception", [GROUP_MEMORY] = "memory",
        [GROUP_CODE] = "code",           [GROUP_ACCESS] = "access",
    };

    return names[group];
}

static enum stats_group counter_group(enum vcpu_counter c)
{
    if (c <= CTR_EXCEPTION)
        return GROUP_EVENT;
    if (c <= CTR_APIC)
        return GROUP_ACCESS;
    return c <= CTR_TLB_FLUSH ? GROUP_MEMORY : GROUP_CODE;
}

uint64_t stats_insns(const struct stats *s, unsigned cpu)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < s->cpus; i++)
        if (i == cpu || cpu == s->cpus)
            n += s->cpu[i].insns;
    return n;
}

static void meter_add(struct meter *to, const struct meter *m, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        to[i].count += m[i].count;
        to[i].ticks += m[i].ticks;
    }
}

static void stats_add(struct vcpu_stats *to, const struct vcpu_stats *a)
{
    for (unsigned i = 0; i < CTR_COUNT; i++) {
        to->count[i] += a->count[i];
        to->ticks[i] += a->ticks[i];
    }
    meter_add(to->exit, a->exit, EXIT_COUNT);
    meter_add(to->interrupt, a->interrupt, 256);
    meter_add(to->exception, a->exception, 32);
    for (unsigned i = 0; i < ENGINE_EXITS; i++)
        to->left[i] += a->left[i];
}

/* Where rows go. */
struct rows {
    const struct stats *s;
    struct stats_row *row;
    unsigned n;
};

static void row_add(struct rows *r, enum stats_group group, const char *name,
                    uint64_t count, uint64_t ticks)
{
    struct stats_row *row = &r->row[r->n];

    if (!count)
        return;
    r->n++;
    row->group = group;
    row->count = count;
    row->ns = stats_ns(r->s, ticks);
    snprintf(row->name, sizeof(row->name), "%s", name);
}

static void rows_fill(struct rows *r, const struct vcpu_stats *v)
{
    char name[16];
    const char *exc;

    for (unsigned i = 0; i < EXIT_COUNT; i++)
        row_add(r, GROUP_EXIT, exit_name(i), v->exit[i].count,
                v->exit[i].ticks);
    for (unsigned i = 0; i < ENGINE_EXITS; i++)
        row_add(r, GROUP_ENGINE, engine_exit_name(i), v->left[i], 0);
    for (unsigned i = 0; i < CTR_COUNT; i++)
        row_add(r, counter_group(i), vcpu_counter_name(i), v->count[i],
                v->ticks[i]);
    for (unsigned i = 0; i < 256; i++) {
        snprintf(name, sizeof(name), "0x%02x", i);
        row_add(r, GROUP_INTERRUPT, name, v->interrupt[i].count,
                v->interrupt[i].ticks);
    }
    for (unsigned i = 0; i < 32; i++) {
        snprintf(name, sizeof(name), "#%u", i);
        exc = exc_name(i);
        row_add(r, GROUP_EXCEPTION, strcmp(exc, "#?") ? exc : name,
                v->exception[i].count, v->exception[i].ticks);
    }
}

static int row_compare(const void *va, const void *vb)
{
    const struct stats_row *a = va, *b = vb;

    if (a->group != b->group)
        return a->group < b->group ? -1 : 1;
    if (a->ns != b->ns)
        return a->ns < b->ns ? 1 : -1;
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return strcmp(a->name, b->name);
}

unsigned stats_rows(const struct stats *s, unsigned cpu,
                    struct stats_row row[STATS_ROWS])
{
    struct rows r = {s, row, 0};
    struct vcpu_stats sum = {0};

    for (unsigned i = 0; i < s->cpus; i++)
        if (i == cpu || cpu == s->cpus)
            stats_add(&sum, &s->cpu[i].stats);
    rows_fill(&r, &sum);
    qsort(row, r.n, sizeof(*row), row_compare);
    return r.n;
}

char *stats_now(const struct stats *s, struct vcpu *const *cpus, unsigned count)
{
    struct stats *now = malloc(sizeof(*now));
    char *text = NULL;
    size_t len = 0;
    FILE *f = now ? open_memstream(&text, &len) : NULL;

    if (f) {
        *now = *s;
        now->device = NULL;
        now->devices = 0;
        stats_collect(now, cpus, count);
        stats_json(now, f);
        fclose(f);
        free(now->device);
    }
    free(now);
    return text;
}

/* By count alone: ticks are of no interest. */
uint64_t stats_peek(struct vcpu *const *cpus, unsigned count,
                    void (*row)(void *ctx, const char *group, const char *name,
                                uint64_t count),
                    void *ctx)
{
    struct stats *s = calloc(1, sizeof(*s));
    struct stats_row *rows = calloc(STATS_ROWS, sizeof(*rows));
    uint64_t insns = 0;

    if (s && rows) {
        s->ticks = 1;
        s->cpus = count;
        for (unsigned i = 0; i < count; i++) {
            s->cpu[i].insns = vcpu_insns(cpus[i]);
            s->cpu[i].stats = cpus[i]->stats;
        }
        insns = stats_insns(s, count);
        for (unsigned i = 0, n = stats_rows(s, count, rows); i < n; i++)
            row(ctx, stats_group_name(rows[i].group), rows[i].name,
                rows[i].count);
    }
    free(rows);
    free(s);
    return insns;
}

/* --- the end --- */

void stats_close(struct stats *s)
{
    bool failed;

    if (!s)
        return;
    if (s->collected && s->cfg->format == STATS_JSON)
        stats_json(s, s->out);
    else if (s->collected && s->cfg->format == STATS_TABLE)
        stats_table(s, s->out);
    else if (s->collected && s->cfg->format == STATS_BOOT)
        boot_times_table(s->boot, s->out);
    else if (s->collected && s->cfg->format == STATS_BOOT_JSON)
        boot_times_json(s->boot, s->out);
    failed = fflush(s->out) || ferror(s->out);
    if (s->out != stderr)
        failed |= fclose(s->out) != 0;
    if (failed)
        log_warn("statistics: cannot write %s: %s",
                 s->cfg->file ? s->cfg->file : "stderr", strerror(errno));
    free(s->device);
    free(s->boot);
    free(s);
}
