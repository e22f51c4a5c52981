/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot.c - kernel files that lie. The input is the file; samples are small
 * bzImages, ELF files with a PVH note and multiboot kernels that would be
 * loaded as they are.
 */
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "boot/boot.h"
#include "world.h"

static struct guest_mem mem;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void le(uint8_t *p, unsigned bytes, uint64_t v)
{
    memcpy(p, &v, bytes);
}

static size_t sample_bzimage(uint64_t seed, uint8_t *b)
{
    size_t len = 0x2000;

    memset(b, (int)(seed & 0xff), len);
    b[0x1f1] = 1;
    le(b + 0x1f4, 4, (len - 1024) / 16);
    le(b + 0x1fe, 2, 0xaa55);
    memcpy(b + 0x200, "\xeb\x6aHdrS\x0f\x02", 8);
    b[0x211] = 1;
    le(b + 0x22c, 4, 0x7fffffff);
    le(b + 0x230, 4, 0x200000);
    b[0x234] = 1;
    le(b + 0x236, 2, 1);
    le(b + 0x238, 4, 2047);
    le(b + 0x258, 8, 0x1000000);
    le(b + 0x260, 4, 0x200000);
    return len;
}

static size_t sample_elf(uint64_t seed, uint8_t *b)
{
    static const uint8_t note[] = {4, 0, 0,   0,   4,   0, 0, 0, 18, 0,
                                   0, 0, 'X', 'e', 'n', 0, 0, 0, 0,  1};
    size_t len = 0x1000;

    memset(b, 0, len);
    memcpy(b,
           "\x7f"
           "ELF\x02\x01\x01",
           7);
    b[16] = 2;
    b[18] = 62;
    b[20] = 1;
    le(b + 24, 8, 0x1000000);
    b[32] = 64;
    b[52] = 64;
    b[54] = 56;
    b[56] = 2;
    le(b + 64, 4, 1);
    le(b + 64 + 8, 8, 0x200);
    le(b + 64 + 24, 8, 0x1000000);
    le(b + 64 + 32, 8, 0x100 + (seed & 0xff));
    le(b + 64 + 40, 8, 0x2000);
    le(b + 120, 4, 4);
    le(b + 120 + 8, 8, 0x100);
    le(b + 120 + 32, 8, sizeof(note));
    le(b + 120 + 40, 8, sizeof(note));
    le(b + 120 + 48, 8, 4);
    memcpy(b + 0x100, note, sizeof(note));
    return len;
}

/* The ELF file in a bzImage, packed. */
static size_t sample_packed(uint64_t seed, uint8_t *b)
{
    uint8_t elf[0x1000], *at = b + 0x800;
    size_t len = sample_elf(seed >> 1, elf), room = 0x700, n;
    z_stream z = {.next_in = elf, .avail_in = (uInt)len, .next_out = at};

    sample_bzimage(seed, b);
    if (seed & 1) {
        n = ZSTD_compress(at, room, elf, len, 1);
        le(at + n, 4, len);
        n += 4;
    } else {
        z.avail_out = (uInt)room;
        FUZZ_CHECK(deflateInit2(&z, 1, Z_DEFLATED, 31, 8, 0) == Z_OK);
        FUZZ_CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
        deflateEnd(&z);
        n = z.total_out;
    }
    le(b + 0x1f4, 4, (0x1000 - 1024) / 16);
    le(b + 0x248, 4, 0x400);
    le(b + 0x24c, 4, n);
    return 0x1000;
}

static void multiboot_header(uint8_t *b, uint32_t flags)
{
    le(b, 4, 0x1badb002);
    le(b + 4, 4, flags);
    le(b + 8, 4, 0u - 0x1badb002 - flags);
}

/* Its place is in the header. */
static size_t sample_flat(uint64_t seed, uint8_t *b)
{
    unsigned at = seed & 0x7c;

    memset(b, 0, 0x400);
    multiboot_header(b + at, 0x10003);
    le(b + at + 12, 4, 0x100000 + at);
    le(b + at + 16, 4, 0x100000);
    le(b + at + 20, 4, 0x100400);
    le(b + at + 24, 4, 0x102000);
    le(b + at + 28, 4, 0x100100);
    return 0x400;
}

/* The segment is at a virtual address, of 32 bits. */
static size_t sample_elf32(uint64_t seed, uint8_t *b)
{
    static const uint8_t ident[] = {0x7f, 'E', 'L', 'F', 1, 1, 1};

    memset(b, 0, 0x400);
    memcpy(b, ident, sizeof(ident));
    b[16] = 2;
    b[18] = 3;
    b[20] = 1;
    le(b + 24, 4, 0xc0100000);
    b[28] = 52;
    b[40] = 52;
    b[42] = 32;
    b[44] = 1;
    le(b + 52, 4, 1);
    le(b + 52 + 4, 4, 0x100);
    le(b + 52 + 8, 4, 0xc0100000);
    le(b + 52 + 12, 4, 0x100000);
    le(b + 52 + 16, 4, 0x100 + (seed & 0xff));
    le(b + 52 + 20, 4, 0x2000);
    multiboot_header(b + 0x100, 7);
    return 0x400;
}

static size_t sample(uint64_t seed, uint8_t *buf, size_t room)
{
    (void)room;
    switch (seed & 3) {
    case 0:
        return (seed & 4 ? sample_packed : sample_bzimage)(seed >> 8, buf);
    case 1:
        return sample_elf(seed >> 8, buf);
    case 2:
        return sample_flat(seed >> 8, buf);
    default:
        return sample_elf32(seed >> 8, buf);
    }
}

static void one(struct fuzz *f)
{
    static const struct acpi_config acpi = {
        .cpus = 2,
        .ecam_base = 0xe0000000,
        .ecam_buses = 256,
        .mmio32_base = 0xc0000000,
        .mmio32_len = 0x20000000,
        .mmio64_base = 0x400000000,
        .mmio64_len = 0x400000000,
    };
    struct boot_source src = {.append = "console=ttyS0", .acpi = &acpi};
    static const enum boot_unpack by[] = {BOOT_UNPACK_AUTO, BOOT_UNPACK_HOST,
                                          BOOT_UNPACK_AUTO, BOOT_UNPACK_GUEST};
    int fd = memfd_create("kernel", MFD_CLOEXEC);
    struct boot_state out;
    struct error err = {0};
    char path[64];

    src.unpack = by[f->len >> 3 & 3];
    FUZZ_CHECK(fd >= 0);
    FUZZ_CHECK(write(fd, f->data, f->len) == (ssize_t)f->len);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    /* Every other input is its own initrd, and three of four modules, too. */
    if (boot_open(&src, path, f->len & 1 ? path : NULL, &err)) {
        FUZZ_CHECK(err.code && err.msg[0] && !strchr(err.msg, '\n'));
    } else {
        for (size_t i = 0; i < (f->len >> 1) % 4; i++)
            FUZZ_CHECK(!boot_add_module(&src, path, i ? "text" : NULL, &err));
        if (boot_load(&src, &mem, &out, &err))
            FUZZ_CHECK(err.code && err.msg[0] && !strchr(err.msg, '\n'));
        boot_close(&src);
    }
    close(fd);
}

static const struct fuzz_target target = {
    .name = "boot",
    .corpus = "boot",
    .max_len = 4096,
    .runs = 50000,
    .one = one,
    .sample = sample,
};

int main(int argc, char **argv)
{
    struct error err;
    int rc;

    FUZZ_CHECK(!guest_mem_init(&mem, 64 * MiB, &lock, &err));
    world_fence(&mem);
    rc = fuzz_main(argc, argv, &target);
    guest_mem_fini(&mem);
    return rc;
}
