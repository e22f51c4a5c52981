/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter.h - makes a seccomp filter out of a table: what becomes of each call.
 *
 * Numbers that share an answer form ranges, and a binary search finds the
 * range: a call costs about ten steps, however long the table is. Calls whose
 * arguments matter come first.
 */
#pragma once

#include <linux/filter.h>

#include "base/util.h"

#define FENCE_CALLS      512 /* numbers that a table has room for */
#define FENCE_FILTER_MAX 768 /* instructions */

/* The answer to a call. */
enum fence_answer {
    FENCE_TRAP, /* SIGSYS: the process says which call it was, and ends */
    FENCE_ALLOW,
    FENCE_ABSENT, /* ENOSYS: libc has another way */
    FENCE_REFUSE, /* EACCES: as if the file's owner did not want it */
};

/*
 * If the lower half of an argument is `value` under the mask, the answer is
 * this one; the first rule that fits counts, else the table. The rules of one
 * call stand together.
 */
struct fence_rule {
    uint16_t call;
    uint8_t arg, answer;
    uint32_t mask, value;
};

struct fence_filter {
    struct sock_filter insn[FENCE_FILTER_MAX];
    unsigned len;
};

/*
 * `answer` has one enum fence_answer for each number. Numbers beyond get
 * FENCE_ABSENT, calls of another architecture (i386, x32) FENCE_TRAP, but for
 * number `i386` of the first one's, unless that is 0.
 */
void fence_filter_make(struct fence_filter *f,
                       const uint8_t answer[FENCE_CALLS],
                       const struct fence_rule *rules, unsigned count,
                       unsigned i386);
