/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signals.c - what no stop of native code (stops.c) can be without, in cycles
 * of the TSC: a system call that ends in a handler. spin: the same, when
 * another process, in a loop on a CPU of its own, has to answer. Medians.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 10000

static uint64_t took[ROUNDS];

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void print(const char *what)
{
    qsort(took, ROUNDS, sizeof(took[0]), compare);
    printf("%-28s %8llu %8llu\n", what, (unsigned long long)took[ROUNDS / 2],
           (unsigned long long)took[ROUNDS / 10]);
    fflush(stdout);
}

static void pin(size_t on)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(on, &set);
    if (sched_setaffinity(0, sizeof(set), &set))
        fprintf(stderr, "signals: cannot use CPU %zu\n", on);
}

static void die(const char *what)
{
    fprintf(stderr, "signals: %s\n", what);
    exit(1);
}

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
        pin(0);
        trap_call();
        calls("signal", false);
        if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
            calls("signal, spin on two CPUs", true);
        shared->over = true;
        _exit(0);
    }
    pin(1);
    while (!shared->over)
        shared->answered = shared->asked;
    waitpid(pid, NULL, 0);
    return 0;
}
