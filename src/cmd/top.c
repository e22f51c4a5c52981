/* SPDX-License-Identifier: Apache-2.0 */
/*
 * top.c - `ringfence top`: what the running machines cost, and why.
 */
#include "cmd/top_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/options.h"

#define ROUND_NS    1000000000ull /* for who is slow */
#define WIDTH_ELSE  132u          /* where nobody knows how wide it is */
#define INTERVAL_NS 2000000000ull

struct top_args {
    bool once, json, prometheus, all, help, paced;
    const char *serve;
    uint64_t interval_ns;
    enum top_order sort;
};

static int top_interval(void *ctx, const char *v, struct error *err)
{
    struct top_args *a = ctx;
    char *end;
    double s = strtod(v, &end);

    if (end == v || *end || !(s >= 0.1 && s <= 3600))
        return error_set(err, EINVAL,
                         "--interval %s: give seconds, from 0.1 to 3600", v);
    a->interval_ns = (uint64_t)(s * 1e9);
    a->paced = true;
    return 0;
}

static int top_sort_by(void *ctx, const char *v, struct error *err)
{
    struct top_args *a = ctx;

    for (unsigned i = 0; i < TOP_ORDERS; i++)
        if (!strcmp(top_orders[i], v)) {
            a->sort = i;
            return 0;
        }
    return error_set(err, EINVAL,
                     "--sort %s: give cpu, exits, io, memory, uptime or name",
                     v);
}

static int top_text(void *ctx, const char *v, struct error *err)
{
    struct top_args *a = ctx;

    a->prometheus = true;
    if (!v)
        return 0;
    if (strncmp(v, "unix:", 5) || !v[5])
        return error_set(err, EINVAL, "--prometheus %s: give unix:PATH", v);
    a->serve = v + 5;
    return 0;
}

static const struct option_spec top_options[] = {
    {"interval", "d", "SECONDS", "between two looks (default 2)", top_interval},
    {"sort", "s", "BY", "cpu (the default), exits, io, memory, uptime, name",
     top_sort_by},
    {"all", "a", NULL, "other users' machines too, as far as they let", NULL,
     offsetof(struct top_args, all)},
    {"once", "1", NULL, "one table, and no more", NULL,
     offsetof(struct top_args, once)},
    {"json", NULL, NULL, "one object; with --interval one on each line", NULL,
     offsetof(struct top_args, json)},
    {"prometheus", NULL, "[unix:PATH]",
     "text for Prometheus, once; or over HTTP on that\n"
     "socket: GET /metrics",
     top_text},
    {"help", "h", NULL, "this text", NULL, offsetof(struct top_args, help)},
    {0},
};

void cmd_top_help(void)
{
    puts(
        "usage: ringfence top [OPTION]...\n\n"
        "Shows the running machines: CPU, exits, I/O, memory. On a terminal a\n"
        "live view, h shows its keys; else one table.\n");
    options_print(top_options);
    puts("\nExit status: 0, 1 if the host could not do it, 2 wrong usage.");
}

static unsigned table_width(void)
{
    struct winsize ws;

    if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) && ws.ws_col)
        return ws.ws_col;
    return WIDTH_ELSE;
}

static void print_table(const struct top *t)
{
    unsigned width = table_width();
    char line[1100];

    top_head(line, width);
    puts(line);
    for (unsigned i = 0; i < t->items; i++) {
        top_line(t->item[i], line, width);
        puts(line);
    }
    fflush(stdout);
}

static void nap_until(uint64_t end)
{
    uint64_t now = clock_host_now(), ns = now < end ? end - now : 0;
    struct timespec t = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};

    nanosleep(&t, NULL);
}

/* Rates need two looks. Where machines are silent the first took longer. */
static void look_twice(struct top *t, uint64_t interval_ns)
{
    uint64_t start = clock_host_now();

    top_round(t, ROUND_NS);
    nap_until(start + interval_ns);
    top_round(t, ROUND_NS);
}

static int json_lines(struct top *t, const struct top_args *a)
{
    for (;;) {
        uint64_t start = clock_host_now();

        top_round(t, ROUND_NS);
        top_sort(t, a->sort, false);
        top_json(t, stdout, false);
        if (ferror(stdout))
            return EXIT_OK; /* who read it has enough */
        nap_until(start + a->interval_ns);
    }
}

static int top_run(struct top *t, const struct top_args *a)
{
    if (a->serve)
        return top_serve(t, a->serve);
    if (a->prometheus) {
        top_round(t, ROUND_NS);
        top_sort(t, TOP_BY_NAME, false);
        top_prometheus(t, stdout);
        return EXIT_OK;
    }
    if (a->json && a->paced)
        return json_lines(t, a);
    if (!a->json && !a->once && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
        return top_screen(t, a->interval_ns, a->sort);
    look_twice(t, a->paced ? a->interval_ns : a->interval_ns / 4);
    top_sort(t, a->sort, false);
    if (a->json)
        top_json(t, stdout, true);
    else
        print_table(t);
    return EXIT_OK;
}

int cmd_top(int argc, char **argv)
{
    struct top_args a = {.interval_ns = INTERVAL_NS};
    struct top *t;
    struct error err;
    int status;

    if (options_parse(top_options, argc, argv, &a, &err))
        return command_error("top", &err, EXIT_USAGE);
    if (a.help) {
        cmd_top_help();
        return EXIT_OK;
    }
    if (a.json + a.once + a.prometheus > 1) {
        error_set(&err, EINVAL, "give one of --once, --json and --prometheus");
        return command_error("top", &err, EXIT_USAGE);
    }
    t = calloc(1, sizeof(*t));
    if (!t) {
        error_set(&err, ENOMEM, "out of memory");
        return command_error("top", &err, EXIT_HOST);
    }
    t->all = a.all;
    status = top_run(t, &a);
    top_free(t);
    free(t);
    return status;
}
