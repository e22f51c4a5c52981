/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libseccomp knows nothing of, or does not do alike: the default profile,
 * calls younger than a profile, mistakes in one.
 */
#include "fence/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "bpf.h"
#include "fence/numbers.h"
#include "test.h"

#define NAMES(...)                                                             \
    .names = (const char *const[]){__VA_ARGS__},                               \
    .count = ARRAY_SIZE(((const char *const[]){__VA_ARGS__}))
#define ARGS(...)                                                              \
    .args = (const struct seccomp_arg[]){__VA_ARGS__},                         \
    .nargs = ARRAY_SIZE(((const struct seccomp_arg[]){__VA_ARGS__}))
#define RULES(...)                                                             \
    .rules = (const struct seccomp_rule[]){__VA_ARGS__},                       \
    .rule_count = ARRAY_SIZE(((const struct seccomp_rule[]){__VA_ARGS__}))

static const enum seccomp_arch all_arches[] = {
    SECCOMP_ARCH_X86_64, SECCOMP_ARCH_X86, SECCOMP_ARCH_X32};

static struct seccomp_program prog;

static uint32_t answer(uint32_t arch, uint32_t nr, uint64_t arg0, uint64_t arg1)
{
    struct seccomp_data d = {.nr = (int)nr, .arch = arch, .args = {arg0, arg1}};

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

static void the_rule_that_looks_at_less_counts(void)
{
    const struct seccomp_profile p = {
        .action = SECCOMP_ACT_KILL_PROCESS,
        RULES({NAMES("ioctl"), SECCOMP_ACT_ALLOW,
               ARGS({0, SECCOMP_OP_EQ, 1, 0}, {1, SECCOMP_OP_EQ, 2, 0})},
              {NAMES("ioctl"), SECCOMP_ACT_TRAP,
               ARGS({0, SECCOMP_OP_EQ, 1, 0})})};

    compile(&p);
    CHECK_EQ(native(SYS_ioctl, 1, 2), SECCOMP_RET_TRAP);
    CHECK_EQ(native(SYS_ioctl, 1, 3), SECCOMP_RET_TRAP);
    CHECK_EQ(native(SYS_ioctl, 2, 2), SECCOMP_RET_KILL_PROCESS);
}

static void the_narrower_of_two_ranges_counts(void)
{
    const struct seccomp_profile p = {
        .action = SECCOMP_ACT_KILL_PROCESS,
        RULES(
            {NAMES("ioctl"), SECCOMP_ACT_ALLOW,
             ARGS({1, SECCOMP_OP_LT, 20, 0})},
            {NAMES("ioctl"), SECCOMP_ACT_TRAP, ARGS({1, SECCOMP_OP_LE, 10, 0})},
            {NAMES("ioctl"), SECCOMP_ACT_LOG, ARGS({1, SECCOMP_OP_GT, 30, 0})},
            {NAMES("ioctl"), SECCOMP_ACT_ERRNO, EDOM,
             ARGS({1, SECCOMP_OP_GE, 40, 0})})};

    compile(&p);
    CHECK_EQ(native(SYS_ioctl, 0, 10), SECCOMP_RET_TRAP);
    CHECK_EQ(native(SYS_ioctl, 0, 19), SECCOMP_RET_ALLOW);
    CHECK_EQ(native(SYS_ioctl, 0, 30), SECCOMP_RET_KILL_PROCESS);
    CHECK_EQ(native(SYS_ioctl, 0, 31), SECCOMP_RET_LOG);
    CHECK_EQ(native(SYS_ioctl, 0, 40), ERRNO(EDOM));
    CHECK_EQ(native(SYS_ioctl, 0, ~0ull), ERRNO(EDOM));
}

/* Its arguments are in memory: the number stands where the first one was. */
static void socketcall_goes_by_its_number(void)
{
    const struct seccomp_profile p = {
        .action = SECCOMP_ACT_KILL_PROCESS,
        .arches = all_arches,
        .arch_count = 2,
        RULES({NAMES("socket"), SECCOMP_ACT_ALLOW,
               ARGS({0, SECCOMP_OP_EQ, AF_UNIX + 6, 0},
                    {2, SECCOMP_OP_EQ, 0, 0})},
              {NAMES("shmat"), SECCOMP_ACT_LOG})};
    const struct seccomp_profile only = {
        .action = SECCOMP_ACT_ERRNO,
        .errno_ret = 1,
        .arches = all_arches,
        .arch_count = 2,
        RULES({NAMES("semop"), SECCOMP_ACT_LOG})};

    compile(&only); /* which i386 has in no other way */
    CHECK_EQ(answer(AUDIT_ARCH_I386, 117, 1, 0), SECCOMP_RET_LOG);
    CHECK_EQ(answer(AUDIT_ARCH_I386, 117, 2, 0), ERRNO(1));
    compile(&p);
    CHECK_EQ(native(SYS_socket, AF_UNIX + 6, 0), SECCOMP_RET_ALLOW);
    CHECK_EQ(answer(AUDIT_ARCH_I386, 359, AF_UNIX + 6, 0), SECCOMP_RET_ALLOW);
    CHECK_EQ(answer(AUDIT_ARCH_I386, 102, 1, 0), SECCOMP_RET_ALLOW);
    CHECK_EQ(answer(AUDIT_ARCH_I386, 102, 2, 0), SECCOMP_RET_KILL_PROCESS);
    CHECK_EQ(answer(AUDIT_ARCH_I386, 117, 21, 0), SECCOMP_RET_LOG);
    CHECK_EQ(answer(AUDIT_ARCH_I386, 117, 22, 0), SECCOMP_RET_KILL_PROCESS);
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
    refused(
        &(const struct seccomp_profile){
            .action = SECCOMP_ACT_ALLOW,
            RULES({NAMES("read"), SECCOMP_ACT_TRAP},
                  {NAMES("read"), SECCOMP_ACT_TRAP,
                   ARGS({0, SECCOMP_OP_EQ, 0, 0}, {6, SECCOMP_OP_EQ, 0, 0})})},
        EINVAL,
        "linux.seccomp.syscalls[1].args[1].index: 6 is none of a call's "
        "arguments, which are 0 to 5");
    refused(
        &(const struct seccomp_profile){
            .action = SECCOMP_ACT_ALLOW,
            RULES({NAMES("ioctl"), SECCOMP_ACT_TRAP,
                   ARGS({1, SECCOMP_OP_EQ, 5, 0})},
                  {NAMES("ioctl"), SECCOMP_ACT_LOG,
                   ARGS({1, SECCOMP_OP_EQ, 5, 0})})},
        EINVAL,
        "linux.seccomp.syscalls[1]: syscalls[0] has another action for the "
        "same arguments of the same call");
    refused(&(const struct seccomp_profile){.action = SECCOMP_ACT_ALLOW,
                                            RULES({NAMES("read"),
                                                   SECCOMP_ACT_ERRNO, 70000})},
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
        rule[i] = (struct seccomp_rule){names,  1,       SECCOMP_ACT_ERRNO,
                                        (int)i, &arg[i], 1};
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
        arg[i] = (struct seccomp_arg){1, SECCOMP_OP_EQ,
                                      i | (uint64_t)(i % 7) << 32, 0};
        rule[i] = (struct seccomp_rule){names,      2,       SECCOMP_ACT_ERRNO,
                                        (int)i + 1, &arg[i], 1};
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
    RUN(default_profile_has_dockers_conditions);
    RUN(calls_younger_than_the_profile_are_not_there);
    RUN(foreign_architectures_are_passed_over);
    RUN(stricter_counts_where_i386_sees_no_difference);
    RUN(the_rule_that_looks_at_less_counts);
    RUN(the_narrower_of_two_ranges_counts);
    RUN(socketcall_goes_by_its_number);
    RUN(mistakes_are_named_by_their_place);
    RUN(more_than_the_kernel_takes_is_refused);
    RUN(long_lists_keep_their_answers);
    return test_status();
}
