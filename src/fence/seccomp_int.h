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
    unsigned number, rule;
    struct filter_test test[];
};

struct clause_ref {
    const struct clause *clause;
    uint32_t next; /* as in struct call; none is CALL_DEFAULT */
};

/*
 * What becomes of one number. Small, and zero is its beginning: all that a
 * cold start touches has to be mapped first.
 */
struct call {
    uint32_t action; /* if `first` is CALL_FIXED */
    uint32_t first;  /* which of the compiler's refs, and one */
};

#define CALL_DEFAULT 0   /* no rule has it */
#define CALL_FIXED   ~0u /* the action, whatever the arguments are */

struct compiler {
    const struct seccomp_profile *p;
    struct error *err;
    struct arena arena;
    uint32_t otherwise;
    unsigned clauses;
    struct clause_ref *ref;
    uint32_t refs, refs_max;
    bool has[CALL_ABIS];
    int youngest[CALL_ABIS]; /* number that the profile names, or 0 */
    struct call call[CALL_ABIS][CALL_NUMBERS];
};

/* SECCOMP_RET_*, with its data. */
uint32_t seccomp_action_word(enum seccomp_action a, int errno_ret);
/* Fills `has`, `youngest` and `call`. */
int seccomp_rules(struct compiler *c) must_check;
