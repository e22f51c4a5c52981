/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits.c - limits hold, and what was used is told.
 */
#include "claims.h"

#include <poll.h>
#include <sched.h>

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
    for (unsigned i = 0; i < 1000 && !*held; i++)
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
    unsigned ms = 500, runs = 0;
    bool throttled;
    struct box b;

    NEED(CGROUP_CPU);
    CHECK(box_make(&b, &l));
    do { /* again, where others leave it less than the quota */
        CHECK_EQ(box_run(&b, do_burn_ms, &ms), 0);
        CHECK(box_ok(&b, cgroup_stats_read(&b.cg, &s, &b.err)));
        throttled =
            s.cpu.throttled_periods >= 2 && s.cpu.throttled_time > 100000000;
        runs++;
        CHECK(s.cpu.usage < runs * 300000000ull);
        cgroup_stats_free(&s);
    } while (!throttled && runs < 10);
    CHECK(throttled);
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

/* --- figures --- */

static void stats_are_those_of_what_it_did(void)
{
    struct cgroup_limits l = {.has = CGROUP_PIDS_LIMIT, .pids = 77};
    size_t bytes = 8 << 20;
    struct cgroup_stats s = {0};
    unsigned ms = 100, i;
    struct box b;

    NEED(CGROUP_MEMORY);
    NEED(CGROUP_PIDS);
    NEED(CGROUP_CPUACCT);
    CHECK(box_make(&b, &l));
    CHECK_EQ(box_run(&b, do_eat, &bytes), 0);
    CHECK_EQ(box_run(&b, do_burn_cpu_ms, &ms), 0);
    CHECK(box_start(&b, do_sleep, NULL) > 0);
    /* It is there at once; what it uses is charged once it has run. */
    for (i = 0; i < 500; i++) {
        CHECK(box_ok(&b, cgroup_stats_read(&b.cg, &s, &b.err)));
        if (s.pids == 1 && s.memory.usage.usage)
            break;
        cgroup_stats_free(&s);
        wait_ms(10);
    }
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

int claims_limits(const char *prefix)
{
    CLAIM(the_memory_limit_kills_and_is_told)
    CLAIM(a_watch_ends_with_the_cgroup)
    CLAIM(memory_limits_are_raised_and_lowered_in_any_order)
    CLAIM(a_limit_below_what_is_in_use_says_so)
    CLAIM(no_more_processes_than_the_limit)
    CLAIM(a_cpu_quota_throttles_and_is_counted)
    CLAIM(quota_period_and_burst_come_in_any_order)
    CLAIM(shares_and_idle)
    CLAIM(a_cpuset_is_kept_to)
    CLAIM(empty_cpusets_above_are_filled)
    CLAIM(huge_pages)
    CLAIM(devices_are_those_of_the_rules)
    CLAIM(random_rules_are_taken)
    CLAIM(disks_are_throttled)
    CLAIM(weights_and_classes)
    CLAIM(stats_are_those_of_what_it_did)
    return test_status();
}
