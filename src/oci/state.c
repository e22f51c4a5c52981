/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "oci/notify.h"
#include "oci/state_int.h"

#define ID_MAX 200

const char *oci_state_status_name(enum state_status s)
{
    static const char *const names[] = {"creating", "created", "running",
                                        "paused", "stopped"};

    return names[s];
}

const char *oci_state_id_fault(const char *id)
{
    size_t n = strlen(id);

    if (!n || n > ID_MAX)
        return "must have 1 to 200 characters";
    if (id[0] == '.')
        return "is invalid: it must not begin with a dot";
    if (strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                   "0123456789_+-.") != n)
        return "has an invalid character: letters, digits and _ + - . are "
               "possible";
    return NULL;
}

bool oci_in_host_userns(void)
{
    struct stat st;

    /* The first one has a number of its own. [Linux, proc_ns.h] */
    return !stat("/proc/self/ns/user", &st) && st.st_ino == 0xeffffffd;
}

const char *oci_state_root_default(struct arena *a)
{
    const char *run = getenv("XDG_RUNTIME_DIR");

    /* podman without root is root in a user namespace of its own. */
    if (geteuid() == 0 && !(run && run[0] && !oci_in_host_userns()))
        return "/run/ringfence/containers";
    if (run && run[0])
        return arena_printf(a, "%s/ringfence/containers", run);
    return arena_printf(a, "/tmp/ringfence-%u/containers", geteuid());
}

/* --- the folder --- */

static int root_open(struct container *c, bool make, struct error *err)
{
    struct stat st;

    c->dir = -1;
    if (make && mkdir(c->root, 0700) && errno == ENOENT) {
        char *up = arena_strdup(&c->arena, c->root);
        char *p;

        for (p = up + 1; *p; p++)
            if (*p == '/') {
                *p = 0;
                mkdir(up, 0711);
                *p = '/';
            }
        mkdir(up, 0700);
    }
    c->root_fd = open(c->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (c->root_fd < 0)
        return error_set(err, errno, "%s: %s", c->root, strerror(errno));
    if (fstat(c->root_fd, &st) || (st.st_uid && st.st_uid != geteuid()))
        return error_set(err, EPERM,
                         "%s: belongs to another user, name one with --root",
                         c->root);
    return 0;
}

static int begin(struct container *c, const char *root, const char *id,
                 bool make, struct error *err)
{
    const char *fault = oci_state_id_fault(id);

    memset(&c->state, 0, sizeof(c->state));
    memset(&c->cgroup, 0, sizeof(c->cgroup));
    c->root_fd = c->dir = -1;
    c->id = id;
    c->root = root ? root : oci_state_root_default(&c->arena);
    if (fault)
        return error_set(err, EINVAL, "container ID \"%.80s\": %s", id, fault);
    return root_open(c, make, err);
}

bool oci_state_lock(const struct container *c)
{
    struct stat st;

    while (flock(c->dir, LOCK_EX) && errno == EINTR)
        ;
    /* Whoever had it may have removed it. */
    return !fstat(c->dir, &st) && st.st_nlink;
}

void oci_state_unlock(const struct container *c)
{
    flock(c->dir, LOCK_UN);
}

static int dir_open(struct container *c, bool lock, struct error *err)
{
    c->dir = openat(c->root_fd, c->id,
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (c->dir < 0)
        return error_set(err, errno, "container \"%s\" %s", c->id,
                         errno == ENOENT ? "does not exist" : strerror(errno));
    if (lock && !oci_state_lock(c))
        return error_set(err, ENOENT, "container \"%s\" does not exist", c->id);
    return 0;
}

int oci_state_create(struct container *c, const char *root, const char *id,
                     struct error *err)
{
    int e = begin(c, root, id, true, err);

    if (e)
        return e;
    if (mkdirat(c->root_fd, id, 0700))
        return error_set(err, errno,
                         errno == EEXIST ? "container \"%s\" exists already%s"
                                         : "container \"%s\": %s",
                         id, errno == EEXIST ? "" : strerror(errno));
    return dir_open(c, true, err);
}

static int cgroups_open(struct container *c, struct error *err)
{
    const struct state_cgroup *t = c->state.cgroups.items;
    unsigned i;
    int e;

    c->cgroup.layout = c->state.cgroup_layout;
    for (i = 0; i < c->state.cgroups.count; i++) {
        e = cgroup_add(&c->cgroup, t[i].controllers, t[i].v2, t[i].mount,
                       t[i].path, err);
        if (e)
            return e;
        c->cgroup.tree[i].made = t[i].made;
    }
    return 0;
}

int oci_state_open(struct container *c, const char *root, const char *id,
                   bool lock, struct error *err)
{
    int e = begin(c, root, id, false, err);

    if (e == -ENOENT)
        return error_set(err, ENOENT, "container \"%s\" does not exist", id);
    if (!e)
        e = dir_open(c, lock, err);
    if (e)
        return e;
    e = state_read(&c->arena, c->dir, id, &c->state, err);
    if (e == -ENOENT)
        return error_set(err, ENODATA,
                         "container \"%s\" was never finished: delete --force "
                         "takes it away",
                         id);
    return e ? error_prefix(err, "container \"%s\"", id) : cgroups_open(c, err);
}

bool oci_state_busy(const struct container *c)
{
    if (c->dir < 0)
        return false;
    if (flock(c->dir, LOCK_SH | LOCK_NB))
        return errno == EWOULDBLOCK;
    flock(c->dir, LOCK_UN);
    return false;
}

void oci_state_let_go(struct container *c)
{
    if (c->dir >= 0)
        close(c->dir);
    if (c->root_fd >= 0)
        close(c->root_fd);
    c->dir = c->root_fd = -1;
}

void oci_state_close(struct container *c)
{
    cgroup_close(&c->cgroup);
    oci_state_let_go(c);
    arena_free(&c->arena);
}

int oci_state_save(struct container *c, struct error *err)
{
    const char *text = state_to_json(&c->arena, &c->state, c->id);
    int fd, e = 0;

    fd = openat(c->dir, "state.new",
                O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        e = -errno;
    if (!e)
        e = fd_write(fd, text, strlen(text));
    if (fd >= 0 && close(fd) && !e)
        e = -errno;
    if (!e && renameat(c->dir, "state.new", c->dir, "state.json"))
        e = -errno;
    return e ? error_set(err, -e, "%s/%s/state.json: %s", c->root, c->id,
                         strerror(-e))
             : 0;
}

int oci_state_remove(struct container *c, struct error *err)
{
    DIR *d = fdopendir(dup(c->dir));
    struct dirent *f;

    notify_remove(c);
    if (!d)
        return error_set(err, errno, "%s/%s: %s", c->root, c->id,
                         strerror(errno));
    rewinddir(d);
    while ((f = readdir(d)))
        if (strcmp(f->d_name, ".") && strcmp(f->d_name, "..") &&
            unlinkat(c->dir, f->d_name, 0) && errno == EISDIR)
            unlinkat(c->dir, f->d_name, AT_REMOVEDIR);
    closedir(d);
    if (unlinkat(c->root_fd, c->id, AT_REMOVEDIR) && errno != ENOENT)
        return error_set(err, errno, "%s/%s: %s", c->root, c->id,
                         strerror(errno));
    return 0;
}

void oci_state_set_cgroup(struct container *c)
{
    struct state_cgroup *t =
        arena_alloc(&c->arena, (c->cgroup.count + 1) * sizeof(*t));
    unsigned i, n = 0;

    c->state.cgroup_layout = c->cgroup.layout;
    c->state.cgroups.items = t;
    for (i = 0; i < c->cgroup.count; i++) {
        const struct cgroup_tree *from = &c->cgroup.tree[i];

        if (from->refused)
            continue; /* a user's: nothing to enter, and nothing to remove */
        t[n].controllers = from->controllers;
        t[n].made = from->made;
        t[n].v2 = from->v2;
        t[n].mount = from->mount;
        t[n++].path = from->path;
    }
    c->state.cgroups.count = n;
}

/* --- the process --- */

uint64_t oci_state_start_time(pid_t pid)
{
    char path[40], text[1024], *p;
    unsigned long long when;
    char status;
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = 0;
    /* The name may have anything in it, brackets too. */
    p = strrchr(text, ')');
    if (!p || sscanf(p + 1,
                     " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d "
                     "%*d %*d %*d %*d %*d %llu",
                     &status, &when) != 2)
        return 0;
    return status == 'Z' || status == 'X' ? 0 : when;
}

bool oci_state_alive(const struct container *c)
{
    uint64_t t = c->state.pid > 0 ? oci_state_start_time(c->state.pid) : 0;

    return t && t == c->state.pid_time;
}

int oci_state_pidfd(const struct container *c)
{
    int fd;

    if (c->state.pid <= 0)
        return -ESRCH;
    fd = (int)syscall(SYS_pidfd_open, c->state.pid, 0);
    if (fd < 0)
        return -errno;
    /* The number may have a new owner; the descriptor keeps this one. */
    if (!oci_state_alive(c)) {
        close(fd);
        return -ESRCH;
    }
    return fd;
}

enum state_status oci_state_status(struct container *c)
{
    struct stat st;

    if (!oci_state_alive(c))
        return c->state.pid ? STATE_STOPPED : STATE_CREATING;
    if (!fstatat(c->dir, "start", &st, AT_SYMLINK_NOFOLLOW))
        return STATE_CREATED;
    return cgroup_is_frozen(&c->cgroup) ? STATE_PAUSED : STATE_RUNNING;
}
