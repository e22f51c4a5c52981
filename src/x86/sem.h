/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sem.h - semantic functions that the decoder reaches by operand kind rather
 * than by a mnemonic's table entry, and what families share.
 */
#pragma once

#include "x86/insn.h"

/*
 * Far JMP and CALL: in->width is the offset's size. Immediate pointer: imm is
 * the offset, disp the selector. Memory (INSN_MEM): offset, then selector.
 * All end a block (INSN_JUMP | INSN_SYNC).
 */
sem_fn sem_jmp_far, sem_call_far;
/* RETF: in->width is the operand size, imm the bytes to release. */
sem_fn sem_ret_far;

/* MOV: number in in->reg, GPR in the r/m slot. All want INSN_SYNC. */
sem_fn sem_mov_to_cr, sem_mov_from_cr, sem_mov_to_dr, sem_mov_from_dr;
/* MOV, PUSH, POP: segment in in->reg, the other side in the r/m slot. */
sem_fn sem_mov_to_seg, sem_mov_from_seg, sem_push_seg, sem_pop_seg;

/* Hints, and what is #UD by definition. */
sem_fn sem_nop, sem_undefined;

/* sem_control.c, listed in sem_system.c */
sem_fn sem_clts, sem_lmsw, sem_smsw;
sem_fn sem_lgdt, sem_lidt, sem_sgdt, sem_sidt;
sem_fn sem_lldt, sem_ltr, sem_sldt, sem_str;
sem_fn sem_lar, sem_lsl, sem_verr, sem_verw, sem_arpl;
sem_fn sem_invlpg, sem_invpcid, sem_xgetbv, sem_xsetbv;
sem_fn sem_lds;

/* Operand size by mode and 66 prefix; REX.W is not looked at. */
static inline unsigned insn_opsize(const struct vcpu *cpu,
                                   const struct insn *in)
{
    bool small = (cpu->code_width == 2) != !!(in->flags & INSN_O16);

    return small ? 2 : 4;
}
/* What PUSH and POP move: 64-bit mode has no 32-bit form. */
static inline unsigned insn_stack_width(const struct vcpu *cpu,
                                        const struct insn *in)
{
    unsigned w = insn_opsize(cpu, in);

    return cpu->code_width == 8 && w == 4 ? 8 : w;
}

/* The bits of RFLAGS that POPF may change now, for this operand size. */
uint64_t flags_writable(const struct vcpu *cpu, unsigned width);

/* CR writes for task switches and state loading; 0 or STEP_FAULT. */
int cr3_load(struct vcpu *cpu, uint64_t val);
