/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access.h - registers, effective addresses and memory for semantics.
 *
 * Memory goes through the software TLB: an entry's tag is the page of the
 * address or'ed with a generation, and is compared with the page of the
 * access's *last* byte, so that one compare covers presence, rights, flushes
 * and page crossing. Everything else takes the slow path in mmu/.
 */
#pragma once

#include "x86/insn.h"

/* --- registers --- */

static inline uint64_t reg_get(const struct vcpu *cpu, unsigned reg,
                               unsigned width)
{
    switch (width) {
    case 1:
        return ((const uint8_t *)cpu->gpr)[reg];
    case 2:
        return (uint16_t)cpu->gpr[reg];
    case 4:
        return (uint32_t)cpu->gpr[reg];
    default:
        return cpu->gpr[reg];
    }
}

/* 4-byte writes clear the upper half, narrower ones keep the rest. */
static inline void reg_set(struct vcpu *cpu, unsigned reg, unsigned width,
                           uint64_t val)
{
    switch (width) {
    case 1:
        ((uint8_t *)cpu->gpr)[reg] = (uint8_t)val;
        break;
    case 2:
        *(uint16_t *)&cpu->gpr[reg] = (uint16_t)val;
        break;
    case 4:
        cpu->gpr[reg] = (uint32_t)val;
        break;
    default:
        cpu->gpr[reg] = val;
    }
}

/* --- effective and linear addresses --- */

/* Offset part of the memory operand, truncated to the address size. */
static inline uint64_t insn_ea(const struct vcpu *cpu, const struct insn *in)
{
    uint64_t ea = cpu->gpr[in->base] + (cpu->gpr[in->index] << in->scale) +
                  (uint64_t)(int64_t)in->disp;

    return ea & width_mask(in->awidth);
}

/*
 * Linear address of `size` bytes at seg:off, after the segment's checks
 * (limit, type, presence) for `access`. In 64-bit mode only FS and GS have a
 * base, and a non-canonical address is #GP(0), or #SS(0) for seg == SEG_SS.
 * SEG_NONE: off is linear. 0 or STEP_FAULT.
 */
int seg_linear_slow(struct vcpu *cpu, unsigned seg, uint64_t off, unsigned size,
                    unsigned access, gva_t *gva);

static inline int seg_linear(struct vcpu *cpu, unsigned seg, uint64_t off,
                             unsigned size, unsigned access, gva_t *gva)
{
    if (likely(cpu->code_width == 8)) {
        uint64_t a = off + cpu->seg_base[seg];

        *gva = a;
        if (likely((uint64_t)((int64_t)a >> 47) + 1 <= 1 &&
                   (uint64_t)((int64_t)(a + size - 1) >> 47) + 1 <= 1))
            return 0;
    }
    return seg_linear_slow(cpu, seg, off, size, access, gva);
}

/* --- memory by linear address --- */

static inline struct tlb_entry *tlb_slot(const struct vcpu *cpu, gva_t gva)
{
    return &cpu->tlb[(gva >> PAGE_SHIFT) & (TLB_SIZE - 1)];
}

static inline uint64_t tlb_want(const struct vcpu *cpu, gva_t gva,
                                unsigned size)
{
    return ((gva + size - 1) & ~PAGE_OFFSET) | cpu->tlb_gen[gva >> 63];
}

/* Host pointer, or NULL: take the slow path. */
static inline void *tlb_read(const struct vcpu *cpu, gva_t gva, unsigned size)
{
    const struct tlb_entry *e = tlb_slot(cpu, gva);

    return likely(e->tag_r == tlb_want(cpu, gva, size))
               ? (void *)(uintptr_t)(gva + e->addend)
               : NULL;
}
static inline void *tlb_write(const struct vcpu *cpu, gva_t gva, unsigned size)
{
    const struct tlb_entry *e = tlb_slot(cpu, gva);

    return likely(e->tag_w == tlb_want(cpu, gva, size))
               ? (void *)(uintptr_t)(gva + e->addend)
               : NULL;
}

/*
 * Loads and stores of 1, 2, 4 or 8 bytes at a linear address with the rights
 * of the current CPL. 0 or STEP_FAULT. Single copy atomic where aligned.
 */
int lin_load_slow(struct vcpu *cpu, gva_t gva, unsigned size, uint64_t *val);
int lin_store_slow(struct vcpu *cpu, gva_t gva, unsigned size, uint64_t val);

static inline uint64_t host_load(const void *p, unsigned size)
{
    switch (size) {
    case 1:
        return *(const volatile uint8_t *)p;
    case 2:
        return *(const volatile uint16_t *)p;
    case 4:
        return *(const volatile uint32_t *)p;
    default:
        return *(const volatile uint64_t *)p;
    }
}
static inline void host_store(void *p, unsigned size, uint64_t val)
{
    switch (size) {
    case 1:
        *(volatile uint8_t *)p = (uint8_t)val;
        break;
    case 2:
        *(volatile uint16_t *)p = (uint16_t)val;
        break;
    case 4:
        *(volatile uint32_t *)p = (uint32_t)val;
        break;
    default:
        *(volatile uint64_t *)p = val;
    }
}

static inline int lin_load(struct vcpu *cpu, gva_t gva, unsigned size,
                           uint64_t *val)
{
    void *p = tlb_read(cpu, gva, size);

    if (unlikely(!p))
        return lin_load_slow(cpu, gva, size, val);
    *val = host_load(p, size);
    return 0;
}
static inline int lin_store(struct vcpu *cpu, gva_t gva, unsigned size,
                            uint64_t val)
{
    void *p = tlb_write(cpu, gva, size);

    if (unlikely(!p))
        return lin_store_slow(cpu, gva, size, val);
    host_store(p, size, val);
    return 0;
}

/* seg:off to value, all checks. */
static inline int mem_load(struct vcpu *cpu, unsigned seg, uint64_t off,
                           unsigned size, uint64_t *val)
{
    gva_t gva;

    return seg_linear(cpu, seg, off, size, ACC_READ, &gva) ||
                   lin_load(cpu, gva, size, val)
               ? STEP_FAULT
               : 0;
}
static inline int mem_store(struct vcpu *cpu, unsigned seg, uint64_t off,
                            unsigned size, uint64_t val)
{
    gva_t gva;

    return seg_linear(cpu, seg, off, size, ACC_WRITE, &gva) ||
                   lin_store(cpu, gva, size, val)
               ? STEP_FAULT
               : 0;
}

/* Bytes of any size up to 64 (vectors) and up to 4096 by pages (XSAVE). */
int lin_read(struct vcpu *cpu, gva_t gva, void *buf, unsigned size);
int lin_write(struct vcpu *cpu, gva_t gva, const void *buf, unsigned size);
/* Checks that lin_write() of all of it would not fault. */
int lin_probe_write(struct vcpu *cpu, gva_t gva, unsigned size);
/*
 * Implicit supervisor accesses: descriptor tables, TSS, IDT. Rights are those
 * of CPL 0, SMAP applies without regard to EFLAGS.AC [SDM 3A 4.6].
 */
int sys_load(struct vcpu *cpu, gva_t gva, unsigned size, uint64_t *val);
int sys_store(struct vcpu *cpu, gva_t gva, unsigned size, uint64_t val);

/* --- the r/m operand of an instruction: open, then get and set --- */

/*
 * An opened operand cannot fault any more. Register: where it is. Memory:
 * one host pointer, or two when it crosses a page, or an I/O address.
 */
enum ref_kind { REF_REG, REF_HOST, REF_SPLIT, REF_IO };
/* Who wants to know of an access through it; memory only. */
enum ref_watch {
    REF_CODE = 1 << 0,   /* a page of it holds decoded code */
    REF_TRACED = 1 << 1, /* TRACE_MEM is on */
    REF_SYSTEM = 1 << 2, /* with REF_TRACED: it was ACC_SYSTEM */
};
struct ref {
    uint8_t kind;
    uint8_t width;
    uint8_t first;   /* REF_SPLIT: bytes in the first page */
    uint8_t watch;   /* enum ref_watch */
    uint8_t reg;     /* REF_REG */
    uint64_t *gpr;   /* REF_REG: the register file */
    uint8_t *p, *p2; /* REF_HOST, REF_SPLIT; NULL halves are I/O */
    gpa_t gpa, gpa2;
    gva_t gva; /* with REF_TRACED */
    struct vcpu *cpu;
};

enum ref_intent { REF_R = ACC_READ, REF_RW = ACC_WRITE };

/* Opens the r/m operand with in->rm_width. Nonzero: STEP_FAULT. */
int ref_open(struct vcpu *cpu, const struct insn *in, enum ref_intent intent,
             struct ref *ref);
/* Opens seg:off memory. width 1..64. */
int ref_open_at(struct vcpu *cpu, unsigned seg, uint64_t off, unsigned width,
                enum ref_intent intent, struct ref *ref);
uint64_t ref_get(const struct ref *ref);
void ref_set(const struct ref *ref, uint64_t val);
/* To be called after writing `buf` through ref->p. */
void ref_written_watched(const struct ref *ref, const void *buf);
static inline void ref_written(const struct ref *ref, const void *buf)
{
    if (unlikely(ref->watch))
        ref_written_watched(ref, buf);
}
/* Vectors and other blobs of ref->width bytes. */
void ref_get_bytes(const struct ref *ref, void *buf);
void ref_set_bytes(const struct ref *ref, const void *buf);
/*
 * Atomically replaces `*old` by `val`: false, with *old refreshed, if the
 * memory held something else. Host atomics on RAM, plain get and set on
 * registers and I/O.
 */
bool ref_cmpxchg(const struct ref *ref, uint64_t *old, uint64_t val);

/*
 * --- what is not RAM: counted, timed and traced ---
 * Bytes of guest-physical memory at the local APIC or the bus, in pieces that
 * it takes; and a port, width 1, 2 or 4.
 */
void bus_read(struct vcpu *cpu, gpa_t gpa, uint8_t *buf, unsigned size);
void bus_write(struct vcpu *cpu, gpa_t gpa, const uint8_t *buf, unsigned size);
uint64_t port_in(struct vcpu *cpu, uint16_t port, unsigned width);
void port_out(struct vcpu *cpu, uint16_t port, unsigned width, uint64_t val);

/* --- operands by role --- */

/* Value of the manual's operand `which` (enum opnd). Nonzero: STEP_FAULT. */
int opnd_get(struct vcpu *cpu, const struct insn *in, unsigned which,
             uint64_t *val);
/* Opens the destination, register or memory, for writing. */
int opnd_open(struct vcpu *cpu, const struct insn *in, unsigned which,
              enum ref_intent intent, struct ref *ref);

/* --- the stack, by SS.B and mode; width 2, 4 or 8 --- */
int stack_push(struct vcpu *cpu, unsigned width, uint64_t val);
int stack_pop(struct vcpu *cpu, unsigned width, uint64_t *val);
/* Mask of the stack pointer: 16, 32 or 64 bits. */
static inline uint64_t stack_mask(const struct vcpu *cpu)
{
    if (cpu->code_width == 8)
        return ~0ull;
    return cpu->seg[SEG_SS].attr & SEG_DB ? 0xffffffffull : 0xffffull;
}
static inline void stack_pointer_set(struct vcpu *cpu, uint64_t sp)
{
    uint64_t m = stack_mask(cpu);

    if (m == 0xffff)
        cpu->gpr[R_RSP] = (cpu->gpr[R_RSP] & ~m) | (sp & m);
    else
        cpu->gpr[R_RSP] = sp & m;
}
