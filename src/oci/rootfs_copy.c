/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rootfs_copy.c - "tmpcopyup": a tmpfs begins with what it hides.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fence/path.h"
#include "oci/rootfs_int.h"

#define DEPTH_MAX 200

static int copy_folder(int from, int to, unsigned depth, struct error *err);

static int fault(const char *name, int code, struct error *err)
{
    return error_set(err, code, "tmpcopyup: %s: %s", name, strerror(code));
}

/* What a file system of less has no room for is left out. */
static void copy_xattrs(int from, int to)
{
    char names[4096], value[4096];
    ssize_t n = flistxattr(from, names, sizeof(names)), len;
    const char *p;

    for (p = names; n > 0 && p < names + n; p += strlen(p) + 1) {
        len = fgetxattr(from, p, value, sizeof(value));
        if (len >= 0 && fsetxattr(to, p, value, (size_t)len, 0) &&
            errno == ENOSPC)
            break;
    }
}

static int copy_owner(int from, int to, const struct stat *st)
{
    struct timespec times[2] = {st->st_atim, st->st_mtim};

    if (fchown(to, st->st_uid, st->st_gid) || fchmod(to, st->st_mode & 07777))
        return -errno;
    copy_xattrs(from, to);
    return futimens(to, times) ? -errno : 0;
}

static int copy_bytes(int from, int to, uint64_t size)
{
    ssize_t n = 0;

    while (size && (n = sendfile(to, from, NULL, MIN(size, 1 * MiB))) > 0)
        size -= (uint64_t)n;
    return n < 0 ? -errno : 0;
}

static int copy_file(int from, int to, const char *name, const struct stat *st,
                     struct error *err)
{
    int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), out, e;

    if (in < 0)
        return fault(name, errno, err);
    out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                 0600);
    e = out < 0 ? -errno : copy_bytes(in, out, (uint64_t)st->st_size);
    if (!e)
        e = copy_owner(in, out, st);
    if (out >= 0)
        close(out);
    close(in);
    return e ? fault(name, -e, err) : 0;
}

static int copy_sub(int from, int to, const char *name, const struct stat *st,
                    unsigned depth, struct error *err)
{
    int in, out, e;

    if (depth == DEPTH_MAX)
        return fault(name, ELOOP, err);
    if (mkdirat(to, name, 0700))
        return fault(name, errno, err);
    in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (in < 0 || out < 0)
        e = fault(name, errno, err);
    else
        e = copy_folder(in, out, depth + 1, err);
    if (!e && copy_owner(in, out, st))
        e = fault(name, errno, err);
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return e;
}

static int copy_other(int from, int to, const char *name, const struct stat *st,
                      struct error *err)
{
    char goal[PATH_MAX];
    ssize_t n;

    if (S_ISLNK(st->st_mode)) {
        n = readlinkat(from, name, goal, sizeof(goal) - 1);
        goal[MAX(n, 0)] = 0;
        if (n < 0 || symlinkat(goal, to, name))
            return fault(name, errno, err);
    } else if (mknodat(to, name, st->st_mode, st->st_rdev)) {
        return fault(name, errno, err);
    }
    if (fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW))
        return fault(name, errno, err);
    return 0;
}

static int copy_entry(int from, int to, const char *name, unsigned depth,
                      struct error *err)
{
    struct stat st;

    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW))
        return fault(name, errno, err);
    if (S_ISDIR(st.st_mode))
        return copy_sub(from, to, name, &st, depth, err);
    if (S_ISREG(st.st_mode))
        return copy_file(from, to, name, &st, err);
    return copy_other(from, to, name, &st, err);
}

static int copy_folder(int from, int to, unsigned depth, struct error *err)
{
    DIR *d = fdopendir(fcntl(from, F_DUPFD_CLOEXEC, 3));
    struct dirent *f;
    int e = 0;

    if (!d)
        return fault("folder", errno, err);
    while (!e && (f = readdir(d)))
        if (strcmp(f->d_name, ".") && strcmp(f->d_name, ".."))
            e = copy_entry(from, to, f->d_name, depth, err);
    closedir(d);
    return e;
}

int rootfs_copy_tree(int from, int to, struct error *err)
{
    struct stat st;
    int e = copy_folder(from, to, 0, err);

    if (!e && (fstat(from, &st) || copy_owner(from, to, &st)))
        e = fault("/", errno, err);
    return e;
}
