/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reach.h - what a seccomp filter lets through, found by following its
 * instructions: whatever arguments a call has, and wherever it is made.
 */
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "base/util.h"

enum fence_reach {
    REACH_NEVER,
    REACH_DEPENDS, /* on arguments, or on the place of the call */
    REACH_ALWAYS,
};

/* Some filters of one thread: a call has to pass them all. */
struct fence_stack {
    struct {
        const struct sock_filter *insn;
        unsigned len;
    } filter[4];
    unsigned filters;
};

/* What one filter of ours answers: SECCOMP_RET_*, with its data. */
uint32_t fence_answer(const struct sock_filter *insn, unsigned len,
                      const struct seccomp_data *d);

/*
 * arch: AUDIT_ARCH_*. Handing a call over to somebody who listens counts as
 * letting it through.
 */
enum fence_reach fence_reach(const struct fence_stack *s, uint32_t arch,
                             uint32_t call);
