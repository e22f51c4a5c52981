/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers' filters beside libseccomp's, called as runc and crun call it:
 * both are run for calls and arguments of all kinds, and where they disagree a
 * third judge reads the profile word by word.
 */
#include "fence/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <stdlib.h>

#include "bpf.h"
#include "fence/numbers.h"
#include "fence/reach.h"
#include "libseccomp.h"
#include "podman.h"
#include "test.h"

#if LIBSECCOMP

/* Its own leaks, where rules contradict each other. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libseccomp";
}

#define LONG 300 /* profiles of a kind */

/* --- what a profile says, word by word --- */

static bool arg_holds(const struct seccomp_arg *a, uint64_t v, bool wide)
{
    uint64_t all = wide ? ~0ull : 0xffffffff;
    uint64_t value = a->value & all;

    v &= all;
    switch (a->op) {
    case SECCOMP_OP_NE:
        return v != value;
    case SECCOMP_OP_LT:
        return v < value;
    case SECCOMP_OP_LE:
        return v <= value;
    case SECCOMP_OP_EQ:
        return v == value;
    case SECCOMP_OP_GE:
        return v >= value;
    case SECCOMP_OP_GT:
        return v > value;
    default:
        return (v & value) == (a->value_two & value);
    }
}

/* `skip`: the first argument is the call's number. */
static bool rule_holds(const struct seccomp_rule *r,
                       const struct seccomp_data *d, bool wide, bool skip)
{
    bool any = false, all = true, hold;

    for (unsigned i = 0; i < r->nargs; i++) {
        hold = (skip && !r->args[i].index) ||
               arg_holds(&r->args[i], d->args[r->args[i].index], wide);
        any |= hold;
        all &= hold;
    }
    return r->nargs && is_twice(r) ? any : all;
}

/* No arguments, or none that could fail. */
static bool rule_always(const struct seccomp_rule *r, bool wide)
{
    bool any = false, all = true, always;

    for (unsigned i = 0; i < r->nargs; i++) {
        always = r->args[i].op == SECCOMP_OP_MASKED_EQ &&
                 !(wide ? r->args[i].value : (uint32_t)r->args[i].value);
        any |= always;
        all &= always;
    }
    return r->nargs && is_twice(r) ? any : all;
}

/* Is the call one of the rule's? `muxed`: through socketcall() or ipc(). */
static bool rule_names(const struct seccomp_rule *r,
                       const struct seccomp_data *d, bool muxed)
{
    uint32_t nr = (uint32_t)d->nr, first = (uint32_t)d->args[0];
    enum call_abi abi = d->arch == AUDIT_ARCH_I386 ? CALL_I386
                        : nr & CALL_X32_BIT        ? CALL_X32
                                                   : CALL_X86_64;

    if (abi == CALL_X32)
        nr &= ~(uint32_t)CALL_X32_BIT;
    for (unsigned n = 0; n < r->count; n++) {
        const struct call_numbers *c = call_numbers_find(r->names[n]);

        if (!c)
            continue;
        if (!muxed && c->nr[abi] >= 0 && (uint32_t)c->nr[abi] == nr)
            return true;
        if (muxed && abi == CALL_I386 && first &&
            ((nr == 102 && first == c->socketcall) ||
             (nr == 117 && first == c->ipc)))
            return true;
    }
    return false;
}

/* Is it, and do the arguments fit? */
static bool rule_fits(const struct seccomp_rule *r,
                      const struct seccomp_data *d, bool wide)
{
    return (rule_names(r, d, false) && rule_holds(r, d, wide, false)) ||
           (rule_names(r, d, true) && rule_holds(r, d, wide, true));
}

static bool is_listed(const struct seccomp_profile *p, enum seccomp_arch a)
{
    for (unsigned i = 0; i < p->arch_count; i++)
        if (p->arches[i] == a)
            return true;
    return a == SECCOMP_ARCH_X86_64;
}

static bool is_foreign(const struct seccomp_profile *p,
                       const struct seccomp_data *d)
{
    if (d->arch == AUDIT_ARCH_I386)
        return !is_listed(p, SECCOMP_ARCH_X86);
    return d->arch != AUDIT_ARCH_X86_64 ||
           ((uint32_t)d->nr >= CALL_X32_BIT && d->nr != -1 &&
            !is_listed(p, SECCOMP_ARCH_X32));
}

/* One answer for a call whose rule has no arguments: the first such rule's. */
static const struct seccomp_rule *fixed_rule(const struct seccomp_profile *p,
                                             const struct seccomp_data *d,
                                             bool wide)
{
    for (unsigned i = 0; i < p->rule_count; i++) {
        const struct seccomp_rule *r = &p->rules[i];

        if (word(r->action, r->errno_ret) != word(p->action, p->errno_ret) &&
            rule_names(r, d, false) && rule_always(r, wide))
            return r;
    }
    return NULL;
}

/* Can this be the answer? Where rules contradict each other, any of theirs. */
static bool is_answer(const struct seccomp_profile *p,
                      const struct seccomp_data *d, uint32_t answer)
{
    uint32_t otherwise = word(p->action, p->errno_ret), action;
    bool wide = d->arch == AUDIT_ARCH_X86_64 && !(d->nr & CALL_X32_BIT);
    const struct seccomp_rule *r;
    bool any = false;

    if (is_foreign(p, d))
        return answer == SECCOMP_RET_KILL_THREAD;
    r = fixed_rule(p, d, wide);
    if (r)
        return answer == word(r->action, r->errno_ret);
    for (r = p->rules; r < p->rules + p->rule_count; r++) {
        action = word(r->action, r->errno_ret);
        if (action == otherwise || !rule_fits(r, d, wide))
            continue;
        if (action == answer)
            return true;
        any = true;
    }
    return !any && answer == otherwise;
}

/* --- random profiles --- */

static uint64_t seed = 1;

static unsigned rnd(unsigned below)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(seed >> 33) % below;
}

/* Some that i386 has twice, some with other numbers, some that are not. */
static const char *const pool[] = {
    "read",     "openat",  "clone",   "personality", "ioctl",      "socket",
    "connect",  "accept",  "sendmsg", "recvmmsg",    "socketcall", "semop",
    "semget",   "shmat",   "ipc",     "msgsnd",      "prctl",      "waitid",
    "mmap2",    "_llseek", "execve",  "ptrace",      "arch_prctl", "futex",
    "no_such_", "getpid",  "kill",    "statx",       "fcntl64",    "umount"};

static const uint64_t values[] = {
    0,          1,          2,           3,           5,
    8,          16,         0x20008,     0x7e020000,  0x7fffffff,
    0x80000000, 0xffffffff, 0x100000000, 0x100000005, 0x8000000000000000,
    ~0ull};

struct rnd_profile {
    struct seccomp_profile p;
    struct seccomp_rule rule[8];
    struct seccomp_arg arg[8][4];
    const char *name[8][6];
    enum seccomp_arch arch[2];
};

enum rnd_kind {
    ONE_ACTION, /* of rules with arguments: they are OR'ed */
    SMALL,      /* any action; one argument, a small value or range */
    ANY,        /* ... of any kind */
};

static struct seccomp_arg rnd_arg(enum rnd_kind kind)
{
    unsigned among = kind == SMALL ? 8 : ARRAY_SIZE(values);
    unsigned op = kind == SMALL ? SECCOMP_OP_LT + rnd(5) : rnd(7);

    return (struct seccomp_arg){rnd(kind == SMALL ? 2 : 6), (enum seccomp_op)op,
                                values[rnd(among)], values[rnd(among)]};
}

static enum seccomp_action rnd_action(void)
{
    return (enum seccomp_action)rnd(8);
}

static void rnd_rule(struct rnd_profile *r, unsigned i, enum rnd_kind kind)
{
    struct seccomp_rule *rule = &r->rule[i];

    *rule = (struct seccomp_rule){
        .names = r->name[i],
        .count = 1 + rnd(6),
        .action = rnd_action(),
        .errno_ret = (int)rnd(4) - 1,
        .args = r->arg[i],
        .nargs = rnd(6) ? 1 + rnd(kind == SMALL ? 1 : 3) : 0,
    };
    if (kind == ONE_ACTION && rule->nargs) {
        rule->action = r->rule[0].action;
        rule->errno_ret = r->rule[0].errno_ret;
    }
    for (unsigned n = 0; n < rule->count; n++)
        r->name[i][n] = pool[rnd(kind == SMALL ? 8 : ARRAY_SIZE(pool))];
    for (unsigned a = 0; a < rule->nargs; a++)
        r->arg[i][a] = rnd_arg(kind);
}

static const struct seccomp_profile *rnd_make(struct rnd_profile *r,
                                              enum rnd_kind kind)
{
    r->p = (struct seccomp_profile){
        .action = (enum seccomp_action)rnd(7),
        .errno_ret = (int)rnd(50) - 1,
        .arches = r->arch,
        .arch_count = rnd(3),
        .rules = r->rule,
        .rule_count = 1 + rnd(ARRAY_SIZE(r->rule)),
        .exact = true,
    };
    r->arch[0] = (enum seccomp_arch)rnd(3);
    r->arch[1] = (enum seccomp_arch)rnd(3);
    if (r->arch[1] == r->arch[0])
        r->p.arch_count = rnd(2);
    for (unsigned i = 0; i < r->p.rule_count; i++)
        rnd_rule(r, i, kind);
    return &r->p;
}

/* --- the same answers --- */

struct pair {
    const struct seccomp_profile *p;
    struct seccomp_program ours, theirs;
    unsigned wrong;   /* answers that no rule gives */
    unsigned differs; /* where rules contradict each other */
    unsigned theirs_wrong;
};

static void call_show(const struct seccomp_data *d, uint32_t a, uint32_t b)
{
    fprintf(stderr, "call %d (%#x) of %#x: %#x, libseccomp %#x; arguments",
            d->nr, (unsigned)d->nr, d->arch, a, b);
    for (unsigned i = 0; i < 6; i++)
        fprintf(stderr, " %#llx", (unsigned long long)d->args[i]);
    fprintf(stderr, "\n");
}

static void same_for(struct pair *pair, const struct seccomp_data *d)
{
    uint32_t a = bpf_run(pair->ours.insn, pair->ours.len, d);
    uint32_t b = bpf_run(pair->theirs.insn, pair->theirs.len, d);
    unsigned *what;

    /* What the runtime asks its own filter before it loads it. */
    CHECK(fence_answer(pair->ours.insn, pair->ours.len, d) == a);
    if (a == b && (rnd(8) || is_answer(pair->p, d, a)))
        return;
    what = !is_answer(pair->p, d, a)   ? &pair->wrong
           : !is_answer(pair->p, d, b) ? &pair->theirs_wrong
                                       : &pair->differs;
    if (!(*what)++ && what == &pair->wrong)
        call_show(d, a, b);
}

static void same_for_number(struct pair *pair, uint32_t arch, uint32_t nr,
                            unsigned tries)
{
    struct seccomp_data d = {.nr = (int)nr, .arch = arch};

    for (unsigned i = 0; i < tries; i++) {
        for (unsigned a = 0; a < 6; a++)
            d.args[a] =
                values[rnd(ARRAY_SIZE(values))] + (rnd(4) ? 0 : rnd(3) - 1ull);
        same_for(pair, &d);
    }
}

/* Where the first argument has to be some number. */
static bool is_muxed(uint32_t arch, uint32_t nr)
{
    return arch == AUDIT_ARCH_I386 && (nr == 102 || nr == 117);
}

static void same_for_all(struct pair *pair, unsigned tries)
{
    static const uint32_t arches[] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_I386,
                                      AUDIT_ARCH_AARCH64};
    static const uint32_t odd[] = {1023,       0x3fffffff, 0x40000000,
                                   0x40000400, 0x7fffffff, 0x80000000,
                                   0xfffffffe, 0xffffffff};

    for (unsigned i = 0; i < ARRAY_SIZE(arches); i++) {
        for (uint32_t nr = 0; nr < CALL_NUMBERS; nr++) {
            same_for_number(pair, arches[i], nr,
                            is_muxed(arches[i], nr) ? 500 : tries);
            same_for_number(pair, arches[i], nr | CALL_X32_BIT, tries);
        }
        for (unsigned n = 0; n < ARRAY_SIZE(odd); n++)
            same_for_number(pair, arches[i], odd[n], 1);
    }
}

static void profile_show(const struct seccomp_profile *p)
{
    fprintf(stderr, "default %d/%d, %u arches", p->action, p->errno_ret,
            p->arch_count);
    for (unsigned i = 0; i < p->arch_count; i++)
        fprintf(stderr, " %u", p->arches[i]);
    fprintf(stderr, "\n");
    for (unsigned i = 0; i < p->rule_count; i++) {
        const struct seccomp_rule *r = &p->rules[i];

        fprintf(stderr, "  %d/%d:", r->action, r->errno_ret);
        for (unsigned n = 0; n < r->count; n++)
            fprintf(stderr, " %s", r->names[n]);
        for (unsigned a = 0; a < r->nargs; a++)
            fprintf(stderr, " [%u %s %#llx %#llx]", r->args[a].index,
                    seccomp_op_name(r->args[a].op),
                    (unsigned long long)r->args[a].value,
                    (unsigned long long)r->args[a].value_two);
        fprintf(stderr, "\n");
    }
}

/* Did libseccomp take it? */
static bool same_profile(struct pair *pair, const struct seccomp_profile *p,
                         unsigned tries)
{
    struct error err = {0};
    int ret = seccomp_compile(p, &pair->ours, &err);

    pair->p = p;
    pair->wrong = pair->differs = pair->theirs_wrong = 0;
    if (lib_compile(p, &pair->theirs))
        return false;
    if (ret)
        fprintf(stderr, "%s\n", err.msg), pair->wrong++;
    else
        same_for_all(pair, tries);
    if (pair->wrong)
        profile_show(p);
    return true;
}

static void same_random(enum rnd_kind kind, unsigned count)
{
    static struct pair pair;
    static struct rnd_profile r;
    unsigned taken = 0, wrong = 0, differ = 0, theirs = 0;

    for (unsigned i = 0; i < count; i++) {
        if (!same_profile(&pair, rnd_make(&r, kind), 3))
            continue;
        taken++;
        wrong += !!pair.wrong;
        differ += !!pair.differs;
        theirs += !!pair.theirs_wrong;
    }
    CHECK_EQ(wrong, 0);
    /* It shares tests among rules; then which comes first is not so clear. */
    CHECK(differ <= (kind == ONE_ACTION ? 0 : taken / 50));
    /* It mixes up some rules with several arguments: not what is tested. */
    CHECK(theirs < taken / 10);
    CHECK(taken > count / 2);
}

static void rules_with_one_action_are_ored(void)
{
    same_random(ONE_ACTION, LONG);
}

static void the_more_exact_of_two_rules_counts(void)
{
    same_random(SMALL, LONG);
}

static void rules_that_contradict_each_other_mostly_have_libseccomps_order(void)
{
    same_random(ANY, LONG);
}

/* --- names --- */

static const uint32_t lib_arches[] = {SCMP_ARCH_X86_64, SCMP_ARCH_X86,
                                      SCMP_ARCH_X32};

/* What libseccomp gives no number it may be too old for. */
static void names_have_libseccomps_numbers(void)
{
    const struct call_numbers *c;
    unsigned compared = 0;
    const char *name;

    for (unsigned i = 0; (name = call_numbers_name(i)); i++) {
        c = call_numbers_find(name);
        CHECK(c);
        for (unsigned abi = 0; c && abi < CALL_ABIS; abi++) {
            int nr = seccomp_syscall_resolve_name_arch(lib_arches[abi], name);

            if (nr < 0)
                continue;
            compared++;
            if (nr != (c->nr[abi] | (abi == CALL_X32 ? CALL_X32_BIT : 0)))
                fprintf(stderr, "%s: %d, libseccomp %d\n", name, c->nr[abi],
                        nr),
                    test_failed = 1;
        }
    }
    CHECK(compared > 1000);
}

static void numbers_have_libseccomps_names(void)
{
    const struct call_numbers *c;

    for (unsigned abi = 0; abi < CALL_ABIS; abi++)
        for (int nr = 0; nr < CALL_NUMBERS; nr++) {
            char *name = seccomp_syscall_resolve_num_arch(
                lib_arches[abi], abi == CALL_X32 ? nr | CALL_X32_BIT : nr);

            c = name ? call_numbers_find(name) : NULL;
            if (name && (!c || c->nr[abi] != nr))
                fprintf(stderr, "%s: libseccomp %d of %u\n", name, nr, abi),
                    test_failed = 1;
            free(name);
        }
}

/* --- profiles that are used --- */

/* Without the names that libseccomp is too old for. */
struct known {
    struct seccomp_profile p;
    struct seccomp_rule rule[128];
    const char *name[1024];
};

static const struct seccomp_profile *known_only(struct known *k,
                                                const struct seccomp_profile *p)
{
    unsigned used = 0;

    k->p = *p;
    k->p.rules = k->rule;
    k->p.exact = true;
    for (unsigned i = 0; i < p->rule_count; i++) {
        k->rule[i] = p->rules[i];
        k->rule[i].names = k->name + used;
        k->rule[i].count = 0;
        for (unsigned n = 0; n < p->rules[i].count; n++)
            if (seccomp_syscall_resolve_name(p->rules[i].names[n]) !=
                __NR_SCMP_ERROR) {
                k->name[used++] = p->rules[i].names[n];
                k->rule[i].count++;
            }
    }
    return &k->p;
}

static void used_profile(const struct seccomp_profile *p)
{
    static struct pair pair;
    static struct known k;

    CHECK(same_profile(&pair, known_only(&k, p), 20));
    CHECK_EQ(pair.wrong, 0);
    CHECK_EQ(pair.differs, 0);
    CHECK_EQ(pair.theirs_wrong, 0);
}

static void default_profile_is_the_same(void)
{
    static const uint64_t caps[] = {0, 0xa80425fb, ~0ull, BIT64(CAP_SYS_ADMIN)};
    struct seccomp_default d;

    for (unsigned i = 0; i < ARRAY_SIZE(caps); i++)
        used_profile(seccomp_default(&d, caps[i]));
}

static void podmans_default_profile_is_the_same(void)
{
    struct json_object *root = json_object_from_file(PODMANS);
    static struct podman m;

    if (!root)
        SKIP("no " PODMANS);
    for (unsigned caps = 0; caps < 1024; caps = 2 * caps + 1) {
        CHECK(podman_read(&m, root, caps));
        CHECK(m.names > 400);
        used_profile(&m.p);
    }
    json_object_put(root);
}

int main(void)
{
    alarm(120); /* libseccomp is not done with some profiles in an hour */
    RUN(names_have_libseccomps_numbers);
    RUN(numbers_have_libseccomps_names);
    RUN(rules_with_one_action_are_ored);
    RUN(the_more_exact_of_two_rules_counts);
    RUN(rules_that_contradict_each_other_mostly_have_libseccomps_order);
    RUN(default_profile_is_the_same);
    RUN(podmans_default_profile_is_the_same);
    return test_status();
}

#else

int main(void)
{
    printf("skip like_libseccomp: built without libseccomp-dev\n");
    return 0;
}

#endif
