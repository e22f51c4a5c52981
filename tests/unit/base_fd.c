/* SPDX-License-Identifier: Apache-2.0 */
/* base_fd.c - claims about descriptors that are read and written to the end. */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test.h"

#define LEN (1 * MiB)

static uint8_t sent[LEN], got[LEN];

static void *drain(void *fd)
{
    return (void *)(intptr_t)fd_read(*(int *)fd, got, LEN);
}

/* A pipe takes 64 KiB at a time, and signals come in between. */
static void a_pipe_takes_all(void)
{
    int p[2];
    pthread_t t;
    void *rc;

    for (size_t i = 0; i < LEN; i++)
        sent[i] = (uint8_t)(i * 7 >> 3);
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(pthread_create(&t, NULL, drain, &p[0]), 0);
    CHECK_EQ(fd_write(p[1], sent, LEN), 0);
    pthread_join(t, &rc);
    CHECK_EQ((intptr_t)rc, 0);
    CHECK(!memcmp(sent, got, LEN));
    close(p[1]);
    CHECK_EQ(fd_read(p[0], got, 1), -ENODATA);
    CHECK_EQ(fd_write(p[0], sent, 1), -EBADF);
    close(p[0]);
}

static void the_end_of_a_file_is_told(void)
{
    int fd = memfd_create("fd", MFD_CLOEXEC);

    CHECK_EQ(fd_write_at(fd, sent, 1000, 10), 0);
    CHECK_EQ(fd_read_at(fd, got, 1010, 0), 0);
    CHECK(!got[0] && !memcmp(got + 10, sent, 1000));
    CHECK_EQ(fd_read_at(fd, got, 1011, 0), -ENODATA);
    CHECK_EQ(fd_read_some(fd, got, LEN, 1000), 10);
    CHECK_EQ(fd_read_some(fd, got, LEN, 2000), 0);
    close(fd);
    CHECK_EQ(fd_read_some(fd, got, LEN, 0), -EBADF);
}

static void data_is_found_between_holes(void)
{
    int fd = memfd_create("fd", MFD_CLOEXEC);
    uint64_t at, end;

    CHECK_EQ(ftruncate(fd, LEN), 0);
    CHECK(!fd_data(fd, 0, LEN, &at, &end));
    CHECK_EQ(fd_write_at(fd, sent, 4096, 64 * KiB), 0);
    CHECK(fd_data(fd, 0, LEN, &at, &end));
    CHECK(at <= 64 * KiB && end >= 68 * KiB && end < LEN);
    CHECK(!fd_data(fd, end, LEN, &at, &end));
    CHECK(!fd_data(fd, 0, 4096, &at, &end)); /* not below the limit */
    close(fd);
}

static void what_cannot_tell_is_all_data(void)
{
    uint64_t at, end;
    int p[2];

    CHECK_EQ(pipe(p), 0);
    CHECK(fd_data(p[0], 4096, LEN, &at, &end));
    CHECK_EQ(at, 4096);
    CHECK_EQ(end, LEN);
    close(p[0]);
    close(p[1]);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    RUN(a_pipe_takes_all);
    RUN(the_end_of_a_file_is_told);
    RUN(data_is_found_between_holes);
    RUN(what_cannot_tell_is_all_data);
    return test_status();
}
