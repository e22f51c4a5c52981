/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fast.c - handlers for the forms that programs consist of, in 64-bit mode.
 *
 * Each is one form of one operation at one width: operands are known when
 * the block is built, so a handler is a few loads, the operation, and a jump
 * to the next. A memory form that misses the TLB, crosses a page or hits code
 * falls back to exec_generic(), which does the same by the book, faults and
 * all: so nothing here can fault, and nothing here can be wrong about rights.
 */
#include "engine/interp/interp_int.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define HANDLER(name)                                                          \
    static const struct insn *name(struct vcpu *cpu, const struct insn *in)

/* --- registers by width; byte registers are byte offsets --- */

static inline u8 get_u8(const struct vcpu *cpu, unsigned r)
{
    return ((const u8 *)cpu->gpr)[r];
}
static inline void set_u8(struct vcpu *cpu, unsigned r, u8 v)
{
    ((u8 *)cpu->gpr)[r] = v;
}
static inline u16 get_u16(const struct vcpu *cpu, unsigned r)
{
    return (u16)cpu->gpr[r];
}
static inline void set_u16(struct vcpu *cpu, unsigned r, u16 v)
{
    *(u16 *)&cpu->gpr[r] = v;
}
static inline u32 get_u32(const struct vcpu *cpu, unsigned r)
{
    return (u32)cpu->gpr[r];
}
static inline void set_u32(struct vcpu *cpu, unsigned r, u32 v)
{
    cpu->gpr[r] = v;
}
static inline u64 get_u64(const struct vcpu *cpu, unsigned r)
{
    return cpu->gpr[r];
}
static inline void set_u64(struct vcpu *cpu, unsigned r, u64 v)
{
    cpu->gpr[r] = v;
}

/* --- memory: a pointer, or the general way --- */

static inline gva_t ea64(const struct vcpu *cpu, const struct insn *in)
{
    return cpu->gpr[in->base] + (cpu->gpr[in->index] << in->scale) +
           (u64)(int64_t)in->disp + cpu->seg_base[in->seg];
}

#define READ_OR_GENERIC(p, T)                                                  \
    const T *p = tlb_read(cpu, ea64(cpu, in), sizeof(T));                      \
    if (unlikely(!p))                                                          \
    return exec_generic(cpu, in)
#define WRITE_OR_GENERIC(p, T)                                                 \
    T *p = tlb_write(cpu, ea64(cpu, in), sizeof(T));                           \
    if (unlikely(!p))                                                          \
    return exec_generic(cpu, in)

#define VREAD(p)     (*(const volatile __typeof__(*(p)) *)(p))
#define VWRITE(p, v) (*(volatile __typeof__(*(p)) *)(p) = (v))

/* --- lazy flags --- */

#define LOG2_u8  0
#define LOG2_u16 1
#define LOG2_u32 2
#define LOG2_u64 3

#define SET_CC(kind, T, res, src)                                              \
    do {                                                                       \
        cpu->cc_op = CC_OP(kind, LOG2_##T);                                    \
        cpu->cc_res = (T)(res);                                                \
        cpu->cc_src = (src);                                                   \
    } while (0)

#define FLAGS_ADD(T, r, b) SET_CC(CC_ADD, T, r, (T)(b))
#define FLAGS_SUB(T, r, b) SET_CC(CC_SUB, T, r, (T)(b))
#define FLAGS_LOG(T, r, b) SET_CC(CC_RES, T, r, 0)

/* --- two-operand arithmetic: five forms, four widths --- */

#define ALU_FORMS(name, T, OP, FLAGS)                                          \
    HANDLER(name##_rr_##T)                                                     \
    {                                                                          \
        T b = get_##T(cpu, in->reg), r = (T)(get_##T(cpu, in->rm) OP b);       \
        set_##T(cpu, in->rm, r);                                               \
        FLAGS(T, r, b);                                                        \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(name##_ri_##T)                                                     \
    {                                                                          \
        T b = (T)in->imm, r = (T)(get_##T(cpu, in->rm) OP b);                  \
        set_##T(cpu, in->rm, r);                                               \
        FLAGS(T, r, b);                                                        \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(name##_rm_##T)                                                     \
    {                                                                          \
        READ_OR_GENERIC(p, T);                                                 \
        T b = VREAD(p), r = (T)(get_##T(cpu, in->reg) OP b);                   \
        set_##T(cpu, in->reg, r);                                              \
        FLAGS(T, r, b);                                                        \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(name##_mr_##T)                                                     \
    {                                                                          \
        WRITE_OR_GENERIC(p, T);                                                \
        T b = get_##T(cpu, in->reg), r = (T)(VREAD(p) OP b);                   \
        VWRITE(p, r);                                                          \
        FLAGS(T, r, b);                                                        \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(name##_mi_##T)                                                     \
    {                                                                          \
        WRITE_OR_GENERIC(p, T);                                                \
        T b = (T)in->imm, r = (T)(VREAD(p) OP b);                              \
        VWRITE(p, r);                                                          \
        FLAGS(T, r, b);                                                        \
        NEXT(cpu, in);                                                         \
    }

/* Compare and test: the same without the destination. */
#define CMP_FORMS(name, T, OP, FLAGS)                                          \
    HANDLER(name##_rr_##T)                                                     \
    {                                                                          \
        T b = get_##T(cpu, in->reg), r = (T)(get_##T(cpu, in->rm) OP b);       \
        FLAGS(T, r, b);                                                        \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(name##_ri_##T)                                                     \
    {                                                                          \
        T b = (T)in->imm, r = (T)(get_##T(cpu, in->rm) OP b);                  \
        FLAGS(T, r, b);                                                        \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(name##_rm_##T)                                                     \
    {                                                                          \
        READ_OR_GENERIC(p, T);                                                 \
        T b = VREAD(p), r = (T)(get_##T(cpu, in->reg) OP b);                   \
        FLAGS(T, r, b);                                                        \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(name##_mr_##T)                                                     \
    {                                                                          \
        READ_OR_GENERIC(p, T);                                                 \
        T b = get_##T(cpu, in->reg), r = (T)(VREAD(p) OP b);                   \
        FLAGS(T, r, b);                                                        \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(name##_mi_##T)                                                     \
    {                                                                          \
        READ_OR_GENERIC(p, T);                                                 \
        T b = (T)in->imm, r = (T)(VREAD(p) OP b);                              \
        FLAGS(T, r, b);                                                        \
        NEXT(cpu, in);                                                         \
    }

#define ALU_WIDTHS(FORMS, name, OP, FLAGS)                                     \
    FORMS(name, u8, OP, FLAGS)                                                 \
    FORMS(name, u16, OP, FLAGS)                                                \
    FORMS(name, u32, OP, FLAGS)                                                \
    FORMS(name, u64, OP, FLAGS)

ALU_WIDTHS(ALU_FORMS, add, +, FLAGS_ADD)
ALU_WIDTHS(ALU_FORMS, sub, -, FLAGS_SUB)
ALU_WIDTHS(ALU_FORMS, and, &, FLAGS_LOG)
ALU_WIDTHS(ALU_FORMS, or, |, FLAGS_LOG)
ALU_WIDTHS(ALU_FORMS, xor, ^, FLAGS_LOG)
ALU_WIDTHS(CMP_FORMS, cmp, -, FLAGS_SUB)
ALU_WIDTHS(CMP_FORMS, test, &, FLAGS_LOG)

enum form { FORM_RR, FORM_RI, FORM_RM, FORM_MR, FORM_MI, FORMS };

#define ALU_ROW(name, T)                                                       \
    {                                                                          \
        name##_rr_##T, name##_ri_##T, name##_rm_##T, name##_mr_##T,            \
            name##_mi_##T                                                      \
    }
#define ALU_TABLE(name)                                                        \
    {                                                                          \
        ALU_ROW(name, u8), ALU_ROW(name, u16), ALU_ROW(name, u32),             \
            ALU_ROW(name, u64)                                                 \
    }

/* --- moves --- */

#define MOV_FORMS(T)                                                           \
    HANDLER(mov_rr_##T) /* both are r/m <- reg */                              \
    {                                                                          \
        set_##T(cpu, in->rm, get_##T(cpu, in->reg));                           \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(mov_ri_##T)                                                        \
    {                                                                          \
        set_##T(cpu, in->rm, (T)in->imm);                                      \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(mov_rm_##T)                                                        \
    {                                                                          \
        READ_OR_GENERIC(p, T);                                                 \
        set_##T(cpu, in->reg, VREAD(p));                                       \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(mov_mr_##T)                                                        \
    {                                                                          \
        WRITE_OR_GENERIC(p, T);                                                \
        VWRITE(p, get_##T(cpu, in->reg));                                      \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(mov_mi_##T)                                                        \
    {                                                                          \
        WRITE_OR_GENERIC(p, T);                                                \
        VWRITE(p, (T)in->imm);                                                 \
        NEXT(cpu, in);                                                         \
    }
MOV_FORMS(u8)
MOV_FORMS(u16)
MOV_FORMS(u32)
MOV_FORMS(u64)

/* Extensions from S to T: `how` casts. Destination is always reg. */
#define EXTEND(name, S, T, how)                                                \
    HANDLER(name##_r_##S##_##T)                                                \
    {                                                                          \
        set_##T(cpu, in->reg, (T)(how)get_##S(cpu, in->rm));                   \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(name##_m_##S##_##T)                                                \
    {                                                                          \
        READ_OR_GENERIC(p, S);                                                 \
        set_##T(cpu, in->reg, (T)(how)VREAD(p));                               \
        NEXT(cpu, in);                                                         \
    }
EXTEND(zx, u8, u32, u8)
EXTEND(zx, u16, u32, u16)
EXTEND(sx, u8, u32, int8_t)
EXTEND(sx, u16, u32, int16_t)
EXTEND(sx, u8, u64, int8_t)
EXTEND(sx, u16, u64, int16_t)
EXTEND(sx, u32, u64, int32_t)

HANDLER(lea_u32)
{
    set_u32(cpu, in->reg,
            (u32)(cpu->gpr[in->base] + (cpu->gpr[in->index] << in->scale) +
                  (u64)(int64_t)in->disp));
    NEXT(cpu, in);
}
HANDLER(lea_u64)
{
    cpu->gpr[in->reg] = cpu->gpr[in->base] +
                        (cpu->gpr[in->index] << in->scale) +
                        (u64)(int64_t)in->disp;
    NEXT(cpu, in);
}

/* --- one operand, shifts, multiplication --- */

static inline u64 carry_bit(const struct vcpu *cpu)
{
    return flags_carry(cpu) ? FLAG_CF : 0;
}

#define INCDEC_FORMS(T)                                                        \
    HANDLER(inc_r_##T)                                                         \
    {                                                                          \
        u64 keep = carry_bit(cpu);                                             \
        T r = (T)(get_##T(cpu, in->rm) + 1);                                   \
        set_##T(cpu, in->rm, r);                                               \
        keep |= (r & 0xf) ? 0 : FLAG_AF;                                       \
        keep |= r == (T)1 << (8 * sizeof(T) - 1) ? FLAG_OF : 0;                \
        SET_CC(CC_RES, T, r, keep);                                            \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(dec_r_##T)                                                         \
    {                                                                          \
        u64 keep = carry_bit(cpu);                                             \
        T r = (T)(get_##T(cpu, in->rm) - 1);                                   \
        set_##T(cpu, in->rm, r);                                               \
        keep |= (r & 0xf) == 0xf ? FLAG_AF : 0;                                \
        keep |= r == (T)((T)1 << (8 * sizeof(T) - 1)) - 1 ? FLAG_OF : 0;       \
        SET_CC(CC_RES, T, r, keep);                                            \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(not_r_##T)                                                         \
    {                                                                          \
        set_##T(cpu, in->rm, (T)~get_##T(cpu, in->rm));                        \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(neg_r_##T)                                                         \
    {                                                                          \
        T a = get_##T(cpu, in->rm), r = (T)-a;                                 \
        set_##T(cpu, in->rm, r);                                               \
        FLAGS_SUB(T, r, a);                                                    \
        NEXT(cpu, in);                                                         \
    }
INCDEC_FORMS(u32)
INCDEC_FORMS(u64)

/* Shifts by 1..width-1; n is that count, known not to be 0. */
#define SHIFT_FLAGS(T, r, cf, of)                                              \
    SET_CC(CC_RES, T, r, ((cf) ? FLAG_CF : 0) | ((of) ? FLAG_OF : 0))
#define TOP(T, v) ((T)(v) >> (8 * sizeof(T) - 1))

#define SHIFT_BODY(T, N)                                                       \
    unsigned n = (N);                                                          \
    T a = get_##T(cpu, in->rm), r;

#define SHL_DO(T)                                                              \
    r = (T)(a << n);                                                           \
    set_##T(cpu, in->rm, r);                                                   \
    SHIFT_FLAGS(T, r, a >> (8 * sizeof(T) - n) & 1,                            \
                (a >> (8 * sizeof(T) - n) & 1) ^ TOP(T, r))
#define SHR_DO(T)                                                              \
    r = (T)(a >> n);                                                           \
    set_##T(cpu, in->rm, r);                                                   \
    SHIFT_FLAGS(T, r, a >> (n - 1) & 1, TOP(T, a >> (n - 1)))
#define SAR_DO_T(T, S)                                                         \
    r = (T)((S)a >> n);                                                        \
    set_##T(cpu, in->rm, r);                                                   \
    SHIFT_FLAGS(T, r, (S)a >> (n - 1) & 1, 0)
#define SAR_DO_u32 SAR_DO_T(u32, int32_t)
#define SAR_DO_u64 SAR_DO_T(u64, int64_t)

#define SHIFT_FORMS(T)                                                         \
    HANDLER(shl_i_##T)                                                         \
    {                                                                          \
        SHIFT_BODY(T, (unsigned)in->imm)                                       \
        SHL_DO(T);                                                             \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(shr_i_##T)                                                         \
    {                                                                          \
        SHIFT_BODY(T, (unsigned)in->imm)                                       \
        SHR_DO(T);                                                             \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(sar_i_##T)                                                         \
    {                                                                          \
        SHIFT_BODY(T, (unsigned)in->imm)                                       \
        SAR_DO_##T;                                                            \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(shl_c_##T)                                                         \
    {                                                                          \
        SHIFT_BODY(T, cpu->gpr[R_RCX] & (8 * sizeof(T) - 1))                   \
        if (unlikely(!n))                                                      \
            return exec_generic(cpu, in);                                      \
        SHL_DO(T);                                                             \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(shr_c_##T)                                                         \
    {                                                                          \
        SHIFT_BODY(T, cpu->gpr[R_RCX] & (8 * sizeof(T) - 1))                   \
        if (unlikely(!n))                                                      \
            return exec_generic(cpu, in);                                      \
        SHR_DO(T);                                                             \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(sar_c_##T)                                                         \
    {                                                                          \
        SHIFT_BODY(T, cpu->gpr[R_RCX] & (8 * sizeof(T) - 1))                   \
        if (unlikely(!n))                                                      \
            return exec_generic(cpu, in);                                      \
        SAR_DO_##T;                                                            \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    /* rotations change CF and OF only, by 1..width-1 */                       \
    HANDLER(rol_i_##T)                                                         \
    {                                                                          \
        SHIFT_BODY(T, (unsigned)in->imm)                                       \
        r = (T)(a << n | a >> (8 * sizeof(T) - n));                            \
        set_##T(cpu, in->rm, r);                                               \
        flags_set(cpu, FLAG_CF | FLAG_OF,                                      \
                  (r & 1) | ((TOP(T, r) ^ (r & 1)) ? FLAG_OF : 0));            \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(ror_i_##T)                                                         \
    {                                                                          \
        SHIFT_BODY(T, (unsigned)in->imm)                                       \
        r = (T)(a >> n | a << (8 * sizeof(T) - n));                            \
        set_##T(cpu, in->rm, r);                                               \
        flags_set(cpu, FLAG_CF | FLAG_OF,                                      \
                  TOP(T, r) |                                                  \
                      ((TOP(T, r) ^ TOP(T, (T)(r << 1))) ? FLAG_OF : 0));      \
        NEXT(cpu, in);                                                         \
    }
SHIFT_FORMS(u32)
SHIFT_FORMS(u64)

HANDLER(imul_r_u32)
{
    int64_t v = (int64_t)(int32_t)cpu->gpr[in->reg] *
                (int32_t)cpu->gpr[in->rm];

    cpu->gpr[in->reg] = (u32)v;
    SET_CC(CC_RES, u32, v, v != (int32_t)v ? FLAG_CF | FLAG_OF : 0);
    NEXT(cpu, in);
}
HANDLER(imul_r_u64)
{
    int64_t v;
    bool over = __builtin_mul_overflow((int64_t)cpu->gpr[in->reg],
                                       (int64_t)cpu->gpr[in->rm], &v);

    cpu->gpr[in->reg] = (u64)v;
    SET_CC(CC_RES, u64, v, over ? FLAG_CF | FLAG_OF : 0);
    NEXT(cpu, in);
}

HANDLER(cdqe)
{
    cpu->gpr[R_RAX] = (u64)(int64_t)(int32_t)cpu->gpr[R_RAX];
    NEXT(cpu, in);
}

HANDLER(nop)
{
    NEXT(cpu, in);
}

/* --- stack --- */

HANDLER(push_r)
{
    u64 *p = tlb_write(cpu, cpu->gpr[R_RSP] - 8, 8);

    if (unlikely(!p))
        return exec_generic(cpu, in);
    VWRITE(p, cpu->gpr[in->rm]);
    cpu->gpr[R_RSP] -= 8;
    NEXT(cpu, in);
}

HANDLER(push_i)
{
    u64 *p = tlb_write(cpu, cpu->gpr[R_RSP] - 8, 8);

    if (unlikely(!p))
        return exec_generic(cpu, in);
    VWRITE(p, in->imm);
    cpu->gpr[R_RSP] -= 8;
    NEXT(cpu, in);
}

HANDLER(pop_r)
{
    u64 *p = tlb_read(cpu, cpu->gpr[R_RSP], 8);

    if (unlikely(!p))
        return exec_generic(cpu, in);
    cpu->gpr[R_RSP] += 8;
    cpu->gpr[in->rm] = VREAD(p);
    NEXT(cpu, in);
}

HANDLER(leave)
{
    u64 *p = tlb_read(cpu, cpu->gpr[R_RBP], 8);

    if (unlikely(!p))
        return exec_generic(cpu, in);
    cpu->gpr[R_RSP] = cpu->gpr[R_RBP] + 8;
    cpu->gpr[R_RBP] = VREAD(p);
    NEXT(cpu, in);
}

/* --- branches --- */

static inline const struct insn *go_to(struct vcpu *cpu, const struct insn *in,
                                       u64 rip)
{
    cpu->rip = rip;
    cpu->insns += in->place;
    return exec_dispatch(cpu);
}

static inline bool canonical(u64 rip)
{
    return (u64)((int64_t)rip >> 47) + 1 <= 1;
}

/*
 * Taken branch inside the page: disp is the target's offset (a block built
 * for it stays as long as this one, they go together), imm caches the block.
 */
static inline const struct insn *go_near(struct vcpu *cpu,
                                         const struct insn *in)
{
    struct block *b = (struct block *)(uintptr_t)in->imm;

    if (likely(b && !vcpu_attn(cpu))) {
        cpu->insns += in->place;
        GO(cpu, b->insn);
    }
    cpu->rip = cpu->gpr[R_PAGE] + (u64)(int64_t)in->disp;
    cpu->insns += in->place;
    if (!vcpu_attn(cpu)) {
        b = block_cached(cpu);
        if (b)
            ((struct insn *)in)->imm = (uintptr_t)b; /* ours: in the arena */
    }
    return exec_dispatch(cpu);
}

static inline const struct insn *go_far(struct vcpu *cpu, const struct insn *in)
{
    u64 rip = cpu->gpr[R_PAGE] + (u64)(int64_t)in->disp;

    if (unlikely(!canonical(rip)))
        return exec_generic(cpu, in);
    return go_to(cpu, in, rip);
}

HANDLER(jmp_near)
{
    return go_near(cpu, in);
}
HANDLER(jmp_far_page)
{
    return go_far(cpu, in);
}

HANDLER(jmp_r)
{
    u64 rip = cpu->gpr[in->rm];

    if (unlikely(!canonical(rip)))
        return exec_generic(cpu, in);
    return go_to(cpu, in, rip);
}

HANDLER(jmp_m)
{
    READ_OR_GENERIC(p, u64);
    u64 rip = VREAD(p);

    if (unlikely(!canonical(rip)))
        return exec_generic(cpu, in);
    return go_to(cpu, in, rip);
}

static inline const struct insn *call_to(struct vcpu *cpu,
                                         const struct insn *in, u64 rip)
{
    u64 *p = tlb_write(cpu, cpu->gpr[R_RSP] - 8, 8);

    if (unlikely(!p || !canonical(rip)))
        return exec_generic(cpu, in);
    VWRITE(p, insn_next_rip(cpu, in));
    cpu->gpr[R_RSP] -= 8;
    return go_to(cpu, in, rip);
}

HANDLER(call_rel)
{
    return call_to(cpu, in, insn_next_rip(cpu, in) + in->imm);
}
HANDLER(call_r)
{
    return call_to(cpu, in, cpu->gpr[in->rm]);
}
HANDLER(call_m)
{
    READ_OR_GENERIC(p, u64);

    return call_to(cpu, in, VREAD(p));
}

HANDLER(ret)
{
    u64 *p = tlb_read(cpu, cpu->gpr[R_RSP], 8), rip;

    if (unlikely(!p))
        return exec_generic(cpu, in);
    rip = VREAD(p);
    if (unlikely(!canonical(rip)))
        return exec_generic(cpu, in);
    cpu->gpr[R_RSP] += 8;
    return go_to(cpu, in, rip);
}

/*
 * Jcc: one handler a condition for each kind of target; COND_* also serves
 * SETcc, CMOVcc and the fused pairs.
 */
#define COND_HANDLERS(cc)                                                      \
    HANDLER(jcc_near_##cc)                                                     \
    {                                                                          \
        if (flags_cond(cpu, cc))                                               \
            return go_near(cpu, in);                                           \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(jcc_far_##cc)                                                      \
    {                                                                          \
        if (flags_cond(cpu, cc))                                               \
            return go_far(cpu, in);                                            \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(set_##cc)                                                          \
    {                                                                          \
        set_u8(cpu, in->rm, flags_cond(cpu, cc));                              \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(cmov_u32_##cc)                                                     \
    {                                                                          \
        if (flags_cond(cpu, cc))                                               \
            cpu->gpr[in->reg] = (u32)cpu->gpr[in->rm];                         \
        else                                                                   \
            cpu->gpr[in->reg] = (u32)cpu->gpr[in->reg];                        \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(cmov_u64_##cc)                                                     \
    {                                                                          \
        if (flags_cond(cpu, cc))                                               \
            cpu->gpr[in->reg] = cpu->gpr[in->rm];                              \
        NEXT(cpu, in);                                                         \
    }
#define FOR_ALL_CC(X)                                                          \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)        \
    X(13) X(14) X(15)
FOR_ALL_CC(COND_HANDLERS)

#define ROW_NEAR(cc) jcc_near_##cc,
#define ROW_FAR(cc)  jcc_far_##cc,
#define ROW_SET(cc)  set_##cc,
#define ROW_C32(cc)  cmov_u32_##cc,
#define ROW_C64(cc)  cmov_u64_##cc,
static exec_fn *const jcc_near[16] = {FOR_ALL_CC(ROW_NEAR)};
static exec_fn *const jcc_far[16] = {FOR_ALL_CC(ROW_FAR)};
static exec_fn *const setcc_r[16] = {FOR_ALL_CC(ROW_SET)};
static exec_fn *const cmov_u32[16] = {FOR_ALL_CC(ROW_C32)};
static exec_fn *const cmov_u64[16] = {FOR_ALL_CC(ROW_C64)};

/* --- fused: compare or test, then Jcc; the branch is in[1] --- */

#define COND_2(a, b)  ((a) < (b))
#define COND_3(a, b)  ((a) >= (b))
#define COND_4(a, b)  ((a) == (b))
#define COND_5(a, b)  ((a) != (b))
#define COND_6(a, b)  ((a) <= (b))
#define COND_7(a, b)  ((a) > (b))
#define COND_12(a, b) ((S)(a) < (S)(b))
#define COND_13(a, b) ((S)(a) >= (S)(b))
#define COND_14(a, b) ((S)(a) <= (S)(b))
#define COND_15(a, b) ((S)(a) > (S)(b))

#define SIGNED_u8  int8_t
#define SIGNED_u16 int16_t
#define SIGNED_u32 int32_t
#define SIGNED_u64 int64_t

/*
 * in[1] has its own handlers for near and far targets: `exec` of a Jcc whose
 * condition is known is go_near() or go_far(), told apart by `sub` bit 7.
 */
#define TARGET_FAR 0x80
#define FUSE_END(cond)                                                         \
    if (cond) {                                                                \
        if (in[1].sub & TARGET_FAR)                                            \
            return go_far(cpu, in + 1);                                        \
        return go_near(cpu, in + 1);                                           \
    }                                                                          \
    GO(cpu, in + 2)

#define CMPJ(form, T, cc, LOADS)                                               \
    HANDLER(cmpj_##form##_##T##_##cc)                                          \
    {                                                                          \
        typedef SIGNED_##T S;                                                  \
        (void)sizeof(S);                                                       \
        LOADS;                                                                 \
        FLAGS_SUB(T, a - b, b);                                                \
        FUSE_END(COND_##cc(a, b));                                             \
    }
#define CMPJ_FORMS(T, cc)                                                      \
    CMPJ(rr, T, cc, T a = get_##T(cpu, in->rm); T b = get_##T(cpu, in->reg))   \
    CMPJ(ri, T, cc, T a = get_##T(cpu, in->rm); T b = (T)in->imm)              \
    CMPJ(rm, T, cc, READ_OR_GENERIC(p, T); T a = get_##T(cpu, in->reg);        \
         T b = VREAD(p))                                                       \
    CMPJ(mr, T, cc, READ_OR_GENERIC(p, T); T a = VREAD(p);                     \
         T b = get_##T(cpu, in->reg))                                          \
    CMPJ(mi, T, cc, READ_OR_GENERIC(p, T); T a = VREAD(p); T b = (T)in->imm)
#define CMPJ_WIDTHS(cc)                                                        \
    CMPJ_FORMS(u8, cc)                                                         \
    CMPJ_FORMS(u16, cc) CMPJ_FORMS(u32, cc) CMPJ_FORMS(u64, cc)
#define FOR_CMP_CC(X)                                                          \
    X(2) X(3) X(4) X(5) X(6) X(7) X(12) X(13) X(14) X(15)
FOR_CMP_CC(CMPJ_WIDTHS)

#define TCOND_4(r)  ((r) == 0)
#define TCOND_5(r)  ((r) != 0)
#define TCOND_8(r)  ((S)(r) < 0)
#define TCOND_9(r)  ((S)(r) >= 0)
#define TCOND_14(r) ((S)(r) <= 0)
#define TCOND_15(r) ((S)(r) > 0)

#define TESTJ(form, T, cc, LOADS)                                              \
    HANDLER(testj_##form##_##T##_##cc)                                         \
    {                                                                          \
        typedef SIGNED_##T S;                                                  \
        (void)sizeof(S);                                                       \
        LOADS;                                                                 \
        T r = a & b;                                                           \
        FLAGS_LOG(T, r, 0);                                                    \
        FUSE_END(TCOND_##cc(r));                                               \
    }
#define TESTJ_FORMS(T, cc)                                                     \
    TESTJ(rr, T, cc, T a = get_##T(cpu, in->rm); T b = get_##T(cpu, in->reg))  \
    TESTJ(ri, T, cc, T a = get_##T(cpu, in->rm); T b = (T)in->imm)             \
    TESTJ(mr, T, cc, READ_OR_GENERIC(p, T); T a = VREAD(p);                    \
          T b = get_##T(cpu, in->reg))                                         \
    TESTJ(mi, T, cc, READ_OR_GENERIC(p, T); T a = VREAD(p); T b = (T)in->imm)
#define TESTJ_WIDTHS(cc)                                                       \
    TESTJ_FORMS(u8, cc)                                                        \
    TESTJ_FORMS(u16, cc) TESTJ_FORMS(u32, cc) TESTJ_FORMS(u64, cc)
#define FOR_TEST_CC(X) X(4) X(5) X(8) X(9) X(14) X(15)
FOR_TEST_CC(TESTJ_WIDTHS)

#define CMPJ_CELL(T, cc)                                                       \
    {                                                                          \
        cmpj_rr_##T##_##cc, cmpj_ri_##T##_##cc, cmpj_rm_##T##_##cc,            \
            cmpj_mr_##T##_##cc, cmpj_mi_##T##_##cc                             \
    }
#define CMPJ_ROW(cc)                                                           \
    [cc] = {CMPJ_CELL(u8, cc), CMPJ_CELL(u16, cc), CMPJ_CELL(u32, cc),         \
            CMPJ_CELL(u64, cc)},
#define TESTJ_CELL(T, cc)                                                      \
    {                                                                          \
        testj_rr_##T##_##cc, testj_ri_##T##_##cc, NULL, testj_mr_##T##_##cc,   \
            testj_mi_##T##_##cc                                                \
    }
#define TESTJ_ROW(cc)                                                          \
    [cc] = {TESTJ_CELL(u8, cc), TESTJ_CELL(u16, cc), TESTJ_CELL(u32, cc),      \
            TESTJ_CELL(u64, cc)},
static exec_fn *const cmpj[16][4][FORMS] = {FOR_CMP_CC(CMPJ_ROW)};
static exec_fn *const testj[16][4][FORMS] = {FOR_TEST_CC(TESTJ_ROW)};

/* --- binding --- */

static const struct {
    uint16_t op;
    exec_fn *by_width[4][FORMS];
} alu_table[] = {
    {ZYDIS_MNEMONIC_ADD, ALU_TABLE(add)}, {ZYDIS_MNEMONIC_SUB, ALU_TABLE(sub)},
    {ZYDIS_MNEMONIC_AND, ALU_TABLE(and)}, {ZYDIS_MNEMONIC_OR, ALU_TABLE(or)},
    {ZYDIS_MNEMONIC_XOR, ALU_TABLE(xor)}, {ZYDIS_MNEMONIC_CMP, ALU_TABLE(cmp)},
    {ZYDIS_MNEMONIC_TEST, ALU_TABLE(test)},
    {ZYDIS_MNEMONIC_MOV, ALU_TABLE(mov)},
};

/* The form of a two-operand instruction, or -1. Normalises r <- r/m(reg). */
static int form_of(struct insn *in)
{
    bool mem = in->flags & INSN_MEM;

    if (in->src2 != OPND_NONE)
        return -1;
    if (in->src == OPND_IMM)
        return in->dst == OPND_RM ? (mem ? FORM_MI : FORM_RI) : -1;
    if (in->dst == OPND_RM && in->src == OPND_REG)
        return mem ? FORM_MR : FORM_RR;
    if (in->dst == OPND_REG && in->src == OPND_RM)
        return mem ? FORM_RM : FORM_RR;
    return -1;
}

static bool plain_gpr(const struct insn *in)
{
    return in->reg_class == RC_GPR && !(in->flags & (INSN_LOCK | INSN_SYNC));
}

static void swap_rm_reg(struct insn *in)
{
    uint8_t r = in->rm;

    in->rm = in->reg;
    in->reg = r;
    in->dst = OPND_RM;
    in->src = OPND_REG;
}

static exec_fn *bind_alu(struct insn *in)
{
    int form = form_of(in);

    /* accumulator forms have their register in the reg slot */
    if (form < 0 && in->src == OPND_IMM && in->dst == OPND_REG &&
        !(in->flags & INSN_MEM)) {
        in->rm = in->reg;
        in->rm_width = in->reg_width;
        in->dst = OPND_RM;
        form = FORM_RI;
    }
    if (form < 0)
        return NULL;
    for (size_t i = 0; i < ARRAY_SIZE(alu_table); i++) {
        if (alu_table[i].op != in->op)
            continue;
        if (form == FORM_RR && in->dst == OPND_REG)
            swap_rm_reg(in);
        return alu_table[i].by_width[width_log2(in->width)][form];
    }
    return NULL;
}

static exec_fn *bind_extend(const struct insn *in)
{
    bool mem = in->flags & INSN_MEM, wide = in->width == 8;

    if (in->width < 4)
        return NULL;
    if (in->op == ZYDIS_MNEMONIC_MOVZX) {
        if (in->rm_width == 1)
            return mem ? zx_m_u8_u32 : zx_r_u8_u32;
        return mem ? zx_m_u16_u32 : zx_r_u16_u32;
    }
    switch (in->rm_width) {
    case 1:
        if (wide)
            return mem ? sx_m_u8_u64 : sx_r_u8_u64;
        return mem ? sx_m_u8_u32 : sx_r_u8_u32;
    case 2:
        if (wide)
            return mem ? sx_m_u16_u64 : sx_r_u16_u64;
        return mem ? sx_m_u16_u32 : sx_r_u16_u32;
    default:
        if (!wide)
            return NULL;
        return mem ? sx_m_u32_u64 : sx_r_u32_u64;
    }
}

/* 32- and 64-bit register forms of shifts and one-operand operations. */
static exec_fn *bind_unary(const struct insn *in)
{
#define PAIR(name) (in->width == 8 ? name##_u64 : name##_u32)
    unsigned n = (unsigned)in->imm & (in->width == 8 ? 63 : 31);
    bool imm = in->src == OPND_IMM;

    if ((in->flags & INSN_MEM) || in->width < 4)
        return NULL;
    switch (in->op) {
    case ZYDIS_MNEMONIC_INC:
        return PAIR(inc_r);
    case ZYDIS_MNEMONIC_DEC:
        return PAIR(dec_r);
    case ZYDIS_MNEMONIC_NOT:
        return PAIR(not_r);
    case ZYDIS_MNEMONIC_NEG:
        return PAIR(neg_r);
    default:
        break;
    }
    if (imm && n != (unsigned)in->imm)
        return NULL; /* odd counts: by the book */
    if (imm && !n)
        return NULL;
    switch (in->op) {
    case ZYDIS_MNEMONIC_SHL:
        return imm ? PAIR(shl_i) : PAIR(shl_c);
    case ZYDIS_MNEMONIC_SHR:
        return imm ? PAIR(shr_i) : PAIR(shr_c);
    case ZYDIS_MNEMONIC_SAR:
        return imm ? PAIR(sar_i) : PAIR(sar_c);
    case ZYDIS_MNEMONIC_ROL:
        return imm ? PAIR(rol_i) : NULL;
    case ZYDIS_MNEMONIC_ROR:
        return imm ? PAIR(ror_i) : NULL;
    default:
        return NULL;
    }
}

/* Relative branches: disp becomes the target's offset from R_PAGE. */
static exec_fn *bind_branch(struct insn *in)
{
    int64_t target = (int64_t)in->next + (int64_t)in->imm;
    bool near = target >= 0 && target < (int64_t)PAGE_SIZE;
    unsigned cc = in->sub & 15;

    if (in->dst != OPND_IMM || target != (int32_t)target)
        return NULL;
    /* a far target that is not canonical goes by in->sem, which wants imm */
    in->disp = (int32_t)target;
    if (near)
        in->imm = 0;
    if (in->op == ZYDIS_MNEMONIC_JMP)
        return near ? jmp_near : jmp_far_page;
    if (!near)
        in->sub |= TARGET_FAR;
    return near ? jcc_near[cc] : jcc_far[cc];
}

static exec_fn *bind_indirect(const struct insn *in)
{
    bool mem = in->flags & INSN_MEM;

    if (in->sem != NULL && (in->flags & INSN_SYNC))
        return NULL; /* far */
    if (in->op == ZYDIS_MNEMONIC_JMP)
        return mem ? jmp_m : jmp_r;
    if (in->dst == OPND_IMM)
        return call_rel;
    return mem ? call_m : call_r;
}

static exec_fn *bind_stack(const struct insn *in)
{
    if (in->flags & (INSN_O16 | INSN_MEM) || in->reg_class != RC_GPR)
        return NULL;
    switch (in->op) {
    case ZYDIS_MNEMONIC_PUSH:
        if (in->dst == OPND_IMM)
            return push_i;
        return in->dst == OPND_RM && in->rm_width == 8 ? push_r : NULL;
    case ZYDIS_MNEMONIC_POP:
        return in->dst == OPND_RM && in->rm_width == 8 ? pop_r : NULL;
    default:
        return leave;
    }
}

static bool is_jcc(const struct insn *in)
{
    return (in->flags & (INSN_JUMP | INSN_COND)) == (INSN_JUMP | INSN_COND) &&
           in->op >= ZYDIS_MNEMONIC_JB && in->op <= ZYDIS_MNEMONIC_JZ &&
           in->op != ZYDIS_MNEMONIC_JCXZ && in->op != ZYDIS_MNEMONIC_JECXZ &&
           in->op != ZYDIS_MNEMONIC_JRCXZ;
}

static bool is_setcc(unsigned op)
{
    return op >= ZYDIS_MNEMONIC_SETB && op <= ZYDIS_MNEMONIC_SETZ &&
           op != ZYDIS_MNEMONIC_SETSSBSY;
}

static bool is_cmov(unsigned op)
{
    return op >= ZYDIS_MNEMONIC_CMOVB && op <= ZYDIS_MNEMONIC_CMOVZ;
}

static exec_fn *bind(struct insn *in)
{
    switch (in->op) {
    case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_SUB:
    case ZYDIS_MNEMONIC_AND:
    case ZYDIS_MNEMONIC_OR:
    case ZYDIS_MNEMONIC_XOR:
    case ZYDIS_MNEMONIC_CMP:
    case ZYDIS_MNEMONIC_TEST:
        return bind_alu(in);
    case ZYDIS_MNEMONIC_MOV:
        /* moffs keeps an address in imm */
        return in->sem == sem_mov_moffs ? NULL : bind_alu(in);
    case ZYDIS_MNEMONIC_MOVZX:
    case ZYDIS_MNEMONIC_MOVSX:
    case ZYDIS_MNEMONIC_MOVSXD:
        return bind_extend(in);
    case ZYDIS_MNEMONIC_LEA:
        return in->width == 8 ? lea_u64 : in->width == 4 ? lea_u32 : NULL;
    case ZYDIS_MNEMONIC_IMUL:
        if (in->src != OPND_RM || in->src2 != OPND_NONE ||
            (in->flags & INSN_MEM) || in->width < 4)
            return NULL;
        return in->width == 8 ? imul_r_u64 : imul_r_u32;
    case ZYDIS_MNEMONIC_CDQE:
        return cdqe;
    case ZYDIS_MNEMONIC_NOP:
    case ZYDIS_MNEMONIC_ENDBR64:
        return nop;
    case ZYDIS_MNEMONIC_PUSH:
    case ZYDIS_MNEMONIC_POP:
    case ZYDIS_MNEMONIC_LEAVE:
        return bind_stack(in);
    case ZYDIS_MNEMONIC_RET:
        return in->dst == OPND_NONE && !(in->flags & INSN_SYNC) ? ret : NULL;
    case ZYDIS_MNEMONIC_JMP:
        return in->dst == OPND_IMM ? bind_branch(in) : bind_indirect(in);
    case ZYDIS_MNEMONIC_CALL:
        return bind_indirect(in);
    default:
        break;
    }
    if (is_jcc(in))
        return bind_branch(in);
    if (is_setcc(in->op))
        return in->flags & INSN_MEM ? NULL : setcc_r[in->sub & 15];
    if (is_cmov(in->op) && !(in->flags & INSN_MEM) && in->width >= 4)
        return (in->width == 8 ? cmov_u64 : cmov_u32)[in->sub & 15];
    return bind_unary(in);
}

void fast_bind(struct insn *in, unsigned code_width)
{
    exec_fn *fn;

    if (code_width != 8 || in->awidth != 8 || !plain_gpr(in) ||
        in->sem == sem_undefined || (in->flags & INSN_VEX))
        return;
    fn = bind(in);
    if (fn)
        in->exec = fn;
}

void fast_fuse(struct insn *in)
{
    const struct insn *jcc = in + 1;
    unsigned cc = jcc->sub & 15, width;
    exec_fn *fn;
    int form;

    if (!is_jcc(jcc) || jcc->exec == exec_generic || in->exec == exec_generic)
        return;
    if (in->op != ZYDIS_MNEMONIC_CMP && in->op != ZYDIS_MNEMONIC_TEST)
        return;
    form = form_of(in);
    width = width_log2(in->width);
    if (form < 0)
        return;
    fn = (in->op == ZYDIS_MNEMONIC_CMP ? cmpj : testj)[cc][width][form];
    if (fn)
        in->exec = fn;
}
