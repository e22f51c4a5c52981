/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sem_io.c - IN, OUT, INS, OUTS. [SDM 1 chapter 19]
 *
 * A repeated string instruction commits each element; when somebody wants
 * the vCPU it stops between two with RIP on itself, as hardware does.
 */
#include <Zydis/Zydis.h>

#include "x86/cpuid.h"
#include "x86/flags.h"
#include "x86/segment.h"
#include "x86/sem.h"
#include "x86/trace.h"

#define TSS_IOMAP 102u /* offset of the bitmap's offset */

/* Two bytes are read at once, as hardware does: hence the byte of ones. */
static int bitmap_check(struct vcpu *cpu, uint16_t port, unsigned width)
{
    uint32_t attr = cpu->tr.attr;
    uint64_t at, bits;

    if (SEG_TYPE(attr) != DESC_TSS_BUSY && SEG_TYPE(attr) != DESC_TSS)
        return raise_gp(cpu, 0);
    if (cpu->tr.limit < TSS_IOMAP + 1)
        return raise_gp(cpu, 0);
    if (sys_load(cpu, cpu->tr.base + TSS_IOMAP, 2, &at))
        return STEP_FAULT;
    at += port / 8;
    if (at + 1 > cpu->tr.limit)
        return raise_gp(cpu, 0);
    if (sys_load(cpu, cpu->tr.base + at, 2, &bits))
        return STEP_FAULT;
    if (bits >> (port & 7) & ((1u << width) - 1))
        return raise_gp(cpu, 0);
    return 0;
}

static int port_check(struct vcpu *cpu, uint16_t port, unsigned width)
{
    if (vcpu_real(cpu))
        return 0;
    if (!vcpu_vm86(cpu) && cpu->cpl <= (cpu->rflags & FLAG_IOPL) >> 12)
        return 0;
    return bitmap_check(cpu, port, width);
}

static void port_trace(struct vcpu *cpu, uint16_t port, unsigned width,
                       bool write, uint64_t val)
{
    if (trace_on(cpu, TRACE_IO))
        trace_io(cpu, TRACE_PORT, io_name(cpu->mem, IO_PORT, port), port, width,
                 write, val);
}

uint64_t port_in(struct vcpu *cpu, uint16_t port, unsigned width)
{
    uint64_t t0 = stats_begin(&cpu->stats), val;

    val = io_read(cpu->mem, IO_PORT, port, width);
    stats_count(&cpu->stats, CTR_PIO, t0);
    port_trace(cpu, port, width, false, val);
    return val;
}

void port_out(struct vcpu *cpu, uint16_t port, unsigned width, uint64_t val)
{
    uint64_t t0;

    port_trace(cpu, port, width, true, val);
    t0 = stats_begin(&cpu->stats);
    io_write(cpu->mem, IO_PORT, port, width, val & width_mask(width));
    stats_count(&cpu->stats, CTR_PIO, t0);
}

/* An immediate operand, or DX. */
static uint16_t port_number(const struct vcpu *cpu, const struct insn *in,
                            unsigned which)
{
    return which == OPND_IMM ? in->imm & 0xff : (uint16_t)cpu->gpr[R_RDX];
}

static enum step sem_in(struct vcpu *cpu, const struct insn *in)
{
    uint16_t port = port_number(cpu, in, in->src);

    if (port_check(cpu, port, in->width))
        return STEP_FAULT;
    reg_set(cpu, R_RAX, in->width, port_in(cpu, port, in->width));
    return STEP_SYNC;
}

static enum step sem_out(struct vcpu *cpu, const struct insn *in)
{
    uint16_t port = port_number(cpu, in, in->dst);

    if (port_check(cpu, port, in->width))
        return STEP_FAULT;
    port_out(cpu, port, in->width, reg_get(cpu, R_RAX, in->width));
    return STEP_SYNC;
}

/* --- strings; sub: element size --- */

/* An index or count register, as wide as addresses are. */
static void reg_add(struct vcpu *cpu, unsigned reg, unsigned awidth, uint64_t n)
{
    reg_set(cpu, reg, awidth, reg_get(cpu, reg, awidth) + n);
}

static uint64_t string_step(const struct vcpu *cpu, unsigned width)
{
    return cpu->rflags & FLAG_DF ? -(uint64_t)width : width;
}

static int ins_one(struct vcpu *cpu, const struct insn *in)
{
    uint16_t port = (uint16_t)cpu->gpr[R_RDX];
    struct ref dst;

    if (ref_open_at(cpu, SEG_ES, reg_get(cpu, R_RDI, in->awidth), in->sub,
                    REF_RW, &dst))
        return STEP_FAULT;
    ref_set(&dst, port_in(cpu, port, in->sub));
    reg_add(cpu, R_RDI, in->awidth, string_step(cpu, in->sub));
    return 0;
}

static int outs_one(struct vcpu *cpu, const struct insn *in)
{
    uint64_t v;

    if (mem_load(cpu, in->seg, reg_get(cpu, R_RSI, in->awidth), in->sub, &v))
        return STEP_FAULT;
    port_out(cpu, (uint16_t)cpu->gpr[R_RDX], in->sub, v);
    reg_add(cpu, R_RSI, in->awidth, string_step(cpu, in->sub));
    return 0;
}

static enum step string_io(struct vcpu *cpu, const struct insn *in,
                           int (*one)(struct vcpu *, const struct insn *))
{
    if (port_check(cpu, (uint16_t)cpu->gpr[R_RDX], in->sub))
        return STEP_FAULT;
    if (!(in->flags & (INSN_REP | INSN_REPNE | INSN_REPZ_ANY)))
        return one(cpu, in) ? STEP_FAULT : STEP_SYNC;
    while (reg_get(cpu, R_RCX, in->awidth)) {
        if (one(cpu, in))
            return STEP_FAULT; /* of this element; the others are done */
        reg_add(cpu, R_RCX, in->awidth, ~0ull);
        if (vcpu_attn(cpu) && reg_get(cpu, R_RCX, in->awidth)) {
            cpu->rip = insn_rip(cpu, in);
            return STEP_JUMP;
        }
    }
    return STEP_SYNC;
}

static enum step sem_ins(struct vcpu *cpu, const struct insn *in)
{
    return string_io(cpu, in, ins_one);
}

static enum step sem_outs(struct vcpu *cpu, const struct insn *in)
{
    return string_io(cpu, in, outs_one);
}

const struct sem_entry sem_io_table[] = {
    {ZYDIS_MNEMONIC_IN, INSN_SYNC, sem_in, 0, false},
    {ZYDIS_MNEMONIC_OUT, INSN_SYNC, sem_out, 0, false},
    {ZYDIS_MNEMONIC_INSB, INSN_JUMP | INSN_SYNC, sem_ins, 1, false},
    {ZYDIS_MNEMONIC_INSW, INSN_JUMP | INSN_SYNC, sem_ins, 2, false},
    {ZYDIS_MNEMONIC_INSD, INSN_JUMP | INSN_SYNC, sem_ins, 4, false},
    {ZYDIS_MNEMONIC_OUTSB, INSN_JUMP | INSN_SYNC, sem_outs, 1, false},
    {ZYDIS_MNEMONIC_OUTSW, INSN_JUMP | INSN_SYNC, sem_outs, 2, false},
    {ZYDIS_MNEMONIC_OUTSD, INSN_JUMP | INSN_SYNC, sem_outs, 4, false},
    {0, 0, NULL, 0, false},
};
