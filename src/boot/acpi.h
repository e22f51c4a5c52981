/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acpi.h - the ACPI tables of the board.                        [ACPI 6.5, 5]
 *
 * They lie in one area of ACPI_LEN bytes, the RSDP first: below 1 MiB, unless
 * firmware is there. The DSDT comes from dsdt.asl, compiled at build time; what
 * varies between machines it reads from `struct acpi_board`, at the area's end.
 * Where chips are, the machine says: boot/ knows no device.
 */
#pragma once

#include "mem/guest_mem.h"

#define ACPI_TABLES   0xe0000ull /* the area; the RSDP */
#define ACPI_LEN      0x20000ull /* of the area */
#define ACPI_BOARD    0x1ff00ull /* in it: struct acpi_board; see dsdt.asl */
#define ACPI_VMGENID  0x1ff80ull /* in it: 16 bytes of dev/vmgenid.h */
#define ACPI_RSDP_LEN 36

struct acpi_config {
    gpa_t base; /* of the area; 0: ACPI_TABLES */
    unsigned cpus;
    uint32_t pm1_evt, pm1_cnt, pm_tmr; /* ports */
    uint32_t reset_port;
    uint8_t reset_value;
    uint8_t sci_gsi;
    uint8_t century;
    uint64_t lapic_base, ioapic_base;
    uint64_t ecam_base;
    unsigned ecam_buses;
    uint64_t mmio32_base, mmio32_len; /* the PCI bridge's windows */
    uint64_t mmio64_base, mmio64_len;
};

/* What the DSDT reads; keep in step with dsdt.asl. */
struct acpi_board {
    uint64_t mmio64_base, mmio64_last, mmio64_len;
    uint32_t mmio32_base, mmio32_last, mmio32_len;
    uint32_t ecam_buses;
};

static inline gpa_t acpi_base(const struct acpi_config *cfg)
{
    return cfg->base ? cfg->base : ACPI_TABLES;
}

int acpi_build(const struct acpi_config *cfg, struct guest_mem *m,
               struct error *err) must_check;
/* The RSDP alone, for firmware that puts it where an OS looks. */
int acpi_rsdp(const struct acpi_config *cfg, uint8_t rsdp[ACPI_RSDP_LEN],
              struct error *err) must_check;
