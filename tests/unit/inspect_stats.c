/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inspect_stats.c - the option, the order of rows, sums, and names in JSON.
 */
#include "inspect/stats_int.h"

#include <errno.h>
#include <stdlib.h>

#include "test.h"

static void formats_and_files(void)
{
    static const struct {
        const char *text;
        enum stats_format format;
        const char *file;
    } good[] = {{"table", STATS_TABLE, NULL},
                {"json", STATS_JSON, NULL},
                {"json:/tmp/x", STATS_JSON, "/tmp/x"},
                {"table:a:b", STATS_TABLE, "a:b"}};

    for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
        struct stats_config cfg = {0};
        struct error err;

        CHECK(!stats_parse(good[i].text, &cfg, &err));
        CHECK_EQ(cfg.format, good[i].format);
        CHECK(cfg.timed);
        CHECK(!cfg.file == !good[i].file);
        CHECK(!cfg.file || !strcmp(cfg.file, good[i].file));
    }
}

static void formats_that_are_none_are_refused(void)
{
    static const char *const bad[] = {"",      ":",     ":file",  "tabl",
                                      "JSON",  "json:", "table:", "jsonl",
                                      "xml:f", "help"};

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        struct stats_config cfg = {0};
        struct error err;

        CHECK(stats_parse(bad[i], &cfg, &err) == -EINVAL);
    }
}

/* Two vCPUs; a tick is 2 ns. */
static struct stats *sample(const struct stats_config *cfg)
{
    struct stats *s = calloc(1, sizeof(*s));

    if (!s)
        abort();
    s->cfg = cfg;
    s->ns = 2000000;
    s->ticks = 1000000;
    s->cpus = 2;
    s->cpu[0].insns = 1000;
    s->cpu[1].insns = 234;
    s->cpu[0].stats.exit[EXIT_CPUID] = (struct meter){5, 10};
    s->cpu[1].stats.exit[EXIT_CPUID] = (struct meter){1, 30};
    s->cpu[0].stats.exit[EXIT_WRMSR] = (struct meter){2, 100};
    s->cpu[1].stats.interrupt[0xec] = (struct meter){7, 70};
    s->cpu[0].stats.exception[14] = (struct meter){9, 90};
    s->cpu[0].stats.exception[15] = (struct meter){1, 1};
    s->cpu[0].stats.count[CTR_TLB_FLUSH] = 3;
    s->cpu[0].stats.left[ENGINE_KICKED] = 4;
    return s;
}

static const struct stats_config timed = {STATS_JSON, true, NULL};

static bool row_is(const struct stats_row *r, enum stats_group g,
                   const char *name, uint64_t count, uint64_t ns)
{
    return r->group == g && !strcmp(r->name, name) && r->count == count &&
           r->ns == ns;
}

static void rows_are_summed_and_sorted(void)
{
    struct stats_row *row = calloc(STATS_ROWS, sizeof(*row));
    struct stats *s = sample(&timed);

    CHECK_EQ(stats_rows(s, s->cpus, row), 7);
    CHECK(row_is(&row[0], GROUP_EXIT, "wrmsr", 2, 200));
    CHECK(row_is(&row[1], GROUP_EXIT, "cpuid", 6, 80));
    CHECK(row_is(&row[2], GROUP_ENGINE, "kicked", 4, 0));
    CHECK(row_is(&row[3], GROUP_INTERRUPT, "0xec", 7, 140));
    CHECK(row_is(&row[4], GROUP_EXCEPTION, "#PF", 9, 180));
    CHECK(row_is(&row[5], GROUP_EXCEPTION, "#15", 1, 2));
    CHECK(row_is(&row[6], GROUP_MEMORY, "tlb-flushes", 3, 0));
    CHECK_EQ(stats_insns(s, s->cpus), 1234);
    free(row);
    free(s);
}

static void a_vcpus_rows_are_its_own(void)
{
    struct stats_row *row = calloc(STATS_ROWS, sizeof(*row));
    struct stats *s = sample(&timed);

    CHECK_EQ(stats_rows(s, 1, row), 2);
    CHECK(row_is(&row[0], GROUP_EXIT, "cpuid", 1, 60));
    CHECK_EQ(stats_insns(s, 1), 234);
    free(row);
    free(s);
}

static void a_long_run_does_not_overflow(void)
{
    struct stats *s = sample(&timed);

    s->ns = 365ull * 86400 * 1000000000; /* a year at 5 GHz */
    s->ticks = s->ns * 5;
    CHECK_EQ(stats_ns(s, s->ticks), s->ns);
    free(s);
}

/* What has a row for every event there is fits. */
static void all_events_at_once(void)
{
    struct stats_row *row = calloc(STATS_ROWS, sizeof(*row));
    struct stats *s = sample(&timed);
    struct vcpu_stats *v = &s->cpu[0].stats;

    for (unsigned i = 0; i < EXIT_COUNT; i++)
        v->exit[i].count = 1;
    for (unsigned i = 0; i < 256; i++)
        v->interrupt[i].count = 1;
    for (unsigned i = 0; i < 32; i++)
        v->exception[i].count = 1;
    for (unsigned i = 0; i < CTR_COUNT; i++)
        v->count[i] = 1;
    for (unsigned i = 0; i < ENGINE_EXITS; i++)
        v->left[i] = 1;
    CHECK_EQ(stats_rows(s, 0, row), STATS_ROWS);
    for (unsigned i = 0; i < CTR_COUNT; i++)
        CHECK(vcpu_counter_name(i)[0]);
    free(row);
    free(s);
}

static void names_of_devices_are_quoted(void)
{
    struct stats_device dev = {.name = "a \"b\"\\\n",
                               .kind = IO_MMIO,
                               .base = 0x1000,
                               .len = 16,
                               .count = 1,
                               .ns = 5};
    struct stats *s = sample(&timed);
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    CHECK(f);
    s->device = &dev;
    s->devices = 1;
    stats_json(s, f);
    fclose(f);
    CHECK(strstr(text, "\"name\":\"a \\\"b\\\"\\\\\\u000a\",\"kind\":\"mmio\","
                       "\"base\":\"0x1000\",\"length\":16,\"count\":1,"
                       "\"ns\":5}"));
    CHECK(!strncmp(text, "{\"version\":1,", 13));
    free(text);
    free(s);
}

int main(void)
{
    RUN(formats_and_files);
    RUN(formats_that_are_none_are_refused);
    RUN(rows_are_summed_and_sorted);
    RUN(a_vcpus_rows_are_its_own);
    RUN(a_long_run_does_not_overflow);
    RUN(all_events_at_once);
    RUN(names_of_devices_are_quoted);
    return test_status();
}
