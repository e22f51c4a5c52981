/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refusals.c - what cannot be had is said, with its place and the reason.
 */
#include "claims.h"

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

int claims_refusals(const char *prefix)
{
    CLAIM(errors_name_the_place_and_the_reason)
    CLAIM(controllers_that_are_missing_are_named)
    CLAIM(without_rights_it_goes_without_limits)
    CLAIM(a_delegated_tree_is_enough_for_limits)
    return test_status();
}
