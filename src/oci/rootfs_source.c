/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rootfs_source.c - what binds, and the root itself, are bound from: copies of
 * mounts that hang nowhere yet. The runtime makes those that the container's
 * process might not be allowed to reach.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "oci/rootfs_int.h"

bool rootfs_propagates(const struct launch *l)
{
    const char *p = l->spec->linux_.rootfs_propagation;

    return p && (!strcmp(p, "shared") || !strcmp(p, "rshared"));
}

static int source_userns(const struct launch *l, const struct spec_mount *m,
                         struct error *err)
{
    const struct spec_linux *s = &l->spec->linux_;

    if (m->uid_mappings.count)
        return idmap_namespace(&m->uid_mappings, &m->gid_mappings, err);
    if (s->uid_mappings.count)
        return idmap_namespace(&s->uid_mappings, &s->gid_mappings, err);
    return error_set(err, EINVAL,
                     "option idmap: needs uidMappings and "
                     "gidMappings, here or in linux");
}

int rootfs_source_open(const struct launch *l, const struct spec_mount *m,
                       const struct mount_options *o, struct error *err)
{
    bool idmap = o->idmap || m->uid_mappings.count;
    int userns = -1, fd, e = 0;
    const char *path = m->source;

    if (!path || !path[0])
        return error_set(err, EINVAL, "source: is missing");
    if (path[0] != '/')
        path = arena_printf(&l->c->arena, "%s/%s", l->bundle, path);
    fd = mount_copy(AT_FDCWD, path, o->flags & MS_REC, o->nofollow, err);
    if (fd < 0)
        return fd;
    if (idmap) {
        userns = source_userns(l, m, err);
        e = userns < 0 ? userns
                       : mount_attr(fd, 0, 0, o->idmap_recursive, userns, err);
    }
    if (!e)
        e = mount_attr(fd, o->attr_set, o->attr_clear, false, -1, err);
    /* What the host has locked stays as strict as it was. */
    if (e == -EPERM && !idmap)
        e = mount_attr(fd, o->attr_set & ~(uint64_t)MOUNT_ATTR__ATIME, 0, false,
                       -1, err);
    if (!e)
        e = mount_attr(fd, o->rec_set, o->rec_clear, true, -1, err);
    if (userns >= 0)
        close(userns);
    if (e)
        close(fd);
    return e ? e : fd;
}

int rootfs_options(struct launch *l, unsigned i, struct mount_options *o,
                   struct error *err)
{
    const struct spec_mount *m =
        (const struct spec_mount *)l->spec->mounts.items + i;
    int e =
        mount_parse(&l->c->arena, m->options.item, m->options.count, o, err);

    return e ? error_prefix(err, "mounts[%u].options", i) : 0;
}

int rootfs_fault(const struct spec_mount *m, unsigned i, struct error *err)
{
    return error_prefix(err, "mounts[%u] (%s)", i, m->destination);
}

/*
 * A copy that the runtime makes is the host's equal, where the host's mounts
 * are shared: without this the container's would be on the host as well.
 */
static int apart(const struct launch *l, int fd, struct error *err)
{
    return rootfs_propagates(l) ? 0 : mount_follow(fd, err);
}

int rootfs_sources(struct launch *l, struct error *err)
{
    const struct spec_mount *m = l->spec->mounts.items;
    bool userns = spec_namespace(l->spec, CLONE_NEWUSER);
    struct mount_options o;
    unsigned i;
    int fd;

    l->sources =
        arena_alloc(&l->c->arena, (l->spec->mounts.count + 1) * sizeof(int));
    l->source_of_root = -1;
    for (i = 0; i < l->spec->mounts.count; i++)
        l->sources[i] = -1;
    for (i = 0; i < l->spec->mounts.count; i++) {
        int e = rootfs_options(l, i, &o, err);

        if (e)
            return e;
        if (!rootfs_is_bind(&m[i], &o) || (o.flags & MS_REMOUNT) ||
            !(userns || o.idmap || m[i].uid_mappings.count))
            continue;
        fd = rootfs_source_open(l, &m[i], &o, err);
        if (fd < 0 && fd != -EPERM)
            return rootfs_fault(&m[i], i, err);
        l->sources[i] = fd < 0 ? -1 : fd; /* a user without rights */
        if (fd >= 0 && apart(l, fd, err))
            return rootfs_fault(&m[i], i, err);
    }
    if (userns && spec_namespace(l->spec, CLONE_NEWNS)) {
        fd = mount_copy(AT_FDCWD, l->rootfs, true, false, err);
        if (fd < 0 && fd != -EPERM)
            return error_prefix(err, "root.path");
        l->source_of_root = fd < 0 ? -1 : fd;
        if (fd >= 0 && apart(l, fd, err))
            return error_prefix(err, "root.path");
    }
    return rootfs_nodes(l, err);
}

void rootfs_sources_close(struct launch *l)
{
    unsigned i;

    for (i = 0; l->sources && i < l->spec->mounts.count; i++)
        if (l->sources[i] >= 0)
            close(l->sources[i]);
    if (l->source_of_root >= 0)
        close(l->source_of_root);
    if (l->nodes >= 0)
        close(l->nodes);
    l->source_of_root = l->nodes = -1;
    l->sources = NULL;
}
