/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fast_bind.h - which handler runs which instruction; part of fast64.c and
 * fast32.c, behind fast_fuse.h.
 */

static const struct {
    uint16_t op;
    exec_fn *by_width[4][FORMS];
} alu_table[] = {
    {ZYDIS_MNEMONIC_ADD, ALU_TABLE(add)}, {ZYDIS_MNEMONIC_SUB, ALU_TABLE(sub)},
    {ZYDIS_MNEMONIC_AND, ALU_TABLE(and)}, {ZYDIS_MNEMONIC_OR, ALU_TABLE(or)},
    {ZYDIS_MNEMONIC_XOR, ALU_TABLE(xor)}, {ZYDIS_MNEMONIC_CMP, ALU_TABLE(cmp)},
    {ZYDIS_MNEMONIC_TEST, ALU_TABLE(test)},
    {ZYDIS_MNEMONIC_MOV, ALU_TABLE(mov)},
    {ZYDIS_MNEMONIC_ADC, CARRY_TABLE(adc)},
    {ZYDIS_MNEMONIC_SBB, CARRY_TABLE(sbb)},
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
        if (!alu_table[i].by_width[width_log2(in->width)][form])
            return NULL;
        if (form == FORM_RR && in->dst == OPND_REG)
            swap_rm_reg(in);
        return alu_table[i].by_width[width_log2(in->width)][form];
    }
    return NULL;
}

static exec_fn *bind_extend(const struct insn *in)
{
    bool mem = in->flags & INSN_MEM;

    if (in->width < 4)
        return NULL;
    if (in->op == ZYDIS_MNEMONIC_MOVZX) {
        if (in->rm_width == 1)
            return mem ? zx_m_u8_u32 : zx_r_u8_u32;
        return mem ? zx_m_u16_u32 : zx_r_u16_u32;
    }
    switch (in->rm_width) {
    case 1:
        IF64(if (in->width == 8) return mem ? sx_m_u8_u64 : sx_r_u8_u64;)
        return mem ? sx_m_u8_u32 : sx_r_u8_u32;
    case 2:
        IF64(if (in->width == 8) return mem ? sx_m_u16_u64 : sx_r_u16_u64;)
        return mem ? sx_m_u16_u32 : sx_r_u16_u32;
    default:
        IF64(if (in->width == 8) return mem ? sx_m_u32_u64 : sx_r_u32_u64;)
        return NULL;
    }
}

/* 32- and 64-bit register forms of shifts and one-operand operations. */
static exec_fn *bind_unary(const struct insn *in)
{
#if FAST64
#define PAIR(name) (in->width == 8 ? name##_u64 : name##_u32)
#else
#define PAIR(name) name##_u32
#endif
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
        return in->dst == OPND_RM && in->rm_width == sizeof(word) ? push_r : NULL;
    case ZYDIS_MNEMONIC_POP:
        return in->dst == OPND_RM && in->rm_width == sizeof(word) ? pop_r : NULL;
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
    case ZYDIS_MNEMONIC_ADC:
    case ZYDIS_MNEMONIC_SBB:
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
        return in->width >= 4 ? PAIR(lea) : NULL;
    case ZYDIS_MNEMONIC_IMUL:
        if (in->src != OPND_RM || in->src2 != OPND_NONE ||
            (in->flags & INSN_MEM) || in->width < 4)
            return NULL;
        return PAIR(imul_r);
    IF64(case ZYDIS_MNEMONIC_CDQE : return cdqe;)
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
        return PAIR(cmov)[in->sub & 15];
    return bind_unary(in);
}

/* Segments that need no check here: see BLOCK_FLAT. */
static bool plain_segment(const struct insn *in)
{
    return FAST64 || !(in->flags & INSN_MEM) || in->seg == SEG_DS ||
           in->seg == SEG_SS || in->seg == SEG_ES;
}

/* 66 on a near branch means 16 bits here. */
static bool small_branch(const struct insn *in)
{
    return !FAST64 && (in->flags & INSN_JUMP) && (in->flags & INSN_O16);
}

static void fast_bind_insn(struct insn *in)
{
    exec_fn *fn;

    if (in->awidth != sizeof(word) || !plain_gpr(in) || !plain_segment(in) ||
        small_branch(in) || in->sem == sem_undefined ||
        (in->flags & INSN_VEX))
        return;
    fn = bind(in);
    if (fn)
        in->exec = fn;
}

static void fast_fuse_insn(struct insn *in)
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
