/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.h - the cgroups of a container: found, made, limited, entered,
 * frozen, emptied, removed. On cgroup v1, v2, and v1 with a v2 tree beside it.
 *
 *     cgroup_host_read(&host)     what this machine has; once
 *     cgroup_find(&cg, &host, cgroupsPath, id)   names; nothing is touched
 *     cgroup_create(&cg)          or cgroup_open(&cg) if it exists already
 *     cgroup_apply(&cg, &limits)
 *     clone3() with cgroup_clone_fd(), and cgroup_enter(&cg, pid)
 *     cgroup_close(&cg)
 *
 * A later process fills a cgroup from its state file (cgroup_add() for each
 * tree that it saved) instead of finding it, and then cgroup_open()s it.
 *
 * Single-threaded. All files are reached from the descriptor of a mounted
 * cgroup file system, verified to be one, with no symbolic link or ".." on
 * the way; the container's cgroup is never the root of a tree. Functions
 * return 0 or a negative errno with one line in `err` that names the place in
 * config.json or the cgroup.
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"
#include "fence/cgroup_limits.h"

enum cgroup_layout {
    CGROUP_NONE, /* nothing is mounted */
    CGROUP_V1,
    CGROUP_V2,
    CGROUP_HYBRID, /* controllers on v1, and a v2 tree */
};

enum cgroup_controller {
    CGROUP_CPU,
    CGROUP_CPUACCT,
    CGROUP_CPUSET,
    CGROUP_MEMORY,
    CGROUP_DEVICES, /* on v2: a program, always there */
    CGROUP_FREEZER, /* on v2: always there */
    CGROUP_IO,      /* "blkio" on v1 */
    CGROUP_PIDS,
    CGROUP_HUGETLB,
    CGROUP_RDMA,
    CGROUP_NET_CLS,
    CGROUP_NET_PRIO,
    CGROUP_PERF_EVENT,
    CGROUP_MISC,
    CGROUP_SYSTEMD, /* the v1 tree without controllers, name=systemd */
    CGROUP_CONTROLLERS,
};

/* More trees than this are not looked at. */
#define CGROUP_TREES 16

/* A hierarchy of this machine. */
struct cgroup_mount {
    uint32_t controllers; /* BIT()s of enum cgroup_controller */
    bool v2;
    const char *mount; /* where it is mounted */
    const char *root;  /* which of its directories that shows */
    const char *own;   /* the caller's cgroup, seen from `mount`; "/" if not
                          visible there */
};

struct cgroup_host {
    enum cgroup_layout layout;
    unsigned count;
    struct cgroup_mount tree[CGROUP_TREES];
    char *text; /* what the strings point into */
};

/*
 * Reads it from the kernel: few system calls, fewest with v2 alone. No cgroups
 * at all is no error: CGROUP_NONE. The caller frees it.
 */
int cgroup_host_read(struct cgroup_host *host, struct error *err) must_check;
/*
 * The pure part: from the text of /proc/self/mountinfo, /proc/self/cgroup and
 * the v2 tree's cgroup.controllers. All three are changed and pointed into.
 */
void cgroup_host_parse(struct cgroup_host *host, char *mountinfo, char *own,
                       const char *controllers);
void cgroup_host_free(struct cgroup_host *host);

/* "memory": the name in the kernel's files and messages. */
const char *cgroup_controller_name(enum cgroup_controller c);
bool cgroup_controller_find(const char *name, size_t len,
                            enum cgroup_controller *c);

/* The container's directory in one hierarchy. */
struct cgroup_tree {
    uint32_t controllers;
    bool v2;
    char *mount;   /* owned */
    char *path;    /* below mount: "/a/b"; owned */
    unsigned made; /* how many directories cgroup_create() made, the last
                      ones of path; cgroup_remove() takes them away again */
    int fd;        /* of mount/path, O_PATH or not; -1: not open */
    int refused;   /* errno why cgroup_create() made none; 0: it did */
};

/* Save layout, and of each tree controllers, v2, mount, path and made. */
struct cgroup {
    enum cgroup_layout layout;
    unsigned count;
    struct cgroup_tree tree[CGROUP_TREES];
};

/*
 * Where a container's cgroup is. cgroups_path is linux.cgroupsPath: absolute
 * ones begin at the root of each hierarchy, others at the caller's own cgroup
 * (on v2, which forbids processes beside controlled children, at its parent);
 * NULL or "": the id, so. -EINVAL: ".." in it, or it is the root itself.
 */
int cgroup_find(struct cgroup *cg, const struct cgroup_host *host,
                const char *cgroups_path, const char *id,
                struct error *err) must_check;
/* Appends a tree, as it was saved; start with a zeroed cg and its layout. */
int cgroup_add(struct cgroup *cg, uint32_t controllers, bool v2,
               const char *mount, const char *path,
               struct error *err) must_check;
/* Closes and frees, touches no cgroup. */
void cgroup_close(struct cgroup *cg);

/* The tree with that controller, NULL if this host has none. */
struct cgroup_tree *cgroup_tree_of(struct cgroup *cg, enum cgroup_controller c);

/*
 * Makes and opens it in every tree. One that exists is taken if no process is
 * in it (-EEXIST otherwise). If `optional`, a tree in which the caller may not
 * make any (EACCES, EPERM, EROFS) is left out: without limits nothing is
 * missed, with them cgroup_apply() says so. On failure nothing is left behind.
 */
int cgroup_create(struct cgroup *cg, bool optional,
                  struct error *err) must_check;
/* Opens what exists; -ENOENT: no tree has it. */
int cgroup_open(struct cgroup *cg, struct error *err) must_check;

/*
 * Sets all limits that are given; on failure some may be set already. update:
 * the container runs, so its old limits order the writes. What is asked for
 * and cannot be had here is an error; what makes no difference is a warning.
 */
int cgroup_apply(struct cgroup *cg, const struct cgroup_limits *limits,
                 bool update, struct error *err) must_check;

/*
 * For clone3()'s CLONE_INTO_CGROUP: the v2 directory, -1 if there is none (or
 * v2 is only beside v1 and was not made).
 */
int cgroup_clone_fd(const struct cgroup *cg);
/* Moves pid (0: the caller) there. cloned: it is in the v2 tree already. */
int cgroup_enter(struct cgroup *cg, pid_t pid, bool cloned,
                 struct error *err) must_check;
/*
 * The same for one more process of a running container: where its cgroup has
 * controlled children and so holds no processes (v2), into the one that
 * `init` is in. sub: NULL, or the directory below, which must exist.
 */
int cgroup_join(struct cgroup *cg, pid_t pid, pid_t init, const char *sub,
                struct error *err) must_check;

/* Returns when all have stopped, or go on. -ENOTSUP: no freezer here. */
int cgroup_freeze(struct cgroup *cg, bool frozen, struct error *err) must_check;
/* Is it frozen? False where there is no freezer. */
bool cgroup_is_frozen(struct cgroup *cg);

/* All processes in it and below, unordered; the caller frees *pids. */
int cgroup_pids(struct cgroup *cg, pid_t **pids, unsigned *count,
                struct error *err) must_check;
/* A signal to each of them. */
int cgroup_signal(struct cgroup *cg, int sig, struct error *err) must_check;
/* SIGKILL to all, also frozen ones and those forked meanwhile. */
int cgroup_kill(struct cgroup *cg, struct error *err) must_check;
/*
 * Removes it with all that is below. Waits up to a second for processes that
 * are dying; -EBUSY: some live on. Gone already is no error.
 */
int cgroup_remove(struct cgroup *cg, struct error *err) must_check;
