/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rootfs_dev.c - a container's /dev, and the paths that it shall not see or
 * not write to.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/log.h"
#include "fence/path.h"
#include "oci/rootfs_int.h"

/* --- devices --- */

/* What every container has.            [runtime-spec, "Default Devices"] */
static const struct spec_device defaults[] = {
    {0, "/dev/null", "c", 1, 3, 0666, 0, 0},
    {0, "/dev/zero", "c", 1, 5, 0666, 0, 0},
    {0, "/dev/full", "c", 1, 7, 0666, 0, 0},
    {0, "/dev/random", "c", 1, 8, 0666, 0, 0},
    {0, "/dev/urandom", "c", 1, 9, 0666, 0, 0},
    {0, "/dev/tty", "c", 5, 0, 0666, 0, 0},
};

const struct spec_device *rootfs_default_devices(unsigned *count)
{
    *count = ARRAY_SIZE(defaults);
    return defaults;
}

static const struct {
    const char *name, *goal;
} links[] = {
    {"fd", "/proc/self/fd"},
    {"stdin", "/proc/self/fd/0"},
    {"stdout", "/proc/self/fd/1"},
    {"stderr", "/proc/self/fd/2"},
};

static mode_t device_type(const struct spec_device *d)
{
    return d->type[0] == 'b' ? S_IFBLK : d->type[0] == 'p' ? S_IFIFO : S_IFCHR;
}

mode_t rootfs_device_mode(const struct spec_device *d)
{
    return device_type(d) |
           (d->has & SPEC_FILE_MODE ? d->file_mode & 07777 : 0666);
}

/*
 * Where none can be made: number `node` of those that the runtime has made,
 * else the host's own.
 */
static int device_bind(struct rootfs *r, const struct spec_device *d, int node,
                       struct error *err)
{
    bool ours = node >= 0 && rootfs_nodes_have(r, (unsigned)node);
    int target, e;

    if (!ours && access(d->path, F_OK))
        return error_set(err, errno, "%s: the host has none: %s", d->path,
                         strerror(errno));
    target = path_make_in(r->root, d->path, true, NULL);
    if (target < 0)
        return error_set(err, -target, "%s: %s", d->path, strerror(-target));
    e = rootfs_outside_proc(target, d->path, err);
    if (!e)
        e = ours ? rootfs_nodes_bind(r, (unsigned)node, target, err)
                 : mount_bind(AT_FDCWD, d->path, false, 0, target, err);
    close(target);
    return e;
}

/* The folder of a node, and in `name` what is left of its path. */
static int device_folder(struct rootfs *r, const char *path, const char **name,
                         struct error *err)
{
    size_t n = strlen(path);
    const char *slash;
    char folder[PATH_MAX];
    int fd;

    /* "/dev/x/" is what some write for /dev/x. */
    while (n > 1 && path[n - 1] == '/')
        n--;
    path = arena_printf(&r->l->c->arena, "%.*s", (int)n, path);
    slash = strrchr(path, '/');
    *name = slash + 1;
    if ((size_t)(slash - path) >= sizeof(folder) || !slash[1])
        return error_set(err, EINVAL, "%.200s: is no device's path", path);
    memcpy(folder, path, (size_t)(slash - path));
    folder[slash - path] = 0;
    fd = path_make_in(r->root, folder, false, NULL);
    return fd < 0 ? error_set(err, -fd, "%s: %s", path, strerror(-fd)) : fd;
}

static bool same_device(int folder, const char *name, mode_t type, dev_t dev)
{
    struct stat st;

    return !fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) &&
           (st.st_mode & S_IFMT) == type &&
           (type == S_IFIFO || st.st_rdev == dev);
}

/* By a descriptor: the name may be a link to something else by now. */
static int device_owner(int folder, const char *name,
                        const struct spec_device *d, mode_t mode)
{
    int fd = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), e = 0;
    struct stat st;

    if (fd < 0 || fstat(fd, &st))
        e = -errno;
    else if ((st.st_mode & S_IFMT) != device_type(d))
        e = -EEXIST;
    else if ((st.st_mode & 07777) != mode && chmod(path_of_fd(fd).text, mode))
        e = -errno;
    else if ((st.st_uid != d->uid || st.st_gid != d->gid) &&
             fchownat(fd, "", d->uid, d->gid, AT_EMPTY_PATH))
        e = -errno;
    if (fd >= 0)
        close(fd);
    return e;
}

static int device_node(struct rootfs *r, const struct spec_device *d,
                       mode_t mode, struct error *err)
{
    dev_t dev = makedev((unsigned)d->major, (unsigned)d->minor);
    mode_t type = device_type(d);
    const char *name;
    int folder = device_folder(r, d->path, &name, err), e = 0;

    if (folder < 0)
        return folder;
    if (mknodat(folder, name, type | mode, dev))
        e = -errno;
    if (e == -EEXIST && same_device(folder, name, type, dev))
        e = 0;
    if (!e)
        e = device_owner(folder, name, d, mode);
    close(folder);
    return e ? error_set(err, -e, "%s: %s", d->path,
                         e == -EEXIST ? "something else is there"
                                      : strerror(-e))
             : 0;
}

static int device_make(struct rootfs *r, const struct spec_device *d, int node,
                       struct error *err)
{
    mode_t mode = rootfs_device_mode(d) & 07777;
    int e;

    if (r->l->in_userns && d->type[0] != 'p')
        return device_bind(r, d, node, err);
    e = device_node(r, d, mode, err);
    return e == -EPERM ? device_bind(r, d, node, err) : e;
}

static bool listed(const struct spec *s, const char *path)
{
    const struct spec_device *d = s->linux_.devices.items;
    unsigned i;

    for (i = 0; i < s->linux_.devices.count; i++)
        if (!strcmp(d[i].path, path))
            return true;
    return false;
}

static int make_links(struct rootfs *r, int dev, struct error *err)
{
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(links); i++)
        if (symlinkat(links[i].goal, dev, links[i].name) && errno != EEXIST)
            return error_set(err, errno, "/dev/%s: %s", links[i].name,
                             strerror(errno));
    if (!faccessat(r->l->proc, "kcore", F_OK, 0) &&
        symlinkat("/proc/kcore", dev, "core") && errno != EEXIST)
        return error_set(err, errno, "/dev/core: %s", strerror(errno));
    /* devpts has one of its own, which the container's terminals come from. */
    if (unlinkat(dev, "ptmx", 0) && errno != ENOENT)
        return 0; /* a mount, which config.json wants to be there */
    if (symlinkat("pts/ptmx", dev, "ptmx") && errno != EEXIST)
        return error_set(err, errno, "/dev/ptmx: %s", strerror(errno));
    return 0;
}

/* A /dev that is bound from elsewhere is left as it is. */
static bool dev_is_bound(const struct rootfs *r)
{
    const struct spec_mount *m = r->l->spec->mounts.items;
    unsigned i;

    for (i = 0; i < r->l->spec->mounts.count; i++) {
        const char *d = m[i].destination;

        if ((!strcmp(d, "/dev") || !strcmp(d, "/dev/")) &&
            rootfs_is_bind(&m[i], &r->mount[i]))
            return true;
    }
    return false;
}

/*
 * A link would have them made in some other folder of the root, which the
 * image chooses, and which may be a volume.
 */
static int dev_folder(struct rootfs *r, struct error *err)
{
    struct stat st;
    int dev = path_open_in(r->root, "/dev", O_PATH | O_NOFOLLOW);

    if (dev == -ENOENT)
        dev = path_make_in(r->root, "/dev", false, NULL);
    if (dev >= 0 && !fstat(dev, &st) && S_ISDIR(st.st_mode))
        return dev;
    if (dev < 0)
        return error_set(err, -dev, "/dev: %s", strerror(-dev));
    close(dev);
    return error_set(err, ENOTDIR,
                     "/dev: is no folder of the root, which devices need");
}

int rootfs_devices(struct rootfs *r, struct error *err)
{
    const struct spec *s = r->l->spec;
    const struct spec_device *d = s->linux_.devices.items;
    mode_t mask;
    unsigned i;
    int dev, e = 0;

    if (dev_is_bound(r))
        return 0;
    dev = dev_folder(r, err);
    if (dev < 0)
        return dev;
    mask = umask(0);
    for (i = 0; i < ARRAY_SIZE(defaults) && !e; i++)
        if (!listed(s, defaults[i].path))
            e = device_make(r, &defaults[i], -1, err);
    if (!e)
        e = rootfs_nodes_open(r, err);
    for (i = 0; i < s->linux_.devices.count && !e; i++) {
        e = device_make(r, &d[i], (int)i, err);
        if (e)
            error_prefix(err, "linux.devices[%u]", i);
    }
    if (!e)
        e = rootfs_nodes_close(r, err);
    umask(mask);
    if (!e)
        e = make_links(r, dev, err);
    close(dev);
    return e;
}

/* --- masks --- */

/* The one device that reads as nothing, and no other file of that name. */
static int null_open(struct error *err)
{
    int fd = open("/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd >= 0 && !fstat(fd, &st) && S_ISCHR(st.st_mode) &&
        st.st_rdev == makedev(1, 3))
        return fd;
    if (fd >= 0)
        close(fd);
    return error_set(err, ENODEV,
                     "linux.maskedPaths: the host's /dev/null is "
                     "not that device");
}

static int mask_folder(int target, struct error *err)
{
    static const struct mount_options o = {.flags = MS_RDONLY,
                                           .data = "size=0k,nr_inodes=1"};

    return mount_new("tmpfs", "tmpfs", target, &o, err);
}

static int mask(struct rootfs *r, int proc, const char *path, int null,
                struct error *err)
{
    int target = rootfs_open_masked(r, proc, path), e;
    struct stat st;

    if (target == -ENOENT || target == -ENOTDIR || target == -EACCES)
        return 0; /* not there, not to be seen */
    if (target < 0 || fstat(target, &st))
        return error_set(err, target < 0 ? -target : errno,
                         "linux.maskedPaths: %s: %s", path,
                         strerror(target < 0 ? -target : errno));
    e = S_ISDIR(st.st_mode) ? mask_folder(target, err)
                            : mount_bind(null, "", false, 0, target, err);
    close(target);
    return e ? error_prefix(err, "linux.maskedPaths: %s", path) : 0;
}

static int readonly(struct rootfs *r, int proc, const char *path,
                    struct error *err)
{
    int target = rootfs_open_masked(r, proc, path), e;

    if (target == -ENOENT || target == -ENOTDIR || target == -EACCES)
        return 0;
    if (target < 0)
        return error_set(err, -target, "linux.readonlyPaths: %s: %s", path,
                         strerror(-target));
    e = mount_bind(target, "", true, MOUNT_ATTR_RDONLY, target, err);
    close(target);
    return e ? error_prefix(err, "linux.readonlyPaths: %s", path) : 0;
}

int rootfs_mask(struct rootfs *r, struct error *err)
{
    const struct spec_linux *s = &r->l->spec->linux_;
    int null = -1, proc = -1, e = 0;
    unsigned i;

    if (s->readonly_paths.count || s->masked_paths.count)
        e = rootfs_proc(r, &proc, err);
    for (i = 0; i < s->readonly_paths.count && !e; i++)
        e = readonly(r, proc, s->readonly_paths.item[i], err);
    if (!e && s->masked_paths.count) {
        null = null_open(err);
        e = MIN(null, 0);
    }
    for (i = 0; i < s->masked_paths.count && !e; i++)
        e = mask(r, proc, s->masked_paths.item[i], null, err);
    if (null >= 0)
        close(null);
    if (proc >= 0)
        close(proc);
    return e;
}
