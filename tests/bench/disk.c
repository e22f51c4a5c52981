/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk.c - runs in a guest: what its disk can do, past its page cache.
 *
 * disk DEVICE [SECONDS] prints for each kind of load one line:
 *     disk NAME OPERATIONS-PER-SECOND
 * Random offsets come from a fixed seed. What is on the device is lost.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DEPTH_MAX 32

struct load {
    const char *name;
    size_t size;
    unsigned depth;
    int write, random, sync; /* sync: after so many writes, 0: never */
};

static const struct load loads[] = {
    {"randread-4k", 4096, 1, 0, 1, 0},
    {"randread-4k-depth16", 4096, 16, 0, 1, 0},
    {"randwrite-4k", 4096, 1, 1, 1, 0},
    {"randwrite-4k-depth16", 4096, 16, 1, 1, 0},
    {"randwrite-4k-fsync", 4096, 1, 1, 1, 1},
    {"seqread-256k", 262144, 4, 0, 0, 0},
    {"seqwrite-256k", 262144, 4, 1, 0, 0},
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t next(const struct load *l, uint64_t *seed, uint64_t places)
{
    if (!l->random)
        return (*seed)++ % places;
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (*seed >> 33) % places;
}

static void run(int fd, uint64_t size, const struct load *l, double seconds)
{
    struct iocb cb[DEPTH_MAX] = {0}, *list[DEPTH_MAX];
    struct io_event ev[DEPTH_MAX];
    uint64_t seed = 1, done = 0, places = size / l->size;
    aio_context_t ctx = 0;
    unsigned i, n = l->depth;
    double start, end;
    void *buf;

    if (posix_memalign(&buf, 4096, l->size * l->depth))
        die("memory");
    memset(buf, 0x5a, l->size * l->depth);
    if (syscall(SYS_io_setup, DEPTH_MAX, &ctx))
        die("io_setup");
    for (i = 0; i < n; i++) {
        cb[i].aio_lio_opcode = l->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
        cb[i].aio_fildes = (uint32_t)fd;
        cb[i].aio_buf = (uintptr_t)buf + i * l->size;
        cb[i].aio_nbytes = l->size;
        list[i] = &cb[i];
    }
    start = end = now();
    while (end - start < seconds) {
        long got;

        for (i = 0; i < n; i++)
            list[i]->aio_offset = (int64_t)(next(l, &seed, places) * l->size);
        if (n && syscall(SYS_io_submit, ctx, n, list) != (long)n)
            die("io_submit");
        got = syscall(SYS_io_getevents, ctx, 1, DEPTH_MAX, ev, NULL);
        if (got < 1)
            die("io_getevents");
        for (i = 0; i < (unsigned)got; i++) {
            if (ev[i].res != (int64_t)l->size)
                die("i/o");
            list[i] = (struct iocb *)(uintptr_t)ev[i].obj;
        }
        n = (unsigned)got;
        done += n;
        if (l->sync && fdatasync(fd))
            die("fdatasync");
        end = now();
    }
    printf("disk %s %.1f\n", l->name, (double)done / (end - start));
    fflush(stdout);
    syscall(SYS_io_destroy, ctx);
    free(buf);
}

int main(int argc, char **argv)
{
    double seconds = argc > 2 ? atof(argv[2]) : 2;
    uint64_t size = 0;
    int fd;

    fd = argc > 1 ? open(argv[1], O_RDWR | O_DIRECT) : -1;
    if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size))
        die("disk DEVICE");
    for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++)
        run(fd, size, &loads[i], seconds);
    return 0;
}
