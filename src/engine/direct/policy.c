/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.c - which address spaces run natively.
 *
 * A stop of native code costs about as much as interpreting a thousand
 * instructions, so what counts is how far user code gets between two entries
 * of the kernel. A process begins interpreted; when it has computed for a
 * while, and gets far each time, it becomes native. When its stops come so
 * close together that interpreting would have been cheaper, it goes back, and
 * has to compute longer each time before it gets another chance.
 */
#include "engine/direct/direct_int.h"

#define WARM_INSNS  60000 /* interpreted, before anything is decided */
#define FAR_INSNS   1500  /* between entries: native pays */
#define STOPS       256   /* are looked at together */
#define SHORT_TICKS 1500  /* a stretch of native code that did not pay */
#define BACKOFF_MAX 8

static struct policy *policy_of(struct direct *d, gpa_t root)
{
    uint64_t n = root / PAGE_SIZE;
    struct policy *p = &d->policy[(n ^ n >> 6 ^ n >> 12) % POLICIES];

    if (p->root != root)
        *p = (struct policy){.root = root};
    return p;
}

void policy_entered(struct vcpu *cpu)
{
    struct direct *d = direct_of(cpu);

    d->now = policy_of(d, cpu->cr3 & ~0xfffull & ~BIT64(63));
    d->since = vcpu_insns(cpu);
}

static void begin(struct policy *p, bool native)
{
    p->native = native;
    p->insns = p->ticks = 0;
    p->entries = 0;
}

void policy_left(struct vcpu *cpu)
{
    struct direct *d = direct_of(cpu);
    struct policy *p = d->now;

    if (!p || p->native)
        return;
    p->insns += vcpu_insns(cpu) - d->since;
    p->entries++;
    if (p->insns < (uint64_t)WARM_INSNS << p->backoff)
        return;
    begin(p, p->insns / p->entries >= FAR_INSNS);
}

void policy_stopped(struct policy *p, uint64_t ticks)
{
    p->ticks += ticks;
    if (++p->entries < STOPS)
        return;
    if (p->ticks / p->entries >= SHORT_TICKS) {
        if (p->backoff && p->ticks / p->entries >= 16 * SHORT_TICKS)
            p->backoff--;
        begin(p, true);
        return;
    }
    begin(p, false);
    p->backoff = MIN(p->backoff + 1, BACKOFF_MAX);
}
