/* SPDX-License-Identifier: Apache-2.0 */
/*
 * debugcon.h - port 0x402, where firmware says what it does; reads of 0xe9
 * tell it that somebody listens. Its lines go to the log, for --verbose.
 */
#pragma once

#include "dev/device.h"
#include "mem/guest_mem.h"

#define DEBUGCON_PORT 0x402

struct debugcon {
    struct device dev;
    struct guest_mem *mem;
    struct io_region regs;
    char line[160]; /* begun; the guest cannot see it: not saved */
    unsigned len;
};

int debugcon_init(struct debugcon *c, struct guest_mem *mem,
                  struct error *err) must_check;
