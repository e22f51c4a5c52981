/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.c - a container in the foreground: its signals, its terminal, its end.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/fd_pass.h"
#include "base/log.h"
#include "fence/cgroup_stats.h"
#include "oci/create_int.h"
#include "oci/notify.h"
#include "oci/signals.h"
#include "oci/sync.h"

/* A terminal of ours in front of the container's. */
struct relay {
    int master; /* -1: none */
    bool raw;
    struct termios was;
};

/* All but our own faults, and those that are about our terminal. */
#define FORWARDED                                                              \
    (SIGNALS_ALL &                                                             \
     ~(SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGFPE) |         \
       SIGNAL_BIT(SIGILL) | SIGNAL_BIT(SIGABRT) | SIGNAL_BIT(SIGTTIN) |        \
       SIGNAL_BIT(SIGTTOU) | SIGNAL_BIT(SIGTSTP)))

void run_hold_signals(void)
{
    signals_block(FORWARDED);
}

static int master_receive(int sock)
{
    char name[64];
    int fd;

    return fd_pass_receive(sock, name, sizeof(name), MSG_DONTWAIT, &fd) > 0
               ? fd
               : -1;
}

static void copy_size(const struct relay *r)
{
    struct winsize w;

    if (r->master >= 0 && !ioctl(0, TIOCGWINSZ, &w))
        ioctl(r->master, TIOCSWINSZ, &w);
}

static void relay_begin(struct relay *r, int sock)
{
    struct termios t;

    r->raw = false;
    r->master = sock >= 0 ? master_receive(sock) : -1;
    if (r->master < 0)
        return;
    copy_size(r);
    if (tcgetattr(0, &r->was))
        return;
    t = r->was;
    cfmakeraw(&t);
    r->raw = !tcsetattr(0, TCSANOW, &t);
}

static void relay_end(struct relay *r)
{
    if (r->raw)
        tcsetattr(0, TCSANOW, &r->was);
    if (r->master >= 0)
        close(r->master);
    r->master = -1;
}

/* False: nothing will come any more. */
static bool pass(int from, int to)
{
    char buf[4096];
    ssize_t n = read(from, buf, sizeof(buf));

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    return n > 0 && !fd_write(to, buf, (size_t)n);
}

/* True: it has ended, with *status. */
static bool on_signal(int fd, pid_t pid, const struct relay *r, int *status)
{
    struct signalfd_siginfo si;

    if (read(fd, &si, sizeof(si)) != sizeof(si))
        return false;
    if (si.ssi_signo == SIGCHLD) {
        pid_t ended;

        /* Others may have become our children: a subreaper's. */
        while ((ended = waitpid(-1, status, WNOHANG)) > 0)
            if (ended == pid)
                return true;
        return false;
    }
    if (si.ssi_signo == SIGWINCH && r->master >= 0)
        copy_size(r);
    else if (!(si.ssi_signo == SIGPIPE || si.ssi_signo == SIGURG))
        kill(pid, (int)si.ssi_signo);
    return false;
}

static int shell_status(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void drain(struct relay *r)
{
    int flags = fcntl(r->master, F_GETFL);

    fcntl(r->master, F_SETFL, flags | O_NONBLOCK);
    for (;;) {
        char buf[4096];
        ssize_t n = read(r->master, buf, sizeof(buf));

        if (n <= 0 || fd_write(1, buf, (size_t)n))
            return;
    }
}

static void relay_loop(struct relay *r, int signals, int notify, pid_t pid,
                       int *status)
{
    struct pollfd p[] = {{signals, POLLIN, 0},
                         {r->master, POLLIN, 0},
                         {0, POLLIN, 0},
                         {notify, POLLIN, 0}};

    if (r->master < 0)
        p[2].fd = -1;
    for (;;) {
        if (poll(p, ARRAY_SIZE(p), -1) < 0)
            continue;
        if ((p[3].revents & POLLIN) && notify_pass(notify))
            p[3].fd = -1;
        if ((p[0].revents & POLLIN) && on_signal(signals, pid, r, status))
            break;
        if ((p[1].revents & (POLLIN | POLLHUP)) && !pass(r->master, 1))
            p[1].fd = -1;
        if ((p[2].revents & (POLLIN | POLLHUP)) && !pass(0, r->master))
            p[2].fd = -1;
    }
    if (r->master >= 0)
        drain(r);
}

int run_wait(pid_t pid, int sock, int notify, struct error *err)
{
    struct relay r;
    int signals = signals_open(FORWARDED), status = 0;

    if (signals < 0)
        return error_set(err, -signals, "signalfd: %s", strerror(-signals));
    relay_begin(&r, sock);
    relay_loop(&r, signals, notify, pid, &status);
    relay_end(&r);
    close(signals);
    return shell_status(status);
}

/* Why it was killed, if it was a limit: nothing else would say so. */
static void tell_limits(struct making *m)
{
    const struct cgroup_limits *l = m->spec.linux_.resources;
    uint64_t kills = 0;

    if (!l || !(l->memory.has & CGROUP_MEMORY_LIMIT) ||
        cgroup_oom_kills(&m->c.cgroup, &kills) || !kills)
        return;
    log_error("killed: memory limit %lluM",
              (unsigned long long)l->memory.limit / MiB);
}

/* Whoever starts it in the background wants to know when it is of use. */
static void await_ready(struct making *m)
{
    int pidfd = oci_state_pidfd(&m->c);

    if (pidfd < 0)
        return;
    notify_wait(&m->c, m->notify, pidfd);
    close(pidfd);
}

int run_to_end(struct making *m, int *status, struct error *err)
{
    int e;

    *status = 0;
    if (m->o->detach) {
        if (m->notify >= 0)
            await_ready(m);
        making_end(m);
        return 0;
    }
    oci_state_unlock(&m->c);
    e = run_wait(m->pid, m->relay, m->notify, err);
    if (e >= 0) {
        *status = e;
        if (e == 128 + SIGKILL)
            tell_limits(m);
        e = 0;
        if (!m->o->keep && oci_state_lock(&m->c))
            e = container_remove(&m->c, &m->spec, err);
    }
    making_end(m);
    return e;
}

static int run(struct making *m, int *status, struct error *err)
{
    int e = m->started ? start_follow(m->l.sync, &m->c, &m->spec, err)
                       : start_process(m->l.sync, &m->c, &m->spec, err);

    if (!e)
        e = poststart_hooks(&m->c, &m->spec, err);
    if (e) {
        making_undo(m);
        return e;
    }
    close(m->l.sync);
    m->l.sync = -1;
    return run_to_end(m, status, err);
}

int container_run(const struct container_options *o, int *status,
                  struct error *err)
{
    struct making m;
    int e;

    if (!o->detach)
        run_hold_signals();
    e = making_create(&m, o, false, err);
    return e ? e : run(&m, status, err);
}
