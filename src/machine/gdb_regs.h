/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gdb_regs.h - the registers as gdb numbers them: one table for the packets
 * and for the target description. Private to the debugger stub.
 */
#pragma once

#include "machine/gdb_int.h"

enum gdb_reg_kind {
    REG_GPR,
    REG_RIP,
    REG_FLAGS,
    REG_SEL,
    REG_ST,
    REG_X87,
    REG_XMM,
    REG_MXCSR,
    REG_BASE,
    REG_KERNEL_GS,
    REG_CR,
    REG_EFER,
    REG_YMMH,
};

/* By feature of the target description, in this order. */
enum gdb_feature {
    GDB_CORE,
    GDB_SSE,
    GDB_SEGMENTS,
    GDB_SYSTEM,
    GDB_AVX,
    GDB_FEATURES,
};

struct gdb_reg {
    const char *name;
    uint8_t bytes;
    uint8_t kind;     /* enum gdb_reg_kind */
    uint8_t index;    /* which of its kind */
    uint8_t feature;  /* enum gdb_feature */
    const char *type; /* gdb's; NULL: intN of its size */
    const char *group;
};

/* NULL behind the last that this machine's vCPUs have. */
const struct gdb_reg *gdb_reg_at(const struct gdb *g, unsigned n);
