/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace.c - makes events of what the trace points tell.
 */
#include "x86/trace.h"

#include <string.h>

void trace_init(struct vcpu *cpu, struct tracer *t, uint32_t cats)
{
    cpu->tracer = t;
    cpu->trace = cats;
    atomic_store(&cpu->trace_next, cats);
    if (cpu->mmu)
        cpu->mmu->select(cpu);
}

void trace_set(struct vcpu *cpu, uint32_t cats)
{
    atomic_store(&cpu->trace_next, cats);
    vcpu_attn_set(cpu, ATTN_TRACE);
}

bool trace_take(struct vcpu *cpu)
{
    uint32_t cats;

    vcpu_attn_clear(cpu, ATTN_TRACE); /* before the look: pairs with _set() */
    cats = atomic_load(&cpu->trace_next);
    if (cats == cpu->trace)
        return false;
    cpu->trace = cats;
    cpu->mmu->select(cpu);
    return true;
}

static gva_t linear(const struct vcpu *cpu, uint64_t rip)
{
    gva_t pc = rip + cpu->seg_base[SEG_CS];

    return cpu->code_width == 8 ? pc : pc & 0xffffffff;
}

/* Begins an event about addr; false: nobody wants it. */
static bool begin_at(struct vcpu *cpu, enum trace_cat cat, uint64_t rip,
                     gva_t addr, struct trace_event *e)
{
    struct tracer *t = cpu->tracer;

    e->insns = vcpu_insns(cpu);
    if (e->insns < t->start || addr < t->lo || addr > t->hi)
        return false;
    e->cat = cat;
    e->what = TRACE_PLAIN;
    e->ns = t->now(t);
    e->rip = rip;
    e->pc = linear(cpu, rip);
    e->addr = addr;
    return true;
}

/* About the instruction itself. */
static bool begin(struct vcpu *cpu, enum trace_cat cat, uint64_t rip,
                  struct trace_event *e)
{
    return begin_at(cpu, cat, rip, linear(cpu, rip), e);
}

static void event_end(struct vcpu *cpu, const struct trace_event *e)
{
    cpu->tracer->emit(cpu->tracer, cpu, e);
}

void trace_insn(struct vcpu *cpu, const struct insn *in)
{
    struct trace_event e;

    if (!begin(cpu, TRACE_INSN, insn_rip(cpu, in), &e))
        return;
    e.exit.in = in;
    event_end(cpu, &e);
}

void trace_block(struct vcpu *cpu, unsigned count, unsigned bytes)
{
    struct trace_event e;

    if (!begin(cpu, TRACE_BLOCK, cpu->rip, &e))
        return;
    e.block.count = count;
    e.block.bytes = bytes;
    event_end(cpu, &e);
}

void trace_left(struct vcpu *cpu, const char *why)
{
    struct trace_event e;

    if (!begin(cpu, TRACE_EXIT, cpu->rip, &e))
        return;
    e.what = TRACE_LEFT;
    e.name = why;
    event_end(cpu, &e);
}

void trace_woke(struct vcpu *cpu)
{
    struct trace_event e;

    if (!begin(cpu, TRACE_EXIT, cpu->rip, &e))
        return;
    e.what = TRACE_WOKE;
    event_end(cpu, &e);
}

void trace_intr(struct vcpu *cpu, enum trace_what what, unsigned vector)
{
    struct trace_event e;

    if (!begin(cpu, TRACE_INTR, cpu->rip, &e))
        return;
    e.what = what;
    e.vector = vector;
    event_end(cpu, &e);
}

void trace_exc(struct vcpu *cpu, const struct exc *exc)
{
    struct trace_event e;

    if (!begin(cpu, TRACE_EXC, cpu->rip, &e))
        return;
    e.exc = *exc;
    event_end(cpu, &e);
}

void trace_io(struct vcpu *cpu, enum trace_what what, const char *device,
              uint64_t addr, unsigned width, bool write, uint64_t value)
{
    struct trace_event e;

    if (!begin_at(cpu, TRACE_IO, cpu->rip, addr, &e))
        return;
    e.what = what;
    e.io.device = device;
    e.io.width = width;
    e.io.write = write;
    e.io.value = value & width_mask(width);
    event_end(cpu, &e);
}

void trace_mem(struct vcpu *cpu, gva_t gva, const void *bytes, unsigned size,
               bool write, bool system)
{
    struct trace_event e;

    if (!begin_at(cpu, TRACE_MEM, cpu->rip, gva, &e))
        return;
    e.mem.size = size;
    e.mem.write = write;
    e.mem.system = system;
    memcpy(e.mem.bytes, bytes, MIN(size, TRACE_BYTES));
    event_end(cpu, &e);
}

void trace_walk(struct vcpu *cpu, gva_t gva, unsigned access,
                const struct walk_steps *steps, const struct walk *found)
{
    struct trace_event e;

    if (!begin(cpu, TRACE_WALK, cpu->rip, &e))
        return;
    e.walk.gva = gva;
    e.walk.access = access;
    e.walk.steps = *steps;
    e.walk.fault = !found;
    if (found)
        e.walk.found = *found;
    event_end(cpu, &e);
}

bool trace_exit_begin(struct vcpu *cpu, const struct insn *in,
                      struct trace_event *e)
{
    if (!begin(cpu, TRACE_EXIT, insn_rip(cpu, in), e))
        return false;
    e->exit.in = in;
    e->exit.rax = cpu->gpr[R_RAX];
    e->exit.rcx = cpu->gpr[R_RCX];
    e->exit.rdx = cpu->gpr[R_RDX];
    return true;
}

void trace_exit_end(struct vcpu *cpu, struct trace_event *e, bool fault)
{
    e->exit.fault = fault;
    event_end(cpu, e);
}
