/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acpi.h - the ACPI tables of the board.                        [ACPI 6.5, 5]
 *
 * They lie in the BIOS area below 1 MiB, the RSDP first. The DSDT comes from
 * dsdt.asl, compiled at build time; what varies between machines it reads
 * from `struct acpi_board`, at a fixed address. Where chips are, the machine
 * says: boot/ knows no device.
 */
#pragma once

#include "mem/guest_mem.h"

#define ACPI_TABLES     0xe0000ull /* the RSDP */
#define ACPI_TABLES_END 0xfff00ull
#define ACPI_BOARD      0xfff00ull /* struct acpi_board; also in dsdt.asl */

struct acpi_config {
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
    uint32_t reserved;
};

int acpi_build(const struct acpi_config *cfg, struct guest_mem *m,
               struct error *err) must_check;
