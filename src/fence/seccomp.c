/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp.c - a container's profile to a filter. See seccomp_int.h.
 *
 * Of several rules with arguments for one call, the one that looks at less
 * comes first, then the one for the later argument, the one for a value before
 * those for ranges, the narrower range: libseccomp's order, whatever order the
 * rules have in config.json. It matters only where two hold at once and have
 * different actions.
 */
#include "fence/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "fence/seccomp_int.h"

/* --- the rules of one call --- */

/* Of what kind a comparison is: the more exact comes first. */
static unsigned op_class(unsigned op)
{
    switch (op) {
    case FILTER_EQ:
    case FILTER_NE:
        return 2;
    case FILTER_LT:
    case FILTER_LE:
        return 1;
    default:
        return 0;
    }
}

static int order(uint64_t first, uint64_t second)
{
    return first < second ? -1 : first > second;
}

static int test_order(const struct filter_test *a, const struct filter_test *b)
{
    int ret = order(b->arg, a->arg);

    if (!ret)
        ret = order(op_class(b->op), op_class(a->op));
    if (!ret && op_class(a->op) == 1)
        ret = order(a->value, b->value);
    else if (!ret)
        ret = order(b->value, a->value);
    return ret;
}

static int clause_order(const struct filter_clause *a,
                        const struct filter_clause *b)
{
    int ret = 0;

    for (unsigned i = 0; i < MIN(a->tests, b->tests) && !ret; i++)
        ret = test_order(&a->test[i], &b->test[i]);
    return ret ? ret : order(a->tests, b->tests);
}

static const struct clause *clause_of(const struct filter_clause *f)
{
    return container_of(f, const struct clause, filter);
}

static int ref_order(const void *a, const void *b)
{
    const struct filter_clause *const *x = a, *const *y = b;
    int ret = clause_order(*x, *y);

    return ret ? ret : order(clause_of(*x)->number, clause_of(*y)->number);
}

/* Those of one order may still differ: in the mask, or EQ and NE. */
static bool same_tests(const struct filter_clause *a,
                       const struct filter_clause *b)
{
    for (unsigned i = 0; i < a->tests; i++)
        if (a->test[i].op != b->test[i].op ||
            a->test[i].mask != b->test[i].mask)
            return false;
    return true;
}

/* One among those that are done which has the same tests, or NULL. */
static const struct filter_clause **twin(const struct filter_list *l,
                                         const struct filter_clause **done,
                                         const struct filter_clause *f)
{
    for (unsigned i = l->clauses; i--;) {
        if (clause_order(done[i], f))
            return NULL;
        if (same_tests(done[i], f))
            return &done[i];
    }
    return NULL;
}

/* As the kernel compares what several filters say. */
static bool is_stricter(uint32_t a, uint32_t b)
{
    return (int32_t)(a & SECCOMP_RET_ACTION_FULL) <
           (int32_t)(b & SECCOMP_RET_ACTION_FULL);
}

/*
 * Two that cannot be told apart but by their actions: a mistake in the
 * profile. Where only the architecture cannot tell them apart (it does not see
 * some of the arguments), the stricter counts.
 */
static int clash(const struct compiler *c, const struct filter_clause **first,
                 const struct filter_clause *second)
{
    if ((*first)->action == second->action)
        return 0;
    if ((*first)->test->wide)
        return error_set(c->err, EINVAL,
                         "linux.seccomp.syscalls[%u]: syscalls[%u] has another "
                         "action for the same arguments of the same call",
                         clause_of(second)->rule, clause_of(*first)->rule);
    if (is_stricter(second->action, (*first)->action))
        *first = second;
    return 0;
}

static int list_fill(const struct compiler *c, struct filter_list *l,
                     const struct filter_clause **to, unsigned count)
{
    const struct filter_clause **same;

    qsort(to, count, sizeof(*to), ref_order);
    l->clause = to;
    for (unsigned i = 0; i < count; i++) {
        same = twin(l, to, to[i]);
        if (!same)
            to[l->clauses++] = to[i];
        else if (clash(c, same, to[i]))
            return -c->err->code;
    }
    return 0;
}

static int too_big(const struct compiler *c)
{
    return error_set(c->err, E2BIG,
                     "linux.seccomp.syscalls: the filter needs more than %u "
                     "instructions, which is the kernel's limit: use fewer "
                     "rules with args",
                     BPF_MAXINSNS);
}

static int list_make(struct compiler *c, const struct call *call,
                     struct filter_list **out)
{
    const struct filter_clause **to;
    unsigned count = 0;
    uint32_t at;

    for (at = call->first; at; at = c->ref[at - 1].next)
        count++;
    if (count > BPF_MAXINSNS)
        return too_big(c);
    *out = arena_alloc(&c->arena, sizeof(**out));
    to = arena_alloc(&c->arena, count * sizeof(*to));
    **out = (struct filter_list){.otherwise = c->otherwise};
    count = 0;
    for (at = call->first; at; at = c->ref[at - 1].next)
        to[count++] = &c->ref[at - 1].clause->filter;
    return list_fill(c, *out, to, count);
}

/* --- ranges of numbers --- */

/* With the seams between architectures. */
#define RANGES_MAX (CALL_ABIS * CALL_NUMBERS + 8)

struct ranges {
    struct filter_range range[RANGES_MAX];
    unsigned count, begin; /* of this architecture's */
    struct filter_list *list[CALL_ABIS * CALL_NUMBERS]; /* different ones */
    unsigned lists;
};

static bool same_list(const struct filter_list *a, const struct filter_list *b)
{
    return a->clauses == b->clauses &&
           !memcmp(a->clause, b->clause, a->clauses * sizeof(*a->clause));
}

/* Calls that share their rules share the code. */
static struct filter_list *list_share(struct ranges *r, struct filter_list *l)
{
    for (unsigned i = 0; i < r->lists; i++)
        if (same_list(r->list[i], l))
            return r->list[i];
    return r->list[r->lists++] = l;
}

/* Is that what the last one says already? */
static bool range_goes_on(const struct ranges *r, uint32_t action,
                          const struct filter_list *list)
{
    const struct filter_range *last;

    if (r->count == r->begin)
        return false;
    last = &r->range[r->count - 1];
    return last->list == list && (list || last->action == action);
}

static void range_add(struct ranges *r, uint32_t start, uint32_t action,
                      struct filter_list *list)
{
    if (!range_goes_on(r, action, list))
        r->range[r->count++] = (struct filter_range){start, action, list};
}

/* libc tries younger calls first, and takes an older one on ENOSYS only. */
static uint32_t young_action(const struct compiler *c, enum call_abi abi)
{
    switch (c->otherwise & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_KILL_PROCESS:
    case SECCOMP_RET_KILL_THREAD:
    case SECCOMP_RET_TRAP:
    case SECCOMP_RET_ERRNO:
        if (!c->p->exact && c->youngest[abi])
            return SECCOMP_RET_ERRNO | ENOSYS;
        return c->otherwise;
    default: /* somebody decides, or nobody minds */
        return c->otherwise;
    }
}

static int abi_add(struct compiler *c, struct ranges *r, enum call_abi abi,
                   uint32_t base)
{
    unsigned end = (unsigned)c->youngest[abi] + 1, i;
    struct filter_list *list;

    for (i = 0; i < end; i++) {
        const struct call *call = &c->call[abi][i];
        bool fixed = call->first == CALL_FIXED;

        list = NULL;
        if (!fixed && call->first && list_make(c, call, &list))
            return -c->err->code;
        range_add(r, base + i, fixed ? call->action : c->otherwise,
                  list ? list_share(r, list) : NULL);
    }
    range_add(r, base + i, young_action(c, abi), NULL);
    return 0;
}

static int x86_64_add(struct compiler *c, struct ranges *r)
{
    int ret = abi_add(c, r, CALL_X86_64, 0);

    if (ret || c->has[CALL_X32])
        return ret ? ret : abi_add(c, r, CALL_X32, CALL_X32_BIT);
    range_add(r, CALL_X32_BIT, SECCOMP_RET_KILL_THREAD, NULL);
    /* A tracer that skips a call passes on -1, which is not x32's. */
    range_add(r, ~0u, c->otherwise, NULL);
    return 0;
}

/* --- all of it --- */

static int profile_check(const struct seccomp_profile *p, struct error *err)
{
    for (unsigned i = 0; i < p->rule_count; i++)
        if (p->rules[i].errno_ret < SECCOMP_ERRNO_DEFAULT ||
            p->rules[i].errno_ret > 0xffff)
            return error_set(err, EINVAL,
                             "linux.seccomp.syscalls[%u].errnoRet: %d is not 0 "
                             "to 65535",
                             i, p->rules[i].errno_ret);
    if (p->errno_ret < SECCOMP_ERRNO_DEFAULT || p->errno_ret > 0xffff)
        return error_set(err, EINVAL,
                         "linux.seccomp.defaultErrnoRet: %d is not 0 to 65535",
                         p->errno_ret);
    return 0;
}

static bool calls_listener(const struct seccomp_program *prog)
{
    for (unsigned i = 0; i < prog->len; i++)
        if (prog->insn[i].code == (BPF_RET | BPF_K) &&
            prog->insn[i].k == SECCOMP_RET_USER_NOTIF)
            return true;
    return false;
}

/* Most need little, and only pages that are used have to be there. */
static int program_fill(struct seccomp_program *out,
                        const struct filter_arch *arch, unsigned arches)
{
    const unsigned some = 500;
    int len =
        filter_make(out->insn, some, arch, arches, SECCOMP_RET_KILL_THREAD);

    if (len == -E2BIG)
        len = filter_make(out->insn, ARRAY_SIZE(out->insn), arch, arches,
                          SECCOMP_RET_KILL_THREAD);
    return len;
}

static int program_make(struct compiler *c, struct seccomp_program *out)
{
    struct ranges r;
    struct filter_arch arch[2] = {{AUDIT_ARCH_X86_64, r.range, 0},
                                  {AUDIT_ARCH_I386, r.range, 0}};
    int len;

    r.count = r.begin = r.lists = 0;
    if (x86_64_add(c, &r))
        return -c->err->code;
    arch[0].ranges = r.begin = r.count;
    arch[1].range += r.begin;
    if (c->has[CALL_I386] && abi_add(c, &r, CALL_I386, 0))
        return -c->err->code;
    arch[1].ranges = r.count - r.begin;
    len = program_fill(out, arch, c->has[CALL_I386] ? 2 : 1);
    if (len < 0)
        return too_big(c);
    out->len = (unsigned)len;
    out->flags = c->p->flags;
    out->notify = calls_listener(out);
    return 0;
}

int seccomp_compile(const struct seccomp_profile *p,
                    struct seccomp_program *out, struct error *err)
{
    struct compiler c;
    int ret = profile_check(p, err);

    if (ret)
        return ret;
    memset(&c, 0, offsetof(struct compiler, call));
    c.p = p;
    c.err = err;
    c.otherwise = seccomp_action_word(p->action, p->errno_ret);
    ret = seccomp_rules(&c);
    if (!ret)
        ret = program_make(&c, out);
    arena_free(&c.arena);
    free(c.ref);
    return ret;
}
