/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exception.h - delivery of exceptions, interrupts and INT n.
 *
 * None of these can be refused: what goes wrong on the way becomes another
 * exception, a double fault, or a triple fault (cpu->shutdown, STEP_STOP).
 */
#pragma once

#include "x86/insn.h"

/* How an event came about; decides DPL checks and EXT bits. */
enum event_kind {
    EVENT_HARD, /* interrupt or NMI */
    EVENT_EXC,  /* exception, and INT1 */
    EVENT_SOFT, /* INT n, INT3, INTO */
};

/* [SDM 3A 6.15, table 6-4] */
enum exc_class { EXC_BENIGN, EXC_CONTRIBUTORY, EXC_PAGE_FAULT, EXC_DOUBLE };
enum exc_class exc_class(unsigned vector);
/*
 * What happens when `second` comes up while `first` is delivered: the vector
 * to deliver next, EXC_DF, or -1 for shutdown.
 */
int exc_combine(unsigned first, unsigned second);
/* "#PF"; "#?" for a vector that has none. */
const char *exc_name(unsigned vector);
/* Fault class: the saved RIP is the instruction's, RF is set in the image. */
bool exc_is_fault(unsigned vector);

/*
 * Delivers cpu->exc. cpu->rip is what the handler is to return to. STEP_JUMP,
 * or STEP_STOP after a triple fault.
 */
enum step exc_deliver(struct vcpu *cpu);

/* Delivers an external interrupt, or the NMI (vector 2). As exc_deliver(). */
enum step intr_deliver(struct vcpu *cpu, unsigned vector);

/*
 * INT n and its kin: the handler returns to next_rip. May fail with
 * STEP_FAULT as any instruction does.
 */
enum step intr_software(struct vcpu *cpu, unsigned vector, uint64_t next_rip,
                        enum event_kind kind);
