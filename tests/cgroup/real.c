/* SPDX-License-Identifier: Apache-2.0 */
/*
 * real.c - fence/cgroup*.c against this machine's cgroups, whatever their
 * layout; as root. Each claim makes a cgroup rf-test and removes it.
 *
 *     real [PREFIX]   claims whose names begin so
 *     real bench      microseconds of each step, the least of 200
 */
#include "box.h"

#include <poll.h>
#include <sched.h>

#define NAME "rf-test"

/* Has this host the controller? */
static bool host_has(enum cgroup_controller c)
{
    struct box b;
    bool has = box_find(&b, NULL) && box_tree(&b, c);

    cgroup_close(&b.cg);
    cgroup_host_free(&b.host);
    return has;
}

#define NEED(c)                                                                \
    do {                                                                       \
        if (!host_has(c))                                                      \
            SKIP("this host has not the controller it needs");                 \
    } while (0)

/* --- what processes do in there --- */

static int do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

static noreturn_fn int do_sleep(void *arg)
{
    (void)arg;
    for (;;)
        pause();
}

/* Counts where others see it. */
static noreturn_fn int do_count(void *arg)
{
    volatile uint64_t *n = arg;

    for (;;)
        ++*n;
}

/* Children that have children, for ever, up to a limit on processes. */
static noreturn_fn int do_fork(void *arg)
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

static int do_eat(void *arg)
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
static int do_fork_until(void *arg)
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
static int do_burn_ms(void *arg)
{
    return burn(CLOCK_MONOTONIC, *(unsigned *)arg);
}

static int do_burn_cpu_ms(void *arg)
{
    return burn(CLOCK_PROCESS_CPUTIME_ID, *(unsigned *)arg);
}

/* --- made, entered, removed --- */

/* In every line of /proc/self/cgroup that we made one for? */
static int do_look(void *arg)
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

static void the_first_process_is_in_all_of_them_and_nothing_is_left(void)
{
    struct box b;

    CHECK(box_make(&b, NULL));
    CHECK(cgroup_exists(&b.cg));
    CHECK_EQ(box_run(&b, do_look, &b.cg), 0);
    CHECK(box_ok(&b, cgroup_remove(&b.cg, &b.err)));
    CHECK_EQ(box_left(&b, NAME), 0);
    box_end(&b);
}

static void another_process_is_moved(void)
{
    struct box b;
    unsigned count;
    pid_t *pids, pid;

    CHECK(box_make(&b, NULL));
    pid = fork();
    if (!pid)
        _exit(do_sleep(NULL));
    CHECK(box_ok(&b, cgroup_enter(&b.cg, pid, false, &b.err)));
    CHECK(box_ok(&b, cgroup_pids(&b.cg, &pids, &count, &b.err)));
    CHECK(count == 1 && pids[0] == pid);
    free(pids);
    box_end(&b);
}

static void parents_are_made_and_go_again(void)
{
    struct box b;

    CHECK(box_find(&b, "/rf-a/rf-b/" NAME));
    CHECK(box_ok(&b, cgroup_create(&b.cg, NULL, false, &b.err)));
    CHECK(box_left(&b, "rf-a/rf-b/" NAME) >= 1);
    CHECK_EQ(box_run(&b, do_look, &b.cg), 0);
    box_end(&b);
    CHECK(box_find(&b, "/rf-a"));
    CHECK_EQ(box_left(&b, "rf-a"), 0);
    box_end(&b);
}

static void parents_of_others_stay(void)
{
    struct box a, b;

    CHECK(box_find(&a, "/rf-a"));
    CHECK(box_ok(&a, cgroup_create(&a.cg, NULL, false, &a.err)));
    CHECK(box_find(&b, "/rf-a/rf-b"));
    CHECK(box_ok(&b, cgroup_create(&b.cg, NULL, false, &b.err)));
    box_end(&b);
    CHECK(box_left(&a, "rf-a") >= 1);
    CHECK_EQ(box_left(&a, "rf-a/rf-b"), 0);
    box_end(&a);
}

/* One of several that make and remove the same parents all the time. */
static int do_start_and_end(unsigned who)
{
    char path[64];

    snprintf(path, sizeof(path), "/rf-a/rf-b/rf-%u", who);
    for (unsigned i = 0; i < 25; i++) {
        struct box b;

        if (!box_find(&b, path) ||
            !box_ok(&b, cgroup_create(&b.cg, NULL, false, &b.err)) ||
            box_run(&b, do_nothing, NULL) ||
            !box_ok(&b, cgroup_remove(&b.cg, &b.err)))
            return 1;
        cgroup_close(&b.cg);
        cgroup_host_free(&b.host);
    }
    return 0;
}

static void several_at_once_do_not_disturb_each_other(void)
{
    struct box b;
    int status;

    for (unsigned i = 0; i < 4; i++)
        if (!fork())
            _exit(do_start_and_end(i));
    for (unsigned i = 0; i < 4; i++) {
        wait(&status);
        CHECK_EQ(status, 0);
    }
    /* A parent stays if its maker could not remove it: then it is empty. */
    CHECK(box_find(&b, "/rf-a"));
    CHECK(box_ok(&b, cgroup_remove(&b.cg, &b.err)));
    CHECK_EQ(box_left(&b, "rf-a"), 0);
    box_end(&b);
}

static void one_in_use_is_not_taken(void)
{
    struct box a, b;

    CHECK(box_make(&a, NULL));
    CHECK(box_start(&a, do_sleep, NULL) > 0);
    CHECK(box_find(&b, NULL));
    wait_ms(20);
    CHECK_EQ(cgroup_create(&b.cg, NULL, false, &b.err), -EBUSY);
    CHECK(strstr(b.err.msg, "in use by process") != NULL);
    CHECK(cgroup_exists(&a.cg)); /* and it is left alone */
    cgroup_close(&b.cg);
    cgroup_host_free(&b.host);
    box_end(&a);
}

static void an_empty_one_is_taken(void)
{
    struct box a, b;

    CHECK(box_make(&a, NULL));
    CHECK(box_make(&b, NULL));
    CHECK_EQ(box_run(&b, do_look, &b.cg), 0);
    box_end(&b);
    CHECK_EQ(box_left(&a, NAME), 0);
    box_end(&a);
}

/* Some kernels kill whoever is born into one that was killed before. */
static void one_that_was_killed_before_is_taken(void)
{
    struct box a, b;

    CHECK(box_make(&a, NULL));
    CHECK(box_start(&a, do_sleep, NULL) > 0);
    CHECK(box_ok(&a, cgroup_kill(&a.cg, &a.err)));
    CHECK(box_make(&b, NULL));
    CHECK_EQ(box_run(&b, do_look, &b.cg), 0);
    box_end(&b);
    box_end(&a);
}

static void one_that_is_gone_is_removed_without_a_word(void)
{
    struct box b;

    CHECK(box_find(&b, "/rf-a/rf-none"));
    CHECK(!cgroup_exists(&b.cg));
    box_end(&b);
}

/* What a state file keeps is enough for kill and delete. */
static void it_is_found_again_from_what_was_saved(void)
{
    struct box a;
    struct cgroup cg = {0};

    CHECK(box_make(&a, NULL));
    CHECK(box_start(&a, do_sleep, NULL) > 0);
    cg.layout = a.cg.layout;
    for (unsigned i = 0; i < a.cg.count; i++) {
        const struct cgroup_tree *t = &a.cg.tree[i];

        if (t->refused)
            continue;
        CHECK(
            !cgroup_add(&cg, t->controllers, t->v2, t->mount, t->path, &a.err));
        cg.tree[cg.count - 1].made = t->made;
    }
    CHECK(box_ok(&a, cgroup_kill(&cg, &a.err)));
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    CHECK(box_ok(&a, cgroup_remove(&cg, &a.err)));
    cgroup_close(&cg);
    CHECK_EQ(box_left(&a, NAME), 0);
    box_end(&a);
}

static const struct cgroup_limits few_processes = {.has = CGROUP_PIDS_LIMIT,
                                                   .pids = 60};

static void removing_waits_for_the_dying_and_takes_what_is_below(void)
{
    struct box b;
    char path[600];

    NEED(CGROUP_PIDS);
    if (!box_make(&b, &few_processes))
        SKIP("without the limit it would fill the machine");
    for (unsigned i = 0; i < b.cg.count; i++) {
        const struct cgroup_tree *t = &b.cg.tree[i];

        snprintf(path, sizeof(path), "%s%s/x", t->mount, t->path);
        mkdir(path, 0755);
        snprintf(path, sizeof(path), "%s%s/x/y", t->mount, t->path);
        mkdir(path, 0755);
    }
    CHECK(box_start(&b, do_fork, NULL) > 0);
    wait_ms(30);
    box_end(&b);
    CHECK(box_find(&b, NULL));
    CHECK_EQ(box_left(&b, NAME), 0);
    box_end(&b);
}

static void with_a_process_in_it_it_is_not_removed(void)
{
    struct box b;

    CHECK(box_make(&b, NULL));
    CHECK(box_start(&b, do_sleep, NULL) > 0);
    wait_ms(30);
    CHECK_EQ(cgroup_remove(&b.cg, &b.err), -EBUSY);
    CHECK(strstr(b.err.msg, "there are processes in it") != NULL);
    box_end(&b);
}

/* Somebody puts another file system where our cgroup is. */
static int do_mount_over(void *arg)
{
    struct cgroup_limits l = {.has = CGROUP_PIDS_LIMIT, .pids = 5};
    const struct cgroup_tree *t = arg;
    char path[600];
    struct box b;

    snprintf(path, sizeof(path), "%s%s", t->mount, t->path);
    if (unshare(CLONE_NEWNS) ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("none", path, "tmpfs", 0, NULL) || !box_find(&b, NULL))
        return 1;
    if (cgroup_apply(&b.cg, &l, false, &b.err) != -EXDEV)
        return 2;
    if (cgroup_create(&b.cg, NULL, true, &b.err) != -EXDEV)
        return 3;
    return 0;
}

static void other_mounts_on_the_way_are_not_entered(void)
{
    struct cgroup_tree *t;
    int status = -1;
    struct box b;
    pid_t pid;

    NEED(CGROUP_PIDS);
    CHECK(box_make(&b, NULL));
    t = box_tree(&b, CGROUP_PIDS);
    pid = fork();
    if (!pid)
        _exit(do_mount_over(t));
    waitpid(pid, &status, 0);
    CHECK_EQ(status, 0);
    CHECK(cgroup_exists(&b.cg));
    box_end(&b);
}

static void what_is_no_cgroup_file_system_is_refused(void)
{
    struct cgroup cg = {.layout = CGROUP_V1};
    struct error err = {0};

    CHECK(!cgroup_add(&cg, BIT(CGROUP_PIDS), false, "/tmp", "/rf-x", &err));
    CHECK_EQ(cgroup_create(&cg, NULL, false, &err), -EINVAL);
    CHECK(strstr(err.msg, "/tmp is no cgroup file system") != NULL);
    CHECK(access("/tmp/rf-x", F_OK));
    cgroup_close(&cg);
}

/* --- limits --- */

static void the_memory_limit_kills_and_is_told(void)
{
    struct cgroup_limits l = {
        .memory = {.has = CGROUP_MEMORY_LIMIT | CGROUP_MEMORY_SWAP,
                   .limit = 16 << 20,
                   .swap = 16 << 20}};
    size_t few = 1 << 20, many = 64 << 20;
    struct cgroup_watch w;
    struct pollfd p;
    uint64_t n = 9;
    struct box b;
    int status;

    NEED(CGROUP_MEMORY);
    CHECK(box_make(&b, &l));
    CHECK(!cgroup_memory_limit(&b.cg, &n) && n == 16 << 20);
    CHECK(!cgroup_oom_kills(&b.cg, &n) && n == 0);
    CHECK(box_ok(&b, cgroup_watch_open(&b.cg, &w, &b.err)));
    CHECK_EQ(box_run(&b, do_eat, &few), 0);
    while (cgroup_watch_next(&w) == CGROUP_OOM)
        CHECK(false);
    status = box_run(&b, do_eat, &many);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CHECK(!cgroup_oom_kills(&b.cg, &n) && n == 1);
    p = (struct pollfd){.fd = w.fd, .events = POLLIN};
    CHECK_EQ(poll(&p, 1, 1000), 1);
    CHECK_EQ(cgroup_watch_next(&w), CGROUP_OOM);
    cgroup_watch_close(&w);
    box_end(&b);
}

static void a_watch_ends_with_the_cgroup(void)
{
    struct cgroup_watch w;
    struct pollfd p;
    struct box b;
    enum cgroup_event e = CGROUP_QUIET;

    NEED(CGROUP_MEMORY);
    CHECK(box_make(&b, NULL));
    CHECK(box_ok(&b, cgroup_watch_open(&b.cg, &w, &b.err)));
    CHECK_EQ(box_run(&b, do_nothing, NULL), 0);
    CHECK(box_ok(&b, cgroup_remove(&b.cg, &b.err)));
    p = (struct pollfd){.fd = w.fd, .events = POLLIN};
    for (unsigned i = 0; i < 5 && e != CGROUP_EMPTY; i++)
        if (poll(&p, 1, 1000) == 1)
            e = cgroup_watch_next(&w);
    CHECK_EQ(e, CGROUP_EMPTY);
    cgroup_watch_close(&w);
    box_end(&b);
}

static bool memory_set(struct box *b, int64_t limit, int64_t swap, bool update)
{
    struct cgroup_limits l = {
        .memory = {.has = CGROUP_MEMORY_LIMIT | (swap ? CGROUP_MEMORY_SWAP : 0),
                   .limit = limit,
                   .swap = swap}};

    return box_ok(b, cgroup_apply(&b->cg, &l, update, &b->err));
}

static void memory_limits_are_raised_and_lowered_in_any_order(void)
{
    uint64_t n = 0;
    struct box b;

    NEED(CGROUP_MEMORY);
    CHECK(box_make(&b, NULL));
    CHECK(memory_set(&b, 64 << 20, 128 << 20, false));
    CHECK(memory_set(&b, 512 << 20, 600 << 20, true)); /* above the old both */
    CHECK(!cgroup_memory_limit(&b.cg, &n) && n == 512 << 20);
    CHECK(memory_set(&b, 32 << 20, 32 << 20, true)); /* below the old */
    CHECK(!cgroup_memory_limit(&b.cg, &n) && n == 32 << 20);
    CHECK(memory_set(&b, -1, 0, true)); /* and none */
    CHECK(!cgroup_memory_limit(&b.cg, &n) && n == UINT64_MAX);
    box_end(&b);
}

/* Memory that cannot be swapped; *arg tells when it is there. */
static noreturn_fn int do_hold(void *arg)
{
    size_t bytes = 4 << 20;
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED || mlock(p, bytes))
        _exit(1);
    *(volatile int *)arg = 1;
    do_sleep(NULL);
}

static void a_limit_below_what_is_in_use_says_so(void)
{
    struct cgroup_limits l = {.memory = {.has = CGROUP_MEMORY_LIMIT,
                                         .limit = 4096,
                                         .check_before_update = true}};
    volatile int *held = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct box b;

    NEED(CGROUP_MEMORY);
    CHECK(box_make(&b, NULL));
    CHECK(box_start(&b, do_hold, (void *)held) > 0);
    for (unsigned i = 0; i < 200 && !*held; i++)
        wait_ms(5);
    CHECK(*held);
    CHECK_EQ(cgroup_apply(&b.cg, &l, true, &b.err), -EBUSY);
    CHECK(!strncmp(b.err.msg,
                   "linux.resources.memory.limit: 4096 is below what is in "
                   "use (",
                   60));
    munmap((void *)held, 4096);
    box_end(&b);
}

static void no_more_processes_than_the_limit(void)
{
    struct cgroup_limits l = {.has = CGROUP_PIDS_LIMIT, .pids = 5};
    int four = 4, none = 0;
    struct box b;

    NEED(CGROUP_PIDS);
    CHECK(box_make(&b, &l));
    CHECK_EQ(box_run(&b, do_fork_until, &four), 0);
    box_end(&b);
    l.pids = 0; /* nobody but the first */
    CHECK(box_make(&b, &l));
    CHECK_EQ(box_run(&b, do_fork_until, &none), 0);
    l.pids = -1;
    CHECK(box_ok(&b, cgroup_apply(&b.cg, &l, true, &b.err)));
    CHECK(!strcmp(box_text(&b, CGROUP_PIDS, "pids.max"), "max"));
    box_end(&b);
}

static void a_cpu_quota_throttles_and_is_counted(void)
{
    struct cgroup_limits l = {
        .cpu = {.has = CGROUP_CPU_QUOTA | CGROUP_CPU_PERIOD,
                .quota = 10000,
                .period = 100000}};
    struct cgroup_stats s;
    unsigned ms = 500;
    struct box b;

    NEED(CGROUP_CPU);
    CHECK(box_make(&b, &l));
    CHECK_EQ(box_run(&b, do_burn_ms, &ms), 0);
    CHECK(box_ok(&b, cgroup_stats_read(&b.cg, &s, &b.err)));
    CHECK(s.cpu.throttled_periods >= 2 && s.cpu.throttled_time > 100000000);
    CHECK(s.cpu.usage > 10000000 && s.cpu.usage < 300000000);
    cgroup_stats_free(&s);
    box_end(&b);
}

static bool cpu_set(struct box *b, struct cgroup_limits_cpu cpu, bool update)
{
    struct cgroup_limits l = {.cpu = cpu};

    return box_ok(b, cgroup_apply(&b->cg, &l, update, &b->err));
}

static void quota_period_and_burst_come_in_any_order(void)
{
    unsigned all = CGROUP_CPU_QUOTA | CGROUP_CPU_PERIOD | CGROUP_CPU_BURST;
    struct box b;

    NEED(CGROUP_CPU);
    CHECK(box_make(&b, NULL));
    CHECK(cpu_set(
        &b,
        (struct cgroup_limits_cpu){
            .has = all, .quota = 50000, .period = 100000, .burst = 40000},
        false));
    CHECK(
        cpu_set(&b,
                (struct cgroup_limits_cpu){
                    .has = all, .quota = 5000, .period = 10000, .burst = 1000},
                true));
    CHECK(cpu_set(
        &b,
        (struct cgroup_limits_cpu){
            .has = all, .quota = 900000, .period = 1000000, .burst = 800000},
        true));
    /* A new period alone leaves the quota. */
    CHECK(cpu_set(
        &b,
        (struct cgroup_limits_cpu){.has = CGROUP_CPU_PERIOD, .period = 950000},
        true));
    if (cgroup_tree_of(&b.cg, CGROUP_CPU)->v2)
        CHECK(!strcmp(box_text(&b, CGROUP_CPU, "cpu.max"), "900000 950000"));
    else
        CHECK(!strcmp(box_text(&b, CGROUP_CPU, "cpu.cfs_quota_us"), "900000"));
    CHECK(cpu_set(&b,
                  (struct cgroup_limits_cpu){
                      .has = CGROUP_CPU_QUOTA | CGROUP_CPU_BURST, .quota = -1},
                  true));
    box_end(&b);
}

static void shares_and_idle(void)
{
    struct box b;

    NEED(CGROUP_CPU);
    CHECK(box_make(&b, NULL));
    CHECK(cpu_set(
        &b, (struct cgroup_limits_cpu){.has = CGROUP_CPU_SHARES, .shares = 512},
        false));
    if (box_tree(&b, CGROUP_CPU)->v2)
        CHECK(!strcmp(box_text(&b, CGROUP_CPU, "cpu.weight"), "59"));
    else
        CHECK(!strcmp(box_text(&b, CGROUP_CPU, "cpu.shares"), "512"));
    CHECK(cpu_set(
        &b,
        (struct cgroup_limits_cpu){.has = CGROUP_CPU_SHARES | CGROUP_CPU_IDLE,
                                   .shares = 256,
                                   .idle = 1},
        false));
    CHECK(!strcmp(box_text(&b, CGROUP_CPU, "cpu.idle"), "1"));
    CHECK(
        cpu_set(&b,
                (struct cgroup_limits_cpu){
                    .has = CGROUP_CPU_SHARES | CGROUP_CPU_IDLE, .shares = 2048},
                true));
    CHECK(!strcmp(box_text(&b, CGROUP_CPU, "cpu.idle"), "0"));
    box_end(&b);
}

static int do_affinity(void *arg)
{
    cpu_set_t set;

    (void)arg;
    sched_getaffinity(0, sizeof(set), &set);
    return CPU_COUNT(&set) == 1 && CPU_ISSET(0, &set) ? 0 : 1;
}

static void a_cpuset_is_kept_to(void)
{
    struct cgroup_limits l = {.cpu = {.cpus = "0", .mems = "0"}};
    struct box b;

    NEED(CGROUP_CPUSET);
    CHECK(box_make(&b, &l));
    CHECK_EQ(box_run(&b, do_affinity, NULL), 0);
    box_end(&b);
}

/* Parents that others made without CPUs: nobody could enter below. */
static void empty_cpusets_above_are_filled(void)
{
    struct box b;
    struct cgroup_tree *t;
    char path[600];

    CHECK(box_find(&b, "/rf-a/rf-b/" NAME));
    t = box_tree(&b, CGROUP_CPUSET);
    if (t && !t->v2) {
        snprintf(path, sizeof(path), "%s/rf-a", t->mount);
        CHECK(!mkdir(path, 0755));
        snprintf(path, sizeof(path), "%s/rf-a/rf-b", t->mount);
        CHECK(!mkdir(path, 0755));
        CHECK(box_ok(&b, cgroup_create(&b.cg, NULL, false, &b.err)));
        CHECK_EQ(box_run(&b, do_look, &b.cg), 0);
        CHECK(box_ok(&b, cgroup_remove(&b.cg, &b.err)));
        rmdir(path);
        snprintf(path, sizeof(path), "%s/rf-a", t->mount);
        CHECK(!rmdir(path));
    }
    box_end(&b);
}

static void huge_pages(void)
{
    struct cgroup_hugepage_limit h = {"2MB", 4 << 20};
    struct cgroup_limits l = {.hugepage = &h, .hugepages = 1};
    struct box b;
    bool v2;

    NEED(CGROUP_HUGETLB);
    CHECK(box_make(&b, &l));
    v2 = box_tree(&b, CGROUP_HUGETLB)->v2;
    CHECK(
        !strcmp(box_text(&b, CGROUP_HUGETLB,
                         v2 ? "hugetlb.2MB.max" : "hugetlb.2MB.limit_in_bytes"),
                "4194304"));
    CHECK_EQ(box_run(&b, do_look, &b.cg), 0);
    box_end(&b);
}

/* --- devices --- */

/* As "null" for reading, and so on: bits that could be had. */
static int do_devices(void *arg)
{
    int got = 0, fd;

    (void)arg;
    fd = open("/dev/null", O_RDONLY);
    got |= (fd >= 0) << 0;
    fd = open("/dev/null", O_WRONLY);
    got |= (fd >= 0) << 1;
    fd = open("/dev/zero", O_RDWR);
    got |= (fd >= 0) << 2;
    fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
    got |= (fd >= 0) << 3;
    unlink("/tmp/rf-node");
    got |= !mknod("/tmp/rf-node", S_IFCHR | 0600, makedev(1, 3)) << 4;
    unlink("/tmp/rf-node");
    return got;
}

static int devices_got(struct box *b)
{
    return WEXITSTATUS(box_run(b, do_devices, NULL));
}

static void devices_are_those_of_the_rules(void)
{
    struct cgroup_device_rule none = {false, 'a', -1, -1, "rwm"};
    struct cgroup_device_rule some[] = {none,
                                        {true, 'c', 1, 3, "r"},
                                        {true, 'c', 1, -1, "rw"},
                                        {false, 'c', 1, 5, "w"}};
    struct cgroup_device_rule all = {true, 'a', -1, -1, "rwm"};
    struct cgroup_limits l = {.device_defaults = true};
    struct box b;

    NEED(CGROUP_DEVICES);
    CHECK(box_make(&b, &l));
    CHECK_EQ(devices_got(&b), 1 | 2 | 4 | 16);
    l.device_defaults = false;
    l.device = &none;
    l.devices = 1;
    CHECK(box_ok(&b, cgroup_apply(&b.cg, &l, true, &b.err)));
    CHECK_EQ(devices_got(&b), 0);
    l.device = some;
    l.devices = 2;
    CHECK(box_ok(&b, cgroup_apply(&b.cg, &l, true, &b.err)));
    CHECK_EQ(devices_got(&b), 1);
    l.devices = 3;
    CHECK(box_ok(&b, cgroup_apply(&b.cg, &l, true, &b.err)));
    CHECK_EQ(devices_got(&b), 1 | 2 | 4 | 8);
    l.device = &all;
    l.devices = 1;
    CHECK(box_ok(&b, cgroup_apply(&b.cg, &l, true, &b.err)));
    CHECK_EQ(devices_got(&b), 31);
    box_end(&b);
}

/* The kernel proves each program; any list of rules must make one it takes. */
static void random_rules_are_taken(void)
{
    static const char *const access[] = {NULL, "r", "w", "m", "rw", "wm"};
    struct cgroup_device_rule rule[20];
    struct cgroup_limits l = {.device = rule};
    struct box b;

    NEED(CGROUP_DEVICES);
    CHECK(box_make(&b, NULL));
    srand(7);
    for (unsigned k = 0; k < 100 && !test_failed; k++) {
        l.devices = (unsigned)rand() % 20;
        l.device_defaults = rand() % 2;
        for (unsigned i = 0; i < l.devices; i++)
            rule[i] = (struct cgroup_device_rule){
                .allow = rand() % 2,
                .type = "abc"[rand() % 3],
                .major = rand() % 4 - 1,
                .minor = rand() % 4 - 1,
                .access = access[rand() % 6],
            };
        CHECK(box_ok(&b, cgroup_apply(&b.cg, &l, true, &b.err)));
    }
    CHECK_EQ(box_run(&b, do_nothing, NULL), 0);
    box_end(&b);
}

/* The first block device; false: there is none. */
static bool block_device(struct cgroup_device_id *d)
{
    FILE *f = popen("cat /sys/block/*/dev 2>/dev/null", "r");
    long long major, minor;
    bool found = f && fscanf(f, "%lld:%lld", &major, &minor) == 2;

    if (f)
        pclose(f);
    if (found)
        *d = (struct cgroup_device_id){major, minor};
    return found;
}

static void disks_are_throttled(void)
{
    struct cgroup_throttle t = {.rate = 1 << 20};
    struct cgroup_limits l = {0};
    struct box b;
    char want[80];

    NEED(CGROUP_IO);
    if (!block_device(&t.device))
        SKIP("no disk to throttle");
    l.io.throttle[CGROUP_WRITE_BPS].list = &t;
    l.io.throttle[CGROUP_WRITE_BPS].count = 1;
    CHECK(box_make(&b, &l));
    if (box_tree(&b, CGROUP_IO)->v2) {
        snprintf(want, sizeof(want), "%lld:%lld rbps=max wbps=1048576",
                 (long long)t.device.major, (long long)t.device.minor);
        CHECK(!strncmp(box_text(&b, CGROUP_IO, "io.max"), want, strlen(want)));
    } else {
        snprintf(want, sizeof(want), "%lld:%lld 1048576",
                 (long long)t.device.major, (long long)t.device.minor);
        CHECK(!strcmp(
            box_text(&b, CGROUP_IO, "blkio.throttle.write_bps_device"), want));
    }
    t.rate = 0; /* and no more */
    CHECK(box_ok(&b, cgroup_apply(&b.cg, &l, true, &b.err)));
    CHECK(!strcmp(box_text(&b, CGROUP_IO,
                           box_tree(&b, CGROUP_IO)->v2
                               ? "io.max"
                               : "blkio.throttle.write_bps_device"),
                  ""));
    t.device.major = 4000;
    t.rate = 1;
    CHECK_EQ(cgroup_apply(&b.cg, &l, true, &b.err), -ENODEV);
    CHECK(strstr(b.err.msg, "throttleWriteBpsDevice: 4000:") != NULL);
    box_end(&b);
}

/* Written, or an error that says what the kernel has not. */
static void weights_and_classes(void)
{
    struct cgroup_limits l = {.io = {.has = CGROUP_WEIGHT | CGROUP_LEAF_WEIGHT,
                                     .weight = 500,
                                     .leaf_weight = 300}};
    struct cgroup_limits net = {
        .net = {.has = CGROUP_NET_CLASS, .class_id = 0x100001}};
    struct box b;

    NEED(CGROUP_IO);
    CHECK(box_make(&b, NULL));
    if (cgroup_apply(&b.cg, &l, false, &b.err))
        CHECK(strstr(b.err.msg, "blockIO.weight: this kernel has no ") != NULL);
    else if (!box_tree(&b, CGROUP_IO)->v2)
        CHECK(strstr(box_text(&b, CGROUP_IO, "blkio.bfq.weight"), "500") ||
              strstr(box_text(&b, CGROUP_IO, "blkio.weight"), "500"));
    else
        CHECK(strstr(box_text(&b, CGROUP_IO, "io.bfq.weight"), " 500") ||
              strstr(box_text(&b, CGROUP_IO, "io.weight"), " 4950"));
    if (box_tree(&b, CGROUP_NET_CLS)) {
        CHECK(box_ok(&b, cgroup_apply(&b.cg, &net, false, &b.err)));
        CHECK(!strcmp(box_text(&b, CGROUP_NET_CLS, "net_cls.classid"),
                      "1048577"));
    }
    box_end(&b);
}

/* --- frozen, killed --- */

static void frozen_it_stands_still(void)
{
    volatile uint64_t *n = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t before;
    struct box b;

    NEED(CGROUP_FREEZER);
    CHECK(box_make(&b, NULL));
    CHECK(box_start(&b, do_count, (void *)n) > 0);
    CHECK(!cgroup_is_frozen(&b.cg));
    wait_ms(30);
    for (unsigned i = 0; i < 3; i++) {
        CHECK(box_ok(&b, cgroup_freeze(&b.cg, true, &b.err)));
        CHECK(cgroup_is_frozen(&b.cg));
        before = *n;
        wait_ms(30);
        CHECK(*n == before && before);
        CHECK(box_ok(&b, cgroup_freeze(&b.cg, false, &b.err)));
        CHECK(!cgroup_is_frozen(&b.cg));
        wait_ms(50);
        CHECK(*n != before);
    }
    box_end(&b);
    munmap((void *)n, 4096);
}

static void a_fork_bomb_is_frozen_and_killed(void)
{
    struct box b;
    unsigned count = 0;
    pid_t *pids;

    NEED(CGROUP_FREEZER);
    NEED(CGROUP_PIDS);
    if (!box_make(&b, &few_processes))
        SKIP("without the limit it would fill the machine");
    CHECK(box_start(&b, do_fork, NULL) > 0);
    wait_ms(100);
    CHECK(box_ok(&b, cgroup_freeze(&b.cg, true, &b.err)));
    CHECK(box_ok(&b, cgroup_kill(&b.cg, &b.err))); /* also when frozen */
    CHECK(box_ok(&b, cgroup_pids(&b.cg, &pids, &count, &b.err)));
    CHECK_EQ(count, 0);
    free(pids);
    box_end(&b);
}

static void a_signal_reaches_all(void)
{
    struct box b;
    pid_t one, two;
    int status;

    CHECK(box_make(&b, NULL));
    one = box_start(&b, do_sleep, NULL);
    two = box_start(&b, do_sleep, NULL);
    wait_ms(30);
    CHECK(box_ok(&b, cgroup_signal(&b.cg, SIGUSR1, &b.err)));
    CHECK(waitpid(one, &status, 0) == one && WTERMSIG(status) == SIGUSR1);
    CHECK(waitpid(two, &status, 0) == two && WTERMSIG(status) == SIGUSR1);
    box_end(&b);
}

static void children_below_count_too(void)
{
    struct box b, below;
    unsigned count = 0;
    pid_t *pids;

    CHECK(box_make(&b, NULL));
    CHECK(box_find(&below, "/" NAME "/x"));
    CHECK(box_ok(&below, cgroup_create(&below.cg, NULL, false, &below.err)));
    CHECK(box_start(&below, do_sleep, NULL) > 0);
    wait_ms(30);
    CHECK(box_ok(&b, cgroup_pids(&b.cg, &pids, &count, &b.err)));
    CHECK_EQ(count, 1);
    free(pids);
    box_end(&b); /* kills it, and removes both */
    CHECK_EQ(box_left(&below, NAME), 0);
    cgroup_close(&below.cg);
    cgroup_host_free(&below.host);
}

/* --- another process of a running container --- */

static int do_where(void *arg)
{
    char text[4096];
    int fd = open("/proc/self/cgroup", O_RDONLY);
    ssize_t n = read(fd, text, sizeof(text) - 1);

    text[n > 0 ? n : 0] = '\0';
    return strstr(text, arg) ? 0 : 1;
}

static void a_process_enters_a_directory_below(void)
{
    struct box b, x;

    CHECK(box_make(&b, NULL));
    CHECK(box_find(&x, "/" NAME "/x"));
    CHECK(box_ok(&x, cgroup_create(&x.cg, NULL, false, &x.err)));
    CHECK(box_ok(&b, cgroup_descend(&b.cg, 0, "x", &b.err)));
    CHECK_EQ(box_run(&b, do_where, "/" NAME "/x\n"), 0);
    CHECK_EQ(cgroup_descend(&b.cg, 0, "nowhere", &b.err), -ENOENT);
    CHECK_EQ(cgroup_descend(&b.cg, 0, "../..", &b.err), -EINVAL);
    cgroup_close(&b.cg);
    cgroup_host_free(&b.host);
    box_end(&x);
    CHECK(box_find(&b, NULL));
    CHECK(box_ok(&b, cgroup_remove(&b.cg, &b.err)));
    box_end(&b);
}

/* A relative path begins where we are; on v2, whose cgroups hold processes
 * or controlled children, one above. */
static int do_relative(void *arg)
{
    struct box b;
    bool failed;

    (void)arg;
    if (!box_find(&b, "mine"))
        return 1;
    failed = strcmp(b.cg.tree[0].path,
                    b.cg.layout == CGROUP_V2 ? "/mine" : "/" NAME "/mine");
    failed |= !box_ok(&b, cgroup_create(&b.cg, NULL, false, &b.err));
    failed |= box_run(&b, do_where, "/mine\n") != 0;
    box_end(&b);
    return failed;
}

static void relative_paths_begin_at_the_own_cgroup(void)
{
    struct box b;

    CHECK(box_make(&b, NULL));
    CHECK_EQ(box_run(&b, do_relative, NULL), 0);
    CHECK_EQ(box_left(&b, NAME "/mine"), 0);
    box_end(&b);
}

/* What systemd does in a container: a leaf for itself, then controllers. */
static void where_init_went_others_follow(void)
{
    struct box b, x;
    struct cgroup_tree *t;
    char path[600];
    pid_t init;
    int fd;

    CHECK(box_make(&b, NULL));
    t = &b.cg.tree[0];
    if (b.cg.layout != CGROUP_V2) {
        box_end(&b);
        SKIP("for cgroup v2 alone");
    }
    CHECK(box_find(&x, "/" NAME "/init"));
    CHECK(box_ok(&x, cgroup_create(&x.cg, NULL, false, &x.err)));
    init = box_start(&x, do_sleep, NULL);
    wait_ms(30);
    snprintf(path, sizeof(path), "%s%s/cgroup.subtree_control", t->mount,
             t->path);
    fd = open(path, O_WRONLY);
    CHECK(write(fd, "+pids", 5) == 5);
    close(fd);
    CHECK_EQ(box_start(&b, do_sleep, NULL), -1);
    CHECK_EQ(errno, EBUSY);
    CHECK_EQ(cgroup_enter(&b.cg, getpid(), false, &b.err), -EBUSY);
    CHECK(box_ok(&b, cgroup_follow(&b.cg, init, &b.err)));
    CHECK_EQ(box_run(&b, do_where, "/" NAME "/init\n"), 0);
    cgroup_close(&b.cg);
    cgroup_host_free(&b.host);
    box_end(&x);
    CHECK(box_find(&b, NULL));
    box_end(&b);
}

/* --- errors --- */

static void expect(const struct cgroup_limits *l, const char *v1,
                   const char *v2)
{
    struct box b;
    const char *want;

    CHECK(box_make(&b, NULL));
    want = b.cg.layout == CGROUP_V2 ? v2 : v1;
    if (cgroup_apply(&b.cg, l, false, &b.err) == 0) {
        if (want)
            fprintf(stderr, "no error, but should be: %s\n", want);
        CHECK(!want);
    } else if (!want || !strstr(b.err.msg, want)) {
        fprintf(stderr, "said: %s\nnot: %s\n", b.err.msg, want);
        CHECK(false);
    }
    box_end(&b);
}

static void errors_name_the_place_and_the_reason(void)
{
    struct cgroup_limits l = {0};
    struct cgroup_unified u = {"memory.high", "1000000"};

    NEED(CGROUP_MEMORY);
    NEED(CGROUP_CPU);
    NEED(CGROUP_CPUSET);
    NEED(CGROUP_PIDS);
    l.memory = (struct cgroup_limits_memory){.has = CGROUP_MEMORY_LIMIT |
                                                    CGROUP_MEMORY_SWAP,
                                             .limit = 8 << 20,
                                             .swap = 4 << 20};
    expect(&l, "linux.resources.memory.swap: 4194304 is below",
           "linux.resources.memory.swap: 4194304 is below");
    l.memory = (struct cgroup_limits_memory){.has = CGROUP_MEMORY_SWAPPINESS,
                                             .swappiness = 1000};
    expect(&l, "linux.resources.memory.swappiness: 1000 is not a number",
           "linux.resources.memory.swappiness: there is no such limit on");
    l.memory =
        (struct cgroup_limits_memory){.has = CGROUP_MEMORY_LIMIT, .limit = -5};
    expect(&l, "memory.limit: -5 is neither bytes nor -1 (no limit)",
           "memory.limit: -5 is neither bytes nor -1 (no limit)");
    l.memory.has = 0;
    l.io = (struct cgroup_limits_io){.has = CGROUP_WEIGHT, .weight = 2000};
    expect(&l, "blockIO.weight: 2000 is not from 10 to 1000",
           "blockIO.weight: 2000 is not from 10 to 1000");
    l.io.has = 0;
    l.cpu = (struct cgroup_limits_cpu){.has = CGROUP_CPU_QUOTA, .quota = 5};
    expect(&l, "linux.resources.cpu.quota: 5 is below 1000",
           "linux.resources.cpu.quota: 5 (quota, period) is not at least");
    l.cpu = (struct cgroup_limits_cpu){.has = CGROUP_CPU_PERIOD, .period = 5};
    expect(&l, "linux.resources.cpu.period: 5 is not from 1000",
           "linux.resources.cpu.period: max 5 (quota, period) is not at least");
    l.cpu = (struct cgroup_limits_cpu){.cpus = "4000"};
    expect(&l, "linux.resources.cpu.cpus: 4000 is no list of what this host",
           "linux.resources.cpu.cpus: 4000 is no list of what this host");
    l.cpu = (struct cgroup_limits_cpu){.cpus = "x;y"};
    expect(&l, "linux.resources.cpu.cpus: x;y is no list",
           "linux.resources.cpu.cpus: x;y is no list");
    l.cpu = (struct cgroup_limits_cpu){.has = CGROUP_CPU_RT_RUNTIME,
                                       .realtime_runtime = 99999999};
    expect(&l, "linux.resources.cpu.realtimeRuntime: ",
           "linux.resources.cpu.realtimeRuntime: there is no such limit on");
    l.cpu.has = 0;
    l.has = CGROUP_PIDS_LIMIT;
    l.pids = 1ll << 60;
    expect(&l, "linux.resources.pids.limit: 1152921504606846976 is more than",
           "linux.resources.pids.limit: 1152921504606846976 is more than");
    l.has = 0;
    l.unified = &u;
    l.unifieds = 1;
    expect(&l, "linux.resources.unified", NULL);
    u.file = "../x.y";
    expect(&l, "linux.resources.unified", "\"../x.y\" is no file of a");
    u.file = "cgroup.procs";
    expect(&l, "linux.resources.unified", "\"cgroup.procs\" is no file");
    u.file = "memory.nonsense";
    expect(&l, "linux.resources.unified", "this kernel has no memory.nonsense");
    u.file = "nonsense.max";
    expect(&l, "linux.resources.unified", "there is no such file");
}

static void controllers_that_are_missing_are_named(void)
{
    struct cgroup_limits l = {.net = {.has = CGROUP_NET_CLASS, .class_id = 1}};
    struct cgroup_rdma_limit r = {CGROUP_RDMA_HANDLES, "mlx5_0", 2, 0};
    struct cgroup_hugepage_limit h = {"../../x", 1};
    struct box b;

    CHECK(box_find(&b, NULL));
    if (!box_tree(&b, CGROUP_NET_CLS))
        expect(&l,
               "linux.resources.network.classID: needs the cgroup "
               "controller net_cls, which this host does not have",
               "linux.resources.network.classID: there is no such limit");
    l.net.has = 0;
    l.rdma = &r;
    l.rdmas = 1;
    if (!box_tree(&b, CGROUP_RDMA))
        expect(&l, "needs the cgroup controller rdma",
               "needs the cgroup controller rdma");
    r.device = "a b";
    expect(&l, "a b is no name of a device", "a b is no name of a device");
    l.rdmas = 0;
    l.hugepage = &h;
    l.hugepages = 1;
    expect(&l, "hugepageLimits[0].pageSize: ../../x is no size",
           "hugepageLimits[0].pageSize: ../../x is no size");
    box_end(&b);
}

/* A user who may not make any runs without limits, and is told with them. */
static int do_unprivileged(void *arg)
{
    struct cgroup_limits l = {.has = CGROUP_PIDS_LIMIT, .pids = 5};
    struct cgroup_limits none = {.device_defaults = true};
    struct box b;
    int failed = 0;

    (void)arg;
    if (setgid(65534) || setuid(65534))
        return 1;
    if (!box_find(&b, NULL))
        return 1;
    failed |= !cgroup_create(&b.cg, NULL, false, &b.err);
    cgroup_close(&b.cg);
    cgroup_host_free(&b.host);
    if (!box_find(&b, NULL) ||
        !box_ok(&b, cgroup_create(&b.cg, NULL, true, &b.err)))
        return 1;
    failed |= box_run(&b, do_nothing, NULL) != 0;
    failed |= !box_ok(&b, cgroup_apply(&b.cg, &none, false, &b.err));
    failed |= cgroup_apply(&b.cg, &l, false, &b.err) != -EACCES;
    failed |= !strstr(b.err.msg, "where this user may not make any");
    if (failed)
        fprintf(stderr, "last error: %s\n", b.err.msg);
    cgroup_close(&b.cg);
    cgroup_host_free(&b.host);
    return failed;
}

static void without_rights_it_goes_without_limits(void)
{
    pid_t pid = fork();
    int status = -1;

    NEED(CGROUP_PIDS);
    NEED(CGROUP_DEVICES);
    if (!pid)
        _exit(do_unprivileged(NULL));
    waitpid(pid, &status, 0);
    CHECK_EQ(status, 0);
}

/* Writes a file of cgroup v2's root, or below. */
static bool v2_put(const char *name, const char *text)
{
    char path[200];
    int fd;
    bool ok;

    snprintf(path, sizeof(path), "/sys/fs/cgroup/%s", name);
    fd = open(path, O_WRONLY);
    ok = fd >= 0 && write(fd, text, strlen(text)) > 0;
    close(fd);
    return ok;
}

/* In /rf-user/shell, as its owner: a relative path is beside us. */
static int do_delegated(void *arg)
{
    struct cgroup_limits l = {
        .has = CGROUP_PIDS_LIMIT, .pids = 5, .device_defaults = true};
    struct box b;
    int failed = 0;

    (void)arg;
    if (!v2_put("rf-user/shell/cgroup.procs", "0") || setgid(65534) ||
        setuid(65534) || !box_find(&b, "mine"))
        return 1;
    failed |= strcmp(b.cg.tree[0].path, "/rf-user/mine");
    failed |= !box_ok(&b, cgroup_create(&b.cg, NULL, false, &b.err));
    /* An ordinary user has no say about devices, and loses nothing. */
    failed |= !box_ok(&b, cgroup_apply(&b.cg, &l, false, &b.err));
    failed |= strcmp(box_text(&b, CGROUP_PIDS, "pids.max"), "5");
    failed |= box_run(&b, do_where, "/rf-user/mine\n") != 0;
    box_end(&b);
    return failed;
}

static void a_delegated_tree_is_enough_for_limits(void)
{
    static const char *const owned[] = {"",
                                        "/cgroup.procs",
                                        "/cgroup.subtree_control",
                                        "/cgroup.threads",
                                        "/shell",
                                        "/shell/cgroup.procs"};
    char path[200];
    struct box b;
    int status = -1;
    pid_t pid;

    CHECK(box_find(&b, NULL));
    if (b.cg.layout != CGROUP_V2) {
        box_end(&b);
        SKIP("for cgroup v2 alone");
    }
    v2_put("cgroup.subtree_control", "+pids +memory");
    CHECK(!mkdir("/sys/fs/cgroup/rf-user", 0755));
    CHECK(!mkdir("/sys/fs/cgroup/rf-user/shell", 0755));
    for (unsigned i = 0; i < ARRAY_SIZE(owned); i++) {
        snprintf(path, sizeof(path), "/sys/fs/cgroup/rf-user%s", owned[i]);
        CHECK(!chown(path, 65534, 65534));
    }
    pid = fork();
    if (!pid)
        _exit(do_delegated(NULL));
    waitpid(pid, &status, 0);
    CHECK_EQ(status, 0);
    wait_ms(50);
    CHECK(!rmdir("/sys/fs/cgroup/rf-user/shell"));
    CHECK(!rmdir("/sys/fs/cgroup/rf-user"));
    box_end(&b);
}

/* --- figures --- */

static void stats_are_those_of_what_it_did(void)
{
    struct cgroup_limits l = {.has = CGROUP_PIDS_LIMIT, .pids = 77};
    size_t bytes = 8 << 20;
    struct cgroup_stats s;
    unsigned ms = 100;
    struct box b;

    NEED(CGROUP_MEMORY);
    NEED(CGROUP_PIDS);
    NEED(CGROUP_CPUACCT);
    CHECK(box_make(&b, &l));
    CHECK_EQ(box_run(&b, do_eat, &bytes), 0);
    CHECK_EQ(box_run(&b, do_burn_cpu_ms, &ms), 0);
    CHECK(box_start(&b, do_sleep, NULL) > 0);
    wait_ms(30);
    CHECK(box_ok(&b, cgroup_stats_read(&b.cg, &s, &b.err)));
    CHECK_EQ(s.pids, 1);
    CHECK_EQ(s.pids_limit, 77);
    CHECK(s.cpu.usage > 90000000 && s.cpu.usage < 3000000000);
    CHECK(s.cpu.user > 0 || s.cpu.kernel > 0);
    CHECK(s.memory.usage.limit == UINT64_MAX);
    CHECK(s.memory.usage.usage > 0 && s.memory.raws > 10);
    if (b.cg.layout != CGROUP_V2) {
        CHECK(s.cpu.cpus >= 1 && s.cpu.percpu != NULL);
        CHECK(s.memory.usage.max >= bytes);
    }
    cgroup_stats_free(&s);
    box_end(&b);
}

/* --- what it costs --- */

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

static int bench(void)
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
        trees = b.cg.count;
        box_end(&b);
        step_end(least, 4, &from);
    }
    for (unsigned i = 0; i < 5; i++) {
        printf("%-14s %6.0f us\n", name[i], least[i]);
        sum += least[i];
    }
    printf("%-14s %6.0f us, %u hierarchies\n", "all", sum, trees);
    return 0;
}

/* --- run --- */

#define ALL(X)                                                                 \
    X(the_first_process_is_in_all_of_them_and_nothing_is_left)                 \
    X(another_process_is_moved)                                                \
    X(parents_are_made_and_go_again)                                           \
    X(parents_of_others_stay)                                                  \
    X(several_at_once_do_not_disturb_each_other)                               \
    X(one_in_use_is_not_taken)                                                 \
    X(an_empty_one_is_taken)                                                   \
    X(one_that_was_killed_before_is_taken)                                     \
    X(one_that_is_gone_is_removed_without_a_word)                              \
    X(it_is_found_again_from_what_was_saved)                                   \
    X(removing_waits_for_the_dying_and_takes_what_is_below)                    \
    X(with_a_process_in_it_it_is_not_removed)                                  \
    X(other_mounts_on_the_way_are_not_entered)                                 \
    X(what_is_no_cgroup_file_system_is_refused)                                \
    X(the_memory_limit_kills_and_is_told)                                      \
    X(a_watch_ends_with_the_cgroup)                                            \
    X(memory_limits_are_raised_and_lowered_in_any_order)                       \
    X(a_limit_below_what_is_in_use_says_so)                                    \
    X(no_more_processes_than_the_limit)                                        \
    X(a_cpu_quota_throttles_and_is_counted)                                    \
    X(quota_period_and_burst_come_in_any_order)                                \
    X(shares_and_idle)                                                         \
    X(a_cpuset_is_kept_to)                                                     \
    X(empty_cpusets_above_are_filled)                                          \
    X(huge_pages)                                                              \
    X(devices_are_those_of_the_rules)                                          \
    X(random_rules_are_taken)                                                  \
    X(disks_are_throttled)                                                     \
    X(weights_and_classes)                                                     \
    X(frozen_it_stands_still)                                                  \
    X(a_fork_bomb_is_frozen_and_killed)                                        \
    X(a_signal_reaches_all)                                                    \
    X(children_below_count_too)                                                \
    X(a_process_enters_a_directory_below)                                      \
    X(relative_paths_begin_at_the_own_cgroup)                                  \
    X(where_init_went_others_follow)                                           \
    X(errors_name_the_place_and_the_reason)                                    \
    X(controllers_that_are_missing_are_named)                                  \
    X(without_rights_it_goes_without_limits)                                   \
    X(a_delegated_tree_is_enough_for_limits)                                   \
    X(stats_are_those_of_what_it_did)

int main(int argc, char **argv)
{
    const char *prefix = argc > 1 ? argv[1] : "";

    if (!strcmp(prefix, "bench"))
        return bench();

#define X(name)                                                                \
    if (!strncmp(#name, prefix, strlen(prefix)))                               \
        RUN(name);
    ALL(X)
    return test_status();
}
