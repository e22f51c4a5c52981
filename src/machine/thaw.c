/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thaw.c - RAM that became private, by a snapshot's restore or a fork, is
 * shared again, because an engine wants to map it into other processes. That
 * copies what is in use; so it waits until there is user code to be run so.
 */
#include "machine/machine_int.h"

#include "base/log.h"

static void thaw_work(struct machine *m, struct machine_work *w)
{
    uint64_t start = clock_host_now();
    struct error err;
    int rc;

    (void)w;
    loop_lock(&m->loop);
    machine_hold(m, HOLD_WORK);
    loop_unlock(&m->loop);
    rc = snapshot_settle(m, &err);
    if (!rc)
        rc = guest_mem_thaw(&m->mem, &err);
    loop_lock(&m->loop);
    machine_unhold(m, HOLD_WORK);
    loop_unlock(&m->loop);
    if (rc)
        log_warn("%s; user code is interpreted from here", err.msg);
    else
        log_debug("machine: RAM is shared again, after %llu us",
                  (unsigned long long)(clock_host_now() - start) / 1000);
    /* not again where it failed */
    atomic_store(&m->thaw_asked, rc != 0);
}

void machine_thaw(struct vcpu *cpu)
{
    struct machine *m = container_of(cpu, struct machine_cpu, cpu)->m;

    if (atomic_exchange(&m->thaw_asked, 1))
        return;
    m->thaw.run = thaw_work;
    machine_work(m, &m->thaw);
}
