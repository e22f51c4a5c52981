/* SPDX-License-Identifier: Apache-2.0 */
/*
 * glue.c - between a vCPU and its local APIC: x86/ and irq/ know nothing of
 * each other.
 *
 * From the vCPU to the APIC the calls take the device lock. From the APIC to
 * the vCPU they come with it, from any thread, and end in vcpu_attn_set().
 */
#include "machine/machine_int.h"

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

static int glue_msr_read(void *ctx, uint32_t msr, uint64_t *val)
{
    int rc = lapic_msr_read(glue_lock(ctx), msr, val);

    glue_unlock(ctx);
    return rc;
}

static int glue_msr_write(void *ctx, uint32_t msr, uint64_t val)
{
    int rc = lapic_msr_write(glue_lock(ctx), msr, val);

    glue_unlock(ctx);
    return rc;
}

static uint32_t glue_mmio_read(void *ctx, uint32_t off)
{
    uint32_t v = lapic_mmio_read(glue_lock(ctx), off);

    glue_unlock(ctx);
    return v;
}

static void glue_mmio_write(void *ctx, uint32_t off, uint32_t val)
{
    lapic_mmio_write(glue_lock(ctx), off, val);
    glue_unlock(ctx);
}

const struct vcpu_intr_ops machine_intr_ops = {
    .ack = glue_ack,
    .tpr_get = glue_tpr_get,
    .tpr_set = glue_tpr_set,
    .msr_read = glue_msr_read,
    .msr_write = glue_msr_write,
    .mmio_read = glue_mmio_read,
    .mmio_write = glue_mmio_write,
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
