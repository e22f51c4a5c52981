/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter.c - written from its end: jumps only go forward, so what a jump goes
 * to is there before the jump is, and its distance known. Functions return
 * where their code begins. What is too far for a conditional jump (255) gets
 * a step on the way.
 */
#include "fence/filter.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>

#include "base/log.h"

#define NR      offsetof(struct seccomp_data, nr)
#define ARCH    offsetof(struct seccomp_data, arch)
#define LOW(n)  (uint32_t)(offsetof(struct seccomp_data, args) + 8u * (n))
#define HIGH(n) (LOW(n) + 4)

#define HOLES 2 /* in a group */

/* Less than 255: a step may come in between, and one for the other way. */
#define NEAR 252

struct maker {
    struct sock_filter *insn;
    unsigned max, at; /* what is from `at` on is done */
    bool full;
    unsigned ret[16]; /* the last return of an action, by a hash; 0: none */
};

static unsigned put(struct maker *m, uint16_t code, uint32_t k, unsigned t,
                    unsigned f)
{
    if (!m->at) {
        m->full = true;
        return 0;
    }
    m->at--;
    m->insn[m->at] = (struct sock_filter){code, (uint8_t)(t - m->at - 1),
                                          (uint8_t)(f - m->at - 1), k};
    return m->at;
}

/* Without a jump. */
static unsigned put_plain(struct maker *m, uint16_t code, uint32_t k)
{
    return put(m, code, k, m->at, m->at);
}

static bool is_near(const struct maker *m, unsigned to)
{
    return to - m->at <= NEAR;
}

static bool is(const struct maker *m, unsigned at, uint16_t code, uint32_t k)
{
    return at < m->max && m->insn[at].code == code && m->insn[at].k == k;
}

static unsigned put_ret(struct maker *m, uint32_t action)
{
    unsigned *last = &m->ret[(action ^ action >> 16 ^ action >> 28) % 16];

    if (*last && is_near(m, *last) && is(m, *last, BPF_RET | BPF_K, action))
        return *last;
    return *last = put_plain(m, BPF_RET | BPF_K, action);
}

static unsigned put_step(struct maker *m, unsigned to)
{
    if (is_near(m, to))
        return to;
    if (m->insn[to].code == (BPF_RET | BPF_K))
        return put_ret(m, m->insn[to].k);
    return put_plain(m, BPF_JMP | BPF_JA, to - m->at);
}

static unsigned put_jump(struct maker *m, uint16_t op, uint32_t k, unsigned t,
                         unsigned f)
{
    if (t == f)
        return t;
    t = put_step(m, t);
    f = put_step(m, f);
    return put(m, BPF_JMP | BPF_K | op, k, t, f);
}

/* --- tests of arguments --- */

/* Compares what is at `from`, under the mask; t and f differ. */
static unsigned put_compare(struct maker *m, uint32_t from, uint32_t mask,
                            uint16_t op, uint32_t value, unsigned t, unsigned f)
{
    put_jump(m, op, value, t, f);
    if (mask != ~0u)
        put_plain(m, BPF_ALU | BPF_AND | BPF_K, mask);
    return put_plain(m, BPF_LD | BPF_W | BPF_ABS, from);
}

/* `to`, behind its load if that is of what is loaded already. */
static unsigned past_load(const struct maker *m, unsigned to, uint32_t from,
                          uint32_t mask)
{
    return mask == ~0u && is(m, to, BPF_LD | BPF_W | BPF_ABS, from) ? to + 1
                                                                    : to;
}

/* One half of an argument. */
static unsigned put_half(struct maker *m, uint32_t from, uint32_t mask,
                         uint16_t op, uint32_t value, unsigned t, unsigned f)
{
    if (!mask)
        return value ? f : t;
    t = past_load(m, t, from, mask);
    f = past_load(m, f, from, mask);
    return t == f ? t : put_compare(m, from, mask, op, value, t, f);
}

static unsigned put_equal(struct maker *m, const struct filter_test *test,
                          unsigned t, unsigned f)
{
    unsigned low = put_half(m, LOW(test->arg), (uint32_t)test->mask, BPF_JEQ,
                            (uint32_t)test->value, t, f);

    if (!test->wide)
        return low;
    return put_half(m, HIGH(test->arg), (uint32_t)(test->mask >> 32), BPF_JEQ,
                    (uint32_t)(test->value >> 32), low, f);
}

/* `op` is JGT or JGE. One load of the upper half is for two jumps. */
static unsigned put_above(struct maker *m, const struct filter_test *test,
                          uint16_t op, unsigned t, unsigned f)
{
    uint32_t high = (uint32_t)(test->value >> 32);
    unsigned low;

    if (t == f)
        return t;
    low = put_half(m, LOW(test->arg), ~0u, op, (uint32_t)test->value, t, f);
    if (!test->wide)
        return low;
    return put_compare(m, HIGH(test->arg), ~0u, BPF_JGT, high, t,
                       put_jump(m, BPF_JEQ, high, low, f));
}

static unsigned put_test(struct maker *m, const struct filter_test *test,
                         unsigned t, unsigned f)
{
    switch (test->op) {
    case FILTER_EQ:
        return put_equal(m, test, t, f);
    case FILTER_NE:
        return put_equal(m, test, f, t);
    case FILTER_GT:
        return put_above(m, test, BPF_JGT, t, f);
    case FILTER_LE:
        return put_above(m, test, BPF_JGT, f, t);
    case FILTER_GE:
        return put_above(m, test, BPF_JGE, t, f);
    default:
        return put_above(m, test, BPF_JGE, f, t);
    }
}

static unsigned put_clause(struct maker *m, const struct filter_clause *c,
                           unsigned otherwise)
{
    unsigned to = put_ret(m, c->action);

    for (unsigned i = c->tests; i--;)
        to = put_test(m, &c->test[i], to, otherwise);
    return to;
}

/* --- values of one argument --- */

/* Nothing but "the argument is this value". */
static bool is_value(const struct filter_clause *c)
{
    return c->tests == 1 && c->test->op == FILTER_EQ && c->test->mask == ~0ull;
}

/* Can b follow a behind one test of the upper half? */
static bool is_sibling(const struct filter_clause *a,
                       const struct filter_clause *b)
{
    return is_value(a) && is_value(b) && a->test->wide && b->test->wide &&
           a->test->arg == b->test->arg &&
           a->test->value >> 32 == b->test->value >> 32;
}

/* All of them siblings. */
static unsigned put_values(struct maker *m,
                           const struct filter_clause *const *c, unsigned count,
                           unsigned otherwise)
{
    const struct filter_test *test = c[0]->test;
    unsigned to = otherwise;

    while (count--)
        to = put_half(m, LOW(test->arg), ~0u, BPF_JEQ,
                      (uint32_t)c[count]->test->value,
                      put_ret(m, c[count]->action), to);
    return put_half(m, HIGH(test->arg), ~0u, BPF_JEQ,
                    (uint32_t)(test->value >> 32), to, otherwise);
}

static unsigned put_list(struct maker *m, const struct filter_list *l)
{
    unsigned to = put_ret(m, l->otherwise), last, first;

    for (last = l->clauses; last; last = first) {
        first = last - 1;
        while (first && is_sibling(l->clause[first - 1], l->clause[first]))
            first--;
        if (last - first > 1)
            to = put_values(m, l->clause + first, last - first, to);
        else
            to = put_clause(m, l->clause[first], to);
    }
    return to;
}

/* --- numbers --- */

static unsigned put_answer(struct maker *m, const struct filter_range *r)
{
    if (!r->list)
        return put_ret(m, r->action);
    if (!r->list->at)
        r->list->at = put_list(m, r->list);
    return r->list->at;
}

static bool same_answer(const struct filter_range *a,
                        const struct filter_range *b)
{
    return a->list ? a->list == b->list : !b->list && a->action == b->action;
}

/* A single number with the same around it. */
static bool is_hole(const struct filter_range *r, unsigned count)
{
    return count > 2 && r[1].start + 1 == r[2].start &&
           same_answer(&r[0], &r[2]);
}

/*
 * How many ranges form a group: one, and with it up to HOLES single numbers
 * and what is between them. If there is one more, what is before it begins the
 * next group.
 */
static unsigned group_size(const struct filter_range *r, unsigned count)
{
    unsigned n = 1;

    while (n < 2 * HOLES && is_hole(r + n - 1, count - n + 1))
        n += 2;
    return n > 1 && is_hole(r + n - 1, count - n + 1) ? n - 1 : n;
}

static unsigned put_group(struct maker *m, const struct filter_range *r,
                          unsigned count)
{
    unsigned to = put_answer(m, r);

    for (unsigned i = count / 2 * 2; i > 1; i -= 2)
        to = put_jump(m, BPF_JEQ, r[i - 1].start, put_answer(m, &r[i - 1]), to);
    return to;
}

/* `first` has where each group begins, and where the last one ends. */
static unsigned put_search(struct maker *m, const struct filter_range *r,
                           const uint16_t *first, unsigned groups)
{
    unsigned half = groups / 2, t, f;

    if (groups == 1)
        return put_group(m, r + first[0], first[1] - first[0]);
    t = put_search(m, r, first + half, groups - half);
    f = put_search(m, r, first, half);
    return put_jump(m, BPF_JGE, r[first[half]].start, t, f);
}

static unsigned put_arch(struct maker *m, const struct filter_arch *a)
{
    uint16_t first[FILTER_RANGES + 1];
    unsigned groups = 0, at = 0, to;

    rf_assert(a->ranges <= FILTER_RANGES);
    for (; at < a->ranges; at += group_size(a->range + at, a->ranges - at))
        first[groups++] = (uint16_t)at;
    first[groups] = (uint16_t)at;
    to = put_search(m, a->range, first, groups);
    /* Where all have one answer there was no jump, and there is no load. */
    if (BPF_CLASS(m->insn[to].code) != BPF_JMP)
        return to;
    rf_assert(to == m->at || m->full);
    return put_plain(m, BPF_LD | BPF_W | BPF_ABS, NR);
}

static void lists_forget(const struct filter_arch *a)
{
    for (unsigned i = 0; i < a->ranges; i++)
        if (a->range[i].list)
            a->range[i].list->at = 0;
}

int filter_make(struct sock_filter *insn, unsigned max,
                const struct filter_arch *arch, unsigned arches,
                uint32_t otherwise)
{
    struct maker m = {.insn = insn, .max = max, .at = max};
    unsigned to[4], next = put_ret(&m, otherwise), i;

    rf_assert(arches <= ARRAY_SIZE(to));
    for (i = 0; i < arches; i++)
        lists_forget(&arch[i]);
    for (i = arches; i--;)
        to[i] = put_arch(&m, &arch[i]);
    for (i = arches; i--;)
        next = put_jump(&m, BPF_JEQ, arch[i].audit, to[i], next);
    put_plain(&m, BPF_LD | BPF_W | BPF_ABS, ARCH);
    if (m.full)
        return -E2BIG;
    memmove(insn, insn + m.at, (max - m.at) * sizeof(*insn));
    return (int)(max - m.at);
}
