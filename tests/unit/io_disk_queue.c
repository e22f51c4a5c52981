/* SPDX-License-Identifier: Apache-2.0 */
/* io_disk_queue.c - claims about disk I/O beside the caller, both ways. */
#include "io/disk_queue.h"

#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "io/disk_ring.h"
#include "test.h"

#define SIZE  (4u << 20)
#define BLOCK 4096u
#define MANY  60u

struct bench {
    struct loop loop;
    struct clock clock;
    struct disk d;
    struct disk_queue q;
    struct disk_io io[MANY];
    struct iovec iov[MANY];
    uint8_t *buf;
    char path[32];
    struct error err;
    int fds;
};

static int descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void on_ready(struct disk_queue *q)
{
    (void)q;
}

static void up(struct bench *b, enum disk_aio aio)
{
    int fd;

    memset(b, 0, sizeof(*b));
    b->fds = descriptors();
    strcpy(b->path, "/var/tmp/rf-queue-XXXXXX");
    fd = mkstemp(b->path);
    CHECK(fd >= 0 && !ftruncate(fd, SIZE));
    close(fd);
    clock_start(&b->clock, 0);
    CHECK_EQ(loop_init(&b->loop, &b->clock, &b->err), 0);
    CHECK_EQ(disk_open(&b->d, b->path, false, &b->err), 0);
    b->d.aio = aio;
    CHECK_EQ(disk_queue_open(&b->q, &b->d, &b->loop, on_ready, &b->err), 0);
    CHECK(aio == DISK_AIO_URING || !b->q.ring);
    b->buf = malloc(MANY * BLOCK);
}

static void down(struct bench *b)
{
    disk_queue_close(&b->q);
    disk_close(&b->d);
    loop_fini(&b->loop);
    unlink(b->path);
    free(b->buf);
    CHECK_EQ(descriptors(), b->fds);
}

static void put(struct bench *b, unsigned i, enum disk_op op, uint64_t off,
                uint64_t len, bool sync)
{
    bool data = op == DISK_READ || op == DISK_WRITE;

    b->iov[i] = (struct iovec){b->buf + i * BLOCK, len};
    b->io[i] = (struct disk_io){
        .r = {op, true, &b->iov[i], data, off, len},
        .iov = &b->iov[i],
        .sync = sync,
        .rc = 1,
    };
    disk_queue_put(&b->q, &b->io[i]);
}

static unsigned count(struct disk_io *list)
{
    unsigned n = 0;

    for (; list; list = list->next)
        n++;
    return n;
}

/* All of them done; how many there are. */
static unsigned finish(struct bench *b)
{
    unsigned n;

    disk_queue_drain(&b->q);
    n = count(disk_queue_take(&b->q));
    CHECK(!disk_queue_busy(&b->q));
    return n;
}

static void all_operations(enum disk_aio aio)
{
    static const uint8_t zeroes[BLOCK];
    struct bench b;
    unsigned i;

    up(&b, aio);
    for (i = 0; i < MANY; i++) {
        memset(b.buf + i * BLOCK, (int)i + 1, BLOCK);
        put(&b, i, DISK_WRITE, (uint64_t)i * BLOCK, BLOCK, i == 7);
    }
    CHECK_EQ(finish(&b), MANY);
    put(&b, 0, DISK_FLUSH, 0, 0, false);
    put(&b, 1, DISK_ZERO, BLOCK, 2 * BLOCK, false);
    put(&b, 2, DISK_DISCARD, 4ull * BLOCK, BLOCK, false);
    put(&b, 3, DISK_READ, 0, 0, false);
    CHECK_EQ(finish(&b), 4);
    for (i = 0; i < 4; i++)
        CHECK_EQ(b.io[i].rc, 0);
    memset(b.buf, 0xff, MANY * BLOCK);
    for (i = 0; i < MANY; i++)
        put(&b, i, DISK_READ, (uint64_t)i * BLOCK, BLOCK, false);
    CHECK_EQ(finish(&b), MANY);
    for (i = 0; i < MANY; i++) {
        uint8_t *p = b.buf + i * BLOCK;
        bool zero = i == 1 || i == 2 || i == 4;

        CHECK_EQ(b.io[i].rc, 0);
        CHECK_EQ(*p, zero ? 0 : i + 1);
        CHECK(zero ? !memcmp(p, zeroes, BLOCK) : p[BLOCK - 1] == i + 1);
    }
    down(&b);
}

static void the_ring_does_all_operations(void)
{
    all_operations(DISK_AIO_URING);
}

static void the_thread_does_all_operations(void)
{
    all_operations(DISK_AIO_THREADS);
}

/* What the ring cannot do is done again, and its error is the file's. */
static void a_file_made_shorter_is_an_error(void)
{
    for (int way = DISK_AIO_URING; way <= DISK_AIO_THREADS; way++) {
        struct bench b;

        up(&b, (enum disk_aio)way);
        CHECK_EQ(truncate(b.path, BLOCK + 10), 0);
        put(&b, 0, DISK_READ, 0, BLOCK, false);
        put(&b, 1, DISK_READ, BLOCK, BLOCK, false);
        put(&b, 2, DISK_READ, 2ull * BLOCK, BLOCK, false);
        CHECK_EQ(finish(&b), 3);
        CHECK_EQ(b.io[0].rc, 0);
        CHECK_EQ(b.io[1].rc, -EIO);
        CHECK_EQ(b.io[2].rc, -EIO);
        down(&b);
    }
}

static void what_is_dropped_comes_back_once(void)
{
    for (int way = DISK_AIO_URING; way <= DISK_AIO_THREADS; way++) {
        struct bench b;
        unsigned i;

        up(&b, (enum disk_aio)way);
        for (i = 0; i < MANY; i++)
            put(&b, i, i & 1 ? DISK_WRITE : DISK_READ, (uint64_t)i * BLOCK,
                BLOCK, i % 8 == 1);
        if (way == DISK_AIO_URING)
            disk_queue_go(&b.q);
        CHECK_EQ(count(disk_queue_drop(&b.q)), MANY);
        CHECK(!disk_queue_busy(&b.q));
        put(&b, 0, DISK_FLUSH, 0, 0, false);
        CHECK_EQ(finish(&b), 1);
        down(&b);
    }
}

static void the_loop_hears_when_something_is_done(void)
{
    for (int way = DISK_AIO_URING; way <= DISK_AIO_THREADS; way++) {
        struct pollfd p = {.events = POLLIN};
        struct bench b;

        up(&b, (enum disk_aio)way);
        p.fd = b.loop.epoll_fd;
        put(&b, 0, DISK_FLUSH, 0, 0, false);
        disk_queue_go(&b.q);
        CHECK_EQ(poll(&p, 1, 5000), 1);
        CHECK_EQ(count(disk_queue_take(&b.q)), 1);
        down(&b);
    }
}

static int seen;

static void tap_seen(struct disk_tap *t, struct disk *d,
                     const struct disk_request *r, int rc)
{
    (void)t, (void)d, (void)r, (void)rc;
    seen++;
}

/* A disk that was forked while the machine ran. */
static void a_tap_sees_everything_from_when_it_is_there(void)
{
    struct disk_tap tap = {.seen = tap_seen};
    struct bench b;

    seen = 0;
    up(&b, DISK_AIO_URING);
    put(&b, 0, DISK_FLUSH, 0, 0, false);
    CHECK_EQ(finish(&b), 1);
    b.d.tap = &tap;
    for (unsigned i = 0; i < 5; i++)
        put(&b, i, DISK_READ, 0, BLOCK, false);
    CHECK_EQ(finish(&b), 5);
    CHECK_EQ(seen, 5);
    tap.idle = true;
    put(&b, 0, DISK_READ, 0, BLOCK, false);
    CHECK_EQ(finish(&b), 1);
    CHECK_EQ(seen, 5);
    b.d.tap = NULL;
    down(&b);
}

/* From now on the kernel says e to this call. */
static bool refuse(long call, int e)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)e),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {ARRAY_SIZE(code), code};

    return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
           !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

/* A filter stays: so in a process of its own. 0: right, 2: cannot be tried. */
static void in_a_child(void (*fn)(void))
{
    pid_t pid = fork();
    int status = 0;

    if (!pid) {
        test_failed = 0;
        test_skipped = NULL;
        fn();
        _exit(test_skipped ? 2 : test_failed);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
        SKIP("no seccomp, or no io_uring here");
    CHECK_EQ(status, 0);
}

static void refused_setup(void)
{
    struct bench b;

    if (!refuse(SYS_io_uring_setup, EPERM))
        SKIP("seccomp");
    log_set_level(LOG_ERROR);
    up(&b, DISK_AIO_URING);
    CHECK(!b.q.ring && b.q.worker_on);
    put(&b, 0, DISK_READ, 0, BLOCK, false);
    CHECK_EQ(finish(&b), 1);
    CHECK_EQ(b.io[0].rc, 0);
    down(&b);
}

static void a_kernel_that_allows_no_ring_is_got_along_with(void)
{
    in_a_child(refused_setup);
}

static void refused_enter(void)
{
    struct bench b;

    up(&b, DISK_AIO_URING);
    if (!b.q.ring || !refuse(SYS_io_uring_enter, ENOMEM))
        SKIP("seccomp");
    log_set_level(LOG_ERROR);
    for (unsigned i = 0; i < MANY; i++)
        put(&b, i, DISK_READ, (uint64_t)i * BLOCK, BLOCK, false);
    disk_queue_go(&b.q);
    CHECK(!b.q.ring);
    CHECK_EQ(finish(&b), MANY);
    for (unsigned i = 0; i < MANY; i++)
        CHECK_EQ(b.io[i].rc, 0);
    down(&b);
}

static void a_ring_that_fails_later_loses_nothing(void)
{
    in_a_child(refused_enter);
}

/* It could open any file, and a filter of system calls would not see that. */
static void a_ring_can_nothing_but_disks(void)
{
    struct disk_ring *r;
    struct error err;
    int fd = -1;

    if (disk_ring_open(&r, &err))
        SKIP("no io_uring here");
    CHECK_EQ(syscall(SYS_io_uring_register, disk_ring_fd(r),
                     IORING_REGISTER_FILES, &fd, 1),
             -1);
    CHECK_EQ(errno, EACCES);
    disk_ring_close(r);
}

int main(void)
{
    RUN(the_ring_does_all_operations);
    RUN(the_thread_does_all_operations);
    RUN(a_file_made_shorter_is_an_error);
    RUN(what_is_dropped_comes_back_once);
    RUN(the_loop_hears_when_something_is_done);
    RUN(a_tap_sees_everything_from_when_it_is_there);
    RUN(a_kernel_that_allows_no_ring_is_got_along_with);
    RUN(a_ring_that_fails_later_loses_nothing);
    RUN(a_ring_can_nothing_but_disks);
    return test_status();
}
