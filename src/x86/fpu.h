/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fpu.h - may a floating-point or vector instruction run now?
 *
 * Each returns 0, or STEP_FAULT with #UD, #NM or #MF in cpu->exc, in the
 * manual's order. [SDM 3A 2.5, 13.1; SDM 2, "exceptions" of each]
 */
#pragma once

#include "x86/insn.h"

/* x87 and MMX that wait for exceptions: EM, TS, then a pending #MF. */
int fpu_check_x87(struct vcpu *cpu);
/* x87 control instructions that do not wait (FNINIT, FNSTSW, ...). */
int fpu_check_x87_nowait(struct vcpu *cpu);
/* MMX: EM is #UD here. */
int fpu_check_mmx(struct vcpu *cpu);
/* Legacy SSE. */
int fpu_check_sse(struct vcpu *cpu);
/* VEX. */
int fpu_check_avx(struct vcpu *cpu);

/*
 * What every MMX instruction does to the x87: TOP becomes 0, all tags valid
 * [SDM 1 9.6.2]. The registers keep their place.
 */
void fpu_enter_mmx(struct vcpu *cpu);

/*
 * The registers as the host's XSAVE leaves them, in the standard format
 * [SDM 1 13.4.2], 64-bit: FPU_XSAVE_SIZE bytes, of which 464 to 511 are left
 * alone. what: the components, by XCR0's bits; in fpu_from_xsave() one that is
 * not in the area gets its initial state. Every value is taken.
 */
#define FPU_XSAVE_SIZE 832
void fpu_to_xsave(const struct vcpu *cpu, uint64_t what, uint8_t *area);
void fpu_from_xsave(struct vcpu *cpu, uint64_t what, const uint8_t *area);

/* Fields of vcpu.fpu.fx, an FXSAVE64 image. */
#define FX_FCW   0
#define FX_FSW   2
#define FX_FTW   4 /* abridged: bit n is physical register n, 1: not empty */
#define FX_FOP   6
#define FX_FIP   8
#define FX_FDP   16
#define FX_ST(i) (32 + 16 * (i))

#define FSW_ES     0x80u
#define FSW_B      0x8000u
#define FSW_TOP(w) ((w) >> 11 & 7u)
