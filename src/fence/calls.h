/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calls.h - which system calls are whose.
 */
#pragma once

#include "fence/filter.h"

#define FENCE_CALLS      512 /* numbers that a table has room for */
#define FENCE_RULES_MAX  48
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

struct fence_table {
    uint8_t answer[FENCE_CALLS];
    struct fence_rule rule[FENCE_RULES_MAX];
    unsigned rules;
    unsigned i386; /* the one call of i386 that is allowed, or 0 */
};

/* The process's: everything but what a monitor never needs. */
void fence_table_process(struct fence_table *t);
/* A thread's, for enum fence_needs: nothing but that. */
void fence_table_thread(struct fence_table *t, unsigned needs);

struct fence_filter {
    struct sock_filter insn[FENCE_FILTER_MAX];
    unsigned len;
};

/*
 * Numbers beyond the table get FENCE_ABSENT, calls of another architecture
 * (i386, x32) FENCE_TRAP, but for number `i386` of the first one's.
 */
void fence_table_filter(struct fence_filter *f, const struct fence_table *t);

/* NULL: no call that we know. */
const char *fence_call_name(unsigned nr);
