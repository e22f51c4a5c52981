/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.c - a container's cgroup by name: which directories in which
 * hierarchies that means; and entering them.
 */
#include "fence/cgroup.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fence/cgroup_int.h"

/* --- paths --- */

/* "a//b/./c/" becomes "/a/b/c" at out. False: "..", or it is too long. */
static bool path_clean(const char *path, char *out, size_t size)
{
    size_t used = 0;

    while (*path) {
        size_t len;

        path += strspn(path, "/");
        len = strcspn(path, "/");
        if (len == 2 && !memcmp(path, "..", 2))
            return false;
        if (len && !(len == 1 && *path == '.')) {
            if (len > NAME_MAX || used + len + 2 > size)
                return false;
            out[used++] = '/';
            memcpy(out + used, path, len);
            used += len;
        }
        path += len;
    }
    out[used] = '\0';
    return true;
}

static bool path_join(const char *a, const char *b, char *out, size_t size)
{
    char both[PATH_MAX];
    int n = snprintf(both, sizeof(both), "%s/%s", a, b);

    return n < (int)sizeof(both) && path_clean(both, out, size);
}

/* Where relative paths begin. */
static void base_of(const struct cgroup_mount *m, enum cgroup_layout layout,
                    char *out, size_t size)
{
    char *slash;

    snprintf(out, size, "%s", m->own);
    slash = strrchr(out, '/');
    if (layout == CGROUP_V2 && slash)
        *slash = '\0';
}

int cgroup_find(struct cgroup *cg, const struct cgroup_host *host,
                const char *cgroups_path, const char *id, struct error *err)
{
    bool given = cgroups_path && *cgroups_path;
    const char *name = given ? cgroups_path : id;
    int rc = 0;

    memset(cg, 0, sizeof(*cg));
    cg->layout = host->layout;
    for (unsigned i = 0; i < host->count && !rc; i++) {
        const struct cgroup_mount *m = &host->tree[i];
        char base[PATH_MAX] = "", path[PATH_MAX];

        if (given && *cgroups_path != '/')
            base_of(m, host->layout, base, sizeof(base));
        rc = path_join(base, name, path, sizeof(path)) && strcmp(path, base)
                 ? cgroup_add(cg, m->controllers, m->v2, m->mount, path, err)
                 : error_set(err, EINVAL,
                             "linux.cgroupsPath: %.200s: needs a name below "
                             "the root, without \"..\"",
                             name);
    }
    if (rc)
        cgroup_close(cg);
    return rc;
}

int cgroup_add(struct cgroup *cg, uint32_t controllers, bool v2,
               const char *mount, const char *path, struct error *err)
{
    struct cgroup_tree *t = &cg->tree[cg->count];
    char clean[PATH_MAX];

    if (cg->count == CGROUP_TREES)
        return error_set(err, E2BIG, "more than %d cgroup hierarchies",
                         CGROUP_TREES);
    if (*mount != '/' || !path_clean(path, clean, sizeof(clean)) || !*clean)
        return error_set(err, EINVAL, "%.200s%.200s: no cgroup of a container",
                         mount, path);
    memset(t, 0, sizeof(*t));
    t->controllers = controllers;
    t->v2 = v2;
    t->root = t->fd = t->enter = -1;
    t->mount = strdup(mount);
    t->path = strdup(clean);
    cg->count++; /* cgroup_close() frees it */
    if (!t->mount || !t->path)
        return error_set(err, ENOMEM, "out of memory");
    return 0;
}

unsigned cgroup_path_depth(const char *path)
{
    char clean[PATH_MAX];
    unsigned n = 0;

    if (!path_clean(path, clean, sizeof(clean)) || strcmp(path, clean))
        return 0;
    for (; *path; path++)
        n += *path == '/';
    return n;
}

void cgroup_close(struct cgroup *cg)
{
    for (unsigned i = 0; i < cg->count; i++) {
        cgroup_tree_close(&cg->tree[i]);
        free(cg->tree[i].mount);
        free(cg->tree[i].path);
    }
    memset(cg, 0, sizeof(*cg));
}

struct cgroup_tree *cgroup_tree_of(struct cgroup *cg, enum cgroup_controller c)
{
    for (unsigned i = 0; i < cg->count; i++)
        if (cg->tree[i].controllers & BIT(c) &&
            !(cg->layout == CGROUP_HYBRID && cg->tree[i].v2 &&
              (c == CGROUP_DEVICES || c == CGROUP_FREEZER ||
               c == CGROUP_CPUACCT)))
            return &cg->tree[i];
    return NULL;
}

bool cgroup_exists(struct cgroup *cg)
{
    for (unsigned i = 0; i < cg->count; i++)
        if (!cgroup_tree_open(&cg->tree[i]))
            return true;
    return false;
}

/* --- other directories than the container's own --- */

/* t is `path` from now on. */
static int tree_move(struct cgroup_tree *t, const char *path, struct error *err)
{
    char *name = strdup(path);

    if (!name)
        return error_set(err, ENOMEM, "out of memory");
    free(t->path);
    t->path = name;
    t->made = 0;
    cgroup_tree_close(t);
    return 0;
}

int cgroup_descend(struct cgroup *cg, uint32_t controllers, const char *sub,
                   struct error *err)
{
    char path[PATH_MAX];

    for (unsigned i = 0; i < cg->count; i++) {
        struct cgroup_tree *t = &cg->tree[i];
        int rc;

        if ((controllers && !(t->controllers & controllers)) || t->refused)
            continue;
        if (!path_join(t->path, sub, path, sizeof(path)))
            return error_set(err, EINVAL, "cgroup %.200s: no \"..\" in it",
                             sub);
        rc = tree_move(t, path, err);
        if (rc)
            return rc;
        rc = cgroup_tree_open(t);
        if (rc)
            return error_set(err, -rc, "cgroup %s%s: %s", t->mount, t->path,
                             strerror(-rc));
    }
    return 0;
}

/* The path in the line "0::/path" of /proc/PID/cgroup, in place. */
static char *v2_path(char *text)
{
    char *at = !strncmp(text, "0::", 3) ? text : strstr(text, "\n0::"), *end;

    if (!at)
        return NULL;
    at = strchr(at, '/');
    end = at ? strchr(at, '\n') : NULL;
    if (end)
        *end = '\0';
    return at;
}

/*
 * The mount may show a part of the hierarchy only, so where our own path
 * begins in the process's is not told: at its first occurrence.
 */
int cgroup_follow(struct cgroup *cg, pid_t init, struct error *err)
{
    char name[64], *text = NULL, *at = NULL;
    bool any = false;
    int rc;

    for (unsigned i = 0; i < cg->count; i++)
        any |= cg->tree[i].v2 && !cg->tree[i].refused;
    if (!any)
        return 0;
    snprintf(name, sizeof(name), "/proc/%d/cgroup", (int)init);
    rc = cgroup_file_load(-1, name, &text);
    if (rc)
        return error_set(err, -rc, "%s: %s", name, strerror(-rc));
    for (unsigned i = 0; i < cg->count && !rc; i++) {
        struct cgroup_tree *t = &cg->tree[i];
        size_t len = strlen(t->path);

        if (!t->v2 || t->refused)
            continue;
        at = v2_path(text);
        at = at ? strstr(at, t->path) : NULL;
        if (at && at[len] == '/')
            rc = tree_move(t, at, err);
    }
    free(text);
    return rc;
}

/* --- entering --- */

int cgroup_clone_fd(struct cgroup *cg)
{
    for (unsigned i = 0; i < cg->count; i++)
        if (cg->tree[i].v2)
            return cg->tree[i].taken || cgroup_tree_open(&cg->tree[i])
                       ? -1
                       : cg->tree[i].fd;
    return -1;
}

/*
 * v1's "tasks" takes single threads: for the only thread of the caller the
 * kernel needs no lock against its threads, whose price is waiting for RCU.
 */
static int enter_open(struct cgroup_tree *t, bool self)
{
    int rc = cgroup_tree_open(t);

    if (rc || t->enter >= 0)
        return rc;
    t->enter = openat(t->fd, self && !t->v2 ? "tasks" : "cgroup.procs",
                      O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    return t->enter < 0 ? -errno : 0;
}

static int enter_failed(const struct cgroup_tree *t, int rc, struct error *err)
{
    const char *why = "";

    if (rc == -EBUSY && t->v2)
        why = "; its children have controllers, so it can hold no processes";
    else if (rc == -ENOSPC)
        why = "; its cpuset has no CPUs or no memory nodes";
    return error_set(err, -rc, "cgroup %s%s: cannot be entered: %s%s", t->mount,
                     t->path, strerror(-rc), why);
}

/* A saved tree that is not there was never made: see cgroup_create(). */
static bool enter_skips(const struct cgroup *cg, const struct cgroup_tree *t,
                        int rc)
{
    return t->refused ||
           (rc == -ENOENT && t->v2 && cg->layout == CGROUP_HYBRID);
}

int cgroup_enter_prepare(struct cgroup *cg, struct error *err)
{
    for (unsigned i = 0; i < cg->count; i++) {
        struct cgroup_tree *t = &cg->tree[i];
        int rc = t->v2 ? 0 : enter_open(t, true);

        if (rc && !enter_skips(cg, t, rc))
            return enter_failed(t, rc, err);
    }
    return 0;
}

int cgroup_enter(struct cgroup *cg, pid_t pid, bool cloned, struct error *err)
{
    char text[24];

    snprintf(text, sizeof(text), "%d", (int)pid);
    for (unsigned i = 0; i < cg->count; i++) {
        struct cgroup_tree *t = &cg->tree[i];
        int rc;

        if (t->v2 && cloned)
            continue;
        rc = enter_open(t, !pid);
        if (!rc && write(t->enter, text, strlen(text)) < 0)
            rc = -errno;
        if (rc && !enter_skips(cg, t, rc))
            return enter_failed(t, rc, err);
    }
    return 0;
}
