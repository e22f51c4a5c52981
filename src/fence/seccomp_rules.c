/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp_rules.c - what becomes of each number, by the profile's rules.
 *
 * As libseccomp has it: the first rule without arguments is a call's last
 * word; i386 and x32 see the lower halves of arguments; on i386, a call that
 * is also made through socketcall() or ipc() gets its rule there too, with the
 * call's number in place of the first argument.
 */
#include "fence/seccomp_int.h"

#include <asm/unistd.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define I386_SOCKETCALL 102
#define I386_IPC        117

/* --- one rule --- */

uint32_t seccomp_action_word(enum seccomp_action a, int errno_ret)
{
    uint32_t data =
        errno_ret == SECCOMP_ERRNO_DEFAULT ? EPERM : errno_ret & 0xffff;

    switch (a) {
    case SECCOMP_ACT_KILL_PROCESS:
        return SECCOMP_RET_KILL_PROCESS;
    case SECCOMP_ACT_TRAP:
        return SECCOMP_RET_TRAP;
    case SECCOMP_ACT_ERRNO:
        return SECCOMP_RET_ERRNO | data;
    case SECCOMP_ACT_TRACE:
        return SECCOMP_RET_TRACE | data;
    case SECCOMP_ACT_ALLOW:
        return SECCOMP_RET_ALLOW;
    case SECCOMP_ACT_LOG:
        return SECCOMP_RET_LOG;
    case SECCOMP_ACT_NOTIFY:
        return SECCOMP_RET_USER_NOTIF;
    default:
        return SECCOMP_RET_KILL_THREAD;
    }
}

/* A rule for all 64 bits of arguments, or the lower halves. */
struct variant {
    bool always; /* no argument matters */
    unsigned count;
    struct clause **clause;
};

/* A rule on its way to calls. */
struct working {
    const struct seccomp_rule *rule;
    unsigned index;
    uint32_t action;
    struct variant variant[2]; /* [1]: all 64 bits */
};

static int arg_check(const struct compiler *c, const struct working *w,
                     unsigned i)
{
    const struct seccomp_arg *a = &w->rule->args[i];

    if (a->index < SECCOMP_ARGS)
        return 0;
    return error_set(c->err, EINVAL,
                     "linux.seccomp.syscalls[%u].args[%u].index: %u is none of "
                     "a call's arguments, which are 0 to 5",
                     w->index, i, a->index);
}

static struct filter_test test_make(const struct seccomp_arg *a, bool wide)
{
    static const uint8_t ops[] = {
        [SECCOMP_OP_NE] = FILTER_NE,       [SECCOMP_OP_LT] = FILTER_LT,
        [SECCOMP_OP_LE] = FILTER_LE,       [SECCOMP_OP_EQ] = FILTER_EQ,
        [SECCOMP_OP_GE] = FILTER_GE,       [SECCOMP_OP_GT] = FILTER_GT,
        [SECCOMP_OP_MASKED_EQ] = FILTER_EQ};
    bool masked = a->op == SECCOMP_OP_MASKED_EQ;
    uint64_t all = wide ? ~0ull : 0xffffffff;
    uint64_t mask = masked ? a->value & all : all;

    rf_assert(a->op < ARRAY_SIZE(ops));
    return (struct filter_test){
        .arg = (uint8_t)a->index,
        .op = ops[a->op],
        .wide = wide,
        .mask = mask,
        .value = (masked ? a->value_two : a->value) & mask,
    };
}

/* In the order of arguments; one that always holds is left out. */
static void clause_add(struct clause *c, const struct filter_test *test)
{
    unsigned at = c->filter.tests;

    if (!test->mask)
        return;
    for (; at && c->test[at - 1].arg > test->arg; at--)
        c->test[at] = c->test[at - 1];
    c->test[at] = *test;
    c->filter.tests++;
}

/* With room for so many tests. */
static struct clause *clause_new(struct compiler *c, const struct working *w,
                                 unsigned tests)
{
    struct clause *to =
        arena_alloc(&c->arena, sizeof(*to) + tests * sizeof(to->test[0]));

    to->filter = (struct filter_clause){to->test, 0, w->action};
    to->number = c->clauses++;
    to->rule = w->index;
    return to;
}

/* Then each argument is a rule of its own. */
static bool has_twice(const struct seccomp_rule *r)
{
    unsigned seen = 0;

    for (unsigned i = 0; i < r->nargs; i++) {
        if (seen & BIT(r->args[i].index))
            return true;
        seen |= BIT(r->args[i].index);
    }
    return false;
}

static void variant_make(struct compiler *c, struct working *w, bool wide)
{
    struct variant *v = &w->variant[wide];
    const struct seccomp_rule *r = w->rule;
    bool split = has_twice(r);
    struct filter_test test;
    unsigned i;

    v->always = !r->nargs;
    if (v->always)
        return;
    v->count = split ? r->nargs : 1;
    v->clause = arena_alloc(&c->arena, v->count * sizeof(*v->clause));
    for (i = 0; i < v->count; i++)
        v->clause[i] = clause_new(c, w, split ? 1 : r->nargs);
    for (i = 0; i < r->nargs; i++) {
        test = test_make(&r->args[i], wide);
        clause_add(v->clause[split ? i : 0], &test);
    }
    for (i = 0; i < v->count; i++)
        v->always |= !v->clause[i]->filter.tests;
}

/* --- calls --- */

static void refs_grow(struct compiler *c)
{
    c->refs_max = c->refs_max ? 2 * c->refs_max : 128;
    c->ref = realloc(c->ref, c->refs_max * sizeof(*c->ref));
    rf_assert(c->ref);
}

static void call_add_clause(struct compiler *c, struct call *call,
                            const struct clause *clause)
{
    if (c->refs == c->refs_max)
        refs_grow(c);
    c->ref[c->refs++] = (struct clause_ref){clause, call->first};
    call->first = c->refs;
}

static void call_add(struct compiler *c, struct call *call,
                     const struct working *w, bool wide)
{
    const struct variant *v = &w->variant[wide];

    if (call->first == CALL_FIXED)
        return;
    if (v->always)
        *call = (struct call){w->action, CALL_FIXED};
    else
        for (unsigned i = 0; i < v->count; i++)
            call_add_clause(c, call, v->clause[i]);
}

/* `from`, but that the first argument is `number`. */
static void call_add_muxed(struct compiler *c, struct call *call,
                           const struct working *w, const struct clause *from,
                           unsigned number)
{
    const struct seccomp_arg is_number = {0, SECCOMP_OP_EQ, number, 0};
    struct filter_test test = test_make(&is_number, false);
    struct clause *to = clause_new(c, w, 1 + (from ? from->filter.tests : 0));

    clause_add(to, &test);
    for (unsigned i = 0; from && i < from->filter.tests; i++)
        if (from->test[i].arg)
            clause_add(to, &from->test[i]);
    call_add_clause(c, call, to);
}

static void call_mux(struct compiler *c, struct call *call,
                     const struct working *w, unsigned number)
{
    const struct variant *v = &w->variant[false];

    if (call->first == CALL_FIXED)
        return;
    if (v->always)
        call_add_muxed(c, call, w, NULL, number);
    else
        for (unsigned i = 0; i < v->count; i++)
            call_add_muxed(c, call, w, v->clause[i], number);
}

static void name_add(struct compiler *c, const struct working *w,
                     const struct call_numbers *n)
{
    struct call *i386 = c->call[CALL_I386];

    for (unsigned abi = 0; abi < CALL_ABIS; abi++)
        if (c->has[abi] && n->nr[abi] >= 0)
            call_add(c, &c->call[abi][n->nr[abi]], w, abi == CALL_X86_64);
    if (c->has[CALL_I386] && n->socketcall)
        call_mux(c, &i386[I386_SOCKETCALL], w, n->socketcall);
    if (c->has[CALL_I386] && n->ipc)
        call_mux(c, &i386[I386_IPC], w, n->ipc);
}

/* --- all of them --- */

static void youngest_note(struct compiler *c, const struct call_numbers *n)
{
    int *i386 = &c->youngest[CALL_I386];

    for (unsigned abi = 0; abi < CALL_ABIS; abi++)
        c->youngest[abi] = MAX(c->youngest[abi], n->nr[abi]);
    if (n->socketcall)
        *i386 = MAX(*i386, I386_SOCKETCALL);
    if (n->ipc)
        *i386 = MAX(*i386, I386_IPC);
}

bool seccomp_call_known(const char *name)
{
    return call_numbers_find(name) != NULL;
}

/* A rule that says what is done anyway counts as one that names its calls. */
static void names_add(struct compiler *c, const struct working *w)
{
    const struct call_numbers *n;

    for (unsigned i = 0; i < w->rule->count; i++) {
        n = call_numbers_find(w->rule->names[i]);
        if (!n) {
            log_debug("linux.seccomp.syscalls[%u].names[%u]: no call is named "
                      "%s",
                      w->index, i, w->rule->names[i]);
            continue;
        }
        youngest_note(c, n);
        if (w->action != c->otherwise)
            name_add(c, w, n);
    }
}

static int rule_add(struct compiler *c, unsigned index)
{
    const struct seccomp_rule *r = &c->p->rules[index];
    struct working w = {
        r, index, seccomp_action_word(r->action, r->errno_ret), {{0}}};

    for (unsigned i = 0; i < r->nargs; i++)
        if (arg_check(c, &w, i))
            return -c->err->code;
    variant_make(c, &w, true);
    if (c->has[CALL_I386] || c->has[CALL_X32])
        variant_make(c, &w, false);
    names_add(c, &w);
    return 0;
}

static void arches_find(struct compiler *c)
{
    c->has[CALL_X86_64] = true;
    for (unsigned i = 0; i < c->p->arch_count; i++) {
        c->has[CALL_I386] |= c->p->arches[i] == SECCOMP_ARCH_X86;
        c->has[CALL_X32] |= c->p->arches[i] == SECCOMP_ARCH_X32;
    }
    for (unsigned abi = 0; abi < CALL_ABIS; abi++)
        if (c->has[abi])
            memset(c->call[abi], 0, sizeof(c->call[abi]));
}

int seccomp_rules(struct compiler *c)
{
    int ret = 0;

    arches_find(c);
    for (unsigned i = 0; i < c->p->rule_count && !ret; i++)
        ret = rule_add(c, i);
    return ret;
}
