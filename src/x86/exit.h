/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exit.h - instructions that would leave a guest under VMX, by reason.
 *          [SDM 3C 25.1]
 *
 * No engine has to leave anything for most of them; they are told apart to be
 * traced and counted alike on all engines. The decoder puts the reason in
 * insn->exit, and an engine runs such an instruction by exit_run().
 */
#pragma once

#include "x86/insn.h"
#include "x86/stats.h"

/* For the decoder; in->op and in->sem are set. */
enum exit_reason exit_reason_of(const struct insn *in);
/* As the manual spells it, in small letters; "" for EXIT_NONE. */
const char *exit_name(enum exit_reason reason);

/* in->sem, traced and counted, also if it faults. in->exit is not 0. */
enum step exit_run(struct vcpu *cpu, const struct insn *in);
