/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compare_search.c - the first difference, by running again and again.
 *
 * First with stops far apart. Between the last stop where both were the same
 * and the first where they were not, again with closer stops; in the end one
 * instruction at a time. Where a machine stops can matter to an engine that
 * runs blocks, so each run makes all the stops that led to where it begins to
 * look closer: a plan is the list of them.
 *
 * If a difference is gone when looked at more closely, the engine's larger
 * units make it: then units of two and four are tried, and at last the
 * shortest run without a stop is found by bisection from both ends.
 */
#include "cmd/compare_int.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "x86/vcpu.h"

#define LEVELS_MAX 12
#define CLOSER     256 /* stops in a run that looks closer */

/* From `from` on, a stop every `step` instructions. */
struct level {
    uint64_t from, step;
    unsigned unit;
};

struct plan {
    struct level level[LEVELS_MAX];
    unsigned levels;
};

static const struct level *plan_at(const struct plan *p, uint64_t n)
{
    unsigned i = p->levels - 1;

    while (i && p->level[i].from > n)
        i--;
    return &p->level[i];
}

static uint64_t plan_next(const struct plan *p, uint64_t n)
{
    const struct level *l = plan_at(p, n);
    uint64_t next = l->from + ((n - l->from) / l->step + 1) * l->step;

    for (unsigned i = 0; i < p->levels; i++)
        if (p->level[i].from > n)
            next = MIN(next, p->level[i].from);
    return next;
}

static struct plan plan_with(const struct plan *p, uint64_t from, uint64_t step,
                             unsigned unit)
{
    struct plan longer = *p;

    if (longer.levels < LEVELS_MAX)
        longer.level[longer.levels++] = (struct level){from, step, unit};
    return longer;
}

/* --- one run --- */

static void progress(const struct compare *c, uint64_t n, time_t *told)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (c->quiet || now.tv_sec == *told)
        return;
    *told = now.tv_sec;
    fprintf(stderr, "\r%llu million instructions: no difference",
            (unsigned long long)n / 1000000);
    fflush(stderr);
}

static void progress_end(const struct compare *c)
{
    if (!c->quiet)
        fputs("\r\033[K", stderr);
}

/* Whose instruction count went up. */
static unsigned who_ran(const struct lockstep_insn *then,
                        const struct lockstep_insn *now, unsigned cpus)
{
    for (unsigned i = 0; i < cpus; i++)
        if (then[i].retired != now[i].retired)
            return i;
    return 0;
}

/* One instruction was run by each; then[] is what came next before it. */
static int remember(struct compare *c, uint64_t number,
                    struct lockstep_insn then[2][GUEST_VCPUS_MAX],
                    struct error *err)
{
    struct past *p = &c->history.past[c->history.count % COMPARE_HISTORY];

    if (sides_insns(c, err))
        return -err->code;
    *p = (struct past){.number = number};
    p->cpu = who_ran(then[0], c->side[0].insn, c->side[0].hello.cpus);
    for (unsigned i = 0; i < 2; i++) {
        p->insn[i] = then[i][p->cpu];
        memcpy(p->events[i], c->side[i].insn[p->cpu].events,
               sizeof(p->events[i]));
    }
    c->history.count++;
    return 0;
}

static int step_run(struct compare *c, uint64_t next, unsigned unit,
                    struct error *err)
{
    struct lockstep_insn then[2][GUEST_VCPUS_MAX];

    if (unit > 1)
        return sides_run(c, next, unit, err);
    if (!c->history.count && sides_insns(c, err))
        return -err->code;
    for (unsigned i = 0; i < 2; i++)
        memcpy(then[i], c->side[i].insn, sizeof(then[i]));
    if (sides_run(c, next, unit, err))
        return -err->code;
    return remember(c, next, then, err);
}

static bool both_ended(const struct compare *c)
{
    return c->side[0].now.point.end && c->side[1].now.point.end;
}

/* Both machines from power-on to `until`; enum outcome, or -errno. */
static int plan_run(struct compare *c, const struct plan *p, uint64_t until,
                    struct found *f, struct error *err)
{
    uint64_t n = 0, next;
    time_t told = 0;

    sides_stop(c);
    c->history.count = 0;
    *f = (struct found){0};
    if (sides_start(c, err))
        return -err->code;
    if (shots_differ(c))
        return OUTCOME_DIFFER;
    for (; n < until; n = next) {
        unsigned unit = plan_at(p, n)->unit;

        next = MIN(plan_next(p, n), until);
        if (step_run(c, next, unit, err))
            return -err->code;
        progress(c, next, &told);
        if (shots_differ(c)) {
            *f = (struct found){n, next, unit == 1};
            return OUTCOME_DIFFER;
        }
        if (both_ended(c))
            return OUTCOME_SAME;
    }
    return OUTCOME_LIMIT;
}

/* --- the search --- */

static void tell(const struct compare *c, const char *what,
                 const struct found *f)
{
    progress_end(c);
    if (!c->quiet)
        fprintf(stderr, "a difference between instructions %llu and %llu: %s\n",
                (unsigned long long)f->from, (unsigned long long)f->to, what);
}

/* Does it differ after going to `from` by the plan, then straight to `to`? */
static int differs_straight(struct compare *c, const struct plan *p,
                            uint64_t from, uint64_t to, struct error *err)
{
    struct plan straight = plan_with(p, from, to - from, VCPU_UNIT_MAX);
    struct found f;
    int rc = plan_run(c, &straight, to, &f, err);

    return rc < 0 ? rc : rc == OUTCOME_DIFFER;
}

/*
 * The shortest run from f->from by the plan that still differs. At each end:
 * the longest that does not, and the shortest that does.
 */
static int shorten(struct compare *c, const struct plan *p, struct found *f,
                   struct error *err)
{
    uint64_t lo = f->from, hi = f->to;
    int rc;

    for (lo = f->from; hi - lo > 1;) {
        uint64_t mid = lo + (hi - lo) / 2;

        rc = differs_straight(c, p, f->from, mid, err);
        if (rc < 0)
            return rc;
        *(rc ? &hi : &lo) = mid;
    }
    f->to = hi;
    for (lo = f->from; hi - lo > 1;) {
        uint64_t mid = lo + (hi - lo) / 2;
        struct plan there = plan_with(p, f->from, mid - f->from, VCPU_UNIT_MAX);

        rc = differs_straight(c, &there, mid, f->to, err);
        if (rc < 0)
            return rc;
        *(rc ? &lo : &hi) = mid;
    }
    f->from = lo;
    return 0;
}

/* Units of two or four, from each place where they can begin. */
static int search_small_units(struct compare *c, const struct plan *p,
                              struct plan *to_it, struct found *f,
                              struct error *err)
{
    for (unsigned unit = 2; unit <= 4; unit *= 2) {
        for (unsigned skip = 0; skip < unit; skip++) {
            struct plan q = *p;
            struct found seen;
            int rc;

            if (skip)
                q = plan_with(&q, f->from, skip, 1);
            q = plan_with(&q, f->from + skip, unit, unit);
            rc = plan_run(c, &q, f->to, &seen, err);
            if (rc != OUTCOME_DIFFER && rc >= 0)
                continue;
            *to_it = q;
            *f = seen;
            return rc;
        }
    }
    return OUTCOME_LIMIT;
}

/*
 * The instructions of the interval, one at a time, and some before it; then
 * both machines behind it, as they are if it is run as a whole.
 */
static int show_units(struct compare *c, const struct plan *p,
                      const struct plan *to_it, uint64_t begin, struct found *f,
                      struct error *err)
{
    uint64_t margin = MIN(f->from - begin, COMPARE_HISTORY - 4);
    struct plan single = plan_with(p, f->from - margin, 1, 1);
    struct plan whole = plan_with(to_it, f->from, f->to - f->from,
                                  plan_at(to_it, f->from)->unit);
    struct history history;
    struct found seen;
    int rc = plan_run(c, &single, f->to, &seen, err);

    if (rc < 0)
        return rc;
    if (rc == OUTCOME_DIFFER) {
        *f = seen; /* with these stops it shows after all */
        return rc;
    }
    history = c->history;
    rc = plan_run(c, &whole, f->to, &seen, err);
    c->history = history;
    if (rc < 0 || rc == OUTCOME_DIFFER)
        return rc;
    return error_set(err, EIO,
                     "a difference between instructions %llu and %llu that "
                     "does not come again: is this run deterministic?",
                     (unsigned long long)f->from, (unsigned long long)f->to);
}

/* Not to be seen one instruction at a time: the shortest interval. */
static int search_units(struct compare *c, const struct plan *p,
                        struct found *f, struct error *err)
{
    uint64_t begin = f->from;
    struct plan to_it = *p;
    int rc = search_small_units(c, p, &to_it, f, err);

    if (rc == OUTCOME_LIMIT || rc == OUTCOME_SAME) {
        rc = shorten(c, p, f, err);
        if (!rc && f->from > begin)
            to_it = plan_with(p, begin, f->from - begin, VCPU_UNIT_MAX);
    }
    if (rc < 0)
        return rc;
    return show_units(c, p, &to_it, begin, f, err);
}

int compare_search(struct compare *c, struct found *f, struct error *err)
{
    /* units that fit between the stops: what does not is run by single steps */
    unsigned unit = (unsigned)MIN(c->interval, VCPU_UNIT_MAX);
    struct plan p = {{{0, c->interval, unit}}, 1}, closer;
    struct found seen;
    int rc = plan_run(c, &p, c->limit, f, err);
    uint64_t step = c->interval;

    while (rc == OUTCOME_DIFFER && f->to && !f->single) {
        step = MIN(step, f->to - f->from) / CLOSER;
        step = MAX(step, 1);
        tell(c, step > 1 ? "looking closer" : "one at a time", f);
        closer = plan_with(&p, f->from, step, step > 1 ? VCPU_UNIT_MAX : 1);
        rc = plan_run(c, &closer, f->to, &seen, err);
        if (rc < 0)
            break;
        if (rc != OUTCOME_DIFFER) {
            tell(c, "not with closer stops", f);
            rc = search_units(c, &p, f, err);
            break;
        }
        p = closer;
        *f = seen;
    }
    progress_end(c);
    return rc;
}
