/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pvpanic.h - a port by which a guest says that it has panicked; Linux's
 * pvpanic driver finds it as the ACPI device QEMU0001.
 */
#pragma once

#include "dev/device.h"
#include "mem/guest_mem.h"

#define PVPANIC_PORT 0x505

struct pvpanic {
    struct device dev;
    struct guest_mem *mem;
    struct io_region regs;
    void (*panicked)(void *ctx);
    void *ctx;
};

int pvpanic_init(struct pvpanic *p, struct guest_mem *mem,
                 void (*panicked)(void *ctx), void *ctx,
                 struct error *err) must_check;
