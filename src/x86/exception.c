/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exception.c - delivery through IVT and IDT, in every mode.
 *               [SDM 3A chapter 6, 6.14 for 64-bit mode, 20.2 for vm86]
 *
 * One delivery is one attempt: every check and every push comes before the
 * first register changes, so that a fault on the way finds the interrupted
 * context whole. Only exc_deliver() loops, over at most a few faults.
 */
#include "x86/exception.h"

#include "base/log.h"
#include "x86/flags.h"
#include "x86/task.h"
#include "x86/trace.h"

/* An event on its way. */
struct event {
    unsigned vector;
    enum event_kind kind;
    bool has_error;
    uint32_t error;
    unsigned ext;   /* for error codes that come up on the way */
    uint64_t rip;   /* to be pushed */
    uint64_t flags; /* to be pushed */
};

/* A gate of the IDT, decoded. */
struct gate {
    unsigned type, dpl, ist;
    bool present;
    uint16_t sel;
    uint64_t off;
};

const char *exc_name(unsigned vector)
{
    static const char *const names[32] = {
        [EXC_DE] = "#DE", [EXC_DB] = "#DB", [EXC_NMI] = "NMI", [EXC_BP] = "#BP",
        [EXC_OF] = "#OF", [EXC_BR] = "#BR", [EXC_UD] = "#UD",  [EXC_NM] = "#NM",
        [EXC_DF] = "#DF", [EXC_TS] = "#TS", [EXC_NP] = "#NP",  [EXC_SS] = "#SS",
        [EXC_GP] = "#GP", [EXC_PF] = "#PF", [EXC_MF] = "#MF",  [EXC_AC] = "#AC",
        [EXC_MC] = "#MC", [EXC_XM] = "#XM",
    };

    return vector < 32 && names[vector] ? names[vector] : "#?";
}

/* --- classes --- */

enum exc_class exc_class(unsigned vector)
{
    switch (vector) {
    case EXC_DE:
    case EXC_TS:
    case EXC_NP:
    case EXC_SS:
    case EXC_GP:
        return EXC_CONTRIBUTORY;
    case EXC_PF:
        return EXC_PAGE_FAULT;
    case EXC_DF:
        return EXC_DOUBLE;
    default:
        return EXC_BENIGN;
    }
}

int exc_combine(unsigned first, unsigned second)
{
    enum exc_class a = exc_class(first), b = exc_class(second);

    if (a == EXC_DOUBLE && b != EXC_BENIGN)
        return -1;
    if (a == EXC_CONTRIBUTORY && b == EXC_CONTRIBUTORY)
        return EXC_DF;
    if (a == EXC_PAGE_FAULT && b != EXC_BENIGN)
        return EXC_DF;
    return (int)second;
}

bool exc_is_fault(unsigned vector)
{
    switch (vector) {
    case EXC_DB: /* those that are faults leave RF to the handler */
    case EXC_NMI:
    case EXC_BP:
    case EXC_OF:
    case EXC_DF:
    case EXC_MC:
        return false;
    default:
        return vector < 32;
    }
}

/* --- real mode --- */

static enum step deliver_real(struct vcpu *cpu, const struct event *ev)
{
    struct far_stack st = far_stack_here(cpu, 0);
    uint64_t vec;

    if (ev->vector * 4 + 3 > cpu->idtr.limit)
        return raise_gp(cpu, ev->vector * 8 + 2 + ev->ext);
    if (sys_load(cpu, (cpu->idtr.base + ev->vector * 4) & 0xffffffff, 4, &vec))
        return STEP_FAULT;
    if (far_push(&st, 2, ev->flags) || far_push(&st, 2, cpu->seg[SEG_CS].sel) ||
        far_push(&st, 2, ev->rip))
        return STEP_FAULT;
    far_stack_commit(&st);
    seg_commit_cs16(cpu, (uint16_t)(vec >> 16));
    cpu->rip = vec & 0xffff;
    cpu->rflags &= ~(FLAG_IF | FLAG_TF | FLAG_AC | FLAG_RF);
    return STEP_JUMP;
}

/* --- protected mode: the gate --- */

static unsigned gate_error(const struct event *ev)
{
    return ev->vector * 8 + 2 + ev->ext;
}

static int gate_load(struct vcpu *cpu, const struct event *ev, struct gate *g)
{
    unsigned size = vcpu_long_mode(cpu) ? 16 : 8;
    gva_t at = cpu->idtr.base + ev->vector * size;
    uint64_t lo, hi = 0;

    if (ev->vector * size + size - 1 > cpu->idtr.limit)
        return raise_gp(cpu, gate_error(ev));
    if (size == 8)
        at &= 0xffffffff;
    if (sys_load(cpu, at, 8, &lo))
        return STEP_FAULT;
    if (size == 16 && sys_load(cpu, at + 8, 8, &hi))
        return STEP_FAULT;
    g->type = lo >> 40 & 0x1f;
    g->dpl = lo >> 45 & 3;
    g->present = lo >> 47 & 1;
    g->ist = size == 16 ? lo >> 32 & 7 : 0;
    g->sel = (uint16_t)(lo >> 16);
    g->off = (lo & 0xffff) | (lo >> 32 & 0xffff0000) | hi << 32;
    if (g->type == DESC_INT16 || g->type == DESC_TRAP16)
        g->off &= 0xffff;
    return 0;
}

static bool gate_type_ok(const struct vcpu *cpu, unsigned type)
{
    if (type == DESC_INT || type == DESC_TRAP)
        return true;
    return !vcpu_long_mode(cpu) &&
           (type == DESC_TASK || type == DESC_INT16 || type == DESC_TRAP16);
}

static int gate_check(struct vcpu *cpu, const struct event *ev,
                      const struct gate *g)
{
    if (!gate_type_ok(cpu, g->type))
        return raise_gp(cpu, gate_error(ev));
    if (ev->kind == EVENT_SOFT && g->dpl < cpu->cpl)
        return raise_gp(cpu, gate_error(ev));
    if (!g->present)
        return raise_error(cpu, EXC_NP, gate_error(ev));
    return 0;
}

/* The handler's code segment, and the level it runs at. */
static int gate_target(struct vcpu *cpu, const struct event *ev,
                       const struct gate *g, struct desc *cs, unsigned *cpl)
{
    unsigned err = SEL_ERR(g->sel) | ev->ext;
    uint32_t a;

    if (SEL_NULL(g->sel))
        return raise_gp(cpu, ev->ext);
    if (desc_load(cpu, g->sel, EXC_GP, ev->ext, cs))
        return STEP_FAULT;
    a = cs->seg.attr;
    if (!seg_is_code(a) || SEG_DPL(a) > cpu->cpl)
        return raise_gp(cpu, err);
    if (vcpu_long_mode(cpu) && (a & (SEG_L | SEG_DB)) != SEG_L)
        return raise_gp(cpu, err);
    if (!(a & SEG_P))
        return raise_error(cpu, EXC_NP, err);
    *cpl = seg_is_conforming(a) ? cpu->cpl : SEG_DPL(a);
    if ((cpu->rflags & FLAG_VM) && *cpl != 0)
        return raise_gp(cpu, err);
    return 0;
}

/* --- protected mode: the new stack --- */

static int stack_select64(struct vcpu *cpu, const struct event *ev,
                          const struct gate *g, unsigned cpl,
                          struct far_stack *st)
{
    uint64_t rsp = cpu->gpr[R_RSP];

    if (g->ist) {
        if (tss_stack64(cpu, 2 + g->ist, ev->ext, &rsp))
            return STEP_FAULT;
    } else if (cpl != cpu->cpl) {
        if (tss_stack64(cpu, cpl, ev->ext, &rsp))
            return STEP_FAULT;
    }
    *st = (struct far_stack){.cpu = cpu,
                             .ss = cpu->seg[SEG_SS],
                             .sp = rsp & ~15ull,
                             .mask = ~0ull,
                             .flat = true,
                             .error = ev->ext};
    if (cpl != cpu->cpl)
        st->ss = seg_null((uint16_t)cpl);
    return 0;
}

static int stack_select(struct vcpu *cpu, const struct event *ev, unsigned cpl,
                        struct far_stack *st)
{
    struct seg ss;
    uint16_t sel;
    uint32_t esp;

    if (cpl == cpu->cpl) {
        *st = far_stack_here(cpu, ev->ext);
        return 0;
    }
    if (tss_stack(cpu, cpl, ev->ext, &sel, &esp) ||
        seg_prepare_ss(cpu, sel, cpl, EXC_TS, ev->ext, &ss))
        return STEP_FAULT;
    *st = far_stack_new(cpu, &ss, esp, SEL_ERR(sel) | ev->ext);
    return 0;
}

static int push_frame(struct vcpu *cpu, const struct event *ev,
                      struct far_stack *st, unsigned width, bool outer)
{
    uint64_t vm = cpu->rflags & FLAG_VM;
    uint64_t list[10];
    unsigned n = 0;

    if (vm) {
        list[n++] = cpu->seg[SEG_GS].sel;
        list[n++] = cpu->seg[SEG_FS].sel;
        list[n++] = cpu->seg[SEG_DS].sel;
        list[n++] = cpu->seg[SEG_ES].sel;
    }
    if (outer) {
        list[n++] = cpu->seg[SEG_SS].sel;
        list[n++] = cpu->gpr[R_RSP];
    }
    list[n++] = ev->flags;
    list[n++] = cpu->seg[SEG_CS].sel;
    list[n++] = ev->rip;
    if (ev->has_error)
        list[n++] = ev->error;
    for (unsigned i = 0; i < n; i++)
        if (far_push(st, width, list[i]))
            return STEP_FAULT;
    return 0;
}

static void leave_vm86(struct vcpu *cpu)
{
    static const uint8_t data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    struct seg null = seg_null(0);

    for (unsigned i = 0; i < ARRAY_SIZE(data); i++)
        seg_commit(cpu, data[i], &null);
}

static void commit_gate(struct vcpu *cpu, const struct gate *g,
                        const struct desc *cs, unsigned cpl,
                        const struct far_stack *st, unsigned old_cpl)
{
    if (cpu->rflags & FLAG_VM)
        leave_vm86(cpu);
    cpu->rflags &= ~(FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM);
    if (!(g->type & 1))
        cpu->rflags &= ~FLAG_IF;
    cpu->seg[SEG_CS] = cs->seg;
    cpu->seg[SEG_CS].sel = (uint16_t)(SEL_ERR(cs->seg.sel) | cpl);
    if (cpl != old_cpl)
        cpu->seg[SEG_SS] = st->ss;
    far_stack_commit(st);
    cpu->rip = g->off;
}

static enum step deliver_gate(struct vcpu *cpu, const struct event *ev,
                              const struct gate *g)
{
    unsigned width = vcpu_long_mode(cpu) ? 8 : g->type & 8 ? 4 : 2;
    unsigned cpl, old = cpu->cpl;
    struct far_stack st;
    struct desc cs;

    if (gate_target(cpu, ev, g, &cs, &cpl))
        return STEP_FAULT;
    if (width == 8 ? stack_select64(cpu, ev, g, cpl, &st)
                   : stack_select(cpu, ev, cpl, &st))
        return STEP_FAULT;
    if (code_target_check(cpu, &cs.seg, g->off, ev->ext) ||
        desc_mark_accessed(cpu, &cs))
        return STEP_FAULT;

    /* the frame is written with the handler's rights, not the guest's */
    cpl_switch(cpu, cpl);
    if (push_frame(cpu, ev, &st, width, width == 8 || cpl != old)) {
        cpl_switch(cpu, old);
        return STEP_FAULT;
    }
    commit_gate(cpu, g, &cs, cpl, &st, old);
    return STEP_JUMP;
}

static enum step deliver_task(struct vcpu *cpu, const struct event *ev,
                              const struct gate *g)
{
    cpu->rip = ev->rip;
    return task_switch_sel(cpu, g->sel, EXC_GP, TASK_EVENT,
                           ev->has_error ? &ev->error : NULL, ev->ext);
}

static enum step deliver_protected(struct vcpu *cpu, const struct event *ev)
{
    struct gate g;

    if (gate_load(cpu, ev, &g) || gate_check(cpu, ev, &g))
        return STEP_FAULT;
    if (g.type == DESC_TASK)
        return deliver_task(cpu, ev, &g);
    return deliver_gate(cpu, ev, &g);
}

/* One attempt. STEP_JUMP, or STEP_FAULT with the interrupted state intact. */
static enum step event_deliver(struct vcpu *cpu, struct event *ev)
{
    enum step s;

    flags_sync(cpu);
    ev->flags = cpu->rflags | FLAG_FIXED;
    if (ev->kind == EVENT_SOFT)
        ev->flags &= ~FLAG_RF;
    if (ev->kind == EVENT_EXC && exc_is_fault(ev->vector))
        ev->flags |= FLAG_RF;
    if (ev->kind == EVENT_EXC && ev->vector == EXC_DB &&
        (cpu->exc.dr6 & BIT(13)))
        ev->flags |= FLAG_RF; /* general detect: the #DB that is a fault */
    ev->ext = ev->kind != EVENT_SOFT;
    s = vcpu_real(cpu) ? deliver_real(cpu, ev) : deliver_protected(cpu, ev);
    if (s != STEP_JUMP)
        return s;
    history_branch(&cpu->history, ev->rip, cpu->rip);
    cpu->shadow = SHADOW_NONE;
    cpu->halted = false;
    vcpu_update_mode(cpu);
    return STEP_JUMP;
}

/* For the crash screen. */
static void exc_remember(struct vcpu *cpu, const struct exc *e)
{
    struct vcpu_history *h = &cpu->history;

    h->exc[h->excs++ % HISTORY_EXCEPTIONS] =
        (struct exc_record){.insns = vcpu_insns(cpu),
                            .rip = cpu->rip,
                            .cr2 = e->cr2,
                            .error = e->error,
                            .vector = e->vector,
                            .has_error = e->has_error};
}

static enum step triple_fault(struct vcpu *cpu)
{
    log_guest("vcpu %u: triple fault at %04x:%llx", cpu->index,
              cpu->seg[SEG_CS].sel, (unsigned long long)cpu->rip);
    cpu->shutdown = true;
    return STEP_STOP;
}

/* What an exception changes besides the stack. */
static void exc_side_effects(struct vcpu *cpu, const struct exc *e)
{
    if (e->vector == EXC_PF)
        cpu->cr2 = e->cr2;
    if (e->vector == EXC_DB) {
        cpu->dr6 |= e->dr6 & 0xe00f;
        if (cpu->dr7 & BIT(13)) { /* GD, so that the handler can */
            cpu->dr7 &= ~(uint64_t)BIT(13);
            vcpu_update_rflags(cpu);
        }
    }
}

/* One attempt, counted. */
static enum step exc_attempt(struct vcpu *cpu, struct event *ev)
{
    struct vcpu_stats *st = &cpu->stats;
    uint64_t t0 = stats_begin(st);
    enum step s = event_deliver(cpu, ev);

    stats_count(st, CTR_EXCEPTION, t0);
    stats_meter(st, &st->exception[ev->vector & 31], t0);
    return s;
}

enum step exc_deliver(struct vcpu *cpu)
{
    struct exc e = cpu->exc;
    enum step s;
    int next;

    /*
     * Contributory faults climb to a double fault by themselves; benign ones
     * (#AC on a misaligned stack) could come back for ever, so count.
     */
    for (unsigned tries = 0; tries < 8; tries++) {
        struct event ev = {.vector = e.vector,
                           .kind = EVENT_EXC,
                           .has_error = e.has_error,
                           .error = e.error,
                           .rip = cpu->rip};

        if (trace_on(cpu, TRACE_EXC))
            trace_exc(cpu, &e);
        exc_remember(cpu, &e);
        exc_side_effects(cpu, &e);
        s = exc_attempt(cpu, &ev);
        if (s != STEP_FAULT)
            return s;
        next = e.vector == EXC_DF ? -1 : exc_combine(e.vector, cpu->exc.vector);
        if (next < 0)
            break;
        if (next == EXC_DF) {
            exc_remember(cpu, &cpu->exc); /* what made it double */
            cpu->exc = (struct exc){.vector = EXC_DF, .has_error = true};
        }
        e = cpu->exc;
    }
    exc_remember(cpu, &cpu->exc);
    return triple_fault(cpu);
}

enum step intr_deliver(struct vcpu *cpu, unsigned vector)
{
    struct event ev = {.vector = vector, .kind = EVENT_HARD, .rip = cpu->rip};
    struct vcpu_stats *st = &cpu->stats;
    uint64_t t0 = stats_begin(st);
    enum step s;

    if (trace_on(cpu, TRACE_INTR))
        trace_intr(cpu, vector == EXC_NMI ? TRACE_NMI : TRACE_HARD, vector);
    if (vector == EXC_NMI)
        cpu->nmi_blocked = true;
    s = event_deliver(cpu, &ev);
    stats_count(st, vector == EXC_NMI ? CTR_NMI : CTR_INTERRUPT, t0);
    stats_meter(st, &st->interrupt[vector & 255], t0);
    return s == STEP_FAULT ? exc_deliver(cpu) : s;
}

enum step intr_software(struct vcpu *cpu, unsigned vector, uint64_t next_rip,
                        enum event_kind kind)
{
    struct event ev = {.vector = vector, .kind = kind, .rip = next_rip};

    return event_deliver(cpu, &ev);
}
