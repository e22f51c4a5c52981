/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz.h - the frame of a fuzzer: inputs, time limits, what is left of a crash.
 *
 * A fuzzer reads its decisions from an input, a string of bytes, and must
 * survive whatever it says. Inputs are the corpus first, then strings made
 * from the seed: random ones and mutations. The input at hand is written to
 * FUZZ_CRASHES (build/fuzz-crashes) when the process dies or an input takes
 * more than ten seconds; give that file as an argument to see it again, and
 * move it into the corpus when the fault is mended.
 *
 *     NAME [--seed N|random] [--seconds N | --runs N] [FILE...]
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

struct fuzz {
    const uint8_t *data;
    size_t len, at;
};

/* Consume the input; behind its end everything is 0. */
static inline bool fuzz_done(const struct fuzz *f)
{
    return f->at >= f->len;
}

static inline uint8_t fuzz8(struct fuzz *f)
{
    return fuzz_done(f) ? 0 : f->data[f->at++];
}

static inline uint16_t fuzz16(struct fuzz *f)
{
    uint16_t lo = fuzz8(f);

    return (uint16_t)(lo | fuzz8(f) << 8);
}

static inline uint32_t fuzz32(struct fuzz *f)
{
    uint32_t lo = fuzz16(f);

    return lo | (uint32_t)fuzz16(f) << 16;
}

static inline uint64_t fuzz64(struct fuzz *f)
{
    uint64_t lo = fuzz32(f);

    return lo | (uint64_t)fuzz32(f) << 32;
}

/* 0..n-1 */
static inline unsigned fuzz_below(struct fuzz *f, unsigned n)
{
    return n > 256 ? fuzz16(f) % n : fuzz8(f) % n;
}

/* Numbers of the kind that break things: edges, small ones, any. */
uint64_t fuzz_number(struct fuzz *f);

struct fuzz_target {
    const char *name;
    const char *corpus; /* folder below tests/fuzz/corpus */
    size_t max_len;     /* of made inputs */
    unsigned runs;      /* by default */
    void (*one)(struct fuzz *f);
    /* Optional: a valid input to mutate, into buf; its length. */
    size_t (*sample)(uint64_t seed, uint8_t *buf, size_t room);
    bool mixed; /* samples are mutated already: few bytes of few of them are */
};

int fuzz_main(int argc, char **argv, const struct fuzz_target *t);

/*
 * A file of the target's corpus, by any number; owned by the frame, good until
 * the process ends. NULL: there is none.
 */
const uint8_t *fuzz_corpus_file(uint64_t which, size_t *len);

/* For a fuzzer's own claims. */
#define FUZZ_CHECK(cond)                                                       \
    do {                                                                       \
        if (!(cond))                                                           \
            fuzz_failed(#cond, __FILE__, __LINE__);                            \
    } while (0)
noreturn_fn void fuzz_failed(const char *what, const char *file, int line);
/* Calls fn from a signal handler, by CPU time; us 0: no more. */
void fuzz_ticks(void (*fn)(void), unsigned us);
/* Makes the next sequence of a generator; never 0 for long. */
uint64_t fuzz_next(uint64_t *state);
