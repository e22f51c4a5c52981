/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forms.h - every instruction form that user mode can run, and making random
 * instances of one.
 */
#pragma once

#include <Zydis/Zydis.h>

#include "native.h"
#include "x86/cpuid.h"

/* A form: encoding, operand size, register or memory. */
struct form {
    uint16_t mnemonic;
    bool vex, modrm, mem;
    uint8_t map, opcode, pp, w, l;
    uint8_t regs, rms; /* which ModRM.reg and .rm (low bits) belong to it */
    unsigned runs;     /* times compared */
};

struct rng {
    uint64_t s;
};
uint64_t rng_next(struct rng *r);
static inline unsigned rng_below(struct rng *r, unsigned n)
{
    return (unsigned)(rng_next(r) % n);
}

/* One instruction to try. */
struct insn_case {
    uint8_t bytes[15];
    unsigned len;
    ZydisDecodedInstruction zi;
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

/*
 * All forms that the model shows in 64-bit or 32-bit code; the array is the
 * caller's to free. Instances are made for the width enumerated last.
 */
struct form *forms_enumerate(const struct cpu_model *model, bool code32,
                             unsigned *count);

/*
 * A random instance at `rip`; registers in *s are adjusted so that memory
 * operands are in the data. `registers_only`: no memory, no stack, no branch.
 * False: this attempt gave none.
 */
bool form_instance(struct rng *r, const struct form *f, struct state *s,
                   uint64_t rip, struct insn_case *c);

/* A random state: integers, floats, flags. */
void state_random(struct rng *r, struct state *s);
/* Values that find faults: 0, -1, powers of two, sign bits, noise. */
uint64_t value_random(struct rng *r);

/* Shifts and rotates: a count of 0 changes no flags. */
bool is_shift(const struct insn_case *c);

/* Status flags that the manual leaves undefined after this instance. */
uint64_t undefined_flags(const struct insn_case *c, const struct state *before);
