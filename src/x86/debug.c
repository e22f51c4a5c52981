/* SPDX-License-Identifier: Apache-2.0 */
/*
 * debug.c - breakpoints and watchpoints of a debugger outside the guest.
 *
 * On the vCPU's own thread; the lists do not change while it runs.
 */
#include "x86/debug.h"

bool debug_breaks(const struct vcpu *cpu, gva_t lin)
{
    const struct debug_points *p;

    if (!debug_guards(cpu, lin & PAGE_OFFSET))
        return false;
    p = cpu->debug->points;
    for (unsigned i = 0; i < p->breaks; i++)
        if (p->at[i] == lin)
            return !cpu->debug->wanted || cpu->debug->wanted(cpu);
    return false;
}

/*
 * A read watchpoint takes writes too, as the debug registers have no "read
 * only" either [SDM 3B 17.2.4]: an instruction that modifies memory opens it
 * for writing alone. gdb tells them apart by the value.
 */
void debug_access(struct vcpu *cpu, gva_t gva, unsigned size, bool write)
{
    struct vcpu_debug *d = cpu->debug;

    for (unsigned i = 0; i < d->points->watches; i++) {
        const struct debug_watch *w = &d->points->watch[i];

        if (w->kind == DEBUG_WATCH_WRITE && !write)
            continue;
        if (gva - w->gva >= w->len && w->gva - gva >= size)
            continue;
        if (d->stop != DEBUG_NONE)
            return;
        d->stop = DEBUG_WATCH;
        d->hit = gva - w->gva < w->len ? gva : w->gva;
        d->kind = w->kind;
        cpu->break_block = true; /* leaves the block after this insn */
        atomic_fetch_or(&cpu->attn, ATTN_DEBUG);
        return;
    }
}

void debug_access_undone(struct vcpu *cpu)
{
    if (cpu->debug->stop != DEBUG_WATCH)
        return;
    cpu->debug->stop = DEBUG_NONE;
    vcpu_attn_clear(cpu, ATTN_DEBUG);
}
