/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state_int.h - state.json as a text: what it says, and whether that can be.
 * Nothing here looks at the system.
 *
 * Who can write to the state's folder is who runs the runtime, so this is not
 * against malice: a file that was damaged, or belongs elsewhere, shall be told
 * from one that names the process and the cgroups that are killed next.
 */
#pragma once

#include "oci/state.h"

/* Of the container `id`. -EINVAL: with the place in the file. */
int state_parse(struct arena *a, const char *text, size_t len, const char *id,
                struct state *out, struct error *err) must_check;
/* state.json of the folder `dir`. */
int state_read(struct arena *a, int dir, const char *id, struct state *out,
               struct error *err) must_check;
/* The way back. */
char *state_to_json(struct arena *a, const struct state *s, const char *id);
