/* SPDX-License-Identifier: Apache-2.0 */
/* boot_load.c - claims about what the loaders leave for a kernel's entry. */
#include <errno.h>
#include <stdlib.h>
#include <lz4.h>
#include <lzma.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "boot/boot.h"

#include "test.h"

#define RAM (64 * MiB)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct bench {
    struct guest_mem mem;
    struct acpi_config acpi;
    struct boot_source src;
    struct boot_state out;
    struct error err;
};

static void le(uint8_t *p, unsigned bytes, uint64_t v)
{
    memcpy(p, &v, bytes);
}

/* The file, loaded; the result. */
static int load_by(struct bench *b, const void *file, size_t len,
                   enum boot_unpack unpack)
{
    int fd = memfd_create("kernel", MFD_CLOEXEC), rc;
    char path[64];

    memset(b, 0, sizeof(*b));
    CHECK_EQ(guest_mem_init(&b->mem, RAM, &lock, &b->err), 0);
    b->acpi = (struct acpi_config){.cpus = 2,
                                   .ecam_base = 0xe0000000,
                                   .ecam_buses = 256,
                                   .mmio32_base = 0xc0000000,
                                   .mmio32_len = 0x20000000,
                                   .mmio64_base = 0x400000000,
                                   .mmio64_len = 0x400000000};
    b->src.append = "a b";
    b->src.unpack = unpack;
    b->src.acpi = &b->acpi;
    CHECK_EQ(write(fd, file, len), len);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CHECK_EQ(boot_open(&b->src, path, NULL, &b->err), 0);
    rc = boot_load(&b->src, &b->mem, &b->out, &b->err);
    boot_close(&b->src);
    close(fd);
    return rc;
}

static int load(struct bench *b, const void *file, size_t len)
{
    return load_by(b, file, len, BOOT_UNPACK_AUTO);
}

static uint64_t get(struct bench *b, gpa_t at, unsigned bytes)
{
    uint64_t v = 0;

    CHECK_EQ(guest_mem_read(&b->mem, at, &v, bytes), 0);
    return v;
}

/* The L and D bits of the code segment. */
static unsigned code_bits(struct bench *b)
{
    return get(b, b->out.gdt_base + BOOT_SEL_CODE + 6, 1) >> 5 & 3;
}

static size_t bzimage(uint8_t *f, bool wide)
{
    size_t len = 0x2000;

    memset(f, 0x90, len);
    f[0x1f1] = 1;
    le(f + 0x1f4, 4, (len - 1024) / 16);
    le(f + 0x1fe, 2, 0xaa55);
    memcpy(f + 0x200, "\xeb\x6aHdrS\x0f\x02", 8);
    f[0x211] = 1;
    le(f + 0x22c, 4, 0x7fffffff);
    le(f + 0x230, 4, 0x200000);
    f[0x234] = 1;
    le(f + 0x236, 2, wide);
    le(f + 0x238, 4, 2047);
    le(f + 0x258, 8, 0x1000000);
    le(f + 0x260, 4, 0x200000);
    return len;
}

static void a_bzimage_is_entered_in_64_bits(void)
{
    uint8_t f[0x2000];
    struct bench b;

    CHECK_EQ(load(&b, f, bzimage(f, true)), 0);
    CHECK_EQ(b.out.mode, BOOT_LONG);
    CHECK_EQ(b.out.rip, 0x1000200);
    CHECK_EQ(b.out.rsi, BOOT_PARAMS);
    CHECK_EQ(b.out.cr3, BOOT_PAGES);
    CHECK_EQ(code_bits(&b), 1); /* L */
    CHECK_EQ(get(&b, 0x1000000, 1), 0x90);
    guest_mem_fini(&b.mem);
}

static void one_without_a_64_bit_entry_in_32_bits(void)
{
    uint8_t f[0x2000];
    struct bench b;

    CHECK_EQ(load(&b, f, bzimage(f, false)), 0);
    CHECK_EQ(b.out.mode, BOOT_PROT);
    CHECK_EQ(b.out.rip, 0x1000000);
    CHECK_EQ(b.out.rsi, BOOT_PARAMS);
    CHECK_EQ(b.out.rbx, 0);
    CHECK_EQ(b.out.cr3, 0);
    CHECK_EQ(code_bits(&b), 2); /* D */
    CHECK_EQ(get(&b, BOOT_PARAMS + 0x202, 4), 0x53726448);
    CHECK_EQ(get(&b, BOOT_PARAMS + 0x228, 4), BOOT_CMDLINE);
    CHECK_EQ(get(&b, BOOT_CMDLINE, 4), 0x622061); /* "a b" */
    CHECK(get(&b, BOOT_PARAMS + 0x1e8, 1) >= 4);  /* the memory map */
    guest_mem_fini(&b.mem);
}

/* An ELF kernel at 16 MiB with a PVH note: 0x1000010. */
static size_t elf(uint8_t *f)
{
    static const uint8_t note[] = {4, 0, 0,   0,   4,   0, 0,    0, 18, 0,
                                   0, 0, 'X', 'e', 'n', 0, 0x10, 0, 0,  1};
    size_t len = 0x1000;

    memset(f, 0, len);
    memcpy(f, "\x7f\x45LF\x02\x01\x01", 7);
    f[16] = 2;
    f[18] = 62;
    f[32] = 64;
    f[54] = 56;
    f[56] = 2;
    le(f + 64, 4, 1);
    le(f + 64 + 8, 8, 0x200);
    le(f + 64 + 24, 8, 0x1000000);
    le(f + 64 + 32, 8, 0x100);
    le(f + 64 + 40, 8, 0x2000);
    memset(f + 0x200, 0xab, 0x100);
    le(f + 120, 4, 4);
    le(f + 120 + 8, 8, 0x100);
    le(f + 120 + 32, 8, sizeof(note));
    le(f + 120 + 48, 8, 4);
    memcpy(f + 0x100, note, sizeof(note));
    return len;
}

static size_t pack_gzip(const uint8_t *in, size_t len, uint8_t *out, size_t n)
{
    z_stream z = {.next_in = (uint8_t *)(uintptr_t)in, .avail_in = len};

    z.next_out = out;
    z.avail_out = n;
    CHECK_EQ(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, 0), Z_OK);
    CHECK_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

static size_t pack_xz(const uint8_t *in, size_t len, uint8_t *out, size_t n)
{
    size_t done = 0;

    CHECK_EQ(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, NULL, in, len, out,
                                     &done, n),
             LZMA_OK);
    return done;
}

static size_t pack_lzma(const uint8_t *in, size_t len, uint8_t *out, size_t n)
{
    lzma_stream s = LZMA_STREAM_INIT;
    lzma_options_lzma o;

    lzma_lzma_preset(&o, 6);
    CHECK_EQ(lzma_alone_encoder(&s, &o), LZMA_OK);
    s.next_in = in;
    s.avail_in = len;
    s.next_out = out;
    s.avail_out = n;
    CHECK_EQ(lzma_code(&s, LZMA_FINISH), LZMA_STREAM_END);
    lzma_end(&s);
    return s.total_out;
}

static size_t pack_lz4(const uint8_t *in, size_t len, uint8_t *out, size_t n)
{
    int part = LZ4_compress_default((const char *)in, (char *)out + 8, (int)len,
                                    (int)n - 8);

    memcpy(out, "\x02\x21\x4c\x18", 4);
    le(out + 4, 4, (uint64_t)part);
    return (size_t)part + 8;
}

static size_t pack_zstd(const uint8_t *in, size_t len, uint8_t *out, size_t n)
{
    return ZSTD_compress(out, n, in, len, 3);
}

typedef size_t pack_fn(const uint8_t *in, size_t len, uint8_t *out, size_t n);

/* A bzImage that carries that ELF; returns where its packed part begins. */
static uint8_t *packed_bzimage(uint8_t f[0x2000], pack_fn *pack, size_t *len)
{
    uint8_t e[0x1000], *at = f + 0x1000;

    bzimage(f, true);
    *len = pack(e, elf(e), at, 0xf00);
    if (pack != pack_gzip) { /* which has it already */
        le(at + *len, 4, sizeof(e));
        *len += 4;
    }
    le(f + 0x248, 4, 0xc00);
    le(f + 0x24c, 4, *len);
    return at;
}

static void a_packed_kernel_is_entered_by_pvh(void)
{
    static pack_fn *const packs[] = {pack_gzip, pack_xz, pack_lzma, pack_lz4,
                                     pack_zstd};
    uint8_t f[0x2000];
    struct bench b;
    size_t len;

    for (unsigned i = 0; i < ARRAY_SIZE(packs); i++) {
        for (unsigned by = BOOT_UNPACK_HOST; by <= BOOT_UNPACK_AUTO; by++) {
            packed_bzimage(f, packs[i], &len);
            CHECK_EQ(load_by(&b, f, sizeof(f), by), 0);
            CHECK_EQ(b.out.mode, BOOT_PROT);
            CHECK_EQ(b.out.rip, 0x1000010);
            CHECK_EQ(b.out.rbx, BOOT_PVH_INFO);
            CHECK_EQ(get(&b, 0x1000000, 1), 0xab);
            CHECK_EQ(get(&b, 0x1001fff, 1), 0);
            CHECK_EQ(get(&b, BOOT_CMDLINE, 4), 0x622061);
            guest_mem_fini(&b.mem);
        }
        CHECK_EQ(load_by(&b, f, sizeof(f), BOOT_UNPACK_GUEST), 0);
        CHECK_EQ(b.out.mode, BOOT_LONG);
        CHECK_EQ(b.out.rip, 0x1000200);
        guest_mem_fini(&b.mem);
    }
}

/* One byte anywhere in what is packed, its place or its size. */
static void a_damaged_one_unpacks_itself(void)
{
    static pack_fn *const packs[] = {pack_gzip, pack_xz, pack_lz4, pack_zstd};
    uint8_t f[0x2000], *at;
    struct bench b;
    size_t len;
    int rc;

    for (unsigned i = 0; i < ARRAY_SIZE(packs); i++) {
        at = packed_bzimage(f, packs[i], &len);
        for (size_t k = 0; k < len; k += 7) {
            at[k] ^= 0x55;
            CHECK_EQ(load(&b, f, sizeof(f)), 0);
            CHECK(b.out.rip == 0x1000200 || b.out.mode == BOOT_PROT);
            guest_mem_fini(&b.mem);
            rc = load_by(&b, f, sizeof(f), BOOT_UNPACK_HOST);
            CHECK(!rc || (rc == -EINVAL && strstr(b.err.msg, "--unpack")) ||
                  b.err.msg[0]);
            guest_mem_fini(&b.mem);
            at[k] ^= 0x55;
        }
        at[0] ^= 0x55; /* of no format */
        CHECK_EQ(load(&b, f, sizeof(f)), 0);
        CHECK_EQ(b.out.rip, 0x1000200);
        CHECK_EQ(b.out.mode, BOOT_LONG);
        CHECK_EQ(b.out.rbx, 0);
        guest_mem_fini(&b.mem);
    }
    for (unsigned off = 0x248; off < 0x250; off += 4) {
        packed_bzimage(f, pack_zstd, &len);
        le(f + off, 4, 0xfffffff0);
        CHECK_EQ(load(&b, f, sizeof(f)), 0);
        CHECK_EQ(b.out.rip, 0x1000200);
        guest_mem_fini(&b.mem);
        CHECK_EQ(load_by(&b, f, sizeof(f), BOOT_UNPACK_HOST), -EINVAL);
        guest_mem_fini(&b.mem);
    }
    at = packed_bzimage(f, pack_zstd, &len);
    le(at + len - 4, 4, 0xffffffff); /* larger than memory */
    CHECK_EQ(load_by(&b, f, sizeof(f), BOOT_UNPACK_HOST), -EINVAL);
    guest_mem_fini(&b.mem);
}

static void a_multiboot_kernel_finds_its_magic(void)
{
    static const uint32_t head[] = {0x1badb002, 0x10003,  -0x1badb002 - 0x10003,
                                    0x100000,   0x100000, 0,
                                    0x101000,   0x100020};
    uint8_t f[64] = {0};
    struct bench b;

    memcpy(f, head, sizeof(head));
    CHECK_EQ(load(&b, f, sizeof(f)), 0);
    CHECK_EQ(b.out.mode, BOOT_PROT);
    CHECK_EQ(b.out.rip, 0x100020);
    CHECK_EQ(b.out.rax, 0x2badb002);
    CHECK_EQ(get(&b, b.out.rbx + 4, 4), 639);
    CHECK_EQ(get(&b, b.out.rbx + 8, 4), RAM / KiB - 1024);
    CHECK_EQ(get(&b, BOOT_CMDLINE + 7, 4), 0x622061);
    guest_mem_fini(&b.mem);
}

static unsigned sum(struct bench *b, gpa_t at, uint32_t len)
{
    unsigned s = 0;

    while (len--)
        s += (unsigned)get(b, at++, 1);
    return s & 0xff;
}

/* From the RSDP to the DSDT, all sums right, and all in the same place. */
static void tables_are_sound(struct bench *b, gpa_t base)
{
    uint64_t xsdt, table, dsdt = 0;
    uint8_t rsdp[ACPI_RSDP_LEN];

    CHECK_EQ(sum(b, base, 20), 0);
    CHECK_EQ(sum(b, base, 36), 0);
    CHECK_EQ(acpi_rsdp(&b->acpi, rsdp, &b->err), 0);
    CHECK(!memcmp(b->mem.ram + base, rsdp, sizeof(rsdp)));
    xsdt = get(b, base + 24, 8);
    CHECK_EQ(sum(b, xsdt, (uint32_t)get(b, xsdt + 4, 4)), 0);
    for (gpa_t at = xsdt + 36; at < xsdt + get(b, xsdt + 4, 4); at += 8) {
        table = get(b, at, 8);
        CHECK(table > base && table < base + ACPI_LEN);
        CHECK_EQ(sum(b, table, (uint32_t)get(b, table + 4, 4)), 0);
        if (get(b, table, 4) == 0x50434146) /* FACP */
            dsdt = get(b, table + 140, 8);
    }
    CHECK(dsdt > base && dsdt < base + ACPI_LEN);
    CHECK_EQ(sum(b, dsdt, (uint32_t)get(b, dsdt + 4, 4)), 0);
    CHECK_EQ(get(b, base + ACPI_BOARD, 8), b->acpi.mmio64_base);
    CHECK_EQ(get(b, base + ACPI_BOARD + 36, 4), b->acpi.ecam_buses);
}

static void acpi_tables_can_be_elsewhere(void)
{
    uint8_t f[0x2000];
    struct bench b;

    CHECK_EQ(load(&b, f, bzimage(f, true)), 0);
    tables_are_sound(&b, ACPI_TABLES);
    b.acpi.base = RAM - ACPI_LEN;
    CHECK_EQ(acpi_build(&b.acpi, &b.mem, &b.err), 0);
    tables_are_sound(&b, RAM - ACPI_LEN);
    guest_mem_fini(&b.mem);
}

static void firmware_is_in_rom_and_in_ram(void)
{
    int fd = memfd_create("firmware", MFD_CLOEXEC);
    struct e820_entry map[BOOT_E820_MAX];
    uint8_t f[0x2000];
    struct bench b;
    char path[64];

    CHECK_EQ(load(&b, f, bzimage(f, true)), 0);
    CHECK(!ftruncate(fd, 512 * KiB));
    CHECK_EQ(pwrite(fd, "\x11", 1, 512 * KiB - 1), 1);
    CHECK_EQ(pwrite(fd, "\x22", 1, 256 * KiB), 1);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CHECK_EQ(boot_firmware_open(&b.src, path, &b.err), 0);
    b.acpi.base = RAM - ACPI_LEN;
    CHECK_EQ(boot_load(&b.src, &b.mem, &b.out, &b.err), 0);
    CHECK_EQ(b.out.mode, BOOT_RESET);
    CHECK_EQ(get(&b, 0xfffff, 1), 0x11);
    CHECK_EQ(get(&b, 0xc0000, 1), 0x22);
    CHECK_EQ(b.src.rom[512 * KiB - 1], 0x11);
    /* What has ended up at the top is not RAM for anybody else. */
    CHECK_EQ(boot_e820_firmware(&b.mem, &b.acpi, map), 3);
    CHECK_EQ(map[0].size, RAM - ACPI_LEN);
    CHECK_EQ(map[1].type, E820_RESERVED);
    CHECK_EQ(map[1].addr + map[1].size, RAM);
    boot_close(&b.src);
    for (unsigned size = 0; size < 3; size++) {
        CHECK(!ftruncate(
            fd, (off_t[]){60 * KiB, 65 * KiB + 1, 16 * MiB + 4096}[size]));
        CHECK_EQ(boot_firmware_open(&b.src, path, &b.err), -EINVAL);
    }
    close(fd);
    guest_mem_fini(&b.mem);
}

int main(void)
{
    RUN(a_bzimage_is_entered_in_64_bits);
    RUN(one_without_a_64_bit_entry_in_32_bits);
    RUN(a_packed_kernel_is_entered_by_pvh);
    RUN(a_damaged_one_unpacks_itself);
    RUN(a_multiboot_kernel_finds_its_magic);
    RUN(acpi_tables_can_be_elsewhere);
    RUN(firmware_is_in_rom_and_in_ram);
    return test_status();
}
