/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access.c - operands that the inline paths of access.h leave over.
 *
 * LOCK semantics [SDM 3A 8.1]: on RAM the host's own atomics, which host and
 * guest share; across pages that are not neighbours in the host's address
 * space too, through a second mapping, which one at a time may have. With I/O
 * there is only that lock.
 */
#include "x86/access.h"

#include <pthread.h>
#include <string.h>

#include "base/log.h"
#include "x86/trace.h"

static pthread_mutex_t split_lock = PTHREAD_MUTEX_INITIALIZER;

int lin_load_slow(struct vcpu *cpu, gva_t gva, unsigned size, uint64_t *val)
{
    uint64_t v = 0;

    if (cpu->mmu->read(cpu, gva, &v, size, ACC_READ))
        return STEP_FAULT;
    *val = v;
    return 0;
}

int lin_store_slow(struct vcpu *cpu, gva_t gva, unsigned size, uint64_t val)
{
    return cpu->mmu->write(cpu, gva, &val, size, ACC_WRITE);
}

int lin_read(struct vcpu *cpu, gva_t gva, void *buf, unsigned size)
{
    uint8_t *out = buf;
    void *p = size <= 64 ? tlb_read(cpu, gva, size) : NULL;

    if (likely(p)) {
        memcpy(buf, p, size);
        return 0;
    }
    for (unsigned n; size; size -= n, gva += n, out += n) {
        n = MIN(size, 64);
        if (cpu->mmu->read(cpu, gva, out, n, ACC_READ))
            return STEP_FAULT;
    }
    return 0;
}

int lin_write(struct vcpu *cpu, gva_t gva, const void *buf, unsigned size)
{
    const uint8_t *in = buf;
    void *p = size <= 64 ? tlb_write(cpu, gva, size) : NULL;

    if (likely(p)) {
        memcpy(p, buf, size);
        return 0;
    }
    if (size > 64 && lin_probe_write(cpu, gva, size))
        return STEP_FAULT;
    for (unsigned n; size; size -= n, gva += n, in += n) {
        n = MIN(size, 64);
        if (cpu->mmu->write(cpu, gva, in, n, ACC_WRITE))
            return STEP_FAULT;
    }
    return 0;
}

int lin_probe_write(struct vcpu *cpu, gva_t gva, unsigned size)
{
    struct ref ref;

    for (unsigned n; size; size -= n, gva += n) {
        n = MIN(size, 64);
        if (cpu->mmu->open(cpu, gva, n, ACC_WRITE, &ref))
            return STEP_FAULT;
    }
    return 0;
}

int sys_load(struct vcpu *cpu, gva_t gva, unsigned size, uint64_t *val)
{
    uint64_t v = 0;

    if (cpu->mmu->read(cpu, gva, &v, size, ACC_READ | ACC_SYSTEM))
        return STEP_FAULT;
    *val = v;
    return 0;
}

int sys_store(struct vcpu *cpu, gva_t gva, unsigned size, uint64_t val)
{
    return cpu->mmu->write(cpu, gva, &val, size, ACC_WRITE | ACC_SYSTEM);
}

/* --- references --- */

int ref_open_at(struct vcpu *cpu, unsigned seg, uint64_t off, unsigned width,
                enum ref_intent intent, struct ref *ref)
{
    gva_t gva;
    void *p;

    if (seg_linear(cpu, seg, off, width, (unsigned)intent, &gva))
        return STEP_FAULT;
    p = intent == REF_R ? tlb_read(cpu, gva, width)
                        : tlb_write(cpu, gva, width);
    if (likely(p)) {
        ref->kind = REF_HOST;
        ref->width = (uint8_t)width;
        ref->watch = 0;
        ref->p = p;
        ref->cpu = cpu;
        return 0;
    }
    return cpu->mmu->open(cpu, gva, width, (unsigned)intent, ref);
}

static void ref_register(struct vcpu *cpu, unsigned reg, unsigned width,
                         struct ref *ref)
{
    ref->kind = REF_REG;
    ref->width = (uint8_t)width;
    ref->reg = (uint8_t)reg;
    ref->gpr = cpu->gpr;
    ref->cpu = cpu;
}

int ref_open(struct vcpu *cpu, const struct insn *in, enum ref_intent intent,
             struct ref *ref)
{
    if (in->flags & INSN_MEM)
        return ref_open_at(cpu, in->seg, insn_ea(cpu, in), in->rm_width, intent,
                           ref);
    ref_register(cpu, in->rm, in->rm_width, ref);
    return 0;
}

int opnd_open(struct vcpu *cpu, const struct insn *in, unsigned which,
              enum ref_intent intent, struct ref *ref)
{
    if (which == OPND_RM)
        return ref_open(cpu, in, intent, ref);
    rf_assert(which == OPND_REG || which == OPND_VREG);
    ref_register(cpu, which == OPND_REG ? in->reg : in->sub, in->reg_width,
                 ref);
    return 0;
}

static void io_trace(struct vcpu *cpu, gpa_t gpa, unsigned width, bool write,
                     uint64_t v)
{
    if ((gpa & ~PAGE_OFFSET) == cpu->apic_page)
        trace_io(cpu, TRACE_APIC, "lapic", gpa, width, write, v);
    else
        trace_io(cpu, TRACE_MMIO, io_name(cpu->mem, IO_MMIO, gpa), gpa, width,
                 write, v);
}

void bus_read(struct vcpu *cpu, gpa_t gpa, uint8_t *buf, unsigned size)
{
    unsigned width;
    uint64_t v, t0;

    for (; size; size -= width, buf += width, gpa += width) {
        bool apic = (gpa & ~PAGE_OFFSET) == cpu->apic_page;

        width = size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1;
        t0 = stats_begin(&cpu->stats);
        if (apic)
            /* registers are 32 bits on 16-byte boundaries */
            v = cpu->intr->mmio_read(cpu->intr_ctx, gpa & 0xffc) >>
                (8 * (gpa & 3));
        else
            v = io_read(cpu->mem, IO_MMIO, gpa, width);
        stats_count(&cpu->stats, apic ? CTR_APIC : CTR_MMIO, t0);
        if (trace_on(cpu, TRACE_IO))
            io_trace(cpu, gpa, width, false, v);
        memcpy(buf, &v, width);
    }
}

void bus_write(struct vcpu *cpu, gpa_t gpa, const uint8_t *buf, unsigned size)
{
    unsigned width;
    uint64_t v, t0;

    for (; size; size -= width, buf += width, gpa += width) {
        bool apic = (gpa & ~PAGE_OFFSET) == cpu->apic_page;

        v = 0;
        width = size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1;
        memcpy(&v, buf, width);
        if (trace_on(cpu, TRACE_IO))
            io_trace(cpu, gpa, width, true, v);
        t0 = stats_begin(&cpu->stats);
        if (!apic)
            io_write(cpu->mem, IO_MMIO, gpa, width, v);
        else if (!(gpa & 3))
            cpu->intr->mmio_write(cpu->intr_ctx, gpa & 0xfff, (uint32_t)v);
        stats_count(&cpu->stats, apic ? CTR_APIC : CTR_MMIO, t0);
    }
}

static void ref_trace(const struct ref *ref, const void *buf, bool write)
{
    trace_mem(ref->cpu, ref->gva, buf, ref->width, write,
              ref->watch & REF_SYSTEM);
}

static void ref_read(const struct ref *ref, const void *buf)
{
    if (unlikely(ref->watch & REF_TRACED))
        ref_trace(ref, buf, false);
}

void ref_get_bytes(const struct ref *ref, void *buf)
{
    uint8_t *out = buf;
    unsigned first = ref->kind == REF_SPLIT ? ref->first : ref->width;

    if (ref->kind == REF_REG) {
        memcpy(buf, &ref->gpr[ref->reg], ref->width);
        return;
    }
    if (ref->kind != REF_IO && ref->p)
        memcpy(out, ref->p, first);
    else
        bus_read(ref->cpu, ref->gpa, out, first);
    if (ref->kind == REF_SPLIT && ref->p2)
        memcpy(out + first, ref->p2, ref->width - first);
    else if (ref->kind == REF_SPLIT)
        bus_read(ref->cpu, ref->gpa2, out + first, ref->width - first);
    ref_read(ref, buf);
}

/* Bytes are in memory; tell whoever has decoded them. */
void ref_written_watched(const struct ref *ref, const void *buf)
{
    if (ref->watch & REF_TRACED)
        ref_trace(ref, buf, true);
    if (ref->watch & REF_CODE)
        ref->cpu->mmu->code_stored(ref->cpu, ref);
}

void ref_set_bytes(const struct ref *ref, const void *buf)
{
    const uint8_t *in = buf;
    unsigned first = ref->kind == REF_SPLIT ? ref->first : ref->width;

    if (ref->kind == REF_REG) {
        memcpy(&ref->gpr[ref->reg], buf, ref->width);
        return;
    }
    if (ref->kind != REF_IO && ref->p)
        memcpy(ref->p, in, first);
    else
        bus_write(ref->cpu, ref->gpa, in, first);
    if (ref->kind == REF_SPLIT) {
        if (ref->p2)
            memcpy(ref->p2, in + first, ref->width - first);
        else
            bus_write(ref->cpu, ref->gpa2, in + first, ref->width - first);
    }
    ref_written(ref, buf);
}

uint64_t ref_get(const struct ref *ref)
{
    uint64_t v = 0;

    if (likely(ref->kind == REF_HOST)) {
        v = host_load(ref->p, ref->width);
        ref_read(ref, &v);
        return v;
    }
    if (ref->kind == REF_REG)
        return reg_get(ref->cpu, ref->reg, ref->width);
    ref_get_bytes(ref, &v);
    return v;
}

void ref_set(const struct ref *ref, uint64_t val)
{
    if (likely(ref->kind == REF_HOST)) {
        host_store(ref->p, ref->width, val);
        ref_written(ref, &val);
    } else if (ref->kind == REF_REG) {
        reg_set(ref->cpu, ref->reg, ref->width, val);
    } else {
        ref_set_bytes(ref, &val);
    }
}

static bool host_cmpxchg(void *p, unsigned width, uint64_t *old, uint64_t val)
{
    switch (width) {
#define CASE(n, type)                                                          \
    case n: {                                                                  \
        type o = (type)*old;                                                   \
        bool done =                                                            \
            __atomic_compare_exchange_n((type *)p, &o, (type)val, false,       \
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);   \
        *old = o;                                                              \
        return done;                                                           \
    }
        CASE(1, uint8_t)
        CASE(2, uint16_t)
        CASE(4, uint32_t)
    default:
        CASE(8, uint64_t)
#undef CASE
    }
}

/* p: where the host reaches all of it. */
static bool ref_cmpxchg_at(const struct ref *ref, void *p, uint64_t *old,
                           uint64_t val)
{
    bool done = host_cmpxchg(p, ref->width, old, val);

    if (done)
        ref_written(ref, &val);
    else
        ref_read(ref, old);
    return done;
}

/* Registers, and I/O, where nothing is atomic anyway. */
static bool ref_cmpxchg_slowly(const struct ref *ref, uint64_t *old,
                               uint64_t val)
{
    uint64_t now = ref_get(ref);
    bool done = now == (*old & width_mask(ref->width));

    if (done)
        ref_set(ref, val);
    *old = now;
    return done;
}

bool ref_cmpxchg(const struct ref *ref, uint64_t *old, uint64_t val)
{
    uint8_t *pair = NULL;
    bool done;

    if (ref->kind == REF_HOST)
        return ref_cmpxchg_at(ref, ref->p, old, val);
    if (ref->kind == REF_SPLIT && ref->p && ref->p + ref->first == ref->p2)
        return ref_cmpxchg_at(ref, ref->p, old, val);
    pthread_mutex_lock(&split_lock);
    if (ref->kind == REF_SPLIT && ref->p && ref->p2)
        pair = guest_mem_join(ref->cpu->mem, ref->p, ref->p2);
    done = pair ? ref_cmpxchg_at(ref, pair + PAGE_SIZE - ref->first, old, val)
                : ref_cmpxchg_slowly(ref, old, val);
    pthread_mutex_unlock(&split_lock);
    return done;
}

int opnd_get(struct vcpu *cpu, const struct insn *in, unsigned which,
             uint64_t *val)
{
    switch (which) {
    case OPND_REG:
        *val = reg_get(cpu, in->reg, in->reg_width);
        return 0;
    case OPND_IMM:
        *val = in->imm;
        return 0;
    case OPND_VREG:
        *val = reg_get(cpu, in->sub, in->reg_width);
        return 0;
    case OPND_RM:
        if (in->flags & INSN_MEM)
            return mem_load(cpu, in->seg, insn_ea(cpu, in), in->rm_width, val);
        *val = reg_get(cpu, in->rm, in->rm_width);
        return 0;
    default:
        *val = 0;
        return 0;
    }
}

/* --- stack --- */

int stack_push(struct vcpu *cpu, unsigned width, uint64_t val)
{
    uint64_t sp = cpu->gpr[R_RSP] - width;

    if (mem_store(cpu, SEG_SS, sp & stack_mask(cpu), width, val))
        return STEP_FAULT;
    stack_pointer_set(cpu, sp);
    return 0;
}

int stack_pop(struct vcpu *cpu, unsigned width, uint64_t *val)
{
    uint64_t sp = cpu->gpr[R_RSP];

    if (mem_load(cpu, SEG_SS, sp & stack_mask(cpu), width, val))
        return STEP_FAULT;
    stack_pointer_set(cpu, sp + width);
    return 0;
}
