/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.h - memory that is given back all at once: what one parse makes.
 *
 * One thread. A failed allocation ends the process by an assert: arenas hold
 * some hundred KiB of what was read from a file of bounded size.
 */
#pragma once

#include "base/util.h"

struct arena_block;

struct arena {
    struct arena_block *last; /* NULL: nothing yet */
};

/* Zeroed, aligned for any type; lives until arena_free(). */
void *arena_alloc(struct arena *a, size_t size);
char *arena_strdup(struct arena *a, const char *text);
char *arena_printf(struct arena *a, const char *fmt, ...) printf_like(2, 3);
/* What it takes, with what is left over in its blocks. */
size_t arena_size(const struct arena *a);
void arena_free(struct arena *a);
