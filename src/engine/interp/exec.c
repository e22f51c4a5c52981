/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec.c - running an instruction by its semantic function.
 */
#include "engine/interp/interp_int.h"

#include "x86/debug.h"
#include "x86/exit.h"
#include "x86/trace.h"

static const struct insn *leave(struct vcpu *cpu, const struct insn *in,
                                enum leave why)
{
    cpu->budget -= in->place;
    cpu->in_block = 0;
    interp_of(cpu)->leave = why;
    return NULL;
}

/* It did not complete: a fault, or a REP that is to go on. */
static const struct insn *leave_before(struct vcpu *cpu, const struct insn *in,
                                       enum leave why)
{
    cpu->budget++;
    return leave(cpu, in, why);
}

static const struct insn *jumped(struct vcpu *cpu, const struct insn *in)
{
    if (insn_unfinished(cpu, in))
        return leave_before(cpu, in, LEAVE_AGAIN);
    history_branch(&cpu->history, insn_rip(cpu, in), cpu->rip);
    if (unlikely(cpu->break_block))
        return leave(cpu, in, LEAVE_AGAIN);
    cpu->budget -= in->place;
    return exec_dispatch(cpu);
}

/* What the semantic function said, where it was not STEP_NEXT. */
static const struct insn *after(struct vcpu *cpu, const struct insn *in,
                                enum step step)
{
    switch (step) {
    case STEP_NEXT: /* but it dropped code, perhaps this block's */
    case STEP_SYNC:
        cpu->rip = insn_next_rip(cpu, in);
        return leave(cpu, in, LEAVE_AGAIN);
    case STEP_JUMP:
        return jumped(cpu, in);
    case STEP_FAULT:
        cpu->rip = insn_rip(cpu, in);
        return leave_before(cpu, in, LEAVE_FAULT);
    case STEP_HALT:
        return leave(cpu, in, LEAVE_HALT);
    default:
        return leave(cpu, in, LEAVE_STOP);
    }
}

/* Where it is, for whoever asks while it runs; RIP only if it is traced. */
static inline void placed(struct vcpu *cpu, const struct insn *in)
{
    cpu->in_block = (uint8_t)(in->place - 1);
    if (trace_on(cpu, TRACE_ALL))
        cpu->rip = insn_rip(cpu, in);
}

const struct insn *exec_generic(struct vcpu *cpu, const struct insn *in)
{
    enum step step;

    placed(cpu, in);
    step = in->sem(cpu, in);
    if (likely(step == STEP_NEXT && !cpu->break_block))
        NEXT(cpu, in);
    return after(cpu, in, step);
}

const struct insn *exec_exit(struct vcpu *cpu, const struct insn *in)
{
    enum step step;

    placed(cpu, in);
    step = exit_run(cpu, in);
    if (likely(step == STEP_NEXT && !cpu->break_block))
        NEXT(cpu, in);
    return after(cpu, in, step);
}

const struct insn *exec_traced(struct vcpu *cpu, const struct insn *in)
{
    placed(cpu, in);
    trace_insn(cpu, in);
    return in->exit ? exec_exit(cpu, in) : exec_generic(cpu, in);
}

const struct insn *exec_head(struct vcpu *cpu, const struct insn *in)
{
    cpu->rip = cpu->gpr[R_PAGE] + in->next;
    cpu->in_block = 0;
    trace_block(cpu, (unsigned)in->imm, (unsigned)in->disp);
    NEXT(cpu, in);
}

/* Not an instruction: the block ended for lack of room. */
const struct insn *exec_sentinel(struct vcpu *cpu, const struct insn *in)
{
    cpu->rip = cpu->gpr[R_PAGE] + in->next;
    if (cpu->code_width != 8)
        cpu->rip &= width_mask(4);
    cpu->budget -= in->place;
    return exec_dispatch(cpu);
}

const struct insn *exec_guard(struct vcpu *cpu, const struct insn *in)
{
    const struct tlb_entry *e;
    gva_t lin;

    cpu->rip = insn_rip(cpu, in + 1); /* linked branches leave it stale */
    lin = (code_linear(cpu) & ~PAGE_OFFSET) + PAGE_SIZE;
    e = tlb_slot(cpu, lin);
    if (likely(e->tag_x == tlb_want(cpu, lin, 1) && lin + e->addend == in->imm))
        NEXT(cpu, in);
    /* not known to be mapped, or something else: from scratch */
    return leave(cpu, in, LEAVE_SINGLE);
}

const struct insn *exec_break(struct vcpu *cpu, const struct insn *in)
{
    cpu->rip = insn_rip(cpu, in + 1); /* linked branches leave it stale */
    if (likely(!debug_breaks(cpu, code_linear_wrapped(cpu))))
        NEXT(cpu, in);
    return leave(cpu, in, LEAVE_BREAK);
}
