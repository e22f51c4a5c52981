/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fork.h - running copies of a running machine.
 *
 * The machine stands still for a moment: its RAM becomes a file that nobody
 * writes any more, which it and its children map privately; its state goes
 * to a file without a name; its disks get a layer (io/disk_fork.h). Each child
 * is a process of its own, made like a restored machine, without a terminal:
 * its console is ringfence ctl's.
 */
#pragma once

#include "base/error.h"

struct machine;
struct machine_fork;

#define FORK_CHILDREN_MAX 256

/* Who asked; called once, on the event thread, device lock held. */
struct fork_done {
    /* names: of the children that run, `count`; err: why there are no more. */
    void (*done)(struct fork_done *d, char (*names)[96], unsigned count,
                 uint64_t stopped_ns, const struct error *err);
};

/*
 * Begins; device lock held. `prefix`: children are named PREFIX-1 and so on,
 * the number goes on from fork to fork. `publish`: what leads to ports of this
 * one's leads to theirs too, from other ports of the host's. Nonzero: done() is
 * not called.
 */
int machine_fork(struct machine *m, unsigned children, const char *prefix,
                 bool publish, struct fork_done *d,
                 struct error *err) must_check;
void machine_fork_fini(struct machine *m);
