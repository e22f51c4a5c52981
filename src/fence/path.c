/* SPDX-License-Identifier: Apache-2.0 */
#include "fence/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define LINKS_MAX 40
#define DEPTH_MAX 128

int path_open_in(int root, const char *path, int flags)
{
    struct open_how how = {
        .flags = (unsigned)(flags | O_CLOEXEC),
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    int fd, tries = 0;

    /* EAGAIN: something was renamed meanwhile, and the kernel is not sure. */
    do
        fd = (int)syscall(SYS_openat2, root, path[0] ? path : ".", &how,
                          sizeof(how));
    while (fd < 0 && errno == EAGAIN && ++tries < 100);
    if (fd >= 0)
        return fd;
    return errno == ENOSYS ? path_walk_in(root, path, flags) : -errno;
}

/* --- the walk --- */

/* The folders from the root to where we are; [0] is the caller's. */
struct walk {
    int fd[DEPTH_MAX];
    unsigned depth, links;
    char rest[PATH_MAX]; /* what is left to walk */
};

static void walk_up(struct walk *w, unsigned depth)
{
    while (w->depth > depth)
        close(w->fd[w->depth--]);
}

/*
 * Takes the first component off w->rest: 1, or 0 at the end. A slash at the
 * end is as good as "/.": what is before it must be a folder.
 */
static int next_name(struct walk *w, char name[NAME_MAX + 1])
{
    char *p = w->rest + strspn(w->rest, "/");
    size_t n = strcspn(p, "/");

    if (n > NAME_MAX)
        return -ENAMETOOLONG;
    memcpy(name, p, n);
    name[n] = 0;
    memmove(w->rest, p + n, strlen(p + n) + 1);
    if (n && w->rest[0] && !w->rest[strspn(w->rest, "/")])
        strcpy(w->rest, "/.");
    return n > 0;
}

/*
 * Is it one of procfs whose text is not where it leads? All others of procfs
 * are relative: self, mounts, net.
 */
static bool is_magic(int link, const char *goal)
{
    struct statfs s;

    return (goal[0] == '/' || strchr(goal, ':')) && !fstatfs(link, &s) &&
           s.f_type == PROC_SUPER_MAGIC;
}

/* `name` is a link: what it says is walked next. */
static int follow(struct walk *w, int link)
{
    char goal[PATH_MAX];
    ssize_t n = readlinkat(link, "", goal, sizeof(goal) - 1);
    size_t rest = strlen(w->rest);

    if (n < 0)
        return -errno;
    goal[n] = 0;
    if (++w->links > LINKS_MAX || is_magic(link, goal))
        return -ELOOP;
    if ((size_t)n + rest >= sizeof(w->rest))
        return -ENAMETOOLONG;
    /* The rest is empty, or begins with a slash. */
    memmove(w->rest + n, w->rest, rest + 1);
    memcpy(w->rest, goal, (size_t)n);
    if (goal[0] == '/')
        walk_up(w, 0);
    return 0;
}

static int here_is_folder(const struct walk *w)
{
    struct stat st;

    if (fstat(w->fd[w->depth], &st))
        return -errno;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

static int step(struct walk *w, const char *name, bool last, int flags)
{
    struct stat st;
    int fd, e;

    if (!strcmp(name, ".") || !strcmp(name, "..")) {
        e = here_is_folder(w);
        if (!e && name[1] && w->depth)
            walk_up(w, w->depth - 1);
        return e;
    }
    fd = openat(w->fd[w->depth], name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st)) {
        e = -errno;
        close(fd);
        return e;
    }
    if (S_ISLNK(st.st_mode) && !(last && (flags & O_NOFOLLOW))) {
        e = follow(w, fd);
        close(fd);
        return e;
    }
    if (w->depth + 1 == DEPTH_MAX) {
        close(fd);
        return -ENAMETOOLONG;
    }
    w->fd[++w->depth] = fd;
    return 0;
}

/* Where the walk has ended, opened as the flags say. */
static int walk_end(const struct walk *w, int flags)
{
    int here = w->fd[w->depth], fd;
    struct stat st;

    if (fstat(here, &st))
        return -errno;
    if ((flags & O_DIRECTORY) && !S_ISDIR(st.st_mode))
        return -ENOTDIR;
    if (S_ISLNK(st.st_mode) && !(flags & O_PATH))
        return -ELOOP;
    if (!w->depth)
        fd = openat(here, ".", flags | O_CLOEXEC);
    else if (flags & O_PATH)
        fd = fcntl(here, F_DUPFD_CLOEXEC, 3);
    else /* what the descriptor is; no name is looked up */
        fd = open(path_of_fd(here).text, (flags & ~O_NOFOLLOW) | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int path_walk_in(int root, const char *path, int flags)
{
    struct walk w = {.fd = {root}};
    char name[NAME_MAX + 1];
    int e;

    if (strlen(path) >= sizeof(w.rest))
        return -ENAMETOOLONG;
    strcpy(w.rest, path);
    while ((e = next_name(&w, name)) > 0) {
        e = step(&w, name, !w.rest[0], flags);
        if (e)
            break;
    }
    if (!e)
        e = walk_end(&w, flags);
    walk_up(&w, 0);
    return e;
}

/* --- making --- */

static int make(int root, const char *path, bool file, bool *made,
                unsigned links);

/* `name` in `folder` leads nowhere: makes what it should lead to. */
static int make_goal(int root, const char *path, size_t dir, int folder,
                     const char *name, bool file, bool *made, unsigned links)
{
    char goal[PATH_MAX], whole[2 * PATH_MAX];
    ssize_t n = readlinkat(folder, name, goal, sizeof(goal) - 1);

    if (n < 0)
        return -errno;
    if (links >= LINKS_MAX)
        return -ELOOP;
    goal[n] = 0;
    snprintf(whole, sizeof(whole), "%.*s/%s", goal[0] == '/' ? 0 : (int)dir,
             path, goal);
    return make(root, whole, file, made, links + 1);
}

static int make_in(int root, const char *path, size_t dir, int folder,
                   const char *name, bool file, bool *made, unsigned links)
{
    int fd;

    if (file) {
        fd = openat(folder, name,
                    O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_RDONLY, 0755);
        if (fd >= 0)
            close(fd);
    } else {
        fd = mkdirat(folder, name, 0755);
    }
    if (fd < 0 && errno == EEXIST)
        return make_goal(root, path, dir, folder, name, file, made, links);
    if (fd < 0)
        return -errno;
    if (made)
        *made = true;
    fd = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int make(int root, const char *path, bool file, bool *made,
                unsigned links)
{
    size_t n = strlen(path), dir;
    char name[NAME_MAX + 1], *up;
    int folder, fd = path_open_in(root, path, O_PATH);

    if (fd != -ENOENT || links > LINKS_MAX)
        return fd;
    while (n && path[n - 1] == '/')
        n--;
    for (dir = n; dir && path[dir - 1] != '/';)
        dir--;
    if (n - dir > NAME_MAX || !n)
        return -ENAMETOOLONG;
    memcpy(name, path + dir, n - dir);
    name[n - dir] = 0;
    if (!strcmp(name, "..") || !strcmp(name, "."))
        return -ENOENT;

    up = strndup(path, dir);
    if (!up)
        return -ENOMEM;
    folder = make(root, up, false, NULL, links);
    free(up);
    if (folder < 0)
        return folder;
    fd = make_in(root, path, dir, folder, name, file, made, links);
    close(folder);
    return fd;
}

int path_make_in(int root, const char *path, bool file, bool *made)
{
    if (made)
        *made = false;
    return make(root, path, file, made, 0);
}

struct path_of_fd path_of_fd(int fd)
{
    struct path_of_fd p;

    snprintf(p.text, sizeof(p.text), "/proc/self/fd/%d", fd);
    return p;
}
