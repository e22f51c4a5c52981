/* SPDX-License-Identifier: Apache-2.0 */
/*
 * box.h - a cgroup of a test's own, and processes in it.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fence/cgroup.h"
#include "fence/cgroup_stats.h"
#include "test.h"

struct box {
    struct cgroup_host host;
    struct cgroup cg;
    struct error err;
    bool cloned; /* the last process was born in the v2 tree */
};

/* Prints what went wrong, so that a failed claim says why. */
static inline bool box_ok(struct box *b, int rc)
{
    if (rc)
        fprintf(stderr, "error %d: %s\n", rc, b->err.msg);
    return !rc;
}

static inline bool box_find(struct box *b, const char *path)
{
    memset(b, 0, sizeof(*b));
    return box_ok(b, cgroup_host_read(&b->host, true, &b->err)) &&
           box_ok(b, cgroup_find(&b->cg, &b->host, path, "rf-test", &b->err));
}

static inline bool box_make(struct box *b, const struct cgroup_limits *l)
{
    return box_find(b, NULL) &&
           box_ok(b, cgroup_create(&b->cg, l, false, &b->err)) &&
           (!l || box_ok(b, cgroup_apply(&b->cg, l, false, &b->err)));
}

static inline void box_end(struct box *b)
{
    if (b->cg.count) {
        CHECK(box_ok(b, cgroup_kill(&b->cg, &b->err)));
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        CHECK(box_ok(b, cgroup_remove(&b->cg, &b->err)));
    }
    cgroup_close(&b->cg);
    cgroup_host_free(&b->host);
}

/* A process that calls fn in the cgroup and exits with what it returns; it
 * has entered when this returns. */
static inline pid_t box_start(struct box *b, int (*fn)(void *), void *arg)
{
    int fd = cgroup_clone_fd(&b->cg), ready[2];
    struct clone_args a = {.flags = fd >= 0 ? CLONE_INTO_CGROUP : 0,
                           .exit_signal = SIGCHLD,
                           .cgroup = fd >= 0 ? (unsigned)fd : 0};
    pid_t pid;
    char c;

    b->cloned = fd >= 0;
    if (!box_ok(b, cgroup_enter_prepare(&b->cg, &b->err)) || pipe(ready))
        return -1;
    pid = (pid_t)syscall(SYS_clone3, &a, sizeof(a));
    if (!pid) {
        if (!box_ok(b, cgroup_enter(&b->cg, 0, b->cloned, &b->err)))
            _exit(99);
        close(ready[0]);
        close(ready[1]);
        _exit(fn(arg));
    }
    close(ready[1]);
    (void)!read(ready[0], &c, 1);
    close(ready[0]);
    return pid;
}

/* Its wait status. */
static inline int box_run(struct box *b, int (*fn)(void *), void *arg)
{
    pid_t pid = box_start(b, fn, arg);
    int status = -1;

    if (pid > 0)
        waitpid(pid, &status, 0);
    return status;
}

static inline void wait_ms(unsigned ms)
{
    struct timespec ts = {ms / 1000, (long)(ms % 1000) * 1000000};

    nanosleep(&ts, NULL);
}

/* How many cgroups of ours are there, by any name that begins so? */
static inline unsigned box_left(const struct box *b, const char *name)
{
    unsigned n = 0;
    char path[512];
    struct stat st;

    for (unsigned i = 0; i < b->cg.count; i++) {
        snprintf(path, sizeof(path), "%s/%s", b->cg.tree[i].mount, name);
        n += !stat(path, &st);
    }
    return n;
}

static inline struct cgroup_tree *box_tree(struct box *b,
                                           enum cgroup_controller c)
{
    return cgroup_tree_of(&b->cg, c);
}

/* The text of a file of the cgroup, "" if there is none. */
static inline const char *box_text(struct box *b, enum cgroup_controller c,
                                   const char *file)
{
    static char text[4096];
    const struct cgroup_tree *t = box_tree(b, c);
    char path[600];
    ssize_t n = 0;
    int fd;

    snprintf(path, sizeof(path), "%s%s/%s", t ? t->mount : "", t ? t->path : "",
             file);
    fd = open(path, O_RDONLY);
    if (fd >= 0) {
        n = read(fd, text, sizeof(text) - 1);
        close(fd);
    }
    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return text;
}
