/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native.h - one user-mode CPU state, and running an instruction from it on
 * the host's own CPU.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Where everything is, on the host and in the guest: a page of code, then
 * data: two pages to write, one to read, one that is not there. Low enough
 * for 32-bit addresses and RIP-relative displacements.
 */
#define CODE_ADDR 0x20000000ull
#define CODE_LEN  0x2000ull /* the second page: for code that crosses */
#define DATA_ADDR 0x20010000ull
#define DATA_LEN  0x3000ull /* the last page of it is read-only */
#define DATA_RW   0x2000ull

struct state {
    uint64_t gpr[16]; /* in encoding order */
    uint64_t rip, rflags;
    uint32_t mxcsr;
    uint8_t x87[160]; /* head of an FXSAVE64 image, without MXCSR */
    uint8_t ymm[16][32];
    bool code32; /* in: compatibility mode */
    /* after: how it ended */
    unsigned vector, error;
    uint64_t cr2;
};

/*
 * Maps code and data, takes the signals; after the engine has taken those it
 * wants. False: not on this host.
 */
bool native_init(void);
/* Loads DS and ES, which compatibility mode looks at. */
void native_use_32(void);
uint8_t *native_code(void);
uint8_t *native_data(void); /* DATA_LEN bytes, writable alias */

/*
 * Runs what stands at in->rip until an exception, which the code sees to
 * (INT3 behind it).
 */
void native_run(const struct state *in, struct state *out);
