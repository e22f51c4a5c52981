/* SPDX-License-Identifier: Apache-2.0 */
/*
 * glue.c - between a vCPU and its local APIC: x86/ and irq/ know nothing of
 * each other.
 *
 * From the vCPU to the APIC the calls take the device lock. From the APIC to
 * the vCPU they come with it, from any thread, and end in vcpu_attn_set().
 */
#include "machine/machine_int.h"

#include "base/log.h"

/* --- board to the engine, when that has the APICs --- */

static int host_put(void *ctx, unsigned i, const struct apic_image *img,
                    struct error *err)
{
    struct machine *m = ctx;

    return m->engine->apics->put(&m->cpu[i].cpu, img, err);
}

static int host_get(void *ctx, unsigned i, struct apic_image *img,
                    struct error *err)
{
    struct machine *m = ctx;

    return m->engine->apics->get(&m->cpu[i].cpu, img, err);
}

static bool host_message(void *ctx, const struct apic_message *msg)
{
    struct machine *m = ctx;

    return m->engine->apics->message(&m->cpu[0].cpu, msg);
}

static void host_levels(void *ctx, const struct apic_message *pin)
{
    struct machine *m = ctx;

    m->engine->apics->levels(&m->cpu[0].cpu, pin, IOAPIC_PINS);
}

static const struct irqchip_host machine_irqchip_host = {
    .put = host_put,
    .get = host_get,
    .message = host_message,
    .levels = host_levels,
};

/* --- vCPU to APIC --- */

static struct lapic *glue_lock(void *ctx)
{
    struct machine_cpu *mc = ctx;

    loop_lock(&mc->m->loop);
    return &mc->m->chip.lapic[mc->cpu.index];
}

static void glue_unlock(void *ctx)
{
    struct machine_cpu *mc = ctx;

    loop_unlock(&mc->m->loop);
}

static int glue_ack(void *ctx)
{
    int vector = lapic_ack(glue_lock(ctx));

    glue_unlock(ctx);
    return vector;
}

static uint64_t glue_tpr_get(void *ctx)
{
    uint64_t v = lapic_tpr_get(glue_lock(ctx));

    glue_unlock(ctx);
    return v;
}

static void glue_tpr_set(void *ctx, uint64_t cr8)
{
    lapic_tpr_set(glue_lock(ctx), cr8);
    glue_unlock(ctx);
}

/*
 * An APIC in the host's kernel answers for itself; what comes here all the
 * same it has refused.
 */
static int glue_msr_read(void *ctx, uint32_t msr, uint64_t *val)
{
    struct lapic *l = glue_lock(ctx);
    int rc = l->away ? -1 : lapic_msr_read(l, msr, val);

    glue_unlock(ctx);
    return rc;
}

static int glue_msr_write(void *ctx, uint32_t msr, uint64_t val)
{
    struct lapic *l = glue_lock(ctx);
    int rc = l->away ? -1 : lapic_msr_write(l, msr, val);

    glue_unlock(ctx);
    return rc;
}

static uint32_t glue_mmio_read(void *ctx, uint32_t off)
{
    struct lapic *l = glue_lock(ctx);
    uint32_t v = 0;

    if (!l->away)
        v = lapic_mmio_read(l, off);
    else
        log_guest("APIC %u: read by an odd instruction", l->index);
    glue_unlock(ctx);
    return v;
}

static void glue_mmio_write(void *ctx, uint32_t off, uint32_t val)
{
    struct lapic *l = glue_lock(ctx);

    if (!l->away)
        lapic_mmio_write(l, off, val);
    else
        log_guest("APIC %u: written by an odd instruction", l->index);
    glue_unlock(ctx);
}

static int glue_lend(void *ctx, struct error *err)
{
    struct machine_cpu *mc = ctx;
    int rc;

    loop_lock(&mc->m->loop);
    rc = irqchip_lend(&mc->m->chip, &machine_irqchip_host, mc->m, err);
    loop_unlock(&mc->m->loop);
    return rc;
}

static void glue_eoi(void *ctx, uint8_t vector)
{
    struct machine_cpu *mc = ctx;

    loop_lock(&mc->m->loop);
    irqchip_eoi_seen(&mc->m->chip, vector);
    loop_unlock(&mc->m->loop);
}

const struct vcpu_intr_ops machine_intr_ops = {
    .ack = glue_ack,
    .tpr_get = glue_tpr_get,
    .tpr_set = glue_tpr_set,
    .msr_read = glue_msr_read,
    .msr_write = glue_msr_write,
    .mmio_read = glue_mmio_read,
    .mmio_write = glue_mmio_write,
    .lend = glue_lend,
    .eoi = glue_eoi,
};

/* --- APIC to vCPU --- */

static void glue_attn(struct machine_cpu *mc, uint32_t bits)
{
    vcpu_attn_set(&mc->cpu, bits);
    if (mc->m->det)
        det_poke(mc);
}

static void glue_intr(void *ctx, bool pending)
{
    struct machine_cpu *mc = ctx;

    if (pending)
        glue_attn(mc, ATTN_INTR);
    else
        vcpu_attn_clear(&mc->cpu, ATTN_INTR);
}

static void glue_nmi(void *ctx)
{
    struct machine_cpu *mc = ctx;

    glue_attn(mc, ATTN_NMI);
}

/*
 * INIT cancels a start-up message from before it; one that comes after it
 * must survive until the vCPU's thread has seen both, in this order.
 */
static void glue_init(void *ctx)
{
    struct machine_cpu *mc = ctx;

    vcpu_attn_clear(&mc->cpu, ATTN_SIPI);
    glue_attn(mc, ATTN_INIT);
}

static void glue_sipi(void *ctx, uint8_t vector)
{
    struct machine_cpu *mc = ctx;

    /* Read only after ATTN_SIPI was seen. */
    mc->cpu.sipi_vector = vector;
    glue_attn(mc, ATTN_SIPI);
}

static uint64_t glue_tsc(void *ctx)
{
    struct machine_cpu *mc = ctx;

    return vcpu_tsc(&mc->cpu);
}

static uint64_t glue_tsc_to_ns(void *ctx, uint64_t delta)
{
    struct machine_cpu *mc = ctx;

    return (uint64_t)((unsigned __int128)delta * 1000000 / mc->cpu.tsc_khz);
}

/* On the vCPU's own thread (WRMSR), or while it is parked (reset). */
static void glue_page(void *ctx, uint64_t gpa)
{
    struct machine_cpu *mc = ctx;

    if (mc->cpu.apic_page == gpa)
        return;
    mc->cpu.apic_page = gpa;
    if (mc->cpu.mmu)
        mc->cpu.mmu->flush_all(&mc->cpu);
}

const struct lapic_cpu_ops machine_lapic_ops = {
    .intr = glue_intr,
    .nmi = glue_nmi,
    .init = glue_init,
    .sipi = glue_sipi,
    .tsc = glue_tsc,
    .tsc_to_ns = glue_tsc_to_ns,
    .page = glue_page,
};
