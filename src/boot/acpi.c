/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acpi.c - RSDP, XSDT, FADT, FACS, MADT, MCFG and DSDT, built in a buffer
 * which is then copied to its place in RAM.
 */
#include "boot/acpi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "boot/boot_int.h"
#include "gen/dsdt_aml.h" /* from dsdt.asl, by the makefile */

#define SDT_HEADER 36
#define FADT_LEN   276 /* revision 6 */
#define FADT_FLAGS 112

enum {
    FADT_WBINVD = 1 << 0,
    FADT_PROC_C1 = 1 << 2,
    FADT_SLP_BUTTON = 1 << 5, /* set: no fixed-hardware sleep button */
    FADT_TMR_VAL_EXT = 1 << 8,
    FADT_RESET_REG = 1 << 10,
};
enum {
    FADT_BOOT_LEGACY = 1 << 0, /* devices on the ISA bus */
    FADT_BOOT_NO_VGA = 1 << 2,
};
enum { SPACE_MEMORY = 0, SPACE_IO = 1 };

#define AML_DWORD 0x0c

struct acpi_buf {
    uint8_t p[ACPI_BOARD];
    uint32_t len;
    uint32_t base; /* where it goes; below 4 GiB */
};

static uint8_t acpi_sum(const uint8_t *p, uint32_t len)
{
    uint8_t sum = 0;

    while (len--)
        sum = (uint8_t)(sum + *p++);
    return (uint8_t)-sum;
}

/* Room for a table; the offset in the buffer. Sizes are ours: no overflow. */
static uint32_t acpi_alloc(struct acpi_buf *b, uint32_t len)
{
    uint32_t at = (uint32_t)align_up(b->len, 64); /* a FACS wants 64 */

    rf_assert(len <= sizeof(b->p) - at);
    b->len = at + len;
    return at;
}

static uint32_t acpi_addr(const struct acpi_buf *b, uint32_t off)
{
    return b->base + off;
}

/* Header and checksum of a finished table [ACPI 5.2.6]. */
static void acpi_finish(uint8_t *t, const char *sig, uint32_t len,
                        uint8_t revision)
{
    memcpy(t, sig, 4);
    put_le32(t + 4, len);
    t[8] = revision;
    t[9] = 0;
    memcpy(t + 10, "RINGFN", 6);
    memcpy(t + 16, "RINGFNCE", 8);
    put_le32(t + 24, 1);
    memcpy(t + 28, "RNGF", 4);
    put_le32(t + 32, 1);
    t[9] = acpi_sum(t, len);
}

/* Generic address structure [ACPI 5.2.3.2]. */
static void acpi_gas(uint8_t *p, uint8_t space, uint8_t bits, uint8_t access,
                     uint64_t addr)
{
    p[0] = space;
    p[1] = bits;
    p[2] = 0;
    p[3] = access;
    put_le64(p + 4, addr);
}

static uint32_t acpi_facs(struct acpi_buf *b)
{
    uint32_t at = acpi_alloc(b, 64);

    memcpy(b->p + at, "FACS", 4);
    put_le32(b->p + at + 4, 64);
    b->p[at + 32] = 2;
    return at;
}

/* The one constant `from` of the bytecode becomes `to` [ACPI 20.2.3]. */
static void acpi_aml_patch(uint8_t *aml, uint32_t len, uint32_t from,
                           uint32_t to)
{
    unsigned found = 0;
    uint32_t i;

    for (i = SDT_HEADER; i + 5 <= len; i++) {
        if (aml[i] != AML_DWORD || get_le32(aml + i + 1) != from)
            continue;
        put_le32(aml + i + 1, to);
        found++;
    }
    rf_assert(found == 1);
}

static uint32_t acpi_dsdt(struct acpi_buf *b)
{
    uint32_t at = acpi_alloc(b, sizeof(dsdt_aml));
    uint8_t *t = b->p + at;

    memcpy(t, dsdt_aml, sizeof(dsdt_aml));
    acpi_aml_patch(t, sizeof(dsdt_aml), ACPI_TABLES + ACPI_BOARD,
                   acpi_addr(b, ACPI_BOARD));
    acpi_aml_patch(t, sizeof(dsdt_aml), ACPI_TABLES + ACPI_VMGENID,
                   acpi_addr(b, ACPI_VMGENID));
    t[9] = 0;
    t[9] = acpi_sum(t, sizeof(dsdt_aml));
    return at;
}

static uint32_t acpi_fadt(struct acpi_buf *b, const struct acpi_config *c,
                          uint32_t facs, uint32_t dsdt)
{
    uint32_t at = acpi_alloc(b, FADT_LEN);
    uint8_t *t = b->p + at;

    put_le32(t + 36, acpi_addr(b, facs));
    put_le32(t + 40, acpi_addr(b, dsdt));
    put_le16(t + 46, c->sci_gsi);
    /* No SMI command port: always in ACPI mode [ACPI 5.2.9]. */
    put_le32(t + 56, c->pm1_evt);
    put_le32(t + 64, c->pm1_cnt);
    put_le32(t + 76, c->pm_tmr);
    t[88] = 4; /* PM1 event block's length */
    t[89] = 2;
    t[91] = 4;
    put_le16(t + 96, 0xfff); /* no C2 */
    put_le16(t + 98, 0xfff); /* no C3 */
    t[108] = c->century;
    put_le16(t + 109, FADT_BOOT_LEGACY | FADT_BOOT_NO_VGA);
    put_le32(t + FADT_FLAGS, FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON |
                                 FADT_TMR_VAL_EXT | FADT_RESET_REG);
    acpi_gas(t + 116, SPACE_IO, 8, 1, c->reset_port);
    t[128] = c->reset_value;
    t[131] = 3; /* minor revision */
    put_le64(t + 132, acpi_addr(b, facs));
    put_le64(t + 140, acpi_addr(b, dsdt));
    acpi_gas(t + 148, SPACE_IO, 32, 2, c->pm1_evt);
    acpi_gas(t + 172, SPACE_IO, 16, 2, c->pm1_cnt);
    acpi_gas(t + 208, SPACE_IO, 32, 3, c->pm_tmr);
    acpi_finish(t, "FACP", FADT_LEN, 6);
    return at;
}

/* An interrupt source override: bus 0 (ISA) [ACPI 5.2.12.5]. */
static uint8_t *madt_override(uint8_t *p, uint8_t irq, uint32_t gsi,
                              uint16_t flags)
{
    p[0] = 2;
    p[1] = 10;
    p[3] = irq;
    put_le32(p + 4, gsi);
    put_le16(p + 8, flags);
    return p + 10;
}

static uint32_t acpi_madt(struct acpi_buf *b, const struct acpi_config *c)
{
    uint32_t len = SDT_HEADER + 8 + 8 * c->cpus + 12 + 2 * 10 + 6;
    uint32_t at = acpi_alloc(b, len);
    uint8_t *t = b->p + at, *p = t + SDT_HEADER + 8;
    unsigned i;

    put_le32(t + 36, (uint32_t)c->lapic_base);
    put_le32(t + 40, 1); /* there is an 8259 pair */
    for (i = 0; i < c->cpus; i++, p += 8) {
        p[1] = 8; /* local APIC */
        p[2] = (uint8_t)i;
        p[3] = (uint8_t)i;
        put_le32(p + 4, 1);
    }
    p[0] = 1; /* I/O APIC */
    p[1] = 12;
    p[2] = 0;
    put_le32(p + 4, (uint32_t)c->ioapic_base);
    p += 12;
    p = madt_override(p, 0, 2, 0);
    /* 0xd: active high, level. */
    p = madt_override(p, c->sci_gsi, c->sci_gsi, 0xd);
    p[0] = 4; /* NMI: every processor's LINT1 */
    p[1] = 6;
    p[2] = 0xff;
    p[5] = 1;
    acpi_finish(t, "APIC", len, 4);
    return at;
}

static uint32_t acpi_mcfg(struct acpi_buf *b, const struct acpi_config *c)
{
    uint32_t len = SDT_HEADER + 8 + 16;
    uint32_t at = acpi_alloc(b, len);
    uint8_t *t = b->p + at;

    put_le64(t + 44, c->ecam_base);
    t[55] = (uint8_t)(c->ecam_buses - 1);
    acpi_finish(t, "MCFG", len, 1);
    return at;
}

static void acpi_roots(struct acpi_buf *b, uint32_t rsdp,
                       const uint32_t *tables, unsigned n)
{
    uint32_t len = SDT_HEADER + 8 * n;
    uint32_t at = acpi_alloc(b, len);
    uint8_t *t = b->p + at, *r = b->p + rsdp;
    unsigned i;

    for (i = 0; i < n; i++)
        put_le64(t + SDT_HEADER + 8 * i, acpi_addr(b, tables[i]));
    acpi_finish(t, "XSDT", len, 1);

    memcpy(r, "RSD PTR ", 8);
    memcpy(r + 9, "RINGFN", 6);
    r[15] = 2;
    put_le32(r + 20, 36);
    put_le64(r + 24, acpi_addr(b, at));
    r[8] = acpi_sum(r, 20);
    r[32] = acpi_sum(r, 36);
}

static int acpi_board_write(const struct acpi_config *c, struct guest_mem *m)
{
    struct acpi_board board = {
        .mmio64_base = c->mmio64_base,
        .mmio64_last = c->mmio64_base + c->mmio64_len - 1,
        .mmio64_len = c->mmio64_len,
        .mmio32_base = (uint32_t)c->mmio32_base,
        .mmio32_last = (uint32_t)(c->mmio32_base + c->mmio32_len - 1),
        .mmio32_len = (uint32_t)c->mmio32_len,
        .ecam_buses = c->ecam_buses,
    };

    return guest_mem_write(m, acpi_base(c) + ACPI_BOARD, &board, sizeof(board));
}

static struct acpi_buf *acpi_make(const struct acpi_config *cfg,
                                  struct error *err)
{
    struct acpi_buf *b = calloc(1, sizeof(*b));
    uint32_t rsdp, facs, dsdt, tables[3];

    if (!b) {
        error_set(err, ENOMEM, "out of memory for the ACPI tables");
        return NULL;
    }
    b->base = (uint32_t)acpi_base(cfg);
    rsdp = acpi_alloc(b, ACPI_RSDP_LEN);
    facs = acpi_facs(b);
    dsdt = acpi_dsdt(b);
    tables[0] = acpi_fadt(b, cfg, facs, dsdt);
    tables[1] = acpi_madt(b, cfg);
    tables[2] = acpi_mcfg(b, cfg);
    acpi_roots(b, rsdp, tables, ARRAY_SIZE(tables));
    return b;
}

int acpi_build(const struct acpi_config *cfg, struct guest_mem *m,
               struct error *err)
{
    struct acpi_buf *b = acpi_make(cfg, err);
    int rc;

    if (!b)
        return -err->code;
    rc = guest_mem_write(m, b->base, b->p, b->len) || acpi_board_write(cfg, m);
    free(b);
    return rc ? error_set(err, EFAULT, "no memory for the ACPI tables") : 0;
}

int acpi_rsdp(const struct acpi_config *cfg, uint8_t rsdp[ACPI_RSDP_LEN],
              struct error *err)
{
    struct acpi_buf *b = acpi_make(cfg, err);

    if (!b)
        return -err->code;
    memcpy(rsdp, b->p, ACPI_RSDP_LEN);
    free(b);
    return 0;
}
