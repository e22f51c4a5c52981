/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task.c - the hardware task switch. [SDM 3A 7.3, table 7-1]
 *
 * Order: read and check everything of the new TSS, save the outgoing task,
 * then load. From there on (the commit point) a fault belongs to the new
 * task, and is delivered here, since the engine would take it for one of the
 * old instruction. Long mode has no task switches.
 */
#include "x86/task.h"

#include "x86/exception.h"
#include "x86/flags.h"
#include "x86/sem.h"

/* A TSS, widened to 32 bits. */
struct tss {
    uint32_t cr3, eip, eflags, gpr[8];
    uint16_t seg[SEG_COUNT], ldt;
    bool trap;
};

/* Where things are, in a 32- and in a 16-bit TSS. */
struct tss_layout {
    unsigned width, limit; /* of an entry; smallest legal limit */
    unsigned eip, gpr, seg, segs, ldt, stack;
};

static const struct tss_layout layout32 = {.width = 4,
                                           .limit = 103,
                                           .eip = 32,
                                           .gpr = 40,
                                           .seg = 72,
                                           .segs = SEG_COUNT,
                                           .ldt = 96,
                                           .stack = 4};
static const struct tss_layout layout16 = {.width = 2,
                                           .limit = 43,
                                           .eip = 14,
                                           .gpr = 18,
                                           .seg = 34,
                                           .segs = 4,
                                           .ldt = 42,
                                           .stack = 2};

static const struct tss_layout *layout_of(uint32_t attr)
{
    return attr & 8 ? &layout32 : &layout16;
}

static gva_t tss_at(const struct seg *tss, unsigned off)
{
    return (tss->base + off) & 0xffffffff;
}

/* --- stacks for inner levels --- */

int tss_stack(struct vcpu *cpu, unsigned cpl, unsigned ext, uint16_t *ss,
              uint32_t *esp)
{
    const struct tss_layout *l = layout_of(cpu->tr.attr);
    unsigned at = l->stack + 2 * l->width * cpl;
    uint64_t sp, sel;

    if (at + l->width + 1 > cpu->tr.limit)
        return raise_error(cpu, EXC_TS, SEL_ERR(cpu->tr.sel) | ext);
    if (sys_load(cpu, tss_at(&cpu->tr, at), l->width, &sp) ||
        sys_load(cpu, tss_at(&cpu->tr, at + l->width), 2, &sel))
        return STEP_FAULT;
    *esp = (uint32_t)sp;
    *ss = (uint16_t)sel;
    return 0;
}

int tss_stack64(struct vcpu *cpu, unsigned slot, unsigned ext, uint64_t *rsp)
{
    /* RSP0..2 from 4, a reserved quad, IST1..7 from 36 */
    unsigned at = 4 + 8 * slot + (slot >= 3 ? 8 : 0);

    if (at + 7 > cpu->tr.limit)
        return raise_error(cpu, EXC_TS, SEL_ERR(cpu->tr.sel) | ext);
    if (sys_load(cpu, cpu->tr.base + at, 8, rsp))
        return STEP_FAULT;
    return gva_canonical(*rsp) ? 0 : raise_error(cpu, EXC_SS, ext);
}

/* --- reading and writing a TSS --- */

static int tss_read(struct vcpu *cpu, const struct seg *s, struct tss *t)
{
    const struct tss_layout *l = layout_of(s->attr);
    uint64_t v;

    *t = (struct tss){0};
    if (l->width == 4) {
        if (sys_load(cpu, tss_at(s, 28), 4, &v))
            return STEP_FAULT;
        t->cr3 = (uint32_t)v;
        if (sys_load(cpu, tss_at(s, 100), 2, &v))
            return STEP_FAULT;
        t->trap = v & 1;
    }
    if (sys_load(cpu, tss_at(s, l->eip), l->width, &v))
        return STEP_FAULT;
    t->eip = (uint32_t)v;
    if (sys_load(cpu, tss_at(s, l->eip + l->width), l->width, &v))
        return STEP_FAULT;
    t->eflags = (uint32_t)v;
    for (unsigned i = 0; i < 8; i++) {
        if (sys_load(cpu, tss_at(s, l->gpr + l->width * i), l->width, &v))
            return STEP_FAULT;
        t->gpr[i] = (uint32_t)v;
    }
    for (unsigned i = 0; i < l->segs; i++) {
        if (sys_load(cpu, tss_at(s, l->seg + l->width * i), 2, &v))
            return STEP_FAULT;
        t->seg[i] = (uint16_t)v;
    }
    if (sys_load(cpu, tss_at(s, l->ldt), 2, &v))
        return STEP_FAULT;
    t->ldt = (uint16_t)v;
    return 0;
}

/* The outgoing task: EIP, EFLAGS, general and segment registers. */
static int tss_save(struct vcpu *cpu, uint64_t flags)
{
    const struct tss_layout *l = layout_of(cpu->tr.attr);
    const struct seg *s = &cpu->tr;
    unsigned w = l->width;

    if (sys_store(cpu, tss_at(s, l->eip), w, cpu->rip) ||
        sys_store(cpu, tss_at(s, l->eip + w), w, flags))
        return STEP_FAULT;
    for (unsigned i = 0; i < 8; i++)
        if (sys_store(cpu, tss_at(s, l->gpr + w * i), w, cpu->gpr[i]))
            return STEP_FAULT;
    for (unsigned i = 0; i < l->segs; i++)
        if (sys_store(cpu, tss_at(s, l->seg + w * i), 2, cpu->seg[i].sel))
            return STEP_FAULT;
    return 0;
}

/* --- behind the commit point --- */

static int load_ldt(struct vcpu *cpu, uint16_t sel)
{
    struct desc d;

    cpu->ldtr = seg_null(sel);
    if (SEL_NULL(sel))
        return 0;
    if ((sel & SEL_TI) || desc_load(cpu, sel, EXC_TS, 0, &d))
        return raise_error(cpu, EXC_TS, SEL_ERR(sel));
    if ((d.seg.attr & 0x1f) != DESC_LDT || !(d.seg.attr & SEG_P))
        return raise_error(cpu, EXC_TS, SEL_ERR(sel));
    cpu->ldtr = d.seg;
    return 0;
}

static int load_cs(struct vcpu *cpu, uint16_t sel)
{
    struct desc d;
    uint32_t a;

    if (SEL_NULL(sel))
        return raise_error(cpu, EXC_TS, 0);
    if (desc_load(cpu, sel, EXC_TS, 0, &d))
        return STEP_FAULT;
    a = d.seg.attr;
    if (!seg_is_code(a) || (seg_is_conforming(a) ? SEG_DPL(a) > SEL_RPL(sel)
                                                 : SEG_DPL(a) != SEL_RPL(sel)))
        return raise_error(cpu, EXC_TS, SEL_ERR(sel));
    if (!(a & SEG_P))
        return raise_error(cpu, EXC_NP, SEL_ERR(sel));
    if (desc_mark_accessed(cpu, &d))
        return STEP_FAULT;
    cpu->seg[SEG_CS] = d.seg;
    return 0;
}

/* A data segment's #GP is #TS in a task switch. */
static int load_data(struct vcpu *cpu, unsigned seg, uint16_t sel)
{
    if (!seg_load(cpu, seg, sel))
        return 0;
    if (cpu->exc.vector == EXC_GP)
        cpu->exc.vector = EXC_TS;
    return STEP_FAULT;
}

static int load_segments(struct vcpu *cpu, const struct tss *t)
{
    static const uint8_t data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    struct seg ss;

    if (load_ldt(cpu, t->ldt))
        return STEP_FAULT;
    if (cpu->rflags & FLAG_VM)
        return 0; /* they were made flat already */
    if (load_cs(cpu, t->seg[SEG_CS]) ||
        seg_prepare_ss(cpu, t->seg[SEG_SS], cpu->cpl, EXC_TS, 0, &ss))
        return STEP_FAULT;
    seg_commit(cpu, SEG_SS, &ss);
    vcpu_update_mode(cpu);
    for (unsigned i = 0; i < ARRAY_SIZE(data); i++)
        if (load_data(cpu, data[i], t->seg[data[i]]))
            return STEP_FAULT;
    return 0;
}

/* Selectors first, hidden parts empty: a fault finds them like that. */
static void load_registers(struct vcpu *cpu, const struct tss *t)
{
    cpu->rip = t->eip;
    cpu->rflags = (t->eflags & 0x3f7fd7) | FLAG_FIXED;
    cpu->cc_op = CC_EXPLICIT;
    for (unsigned i = 0; i < 8; i++)
        cpu->gpr[i] = t->gpr[i];
    for (unsigned i = 0; i < SEG_COUNT; i++)
        cpu->seg[i] = cpu->rflags & FLAG_VM
                          ? seg_flat16(t->seg[i], SEG_ATTR_VM86)
                          : seg_null(t->seg[i]);
    cpu->cpl = cpu->rflags & FLAG_VM ? 3 : SEL_RPL(t->seg[SEG_CS]);
    cpu->cr0 |= CR0_TS;
    cpu->dr7 &= ~0x155ull; /* local breakpoints */
}

/* The new task's first fault; bounded, as each could switch tasks again. */
static enum step task_fault(struct vcpu *cpu)
{
    enum step s;

    if (cpu->delivering >= 4) {
        cpu->shutdown = true;
        return STEP_STOP;
    }
    cpu->delivering++;
    vcpu_update_mode(cpu);
    s = exc_deliver(cpu);
    cpu->delivering--;
    return s;
}

static enum step task_enter(struct vcpu *cpu, const struct tss *t,
                            const struct desc *d, const uint32_t *error)
{
    struct far_stack st;

    load_registers(cpu, t);
    vcpu_update_mode(cpu);
    if (load_segments(cpu, t))
        return task_fault(cpu);
    vcpu_update_mode(cpu);
    if (error) {
        st = far_stack_here(cpu, 0);
        if (far_push(&st, layout_of(d->seg.attr)->width, *error))
            return task_fault(cpu);
        far_stack_commit(&st);
    }
    if (code_target_check(cpu, &cpu->seg[SEG_CS], cpu->rip, 0))
        return task_fault(cpu);
    if (t->trap) {
        cpu->db_pending = true;
        cpu->db_bits |= BIT(15); /* BT */
        vcpu_update_rflags(cpu);
    }
    return STEP_JUMP;
}

/* --- up to the commit point --- */

static int task_check(struct vcpu *cpu, const struct desc *d,
                      enum task_reason why, unsigned vector, unsigned ext)
{
    unsigned err = SEL_ERR(d->seg.sel) | ext;
    unsigned type = d->seg.attr & 0x1f;
    bool busy = type & 2;

    if ((type | 2) != DESC_TSS_BUSY && (type | 2) != DESC_TSS16_BUSY)
        return raise_error(cpu, vector, err);
    if (busy != (why == TASK_IRET))
        return raise_error(cpu, vector, err);
    if (!(d->seg.attr & SEG_P))
        return raise_error(cpu, why == TASK_IRET ? EXC_TS : EXC_NP, err);
    if (d->seg.limit < layout_of(d->seg.attr)->limit)
        return raise_error(cpu, EXC_TS, err);
    return 0;
}

/* Busy bit of the task that is left. */
static int old_task_free(struct vcpu *cpu)
{
    struct desc old;

    if (desc_load(cpu, cpu->tr.sel, EXC_TS, 0, &old))
        return STEP_FAULT;
    return desc_mark_busy(cpu, &old, false);
}

static int task_leave(struct vcpu *cpu, const struct desc *d,
                      enum task_reason why)
{
    uint64_t flags = flags_get(cpu);
    bool nests = why == TASK_CALL || why == TASK_EVENT;

    if (why == TASK_IRET)
        flags &= ~FLAG_NT;
    if (tss_save(cpu, flags))
        return STEP_FAULT;
    if (nests && sys_store(cpu, tss_at(&d->seg, 0), 2, cpu->tr.sel))
        return STEP_FAULT;
    if (!nests && old_task_free(cpu))
        return STEP_FAULT;
    return why == TASK_IRET ? 0 : desc_mark_busy(cpu, d, true);
}

enum step task_switch(struct vcpu *cpu, const struct desc *d,
                      enum task_reason why, const uint32_t *error, unsigned ext)
{
    struct tss t;

    if (task_check(cpu, d, why, why == TASK_IRET ? EXC_TS : EXC_GP, ext))
        return STEP_FAULT;
    if (tss_read(cpu, &d->seg, &t) || task_leave(cpu, d, why))
        return STEP_FAULT;
    if (why == TASK_CALL || why == TASK_EVENT)
        t.eflags |= FLAG_NT;
    cpu->tr = d->seg;
    cpu->tr.attr |= 2; /* busy */
    if ((cpu->cr0 & CR0_PG) && layout_of(d->seg.attr)->width == 4 &&
        cr3_load(cpu, t.cr3))
        cpu->exc = (struct exc){
            .vector = EXC_TS, .has_error = true, .error = SEL_ERR(d->seg.sel)};
    else
        return task_enter(cpu, &t, d, error);
    load_registers(cpu, &t);
    return task_fault(cpu);
}

enum step task_switch_sel(struct vcpu *cpu, uint16_t sel, unsigned vector,
                          enum task_reason why, const uint32_t *error,
                          unsigned ext)
{
    struct desc d;

    if (SEL_NULL(sel) || (sel & SEL_TI))
        return raise_error(cpu, vector, SEL_ERR(sel) | ext);
    if (desc_load(cpu, sel, vector, ext, &d) ||
        task_check(cpu, &d, why, vector, ext))
        return STEP_FAULT;
    return task_switch(cpu, &d, why, error, ext);
}
