/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace_event.c - what an event says, as a name and fields, for every format.
 *
 * On the vCPU's thread, right where it happened: what an instruction left in
 * the registers is still there.
 */
#include "inspect/trace_int.h"

#include <stdio.h>
#include <string.h>

#include "inspect/disasm.h"
#include "x86/peek.h"
#include "x86/access.h"
#include "x86/exception.h"
#include "x86/exit.h"

static void field(struct trace_desc *d, const char *key,
                  enum trace_field_kind kind, uint64_t value, const char *text)
{
    if (d->fields < TRACE_FIELDS)
        d->field[d->fields++] = (struct trace_field){key, kind, value, text};
}

static void hex(struct trace_desc *d, const char *key, uint64_t value)
{
    field(d, key, FIELD_HEX, value, NULL);
}

static void dec(struct trace_desc *d, const char *key, uint64_t value)
{
    field(d, key, FIELD_DEC, value, NULL);
}

static void word(struct trace_desc *d, const char *key, const char *text)
{
    field(d, key, FIELD_TEXT, 0, text);
}

/* Bytes as two digits each; sep: between them, or 0. */
static void bytes(struct trace_desc *d, const char *key, const uint8_t *p,
                  unsigned n, char sep)
{
    static const char digits[] = "0123456789abcdef";
    char *text = d->text + d->text_len, *out = text;

    for (unsigned i = 0; i < n && d->text_len + 4 < sizeof(d->text); i++) {
        if (i && sep)
            *out++ = sep;
        *out++ = digits[p[i] >> 4];
        *out++ = digits[p[i] & 15];
        d->text_len = (size_t)(out - d->text);
    }
    *out = '\0';
    d->text_len++;
    word(d, key, text);
}

/* --- exceptions --- */

static void describe_exc(struct trace_desc *d, const struct trace_event *e)
{
    snprintf(d->name, sizeof(d->name), "%s", exc_name(e->exc.vector));
    dec(d, "vector", e->exc.vector);
    if (e->exc.has_error)
        hex(d, "error", e->exc.error);
    if (e->exc.vector == EXC_PF)
        hex(d, "cr2", e->exc.cr2);
    if (e->exc.vector == EXC_DB)
        hex(d, "dr6", e->exc.dr6);
}

static void describe_intr(struct trace_desc *d, const struct trace_event *e)
{
    static const char *const names[TRACE_WHATS] = {[TRACE_HARD] = "interrupt",
                                                   [TRACE_NMI] = "nmi",
                                                   [TRACE_INIT] = "init",
                                                   [TRACE_SIPI] = "sipi",
                                                   [TRACE_SOFT] = "int"};

    snprintf(d->name, sizeof(d->name), "%s", names[e->what]);
    if (e->what != TRACE_NMI && e->what != TRACE_INIT)
        hex(d, "vector", e->vector);
}

/* --- exits --- */

static void exit_msr(struct trace_desc *d, const struct vcpu *cpu,
                     const struct trace_event *e, bool write)
{
    hex(d, "msr", (uint32_t)e->exit.rcx);
    if (write)
        hex(d, "value", (uint32_t)e->exit.rax | e->exit.rdx << 32);
    else if (!e->exit.fault)
        hex(d, "value", (uint32_t)cpu->gpr[R_RAX] | cpu->gpr[R_RDX] << 32);
}

static void exit_cpuid(struct trace_desc *d, const struct vcpu *cpu,
                       const struct trace_event *e)
{
    hex(d, "leaf", (uint32_t)e->exit.rax);
    hex(d, "subleaf", (uint32_t)e->exit.rcx);
    hex(d, "eax", cpu->gpr[R_RAX]);
    hex(d, "ebx", cpu->gpr[R_RBX]);
    hex(d, "ecx", cpu->gpr[R_RCX]);
    hex(d, "edx", cpu->gpr[R_RDX]);
}

/* MOV to and from control and debug registers. */
static void exit_move(struct trace_desc *d, const struct vcpu *cpu,
                      const struct trace_event *e, bool from)
{
    const struct insn *in = e->exit.in;
    bool debug = in->exit == EXIT_MOV_TO_DR || in->exit == EXIT_MOV_FROM_DR;

    dec(d, debug ? "dr" : "cr", in->reg);
    if (!from || !e->exit.fault)
        hex(d, "value", reg_get(cpu, in->rm, cpu->code_width == 8 ? 8 : 4));
}

static void exit_table(struct trace_desc *d, const struct desc_table *t)
{
    hex(d, "base", t->base);
    hex(d, "limit", t->limit);
}

static void exit_port(struct trace_desc *d, const struct vcpu *cpu,
                      const struct trace_event *e)
{
    const struct insn *in = e->exit.in;
    bool out = in->exit == EXIT_OUT;
    unsigned which = out ? in->dst : in->src;

    hex(d, "port", which == OPND_IMM ? in->imm & 0xff : (uint16_t)e->exit.rdx);
    dec(d, "width", in->width);
    if (out || !e->exit.fault)
        hex(d, "value", reg_get(cpu, R_RAX, in->width));
}

static void exit_string(struct trace_desc *d, const struct trace_event *e)
{
    const struct insn *in = e->exit.in;

    hex(d, "port", (uint16_t)e->exit.rdx);
    dec(d, "width", in->sub);
    if (in->flags & (INSN_REP | INSN_REPNE | INSN_REPZ_ANY))
        dec(d, "count", e->exit.rcx & width_mask(in->awidth));
}

static void exit_fields(struct trace_desc *d, const struct vcpu *cpu,
                        const struct trace_event *e)
{
    const struct insn *in = e->exit.in;

    switch ((enum exit_reason)in->exit) {
    case EXIT_CPUID:
        exit_cpuid(d, cpu, e);
        break;
    case EXIT_RDMSR:
    case EXIT_WRMSR:
        exit_msr(d, cpu, e, in->exit == EXIT_WRMSR);
        break;
    case EXIT_MOV_TO_CR:
    case EXIT_MOV_TO_DR:
        exit_move(d, cpu, e, false);
        break;
    case EXIT_MOV_FROM_CR:
    case EXIT_MOV_FROM_DR:
        exit_move(d, cpu, e, true);
        break;
    case EXIT_INVLPG:
        hex(d, "addr", insn_ea(cpu, in) + cpu->seg_base[in->seg]);
        break;
    case EXIT_INVPCID:
        dec(d, "type", reg_get(cpu, in->reg, cpu->code_width == 8 ? 8 : 4));
        break;
    case EXIT_RDTSC:
    case EXIT_RDTSCP:
        if (!e->exit.fault)
            hex(d, "value", (uint32_t)cpu->gpr[R_RAX] | cpu->gpr[R_RDX] << 32);
        break;
    case EXIT_XSETBV:
        hex(d, "xcr", (uint32_t)e->exit.rcx);
        hex(d, "value", (uint32_t)e->exit.rax | e->exit.rdx << 32);
        break;
    case EXIT_LGDT:
    case EXIT_SGDT:
        exit_table(d, &cpu->gdtr);
        break;
    case EXIT_LIDT:
    case EXIT_SIDT:
        exit_table(d, &cpu->idtr);
        break;
    case EXIT_LLDT:
    case EXIT_SLDT:
        hex(d, "selector", cpu->ldtr.sel);
        break;
    case EXIT_LTR:
    case EXIT_STR:
        hex(d, "selector", cpu->tr.sel);
        break;
    case EXIT_LMSW:
    case EXIT_CLTS:
        hex(d, "cr0", cpu->cr0);
        break;
    case EXIT_IN:
    case EXIT_OUT:
        exit_port(d, cpu, e);
        break;
    case EXIT_INS:
    case EXIT_OUTS:
        exit_string(d, e);
        break;
    default:
        break;
    }
}

static void describe_exit(struct trace_desc *d, const struct vcpu *cpu,
                          const struct trace_event *e)
{
    if (e->what == TRACE_LEFT) {
        snprintf(d->name, sizeof(d->name), "engine");
        word(d, "left", e->name);
    } else if (e->what == TRACE_WOKE) {
        snprintf(d->name, sizeof(d->name), "wake");
    } else {
        snprintf(d->name, sizeof(d->name), "%s", exit_name(e->exit.in->exit));
        exit_fields(d, cpu, e);
        if (e->exit.fault)
            word(d, "fault", exc_name(cpu->exc.vector));
    }
}

/* --- memory and devices --- */

/* Literal rights, as in rwx: the longest has its end. */
static void rights_text(struct trace_desc *d, const char *key, unsigned rights)
{
    char *text = d->text + d->text_len;

    if (d->text_len + 8 > sizeof(d->text))
        return;
    snprintf(text, 8, "r%c%c%c%c%c", rights & PAGE_W ? 'w' : '-',
             rights & PAGE_NX ? '-' : 'x', rights & PAGE_U ? 'u' : '-',
             rights & PAGE_DIRTY ? 'd' : '-', rights & PAGE_GLOBAL ? 'g' : '-');
    d->text_len += 8;
    word(d, key, text);
}

static void describe_walk(struct trace_desc *d, const struct vcpu *cpu,
                          const struct trace_event *e)
{
    /* from the leaf up, as the manual names them; the root is the last */
    static const char *const names[WALK_LEVELS] = {"pml4e", "pdpte", "pde",
                                                   "pte"};
    const struct walk_steps *s = &e->walk.steps;
    unsigned access = e->walk.access;
    unsigned first = vcpu_long_mode(cpu) ? 0 : 2;

    snprintf(d->name, sizeof(d->name), "%s%s",
             access & ACC_SYSTEM ? "system-" : "",
             access & ACC_FETCH   ? "fetch"
             : access & ACC_WRITE ? "write"
                                  : "read");
    hex(d, "addr", e->walk.gva);
    for (unsigned i = 0; i < s->n && first + i < WALK_LEVELS; i++)
        hex(d, names[first + i], s->entry[i]);
    if (e->walk.fault) {
        word(d, "fault", exc_name(cpu->exc.vector));
        hex(d, "error", cpu->exc.error);
        return;
    }
    hex(d, "gpa", e->walk.found.gpa);
    hex(d, "size", e->walk.found.size);
    rights_text(d, "rights", e->walk.found.rights);
}

static void describe_io(struct trace_desc *d, const struct trace_event *e)
{
    snprintf(d->name, sizeof(d->name), "%s-%s",
             e->what == TRACE_PORT ? "port" : "mmio",
             e->io.write ? "write" : "read");
    hex(d, e->what == TRACE_PORT ? "port" : "addr", e->addr);
    dec(d, "width", e->io.width);
    hex(d, "value", e->io.value);
    word(d, "device", e->io.device ? e->io.device : "none");
}

static void describe_mem(struct trace_desc *d, const struct trace_event *e)
{
    uint64_t v = 0;

    snprintf(d->name, sizeof(d->name), "%s%s", e->mem.system ? "system-" : "",
             e->mem.write ? "write" : "read");
    hex(d, "addr", e->addr);
    dec(d, "size", e->mem.size);
    if (e->mem.size > 8) {
        bytes(d, "bytes", e->mem.bytes, e->mem.size, 0);
        return;
    }
    memcpy(&v, e->mem.bytes, e->mem.size);
    hex(d, "value", v);
}

/* --- instructions --- */

static void describe_insn(struct trace_desc *d, struct vcpu *cpu,
                          const struct trace_event *e,
                          const struct symbols *syms)
{
    uint8_t code[15];
    unsigned n = (unsigned)peek(cpu, e->pc, code, e->exit.in->len);

    disasm(d->name, sizeof(d->name), code, n, cpu->code_width, e->rip, syms);
    bytes(d, "code", code, n, ' ');
}

static void describe_block(struct trace_desc *d, const struct trace_event *e)
{
    snprintf(d->name, sizeof(d->name), "enter");
    dec(d, "insns", e->block.count);
    dec(d, "bytes", e->block.bytes);
}

/* "64:3", "32:0", "16:0", "real", "vm86" */
static void mode_text(char mode[8], const struct vcpu *cpu)
{
    if (vcpu_real(cpu))
        strcpy(mode, "real");
    else if (vcpu_vm86(cpu))
        strcpy(mode, "vm86");
    else
        snprintf(mode, 8, "%u:%u", (cpu->code_width & 15) * 8, cpu->cpl & 3);
}

/* Names come from the guest: nothing of them steers a terminal. */
static void clean(char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~')
            *text = '?';
}

void trace_describe(struct trace_desc *d, struct vcpu *cpu,
                    const struct trace_event *e, const struct symbols *syms)
{
    d->fields = 0;
    d->text_len = 0;
    mode_text(d->mode, cpu);
    symbols_name(syms, e->pc, d->symbol, sizeof(d->symbol));
    switch (e->cat) {
    case TRACE_INSN:
        describe_insn(d, cpu, e, syms);
        break;
    case TRACE_BLOCK:
        describe_block(d, e);
        break;
    case TRACE_EXIT:
        describe_exit(d, cpu, e);
        break;
    case TRACE_INTR:
        describe_intr(d, e);
        break;
    case TRACE_EXC:
        describe_exc(d, e);
        break;
    case TRACE_WALK:
        describe_walk(d, cpu, e);
        break;
    case TRACE_IO:
        describe_io(d, e);
        break;
    default:
        describe_mem(d, e);
        break;
    }
    clean(d->symbol);
    clean(d->name);
}
