/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exit.h - instructions that would leave a guest under VMX, by reason.
 *          [SDM 3C 25.1]
 *
 * No engine has to leave anything for most of them; they are told apart to be
 * traced and counted alike on all engines. The decoder puts the reason in
 * insn->exit, and an engine runs such an instruction by exit_run().
 */
#pragma once

#include "x86/insn.h"

/* Names in exit.c, in this order. */
enum exit_reason {
    EXIT_NONE, /* an instruction like any other */
    EXIT_CPUID,
    EXIT_HLT,
    EXIT_RDMSR,
    EXIT_WRMSR,
    EXIT_MOV_TO_CR,
    EXIT_MOV_FROM_CR,
    EXIT_CLTS,
    EXIT_LMSW,
    EXIT_MOV_TO_DR,
    EXIT_MOV_FROM_DR,
    EXIT_INVLPG,
    EXIT_INVPCID,
    EXIT_RDTSC,
    EXIT_RDTSCP,
    EXIT_RDPMC,
    EXIT_XSETBV,
    EXIT_LGDT,
    EXIT_LIDT,
    EXIT_SGDT,
    EXIT_SIDT,
    EXIT_LLDT,
    EXIT_LTR,
    EXIT_SLDT,
    EXIT_STR,
    EXIT_INVD,
    EXIT_WBINVD,
    EXIT_PAUSE,
    EXIT_RDRAND,
    EXIT_RDSEED,
    EXIT_IN,
    EXIT_OUT,
    EXIT_INS,
    EXIT_OUTS,
    EXIT_COUNT,
};

/* For the decoder; in->op and in->sem are set. */
enum exit_reason exit_reason_of(const struct insn *in);
/* As the manual spells it, in small letters; "" for EXIT_NONE. */
const char *exit_name(enum exit_reason reason);

/* in->sem, traced; what faults is traced too. in->exit is not 0. */
enum step exit_run(struct vcpu *cpu, const struct insn *in);
