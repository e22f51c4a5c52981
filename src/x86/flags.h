/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flags.h - status flags, computed only when read.
 *
 * An arithmetic instruction leaves its kind and width in cc_op, its result
 * in cc_res (zero-extended) and what else is needed in cc_src. The status
 * flags in `rflags` are stale unless cc_op is CC_EXPLICIT.
 */
#pragma once

#include "x86/vcpu.h"

enum cc_kind {
    CC_EXPLICIT, /* in rflags */
    CC_ADD,      /* cc_src: second operand, zero-extended */
    CC_SUB,      /* cc_src: second operand (first = res + src) */
    CC_RES,      /* ZF SF PF by the result; CF AF OF are bits of cc_src */
};
/* cc_op = kind | log2(width) << 4 */
#define CC_OP(kind, log2w) ((unsigned)(kind) | (unsigned)(log2w) << 4)

static inline unsigned width_log2(unsigned width)
{
    return (unsigned)__builtin_ctz(width);
}

/* All six status flags, where RFLAGS has them. Changes nothing. */
uint64_t flags_status(const struct vcpu *cpu);
/* The whole of RFLAGS as the guest would see it. */
static inline uint64_t flags_get(const struct vcpu *cpu)
{
    return (cpu->rflags & ~FLAG_STATUS) | flags_status(cpu) | FLAG_FIXED;
}
/* Makes rflags current, cc_op CC_EXPLICIT. */
static inline void flags_sync(struct vcpu *cpu)
{
    if (cpu->cc_op != CC_EXPLICIT) {
        cpu->rflags = flags_get(cpu);
        cpu->cc_op = CC_EXPLICIT;
    }
}
/* Replaces the status flags in mask by those of val; others stay. */
static inline void flags_set(struct vcpu *cpu, uint64_t mask, uint64_t val)
{
    flags_sync(cpu);
    cpu->rflags = (cpu->rflags & ~mask) | (val & mask);
}
/* Is condition `cc` (the low nibble of Jcc's opcode) true? */
bool flags_cond(const struct vcpu *cpu, unsigned cc);

static inline void flags_lazy(struct vcpu *cpu, enum cc_kind kind,
                              unsigned width, uint64_t res, uint64_t src)
{
    cpu->cc_op = CC_OP(kind, width_log2(width));
    cpu->cc_res = res & width_mask(width);
    cpu->cc_src = src;
}

/* CF alone. */
bool flags_carry_slow(const struct vcpu *cpu);
static inline bool flags_carry(const struct vcpu *cpu)
{
    if (__builtin_expect((cpu->cc_op & 0xf) == CC_RES, 1))
        return cpu->cc_src & FLAG_CF;
    return flags_carry_slow(cpu);
}

/*
 * Replaces some of CF, AF and OF (mask) by `val`, and leaves the others as
 * lazy as they were: rotates, BT, CLC.
 */
void flags_put_slow(struct vcpu *cpu, uint64_t mask, uint64_t val);
static inline void flags_put(struct vcpu *cpu, uint64_t mask, uint64_t val)
{
    if (__builtin_expect((cpu->cc_op & 0xf) == CC_RES, 1))
        cpu->cc_src = (cpu->cc_src & ~mask) | val;
    else
        flags_put_slow(cpu, mask, val);
}
