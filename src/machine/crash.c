/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash.c - when the crash screen is shown: at the end, when the guest's own
 * last words are out and the terminal is as it was, but the vCPUs are still
 * as they stopped.
 */
#include "machine/machine_int.h"

#include <stdio.h>
#include <unistd.h>

#include "inspect/crash.h"

/* Behind the console's: the terminal is restored before. */
void machine_crash_watch(struct machine *m)
{
    for (unsigned i = 0; i < m->cfg->cpus; i++)
        m->crash_cpu[i] = &m->cpu[i].cpu;
    crash_watch(m->crash_cpu, m->cfg->cpus, &m->symbols);
}

/* Who crashed: a vCPU in shutdown, or the one that asked for the end. */
static unsigned crash_culprit(const struct machine *m)
{
    for (unsigned i = 0; i < m->cfg->cpus; i++)
        if (m->result.end == MACHINE_TRIPLE && m->cpu[i].cpu.shutdown)
            return i;
    return m->requester;
}

/* NULL: it ended otherwise, or whoever failed has said all that there is. */
static const char *crash_reason(const struct machine *m)
{
    switch (m->result.end) {
    case MACHINE_PANIC:
        return "the guest's kernel panicked";
    case MACHINE_TRIPLE:
        return "triple fault";
    case MACHINE_FAILED:
        return m->failure.code && !m->cfg->direct_check ? "the engine failed"
                                                        : NULL;
    default:
        return NULL;
    }
}

void machine_crash_fini(struct machine *m)
{
    int fd = STDERR_FILENO;
    struct crash_sink to = {crash_line_to_fd, &fd};
    const struct symbols *syms;
    const char *reason = crash_reason(m);
    unsigned who = crash_culprit(m);
    char why[80];

    crash_watch(NULL, 0, NULL);
    if (!reason)
        return;
    snprintf(why, sizeof(why), "%s, vCPU %u of %u", reason, who, m->cfg->cpus);
    syms = machine_symbols(m, m->crash_cpu[who]);
    crash_screen(&to, m->crash_cpu[who], syms, why);
    for (unsigned i = 0; i < m->cfg->cpus; i++)
        if (i != who)
            crash_summary(&to, m->crash_cpu[i], syms);
}
