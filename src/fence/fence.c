/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fence.c - see fence.h. Whether a process is fenced is told by its handler
 * of SIGSYS: a process that inherited filters from another, or from a
 * container, has none of its own yet.
 */
#include "fence/fence.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "fence/calls.h"

/*
 * A fault of ours, or somebody who has taken over the thread. Aborting puts
 * the terminal back and shows what the vCPUs did.
 */
static void fence_denied(int sig, siginfo_t *si, void *ctx)
{
    const char *name = si->si_arch == AUDIT_ARCH_X86_64
                           ? fence_call_name((unsigned)si->si_syscall)
                           : "a call of another architecture";
    char thread[16] = "?";

    (void)sig;
    (void)ctx;
    prctl(PR_GET_NAME, thread);
    log_error("the fence: thread %s may not call %s (number %d); please "
              "report it; --no-fence does without",
              thread, name ? name : "that", si->si_syscall);
    abort();
}

static int handler_set(struct error *err)
{
    struct sigaction sa = {.sa_sigaction = fence_denied,
                           .sa_flags = SA_SIGINFO};

    if (sigaction(SIGSYS, &sa, NULL))
        return error_set(err, errno, "SIGSYS: %s", strerror(errno));
    return 0;
}

bool fence_on(void)
{
    struct sigaction sa;

    return !sigaction(SIGSYS, NULL, &sa) && (sa.sa_flags & SA_SIGINFO) &&
           sa.sa_sigaction == fence_denied;
}

/* Blocked, it would kill without a word. */
static void signal_open(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGSYS);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static int table_install(const struct fence_table *t, struct error *err)
{
    struct fence_filter f;
    struct sock_fprog prog = {.filter = f.insn};

    fence_table_filter(&f, t);
    prog.len = (unsigned short)f.len;
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog))
        return error_set(err, errno, "seccomp: %s; --no-fence does without it",
                         strerror(errno));
    return 0;
}

int fence_process(struct error *err)
{
    struct fence_table t;

    if (handler_set(err))
        return -err->code;
    signal_open();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return error_set(err, errno, "no_new_privs: %s", strerror(errno));
    fence_table_process(&t);
    return table_install(&t, err);
}

/* --- capabilities --- */

/* What execve() may give back to root; needs CAP_SETPCAP, so it is first. */
static void bounds_drop(uint64_t keep)
{
    for (unsigned i = 0; i < 64; i++)
        if (!(keep & BIT64(i)) && prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1)
            prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
}

int fence_caps(uint64_t keep, struct error *err)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct cap[2];

    if (!fence_on())
        return 0;
    bounds_drop(keep); /* an ordinary user's do no harm: no new privileges */
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capget, &head, cap))
        return error_set(err, errno, "capget: %s", strerror(errno));
    for (unsigned i = 0; i < 2; i++) {
        cap[i].permitted &= (uint32_t)(keep >> 32 * i);
        cap[i].effective &= cap[i].permitted;
        cap[i].inheritable = 0;
    }
    if (syscall(SYS_capset, &head, cap))
        return error_set(err, errno, "capset: %s", strerror(errno));
    return 0;
}

/* --- threads --- */

static int thread_calls(unsigned needs, struct error *err)
{
#ifdef __SANITIZE_ADDRESS__
    (void)needs;
    (void)err;
    return 0;
#else
    struct fence_table t;

    if (needs & FENCE_ANYTHING)
        return 0;
    fence_table_thread(&t, needs);
    return table_install(&t, err);
#endif
}

void fence_thread(unsigned needs, uint64_t keep)
{
    struct error err;

    if (!fence_on())
        return;
    signal_open();
    if (fence_caps(keep, &err) || thread_calls(needs, &err)) {
        log_error("the fence: %s", err.msg);
        abort();
    }
}
