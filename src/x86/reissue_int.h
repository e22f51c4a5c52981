/* SPDX-License-Identifier: Apache-2.0 */
/* reissue_int.h - what reissue.c and reissue_run.c share. */
#pragma once

#include "x86/access.h"
#include "x86/decode.h"
#include "x86/reissue.h"

#define STUB_BYTES_MAX 512
#define STUB_HASH      4096u
#define CHUNK_BYTES    (1u << 20)
#define CHUNKS_MAX     16u /* then all stubs go, and all decoded code */

/* What a stub reads and writes beside vectors and memory. */
struct frame {
    uint64_t a, c, d; /* rax, rcx, rdx */
    uint64_t flags;
    uint32_t mxcsr; /* the host's, to be restored */
};

typedef int stub_fn(struct fpu *fpu, void *mem, struct frame *f);

struct needs {
    uint16_t vectors, written; /* by register number */
    uint32_t flags_in, flags_out;
    bool vex, vector, fx, mmx, x87, mxcsr;
    bool gpr_reg, gpr_rm, gpr_implicit, gpr_write;
    bool memory, mem_write;
};

/* Which checks come first [SDM 2, exception classes]. */
enum unit { UNIT_X87, UNIT_MMX, UNIT_SSE, UNIT_SSE_MMX, UNIT_AVX };

struct stub {
    stub_fn *run;
    const uint8_t *trap; /* where SIGFPE continues */
    struct needs needs;
    enum unit unit;
    uint8_t align;
    uint8_t key_len;
    uint8_t key[16];
    struct stub *next;
};

struct chunk {
    uint8_t *write, *exec; /* the same pages */
    unsigned used;
    struct chunk *next;
};

struct reissue {
    struct chunk *chunks;
    unsigned chunk_count;
    struct stub *hash[STUB_HASH];
};

/* 0, or 1 after an unmasked floating-point exception. */
int stub_run(struct vcpu *cpu, const struct stub *s, void *mem,
             struct frame *f);

enum step sem_reissue(struct vcpu *cpu, const struct insn *in);
/*
 * Masked moves and gathers touch only the elements that a mask selects, so
 * they are done here, element by element. False: not one of them.
 */
bool masked_bind(struct insn *in, const struct zinsn *z);
