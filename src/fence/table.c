/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.c - the monitor's own lists, as the generator of filters wants them.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>

#include "base/log.h"
#include "fence/calls.h"

#define X32 0x40000000u /* this bit and above: not the calls that we know */

/* Each rule is a clause of one test. */
struct clauses {
    struct filter_test test[FENCE_RULES_MAX];
    struct filter_clause clause[FENCE_RULES_MAX];
    const struct filter_clause *ref[FENCE_RULES_MAX];
    struct filter_list list[FENCE_RULES_MAX]; /* one for a call that has some */
    uint16_t call[FENCE_RULES_MAX];           /* whose list that is */
    unsigned lists;
};

static uint32_t action_of(unsigned answer)
{
    switch (answer) {
    case FENCE_ALLOW:
        return SECCOMP_RET_ALLOW;
    case FENCE_ABSENT:
        return SECCOMP_RET_ERRNO | ENOSYS;
    case FENCE_REFUSE:
        return SECCOMP_RET_ERRNO | EACCES;
    default:
        return SECCOMP_RET_TRAP;
    }
}

static void clause_make(struct clauses *c, const struct fence_table *t,
                        unsigned i)
{
    const struct fence_rule *r = &t->rule[i];

    c->test[i] = (struct filter_test){.arg = r->arg,
                                      .op = FILTER_EQ,
                                      .mask = r->mask | ~0ull << 32,
                                      .value = r->value};
    c->clause[i] = (struct filter_clause){&c->test[i], 1, action_of(r->answer)};
    c->ref[i] = &c->clause[i];
    if (c->lists && c->call[c->lists - 1] == r->call) {
        c->list[c->lists - 1].clauses++;
        return;
    }
    c->call[c->lists] = r->call;
    c->list[c->lists++] =
        (struct filter_list){&c->ref[i], 1, action_of(t->answer[r->call]), 0};
}

static struct filter_list *list_of(struct clauses *c, unsigned call)
{
    for (unsigned i = 0; i < c->lists; i++)
        if (c->call[i] == call)
            return &c->list[i];
    return NULL;
}

static unsigned ranges_find(struct filter_range *r, const struct fence_table *t,
                            struct clauses *c)
{
    struct filter_list *list, *last = NULL;
    unsigned n = 0, i;

    for (i = 0; i < FENCE_CALLS; i++, last = list) {
        list = list_of(c, i);
        if (!i || list != last || t->answer[i] != t->answer[i - 1])
            r[n++] = (struct filter_range){i, action_of(t->answer[i]), list};
    }
    r[n++] = (struct filter_range){i, action_of(FENCE_ABSENT), NULL};
    r[n++] = (struct filter_range){X32, action_of(FENCE_TRAP), NULL};
    return n;
}

void fence_table_filter(struct fence_filter *f, const struct fence_table *t)
{
    const struct filter_range i386[] = {
        {0, action_of(FENCE_TRAP), NULL},
        {t->i386, action_of(FENCE_ALLOW), NULL},
        {t->i386 + 1, action_of(FENCE_TRAP), NULL},
    };
    struct filter_range range[FENCE_CALLS + 2];
    struct filter_arch arch[] = {
        {AUDIT_ARCH_X86_64, range, 0},
        {AUDIT_ARCH_I386, i386, ARRAY_SIZE(i386)},
    };
    struct clauses c;
    int len;

    c.lists = 0;
    for (unsigned i = 0; i < t->rules; i++)
        clause_make(&c, t, i);
    arch[0].ranges = ranges_find(range, t, &c);
    len = filter_make(f->insn, FENCE_FILTER_MAX, arch, t->i386 ? 2 : 1,
                      action_of(FENCE_TRAP));
    rf_assert(len > 0);
    f->len = (unsigned)len;
}
