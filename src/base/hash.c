/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash.c - eight bytes at a time, each multiplied into the state to 128 bits
 * and folded, which carries every bit of the input to every bit of the state.
 */
#include "base/hash.h"

#include <string.h>

#define K0 0x9e3779b97f4a7c15ull
#define K1 0xd6e8feb86659fd93ull

static uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 p = (unsigned __int128)a * b;

    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static uint64_t take(uint64_t h, const uint8_t *p)
{
    uint64_t w;

    memcpy(&w, p, sizeof(w));
    return mix(h ^ w ^ K0, K1);
}

uint64_t hash64(uint64_t seed, const void *buf, size_t len)
{
    const uint8_t *p = buf;
    uint64_t h = mix(seed ^ K0, len ^ K1), w = 0;
    uint64_t a = h, b = h ^ K0, c = h ^ K1;

    /* four at once: a multiplication waits for the one before it */
    for (; len >= 32; len -= 32, p += 32) {
        h = take(h, p);
        a = take(a, p + 8);
        b = take(b, p + 16);
        c = take(c, p + 24);
    }
    h = mix(h ^ mix(a, K0) ^ c, K1 ^ b);
    for (; len >= 8; len -= 8, p += 8)
        h = take(h, p);
    if (len)
        memcpy(&w, p, len);
    return mix(h ^ w, K0);
}
