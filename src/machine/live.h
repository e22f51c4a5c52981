/* SPDX-License-Identifier: Apache-2.0 */
/*
 * live.h - a snapshot that is written while the machine runs.
 *
 * The machine stands still for as long as a fork takes: RAM becomes a file
 * that nobody writes any more, which the machine goes on with as a private
 * copy. So no engine has to know what the guest writes meanwhile, and what
 * devices write needs no care either. A thread writes that file out.
 */
#pragma once

#include "base/error.h"

struct machine;
struct machine_live;

/* Who asked; called once, on the event thread, device lock held. */
struct live_done {
    /* err->code is 0: the folder is there. */
    void (*done)(struct live_done *d, uint64_t stopped_ns,
                 const struct error *err);
};

/*
 * Begins; device lock held. One at a time: -EBUSY. Nonzero: done() is not
 * called. If the machine ends before, there is no folder: an error.
 */
int machine_save_live(struct machine *m, const char *dir, struct live_done *d,
                      struct error *err) must_check;
void machine_save_live_fini(struct machine *m);
