/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reaper.c - `run --init`: a container's first process that waits for orphans
 * and passes signals on, so that the program need not know that it is pid 1.
 */
#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "oci/process_int.h"
#include "oci/signals.h"

static void end_as(int status)
{
    if (WIFSIGNALED(status))
        _exit(128 + WTERMSIG(status));
    _exit(WEXITSTATUS(status));
}

static void reap(pid_t program)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == program)
            end_as(status);
}

static void serve(pid_t program)
{
    int sig;

    /* Nothing of the container's is ours to hold open. */
    syscall(SYS_close_range, 0, ~0u, 0);
    for (;;) {
        sig = signals_wait(SIGNALS_ALL);
        if (sig < 0)
            continue;
        if (sig == SIGCHLD)
            reap(program);
        else
            kill(program, sig);
    }
}

int process_reaper(struct launch *l, struct error *err)
{
    pid_t pid;

    if (!l->reaper)
        return 0;
    signals_block_only(SIGNALS_ALL);
    pid = fork();
    if (pid < 0)
        return error_set(err, errno, "--init: %s", strerror(errno));
    if (pid)
        serve(pid);
    /* A terminal's foreground job, as the program would be without us. */
    if (l->process->terminal) {
        setpgid(0, 0);
        tcsetpgrp(0, getpid());
    }
    signals_block_only(0);
    return 0;
}
