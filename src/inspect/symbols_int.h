/* SPDX-License-Identifier: Apache-2.0 */
/*
 * symbols_int.h - how a table of symbols is put together: symbols_new(),
 * symbols_add() in any order, symbols_finish().
 */
#pragma once

#include <stdatomic.h>

#include "inspect/symbols.h"

#define SYMBOLS_MAX      (1u << 22) /* a kernel with all its modules: 2^18 */
#define SYMBOL_NAME_MAX  512        /* Linux's KSYM_NAME_LEN */
#define SYMBOLS_NAME_MAX (256u << 20)

struct symbol {
    uint64_t addr;
    uint32_t name; /* offset in names */
    uint32_t rank; /* of several at an address, the lowest is the best */
};

struct symbols {
    struct symbol *sym;
    unsigned count, room;
    unsigned low; /* those before it are offsets (per CPU), not addresses */
    bool upper;   /* the addresses are in the upper half */
    char *names;
    size_t names_len, names_room;
    bool moves;     /* the run's addresses are the link's + slide */
    uint64_t entry; /* of system calls, as linked; 0: not known */
    _Atomic uint64_t slide;
};

/* NULL: out of memory. */
struct symbols *symbols_new(void);
/*
 * name: len bytes. Names that are empty, too long, or not of ASCII's visible
 * characters are passed over: they come from a guest and go to a terminal.
 * Nonzero: out of memory, or too many.
 */
int symbols_add(struct symbols *s, uint64_t addr, const char *name, size_t len,
                bool weak) must_check;
/* Sorts. moves: the addresses are the link's. False: there are none. */
bool symbols_finish(struct symbols *s, bool moves);
