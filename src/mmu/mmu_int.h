/* SPDX-License-Identifier: Apache-2.0 */
/* mmu_int.h - what tlb.c and code.c share. */
#pragma once

#include "mmu/mmu.h"
#include "x86/walk.h"

#define MMU_GENERATIONS 4096
#define MMU_INBOX       64

/* Mail from other vCPUs and devices, see code.c. */
struct mmu_inbox {
    pthread_mutex_t lock;
    gpa_t pages[MMU_INBOX];
    unsigned count;
    bool overflow;
};

struct mmu {
    struct tlb_entry tlb[TLB_MODES][TLB_SIZE];
    struct tlb_entry none[TLB_SIZE]; /* never filled: all accesses are slow */
    uint16_t pcid_gen[MMU_GENERATIONS];
    unsigned gen_next;
    bool high_local;                /* something not global above bit 63 */
    gva_t large_lo[2], large_hi[2]; /* by bit 63: where large pages are */
    uint64_t rights_config;         /* CR0/CR4/EFER bits the entries rest on */
    bool slow;                      /* alignment checks or watchpoints */

    struct shadow_tables
        *shadow; /* shadow.c; NULL: user code is not run natively */

    code_forget_fn *forget;
    mmu_write_fn *note;         /* mmu_note_writes() */
    struct code_page **by_page; /* by RAM page number */
    struct mmu_inbox inbox;
    struct vcpu *peers[GUEST_VCPUS_MAX];
    unsigned peer_count;
};

static inline struct mmu *mmu_of(const struct vcpu *cpu)
{
    return cpu->mmu_state;
}

/* Takes tag_w from all entries that map this page of RAM; was there one? */
bool tlb_protect(struct vcpu *cpu, const uint8_t *host);

/* A store to [off, off + len) of a page whose code_map is not 0. */
void code_store(struct vcpu *cpu, gpa_t page, unsigned off, unsigned len);
