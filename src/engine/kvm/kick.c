/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kick.c - out of KVM_RUN by a signal, without a race.
 *
 * A vCPU says who it is (vcpu.runs_in), clears immediate_exit, looks at attn,
 * and enters. Who sets attn sends the signal after that. Wherever the signal
 * comes in between, its handler, on the vCPU's own thread, sets immediate_exit
 * and KVM_RUN returns at once; inside KVM_RUN the signal itself ends it.
 */
#include "engine/kvm/kvm_int.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

_Static_assert(SIGURG == VCPU_KICK_SIGNAL, "x86/vcpu.h has its number");

/* What this thread is about to enter; only its handler looks. */
static _Thread_local struct kvm_run *volatile running;

static void on_kick(int sig)
{
    struct kvm_run *run = running;

    (void)sig;
    if (run)
        run->immediate_exit = 1;
}

int kvm_kick_init(struct error *err)
{
    /* no SA_RESTART: KVM_RUN is to return */
    struct sigaction sa = {.sa_handler = on_kick};

    if (sigaction(VCPU_KICK_SIGNAL, &sa, NULL))
        return error_set(err, errno, "sigaction: %s", strerror(errno));
    return 0;
}

int kvm_kick_thread(void)
{
    return (int)syscall(SYS_gettid);
}

void kvm_kick_arm(struct kvm_run *run)
{
    running = run;
    run->immediate_exit = 0;
    atomic_signal_fence(memory_order_seq_cst);
}

void kvm_kick_disarm(void)
{
    running = NULL;
}
