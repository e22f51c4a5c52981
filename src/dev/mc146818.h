/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mc146818.h - the MC146818 real-time clock and CMOS RAM at 0x70.
 */
#pragma once

#include "base/loop.h"
#include "dev/device.h"
#include "irq/irq.h"
#include "mem/guest_mem.h"

#define MC146818_IRQ     8
#define MC146818_LEN     128
#define MC146818_CENTURY 0x32 /* for the FADT */

struct mc146818 {
    struct device dev;
    struct guest_mem *mem;
    struct io_region regs;
    struct irq_line irq;
    struct clock *clock;
    struct timer periodic, second; /* second: update-ended and alarm */
    uint8_t index;
    uint8_t ram[MC146818_LEN];
    int64_t epoch;       /* ns since 1970 when the clock shows 0 */
    int64_t offset;      /* what the guest added by setting the time, ns */
    int64_t update_seen; /* s: the last update whose flag was read */
};

/*
 * epoch_ns: the host's wall clock (or --rtc) when the machine's clock is 0,
 * in ns since 1970 UTC.
 */
int mc146818_init(struct mc146818 *c, struct guest_mem *mem, struct loop *loop,
                  struct irq_line irq, int64_t epoch_ns,
                  struct error *err) must_check;
/* CMOS RAM that firmware would have filled (0x0e and up). */
void mc146818_set(struct mc146818 *c, unsigned index, uint8_t val);
