/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user.h - users and groups by the names that a container's own files give
 * them. Those files are hostile: read as text, a bounded number of lines.
 */
#pragma once

#include <stdio.h>

#include "base/error.h"
#include "oci/spec.h"

/*
 * "USER", "USER:GROUP", names or numbers, into user->uid and gid. root: the
 * container's root, O_PATH. A group that is not given is the user's own, by
 * its passwd, else 0.
 */
int user_find(int root, const char *text, struct spec_user *user,
              struct error *err) must_check;

/* His home by passwd, in the arena; NULL: it has none for him. */
const char *user_home(struct arena *a, int root, uint32_t uid);

/* A line of passwd or group, as far as we want it. */
struct user_line {
    uint32_t third, fourth; /* the ids; fourth is 0 if it is none */
    char *sixth;            /* into text; NULL: it has fewer fields */
    char text[2048];        /* changed: its fields end with a NUL each */
};

/*
 * In such a file: the first line whose first field is `name`, or whose third
 * is `id` if that is NULL.
 */
bool user_line_find(FILE *f, const char *name, uint32_t id,
                    struct user_line *l);
