/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libseccomp.h - a profile given to libseccomp, as runc and crun do it; if it
 * is there: LIBSECCOMP says so.
 */
#pragma once

#include <errno.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fence/seccomp.h"

#if __has_include(<seccomp.h>)
/* It has a function of that name, too. */
#define seccomp_load libseccomp_load
#include <seccomp.h>
#undef seccomp_load
#define LIBSECCOMP 1
#else
#define LIBSECCOMP 0
#endif

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

/* Then each argument is a rule of its own. */
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

#endif
