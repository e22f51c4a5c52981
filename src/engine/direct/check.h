/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.h - each native stretch of user code, done again by the interpreter.
 *
 * A stretch is what one direct_run() executes. Before it the registers are
 * kept, and of each page that it may write a copy. When it has stopped, for
 * whatever reason, a vCPU of the check's own begins where it began, on a
 * private view of RAM as it was then, and runs until its registers, and all
 * pages that either of the two wrote, are what the native code left. It has
 * to come to that: before it enters the kernel, and within more instructions
 * than the CPU can have done. So nothing is held back from the native code,
 * not even the ticks that stop it anywhere.
 *
 * For --direct-check; owned by the vCPU's thread. One vCPU only: another one
 * would write what this one reads.
 */
#pragma once

#include "engine/direct/direct.h"
#include "mmu/shadow.h"

struct check;

/* After shadow_init(). -ENOMEM. */
int check_open(struct vcpu *cpu, struct check **c,
               struct error *err) must_check;
void check_close(struct check *c);

/*
 * The space has become so large that copying it takes too long: it is to be
 * dropped before anything runs in it.
 */
bool check_full(const struct check *c, const struct shadow_space *sp);
/* User code is about to run natively in this space. */
void check_begin(struct check *c, struct vcpu *cpu,
                 const struct shadow_space *sp);
/* It may write these pages of RAM's file from now on. */
void check_mapped(struct check *c, uint64_t off, uint64_t len);
/*
 * It has stopped: the vCPU's registers are what it left; next is what
 * direct_run() says. False: the interpreter does not come to that. Then it has
 * been reported.
 */
bool check_end(struct check *c, struct vcpu *cpu,
               enum direct_next next) must_check;
