/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reach.c - follows a filter with the call's number and architecture known,
 * and nothing else: where an instruction looks at something else, both ways
 * are followed. All jumps go forward, so that ends; and a place that was
 * reached with an unknown value need not be looked at twice.
 */
#include "fence/reach.h"

#include <stddef.h>
#include <string.h>

#include "base/log.h"

enum { PASSES = 1, REFUSED = 2 };

struct walk {
    const struct sock_filter *insn;
    unsigned len;
    uint32_t arch, call;
    bool seen[BPF_MAXINSNS]; /* with an unknown value */
};

/* The accumulator. */
struct value {
    bool known;
    uint32_t v;
};

static struct value loaded(const struct walk *w, uint32_t at)
{
    if (at == offsetof(struct seccomp_data, nr))
        return (struct value){true, w->call};
    if (at == offsetof(struct seccomp_data, arch))
        return (struct value){true, w->arch};
    return (struct value){false, 0};
}

static unsigned outcome(uint32_t action)
{
    switch (action & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_ALLOW:
    case SECCOMP_RET_USER_NOTIF:
    case SECCOMP_RET_LOG:
        return PASSES;
    default:
        return REFUSED;
    }
}

static bool holds(const struct sock_filter *i, uint32_t v)
{
    switch (BPF_OP(i->code)) {
    case BPF_JGE:
        return v >= i->k;
    case BPF_JGT:
        return v > i->k;
    default:
        return v == i->k;
    }
}

static unsigned follow(struct walk *w, unsigned at, struct value a)
{
    for (;; at++) {
        const struct sock_filter *i = &w->insn[at];

        rf_assert(at < w->len);
        if (!a.known && w->seen[at])
            return 0;
        w->seen[at] = w->seen[at] || !a.known;
        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            a = loaded(w, i->k);
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            a.v &= i->k;
            break;
        case BPF_JMP | BPF_JA:
            at += i->k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
        case BPF_JMP | BPF_JGE | BPF_K:
        case BPF_JMP | BPF_JGT | BPF_K:
            if (!a.known)
                return follow(w, at + 1 + i->jt, a) |
                       follow(w, at + 1 + i->jf, a);
            at += holds(i, a.v) ? i->jt : i->jf;
            break;
        default:
            rf_assert(i->code == (BPF_RET | BPF_K));
            return outcome(i->k);
        }
    }
}

uint32_t fence_answer(const struct sock_filter *insn, unsigned len,
                      const struct seccomp_data *d)
{
    uint32_t a = 0;
    unsigned at;

    for (at = 0;; at++) {
        const struct sock_filter *i = &insn[at];

        rf_assert(at < len);
        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            rf_assert(i->k <= sizeof(*d) - sizeof(a));
            memcpy(&a, (const char *)d + i->k, sizeof(a));
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= i->k;
            break;
        case BPF_JMP | BPF_JA:
            at += i->k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
        case BPF_JMP | BPF_JGE | BPF_K:
        case BPF_JMP | BPF_JGT | BPF_K:
            at += holds(i, a) ? i->jt : i->jf;
            break;
        default:
            rf_assert(i->code == (BPF_RET | BPF_K));
            return i->k;
        }
    }
}

static enum fence_reach reach_one(const struct sock_filter *insn, unsigned len,
                                  uint32_t arch, uint32_t call)
{
    struct walk w = {.insn = insn, .len = len, .arch = arch, .call = call};
    unsigned ends;

    rf_assert(len <= BPF_MAXINSNS);
    ends = follow(&w, 0, (struct value){true, 0});
    return ends == PASSES  ? REACH_ALWAYS
           : ends & PASSES ? REACH_DEPENDS
                           : REACH_NEVER;
}

enum fence_reach fence_reach(const struct fence_stack *s, uint32_t arch,
                             uint32_t call)
{
    enum fence_reach least = REACH_ALWAYS;

    for (unsigned i = 0; i < s->filters && least != REACH_NEVER; i++) {
        enum fence_reach r =
            reach_one(s->filter[i].insn, s->filter[i].len, arch, call);

        least = MIN(least, r);
    }
    return least;
}
