/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define ARENA_BLOCK (16 * KiB)
#define ARENA_ALIGN 16

struct arena_block {
    struct arena_block *before;
    size_t used, size;
    _Alignas(ARENA_ALIGN) char data[];
};

static struct arena_block *block_new(struct arena *a, size_t size)
{
    struct arena_block *b;

    size = MAX(size, ARENA_BLOCK);
    b = malloc(sizeof(*b) + size);
    rf_assert(b != NULL);
    b->before = a->last;
    b->used = 0;
    b->size = size;
    a->last = b;
    return b;
}

void *arena_alloc(struct arena *a, size_t size)
{
    struct arena_block *b = a->last;
    void *p;

    rf_assert(size <= SIZE_MAX / 2);
    size = align_up(size, ARENA_ALIGN);
    if (!b || size > b->size - b->used)
        b = block_new(a, size);
    p = b->data + b->used;
    b->used += size;
    return memset(p, 0, size);
}

char *arena_strdup(struct arena *a, const char *text)
{
    size_t n = strlen(text) + 1;

    return memcpy(arena_alloc(a, n), text, n);
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    char *text;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    rf_assert(n >= 0);
    text = arena_alloc(a, (size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(text, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return text;
}

size_t arena_size(const struct arena *a)
{
    const struct arena_block *b;
    size_t n = 0;

    for (b = a->last; b; b = b->before)
        n += sizeof(*b) + b->size;
    return n;
}

void arena_free(struct arena *a)
{
    while (a->last) {
        struct arena_block *b = a->last;

        a->last = b->before;
        free(b);
    }
}
