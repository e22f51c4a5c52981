/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rootfs.c - the container's root: the mounts of config.json, and the change
 * of root itself.
 *
 * The contents of the root are hostile from the first moment on: it may be a
 * volume that another container writes to now. So every target is found by
 * path_make_in() and used as a descriptor; nothing looks the name up again.
 * The host's /proc is still at /proc until rootfs_enter().
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "fence/path.h"
#include "oci/rootfs_int.h"

static bool type_is(const struct spec_mount *m, const char *type)
{
    return m->type && !strcmp(m->type, type);
}

bool rootfs_is_bind(const struct spec_mount *m, const struct mount_options *o)
{
    return (o->flags & MS_BIND) || type_is(m, "bind");
}

/* --- targets --- */

/* Files of procfs that others may stand in for, as lxcfs does. */
static bool may_cover(const char *path)
{
    static const char *const files[] = {
        "/proc/cpuinfo",
        "/proc/diskstats",
        "/proc/meminfo",
        "/proc/stat",
        "/proc/swaps",
        "/proc/uptime",
        "/proc/loadavg",
        "/proc/slabinfo",
        "/proc/sys/kernel/ns_last_pid",
        "/proc/sys/crypto/fips_enabled",
    };
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(files); i++)
        if (!strcmp(path, files[i]))
            return true;
    return false;
}

/* The folder or file that a mount is for, made if it is missing. */
static int target_make(struct rootfs *r, const struct spec_mount *m, bool file,
                       bool *made, struct error *err)
{
    int fd = path_make_in(r->root, m->destination, file, made);

    if (fd == -EROFS || fd == -EACCES || fd == -ENOENT)
        return error_set(err, -fd, "destination: cannot make it: %s",
                         strerror(-fd));
    if (fd < 0)
        return error_set(err, -fd, "destination: %s", strerror(-fd));
    return fd;
}

static int target_open(struct rootfs *r, const struct spec_mount *m, bool file,
                       struct error *err)
{
    return target_make(r, m, file, NULL, err);
}

/* For a bind: option dest-nofollow takes a link for the target itself. */
static int target_of_bind(struct rootfs *r, const struct spec_mount *m,
                          const struct mount_options *o, bool file,
                          struct error *err)
{
    int fd = -ENOENT;

    if (o->dest_nofollow)
        fd = path_open_in(r->root, m->destination, O_PATH | O_NOFOLLOW);
    if (fd == -ENOENT)
        return target_open(r, m, file, err);
    return fd < 0 ? error_set(err, -fd, "destination: %s", strerror(-fd)) : fd;
}

static int mount_id(const struct launch *l, int fd)
{
    char path[40], text[256] = "", *at;
    int info;

    snprintf(path, sizeof(path), "self/fdinfo/%d", fd);
    info = openat(l->proc, path, O_RDONLY | O_CLOEXEC);
    if (info >= 0) {
        if (read(info, text, sizeof(text) - 1) < 0)
            text[0] = 0;
        close(info);
    }
    at = strstr(text, "mnt_id:");
    return at ? atoi(at + 7) : -1;
}

/* Is it the root itself, and no other mount of the same folder? */
static bool is_root(const struct rootfs *r, int target)
{
    struct stat a, b;

    return !fstat(r->root, &a) && !fstat(target, &b) && a.st_ino == b.st_ino &&
           a.st_dev == b.st_dev &&
           mount_id(r->l, r->root) == mount_id(r->l, target);
}

/* What has been mounted on the root is the root from now on. */
static int root_replaced(struct rootfs *r, struct error *err)
{
    int fd = -1;

    /* Nothing leads to what is on top of the process's own root. */
    if (!strcmp(r->l->rootfs, "/"))
        errno = EBUSY;
    else
        fd = open(r->l->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "%s: %s", r->l->rootfs, strerror(errno));
    dup3(fd, r->root, O_CLOEXEC);
    close(fd);
    return 0;
}

/*
 * procfs and sysfs only go to a real folder of that name: through a link they
 * would be where the runtime, and masks, do not look for them.
 */
static int target_plain(struct rootfs *r, const struct spec_mount *m,
                        struct error *err)
{
    struct stat st;
    int fd = path_open_in(r->root, m->destination, O_PATH | O_NOFOLLOW);

    if (fd == -ENOENT)
        return target_open(r, m, false, err);
    if (fd >= 0 && !fstat(fd, &st) && S_ISDIR(st.st_mode))
        return fd;
    if (fd >= 0)
        close(fd);
    return error_set(err, ENOTDIR,
                     "destination: is no folder of the root, "
                     "which %s needs",
                     m->type);
}

static int bind(struct rootfs *r, unsigned i, const struct spec_mount *m,
                const struct mount_options *o, struct error *err)
{
    int source = r->l->sources[i], target, e = 0;
    struct stat st;

    if (source < 0)
        source = rootfs_source_open(r->l, m, o, err);
    if (source < 0)
        return source;
    if (fstat(source, &st)) {
        e = error_set(err, errno, "source: %s", strerror(errno));
        close(source);
        return e;
    }
    target = target_of_bind(r, m, o, !S_ISDIR(st.st_mode), err);
    if (target < 0)
        e = target;
    else if (!may_cover(m->destination) && !rootfs_is_proc_root(source))
        e = rootfs_outside_proc(target, "destination", err);
    if (!e)
        e = mount_put(source, target, err);
    if (!e && o->propagation)
        e = mount_propagation(source, o->propagation, err);
    if (!e && is_root(r, target))
        e = root_replaced(r, err);
    if (target >= 0)
        close(target);
    close(source);
    return e;
}

static int remount(struct rootfs *r, const struct spec_mount *m,
                   const struct mount_options *o, struct error *err)
{
    int target = path_open_in(r->root, m->destination, O_PATH), e = 0;

    if (target < 0)
        return error_set(err, -target, "destination: %s", strerror(-target));
    if (o->flags & MS_BIND)
        e = mount_attr(target, o->attr_set, o->attr_clear, false, -1, err);
    else
        e = mount_new(m->type ? m->type : "none", m->source, target, o, err);
    close(target);
    return e;
}

static int copy_up(struct rootfs *r, const struct spec_mount *m, int below,
                   struct error *err)
{
    int from = openat(below, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), e;
    int to = path_open_in(r->root, m->destination, O_RDONLY | O_DIRECTORY);

    if (from < 0 || to < 0)
        e = error_set(err, from < 0 ? errno : -to, "tmpcopyup: %s",
                      strerror(from < 0 ? errno : -to));
    else if (!rootfs_is_fs(to, TMPFS_MAGIC))
        e = error_set(err, EAGAIN, "tmpcopyup: the mount is no longer there");
    else
        e = rootfs_copy_tree(from, to, err);
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    return e;
}

/* Without the right for one of its own, a user namespace is lent the host's. */
static int bind_sys(int target, const struct mount_options *o,
                    struct error *err)
{
    return mount_bind(AT_FDCWD, "/sys", true, o->attr_set, target, err);
}

/* A tmpfs is as open as the folder that it hides, unless options say how. */
static void mode_of_hidden(struct rootfs *r, int target,
                           struct mount_options *o)
{
    const char *data = o->data;
    struct stat st;

    if (data && (!strncmp(data, "mode=", 5) || strstr(data, ",mode=")))
        return;
    if (!fstat(target, &st))
        o->data = arena_printf(&r->l->c->arena, "%s%smode=%o", data ? data : "",
                               data ? "," : "", st.st_mode & 07777);
}

/* A tmpfs that shall be read-only gets so at the end: mounts go into it. */
static bool late_readonly(const struct spec_mount *m,
                          const struct mount_options *o)
{
    return type_is(m, "tmpfs") &&
           ((o->flags & MS_RDONLY) || (o->rec_set & MOUNT_ATTR_RDONLY));
}

/* What mount(2) does not take: propagation, and the options of whole trees. */
static int new_fs_attributes(struct rootfs *r, const struct spec_mount *m,
                             const struct mount_options *o, struct error *err)
{
    uint64_t set = o->rec_set;
    int at, e;

    if (late_readonly(m, o))
        set &= ~(uint64_t)MOUNT_ATTR_RDONLY;
    if (!set && !o->rec_clear && !o->propagation)
        return 0;
    at = path_open_in(r->root, m->destination, O_PATH);
    if (at < 0)
        return error_set(err, -at, "destination: %s", strerror(-at));
    e = mount_attr(at, set, o->rec_clear, true, -1, err);
    if (!e && o->propagation)
        e = mount_propagation(at, o->propagation, err);
    close(at);
    return e;
}

static int new_fs(struct rootfs *r, const struct spec_mount *m,
                  const struct mount_options *o, struct error *err)
{
    bool plain = type_is(m, "proc") || type_is(m, "sysfs");
    struct mount_options own = *o;
    bool made = true, root;
    int target =
        plain ? target_plain(r, m, err) : target_make(r, m, false, &made, err);
    int e;

    if (target < 0)
        return target;
    root = is_root(r, target);
    e = type_is(m, "proc") ? 0
                           : rootfs_outside_proc(target, "destination", err);
    if (e) {
        close(target);
        return e;
    }
    if (late_readonly(m, o))
        own.flags &= ~(unsigned long)MS_RDONLY;
    if (type_is(m, "tmpfs") && !made)
        mode_of_hidden(r, target, &own);
    if (type_is(m, "cgroup") || type_is(m, "cgroup2"))
        e = rootfs_mount_cgroup(r, m->destination, target, o, err);
    else
        e = mount_new(m->type, m->source, target, &own, err);
    if (e == -EPERM && r->l->in_userns && type_is(m, "sysfs"))
        e = bind_sys(target, o, err);
    if (!e && root)
        e = root_replaced(r, err);
    if (!e && o->copy_up && type_is(m, "tmpfs"))
        e = copy_up(r, m, target, err);
    close(target);
    return e ? e : new_fs_attributes(r, m, o, err);
}

static int mount_one(struct rootfs *r, unsigned i, struct error *err)
{
    const struct spec_mount *m =
        (const struct spec_mount *)r->l->spec->mounts.items + i;
    const struct mount_options *o = &r->mount[i];
    int e;

    if (o->flags & MS_REMOUNT)
        e = remount(r, m, o, err);
    else if (rootfs_is_bind(m, o))
        e = bind(r, i, m, o, err);
    else if (!m->type || !m->type[0])
        e = error_set(err, EINVAL, "type: is missing");
    else
        e = new_fs(r, m, o, err);
    return e ? rootfs_fault(m, i, err) : 0;
}

/* --- the root itself --- */

/* pivot_root() refuses a root whose parent mount is shared. */
static void parent_private(const char *rootfs)
{
    char *path = strdup(rootfs), *slash;

    while (path && (slash = strrchr(path, '/'))) {
        slash[slash == path] = 0;
        if (!mount(NULL, path, NULL, MS_PRIVATE, NULL) || slash == path)
            break;
    }
    free(path);
}

static int root_mount(struct launch *l, struct error *err)
{
    unsigned long how = rootfs_propagates(l) ? MS_SHARED : MS_SLAVE;
    int fd = l->source_of_root, at, e;

    if (mount(NULL, "/", NULL, MS_REC | how, NULL))
        return error_set(err, errno, "cannot set the propagation of /: %s",
                         strerror(errno));
    if (fd < 0)
        fd = mount_copy(AT_FDCWD, l->rootfs, true, false, err);
    if (fd < 0)
        return error_prefix(err, "root.path");
    if (rootfs_propagates(l))
        parent_private(l->rootfs);
    at = open(l->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    e = at < 0 ? error_set(err, errno, "root.path: %s: %s", l->rootfs,
                           strerror(errno))
               : mount_put(fd, at, err);
    /* Shared is what it becomes later: pivot_root() refuses such a root. */
    if (!e && rootfs_propagates(l))
        e = mount_propagation(fd, MS_PRIVATE, err);
    if (at >= 0)
        close(at);
    if (e)
        close(fd);
    return e ? e : fd; /* it is the root of that mount */
}

/* Sysctls go through the host's procfs: the container's own may be a fake. */
static int set_sysctls(struct launch *l, struct error *err)
{
    const struct json_pair *p = l->spec->linux_.sysctl.items;
    unsigned i;

    for (i = 0; i < l->spec->linux_.sysctl.count; i++) {
        char *path = arena_printf(&l->c->arena, "sys/%s", p[i].key), *c;
        bool dots = !strchr(p[i].key, '/');
        int e;

        for (c = path; *c; c++)
            if (dots && *c == '.')
                *c = '/';
        e = proc_write(l, path, p[i].value);
        if (e)
            return error_set(err, -e, "linux.sysctl.%s: %s", p[i].key,
                             strerror(-e));
    }
    return 0;
}

static int set_names(const struct spec *s, struct error *err)
{
    if (s->hostname && s->hostname[0] &&
        sethostname(s->hostname, strlen(s->hostname)))
        return error_set(err, errno, "hostname: %s", strerror(errno));
    if (s->domainname && s->domainname[0] &&
        setdomainname(s->domainname, strlen(s->domainname)))
        return error_set(err, errno, "domainname: %s", strerror(errno));
    return 0;
}

static struct rootfs *rootfs_begin(struct launch *l, struct error *err)
{
    struct rootfs *r = arena_alloc(&l->c->arena, sizeof(*r));
    unsigned i, n = l->spec->mounts.count;

    r->l = l;
    r->mount = arena_alloc(&l->c->arena, (n + 1) * sizeof(*r->mount));
    for (i = 0; i < n; i++)
        if (rootfs_options(l, i, &r->mount[i], err))
            return NULL;
    r->root = l->made & CLONE_NEWNS
                  ? root_mount(l, err)
                  : open(l->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (r->root < 0) {
        if (!(l->made & CLONE_NEWNS))
            error_set(err, errno, "root.path: %s: %s", l->rootfs,
                      strerror(errno));
        return NULL;
    }
    return r;
}

int rootfs_mount(struct launch *l, struct error *err)
{
    struct rootfs *r;
    unsigned i;
    int e;

    e = set_names(l->spec, err);
    if (e)
        return e;
    l->rootfs_state = r = rootfs_begin(l, err);
    if (!r)
        return -err->code;
    if (!(l->made & CLONE_NEWNS)) {
        if (l->spec->mounts.count)
            log_debug("mounts: left out, as there is no namespace \"mount\"");
        return set_sysctls(l, err);
    }
    for (i = 0; i < l->spec->mounts.count && !e; i++)
        e = mount_one(r, i, err);
    if (!e)
        e = rootfs_devices(r, err);
    if (!e && l->process && l->process->terminal)
        e = console_open(l, r->root, err);
    return e ? e : set_sysctls(l, err);
}

/* --- entering --- */

static int make_readonly(struct rootfs *r, struct error *err)
{
    const struct spec_mount *m = r->l->spec->mounts.items;
    unsigned i;
    int e = 0, fd;

    for (i = 0; i < r->l->spec->mounts.count && !e; i++) {
        if (!late_readonly(&m[i], &r->mount[i]) ||
            rootfs_is_bind(&m[i], &r->mount[i]))
            continue;
        fd = path_open_in(r->root, m[i].destination, O_PATH);
        e = fd < 0 ? error_set(err, -fd, "mounts[%u].destination: %s", i,
                               strerror(-fd))
                   : mount_attr(fd, MOUNT_ATTR_RDONLY, 0, false, -1, err);
        if (fd >= 0)
            close(fd);
    }
    if (!e && r->l->spec->root.readonly)
        e = mount_attr(r->root, MOUNT_ATTR_RDONLY, 0, false, -1, err);
    return e;
}

/*
 * The old root goes on top of the new one and off again, so that no folder is
 * needed for it. It is a slave by then: taking it off is not seen outside.
 */
static int pivot(struct rootfs *r, struct error *err)
{
    int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (old < 0 || fchdir(r->root) || syscall(SYS_pivot_root, ".", ".") ||
        fchdir(old) || mount(NULL, ".", NULL, MS_SLAVE | MS_REC, NULL) ||
        umount2(".", MNT_DETACH) || chdir("/"))
        return error_set(err, errno, "cannot change the root%s: %s",
                         errno == EINVAL ? " (on a ramfs --no-pivot is needed)"
                                         : "",
                         strerror(errno));
    close(old);
    return 0;
}

static int move_root(struct rootfs *r, struct error *err)
{
    if (fchdir(r->root) || mount(".", "/", NULL, MS_MOVE, NULL) ||
        chroot(".") || chdir("/"))
        return error_set(err, errno, "cannot change the root: %s",
                         strerror(errno));
    return 0;
}

static int plain_chroot(struct rootfs *r, struct error *err)
{
    if (fchdir(r->root) || chroot(".") || chdir("/"))
        return error_set(err, errno, "chroot %s: %s", r->l->rootfs,
                         strerror(errno));
    return 0;
}

static unsigned long propagation_of(const struct launch *l)
{
    struct mount_options o;
    struct error err;
    const char *p = l->spec->linux_.rootfs_propagation;

    if (!p || !p[0] || mount_parse(&l->c->arena, &p, 1, &o, &err))
        return 0;
    return o.propagation;
}

/* Made if it is missing, while the root can be written to. */
static void make_cwd(struct rootfs *r)
{
    const struct spec_process *p = r->l->process;
    int fd;

    if (!p || !strcmp(p->cwd, "/"))
        return;
    fd = path_make_in(r->root, p->cwd, false, NULL);
    if (fd >= 0)
        close(fd); /* if not: whoever enters it says why */
}

int rootfs_enter(struct launch *l, struct error *err)
{
    struct rootfs *r = l->rootfs_state;
    unsigned long how = propagation_of(l);
    int e;

    make_cwd(r);
    if (!(l->made & CLONE_NEWNS))
        return plain_chroot(r, err);
    e = make_readonly(r, err);
    if (!e)
        e = rootfs_mask(r, err);
    if (!e)
        e = l->no_pivot ? move_root(r, err) : pivot(r, err);
    if (!e && how && mount(NULL, "/", NULL, how, NULL))
        e = error_set(err, errno, "linux.rootfsPropagation: %s",
                      strerror(errno));
    close(r->root);
    return e;
}
