/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forms.c - finds the forms by asking the decoder about every encoding.
 *
 * What is left out, and why: instructions whose result is the host's affair
 * (CPUID, RDTSC, SGDT, LAR, RDFSBASE, ...), system calls, far transfers and
 * segment loads (they need the host kernel's descriptors), and FXSAVE,
 * XSAVE, FNSTENV and their kin, whose images hold the last x87 addresses.
 * Bare-metal guests test those. And what is undefined (BSWAP of 16 bits) or
 * differs between vendors (0F 0D with a register: NOP or #UD; VPEXTRD and
 * VPINSRD with VEX.W in 32-bit code: W ignored or #UD).
 */
#include "forms.h"

#include <stdlib.h>
#include <string.h>

/* What is being tested: one width a process. */
static bool code32;

uint64_t rng_next(struct rng *r)
{
    r->s ^= r->s << 13;
    r->s ^= r->s >> 7;
    r->s ^= r->s << 17;
    return r->s * 0x2545f4914f6cdd1dull;
}

static bool left_out(const struct insn_case *c)
{
    static const uint16_t out[] = {
#define M(x) ZYDIS_MNEMONIC_##x
        M(CPUID),     M(RDTSC),     M(RDTSCP),     M(RDPMC),     M(RDRAND),
        M(RDSEED),    M(XGETBV),    M(RDPID),      M(SYSCALL),   M(SYSENTER),
        M(INT),       M(INT3),      M(INT1),       M(INTO),      M(SGDT),
        M(SIDT),      M(SLDT),      M(STR),        M(SMSW),      M(LAR),
        M(LSL),       M(VERR),      M(VERW),       M(RDFSBASE),  M(RDGSBASE),
        M(WRFSBASE),  M(WRGSBASE),  M(IRET),       M(IRETD),     M(IRETQ),
        M(FXSAVE),    M(FXSAVE64),  M(FXRSTOR),    M(FXRSTOR64), M(XSAVE),
        M(XSAVE64),   M(XSAVEOPT),  M(XSAVEOPT64), M(XSAVEC),    M(XSAVEC64),
        M(XSAVES),    M(XSAVES64),  M(XRSTOR),     M(XRSTOR64),  M(XRSTORS),
        M(XRSTORS64), M(FNSTENV),   M(FLDENV),     M(FNSAVE),    M(FRSTOR),
        M(LSS),       M(LFS),       M(LGS),        M(SYSEXIT),   M(SYSRET),
        M(UD0),       M(RSM),       M(POPFQ),      M(POPFD),     M(POPF),
        M(XSETBV),    M(SERIALIZE), M(LDS),        M(LES),
#undef M
    };

    for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++)
        if (out[i] == c->zi.mnemonic)
            return true;
    if (c->zi.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
        return true;
    if (c->zi.mnemonic == ZYDIS_MNEMONIC_BSWAP && c->op[0].size == 16)
        return true;
    if (c->zi.mnemonic == ZYDIS_MNEMONIC_NOP && c->zi.opcode == 0x0d)
        return true;
    if ((c->zi.mnemonic == ZYDIS_MNEMONIC_VPEXTRD ||
         c->zi.mnemonic == ZYDIS_MNEMONIC_VPINSRD) &&
        code32 && c->zi.raw.vex.W)
        return true;
    for (unsigned i = 0; i < c->zi.operand_count_visible; i++)
        if (c->op[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
            ZydisRegisterGetClass(c->op[i].reg.value) == ZYDIS_REGCLASS_SEGMENT)
            return true;
    return false;
}

static const uint8_t pp_byte[] = {0, 0x66, 0xf3, 0xf2};

static bool decode(struct insn_case *c, unsigned len)
{
    static ZydisDecoder d;
    static bool ready;

    if (!ready) {
        ZydisDecoderInit(&d,
                         code32 ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32
                                : ZYDIS_MACHINE_MODE_LONG_64,
                         code32 ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_64);
        ZydisDecoderEnableMode(&d, ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
        ZydisDecoderEnableMode(&d, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
        ZydisDecoderEnableMode(&d, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
        ready = true;
    }
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, c->bytes, len, &c->zi, c->op)))
        return false;
    c->len = c->zi.length;
    return true;
}

/* Prefixes and opcode; returns where ModRM goes. */
static unsigned put_opcode(uint8_t *b, const struct form *f, unsigned rxb,
                           unsigned vvvv)
{
    unsigned n = 0;

    if (f->vex) {
        b[n++] = 0xc4;
        b[n++] = (uint8_t)(((~rxb & 7) << 5) | f->map);
        b[n++] = (uint8_t)(f->w << 7 | (~vvvv & 15) << 3 | f->l << 2 | f->pp);
    } else {
        if (f->pp)
            b[n++] = pp_byte[f->pp];
        if (f->w || rxb)
            b[n++] = (uint8_t)(0x40 | f->w << 3 | rxb);
        if (f->map)
            b[n++] = 0x0f;
        if (f->map == 2)
            b[n++] = 0x38;
        if (f->map == 3)
            b[n++] = 0x3a;
    }
    b[n++] = f->opcode;
    return n;
}

static bool prefix_means_something(const struct form *f,
                                   const struct insn_case *c)
{
    if (f->vex || !f->pp)
        return true;
    for (unsigned i = 0; i < c->zi.raw.prefix_count; i++)
        if (c->zi.raw.prefixes[i].value == pp_byte[f->pp] &&
            c->zi.raw.prefixes[i].type != ZYDIS_PREFIX_TYPE_IGNORED) {
            /* 66 on a near branch: vendors differ */
            return !(f->pp == 1 &&
                     c->zi.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE);
        }
    return false;
}

/* Does this encoding, with reg and rm, give an instruction to test? */
static bool probe(const struct cpu_model *model, struct form *f, unsigned reg,
                  unsigned rm)
{
    struct insn_case c;
    unsigned n;

    memset(&c, 0, sizeof(c));
    n = put_opcode(c.bytes, f, 0, 0);
    c.bytes[n] = (uint8_t)((f->mem ? 0 : 3) << 6 | reg << 3 | rm);
    if (f->mem && rm == 4)
        c.bytes[n + 1] = 0x23; /* [rbx + riz] */
    if (!decode(&c, 15))
        return false;
    if (!cpu_model_allows(model, c.zi.meta.isa_set) || left_out(&c) ||
        !prefix_means_something(f, &c))
        return false;
    f->mnemonic = (uint16_t)c.zi.mnemonic;
    f->modrm = c.zi.attributes & ZYDIS_ATTRIB_HAS_MODRM;
    return f->modrm || (!reg && !rm && !f->mem);
}

struct list {
    struct form *v;
    unsigned count, room;
};

static void add(struct list *l, const struct form *f, unsigned reg, unsigned rm,
                unsigned from)
{
    for (unsigned i = from; i < l->count; i++) {
        if (l->v[i].mnemonic == f->mnemonic) {
            l->v[i].regs |= (uint8_t)(1u << reg);
            l->v[i].rms |= (uint8_t)(1u << rm);
            return;
        }
    }
    if (l->count == l->room) {
        l->room = l->room ? l->room * 2 : 1024;
        l->v = realloc(l->v, l->room * sizeof(*l->v));
        if (!l->v)
            abort();
    }
    l->v[l->count] = *f;
    l->v[l->count].regs = (uint8_t)(1u << reg);
    l->v[l->count].rms = (uint8_t)(1u << rm);
    l->count++;
}

static void enumerate_opcode(const struct cpu_model *model, struct list *l,
                             struct form f)
{
    unsigned from = l->count;

    for (unsigned reg = 0; reg < 8; reg++) {
        for (unsigned rm = 0; rm < 8; rm++) {
            if (f.mem && rm == 5)
                continue;
            if (probe(model, &f, reg, rm))
                add(l, &f, reg, rm, from);
        }
    }
}

/* Bytes of the one-byte map that are prefixes or escapes. */
static bool not_an_opcode(unsigned op)
{
    if (!code32 && ((op & 0xf0) == 0x40 || op == 0x62 || op == 0xd5))
        return true;
    return op == 0x0f || op == 0x26 || op == 0x2e || op == 0x36 || op == 0x3e ||
           (op >= 0x64 && op <= 0x67) || op == 0xf0 || op == 0xf2 ||
           op == 0xf3 || op == 0xc4 || op == 0xc5;
}

struct form *forms_enumerate(const struct cpu_model *model, bool bits32,
                             unsigned *count)
{
    struct list l = {0};

    code32 = bits32;
    for (unsigned vex = 0; vex < 2; vex++)
        for (unsigned map = vex; map < 4; map++)
            for (unsigned op = 0; op < 256; op++) {
                if (!vex && !map && not_an_opcode(op))
                    continue;
                for (unsigned v = 0; v < (vex ? 32u : 16u); v++) {
                    struct form f = {.vex = vex,
                                     .map = (uint8_t)map,
                                     .opcode = (uint8_t)op,
                                     .pp = v & 3,
                                     .w = v >> 2 & 1,
                                     .mem = v >> 3 & 1,
                                     .l = v >> 4 & 1};

                    if (code32 && f.w && !vex)
                        continue; /* no REX */
                    enumerate_opcode(model, &l, f);
                }
            }
    *count = l.count;
    return l.v;
}

/* --- values --- */

uint64_t value_random(struct rng *r)
{
    static const uint64_t nice[] = {0,
                                    1,
                                    2,
                                    ~0ull,
                                    0x7f,
                                    0x80,
                                    0xff,
                                    0x7fff,
                                    0x8000,
                                    0xffff,
                                    0x7fffffff,
                                    0x80000000,
                                    0xffffffff,
                                    0x7fffffffffffffff,
                                    0x8000000000000000};

    switch (rng_below(r, 6)) {
    case 0:
        return nice[rng_below(r, sizeof(nice) / sizeof(nice[0]))];
    case 1:
        return 1ull << rng_below(r, 64);
    case 2:
        return rng_next(r) >> rng_below(r, 64);
    case 3:
        return (uint64_t)((int64_t)rng_next(r) >> rng_below(r, 64));
    default:
        return rng_next(r);
    }
}

/* Floats of both sizes, often near each other in exponent. */
static uint64_t float_random(struct rng *r)
{
    static const uint64_t nice[] = {
        0,
        0x8000000000000000,
        0x3ff0000000000000,
        0x7ff0000000000000,
        0xfff0000000000000,
        0x7ff8000000000000,
        0x7ff0000000000001,
        0x0000000000000001,
        0x000fffffffffffff,
        0x7fefffffffffffff,
        0x3f8000003f800000,
        0x7f8000007f800000,
        0x7fc000007fc00001,
        0x0000000100000001,
        0x4330000000000000,
        0xc3e0000000000000,
        0x7f8000017f7fffff,
        0x4f0000004f000000,
    };

    switch (rng_below(r, 4)) {
    case 0:
        return nice[rng_below(r, sizeof(nice) / sizeof(nice[0]))];
    case 1:
        return (rng_next(r) & 0x800fffffffffffff) |
               (uint64_t)(1000 + rng_below(r, 60)) << 52;
    case 2:
        return (rng_next(r) & 0x807fffff807fffff) |
               (uint64_t)(110 + rng_below(r, 40)) << 55 |
               (uint64_t)(110 + rng_below(r, 40)) << 23;
    default:
        return value_random(r);
    }
}

static void x87_random(struct rng *r, uint8_t x87[160])
{
    unsigned cw = 0x37f, sw = rng_below(r, 8) << 11;

    memset(x87, 0, 160);
    if (rng_below(r, 4) == 0)
        cw = (cw & ~0xf00u) | (rng_below(r, 16) << 8);
    if (rng_below(r, 8) == 0)
        cw ^= 1u << rng_below(r, 6); /* unmask one */
    sw |= rng_next(r) & 0x4700;      /* condition codes */
    x87[0] = (uint8_t)cw;
    x87[1] = (uint8_t)(cw >> 8);
    x87[2] = (uint8_t)sw;
    x87[3] = (uint8_t)(sw >> 8);
    x87[4] = rng_below(r, 2) ? 0xff : (uint8_t)rng_next(r);
    for (unsigned i = 0; i < 8; i++) {
        uint64_t m = rng_next(r) | (rng_below(r, 8) ? 1ull << 63 : 0);
        unsigned e = 16383 - 30 + rng_below(r, 60);

        if (rng_below(r, 8) == 0) {
            m = value_random(r);
            e = (unsigned)value_random(r);
        }
        e = (e & 0x7fff) | (rng_below(r, 2) << 15);
        memcpy(x87 + 32 + 16 * i, &m, 8);
        memcpy(x87 + 40 + 16 * i, &e, 2);
    }
}

void state_random(struct rng *r, struct state *s)
{
    memset(s, 0, sizeof(*s));
    for (unsigned i = 0; i < 16; i++)
        s->gpr[i] = value_random(r) & (code32 ? 0xffffffff : ~0ull);
    s->code32 = code32;
    s->gpr[4] = DATA_ADDR + 0x800 + 8 * rng_below(r, 256);
    s->rflags = rng_next(r) & 0x8d5;
    if (rng_below(r, 10) == 0)
        s->rflags |= 0x400;
    s->mxcsr = 0x1f80;
    if (rng_below(r, 3) == 0)
        s->mxcsr = 0x1f80 | (rng_next(r) & 0xe07f); /* rounding, FTZ, DAZ */
    if (rng_below(r, 10) == 0)
        s->mxcsr &= ~(0x80u << rng_below(r, 6));
    for (unsigned i = 0; i < 16; i++)
        for (unsigned j = 0; j < 4; j++) {
            uint64_t v = float_random(r);

            memcpy(s->ymm[i] + 8 * j, &v, 8);
        }
    x87_random(r, s->x87);
}

/* --- instances --- */

static uint64_t target_address(struct rng *r, unsigned size)
{
    uint64_t edge;

    switch (rng_below(r, 16)) {
    case 0: /* across the two writable pages */
        edge = 0x1000;
        break;
    case 1: /* into the read-only one */
        edge = DATA_RW;
        break;
    case 2: /* off the end */
        edge = DATA_LEN;
        break;
    case 3:
        return DATA_ADDR + DATA_RW + rng_below(r, 0xf00);
    case 4:
    case 5:
    case 6:
        return DATA_ADDR + rng_below(r, 0x1f00);
    default:
        return DATA_ADDR + (rng_below(r, 0x1f00) & ~63u);
    }
    return DATA_ADDR + edge - rng_below(r, size + 2);
}

static int gpr_id(ZydisRegister reg)
{
    return reg == ZYDIS_REGISTER_NONE ? -1 : ZydisRegisterGetId(reg);
}

static void put32(uint8_t *p, uint64_t v)
{
    uint32_t x = (uint32_t)v;

    memcpy(p, &x, 4);
}

/* A gather: small indices, base in the data. */
static bool place_vsib(struct rng *r, struct state *s,
                       const ZydisDecodedOperandMem *m)
{
    int base = gpr_id(m->base);
    uint8_t *v = s->ymm[ZydisRegisterGetId(m->index)];

    if (base < 0 || m->base == ZYDIS_REGISTER_RIP)
        return false;
    memset(v, 0, 32);
    for (unsigned i = 0; i < 32; i += 8)
        v[i] = (uint8_t)rng_next(r);
    s->gpr[base] =
        DATA_ADDR + 0x800 + rng_below(r, 0x400) - (uint64_t)m->disp.value;
    if (code32)
        s->gpr[base] = (uint32_t)s->gpr[base];
    if (rng_below(r, 8) == 0)
        s->gpr[base] += DATA_LEN - 0xa00;
    return true;
}

/* Makes one memory operand point to `to`. False: it cannot. */
static bool place(struct rng *r, struct state *s, struct insn_case *c,
                  const ZydisDecodedOperand *op, uint64_t rip)
{
    const ZydisDecodedOperandMem *m = &op->mem;
    unsigned size = op->size ? op->size / 8 : 1;
    int base = gpr_id(m->base), index = gpr_id(m->index);
    uint64_t ea, to;

    if (m->type == ZYDIS_MEMOP_TYPE_AGEN)
        return true;
    if (m->segment == ZYDIS_REGISTER_FS || m->segment == ZYDIS_REGISTER_GS)
        return false;
    if (m->type == ZYDIS_MEMOP_TYPE_VSIB)
        return place_vsib(r, s, m);
    to = target_address(r, size > 64 ? 64 : size);
    if (m->base == ZYDIS_REGISTER_RIP || m->base == ZYDIS_REGISTER_EIP) {
        if (c->zi.raw.disp.size != 32)
            return false;
        put32(c->bytes + c->zi.raw.disp.offset, to - (rip + c->len));
        return true;
    }
    if (base < 0 && c->zi.raw.disp.size == 64) { /* MOV moffs */
        memcpy(c->bytes + c->zi.raw.disp.offset, &to, 8);
        return true;
    }
    if (base < 0) {
        if (c->zi.raw.disp.size != 32)
            return false;
        if (index >= 0)
            s->gpr[index] = rng_below(r, 256);
        put32(c->bytes + c->zi.raw.disp.offset,
              to - (index < 0 ? 0 : s->gpr[index] * m->scale));
        return true;
    }
    if (base == index)
        s->gpr[base] = 0; /* only the displacement is left */
    ea = s->gpr[base] + (index < 0 ? 0 : s->gpr[index] * m->scale) +
         (uint64_t)m->disp.value;
    if (base != index)
        s->gpr[base] += to - ea;
    if (code32)
        s->gpr[base] = (uint32_t)s->gpr[base];
    return true;
}

/* BT and its kin reach as far as their register says. */
static bool is_bit_string(const struct insn_case *c)
{
    return c->zi.mnemonic == ZYDIS_MNEMONIC_BT ||
           c->zi.mnemonic == ZYDIS_MNEMONIC_BTS ||
           c->zi.mnemonic == ZYDIS_MNEMONIC_BTR ||
           c->zi.mnemonic == ZYDIS_MNEMONIC_BTC;
}

static void put_code_pointer(struct rng *r, uint64_t at)
{
    uint64_t to = CODE_ADDR + 0x800 + rng_below(r, 64);

    if (at - DATA_ADDR <= DATA_LEN - 8)
        memcpy(native_data() + (at - DATA_ADDR), &to, code32 ? 4 : 8);
}

/* Branches go into a field of INT3s ahead. */
static void aim_branch(struct rng *r, struct state *s, struct insn_case *c)
{
    const ZydisDecodedOperand *op = &c->op[0];
    uint64_t to = CODE_ADDR + 0x800 + rng_below(r, 64);

    if (c->zi.mnemonic == ZYDIS_MNEMONIC_RET) {
        put_code_pointer(r, s->gpr[4]);
        return;
    }
    if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        unsigned n = c->zi.raw.imm[0].size / 8;
        uint8_t *p = c->bytes + c->zi.raw.imm[0].offset;

        memset(p, 0, n);
        p[0] = (uint8_t)(8 + rng_below(r, 100));
    } else if (op->type == ZYDIS_OPERAND_TYPE_REGISTER) {
        s->gpr[gpr_id(op->reg.value)] = to;
    } else {
        ZyanU64 at = 0;
        int base = gpr_id(op->mem.base), index = gpr_id(op->mem.index);

        if (op->mem.base == ZYDIS_REGISTER_RIP)
            at = s->rip + c->len + (uint64_t)op->mem.disp.value;
        else
            at = (base < 0 ? 0 : s->gpr[base]) +
                 (index < 0 ? 0 : s->gpr[index] * op->mem.scale) +
                 (uint64_t)op->mem.disp.value;
        put_code_pointer(r, code32 ? (uint32_t)at : at);
    }
}

static unsigned pick_bit(struct rng *r, uint8_t mask)
{
    unsigned n;

    do {
        n = rng_below(r, 8);
    } while (!(mask >> n & 1));
    return n;
}

static bool encode(struct rng *r, const struct form *f, struct insn_case *c)
{
    unsigned rxb = 0, n = 0, reg, rm, mod;

    memset(c->bytes, 0, sizeof(c->bytes));
    if (!f->vex && f->mem && !code32 && rng_below(r, 24) == 0)
        c->bytes[n++] = 0x67;
    if (!f->vex && f->mem && rng_below(r, 12) == 0)
        c->bytes[n++] = 0xf0; /* LOCK: where it is legal */
    reg = pick_bit(r, f->regs);
    rm = pick_bit(r, f->rms);
    if (!code32 && rng_below(r, 2))
        rxb = rng_below(r, 8);
    if (f->regs != 0xff)
        rxb &= 3u; /* an opcode extension, mostly: R is not its business */
    n += put_opcode(c->bytes + n, f, rxb,
                    f->vex ? rng_below(r, code32 ? 8 : 16) : 0);
    if (f->modrm) {
        mod = f->mem ? rng_below(r, 3) : 3;
        if (f->mem && rng_below(r, 10) == 0) {
            mod = 0;
            rm = 5; /* RIP-relative */
        }
        c->bytes[n++] = (uint8_t)(mod << 6 | reg << 3 | rm);
    }
    while (n < 15) /* SIB, displacement, immediate: as they fall */
        c->bytes[n++] = (uint8_t)(rng_below(r, 3) ? rng_next(r) : 0);
    if (!decode(c, 15) || c->zi.mnemonic != f->mnemonic)
        return false;
    return true;
}

static bool place_operands(struct rng *r, struct state *s, struct insn_case *c,
                           uint64_t rip)
{
    for (unsigned i = 0; i < c->zi.operand_count; i++)
        if (c->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY) {
            if (is_bit_string(c) &&
                c->op[1].type == ZYDIS_OPERAND_TYPE_REGISTER)
                s->gpr[gpr_id(c->op[1].reg.value)] = rng_below(r, 600);
            if (c->zi.mnemonic == ZYDIS_MNEMONIC_XLAT)
                s->gpr[0] = rng_below(r, 256);
            if (!place(r, s, c, &c->op[i], rip))
                return false;
        }
    if (c->zi.attributes &
        (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE))
        s->gpr[1] = rng_below(r, 40);
    return true;
}

bool form_instance(struct rng *r, const struct form *f, struct state *s,
                   uint64_t rip, struct insn_case *c)
{
    if (!encode(r, f, c) || !place_operands(r, s, c, rip))
        return false;
    s->rip = rip;
    /* displacements may have changed: operands again, then branches */
    if (!decode(c, 15))
        return false;
    if (c->zi.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE ||
        c->zi.mnemonic == ZYDIS_MNEMONIC_RET)
        aim_branch(r, s, c);
    return decode(c, 15) && c->zi.mnemonic == f->mnemonic;
}

bool is_shift(const struct insn_case *c)
{
    switch (c->zi.mnemonic) {
    case ZYDIS_MNEMONIC_SHL:
    case ZYDIS_MNEMONIC_SHR:
    case ZYDIS_MNEMONIC_SAR:
    case ZYDIS_MNEMONIC_ROL:
    case ZYDIS_MNEMONIC_ROR:
    case ZYDIS_MNEMONIC_RCL:
    case ZYDIS_MNEMONIC_RCR:
    case ZYDIS_MNEMONIC_SHLD:
    case ZYDIS_MNEMONIC_SHRD:
        return true;
    default:
        return false;
    }
}

uint64_t undefined_flags(const struct insn_case *c, const struct state *before)
{
    const ZydisDecodedOperand *count;
    uint64_t u = 0;
    unsigned n, width;

    if (c->zi.cpu_flags)
        u = c->zi.cpu_flags->undefined & 0x8d5;
    if (!is_shift(c))
        return u;
    count = &c->op[c->zi.operand_count_visible - 1];
    width = c->op[0].size;
    n = count->type == ZYDIS_OPERAND_TYPE_IMMEDIATE
            ? (unsigned)count->imm.value.u
            : (unsigned)before->gpr[1];
    n &= width == 64 ? 63 : 31;
    if (!n)
        return 0; /* no flag changes at all */
    u |= n == 1 ? 0 : 0x800;
    if (n >= width && c->zi.mnemonic != ZYDIS_MNEMONIC_ROL &&
        c->zi.mnemonic != ZYDIS_MNEMONIC_ROR &&
        c->zi.mnemonic != ZYDIS_MNEMONIC_RCL &&
        c->zi.mnemonic != ZYDIS_MNEMONIC_RCR)
        u |= 1;
    return u;
}
