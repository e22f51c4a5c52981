/* SPDX-License-Identifier: Apache-2.0 */
/*
 * power.c - power-on, also in the middle of a life: reset in place.
 *
 * The event thread does it while every vCPU is parked, or before they start.
 */
#include "machine/machine_int.h"

#include "inspect/trace.h"
#include <sys/random.h>

#include "base/log.h"
#include "mmu/mmu.h"

void machine_reset_devices(struct machine *m)
{
    unsigned i;

    loop_lock(&m->loop);
    irqchip_reset(&m->chip);
    for (i = 0; i < m->devices; i++)
        if (m->device[i]->ops->reset)
            m->device[i]->ops->reset(m->device[i]);
    loop_unlock(&m->loop);
}

void machine_generation(struct machine *m, uint8_t id[VMGENID_LEN])
{
    if (m->det)
        det_random(m, id, VMGENID_LEN);
    else if (getrandom(id, VMGENID_LEN, 0) != VMGENID_LEN)
        log_warn("the host has no random numbers");
}

int machine_power_on(struct machine *m, struct error *err)
{
    uint8_t id[VMGENID_LEN] = {0};
    unsigned i;
    int rc;

    if (m->boot_missing.code) {
        *err = m->boot_missing;
        return -err->code;
    }
    machine_reset_devices(m);
    /* Device workers are idle now: nobody writes RAM but us. */
    for (i = 0; i < m->cfg->cpus; i++)
        mmu_forget_all_code(&m->cpu[i].cpu);
    guest_mem_clear(&m->mem); /* a reboot hands no secrets on */
    machine_symbols_reset(m);
    trace_reset(m->trace);
    rc = boot_load(&m->boot, &m->mem, &m->entry, err);
    if (rc)
        return rc;
    machine_generation(m, id);
    vmgenid_set(&m->mem, acpi_base(&m->acpi) + ACPI_VMGENID, id);
    machine_firmware_power_on(m);
    machine_cpus_reset(m);
    gdb_powered_on(m);
    /*
     * vcpu_reset() and the chips' reset each have their part of the state;
     * the APIC's page goes to the vCPU last.
     */
    loop_lock(&m->loop);
    irqchip_reset(&m->chip);
    loop_unlock(&m->loop);
    return 0;
}
