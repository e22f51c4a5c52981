/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sem_move.c - moves, the stack, conversions, flag bits.
 */
#include "x86/access.h"

#include <Zydis/Mnemonic.h>

#include "x86/decode.h"
#include "x86/flags.h"
#include "x86/sem.h"

static enum step sem_mov(struct vcpu *cpu, const struct insn *in)
{
    uint64_t v;

    if (in->dst == OPND_RM) {
        v = in->src == OPND_IMM ? in->imm
                                : reg_get(cpu, in->reg, in->reg_width);
        if (in->flags & INSN_MEM)
            return mem_store(cpu, in->seg, insn_ea(cpu, in), in->rm_width, v)
                       ? STEP_FAULT
                       : STEP_NEXT;
        reg_set(cpu, in->rm, in->rm_width, v);
        return STEP_NEXT;
    }
    if (opnd_get(cpu, in, in->src, &v))
        return STEP_FAULT;
    reg_set(cpu, in->reg, in->width, v);
    return STEP_NEXT;
}

/* The address is in imm: in 64-bit mode it has 64 bits. */
enum step sem_mov_moffs(struct vcpu *cpu, const struct insn *in)
{
    uint64_t addr = in->imm & width_mask(in->awidth), v;

    if (in->dst == OPND_RM) {
        v = reg_get(cpu, in->reg, in->reg_width);
        return mem_store(cpu, in->seg, addr, in->rm_width, v) ? STEP_FAULT
                                                              : STEP_NEXT;
    }
    if (mem_load(cpu, in->seg, addr, in->rm_width, &v))
        return STEP_FAULT;
    reg_set(cpu, in->reg, in->width, v);
    return STEP_NEXT;
}

static enum step sem_movzx(struct vcpu *cpu, const struct insn *in)
{
    uint64_t v;

    if (opnd_get(cpu, in, OPND_RM, &v))
        return STEP_FAULT;
    reg_set(cpu, in->reg, in->width, v);
    return STEP_NEXT;
}

static enum step sem_movsx(struct vcpu *cpu, const struct insn *in)
{
    uint64_t v;

    if (opnd_get(cpu, in, OPND_RM, &v))
        return STEP_FAULT;
    reg_set(cpu, in->reg, in->width, sign_extend(v, in->rm_width));
    return STEP_NEXT;
}

static enum step sem_lea(struct vcpu *cpu, const struct insn *in)
{
    reg_set(cpu, in->reg, in->width, insn_ea(cpu, in));
    return STEP_NEXT;
}

/* With memory always atomic, LOCK or not. */
static enum step sem_xchg(struct vcpu *cpu, const struct insn *in)
{
    uint64_t b = reg_get(cpu, in->reg, in->reg_width), a;
    struct ref ref;

    if (ref_open(cpu, in, REF_RW, &ref))
        return STEP_FAULT;
    a = ref_get(&ref);
    if (in->flags & INSN_MEM)
        while (!ref_cmpxchg(&ref, &a, b))
            ;
    else
        ref_set(&ref, b);
    reg_set(cpu, in->reg, in->reg_width, a);
    return STEP_NEXT;
}

static enum step sem_movbe(struct vcpu *cpu, const struct insn *in)
{
    struct ref ref;
    uint64_t v;

    if (in->dst == OPND_RM) {
        if (ref_open(cpu, in, REF_RW, &ref))
            return STEP_FAULT;
        v = reg_get(cpu, in->reg, in->width);
        ref_set(&ref, __builtin_bswap64(v) >> (64 - 8 * in->width));
        return STEP_NEXT;
    }
    if (opnd_get(cpu, in, OPND_RM, &v))
        return STEP_FAULT;
    reg_set(cpu, in->reg, in->width,
            __builtin_bswap64(v) >> (64 - 8 * in->width));
    return STEP_NEXT;
}

/* 16 bits: undefined; processors give 0. */
static enum step sem_bswap(struct vcpu *cpu, const struct insn *in)
{
    uint64_t v = reg_get(cpu, in->rm, in->rm_width);

    v = in->rm_width == 2 ? 0 : __builtin_bswap64(v) >> (64 - 8 * in->rm_width);
    reg_set(cpu, in->rm, in->rm_width, v);
    return STEP_NEXT;
}

static enum step sem_cmov(struct vcpu *cpu, const struct insn *in)
{
    uint64_t v;

    if (opnd_get(cpu, in, OPND_RM, &v)) /* loads even if not taken */
        return STEP_FAULT;
    if (!flags_cond(cpu, in->sub))
        v = reg_get(cpu, in->reg, in->width);
    reg_set(cpu, in->reg, in->width, v);
    return STEP_NEXT;
}

static enum step sem_setcc(struct vcpu *cpu, const struct insn *in)
{
    struct ref ref;

    if (ref_open(cpu, in, REF_RW, &ref))
        return STEP_FAULT;
    ref_set(&ref, flags_cond(cpu, in->sub));
    return STEP_NEXT;
}

/* The table is at seg:rBX, which the decoder sees as an operand or not. */
static enum step sem_xlat(struct vcpu *cpu, const struct insn *in)
{
    uint64_t ea =
        (cpu->gpr[R_RBX] + (cpu->gpr[R_RAX] & 0xff)) & width_mask(in->awidth);
    uint64_t v;

    if (mem_load(cpu, in->seg, ea, 1, &v))
        return STEP_FAULT;
    reg_set(cpu, R_RAX, 1, v);
    return STEP_NEXT;
}

/* CBW, CWDE, CDQE: sub is the width of the source. */
static enum step sem_extend_a(struct vcpu *cpu, const struct insn *in)
{
    uint64_t v = sign_extend(cpu->gpr[R_RAX], in->sub);

    reg_set(cpu, R_RAX, in->sub * 2u, v);
    return STEP_NEXT;
}

/* CWD, CDQ, CQO: sub is the operand size. */
static enum step sem_extend_d(struct vcpu *cpu, const struct insn *in)
{
    int64_t v = (int64_t)sign_extend(cpu->gpr[R_RAX], in->sub);

    reg_set(cpu, R_RDX, in->sub, (uint64_t)(v >> 63));
    return STEP_NEXT;
}

/* --- stack --- */

static enum step sem_push(struct vcpu *cpu, const struct insn *in)
{
    unsigned width = insn_stack_width(cpu, in);
    uint64_t v;

    if (opnd_get(cpu, in, in->dst, &v) || stack_push(cpu, width, v))
        return STEP_FAULT;
    return STEP_NEXT;
}

/*
 * The address of a memory destination is computed after rSP went up
 * [SDM 2B, POP], and nothing may change if its store faults.
 */
static enum step sem_pop(struct vcpu *cpu, const struct insn *in)
{
    unsigned width = insn_stack_width(cpu, in);
    uint64_t sp = cpu->gpr[R_RSP], v;

    if (stack_pop(cpu, width, &v))
        return STEP_FAULT;
    if (in->flags & INSN_MEM) {
        if (mem_store(cpu, in->seg, insn_ea(cpu, in), width, v)) {
            cpu->gpr[R_RSP] = sp;
            return STEP_FAULT;
        }
        return STEP_NEXT;
    }
    reg_set(cpu, in->rm, width, v);
    return STEP_NEXT;
}

/* sub: operand size. All eight words are checked before the first is kept. */
static enum step sem_pusha(struct vcpu *cpu, const struct insn *in)
{
    uint64_t sp = cpu->gpr[R_RSP], m = stack_mask(cpu);

    for (unsigned i = 0; i < 8; i++) {
        uint64_t v = i == R_RSP ? sp : cpu->gpr[i];

        if (mem_store(cpu, SEG_SS, (sp - (i + 1) * in->sub) & m, in->sub, v))
            return STEP_FAULT;
    }
    stack_pointer_set(cpu, sp - 8u * in->sub);
    return STEP_NEXT;
}

static enum step sem_popa(struct vcpu *cpu, const struct insn *in)
{
    uint64_t sp = cpu->gpr[R_RSP], m = stack_mask(cpu), v[8];

    for (unsigned i = 0; i < 8; i++)
        if (mem_load(cpu, SEG_SS, (sp + i * in->sub) & m, in->sub, &v[7 - i]))
            return STEP_FAULT;
    for (unsigned i = 0; i < 8; i++)
        if (i != R_RSP)
            reg_set(cpu, i, in->sub, v[i]);
    stack_pointer_set(cpu, sp + 8u * in->sub);
    return STEP_NEXT;
}

/* ENTER imm (frame bytes), disp (nesting level) [SDM 2A, ENTER]. */
static enum step sem_enter(struct vcpu *cpu, const struct insn *in)
{
    unsigned width = insn_stack_width(cpu, in), level = (unsigned)in->disp & 31;
    uint64_t m = stack_mask(cpu), sp = cpu->gpr[R_RSP], frame, v;
    uint64_t bp = cpu->gpr[R_RBP];

    sp -= width;
    if (mem_store(cpu, SEG_SS, sp & m, width, bp))
        return STEP_FAULT;
    frame = sp;
    for (unsigned i = 1; i < level; i++) {
        bp -= width;
        sp -= width;
        if (mem_load(cpu, SEG_SS, bp & m, width, &v) ||
            mem_store(cpu, SEG_SS, sp & m, width, v))
            return STEP_FAULT;
    }
    if (level) {
        sp -= width;
        if (mem_store(cpu, SEG_SS, sp & m, width, frame))
            return STEP_FAULT;
    }
    sp -= in->imm & 0xffff;
    /* the new top must be writable, though nothing is written */
    if (cpu->code_width == 8 || vcpu_protected(cpu)) {
        struct ref probe;

        if (ref_open_at(cpu, SEG_SS, sp & m, width, REF_RW, &probe))
            return STEP_FAULT;
    }
    reg_set(cpu, R_RBP, width, frame);
    stack_pointer_set(cpu, sp);
    return STEP_NEXT;
}

static enum step sem_leave(struct vcpu *cpu, const struct insn *in)
{
    unsigned width = insn_stack_width(cpu, in);
    uint64_t bp = cpu->gpr[R_RBP], v;

    if (mem_load(cpu, SEG_SS, bp & stack_mask(cpu), width, &v))
        return STEP_FAULT;
    stack_pointer_set(cpu, bp + width);
    reg_set(cpu, R_RBP, width, v);
    return STEP_NEXT;
}

/* --- flag bits --- */

#define LAHF_FLAGS (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF)

static enum step sem_lahf(struct vcpu *cpu, const struct insn *in)
{
    (void)in;
    reg_set(cpu, 1, 1, (flags_status(cpu) & LAHF_FLAGS) | FLAG_FIXED);
    return STEP_NEXT;
}

static enum step sem_sahf(struct vcpu *cpu, const struct insn *in)
{
    (void)in;
    flags_set(cpu, LAHF_FLAGS, reg_get(cpu, 1, 1));
    return STEP_NEXT;
}

/* CLC, STC, CMC: sub 0, 1, 2. */
static enum step sem_carry(struct vcpu *cpu, const struct insn *in)
{
    bool cf = in->sub == 2 ? !flags_carry(cpu) : in->sub;

    flags_put(cpu, FLAG_CF, cf ? FLAG_CF : 0);
    return STEP_NEXT;
}

static enum step sem_direction(struct vcpu *cpu, const struct insn *in)
{
    cpu->rflags = (cpu->rflags & ~FLAG_DF) | (in->sub ? FLAG_DF : 0);
    return STEP_NEXT;
}

/* AL = CF ? FF : 0; undocumented and everywhere. */
static enum step sem_salc(struct vcpu *cpu, const struct insn *in)
{
    (void)in;
    reg_set(cpu, R_RAX, 1, flags_carry(cpu) ? 0xff : 0);
    return STEP_NEXT;
}

enum step sem_nop(struct vcpu *cpu, const struct insn *in)
{
    (void)cpu;
    (void)in;
    return STEP_NEXT;
}

static enum step sem_bound(struct vcpu *cpu, const struct insn *in)
{
    uint64_t ea = insn_ea(cpu, in), lo, hi;
    int64_t i = (int64_t)sign_extend(cpu->gpr[in->reg], in->reg_width);

    if (mem_load(cpu, in->seg, ea, in->reg_width, &lo) ||
        mem_load(cpu, in->seg, (ea + in->reg_width) & width_mask(in->awidth),
                 in->reg_width, &hi))
        return STEP_FAULT;
    if (i < (int64_t)sign_extend(lo, in->reg_width) ||
        i > (int64_t)sign_extend(hi, in->reg_width))
        return raise(cpu, EXC_BR);
    return STEP_NEXT;
}

#define M(name) ZYDIS_MNEMONIC_##name
const struct sem_entry sem_move_table[] = {
    {M(MOV), 0, sem_mov},
    {M(MOVNTI), 0, sem_mov},
    {M(MOVZX), 0, sem_movzx},
    {M(MOVSX), 0, sem_movsx},
    {M(MOVSXD), 0, sem_movsx},
    {M(LEA), 0, sem_lea},
    {M(XCHG), 0, sem_xchg, .lockable = true},
    {M(MOVBE), 0, sem_movbe},
    {M(BSWAP), 0, sem_bswap},
    {M(CMOVO), 0, sem_cmov},
    {M(CMOVNO), 0, sem_cmov},
    {M(CMOVB), 0, sem_cmov},
    {M(CMOVNB), 0, sem_cmov},
    {M(CMOVZ), 0, sem_cmov},
    {M(CMOVNZ), 0, sem_cmov},
    {M(CMOVBE), 0, sem_cmov},
    {M(CMOVNBE), 0, sem_cmov},
    {M(CMOVS), 0, sem_cmov},
    {M(CMOVNS), 0, sem_cmov},
    {M(CMOVP), 0, sem_cmov},
    {M(CMOVNP), 0, sem_cmov},
    {M(CMOVL), 0, sem_cmov},
    {M(CMOVNL), 0, sem_cmov},
    {M(CMOVLE), 0, sem_cmov},
    {M(CMOVNLE), 0, sem_cmov},
    {M(SETO), 0, sem_setcc},
    {M(SETNO), 0, sem_setcc},
    {M(SETB), 0, sem_setcc},
    {M(SETNB), 0, sem_setcc},
    {M(SETZ), 0, sem_setcc},
    {M(SETNZ), 0, sem_setcc},
    {M(SETBE), 0, sem_setcc},
    {M(SETNBE), 0, sem_setcc},
    {M(SETS), 0, sem_setcc},
    {M(SETNS), 0, sem_setcc},
    {M(SETP), 0, sem_setcc},
    {M(SETNP), 0, sem_setcc},
    {M(SETL), 0, sem_setcc},
    {M(SETNL), 0, sem_setcc},
    {M(SETLE), 0, sem_setcc},
    {M(SETNLE), 0, sem_setcc},
    {M(XLAT), 0, sem_xlat},
    {M(CBW), 0, sem_extend_a, .sub = 1},
    {M(CWDE), 0, sem_extend_a, .sub = 2},
    {M(CDQE), 0, sem_extend_a, .sub = 4},
    {M(CWD), 0, sem_extend_d, .sub = 2},
    {M(CDQ), 0, sem_extend_d, .sub = 4},
    {M(CQO), 0, sem_extend_d, .sub = 8},
    {M(PUSH), 0, sem_push},
    {M(POP), 0, sem_pop},
    {M(PUSHA), 0, sem_pusha, .sub = 2},
    {M(PUSHAD), 0, sem_pusha, .sub = 4},
    {M(POPA), 0, sem_popa, .sub = 2},
    {M(POPAD), 0, sem_popa, .sub = 4},
    {M(ENTER), 0, sem_enter},
    {M(LEAVE), 0, sem_leave},
    {M(LAHF), 0, sem_lahf},
    {M(SAHF), 0, sem_sahf},
    {M(CLC), 0, sem_carry, .sub = 0},
    {M(STC), 0, sem_carry, .sub = 1},
    {M(CMC), 0, sem_carry, .sub = 2},
    {M(CLD), 0, sem_direction, .sub = 0},
    {M(STD), 0, sem_direction, .sub = 1},
    {M(SALC), 0, sem_salc},
    {M(NOP), 0, sem_nop},
    {M(ENDBR64), 0, sem_nop},
    {M(ENDBR32), 0, sem_nop},
    {M(BOUND), 0, sem_bound},
    {0},
};
