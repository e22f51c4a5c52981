/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_trace.c - the check's vCPU once more, one instruction at a time.
 *
 * Which flags are undefined, and which instructions are known to do something
 * else natively, is asked only where there is a difference: so it may cost.
 */
#include "engine/direct/check_int.h"

#include <string.h>

#include <Zydis/Zydis.h>

#include "base/log.h"
#include "engine/interp/interp.h"
#include "x86/peek.h"

#define LAST 64 /* instructions: flags are written more often than that */

_Static_assert((uint32_t)ZYDIS_CPUFLAG_CF == FLAG_CF &&
                   (uint32_t)ZYDIS_CPUFLAG_OF == FLAG_OF,
               "Zydis has flags where RFLAGS has them");

/* Prefix 66 before a near branch: 16 bits of RIP for AMD, nothing for Intel. */
static bool amd_cuts_rip(const ZydisDecodedInstruction *z)
{
    return z->machine_mode == ZYDIS_MACHINE_MODE_LONG_64 &&
           (z->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE) &&
           (z->meta.category == ZYDIS_CATEGORY_UNCOND_BR ||
            z->meta.category == ZYDIS_CATEGORY_COND_BR ||
            z->meta.category == ZYDIS_CATEGORY_CALL ||
            z->meta.category == ZYDIS_CATEGORY_RET);
}

/* With prefixes: its beginning cannot be told from RIP. */
static bool is_long_int3(const ZydisDecodedInstruction *z)
{
    return z->mnemonic == ZYDIS_MNEMONIC_INT3 && z->length > 1;
}

/* Two accesses, and nobody says which comes first. */
static bool may_choose(const ZydisDecodedInstruction *z,
                       const ZydisDecodedOperand *op)
{
    unsigned n = 0;

    for (unsigned i = 0; i < z->operand_count; i++)
        n += op[i].type == ZYDIS_OPERAND_TYPE_MEMORY;
    return n > 1 || z->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
}

/* doc/direct.md: "Known differences from hardware". */
static bool known_to_differ(const ZydisDecodedInstruction *z)
{
    switch (z->mnemonic) {
    case ZYDIS_MNEMONIC_RDPID:
    case ZYDIS_MNEMONIC_RDTSC:
    case ZYDIS_MNEMONIC_RDTSCP:
    case ZYDIS_MNEMONIC_RDRAND:
    case ZYDIS_MNEMONIC_RDSEED:
    case ZYDIS_MNEMONIC_SGDT:
    case ZYDIS_MNEMONIC_SIDT:
    case ZYDIS_MNEMONIC_SLDT:
    case ZYDIS_MNEMONIC_STR:
    case ZYDIS_MNEMONIC_SMSW:
    case ZYDIS_MNEMONIC_LSL:
    case ZYDIS_MNEMONIC_LAR:
    case ZYDIS_MNEMONIC_VERR:
    case ZYDIS_MNEMONIC_VERW:
    /* have written a part of it when they fault */
    case ZYDIS_MNEMONIC_ENTER:
    case ZYDIS_MNEMONIC_PUSHA:
    case ZYDIS_MNEMONIC_PUSHAD:
        return true;
    default:
        return amd_cuts_rip(z) || is_long_int3(z);
    }
}

/* With a count of 0 they leave flags as they were. */
static bool may_leave_flags(ZydisMnemonic m)
{
    switch (m) {
    case ZYDIS_MNEMONIC_SHL:
    case ZYDIS_MNEMONIC_SHR:
    case ZYDIS_MNEMONIC_SAR:
    case ZYDIS_MNEMONIC_SHLD:
    case ZYDIS_MNEMONIC_SHRD:
    case ZYDIS_MNEMONIC_ROL:
    case ZYDIS_MNEMONIC_ROR:
    case ZYDIS_MNEMONIC_RCL:
    case ZYDIS_MNEMONIC_RCR:
        return true;
    default:
        return false;
    }
}

static void flags_after(struct check_trace *t, const ZydisDecodedInstruction *z)
{
    const ZydisAccessedFlags *f = z->cpu_flags;

    if (!f)
        return;
    if (!may_leave_flags(z->mnemonic))
        t->undefined &= ~(uint64_t)(f->modified | f->set_0 | f->set_1);
    t->undefined |= f->undefined & FLAG_STATUS;
}

/* What ref is about to run; zeroes where nothing is mapped. */
static void look(struct vcpu *ref, struct check_trace *t)
{
    struct check_insn *in = &t->last[t->count++ % CHECK_LAST];
    gva_t at = ref->rip + ref->seg_base[SEG_CS];
    bool wide = ref->code_width == 8;
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
    ZydisDecodedInstruction z;
    ZydisDecoder d;

    memset(in, 0, sizeof(*in));
    in->at = at;
    peek(ref, at, in->bytes, sizeof(in->bytes));
    ZydisDecoderInit(&d,
                     wide ? ZYDIS_MACHINE_MODE_LONG_64
                          : ZYDIS_MACHINE_MODE_LONG_COMPAT_32,
                     wide ? ZYDIS_STACK_WIDTH_64 : ZYDIS_STACK_WIDTH_32);
    if (ZYAN_FAILED(
            ZydisDecoderDecodeFull(&d, in->bytes, sizeof(in->bytes), &z, op)))
        return;
    t->differs |= known_to_differ(&z);
    /* a branch, say, by a flag that is undefined */
    t->differs |= z.cpu_flags && (z.cpu_flags->tested & t->undefined);
    t->chooses = may_choose(&z, op);
    flags_after(t, &z);
}

/* A REP may be there several times before it has retired. */
static bool arrived(const struct check *c, uint64_t insns,
                    const struct check_state *s)
{
    uint64_t now = vcpu_insns(c->ref) - c->insns;

    if (now != insns || !s)
        return now >= insns;
    return c->ref->rip == s->rip &&
           !memcmp(c->ref->gpr, s->gpr, sizeof(s->gpr));
}

void check_trace_to(struct check *c, uint64_t insns,
                    const struct check_state *s, bool all,
                    struct check_trace *t)
{
    uint64_t skip = all || insns <= LAST ? 0 : insns - LAST;
    struct error err;

    memset(t, 0, sizeof(*t));
    check_restart(c, false);
    if (skip) {
        t->undefined = FLAG_STATUS;
        vcpu_set_limit(c->ref, c->insns + skip);
        if (engine_interp.run(c->ref, &err) != ENGINE_LIMIT)
            return;
    }
    while (!arrived(c, insns, s)) {
        look(c->ref, t);
        if (!check_step(c))
            return;
    }
}

void check_trace_next(struct check *c, struct check_trace *t)
{
    look(c->ref, t);
}

void check_trace_report(const struct check_trace *t, bool wide)
{
    unsigned n = MIN(t->count, CHECK_LAST);

    for (unsigned i = t->count - n; i < t->count; i++) {
        const struct check_insn *in = &t->last[i % CHECK_LAST];
        ZydisDisassembledInstruction z;

        if (ZYAN_FAILED(ZydisDisassembleIntel(
                wide ? ZYDIS_MACHINE_MODE_LONG_64
                     : ZYDIS_MACHINE_MODE_LONG_COMPAT_32,
                in->at, in->bytes, sizeof(in->bytes), &z)))
            log_error("  0x%llx: not an instruction",
                      (unsigned long long)in->at);
        else
            log_error("  0x%llx: %s", (unsigned long long)in->at, z.text);
    }
}
