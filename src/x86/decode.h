/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decode.h - bytes to `struct insn`; Zydis does the work.
 *
 * A decoder belongs to one vCPU and its CPU model: what the model does not
 * show decodes to #UD (or to what older processors made of it).
 */
#pragma once

#include <Zydis/Zydis.h>

#include "base/error.h"
#include "x86/insn.h"

struct reissue;

struct decoder {
    ZydisDecoder zydis[3]; /* by code width 2, 4, 8 */
    const struct sem_entry *by_mnemonic[ZYDIS_MNEMONIC_MAX_VALUE + 1];
    const struct cpu_model *model;
    struct reissue *reissue; /* SIMD and x87 on the host's units */
};

/* What the decoder hands to those who bind special forms. */
struct zinsn {
    const uint8_t *bytes;
    ZydisDecodedInstruction i;
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

int decoder_init(struct decoder *d, const struct cpu_model *model,
                 struct error *err) must_check;
void decoder_fini(struct decoder *d);

/*
 * Decodes one instruction at page offset `off` (bytes[0] is there), of which
 * `avail` bytes (1..15) can be seen. Returns its length; 0 if it does not end
 * within avail. An invalid instruction gets sem_undefined and a length of at
 * least 1. `exec` is left for the engine.
 */
unsigned insn_decode(struct decoder *d, struct insn *in, const uint8_t *bytes,
                     unsigned avail, unsigned code_width, unsigned off);

/* #GP(0) for more than 15 bytes; MOV with an absolute address. */
enum step sem_too_long(struct vcpu *cpu, const struct insn *in);
enum step sem_mov_moffs(struct vcpu *cpu, const struct insn *in);
