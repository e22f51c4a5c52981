/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"

static void mask(int how, uint64_t set)
{
    syscall(SYS_rt_sigprocmask, how, &set, NULL, sizeof(set));
}

void signals_block_only(uint64_t set)
{
    mask(SIG_SETMASK, set);
}

void signals_block(uint64_t set)
{
    mask(SIG_BLOCK, set);
}

int signals_open(uint64_t set)
{
    int fd = (int)syscall(SYS_signalfd4, -1, &set, sizeof(set), O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

int signals_wait(uint64_t set)
{
    int sig = (int)syscall(SYS_rt_sigtimedwait, &set, NULL, NULL, sizeof(set));

    return sig < 0 ? -errno : sig;
}

void signals_reset(void)
{
    /* The kernel's struct sigaction: SIG_DFL, no flags, restorer, mask. */
    static const uint64_t by_default[4];
    int i;

    for (i = 1; i <= SIGNALS; i++)
        syscall(SYS_rt_sigaction, i, by_default, NULL, sizeof(uint64_t));
    signals_block_only(0);
}

int signal_find(const char *name)
{
    static const char *const names[] = {
        [SIGHUP] = "HUP",       [SIGINT] = "INT",       [SIGQUIT] = "QUIT",
        [SIGILL] = "ILL",       [SIGTRAP] = "TRAP",     [SIGABRT] = "ABRT",
        [SIGBUS] = "BUS",       [SIGFPE] = "FPE",       [SIGKILL] = "KILL",
        [SIGUSR1] = "USR1",     [SIGSEGV] = "SEGV",     [SIGUSR2] = "USR2",
        [SIGPIPE] = "PIPE",     [SIGALRM] = "ALRM",     [SIGTERM] = "TERM",
        [SIGSTKFLT] = "STKFLT", [SIGCHLD] = "CHLD",     [SIGCONT] = "CONT",
        [SIGSTOP] = "STOP",     [SIGTSTP] = "TSTP",     [SIGTTIN] = "TTIN",
        [SIGTTOU] = "TTOU",     [SIGURG] = "URG",       [SIGXCPU] = "XCPU",
        [SIGXFSZ] = "XFSZ",     [SIGVTALRM] = "VTALRM", [SIGPROF] = "PROF",
        [SIGWINCH] = "WINCH",   [SIGIO] = "IO",         [SIGPWR] = "PWR",
        [SIGSYS] = "SYS",
    };
    int i;

    for (i = 1; i < (int)ARRAY_SIZE(names); i++)
        if (!strcmp(names[i], name))
            return i;
    return !strcmp(name, "POLL")  ? SIGPOLL
           : !strcmp(name, "IOT") ? SIGABRT
           : !strcmp(name, "CLD") ? SIGCHLD
                                  : 0;
}
