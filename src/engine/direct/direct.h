/* SPDX-License-Identifier: Apache-2.0 */
/*
 * direct.h - user code on the CPU itself, in stub processes.
 *
 * One half of an engine: the run loop of the kernel's side asks it, each time
 * it is about to run user code, what to do. doc/direct.md has the picture and
 * the differences from hardware.
 */
#pragma once

#include "x86/vcpu.h"

/* What the run loop is to do, and then to come back. */
enum direct_next {
    DIRECT_AGAIN,     /* look at attn: the state is current */
    DIRECT_STEP,      /* run the one instruction at RIP */
    DIRECT_EXCEPTION, /* deliver cpu->exc */
    DIRECT_INTERPRET, /* go on by yourself, to a limit that is set */
    DIRECT_FAILED,    /* vcpu.direct_check: it differs, and was reported */
};

/* Can this host do it? -errno and one line that says why not. */
int direct_probe(struct error *err) must_check;
/* After mmu_init(). */
int direct_init(struct vcpu *cpu, struct error *err) must_check;
void direct_fini(struct vcpu *cpu);

/*
 * The vCPU is at CPL 3 with nothing to deliver. Runs it natively where that
 * is possible and pays.
 */
enum direct_next direct_run(struct vcpu *cpu);
/*
 * CPL is now 3, or no longer 3. The run loop says so before it runs anything:
 * vcpu.cross_block makes blocks end there.
 */
void direct_crossed(struct vcpu *cpu, bool user);
/* The limit that was reached was DIRECT_INTERPRET's; it is gone now. */
bool direct_chunk_over(struct vcpu *cpu);
