/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold.h - a machine that stands still: for a debugger, because its user said
 * so, or for a moment in which something is done to all of it.
 *
 * While it is held no vCPU runs and its time stands still, so no watchdog in
 * the guest finds that it was away.
 */
#pragma once

#include "base/util.h"

struct machine;

enum hold {
    HOLD_GDB = 1,
    HOLD_USER = 2,
    HOLD_WORK = 4, /* something is being done to it */
};

/* Device lock held, vCPUs parked: one more reason to stand still. */
void machine_hold(struct machine *m, enum hold why);
/*
 * Device lock held: one reason less. Without any the guest goes on; then
 * returns how long its time stood, in ns.
 */
uint64_t machine_unhold(struct machine *m, enum hold why);
bool machine_held(const struct machine *m, enum hold why);

/*
 * Something to be done while all vCPUs are parked and the loop does not run,
 * without the device lock. Caller-owned; done in order, once.
 */
struct machine_work {
    struct machine_work *next;
    void (*run)(struct machine *m, struct machine_work *w);
};
/* Any thread, with or without the device lock. Returns at once. */
void machine_work(struct machine *m, struct machine_work *w);
/* machine.c: does all of it. */
void machine_work_run(struct machine *m);
