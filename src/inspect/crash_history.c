/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash_history.c - the crash screen's last part: what led there.
 */
#include "inspect/crash_int.h"

#include <stdio.h>

#define BRANCH_LINES 16

typedef unsigned long long ull;

static const char *vector_name(unsigned vector)
{
    static const char *const names[32] = {
        [EXC_DE] = "#DE", [EXC_DB] = "#DB", [EXC_NMI] = "NMI", [EXC_BP] = "#BP",
        [EXC_OF] = "#OF", [EXC_BR] = "#BR", [EXC_UD] = "#UD",  [EXC_NM] = "#NM",
        [EXC_DF] = "#DF", [EXC_TS] = "#TS", [EXC_NP] = "#NP",  [EXC_SS] = "#SS",
        [EXC_GP] = "#GP", [EXC_PF] = "#PF", [EXC_MF] = "#MF",  [EXC_AC] = "#AC",
        [EXC_MC] = "#MC", [EXC_XM] = "#XM"};

    return vector < 32 && names[vector] ? names[vector] : "?";
}

/* [SDM 3A 4.7] */
static void page_fault_text(char *buf, size_t len, const struct exc_record *e)
{
    snprintf(buf, len, " (%s %s, %s%s) %llx",
             e->error & PF_U ? "user" : "supervisor",
             e->error & PF_I   ? "fetch"
             : e->error & PF_W ? "write"
                               : "read",
             e->error & PF_P ? "denied" : "not mapped",
             e->error & PF_RSVD ? ", reserved bit" : "", (ull)e->cr2);
}

static void exc_line(const struct crash_sink *to, struct vcpu *cpu,
                     const struct symbols *syms, const struct exc_record *e)
{
    char place[CRASH_PLACE], error[24] = "", what[80] = "";

    if (e->has_error)
        snprintf(error, sizeof(error), " error %04x", e->error);
    if (e->vector == EXC_PF)
        page_fault_text(what, sizeof(what), e);
    crash_say(to, "  %12llu insns ago: %s%s%s at %s",
              (ull)(vcpu_insns(cpu) - e->insns), vector_name(e->vector), error,
              what, crash_place(cpu, syms, e->rip, place));
}

void crash_history(const struct crash_sink *to, struct vcpu *cpu,
                   const struct symbols *syms)
{
    const struct vcpu_history *h = &cpu->history;
    unsigned n = MIN(h->excs, HISTORY_EXCEPTIONS);
    char from[CRASH_PLACE], dest[CRASH_PLACE];

    if (n)
        crash_say(to, "last exceptions, newest first:");
    for (unsigned i = 1; i <= n; i++)
        exc_line(to, cpu, syms, &h->exc[(h->excs - i) % HISTORY_EXCEPTIONS]);
    n = MIN(h->branches, BRANCH_LINES);
    if (n)
        crash_say(to, "last branches to other pages or by address, newest "
                      "first:");
    for (unsigned i = 1; i <= n; i++) {
        const struct branch_record *b =
            &h->branch[(h->branches - i) % HISTORY_BRANCHES];

        crash_say(to, "  %-50s -> %s", crash_place(cpu, syms, b->from, from),
                  crash_place(cpu, syms, b->to, dest));
    }
}
