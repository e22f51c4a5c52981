/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gdb_monitor.c - what the debugger's `monitor` offers: what registers and
 * memory do not show, and the machine's buttons.
 */
#include "machine/gdb_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inspect/crash.h"
#include "x86/flags.h"
#include "x86/msr.h"
#include "x86/walk.h"

typedef unsigned long long ull;

static const char *const seg_names[SEG_COUNT] = {"es", "cs", "ss",
                                                 "ds", "fs", "gs"};

static void monitor_seg(struct gdb *g, const char *name, const struct seg *s)
{
    gdb_print(g, "%-4s %04x base %016llx limit %08x attr %05x\n", name, s->sel,
              (ull)s->base, s->limit, s->attr);
}

/* --- commands; `arg` is what follows the name --- */

static void monitor_registers(struct gdb *g, const char *arg)
{
    struct vcpu *cpu = gdb_vcpu(g);
    unsigned i;

    (void)arg;
    gdb_print(g, "vCPU %u, CPL %u, %s code%s%s\n", cpu->index, cpu->cpl,
              cpu->code_width == 8   ? "64-bit"
              : cpu->code_width == 4 ? "32-bit"
                                     : "16-bit",
              cpu->halted ? ", halted" : "",
              cpu->wait_sipi ? ", waits for its start-up" : "");
    for (i = 0; i < 16; i += 4)
        gdb_print(g, "%-3s %016llx %-3s %016llx %-3s %016llx %-3s %016llx\n",
                  vcpu_gpr_names[i], (ull)cpu->gpr[i], vcpu_gpr_names[i + 1],
                  (ull)cpu->gpr[i + 1], vcpu_gpr_names[i + 2],
                  (ull)cpu->gpr[i + 2], vcpu_gpr_names[i + 3],
                  (ull)cpu->gpr[i + 3]);
    gdb_print(g, "rip %016llx rflags %08llx\n", (ull)cpu->rip,
              (ull)flags_get(cpu));
    for (i = 0; i < SEG_COUNT; i++)
        monitor_seg(g, seg_names[i], &cpu->seg[i]);
    monitor_seg(g, "ldtr", &cpu->ldtr);
    monitor_seg(g, "tr", &cpu->tr);
    gdb_print(g, "gdtr %016llx %04x\nidtr %016llx %04x\n", (ull)cpu->gdtr.base,
              cpu->gdtr.limit, (ull)cpu->idtr.base, cpu->idtr.limit);
    gdb_print(g, "cr0 %llx cr2 %llx cr3 %llx cr4 %llx efer %llx xcr0 %llx\n",
              (ull)cpu->cr0, (ull)cpu->cr2, (ull)cpu->cr3, (ull)cpu->cr4,
              (ull)cpu->msr.efer, (ull)cpu->xcr0);
    gdb_print(g, "dr0 %llx dr1 %llx dr2 %llx dr3 %llx dr6 %llx dr7 %llx\n",
              (ull)cpu->dr[0], (ull)cpu->dr[1], (ull)cpu->dr[2],
              (ull)cpu->dr[3], (ull)cpu->dr6, (ull)cpu->dr7);
}

/* A C number, as gdb's own prompt takes it. */
static bool monitor_number(const char **p, uint64_t *v)
{
    char *end;

    *v = strtoull(*p, &end, 0);
    if (end == *p || (*end && *end != ' '))
        return false;
    *p = end;
    return true;
}

/* MSRs of the local APIC take the device lock themselves. */
static void monitor_rdmsr(struct gdb *g, const char *arg)
{
    uint64_t n, v = 0;
    bool good;

    if (!monitor_number(&arg, &n)) {
        gdb_print(g, "usage: rdmsr NUMBER\n");
        return;
    }
    loop_unlock(&g->m->loop);
    good = n <= UINT32_MAX && msr_read(gdb_vcpu(g), (uint32_t)n, &v);
    loop_lock(&g->m->loop);
    if (good)
        gdb_print(g, "msr %llx = %016llx\n", (ull)n, (ull)v);
    else
        gdb_print(g, "msr %llx: RDMSR would be #GP\n", (ull)n);
}

static void monitor_wrmsr(struct gdb *g, const char *arg)
{
    uint64_t n, v;
    bool good;

    if (!monitor_number(&arg, &n) || !monitor_number(&arg, &v)) {
        gdb_print(g, "usage: wrmsr NUMBER VALUE\n");
        return;
    }
    loop_unlock(&g->m->loop);
    good = n <= UINT32_MAX && msr_write(gdb_vcpu(g), (uint32_t)n, v);
    loop_lock(&g->m->loop);
    if (!good)
        gdb_print(g, "msr %llx: WRMSR of that would be #GP\n", (ull)n);
}

static void monitor_mapping(struct gdb *g, gva_t from, gva_t to,
                            const struct walk *w)
{
    gdb_print(g, "%016llx-%016llx -> %012llx %c%c%c%c\n", (ull)from, (ull)to,
              (ull)w->gpa, w->rights & PAGE_U ? 'u' : '-',
              w->rights & PAGE_W ? 'w' : '-', w->rights & PAGE_NX ? '-' : 'x',
              w->rights & PAGE_GLOBAL ? 'g' : '-');
}

static void monitor_line(void *g, const char *text)
{
    gdb_print(g, "%s\n", text);
}

static void monitor_walk(struct gdb *g, const char *arg)
{
    const struct crash_sink to = {monitor_line, g};
    uint64_t gva;

    if (monitor_number(&arg, &gva))
        crash_walk(&to, gdb_vcpu(g), gva);
    else
        gdb_print(g, "usage: walk ADDRESS\n");
}

static void monitor_tlb(struct gdb *g, const char *arg)
{
    uint64_t gva, size;
    struct walk w;
    unsigned lines;

    if (!monitor_number(&arg, &gva)) {
        gdb_print(g, "usage: info tlb ADDRESS: 32 mappings from there on\n");
        return;
    }
    for (lines = 0; lines < 32; lines++, gva += size) {
        size = PAGE_SIZE;
        gva &= ~PAGE_OFFSET;
        if (!vcpu_long_mode(gdb_vcpu(g)))
            gva &= 0xffffffff;
        if (walk_peek(gdb_vcpu(g), gva, &w)) {
            size = w.size - (gva & (w.size - 1));
            monitor_mapping(g, gva, gva + size - 1, &w);
        } else {
            gdb_print(g, "%016llx is not mapped\n", (ull)gva);
        }
    }
}

static void monitor_symbol_at(struct gdb *g, const struct symbols *syms,
                              const char *arg)
{
    char name[600];
    uint64_t addr;

    if (!monitor_number(&arg, &addr))
        gdb_print(g, "%s: not a number; give 0x... or a name\n", arg);
    else if (symbols_name(syms, addr, name, sizeof(name)))
        gdb_print(g, "0x%llx = %s\n", (ull)addr, name);
    else
        gdb_print(g, "0x%llx: no symbol is near\n", (ull)addr);
}

/* For those who have no vmlinux to give to gdb. */
static void monitor_symbol(struct gdb *g, const char *arg)
{
    const struct symbols *syms = machine_symbols(g->m, gdb_vcpu(g));
    uint64_t addr;

    arg += strspn(arg, " ");
    if (!*arg)
        gdb_print(g, "usage: symbol NAME|ADDRESS\n");
    else if (!syms)
        gdb_print(g, "no kernel with symbols is in memory (yet)\n");
    else if (*arg >= '0' && *arg <= '9')
        monitor_symbol_at(g, syms, arg);
    else if (symbols_find(syms, arg, &addr))
        gdb_print(g, "%s = 0x%llx\n", arg, (ull)addr);
    else
        gdb_print(g, "%s: not among the kernel's %u symbols\n", arg,
                  symbols_count(syms));
}

/* As the crash screen has it. */
static void monitor_stack(struct gdb *g, const char *arg)
{
    const struct crash_sink to = {monitor_line, g};

    (void)arg;
    crash_stack(&to, gdb_vcpu(g), machine_symbols(g->m, gdb_vcpu(g)));
}

static void monitor_history(struct gdb *g, const char *arg)
{
    const struct crash_sink to = {monitor_line, g};

    (void)arg;
    crash_history(&to, gdb_vcpu(g), machine_symbols(g->m, gdb_vcpu(g)));
}

static void monitor_reset(struct gdb *g, const char *arg)
{
    (void)arg;
    machine_request(g->m, MACHINE_RESET, 0);
}

static void monitor_powerdown(struct gdb *g, const char *arg)
{
    (void)arg;
    if (!acpi_pm_power_button(&g->m->pm))
        gdb_print(g, "the guest does not listen to the power button\n");
}

static void monitor_help(struct gdb *g, const char *arg);

static const struct {
    const char *name, *usage, *summary;
    void (*run)(struct gdb *g, const char *arg);
} commands[] = {
    {"help", "", "this text", monitor_help},
    {"info registers", "", "all of the selected vCPU", monitor_registers},
    {"info tlb", " ADDRESS", "what is mapped from there on", monitor_tlb},
    {"walk", " ADDRESS", "where a linear address leads", monitor_walk},
    {"symbol", " NAME|ADDRESS", "a kernel's name or address, out of its memory",
     monitor_symbol},
    {"stack", "", "return addresses on the stack, with names", monitor_stack},
    {"history", "", "the last exceptions and branches", monitor_history},
    {"rdmsr", " NUMBER", "a model-specific register", monitor_rdmsr},
    {"wrmsr", " NUMBER VALUE", "changes one", monitor_wrmsr},
    {"system_reset", "", "the reset button", monitor_reset},
    {"system_powerdown", "", "the power button", monitor_powerdown},
};

static void monitor_help(struct gdb *g, const char *arg)
{
    unsigned i;

    (void)arg;
    for (i = 0; i < ARRAY_SIZE(commands); i++)
        gdb_print(g, "%s%s: %s\n", commands[i].name, commands[i].usage,
                  commands[i].summary);
}

void gdb_monitor(struct gdb *g, char *line)
{
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(commands); i++) {
        size_t n = strlen(commands[i].name);

        if (strncmp(line, commands[i].name, n) || (line[n] && line[n] != ' '))
            continue;
        commands[i].run(g, line + n);
        gdb_send(g, "OK");
        return;
    }
    gdb_print(g, "no such command; try `monitor help'\n");
    gdb_send(g, "OK");
}
