/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user.h - users and groups by the names that a container's own files give
 * them. Those files are hostile: read as text, a bounded number of lines.
 */
#pragma once

#include "base/error.h"
#include "oci/spec.h"

/*
 * "USER", "USER:GROUP", names or numbers, into user->uid and gid. root: the
 * container's root, O_PATH. A group that is not given is the user's own, by
 * its passwd, else 0.
 */
int user_find(int root, const char *text, struct spec_user *user,
              struct error *err) must_check;

/* His home by passwd, in the arena; NULL: it has none for him. */
const char *user_home(struct arena *a, int root, uint32_t uid);
