/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msr_policy.h - which model-specific registers a guest may touch, for what
 * reason, and who answers. All engines obey this one table: what it does not
 * list is #GP(0), whatever the host's CPU has under that number.
 */
#pragma once

#include "x86/cpuid.h"

/* Who answers. */
enum msr_owner {
    MSR_BY_MODEL, /* x86/msr.c */
    MSR_BY_APIC,  /* the local APIC, by vcpu.intr */
    MSR_BY_CPU,   /* x86/msr.c; under hardware virtualization the CPU itself */
    MSR_OWNERS,
};

enum msr_access { MSR_R = 1, MSR_W = 2, MSR_RW = 3 };

/* What a read gives and a write does; see msr.c. */
enum msr_kind {
    MSR_STORE,   /* `field`; bits outside `value` are #GP */
    MSR_CANON,   /* `field`, a linear address; #GP if not canonical */
    MSR_CONST,   /* reads as `value` */
    MSR_IGNORE,  /* reads as `value`; writes vanish */
    MSR_ZERO,    /* reads as `field`; only zero can be written */
    MSR_COMMAND, /* nothing to do; bits outside `value` are #GP */
    MSR_APIC,
    MSR_TSC,
    MSR_TSC_ADJUST,
    MSR_PAT,
    MSR_EFER,
    MSR_FS_BASE,
    MSR_GS_BASE,
};

/* Numbers first to first + count - 1; their fields are 8 bytes apart. */
struct msr_rule {
    uint32_t first;
    uint8_t count;
    uint8_t access, owner, kind; /* of the enums above */
    uint8_t feature;  /* enum cpu_feature that CPUID must show; F_FPU: none */
    const char *name; /* the manual's, without IA32_ */
    const char *why;  /* what a guest needs it for */
    uint32_t field;   /* offset in struct vcpu, or 0 */
    uint64_t value;
};

/* All of them, by number; no two overlap. */
extern const struct msr_rule msr_rules[];
extern const unsigned msr_rule_count;

/* NULL: not for guests. A rule may still be hidden by the model. */
const struct msr_rule *msr_rule_find(uint32_t msr);

/* Does CPUID of this model show what the rule rests on? */
bool msr_rule_shown(const struct msr_rule *r, const struct cpu_model *m);

/* For people: "model", "local APIC", "CPU". */
const char *msr_owner_name(enum msr_owner owner);
