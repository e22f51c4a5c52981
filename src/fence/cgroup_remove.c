/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_remove.c - the end of a cgroup, with all that is below it.
 */
#include "fence/cgroup.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fence/cgroup_int.h"

/* How long to wait for processes that are dying, in all trees together. */
#define REMOVE_US 1000000u

bool cgroup_wait(unsigned *us, unsigned *budget_us)
{
    struct timespec ts = {0, (long)*us * 1000};

    if (*budget_us < *us)
        return false;
    *budget_us -= *us;
    nanosleep(&ts, NULL);
    *us = MIN(*us * 2, 20000u);
    return true;
}

static int child_remove(int parent, const char *name, int fd, void *ctx)
{
    (void)fd;
    (void)ctx;
    return unlinkat(parent, name, AT_REMOVEDIR) && errno != ENOENT ? -errno : 0;
}

/*
 * The directory that holds the last part of the path, and that part; to be
 * given to parent_close().
 */
static int parent_open(struct cgroup_tree *t, const char **name)
{
    char path[4096], *slash;

    snprintf(path, sizeof(path), "%s", t->path + 1);
    slash = strrchr(path, '/');
    *name = strrchr(t->path, '/') + 1;
    if (!slash)
        return t->root;
    *slash = '\0';
    return cgroup_dir_open(t->root, path);
}

static void parent_close(const struct cgroup_tree *t, int parent)
{
    if (parent >= 0 && parent != t->root)
        close(parent);
}

/*
 * EBUSY: processes or children, and which of them cannot be told. A process
 * that was killed is in its cgroup until it is gone altogether.
 */
static int leaf_remove(int parent, const char *name, unsigned *budget_us)
{
    unsigned us = 20;
    int fd;

    for (;;) {
        if (!unlinkat(parent, name, AT_REMOVEDIR) || errno == ENOENT)
            return 0;
        if (errno != EBUSY && errno != ENOTEMPTY)
            return -errno;
        fd = cgroup_dir_open(parent, name);
        if (fd >= 0) {
            (void)!cgroup_dir_walk(fd, child_remove, NULL);
            close(fd);
        }
        if (!cgroup_wait(&us, budget_us))
            return -EBUSY;
    }
}

/* The parents that we made, if nobody uses them. */
static void parents_remove(struct cgroup_tree *t)
{
    for (; t->made > 1; t->made--) {
        const char *name;
        int parent;

        *strrchr(t->path, '/') = '\0';
        parent = parent_open(t, &name);
        if (parent < 0)
            continue;
        if (unlinkat(parent, name, AT_REMOVEDIR) && errno != ENOENT)
            t->made = 1;
        parent_close(t, parent);
    }
}

static int tree_remove(struct cgroup_tree *t, unsigned *budget_us,
                       struct error *err)
{
    const char *name;
    int rc = cgroup_root_open(t, err), parent;

    if (rc)
        return rc;
    parent = parent_open(t, &name);
    rc = parent < 0 ? parent : leaf_remove(parent, name, budget_us);
    parent_close(t, parent);
    if (rc && rc != -ENOENT)
        return error_set(
            err, -rc, "cgroup %s%s: cannot be removed: %s", t->mount, t->path,
            rc == -EBUSY ? "there are processes in it" : strerror(-rc));
    parents_remove(t);
    return 0;
}

int cgroup_remove(struct cgroup *cg, struct error *err)
{
    unsigned budget_us = REMOVE_US;
    int failed = 0;

    for (unsigned i = 0; i < cg->count; i++) {
        struct error e;
        int rc =
            cg->tree[i].refused ? 0 : tree_remove(&cg->tree[i], &budget_us, &e);

        if (rc && !failed) { /* the others go nevertheless */
            failed = rc;
            *err = e;
        }
    }
    return failed;
}
