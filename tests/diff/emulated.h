/* SPDX-License-Identifier: Apache-2.0 */
/*
 * emulated.h - the same as native.h, on an engine's virtual CPU.
 */
#pragma once

#include "native.h"
#include "x86/cpuid.h"

/* plain: semantic functions only, without the interpreter's fast paths. */
bool emulated_init(bool plain);
void emulated_fini(void);
const struct cpu_model *emulated_model(void);
uint8_t *emulated_data(void); /* DATA_LEN bytes of guest memory */
/* Copies len bytes of code to CODE_ADDR + off. */
void emulated_code(unsigned off, const uint8_t *code, unsigned len);
/* False: the engine did not come back with an exception. */
bool emulated_run(const struct state *in, struct state *out);
