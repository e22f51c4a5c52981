/* SPDX-License-Identifier: Apache-2.0 */
/*
 * life.c - cgroups are made, entered, frozen, killed and removed.
 */
#include "claims.h"

/* --- made, entered, removed --- */

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
    while (!*n)
        wait_ms(1);
    for (unsigned i = 0; i < 3; i++) {
        CHECK(box_ok(&b, cgroup_freeze(&b.cg, true, &b.err)));
        CHECK(cgroup_is_frozen(&b.cg));
        before = *n;
        wait_ms(30);
        CHECK(*n == before && before);
        CHECK(box_ok(&b, cgroup_freeze(&b.cg, false, &b.err)));
        CHECK(!cgroup_is_frozen(&b.cg));
        for (unsigned k = 0; k < 500 && *n == before; k++)
            wait_ms(10);
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

int claims_life(const char *prefix)
{
    CLAIM(the_first_process_is_in_all_of_them_and_nothing_is_left)
    CLAIM(another_process_is_moved)
    CLAIM(parents_are_made_and_go_again)
    CLAIM(parents_of_others_stay)
    CLAIM(several_at_once_do_not_disturb_each_other)
    CLAIM(one_in_use_is_not_taken)
    CLAIM(an_empty_one_is_taken)
    CLAIM(one_that_was_killed_before_is_taken)
    CLAIM(one_that_is_gone_is_removed_without_a_word)
    CLAIM(it_is_found_again_from_what_was_saved)
    CLAIM(removing_waits_for_the_dying_and_takes_what_is_below)
    CLAIM(with_a_process_in_it_it_is_not_removed)
    CLAIM(other_mounts_on_the_way_are_not_entered)
    CLAIM(what_is_no_cgroup_file_system_is_refused)
    CLAIM(frozen_it_stands_still)
    CLAIM(a_fork_bomb_is_frozen_and_killed)
    CLAIM(a_signal_reaches_all)
    CLAIM(children_below_count_too)
    CLAIM(a_process_enters_a_directory_below)
    CLAIM(relative_paths_begin_at_the_own_cgroup)
    CLAIM(where_init_went_others_follow)
    return test_status();
}
