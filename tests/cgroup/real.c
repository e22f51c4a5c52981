/* SPDX-License-Identifier: Apache-2.0 */
/*
 * real.c - fence/cgroup*.c against this machine's cgroups, whatever their
 * layout; as root. Each claim makes a cgroup rf-test and removes it.
 *
 *     real [PREFIX]   claims whose names begin so
 *     real bench      microseconds of each step, the least of 200
 */
#include "claims.h"

const struct cgroup_limits few_processes = {.has = CGROUP_PIDS_LIMIT,
                                            .pids = 60};

bool host_has(enum cgroup_controller c)
{
    struct box b;
    bool has = box_find(&b, NULL) && box_tree(&b, c);

    cgroup_close(&b.cg);
    cgroup_host_free(&b.host);
    return has;
}

int do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

int do_sleep(void *arg)
{
    (void)arg;
    for (;;)
        pause();
}

/* Counts where others see it. */
int do_count(void *arg)
{
    volatile uint64_t *n = arg;

    for (;;)
        ++*n;
}

/* Children that have children, for ever, up to a limit on processes. */
int do_fork(void *arg)
{
    (void)arg;
    for (;;) {
        if (!fork())
            usleep(1000);
        usleep(300);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
}

int do_eat(void *arg)
{
    size_t bytes = *(size_t *)arg;
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return 1;
    memset(p, 1, bytes);
    return 0;
}

/* Are there `*arg` forks at least, and a failure then? */
int do_fork_until(void *arg)
{
    int most = *(int *)arg, n = 0;

    for (; n < most + 10; n++) {
        pid_t pid = fork();

        if (!pid)
            do_sleep(NULL);
        if (pid < 0)
            break;
    }
    return n == most && errno == EAGAIN ? 0 : 1;
}

static int burn(clockid_t clock, unsigned ms)
{
    struct timespec a, b;

    clock_gettime(clock, &a);
    do
        clock_gettime(clock, &b);
    while ((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 <
           ms);
    return 0;
}

/* By the clock on the wall, and by what was got of a CPU. */
int do_burn_ms(void *arg)
{
    return burn(CLOCK_MONOTONIC, *(unsigned *)arg);
}

int do_burn_cpu_ms(void *arg)
{
    return burn(CLOCK_PROCESS_CPUTIME_ID, *(unsigned *)arg);
}

/* In every line of /proc/self/cgroup that we made one for? */
int do_look(void *arg)
{
    const struct cgroup *cg = arg;
    char text[4096];
    unsigned here = 0, want = 0;
    int fd = open("/proc/self/cgroup", O_RDONLY);
    ssize_t n = read(fd, text, sizeof(text) - 1);

    text[n > 0 ? n : 0] = '\0';
    for (char *at = text; (at = strstr(at, "/" NAME "\n")); at++)
        here++;
    for (unsigned i = 0; i < cg->count; i++)
        want += !cg->tree[i].refused;
    return here == want && here ? 0 : 1;
}

int do_where(void *arg)
{
    char text[4096];
    int fd = open("/proc/self/cgroup", O_RDONLY);
    ssize_t n = read(fd, text, sizeof(text) - 1);

    text[n > 0 ? n : 0] = '\0';
    return strstr(text, arg) ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *prefix = argc > 1 ? argv[1] : "";
    int rc;

    if (!strcmp(prefix, "bench"))
        return bench();
    rc = claims_life(prefix);
    rc |= claims_limits(prefix);
    return claims_refusals(prefix) | rc | test_status();
}
