/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calls.h - which system calls are whose.
 */
#pragma once

#include "fence/filter.h"

#define FENCE_RULES_MAX 48

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
/* NULL: no call that we know. */
const char *fence_call_name(unsigned nr);
