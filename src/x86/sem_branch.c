/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sem_branch.c - near jumps, calls, returns, loops.
 *
 * In 64-bit mode near branches are 64 bits wide, whatever the prefixes (as
 * Intel's processors have it). A target outside the code segment, or not
 * canonical, is #GP(0) before anything changes.
 */
#include "x86/access.h"

#include <Zydis/Mnemonic.h>

#include "x86/flags.h"

/* Operand size of a near branch. */
static unsigned branch_width(const struct vcpu *cpu, const struct insn *in)
{
    if (cpu->code_width == 8)
        return 8;
    return (cpu->code_width == 2) != !!(in->flags & INSN_O16) ? 2 : 4;
}

/* 0, or STEP_FAULT with #GP(0). */
static int target_check(struct vcpu *cpu, uint64_t rip)
{
    if (cpu->code_width == 8) {
        if ((uint64_t)((int64_t)(rip << 16) >> 16) != rip)
            return raise_gp(cpu, 0);
    } else if (rip > cpu->seg[SEG_CS].limit) {
        return raise_gp(cpu, 0);
    }
    return 0;
}

static uint64_t relative(const struct vcpu *cpu, const struct insn *in)
{
    return (insn_next_rip(cpu, in) + in->imm) &
           width_mask(branch_width(cpu, in));
}

static enum step jump_to(struct vcpu *cpu, uint64_t rip)
{
    if (target_check(cpu, rip))
        return STEP_FAULT;
    cpu->rip = rip;
    return STEP_JUMP;
}

/* The target of an indirect or direct JMP or CALL. */
static int branch_target(struct vcpu *cpu, const struct insn *in, uint64_t *rip)
{
    if (in->dst == OPND_IMM) {
        *rip = relative(cpu, in);
        return 0;
    }
    return opnd_get(cpu, in, in->dst, rip);
}

static enum step sem_jmp(struct vcpu *cpu, const struct insn *in)
{
    uint64_t rip;

    if (branch_target(cpu, in, &rip))
        return STEP_FAULT;
    return jump_to(cpu, rip);
}

/* The push is checked before the target: #PF and #SS win over #GP. */
static enum step sem_call(struct vcpu *cpu, const struct insn *in)
{
    unsigned width = branch_width(cpu, in);
    uint64_t sp = cpu->gpr[R_RSP] - width, rip;
    struct ref slot;

    if (branch_target(cpu, in, &rip) ||
        ref_open_at(cpu, SEG_SS, sp & stack_mask(cpu), width, REF_RW, &slot) ||
        target_check(cpu, rip))
        return STEP_FAULT;
    ref_set(&slot, insn_next_rip(cpu, in));
    stack_pointer_set(cpu, sp);
    cpu->rip = rip;
    return STEP_JUMP;
}

static enum step sem_ret(struct vcpu *cpu, const struct insn *in)
{
    uint64_t sp = cpu->gpr[R_RSP], rip;

    if (stack_pop(cpu, branch_width(cpu, in), &rip))
        return STEP_FAULT;
    if (target_check(cpu, rip)) {
        cpu->gpr[R_RSP] = sp;
        return STEP_FAULT;
    }
    if (in->dst == OPND_IMM)
        stack_pointer_set(cpu, cpu->gpr[R_RSP] + (in->imm & 0xffff));
    cpu->rip = rip;
    return STEP_JUMP;
}

static enum step jump_if(struct vcpu *cpu, const struct insn *in, bool taken)
{
    if (!taken)
        return STEP_NEXT;
    return jump_to(cpu, relative(cpu, in));
}

static enum step sem_jcc(struct vcpu *cpu, const struct insn *in)
{
    return jump_if(cpu, in, flags_cond(cpu, in->sub & 15));
}

/* JCXZ, JECXZ, JRCXZ: sub is the width of the counter. */
static enum step sem_jcxz(struct vcpu *cpu, const struct insn *in)
{
    return jump_if(cpu, in, !(cpu->gpr[R_RCX] & width_mask(in->sub)));
}

/* LOOP 0, LOOPE 1, LOOPNE 2; the counter has the address size. */
static enum step sem_loop(struct vcpu *cpu, const struct insn *in)
{
    uint64_t n = (cpu->gpr[R_RCX] - 1) & width_mask(in->awidth);
    bool taken = n != 0;

    if (in->sub)
        taken = taken && flags_cond(cpu, in->sub == 1 ? 4 : 5);
    if (taken && target_check(cpu, relative(cpu, in)))
        return STEP_FAULT;
    reg_set(cpu, R_RCX, in->awidth, n);
    return jump_if(cpu, in, taken);
}

#define M(name) ZYDIS_MNEMONIC_##name
#define MAYBE   (INSN_JUMP | INSN_COND)
#define JCC(name)                                                              \
    {                                                                          \
        M(name), MAYBE, sem_jcc                                                \
    }
const struct sem_entry sem_branch_table[] = {
    {M(JMP), INSN_JUMP, sem_jmp},
    {M(CALL), INSN_JUMP, sem_call},
    {M(RET), INSN_JUMP, sem_ret},
    /* clang-format off */
    JCC(JO), JCC(JNO), JCC(JB), JCC(JNB), JCC(JZ), JCC(JNZ), JCC(JBE),
    JCC(JNBE), JCC(JS), JCC(JNS), JCC(JP), JCC(JNP), JCC(JL), JCC(JNL),
    JCC(JLE), JCC(JNLE),
    /* clang-format on */
    {M(JCXZ), MAYBE, sem_jcxz, .sub = 2},
    {M(JECXZ), MAYBE, sem_jcxz, .sub = 4},
    {M(JRCXZ), MAYBE, sem_jcxz, .sub = 8},
    {M(LOOP), MAYBE, sem_loop, .sub = 0},
    {M(LOOPE), MAYBE, sem_loop, .sub = 1},
    {M(LOOPNE), MAYBE, sem_loop, .sub = 2},
    {0},
};
