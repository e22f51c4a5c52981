/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/hold.h"

#include "machine/machine_int.h"

static void tsc_stands(struct machine *m, uint64_t tsc)
{
    m->hold_tsc = tsc;
    for (unsigned i = 0; i < m->cfg->cpus; i++)
        m->cpu[i].cpu.tsc_stands = tsc;
}

void machine_hold(struct machine *m, enum hold why)
{
    if (!m->hold) {
        irqchip_take_back(&m->chip); /* the host's timers would go on */
        tsc_stands(m, machine_tsc(m));
        loop_time_stop(&m->loop);
    }
    m->hold |= why;
}

uint64_t machine_unhold(struct machine *m, enum hold why)
{
    uint64_t since, ticks, ns;
    unsigned i;

    if (!(m->hold & why))
        return 0;
    m->hold &= ~(unsigned)why;
    if (m->hold)
        return 0;
    since = m->hold_tsc;
    tsc_stands(m, 0);
    ticks = machine_tsc(m) - since;
    ns = loop_time_go(&m->loop);
    for (i = 0; i < m->cfg->cpus; i++)
        m->cpu[i].cpu.tsc_offset -= ticks;
    machine_resume(m);
    return ns;
}

bool machine_held(const struct machine *m, enum hold why)
{
    return m->hold & why;
}

void machine_work(struct machine *m, struct machine_work *w)
{
    struct machine_work **last;

    pthread_mutex_lock(&m->park_lock);
    w->next = NULL;
    for (last = &m->work; *last; last = &(*last)->next)
        continue;
    *last = w;
    m->pause = true;
    pthread_mutex_unlock(&m->park_lock);
    machine_interrupt(m);
}

void machine_work_run(struct machine *m)
{
    struct machine_work *w, *next;

    pthread_mutex_lock(&m->park_lock);
    w = m->work;
    m->work = NULL;
    pthread_mutex_unlock(&m->park_lock);
    for (; w; w = next) {
        next = w->next;
        w->run(m, w);
    }
}
