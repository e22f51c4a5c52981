/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manage.c - what is done to a container that exists.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "oci/create_int.h"

#define END_MS 10000 /* a killed process is gone by then, or stuck */

static int kill_first(struct container *c, int sig, struct error *err)
{
    int fd = oci_state_pidfd(c), e = 0;

    if (fd >= 0 && syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0))
        e = -errno;
    if (fd < 0)
        e = fd;
    if (fd >= 0)
        close(fd);
    if (e == -ESRCH)
        return error_set(err, ESRCH, "container \"%s\" is not running", c->id);
    return e ? error_set(err, -e, "container \"%s\": kill: %s", c->id,
                         strerror(-e))
             : 0;
}

int container_kill(const char *root, const char *id, int sig, bool all,
                   struct error *err)
{
    struct container c = {0};
    int e = oci_state_open(&c, root, id, false, err);

    if (!e && all && c.cgroup.count)
        e = sig == SIGKILL ? cgroup_kill(&c.cgroup, err)
                           : cgroup_signal(&c.cgroup, sig, err);
    else if (!e)
        e = kill_first(&c, sig, err);
    oci_state_close(&c);
    return e;
}

static int await_end(struct container *c, struct error *err)
{
    int fd = oci_state_pidfd(c);
    struct pollfd p = {fd, POLLIN, 0};

    if (fd == -ESRCH)
        return 0;
    if (fd < 0)
        return error_set(err, -fd, "container \"%s\": %s", c->id,
                         strerror(-fd));
    syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
    /* Dead, but for a parent that does not look: good enough. */
    while (poll(&p, 1, END_MS) < 0 && errno == EINTR)
        ;
    close(fd);
    if (oci_state_alive(c))
        return error_set(err, EBUSY,
                         "container \"%s\": process %d does not "
                         "die",
                         c->id, c->state.pid);
    return 0;
}

int container_remove(struct container *c, const struct spec *spec,
                     struct error *err)
{
    struct error hook_err;
    struct spec read;
    int e = 0;

    if (!spec && !config_read(c, &read, &hook_err))
        spec = &read;

    /*
     * Without a process of ours, who is in that cgroup is not ours to kill:
     * create may have ended before it saw that the cgroup was taken.
     */
    if (c->cgroup.count && c->state.pid)
        e = cgroup_kill(&c->cgroup, err);
    if (!e)
        e = await_end(c, err);
    if (!e && c->cgroup.count) {
        e = cgroup_remove(&c->cgroup, err);
        if (e == -EBUSY && !c->state.pid)
            e = 0;
    }
    if (e)
        return e;
    /* Failing ones are warnings, and the removal goes on. */
    if (spec && hooks_run(&spec->hooks.kind[HOOK_POSTSTOP], "poststop", c,
                          STATE_STOPPED, true, &hook_err))
        log_warn("%s", hook_err.msg);
    return oci_state_remove(c, err);
}

int container_delete(const char *root, const char *id, bool force,
                     struct error *err)
{
    struct container c = {0};
    int e = oci_state_open(&c, root, id, true, err);

    if (force && e == -ENOENT && c.dir < 0) {
        e = 0; /* as users of runc and crun expect */
    } else if (force && c.dir >= 0 && e) {
        /* Never finished, or damaged: its folder is all that we know. */
        e = oci_state_remove(&c, err);
    } else if (!e) {
        enum state_status s = oci_state_status(&c);

        /* One that was never started has nothing to lose. */
        if (!force && (s == STATE_RUNNING || s == STATE_PAUSED))
            e = error_set(err, EBUSY,
                          "container \"%s\" is %s: stop it first, or delete "
                          "--force",
                          id, oci_state_status_name(s));
        else
            e = container_remove(&c, NULL, err);
    }
    oci_state_close(&c);
    return e;
}

int container_pause(const char *root, const char *id, bool paused,
                    struct error *err)
{
    struct container c = {0};
    int e = oci_state_open(&c, root, id, true, err);
    enum state_status s = e ? STATE_STOPPED : oci_state_status(&c);

    if (!e && paused && s != STATE_RUNNING && s != STATE_CREATED)
        e = error_set(err, EINVAL,
                      "container \"%s\" is %s: only one that runs "
                      "can be paused",
                      id, oci_state_status_name(s));
    else if (!e && !paused && s != STATE_PAUSED)
        e = error_set(err, EINVAL, "container \"%s\" is %s, not paused", id,
                      oci_state_status_name(s));
    if (!e)
        e = cgroup_freeze(&c.cgroup, paused, err);
    oci_state_close(&c);
    return e;
}

int container_update(const char *root, const char *id,
                     const struct cgroup_limits *limits, struct error *err)
{
    struct container c = {0};
    int e = oci_state_open(&c, root, id, true, err);

    if (!e && !oci_state_alive(&c))
        e = error_set(err, EINVAL, "container \"%s\" is stopped", id);
    if (!e)
        e = cgroup_apply(&c.cgroup, limits, true, err);
    oci_state_close(&c);
    return e;
}
