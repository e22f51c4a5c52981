/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp_names.c - the runtime-spec's names. [config-linux.md, Seccomp]
 */
#include <linux/seccomp.h>
#include <string.h>

#include "fence/seccomp.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV /* Linux 5.19 */
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1ul << 5)
#endif

struct name {
    const char *name;
    unsigned value;
};

static const struct name actions[] = {
    {"SCMP_ACT_KILL", SECCOMP_ACT_KILL_THREAD},
    {"SCMP_ACT_KILL_PROCESS", SECCOMP_ACT_KILL_PROCESS},
    {"SCMP_ACT_KILL_THREAD", SECCOMP_ACT_KILL_THREAD},
    {"SCMP_ACT_TRAP", SECCOMP_ACT_TRAP},
    {"SCMP_ACT_ERRNO", SECCOMP_ACT_ERRNO},
    {"SCMP_ACT_TRACE", SECCOMP_ACT_TRACE},
    {"SCMP_ACT_ALLOW", SECCOMP_ACT_ALLOW},
    {"SCMP_ACT_LOG", SECCOMP_ACT_LOG},
    {"SCMP_ACT_NOTIFY", SECCOMP_ACT_NOTIFY},
    {0},
};

static const struct name arches[] = {
    {"SCMP_ARCH_X86", SECCOMP_ARCH_X86},
    {"SCMP_ARCH_X86_64", SECCOMP_ARCH_X86_64},
    {"SCMP_ARCH_X32", SECCOMP_ARCH_X32},
    {"SCMP_ARCH_ARM", SECCOMP_ARCH_FOREIGN},
    {"SCMP_ARCH_AARCH64", SECCOMP_ARCH_FOREIGN},
    {"SCMP_ARCH_MIPS", SECCOMP_ARCH_FOREIGN},
    {"SCMP_ARCH_MIPS64", SECCOMP_ARCH_FOREIGN},
    {"SCMP_ARCH_MIPS64N32", SECCOMP_ARCH_FOREIGN},
    {"SCMP_ARCH_MIPSEL", SECCOMP_ARCH_FOREIGN},
    {"SCMP_ARCH_MIPSEL64", SECCOMP_ARCH_FOREIGN},
    {"SCMP_ARCH_MIPSEL64N32", SECCOMP_ARCH_FOREIGN},
    {"SCMP_ARCH_PPC", SECCOMP_ARCH_FOREIGN},
    {"SCMP_ARCH_PPC64", SECCOMP_ARCH_FOREIGN},
    {"SCMP_ARCH_PPC64LE", SECCOMP_ARCH_FOREIGN},
    {"SCMP_ARCH_S390", SECCOMP_ARCH_FOREIGN},
    {"SCMP_ARCH_S390X", SECCOMP_ARCH_FOREIGN},
    {"SCMP_ARCH_PARISC", SECCOMP_ARCH_FOREIGN},
    {"SCMP_ARCH_PARISC64", SECCOMP_ARCH_FOREIGN},
    {"SCMP_ARCH_RISCV64", SECCOMP_ARCH_FOREIGN},
    {"SCMP_ARCH_LOONGARCH64", SECCOMP_ARCH_FOREIGN},
    {"SCMP_ARCH_M68K", SECCOMP_ARCH_FOREIGN},
    {"SCMP_ARCH_SH", SECCOMP_ARCH_FOREIGN},
    {"SCMP_ARCH_SHEB", SECCOMP_ARCH_FOREIGN},
    {0},
};

static const struct name ops[] = {
    {"SCMP_CMP_NE", SECCOMP_OP_NE},
    {"SCMP_CMP_LT", SECCOMP_OP_LT},
    {"SCMP_CMP_LE", SECCOMP_OP_LE},
    {"SCMP_CMP_EQ", SECCOMP_OP_EQ},
    {"SCMP_CMP_GE", SECCOMP_OP_GE},
    {"SCMP_CMP_GT", SECCOMP_OP_GT},
    {"SCMP_CMP_MASKED_EQ", SECCOMP_OP_MASKED_EQ},
    {0},
};

static const struct name flags[] = {
    {"SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC},
    {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
    {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
    {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
     SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV},
    {0},
};

static bool name_find(const struct name *table, const char *name, unsigned *out)
{
    for (; table->name; table++)
        if (!strcmp(table->name, name)) {
            *out = table->value;
            return true;
        }
    return false;
}

bool seccomp_action_find(const char *name, enum seccomp_action *out)
{
    unsigned v = 0;
    bool found = name_find(actions, name, &v);

    if (found)
        *out = (enum seccomp_action)v;
    return found;
}

bool seccomp_arch_find(const char *name, enum seccomp_arch *out)
{
    unsigned v = 0;
    bool found = name_find(arches, name, &v);

    if (found)
        *out = (enum seccomp_arch)v;
    return found;
}

bool seccomp_op_find(const char *name, enum seccomp_op *out)
{
    unsigned v = 0;
    bool found = name_find(ops, name, &v);

    if (found)
        *out = (enum seccomp_op)v;
    return found;
}

bool seccomp_flag_find(const char *name, unsigned *out)
{
    return name_find(flags, name, out);
}

const char *seccomp_action_name(unsigned i)
{
    return i < ARRAY_SIZE(actions) ? actions[i].name : NULL;
}

const char *seccomp_arch_name(unsigned i)
{
    return i < ARRAY_SIZE(arches) ? arches[i].name : NULL;
}

const char *seccomp_op_name(unsigned i)
{
    return i < ARRAY_SIZE(ops) ? ops[i].name : NULL;
}

const char *seccomp_flag_name(unsigned i)
{
    return i < ARRAY_SIZE(flags) ? flags[i].name : NULL;
}
