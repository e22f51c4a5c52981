/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn.c - a process in a container's namespaces.
 *
 * New namespaces are made by the clone3() that makes the process. Where some
 * are joined, or time is set, a stage stands in between: it joins them, and
 * makes the process as its sibling (CLONE_PARENT), so that the runtime is the
 * parent in each case. The stage never runs code that is not ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "oci/launch.h"
#include "oci/sync.h"

#define ALL_NAMESPACES                                                         \
    (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |               \
     CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_NEWTIME)

static pid_t clone_process(struct launch *l, uint64_t flags, int cgroup)
{
    /* A sibling's is that of who makes it: SIGCHLD. */
    struct clone_args a = {.flags = flags,
                           .exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD};
    pid_t pid;

    l->cloned = cgroup >= 0;
    if (cgroup >= 0) {
        a.flags |= CLONE_INTO_CGROUP;
        a.cgroup = (unsigned)cgroup;
    }
    pid = (pid_t)syscall(SYS_clone3, &a, sizeof(a));
    /* Into a cgroup: not before Linux 5.7, and not across delegations. */
    if (pid < 0 && cgroup >= 0 && errno != EAGAIN && errno != ENOMEM)
        return clone_process(l, flags, -1);
    return pid;
}

/* The namespaces that config.json wants new, and those that it joins. */
static void sort_namespaces(const struct launch *l, unsigned *made,
                            unsigned *joined)
{
    const struct spec_namespace *n = l->spec->linux_.namespaces.items;
    unsigned i;

    *made = *joined = 0;
    for (i = 0; i < l->spec->linux_.namespaces.count; i++) {
        if (n[i].path && n[i].path[0])
            *joined |= n[i].type;
        else
            *made |= n[i].type;
    }
    if (l->joins) { /* exec */
        *joined |= *made;
        *made = 0;
    }
}

static int join_path(const struct spec_namespace *n, struct error *err)
{
    const char *name = spec_namespace_name(n->type);
    int fd = open(n->path, O_RDONLY | O_CLOEXEC), e = 0;

    if (fd < 0)
        return error_set(err, errno, "linux.namespaces: %s: %s: %s", name,
                         n->path, strerror(errno));
    if (setns(fd, (int)n->type))
        e = error_set(err, errno, "linux.namespaces: cannot join %s of %s: %s",
                      name, n->path,
                      errno == EINVAL ? "it is no namespace of that type, or "
                                        "our own"
                                      : strerror(errno));
    close(fd);
    return e;
}

static unsigned pass_of(unsigned type)
{
    return type == CLONE_NEWUSER ? 0 : type == CLONE_NEWNS ? 2 : 1;
}

/*
 * The user namespace first: it gives the rights for the others. The mount
 * namespace last: from then on paths mean something else.
 */
static int join_paths(const struct launch *l, struct error *err)
{
    const struct spec_namespace *n = l->spec->linux_.namespaces.items;
    unsigned i, pass;
    int e = 0;

    for (pass = 0; pass < 3; pass++)
        for (i = 0; i < l->spec->linux_.namespaces.count && !e; i++)
            if (n[i].path && n[i].path[0] && pass_of(n[i].type) == pass)
                e = join_path(&n[i], err);
    return e;
}

/* Is a namespace of the container's our own already? */
static bool shared(pid_t pid, unsigned type)
{
    static const struct {
        unsigned type;
        const char *name;
    } files[] = {
        {CLONE_NEWUSER, "user"}, {CLONE_NEWNS, "mnt"},
        {CLONE_NEWPID, "pid"},   {CLONE_NEWNET, "net"},
        {CLONE_NEWIPC, "ipc"},   {CLONE_NEWUTS, "uts"},
        {CLONE_NEWTIME, "time"}, {CLONE_NEWCGROUP, "cgroup"},
    };
    struct stat ours, theirs;
    char path[64];
    unsigned i;

    for (i = 0; files[i].type != type; i++)
        ;
    snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, files[i].name);
    if (stat(path, &theirs))
        return false;
    snprintf(path, sizeof(path), "/proc/self/ns/%s", files[i].name);
    return !stat(path, &ours) && ours.st_ino == theirs.st_ino &&
           ours.st_dev == theirs.st_dev;
}

/* exec: all of a running container's at once. */
static int join_container(const struct launch *l, unsigned joined,
                          struct error *err)
{
    pid_t pid = l->c->state.pid;
    unsigned type;

    if (!joined || !setns(l->joined_pidfd, (int)joined))
        return 0;
    /* One of them may be ours: some kinds cannot be joined again. */
    for (type = 1; type; type <<= 1)
        if ((joined & type) && shared(pid, type))
            joined &= ~type;
    if (!joined || !setns(l->joined_pidfd, (int)joined))
        return 0;
    return error_set(err, errno, "cannot join the container's namespaces: %s",
                     strerror(errno));
}

/* Before any process is in the new time namespace. [time_namespaces(7)] */
static int set_clocks(const struct launch *l, struct error *err)
{
    const struct spec_time_offset *t = l->spec->linux_.time_offsets.items;
    char line[128];
    unsigned i;
    int e = 0;

    if (unshare(CLONE_NEWTIME))
        return error_set(err, errno, "cannot make a time namespace: %s",
                         strerror(errno));
    for (i = 0; i < l->spec->linux_.time_offsets.count && !e; i++) {
        snprintf(line, sizeof(line), "%.40s %lld %u\n", t[i].key,
                 (long long)t[i].secs, t[i].nanosecs);
        e = proc_write(l, "self/timens_offsets", line);
        if (e)
            error_set(err, -e, "linux.timeOffsets.%s: %s", t[i].key,
                      strerror(-e));
    }
    return e;
}

static int become_root(struct error *err)
{
    if (setresgid(0, 0, 0) || setresuid(0, 0, 0))
        return error_set(err, errno,
                         "id 0 is not mapped in the container's "
                         "user namespace: %s",
                         strerror(errno));
    return 0;
}

/* A new user namespace that new time belongs to must be there before it. */
static int stage_userns(struct launch *l, unsigned *made, struct error *err)
{
    int e;

    if ((*made & (CLONE_NEWUSER | CLONE_NEWTIME)) !=
        (CLONE_NEWUSER | CLONE_NEWTIME))
        return 0;
    if (unshare(CLONE_NEWUSER))
        return error_set(err, errno, "cannot make a user namespace: %s",
                         strerror(errno));
    if (!sync_send(l->sync, SYNC_MAP, 0, -1))
        return error_set(err, EPIPE, "the runtime is gone");
    e = sync_expect(l->sync, SYNC_MAPPED, NULL, err);
    *made &= ~(unsigned)CLONE_NEWUSER;
    return e ? e : become_root(err);
}

/* In the container's first or one more process, before anything else. */
static int arrive(struct launch *l, bool map, struct error *err)
{
    struct error dropped;
    int e = 0;

    if (map) {
        if (!sync_send(l->sync, SYNC_MAP, 0, -1))
            return error_set(err, EPIPE, "the runtime is gone");
        e = sync_expect(l->sync, SYNC_MAPPED, NULL, err);
        if (!e)
            e = become_root(err);
    }
    /*
     * Nobody in the container may look into this process: it is still the
     * runtime. exec() makes it dumpable again.
     */
    if (!e && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
        e = error_set(&dropped, errno, "prctl");
    return e;
}

static void give_up(struct launch *l, const struct error *err)
{
    sync_send_error(l->sync, err);
    _exit(1);
}

/* Does not return. */
static void stage(struct launch *l, int (*child)(struct launch *),
                  unsigned made, unsigned joined)
{
    struct error err;
    pid_t pid;
    int e;

    prctl(PR_SET_DUMPABLE, (made & CLONE_NEWUSER) != 0, 0, 0, 0);
    /* In a cgroup namespace of others there might be no way there. */
    e = l->late_cgroup ? 0 : cgroup_enter(&l->c->cgroup, 0, l->cloned, &err);
    l->in_cgroup = !l->late_cgroup;
    if (!e)
        e = l->joins ? join_container(l, joined, &err) : join_paths(l, &err);
    if (!e && (joined & CLONE_NEWUSER))
        e = become_root(&err);
    if (!e)
        e = stage_userns(l, &made, &err);
    if (!e && (made & CLONE_NEWTIME))
        e = set_clocks(l, &err);
    if (e)
        give_up(l, &err);
    if (l->late)
        _exit(child(l));
    made &= ~(unsigned)CLONE_NEWTIME;
    pid = clone_process(l, made | CLONE_PARENT, -1);
    if (!pid) {
        if (arrive(l, (made & CLONE_NEWUSER) != 0, &err))
            give_up(l, &err);
        _exit(child(l));
    }
    if (pid < 0) {
        error_set(&err, errno, "cannot make the container's process: %s",
                  strerror(errno));
        give_up(l, &err);
    }
    sync_send(l->sync, SYNC_PID, pid, -1);
    _exit(0);
}

/* Answers SYNC_MAP of `pid`. */
static int map(struct launch *l, int sock, pid_t pid, struct error *err)
{
    const struct spec_linux *s = &l->spec->linux_;
    int e = idmap_write(pid, &s->uid_mappings, &s->gid_mappings, err);

    if (!e && !sync_send(sock, SYNC_MAPPED, 0, -1))
        e = error_set(err, EPIPE, "the container's process is gone");
    return e;
}

bool launch_killed_at_birth(struct launch *l, pid_t pid)
{
    siginfo_t end = {0};

    if (!l->cloned || l->born_outside)
        return false;
    /* Who kills it later on must find it, so it stays a zombie. */
    while (waitid(P_PID, (id_t)pid, &end, WEXITED | WNOWAIT))
        if (errno != EINTR)
            return false;
    if (end.si_code != CLD_KILLED || end.si_status != SIGKILL)
        return false;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    l->born_outside = true;
    return true;
}

/* What the stage says until it ends; its last word is the pid. */
static pid_t hear_stage(struct launch *l, int sock, pid_t stage_pid,
                        struct error *err)
{
    struct sync_message m;
    pid_t pid = 0;
    int e = 0;

    while (!e && !pid) {
        sync_receive(sock, &m, NULL);
        switch (m.kind) {
        case SYNC_MAP:
            e = map(l, sock, stage_pid, err);
            break;
        case SYNC_PID:
            pid = m.value;
            break;
        case SYNC_ERROR:
            e = error_set(err, m.code, "%s", m.text);
            break;
        default:
            e = error_set(err, EPIPE,
                          "the container's process ended while it "
                          "was made");
        }
    }
    if (e == -EPIPE && launch_killed_at_birth(l, stage_pid))
        return e;
    if (e)
        kill(stage_pid, SIGKILL);
    while (waitpid(stage_pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return e ? e : pid;
}

static pid_t spawn(struct launch *l, int (*child)(struct launch *), int sock,
                   unsigned made, unsigned joined, int cgroup,
                   struct error *err)
{
    bool staged = joined || (made & CLONE_NEWTIME);
    bool map_direct = (made & CLONE_NEWUSER) && !(made & CLONE_NEWTIME);
    pid_t pid = clone_process(l, staged ? 0 : made, cgroup);
    int e = 0;

    if (!pid) {
        close(sock);
        oci_state_let_go(l->c);
        if (staged)
            stage(l, child, made, joined);
        if (arrive(l, map_direct, err))
            give_up(l, err);
        _exit(child(l));
    }
    if (pid < 0)
        return error_set(err, errno,
                         "cannot make the container's process: %s%s",
                         strerror(errno),
                         errno == EPERM && !(made & CLONE_NEWUSER)
                             ? " (without root a namespace \"user\" is needed)"
                             : "");
    close(l->sync);
    l->sync = sock;
    if (l->late) {
        close(l->report[1]);
        l->report[1] = -1;
    }
    if (staged && !l->late)
        pid = hear_stage(l, sock, pid, err);
    if (pid > 0 && map_direct) {
        e = sync_expect(sock, SYNC_MAP, NULL, err);
        if (!e)
            e = map(l, sock, pid, err);
        if (e) {
            kill(pid, SIGKILL);
            while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        }
    }
    return e ? e : pid;
}

static pid_t try_spawn(struct launch *l, int (*child)(struct launch *),
                       unsigned made, unsigned joined, struct error *err)
{
    int pair[2], e;
    pid_t pid;

    e = sync_pair(pair, err);
    if (e)
        return e;
    l->sync = pair[1];
    /* A cgroup namespace is made in the cgroup, so not yet. */
    made &= ALL_NAMESPACES & ~CLONE_NEWCGROUP;
    if (l->late_cgroup)
        made &= ~(unsigned)CLONE_NEWNET;
    pid = spawn(l, child, pair[0], made, joined,
                l->born_outside ? -1 : cgroup_clone_fd(&l->c->cgroup), err);
    if (pid < 0 && l->sync != pair[0])
        close(pair[0]);
    return pid;
}

pid_t launch_spawn(struct launch *l, int (*child)(struct launch *),
                   struct error *err)
{
    bool outside = l->born_outside;
    unsigned made, joined;
    pid_t pid;

    sort_namespaces(l, &made, &joined);
    l->made = made;
    l->in_userns |= ((made | joined) & CLONE_NEWUSER) != 0;
    pid = try_spawn(l, child, made, joined, err);
    if (pid > 0 || outside || !l->born_outside)
        return pid;
    close(l->sync);
    return try_spawn(l, child, made, joined, err);
}
