/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.h - the cgroups of a container: found, made, limited, entered,
 * frozen, emptied, removed. On cgroup v1, v2, and v1 with a v2 tree beside it.
 *
 *     cgroup_host_read(&host)     what this machine has; once
 *     cgroup_find(&cg, &host, cgroupsPath, id)   names; nothing is touched
 *     cgroup_create(&cg, &limits)
 *     cgroup_apply(&cg, &limits)
 *     cgroup_enter_prepare(&cg)
 *     clone3(), into cgroup_clone_fd(&cg); the child: cgroup_enter(&cg, 0)
 *     cgroup_close(&cg)
 *
 * Other processes get it by cgroup_find() again, or by a cgroup_add() for
 * each tree that a state file names; what they need is opened when it is.
 *
 * Single-threaded. All files are reached from the descriptor of a mounted
 * cgroup file system, verified to be one, with no symbolic link, other mount
 * or ".." on the way; the container's cgroup is never the root of a tree.
 * Functions return 0 or a negative errno with one line in `err` that names the
 * place in config.json or the cgroup.
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
 * at all is no error: CGROUP_NONE. own: tree[].own is needed, for a relative
 * cgroupsPath; else it is "/". The caller frees it.
 */
int cgroup_host_read(struct cgroup_host *host, bool own,
                     struct error *err) must_check;
/*
 * The pure part: from the texts of /proc/self/mountinfo, /proc/self/cgroup
 * (NULL: not needed), which are changed and pointed into. What a v2 tree
 * controls is not told there.
 */
void cgroup_host_parse(struct cgroup_host *host, char *mountinfo, char *own);
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
    int root, fd;  /* of mount and of mount/path; -1: not open yet */
    int enter;     /* of the file that cgroup_enter() writes; or -1 */
    bool taken;    /* it was there before cgroup_create() */
    int refused;   /* errno why cgroup_create() made none; 0: it did */
};

/* Save layout, and of each tree with `refused` 0: controllers, v2, mount, path
 * and made. */
struct cgroup {
    enum cgroup_layout layout;
    unsigned count;
    struct cgroup_tree tree[CGROUP_TREES];
};

/*
 * Where a container's cgroup is. cgroups_path is linux.cgroupsPath: absolute
 * ones begin at the root of each hierarchy, others at the caller's own cgroup
 * (on v2, which forbids processes beside controlled children, at its parent).
 * NULL or "": "/ID"; who is not root gives the id instead, to be where he may.
 * -EINVAL: ".." in it, or it is the root itself.
 */
int cgroup_find(struct cgroup *cg, const struct cgroup_host *host,
                const char *cgroups_path, const char *id,
                struct error *err) must_check;
/* Appends a tree, as it was saved; start with a zeroed cg and its layout. */
int cgroup_add(struct cgroup *cg, uint32_t controllers, bool v2,
               const char *mount, const char *path,
               struct error *err) must_check;
/*
 * Of how many directories a path consists that is as cgroup_find() makes them;
 * 0: it is none of those ("..", "//", the root itself, too long).
 */
unsigned cgroup_path_depth(const char *path);
/* Closes and frees, touches no cgroup. */
void cgroup_close(struct cgroup *cg);

/* The tree with that controller, NULL if this host has none. */
struct cgroup_tree *cgroup_tree_of(struct cgroup *cg, enum cgroup_controller c);

/*
 * Makes it in every tree; in a v2 tree beside v1 only if `limits` (or NULL)
 * has something for it. A cgroup that exists is taken if no process is in it
 * (-EBUSY otherwise). If `optional`, a tree in which the caller may not make
 * any (EACCES, EPERM, EROFS) is left out: without limits nothing is missed,
 * with them cgroup_apply() says so. On failure nothing is left behind.
 */
int cgroup_create(struct cgroup *cg, const struct cgroup_limits *limits,
                  bool optional, struct error *err) must_check;
/* Is it there, in any tree? */
bool cgroup_exists(struct cgroup *cg);

/*
 * Are there values that no kernel takes? The pure part of cgroup_apply(), which
 * begins with it: strings that are not given may be NULL, names must be there.
 */
int cgroup_limits_check(const struct cgroup_limits *limits,
                        struct error *err) must_check;
/*
 * Sets all limits that are given; on failure some may be set already. update:
 * the container runs, so its old limits order the writes. What is asked for
 * and cannot be had here is an error; what makes no difference is a warning.
 */
int cgroup_apply(struct cgroup *cg, const struct cgroup_limits *limits,
                 bool update, struct error *err) must_check;

/*
 * For clone3()'s CLONE_INTO_CGROUP: the v2 directory; -1: there is none, it
 * was not made, or it was not fresh. The child is born in it, which is free;
 * entering it later costs milliseconds, as entering v1 trees does for anyone
 * but oneself: the kernel waits for all CPUs.
 *
 * Some kernels (6.1.176) kill the child at its birth if the caller's cgroup or
 * this one was ever killed through cgroup.kill. Whose child dies of SIGKILL
 * before its first word, starts it again with cgroup_enter() alone.
 */
int cgroup_clone_fd(struct cgroup *cg);
/*
 * Opens what cgroup_enter() needs, ahead of it: so that a child can enter
 * from whatever namespaces it was born in.
 */
int cgroup_enter_prepare(struct cgroup *cg, struct error *err) must_check;
/*
 * Moves process pid there, or, cheaply, with 0 the caller, which has one
 * thread. cloned: it was born in the v2 tree.
 */
int cgroup_enter(struct cgroup *cg, pid_t pid, bool cloned,
                 struct error *err) must_check;
/*
 * From now on cg is the directory `sub` below, in all trees (`controllers` 0)
 * or in those that have some of these; -ENOENT: it does not exist.
 */
int cgroup_descend(struct cgroup *cg, uint32_t controllers, const char *sub,
                   struct error *err) must_check;
/*
 * A running container may have given its v2 cgroup controlled children, so
 * that no process can enter it (-EBUSY, of clone3() too). From now on cg is
 * the cgroup that its process `init` is in, if that is below.
 */
int cgroup_follow(struct cgroup *cg, pid_t init, struct error *err) must_check;

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
