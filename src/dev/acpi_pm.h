/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acpi_pm.h - ACPI fixed hardware: PM1 blocks, PM timer, power button.
 *                                                         [ACPI 6.5, 4.8]
 * The board is always in ACPI mode (no SMI command port). The reset register
 * at 0xcf9 belongs to the PCI host bridge, see pci/pci.h.
 */
#pragma once

#include "base/loop.h"
#include "dev/board.h"
#include "dev/device.h"
#include "irq/irq.h"
#include "mem/guest_mem.h"

/* For the FADT; all are system I/O. */
#define ACPI_PM_BASE     0x600
#define ACPI_PM1_EVT     (ACPI_PM_BASE + 0) /* 4 bytes: status, enable */
#define ACPI_PM1_CNT     (ACPI_PM_BASE + 4) /* 2 bytes */
#define ACPI_PM_TMR      (ACPI_PM_BASE + 8) /* 4 bytes, 32-bit timer */
#define ACPI_PM_LEN      12
#define ACPI_SCI_GSI     9 /* level, active high as the IOAPIC sees it */
#define ACPI_S5_SLP_TYP  5 /* for \_S5 in the DSDT */
#define ACPI_RESET_PORT  0xcf9
#define ACPI_RESET_VALUE 0x06
#define ACPI_PM_HZ       3579545ull

struct acpi_pm {
    struct device dev;
    struct guest_mem *mem;
    struct io_region regs;
    struct irq_line sci;
    const struct board *board;
    struct clock *clock;
    struct timer overflow; /* bit 31 of the timer changes */
    uint16_t status, enable, control;
};

int acpi_pm_init(struct acpi_pm *pm, struct guest_mem *mem, struct loop *loop,
                 struct irq_line sci, const struct board *board,
                 struct error *err) must_check;
/* Has the guest a driver for its power button? */
bool acpi_pm_listens(const struct acpi_pm *pm);
/* The user presses the button. False: the guest does not listen. */
bool acpi_pm_power_button(struct acpi_pm *pm);
