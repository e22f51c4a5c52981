/* SPDX-License-Identifier: Apache-2.0 */
/*
 * symbols.c - the names of the guest kernel's addresses: from --symbols, else
 * out of its own memory when they are first asked for.
 */
#include "machine/machine_int.h"

#include "base/log.h"

int machine_symbols_init(struct machine *m, struct error *err)
{
    return m->cfg->symbols ? symbols_load(&m->symbols, m->cfg->symbols, err)
                           : 0;
}

void machine_symbols_fini(struct machine *m)
{
    symbols_free(m->symbols);
    m->symbols = NULL;
}

void machine_symbols_reset(struct machine *m)
{
    if (!m->cfg->symbols)
        machine_symbols_fini(m);
}

const struct symbols *machine_symbols(struct machine *m, struct vcpu *cpu)
{
    if (!m->symbols) {
        m->symbols = symbols_from_guest(cpu);
        log_debug("symbols: %u in the guest's memory",
                  symbols_count(m->symbols));
    }
    if (m->symbols)
        symbols_slide(m->symbols, cpu);
    return m->symbols;
}
