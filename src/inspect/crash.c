/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash.c - the crash screen's frame: its order, registers, and who is shown
 * when an assert fails.
 */
#include "inspect/crash_int.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "x86/flags.h"

typedef unsigned long long ull;

void crash_say(const struct crash_sink *to, const char *fmt, ...)
{
    char text[CRASH_COLUMNS + 1];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    to->line(to->ctx, text);
}

static int digits(const struct vcpu *cpu)
{
    return vcpu_long_mode(cpu) ? 16 : 8;
}

const char *crash_place(const struct vcpu *cpu, const struct symbols *syms,
                        uint64_t addr, char buf[CRASH_PLACE])
{
    char name[CRASH_PLACE - 20];

    if (symbols_name(syms, addr, name, sizeof(name)))
        snprintf(buf, CRASH_PLACE, "%0*llx <%s>", digits(cpu), (ull)addr, name);
    else
        snprintf(buf, CRASH_PLACE, "%0*llx", digits(cpu), (ull)addr);
    return buf;
}

void crash_bits(char *buf, size_t len, uint64_t v, const struct crash_bit *t)
{
    size_t n = 0;

    buf[0] = 0;
    for (; t->name && n < len; t++)
        if (v & t->bit)
            n += (size_t)snprintf(buf + n, len - n, " %s", t->name);
}

/* --- registers --- */

static const struct crash_bit rflags_bits[] = {
    {FLAG_CF, "CF"}, {FLAG_PF, "PF"},   {FLAG_AF, "AF"},   {FLAG_ZF, "ZF"},
    {FLAG_SF, "SF"}, {FLAG_TF, "TF"},   {FLAG_IF, "IF"},   {FLAG_DF, "DF"},
    {FLAG_OF, "OF"}, {FLAG_NT, "NT"},   {FLAG_RF, "RF"},   {FLAG_VM, "VM"},
    {FLAG_AC, "AC"}, {FLAG_VIF, "VIF"}, {FLAG_VIP, "VIP"}, {FLAG_ID, "ID"},
    {0, NULL}};
static const struct crash_bit cr0_bits[] = {
    {CR0_PE, "PE"}, {CR0_MP, "MP"}, {CR0_EM, "EM"}, {CR0_TS, "TS"},
    {CR0_ET, "ET"}, {CR0_NE, "NE"}, {CR0_WP, "WP"}, {CR0_AM, "AM"},
    {CR0_NW, "NW"}, {CR0_CD, "CD"}, {CR0_PG, "PG"}, {0, NULL}};
static const struct crash_bit cr4_bits[] = {{CR4_VME, "VME"},
                                            {CR4_PVI, "PVI"},
                                            {CR4_TSD, "TSD"},
                                            {CR4_DE, "DE"},
                                            {CR4_PSE, "PSE"},
                                            {CR4_PAE, "PAE"},
                                            {CR4_MCE, "MCE"},
                                            {CR4_PGE, "PGE"},
                                            {CR4_PCE, "PCE"},
                                            {CR4_OSFXSR, "OSFXSR"},
                                            {CR4_OSXMMEXCPT, "OSXMMEXCPT"},
                                            {CR4_UMIP, "UMIP"},
                                            {CR4_FSGSBASE, "FSGSBASE"},
                                            {CR4_PCIDE, "PCIDE"},
                                            {CR4_OSXSAVE, "OSXSAVE"},
                                            {CR4_SMEP, "SMEP"},
                                            {CR4_SMAP, "SMAP"},
                                            {0, NULL}};
static const struct crash_bit efer_bits[] = {{EFER_SCE, "SCE"},
                                             {EFER_LME, "LME"},
                                             {EFER_LMA, "LMA"},
                                             {EFER_NXE, "NXE"},
                                             {0, NULL}};

static const char *code_mode(const struct vcpu *cpu)
{
    if (!(cpu->cr0 & CR0_PE))
        return "real mode";
    if (cpu->rflags & FLAG_VM)
        return "virtual-8086 mode";
    if (cpu->code_width == 8)
        return "64-bit mode";
    if (vcpu_long_mode(cpu))
        return cpu->code_width == 4 ? "32-bit code in long mode"
                                    : "16-bit code in long mode";
    return cpu->code_width == 4 ? "32-bit protected mode"
                                : "16-bit protected mode";
}

static void gprs(const struct crash_sink *to, const struct vcpu *cpu)
{
    if (!vcpu_long_mode(cpu)) {
        for (unsigned i = 0; i < 8; i += 4)
            crash_say(to, "e%s %08llx  e%s %08llx  e%s %08llx  e%s %08llx",
                      vcpu_gpr_names[i] + 1, (ull)cpu->gpr[i],
                      vcpu_gpr_names[i + 1] + 1, (ull)cpu->gpr[i + 1],
                      vcpu_gpr_names[i + 2] + 1, (ull)cpu->gpr[i + 2],
                      vcpu_gpr_names[i + 3] + 1, (ull)cpu->gpr[i + 3]);
        return;
    }
    for (unsigned i = 0; i < 16; i += 4)
        crash_say(to, "%-3s %016llx  %-3s %016llx  %-3s %016llx  %-3s %016llx",
                  vcpu_gpr_names[i], (ull)cpu->gpr[i], vcpu_gpr_names[i + 1],
                  (ull)cpu->gpr[i + 1], vcpu_gpr_names[i + 2],
                  (ull)cpu->gpr[i + 2], vcpu_gpr_names[i + 3],
                  (ull)cpu->gpr[i + 3]);
}

/* Its attributes in words; empty: a null selector, and no base. */
static void segment_kind(const struct seg *s, char *buf, size_t len)
{
    const char *what = s->attr & SEG_WRITABLE ? "data, writable" : "data";

    buf[0] = 0;
    if (s->attr & SEG_UNUSABLE && !s->base)
        return;
    if (s->attr & SEG_CODE)
        what = s->attr & SEG_L    ? "code, 64 bits"
               : s->attr & SEG_DB ? "code, 32 bits"
                                  : "code, 16 bits";
    if (s->attr & SEG_UNUSABLE)
        snprintf(buf, len, "null");
    else if (!(s->attr & SEG_S))
        snprintf(buf, len, "system, type %u", SEG_TYPE(s->attr));
    else
        snprintf(buf, len, "%s, DPL %u%s", what, SEG_DPL(s->attr),
                 s->attr & SEG_P ? "" : ", not present");
}

static void segments(const struct crash_sink *to, const struct vcpu *cpu)
{
    const struct {
        const char *name;
        const struct seg *seg;
    } all[] = {{"cs", &cpu->seg[SEG_CS]}, {"ss", &cpu->seg[SEG_SS]},
               {"ds", &cpu->seg[SEG_DS]}, {"es", &cpu->seg[SEG_ES]},
               {"fs", &cpu->seg[SEG_FS]}, {"gs", &cpu->seg[SEG_GS]},
               {"tr", &cpu->tr},          {"ldtr", &cpu->ldtr}};
    char kind[48], null[48] = "";

    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        const struct seg *s = all[i].seg;

        segment_kind(s, kind, sizeof(kind));
        if (kind[0])
            crash_say(to, "%-4s %04x base %016llx limit %08x %s", all[i].name,
                      s->sel, (ull)s->base, s->limit, kind);
        else
            snprintf(null + strlen(null), sizeof(null) - strlen(null), " %s",
                     all[i].name);
    }
    if (null[0])
        crash_say(to, "null:%s", null);
    crash_say(to,
              "gdtr %016llx limit %04x  idtr %016llx limit %04x  "
              "kernel_gs_base %016llx",
              (ull)cpu->gdtr.base, cpu->gdtr.limit, (ull)cpu->idtr.base,
              cpu->idtr.limit, (ull)cpu->msr.kernel_gs_base);
}

static void controls(const struct crash_sink *to, const struct vcpu *cpu)
{
    char text[100];

    crash_bits(text, sizeof(text), cpu->cr0, cr0_bits);
    crash_say(to, "cr0  %016llx%s", (ull)cpu->cr0, text);
    crash_say(to, "cr2  %016llx  cr3  %016llx", (ull)cpu->cr2, (ull)cpu->cr3);
    crash_bits(text, sizeof(text), cpu->cr4, cr4_bits);
    crash_say(to, "cr4  %016llx%s", (ull)cpu->cr4, text);
    crash_bits(text, sizeof(text), cpu->msr.efer, efer_bits);
    crash_say(to, "efer %016llx%s", (ull)cpu->msr.efer, text);
    if ((cpu->dr7 & 0xff) || (cpu->dr6 & 0xe00f))
        crash_say(to, "dr6  %016llx  dr7  %016llx  dr0-3 %llx %llx %llx %llx",
                  (ull)cpu->dr6, (ull)cpu->dr7, (ull)cpu->dr[0],
                  (ull)cpu->dr[1], (ull)cpu->dr[2], (ull)cpu->dr[3]);
}

void crash_registers(const struct crash_sink *to, struct vcpu *cpu,
                     const struct symbols *syms)
{
    uint64_t flags = flags_get(cpu);
    char text[CRASH_PLACE];

    gprs(to, cpu);
    crash_say(to, "rip %s", crash_place(cpu, syms, cpu->rip, text));
    crash_bits(text, sizeof(text), flags, rflags_bits);
    crash_say(to, "rflags %08llx%s, IOPL %llu", (ull)flags, text,
              (ull)(flags & FLAG_IOPL) >> 12);
    segments(to, cpu);
    controls(to, cpu);
}

/* --- the whole --- */

void crash_summary(const struct crash_sink *to, struct vcpu *cpu,
                   const struct symbols *syms)
{
    char place[CRASH_PLACE];

    if (cpu->wait_sipi)
        crash_say(to, "vCPU %u: waits for its start-up", cpu->index);
    else
        crash_say(to, "vCPU %u: %s, CPL %u, at %s%s", cpu->index,
                  code_mode(cpu), cpu->cpl,
                  crash_place(cpu, syms, cpu->rip, place),
                  cpu->halted ? ", halted" : "");
}

/* Did a page fault happen that CR2 may still tell of? */
static bool faulted(const struct vcpu *cpu)
{
    unsigned n = MIN(cpu->history.excs, HISTORY_EXCEPTIONS);

    for (unsigned i = 0; i < n; i++)
        if (cpu->history.exc[i].vector == EXC_PF)
            return true;
    return cpu->cr2 != 0;
}

void crash_screen(const struct crash_sink *to, struct vcpu *cpu,
                  const struct symbols *syms, const char *why)
{
    crash_say(to, "---- %s", why);
    crash_summary(to, cpu, syms);
    crash_registers(to, cpu, syms);
    crash_code(to, cpu, syms);
    if (faulted(cpu))
        crash_walk(to, cpu, cpu->cr2);
    crash_stack(to, cpu, syms);
    crash_history(to, cpu, syms);
}

void crash_line_to_fd(void *fd, const char *text)
{
    char line[CRASH_COLUMNS + 2];
    int n = snprintf(line, sizeof(line), "%s\n", text);

    if (write(*(const int *)fd, line, (size_t)MIN(n, (int)sizeof(line) - 1)) <
        0)
        return; /* nowhere left to complain */
}

/* --- after a failure of our own --- */

/*
 * Process-wide and of the thread by nature: an assert has no arguments.
 * Written before the vCPUs' threads start and after they ended.
 */
static struct {
    struct vcpu *const *cpus;
    _Atomic unsigned count;
    struct symbols *const *syms;
    bool hooked;
} watched;
static _Thread_local struct vcpu *running;

void crash_running(struct vcpu *cpu)
{
    running = cpu;
}

struct vcpu *crash_current(void)
{
    return running;
}

/*
 * Also in a signal's handler, but to look for names takes a heap that works:
 * only after an assert is it known to.
 */
static void after_failure(void)
{
    int fd = STDERR_FILENO;
    struct crash_sink to = {crash_line_to_fd, &fd};
    const struct symbols *syms = watched.syms ? *watched.syms : NULL;
    unsigned count = watched.count;

    if (!count)
        return;
    if (!syms && crash_by_assert())
        syms = symbols_from_guest(running ? running : watched.cpus[0]);
    if (running) {
        crash_screen(&to, running, syms,
                     "Ringfence itself failed; the vCPU that was running");
        return;
    }
    for (unsigned i = 0; i < count; i++)
        crash_screen(&to, watched.cpus[i], syms,
                     "Ringfence itself failed, outside of the vCPUs");
}

void crash_watch(struct vcpu *const *cpus, unsigned count,
                 struct symbols *const *syms)
{
    watched.count = 0;
    watched.cpus = cpus;
    watched.syms = syms;
    watched.count = count;
    if (count && !watched.hooked) {
        watched.hooked = true;
        crash_hook_add(after_failure);
    }
}
