/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pvh.c - an ELF kernel (32 or 64 bits) with a PVH entry: that of the note
 * XEN_ELFNOTE_PHYS32_ENTRY, in 32-bit protected mode, paging off, EBX pointing
 * to `struct hvm_start_info` [Xen, docs/misc/pvh.pandoc].
 */
#include "boot/boot_int.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#define PVH_NOTE        18 /* XEN_ELFNOTE_PHYS32_ENTRY */
#define PVH_MAGIC       0x336ec578u
#define PVH_NOTES_MAX   (64 * KiB)
#define PVH_CMDLINE_MAX 2047

struct hvm_start_info {
    uint32_t magic, version, flags, nr_modules;
    uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
    uint32_t memmap_entries, reserved;
};
struct hvm_modlist_entry {
    uint64_t paddr, size, cmdline_paddr, reserved;
};
struct hvm_memmap_entry {
    uint64_t addr, size;
    uint32_t type, reserved;
};
struct pvh_page {
    struct hvm_start_info info;
    struct hvm_modlist_entry module;
    struct hvm_memmap_entry map[BOOT_E820_MAX];
};
_Static_assert(sizeof(struct hvm_start_info) == 56, "start info");
_Static_assert(sizeof(struct hvm_memmap_entry) == 24, "memory map");

struct pvh {
    struct elf elf;
    uint64_t entry; /* from the note */
    bool has_entry;
};

/* Walks one note segment; sizes inside are checked against what is left. */
static void pvh_notes(struct pvh *v, const uint8_t *p, uint64_t left,
                      uint64_t align)
{
    while (left >= 12) {
        uint64_t name = align_up(get_le32(p), align);
        uint64_t desc = get_le32(p + 4);
        uint64_t room = left - 12;

        if (name > room || desc > room - name)
            return;
        if (get_le32(p + 8) == PVH_NOTE && get_le32(p) == 4 && desc >= 4 &&
            !memcmp(p + 12, "Xen", 4)) {
            v->entry = get_le32(p + 12 + name);
            v->has_entry = true;
        }
        room = 12 + name + MIN(align_up(desc, align), room - name);
        p += room;
        left -= room;
    }
}

static int pvh_read_notes(const struct boot_source *src, struct pvh *v,
                          const struct elf_segment *s, struct error *err)
{
    uint8_t buf[PVH_NOTES_MAX];

    if (s->filesz > sizeof(buf))
        return boot_bad(src, err, "its ELF notes are too long; get it again");
    if (image_read(&src->kernel, s->offset, buf, s->filesz, err))
        return -err->code;
    pvh_notes(v, buf, s->filesz, s->align == 8 ? 8 : 4);
    return 0;
}

static int pvh_find_entry(const struct boot_source *src, struct pvh *v,
                          struct error *err)
{
    struct elf_segment s;
    unsigned i;

    for (i = 0; i < v->elf.phnum; i++) {
        if (elf_segment(src, &v->elf, i, &s, err))
            return -err->code;
        if (s.type == PT_NOTE && pvh_read_notes(src, v, &s, err))
            return -err->code;
    }
    return v->has_entry ? 0 : -ENOEXEC;
}

static int pvh_start_info(const struct boot_source *src, struct guest_mem *m,
                          gpa_t initrd)
{
    struct e820_entry map[BOOT_E820_MAX];
    unsigned i, n = boot_e820(m, src->acpi, map);
    struct pvh_page page = {
        .info =
            {
                .magic = PVH_MAGIC,
                .version = 1,
                .nr_modules = initrd != 0,
                .modlist_paddr =
                    initrd ? BOOT_PVH_INFO + offsetof(struct pvh_page, module)
                           : 0,
                .cmdline_paddr = BOOT_CMDLINE,
                .rsdp_paddr = ACPI_TABLES,
                .memmap_paddr = BOOT_PVH_INFO + offsetof(struct pvh_page, map),
                .memmap_entries = n,
            },
        .module = {.paddr = initrd, .size = src->initrd.size},
    };

    for (i = 0; i < n; i++)
        page.map[i] =
            (struct hvm_memmap_entry){map[i].addr, map[i].size, map[i].type, 0};
    return guest_mem_write(m, BOOT_PVH_INFO, &page, sizeof(page));
}

int boot_pvh(const struct boot_source *src, struct guest_mem *m,
             struct boot_state *out, struct error *err)
{
    struct pvh v = {0};
    gpa_t initrd;
    int rc = elf_open(src, &v.elf, err);

    if (!rc)
        rc = pvh_find_entry(src, &v, err);
    if (!rc)
        rc = elf_load(src, &v.elf, m, err);
    if (!rc && (!v.elf.end || !guest_mem_ptr(m, v.entry, 1)))
        rc = boot_bad(src, err,
                      "its PVH entry is not in a segment; get it "
                      "again");
    if (!rc)
        rc = boot_initrd(src, m, align_up(v.elf.end, PAGE_SIZE),
                         GUEST_HOLE_BASE, &initrd, err);
    if (!rc)
        rc = boot_cmdline(src, m, "", PVH_CMDLINE_MAX, err);
    if (!rc && pvh_start_info(src, m, initrd))
        rc = error_set(err, EFAULT, "no memory for the start info");
    if (rc)
        return rc;
    out->mode = BOOT_PROT;
    out->rip = v.entry;
    out->rbx = BOOT_PVH_INFO;
    return 0;
}
