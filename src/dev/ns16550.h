/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ns16550.h - an NS16550A serial port with FIFOs, over a chardev.
 */
#pragma once

#include "base/loop.h"
#include "dev/device.h"
#include "io/chardev.h"
#include "irq/irq.h"
#include "mem/guest_mem.h"

#define NS16550_COM1     0x3f8
#define NS16550_COM1_IRQ 4
#define NS16550_FIFO     16

struct ns16550 {
    struct device dev;
    struct guest_mem *mem;
    struct io_region regs;
    struct irq_line irq;
    struct chardev *chr;
    struct timer timeout; /* received characters that nobody fetches */

    uint16_t divisor;
    uint8_t ier, fcr, lcr, mcr, scr;
    uint8_t lsr_errors; /* sticky: OE PE FE BI, until LSR is read */
    uint8_t msr;
    bool thre_pending; /* THRE interrupt not yet taken by an IIR read */
    bool timeout_pending;
    uint8_t polls; /* reads of LSR in a row that had nothing to tell */
    uint8_t rx[NS16550_FIFO], rx_head, rx_len;
    uint16_t rx_break;                /* bit by slot: a break character */
    uint8_t tx[NS16550_FIFO], tx_len; /* what the back-end did not take */
};

/* chr may be NULL. */
int ns16550_init(struct ns16550 *u, unsigned instance, struct guest_mem *mem,
                 struct loop *loop, uint16_t port, struct irq_line irq,
                 struct chardev *chr, struct error *err) must_check;
