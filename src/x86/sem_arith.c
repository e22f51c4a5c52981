/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sem_arith.c - integer arithmetic and logic.          [SDM 2, ADD ... XOR]
 *
 * Undefined flags are left as the comments say; tests mask them.
 */
#include "x86/access.h"

#include <Zydis/Mnemonic.h>

#include "x86/flags.h"

enum alu { ALU_ADD, ALU_ADC, ALU_SUB, ALU_SBB, ALU_AND, ALU_OR, ALU_XOR };

/* --- flags that are computed at once --- */

/* CF, AF and OF of a + b + carry or a - b - borrow, by the carry chain. */
static uint64_t add_bits(uint64_t a, uint64_t b, uint64_t r, unsigned width)
{
    uint64_t chain = (a & b) | ((a | b) & ~r);
    unsigned top = 8 * width - 1;

    return (chain >> top & 1 ? FLAG_CF : 0) | (chain & 8 ? FLAG_AF : 0) |
           ((chain >> top ^ chain >> (top - 1)) & 1 ? FLAG_OF : 0);
}

static uint64_t sub_bits(uint64_t a, uint64_t b, uint64_t r, unsigned width)
{
    uint64_t chain = (~a & b) | ((~a | b) & r);
    unsigned top = 8 * width - 1;

    return (chain >> top & 1 ? FLAG_CF : 0) | (chain & 8 ? FLAG_AF : 0) |
           ((chain >> top ^ chain >> (top - 1)) & 1 ? FLAG_OF : 0);
}

static inline uint64_t alu_result(enum alu op, uint64_t a, uint64_t b, bool cf)
{
    switch (op) {
    case ALU_ADD:
        return a + b;
    case ALU_ADC:
        return a + b + cf;
    case ALU_SUB:
        return a - b;
    case ALU_SBB:
        return a - b - cf;
    case ALU_AND:
        return a & b;
    case ALU_OR:
        return a | b;
    default:
        return a ^ b;
    }
}

static inline void alu_flags(struct vcpu *cpu, enum alu op, uint64_t a,
                             uint64_t b, uint64_t r, unsigned width)
{
    switch (op) {
    case ALU_ADD:
        flags_lazy(cpu, CC_ADD, width, r, b & width_mask(width));
        break;
    case ALU_SUB:
        flags_lazy(cpu, CC_SUB, width, r, b & width_mask(width));
        break;
    case ALU_ADC:
        flags_lazy(cpu, CC_RES, width, r, add_bits(a, b, r, width));
        break;
    case ALU_SBB:
        flags_lazy(cpu, CC_RES, width, r, sub_bits(a, b, r, width));
        break;
    default: /* AF is undefined: 0 */
        flags_lazy(cpu, CC_RES, width, r, 0);
    }
}

/* dst = dst op src; memory destinations atomically if LOCKed. */
static inline enum step alu(struct vcpu *cpu, const struct insn *in,
                            enum alu op)
{
    bool cf = (op == ALU_ADC || op == ALU_SBB) && flags_carry(cpu);
    uint64_t a, b, r;
    struct ref dst;

    if (opnd_get(cpu, in, in->src, &b) ||
        opnd_open(cpu, in, in->dst, REF_RW, &dst))
        return STEP_FAULT;
    a = ref_get(&dst);
    if (in->flags & INSN_LOCK) {
        while (!ref_cmpxchg(&dst, &a, r = alu_result(op, a, b, cf)))
            ;
    } else {
        r = alu_result(op, a, b, cf);
        ref_set(&dst, r);
    }
    alu_flags(cpu, op, a, b, r, in->width);
    return STEP_NEXT;
}

#define SEM_ALU(name, op)                                                      \
    static enum step sem_##name(struct vcpu *cpu, const struct insn *in)       \
    {                                                                          \
        return alu(cpu, in, op);                                               \
    }
SEM_ALU(add, ALU_ADD)
SEM_ALU(adc, ALU_ADC)
SEM_ALU(sub, ALU_SUB)
SEM_ALU(sbb, ALU_SBB)
SEM_ALU(and, ALU_AND)
SEM_ALU(or, ALU_OR)
SEM_ALU(xor, ALU_XOR)

static enum step sem_cmp(struct vcpu *cpu, const struct insn *in)
{
    uint64_t a, b;

    if (opnd_get(cpu, in, in->dst, &a) || opnd_get(cpu, in, in->src, &b))
        return STEP_FAULT;
    alu_flags(cpu, ALU_SUB, a, b, a - b, in->width);
    return STEP_NEXT;
}

static enum step sem_test(struct vcpu *cpu, const struct insn *in)
{
    uint64_t a, b;

    if (opnd_get(cpu, in, in->dst, &a) || opnd_get(cpu, in, in->src, &b))
        return STEP_FAULT;
    alu_flags(cpu, ALU_AND, a, b, a & b, in->width);
    return STEP_NEXT;
}

/* INC, DEC, NOT, NEG: dst = f(dst). */
enum unary { UN_INC, UN_DEC, UN_NOT, UN_NEG };

static inline uint64_t unary_result(enum unary op, uint64_t a)
{
    switch (op) {
    case UN_INC:
        return a + 1;
    case UN_DEC:
        return a - 1;
    case UN_NOT:
        return ~a;
    default:
        return -a;
    }
}

static inline enum step unary(struct vcpu *cpu, const struct insn *in,
                              enum unary op)
{
    uint64_t a, r, keep;
    struct ref dst;

    if (opnd_open(cpu, in, in->dst, REF_RW, &dst))
        return STEP_FAULT;
    a = ref_get(&dst);
    if (in->flags & INSN_LOCK) {
        while (!ref_cmpxchg(&dst, &a, r = unary_result(op, a)))
            ;
    } else {
        r = unary_result(op, a);
        ref_set(&dst, r);
    }
    if (op == UN_NEG) {
        flags_lazy(cpu, CC_SUB, in->width, r, a); /* 0 - a */
    } else if (op != UN_NOT) {
        keep = flags_carry(cpu) ? FLAG_CF : 0;
        keep |= (op == UN_INC ? add_bits(a, 1, r, in->width)
                              : sub_bits(a, 1, r, in->width)) &
                ~FLAG_CF;
        flags_lazy(cpu, CC_RES, in->width, r, keep);
    }
    return STEP_NEXT;
}

#define SEM_UNARY(name, op)                                                    \
    static enum step sem_##name(struct vcpu *cpu, const struct insn *in)       \
    {                                                                          \
        return unary(cpu, in, op);                                             \
    }
SEM_UNARY(inc, UN_INC)
SEM_UNARY(dec, UN_DEC)
SEM_UNARY(not, UN_NOT)
SEM_UNARY(neg, UN_NEG)

/* --- multiply and divide --- */

/* Writes lo and hi to AX, or to rDX:rAX. */
static void wide_set(struct vcpu *cpu, unsigned width, uint64_t lo, uint64_t hi)
{
    if (width == 1) {
        reg_set(cpu, R_RAX, 2, (lo & 0xff) | hi << 8);
        return;
    }
    reg_set(cpu, R_RAX, width, lo);
    reg_set(cpu, R_RDX, width, hi);
}

/* ZF, SF, PF, AF are undefined: by the low half, AF 0. */
static void mul_flags(struct vcpu *cpu, unsigned width, uint64_t lo, bool over)
{
    flags_lazy(cpu, CC_RES, width, lo, over ? FLAG_CF | FLAG_OF : 0);
}

static uint64_t high_half(unsigned __int128 v, unsigned width)
{
    return (uint64_t)(v >> (8 * width)) & width_mask(width);
}

static enum step sem_mul(struct vcpu *cpu, const struct insn *in)
{
    unsigned width = in->rm_width;
    unsigned __int128 v;
    uint64_t b, hi;

    if (opnd_get(cpu, in, OPND_RM, &b))
        return STEP_FAULT;
    v = (unsigned __int128)reg_get(cpu, R_RAX, width) * b;
    hi = high_half(v, width);
    wide_set(cpu, width, (uint64_t)v, hi);
    mul_flags(cpu, width, (uint64_t)v, hi != 0);
    return STEP_NEXT;
}

static __int128 signed_product(uint64_t a, uint64_t b, unsigned width)
{
    return (__int128)(int64_t)sign_extend(a, width) *
           (int64_t)sign_extend(b, width);
}

static enum step imul_wide(struct vcpu *cpu, const struct insn *in)
{
    unsigned width = in->rm_width;
    uint64_t b, lo;
    __int128 v;

    if (opnd_get(cpu, in, OPND_RM, &b))
        return STEP_FAULT;
    v = signed_product(reg_get(cpu, R_RAX, width), b, width);
    lo = (uint64_t)v & width_mask(width);
    wide_set(cpu, width, lo, high_half((unsigned __int128)v, width));
    mul_flags(cpu, width, lo, v != (int64_t)sign_extend(lo, width));
    return STEP_NEXT;
}

static enum step sem_imul(struct vcpu *cpu, const struct insn *in)
{
    uint64_t a, b, lo;
    __int128 v;

    if (in->src == OPND_NONE)
        return imul_wide(cpu, in);
    if (in->src2 == OPND_NONE) {
        a = reg_get(cpu, in->reg, in->width);
        if (opnd_get(cpu, in, in->src, &b))
            return STEP_FAULT;
    } else {
        b = in->imm;
        if (opnd_get(cpu, in, in->src, &a))
            return STEP_FAULT;
    }
    v = signed_product(a, b, in->width);
    lo = (uint64_t)v & width_mask(in->width);
    reg_set(cpu, in->reg, in->width, lo);
    mul_flags(cpu, in->width, lo, v != (int64_t)sign_extend(lo, in->width));
    return STEP_NEXT;
}

static unsigned __int128 dividend(const struct vcpu *cpu, unsigned width)
{
    if (width == 1)
        return (uint16_t)cpu->gpr[R_RAX];
    return (unsigned __int128)reg_get(cpu, R_RDX, width) << (8 * width) |
           reg_get(cpu, R_RAX, width);
}

/* Flags are undefined: unchanged. */
static enum step sem_div(struct vcpu *cpu, const struct insn *in)
{
    unsigned width = in->rm_width;
    unsigned __int128 n, q;
    uint64_t d;

    if (opnd_get(cpu, in, OPND_RM, &d))
        return STEP_FAULT;
    n = dividend(cpu, width);
    if (!d)
        return raise(cpu, EXC_DE);
    if (!(n >> 64)) { /* the usual case, without the 128-bit routine */
        q = (uint64_t)n / d;
        n = (uint64_t)n % d;
    } else {
        q = n / d;
        n = n % d;
    }
    if (q > width_mask(width))
        return raise(cpu, EXC_DE);
    wide_set(cpu, width, (uint64_t)q, (uint64_t)n);
    return STEP_NEXT;
}

static __int128 signed_dividend(const struct vcpu *cpu, unsigned width)
{
    unsigned __int128 v = dividend(cpu, width);
    unsigned shift = 128 - 16 * width;

    return (__int128)(v << shift) >> shift;
}

#define INT128_LOWEST ((__int128)((unsigned __int128)1 << 127))

static enum step sem_idiv(struct vcpu *cpu, const struct insn *in)
{
    unsigned width = in->rm_width;
    __int128 n, q;
    int64_t d;
    uint64_t v;

    if (opnd_get(cpu, in, OPND_RM, &v))
        return STEP_FAULT;
    d = (int64_t)sign_extend(v, width);
    n = signed_dividend(cpu, width);
    /* the most negative dividend by -1 overflows the host's division too */
    if (!d || (d == -1 && n == INT128_LOWEST))
        return raise(cpu, EXC_DE);
    q = n / d;
    if (q != (int64_t)sign_extend((uint64_t)q, width))
        return raise(cpu, EXC_DE);
    wide_set(cpu, width, (uint64_t)q, (uint64_t)(n % d) & width_mask(width));
    return STEP_NEXT;
}

/* MULX r1, r2, r/m: r1 (reg) high, r2 (vvvv) low; no flags. */
static enum step sem_mulx(struct vcpu *cpu, const struct insn *in)
{
    unsigned __int128 v;
    uint64_t b;

    if (opnd_get(cpu, in, OPND_RM, &b))
        return STEP_FAULT;
    v = (unsigned __int128)reg_get(cpu, R_RDX, in->width) * b;
    reg_set(cpu, in->sub, in->width, (uint64_t)v);
    reg_set(cpu, in->reg, in->width, high_half(v, in->width));
    return STEP_NEXT;
}

/* ADCX and ADOX carry through CF and OF alone; sub is the flag's bit. */
static enum step sem_adx(struct vcpu *cpu, const struct insn *in)
{
    uint64_t flag = in->sub ? FLAG_OF : FLAG_CF;
    unsigned __int128 v;
    uint64_t b;

    if (opnd_get(cpu, in, OPND_RM, &b))
        return STEP_FAULT;
    flags_sync(cpu);
    v = (unsigned __int128)reg_get(cpu, in->reg, in->width) + b +
        !!(cpu->rflags & flag);
    reg_set(cpu, in->reg, in->width, (uint64_t)v);
    flags_set(cpu, flag, high_half(v, in->width) ? flag : 0);
    return STEP_NEXT;
}

/* --- exchange and add, compare and exchange --- */

static enum step sem_xadd(struct vcpu *cpu, const struct insn *in)
{
    uint64_t a, b = reg_get(cpu, in->reg, in->width);
    struct ref dst;

    if (ref_open(cpu, in, REF_RW, &dst))
        return STEP_FAULT;
    a = ref_get(&dst);
    if (in->flags & INSN_LOCK)
        while (!ref_cmpxchg(&dst, &a, a + b))
            ;
    /* the source first: in `xadd %rax,%rax` the sum wins */
    reg_set(cpu, in->reg, in->width, a);
    if (!(in->flags & INSN_LOCK))
        ref_set(&dst, a + b);
    alu_flags(cpu, ALU_ADD, a, b, a + b, in->width);
    return STEP_NEXT;
}

static enum step sem_cmpxchg(struct vcpu *cpu, const struct insn *in)
{
    uint64_t acc = reg_get(cpu, R_RAX, in->width);
    uint64_t src = reg_get(cpu, in->reg, in->width);
    uint64_t old = acc;
    struct ref dst;
    bool same;

    if (ref_open(cpu, in, REF_RW, &dst))
        return STEP_FAULT;
    if (in->flags & INSN_LOCK) {
        same = ref_cmpxchg(&dst, &old, src);
    } else {
        old = ref_get(&dst);
        same = old == acc;
        /* hardware writes memory back either way [SDM 2A, CMPXCHG] */
        if (same || (in->flags & INSN_MEM))
            ref_set(&dst, same ? src : old);
    }
    if (!same)
        reg_set(cpu, R_RAX, in->width, old);
    alu_flags(cpu, ALU_SUB, acc, old, acc - old, in->width);
    return STEP_NEXT;
}

/* cmpxchg16b on the host; p is 16-byte aligned. */
static bool host_cmpxchg16(void *p, uint64_t old[2], const uint64_t val[2])
{
    bool done;

    __asm__ volatile("lock cmpxchg16b %1"
                     : "=@ccz"(done), "+m"(*(unsigned __int128 *)p),
                       "+a"(old[0]), "+d"(old[1])
                     : "b"(val[0]), "c"(val[1])
                     : "memory");
    return done;
}

static void pair_get(const struct vcpu *cpu, unsigned lo, unsigned hi,
                     unsigned width, uint64_t v[2])
{
    v[0] = reg_get(cpu, lo, width);
    v[1] = reg_get(cpu, hi, width);
}

static enum step cmpxchg16b(struct vcpu *cpu, const struct insn *in)
{
    uint64_t old[2], want[2], val[2];
    struct ref dst;
    bool same;

    if ((insn_ea(cpu, in) + cpu->seg_base[in->seg]) & 15)
        return raise_gp(cpu, 0);
    if (ref_open(cpu, in, REF_RW, &dst))
        return STEP_FAULT;
    pair_get(cpu, R_RAX, R_RDX, 8, want);
    pair_get(cpu, R_RBX, R_RCX, 8, val);
    old[0] = want[0];
    old[1] = want[1];
    if (dst.kind == REF_HOST) {
        same = host_cmpxchg16(dst.p, old, val);
        if (same)
            ref_written(&dst, val);
    } else {
        ref_get_bytes(&dst, old);
        same = old[0] == want[0] && old[1] == want[1];
        if (same)
            ref_set_bytes(&dst, val);
    }
    if (!same) {
        cpu->gpr[R_RAX] = old[0];
        cpu->gpr[R_RDX] = old[1];
    }
    flags_set(cpu, FLAG_ZF, same ? FLAG_ZF : 0);
    return STEP_NEXT;
}

static enum step sem_cmpxchg8b(struct vcpu *cpu, const struct insn *in)
{
    uint64_t want[2], val[2], old, acc;
    struct ref dst;
    bool same;

    if (in->rm_width == 16)
        return cmpxchg16b(cpu, in);
    if (ref_open(cpu, in, REF_RW, &dst))
        return STEP_FAULT;
    pair_get(cpu, R_RAX, R_RDX, 4, want);
    pair_get(cpu, R_RBX, R_RCX, 4, val);
    old = acc = want[0] | want[1] << 32;
    same = ref_cmpxchg(&dst, &old, val[0] | val[1] << 32);
    if (!same) {
        reg_set(cpu, R_RAX, 4, old);
        reg_set(cpu, R_RDX, 4, old >> 32);
    }
    flags_set(cpu, FLAG_ZF, same ? FLAG_ZF : 0);
    return STEP_NEXT;
}

/* --- decimal adjustment; not in 64-bit mode (the decoder sees to it) --- */

static void set_al(struct vcpu *cpu, uint64_t al)
{
    reg_set(cpu, R_RAX, 1, al);
}

/* DAA (sub 0) and DAS (sub 1); OF is undefined: 0. */
static enum step sem_daa(struct vcpu *cpu, const struct insn *in)
{
    uint64_t f = flags_status(cpu), keep = 0;
    unsigned old = cpu->gpr[R_RAX] & 0xff, al = old;
    unsigned sign = in->sub ? ~0u : 1u;
    bool cf = f & FLAG_CF;

    if ((old & 0xf) > 9 || (f & FLAG_AF)) {
        /* DAS borrows out of the low adjustment as well */
        if (cf || (in->sub && al < 6))
            keep |= FLAG_CF;
        al += 6 * sign;
        keep |= FLAG_AF;
    }
    if (old > 0x99 || cf) {
        al += 0x60 * sign;
        keep |= FLAG_CF;
    }
    set_al(cpu, al);
    flags_lazy(cpu, CC_RES, 1, al, keep);
    return STEP_NEXT;
}

/* AAA (sub 0) and AAS (sub 1); SF, ZF, PF, OF are undefined: by AL. */
static enum step sem_aaa(struct vcpu *cpu, const struct insn *in)
{
    unsigned ax = (uint16_t)cpu->gpr[R_RAX];
    bool adjust = (ax & 0xf) > 9 || (flags_status(cpu) & FLAG_AF);

    if (adjust)
        ax = in->sub ? ax - 0x106 : ax + 0x106;
    reg_set(cpu, R_RAX, 2, ax & 0xff0f);
    flags_lazy(cpu, CC_RES, 1, ax & 0xf, adjust ? FLAG_AF | FLAG_CF : 0);
    return STEP_NEXT;
}

static enum step sem_aam(struct vcpu *cpu, const struct insn *in)
{
    unsigned base = in->imm & 0xff, al = cpu->gpr[R_RAX] & 0xff;

    if (!base)
        return raise(cpu, EXC_DE);
    reg_set(cpu, R_RAX, 2, al % base | (al / base) << 8);
    flags_lazy(cpu, CC_RES, 1, al % base, 0);
    return STEP_NEXT;
}

static enum step sem_aad(struct vcpu *cpu, const struct insn *in)
{
    unsigned ax = (uint16_t)cpu->gpr[R_RAX];
    unsigned al = ((ax & 0xff) + (ax >> 8) * (unsigned)(in->imm & 0xff)) & 0xff;

    reg_set(cpu, R_RAX, 2, al);
    flags_lazy(cpu, CC_RES, 1, al, 0);
    return STEP_NEXT;
}

#define M(name) ZYDIS_MNEMONIC_##name
const struct sem_entry sem_arith_table[] = {
    {M(ADD), 0, sem_add, .lockable = true},
    {M(ADC), 0, sem_adc, .lockable = true},
    {M(SUB), 0, sem_sub, .lockable = true},
    {M(SBB), 0, sem_sbb, .lockable = true},
    {M(AND), 0, sem_and, .lockable = true},
    {M(OR), 0, sem_or, .lockable = true},
    {M(XOR), 0, sem_xor, .lockable = true},
    {M(CMP), 0, sem_cmp},
    {M(TEST), 0, sem_test},
    {M(INC), 0, sem_inc, .lockable = true},
    {M(DEC), 0, sem_dec, .lockable = true},
    {M(NOT), 0, sem_not, .lockable = true},
    {M(NEG), 0, sem_neg, .lockable = true},
    {M(MUL), 0, sem_mul},
    {M(IMUL), 0, sem_imul},
    {M(DIV), 0, sem_div},
    {M(IDIV), 0, sem_idiv},
    {M(MULX), 0, sem_mulx},
    {M(ADCX), 0, sem_adx, .sub = 0},
    {M(ADOX), 0, sem_adx, .sub = 1},
    {M(XADD), 0, sem_xadd, .lockable = true},
    {M(CMPXCHG), 0, sem_cmpxchg, .lockable = true},
    {M(CMPXCHG8B), 0, sem_cmpxchg8b, .lockable = true},
    {M(CMPXCHG16B), 0, sem_cmpxchg8b, .lockable = true},
    {M(DAA), 0, sem_daa, .sub = 0},
    {M(DAS), 0, sem_daa, .sub = 1},
    {M(AAA), 0, sem_aaa, .sub = 0},
    {M(AAS), 0, sem_aaa, .sub = 1},
    {M(AAM), 0, sem_aam},
    {M(AAD), 0, sem_aad},
    {0},
};
