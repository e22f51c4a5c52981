/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace.c - `ringfence trace`, and the options of `boot` that are about it.
 */
#include "inspect/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/boot_int.h"

/* What is shown without --trace. */
#define TRACE_DEFAULT (TRACE_EXIT | TRACE_INTR | TRACE_EXC)

static void trace_list(void)
{
    for (unsigned i = 0; i < TRACE_CATS; i++)
        printf("%-12s%s\n", trace_cat_name(i), trace_cat_help(i));
    printf("%-12s%s\n", "all", "all of these");
}

int boot_trace(void *ctx, const char *v, struct error *err)
{
    struct boot_args *a = ctx;

    if (!strcmp(v, "help")) {
        trace_list();
        a->list = true;
        return 0;
    }
    if (trace_cats_parse(v, &a->cfg.trace.cats, err))
        return error_prefix(err, "--trace %s", v);
    return 0;
}

int boot_trace_range(void *ctx, const char *v, struct error *err)
{
    struct trace_config *t = &((struct boot_args *)ctx)->cfg.trace;

    if (t->ranges == TRACE_RANGES_MAX)
        return error_set(err, EINVAL, "--trace-range %s: at most %d ranges", v,
                         TRACE_RANGES_MAX);
    if (trace_range_check(v, err))
        return error_prefix(err, "--trace-range %s", v);
    t->range[t->ranges++] = v;
    return 0;
}

/* A count: decimal, 1 or more. */
static int boot_count(const char *name, const char *v, uint64_t *n,
                      struct error *err)
{
    char *end;

    errno = 0;
    *n = strtoull(v, &end, 10);
    if (*v < '0' || *v > '9' || *end || errno || !*n)
        return error_set(err, EINVAL, "--%s %s: give a number, 1 or more", name,
                         v);
    return 0;
}

int boot_trace_start(void *ctx, const char *v, struct error *err)
{
    return boot_count("trace-start", v,
                      &((struct boot_args *)ctx)->cfg.trace.start, err);
}

int boot_trace_limit(void *ctx, const char *v, struct error *err)
{
    return boot_count("trace-limit", v,
                      &((struct boot_args *)ctx)->cfg.trace.limit, err);
}

int boot_trace_file(void *ctx, const char *v, struct error *err)
{
    (void)err;
    ((struct boot_args *)ctx)->cfg.trace.file = v;
    return 0;
}

void cmd_trace_help(void)
{
    puts("usage: ringfence trace --kernel FILE [OPTION]...\n\n"
         "Boots a Linux kernel and shows what it does. This is `ringfence "
         "boot'\nwith --trace exit,intr,exc unless --trace says otherwise; "
         "all its\noptions are here too, see `ringfence help boot'.\n\n"
         "Categories:");
    trace_list();
    puts("\nExample:\n"
         "  ringfence trace --kernel vmlinuz --trace-file boot.json\n"
         "  and open boot.json in ui.perfetto.dev");
}

int cmd_trace(int argc, char **argv)
{
    return boot_run("trace", TRACE_DEFAULT, argc, argv);
}
