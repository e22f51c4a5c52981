/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk.h - the page walk: linear to guest-physical, as the guest's own page
 * tables and control registers say. [SDM 3A chapter 4]
 */
#pragma once

#include "x86/vcpu.h"

#define PHYS_BITS 46 /* MAXPHYADDR, CPUID 80000008h */

/* What a mapping allows, over all levels. */
enum page_rights {
    PAGE_W = 1 << 0,      /* writable by user mode, and with CR0.WP by all */
    PAGE_U = 1 << 1,      /* user page */
    PAGE_NX = 1 << 2,     /* never executable */
    PAGE_DIRTY = 1 << 3,  /* D is set: writes need no further walk */
    PAGE_GLOBAL = 1 << 4, /* survives CR3 loads */
};

struct walk {
    gpa_t gpa;       /* of the address, not of its page */
    uint64_t size;   /* of the page */
    unsigned rights; /* enum page_rights */
};

/* The entries a walk read, from the root on, as they were. */
#define WALK_LEVELS 4
struct walk_steps {
    unsigned n;
    gpa_t at[WALK_LEVELS];
    uint64_t entry[WALK_LEVELS];
};

/*
 * Walks for one access (enum access) and sets accessed and dirty bits,
 * atomically, as the hardware does. 0, or STEP_FAULT with #PF in cpu->exc.
 * With paging off every address maps to itself.
 */
int walk(struct vcpu *cpu, gva_t gva, unsigned access, struct walk *w);

/*
 * Would `rights` allow this access in the current mode? Used on its own by
 * the TLB when it fills an entry.
 */
bool walk_allows(const struct vcpu *cpu, unsigned rights, unsigned access,
                 bool user, bool ac);

/*
 * As walk(), but for a debugger or a trace: changes nothing, checks presence
 * only. False: not mapped.
 */
bool walk_peek(struct vcpu *cpu, gva_t gva, struct walk *w);

/* As walk_peek(), and A is set on all levels: no walk would change that. */
bool walk_used(struct vcpu *cpu, gva_t gva, struct walk *w);

/* As walk_peek(), and on the way tells the entries and what ended it. */
enum walk_end { WALK_IS_MAPPED, WALK_IS_ABSENT, WALK_IS_RESERVED };
enum walk_end walk_explain(struct vcpu *cpu, gva_t gva, struct walk_steps *s,
                           struct walk *w);

/*
 * Loads the four PDPTEs of PAE paging from CR3 [SDM 3A 4.4.1]. Nonzero: a
 * reserved bit is set, #GP(0).
 */
int walk_load_pdptes(struct vcpu *cpu, uint64_t cr3, uint64_t pdpte[4]);
