/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names.h - where running machines are found: a folder of the user's own with
 * a unix socket for each, named NAME.sock.
 *
 * It is $XDG_RUNTIME_DIR/ringfence, else /run/ringfence for root and
 * /tmp/ringfence-UID for others. Whoever does not own it has no business there
 * (mode 0700, and that is checked).
 */
#pragma once

#include <sys/un.h>

#include "base/error.h"

#define NAME_LEN_MAX 64

/* Letters, digits, `.`, `_` and `-`, not beginning with a dot or a dash. */
int name_check(const char *name, struct error *err) must_check;

/* The folder's path; `make`: creates it, and checks whose it is. */
int names_folder(char *path, size_t len, bool make,
                 struct error *err) must_check;
/* The address of a machine's socket. */
int name_address(struct sockaddr_un *sa, const char *name,
                 struct error *err) must_check;
