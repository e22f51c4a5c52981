/* SPDX-License-Identifier: Apache-2.0 */
/*
 * util.h - the handful of macros that every layer uses.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define likely(x)         __builtin_expect(!!(x), 1)
#define unlikely(x)       __builtin_expect(!!(x), 0)
#define ARRAY_SIZE(a)     (sizeof(a) / sizeof((a)[0]))
#define BIT(n)            (1u << (n))
#define BIT64(n)          (1ull << (n))
#define MIN(a, b)         ((a) < (b) ? (a) : (b))
#define MAX(a, b)         ((a) > (b) ? (a) : (b))
#define must_check        __attribute__((warn_unused_result))
#define printf_like(f, a) __attribute__((format(printf, f, a)))
#define noreturn_fn       __attribute__((noreturn))

#define container_of(ptr, type, member)                                        \
    ((type *)((char *)(ptr)-offsetof(type, member)))

#define KiB (1024ull)
#define MiB (1024ull * KiB)
#define GiB (1024ull * MiB)

/* Both must be powers of two where align is concerned. */
static inline uint64_t align_down(uint64_t v, uint64_t align)
{
    return v & ~(align - 1);
}

static inline uint64_t align_up(uint64_t v, uint64_t align)
{
    return (v + align - 1) & ~(align - 1);
}

/* All ones in the low `bytes` bytes; bytes is 1, 2, 4 or 8. */
static inline uint64_t width_mask(unsigned bytes)
{
    return ~0ull >> (64 - 8 * bytes);
}

/* Sign-extends the low `bytes` bytes of v to 64 bits. */
static inline uint64_t sign_extend(uint64_t v, unsigned bytes)
{
    unsigned shift = 64 - 8 * bytes;

    return (uint64_t)((int64_t)(v << shift) >> shift);
}
