/* SPDX-License-Identifier: Apache-2.0 */
/* io_disk.c - claims about disks that are copies. */
#include "io/disk.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

#define SIZE (4u << 20)

static char path[] = "/tmp/ringfence-disk-XXXXXX";
static struct error err;

/* Something at 64 KiB and at the end, holes elsewhere. */
static int image(void)
{
    int fd;

    strcpy(strrchr(path, '-'), "-XXXXXX");
    fd = mkstemp(path);

    CHECK(fd >= 0 && !ftruncate(fd, SIZE));
    CHECK_EQ(pwrite(fd, "here", 4, 65536), 4);
    CHECK_EQ(pwrite(fd, "last", 4, SIZE - 4), 4);
    return fd;
}

static int transfer(struct disk *d, bool write, void *buf, uint64_t off)
{
    struct iovec iov = {buf, 512};

    return write ? disk_write(d, &iov, 1, off) : disk_read(d, &iov, 1, off);
}

static void a_copy_has_what_the_image_has_and_keeps_its_writes(void)
{
    char sector[512] = "changed", was[4];
    int fd = image();
    struct disk d, other;
    struct stat st;

    CHECK_EQ(disk_open_copy(&d, path, &err), 0);
    CHECK(!d.read_only);
    CHECK_EQ(d.size, SIZE);
    CHECK(!fstat(d.fd, &st) && st.st_blocks * 512 < SIZE / 2); /* holes */
    CHECK_EQ(transfer(&d, true, sector, 65536), 0);
    CHECK_EQ(transfer(&d, false, sector, 65536), 0);
    CHECK(!memcmp(sector, "changed", 7));
    CHECK_EQ(transfer(&d, false, sector, SIZE - 512), 0);
    CHECK(!memcmp(sector + 508, "last", 4));
    CHECK_EQ(transfer(&d, false, sector, 0), 0);
    CHECK(!sector[0] && !memcmp(sector, sector + 1, 511));
    CHECK(pread(fd, was, 4, 65536) == 4 && !memcmp(was, "here", 4));
    /* nobody is kept from the image by it */
    CHECK_EQ(disk_open(&other, path, false, &err), 0);
    disk_close(&other);
    disk_close(&d);
    close(fd);
    unlink(path);
}

static void a_copy_without_a_place_is_one_clear_error(void)
{
    int fd = image();
    struct disk d;

    setenv("TMPDIR", "/missing", 1);
    CHECK(disk_open_copy(&d, path, &err) < 0);
    CHECK(strstr(err.msg, path) && strstr(err.msg, "/missing") &&
          strstr(err.msg, "TMPDIR"));
    unsetenv("TMPDIR");
    close(fd);
    unlink(path);
    CHECK(disk_open_copy(&d, path, &err) < 0);
    CHECK(strstr(err.msg, "No such file"));
}

int main(void)
{
    RUN(a_copy_has_what_the_image_has_and_keeps_its_writes);
    RUN(a_copy_without_a_place_is_one_clear_error);
    return test_status();
}
