/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elf.c - an ELF kernel (32 or 64 bits) with a PVH entry.
 *
 * Segments go to their physical addresses. The entry is that of the note
 * XEN_ELFNOTE_PHYS32_ENTRY: 32-bit protected mode, paging off, EBX pointing
 * to `struct hvm_start_info` [Xen, docs/misc/pvh.pandoc].
 */
#include "boot/boot_int.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#define PVH_NOTE        18 /* XEN_ELFNOTE_PHYS32_ENTRY */
#define PVH_MAGIC       0x336ec578u
#define PVH_PHDRS_MAX   64
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

/* Headers of either class, widened. */
struct elf {
    uint64_t phoff;
    unsigned phnum, phentsize;
    bool wide;
    uint64_t entry; /* from the note */
    bool has_entry;
    uint64_t end; /* of the highest segment */
};
struct elf_segment {
    uint32_t type;
    uint64_t offset, paddr, filesz, memsz, align;
};

static int elf_bad(const struct boot_source *src, struct error *err,
                   const char *why)
{
    return error_set(err, EINVAL, "kernel %s: %s", src->kernel.path, why);
}

static int elf_header(const struct boot_source *src, struct elf *e,
                      struct error *err)
{
    union {
        unsigned char ident[EI_NIDENT];
        Elf64_Ehdr e64;
        Elf32_Ehdr e32;
    } h = {{0}};
    uint64_t len = MIN((uint64_t)sizeof(h), src->kernel.size);
    unsigned machine;

    if (image_read(&src->kernel, 0, &h, len, err))
        return -err->code;
    if (memcmp(h.ident, ELFMAG, SELFMAG))
        return -ENOEXEC;
    if (len < sizeof(h))
        return elf_bad(src, err, "truncated; get it again");
    e->wide = h.ident[EI_CLASS] == ELFCLASS64;
    machine = e->wide ? h.e64.e_machine : h.e32.e_machine;
    if (h.ident[EI_DATA] != ELFDATA2LSB ||
        (machine != EM_X86_64 && machine != EM_386))
        return elf_bad(src, err,
                       "an ELF file for another processor; give an "
                       "x86-64 one");
    e->phoff = e->wide ? h.e64.e_phoff : h.e32.e_phoff;
    e->phnum = e->wide ? h.e64.e_phnum : h.e32.e_phnum;
    e->phentsize = e->wide ? h.e64.e_phentsize : h.e32.e_phentsize;
    if (!e->phnum || e->phnum > PVH_PHDRS_MAX ||
        e->phentsize != (e->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)))
        return elf_bad(src, err, "broken ELF program headers; get it again");
    return 0;
}

static int elf_segment(const struct boot_source *src, const struct elf *e,
                       unsigned i, struct elf_segment *s, struct error *err)
{
    union {
        Elf64_Phdr p64;
        Elf32_Phdr p32;
    } p;
    uint64_t off;

    if (__builtin_add_overflow(e->phoff, (uint64_t)i * e->phentsize, &off))
        return elf_bad(src, err, "broken ELF program headers; get it again");
    if (image_read(&src->kernel, off, &p, e->phentsize, err))
        return -err->code;
    if (e->wide)
        *s =
            (struct elf_segment){p.p64.p_type,   p.p64.p_offset, p.p64.p_paddr,
                                 p.p64.p_filesz, p.p64.p_memsz,  p.p64.p_align};
    else
        *s =
            (struct elf_segment){p.p32.p_type,   p.p32.p_offset, p.p32.p_paddr,
                                 p.p32.p_filesz, p.p32.p_memsz,  p.p32.p_align};
    return 0;
}

/* Walks one note segment; sizes inside are checked against what is left. */
static void elf_notes(struct elf *e, const uint8_t *p, uint64_t left,
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
            e->entry = get_le32(p + 12 + name);
            e->has_entry = true;
        }
        room = 12 + name + MIN(align_up(desc, align), room - name);
        p += room;
        left -= room;
    }
}

static int elf_read_notes(const struct boot_source *src, struct elf *e,
                          const struct elf_segment *s, struct error *err)
{
    uint8_t buf[PVH_NOTES_MAX];

    if (s->filesz > sizeof(buf))
        return elf_bad(src, err, "its ELF notes are too long; get it again");
    if (image_read(&src->kernel, s->offset, buf, s->filesz, err))
        return -err->code;
    elf_notes(e, buf, s->filesz, s->align == 8 ? 8 : 4);
    return 0;
}

static int elf_load_segment(const struct boot_source *src, struct elf *e,
                            const struct elf_segment *s, struct guest_mem *m,
                            struct error *err)
{
    uint8_t *p = guest_mem_ptr(m, s->paddr, s->memsz);

    if (s->filesz > s->memsz)
        return elf_bad(src, err, "broken ELF segment sizes; get it again");
    /* Below 1 MiB are our own tables; above 4 GiB no 32-bit entry reaches. */
    if (!p || s->paddr < BOOT_HIGH_BASE || s->paddr >= GUEST_HIGH_BASE)
        return error_set(err, ENOMEM,
                         "kernel %s: wants memory at 0x%llx to "
                         "0x%llx, the guest has %llu MiB; give more with "
                         "--memory",
                         src->kernel.path, (unsigned long long)s->paddr,
                         (unsigned long long)(s->paddr + s->memsz),
                         (unsigned long long)(m->ram_size / MiB));
    if (image_load(&src->kernel, s->offset, m, s->paddr, s->filesz, err))
        return -err->code;
    memset(p + s->filesz, 0, s->memsz - s->filesz);
    guest_mem_written(m, s->paddr, s->memsz);
    e->end = MAX(e->end, s->paddr + s->memsz);
    return 0;
}

static int elf_segments(const struct boot_source *src, struct elf *e,
                        struct guest_mem *m, struct error *err)
{
    struct elf_segment s;
    unsigned i;

    for (i = 0; i < e->phnum; i++) {
        if (elf_segment(src, e, i, &s, err))
            return -err->code;
        if (s.type == PT_LOAD && s.memsz &&
            elf_load_segment(src, e, &s, m, err))
            return -err->code;
        if (s.type == PT_NOTE && elf_read_notes(src, e, &s, err))
            return -err->code;
    }
    if (!e->has_entry)
        return elf_bad(src, err,
                       "no PVH entry note; give a vmlinuz, or a "
                       "vmlinux built with CONFIG_PVH");
    if (!e->end || !guest_mem_ptr(m, e->entry, 1))
        return elf_bad(src, err,
                       "its PVH entry is not in a segment; get it "
                       "again");
    return 0;
}

static int elf_start_info(const struct boot_source *src, struct guest_mem *m,
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

int boot_elf(const struct boot_source *src, struct guest_mem *m,
             struct boot_state *out, struct error *err)
{
    struct elf e = {0};
    gpa_t initrd;
    int rc = elf_header(src, &e, err);

    if (!rc)
        rc = elf_segments(src, &e, m, err);
    if (!rc)
        rc = boot_initrd(src, m, align_up(e.end, PAGE_SIZE), GUEST_HOLE_BASE,
                         &initrd, err);
    if (!rc)
        rc = boot_cmdline(src, m, PVH_CMDLINE_MAX, err);
    if (!rc && elf_start_info(src, m, initrd))
        rc = error_set(err, EFAULT, "no memory for the start info");
    if (rc)
        return rc;
    out->mode = BOOT_PROT;
    out->rip = e.entry;
    out->rbx = BOOT_PVH_INFO;
    return 0;
}
