/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a container's seccomp profile costs: to make the filter, and to load
 * it; ours beside libseccomp's, in turn. Medians, in microseconds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "../unit/libseccomp.h"
#include "../unit/podman.h"

#if LIBSECCOMP

#define ROUNDS 41

struct side {
    int (*make)(const struct seccomp_profile *p, struct seccomp_program *out);
    double made[ROUNDS], loaded[ROUNDS];
    unsigned len;
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int ours_make(const struct seccomp_profile *p,
                     struct seccomp_program *out)
{
    struct error err;

    return seccomp_compile(p, out, &err);
}

struct took {
    double made, loaded;
    unsigned len;
};

/* In a child that has done nothing yet, as a runtime's is: cold. */
static void measure(struct side *s, const struct seccomp_profile *p, int to)
{
    static struct seccomp_program prog;
    struct error err;
    struct took took;
    double start = now(), made;

    if (s->make(p, &prog))
        _exit(1);
    made = now();
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prog.flags = p->flags;
    if (seccomp_load(&prog, NULL, &err))
        _exit(1);
    took = (struct took){made - start, now() - made, prog.len};
    _exit(write(to, &took, sizeof(took)) != sizeof(took));
}

static int run(struct side *s, const struct seccomp_profile *p, unsigned round)
{
    struct took took = {0};
    int fd[2], status;

    if (pipe(fd))
        return -1;
    if (!fork())
        measure(s, p, fd[1]);
    close(fd[1]);
    if (read(fd[0], &took, sizeof(took)) != sizeof(took))
        return -1;
    close(fd[0]);
    wait(&status);
    s->made[round] = took.made;
    s->loaded[round] = took.loaded;
    s->len = took.len;
    return 0;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static double median(double *v)
{
    qsort(v, ROUNDS, sizeof(*v), by_size);
    return v[ROUNDS / 2];
}

static int compare(const char *name, const struct seccomp_profile *p)
{
    struct side side[2] = {{.make = ours_make}, {.make = lib_compile}};
    double made[2], loaded[2];

    for (unsigned i = 0; i < ROUNDS; i++)
        if (run(&side[0], p, i) || run(&side[1], p, i))
            return -1;
    for (unsigned i = 0; i < 2; i++) {
        made[i] = median(side[i].made);
        loaded[i] = median(side[i].loaded);
    }
    printf("%-18s %12s %12s %8s\n", name, "ringfence", "libseccomp", "ratio");
    printf("%-18s %12.1f %12.1f %7.0fx\n", "  make, us", made[0], made[1],
           made[1] / made[0]);
    printf("%-18s %12.1f %12.1f %7.1fx\n", "  load, us", loaded[0], loaded[1],
           loaded[1] / loaded[0]);
    printf("%-18s %12u %12u %7.1fx\n", "  instructions", side[0].len,
           side[1].len, (double)side[1].len / side[0].len);
    return 0;
}

int main(void)
{
    static struct podman m;
    struct json_object *root = json_object_from_file(PODMANS);
    struct seccomp_default d;

    if (root && podman_read(&m, root, 0) && compare("podman's default", &m.p))
        return 1;
    if (root) {
        m.p.arch_count = 1;
        if (compare("  x86-64 alone", &m.p))
            return 1;
    }
    return compare("run's default", seccomp_default(&d, 0xa80425fb)) ? 1 : 0;
}

#else

int main(void)
{
    printf("skip seccomp: built without libseccomp-dev\n");
    return 0;
}

#endif
