/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task.h - the hardware task switch, and reading the TSS. [SDM 3A chapter 7]
 */
#pragma once

#include "x86/segment.h"

enum task_reason { TASK_JMP, TASK_CALL, TASK_IRET, TASK_EVENT };

/*
 * Switches to the task whose TSS descriptor `d` is (presence and privilege
 * already checked by the caller as its instruction wants it). cpu->rip must
 * be what the outgoing task resumes with. An error code, if any, is pushed on
 * the new task's stack. STEP_JUMP or STEP_FAULT. A fault before the commit
 * point belongs to the old task, one behind it to the new: cpu->rip tells.
 */
enum step task_switch(struct vcpu *cpu, const struct desc *d,
                      enum task_reason why, const uint32_t *error,
                      unsigned ext);
/*
 * By a TSS selector, as a task gate or the back link holds it: checks it and
 * switches. A bad one is `vector` with the selector.
 */
enum step task_switch_sel(struct vcpu *cpu, uint16_t sel, unsigned vector,
                          enum task_reason why, const uint32_t *error,
                          unsigned ext);

/* SS:ESP for a privilege level, from a 16- or 32-bit TSS. */
int tss_stack(struct vcpu *cpu, unsigned cpl, unsigned ext, uint16_t *ss,
              uint32_t *esp);
/* RSPn (slot 0..2) or ISTn (slot 3 + n) of a 64-bit TSS. */
int tss_stack64(struct vcpu *cpu, unsigned slot, unsigned ext, uint64_t *rsp);
