/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment.c - segmentation: address checks, descriptors, segment registers.
 *             [SDM 3A chapters 3 and 5]
 *
 * In real mode the hidden parts stay what they were, but for base and type:
 * that is what "unreal" mode lives on, so limits are checked everywhere.
 */
#include "x86/segment.h"

#define LEGACY_MASK 0xffffffffull

/* --- address checks --- */

bool seg_in_limit(const struct seg *s, uint64_t off, unsigned size)
{
    uint64_t last = off + size - 1;
    uint64_t top;

    if ((s->attr & (SEG_CODE | SEG_EXPAND_DOWN)) != SEG_EXPAND_DOWN)
        return last <= s->limit;
    top = s->attr & SEG_DB ? 0xffffffffull : 0xffffull;
    return off > s->limit && last <= top;
}

static bool seg_type_allows(uint32_t attr, unsigned access)
{
    if (attr & SEG_UNUSABLE)
        return false;
    if (access & ACC_FETCH)
        return true;
    if (access & ACC_WRITE)
        return !(attr & SEG_CODE) && (attr & SEG_WRITABLE);
    return !(attr & SEG_CODE) || (attr & SEG_WRITABLE);
}

int seg_linear_slow(struct vcpu *cpu, unsigned seg, uint64_t off, unsigned size,
                    unsigned access, gva_t *gva)
{
    const struct seg *s = &cpu->seg[seg];
    unsigned vector = seg == SEG_SS ? EXC_SS : EXC_GP;

    if (cpu->code_width == 8) {
        *gva = off + cpu->seg_base[seg];
        if (!gva_canonical(*gva) || !gva_canonical(*gva + size - 1))
            return raise_error(cpu, vector, 0);
        return 0;
    }
    if (seg == SEG_NONE) {
        *gva = off & LEGACY_MASK;
        return 0;
    }
    if (!vcpu_real(cpu) && !seg_type_allows(s->attr, access))
        return raise_error(cpu, vector, 0);
    if (!seg_in_limit(s, off, size))
        return raise_error(cpu, vector, 0);
    *gva = (s->base + off) & LEGACY_MASK;
    return 0;
}

int code_target_check(struct vcpu *cpu, const struct seg *cs, uint64_t rip,
                      unsigned ext)
{
    if (vcpu_long_mode(cpu) && (cs->attr & SEG_L))
        return gva_canonical(rip) ? 0 : raise_gp(cpu, ext);
    return rip <= cs->limit ? 0 : raise_gp(cpu, ext);
}

/* --- descriptors --- */

void seg_decode(struct seg *s, uint16_t sel, uint64_t raw)
{
    uint32_t limit = (uint32_t)(raw & 0xffff) | (uint32_t)(raw >> 48 & 0xf)
                                                    << 16;

    s->sel = sel;
    s->attr = (uint32_t)(raw >> 40) & 0xf0ff;
    s->limit = s->attr & SEG_G ? limit << 12 | 0xfff : limit;
    s->base = (raw >> 16 & 0xffffff) | (raw >> 56) << 24;
}

struct seg seg_null(uint16_t sel)
{
    return (struct seg){.sel = sel, .attr = SEG_UNUSABLE};
}

struct seg seg_flat16(uint16_t sel, uint32_t attr)
{
    return (struct seg){
        .sel = sel, .attr = attr, .limit = 0xffff, .base = (uint64_t)sel << 4};
}

/* Linear address of a table entry: 64 bits wide in long mode only. */
static gva_t table_addr(const struct vcpu *cpu, uint64_t base, uint64_t off)
{
    return vcpu_long_mode(cpu) ? base + off : (base + off) & LEGACY_MASK;
}

int desc_load(struct vcpu *cpu, uint16_t sel, unsigned vector, unsigned ext,
              struct desc *d)
{
    uint64_t base = cpu->gdtr.base, limit = cpu->gdtr.limit;
    unsigned off = sel & 0xfff8u;

    if (sel & SEL_TI) {
        if (cpu->ldtr.attr & SEG_UNUSABLE)
            return raise_error(cpu, vector, SEL_ERR(sel) | ext);
        base = cpu->ldtr.base;
        limit = cpu->ldtr.limit;
    }
    if (off + 7u > limit)
        return raise_error(cpu, vector, SEL_ERR(sel) | ext);
    d->addr = table_addr(cpu, base, off);
    if (sys_load(cpu, d->addr, 8, &d->raw))
        return STEP_FAULT;
    seg_decode(&d->seg, sel, d->raw);
    return 0;
}

int desc_load_high(struct vcpu *cpu, struct desc *d, unsigned vector,
                   unsigned ext)
{
    uint16_t sel = d->seg.sel;
    uint64_t high;
    uint64_t limit = sel & SEL_TI ? cpu->ldtr.limit : cpu->gdtr.limit;

    if ((sel & 0xfff8u) + 15u > limit)
        return raise_error(cpu, vector, SEL_ERR(sel) | ext);
    if (sys_load(cpu, d->addr + 8, 8, &high))
        return STEP_FAULT;
    /* the type field of the second half has to be 0 [SDM 3A 3.5.2] */
    if (high >> 40 & 0x1f)
        return raise_error(cpu, vector, SEL_ERR(sel) | ext);
    d->seg.base = (d->seg.base & LEGACY_MASK) | high << 32;
    return 0;
}

int desc_mark_accessed(struct vcpu *cpu, struct desc *d)
{
    if (d->seg.attr & SEG_ACCESSED)
        return 0;
    if (sys_store(cpu, d->addr + 5, 1, (d->seg.attr & 0xff) | SEG_ACCESSED))
        return STEP_FAULT;
    d->seg.attr |= SEG_ACCESSED;
    return 0;
}

int desc_mark_busy(struct vcpu *cpu, const struct desc *d, bool busy)
{
    uint64_t b;

    if (sys_load(cpu, d->addr + 5, 1, &b))
        return STEP_FAULT;
    return sys_store(cpu, d->addr + 5, 1, busy ? b | 2 : b & ~2ull);
}

/* --- segment registers --- */

void seg_commit(struct vcpu *cpu, unsigned seg, const struct seg *s)
{
    cpu->seg[seg] = *s;
    cpu->seg_base[seg] = cpu->code_width == 8 && seg < SEG_FS ? 0 : s->base;
    if (cpu->code_width == 4)
        vcpu_update_block_mode(cpu);
}

int seg_prepare_ss(struct vcpu *cpu, uint16_t sel, unsigned cpl,
                   unsigned vector, unsigned ext, struct seg *s)
{
    struct desc d;

    if (SEL_NULL(sel))
        return raise_error(cpu, vector, ext);
    if (desc_load(cpu, sel, vector, ext, &d))
        return STEP_FAULT;
    if (SEL_RPL(sel) != cpl || SEG_DPL(d.seg.attr) != cpl ||
        !seg_is_writable_data(d.seg.attr))
        return raise_error(cpu, vector, SEL_ERR(sel) | ext);
    if (!(d.seg.attr & SEG_P))
        return raise_error(cpu, EXC_SS, SEL_ERR(sel) | ext);
    if (desc_mark_accessed(cpu, &d))
        return STEP_FAULT;
    *s = d.seg;
    return 0;
}

static int prepare_data(struct vcpu *cpu, uint16_t sel, struct seg *s)
{
    struct desc d;
    uint32_t a;

    if (SEL_NULL(sel)) {
        *s = seg_null(sel);
        return 0;
    }
    if (desc_load(cpu, sel, EXC_GP, 0, &d))
        return STEP_FAULT;
    a = d.seg.attr;
    if (!(a & SEG_S) || (seg_is_code(a) && !(a & SEG_WRITABLE)))
        return raise_gp(cpu, SEL_ERR(sel));
    if (!(seg_is_code(a) && seg_is_conforming(a)) &&
        (SEL_RPL(sel) > SEG_DPL(a) || cpu->cpl > SEG_DPL(a)))
        return raise_gp(cpu, SEL_ERR(sel));
    if (!(a & SEG_P))
        return raise_error(cpu, EXC_NP, SEL_ERR(sel));
    if (desc_mark_accessed(cpu, &d))
        return STEP_FAULT;
    *s = d.seg;
    return 0;
}

/* Real and vm86 mode: no descriptor; real mode keeps limit, D/B and G. */
static struct seg prepare16(const struct vcpu *cpu, unsigned seg, uint16_t sel)
{
    struct seg s = cpu->seg[seg];

    if (vcpu_vm86(cpu))
        return seg_flat16(sel, SEG_ATTR_VM86);
    if (s.attr & SEG_UNUSABLE)
        return seg_flat16(sel, 0x93);
    s.sel = sel;
    s.base = (uint64_t)sel << 4;
    s.attr = (s.attr & ~0xffu) | 0x93;
    return s;
}

int seg_prepare(struct vcpu *cpu, unsigned seg, uint16_t sel, struct seg *s)
{
    if (!vcpu_protected(cpu)) {
        *s = prepare16(cpu, seg, sel);
        return 0;
    }
    if (seg != SEG_SS)
        return prepare_data(cpu, sel, s);
    /* 64-bit kernels run on a null SS [SDM 2B, MOV] */
    if (SEL_NULL(sel) && cpu->code_width == 8 && cpu->cpl < 3 &&
        SEL_RPL(sel) == cpu->cpl) {
        *s = seg_null(sel);
        return 0;
    }
    return seg_prepare_ss(cpu, sel, cpu->cpl, EXC_GP, 0, s);
}

int seg_load(struct vcpu *cpu, unsigned seg, uint16_t sel)
{
    struct seg s;

    if (seg_prepare(cpu, seg, sel, &s))
        return STEP_FAULT;
    seg_commit(cpu, seg, &s);
    return 0;
}

void seg_commit_cs16(struct vcpu *cpu, uint16_t sel)
{
    struct seg s = prepare16(cpu, SEG_CS, sel);

    seg_commit(cpu, SEG_CS, &s);
}

/* LLDT and LTR: presence, and in long mode the upper half of the base. */
static int system_present(struct vcpu *cpu, struct desc *d, uint16_t sel)
{
    if (!(d->seg.attr & SEG_P))
        return raise_error(cpu, EXC_NP, SEL_ERR(sel));
    if (!vcpu_long_mode(cpu))
        return 0;
    if (desc_load_high(cpu, d, EXC_GP, 0))
        return STEP_FAULT;
    return gva_canonical(d->seg.base) ? 0 : raise_gp(cpu, SEL_ERR(sel));
}

int seg_load_ldtr(struct vcpu *cpu, uint16_t sel)
{
    struct desc d;

    if (SEL_NULL(sel)) {
        cpu->ldtr = seg_null(sel);
        return 0;
    }
    if (sel & SEL_TI)
        return raise_gp(cpu, SEL_ERR(sel));
    if (desc_load(cpu, sel, EXC_GP, 0, &d))
        return STEP_FAULT;
    if ((d.seg.attr & 0x1f) != DESC_LDT)
        return raise_gp(cpu, SEL_ERR(sel));
    if (system_present(cpu, &d, sel))
        return STEP_FAULT;
    cpu->ldtr = d.seg;
    return 0;
}

int seg_load_tr(struct vcpu *cpu, uint16_t sel)
{
    struct desc d;
    unsigned type;

    if (SEL_NULL(sel))
        return raise_gp(cpu, 0);
    if (sel & SEL_TI)
        return raise_gp(cpu, SEL_ERR(sel));
    if (desc_load(cpu, sel, EXC_GP, 0, &d))
        return STEP_FAULT;
    type = d.seg.attr & 0x1f;
    if (type != DESC_TSS && (type != DESC_TSS16 || vcpu_long_mode(cpu)))
        return raise_gp(cpu, SEL_ERR(sel));
    if (system_present(cpu, &d, sel))
        return STEP_FAULT;
    if (desc_mark_busy(cpu, &d, true))
        return STEP_FAULT;
    d.seg.attr |= 2; /* busy */
    cpu->tr = d.seg;
    return 0;
}

/* --- LAR, LSL, VERR, VERW --- */

/* Which system descriptors LAR and LSL know [SDM 2A LAR, LSL]. */
static bool query_system(const struct vcpu *cpu, unsigned type,
                         enum seg_query q)
{
    bool lm = vcpu_long_mode(cpu);

    switch (type) {
    case DESC_TSS16:
    case DESC_TSS16_BUSY:
        return !lm;
    case DESC_LDT:
    case DESC_TSS:
    case DESC_TSS_BUSY:
        return true;
    case DESC_CALL16:
    case DESC_TASK:
        return q == SEG_LAR && !lm;
    case DESC_CALL:
        return q == SEG_LAR;
    default:
        return false;
    }
}

bool seg_visible(struct vcpu *cpu, uint16_t sel, enum seg_query q,
                 struct desc *d, bool *fault)
{
    struct exc keep = cpu->exc;
    uint32_t a;

    *fault = false;
    if (SEL_NULL(sel))
        return false;
    if (desc_load(cpu, sel, EXC_GP, 0, d)) {
        /* outside the table is an answer, a page fault is a fault */
        *fault = cpu->exc.vector != EXC_GP;
        if (!*fault)
            cpu->exc = keep;
        return false;
    }
    a = d->seg.attr;
    if (!(a & SEG_S)) {
        if (q > SEG_LSL || !query_system(cpu, SEG_TYPE(a), q))
            return false;
    } else if (q == SEG_VERR && seg_is_code(a) && !(a & SEG_WRITABLE)) {
        return false;
    } else if (q == SEG_VERW && !seg_is_writable_data(a)) {
        return false;
    } else if (seg_is_code(a) && seg_is_conforming(a)) {
        return true;
    }
    return cpu->cpl <= SEG_DPL(a) && SEL_RPL(sel) <= SEG_DPL(a);
}

/* --- stacks under construction --- */

struct far_stack far_stack_here(struct vcpu *cpu, unsigned ext)
{
    return (struct far_stack){.cpu = cpu,
                              .ss = cpu->seg[SEG_SS],
                              .sp = cpu->gpr[R_RSP],
                              .mask = stack_mask(cpu),
                              .flat = cpu->code_width == 8,
                              .error = ext};
}

struct far_stack far_stack_new(struct vcpu *cpu, const struct seg *ss,
                               uint64_t sp, uint32_t error)
{
    return (struct far_stack){.cpu = cpu,
                              .ss = *ss,
                              .sp = sp,
                              .mask =
                                  ss->attr & SEG_DB ? 0xffffffffull : 0xffffull,
                              .error = error};
}

static int far_linear(struct far_stack *st, uint64_t off, unsigned width,
                      gva_t *gva)
{
    off &= st->mask;
    if (st->flat) {
        *gva = off;
        if (gva_canonical(off) && gva_canonical(off + width - 1))
            return 0;
    } else {
        *gva = (st->ss.base + off) & LEGACY_MASK;
        if (!(st->ss.attr & SEG_UNUSABLE) && seg_in_limit(&st->ss, off, width))
            return 0;
    }
    return raise_error(st->cpu, EXC_SS, st->error);
}

int far_push(struct far_stack *st, unsigned width, uint64_t val)
{
    uint64_t sp = st->sp - width;
    gva_t gva;

    if (far_linear(st, sp, width, &gva) || lin_store(st->cpu, gva, width, val))
        return STEP_FAULT;
    st->sp = sp;
    return 0;
}

int far_peek(struct far_stack *st, uint64_t off, unsigned width, uint64_t *val)
{
    gva_t gva;

    if (far_linear(st, st->sp + off, width, &gva))
        return STEP_FAULT;
    return lin_load(st->cpu, gva, width, val) ? STEP_FAULT : 0;
}

int far_pop(struct far_stack *st, unsigned width, uint64_t *val)
{
    if (far_peek(st, 0, width, val))
        return STEP_FAULT;
    st->sp += width;
    return 0;
}

void far_stack_commit(const struct far_stack *st)
{
    uint64_t *rsp = &st->cpu->gpr[R_RSP];

    if (st->mask == 0xffff)
        *rsp = (*rsp & ~st->mask) | (st->sp & st->mask);
    else
        *rsp = st->sp & st->mask;
}

void cpl_switch(struct vcpu *cpu, unsigned cpl)
{
    if (cpu->cpl == cpl)
        return;
    cpu->cpl = (uint8_t)cpl;
    if (cpu->mmu)
        cpu->mmu->select(cpu);
}
