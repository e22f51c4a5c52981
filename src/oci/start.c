/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start.c - a container that was created gets its program.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd_pass.h"
#include "base/log.h"
#include "oci/create_int.h"
#include "oci/json_build.h"
#include "oci/notify.h"
#include "oci/sync.h"

int config_read(struct container *c, struct spec *spec, struct error *err)
{
    int e = spec_read(&c->arena, c->dir, "config.json", spec, NULL, err);

    return e ? error_prefix(err, "%s/%s", c->root, c->id) : 0;
}

/* What goes with a listener: [runtime-spec, config-linux.md, seccomp] */
static const char *process_state(struct container *c, const struct spec *spec)
{
    static const char *const fds[] = {"seccompFd", NULL};
    struct arena *a = &c->arena;
    struct json_value *o = json_new_object(a);

    json_put(o, "ociVersion", json_new_text(a, SPEC_VERSION));
    json_put(o, "fds", json_new_texts(a, fds));
    json_put(o, "pid", json_new_int(a, c->state.pid));
    json_put(o, "metadata",
             json_new_text(a, spec->linux_.seccomp->listener_metadata));
    json_put(o, "state", oci_state_json(c, STATE_CREATED));
    return json_print(a, o, false);
}

static int listener_give(struct container *c, const struct spec *spec, int fd,
                         struct error *err)
{
    const char *path = spec->linux_.seccomp->listener_path;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    const char *state = process_state(c, spec);
    int to, e = 0;

    if (!path || strlen(path) >= sizeof(a.sun_path))
        return error_set(err, EINVAL,
                         "linux.seccomp.listenerPath: is missing, "
                         "or too long");
    strcpy(a.sun_path, path);
    to = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (to < 0 || connect(to, (struct sockaddr *)&a, sizeof(a)))
        e = -errno;
    if (!e)
        e = fd_pass_send(to, state, strlen(state), fd);
    if (to >= 0)
        close(to);
    return e ? error_set(err, -e, "linux.seccomp.listenerPath: %s: %s", path,
                         strerror(-e))
             : 0;
}

int start_follow(int sock, struct container *c, const struct spec *spec,
                 struct error *err)
{
    struct sync_message m;
    bool expected;
    int fd, e = 0;

    for (;;) {
        sync_receive(sock, &m, &fd);
        expected = m.kind == SYNC_END || m.kind == SYNC_ERROR ||
                   (m.kind == SYNC_SECCOMP && fd >= 0 && spec->linux_.seccomp);
        if (m.kind == SYNC_SECCOMP && expected)
            e = listener_give(c, spec, fd, err);
        if (fd >= 0)
            close(fd);
        if (m.kind != SYNC_SECCOMP || !expected || e)
            break;
        sync_send(sock, SYNC_GO, 0, -1);
    }
    if (m.kind == SYNC_ERROR)
        return error_set(err, m.code, "%s", m.text);
    if (!expected)
        return error_set(err, EPROTO, "the container's process does not start");
    return e; /* SYNC_END: exec() has closed it */
}

int start_process(int sock, struct container *c, const struct spec *spec,
                  struct error *err)
{
    return sync_send(sock, SYNC_START, 0, -1)
               ? start_follow(sock, c, spec, err)
               : error_set(err, EPIPE, "the container's process is gone");
}

int poststart_hooks(struct container *c, const struct spec *spec,
                    struct error *err)
{
    return hooks_run(&spec->hooks.kind[HOOK_POSTSTART], "poststart", c,
                     STATE_RUNNING, false, err);
}

static int start_connect(struct container *c, struct error *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/start", c->dir);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a))) {
        error_set(err, errno, "container \"%s\": cannot start: %s", c->id,
                  strerror(errno));
        if (fd >= 0)
            close(fd);
        return -err->code;
    }
    return fd;
}

static int start(struct container *c, struct error *err)
{
    enum state_status s = oci_state_status(c);
    struct error dropped;
    struct spec spec;
    int sock, notify, pidfd, e;

    if (s != STATE_CREATED)
        return error_set(err, EINVAL,
                         "container \"%s\" is %s: only one that is created can "
                         "be started",
                         c->id, oci_state_status_name(s));
    e = config_read(c, &spec, err);
    if (!e)
        e = spec_check_args(spec.process, err);
    if (e)
        return e;
    sock = start_connect(c, err);
    if (sock < 0)
        return sock;
    /* From here on it is no longer "created", whatever happens to us. */
    unlinkat(c->dir, "start", 0);
    notify = notify_open(c);
    pidfd = notify >= 0 ? oci_state_pidfd(c) : -1;
    e = start_process(sock, c, &spec, err);
    close(sock);
    if (!e) {
        e = poststart_hooks(c, &spec, err);
        if (e && container_remove(c, &spec, &dropped))
            log_warn("%s", dropped.msg);
    }
    if (!e && pidfd >= 0)
        notify_wait(c, notify, pidfd);
    if (notify >= 0)
        close(notify);
    if (pidfd >= 0)
        close(pidfd);
    return e;
}

int container_start(const char *root, const char *id, struct error *err)
{
    struct container c = {0};
    int e = oci_state_open(&c, root, id, true, err);

    if (!e)
        e = start(&c, err);
    oci_state_close(&c);
    return e;
}
