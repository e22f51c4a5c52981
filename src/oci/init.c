/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init.c - the container's process, from the moment that it is in its
 * namespaces to exec(). Whatever fails goes to the runtime as SYNC_ERROR. If
 * the runtime ends, so does this: every wait is for its message.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/log.h"
#include "oci/launch.h"
#include "oci/process_int.h"

static int begin(struct launch *l, struct error *err)
{
    if (!l->late && setsid() < 0 && errno != EPERM)
        return error_set(err, errno, "setsid: %s", strerror(errno));
    /*
     * A session keyring of its own, so that the caller's keys stay out of
     * reach. Kernels without keys, and filters, say so by these.
     */
    if (!l->no_new_keyring &&
        syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, l->c->id) < 0 &&
        errno != ENOSYS && errno != EPERM && errno != EDQUOT)
        return error_set(err, errno, "keyctl: %s", strerror(errno));
    return 0;
}

/* In the order in which it costs least: see cgroup_beside(). */
static int await_cgroup(struct launch *l, struct error *err)
{
    struct cgroup *cg = &l->c->cgroup;
    struct sync_message m;
    unsigned i;

    sync_receive(l->sync, &m, NULL);
    if (m.kind != SYNC_CGROUP)
        return error_set(err, EPIPE, "the runtime is gone");
    for (i = 0; i < cg->count; i++)
        if ((unsigned)m.value & BIT(i))
            cg->tree[i].refused = EACCES;
    return 0;
}

/*
 * By itself, as that costs a thousandth of what it costs the runtime; before
 * there is a cgroup namespace, which begins where the process is.
 */
static int enter_cgroup(struct launch *l, struct error *err)
{
    int e = l->late_cgroup ? await_cgroup(l, err) : 0;

    if (!e && !l->in_cgroup)
        e = cgroup_enter(&l->c->cgroup, 0, l->cloned, err);
    if (!e && (l->made & CLONE_NEWCGROUP) && unshare(CLONE_NEWCGROUP))
        e = error_set(err, errno, "cannot make a cgroup namespace: %s",
                      strerror(errno));
    return e;
}

/*
 * Programs count on 127.0.0.1, whoever brings other devices. A namespace that
 * is joined has its owner to see to that.
 */
static int begin_network(struct launch *l, struct error *err)
{
    struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd;

    if (!(l->made & CLONE_NEWNET))
        return 0;
    if (l->late_cgroup && unshare(CLONE_NEWNET))
        return error_set(err, errno, "cannot make a network namespace: %s",
                         strerror(errno));
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &r))
        log_debug("the loopback device stays down: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
    return 0;
}

bool launch_pauses(const struct launch *l)
{
    const struct spec_hooks *h = &l->spec->hooks;

    return h->kind[HOOK_PRESTART].count || h->kind[HOOK_CREATE_RUNTIME].count ||
           l->spec->linux_.net_devices.count;
}

/* With the namespace that devices shall go to, which the runtime cannot open.
 */
static int tell_mounted(struct launch *l, struct error *err)
{
    int ns = -1;
    bool sent;

    if (l->spec->linux_.net_devices.count)
        ns = openat(l->proc, "self/ns/net", O_RDONLY | O_CLOEXEC);
    sent = sync_send(l->sync, SYNC_MOUNTED, 0, ns);
    if (ns >= 0)
        close(ns);
    return sent ? 0 : error_set(err, EPIPE, "the runtime is gone");
}

/*
 * In any case it waits for this: who waits for `start` later must be known by
 * its pid, or a runtime that is killed would leave it behind for ever.
 */
static int mounted(struct launch *l, struct error *err)
{
    int e = launch_pauses(l) ? tell_mounted(l, err) : 0;

    return e ? e : sync_expect(l->sync, SYNC_GO, NULL, err);
}

static int create_container_hooks(struct launch *l, struct error *err)
{
    return hooks_run(&l->spec->hooks.kind[HOOK_CREATE_CONTAINER],
                     "createContainer", l->c, STATE_CREATED, false, err);
}

/*
 * The three descriptors that come from outside: what is the host's /dev/null
 * becomes the container's own, as nothing else of the host's file systems
 * shall stay open (and CRIU could not save it); the rest is the user's.
 */
static int own_stdio(struct launch *l, struct error *err)
{
    const dev_t null = makedev(1, 3);
    const struct spec_user *u = l->process ? &l->process->user : NULL;
    struct stat st;
    int fd, own;

    if (!u)
        return 0;
    for (fd = 0; fd < 3; fd++) {
        if (fstat(fd, &st))
            continue;
        if (!S_ISCHR(st.st_mode) || st.st_rdev != null) {
            /* A file system that is read-only, or not ours: as it is. */
            if (fchown(fd, u->uid, isatty(fd) ? (gid_t)-1 : u->gid) &&
                errno == EBADF)
                return error_set(err, errno, "descriptor %d: %s", fd,
                                 strerror(errno));
            continue;
        }
        own = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (own >= 0 && !fstat(own, &st) && S_ISCHR(st.st_mode) &&
            st.st_rdev == null)
            dup2(own, fd);
        if (own >= 0)
            close(own);
    }
    return 0;
}

/* The `start` that comes takes the runtime's place. */
static int await_start(struct launch *l, struct error *err)
{
    int fd;

    if (!sync_send(l->sync, SYNC_READY, 0, -1))
        return error_set(err, EPIPE, "the runtime is gone");
    if (l->start >= 0) {
        do
            fd = accept4(l->start, NULL, NULL, SOCK_CLOEXEC);
        while (fd < 0 && errno == EINTR);
        if (fd < 0)
            return error_set(err, errno, "accept: %s", strerror(errno));
        close(l->start);
        close(l->sync);
        l->sync = fd;
    }
    return sync_expect(l->sync, SYNC_START, NULL, err);
}

static int start_container_hooks(struct launch *l, struct error *err)
{
    return hooks_run(&l->spec->hooks.kind[HOOK_START_CONTAINER],
                     "startContainer", l->c, STATE_CREATED, false, err);
}

/*
 * At create, as podman and Docker tell by create's message what an image lacks.
 * What can only be known at exec() is told then.
 */
static int check_program(struct launch *l, struct error *err)
{
    return l->process && l->process->args.count ? process_find(l, err) : 0;
}

static int check_process(struct launch *l, struct error *err)
{
    return spec_check_args(l->process, err);
}

static int join_console(struct launch *l, struct error *err)
{
    int root, e;

    if (!l->process->terminal)
        return 0;
    root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return error_set(err, errno, "/: %s", strerror(errno));
    e = console_open(l, root, err);
    close(root);
    return e;
}

static int final_affinity(struct launch *l, struct error *err)
{
    const struct spec_affinity *a = l->process->exec_cpu_affinity;

    return a && l->joins ? process_affinity(a->final, err) : 0;
}

typedef int (*step)(struct launch *l, struct error *err);

/* A container's first process. */
/* clang-format off */
static const step first_steps[] = {
    begin_network,
    enter_cgroup,
    begin,
    rootfs_mount,
    mounted,
    create_container_hooks,
    rootfs_enter,
    own_stdio,
    check_program,
    await_start,
    check_process,
    start_container_hooks,
    process_prepare,
    process_become,
    process_exec,
};

/* One more, of `exec`. Its cgroups are entered by the stage. */
static const step exec_steps[] = {
    begin,
    join_console,
    own_stdio,
    final_affinity,
    await_start,
    check_process,
    process_prepare,
    process_become,
    enter_pid_namespace,
    process_exec,
};
/* clang-format on */

int launch_child(struct launch *l)
{
    const step *steps = l->joins ? exec_steps : first_steps;
    size_t n = l->joins ? ARRAY_SIZE(exec_steps) : ARRAY_SIZE(first_steps);
    struct error err;
    size_t i;

    for (i = 0; i < n; i++)
        if (steps[i](l, &err))
            break;
    if (l->sync < 0)
        enter_report(l, &err);
    else
        sync_send_error(l->sync, &err);
    return 1;
}
