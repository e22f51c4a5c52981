/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp_int.h - a profile on its way to a filter: first what each call gets
 * (seccomp_rules.c), then ranges of numbers (seccomp.c).
 */
#pragma once

#include "base/arena.h"
#include "fence/filter.h"
#include "fence/numbers.h"
#include "fence/seccomp.h"

/* A rule's arguments, as one architecture sees them. */
struct clause {
    struct filter_clause filter; /* of `test` */
    struct filter_test test[SECCOMP_ARGS];
    unsigned number, rule;
};

struct clause_ref {
    const struct clause *clause;
    struct clause_ref *next;
};

/* What becomes of one number; all zero: no rule has it. */
struct call {
    uint32_t action;
    bool fixed; /* the action, whatever the arguments are */
    struct clause_ref *first;
};

struct compiler {
    const struct seccomp_profile *p;
    struct error *err;
    struct arena arena;
    uint32_t otherwise;
    unsigned clauses;
    bool has[CALL_ABIS];
    int youngest[CALL_ABIS]; /* number that the profile names, or 0 */
    struct call call[CALL_ABIS][CALL_NUMBERS];
};

/* SECCOMP_RET_*, with its data. */
uint32_t seccomp_action_word(enum seccomp_action a, int errno_ret);
/* Fills `has`, `youngest` and `call`. */
int seccomp_rules(struct compiler *c) must_check;
