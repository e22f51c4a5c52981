/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fast_ops.h - handlers for data operations; part of fast64.c and fast32.c.
 *
 * Each is one form of one operation at one width: operands are known when
 * the block is built, so a handler is a few loads, the operation, and a jump
 * to the next. A memory form that misses the TLB, crosses a page or hits code
 * falls back to exec_generic(), which does the same by the book, faults and
 * all: so nothing here can fault, and nothing here can be wrong about rights.
 *
 * FAST64 is 1 for 64-bit code, 0 for flat 32-bit code (BLOCK_FLAT).
 */
#include "engine/interp/interp_int.h"

#if FAST64
#define IF64(...) __VA_ARGS__
typedef uint64_t word; /* address and stack width */
#else
#define IF64(...)
typedef uint32_t word;
#endif

#define HANDLER(name)                                                          \
    static const struct insn *name(struct vcpu *cpu, const struct insn *in)

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

static inline gva_t address(const struct vcpu *cpu, const struct insn *in)
{
    u64 ea = cpu->gpr[in->base] + (cpu->gpr[in->index] << in->scale) +
             (u64)(int64_t)in->disp;

    return FAST64 ? ea + cpu->seg_base[in->seg] : (u32)ea;
}

#define READ_OR_GENERIC(p, T)                                                  \
    const T *p = tlb_read(cpu, address(cpu, in), sizeof(T));                      \
    if (unlikely(!p))                                                          \
    return exec_generic(cpu, in)
#define WRITE_OR_GENERIC(p, T)                                                 \
    T *p = tlb_write(cpu, address(cpu, in), sizeof(T));                           \
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

/* --- two-operand arithmetic: five forms, four widths --- */

/* What an operation makes of a and b: the result r, and its flags. */
#define DO_ADD(T, a, b)                                                        \
    T r = (T)((a) + (b));                                                      \
    SET_CC(CC_ADD, T, r, b)
#define DO_SUB(T, a, b)                                                        \
    T r = (T)((a) - (b));                                                      \
    SET_CC(CC_SUB, T, r, b)
#define DO_AND(T, a, b)                                                        \
    T r = (T)((a) & (b));                                                      \
    SET_CC(CC_RES, T, r, 0)
#define DO_OR(T, a, b)                                                         \
    T r = (T)((a) | (b));                                                      \
    SET_CC(CC_RES, T, r, 0)
#define DO_XOR(T, a, b)                                                        \
    T r = (T)((a) ^ (b));                                                      \
    SET_CC(CC_RES, T, r, 0)

#define TOP(T, v) ((T)(v) >> (8 * sizeof(T) - 1))

/* With carry in: the carry chain gives CF, AF and OF at once. */
#define CHAIN_FLAGS(T, chain)                                                  \
    ((TOP(T, chain) ? FLAG_CF : 0) | ((u64)((chain) & 8) << 1) |               \
     (TOP(T, (T)((chain) ^ (T)((chain) << 1))) ? FLAG_OF : 0))
#define DO_ADC(T, a, b)                                                        \
    T r = (T)((a) + (b) + flags_carry(cpu));                                   \
    T chain = (T)(((a) & (b)) | (((a) | (b)) & ~r));                           \
    SET_CC(CC_RES, T, r, CHAIN_FLAGS(T, chain))
#define DO_SBB(T, a, b)                                                        \
    T r = (T)((a) - (b) - flags_carry(cpu));                                   \
    T chain = (T)((~(a) & (b)) | ((~(a) | (b)) & r));                          \
    SET_CC(CC_RES, T, r, CHAIN_FLAGS(T, chain))

/*
 * The forms: r/m and reg, r/m and immediate, reg and memory, memory and reg,
 * memory and immediate. KEEP stores the result, or does not (CMP, TEST);
 * OPEN finds memory for it.
 */
#define ALU_FORMS(name, T, DO, KEEP, OPEN)                                     \
    HANDLER(name##_rr_##T)                                                     \
    {                                                                          \
        T a = get_##T(cpu, in->rm), b = get_##T(cpu, in->reg);                 \
        DO(T, a, b);                                                           \
        KEEP(set_##T(cpu, in->rm, r));                                         \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(name##_ri_##T)                                                     \
    {                                                                          \
        T a = get_##T(cpu, in->rm), b = (T)in->imm;                            \
        DO(T, a, b);                                                           \
        KEEP(set_##T(cpu, in->rm, r));                                         \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(name##_rm_##T)                                                     \
    {                                                                          \
        READ_OR_GENERIC(p, T);                                                 \
        T a = get_##T(cpu, in->reg), b = VREAD(p);                             \
        DO(T, a, b);                                                           \
        KEEP(set_##T(cpu, in->reg, r));                                        \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(name##_mr_##T)                                                     \
    {                                                                          \
        OPEN(p, T);                                                            \
        T a = VREAD(p), b = get_##T(cpu, in->reg);                             \
        DO(T, a, b);                                                           \
        KEEP(VWRITE(p, r));                                                    \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(name##_mi_##T)                                                     \
    {                                                                          \
        OPEN(p, T);                                                            \
        T a = VREAD(p), b = (T)in->imm;                                        \
        DO(T, a, b);                                                           \
        KEEP(VWRITE(p, r));                                                    \
        NEXT(cpu, in);                                                         \
    }
#define KEPT(store)    store
#define DROPPED(store) (void)r

#define ALU_WIDE(name, DO, KEEP, OPEN)                                         \
    ALU_FORMS(name, u32, DO, KEEP, OPEN)                                       \
    IF64(ALU_FORMS(name, u64, DO, KEEP, OPEN))
#define ALU_WIDTHS(name, DO, KEEP, OPEN)                                       \
    ALU_FORMS(name, u8, DO, KEEP, OPEN)                                        \
    ALU_FORMS(name, u16, DO, KEEP, OPEN)                                       \
    ALU_WIDE(name, DO, KEEP, OPEN)

ALU_WIDTHS(add, DO_ADD, KEPT, WRITE_OR_GENERIC)
ALU_WIDTHS(sub, DO_SUB, KEPT, WRITE_OR_GENERIC)
ALU_WIDTHS(and, DO_AND, KEPT, WRITE_OR_GENERIC)
ALU_WIDTHS(or, DO_OR, KEPT, WRITE_OR_GENERIC)
ALU_WIDTHS(xor, DO_XOR, KEPT, WRITE_OR_GENERIC)
ALU_WIDTHS(cmp, DO_SUB, DROPPED, READ_OR_GENERIC)
ALU_WIDTHS(test, DO_AND, DROPPED, READ_OR_GENERIC)
ALU_WIDE(adc, DO_ADC, KEPT, WRITE_OR_GENERIC)
ALU_WIDE(sbb, DO_SBB, KEPT, WRITE_OR_GENERIC)

enum form { FORM_RR, FORM_RI, FORM_RM, FORM_MR, FORM_MI, FORMS };

#define ALU_ROW(name, T)                                                       \
    {                                                                          \
        name##_rr_##T, name##_ri_##T, name##_rm_##T, name##_mr_##T,            \
            name##_mi_##T                                                      \
    }
#define ALU_TABLE(name)                                                        \
    {                                                                          \
        ALU_ROW(name, u8), ALU_ROW(name, u16), ALU_ROW(name, u32),             \
            IF64(ALU_ROW(name, u64))                                           \
    }

#define CARRY_TABLE(name)                                                      \
    {                                                                          \
        [2] = ALU_ROW(name, u32), IF64([3] = ALU_ROW(name, u64))               \
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
IF64(MOV_FORMS(u64))

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
IF64(EXTEND(sx, u8, u64, int8_t))
IF64(EXTEND(sx, u16, u64, int16_t))
IF64(EXTEND(sx, u32, u64, int32_t))

HANDLER(lea_u32)
{
    set_u32(cpu, in->reg,
            (u32)(cpu->gpr[in->base] + (cpu->gpr[in->index] << in->scale) +
                  (u64)(int64_t)in->disp));
    NEXT(cpu, in);
}
#if FAST64
HANDLER(lea_u64)
{
    cpu->gpr[in->reg] = cpu->gpr[in->base] +
                        (cpu->gpr[in->index] << in->scale) +
                        (u64)(int64_t)in->disp;
    NEXT(cpu, in);
}
#endif

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
        SET_CC(CC_SUB, T, r, a);                                               \
        NEXT(cpu, in);                                                         \
    }
INCDEC_FORMS(u32)
IF64(INCDEC_FORMS(u64))

/* Shifts by 1..width-1; n is that count, known not to be 0. */
#define SHIFT_FLAGS(T, r, cf, of)                                              \
    SET_CC(CC_RES, T, r, ((cf) ? FLAG_CF : 0) | ((of) ? FLAG_OF : 0))

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
        flags_put(cpu, FLAG_CF | FLAG_OF,                                      \
                  (r & 1) | ((TOP(T, r) ^ (r & 1)) ? FLAG_OF : 0));            \
        NEXT(cpu, in);                                                         \
    }                                                                          \
    HANDLER(ror_i_##T)                                                         \
    {                                                                          \
        SHIFT_BODY(T, (unsigned)in->imm)                                       \
        r = (T)(a >> n | a << (8 * sizeof(T) - n));                            \
        set_##T(cpu, in->rm, r);                                               \
        flags_put(cpu, FLAG_CF | FLAG_OF,                                      \
                  TOP(T, r) |                                                  \
                      ((TOP(T, r) ^ TOP(T, (T)(r << 1))) ? FLAG_OF : 0));      \
        NEXT(cpu, in);                                                         \
    }
SHIFT_FORMS(u32)
IF64(SHIFT_FORMS(u64))

HANDLER(imul_r_u32)
{
    int64_t v = (int64_t)(int32_t)cpu->gpr[in->reg] *
                (int32_t)cpu->gpr[in->rm];

    cpu->gpr[in->reg] = (u32)v;
    SET_CC(CC_RES, u32, v, v != (int32_t)v ? FLAG_CF | FLAG_OF : 0);
    NEXT(cpu, in);
}
#if FAST64
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
#endif

HANDLER(nop)
{
    NEXT(cpu, in);
}
