/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lapic_timer.c - the APIC timer: one-shot, periodic, TSC deadline.
 *                                                        [SDM 3A 11.5.4]
 * It counts nanoseconds: the core crystal's cycles, as CPUID leaf 0x15 has
 * them, because Linux takes its rate from there; and KVM's APICs do. Nothing
 * counts; the current count is computed when it is read.
 */
#include "irq/lapic_int.h"

#define MODE_ONESHOT  0u
#define MODE_PERIODIC (1u << 17)
#define MODE_DEADLINE (2u << 17)

/* A guest's tiny period must not keep the event thread busy. */
#define PERIOD_MIN_NS 20000ull

static uint32_t timer_mode(const struct lapic *l)
{
    return l->lvt[LVT_TIMER] & LVT_TIMER_MODE;
}

bool lapic_timer_tsc_mode(const struct lapic *l)
{
    return timer_mode(l) == MODE_DEADLINE;
}

static uint64_t timer_divisor(const struct lapic *l)
{
    unsigned code = (l->timer_div & 3) | (l->timer_div >> 1 & 4);

    return code == 7 ? 1 : 2ull << code;
}

/* What `count` takes, in ns. */
static uint64_t timer_ns(const struct lapic *l, uint64_t count)
{
    return count * timer_divisor(l);
}

static uint64_t timer_period(const struct lapic *l)
{
    return timer_ns(l, l->timer_init);
}

static uint64_t timer_now(const struct lapic *l)
{
    return clock_now(l->timer.loop->clock);
}

uint32_t lapic_timer_count(struct lapic *l)
{
    uint64_t period = timer_period(l), done, count;

    if (!period || lapic_timer_tsc_mode(l))
        return 0;
    done = timer_now(l) - l->timer_start;
    if (timer_mode(l) == MODE_PERIODIC)
        done %= period;
    else if (done >= period)
        return 0;
    count = done / timer_divisor(l);
    return l->timer_init - (uint32_t)MIN(count, l->timer_init);
}

void lapic_timer_set(struct lapic *l, uint32_t count)
{
    uint32_t done = l->timer_init - MIN(count, l->timer_init);

    l->timer_start = timer_now(l) - timer_ns(l, done);
}

/* The deadline has come, or is so near that the host would miss it. */
static void deadline_check(struct lapic *l)
{
    uint64_t tsc, ns, at;

    if (!l->tsc_deadline)
        return;
    tsc = l->cpu_ops->tsc(l->cpu);
    if (tsc >= l->tsc_deadline) {
        l->tsc_deadline = 0;
        timer_cancel(&l->timer);
        lapic_lvt(l, LVT_TIMER);
        return;
    }
    ns = l->cpu_ops->tsc_to_ns(l->cpu, l->tsc_deadline - tsc);
    /* One more than rounded down, or it would be early and come back. */
    if (__builtin_add_overflow(timer_now(l), ns + 1, &at) || ns + 1 == 0)
        at = UINT64_MAX;
    timer_arm(&l->timer, at);
}

/* Arms for the next end of the count that lies in the future. */
static void count_arm(struct lapic *l)
{
    uint64_t period = timer_period(l), now = timer_now(l), at;

    timer_cancel(&l->timer);
    if (!period || (l->lvt[LVT_TIMER] & LVT_MASKED))
        return;
    at = l->timer_start + period;
    if (at <= now) {
        if (timer_mode(l) != MODE_PERIODIC)
            return;
        at += ((now - at) / period + 1) * period;
    }
    if (timer_mode(l) == MODE_PERIODIC)
        at = MAX(at, now + PERIOD_MIN_NS);
    timer_arm(&l->timer, at);
}

static void timer_fired(struct timer *t)
{
    struct lapic *l = container_of(t, struct lapic, timer);

    if (lapic_timer_tsc_mode(l)) {
        deadline_check(l);
        return;
    }
    if (timer_mode(l) == MODE_PERIODIC)
        count_arm(l);
    lapic_lvt(l, LVT_TIMER);
}

void lapic_timer_rearm(struct lapic *l)
{
    if (lapic_timer_tsc_mode(l))
        deadline_check(l);
    else
        count_arm(l);
}

void lapic_timer_setup(struct lapic *l, struct loop *loop)
{
    timer_init(&l->timer, loop, timer_fired);
}

void lapic_timer_start(struct lapic *l, uint32_t count)
{
    if (lapic_timer_tsc_mode(l))
        return; /* ignored in this mode */
    l->timer_init = count;
    l->timer_start = timer_now(l);
    count_arm(l);
}

void lapic_timer_divide(struct lapic *l, uint32_t div)
{
    uint32_t left = lapic_timer_count(l);
    uint64_t done = l->timer_init - left;

    l->timer_div = div;
    if (!l->timer_init || lapic_timer_tsc_mode(l))
        return;
    /* The count goes on from where it is, at the new speed. */
    l->timer_start = timer_now(l) - timer_ns(l, done);
    count_arm(l);
}

void lapic_timer_deadline(struct lapic *l, uint64_t tsc)
{
    if (!lapic_timer_tsc_mode(l))
        return;
    l->tsc_deadline = tsc;
    if (tsc)
        deadline_check(l);
    else
        timer_cancel(&l->timer);
}

void lapic_timer_lvt(struct lapic *l, uint32_t old)
{
    uint32_t now = l->lvt[LVT_TIMER];

    if ((old ^ now) & MODE_DEADLINE) {
        /* Changing to or from deadline mode disarms [SDM 3A 11.5.4.1]. */
        l->tsc_deadline = 0;
        l->timer_init = 0;
        timer_cancel(&l->timer);
    } else if (!lapic_timer_tsc_mode(l)) {
        /* An expiry that the event thread has not seen yet counts. */
        bool due = timer_armed(&l->timer) && l->timer.deadline <= timer_now(l);

        if (due && !(old & LVT_MASKED))
            lapic_lvt(l, LVT_TIMER);
        count_arm(l);
    }
}
