/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rootfs_nodes.c - device nodes for a container in a user namespace, which can
 * make none: the runtime makes them on a tmpfs that is mounted nowhere, and the
 * container's process, which has that as a descriptor, binds them one by one.
 * A tmpfs of the host's user namespace is what makes them usable.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fence/path.h"
#include "oci/rootfs_int.h"

struct node_name {
    char text[16];
};

static struct node_name node_name(unsigned i)
{
    struct node_name n;

    snprintf(n.text, sizeof(n.text), "%u", i);
    return n;
}

/* What the host calls an id of the container's; -1: it has none. */
static uint32_t host_id(const struct json_array *maps, uint32_t id)
{
    const struct spec_idmap *m = maps->items;
    unsigned i;

    for (i = 0; i < maps->count; i++)
        if (id >= m[i].container_id && id - m[i].container_id < m[i].size)
            return m[i].host_id + (id - m[i].container_id);
    return UINT32_MAX;
}

static int node_make(struct launch *l, int nodes, unsigned i,
                     const struct spec_device *d, struct error *err)
{
    const struct spec_linux *s = &l->spec->linux_;
    uint32_t uid = host_id(&s->uid_mappings, d->uid);
    uint32_t gid = host_id(&s->gid_mappings, d->gid);
    mode_t mode = rootfs_device_mode(d);
    struct node_name name = node_name(i);

    /* An owner without a name here: the host's own node, if there is one. */
    if (uid == UINT32_MAX || gid == UINT32_MAX)
        return 0;
    if (mknodat(nodes, name.text, mode,
                makedev((unsigned)d->major, (unsigned)d->minor)))
        return -errno;
    /* Nobody else can be in there: a name is as good as a descriptor. */
    if (fchownat(nodes, name.text, uid, gid, AT_SYMLINK_NOFOLLOW) ||
        fchmodat(nodes, name.text, mode & 07777, 0))
        return error_set(err, errno, "linux.devices[%u]: %s", i,
                         strerror(errno));
    return 0;
}

int rootfs_nodes(struct launch *l, struct error *err)
{
    const struct spec_namespace *user = spec_namespace(l->spec, CLONE_NEWUSER);
    const struct spec_device *d = l->spec->linux_.devices.items;
    unsigned i, n = l->spec->linux_.devices.count;
    int fd, e = 0;

    l->nodes = -1;
    /* A joined one's maps are not known: the host's own nodes have to do. */
    if (!n || !user || (user->path && user->path[0]))
        return 0;
    fd = mount_tmpfs(0711, err);
    for (i = 0; fd >= 0 && !e && i < n; i++)
        if (d[i].type[0] != 'p')
            e = node_make(l, fd, i, &d[i], err);
    if (fd < 0 || e == -EPERM) {
        /* A user without the right to: again, the host's own. */
        if (fd >= 0)
            close(fd);
        return 0;
    }
    if (e)
        close(fd);
    else
        l->nodes = fd;
    return e;
}

/*
 * A mount that hangs nowhere can neither be copied nor bound from. On top of
 * the root it is in nobody's way: the root's descriptor is what is below.
 */
int rootfs_nodes_open(struct rootfs *r, struct error *err)
{
    return r->l->nodes < 0 ? 0 : mount_put(r->l->nodes, r->root, err);
}

bool rootfs_nodes_have(struct rootfs *r, unsigned i)
{
    int fd = r->l->nodes;

    return fd >= 0 && !faccessat(fd, node_name(i).text, F_OK, AT_EACCESS);
}

int rootfs_nodes_bind(struct rootfs *r, unsigned i, int target,
                      struct error *err)
{
    return mount_bind(r->l->nodes, node_name(i).text, false, 0, target, err);
}

int rootfs_nodes_close(struct rootfs *r, struct error *err)
{
    int fd = r->l->nodes, e = 0;

    if (fd < 0)
        return 0;
    if (umount2(path_of_fd(fd).text, MNT_DETACH))
        e = error_set(err, errno, "cannot take off the devices' folder: %s",
                      strerror(errno));
    close(fd);
    r->l->nodes = -1;
    return e;
}
