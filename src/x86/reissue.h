/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reissue.h - x87, MMX, SSE and AVX instructions, run on the host's units.
 *
 * At decode time an instruction is re-encoded with its memory operand
 * rewritten, between loads and stores of the registers it names, in a small
 * generated stub (W^X); at run time sem_reissue() checks and opens memory,
 * calls the stub on the guest's registers, and commits. One cache a vCPU:
 * stubs are found by encoding, and live as long as the cache.
 */
#pragma once

#include "base/error.h"
#include "x86/insn.h"

struct reissue;
struct zinsn;

struct reissue *reissue_new(struct error *err); /* NULL: err says why */
void reissue_free(struct reissue *r);

/* Is this a vector form of a mnemonic that strings use too (MOVSD, CMPSD)? */
bool reissue_owns(const struct zinsn *z);

/*
 * Binds in->sem (and in->imm) to run z. Nonzero: no such instruction is
 * carried; the caller makes it #UD.
 */
int reissue_bind(struct reissue *r, struct insn *in, const struct zinsn *z);

/*
 * Full: at a safe point, drop all decoded code, then reissue_reset(). There
 * is room for any number of blocks' stubs when it first says so.
 */
bool reissue_full(const struct reissue *r);
void reissue_reset(struct reissue *r);
