/* SPDX-License-Identifier: Apache-2.0 */
#include "x86/fp_trap.h"

#include <signal.h>
#include <stdint.h>
#include <ucontext.h>

__thread const void *volatile fp_trap_exit;

static void on_sigfpe(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    const void *to = fp_trap_exit;

    (void)info;
    if (to)
        uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)to;
    else
        signal(sig, SIG_DFL); /* it comes again, and ends the process */
}

void fp_trap_install(void)
{
    struct sigaction sa = {.sa_sigaction = on_sigfpe,
                           .sa_flags = SA_SIGINFO | SA_NODEFER};

    sigemptyset(&sa.sa_mask);
    sigaction(SIGFPE, &sa, 0);
}
