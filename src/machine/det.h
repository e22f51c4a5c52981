/* SPDX-License-Identifier: Apache-2.0 */
/*
 * det.h - the deterministic machine: a run that can be repeated exactly.
 *
 * One thread runs all vCPUs in turn. Time is the number of instructions that
 * they have retired, a nanosecond each, plus what was skipped while all of
 * them were halted. Timers fire, interrupts come and host events are let in
 * between two instructions whose numbers depend on nothing else. So a run is
 * a function of its inputs: kernel, disks, seed, and what comes from outside,
 * which a recording keeps with its time.
 *
 * Where an engine cuts its blocks makes no difference: whatever makes a vCPU
 * look up (det_poke()) ends its block behind the very instruction.
 */
#pragma once

#include "machine/record.h"

struct machine;
struct vcpu;
struct machine_cpu;

#define DET_TSC_KHZ 1000000 /* a tick is a nanosecond is an instruction */

/* Steps of building a machine; nothing happens if it is not deterministic. */
int det_init(struct machine *m, struct error *err) must_check;
void det_fini(struct machine *m);
/* The vCPU's clock and random numbers. */
void det_attach(struct machine *m, struct vcpu *cpu);

/* The body of the one thread; returns when m->leave is set. */
void *det_thread(void *machine);

/* Something outside happened. Any thread, device lock held. */
void det_event(struct machine *m, enum record_kind kind, const void *data,
               size_t len);

/* Bytes of what happened and has not been let in. Device lock held. */
size_t det_queued(const struct machine *m);

/* The vCPU has got something to look at: not in the middle of a block. */
void det_poke(struct machine_cpu *mc);

/* How it ended; after the thread's end. */
void det_end(struct machine *m);

/* Where random numbers come from. */
uint64_t det_seed(const struct machine *m);
/* ns since 1970 when the machine's clock shows 0. */
int64_t det_epoch(const struct machine *m);
/* len bytes that follow from the seed, and from nothing else. */
void det_random(const struct machine *m, void *buf, size_t len);
/* Instructions retired by all vCPUs. */
uint64_t det_insns(const struct machine *m);
