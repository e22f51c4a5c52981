/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_watch.c - the end of memory: how often the kernel killed somebody,
 * and being told when it happens (v1: an eventfd; v2: inotify).
 */
#include "fence/cgroup_stats.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "fence/cgroup_int.h"

/* The tree of memory, open; NULL if it is not told here. */
static struct cgroup_tree *memory_tree(struct cgroup *cg)
{
    struct cgroup_tree *t = cgroup_tree_of(cg, CGROUP_MEMORY);

    return t && !cgroup_tree_open(t) ? t : NULL;
}

int cgroup_oom_kills(struct cgroup *cg, uint64_t *kills)
{
    struct cgroup_tree *t = memory_tree(cg);
    char text[256];

    *kills = 0;
    if (!t ||
        cgroup_file_read(t->fd, t->v2 ? "memory.events" : "memory.oom_control",
                         text, sizeof(text)) < 0)
        return -ENOTSUP;
    return cgroup_text_number(text, "oom_kill", kills) ? 0 : -ENOTSUP;
}

int cgroup_memory_limit(struct cgroup *cg, uint64_t *bytes)
{
    struct cgroup_tree *t = memory_tree(cg);

    *bytes = UINT64_MAX;
    if (!t || cgroup_file_number(
                  t->fd, t->v2 ? "memory.max" : "memory.limit_in_bytes", bytes))
        return -ENOTSUP;
    if (*bytes > INT64_MAX - 64 * KiB) /* v1's "none", in pages */
        *bytes = UINT64_MAX;
    return 0;
}

/* --- v1 --- */

/* "EVENTFD FILE" asks for events of memory.oom_control. */
static int watch_v1(struct cgroup_tree *t, struct cgroup_watch *w)
{
    char text[32];

    w->file = openat(t->fd, "memory.oom_control", O_RDONLY | O_CLOEXEC);
    w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->file < 0 || w->fd < 0)
        return -errno;
    snprintf(text, sizeof(text), "%d %d", w->fd, w->file);
    return cgroup_file_write(t->fd, "cgroup.event_control", text);
}

/* Its removal is an event too: then its files are dead. */
static enum cgroup_event next_v1(struct cgroup_watch *w)
{
    uint64_t count;
    char text[8];

    if (read(w->fd, &count, sizeof(count)) != sizeof(count))
        return CGROUP_QUIET;
    return pread(w->file, text, sizeof(text), 0) < 0 ? CGROUP_EMPTY
                                                     : CGROUP_OOM;
}

/* --- v2 --- */

static int watch_add(int fd, int file)
{
    char path[40];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    return inotify_add_watch(fd, path, IN_MODIFY) < 0 ? -errno : 0;
}

/* A number of one of the two files; what is gone says `gone`. */
static uint64_t events_number(int file, const char *name, uint64_t gone)
{
    char text[256];
    ssize_t n = pread(file, text, sizeof(text) - 1, 0);
    uint64_t v = gone;

    if (n < 0)
        return gone;
    text[n] = '\0';
    cgroup_text_number(text, name, &v);
    return v;
}

static int watch_v2(struct cgroup_tree *t, struct cgroup_watch *w)
{
    int rc;

    w->file = openat(t->fd, "memory.events", O_RDONLY | O_CLOEXEC);
    w->events = openat(t->fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
    w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (w->file < 0 || w->events < 0 || w->fd < 0)
        return -errno;
    rc = watch_add(w->fd, w->file);
    if (!rc)
        rc = watch_add(w->fd, w->events);
    w->seen = events_number(w->file, "oom_kill", 0);
    return rc;
}

static enum cgroup_event next_v2(struct cgroup_watch *w)
{
    char events[1024];
    uint64_t kills;

    while (read(w->fd, events, sizeof(events)) > 0)
        ; /* the files say more than these do */
    kills = events_number(w->file, "oom_kill", w->seen);
    if (kills > w->seen) {
        w->seen = kills;
        return CGROUP_OOM;
    }
    return events_number(w->events, "populated", 0) ? CGROUP_QUIET
                                                    : CGROUP_EMPTY;
}

/* --- both --- */

int cgroup_watch_open(struct cgroup *cg, struct cgroup_watch *watch,
                      struct error *err)
{
    struct cgroup_tree *t = memory_tree(cg);
    int rc;

    *watch = (struct cgroup_watch){-1, -1, -1, 0};
    if (!t)
        return error_set(err, ENOTSUP,
                         "events need the cgroup controller memory, which "
                         "the container does not have");
    rc = t->v2 ? watch_v2(t, watch) : watch_v1(t, watch);
    if (!rc)
        return 0;
    cgroup_watch_close(watch);
    return error_set(err, -rc, "cgroup %s%s: out-of-memory events: %s",
                     t->mount, t->path, strerror(-rc));
}

enum cgroup_event cgroup_watch_next(struct cgroup_watch *watch)
{
    return watch->events < 0 ? next_v1(watch) : next_v2(watch);
}

void cgroup_watch_close(struct cgroup_watch *watch)
{
    if (watch->fd >= 0)
        close(watch->fd);
    if (watch->file >= 0)
        close(watch->file);
    if (watch->events >= 0)
        close(watch->events);
    *watch = (struct cgroup_watch){-1, -1, -1, 0};
}
