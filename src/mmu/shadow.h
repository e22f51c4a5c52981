/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shadow.h - shadow page tables: which pages of RAM stand where in the host
 * address spaces that run a vCPU's user code.
 *
 * A space is to such an address space what a PCID is to a TLB: it holds what
 * the guest's page tables map for user mode, filled at faults, and dropped
 * when the guest says so by INVLPG, INVPCID and loads of CR3 and CR4. What is
 * dropped is remembered and carried out before the space runs again; as none
 * runs while the guest's kernel does, nobody can tell the difference.
 *
 * Invariants, each asserted: a page is writable here only if its mapping is
 * writable for user mode, its D bit is set, and no vCPU has code of it
 * decoded (as for the TLB, mmu.h); it is here at all only if A is set on all
 * levels; only RAM is.
 *
 * Owned by the vCPU's thread.
 */
#pragma once

#include "mmu/mmu.h"

#define SHADOW_SPACES 12
#define SHADOW_DROPS  24 /* ranges; more is everything */
#define SHADOW_RUNS   20000

struct shadow_region;

struct shadow_range {
    gva_t at;
    uint64_t len;
};

struct shadow_space {
    unsigned index; /* 0 .. SHADOW_SPACES - 1 */
    bool used;
    unsigned pcid;
    uint64_t last; /* when it ran */
    /* Every mapping made since all were dropped: bounds what the host has. */
    unsigned runs;
    bool huge; /* part of a page of more than 2 MiB is mapped */
    /* To be unmapped before it runs again. */
    bool drop_all;
    unsigned drops;
    struct shadow_range drop[SHADOW_DROPS];
    struct shadow_region *hash[64];
};

/* Who carries it out; called by shadow_fill(). */
struct shadow_sink {
    void *ctx;
    /* Host protection bits; off: into RAM's file. 0 or -errno. */
    int (*map)(void *ctx, gva_t at, uint64_t len, int prot, uint64_t off);
    /* May code of this page run natively? */
    bool (*native)(void *ctx, gva_t at, const uint8_t *page);
    gva_t hole, hole_end; /* where nothing may be mapped */
};

enum shadow_outcome {
    SHADOW_FILLED,
    SHADOW_FAULT,   /* the guest's own: cpu->exc is set */
    SHADOW_OUTSIDE, /* cannot be mapped: no RAM, or addresses not to be had */
    SHADOW_TAINTED, /* a fetch from a page whose code may not run natively */
    SHADOW_FAILED,  /* sink->map() did */
};

/* low: the lowest address that this host lets processes map. */
int shadow_init(struct vcpu *cpu, gva_t low, struct error *err) must_check;
void shadow_fini(struct vcpu *cpu);

/*
 * The space of the current PCID. One that has not run for long may be taken
 * from another; then everything in it is to be dropped.
 */
struct shadow_space *shadow_current(struct vcpu *cpu);

/*
 * User code in the space faulted at gva. Walks the guest's tables, which sets
 * A and D, and maps the page, and those around it that the guest has used.
 */
enum shadow_outcome shadow_fill(struct vcpu *cpu, struct shadow_space *sp,
                                gva_t gva, unsigned access,
                                const struct shadow_sink *sink);
/* The drops were carried out. */
void shadow_dropped(struct shadow_space *sp);
/* Its address space is a new, empty one. */
void shadow_clear(struct vcpu *cpu, struct shadow_space *sp);
/* Tells of each page of RAM that is writable there: once or more. */
void shadow_writable(const struct shadow_space *sp,
                     void (*fn)(void *ctx, uint64_t ram_page), void *ctx);
/* Forgets all of all spaces. */
void shadow_drop_all(struct vcpu *cpu);

/* --- for tlb.c; nothing happens where there is no shadow --- */

void shadow_flush_pcid(struct vcpu *cpu, unsigned pcid);
void shadow_flush_page(struct vcpu *cpu, unsigned pcid, gva_t gva);
/* Takes the right to write this page of RAM from all; did one have it? */
bool shadow_protect(struct vcpu *cpu, uint64_t ram_page);
