/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msr.h - model-specific registers. [SDM 4]
 */
#pragma once

#include "x86/vcpu.h"

/*
 * RDMSR and WRMSR without the privilege check: true if it worked, false for
 * #GP(0). A write that changes the mode has called vcpu_update_mode() and
 * flushed what it must.
 */
bool msr_read(struct vcpu *cpu, uint32_t msr, uint64_t *val);
bool msr_write(struct vcpu *cpu, uint32_t msr, uint64_t val);

/* Values after power-on, as the board's firmware leaves them. */
void msr_reset(struct vcpu *cpu);
