/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exe.h - the runtime's own program, kept from containers.
 *
 * A container's first process is the runtime until exec(), and an image whose
 * program is a link to /proc/self/exe makes it run the runtime once more: in
 * both cases /proc/PID/exe leads to the host's file, and root in the container
 * could write to it through that (CVE-2019-5736). So the runtime runs itself
 * again from a mount that is read-only, or from a sealed copy in memory.
 */
#pragma once

#include "base/error.h"

/*
 * Returns 0 if this process already runs from such a place; else does not
 * return. Before anything is open that should not survive an exec().
 */
int exe_protect(char **argv, struct error *err) must_check;
