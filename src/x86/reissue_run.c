/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reissue_run.c - running stubs, and the few vector instructions that touch
 * memory under a mask, which no stub could do without faulting by itself.
 */
#include "x86/reissue_int.h"

#include <string.h>

#include "x86/flags.h"
#include "x86/fpu.h"

static int unit_check(struct vcpu *cpu, enum unit unit)
{
    switch (unit) {
    case UNIT_X87:
        return fpu_check_x87(cpu);
    case UNIT_MMX:
        return fpu_check_mmx(cpu);
    case UNIT_SSE:
        return fpu_check_sse(cpu);
    case UNIT_SSE_MMX:
        return fpu_check_sse(cpu) || fpu_check_mmx(cpu);
    default:
        return fpu_check_avx(cpu);
    }
}

/* #XM where the system handles it, else #UD [SDM 3A 6.15]; x87: #MF. */
static enum step fp_exception(struct vcpu *cpu, const struct stub *s)
{
    if (s->needs.mmx && s->needs.mxcsr)
        fpu_enter_mmx(cpu); /* CVTPS2PI: MMX is entered first */
    if (s->needs.fx && !s->needs.mxcsr)
        return raise(cpu, EXC_MF);
    return raise(cpu, cpu->cr4 & CR4_OSXMMEXCPT ? EXC_XM : EXC_UD);
}

/* Memory operand of a stub: in place where it can be, else in buf. */
struct operand {
    _Alignas(32) uint8_t buf[64];
    void *p;
    struct ref ref;
};

static int operand_open(struct vcpu *cpu, const struct insn *in,
                        const struct stub *s, struct operand *o)
{
    bool write = s->needs.mem_write;
    uint64_t off = insn_ea(cpu, in);
    uint8_t watch;
    gva_t lin;

    if (seg_linear(cpu, in->seg, off, in->rm_width,
                   write ? ACC_WRITE : ACC_READ, &lin))
        return STEP_FAULT;
    if (lin & (s->align - 1u))
        return raise_gp(cpu, 0);
    if (!write) {
        o->p = tlb_read(cpu, lin, in->rm_width);
        if (o->p)
            return 0;
    }
    if (ref_open_at(cpu, in->seg, off, in->rm_width, write ? REF_RW : REF_R,
                    &o->ref))
        return STEP_FAULT;
    /* a store with a pending exception leaves memory as it was */
    watch = o->ref.watch;
    if (write)
        o->ref.watch &= (uint8_t)~REF_TRACED; /* no read of the guest's */
    ref_get_bytes(&o->ref, o->buf);
    o->ref.watch = watch;
    o->p = o->buf;
    return 0;
}

/* FIP, FDP and FOP as they are kept once an exception is pending. */
static void note_x87(struct vcpu *cpu, const struct insn *in)
{
    uint64_t ip = insn_rip(cpu, in), dp;

    if (!(cpu->fpu.fx[FX_FSW] & FSW_ES))
        return;
    memcpy(cpu->fpu.fx + FX_FIP, &ip, 8);
    if (in->flags & INSN_MEM) {
        dp = insn_ea(cpu, in);
        memcpy(cpu->fpu.fx + FX_FDP, &dp, 8);
    }
}

enum step sem_reissue(struct vcpu *cpu, const struct insn *in)
{
    const struct stub *s = (const struct stub *)(uintptr_t)in->imm;
    struct operand o;
    struct frame f;

    if (unit_check(cpu, s->unit))
        return STEP_FAULT;
    if ((in->flags & INSN_MEM) && operand_open(cpu, in, s, &o))
        return STEP_FAULT;
    f.a = cpu->gpr[in->reg];
    f.c = cpu->gpr[in->rm];
    f.d = cpu->gpr[R_RDX];
    if (s->needs.flags_in)
        f.flags = flags_status(cpu) | FLAG_FIXED | FLAG_IF;
    if (stub_run(cpu, s, (in->flags & INSN_MEM) ? o.p : NULL, &f))
        return fp_exception(cpu, s);
    if (s->needs.mem_write)
        ref_set_bytes(&o.ref, o.buf);
    if (s->needs.gpr_write) {
        if (s->needs.gpr_reg)
            cpu->gpr[in->reg] = f.a;
        else
            cpu->gpr[in->rm] = f.c;
    }
    if (s->needs.flags_out)
        flags_set(cpu, FLAG_STATUS, f.flags);
    if (s->needs.x87)
        note_x87(cpu, in);
    return STEP_NEXT;
}

/* --- masked moves: sub-element sizes and registers in `struct insn` --- */

/*
 * VMASKMOVPS/PD, VPMASKMOVD/Q: reg is the data, vvvv (src2 or src) the mask.
 * imm: element size. The sign bit of each mask element selects.
 */
static bool selected(const uint8_t *mask, unsigned i, unsigned size)
{
    return mask[i * size + size - 1] & 0x80;
}

static enum step sem_mask_load(struct vcpu *cpu, const struct insn *in)
{
    unsigned size = (unsigned)in->imm, n = in->rm_width / size;
    const uint8_t *mask = cpu->fpu.ymm[in->sub];
    uint64_t off = insn_ea(cpu, in), v;
    uint8_t out[32] = {0};

    if (fpu_check_avx(cpu))
        return STEP_FAULT;
    for (unsigned i = 0; i < n; i++) {
        if (!selected(mask, i, size))
            continue;
        if (mem_load(cpu, in->seg, off + i * size, size, &v))
            return STEP_FAULT;
        memcpy(out + i * size, &v, size);
    }
    memcpy(cpu->fpu.ymm[in->reg], out, 32);
    return STEP_NEXT;
}

static enum step sem_mask_store(struct vcpu *cpu, const struct insn *in)
{
    unsigned size = (unsigned)in->imm, n = in->rm_width / size;
    const uint8_t *mask = cpu->fpu.ymm[in->sub];
    const uint8_t *data = cpu->fpu.ymm[in->reg];
    uint64_t off = insn_ea(cpu, in);
    struct ref ref[8];

    if (fpu_check_avx(cpu))
        return STEP_FAULT;
    for (unsigned i = 0; i < n; i++)
        if (selected(mask, i, size) &&
            ref_open_at(cpu, in->seg, off + i * size, size, REF_RW, &ref[i]))
            return STEP_FAULT;
    for (unsigned i = 0; i < n; i++)
        if (selected(mask, i, size))
            ref_set_bytes(&ref[i], data + i * size);
    return STEP_NEXT;
}

/* MASKMOVDQU and MASKMOVQ: bytes to seg:rDI; width is in->rm_width. */
static enum step sem_mask_bytes(struct vcpu *cpu, const struct insn *in)
{
    unsigned n = in->rm_width;
    uint64_t di = cpu->gpr[R_RDI] & width_mask(in->awidth);
    bool mmx = n == 8, vex = in->flags & INSN_VEX;
    const uint8_t *data, *mask;
    struct ref ref[16];

    if (mmx   ? fpu_check_mmx(cpu)
        : vex ? fpu_check_avx(cpu)
              : fpu_check_sse(cpu))
        return STEP_FAULT;
    if (mmx) { /* aliases ST(i); MMX resets the stack's top */
        unsigned top =
            FSW_TOP(cpu->fpu.fx[FX_FSW] | cpu->fpu.fx[FX_FSW + 1] << 8);

        data = cpu->fpu.fx + FX_ST((in->reg - top) & 7);
        mask = cpu->fpu.fx + FX_ST((in->rm - top) & 7);
    } else {
        data = cpu->fpu.ymm[in->reg];
        mask = cpu->fpu.ymm[in->rm];
    }
    for (unsigned i = 0; i < n; i++)
        if (selected(mask, i, 1) &&
            ref_open_at(cpu, in->seg, (di + i) & width_mask(in->awidth), 1,
                        REF_RW, &ref[i]))
            return STEP_FAULT;
    for (unsigned i = 0; i < n; i++)
        if (selected(mask, i, 1))
            ref_set(&ref[i], data[i]);
    if (mmx)
        fpu_enter_mmx(cpu);
    return STEP_NEXT;
}

/* --- gathers --- */

/* Elements of VPGATHERxy: index size x, data size y, in bytes. */
struct gather {
    uint8_t index_size, data_size, count, index_reg;
};

static uint64_t gather_index(const struct vcpu *cpu, const struct gather *g,
                             unsigned i)
{
    uint64_t v = 0;

    memcpy(&v, cpu->fpu.ymm[g->index_reg] + i * g->index_size, g->index_size);
    return sign_extend(v, g->index_size);
}

/*
 * An element that was loaded has its mask cleared at once: a fault on a later
 * one restarts without repeating it [SDM 2C, VPGATHERDD].
 */
static enum step sem_gather(struct vcpu *cpu, const struct insn *in)
{
    struct gather g;
    uint8_t *dst = cpu->fpu.ymm[in->reg], *mask = cpu->fpu.ymm[in->sub];
    unsigned bytes;
    uint64_t v;

    memcpy(&g, &in->imm, sizeof(g));
    bytes = g.count * g.data_size;
    if (fpu_check_avx(cpu))
        return STEP_FAULT;
    for (unsigned i = 0; i < g.count; i++) {
        uint64_t off = cpu->gpr[in->base] +
                       (gather_index(cpu, &g, i) << in->scale) +
                       (uint64_t)(int64_t)in->disp;

        if (selected(mask, i, g.data_size)) {
            if (mem_load(cpu, in->seg, off & width_mask(in->awidth),
                         g.data_size, &v))
                return STEP_FAULT;
            memcpy(dst + i * g.data_size, &v, g.data_size);
        }
        memset(mask + i * g.data_size, 0, g.data_size);
    }
    memset(dst + bytes, 0, 32 - bytes);
    memset(mask, 0, 32);
    return STEP_NEXT;
}

/* Destination, index and mask must be three registers: else #UD. */
static bool gather_bind(struct insn *in, const struct zinsn *z,
                        unsigned index_size, unsigned data_size)
{
    unsigned bytes = z->op[0].size / 8; /* of the destination */
    unsigned index_bytes;
    struct gather g = {.index_size = (uint8_t)index_size,
                       .data_size = (uint8_t)data_size};
    ZydisRegister index = z->op[1].mem.index;

    index_bytes = ZydisRegisterGetClass(index) == ZYDIS_REGCLASS_YMM ? 32 : 16;
    g.count = (uint8_t)MIN(bytes / data_size, index_bytes / index_size);
    g.index_reg = (uint8_t)ZydisRegisterGetId(index);
    if (in->reg == in->sub || in->reg == g.index_reg || in->sub == g.index_reg)
        return false;
    in->index = R_ZERO;
    in->imm = 0;
    memcpy(&in->imm, &g, sizeof(g));
    in->sem = sem_gather;
    return true;
}

bool masked_bind(struct insn *in, const struct zinsn *z)
{
    bool store = in->dst == OPND_RM;

    in->reg_class = RC_VEC;
    switch (z->i.mnemonic) {
    case ZYDIS_MNEMONIC_VMASKMOVPS:
    case ZYDIS_MNEMONIC_VPMASKMOVD:
        in->imm = 4;
        in->sem = store ? sem_mask_store : sem_mask_load;
        return true;
    case ZYDIS_MNEMONIC_VMASKMOVPD:
    case ZYDIS_MNEMONIC_VPMASKMOVQ:
        in->imm = 8;
        in->sem = store ? sem_mask_store : sem_mask_load;
        return true;
    case ZYDIS_MNEMONIC_MASKMOVDQU:
    case ZYDIS_MNEMONIC_VMASKMOVDQU:
        in->rm_width = 16;
        break;
    case ZYDIS_MNEMONIC_MASKMOVQ:
        in->rm_width = 8;
        break;
    case ZYDIS_MNEMONIC_VPGATHERDD:
    case ZYDIS_MNEMONIC_VGATHERDPS:
        return gather_bind(in, z, 4, 4);
    case ZYDIS_MNEMONIC_VPGATHERDQ:
    case ZYDIS_MNEMONIC_VGATHERDPD:
        return gather_bind(in, z, 4, 8);
    case ZYDIS_MNEMONIC_VPGATHERQD:
    case ZYDIS_MNEMONIC_VGATHERQPS:
        return gather_bind(in, z, 8, 4);
    case ZYDIS_MNEMONIC_VPGATHERQQ:
    case ZYDIS_MNEMONIC_VGATHERQPD:
        return gather_bind(in, z, 8, 8);
    default:
        return false;
    }
    in->sem = sem_mask_bytes;
    in->flags &= (uint16_t)~INSN_MEM;
    /* a segment override names the segment of rDI */
    for (unsigned i = 0; i < z->i.operand_count; i++)
        if (z->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
            in->seg = (uint8_t)(z->op[i].mem.segment - ZYDIS_REGISTER_ES);
    return true;
}
