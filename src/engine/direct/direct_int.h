/* SPDX-License-Identifier: Apache-2.0 */
/* direct_int.h - what the files of the direct executor share. */
#pragma once

#include "engine/direct/direct.h"
#include "engine/direct/stub.h"
#include "mmu/shadow.h"

/*
 * How user code of one address space (one CR3) is run, and what that costs:
 * policy.c. Times are in ticks of the TSC.
 */
struct policy {
    gpa_t root;
    bool native;
    uint64_t insns;   /* interpreted, since it was last decided */
    unsigned entries; /* of the kernel meanwhile, or stops */
    uint64_t ticks;   /* in native code */
    unsigned backoff; /* doublings of what it takes to become native again */
};
#define POLICIES 64

_Static_assert(STUB_KICK_SIGNAL == VCPU_KICK_SIGNAL,
               "vcpu_attn_set() sends it");

struct direct {
    struct stub stub[SHADOW_SPACES];
    bool tsc_traps[SHADOW_SPACES];
    struct policy policy[POLICIES];
    struct policy *now; /* of the current address space */
    uint64_t since;     /* vcpu_insns() when user mode was entered */
    uint64_t chunk_end; /* interpret up to there: a page that is tainted */
    unsigned chunk;
    bool broken; /* it does not work here after all */
};

static inline struct direct *direct_of(const struct vcpu *cpu)
{
    return cpu->direct;
}

/* --- frame.c: the vCPU's registers and the frame's --- */

/* Can user code in this state run natively at all? */
bool frame_fits(const struct vcpu *cpu);
void frame_put(struct vcpu *cpu, struct stub *s);
/* -EPROTO: nothing that a CPU would have. */
int frame_take(struct vcpu *cpu, struct stub *s) must_check;

/* --- policy.c --- */

void policy_entered(struct vcpu *cpu);
void policy_left(struct vcpu *cpu);
/* A stop after so many ticks of native code. */
void policy_stopped(struct policy *p, uint64_t ticks);
