/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.c - the parser behind every sub-command's table of options.
 */
#include "cmd/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 32

/* Levenshtein's distance, for words that fit; a large number otherwise. */
static unsigned word_distance(const char *a, const char *b)
{
    unsigned row[WORD_MAX + 1], la = (unsigned)strlen(a);
    unsigned lb = (unsigned)strlen(b), i, j;

    if (la > WORD_MAX || lb > WORD_MAX)
        return WORD_MAX;
    for (j = 0; j <= lb; j++)
        row[j] = j;
    for (i = 1; i <= la; i++) {
        unsigned corner = row[0];

        row[0] = i;
        for (j = 1; j <= lb; j++) {
            unsigned swap = corner + (a[i - 1] != b[j - 1]);

            corner = row[j];
            row[j] = MIN(swap, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[lb];
}

const char *options_nearest(const char *word,
                            const char *(*next)(const void *ctx, unsigned i),
                            const void *ctx)
{
    unsigned i, best = (unsigned)strlen(word) / 3 + 2;
    const char *name, *found = NULL;

    for (i = 0; (name = next(ctx, i)); i++) {
        unsigned d = word_distance(word, name);

        if (d < best) {
            best = d;
            found = name;
        }
    }
    return found;
}

static const char *spec_name(const void *ctx, unsigned i)
{
    return ((const struct option_spec *)ctx)[i].name;
}

static bool word_in(const char *list, const char *word, size_t len)
{
    const char *p = list;

    while (p && *p) {
        size_t n = strcspn(p, " ");

        if (n == len && !memcmp(p, word, len))
            return true;
        p += n + strspn(p + n, " ");
    }
    return false;
}

static const struct option_spec *spec_find(const struct option_spec *s,
                                           const char *word, size_t len)
{
    for (; s->name; s++)
        if ((strlen(s->name) == len && !memcmp(s->name, word, len)) ||
            word_in(s->aliases, word, len))
            return s;
    return NULL;
}

static int option_unknown(const struct option_spec *specs, const char *arg,
                          size_t dashes, size_t len, struct error *err)
{
    char word[WORD_MAX + 1];
    const char *near;

    snprintf(word, sizeof(word), "%.*s", (int)len, arg + dashes);
    near = options_nearest(word, spec_name, specs);
    if (near)
        return error_set(err, EINVAL,
                         "unknown option %.*s; did you mean "
                         "--%s?",
                         (int)(dashes + len), arg, near);
    return error_set(err, EINVAL, "unknown option %.*s; see --help",
                     (int)(dashes + len), arg);
}

static int option_take(const struct option_spec *s, void *ctx,
                       const char *value, struct error *err)
{
    char *field = (char *)ctx + s->field;

    if (s->set)
        return s->set(ctx, value, err);
    if (s->value)
        *(const char **)field = value;
    else
        *(bool *)field = true;
    return 0;
}

/* [NAME], but not [ADDR:]PORT. */
static bool may_be_left_out(const char *value)
{
    return *value == '[' && !strchr(value, ']')[1];
}

/* Is the next word the option's value? If there is none, it should have been.
 */
static bool value_follows(const struct option_spec *s, int argc, char **argv)
{
    return s->value &&
           (!may_be_left_out(s->value) || (argc > 1 && argv[1][0] != '-'));
}

/* One option; returns how many words it took, or -errno. */
static int option_parse(const struct option_spec *specs, int argc, char **argv,
                        void *ctx, struct error *err)
{
    const char *arg = argv[0];
    size_t dashes = strspn(arg, "-"), len;
    const struct option_spec *s;
    const char *value = NULL;
    int used = 1;

    if (!dashes || !arg[dashes] || dashes > 2)
        return error_set(err, EINVAL,
                         "unexpected argument `%s'; options begin "
                         "with --, see --help",
                         arg);
    len = strcspn(arg + dashes, "=");
    s = spec_find(specs, arg + dashes, len);
    if (!s)
        return option_unknown(specs, arg, dashes, len, err);
    if (arg[dashes + len])
        value = arg + dashes + len + 1;
    if (!value && value_follows(s, argc, argv)) {
        if (argc < 2)
            return error_set(err, EINVAL, "--%s needs a value: --%s %s",
                             s->name, s->name, s->value);
        value = argv[1];
        used = 2;
    }
    if (!s->value && value)
        return error_set(err, EINVAL, "--%s takes no value; leave out `=%s'",
                         s->name, value);
    if (option_take(s, ctx, value, err))
        return -err->code;
    return used;
}

int options_parse(const struct option_spec *specs, int argc, char **argv,
                  void *ctx, struct error *err)
{
    while (argc > 0) {
        int used = option_parse(specs, argc, argv, ctx, err);

        if (used < 0)
            return used;
        argc -= used;
        argv += used;
    }
    return 0;
}

static bool is_word(const char *arg)
{
    return arg[0] != '-' || !arg[1];
}

int options_parse_words(const struct option_spec *specs, int argc, char **argv,
                        void *ctx, bool first, char **words, int *count,
                        int max, struct error *err)
{
    bool only_words = false;

    *count = 0;
    while (argc > 0) {
        int used = 1;

        if (!only_words && !strcmp(argv[0], "--")) {
            only_words = true;
        } else if (only_words || is_word(argv[0])) {
            if (*count == max)
                return error_set(err, EINVAL, "unexpected argument `%s'",
                                 argv[0]);
            words[(*count)++] = argv[0];
            only_words |= first;
        } else {
            used = option_parse(specs, argc, argv, ctx, err);
        }
        if (used < 0)
            return used;
        argc -= used;
        argv += used;
    }
    return 0;
}

void options_print(const struct option_spec *s)
{
    for (; s->name; s++) {
        const char *line = s->help;
        int col;

        if (!line)
            continue; /* not for people */
        col = printf("  --%s%s%s", s->name, s->value ? " " : "",
                     s->value ? s->value : "");

        while (line && *line) {
            size_t n = strcspn(line, "\n");

            if (col > 26) {
                putchar('\n');
                col = 0;
            }
            printf("%*s%.*s\n", 28 - col, "", (int)n, line);
            col = 0;
            line += n + (line[n] == '\n');
        }
    }
}

int options_size(const char *text, uint64_t *size)
{
    unsigned long long v;
    unsigned shift = 20;
    char *end;

    if (*text < '0' || *text > '9')
        return -EINVAL;
    errno = 0;
    v = strtoull(text, &end, 10);
    if (errno)
        return -ERANGE;
    switch (*end) {
    case 'k':
    case 'K':
        shift = 10;
        end++;
        break;
    case 'm':
    case 'M':
        shift = 20;
        end++;
        break;
    case 'g':
    case 'G':
        shift = 30;
        end++;
        break;
    case 't':
    case 'T':
        shift = 40;
        end++;
        break;
    default:
        break;
    }
    if (*end == 'i')
        end++;
    if (*end == 'B' || *end == 'b')
        end++;
    if (*end)
        return -EINVAL;
    if (v > UINT64_MAX >> shift)
        return -ERANGE;
    *size = (uint64_t)v << shift;
    return 0;
}
