/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot.c - finds the loader for a kernel file, and does what all need: memory
 * map, descriptor table, page tables, initrd, command line, ACPI tables.
 */
#include "boot/boot_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/* Flat segments as the boot protocols want them [Linux x86/boot]. */
static const uint64_t boot_gdt64[] = {
    0,
    0,
    0x00af9b000000ffff, /* 0x10: code, L */
    0x00cf93000000ffff, /* 0x18: data */
    0x00008b0000000067, /* 0x20: TSS, busy */
};
static const uint64_t boot_gdt32[] = {
    0,
    0,
    0x00cf9b000000ffff, /* 0x10: code, D */
    0x00cf93000000ffff, /* 0x18: data */
    0x00008b0000000067, /* 0x20: TSS, busy */
};

int boot_open(struct boot_source *src, const char *kernel, const char *initrd,
              struct error *err)
{
    src->kernel.fd = src->initrd.fd = src->firmware.fd = -1;
    if (image_open(&src->kernel, "kernel", kernel, err))
        return -err->code;
    if (initrd && image_open(&src->initrd, "initrd", initrd, err)) {
        image_close(&src->kernel);
        return -err->code;
    }
    return 0;
}

int boot_add_module(struct boot_source *src, const char *path, const char *text,
                    struct error *err)
{
    struct boot_module *mod = &src->module[src->modules];

    rf_assert(src->modules < BOOT_MODULES_MAX);
    if (image_open(&mod->file, "module", path, err))
        return -err->code;
    mod->text = text;
    src->modules++;
    return 0;
}

void boot_close(struct boot_source *src)
{
    while (src->modules)
        image_close(&src->module[--src->modules].file);
    image_close(&src->kernel);
    image_close(&src->initrd);
    image_close(&src->firmware);
    free(src->rom);
    src->rom = NULL;
}

static void e820_add(struct e820_entry *map, unsigned *n, uint64_t from,
                     uint64_t to, enum e820_type type)
{
    if (to > from && *n < BOOT_E820_MAX)
        map[(*n)++] = (struct e820_entry){from, to - from, type};
}

unsigned boot_e820(const struct guest_mem *m, const struct acpi_config *acpi,
                   struct e820_entry map[BOOT_E820_MAX])
{
    unsigned n = 0;

    e820_add(map, &n, 0, BOOT_LOW_END, E820_RAM);
    e820_add(map, &n, BOOT_LOW_END, 0xa0000, E820_RESERVED);
    e820_add(map, &n, ACPI_TABLES, BOOT_HIGH_BASE, E820_RESERVED);
    e820_add(map, &n, BOOT_HIGH_BASE, m->low_size, E820_RAM);
    /* Linux uses ECAM only where the map or the DSDT reserves it. */
    e820_add(map, &n, acpi->ecam_base, acpi->ecam_base + acpi->ecam_buses * MiB,
             E820_RESERVED);
    e820_add(map, &n, GUEST_HIGH_BASE, GUEST_HIGH_BASE + m->high_size,
             E820_RAM);
    return n;
}

unsigned boot_e820_firmware(const struct guest_mem *m,
                            const struct acpi_config *acpi,
                            struct e820_entry map[BOOT_E820_MAX])
{
    unsigned n = 0;

    e820_add(map, &n, 0, acpi_base(acpi), E820_RAM);
    e820_add(map, &n, acpi_base(acpi), acpi_base(acpi) + ACPI_LEN,
             E820_RESERVED);
    e820_add(map, &n, acpi->ecam_base, acpi->ecam_base + acpi->ecam_buses * MiB,
             E820_RESERVED);
    e820_add(map, &n, GUEST_HIGH_BASE, GUEST_HIGH_BASE + m->high_size,
             E820_RAM);
    return n;
}

int boot_initrd(const struct boot_source *src, struct guest_mem *m,
                uint64_t floor, uint64_t limit, gpa_t *addr, struct error *err)
{
    *addr = 0;
    if (src->initrd.fd < 0)
        return 0;
    return boot_file(&src->initrd, m, floor, limit, addr, err);
}

int boot_file(const struct image *rd, struct guest_mem *m, uint64_t floor,
              uint64_t limit, gpa_t *addr, struct error *err)
{
    uint64_t top = align_down(MIN(limit, m->low_size), PAGE_SIZE);

    if (top <= floor || rd->size > top - floor)
        return error_set(err, ENOMEM,
                         "%s %s: its %llu MiB do not fit into "
                         "the guest's %llu MiB beside the kernel; give more "
                         "with --memory",
                         rd->what, rd->path,
                         (unsigned long long)((rd->size + MiB - 1) / MiB),
                         (unsigned long long)(m->ram_size / MiB));
    *addr = align_down(top - rd->size, PAGE_SIZE);
    if (*addr < floor)
        return error_set(err, ENOMEM,
                         "%s %s: no room beside the kernel; "
                         "give more with --memory",
                         rd->what, rd->path);
    return image_load(rd, 0, m, *addr, rd->size, err);
}

int boot_cmdline(const struct boot_source *src, struct guest_mem *m,
                 const char *prefix, uint64_t max, struct error *err)
{
    const char *s = src->append ? src->append : "";
    uint64_t len = strlen(s), before = strlen(prefix);

    max = MIN(max, BOOT_CMDLINE_MAX - 1 - before);
    if (len > max)
        return error_set(err, E2BIG,
                         "--append: %llu characters, this kernel "
                         "takes at most %llu; shorten it",
                         (unsigned long long)len, (unsigned long long)max);
    if (guest_mem_write(m, BOOT_CMDLINE, prefix, before) ||
        guest_mem_write(m, BOOT_CMDLINE + before, s, len + 1))
        return error_set(err, EFAULT, "no memory for the command line");
    return 0;
}

/*
 * Identity map of the low 4 GiB in 2 MiB pages: one PML4, one PDPT and four
 * page directories in a row [SDM 3A 4.5].
 */
static int boot_pages(struct guest_mem *m)
{
    uint8_t page[PAGE_SIZE];
    unsigned i, d;

    memset(page, 0, sizeof(page));
    put_le64(page, (BOOT_PAGES + PAGE_SIZE) | 3);
    if (guest_mem_write(m, BOOT_PAGES, page, sizeof(page)))
        return -EFAULT;
    for (i = 0; i < 4; i++)
        put_le64(page + 8 * i, (BOOT_PAGES + (2 + i) * PAGE_SIZE) | 3);
    if (guest_mem_write(m, BOOT_PAGES + PAGE_SIZE, page, sizeof(page)))
        return -EFAULT;
    for (d = 0; d < 4; d++) {
        for (i = 0; i < 512; i++)
            put_le64(page + 8 * i, (d * 512ull + i) * 2 * MiB | 0x83);
        if (guest_mem_write(m, BOOT_PAGES + (2 + d) * PAGE_SIZE, page,
                            sizeof(page)))
            return -EFAULT;
    }
    return 0;
}

static int boot_tables(const struct boot_source *src, struct guest_mem *m,
                       struct boot_state *out, struct error *err)
{
    bool lng = out->mode == BOOT_LONG;

    out->gdt_base = BOOT_GDT;
    out->gdt_limit = sizeof(boot_gdt64) - 1;
    out->rsp = BOOT_STACK;
    out->cr3 = lng ? BOOT_PAGES : 0;
    if (guest_mem_write(m, BOOT_GDT, lng ? boot_gdt64 : boot_gdt32,
                        sizeof(boot_gdt64)) ||
        (lng && boot_pages(m)))
        return error_set(err, EFAULT, "no memory for the boot tables");
    return acpi_build(src->acpi, m, err);
}

/* No loader knows it. */
static int boot_unknown(const struct boot_source *src, struct error *err)
{
    struct elf e;

    if (!elf_open(src, &e, err))
        return boot_bad(src, err,
                        "no PVH entry note and no multiboot header; give a "
                        "vmlinuz, or a vmlinux built with CONFIG_PVH");
    return error_set(err, ENOEXEC,
                     "kernel %s: neither a bzImage nor an "
                     "ELF file; give an x86-64 vmlinuz or vmlinux",
                     src->kernel.path);
}

int boot_load(const struct boot_source *src, struct guest_mem *m,
              struct boot_state *out, struct error *err)
{
    static int (*const formats[])(const struct boot_source *src,
                                  struct guest_mem *m, struct boot_state *out,
                                  struct error *err) = {
        boot_bzimage,
        boot_pvh,
        boot_multiboot,
    };
    unsigned i;
    int rc;

    *out = (struct boot_state){0};
    /* Everything below has its place in the first 2 MiB at least. */
    if (m->low_size < 2 * MiB)
        return error_set(err, ENOMEM,
                         "--memory: a kernel needs more than "
                         "%llu KiB; give at least 64M",
                         (unsigned long long)(m->ram_size / KiB));
    if (src->rom)
        return boot_firmware(src, m, out, err);
    for (rc = -ENOEXEC, i = 0; rc == -ENOEXEC && i < ARRAY_SIZE(formats); i++)
        rc = formats[i](src, m, out, err);
    if (!rc && src->modules && formats[i - 1] != boot_multiboot)
        return error_set(err, EINVAL,
                         "module %s: only a multiboot kernel takes modules, "
                         "and this is none; leave it out",
                         src->module[0].file.path);
    if (rc == -ENOEXEC)
        return boot_unknown(src, err);
    if (rc)
        return rc;
    return boot_tables(src, m, out, err);
}
