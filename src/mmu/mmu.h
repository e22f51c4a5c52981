/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mmu.h - software TLBs, their invalidation, and finding modified code.
 *
 * TLB entries are tagged with a generation. Flushing is taking a new one;
 * a PCID keeps its generation while another runs. Addresses with bit 63 set
 * have a generation of their own, which a CR3 load changes only if something
 * not global was cached there: so kernel mappings survive context switches.
 *
 * Invariant: an entry may be written through (tag_w) only if its page's D bit
 * is set and no vCPU has code of the page decoded (code_map is 0).
 */
#pragma once

#include "x86/access.h"

/*
 * What a vCPU has decoded of one page of RAM. `blocks` is the engine's.
 * granules: bit n set: bytes [64n, 64n+64) hold decoded code.
 */
struct code_page {
    gpa_t gpa;
    uint64_t granules;
    void *blocks;
};

/* Forgets all code of a page; the owner of the vCPU calls. Set by engines. */
typedef void code_forget_fn(struct vcpu *cpu, struct code_page *page);

int mmu_init(struct vcpu *cpu, struct error *err) must_check;
void mmu_fini(struct vcpu *cpu);
void mmu_set_forget(struct vcpu *cpu, code_forget_fn *forget);

/*
 * Host pointer to the byte at gva for fetching, valid to the end of its page,
 * and where it is. Outside RAM and ROM the bytes read 0xff. Nonzero:
 * STEP_FAULT.
 */
int mmu_fetch(struct vcpu *cpu, gva_t gva, const uint8_t **host, gpa_t *gpa);

/*
 * From now on stores to bytes [off, off + len) of a RAM page are noticed.
 * Returns the page's record; NULL if the page is not RAM.
 */
struct code_page *mmu_watch_code(struct vcpu *cpu, gpa_t page, unsigned off,
                                 unsigned len);
/* The page's record, or NULL. */
struct code_page *mmu_code_page(struct vcpu *cpu, gpa_t page);
/* Makes all vCPUs forget the code of a page; the others do it soon. */
void mmu_forget_page(struct vcpu *cpu, gpa_t page);
/* Forgets all code of all pages (the engine's arena is full). */
void mmu_forget_all_code(struct vcpu *cpu);

/*
 * From now on fn hears of each page of RAM before it is written by accesses of
 * this vCPU: once or more. Page tables' A and D bits are not told.
 */
typedef void mmu_write_fn(struct vcpu *cpu, gpa_t page);
void mmu_note_writes(struct vcpu *cpu, mmu_write_fn *fn);

/* ATTN_INBOX: what other threads wrote since. Owner only. */
void mmu_inbox(struct vcpu *cpu);
/* Any thread: somebody else wrote this page of RAM. */
void mmu_post_forget(struct vcpu *cpu, gpa_t page);

/*
 * The vCPUs that share one guest memory: each must know the others, for code
 * one writes and another has decoded. Call once, after mmu_init() of all.
 */
void mmu_join(struct vcpu *const *cpus, unsigned count);
