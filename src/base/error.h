/* SPDX-License-Identifier: Apache-2.0 */
/*
 * error.h - how an error of the host's or the user's travels to cmd/.
 *
 * A fallible function returns 0 or a negative errno and fills the caller's
 * `struct error` with one line: what is wrong, with which object, and what to
 * do. What it quotes may be hostile: whatever is no printable UTF-8 stands as a
 * question mark, so that one line it is, and no terminal obeys it. Callers add
 * context on the way up with error_prefix(). Only cmd/ prints. Errors of the
 * guest's never come this way: they have architectural effects.
 */
#pragma once

#include "base/util.h"

struct error {
    int code;      /* positive errno */
    char msg[512]; /* one line, no newline at the end */
};

/* Sets code and message; returns -code, so that `return error_set(...)`. */
int error_set(struct error *err, int code, const char *fmt, ...)
    printf_like(3, 4);

/* Puts "context: " before the message; returns -err->code. */
int error_prefix(struct error *err, const char *fmt, ...) printf_like(2, 3);
