/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp.c - profiles of any content: refused in one line, or made into a
 * filter that the kernel would take, with answers of the profile's.
 */
#include "fuzz.h"

#include <linux/audit.h>

#include "../unit/bpf.h"
#include "fence/numbers.h"
#include "fence/seccomp.h"

#define RULES 64
#define ARGS  256
#define NAMES 512

static struct seccomp_rule rule[RULES];
static struct seccomp_arg arg[ARGS];
static const char *name[NAMES];
static enum seccomp_arch arch[8];
static struct seccomp_program prog;
static unsigned args, names;

static void make_args(struct fuzz *f, struct seccomp_rule *r)
{
    static const uint8_t counts[] = {0, 0, 1, 1, 2, 3, 6, 20};
    unsigned n = counts[fuzz8(f) & 7];

    n = MIN(n, ARGS - args);
    r->args = arg + args;
    r->nargs = n;
    for (; n; n--)
        arg[args++] = (struct seccomp_arg){
            fuzz8(f) & 7 ? fuzz_below(f, 6) : fuzz_below(f, 8),
            (enum seccomp_op)fuzz_below(f, 7), fuzz_number(f), fuzz_number(f)};
}

static void make_names(struct fuzz *f, struct seccomp_rule *r)
{
    static const char *const few[] = {"read",   "socket", "semop", "ipc",
                                      "execve", "",       "x",     "openat"};
    unsigned n = fuzz_below(f, 40);
    const char *any;

    n = MIN(n, NAMES - names);
    r->names = name + names;
    r->count = n;
    for (; n; n--) {
        any = fuzz8(f) & 1 ? call_numbers_name(fuzz_below(f, 500)) : NULL;
        name[names++] = any ? any : few[fuzz8(f) & 7];
    }
}

static void make(struct fuzz *f, struct seccomp_profile *p)
{
    args = names = 0;
    *p = (struct seccomp_profile){
        .action = (enum seccomp_action)fuzz_below(f, 8),
        .errno_ret = fuzz8(f) - 2,
        .arches = arch,
        .arch_count = fuzz_below(f, 8),
        .rules = rule,
        .rule_count = fuzz_below(f, RULES),
        .exact = fuzz8(f) & 1,
    };
    for (unsigned i = 0; i < p->arch_count; i++)
        arch[i] = (enum seccomp_arch)fuzz_below(f, 4);
    for (unsigned i = 0; i < p->rule_count; i++) {
        rule[i] = (struct seccomp_rule){
            .action = (enum seccomp_action)fuzz_below(f, 8),
            .errno_ret = fuzz8(f) - 1,
        };
        make_names(f, &rule[i]);
        make_args(f, &rule[i]);
    }
}

/* As the kernel checks it: all jumps lead somewhere, all ways end. */
static void check_shape(void)
{
    FUZZ_CHECK(prog.len && prog.len <= BPF_MAXINSNS);
    FUZZ_CHECK(prog.insn[prog.len - 1].code == (BPF_RET | BPF_K));
    for (unsigned i = 0; i < prog.len; i++) {
        const struct sock_filter *s = &prog.insn[i];
        unsigned far = 0;

        if (s->code == (BPF_JMP | BPF_JA))
            far = s->k;
        else if (BPF_CLASS(s->code) == BPF_JMP)
            far = MAX(s->jt, s->jf);
        FUZZ_CHECK(far < prog.len && i + 1 + far < prog.len + !far);
    }
}

static void check_answers(struct fuzz *f)
{
    static const uint32_t arches[] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, 0};
    struct seccomp_data d;

    for (unsigned i = 0; i < 50; i++) {
        d = (struct seccomp_data){.nr = (int)fuzz_below(f, 600),
                                  .arch = arches[i % 3]};
        for (unsigned a = 0; a < 6; a++)
            d.args[a] = fuzz_number(f);
        if (fuzz8(f) & 1)
            d.nr |= CALL_X32_BIT;
        FUZZ_CHECK(bpf_run(prog.insn, prog.len, &d) != ~0u);
    }
}

static void one(struct fuzz *f)
{
    struct seccomp_profile p;
    struct error err = {0};

    make(f, &p);
    if (seccomp_compile(&p, &prog, &err)) {
        FUZZ_CHECK(err.code && err.msg[0] && !strchr(err.msg, '\n'));
        return;
    }
    check_shape();
    check_answers(f);
}

static const struct fuzz_target target = {
    .name = "seccomp",
    .corpus = "seccomp",
    .max_len = 2000,
    .runs = 10000,
    .one = one,
};

int main(int argc, char **argv)
{
    return fuzz_main(argc, argv, &target);
}
