/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hooks.c - the programs that config.json wants to be run around a container,
 * with its state on their stdin and a limit to their time.
 *                                                 [runtime-spec, POSIX hooks]
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "oci/launch.h"
#include "oci/signals.h"

/* Where an annotation of crun's users wants what hooks say. */
static void hook_redirect(const struct container *c, const char *key, int to)
{
    const char *path = json_map_get(&c->state.annotations, key);
    int fd;

    if (!path)
        return;
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0700);
    if (fd < 0 || dup2(fd, to) < 0)
        _exit(126);
}

/*
 * Without an "env" a hook has the runtime's environment, as with runc and
 * crun; but not inside of the container, where that is nobody's business.
 */
static void hook_exec(const struct spec_hook *h, const struct container *c,
                      bool inside, int in)
{
    const char *const none[] = {h->path, NULL};
    char *const empty[] = {NULL};
    char *const *env = inside ? empty : environ;

    signals_block_only(0);
    signal(SIGPIPE, SIG_DFL);
    if (dup2(in, 0) < 0)
        _exit(126);
    if (!inside) {
        hook_redirect(c, "run.oci.hooks.stdout", 1);
        hook_redirect(c, "run.oci.hooks.stderr", 2);
    }
    syscall(SYS_close_range, 3, ~0u, 0);
    execve(h->path, (char *const *)(h->args.count ? h->args.item : none),
           h->env.item ? (char *const *)h->env.item : env);
    _exit(errno == ENOENT ? 127 : 126);
}

/* Its exit status as waitpid() has it; -ETIMEDOUT: it was killed. */
static int hook_wait(pid_t pid, const struct spec_hook *h)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0), status = -1, n;
    struct pollfd p = {fd, POLLIN, 0};
    uint64_t end = clock_host_now() + (uint64_t)h->timeout * 1000000000;
    int64_t left;

    if (h->has & SPEC_TIMEOUT) {
        do {
            left = (int64_t)(end - clock_host_now()) / 1000000;
            n = poll(&p, 1, left < 0 ? 0 : (int)MIN(left, INT32_MAX));
        } while (n < 0 && errno == EINTR);
        if (!n)
            kill(pid, SIGKILL);
        else
            n = 1;
    } else {
        n = 1;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (fd >= 0)
        close(fd);
    return n ? status : -ETIMEDOUT;
}

static int hook_fault(const struct spec_hook *h, const char *name, unsigned i,
                      int status, struct error *err)
{
    if (status == -ETIMEDOUT)
        return error_set(err, ETIMEDOUT, "hooks.%s[%u]: %s took more than %d s",
                         name, i, h->path, h->timeout);
    if (WIFSIGNALED(status))
        return error_set(err, ECHILD, "hooks.%s[%u]: %s was ended by signal %d",
                         name, i, h->path, WTERMSIG(status));
    if (WEXITSTATUS(status) == 127 && access(h->path, F_OK))
        return error_set(err, ENOENT, "hooks.%s[%u].path: %s: %s", name, i,
                         h->path, strerror(errno));
    return error_set(err, ECHILD,
                     "hooks.%s[%u]: %s: %s hook failed with exit code "
                     "%d",
                     name, i, h->path, name, WEXITSTATUS(status));
}

/*
 * A pipe, which hooks can open again as /dev/stdin, with room for all of the
 * text, so that nobody waits for its reader.
 */
static int hook_run(const struct spec_hook *h, const char *name, unsigned i,
                    const struct container *c, const char *text,
                    struct error *err)
{
    bool inside = !strcmp(name, "startContainer");
    size_t len = strlen(text);
    int pair[2], status;
    pid_t pid;

    if (pipe2(pair, O_CLOEXEC | O_NONBLOCK))
        return error_set(err, errno, "pipe: %s", strerror(errno));
    fcntl(pair[0], F_SETFL, 0);
    if (len > PIPE_BUF)
        fcntl(pair[1], F_SETPIPE_SZ, len);
    pid = fork();
    if (!pid)
        hook_exec(h, c, inside, pair[0]);
    close(pair[0]);
    if (pid > 0 && write(pair[1], text, len) != (ssize_t)len)
        log_debug("hooks.%s[%u]: %s did not read all of the state", name, i,
                  h->path);
    close(pair[1]);
    if (pid < 0)
        return error_set(err, errno, "fork: %s", strerror(errno));
    status = hook_wait(pid, h);
    return status ? hook_fault(h, name, i, status, err) : 0;
}

int hooks_run(const struct json_array *hooks, const char *name,
              struct container *c, enum state_status status, bool go_on,
              struct error *err)
{
    const struct spec_hook *h = hooks->items;
    const char *text;
    unsigned i;
    int e;

    if (!hooks->count)
        return 0;
    text = oci_state_text(c, status);
    for (i = 0; i < hooks->count; i++) {
        e = hook_run(&h[i], name, i, c, text, err);
        if (e && !go_on)
            return e;
        if (e)
            log_warn("%s", err->msg);
    }
    return 0;
}
