/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process_int.h - what those who start processes share besides launch.h.
 */
#pragma once

#include "oci/launch.h"
#include "oci/sync.h"

/* "0-3,8": bits of `set`, which has so many; false: it is no such list. */
bool process_parse_list(const char *text, unsigned long *set, unsigned bits);
/* A list of CPUs ("0-3,8") for the caller; NULL or "": as it is. */
int process_affinity(const char *cpus, struct error *err) must_check;
/* listener.c: l->seccomp, for good; its listener to the runtime. */
int process_load_filter(struct launch *l, struct error *err) must_check;
/* Is there the program that process_exec() would start? -ENOENT, -EACCES. */
int process_find(struct launch *l, struct error *err) must_check;
/* With l->reaper: goes on as the program's process, and stays behind as pid 1.
 */
int process_reaper(struct launch *l, struct error *err) must_check;
