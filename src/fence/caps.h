/* SPDX-License-Identifier: Apache-2.0 */
/*
 * caps.h - capabilities: names, and the five sets of a thread.
 *                                                            [capabilities(7)]
 */
#pragma once

#include "base/error.h"

/* Bit n: capability n. */
struct caps_sets {
    uint64_t bounding, effective, inheritable, permitted, ambient;
};

/* "CAP_CHOWN" or "chown", in any case. */
bool caps_find(const char *name, unsigned *cap);
/* "CAP_CHOWN"; NULL beyond the last one that we know. */
const char *caps_name(unsigned cap);
/* All that the running kernel has. */
uint64_t caps_of_kernel(void);
/*
 * The calling thread's own effective, permitted and inheritable ones. The
 * other two are left alone: they would take a call for each capability.
 */
int caps_get(struct caps_sets *sets, struct error *err) must_check;

/*
 * The bounding set; it can only shrink, and needs CAP_SETPCAP. Before the user
 * changes.
 */
int caps_set_bounding(uint64_t bounding, struct error *err) must_check;
/*
 * The other four. Ambient ones are those that are permitted and inheritable,
 * too: the rest is left out with a debug line, as the kernel would refuse it.
 */
int caps_set(const struct caps_sets *sets, struct error *err) must_check;
