/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_int.h - what the loaders of boot/ share.
 */
#pragma once

#include "boot/boot.h"

/* Each format: -ENOEXEC if the file is of another one, err untouched. */
int boot_bzimage(const struct boot_source *src, struct guest_mem *m,
                 struct boot_state *out, struct error *err);
int boot_pvh(const struct boot_source *src, struct guest_mem *m,
             struct boot_state *out, struct error *err);
/*
 * The ELF kernel with a PVH note that is packed in the kernel's file, there.
 * Whatever is wrong: nothing is lost, the kernel can unpack itself.
 */
int boot_packed(const struct boot_source *src, uint64_t off, uint64_t len,
                struct guest_mem *m, struct boot_state *out, struct error *err);
int boot_multiboot(const struct boot_source *src, struct guest_mem *m,
                   struct boot_state *out, struct error *err);
/* src->rom, and the tables that it does not make. */
int boot_firmware(const struct boot_source *src, struct guest_mem *m,
                  struct boot_state *out, struct error *err);

/*
 * Puts the initrd as high as `limit` (exclusive) allows, above `floor` (the
 * end of the kernel). addr is 0 when there is no initrd.
 */
int boot_initrd(const struct boot_source *src, struct guest_mem *m,
                uint64_t floor, uint64_t limit, gpa_t *addr, struct error *err);
/* The same for any file. */
int boot_file(const struct image *rd, struct guest_mem *m, uint64_t floor,
              uint64_t limit, gpa_t *addr, struct error *err);
/*
 * Puts the command line at BOOT_CMDLINE, behind a prefix; max: without that and
 * without the final NUL.
 */
int boot_cmdline(const struct boot_source *src, struct guest_mem *m,
                 const char *prefix, uint64_t max, struct error *err);
/* -EINVAL: the kernel's file is at fault. */
int boot_bad(const struct boot_source *src, struct error *err, const char *why);
/* -ENOMEM unless all of it is RAM that a kernel can have and can reach. */
int boot_room(const struct boot_source *src, const struct guest_mem *m,
              uint64_t base, uint64_t len, struct error *err);
/* filesz bytes of the kernel's file, and zeroes up to memsz, which is more. */
int boot_place(const struct boot_source *src, struct guest_mem *m, uint64_t off,
               uint64_t base, uint64_t filesz, uint64_t memsz,
               struct error *err);

/* --- elf.c: either class, widened --- */

struct elf {
    uint64_t phoff;
    unsigned phnum, phentsize;
    bool wide;
    uint64_t entry; /* virtual */
    uint64_t end;   /* of the highest segment, once loaded; 0: none */
    uint64_t start; /* the entry's physical address, likewise; 0: nowhere */
};
struct elf_segment {
    uint32_t type;
    uint64_t offset, vaddr, paddr, filesz, memsz, align;
};

/* -ENOEXEC: not an ELF file, err untouched. */
int elf_open(const struct boot_source *src, struct elf *e, struct error *err);
int elf_segment(const struct boot_source *src, const struct elf *e, unsigned i,
                struct elf_segment *s, struct error *err);
/* All segments; sizes and addresses are checked. */
int elf_load(const struct boot_source *src, struct elf *e, struct guest_mem *m,
             struct error *err);

static inline uint16_t get_le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}
static inline uint32_t get_le32(const uint8_t *p)
{
    return get_le16(p) | (uint32_t)get_le16(p + 2) << 16;
}
static inline uint64_t get_le64(const uint8_t *p)
{
    return get_le32(p) | (uint64_t)get_le32(p + 4) << 32;
}
static inline void put_le16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}
static inline void put_le32(uint8_t *p, uint32_t v)
{
    put_le16(p, (uint16_t)v);
    put_le16(p + 2, (uint16_t)(v >> 16));
}
static inline void put_le64(uint8_t *p, uint64_t v)
{
    put_le32(p, (uint32_t)v);
    put_le32(p + 4, (uint32_t)(v >> 32));
}
