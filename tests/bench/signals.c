/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signals.c - what no stop of native code (stops.c) can be without, in cycles
 * of the TSC: a system call that ends in a handler. spin: the same, when
 * another process, in a loop on a CPU of its own, has to answer. Medians.
 */
#include "cycles.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct shared {
    _Alignas(64) volatile uint64_t asked;
    _Alignas(64) volatile uint64_t answered;
    _Alignas(64) volatile bool spins, over;
} * shared;

static void on_call(int sig, siginfo_t *si, void *context)
{
    (void)sig;
    (void)si;
    (void)context;
    if (!shared->spins)
        return;
    shared->asked++;
    while (shared->answered != shared->asked)
        __builtin_ia32_pause();
}

static void trap_call(void)
{
    struct sock_filter insn[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgrp, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {sizeof(insn) / sizeof(insn[0]), insn};
    struct sigaction sa = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO};

    if (sigaction(SIGSYS, &sa, NULL) ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
        die("no seccomp");
}

static void calls(const char *what, bool spins)
{
    shared->spins = spins;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t t0 = __builtin_ia32_rdtsc();

        syscall(SYS_getpgrp);
        took[i] = __builtin_ia32_rdtsc() - t0;
    }
    print(what);
}

int main(void)
{
    pid_t pid;

    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        die("no memory");
    pid = fork();
    if (pid < 0)
        die("cannot fork");
    if (!pid) {
        pin(0, 0);
        trap_call();
        calls("signal", false);
        if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
            calls("signal, spin on two CPUs", true);
        shared->over = true;
        _exit(0);
    }
    pin(0, 1);
    while (!shared->over)
        shared->answered = shared->asked;
    waitpid(pid, NULL, 0);
    return 0;
}
