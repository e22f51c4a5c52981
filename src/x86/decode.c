/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decode.c - normalises what Zydis decoded into `struct insn`.
 *
 * Operands land in slots by how they are encoded: ModRM.rm, memory and
 * opcode-embedded registers in the r/m slot, ModRM.reg and implicit registers
 * in the reg slot, VEX.vvvv in `sub`. So a semantic function sees one shape
 * for `add r, r/m`, `add r/m, r` and `add al, imm`.
 */
#include "x86/decode.h"

#include <string.h>

#include "x86/cpuid.h"
#include "x86/exit.h"
#include "x86/flags.h"
#include "x86/reissue.h"
#include "x86/sem.h"

static const struct sem_entry *const families[] = {
    sem_arith_table,  sem_bit_table,    sem_move_table,
    sem_string_table, sem_branch_table, sem_far_table,
    sem_system_table, sem_io_table,     sem_fpstate_table,
};

enum step sem_undefined(struct vcpu *cpu, const struct insn *in)
{
    (void)in;
    return raise_ud(cpu);
}

enum step sem_too_long(struct vcpu *cpu, const struct insn *in)
{
    (void)in;
    return raise_gp(cpu, 0);
}

/* Hints that models without the feature run as NOP [SDM 2B, NOP]. */
static void zydis_setup(ZydisDecoder *z, ZydisMachineMode mode,
                        ZydisStackWidth width)
{
    static const ZydisDecoderMode off[] = {
        ZYDIS_DECODER_MODE_MPX,
        ZYDIS_DECODER_MODE_CET,
        ZYDIS_DECODER_MODE_CLDEMOTE,
        ZYDIS_DECODER_MODE_KNC,
    };

    ZydisDecoderInit(z, mode, width);
    for (size_t i = 0; i < ARRAY_SIZE(off); i++)
        ZydisDecoderEnableMode(z, off[i], ZYAN_FALSE);
}

int decoder_init(struct decoder *d, const struct cpu_model *model,
                 struct error *err)
{
    memset(d, 0, sizeof(*d));
    d->model = model;
    zydis_setup(&d->zydis[0], ZYDIS_MACHINE_MODE_LEGACY_16,
                ZYDIS_STACK_WIDTH_16);
    zydis_setup(&d->zydis[1], ZYDIS_MACHINE_MODE_LEGACY_32,
                ZYDIS_STACK_WIDTH_32);
    zydis_setup(&d->zydis[2], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    for (size_t i = 0; i < ARRAY_SIZE(families); i++)
        for (const struct sem_entry *e = families[i]; e->sem; e++)
            d->by_mnemonic[e->mnemonic] = e;
    d->reissue = reissue_new(err);
    return d->reissue ? 0 : -err->code;
}

void decoder_fini(struct decoder *d)
{
    if (d->reissue)
        reissue_free(d->reissue);
    d->reissue = NULL;
}

/* --- operands --- */

struct regno {
    enum reg_class class;
    uint8_t number; /* byte registers: byte offset */
    uint8_t width;
};

static struct regno reg_number(ZydisRegister reg)
{
    ZydisRegisterClass class = ZydisRegisterGetClass(reg);
    uint8_t id = (uint8_t)ZydisRegisterGetId(reg);

    switch (class) {
    case ZYDIS_REGCLASS_GPR8:
        if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH)
            return (struct regno){
                RC_GPR, (uint8_t)((reg - ZYDIS_REGISTER_AH) * 8 + 1), 1};
        if (reg >= ZYDIS_REGISTER_SPL)
            return (struct regno){
                RC_GPR, (uint8_t)((reg - ZYDIS_REGISTER_SPL + 4) * 8), 1};
        return (struct regno){RC_GPR, (uint8_t)((reg - ZYDIS_REGISTER_AL) * 8),
                              1};
    case ZYDIS_REGCLASS_GPR16:
        return (struct regno){RC_GPR, id, 2};
    case ZYDIS_REGCLASS_GPR32:
        return (struct regno){RC_GPR, id, 4};
    case ZYDIS_REGCLASS_GPR64:
        return (struct regno){RC_GPR, id, 8};
    case ZYDIS_REGCLASS_SEGMENT:
        return (struct regno){RC_SEG, id, 2};
    case ZYDIS_REGCLASS_CONTROL:
        return (struct regno){RC_CR, id, 8};
    case ZYDIS_REGCLASS_DEBUG:
        return (struct regno){RC_DR, id, 8};
    case ZYDIS_REGCLASS_MMX:
        return (struct regno){RC_MMX, id, 8};
    case ZYDIS_REGCLASS_X87:
        return (struct regno){RC_X87, id, 10};
    case ZYDIS_REGCLASS_XMM:
        return (struct regno){RC_VEC, id, 16};
    case ZYDIS_REGCLASS_YMM:
        return (struct regno){RC_VEC, id, 32};
    default:
        return (struct regno){RC_GPR, R_ZERO, 8};
    }
}

static uint8_t address_reg(ZydisRegister reg)
{
    switch (reg) {
    case ZYDIS_REGISTER_NONE:
        return R_ZERO;
    case ZYDIS_REGISTER_RIP:
    case ZYDIS_REGISTER_EIP:
        return R_PAGE;
    default: {
        int8_t id = ZydisRegisterGetId(reg);

        /* VSIB: the index is a vector, its reader looks at it itself */
        return id >= 0 && id < 16 ? (uint8_t)id : R_ZERO;
    }
    }
}

static uint8_t segment_of(ZydisRegister reg)
{
    return reg >= ZYDIS_REGISTER_ES && reg <= ZYDIS_REGISTER_GS
               ? (uint8_t)(reg - ZYDIS_REGISTER_ES)
               : SEG_DS;
}

static uint8_t scale_shift(unsigned scale)
{
    return scale ? (uint8_t)__builtin_ctz(scale) : 0;
}

/*
 * SIB with base 101b and mod 0 has a displacement and no base; Zydis 4.0
 * names R13D where a 67 prefix comes with REX.B.
 */
static bool sib_without_base(const struct zinsn *z)
{
    return z->i.raw.sib.offset && z->i.raw.modrm.mod == 0 &&
           (z->i.raw.sib.base & 7) == 5;
}

static void put_memory(struct insn *in, const struct zinsn *z,
                       const ZydisDecodedOperand *op)
{
    in->flags |= INSN_MEM;
    in->base = sib_without_base(z) ? R_ZERO : address_reg(op->mem.base);
    in->index = address_reg(op->mem.index);
    in->scale = scale_shift(op->mem.scale);
    in->disp = (int32_t)(sib_without_base(z) ? z->i.raw.disp.value
                                             : op->mem.disp.value);
    if (in->base == R_PAGE)
        in->disp = (int32_t)((uint32_t)in->disp + in->next);
    in->seg = segment_of(op->mem.segment);
    in->rm_width = (uint8_t)MIN(op->size / 8, 255);
    /* moffs may have 64 bits: its users look into imm */
    if (op->encoding >= ZYDIS_OPERAND_ENCODING_DISP8 &&
        op->encoding <= ZYDIS_OPERAND_ENCODING_DISP16_32_32)
        in->imm = (uint64_t)op->mem.disp.value;
}

static enum opnd put_register(struct insn *in, const ZydisDecodedOperand *op)
{
    struct regno r = reg_number(op->reg.value);

    switch (op->encoding) {
    case ZYDIS_OPERAND_ENCODING_MODRM_RM:
    case ZYDIS_OPERAND_ENCODING_OPCODE:
        in->rm = r.number;
        in->rm_width = r.width;
        if (r.class == RC_SEG)
            break; /* push fs and the like: opcode, but no r/m */
        if (op->encoding == ZYDIS_OPERAND_ENCODING_OPCODE && r.class != RC_GPR)
            break;
        return OPND_RM;
    case ZYDIS_OPERAND_ENCODING_NDSNDD:
        in->sub = r.number;
        return OPND_VREG;
    default:
        break;
    }
    /* SHLD r/m, r, cl: the count is implied, the slot is r's */
    if (in->reg_width && op->encoding == ZYDIS_OPERAND_ENCODING_NONE)
        return OPND_REG;
    in->reg = r.number;
    in->reg_width = r.width;
    in->reg_class = r.class & 0xf;
    return OPND_REG;
}

static enum opnd put_operand(struct insn *in, const struct zinsn *z,
                             const ZydisDecodedOperand *op, unsigned *imms)
{
    switch (op->type) {
    case ZYDIS_OPERAND_TYPE_REGISTER:
        return put_register(in, op);
    case ZYDIS_OPERAND_TYPE_MEMORY:
        put_memory(in, z, op);
        return OPND_RM;
    case ZYDIS_OPERAND_TYPE_POINTER:
        in->imm = op->ptr.offset;
        in->disp = op->ptr.segment;
        return OPND_IMM;
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
        if ((*imms)++)
            in->disp = (int32_t)op->imm.value.s; /* ENTER's level */
        else
            in->imm = op->imm.value.u;
        return OPND_IMM;
    default:
        return OPND_NONE;
    }
}

static unsigned operand_width(const struct zinsn *z)
{
    /* OUT names its port first, and that may be DX. */
    const ZydisDecodedOperand *op = &z->op[z->i.mnemonic == ZYDIS_MNEMONIC_OUT];

    if (z->i.operand_count_visible && op->type != ZYDIS_OPERAND_TYPE_POINTER &&
        op->type != ZYDIS_OPERAND_TYPE_IMMEDIATE && op->size >= 8 &&
        op->size <= 512)
        return op->size / 8;
    return MAX(z->i.operand_width / 8, 1);
}

static void put_operands(struct insn *in, const struct zinsn *z)
{
    enum opnd slot[3] = {OPND_NONE, OPND_NONE, OPND_NONE};
    unsigned imms = 0;

    in->base = in->index = R_ZERO;
    in->seg = SEG_DS;
    for (unsigned i = 0; i < z->i.operand_count_visible; i++) {
        enum opnd o = put_operand(in, z, &z->op[i], &imms);

        if (i < 3)
            slot[i] = o;
    }
    /* strings and XLAT: an override names the segment of rSI or rBX */
    for (unsigned i = z->i.operand_count_visible; i < z->i.operand_count; i++)
        if (z->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
            (address_reg(z->op[i].mem.base) == R_RSI ||
             address_reg(z->op[i].mem.base) == R_RBX))
            in->seg = segment_of(z->op[i].mem.segment);
    in->dst = slot[0] & 7;
    in->src = slot[1] & 7;
    in->src2 = slot[2] & 7;
    in->width = (uint8_t)operand_width(z);
}

static uint16_t prefix_flags(const ZydisDecodedInstruction *i)
{
    uint16_t f = 0;

    if (i->attributes & ZYDIS_ATTRIB_HAS_LOCK)
        f |= INSN_LOCK;
    if (i->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE))
        f |= INSN_REP;
    if (i->attributes & ZYDIS_ATTRIB_HAS_REPNE)
        f |= INSN_REPNE;
    if (i->attributes & ZYDIS_ATTRIB_HAS_REX)
        f |= INSN_REX;
    /* REX.W wins over 66 */
    if ((i->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE) &&
        !((i->attributes & ZYDIS_ATTRIB_HAS_REX) && i->raw.rex.W))
        f |= INSN_O16;
    if (i->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
        f |= INSN_VEX;
    for (unsigned n = 0; n < i->raw.prefix_count; n++)
        if (i->raw.prefixes[n].value == 0xf3)
            f |= INSN_REPZ_ANY;
    return f;
}

/* --- which semantic function --- */

/* Conditions in the order of Jcc's opcodes. */
static int condition_code(ZydisMnemonic m)
{
    static const uint16_t table[16][3] = {
#define CC(n, j, s, c)                                                         \
    [n] = {ZYDIS_MNEMONIC_J##j, ZYDIS_MNEMONIC_SET##s, ZYDIS_MNEMONIC_CMOV##c}
        CC(0, O, O, O),        CC(1, NO, NO, NO),    CC(2, B, B, B),
        CC(3, NB, NB, NB),     CC(4, Z, Z, Z),       CC(5, NZ, NZ, NZ),
        CC(6, BE, BE, BE),     CC(7, NBE, NBE, NBE), CC(8, S, S, S),
        CC(9, NS, NS, NS),     CC(10, P, P, P),      CC(11, NP, NP, NP),
        CC(12, L, L, L),       CC(13, NL, NL, NL),   CC(14, LE, LE, LE),
        CC(15, NLE, NLE, NLE),
#undef CC
    };

    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 3; j++)
            if (table[i][j] == m)
                return i;
    return -1;
}

static sem_fn *system_move(const struct insn *in)
{
    bool to = in->dst == OPND_REG;

    switch (in->reg_class) {
    case RC_CR:
        return to ? sem_mov_to_cr : sem_mov_from_cr;
    case RC_DR:
        return to ? sem_mov_to_dr : sem_mov_from_dr;
    case RC_SEG:
        return to ? sem_mov_to_seg : sem_mov_from_seg;
    default:
        return NULL;
    }
}

static bool is_far(const struct zinsn *z)
{
    return z->i.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
}

/* One mnemonic, several operations. */
static void bind_special(struct insn *in, const struct zinsn *z)
{
    sem_fn *sem;

    switch (z->i.mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
        sem = system_move(in);
        if (sem) {
            in->sem = sem;
            in->flags |= INSN_SYNC;
        } else if ((in->flags & INSN_MEM) &&
                   !(z->i.attributes & ZYDIS_ATTRIB_HAS_MODRM)) {
            in->sem = sem_mov_moffs;
        }
        break;
    case ZYDIS_MNEMONIC_PUSH:
        if (in->dst == OPND_REG && in->reg_class == RC_SEG)
            in->sem = sem_push_seg;
        break;
    case ZYDIS_MNEMONIC_POP:
        if (in->dst == OPND_REG && in->reg_class == RC_SEG) {
            in->sem = sem_pop_seg;
            in->flags |= INSN_SYNC;
        }
        break;
    case ZYDIS_MNEMONIC_JMP:
    case ZYDIS_MNEMONIC_CALL:
        if (!is_far(z))
            break;
        in->sem =
            z->i.mnemonic == ZYDIS_MNEMONIC_JMP ? sem_jmp_far : sem_call_far;
        in->flags |= INSN_SYNC;
        in->width = (uint8_t)(z->i.operand_width / 8);
        break;
    case ZYDIS_MNEMONIC_RET:
        if (!is_far(z))
            break;
        in->sem = sem_ret_far;
        in->flags |= INSN_SYNC;
        in->width = (uint8_t)(z->i.operand_width / 8);
        break;
    default:
        break;
    }
}

/* F3 0F BC/BD are BSF and BSR to a processor without BMI1 or LZCNT. */
static ZydisMnemonic older_mnemonic(const struct decoder *d,
                                    const ZydisDecodedInstruction *i)
{
    if (i->mnemonic == ZYDIS_MNEMONIC_TZCNT &&
        !cpu_model_allows(d->model, i->meta.isa_set))
        return ZYDIS_MNEMONIC_BSF;
    if (i->mnemonic == ZYDIS_MNEMONIC_LZCNT &&
        !cpu_model_allows(d->model, i->meta.isa_set))
        return ZYDIS_MNEMONIC_BSR;
    return i->mnemonic;
}

static void bind(struct decoder *d, struct insn *in, const struct zinsn *z)
{
    ZydisMnemonic m = older_mnemonic(d, &z->i);
    const struct sem_entry *e = d->by_mnemonic[m];
    int cc;

    in->op = (uint16_t)m;
    if (m == z->i.mnemonic && !cpu_model_allows(d->model, z->i.meta.isa_set))
        return;
    /* SSE's MOVSD and CMPSD share a mnemonic with the string instructions */
    if (reissue_owns(z) || !e) {
        if (reissue_bind(d->reissue, in, z))
            in->sem = sem_undefined;
        return;
    }
    if ((in->flags & INSN_LOCK) &&
        !(e->lockable && (in->flags & INSN_MEM) && in->dst == OPND_RM))
        return;
    in->sem = e->sem;
    in->flags |= e->flags;
    if (!(in->flags & INSN_VEX))
        in->sub = e->sub;
    cc = condition_code(m);
    if (cc >= 0)
        in->sub = (uint8_t)cc;
    bind_special(in, z);
}

unsigned insn_decode(struct decoder *d, struct insn *in, const uint8_t *bytes,
                     unsigned avail, unsigned code_width, unsigned off)
{
    const ZydisDecoder *z = &d->zydis[width_log2(code_width) - 1];
    struct zinsn zi;
    ZyanStatus st;

    memset(in, 0, sizeof(*in));
    in->sem = sem_undefined;
    zi.bytes = bytes;
    st = ZydisDecoderDecodeFull(z, bytes, avail, &zi.i, zi.op);
    if (st == ZYDIS_STATUS_NO_MORE_DATA && avail < 15)
        return 0;
    if (!ZYAN_SUCCESS(st)) {
        in->len = 1;
        in->next = (uint16_t)(off + 1);
        in->flags = INSN_JUMP;
        in->sem = st == ZYDIS_STATUS_INSTRUCTION_TOO_LONG ||
                          st == ZYDIS_STATUS_NO_MORE_DATA
                      ? sem_too_long
                      : sem_undefined;
        return 1;
    }
    in->len = zi.i.length;
    in->next = (uint16_t)(off + in->len);
    in->awidth = zi.i.address_width / 8;
    in->flags = prefix_flags(&zi.i);
    put_operands(in, &zi);
    bind(d, in, &zi);
    if (in->sem == sem_undefined)
        in->flags |= INSN_JUMP; /* nothing behind it will run */
    in->exit = (uint8_t)exit_reason_of(in);
    return in->len;
}
