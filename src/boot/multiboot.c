/* SPDX-License-Identifier: Apache-2.0 */
/*
 * multiboot.c - kernels with a header of Multiboot, version 1: an ELF file, or
 * any file whose header says where it goes (the "a.out kludge").
 *                                          [Multiboot 0.6.96]
 * The initrd is the first module. Kernels expect a file's name as the first
 * word of a command line or a module's, as GRUB has given it; here it is a word
 * that says what it is, so that a recorded run does not depend on a path. What
 * video mode a kernel would like is not asked: there is no screen.
 */
#include "boot/boot_int.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define MB_MAGIC  0x1badb002u
#define MB_LOADED 0x2badb002u /* in EAX */
#define MB_SEARCH 8192        /* the header ends within as many bytes */
#define MB_PREFIX "kernel "

#define MB_BIOS      0x600
#define BDA_COM1     0x400 /* its port */
#define BDA_EBDA     0x40e /* segment of the extended area */
#define BDA_BASE_KIB 0x413

enum {
    HDR_MUST = 0xffff, /* whoever does not know these must not load it */
    HDR_ALIGN = 1,     /* modules begin a page: they always do */
    HDR_MEMORY = 2,
    HDR_VIDEO = 4, /* a wish */
    HDR_KNOWN = HDR_ALIGN | HDR_MEMORY | HDR_VIDEO,
    HDR_ADDRESSES = 0x10000,
};

enum {
    INFO_MEMORY = 1 << 0,
    INFO_CMDLINE = 1 << 2,
    INFO_MODULES = 1 << 3,
    INFO_MAP = 1 << 6,
    INFO_LOADER = 1 << 9,
};

struct mb_header {
    uint32_t magic, flags, checksum;
    uint32_t header, load, load_end, bss_end, entry; /* HDR_ADDRESSES */
};
struct mb_info {
    uint32_t flags, mem_lower, mem_upper, boot_device;
    uint32_t cmdline, mods_count, mods_addr, syms[4];
    uint32_t mmap_length, mmap_addr, drives_length, drives_addr;
    uint32_t config_table, loader_name, apm_table, video[6];
};
struct mb_module {
    uint32_t start, end, string, reserved;
};
struct mb_region {
    uint32_t size; /* of what follows */
    struct e820_entry e;
};
struct mb_page {
    struct mb_info info;
    struct mb_module module[1 + BOOT_MODULES_MAX];
    struct mb_region map[BOOT_E820_MAX];
    char loader[16];
};
static_assert(sizeof(struct mb_page) <= BOOT_PARAMS - BOOT_PVH_INFO, "a page");
static_assert(sizeof(struct mb_header) == 32, "the file's structure");
static_assert(sizeof(struct mb_info) == 96, "the kernel's structure");
static_assert(sizeof(struct mb_region) == 24, "the kernel's structure");

struct multiboot {
    struct mb_header h;
    uint64_t at; /* of the header in the file */
    uint64_t entry, end;
    struct mb_module module[1 + BOOT_MODULES_MAX];
    unsigned modules;
    uint32_t strings; /* how much of BOOT_STRINGS is taken */
};

/* The first header whose sum is right; -ENOEXEC: there is none. */
static int mb_find(const struct boot_source *src, struct multiboot *mb,
                   struct error *err)
{
    uint64_t len = MIN(src->kernel.size, (uint64_t)MB_SEARCH), at;
    uint8_t head[MB_SEARCH];

    if (image_read(&src->kernel, 0, head, len, err))
        return -err->code;
    for (at = 0; at + 12 <= len; at += 4) {
        if (get_le32(head + at) != MB_MAGIC ||
            MB_MAGIC + get_le32(head + at + 4) + get_le32(head + at + 8))
            continue;
        mb->at = at;
        memcpy(&mb->h, head + at, MIN(len - at, sizeof(mb->h)));
        if ((mb->h.flags & HDR_ADDRESSES) && at + sizeof(mb->h) > len)
            return boot_bad(src, err,
                            "its multiboot header is cut; get it "
                            "again");
        return 0;
    }
    return -ENOEXEC;
}

/* By the header's addresses. No sum can wrap: all are 32 bits wide. */
static int mb_load_flat(const struct boot_source *src, struct multiboot *mb,
                        struct guest_mem *m, struct error *err)
{
    const struct mb_header *h = &mb->h;
    uint64_t before = (uint64_t)h->header - h->load, off, filesz, memsz;

    if (h->load > h->header || before > mb->at)
        return boot_bad(src, err, "broken multiboot addresses; get it again");
    off = mb->at - before;
    filesz = src->kernel.size - off;
    if (h->load_end) {
        if (h->load_end < h->load || h->load_end - h->load > filesz)
            return boot_bad(src, err, "truncated; get it again");
        filesz = h->load_end - h->load;
    }
    memsz = filesz;
    if (h->bss_end) {
        if (h->bss_end < h->load + filesz)
            return boot_bad(src, err,
                            "broken multiboot addresses; get it again");
        memsz = h->bss_end - h->load;
    }
    mb->entry = h->entry;
    mb->end = h->load + memsz;
    if (mb->entry - h->load >= memsz)
        return boot_bad(src, err,
                        "its multiboot entry is not in it; get it again");
    return boot_place(src, m, off, h->load, filesz, memsz, err);
}

static int mb_load_elf(const struct boot_source *src, struct multiboot *mb,
                       struct guest_mem *m, struct error *err)
{
    struct elf e = {0};
    int rc = elf_open(src, &e, err);

    if (rc == -ENOEXEC)
        return boot_bad(src, err,
                        "a multiboot header without addresses in a file "
                        "that is not ELF; get it again");
    if (!rc)
        rc = elf_load(src, &e, m, err);
    if (rc)
        return rc;
    mb->entry = e.start;
    mb->end = e.end;
    if (!e.start)
        return boot_bad(src, err,
                        "its entry is not in a segment; get it again");
    return 0;
}

static int mb_info(const struct boot_source *src, const struct multiboot *mb,
                   struct guest_mem *m)
{
    struct e820_entry map[BOOT_E820_MAX];
    unsigned i, n = boot_e820(m, src->acpi, map);
    uint32_t at = BOOT_PVH_INFO;
    struct mb_page page = {
        .info = {.flags = INFO_MEMORY | INFO_CMDLINE | INFO_MODULES | INFO_MAP |
                          INFO_LOADER,
                 .mem_lower = BOOT_LOW_END / KiB,
                 .mem_upper = (uint32_t)((m->low_size - BOOT_HIGH_BASE) / KiB),
                 .cmdline = BOOT_CMDLINE,
                 .mods_count = mb->modules,
                 .mods_addr = at + offsetof(struct mb_page, module),
                 .mmap_length = n * (uint32_t)sizeof(page.map[0]),
                 .mmap_addr = at + offsetof(struct mb_page, map),
                 .loader_name = at + offsetof(struct mb_page, loader)},
        .loader = "ringfence",
    };

    memcpy(page.module, mb->module, sizeof(page.module));
    for (i = 0; i < n; i++)
        page.map[i] = (struct mb_region){sizeof(map[0]), map[i]};
    return guest_mem_write(m, at, &page, sizeof(page));
}

/*
 * Some kernels go back to real mode and ask a BIOS, though nobody promised one:
 * every call fails, by the carry flag that the caller gets back. And they look
 * into the BIOS's data area.
 */
static int mb_bios(struct guest_mem *m)
{
    static const uint8_t fail[] = {
        0x55,                   /* push %bp */
        0x89, 0xe5,             /* mov %sp, %bp */
        0x80, 0x4e, 0x06, 0x01, /* orb $1, 6(%bp): CF of the caller */
        0x5d,                   /* pop %bp */
        0xcf,                   /* iret */
    };
    uint8_t page[BOOT_GDT] = {0};
    unsigned i;

    for (i = 0; i < 256; i++)
        put_le16(page + 4 * i, MB_BIOS); /* segment 0 */
    put_le16(page + BDA_COM1, 0x3f8);
    put_le16(page + BDA_EBDA, BOOT_LOW_END >> 4);
    put_le16(page + BDA_BASE_KIB, BOOT_LOW_END / KiB);
    return guest_mem_write(m, 0, page, sizeof(page)) ||
           guest_mem_write(m, MB_BIOS, fail, sizeof(fail)) ||
           guest_mem_write(m, BOOT_LOW_END, "\1", 1); /* EBDA: 1 KiB */
}

/* Its first word, and what the user has given; where it is, or 0. */
static uint32_t mb_string(struct multiboot *mb, struct guest_mem *m,
                          const char *word, const char *text)
{
    uint32_t at = BOOT_STRINGS + mb->strings;
    size_t len = strlen(word), more = text ? strlen(text) : 0;

    if (len + 1 + more + 1 > BOOT_STRINGS_MAX - mb->strings)
        return 0;
    mb->strings += (uint32_t)(len + 1 + more + 1);
    if (guest_mem_write(m, at, word, len + 1))
        return 0;
    if (text && (guest_mem_write(m, at + len, " ", 1) ||
                 guest_mem_write(m, at + len + 1, text, more + 1)))
        return 0;
    return at;
}

/* Modules come right behind the kernel: small ones map no more. */
static int mb_module(const struct image *file, const char *text,
                     struct multiboot *mb, struct guest_mem *m,
                     struct error *err)
{
    uint64_t floor = align_up(mb->end, PAGE_SIZE), room = file->size;
    struct mb_module *mod = &mb->module[mb->modules++];
    gpa_t at;

    if (room < GUEST_HOLE_BASE)
        room = align_up(room, PAGE_SIZE);
    if (boot_file(file, m, floor, floor + room, &at, err))
        return -err->code;
    mb->end = at + file->size;
    *mod = (struct mb_module){.start = (uint32_t)at,
                              .end = (uint32_t)mb->end,
                              .string = mb_string(mb, m, file->what, text)};
    return mod->string ? 0
                       : error_set(err, E2BIG,
                                   "module %s: its text is too long; shorten "
                                   "it",
                                   file->path);
}

static int mb_place(const struct boot_source *src, struct multiboot *mb,
                    struct guest_mem *m, struct error *err)
{
    unsigned i;

    if (src->initrd.fd >= 0 && mb_module(&src->initrd, NULL, mb, m, err))
        return -err->code;
    for (i = 0; i < src->modules; i++)
        if (mb_module(&src->module[i].file, src->module[i].text, mb, m, err))
            return -err->code;
    if (boot_cmdline(src, m, MB_PREFIX, BOOT_CMDLINE_MAX, err))
        return -err->code;
    return mb_info(src, mb, m) || mb_bios(m)
               ? error_set(err, EFAULT, "no memory for the multiboot info")
               : 0;
}

int boot_multiboot(const struct boot_source *src, struct guest_mem *m,
                   struct boot_state *out, struct error *err)
{
    struct multiboot mb = {0};
    int rc = mb_find(src, &mb, err);

    if (rc)
        return rc;
    if (mb.h.flags & HDR_MUST & ~HDR_KNOWN)
        return boot_bad(src, err,
                        "its multiboot header asks for what version 0.6.96 "
                        "does not know; get another");
    rc = mb.h.flags & HDR_ADDRESSES ? mb_load_flat(src, &mb, m, err)
                                    : mb_load_elf(src, &mb, m, err);
    if (!rc)
        rc = mb_place(src, &mb, m, err);
    if (rc)
        return rc;
    out->mode = BOOT_PROT;
    out->rip = mb.entry;
    out->rax = MB_LOADED;
    out->rbx = BOOT_PVH_INFO;
    return 0;
}
