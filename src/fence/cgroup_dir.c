/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_dir.c - directories and files of a hierarchy. Whoever owns a
 * delegated cgroup can make and move directories in it, so paths are walked
 * by the kernel with no way out of the hierarchy.
 */
#include "fence/cgroup_int.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"

/* Deeper trees are not walked: the kernel's own path ends before. */
#define DEPTH_MAX 64
#define FILE_MAX  (16 * MiB)

int cgroup_dir_open(int dir, const char *path)
{
    struct open_how how = {
        .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
                   RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
    };
    int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));

    /* Kernels before 5.6, and filters that are older: the path has no "..",
     * and cgroups have no links. */
    if (fd < 0 && (errno == ENOSYS || errno == EPERM))
        fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static bool is_cgroup(int fd, bool v2)
{
    struct statfs fs;

    return !fstatfs(fd, &fs) &&
           fs.f_type == (v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC);
}

int cgroup_root_open(struct cgroup_tree *t, struct error *err)
{
    int fd;

    if (t->root >= 0)
        return 0;
    fd = open(t->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "%s: %s", t->mount, strerror(errno));
    if (!is_cgroup(fd, t->v2)) {
        close(fd);
        return error_set(err, EINVAL, "%s is no cgroup%s file system", t->mount,
                         t->v2 ? "2" : "");
    }
    t->root = fd;
    return 0;
}

int cgroup_tree_open(struct cgroup_tree *t)
{
    struct error err;
    int rc = t->refused ? -t->refused : 0;

    if (t->fd >= 0 || rc)
        return rc;
    rc = cgroup_root_open(t, &err);
    if (rc)
        return rc;
    rc = cgroup_dir_open(t->root, t->path + 1);
    if (rc < 0)
        return rc;
    t->fd = rc;
    return 0;
}

static void fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void cgroup_tree_close(struct cgroup_tree *t)
{
    fd_close(&t->enter);
    fd_close(&t->fd);
    fd_close(&t->root);
}

/* --- files --- */

static int file_open(int dir, const char *file, int flags)
{
    int fd = openat(dir, file, flags | O_CLOEXEC | O_NOFOLLOW);

    return fd < 0 ? -errno : fd;
}

int cgroup_file_write(int dir, const char *file, const char *text)
{
    int fd = file_open(dir, file, O_WRONLY), rc = 0;

    if (fd < 0)
        return fd;
    if (write(fd, text, strlen(text)) < 0)
        rc = -errno;
    close(fd);
    return rc;
}

ssize_t cgroup_file_read(int dir, const char *file, char *buf, size_t size)
{
    int fd = file_open(dir, file, O_RDONLY);
    ssize_t n;

    if (fd < 0)
        return fd;
    n = read(fd, buf, size - 1);
    n = n < 0 ? -errno : n;
    close(fd);
    if (n > 0 && buf[n - 1] == '\n')
        n--;
    buf[n > 0 ? n : 0] = '\0';
    return n;
}

static int fd_load(int fd, char **text)
{
    size_t size = 0;
    ssize_t n = 1;

    while (n > 0 && size < FILE_MAX) {
        char *more = realloc(*text, size + 4 * KiB + 1);

        if (!more)
            return -ENOMEM;
        *text = more;
        n = read(fd, more + size, 4 * KiB);
        if (n < 0)
            return -errno;
        size += (size_t)n;
        more[size] = '\0';
    }
    return 0;
}

int cgroup_file_load(int dir, const char *file, char **text)
{
    int fd = file_open(dir, file, O_RDONLY), rc;

    *text = NULL;
    if (fd < 0)
        return fd;
    rc = fd_load(fd, text);
    close(fd);
    if (rc) {
        free(*text);
        *text = NULL;
    }
    return rc;
}

int cgroup_file_number(int dir, const char *file, uint64_t *value)
{
    char buf[64], *end;
    ssize_t n = cgroup_file_read(dir, file, buf, sizeof(buf));

    if (n < 0)
        return (int)n;
    if (!strcmp(buf, "max")) {
        *value = UINT64_MAX;
        return 0;
    }
    *value = strtoull(buf, &end, 10);
    return end == buf ? -EINVAL : 0;
}

bool cgroup_text_number(const char *text, const char *name, uint64_t *value)
{
    size_t len = strlen(name);

    while (text && *text) {
        if (!strncmp(text, name, len) && text[len] == ' ') {
            *value = strtoull(text + len + 1, NULL, 10);
            return true;
        }
        text = strchr(text, '\n');
        if (text)
            text++;
    }
    return false;
}

/* --- what is below --- */

struct walk {
    int (*fn)(int parent, const char *name, int fd, void *ctx);
    void *ctx;
};

static int walk_level(int dir, const struct walk *w, unsigned depth);

/* One directory, its children first. Gone meanwhile is no failure. */
static int walk_entry(int dir, const char *name, const struct walk *w,
                      unsigned depth)
{
    int fd = cgroup_dir_open(dir, name), rc;

    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    rc = walk_level(fd, w, depth + 1);
    if (!rc)
        rc = w->fn(dir, name, fd, w->ctx);
    close(fd);
    return rc;
}

static int walk_level(int dir, const struct walk *w, unsigned depth)
{
    int fd = depth < DEPTH_MAX ? cgroup_dir_open(dir, ".") : -ELOOP, rc = 0;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;

    if (!d) {
        if (fd >= 0)
            close(fd);
        return fd == -ENOENT ? 0 : fd < 0 ? fd : -ENOMEM;
    }
    while (!rc && (e = readdir(d)))
        if (e->d_type == DT_DIR && strcmp(e->d_name, ".") &&
            strcmp(e->d_name, ".."))
            rc = walk_entry(dir, e->d_name, w, depth);
    closedir(d);
    return rc;
}

int cgroup_dir_walk(int dir,
                    int (*fn)(int parent, const char *name, int fd, void *ctx),
                    void *ctx)
{
    struct walk w = {fn, ctx};

    return walk_level(dir, &w, 0);
}
