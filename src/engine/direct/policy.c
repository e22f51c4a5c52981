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
#define LONG        16     /* times the shortest stretch of native code */
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

void policy_resumed(struct vcpu *cpu, uint64_t ran)
{
    struct direct *d = direct_of(cpu);
    uint64_t floor;

    /* the shortest there was; it rises slowly, if the host got slower */
    if (!d->least || ran < d->least)
        d->least = ran;
    else
        d->least += d->least >> 12;
    floor = d->least + d->least / 4;
    d->now->entries++;
    d->ran += ran;
    /* a long one may be the host's doing: it counts, but not for many */
    if (ran > floor)
        d->now->useful += MIN(ran - floor, LONG * d->least);
}

void policy_stopped(struct vcpu *cpu, uint64_t ticks)
{
    struct direct *d = direct_of(cpu);
    struct policy *p = d->now;

    p->ticks += ticks > d->ran ? ticks - d->ran : 0;
    d->ran = 0;
    if (p->entries < STOPS)
        return;
    if (p->useful * (SLOWER - 1) >= p->ticks) {
        if (p->backoff && p->useful >= p->ticks)
            p->backoff--;
        begin(p, true);
        return;
    }
    begin(p, false);
    p->backoff = MIN(p->backoff + 1, BACKOFF_MAX);
}
