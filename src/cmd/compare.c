/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compare.c - `ringfence compare`: one deterministic run on two engines, CPU
 * models or builds, and the first instruction after which they differ.
 */
#include "cmd/cmd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/compare_int.h"
#include "cmd/options.h"

/* At most so far apart are the stops of the first run. */
#define INTERVAL_DEFAULT (1ull << 24)

void cmd_compare_help(void)
{
    puts("usage: ringfence compare SIDE SIDE [OPTION]...\n\n"
         "Runs the same machine on two engines, CPU models or builds, and "
         "stops at the\n"
         "first instruction after which registers, devices or memory are not "
         "the same.\n\n"
         "A side is an engine's name, or some of these with commas between:\n"
         "  engine=NAME    as boot --engine has it\n"
         "  exe=PATH       another build of ringfence\n"
         "  cpu=MODEL      as boot --cpu has it; takes the rest of the side\n\n"
         "Options are those of boot, and:\n"
         "  --limit N      stop after so many instructions; k, M and G are "
         "thousands\n"
         "  --interval N   compare for the first time after so many "
         "(default 16777216)\n\n"
         "Exit status:\n"
         "  0   no difference\n"
         "  1   the host could not run it\n"
         "  2   wrong usage\n"
         "  7   they differ\n\n"
         "Examples:\n"
         "  ringfence compare interp interp-plain --kernel vmlinuz --limit "
         "500M\n"
         "  ringfence compare exe=old/ringfence interp --kernel vmlinuz");
}

static int count_parse(const char *name, const char *v, uint64_t *n,
                       struct error *err)
{
    static const struct {
        char suffix;
        uint64_t factor;
    } units[] = {{'\0', 1}, {'k', 1000}, {'M', 1000000}, {'G', 1000000000}};
    char *end = NULL;

    errno = 0;
    *n = *v >= '0' && *v <= '9' ? strtoull(v, &end, 10) : 0;
    for (unsigned i = 0; *n && !errno && i < ARRAY_SIZE(units); i++)
        if (*end == units[i].suffix && (!*end || !end[1]) &&
            !__builtin_mul_overflow(*n, units[i].factor, n) && *n >> 62 == 0)
            return 0;
    return error_set(err, EINVAL,
                     "%s %s: not a number of instructions; give one like "
                     "1000000 or 500M",
                     name, v);
}

/* Takes our own options out of argv; the rest is boot's to judge. */
static int compare_options(struct compare *c, int argc, char **argv,
                           struct error *err)
{
    const struct {
        const char *name;
        uint64_t *value;
    } own[] = {{"--limit", &c->limit}, {"--interval", &c->interval}};

    c->options = argv;
    for (int i = 0; i < argc; i++) {
        size_t o = 0, n;

        for (; o < ARRAY_SIZE(own); o++) {
            n = strlen(own[o].name);
            if (!strncmp(argv[i], own[o].name, n) &&
                (!argv[i][n] || argv[i][n] == '='))
                break;
        }
        c->replay |= !strncmp(argv[i], "--replay", 8);
        c->help |= !strcmp(argv[i], "--help") || !strcmp(argv[i], "-h");
        if (o == ARRAY_SIZE(own)) {
            argv[c->option_count++] = argv[i];
            continue;
        }
        if (!argv[i][n] && i + 1 == argc)
            return error_set(err, EINVAL, "%s needs a value: %s N", own[o].name,
                             own[o].name);
        if (count_parse(own[o].name, argv[i][n] ? argv[i] + n + 1 : argv[i + 1],
                        own[o].value, err))
            return -err->code;
        i += !argv[i][n];
    }
    return 0;
}

static int compare_parse(struct compare *c, int argc, char **argv,
                         struct error *err)
{
    if (argc < 2 || argv[0][0] == '-' || argv[1][0] == '-')
        return error_set(err, EINVAL,
                         "give two sides first: ringfence compare SIDE SIDE "
                         "--kernel FILE; see --help");
    if (side_parse(&c->side[0], argv[0], err) ||
        side_parse(&c->side[1], argv[1], err))
        return -err->code;
    c->limit = UINT64_MAX >> 2;
    c->interval = INTERVAL_DEFAULT;
    c->quiet = !isatty(STDERR_FILENO);
    return compare_options(c, argc - 2, argv + 2, err);
}

static void print_sides(const struct compare *c)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct side *s = &c->side[i];

        printf("%c: %s, CPU %s%s%s\n", s->letter, s->hello.engine, s->hello.cpu,
               s->exe ? ", " : "", s->exe ? s->exe : "");
    }
}

static int report_differ(struct compare *c, const struct found *f,
                         struct error *err)
{
    struct differences l;
    int status = EXIT_DIFFER;

    print_sides(c);
    if (differences_find(c, f->single, &l, err))
        status = command_error("compare", err, EXIT_HOST);
    report_difference(c, f, &l);
    differences_free(&l);
    return status;
}

/* Both ended, or reached the limit, the same way: so should what is left. */
static int report_same(struct compare *c, enum outcome outcome,
                       struct error *err)
{
    const struct lockstep_point *p = &c->side[0].now.point;
    int status[2] = {0, 0};
    char how[64];

    print_sides(c);
    if (outcome == OUTCOME_SAME && sides_finish(c, status, err))
        return command_error("compare", err, EXIT_HOST);
    if (report_console(c))
        return EXIT_DIFFER;
    if (status[0] != status[1]) {
        printf("No difference in %llu instructions, but the exit statuses are "
               "%d and %d.\n",
               (unsigned long long)p->insns, WEXITSTATUS(status[0]),
               WEXITSTATUS(status[1]));
        return EXIT_DIFFER;
    }
    printf("No difference in %llu instructions.", (unsigned long long)p->insns);
    if (outcome == OUTCOME_SAME)
        printf(" Both ended: %s, status %d.", report_end(p, how, sizeof(how)),
               WEXITSTATUS(status[0]));
    putchar('\n');
    return EXIT_OK;
}

static int compare_run(struct compare *c)
{
    struct error err = {0};
    struct found f;
    int rc = compare_search(c, &f, &err);

    if (rc < 0)
        return command_error("compare", &err,
                             err.code == EINVAL ? EXIT_USAGE : EXIT_HOST);
    if (rc == OUTCOME_DIFFER)
        return report_differ(c, &f, &err);
    return report_same(c, (enum outcome)rc, &err);
}

int cmd_compare(int argc, char **argv)
{
    struct compare *c = calloc(1, sizeof(*c));
    struct error err = {0};
    int status;

    if (!c) {
        error_set(&err, ENOMEM, "out of memory");
        return command_error("compare", &err, EXIT_HOST);
    }
    side_init(&c->side[0], 'A');
    side_init(&c->side[1], 'B');
    if (compare_parse(c, argc, argv, &err))
        status = command_error("compare", &err, EXIT_USAGE);
    else if (c->help)
        status = (cmd_compare_help(), EXIT_OK);
    else
        status = compare_run(c);
    sides_stop(c);
    side_free(&c->side[0]);
    side_free(&c->side[1]);
    free(c);
    return status;
}
