/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enter.c - the last step of `exec`: into the container's pid namespace.
 *
 * A container may have CAP_SYS_PTRACE, and with it the descriptors, memory and
 * rights of every process that it can see, dumpable or not. So what joins it
 * stays out of its pid namespace until it has no more than the program will
 * have: the stage of spawn.c does all, drops all, loads the filter, and then
 * makes the process, which has its stdio and one end of a pipe, and executes
 * the program. What that pipe says may be the container's words.
 *
 * Neither is a socket among what it has: whose end a process holds, it can
 * get a descriptor of who made it (SO_PEERPIDFD).
 *
 * The filter has to allow these few calls. One that does not, one that tells a
 * listener, or a kind of scheduling that fork() does not pass on, is left to
 * the process itself, as for a container's first one.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "fence/reach.h"
#include "oci/process_int.h"

#define RESET_ON_FORK 1 /* SCHED_FLAG_RESET_ON_FORK */

/* What the pipe carries; less than PIPE_BUF, so in one piece. */
struct report {
    int code;
    char text[512];
};

/* --- can it be so? --- */

static bool allows(const struct seccomp_program *p, int call, uint64_t a0,
                   uint64_t a1)
{
    const struct seccomp_data d = {
        .nr = call, .arch = AUDIT_ARCH_X86_64, .args = {a0, a1}};
    uint32_t answer = fence_answer(p->insn, p->len, &d);

    return answer == SECCOMP_RET_ALLOW ||
           (answer & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_LOG;
}

static bool limits_processes(const struct spec_process *p)
{
    const struct spec_rlimit *r = p->rlimits.items;
    unsigned i;

    for (i = 0; i < p->rlimits.count; i++)
        if (r[i].type == RLIMIT_NPROC)
            return true;
    return false;
}

static bool filter_lets(const struct launch *l)
{
    static const int calls[] = {SYS_close, SYS_setsid, SYS_write,
                                SYS_exit_group, SYS_execve};
    const struct seccomp_program *p = l->seccomp;
    unsigned i;

    if (!p)
        return true;
    for (i = 0; i < ARRAY_SIZE(calls); i++)
        if (!allows(p, calls[i], 0, 0))
            return false;
    return !p->notify &&
           allows(p, SYS_clone, CLONE_PARENT | CLONE_PARENT_SETTID, 0) &&
           (!l->process->terminal || allows(p, SYS_ioctl, 0, TIOCSCTTY)) &&
           (!limits_processes(l->process) || allows(p, SYS_prlimit64, 0, 6));
}

bool enter_is_last(const struct launch *l)
{
    const struct spec_scheduler *s = l->process->scheduler;

    return filter_lets(l) && !(s && (s->policy == SPEC_SCHED_DEADLINE ||
                                     (s->flags & RESET_ON_FORK)));
}

/* --- the runtime --- */

int enter_prepare(struct launch *l, struct error *err)
{
    if (pipe2(l->report, O_CLOEXEC))
        return error_set(err, errno, "pipe: %s", strerror(errno));
    l->entered = mmap(NULL, sizeof(*l->entered), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (l->entered == MAP_FAILED) {
        l->entered = NULL;
        return error_set(err, errno, "mmap: %s", strerror(errno));
    }
    return 0;
}

/* Up to the end, which exec() is; true: there was something. */
static bool report_read(int fd, struct report *r)
{
    ssize_t n;
    char *c;

    do
        n = read(fd, r, sizeof(*r));
    while (n < 0 && errno == EINTR);
    if (n != sizeof(*r))
        return false;
    /* For a terminal, maybe. */
    r->text[sizeof(r->text) - 1] = 0;
    for (c = r->text; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    if (r->code <= 0 || r->code > 4095)
        r->code = EIO;
    return true;
}

pid_t enter_wait(struct launch *l, pid_t stage, struct error *err)
{
    struct report r;
    int status;
    pid_t pid;

    while (waitpid(stage, &status, 0) < 0 && errno == EINTR)
        ;
    pid = *l->entered;
    if (!report_read(l->report[0], &r))
        return pid ? pid
                   : error_set(err, EPIPE,
                               "the container's process ended while it was "
                               "made");
    if (pid) {
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    return error_set(err, r.code, "%s", r.text);
}

void enter_end(struct launch *l)
{
    unsigned i;

    for (i = 0; i < 2; i++)
        if (l->report[i] >= 0)
            close(l->report[i]);
    if (l->entered)
        munmap(l->entered, sizeof(*l->entered));
    l->report[0] = l->report[1] = -1;
    l->entered = NULL;
}

/* --- the stage, and the process --- */

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

void enter_shed(struct launch *l)
{
    int keep[] = {l->sync, l->proc, l->report[1], log_file()};
    int from = 3 + (int)l->preserve_fds;
    unsigned i;

    /* The page that the pid is told in is not for the process. */
    madvise(l->entered, sizeof(*l->entered), MADV_DONTFORK);
    qsort(keep, ARRAY_SIZE(keep), sizeof(keep[0]), compare);
    for (i = 0; i < ARRAY_SIZE(keep); i++) {
        if (keep[i] > from)
            syscall(SYS_close_range, from, keep[i] - 1, 0);
        from = MAX(from, keep[i] + 1);
    }
    syscall(SYS_close_range, from, ~0u, 0);
    l->report[0] = l->console_socket = l->joined_pidfd = -1;
}

void enter_report(struct launch *l, const struct error *err)
{
    struct report r = {.code = err->code};

    snprintf(r.text, sizeof(r.text), "%s", err->msg);
    if (write(l->report[1], &r, sizeof(r)) < 0)
        _exit(1);
}

/* Whoever starts containers has an environment that is his own business. */
static void forget_environment(void)
{
    char **e;

    for (e = environ; e && *e; e++)
        memset(*e, 0, strlen(*e));
}

/* process_prepare() has only let it go up: the stage needs one more. */
static int limit_processes(const struct spec_process *p, struct error *err)
{
    const struct spec_rlimit *r = p->rlimits.items;
    struct rlimit l;
    unsigned i;

    for (i = 0; i < p->rlimits.count; i++) {
        if (r[i].type != RLIMIT_NPROC)
            continue;
        if (getrlimit(RLIMIT_NPROC, &l))
            return error_set(err, errno, "process.rlimits: %s",
                             strerror(errno));
        l.rlim_max = MIN(l.rlim_max, r[i].hard);
        l.rlim_cur = MIN(l.rlim_max, r[i].soft);
        if (setrlimit(RLIMIT_NPROC, &l))
            return error_set(err, errno, "process.rlimits: RLIMIT_NPROC: %s",
                             strerror(errno));
    }
    return 0;
}

/* In the container at last, with nothing that it might not have. */
static int begin_program(struct launch *l, struct error *err)
{
    if (setsid() < 0)
        return error_set(err, errno, "setsid: %s", strerror(errno));
    if (l->process->terminal && ioctl(0, TIOCSCTTY, 0))
        return error_set(err, errno, "process.terminal: TIOCSCTTY: %s",
                         strerror(errno));
    return limit_processes(l->process, err);
}

int enter_pid_namespace(struct launch *l, struct error *err)
{
    int log = log_file();
    long pid;

    if (!l->late)
        return 0;
    forget_environment();
    close(l->proc);
    if (log > 2 + (int)l->preserve_fds)
        close(log);
    close(l->sync);
    l->sync = l->proc = -1;
    /* As a sibling; its pid is there before it runs. */
    pid = syscall(SYS_clone, CLONE_PARENT | CLONE_PARENT_SETTID | SIGCHLD, 0,
                  l->entered, 0, 0);
    if (pid < 0)
        return error_set(err, errno, "cannot make the container's process: %s",
                         strerror(errno));
    if (pid)
        _exit(0);
    return begin_program(l, err);
}
