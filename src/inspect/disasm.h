/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disasm.h - an instruction as text, in AT&T's syntax as gdb and objdump
 * print it, with a symbol for the target of a branch.
 */
#pragma once

#include "inspect/symbols.h"

/*
 * bytes: what stands at rip, up to 15 of them. code_width: 2, 4 or 8. syms
 * may be NULL. Returns the instruction's length; 0, with "(bad)" in buf, if
 * there is none. Does not allocate: fit for a crash.
 */
unsigned disasm(char *buf, size_t len, const uint8_t *bytes, unsigned n,
                unsigned code_width, uint64_t rip, const struct symbols *syms);
