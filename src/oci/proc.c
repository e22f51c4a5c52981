/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc.c - the host's procfs, and the container's.
 *
 * Whoever decides what stands at /proc decides what the runtime writes to,
 * and what masks hide. So the host's is opened before the container has a
 * say, the container's must be the root of a procfs, and what is written to
 * is seen to be in one.     [CVE-2019-16884, CVE-2019-19921, CVE-2025-52881]
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "fence/path.h"
#include "oci/launch.h"
#include "oci/rootfs_int.h"

/* The number of a procfs' root.             [Linux, PROC_ROOT_INO] */
#define PROC_ROOT 1

bool rootfs_is_fs(int fd, long magic)
{
    struct statfs s;

    return !fstatfs(fd, &s) && (long)s.f_type == magic;
}

bool rootfs_is_proc_root(int fd)
{
    struct stat st;

    return rootfs_is_fs(fd, PROC_SUPER_MAGIC) && !fstat(fd, &st) &&
           st.st_ino == PROC_ROOT;
}

int rootfs_outside_proc(int fd, const char *what, struct error *err)
{
    if (!rootfs_is_fs(fd, PROC_SUPER_MAGIC))
        return 0;
    return error_set(err, EPERM, "%s: is in a procfs, where nothing may be put",
                     what);
}

int proc_open(struct launch *l, struct error *err)
{
    l->proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (l->proc < 0 || !rootfs_is_proc_root(l->proc))
        return error_set(err, ENOTSUP,
                         "/proc: is no procfs; the runtime "
                         "needs one");
    return 0;
}

int proc_write(const struct launch *l, const char *name, const char *text)
{
    int fd = openat(l->proc, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW), e = 0;
    size_t len = strlen(text);

    if (fd < 0)
        return -errno;
    if (!rootfs_is_fs(fd, PROC_SUPER_MAGIC))
        e = -EXDEV;
    else if (write(fd, text, len) != (ssize_t)len)
        e = errno ? -errno : -EIO;
    close(fd);
    return e;
}

/* --- sysctls --- */

/* Of one that spec_check.c has let pass. */
static const char *sysctl_namespace(const char *key, unsigned *type)
{
    static const struct {
        const char *begin, *file;
        unsigned type;
    } kinds[] = {
        {"net", "self/ns/net", CLONE_NEWNET},
        {"user", "self/ns/user", CLONE_NEWUSER},
        {"kernel.domainname", "self/ns/uts", CLONE_NEWUTS},
        {"kernel/domainname", "self/ns/uts", CLONE_NEWUTS},
        {"", "self/ns/ipc", CLONE_NEWIPC},
    };
    unsigned i;

    for (i = 0; strncmp(key, kinds[i].begin, strlen(kinds[i].begin)); i++)
        ;
    *type = kinds[i].type;
    return kinds[i].file;
}

int proc_check_sysctls(const struct launch *l, struct error *err)
{
    const struct json_pair *p = l->spec->linux_.sysctl.items;
    const struct spec_namespace *n;
    struct stat ours, theirs;
    const char *file;
    unsigned i, type;

    for (i = 0; i < l->spec->linux_.sysctl.count; i++) {
        file = sysctl_namespace(p[i].key, &type);
        n = spec_namespace(l->spec, type);
        if (!n || !n->path || !n->path[0] || stat(n->path, &theirs) ||
            fstatat(l->proc, file, &ours, 0))
            continue;
        if (ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev)
            return error_set(err, EINVAL,
                             "linux.sysctl.%.80s: the namespace %s is the "
                             "runtime's own: it would change the host",
                             p[i].key, n->path);
    }
    return 0;
}

/* --- the container's --- */

/* Does config.json want something at /proc? */
static bool proc_wanted(const struct spec *s)
{
    const struct spec_mount *m = s->mounts.items;
    unsigned i;

    for (i = 0; i < s->mounts.count; i++)
        if (!strcmp(m[i].destination, "/proc") ||
            !strcmp(m[i].destination, "/proc/"))
            return true;
    return false;
}

int rootfs_proc(struct rootfs *r, int *out, struct error *err)
{
    int fd;

    *out = -1;
    if (!proc_wanted(r->l->spec))
        return 0;
    fd = path_open_in(r->root, "/proc", O_PATH | O_NOFOLLOW);
    if (fd >= 0 && rootfs_is_proc_root(fd)) {
        *out = fd;
        return 0;
    }
    if (fd >= 0)
        close(fd);
    return error_set(err, ENOTSUP,
                     "/proc: is no procfs, so that nothing in it can be "
                     "masked");
}

int rootfs_open_masked(const struct rootfs *r, int proc, const char *path)
{
    const char *p = path;

    while (*p == '/')
        p++;
    if (proc < 0 || strncmp(p, "proc/", 5))
        return path_open_in(r->root, path, O_PATH);
    p += strlen("proc/");
    return path_open_in(proc, p + strspn(p, "/"), O_PATH);
}
