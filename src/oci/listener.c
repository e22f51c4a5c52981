/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener.c - a seccomp filter is loaded, and its listener handed over.
 *
 * From the moment that it is loaded any call of ours may wait for an answer
 * from the one who gets the listener, so that we cannot send it ourselves. A
 * child that shares our descriptors, but not the filter, does; we make no call
 * until it has.
 */
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "oci/process_int.h"

/* What both look at. */
struct handover {
    _Atomic int listener; /* -1: not yet; -2: there will be none */
    _Atomic int result;   /* 1: not yet; 0, or -errno */
    struct error err;
};

static void carry(struct launch *l, struct handover *h)
{
    static const struct timespec pause = {0, 50000};
    int fd, e = 0;

    while ((fd = h->listener) == -1)
        nanosleep(&pause, NULL);
    if (fd < 0)
        _exit(0);
    if (!sync_send(l->sync, SYNC_SECCOMP, 0, fd))
        e = error_set(&h->err, EPIPE,
                      "linux.seccomp: nobody takes the "
                      "listener");
    if (!e)
        e = sync_expect(l->sync, SYNC_GO, NULL, &h->err);
    h->result = e;
    _exit(0);
}

static pid_t start_carrier(struct launch *l, struct handover *h)
{
    struct clone_args a = {.flags = CLONE_FILES, .exit_signal = SIGCHLD};
    pid_t pid = (pid_t)syscall(SYS_clone3, &a, sizeof(a));

    if (!pid)
        carry(l, h);
    return pid;
}

static int hand_over(struct launch *l, struct handover *h, struct error *err)
{
    pid_t pid = start_carrier(l, h);
    int listener = -1, e;

    if (pid < 0)
        return error_set(err, errno, "linux.seccomp: %s", strerror(errno));
    e = seccomp_load(l->seccomp, &listener, err);
    h->listener = e ? -2 : listener;
    /* No call from here on, not even to wait: a few milliseconds. */
    while (!e && h->result == 1)
        __builtin_ia32_pause();
    if (!e && h->result) {
        *err = h->err;
        e = h->result;
    }
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (listener >= 0)
        close(listener);
    return e;
}

int process_load_filter(struct launch *l, struct error *err)
{
    struct handover *h;
    int e;

    if (!l->seccomp->notify)
        return seccomp_load(l->seccomp, NULL, err);
    h = mmap(NULL, sizeof(*h), PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (h == MAP_FAILED)
        return error_set(err, errno, "linux.seccomp: %s", strerror(errno));
    h->listener = -1;
    h->result = 1;
    e = hand_over(l, h, err);
    munmap(h, sizeof(*h));
    return e;
}
