/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter.h - makes a seccomp filter: the monitor's own and containers'.
 *
 * Numbers that share an answer form ranges, and a binary search finds the
 * range: a call costs about ten steps, however many numbers there are, and
 * loading (checked, compiled, tried by the kernel for each call) is quick.
 */
#pragma once

#include <linux/filter.h>

#include "base/util.h"

enum filter_op {
    FILTER_EQ,
    FILTER_NE,
    FILTER_LT,
    FILTER_LE,
    FILTER_GE,
    FILTER_GT,
};

/*
 * An argument against a value, unsigned: all 64 bits, or the lower half of
 * both. The mask is for EQ and NE, all ones otherwise.
 */
struct filter_test {
    uint8_t arg, op;
    bool wide;
    uint64_t mask, value;
};

/* The action (SECCOMP_RET_*) if all tests hold. */
struct filter_clause {
    const struct filter_test *test;
    unsigned tests;
    uint32_t action;
};

/* The first clause that holds counts. */
struct filter_list {
    const struct filter_clause *const *clause;
    unsigned clauses;
    uint32_t otherwise;
    unsigned at; /* the generator's own */
};

/*
 * From `start` to the next range's, or for ever. Ranges may share a list,
 * whose code is there once.
 */
struct filter_range {
    uint32_t start, action;
    struct filter_list *list; /* in place of the action, if not NULL */
};

#define FILTER_RANGES 2048

/* The first range starts at 0; there are at most FILTER_RANGES. */
struct filter_arch {
    uint32_t audit; /* AUDIT_ARCH_* */
    const struct filter_range *range;
    unsigned ranges;
};

/*
 * Fills `insn`, which has room for `max`; returns how many are used, or
 * -E2BIG. Calls of other architectures get `otherwise`.
 */
int filter_make(struct sock_filter *insn, unsigned max,
                const struct filter_arch *arch, unsigned arches,
                uint32_t otherwise) must_check;
