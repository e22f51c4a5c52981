/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rootfs_cgroup.c - /sys/fs/cgroup in a container. With a cgroup namespace its
 * own cgroup is the root of what it sees; without, its own folders are bound.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fence/path.h"
#include "oci/rootfs_int.h"

/* The container's own folder of a hierarchy, or all of it by a path. */
static int bind_own(const struct cgroup_tree *t, int target,
                    const struct mount_options *o, struct error *err)
{
    char path[2 * PATH_MAX];

    snprintf(path, sizeof(path), "%s%s", t->mount, t->path);
    return mount_bind(AT_FDCWD, path, true, o->attr_set, target, err);
}

static int mount_v2(struct rootfs *r, const struct cgroup_tree *t, int target,
                    const struct mount_options *o, struct error *err)
{
    struct mount_options own = *o;
    int e = -EPERM;

    own.data = NULL;
    if (r->l->made & CLONE_NEWCGROUP)
        e = mount_new("cgroup2", "cgroup", target, &own, err);
    return e == -EPERM || e == -EBUSY ? bind_own(t, target, o, err) : e;
}

/* "cpu,cpuacct": as the mount wants to be told. */
static void v1_names(const struct cgroup_tree *t, char *buf, size_t size)
{
    size_t n = 0;
    unsigned c;

    buf[0] = 0;
    for (c = 0; c < CGROUP_CONTROLLERS && n < size; c++)
        if (t->controllers & BIT(c))
            n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? "," : "",
                                  cgroup_controller_name(c));
}

static int mount_tree(struct rootfs *r, const struct cgroup_tree *t, int base,
                      const struct mount_options *o, struct error *err)
{
    const char *name = strrchr(t->mount, '/');
    struct mount_options own = *o;
    char options[256];
    int target, e;

    if (!name || !name[1])
        return 0;
    target = path_make_in(base, name + 1, false, NULL);
    if (target < 0)
        return error_set(err, -target, "%s: %s", name, strerror(-target));
    if (t->v2) {
        e = mount_v2(r, t, target, o, err);
    } else {
        v1_names(t, options, sizeof(options));
        own.data = options;
        e = r->l->made & CLONE_NEWCGROUP
                ? mount_new("cgroup", name + 1, target, &own, err)
                : -EPERM;
        if (e == -EPERM || e == -EBUSY)
            e = bind_own(t, target, o, err);
    }
    close(target);
    return e;
}

/* "cpu" for the hierarchy at "cpu,cpuacct": what programs look for. */
static void link_names(const struct cgroup_tree *t, int base)
{
    const char *name = strrchr(t->mount, '/');
    unsigned c;

    if (!name || !strchr(name, ','))
        return;
    for (c = 0; c < CGROUP_CONTROLLERS; c++)
        if ((t->controllers & BIT(c)) &&
            symlinkat(name + 1, base, cgroup_controller_name(c)))
            continue; /* it is there already: as good */
}

static int mount_v1(struct rootfs *r, const char *path, int target,
                    const struct mount_options *o, struct error *err)
{
    static const struct mount_options base_options = {
        .flags = MS_NOSUID | MS_NODEV | MS_NOEXEC, .data = "mode=755"};
    const struct cgroup *cg = &r->l->c->cgroup;
    unsigned i;
    int base, e;

    e = mount_new("tmpfs", "cgroup", target, &base_options, err);
    if (e)
        return e;
    /* The descriptor shows what was there before: look again. */
    base = path_open_in(r->root, path, O_PATH);
    if (base >= 0 && !rootfs_is_fs(base, TMPFS_MAGIC)) {
        close(base);
        base = -EAGAIN; /* somebody has put something else there */
    }
    if (base < 0)
        return error_set(err, -base, "cgroup: %s", strerror(-base));
    for (i = 0; i < cg->count && !e; i++)
        if (!cg->tree[i].refused)
            e = mount_tree(r, &cg->tree[i], base, o, err);
    for (i = 0; i < cg->count && !e; i++)
        link_names(&cg->tree[i], base);
    if (!e && (o->flags & MS_RDONLY))
        e = mount_attr(base, MOUNT_ATTR_RDONLY, 0, false, -1, err);
    close(base);
    return e;
}

int rootfs_mount_cgroup(struct rootfs *r, const char *path, int target,
                        const struct mount_options *o, struct error *err)
{
    const struct cgroup *cg = &r->l->c->cgroup;

    if (!cg->count) { /* none of ours: an empty folder, not the host's */
        static const struct mount_options empty = {
            .flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC};

        return mount_new("tmpfs", "cgroup", target, &empty, err);
    }
    if (cg->layout == CGROUP_V2)
        return mount_v2(r, &cg->tree[0], target, o, err);
    return mount_v1(r, path, target, o, err);
}
