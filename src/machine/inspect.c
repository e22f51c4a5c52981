/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inspect.c - what shows a machine's inside, as steps of putting it together.
 */
#include "machine/machine_int.h"

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

int machine_trace_points(struct machine *m, struct error *err)
{
    (void)err;
    for (unsigned i = 0; i < m->cfg->cpus && m->trace; i++)
        trace_attach(m->trace, &m->cpu[i].cpu);
    return 0;
}
