/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers' filters beside libseccomp's, called as runc and crun call it:
 * both are run for calls and arguments of all kinds. And what becomes of who
 * makes the calls, in children.
 */
#include "fence/seccomp.h"

#include <errno.h>
#include <json-c/json.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf.h"
#include "fence/numbers.h"
#include "test.h"

#if __has_include(<seccomp.h>)
/* It has a function of that name, too. */
#define seccomp_load libseccomp_load
#include <seccomp.h>
#undef seccomp_load
#define LIBSECCOMP 1
#else
#define LIBSECCOMP 0
#endif

#define NAMES(...)                                                             \
    .names = (const char *const[]){__VA_ARGS__},                               \
    .count = ARRAY_SIZE(((const char *const[]){__VA_ARGS__}))
#define ARGS(...)                                                              \
    .args = (const struct seccomp_arg[]){__VA_ARGS__},                         \
    .nargs = ARRAY_SIZE(((const struct seccomp_arg[]){__VA_ARGS__}))
#define RULES(...)                                                             \
    .rules = (const struct seccomp_rule[]){__VA_ARGS__},                       \
    .rule_count = ARRAY_SIZE(((const struct seccomp_rule[]){__VA_ARGS__}))

#define LONG 300 /* profiles of a kind */

static const enum seccomp_arch all_arches[] = {
    SECCOMP_ARCH_X86_64, SECCOMP_ARCH_X86, SECCOMP_ARCH_X32};

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

static bool is_twice(const struct seccomp_rule *r)
{
    unsigned seen = 0;

    for (unsigned i = 0; i < r->nargs; i++) {
        if (seen & BIT(r->args[i].index))
            return true;
        seen |= BIT(r->args[i].index);
    }
    return false;
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

/* Is the call one of the rule's, and through socketcall() or ipc()? */
static bool rule_names(const struct seccomp_rule *r,
                       const struct seccomp_data *d, bool *muxed)
{
    uint32_t nr = (uint32_t)d->nr, first = (uint32_t)d->args[0];
    enum call_abi abi = d->arch == AUDIT_ARCH_I386 ? CALL_I386
                        : nr & CALL_X32_BIT        ? CALL_X32
                                                   : CALL_X86_64;

    for (unsigned n = 0; n < r->count; n++) {
        const struct call_numbers *c = call_numbers_find(r->names[n]);

        *muxed = c && abi == CALL_I386 &&
                 ((nr == 102 && first && first == c->socketcall) ||
                  (nr == 117 && first && first == c->ipc));
        if (*muxed)
            return true;
        if (c && c->nr[abi] >= 0 &&
            (uint32_t)c->nr[abi] ==
                (abi == CALL_X32 ? nr & ~(uint32_t)CALL_X32_BIT : nr))
            return true;
    }
    return false;
}

/* SECCOMP_RET_* with its data; libseccomp's numbers are the same. */
static uint32_t word(enum seccomp_action a, int errno_ret)
{
    static const uint32_t words[] = {
        [SECCOMP_ACT_KILL_THREAD] = SECCOMP_RET_KILL_THREAD,
        [SECCOMP_ACT_KILL_PROCESS] = SECCOMP_RET_KILL_PROCESS,
        [SECCOMP_ACT_TRAP] = SECCOMP_RET_TRAP,
        [SECCOMP_ACT_ERRNO] = SECCOMP_RET_ERRNO,
        [SECCOMP_ACT_TRACE] = SECCOMP_RET_TRACE,
        [SECCOMP_ACT_ALLOW] = SECCOMP_RET_ALLOW,
        [SECCOMP_ACT_LOG] = SECCOMP_RET_LOG,
        [SECCOMP_ACT_NOTIFY] = SECCOMP_RET_USER_NOTIF};
    uint32_t data = errno_ret < 0 ? EPERM : (uint32_t)errno_ret;

    if (a == SECCOMP_ACT_ERRNO || a == SECCOMP_ACT_TRACE)
        return words[a] | data;
    return words[a];
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
    bool muxed;

    for (unsigned i = 0; i < p->rule_count; i++) {
        const struct seccomp_rule *r = &p->rules[i];

        if (word(r->action, r->errno_ret) != word(p->action, p->errno_ret) &&
            rule_names(r, d, &muxed) && !muxed && rule_always(r, wide))
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
    bool any = false, muxed;

    if (is_foreign(p, d))
        return answer == SECCOMP_RET_KILL_THREAD;
    r = fixed_rule(p, d, wide);
    if (r)
        return answer == word(r->action, r->errno_ret);
    for (r = p->rules; r < p->rules + p->rule_count; r++) {
        action = word(r->action, r->errno_ret);
        if (action == otherwise || !rule_names(r, d, &muxed) ||
            !rule_holds(r, d, wide, muxed))
            continue;
        if (action == answer)
            return true;
        any = true;
    }
    return !any && answer == otherwise;
}

/* --- libseccomp --- */

#if LIBSECCOMP

static enum scmp_compare lib_op(enum seccomp_op op)
{
    static const enum scmp_compare ops[] = {
        SCMP_CMP_NE, SCMP_CMP_LT, SCMP_CMP_LE,       SCMP_CMP_EQ,
        SCMP_CMP_GE, SCMP_CMP_GT, SCMP_CMP_MASKED_EQ};

    return ops[op];
}

/* As runc's matchCall() does it. */
static int lib_rule(scmp_filter_ctx ctx, const struct seccomp_rule *r,
                    uint32_t action, int nr)
{
    struct scmp_arg_cmp cmp[16];
    int ret = 0;

    for (unsigned i = 0; i < r->nargs; i++)
        cmp[i] = (struct scmp_arg_cmp){r->args[i].index, lib_op(r->args[i].op),
                                       r->args[i].value, r->args[i].value_two};
    if (!is_twice(r))
        return seccomp_rule_add_array(ctx, action, nr, r->nargs, cmp);
    for (unsigned i = 0; i < r->nargs && !ret; i++)
        ret = seccomp_rule_add_array(ctx, action, nr, 1, &cmp[i]);
    return ret;
}

static int lib_rules(scmp_filter_ctx ctx, const struct seccomp_profile *p)
{
    uint32_t otherwise = word(p->action, p->errno_ret);
    int ret = 0;

    for (unsigned i = 0; i < p->rule_count && !ret; i++) {
        const struct seccomp_rule *r = &p->rules[i];
        uint32_t action = word(r->action, r->errno_ret);

        for (unsigned n = 0; n < r->count && !ret; n++) {
            int nr = seccomp_syscall_resolve_name(r->names[n]);

            if (action != otherwise && nr != __NR_SCMP_ERROR)
                ret = lib_rule(ctx, r, action, nr);
        }
    }
    return ret;
}

static int lib_export(scmp_filter_ctx ctx, struct seccomp_program *out)
{
    int fd = memfd_create("filter", MFD_CLOEXEC), ret;
    ssize_t n;

    ret = seccomp_export_bpf(ctx, fd);
    n = pread(fd, out->insn, sizeof(out->insn), 0);
    close(fd);
    out->len = (unsigned)((size_t)n / sizeof(out->insn[0]));
    return ret;
}

/* -EEXIST for rules that libseccomp takes for contradictory. */
static int lib_compile(const struct seccomp_profile *p,
                       struct seccomp_program *out)
{
    static const uint32_t arches[] = {SCMP_ARCH_X86_64, SCMP_ARCH_X86,
                                      SCMP_ARCH_X32};
    scmp_filter_ctx ctx = seccomp_init(word(p->action, p->errno_ret));
    int ret = ctx ? 0 : -ENOMEM;

    for (unsigned i = 0; i < p->arch_count && !ret; i++)
        if (p->arches[i] != SECCOMP_ARCH_X86_64)
            ret = seccomp_arch_add(ctx, arches[p->arches[i]]);
    if (!ret)
        ret = lib_rules(ctx, p);
    if (!ret)
        ret = lib_export(ctx, out);
    seccomp_release(ctx);
    return ret;
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
    0, 1, 2, 3, 5, 8, 16, 0x20008, 0x7e020000, 0x7fffffff, 0x80000000,
    0xffffffff, 0x100000000, 0x100000005, 0x8000000000000000, ~0ull};

struct rnd_profile {
    struct seccomp_profile p;
    struct seccomp_rule rule[8];
    struct seccomp_arg arg[8][4];
    const char *name[8][6];
    enum seccomp_arch arch[2];
};

enum rnd_kind {
    ONE_ACTION, /* of rules with arguments: they are OR'ed */
    SMALL,      /* any action; single arguments, small values */
    ANY,
};

static struct seccomp_arg rnd_arg(enum rnd_kind kind)
{
    unsigned among = kind == SMALL ? 8 : ARRAY_SIZE(values);

    return (struct seccomp_arg){rnd(6), (enum seccomp_op)rnd(7),
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
        r->name[i][n] = pool[rnd(ARRAY_SIZE(pool))];
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

    if (a == b && (rnd(8) || is_answer(pair->p, d, a)))
        return;
    what = !is_answer(pair->p, d, a)   ? &pair->wrong
           : !is_answer(pair->p, d, b) ? &pair->theirs_wrong
                                       : &pair->differs;
    if (!(*what)++ && (what != &pair->theirs_wrong || getenv("SHOW")))
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

static void same_for_all(struct pair *pair, unsigned tries)
{
    static const uint32_t arches[] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_I386,
                                      AUDIT_ARCH_AARCH64};
    static const uint32_t odd[] = {1023,       0x3fffffff, 0x40000000,
                                   0x40000400, 0x7fffffff, 0x80000000,
                                   0xfffffffe, 0xffffffff};

    for (unsigned i = 0; i < ARRAY_SIZE(arches); i++) {
        for (uint32_t nr = 0; nr < CALL_NUMBERS; nr++) {
            same_for_number(pair, arches[i], nr, tries);
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
        fprintf(stderr, " %s", seccomp_arch_name(p->arches[i]));
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
    if (pair->wrong || pair->differs)
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
    CHECK_EQ(differ, 0);
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

static void rules_that_contradict_each_other_have_libseccomps_order(void)
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
    static const uint64_t caps[] = {0, 0xa80425fb, ~0ull,
                                    BIT64(CAP_SYS_ADMIN)};
    struct seccomp_default d;

    for (unsigned i = 0; i < ARRAY_SIZE(caps); i++)
        used_profile(seccomp_default(&d, caps[i]));
}

/* --- podman's, from its file --- */

#define PODMANS "/usr/share/containers/seccomp.json"

struct podman {
    struct seccomp_profile p;
    struct seccomp_rule rule[128];
    struct seccomp_arg arg[64];
    const char *name[1024];
    unsigned names, args;
};

static bool json_has(struct json_object *o, const char *key, const char *what)
{
    struct json_object *list = json_object_object_get(o, key);

    for (size_t i = 0; list && i < json_object_array_length(list); i++)
        if (!strcmp(json_object_get_string(json_object_array_get_idx(list, i)),
                    what))
            return true;
    return false;
}

static bool json_is_for(struct json_object *o, unsigned caps)
{
    static const char *const names[] = {
        "CAP_DAC_READ_SEARCH", "CAP_SYS_ADMIN", "CAP_SYS_CHROOT",
        "CAP_SYS_MODULE",      "CAP_SYS_PACCT", "CAP_SYS_PTRACE",
        "CAP_SYS_RAWIO",       "CAP_SYS_TIME",  "CAP_SYS_TTY_CONFIG",
        "CAP_AUDIT_WRITE"};
    struct json_object *in = json_object_object_get(o, "includes");
    struct json_object *ex = json_object_object_get(o, "excludes");

    if (json_object_object_get(in, "arches") &&
        !json_has(in, "arches", "amd64"))
        return false;
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (json_has(caps & BIT(i) ? ex : in, "caps", names[i]))
            return false;
    return true;
}

static int json_number(struct json_object *o, const char *key, int otherwise)
{
    struct json_object *v = json_object_object_get(o, key);

    return v ? json_object_get_int(v) : otherwise;
}

static const char *json_word(struct json_object *o, const char *key)
{
    return json_object_get_string(json_object_object_get(o, key));
}

static void podman_args(struct podman *m, struct seccomp_rule *r,
                        struct json_object *list)
{
    r->args = m->arg + m->args;
    for (size_t i = 0; list && i < json_object_array_length(list); i++) {
        struct json_object *o = json_object_array_get_idx(list, i);
        struct seccomp_arg *a = &m->arg[m->args++];

        a->index = (unsigned)json_number(o, "index", 0);
        a->value = json_object_get_uint64(json_object_object_get(o, "value"));
        a->value_two =
            json_object_get_uint64(json_object_object_get(o, "valueTwo"));
        CHECK(seccomp_op_find(json_word(o, "op"), &a->op));
        r->nargs++;
    }
}

static void podman_rule(struct podman *m, struct json_object *o)
{
    struct seccomp_rule *r = &m->rule[m->p.rule_count++];
    struct json_object *list = json_object_object_get(o, "names");

    *r = (struct seccomp_rule){.names = m->name + m->names,
                               .errno_ret = json_number(o, "errnoRet", -1)};
    CHECK(seccomp_action_find(json_word(o, "action"), &r->action));
    for (size_t i = 0; i < json_object_array_length(list); i++, r->count++)
        m->name[m->names++] =
            json_object_get_string(json_object_array_get_idx(list, i));
    podman_args(m, r, json_object_object_get(o, "args"));
}

static void podmans_default_profile_is_the_same(void)
{
    struct json_object *root = json_object_from_file(PODMANS), *list;
    static struct podman m;

    if (!root)
        SKIP("no " PODMANS);
    list = json_object_object_get(root, "syscalls");
    for (unsigned caps = 0; caps < 1024; caps = 2 * caps + 1) {
        m.names = m.args = 0;
        m.p = (struct seccomp_profile){
            .action = SECCOMP_ACT_ERRNO,
            .errno_ret = json_number(root, "defaultErrnoRet", -1),
            .arches = all_arches,
            .arch_count = ARRAY_SIZE(all_arches),
            .rules = m.rule};
        for (size_t i = 0; i < json_object_array_length(list); i++)
            if (json_is_for(json_object_array_get_idx(list, i), caps))
                podman_rule(&m, json_object_array_get_idx(list, i));
        CHECK(m.names > 400);
        used_profile(&m.p);
    }
    json_object_put(root);
}

#endif

/* --- by ourselves --- */

static struct seccomp_program prog;

static uint32_t answer(uint32_t arch, uint32_t nr, uint64_t arg0, uint64_t arg1)
{
    struct seccomp_data d = {
        .nr = (int)nr, .arch = arch, .args = {arg0, arg1}};

    return bpf_run(prog.insn, prog.len, &d);
}

static uint32_t native(uint32_t nr, uint64_t arg0, uint64_t arg1)
{
    return answer(AUDIT_ARCH_X86_64, nr, arg0, arg1);
}

#define ERRNO(e) (SECCOMP_RET_ERRNO | (uint32_t)(e))

static void compile(const struct seccomp_profile *p)
{
    struct error err;

    CHECK(!seccomp_compile(p, &prog, &err));
}

static void default_profile_has_dockers_conditions(void)
{
    struct seccomp_default d;

    compile(seccomp_default(&d, 0));
    CHECK_EQ(native(SYS_openat, 0, 0), SECCOMP_RET_ALLOW);
    CHECK_EQ(native(SYS_socket, AF_INET, 0), SECCOMP_RET_ALLOW);
    CHECK_EQ(native(SYS_socket, AF_ALG, 0), ERRNO(EPERM));
    CHECK_EQ(native(SYS_socket, AF_NFC, 0), SECCOMP_RET_ALLOW);
    CHECK_EQ(native(SYS_socket, AF_VSOCK, 0), ERRNO(EPERM));
    CHECK_EQ(native(SYS_socket, AF_XDP, 0), SECCOMP_RET_ALLOW);
    CHECK_EQ(native(SYS_personality, 0x40000, 0), ERRNO(EPERM));
    CHECK_EQ(native(SYS_personality, 0xffffffff, 0), SECCOMP_RET_ALLOW);
    CHECK_EQ(native(SYS_clone, SIGCHLD, 0), SECCOMP_RET_ALLOW);
    CHECK_EQ(native(SYS_clone, SIGCHLD | CLONE_NEWUSER, 0), ERRNO(EPERM));
    CHECK_EQ(native(SYS_clone3, 0, 0), ERRNO(ENOSYS));
    CHECK_EQ(native(SYS_mount, 0, 0), ERRNO(EPERM));
    CHECK_EQ(native(SYS_keyctl, 0, 0), ERRNO(EPERM));
    CHECK_EQ(native(SYS_io_uring_setup, 0, 0), ERRNO(EPERM));
    CHECK_EQ(answer(AUDIT_ARCH_AARCH64, 0, 0, 0), SECCOMP_RET_KILL_THREAD);

    compile(seccomp_default(&d, BIT64(CAP_SYS_ADMIN)));
    CHECK_EQ(native(SYS_clone, SIGCHLD | CLONE_NEWUSER, 0), SECCOMP_RET_ALLOW);
    CHECK_EQ(native(SYS_clone3, 0, 0), SECCOMP_RET_ALLOW);
    CHECK_EQ(native(SYS_mount, 0, 0), SECCOMP_RET_ALLOW);
    CHECK_EQ(native(SYS_reboot, 0, 0), ERRNO(EPERM));
}

static void calls_younger_than_the_profile_are_not_there(void)
{
    struct seccomp_profile p = {
        .action = SECCOMP_ACT_ERRNO,
        .errno_ret = SECCOMP_ERRNO_DEFAULT,
        .arches = all_arches,
        .arch_count = 2,
        RULES({NAMES("read", "openat2"), SECCOMP_ACT_ALLOW})};

    compile(&p);
    CHECK_EQ(native(SYS_openat2, 0, 0), SECCOMP_RET_ALLOW);
    CHECK_EQ(native(SYS_write, 0, 0), ERRNO(EPERM));
    CHECK_EQ(native(SYS_openat2 + 1, 0, 0), ERRNO(ENOSYS));
    CHECK_EQ(native(5000, 0, 0), ERRNO(ENOSYS));
    CHECK_EQ(answer(AUDIT_ARCH_I386, SYS_openat2 + 1, 0, 0), ERRNO(ENOSYS));
    CHECK_EQ(native(CALL_X32_BIT, 0, 0), SECCOMP_RET_KILL_THREAD);
    p.action = SECCOMP_ACT_LOG;
    compile(&p);
    CHECK_EQ(native(5000, 0, 0), SECCOMP_RET_LOG);
    p.action = SECCOMP_ACT_KILL_PROCESS;
    compile(&p);
    CHECK_EQ(native(5000, 0, 0), ERRNO(ENOSYS));
    p.exact = true;
    compile(&p);
    CHECK_EQ(native(5000, 0, 0), SECCOMP_RET_KILL_PROCESS);
}

static void foreign_architectures_are_passed_over(void)
{
    static const enum seccomp_arch arches[] = {SECCOMP_ARCH_FOREIGN,
                                               SECCOMP_ARCH_FOREIGN};
    const struct seccomp_profile p = {
        .action = SECCOMP_ACT_ALLOW, .arches = arches, .arch_count = 2};

    compile(&p);
    CHECK_EQ(native(SYS_read, 0, 0), SECCOMP_RET_ALLOW);
    CHECK_EQ(answer(AUDIT_ARCH_I386, 3, 0, 0), SECCOMP_RET_KILL_THREAD);
}

static void stricter_counts_where_i386_sees_no_difference(void)
{
    const struct seccomp_profile p = {
        .action = SECCOMP_ACT_KILL_PROCESS,
        .arches = all_arches,
        .arch_count = 2,
        RULES({NAMES("ioctl"), SECCOMP_ACT_ALLOW,
               ARGS({1, SECCOMP_OP_EQ, 0x100000001, 0})},
              {NAMES("ioctl"), SECCOMP_ACT_TRAP,
               ARGS({1, SECCOMP_OP_EQ, 0x200000001, 0})})};

    compile(&p);
    CHECK_EQ(native(SYS_ioctl, 0, 0x100000001), SECCOMP_RET_ALLOW);
    CHECK_EQ(native(SYS_ioctl, 0, 0x200000001), SECCOMP_RET_TRAP);
    CHECK_EQ(answer(AUDIT_ARCH_I386, 54, 0, 1), SECCOMP_RET_TRAP);
}

/* --- what is refused --- */

static void refused(const struct seccomp_profile *p, int code, const char *says)
{
    struct error err = {0};

    CHECK_EQ(-seccomp_compile(p, &prog, &err), code);
    if (strcmp(err.msg, says))
        fprintf(stderr, "says: %s\n", err.msg), test_failed = 1;
}

static void mistakes_are_named_by_their_place(void)
{
    refused(&(const struct seccomp_profile){
                .action = SECCOMP_ACT_ALLOW,
                RULES({NAMES("read"), SECCOMP_ACT_TRAP},
                      {NAMES("read"), SECCOMP_ACT_TRAP,
                       ARGS({0, SECCOMP_OP_EQ, 0, 0},
                            {6, SECCOMP_OP_EQ, 0, 0})})},
            EINVAL,
            "linux.seccomp.syscalls[1].args[1].index: 6 is none of a call's "
            "arguments, which are 0 to 5");
    refused(&(const struct seccomp_profile){
                .action = SECCOMP_ACT_ALLOW,
                RULES({NAMES("ioctl"), SECCOMP_ACT_TRAP,
                       ARGS({1, SECCOMP_OP_EQ, 5, 0})},
                      {NAMES("ioctl"), SECCOMP_ACT_LOG,
                       ARGS({1, SECCOMP_OP_EQ, 5, 0})})},
            EINVAL,
            "linux.seccomp.syscalls[1]: syscalls[0] has another action for the "
            "same arguments of the same call");
    refused(&(const struct seccomp_profile){
                .action = SECCOMP_ACT_ALLOW,
                RULES({NAMES("read"), SECCOMP_ACT_ERRNO, 70000})},
            EINVAL,
            "linux.seccomp.syscalls[0].errnoRet: 70000 is not 0 to 65535");
    refused(&(const struct seccomp_profile){.action = SECCOMP_ACT_ERRNO,
                                            .errno_ret = -2},
            EINVAL, "linux.seccomp.defaultErrnoRet: -2 is not 0 to 65535");
}

static void more_than_the_kernel_takes_is_refused(void)
{
    static struct seccomp_rule rule[3000];
    static struct seccomp_arg arg[3000];
    static const char *const names[] = {"read"};
    const struct seccomp_profile p = {.action = SECCOMP_ACT_ALLOW,
                                      .rules = rule,
                                      .rule_count = ARRAY_SIZE(rule)};
    struct error err;

    for (unsigned i = 0; i < ARRAY_SIZE(rule); i++) {
        arg[i] = (struct seccomp_arg){0, SECCOMP_OP_LT, i, 0};
        rule[i] = (struct seccomp_rule){names, 1, SECCOMP_ACT_ERRNO, (int)i,
                                        &arg[i], 1};
    }
    CHECK_EQ(seccomp_compile(&p, &prog, &err), -E2BIG);
}

/* Jumps reach 255 instructions; these need more. */
static void long_lists_keep_their_answers(void)
{
    static struct seccomp_rule rule[600];
    static struct seccomp_arg arg[600];
    static const char *const names[] = {"read", "write"};
    const struct seccomp_profile p = {.action = SECCOMP_ACT_ALLOW,
                                      .rules = rule,
                                      .rule_count = ARRAY_SIZE(rule)};

    for (unsigned i = 0; i < ARRAY_SIZE(rule); i++) {
        arg[i] = (struct seccomp_arg){
            1, SECCOMP_OP_EQ, i | (uint64_t)(i % 7) << 32, 0};
        rule[i] = (struct seccomp_rule){names, 2, SECCOMP_ACT_ERRNO, (int)i + 1,
                                        &arg[i], 1};
    }
    compile(&p);
    for (unsigned i = 0; i < ARRAY_SIZE(rule); i++) {
        CHECK_EQ(native(SYS_read, 0, arg[i].value), ERRNO(i + 1));
        CHECK_EQ(native(SYS_write, 0, arg[i].value), ERRNO(i + 1));
        CHECK_EQ(native(SYS_write, 0, arg[i].value + (7ull << 32)),
                 SECCOMP_RET_ALLOW);
    }
    CHECK_EQ(native(SYS_open, 0, 1), SECCOMP_RET_ALLOW);
}

static void names_of_the_spec_are_known(void)
{
    enum seccomp_action a = SECCOMP_ACT_LOG;
    enum seccomp_arch arch = SECCOMP_ARCH_X86;
    enum seccomp_op op = SECCOMP_OP_GT;
    unsigned flag = 0, n = 0;

    CHECK(seccomp_action_find("SCMP_ACT_KILL", &a));
    CHECK_EQ(a, SECCOMP_ACT_KILL_THREAD);
    CHECK(!seccomp_action_find("SCMP_ACT_", &a) &&
          !seccomp_action_find("scmp_act_kill", &a));
    CHECK(seccomp_arch_find("SCMP_ARCH_RISCV64", &arch));
    CHECK_EQ(arch, SECCOMP_ARCH_FOREIGN);
    CHECK(!seccomp_arch_find("", &arch));
    CHECK(seccomp_op_find("SCMP_CMP_MASKED_EQ", &op));
    CHECK_EQ(op, SECCOMP_OP_MASKED_EQ);
    CHECK(!seccomp_op_find("SCMP_CMP_XX", &op));
    CHECK(seccomp_flag_find("SECCOMP_FILTER_FLAG_LOG", &flag));
    CHECK_EQ(flag, SECCOMP_FILTER_FLAG_LOG);
    for (n = 0; seccomp_action_name(n); n++)
        CHECK(seccomp_action_find(seccomp_action_name(n), &a));
    CHECK_EQ(n, 9);
    for (n = 0; seccomp_arch_name(n); n++)
        CHECK(seccomp_arch_find(seccomp_arch_name(n), &arch));
    CHECK_EQ(n, 23);
    CHECK(!call_numbers_find("") && !call_numbers_find("reed"));
}

int main(void)
{
    RUN(names_of_the_spec_are_known);
#if LIBSECCOMP
    RUN(names_have_libseccomps_numbers);
    RUN(numbers_have_libseccomps_names);
    RUN(rules_with_one_action_are_ored);
    RUN(the_more_exact_of_two_rules_counts);
    RUN(rules_that_contradict_each_other_have_libseccomps_order);
    RUN(default_profile_is_the_same);
    RUN(podmans_default_profile_is_the_same);
#else
    printf("skip like_libseccomp: built without libseccomp-dev\n");
#endif
    RUN(default_profile_has_dockers_conditions);
    RUN(calls_younger_than_the_profile_are_not_there);
    RUN(foreign_architectures_are_passed_over);
    RUN(stricter_counts_where_i386_sees_no_difference);
    RUN(mistakes_are_named_by_their_place);
    RUN(more_than_the_kernel_takes_is_refused);
    RUN(long_lists_keep_their_answers);
    return test_status();
}
