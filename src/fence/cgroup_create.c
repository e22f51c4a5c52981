/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_create.c - a cgroup is made. This is on the way of every start of a
 * container: each system call counts.
 */
#include "fence/cgroup.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "fence/cgroup_int.h"

/* The controllers that v2 turns on for children by name. */
#define V2_SWITCHED                                                            \
    (BIT(CGROUP_CPU) | BIT(CGROUP_CPUSET) | BIT(CGROUP_MEMORY) |               \
     BIT(CGROUP_IO) | BIT(CGROUP_PIDS) | BIT(CGROUP_HUGETLB) |                 \
     BIT(CGROUP_RDMA) | BIT(CGROUP_MISC))

/* --- cpuset of v1: nobody can enter one without CPUs and memory --- */

static const char *const cpuset_file[][2] = {
    {"cpuset.cpus", "cpus"}, /* and when it is mounted with noprefix */
    {"cpuset.mems", "mems"},
};

/* Copies the file from the parent. True: there was something to copy. */
static bool cpuset_copy(int parent, int fd, const char *const name[2])
{
    char text[4096];
    unsigned alias = 0;
    ssize_t n = cgroup_file_read(parent, name[0], text, sizeof(text));

    if (n == -ENOENT) {
        alias = 1;
        n = cgroup_file_read(parent, name[1], text, sizeof(text));
    }
    return n > 0 && !cgroup_file_write(fd, name[alias], text);
}

static bool cpuset_inherit(int parent, int fd)
{
    bool cpus = cpuset_copy(parent, fd, cpuset_file[0]);

    return cpuset_copy(parent, fd, cpuset_file[1]) && cpus;
}

/* The parents may be as empty, if somebody made them for us: from the root. */
static void cpuset_inherit_all(struct cgroup_tree *t)
{
    char path[4096], *slash = path;
    int fd, parent = t->root;

    snprintf(path, sizeof(path), "%s", t->path + 1);
    while (slash) {
        slash = strchr(slash + 1, '/');
        if (slash)
            *slash = '\0';
        fd = cgroup_dir_open(t->root, path);
        if (fd < 0)
            break;
        cpuset_inherit(parent, fd);
        if (parent != t->root)
            close(parent);
        parent = fd;
        if (slash)
            *slash = '/';
    }
    if (parent != t->root)
        close(parent);
}

/* --- subtree_control of v2 --- */

/* "+cpu +memory": those of the set that v2 knows. */
static void switch_text(uint32_t set, char *buf, size_t size)
{
    size_t used = 0;

    buf[0] = '\0';
    for (unsigned c = 0; c < CGROUP_CONTROLLERS; c++)
        if (set & V2_SWITCHED & BIT(c))
            used += (size_t)snprintf(
                buf + used, size - used, "+%s ",
                c == CGROUP_IO ? "io" : cgroup_controller_name((unsigned)c));
}

/* All at once, or if one of them is refused, each alone. */
static void switch_on(int dir, uint32_t set)
{
    char text[160];

    switch_text(set, text, sizeof(text));
    if (!cgroup_file_write(dir, "cgroup.subtree_control", text))
        return;
    for (unsigned c = 0; c < CGROUP_CONTROLLERS; c++)
        if (set & V2_SWITCHED & BIT(c)) {
            switch_text(BIT(c), text, sizeof(text));
            (void)!cgroup_file_write(dir, "cgroup.subtree_control", text);
        }
}

/* Those that the directory has no files of. */
static uint32_t switched_off(int dir, uint32_t set)
{
    char text[256];

    if (cgroup_file_read(dir, "cgroup.controllers", text, sizeof(text)) < 0)
        return 0;
    return set & V2_SWITCHED & ~cgroup_names_parse(text);
}

/*
 * What is refused (processes in the parent, not ours to switch) matters only
 * if a limit needs it: cgroup_set() looks then.
 */
void cgroup_v2_enable(struct cgroup_tree *t, uint32_t controllers)
{
    uint32_t set = switched_off(t->fd, t->controllers & controllers);
    char path[4096], *slash = path;
    int fd;

    if (!set)
        return;
    switch_on(t->root, set);
    snprintf(path, sizeof(path), "%s", t->path + 1);
    while ((slash = strchr(slash, '/'))) {
        *slash = '\0';
        fd = cgroup_dir_open(t->root, path);
        if (fd < 0)
            return;
        switch_on(fd, set);
        close(fd);
        *slash++ = '/';
    }
}

/* --- making --- */

/*
 * One step: makes `name`, of as many as are `left` with it, unless it is
 * there, and opens it; its descriptor.
 */
static int step_make(struct cgroup_tree *t, int dir, const char *name,
                     unsigned left)
{
    bool new = !mkdirat(dir, name, 0755);
    int fd = new || errno == EEXIST ? cgroup_dir_open(dir, name) : -errno;

    if (!new)
        t->made = 0; /* what was made above it is somebody else's by now */
    else if (!t->made)
        t->made = left;
    if (fd >= 0 && new && t->controllers & BIT(CGROUP_CPUSET) && !t->v2 &&
        !cpuset_inherit(dir, fd))
        cpuset_inherit_all(t);
    return fd;
}

static unsigned parts_count(const char *path)
{
    unsigned n = 1;

    while ((path = strchr(path, '/'))) {
        path++;
        n++;
    }
    return n;
}

/* Down the path from the root, or from the deepest part that is there. */
static int steps_make(struct cgroup_tree *t)
{
    char path[4096], *name = path, *slash;
    int dir = t->root, fd;

    snprintf(path, sizeof(path), "%s", t->path + 1);
    slash = strrchr(path, '/');
    if (slash) { /* the usual case: all but the last are there */
        *slash = '\0';
        fd = cgroup_dir_open(t->root, path);
        *slash = '/';
        if (fd >= 0) {
            dir = fd;
            name = slash + 1;
        }
    }
    do {
        unsigned left = parts_count(name);

        slash = strchr(name, '/');
        if (slash)
            *slash = '\0';
        fd = step_make(t, dir, name, left);
        if (dir != t->root)
            close(dir);
        dir = fd;
        name = slash ? slash + 1 : NULL;
    } while (fd >= 0 && name);
    return fd;
}

/* Whoever is in it would be limited, frozen and killed with the container. */
static int empty_check(struct cgroup_tree *t, struct error *err)
{
    char text[16];

    if (t->made || cgroup_file_read(t->fd, "cgroup.procs", text, 16) <= 0)
        return 0;
    return error_set(err, EBUSY,
                     "cgroup %s%s: in use by process %.*s; give another "
                     "linux.cgroupsPath",
                     t->mount, t->path, (int)strcspn(text, "\n"), text);
}

static bool is_refusal(int rc)
{
    return rc == -EACCES || rc == -EPERM || rc == -EROFS;
}

/* A parent may be removed between two steps: another container's end. */
static int tree_make(struct cgroup_tree *t, bool optional, struct error *err)
{
    int rc = cgroup_root_open(t, err);

    if (rc)
        return rc;
    for (unsigned i = 0; i < 10; i++) {
        t->made = 0;
        rc = steps_make(t);
        if (rc != -ENOENT)
            break;
    }
    if (is_refusal(rc) && optional) {
        log_debug("cgroup %s%s: %s", t->mount, t->path, strerror(-rc));
        t->refused = -rc;
        t->made = 0;
        return 0;
    }
    if (rc < 0)
        return error_set(err, -rc, "cgroup %s%s: %s", t->mount, t->path,
                         strerror(-rc));
    t->fd = rc;
    t->taken = !t->made;
    rc = empty_check(t, err);
    if (!rc && t->v2)
        cgroup_v2_enable(t, V2_SWITCHED);
    return rc;
}

/* Is there anything to limit in the v2 tree beside v1's? */
static bool v2_wanted(const struct cgroup_limits *l, uint32_t controllers)
{
    return l && ((l->unifieds) ||
                 (l->hugepages && controllers & BIT(CGROUP_HUGETLB)) ||
                 (l->rdmas && controllers & BIT(CGROUP_RDMA)));
}

int cgroup_create(struct cgroup *cg, const struct cgroup_limits *limits,
                  bool optional, struct error *err)
{
    int rc = 0;

    for (unsigned i = 0; i < cg->count && !rc; i++) {
        struct cgroup_tree *t = &cg->tree[i];

        if (t->v2 && cg->layout == CGROUP_HYBRID &&
            !v2_wanted(limits, t->controllers))
            t->refused = ENOENT;
        else
            rc = tree_make(t, optional, err);
    }
    if (rc) {
        struct error ignored;

        for (unsigned i = 0; i < cg->count; i++)
            if (!cg->tree[i].made)
                cg->tree[i].refused = ENOENT; /* not ours to remove */
        (void)!cgroup_remove(cg, &ignored);
    }
    return rc;
}
