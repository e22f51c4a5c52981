/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inspect.c - what shows a machine's inside, as steps of putting it together.
 */
#include "machine/machine_int.h"

#include "inspect/stats.h"
#include "inspect/stats_boot.h"
#include "inspect/trace.h"

int machine_trace_init(struct machine *m, struct error *err)
{
    if (!m->cfg->trace.cats)
        return 0;
    return trace_open(&m->trace, &m->cfg->trace, m->cfg->symbols, &m->clock,
                      err);
}

void machine_trace_fini(struct machine *m)
{
    trace_close(m->trace);
    m->trace = NULL;
}

int machine_inspect_points(struct machine *m, struct error *err)
{
    (void)err;
    for (unsigned i = 0; i < m->cfg->cpus; i++) {
        if (m->trace)
            trace_attach(m->trace, &m->cpu[i].cpu);
        if (m->stats)
            stats_attach(m->stats, &m->cpu[i].cpu);
    }
    return 0;
}

int machine_stats_init(struct machine *m, struct error *err)
{
    return stats_open(&m->stats, &m->cfg->stats, err);
}

/* The first step that is undone last: the terminal is as it was. */
void machine_stats_fini(struct machine *m)
{
    stats_close(m->stats);
    m->stats = NULL;
}

char *machine_stats_now(struct machine *m)
{
    struct vcpu *cpus[GUEST_VCPUS_MAX];

    for (unsigned i = 0; i < m->cfg->cpus; i++)
        cpus[i] = &m->cpu[i].cpu;
    return stats_now(m->stats, cpus, m->cfg->cpus);
}

void machine_stats_collect(struct machine *m)
{
    struct vcpu *cpus[GUEST_VCPUS_MAX];

    if (!m->stats)
        return;
    boot_step(stats_boot(m->stats), BOOT_STEP_END);
    for (unsigned i = 0; i < m->cfg->cpus; i++)
        cpus[i] = &m->cpu[i].cpu;
    stats_collect(m->stats, cpus, m->cfg->cpus);
}
