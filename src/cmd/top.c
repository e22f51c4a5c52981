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
    unsigned sort;
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

    for (a->sort = 0; top_orders[a->sort]; a->sort++)
        if (!strcmp(top_orders[a->sort], v))
            return 0;
    return error_set(err, EINVAL,
                     "--sort %s: give cpu, exits, io, memory, uptime or name",
                     v);
}

static int top_listen(void *ctx, const char *v, struct error *err)
{
    struct top_args *a = ctx;

    if (strncmp(v, "unix:", 5) || !v[5])
        return error_set(err, EINVAL, "--prometheus %s: give unix:PATH", v);
    a->prometheus = true;
    a->serve = v + 5;
    return 0;
}

static int top_help_option(void *ctx, const char *v, struct error *err)
{
    (void)v;
    (void)err;
    ((struct top_args *)ctx)->help = true;
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
    {"prometheus", NULL, NULL,
     "text for Prometheus, once; with unix:PATH behind it,\n"
     "over HTTP on that socket: GET /metrics",
     NULL, offsetof(struct top_args, prometheus)},
    {"prometheus-at", NULL, "unix:PATH", NULL, top_listen},
    {"help", "h", NULL, "this text", top_help_option},
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

static void nap(uint64_t ns)
{
    struct timespec t = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};

    nanosleep(&t, NULL);
}

/* Rates need two looks. Where machines are silent the first took longer. */
static void look_twice(struct top *t, uint64_t interval_ns)
{
    uint64_t start = top_now(), took;

    top_round(t, ROUND_NS);
    took = top_now() - start;
    nap(took < interval_ns ? interval_ns - took : 0);
    top_round(t, ROUND_NS);
}

static int json_lines(struct top *t, const struct top_args *a)
{
    for (;;) {
        uint64_t start = top_now(), took;

        top_round(t, ROUND_NS);
        top_sort(t, a->sort, false);
        top_json(t, stdout, false);
        if (ferror(stdout))
            return EXIT_OK; /* who read it has enough */
        took = top_now() - start;
        nap(took < a->interval_ns ? a->interval_ns - took : 0);
    }
}

static int top_run(struct top *t, const struct top_args *a)
{
    if (a->serve)
        return top_serve(t, a->serve);
    if (a->prometheus) {
        top_round(t, ROUND_NS);
        top_sort(t, 5, false);
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

/* `--prometheus unix:PATH', also with an equals sign: an option of its own. */
static void split_prometheus(int argc, char **argv, char *joined, size_t len)
{
    for (int i = 0; i < argc; i++) {
        bool apart = !strcmp(argv[i], "--prometheus") && i + 1 < argc &&
                     argv[i + 1][0] != '-';
        const char *path = apart ? argv[i + 1]
                           : !strncmp(argv[i], "--prometheus=", 13)
                               ? argv[i] + 13
                               : NULL;

        if (!path)
            continue;
        snprintf(joined, len, "--prometheus-at=%s", path);
        argv[i] = joined;
        if (apart)
            argv[i + 1] = joined; /* the same again */
        return;
    }
}

int cmd_top(int argc, char **argv)
{
    struct top_args a = {.interval_ns = INTERVAL_NS};
    struct top *t;
    char joined[256]; /* a socket's path is shorter */
    struct error err;
    int status;

    split_prometheus(argc, argv, joined, sizeof(joined));
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
