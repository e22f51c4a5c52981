/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench.c - what cgroups cost a container at its start and end.
 */
#include "claims.h"

static double us_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Marks the end of step i. */
static void step_end(double *least, unsigned i, double *from)
{
    double now = us_now();

    if (now - *from < least[i])
        least[i] = now - *from;
    *from = now;
}

/* The child tells how long its own entering took. */
static void enter_timed(struct box *b, double *least, double *shared)
{
    int fd = cgroup_clone_fd(&b->cg);
    struct clone_args a = {.flags = fd >= 0 ? CLONE_INTO_CGROUP : 0,
                           .exit_signal = SIGCHLD,
                           .cgroup = fd >= 0 ? (unsigned)fd : 0};
    pid_t pid = (pid_t)syscall(SYS_clone3, &a, sizeof(a));
    double from = us_now();

    if (!pid) {
        from = us_now();
        if (cgroup_enter(&b->cg, 0, fd >= 0, &b->err))
            _exit(1);
        *shared = us_now() - from;
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    if (*shared < *least)
        *least = *shared;
}

int bench(void)
{
    static const char *const name[] = {"read host", "make", "open to enter",
                                       "enter", "remove"};
    double least[5] = {1e9, 1e9, 1e9, 1e9, 1e9}, sum = 0;
    double *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned trees = 0;

    for (unsigned i = 0; i < 200; i++) {
        double from = us_now();
        struct box b = {0};
        int rc = cgroup_host_read(&b.host, false, &b.err);

        step_end(least, 0, &from);
        if (!rc)
            rc = cgroup_find(&b.cg, &b.host, NULL, NAME, &b.err);
        if (!rc)
            rc = cgroup_create(&b.cg, NULL, false, &b.err);
        step_end(least, 1, &from);
        if (!rc)
            rc = cgroup_enter_prepare(&b.cg, &b.err);
        step_end(least, 2, &from);
        if (!box_ok(&b, rc))
            return 1;
        enter_timed(&b, &least[3], shared);
        from = us_now();
        trees = 0;
        for (unsigned k = 0; k < b.cg.count; k++)
            trees += !b.cg.tree[k].refused;
        if (!box_ok(&b, cgroup_remove(&b.cg, &b.err)))
            return 1;
        cgroup_close(&b.cg);
        cgroup_host_free(&b.host);
        step_end(least, 4, &from);
    }
    for (unsigned i = 0; i < 5; i++) {
        printf("%-14s %6.0f us\n", name[i], least[i]);
        sum += least[i];
    }
    printf("%-14s %6.0f us, %u hierarchies\n", "all", sum, trees);
    return 0;
}
