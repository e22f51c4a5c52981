/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bzimage.c - Linux's bzImage by the 64-bit boot protocol, or, if the kernel
 * has no such entry, by the 32-bit one.
 *
 * The setup header sits at 0x1f1 of the file; the protected-mode part follows
 * the setup sectors, and is entered 0x200 bytes in (32 bits: at its start),
 * with RSI pointing to the boot parameters ("zero page"). Offsets and names:
 * Linux, Documentation/arch/x86/boot.rst and zero-page.rst.
 */
#include "boot/boot_int.h"

#include <errno.h>
#include <string.h>

/* In the file and in the boot parameters alike. */
enum {
    HDR_SETUP_SECTS = 0x1f1,
    HDR_BOOT_FLAG = 0x1fe,
    HDR_JUMP = 0x201, /* the header ends at 0x202 + this byte */
    HDR_MAGIC = 0x202,
    HDR_VERSION = 0x206,
    HDR_LOADER = 0x210,
    HDR_LOADFLAGS = 0x211,
    HDR_RAMDISK_IMAGE = 0x218,
    HDR_RAMDISK_SIZE = 0x21c,
    HDR_CMD_LINE_PTR = 0x228,
    HDR_INITRD_ADDR_MAX = 0x22c,
    HDR_KERNEL_ALIGNMENT = 0x230,
    HDR_RELOCATABLE = 0x234,
    HDR_XLOADFLAGS = 0x236,
    HDR_CMDLINE_SIZE = 0x238,
    HDR_PAYLOAD_OFFSET = 0x248,
    HDR_PAYLOAD_LENGTH = 0x24c,
    HDR_SETUP_DATA = 0x250,
    HDR_PREF_ADDRESS = 0x258,
    HDR_INIT_SIZE = 0x260,
    HDR_END_MIN = 0x264,
    HDR_END_MAX = 0x290, /* where the e820 map's neighbours begin */

    ZP_RSDP = 0x070,
    ZP_E820_ENTRIES = 0x1e8,
    ZP_E820 = 0x2d0,
};

struct bzimage {
    uint8_t head[0x400]; /* of the file */
    uint64_t code_off, code_len;
    uint64_t load, init_size;
    uint64_t initrd_max;
    uint32_t cmdline_max;
    bool wide; /* has a 64-bit entry */
};

static int bzimage_bad(const struct boot_source *src, struct error *err,
                       const char *why)
{
    return error_set(err, EINVAL, "kernel %s: %s", src->kernel.path, why);
}

/* Sizes and addresses out of the header, nothing trusted. */
static int bzimage_parse(const struct boot_source *src, struct bzimage *bz,
                         struct error *err)
{
    const uint8_t *h = bz->head;
    uint64_t sects = h[HDR_SETUP_SECTS] ? h[HDR_SETUP_SECTS] : 4;
    uint64_t align = get_le32(h + HDR_KERNEL_ALIGNMENT);

    if (get_le16(h + HDR_VERSION) < 0x20c ||
        HDR_MAGIC + h[HDR_JUMP] < HDR_END_MIN)
        return bzimage_bad(src, err,
                           "boot protocol older than 2.12; give a "
                           "kernel of this decade");
    bz->wide = get_le16(h + HDR_XLOADFLAGS) & 1;
    bz->code_off = (sects + 1) * 512;
    if (bz->code_off + 0x400 > src->kernel.size)
        return bzimage_bad(src, err, "truncated; get it again");
    bz->code_len = src->kernel.size - bz->code_off;
    bz->load = get_le64(h + HDR_PREF_ADDRESS);
    bz->init_size = MAX((uint64_t)get_le32(h + HDR_INIT_SIZE), bz->code_len);
    bz->initrd_max = get_le32(h + HDR_INITRD_ADDR_MAX) + 1ull;
    bz->cmdline_max = get_le32(h + HDR_CMDLINE_SIZE);
    if (bz->load < BOOT_HIGH_BASE || bz->load >= GUEST_HOLE_BASE || !align ||
        (align & (align - 1)) || (bz->load & (align - 1)))
        return bzimage_bad(src, err,
                           "broken header (load address); get it "
                           "again");
    return 0;
}

/*
 * syssize (in 16-byte units) tells a truncated file from a whole one: what
 * is behind it, a signature say, does not matter.
 */
static int bzimage_whole(const struct boot_source *src,
                         const struct bzimage *bz, struct error *err)
{
    uint64_t want = get_le32(bz->head + 0x1f4) * 16ull;

    if (want > bz->code_len + 15)
        return bzimage_bad(src, err, "truncated; get it again");
    return 0;
}

static int bzimage_fits(const struct boot_source *src, const struct bzimage *bz,
                        const struct guest_mem *m, struct error *err)
{
    if (bz->load < m->low_size && bz->init_size <= m->low_size - bz->load)
        return 0;
    return error_set(err, ENOMEM,
                     "kernel %s: needs %llu MiB of memory, the "
                     "guest has %llu; give more with --memory",
                     src->kernel.path,
                     (unsigned long long)((bz->load + bz->init_size) / MiB + 1),
                     (unsigned long long)(m->ram_size / MiB));
}

/* The zero page: the file's setup header, and what a loader fills in. */
static int bzimage_params(const struct boot_source *src,
                          const struct bzimage *bz, struct guest_mem *m,
                          gpa_t initrd)
{
    uint8_t zp[PAGE_SIZE] = {0};
    struct e820_entry map[BOOT_E820_MAX];
    unsigned n = boot_e820(m, src->acpi, map);
    unsigned end = HDR_MAGIC + bz->head[HDR_JUMP];

    end = MIN(end, (unsigned)HDR_END_MAX);
    memcpy(zp + HDR_SETUP_SECTS, bz->head + HDR_SETUP_SECTS,
           end - HDR_SETUP_SECTS);
    zp[HDR_LOADER] = 0xff; /* no number of our own */
    put_le32(zp + HDR_CMD_LINE_PTR, BOOT_CMDLINE);
    put_le64(zp + HDR_SETUP_DATA, 0); /* the list is ours, and empty */
    put_le64(zp + ZP_RSDP, ACPI_TABLES);
    if (initrd) {
        put_le32(zp + HDR_RAMDISK_IMAGE, (uint32_t)initrd);
        put_le32(zp + HDR_RAMDISK_SIZE, (uint32_t)src->initrd.size);
    }
    zp[ZP_E820_ENTRIES] = (uint8_t)n;
    memcpy(zp + ZP_E820, map, n * sizeof(map[0]));
    return guest_mem_write(m, BOOT_PARAMS, zp, sizeof(zp));
}

static int bzimage_place(const struct boot_source *src,
                         const struct bzimage *bz, struct guest_mem *m,
                         struct error *err)
{
    gpa_t initrd;
    int rc;

    rc = boot_initrd(src, m, bz->load + bz->init_size, bz->initrd_max, &initrd,
                     err);
    if (!rc)
        rc = boot_cmdline(src, m, "", bz->cmdline_max, err);
    if (!rc)
        rc = image_load(&src->kernel, bz->code_off, m, bz->load, bz->code_len,
                        err);
    if (!rc && bzimage_params(src, bz, m, initrd))
        rc = error_set(err, EFAULT, "no memory for the boot parameters");
    return rc;
}

int boot_bzimage(const struct boot_source *src, struct guest_mem *m,
                 struct boot_state *out, struct error *err)
{
    struct bzimage bz = {0};
    uint64_t len = MIN((uint64_t)sizeof(bz.head), src->kernel.size);
    int rc;

    if (image_read(&src->kernel, 0, bz.head, len, err))
        return -err->code;
    if (memcmp(bz.head + HDR_MAGIC, "HdrS", 4) ||
        get_le16(bz.head + HDR_BOOT_FLAG) != 0xaa55)
        return -ENOEXEC;
    if (bzimage_parse(src, &bz, err) || bzimage_whole(src, &bz, err) ||
        bzimage_fits(src, &bz, m, err))
        return -err->code;
    rc = src->unpack == BOOT_UNPACK_GUEST
             ? -ENOEXEC
             : boot_packed(src,
                           bz.code_off + get_le32(bz.head + HDR_PAYLOAD_OFFSET),
                           get_le32(bz.head + HDR_PAYLOAD_LENGTH), m, out, err);
    if (!rc || src->unpack == BOOT_UNPACK_HOST)
        return rc;
    if (bzimage_place(src, &bz, m, err))
        return -err->code;
    *out = (struct boot_state){0};
    out->mode = bz.wide ? BOOT_LONG : BOOT_PROT;
    out->rip = bz.load + (bz.wide ? 0x200 : 0);
    out->rsi = BOOT_PARAMS;
    return 0;
}
