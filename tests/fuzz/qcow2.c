/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2.c - hostile images: a small one that was written to for a while, then
 * changed here and there, opened again and used. Whatever it says, it is
 * refused in one line, or it reads and writes within bounds.
 */
#include "fuzz.h"

#include <endian.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "io/disk.h"

#define SIZE  (256u * 1024)
#define LIMIT (4 * MiB) /* the file may not grow beyond */

static uint8_t image[LIMIT], data[64 * 1024];
static char path[64];
static int fd;

static void put(size_t at, uint64_t v, unsigned len)
{
    while (len--) {
        image[at + len] = (uint8_t)v;
        v >>= 8;
    }
}

/* Header, refcount table, its block, L1: a cluster each. */
static void image_make(struct fuzz *f)
{
    unsigned bits = 9 + fuzz8(f) % 5, version = 2 + (fuzz8(f) & 1), i;
    uint64_t c = 1ull << bits, span = c * (c / 8);

    memset(image, 0, sizeof(image));
    put(0, 0x514649fb, 4);
    put(4, version, 4);
    put(20, bits, 4);
    put(24, SIZE, 8);
    put(36, (SIZE + span - 1) / span, 4);
    put(40, 3 * c, 8);
    put(48, c, 8);
    put(56, 1, 4);
    put(96, 4, 4);
    put(100, 104, 4);
    put(c, 2 * c, 8);
    for (i = 0; i < 4; i++)
        put(2 * c + 2 * i, 1, 2);
    FUZZ_CHECK(!ftruncate(fd, 0) && pwrite(fd, image, 4 * c, 0) > 0);
}

static void use(struct disk *d, struct fuzz *f, unsigned times)
{
    while (times-- && !fuzz_done(f)) {
        uint64_t off = fuzz16(f) % (d->size / 512) * 512;
        uint64_t len = 512ull * (fuzz8(f) & 127);
        struct iovec iov = {data, 0};

        len = MIN(len, d->size - off);
        iov.iov_len = len;
        memset(data, fuzz8(f), sizeof(data));
        switch (fuzz8(f) & 7) {
        case 0:
            disk_flush(d);
            break;
        case 1:
            disk_zero(d, off, len, fuzz8(f) & 1);
            break;
        case 2:
            disk_discard(d, off, len);
            break;
        case 3:
        case 4:
            disk_read(d, &iov, 1, off);
            break;
        default:
            disk_write(d, &iov, 1, off);
        }
    }
}

/* Where tables are is where changes go furthest. */
static void image_spoil(struct fuzz *f)
{
    struct stat st;
    unsigned n = fuzz8(f) & 15;

    FUZZ_CHECK(!fstat(fd, &st));
    while (n--) {
        uint8_t how = fuzz8(f);
        uint64_t at = fuzz16(f), v = fuzz_number(f), edge;

        edge = how & 1 ? (v & 0xfffff) << 9 | (v & 7) << 61 : v;
        edge = htobe64(edge);
        at = how & 2 ? at % 112 : at % (uint64_t)st.st_size & ~7ull;
        FUZZ_CHECK(pwrite(fd, &edge, how & 4 ? 8 : 1 + (how & 3), (off_t)at) >
                   0);
    }
}

static void one(struct fuzz *f)
{
    struct error err = {0};
    struct disk d;

    fd = memfd_create("image", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    image_make(f);
    FUZZ_CHECK(!disk_open_format(&d, path, false, true, 0, &err));
    use(&d, f, 1 + (fuzz8(f) & 15));
    disk_close(&d);
    image_spoil(f);
    if (!disk_open_format(&d, path, fuzz8(f) < 40, true, 0, &err)) {
        if (d.size >= 512)
            use(&d, f, ~0u);
        disk_close(&d);
    } else {
        FUZZ_CHECK(err.code && err.msg[0] && !strchr(err.msg, '\n'));
    }
    close(fd);
}

static const struct fuzz_target target = {
    .name = "qcow2",
    .corpus = "qcow2",
    .max_len = 1000,
    .runs = 4000,
    .one = one,
};

int main(int argc, char **argv)
{
    struct rlimit small = {LIMIT, LIMIT};

    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    /* What it says of damaged images is not for a test's output. */
    log_set_level((enum log_level) - 1);
    return fuzz_main(argc, argv, &target);
}
