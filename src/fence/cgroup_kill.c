/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_kill.c - the processes of a cgroup: listed, signalled, frozen,
 * killed.
 */
#include "fence/cgroup.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fence/cgroup_int.h"

/* How long to wait for processes to stop, and to die. */
#define FREEZE_US 10000000u
#define KILL_US   10000000u
/* ...and how often to look before something must be in their way. */
#define PATIENT_ROUNDS 12

/* --- processes --- */

struct pid_list {
    pid_t *pid;
    unsigned count, room;
};

static int pid_add(struct pid_list *l, pid_t pid)
{
    if (l->count == l->room) {
        unsigned room = l->room ? 2 * l->room : 64;
        pid_t *more = realloc(l->pid, room * sizeof(*more));

        if (!more)
            return -ENOMEM;
        l->pid = more;
        l->room = room;
    }
    l->pid[l->count++] = pid;
    return 0;
}

/* Of one directory. 0 stands for who is not in our PID namespace. */
static int procs_add(int fd, struct pid_list *l)
{
    char *text, *at;
    int rc = cgroup_file_load(fd, "cgroup.procs", &text);

    /* Threads of a process that is listed further up; or gone meanwhile. */
    if (rc == -EOPNOTSUPP || rc == -ENOENT || rc == -ENODEV)
        return 0;
    for (at = text; !rc && at && *at;) {
        long pid = strtol(at, &at, 10);

        if (pid > 0)
            rc = pid_add(l, (pid_t)pid);
        at += strcspn(at, "\n");
        at += *at == '\n';
    }
    free(text);
    return rc;
}

static int child_procs(int parent, const char *name, int fd, void *ctx)
{
    (void)parent;
    (void)name;
    return procs_add(fd, ctx);
}

/*
 * The tree that processes enter first, so that those are found that are on
 * their way into the others: born into v2, then in the order of the list.
 */
static struct cgroup_tree *procs_tree(struct cgroup *cg)
{
    for (unsigned i = 0; i < cg->count; i++)
        if (cg->tree[i].v2 && !cgroup_tree_open(&cg->tree[i]))
            return &cg->tree[i];
    for (unsigned i = 0; i < cg->count; i++)
        if (!cgroup_tree_open(&cg->tree[i]))
            return &cg->tree[i];
    return NULL;
}

static int no_cgroup(struct error *err)
{
    return error_set(err, ENOENT, "the container has no cgroup, or it is gone");
}

int cgroup_pids(struct cgroup *cg, pid_t **pids, unsigned *count,
                struct error *err)
{
    struct cgroup_tree *t = procs_tree(cg);
    struct pid_list l = {0};
    int rc;

    *pids = NULL;
    *count = 0;
    if (!t)
        return no_cgroup(err);
    rc = procs_add(t->fd, &l);
    if (!rc)
        rc = cgroup_dir_walk(t->fd, child_procs, &l);
    if (rc) {
        free(l.pid);
        return error_set(err, -rc, "cgroup %s%s: its processes: %s", t->mount,
                         t->path, strerror(-rc));
    }
    *pids = l.pid;
    *count = l.count;
    return 0;
}

int cgroup_signal(struct cgroup *cg, int sig, struct error *err)
{
    unsigned count;
    pid_t *pids;
    int rc = cgroup_pids(cg, &pids, &count, err);

    for (unsigned i = 0; i < count && !rc; i++)
        if (kill(pids[i], sig) && errno != ESRCH)
            rc = error_set(err, errno, "signal %d to process %d: %s", sig,
                           (int)pids[i], strerror(errno));
    free(pids);
    return rc;
}

/* --- freezer --- */

static int freeze_timed_out(struct cgroup_tree *t, bool frozen,
                            struct error *err)
{
    return error_set(err, ETIMEDOUT, "cgroup %s%s: %s within %u s", t->mount,
                     t->path,
                     frozen ? "not all processes could be stopped"
                            : "not all processes went on",
                     FREEZE_US / 1000000);
}

/* "frozen N" of cgroup.events, which poll() watches. */
static int frozen_v2_wait(int fd, bool frozen)
{
    struct pollfd p = {.fd = fd, .events = POLLPRI};
    char text[128];
    uint64_t is = 0;

    for (unsigned i = 0; i < FREEZE_US / 100000; i++) {
        ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

        if (n < 0)
            return -errno;
        text[n] = '\0';
        if (cgroup_text_number(text, "frozen", &is) && is == frozen)
            return 0;
        poll(&p, 1, 100);
    }
    return -ETIMEDOUT;
}

static int freeze_v2(struct cgroup_tree *t, bool frozen)
{
    int rc = cgroup_file_write(t->fd, "cgroup.freeze", frozen ? "1" : "0"), fd;

    if (rc)
        return rc == -ENOENT ? -ENOTSUP : rc;
    fd = openat(t->fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    rc = frozen_v2_wait(fd, frozen);
    close(fd);
    return rc;
}

/*
 * FREEZING stays for good if a process forked at the wrong moment or waits
 * where it cannot be stopped: thawing once and writing again helps.
 */
static int freeze_v1(struct cgroup_tree *t, bool frozen)
{
    const char *want = frozen ? "FROZEN" : "THAWED";
    unsigned us = 10, budget = FREEZE_US;
    char state[16];

    for (unsigned i = 0;; i++) {
        int rc = 0;

        if (frozen && i % 50 == 49)
            rc = cgroup_file_write(t->fd, "freezer.state", "THAWED");
        if (!rc)
            rc = cgroup_file_write(t->fd, "freezer.state", want);
        if (rc)
            return rc == -ENOENT ? -ENOTSUP : rc;
        rc = (int)cgroup_file_read(t->fd, "freezer.state", state, 16);
        if (rc < 0)
            return rc;
        if (!strcmp(state, want))
            return 0;
        if (!cgroup_wait(&us, &budget))
            return -ETIMEDOUT;
    }
}

int cgroup_freeze(struct cgroup *cg, bool frozen, struct error *err)
{
    struct cgroup_tree *t = cgroup_tree_of(cg, CGROUP_FREEZER);
    int rc = t ? cgroup_tree_open(t) : -ENOTSUP;

    if (!rc)
        rc = t->v2 ? freeze_v2(t, frozen) : freeze_v1(t, frozen);
    if (rc == -ENOTSUP)
        return error_set(err, ENOTSUP,
                         "this host has no cgroup freezer to pause with");
    if (rc == -ENOENT || rc == -ENODEV)
        return no_cgroup(err);
    if (rc == -ETIMEDOUT && frozen) /* rather all than some */
        (void)!(t->v2 ? freeze_v2(t, false) : freeze_v1(t, false));
    if (rc == -ETIMEDOUT)
        return freeze_timed_out(t, frozen, err);
    return rc ? error_set(err, -rc, "cgroup %s%s: freezer: %s", t->mount,
                          t->path, strerror(-rc))
              : 0;
}

bool cgroup_is_frozen(struct cgroup *cg)
{
    struct cgroup_tree *t = cgroup_tree_of(cg, CGROUP_FREEZER);
    char text[128];
    uint64_t is = 0;

    if (!t || cgroup_tree_open(t))
        return false;
    if (!t->v2)
        return cgroup_file_read(t->fd, "freezer.state", text, 128) > 0 &&
               text[0] == 'F'; /* FREEZING is not running either */
    return cgroup_file_read(t->fd, "cgroup.events", text, 128) > 0 &&
           cgroup_text_number(text, "frozen", &is) && is;
}

/* --- killing --- */

/* One round; frozen, so that none is forked while the list is made. */
static int kill_round(struct cgroup *cg, unsigned *count, struct error *err)
{
    struct error ignored;
    bool frozen = !cgroup_freeze(cg, true, &ignored);
    pid_t *pids;
    int rc = cgroup_pids(cg, &pids, count, err);

    for (unsigned i = 0; i < *count && !rc; i++)
        if (kill(pids[i], SIGKILL) && errno != ESRCH)
            rc = error_set(err, errno, "killing process %d: %s", (int)pids[i],
                           strerror(errno));
    free(pids);
    if (frozen)
        (void)!cgroup_freeze(cg, false, &ignored);
    return rc;
}

/*
 * On v1 somebody may have moved one of them into a frozen cgroup of his own,
 * where SIGKILL waits. It is thawed by being moved back to ours.
 */
static void thaw_strays(struct cgroup *cg)
{
    struct cgroup_tree *t = cgroup_tree_of(cg, CGROUP_FREEZER);
    struct error ignored;
    unsigned count;
    pid_t *pids;

    if (!t || t->v2 || cgroup_tree_open(t) ||
        cgroup_pids(cg, &pids, &count, &ignored))
        return;
    for (unsigned i = 0; i < count; i++) {
        char text[16];

        snprintf(text, sizeof(text), "%d", (int)pids[i]);
        (void)!cgroup_file_write(t->fd, "cgroup.procs", text);
    }
    free(pids);
}

/* At once, where the kernel can (v2 since 5.14). */
static bool kill_at_once(struct cgroup *cg)
{
    struct cgroup_tree *t = procs_tree(cg);

    return t && t->v2 && !cgroup_file_write(t->fd, "cgroup.kill", "1");
}

/*
 * Nobody is there to be killed: the usual end of a container whose first
 * process was that of a PID namespace. Freezing, to be sure, costs 10 times
 * as much; if it cannot be told for certain, it is done.
 */
static bool is_empty(struct cgroup *cg)
{
    struct cgroup_tree *t = procs_tree(cg);
    uint64_t populated = 1;
    char text[128];
    struct stat st;

    if (!t)
        return false;
    if (t->v2)
        return cgroup_file_read(t->fd, "cgroup.events", text, 128) > 0 &&
               cgroup_text_number(text, "populated", &populated) && !populated;
    /* Two links: none of a directory below. */
    return !fstat(t->fd, &st) && st.st_nlink == 2 &&
           cgroup_file_read(t->fd, "cgroup.procs", text, 128) == 0;
}

int cgroup_kill(struct cgroup *cg, struct error *err)
{
    unsigned us = 20, budget = KILL_US, count = 1, rounds = 0;

    while (count && !is_empty(cg)) {
        int rc;

        if (rounds++ == PATIENT_ROUNDS)
            thaw_strays(cg);

        if (kill_at_once(cg)) {
            pid_t *pids;

            rc = cgroup_pids(cg, &pids, &count, err);
            free(pids);
        } else {
            rc = kill_round(cg, &count, err);
        }
        if (rc)
            return rc == -ENOENT ? 0 : rc;
        if (count && !cgroup_wait(&us, &budget))
            return error_set(err, EBUSY,
                             "%u processes of the container do not die; they "
                             "wait for a device or a file system",
                             count);
    }
    return 0;
}
