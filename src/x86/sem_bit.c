/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sem_bit.c - shifts, rotates, bit tests and scans, BMI.
 *
 * Undefined flags: OF of shifts by more than one is what the last step would
 * give; AF is 0; bit scans leave all but ZF unchanged.
 */
#include "x86/access.h"

#include <Zydis/Mnemonic.h>

#include "x86/flags.h"

enum shift { SH_SHL, SH_SHR, SH_SAR, SH_ROL, SH_ROR, SH_RCL, SH_RCR };

struct shifted {
    uint64_t val;
    bool cf, of;
};

static bool bit_of(uint64_t v, unsigned n)
{
    return n < 64 && (v >> n & 1);
}

static struct shifted shift_plain(enum shift op, uint64_t a, unsigned n,
                                  unsigned bits)
{
    struct shifted s;
    int64_t sa = (int64_t)sign_extend(a, bits / 8);

    switch (op) {
    case SH_SHL:
        s.val = a << n;
        s.cf = n <= bits && bit_of(a, bits - n);
        s.of = bit_of(s.val, bits - 1) != s.cf;
        break;
    case SH_SHR:
        s.val = a >> n;
        s.cf = bit_of(a, n - 1);
        s.of = bit_of(n == 1 ? a : a >> (n - 1), bits - 1);
        break;
    default:
        s.val = (uint64_t)(sa >> n);
        s.cf = sa >> (n - 1) & 1;
        s.of = false;
    }
    return s;
}

static struct shifted rotate(enum shift op, uint64_t a, unsigned n,
                             unsigned bits)
{
    struct shifted s;
    unsigned k = n % bits;

    a &= width_mask(bits / 8);
    if (op == SH_ROL) {
        s.val = k ? a << k | a >> (bits - k) : a;
        s.cf = s.val & 1;
        s.of = bit_of(s.val, bits - 1) != s.cf;
    } else {
        s.val = k ? a >> k | a << (bits - k) : a;
        s.cf = bit_of(s.val, bits - 1);
        s.of = s.cf != bit_of(s.val, bits - 2);
    }
    return s;
}

/* Rotates through CF: bits + 1 positions. */
static struct shifted rotate_carry(enum shift op, uint64_t a, unsigned n,
                                   unsigned bits, bool cf)
{
    struct shifted s = {.val = a & width_mask(bits / 8), .cf = cf};

    for (n %= bits + 1; n; n--) {
        bool out = op == SH_RCL ? bit_of(s.val, bits - 1) : s.val & 1;

        if (op == SH_RCL)
            s.val = (s.val << 1 | s.cf) & width_mask(bits / 8);
        else
            s.val = s.val >> 1 | (uint64_t)s.cf << (bits - 1);
        s.cf = out;
    }
    s.of = op == SH_RCL ? bit_of(s.val, bits - 1) != s.cf
                        : bit_of(s.val, bits - 1) != bit_of(s.val, bits - 2);
    return s;
}

static unsigned shift_count(const struct vcpu *cpu, const struct insn *in,
                            unsigned which)
{
    uint64_t n = which == OPND_IMM ? in->imm : cpu->gpr[R_RCX];

    return n & (in->width == 8 ? 63 : 31);
}

static inline enum step shift(struct vcpu *cpu, const struct insn *in,
                              enum shift op)
{
    unsigned n = shift_count(cpu, in, in->src), bits = in->rm_width * 8u;
    struct shifted s;
    struct ref dst;
    uint64_t a;

    if (ref_open(cpu, in, REF_RW, &dst))
        return STEP_FAULT;
    a = ref_get(&dst);
    if (!n) { /* no flags, but a 32-bit register is still written */
        ref_set(&dst, a);
        return STEP_NEXT;
    }
    if (op <= SH_SAR)
        s = shift_plain(op, a, n, bits);
    else if (op <= SH_ROR)
        s = rotate(op, a, n, bits);
    else
        s = rotate_carry(op, a, n, bits, flags_carry(cpu));
    ref_set(&dst, s.val);
    a = (s.cf ? FLAG_CF : 0) | (s.of ? FLAG_OF : 0);
    if (op <= SH_SAR)
        flags_lazy(cpu, CC_RES, in->rm_width, s.val, a);
    else
        flags_put(cpu, FLAG_CF | FLAG_OF, a);
    return STEP_NEXT;
}

#define SEM_SHIFT(name, op)                                                    \
    static enum step sem_##name(struct vcpu *cpu, const struct insn *in)       \
    {                                                                          \
        return shift(cpu, in, op);                                             \
    }
SEM_SHIFT(shl, SH_SHL)
SEM_SHIFT(shr, SH_SHR)
SEM_SHIFT(sar, SH_SAR)
SEM_SHIFT(rol, SH_ROL)
SEM_SHIFT(ror, SH_ROR)
SEM_SHIFT(rcl, SH_RCL)
SEM_SHIFT(rcr, SH_RCR)

/* SHLD (sub 0) and SHRD (sub 1). A 16-bit count above 16 is undefined. */
static enum step sem_double_shift(struct vcpu *cpu, const struct insn *in)
{
    unsigned n = shift_count(cpu, in, in->src2), bits = in->width * 8u;
    uint64_t a, b = reg_get(cpu, in->reg, in->width), r;
    unsigned total;
    unsigned __int128 v;
    struct ref dst;
    bool cf;

    if (ref_open(cpu, in, REF_RW, &dst))
        return STEP_FAULT;
    a = ref_get(&dst);
    if (!n) {
        ref_set(&dst, a);
        return STEP_NEXT;
    }
    /* 16-bit counts above 16 go on with the first operand */
    total = bits == 16 ? 48 : 2 * bits;
    if (!in->sub) {
        v = (unsigned __int128)a << bits | b;
        if (bits == 16)
            v = v << 16 | a;
        cf = v >> (total - n) & 1;
        r = (uint64_t)(v << n >> (total - bits));
    } else {
        v = (unsigned __int128)b << bits | a;
        if (bits == 16)
            v |= (unsigned __int128)a << 32;
        cf = v >> (n - 1) & 1;
        r = (uint64_t)(v >> n);
    }
    ref_set(&dst, r);
    r &= width_mask(in->width);
    flags_lazy(cpu, CC_RES, in->width, r,
               (cf ? FLAG_CF : 0) | (bit_of(a ^ r, bits - 1) ? FLAG_OF : 0));
    return STEP_NEXT;
}

/* --- BT, BTS, BTR, BTC --- */

enum bit_op { BIT_TEST, BIT_SET, BIT_RESET, BIT_COMPLEMENT };

static uint64_t bit_result(enum bit_op op, uint64_t a, uint64_t bit)
{
    switch (op) {
    case BIT_SET:
        return a | bit;
    case BIT_RESET:
        return a & ~bit;
    case BIT_COMPLEMENT:
        return a ^ bit;
    default:
        return a;
    }
}

/* A register bit offset reaches memory beyond the operand. */
static int bit_open(struct vcpu *cpu, const struct insn *in, bool write,
                    unsigned *bit, struct ref *ref)
{
    enum ref_intent intent = write ? REF_RW : REF_R;
    unsigned bits = in->width * 8u;
    int64_t n;

    if (in->src == OPND_IMM || !(in->flags & INSN_MEM)) {
        n = in->src == OPND_IMM ? (int64_t)in->imm : (int64_t)cpu->gpr[in->reg];
        *bit = (unsigned)n & (bits - 1);
        return ref_open(cpu, in, intent, ref);
    }
    n = (int64_t)sign_extend(cpu->gpr[in->reg], in->width);
    *bit = (unsigned)n & (bits - 1);
    n = (n >> width_log2(bits)) * in->width;
    return ref_open_at(
        cpu, in->seg, (insn_ea(cpu, in) + (uint64_t)n) & width_mask(in->awidth),
        in->width, intent, ref);
}

static enum step sem_bit_test(struct vcpu *cpu, const struct insn *in)
{
    enum bit_op op = (enum bit_op)in->sub;
    struct ref ref;
    unsigned bit;
    uint64_t a;

    if (bit_open(cpu, in, op != BIT_TEST, &bit, &ref))
        return STEP_FAULT;
    a = ref_get(&ref);
    if (in->flags & INSN_LOCK) {
        while (!ref_cmpxchg(&ref, &a, bit_result(op, a, 1ull << bit)))
            ;
    } else if (op != BIT_TEST) {
        ref_set(&ref, bit_result(op, a, 1ull << bit));
    }
    flags_put(cpu, FLAG_CF, a >> bit & 1 ? FLAG_CF : 0);
    return STEP_NEXT;
}

/* --- scans and counts --- */

static unsigned count_leading(uint64_t v, unsigned width)
{
    return v ? (unsigned)__builtin_clzll(v) - (64 - 8 * width) : 8 * width;
}

static unsigned count_trailing(uint64_t v, unsigned width)
{
    return v ? (unsigned)__builtin_ctzll(v) : 8 * width;
}

/* BSF (sub 0), BSR (sub 1): a zero source leaves the destination alone. */
static enum step sem_bit_scan(struct vcpu *cpu, const struct insn *in)
{
    uint64_t v;

    if (opnd_get(cpu, in, OPND_RM, &v))
        return STEP_FAULT;
    if (v)
        reg_set(cpu, in->reg, in->width,
                in->sub ? 63u - (unsigned)__builtin_clzll(v)
                        : (unsigned)__builtin_ctzll(v));
    flags_set(cpu, FLAG_ZF, v ? 0 : FLAG_ZF);
    return STEP_NEXT;
}

/* TZCNT (sub 0), LZCNT (sub 1). */
static enum step sem_zero_count(struct vcpu *cpu, const struct insn *in)
{
    unsigned n;
    uint64_t v;

    if (opnd_get(cpu, in, OPND_RM, &v))
        return STEP_FAULT;
    n = in->sub ? count_leading(v, in->width) : count_trailing(v, in->width);
    reg_set(cpu, in->reg, in->width, n);
    flags_set(cpu, FLAG_CF | FLAG_ZF, (v ? 0 : FLAG_CF) | (n ? 0 : FLAG_ZF));
    return STEP_NEXT;
}

static enum step sem_popcnt(struct vcpu *cpu, const struct insn *in)
{
    uint64_t v;

    if (opnd_get(cpu, in, OPND_RM, &v))
        return STEP_FAULT;
    reg_set(cpu, in->reg, in->width, (unsigned)__builtin_popcountll(v));
    flags_set(cpu, FLAG_STATUS, v ? 0 : FLAG_ZF);
    return STEP_NEXT;
}

/* CRC32C, polynomial 0x11EDC6F41, reflected [SDM 2A, CRC32]. */
static enum step sem_crc32(struct vcpu *cpu, const struct insn *in)
{
    uint32_t crc = (uint32_t)cpu->gpr[in->reg];
    uint64_t v;

    if (opnd_get(cpu, in, OPND_RM, &v))
        return STEP_FAULT;
    for (unsigned i = 0; i < in->rm_width; i++) {
        crc ^= v >> (8 * i) & 0xff;
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    cpu->gpr[in->reg] = crc;
    return STEP_NEXT;
}

/* --- BMI1 and BMI2; vvvv is in->sub --- */

/* SF and ZF by the result, CF as given, OF 0; AF and PF undefined. */
static void bmi_flags(struct vcpu *cpu, unsigned width, uint64_t r, bool cf)
{
    flags_lazy(cpu, CC_RES, width, r, cf ? FLAG_CF : 0);
}

static enum step sem_andn(struct vcpu *cpu, const struct insn *in)
{
    uint64_t v, r;

    if (opnd_get(cpu, in, OPND_RM, &v))
        return STEP_FAULT;
    r = ~reg_get(cpu, in->sub, in->width) & v;
    reg_set(cpu, in->reg, in->width, r);
    bmi_flags(cpu, in->width, r, false);
    return STEP_NEXT;
}

static enum step sem_bextr(struct vcpu *cpu, const struct insn *in)
{
    unsigned ctl = (uint16_t)cpu->gpr[in->sub];
    unsigned start = ctl & 0xff, len = ctl >> 8;
    uint64_t v, r;

    if (opnd_get(cpu, in, OPND_RM, &v))
        return STEP_FAULT;
    r = start < 64 ? v >> start : 0;
    if (len < 64)
        r &= (1ull << len) - 1;
    reg_set(cpu, in->reg, in->width, r);
    bmi_flags(cpu, in->width, r, false);
    return STEP_NEXT;
}

static enum step sem_bls(struct vcpu *cpu, const struct insn *in)
{
    bool cf;
    uint64_t v, r;

    if (opnd_get(cpu, in, OPND_RM, &v))
        return STEP_FAULT;
    cf = v == 0;
    switch (in->op) {
    case ZYDIS_MNEMONIC_BLSI:
        r = v & -v;
        cf = v != 0;
        break;
    case ZYDIS_MNEMONIC_BLSMSK:
        r = v ^ (v - 1);
        break;
    default:
        r = v & (v - 1);
    }
    reg_set(cpu, in->sub, in->width, r);
    bmi_flags(cpu, in->width, r, cf);
    return STEP_NEXT;
}

static enum step sem_bzhi(struct vcpu *cpu, const struct insn *in)
{
    unsigned n = cpu->gpr[in->sub] & 0xff, bits = in->width * 8u;
    uint64_t v;

    if (opnd_get(cpu, in, OPND_RM, &v))
        return STEP_FAULT;
    if (n < bits)
        v &= (1ull << n) - 1;
    reg_set(cpu, in->reg, in->width, v);
    bmi_flags(cpu, in->width, v, n >= bits);
    return STEP_NEXT;
}

/* PDEP (sub is vvvv; op tells): scatter and gather by the mask in r/m. */
static enum step sem_pdep(struct vcpu *cpu, const struct insn *in)
{
    uint64_t src = reg_get(cpu, in->sub, in->width), mask, r = 0;

    if (opnd_get(cpu, in, OPND_RM, &mask))
        return STEP_FAULT;
    for (; mask; mask &= mask - 1, src >>= 1)
        if (src & 1)
            r |= mask & -mask;
    reg_set(cpu, in->reg, in->width, r);
    return STEP_NEXT;
}

static enum step sem_pext(struct vcpu *cpu, const struct insn *in)
{
    uint64_t src = reg_get(cpu, in->sub, in->width), mask, r = 0;

    if (opnd_get(cpu, in, OPND_RM, &mask))
        return STEP_FAULT;
    for (unsigned n = 0; mask; mask &= mask - 1, n++)
        if (src & mask & -mask)
            r |= 1ull << n;
    reg_set(cpu, in->reg, in->width, r);
    return STEP_NEXT;
}

static enum step sem_rorx(struct vcpu *cpu, const struct insn *in)
{
    unsigned bits = in->width * 8u;
    uint64_t v;

    if (opnd_get(cpu, in, OPND_RM, &v))
        return STEP_FAULT;
    v = rotate(SH_ROR, v, in->imm & (bits - 1), bits).val;
    reg_set(cpu, in->reg, in->width, v);
    return STEP_NEXT;
}

static enum step sem_shiftx(struct vcpu *cpu, const struct insn *in)
{
    unsigned n = (unsigned)cpu->gpr[in->sub] & (in->width * 8u - 1);
    uint64_t v;

    if (opnd_get(cpu, in, OPND_RM, &v))
        return STEP_FAULT;
    if (in->op == ZYDIS_MNEMONIC_SHLX)
        v <<= n;
    else if (in->op == ZYDIS_MNEMONIC_SHRX)
        v >>= n;
    else
        v = (uint64_t)((int64_t)sign_extend(v, in->width) >> n);
    reg_set(cpu, in->reg, in->width, v);
    return STEP_NEXT;
}

#define M(name) ZYDIS_MNEMONIC_##name
const struct sem_entry sem_bit_table[] = {
    {M(SHL), 0, sem_shl},
    {M(SHR), 0, sem_shr},
    {M(SAR), 0, sem_sar},
    {M(ROL), 0, sem_rol},
    {M(ROR), 0, sem_ror},
    {M(RCL), 0, sem_rcl},
    {M(RCR), 0, sem_rcr},
    {M(SHLD), 0, sem_double_shift, .sub = 0},
    {M(SHRD), 0, sem_double_shift, .sub = 1},
    {M(BT), 0, sem_bit_test, .sub = BIT_TEST},
    {M(BTS), 0, sem_bit_test, .sub = BIT_SET, .lockable = true},
    {M(BTR), 0, sem_bit_test, .sub = BIT_RESET, .lockable = true},
    {M(BTC), 0, sem_bit_test, .sub = BIT_COMPLEMENT, .lockable = true},
    {M(BSF), 0, sem_bit_scan, .sub = 0},
    {M(BSR), 0, sem_bit_scan, .sub = 1},
    {M(TZCNT), 0, sem_zero_count, .sub = 0},
    {M(LZCNT), 0, sem_zero_count, .sub = 1},
    {M(POPCNT), 0, sem_popcnt},
    {M(CRC32), 0, sem_crc32},
    {M(ANDN), 0, sem_andn},
    {M(BEXTR), 0, sem_bextr},
    {M(BLSI), 0, sem_bls},
    {M(BLSMSK), 0, sem_bls},
    {M(BLSR), 0, sem_bls},
    {M(BZHI), 0, sem_bzhi},
    {M(PDEP), 0, sem_pdep},
    {M(PEXT), 0, sem_pext},
    {M(RORX), 0, sem_rorx},
    {M(SARX), 0, sem_shiftx},
    {M(SHLX), 0, sem_shiftx},
    {M(SHRX), 0, sem_shiftx},
    {0},
};
