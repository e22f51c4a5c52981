/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.c - which address spaces run natively.
 *
 * A stop of native code costs about as much as interpreting a thousand
 * instructions, and every page that is touched for the first time is a stop.
 * A process begins interpreted; when it has computed for a while, and gets far
 * between two entries of the kernel, it becomes native. From then on what it
 * costs is compared with what interpreting would have cost: if that is less,
 * it goes back, and has to compute longer each time before it gets another
 * chance.
 */
#include "engine/direct/direct_int.h"

#define WARM_INSNS  300000 /* interpreted, before anything is decided */
#define COLD_INSNS  100000 /* the same, after all mappings were dropped */
#define FAR_INSNS   1500   /* between entries: native pays */
#define STOPS       128    /* are looked at together */
#define SLOWER      25     /* interpreted code, than native: about */
#define CALL_TICKS  5000   /* one system call that a stub makes for us */
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
    p->insns = p->useful = p->ticks = 0;
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

void policy_cold(struct vcpu *cpu)
{
    struct policy *p = direct_of(cpu)->now;

    begin(p, false);
    p->insns = WARM_INSNS - COLD_INSNS;
    p->entries = (unsigned)(p->insns / FAR_INSNS / 2);
}

void policy_resumed(struct vcpu *cpu, uint64_t ticks, unsigned calls)
{
    struct direct *d = direct_of(cpu);
    uint64_t floor;

    /* the cheapest stop there was; it rises slowly, if the host got slower */
    if (!calls && (!d->stop_ticks || ticks < d->stop_ticks))
        d->stop_ticks = ticks;
    else
        d->stop_ticks += d->stop_ticks >> 12;
    floor = d->stop_ticks + calls * CALL_TICKS;
    d->now->useful += ticks > floor ? ticks - floor : 0;
    d->now->entries++;
}

void policy_stopped(struct vcpu *cpu, uint64_t ticks)
{
    struct policy *p = direct_of(cpu)->now;

    p->ticks += ticks;
    if (p->entries < STOPS)
        return;
    if (p->useful * SLOWER >= p->ticks) {
        if (p->backoff && p->useful * 2 >= p->ticks)
            p->backoff--;
        begin(p, true);
        return;
    }
    begin(p, false);
    p->backoff = MIN(p->backoff + 1, BACKOFF_MAX);
}
