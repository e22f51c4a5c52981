/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_int.h - what the loaders of boot/ share.
 */
#pragma once

#include "boot/boot.h"

/* Each format: -ENOEXEC if the file is of another one, err untouched. */
int boot_bzimage(const struct boot_source *src, struct guest_mem *m,
                 struct boot_state *out, struct error *err);
int boot_elf(const struct boot_source *src, struct guest_mem *m,
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
/* Puts the command line at BOOT_CMDLINE; max: without the final NUL. */
int boot_cmdline(const struct boot_source *src, struct guest_mem *m,
                 uint64_t max, struct error *err);

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
