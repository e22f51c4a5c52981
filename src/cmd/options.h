/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.h - a command line, parsed by a table.
 *
 * --name=value, --name value, and what users of other monitors type: -name
 * and aliases. What is not known is answered with the nearest known name.
 */
#pragma once

#include "base/error.h"

struct option_spec {
    const char *name;    /* without dashes */
    const char *aliases; /* space-separated, or NULL; "m mem" */
    /* How help names the value; NULL: a flag; [NAME]: may be left out. */
    const char *value;
    const char *help; /* lines separated by \n; NULL: none of theirs */
    /* value: NULL if there is none. */
    int (*set)(void *ctx, const char *value, struct error *err);
    /*
     * Without set(): where in ctx the value itself goes, a const char *; or
     * for a flag a bool, which becomes true.
     */
    size_t field;
};

/*
 * Parses argv[0..argc) against specs, which end with a NULL name. What is not
 * an option is an error. Calls set(ctx, ...), or sets the field, in order.
 */
int options_parse(const struct option_spec *specs, int argc, char **argv,
                  void *ctx, struct error *err) must_check;
/*
 * The same, but what is not an option goes to words[], at most `max`; *count
 * of them. first: the first one ends the options, and it and all behind it
 * are words. "--" ends them, too.
 */
int options_parse_words(const struct option_spec *specs, int argc, char **argv,
                        void *ctx, bool first, char **words, int *count,
                        int max, struct error *err) must_check;
void options_print(const struct option_spec *specs);
/* Of the names that come from next(), the one closest to `word`, or NULL. */
const char *options_nearest(const char *word,
                            const char *(*next)(const void *ctx, unsigned i),
                            const void *ctx);
/* "512M", "1G"; without a suffix MiB. */
int options_size(const char *text, uint64_t *size);
