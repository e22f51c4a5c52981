/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sem_far.c - transfers that change CS: far JMP, CALL, RET, IRET, INT, and
 *             the fast system calls. [SDM 2, each; SDM 3A 5.8]
 *
 * Every function reads and checks all of the target before it writes a
 * register. CS, SS and CPL are always committed together, and
 * vcpu_update_mode() comes last.
 */
#include <Zydis/Zydis.h>

#include "x86/exception.h"
#include "x86/flags.h"
#include "x86/sem.h"
#include "x86/task.h"
#include "x86/trace.h"

/* A far transfer under way. */
struct far {
    uint16_t sel;
    uint64_t off;
    unsigned width; /* operand size */
    uint64_t ret;   /* RIP behind the instruction */
    bool call;
};

/* --- shared --- */

static int far_target(struct vcpu *cpu, const struct insn *in, struct far *f)
{
    uint64_t ea, sel;

    f->width = in->width;
    f->ret = insn_next_rip(cpu, in);
    if (!(in->flags & INSN_MEM)) {
        f->off = in->imm & width_mask(in->width);
        f->sel = (uint16_t)in->disp;
        return 0;
    }
    ea = insn_ea(cpu, in);
    if (mem_load(cpu, in->seg, ea, in->width, &f->off) ||
        mem_load(cpu, in->seg, (ea + in->width) & width_mask(in->awidth), 2,
                 &sel))
        return STEP_FAULT;
    f->sel = (uint16_t)sel;
    return 0;
}

/* CS with a new RPL, and RIP. */
static enum step commit_cs(struct vcpu *cpu, const struct seg *cs, unsigned cpl,
                           uint64_t rip)
{
    cpu->seg[SEG_CS] = *cs;
    cpu->seg[SEG_CS].sel = (uint16_t)(SEL_ERR(cs->sel) | cpl);
    cpu->cpl = (uint8_t)cpl;
    cpu->rip = rip;
    vcpu_update_mode(cpu);
    return STEP_JUMP;
}

static int push_return(struct vcpu *cpu, struct far_stack *st, unsigned width,
                       uint64_t rip)
{
    return far_push(st, width, cpu->seg[SEG_CS].sel) || far_push(st, width, rip)
               ? STEP_FAULT
               : 0;
}

/* --- JMP and CALL --- */

static enum step far_real(struct vcpu *cpu, const struct far *f)
{
    struct far_stack st = far_stack_here(cpu, 0);

    if (f->call && push_return(cpu, &st, f->width, f->ret))
        return STEP_FAULT;
    if (f->off > cpu->seg[SEG_CS].limit)
        return raise_gp(cpu, 0);
    if (f->call)
        far_stack_commit(&st);
    seg_commit_cs16(cpu, f->sel);
    cpu->rip = f->off;
    return STEP_JUMP;
}

/* A code segment for a transfer that stays at this privilege level. */
static int code_check_same(struct vcpu *cpu, const struct desc *d, bool rpl)
{
    uint32_t a = d->seg.attr;
    unsigned err = SEL_ERR(d->seg.sel);

    if (vcpu_long_mode(cpu) && (a & SEG_L) && (a & SEG_DB))
        return raise_gp(cpu, err);
    if (seg_is_conforming(a)) {
        if (SEG_DPL(a) > cpu->cpl)
            return raise_gp(cpu, err);
    } else if (SEG_DPL(a) != cpu->cpl ||
               (rpl && SEL_RPL(d->seg.sel) > cpu->cpl)) {
        return raise_gp(cpu, err);
    }
    return a & SEG_P ? 0 : raise_error(cpu, EXC_NP, err);
}

static enum step far_code(struct vcpu *cpu, const struct far *f, struct desc *d,
                          bool rpl)
{
    struct far_stack st = far_stack_here(cpu, 0);

    if (code_check_same(cpu, d, rpl))
        return STEP_FAULT;
    if (f->call && push_return(cpu, &st, f->width, f->ret))
        return STEP_FAULT;
    if (code_target_check(cpu, &d->seg, f->off, 0) ||
        desc_mark_accessed(cpu, d))
        return STEP_FAULT;
    if (f->call)
        far_stack_commit(&st);
    return commit_cs(cpu, &d->seg, cpu->cpl, f->off);
}

/* --- call gates --- */

struct call_gate {
    uint16_t sel;
    uint64_t off;
    unsigned width, params;
};

static int call_gate_load(struct vcpu *cpu, struct desc *d, struct call_gate *g)
{
    unsigned type = SEG_TYPE(d->seg.attr);
    uint64_t high;

    g->sel = (uint16_t)(d->raw >> 16);
    g->params = d->raw >> 32 & 31;
    g->off = (d->raw & 0xffff) | (d->raw >> 32 & 0xffff0000);
    g->width = type == DESC_CALL16 ? 2 : 4;
    if (type == DESC_CALL16)
        g->off &= 0xffff;
    if (!vcpu_long_mode(cpu))
        return 0;
    if (desc_load_high(cpu, d, EXC_GP, 0))
        return STEP_FAULT;
    if (sys_load(cpu, d->addr + 8, 4, &high))
        return STEP_FAULT;
    g->off |= high << 32;
    g->width = 8;
    g->params = 0;
    return 0;
}

static int gate_code(struct vcpu *cpu, const struct call_gate *g,
                     struct desc *cs)
{
    uint32_t a;

    if (SEL_NULL(g->sel))
        return raise_gp(cpu, 0);
    if (desc_load(cpu, g->sel, EXC_GP, 0, cs))
        return STEP_FAULT;
    a = cs->seg.attr;
    if (!seg_is_code(a) || SEG_DPL(a) > cpu->cpl)
        return raise_gp(cpu, SEL_ERR(g->sel));
    if (vcpu_long_mode(cpu) && (a & (SEG_L | SEG_DB)) != SEG_L)
        return raise_gp(cpu, SEL_ERR(g->sel));
    return a & SEG_P ? 0 : raise_error(cpu, EXC_NP, SEL_ERR(g->sel));
}

/* The inner stack and, copied from the outer one, the parameters. */
static int gate_stack(struct vcpu *cpu, const struct call_gate *g, unsigned cpl,
                      struct far_stack *st, uint64_t *params)
{
    struct far_stack old = far_stack_here(cpu, 0);
    struct seg ss;
    uint16_t sel;
    uint32_t esp;

    if (g->width == 8) {
        *st = (struct far_stack){.cpu = cpu,
                                 .ss = seg_null((uint16_t)cpl),
                                 .mask = ~0ull,
                                 .flat = true};
        return tss_stack64(cpu, cpl, 0, &st->sp);
    }
    if (tss_stack(cpu, cpl, 0, &sel, &esp) ||
        seg_prepare_ss(cpu, sel, cpl, EXC_TS, 0, &ss))
        return STEP_FAULT;
    *st = far_stack_new(cpu, &ss, esp, SEL_ERR(sel));
    for (unsigned i = 0; i < g->params; i++)
        if (far_peek(&old, i * g->width, g->width, &params[i]))
            return STEP_FAULT;
    return 0;
}

static int gate_push(struct vcpu *cpu, const struct far *f,
                     const struct call_gate *g, struct far_stack *st,
                     const uint64_t *params)
{
    if (far_push(st, g->width, cpu->seg[SEG_SS].sel) ||
        far_push(st, g->width, cpu->gpr[R_RSP]))
        return STEP_FAULT;
    for (unsigned i = g->params; i-- > 0;)
        if (far_push(st, g->width, params[i]))
            return STEP_FAULT;
    return push_return(cpu, st, g->width, f->ret);
}

static enum step gate_inner(struct vcpu *cpu, const struct far *f,
                            const struct call_gate *g, struct desc *cs)
{
    unsigned old = cpu->cpl, cpl = SEG_DPL(cs->seg.attr);
    struct far_stack st;
    uint64_t params[32];

    if (gate_stack(cpu, g, cpl, &st, params) ||
        code_target_check(cpu, &cs->seg, g->off, 0) ||
        desc_mark_accessed(cpu, cs))
        return STEP_FAULT;
    cpl_switch(cpu, cpl);
    if (gate_push(cpu, f, g, &st, params)) {
        cpl_switch(cpu, old);
        return STEP_FAULT;
    }
    cpu->seg[SEG_SS] = st.ss;
    far_stack_commit(&st);
    return commit_cs(cpu, &cs->seg, cpl, g->off);
}

static enum step far_call_gate(struct vcpu *cpu, const struct far *f,
                               struct desc *d)
{
    struct call_gate g;
    struct far inner = *f;
    struct desc cs;

    if (call_gate_load(cpu, d, &g) || gate_code(cpu, &g, &cs))
        return STEP_FAULT;
    if (f->call && !seg_is_conforming(cs.seg.attr) &&
        SEG_DPL(cs.seg.attr) < cpu->cpl)
        return gate_inner(cpu, f, &g, &cs);
    inner.off = g.off;
    inner.width = g.width;
    return far_code(cpu, &inner, &cs, false);
}

/* --- system descriptors --- */

static enum step far_task(struct vcpu *cpu, const struct far *f, struct desc *d)
{
    enum task_reason why = f->call ? TASK_CALL : TASK_JMP;
    uint64_t rip = cpu->rip;
    enum step s;

    cpu->rip = f->ret;
    if (SEG_TYPE(d->seg.attr) == DESC_TASK)
        s = task_switch_sel(cpu, (uint16_t)(d->raw >> 16), EXC_GP, why, NULL,
                            0);
    else
        s = task_switch(cpu, d, why, NULL, 0);
    if (s == STEP_FAULT)
        cpu->rip = rip;
    return s;
}

static enum step far_system(struct vcpu *cpu, const struct far *f,
                            struct desc *d)
{
    unsigned type = SEG_TYPE(d->seg.attr), dpl = SEG_DPL(d->seg.attr);
    bool gate = type == DESC_CALL || type == DESC_CALL16;
    bool task = type == DESC_TASK || type == DESC_TSS || type == DESC_TSS16;

    if (vcpu_long_mode(cpu) ? type != DESC_CALL : !gate && !task)
        return raise_gp(cpu, SEL_ERR(f->sel));
    if (dpl < cpu->cpl || SEL_RPL(f->sel) > dpl)
        return raise_gp(cpu, SEL_ERR(f->sel));
    if (!(d->seg.attr & SEG_P))
        return raise_error(cpu, EXC_NP, SEL_ERR(f->sel));
    return gate ? far_call_gate(cpu, f, d) : far_task(cpu, f, d);
}

static enum step far_transfer(struct vcpu *cpu, const struct insn *in,
                              bool call)
{
    struct far f = {.call = call};
    struct desc d;

    if (far_target(cpu, in, &f))
        return STEP_FAULT;
    if (!vcpu_protected(cpu))
        return far_real(cpu, &f);
    if (SEL_NULL(f.sel))
        return raise_gp(cpu, 0);
    if (desc_load(cpu, f.sel, EXC_GP, 0, &d))
        return STEP_FAULT;
    if (!(d.seg.attr & SEG_S))
        return far_system(cpu, &f, &d);
    if (!seg_is_code(d.seg.attr))
        return raise_gp(cpu, SEL_ERR(f.sel));
    return far_code(cpu, &f, &d, true);
}

enum step sem_jmp_far(struct vcpu *cpu, const struct insn *in)
{
    return far_transfer(cpu, in, false);
}

enum step sem_call_far(struct vcpu *cpu, const struct insn *in)
{
    return far_transfer(cpu, in, true);
}

/* --- RET and IRET --- */

/* Data segments that the outer level may not use become null. */
static void segs_invalidate(struct vcpu *cpu, unsigned cpl)
{
    static const uint8_t data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};

    for (unsigned i = 0; i < ARRAY_SIZE(data); i++) {
        uint32_t a = cpu->seg[data[i]].attr;
        struct seg null = seg_null(0);

        if ((a & SEG_UNUSABLE) || SEG_DPL(a) >= cpl)
            continue;
        if (seg_is_code(a) && seg_is_conforming(a))
            continue;
        /* Intel's CPUs keep the base of FS and GS in 64-bit mode */
        null.base = vcpu_long_mode(cpu) ? cpu->seg[data[i]].base : 0;
        seg_commit(cpu, data[i], &null);
    }
}

/* The code segment that RET or IRET goes back to. */
static int return_code(struct vcpu *cpu, uint16_t sel, uint64_t rip,
                       struct desc *d)
{
    unsigned rpl = SEL_RPL(sel), err = SEL_ERR(sel);
    uint32_t a;

    if (SEL_NULL(sel))
        return raise_gp(cpu, 0);
    if (desc_load(cpu, sel, EXC_GP, 0, d))
        return STEP_FAULT;
    a = d->seg.attr;
    if (!seg_is_code(a) || rpl < cpu->cpl)
        return raise_gp(cpu, err);
    if (vcpu_long_mode(cpu) && (a & SEG_L) && (a & SEG_DB))
        return raise_gp(cpu, err);
    if (seg_is_conforming(a) ? SEG_DPL(a) > rpl : SEG_DPL(a) != rpl)
        return raise_gp(cpu, err);
    if (!(a & SEG_P))
        return raise_error(cpu, EXC_NP, err);
    return code_target_check(cpu, &d->seg, rip, 0) || desc_mark_accessed(cpu, d)
               ? STEP_FAULT
               : 0;
}

/* The stack segment of the level that is returned to. */
static int return_stack(struct vcpu *cpu, uint16_t sel, const struct desc *cs,
                        struct seg *ss)
{
    unsigned rpl = SEL_RPL(cs->seg.sel);

    if (SEL_NULL(sel) && vcpu_long_mode(cpu) && (cs->seg.attr & SEG_L) &&
        rpl != 3 && SEL_RPL(sel) == rpl) {
        *ss = seg_null(sel);
        return 0;
    }
    return seg_prepare_ss(cpu, sel, rpl, EXC_GP, 0, ss);
}

/* SP as wide as the code and stack that are returned to make it. */
static void return_sp(struct vcpu *cpu, const struct desc *cs,
                      const struct seg *ss, uint64_t sp)
{
    uint64_t *rsp = &cpu->gpr[R_RSP];

    if (vcpu_long_mode(cpu) && (cs->seg.attr & SEG_L))
        *rsp = sp;
    else if (ss->attr & SEG_DB)
        *rsp = (uint32_t)sp;
    else
        *rsp = (*rsp & ~0xffffull) | (sp & 0xffff);
}

static enum step ret_real(struct vcpu *cpu, const struct insn *in)
{
    struct far_stack st = far_stack_here(cpu, 0);
    uint64_t rip, sel;

    if (far_pop(&st, in->width, &rip) || far_pop(&st, in->width, &sel))
        return STEP_FAULT;
    if (rip > cpu->seg[SEG_CS].limit)
        return raise_gp(cpu, 0);
    st.sp += in->imm & 0xffff;
    far_stack_commit(&st);
    seg_commit_cs16(cpu, (uint16_t)sel);
    cpu->rip = rip;
    return STEP_JUMP;
}

enum step sem_ret_far(struct vcpu *cpu, const struct insn *in)
{
    struct far_stack st = far_stack_here(cpu, 0);
    unsigned release = in->imm & 0xffff, rpl;
    uint64_t rip, sel, sp, ss_sel;
    struct desc cs;
    struct seg ss;

    if (!vcpu_protected(cpu))
        return ret_real(cpu, in);
    if (far_pop(&st, in->width, &rip) || far_pop(&st, in->width, &sel))
        return STEP_FAULT;
    if (return_code(cpu, (uint16_t)sel, rip, &cs))
        return STEP_FAULT;
    st.sp += release;
    rpl = SEL_RPL(sel);
    if (rpl == cpu->cpl) {
        far_stack_commit(&st);
        return commit_cs(cpu, &cs.seg, rpl, rip);
    }
    if (far_pop(&st, in->width, &sp) || far_pop(&st, in->width, &ss_sel) ||
        return_stack(cpu, (uint16_t)ss_sel, &cs, &ss))
        return STEP_FAULT;
    cpu->seg[SEG_SS] = ss;
    return_sp(cpu, &cs, &ss, sp + release);
    segs_invalidate(cpu, rpl);
    return commit_cs(cpu, &cs.seg, rpl, rip);
}

/* Which bits of RFLAGS an IRET or POPF of this width and privilege changes. */
uint64_t flags_writable(const struct vcpu *cpu, unsigned width)
{
    uint64_t m = FLAG_STATUS | FLAG_TF | FLAG_DF | FLAG_NT;

    if (vcpu_protected(cpu)) {
        if (cpu->cpl == 0)
            m |= FLAG_IOPL;
        if (cpu->cpl <= (cpu->rflags & FLAG_IOPL) >> 12)
            m |= FLAG_IF;
    } else {
        m |= FLAG_IF | (vcpu_real(cpu) ? FLAG_IOPL : 0);
    }
    if (width > 2)
        m |= FLAG_AC | FLAG_ID;
    return m;
}

static uint64_t iret_mask(const struct vcpu *cpu, unsigned width)
{
    uint64_t m = flags_writable(cpu, width);

    if (width > 2) {
        m |= FLAG_RF;
        if (vcpu_protected(cpu) && cpu->cpl == 0)
            m |= FLAG_VIF | FLAG_VIP;
    }
    return m;
}

static void iret_flags(struct vcpu *cpu, uint64_t mask, uint64_t val)
{
    flags_sync(cpu);
    /* without breakpoints nobody can see RF, and nobody would clear it */
    if (!(cpu->dr7 & 0xff))
        val &= ~FLAG_RF;
    cpu->rflags = (cpu->rflags & ~mask) | (val & mask) | FLAG_FIXED;
}

static enum step iret_real(struct vcpu *cpu, unsigned width)
{
    struct far_stack st = far_stack_here(cpu, 0);
    uint64_t rip, sel, flags;

    if (vcpu_vm86(cpu) && (cpu->rflags & FLAG_IOPL) != FLAG_IOPL)
        return raise_gp(cpu, 0);
    if (far_pop(&st, width, &rip) || far_pop(&st, width, &sel) ||
        far_pop(&st, width, &flags))
        return STEP_FAULT;
    if (rip > cpu->seg[SEG_CS].limit)
        return raise_gp(cpu, 0);
    iret_flags(cpu, iret_mask(cpu, width), flags);
    far_stack_commit(&st);
    seg_commit_cs16(cpu, (uint16_t)sel);
    cpu->rip = rip;
    cpu->nmi_blocked = false;
    vcpu_update_mode(cpu);
    return STEP_JUMP;
}

static enum step iret_vm86(struct vcpu *cpu, struct far_stack *st, uint64_t rip,
                           uint64_t cs, uint64_t flags)
{
    static const uint8_t order[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    uint64_t sp, sel[1 + ARRAY_SIZE(order)];
    struct seg s;

    if (far_pop(st, 4, &sp) || far_pop(st, 4, &sel[0]))
        return STEP_FAULT;
    for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
        if (far_pop(st, 4, &sel[1 + i]))
            return STEP_FAULT;
    iret_flags(cpu, 0x3fffd5 & ~FLAG_FIXED, flags);
    for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
        s = seg_flat16((uint16_t)sel[1 + i], SEG_ATTR_VM86);
        cpu->seg[order[i]] = s;
    }
    cpu->seg[SEG_SS] = seg_flat16((uint16_t)sel[0], SEG_ATTR_VM86);
    cpu->seg[SEG_CS] = seg_flat16((uint16_t)cs, SEG_ATTR_VM86);
    cpu->gpr[R_RSP] = (uint32_t)sp;
    cpu->rip = rip & 0xffff;
    cpu->cpl = 3;
    cpu->nmi_blocked = false;
    vcpu_update_mode(cpu);
    return STEP_JUMP;
}

/* NT: back to the task that called this one. */
static enum step iret_task(struct vcpu *cpu, const struct insn *in)
{
    uint64_t link, rip = cpu->rip;
    enum step s;

    if (vcpu_long_mode(cpu))
        return raise_gp(cpu, 0);
    if (sys_load(cpu, cpu->tr.base & 0xffffffff, 2, &link))
        return STEP_FAULT;
    cpu->rip = insn_next_rip(cpu, in);
    s = task_switch_sel(cpu, (uint16_t)link, EXC_TS, TASK_IRET, NULL, 0);
    if (s == STEP_FAULT)
        cpu->rip = rip;
    else
        cpu->nmi_blocked = false;
    return s;
}

static enum step iret_protected(struct vcpu *cpu, const struct insn *in,
                                unsigned width)
{
    struct far_stack st = far_stack_here(cpu, 0);
    uint64_t rip, sel, flags, sp = 0, ss_sel = 0, mask;
    bool outer, with_ss;
    struct desc cs;
    struct seg ss;

    if (cpu->rflags & FLAG_NT)
        return iret_task(cpu, in);
    if (far_pop(&st, width, &rip) || far_pop(&st, width, &sel) ||
        far_pop(&st, width, &flags))
        return STEP_FAULT;
    if ((flags & FLAG_VM) && width == 4 && cpu->cpl == 0 &&
        !vcpu_long_mode(cpu))
        return iret_vm86(cpu, &st, rip, sel, flags);
    if (return_code(cpu, (uint16_t)sel, rip, &cs))
        return STEP_FAULT;
    outer = SEL_RPL(sel) != cpu->cpl;
    with_ss = outer || cpu->code_width == 8;
    if (with_ss && (far_pop(&st, width, &sp) || far_pop(&st, width, &ss_sel) ||
                    return_stack(cpu, (uint16_t)ss_sel, &cs, &ss)))
        return STEP_FAULT;

    mask = iret_mask(cpu, width);
    if (with_ss) {
        cpu->seg[SEG_SS] = ss;
        return_sp(cpu, &cs, &ss, sp);
    } else {
        far_stack_commit(&st);
    }
    if (outer)
        segs_invalidate(cpu, SEL_RPL(sel));
    iret_flags(cpu, mask, flags);
    cpu->nmi_blocked = false;
    return commit_cs(cpu, &cs.seg, SEL_RPL(sel), rip);
}

/* sub: operand size in bytes. */
static enum step sem_iret(struct vcpu *cpu, const struct insn *in)
{
    if (vcpu_protected(cpu))
        return iret_protected(cpu, in, in->sub);
    return iret_real(cpu, in->sub);
}

/* --- INT --- */

static enum step int_n(struct vcpu *cpu, const struct insn *in, unsigned vector,
                       enum event_kind kind)
{
    cpu->stats.count[CTR_SOFT_INT]++;
    if (trace_on(cpu, TRACE_INTR)) {
        cpu->rip = insn_rip(cpu, in);
        trace_intr(cpu, TRACE_SOFT, vector);
    }
    return intr_software(cpu, vector, insn_next_rip(cpu, in), kind);
}

static enum step sem_int(struct vcpu *cpu, const struct insn *in)
{
    /* without VME, vm86 needs IOPL 3 [SDM 3A 20.3.3] */
    if (vcpu_vm86(cpu) && (cpu->rflags & FLAG_IOPL) != FLAG_IOPL)
        return raise_gp(cpu, 0);
    return int_n(cpu, in, in->imm & 0xff, EVENT_SOFT);
}

static enum step sem_int3(struct vcpu *cpu, const struct insn *in)
{
    return int_n(cpu, in, EXC_BP, EVENT_SOFT);
}

static enum step sem_into(struct vcpu *cpu, const struct insn *in)
{
    if (!(flags_get(cpu) & FLAG_OF))
        return STEP_NEXT;
    return int_n(cpu, in, EXC_OF, EVENT_SOFT);
}

/* A trap without DPL check; DR6 stays [SDM 3B 17.3.1.1]. */
static enum step sem_int1(struct vcpu *cpu, const struct insn *in)
{
    return int_n(cpu, in, EXC_DB, EVENT_EXC);
}

/* --- SYSCALL, SYSENTER and their returns --- */

/*
 * SYSCALL and SYSRET trap by the TF they leave, not the one they found: so a
 * kernel masks it with SFMASK, and the trap comes as if of the SYSCALL.
 */
static void trap_by_new_tf(struct vcpu *cpu)
{
    if (!(cpu->rflags & FLAG_TF))
        return;
    cpu->db_pending = true;
    cpu->db_bits |= BIT(14);
}

/* Flat code and stack; the tables are not looked at. */
static enum step flat_transfer(struct vcpu *cpu, uint16_t cs, uint16_t ss,
                               bool wide, unsigned cpl, uint64_t rip)
{
    uint32_t dpl = cpl ? SEG_ATTR_DPL3 : 0;

    cpu->seg[SEG_CS] =
        (struct seg){.sel = (uint16_t)(SEL_ERR(cs) | cpl),
                     .attr = dpl | (wide ? SEG_ATTR_CODE64 : SEG_ATTR_CODE32),
                     .limit = 0xffffffff};
    cpu->seg[SEG_SS] = (struct seg){.sel = (uint16_t)(SEL_ERR(ss) | cpl),
                                    .attr = dpl | SEG_ATTR_DATA32,
                                    .limit = 0xffffffff};
    cpu->cpl = (uint8_t)cpl;
    cpu->rip = rip;
    vcpu_update_mode(cpu);
    return STEP_JUMP;
}

static enum step sem_syscall(struct vcpu *cpu, const struct insn *in)
{
    uint16_t sel = (uint16_t)(cpu->msr.star >> 32);

    if (cpu->code_width != 8 || !(cpu->msr.efer & EFER_SCE))
        return raise_ud(cpu);
    flags_sync(cpu);
    cpu->gpr[R_RCX] = insn_next_rip(cpu, in);
    cpu->gpr[R_R11] = cpu->rflags & ~FLAG_RF;
    cpu->rflags &= ~(cpu->msr.sfmask | FLAG_RF);
    cpu->rflags |= FLAG_FIXED;
    trap_by_new_tf(cpu);
    return flat_transfer(cpu, sel, (uint16_t)(SEL_ERR(sel) + 8), true, 0,
                         cpu->msr.lstar);
}

static enum step sem_sysret(struct vcpu *cpu, const struct insn *in)
{
    uint16_t sel = (uint16_t)(cpu->msr.star >> 48);
    bool wide = in->width == 8;
    uint64_t rip = cpu->gpr[R_RCX];

    if (cpu->code_width != 8 || !(cpu->msr.efer & EFER_SCE))
        return raise_ud(cpu);
    if (cpu->cpl != 0)
        return raise_gp(cpu, 0);
    /* Intel checks here, at CPL 0, and not at the target */
    if (wide && !gva_canonical(rip))
        return raise_gp(cpu, 0);
    flags_set(cpu, FLAG_STATUS, cpu->gpr[R_R11]);
    cpu->rflags = (cpu->gpr[R_R11] & 0x3c7fd7) | FLAG_FIXED;
    trap_by_new_tf(cpu);
    return flat_transfer(cpu, (uint16_t)(sel + (wide ? 16 : 0)),
                         (uint16_t)(sel + 8), wide, 3,
                         wide ? rip : (uint32_t)rip);
}

static enum step sem_sysenter(struct vcpu *cpu, const struct insn *in)
{
    uint16_t sel = (uint16_t)cpu->msr.sysenter_cs;
    bool wide = vcpu_long_mode(cpu);
    uint64_t mask = wide ? ~0ull : 0xffffffffull;

    (void)in;
    if (vcpu_real(cpu) || SEL_NULL(sel))
        return raise_gp(cpu, 0);
    flags_sync(cpu);
    cpu->rflags &= ~(FLAG_VM | FLAG_IF | FLAG_RF);
    cpu->gpr[R_RSP] = cpu->msr.sysenter_esp & mask;
    return flat_transfer(cpu, sel, (uint16_t)(SEL_ERR(sel) + 8), wide, 0,
                         cpu->msr.sysenter_eip & mask);
}

static enum step sem_sysexit(struct vcpu *cpu, const struct insn *in)
{
    uint16_t sel = (uint16_t)cpu->msr.sysenter_cs;
    bool wide = in->width == 8;
    uint64_t mask = wide ? ~0ull : 0xffffffffull;

    if (vcpu_real(cpu) || SEL_NULL(sel) || cpu->cpl != 0 || vcpu_vm86(cpu))
        return raise_gp(cpu, 0);
    if (wide &&
        (!gva_canonical(cpu->gpr[R_RCX]) || !gva_canonical(cpu->gpr[R_RDX])))
        return raise_gp(cpu, 0);
    cpu->gpr[R_RSP] = cpu->gpr[R_RCX] & mask;
    return flat_transfer(cpu, (uint16_t)(sel + (wide ? 32 : 16)),
                         (uint16_t)(sel + (wide ? 40 : 24)), wide, 3,
                         cpu->gpr[R_RDX] & mask);
}

static enum step sem_swapgs(struct vcpu *cpu, const struct insn *in)
{
    uint64_t base = cpu->seg[SEG_GS].base;

    (void)in;
    if (cpu->code_width != 8)
        return raise_ud(cpu);
    if (cpu->cpl != 0)
        return raise_gp(cpu, 0);
    cpu->seg[SEG_GS].base = cpu->msr.kernel_gs_base;
    cpu->seg_base[SEG_GS] = cpu->msr.kernel_gs_base;
    cpu->msr.kernel_gs_base = base;
    return STEP_NEXT;
}

#define FAR (INSN_JUMP | INSN_SYNC)
/* An interrupt clears TF on its way: nothing is left that could trap. */
#define FAR_INT (FAR | INSN_NO_TRAP)

const struct sem_entry sem_far_table[] = {
    {ZYDIS_MNEMONIC_IRET, FAR, sem_iret, 2, false},
    {ZYDIS_MNEMONIC_IRETD, FAR, sem_iret, 4, false},
    {ZYDIS_MNEMONIC_IRETQ, FAR, sem_iret, 8, false},
    {ZYDIS_MNEMONIC_INT, FAR_INT, sem_int, 0, false},
    {ZYDIS_MNEMONIC_INT3, FAR_INT, sem_int3, 0, false},
    {ZYDIS_MNEMONIC_INTO, FAR_INT, sem_into, 0, false},
    {ZYDIS_MNEMONIC_INT1, FAR_INT, sem_int1, 0, false},
    {ZYDIS_MNEMONIC_SYSCALL, FAR_INT, sem_syscall, 0, false},
    {ZYDIS_MNEMONIC_SYSRET, FAR_INT, sem_sysret, 0, false},
    {ZYDIS_MNEMONIC_SYSENTER, FAR, sem_sysenter, 0, false},
    {ZYDIS_MNEMONIC_SYSEXIT, FAR, sem_sysexit, 0, false},
    {ZYDIS_MNEMONIC_SWAPGS, 0, sem_swapgs, 0, false},
    {0, 0, NULL, 0, false},
};
