/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firmware.c - a machine that runs firmware (--firmware): its ROM, what fw_cfg
 * and CMOS tell it, and the debug port.
 *
 * The firmware places PCI BARs and lays out memory; the ACPI tables stay ours.
 * They are at the top of RAM below 4 GiB, which the memory map takes away, so
 * that firmware need only put the RSDP where an OS looks for it: that is all
 * that "etc/table-loader" asks for.
 */
#include "machine/machine_int.h"

#include <assert.h>
#include <endian.h>
#include <stdio.h>
#include <string.h>

/* How long the menu of boot devices is offered, and then waits: for ever. */
#define MENU_MS 1000
#define FAIL_MS UINT32_MAX

/* CMOS as BIOSes have it: sizes of memory. */
enum {
    CMOS_BASE_KIB = 0x15, /* two bytes each, low first */
    CMOS_EXT_KIB = 0x17,
    CMOS_EXT_KIB2 = 0x30,
    CMOS_ABOVE_16M = 0x34, /* in 64 KiB */
    CMOS_BOOT_ORDER = 0x3d,
    CMOS_ABOVE_4G = 0x5b, /* three bytes, in 64 KiB */
    CMOS_CPUS = 0x5f,     /* beside the first */
};
#define CMOS_BOOT_DISK 2

/* One command of the table loader; little-endian [QEMU's fw_cfg]. */
struct loader_alloc {
    uint32_t command;
    char file[FW_CFG_NAME_MAX];
    uint32_t align;
    uint8_t zone;
    uint8_t pad[63];
};
static_assert(sizeof(struct loader_alloc) == 128, "firmware's structure");
#define LOADER_ALLOCATE 1
#define LOADER_FSEG     2

#define RSDP_FILE "etc/acpi/rsdp"

static int add_int(struct fw_cfg *f, const char *name, uint64_t v,
                   struct error *err)
{
    v = htole64(v);
    return fw_cfg_add_file(f, name, &v, sizeof(v), err);
}

static int add_numbers(struct machine *m, struct error *err)
{
    uint64_t ram = htole64(m->mem.ram_size);
    uint16_t cpus = htole16((uint16_t)m->cfg->cpus), one = htole16(1);
    struct fw_cfg *f = &m->fw_cfg;

    if (fw_cfg_add(f, FW_CFG_RAM_SIZE, &ram, sizeof(ram), err) ||
        fw_cfg_add(f, FW_CFG_CPUS, &cpus, sizeof(cpus), err) ||
        fw_cfg_add(f, FW_CFG_MAX_CPUS, &cpus, sizeof(cpus), err) ||
        fw_cfg_add(f, FW_CFG_NOGRAPHIC, &one, sizeof(one), err) ||
        fw_cfg_add(f, FW_CFG_BOOT_MENU, &one, sizeof(one), err))
        return -err->code;
    return 0;
}

static int add_map(struct machine *m, struct error *err)
{
    struct e820_entry map[BOOT_E820_MAX];
    unsigned n = boot_e820_firmware(&m->mem, &m->acpi, map);

    return fw_cfg_add_file(&m->fw_cfg, "etc/e820", map,
                           n * (uint32_t)sizeof(map[0]), err);
}

static int add_acpi(struct machine *m, struct error *err)
{
    struct loader_alloc cmd = {
        .command = htole32(LOADER_ALLOCATE),
        .file = RSDP_FILE,
        .align = htole32(16),
        .zone = LOADER_FSEG,
    };
    uint8_t rsdp[ACPI_RSDP_LEN];

    if (acpi_rsdp(&m->acpi, rsdp, err) ||
        fw_cfg_add_file(&m->fw_cfg, RSDP_FILE, rsdp, sizeof(rsdp), err))
        return -err->code;
    return fw_cfg_add_file(&m->fw_cfg, "etc/table-loader", &cmd, sizeof(cmd),
                           err);
}

/* Disks in the order of --disk, as paths of Open Firmware. */
static int add_boot_order(struct machine *m, struct error *err)
{
    char text[MACHINE_DISKS_MAX * 40];
    size_t len = 0;
    unsigned i;

    for (i = 0; i < m->cfg->disks; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len,
                                "/pci@i0cf8/scsi@%x/disk@0,0\n",
                                m->blk[i].v.pci.slot);
    if (!len)
        return 0;
    return fw_cfg_add_file(&m->fw_cfg, "bootorder", text, (uint32_t)len + 1,
                           err);
}

static int add_files(struct machine *m, struct error *err)
{
    struct fw_cfg *f = &m->fw_cfg;

    if (add_numbers(m, err) || add_map(m, err) || add_acpi(m, err) ||
        add_boot_order(m, err) ||
        add_int(f, "etc/sercon-port", NS16550_COM1, err) ||
        add_int(f, "etc/boot-menu-wait", MENU_MS, err) ||
        add_int(f, "etc/boot-fail-wait", FAIL_MS, err) ||
        /* BARs below 4 GiB, where there is room, whatever RAM there is. */
        fw_cfg_add_file(f, "opt/org.seabios/pci64", "no", 3, err))
        return -err->code;
    return 0;
}

int machine_firmware_init(struct machine *m, struct error *err)
{
    if (!m->cfg->firmware)
        return 0;
    if (fw_cfg_init(&m->fw_cfg, &m->mem, err))
        return -err->code;
    machine_device(m, &m->fw_cfg.dev);
    if (add_files(m, err) || debugcon_init(&m->debugcon, &m->mem, err))
        return -err->code;
    machine_device(m, &m->debugcon.dev);
    /* Restored, and the file is gone: it is a reboot that needs it. */
    if (!m->boot.rom)
        return 0;
    return guest_rom_add(&m->mem, m->boot.rom, m->boot.firmware.size, err);
}

void machine_firmware_fini(struct machine *m)
{
    guest_rom_remove(&m->mem);
}

static void cmos_put(struct machine *m, unsigned at, unsigned bytes, uint64_t v)
{
    unsigned i;

    for (i = 0; i < bytes; i++)
        mc146818_set(&m->rtc, at + i, (uint8_t)(v >> (8 * i)));
}

void machine_firmware_power_on(struct machine *m)
{
    uint64_t top = acpi_base(&m->acpi);
    uint64_t above = top > 16 * MiB ? top - 16 * MiB : 0;
    uint64_t ext = MIN((top - MiB) / KiB, 63 * KiB);

    if (!m->cfg->firmware)
        return;
    cmos_put(m, CMOS_BASE_KIB, 2, 640);
    cmos_put(m, CMOS_EXT_KIB, 2, ext);
    cmos_put(m, CMOS_EXT_KIB2, 2, ext);
    cmos_put(m, CMOS_ABOVE_16M, 2, above / (64 * KiB));
    cmos_put(m, CMOS_ABOVE_4G, 3, m->mem.high_size / (64 * KiB));
    cmos_put(m, CMOS_BOOT_ORDER, 1, CMOS_BOOT_DISK);
    cmos_put(m, CMOS_CPUS, 1, m->cfg->cpus - 1);
}
