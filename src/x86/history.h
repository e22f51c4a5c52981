/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history.h - what a vCPU did last, for the crash screen: the rings are always
 * on, and are no part of the architectural state.
 */
#pragma once

#include "base/util.h"

#define HISTORY_BRANCHES   32 /* powers of two */
#define HISTORY_EXCEPTIONS 8

struct branch_record {
    uint64_t from, to; /* RIPs; from: of the branch instruction */
};

/* An exception that was delivered, or came up while one was. */
struct exc_record {
    uint64_t insns; /* vcpu_insns() at that time */
    uint64_t rip, cr2;
    uint32_t error;
    uint8_t vector;
    bool has_error;
};

/*
 * The counts say where the next goes, and wrap. What is recorded: calls,
 * returns, indirect jumps, jumps to another page, interrupts and exceptions;
 * direct jumps within a page would push them all out.
 */
struct vcpu_history {
    struct branch_record branch[HISTORY_BRANCHES];
    struct exc_record exc[HISTORY_EXCEPTIONS];
    uint32_t branches, excs;
};

static inline void history_branch(struct vcpu_history *h, uint64_t from,
                                  uint64_t to)
{
    struct branch_record *b = &h->branch[h->branches++ % HISTORY_BRANCHES];

    b->from = from;
    b->to = to;
}
