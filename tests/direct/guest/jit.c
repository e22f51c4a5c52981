/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jit.c - code that is written while it runs: with one right at a time, through
 * a second mapping, beside data, over two pages, by another thread and by
 * another process.
 */
#include "torture.h"

#include <pthread.h>
#include <sched.h>

typedef unsigned fn(unsigned);

/* x -> x * 3 + k. */
static void emit(unsigned char *at, unsigned k)
{
    memcpy(at, "\x8d\x04\x7f\x05", 4); /* lea (%rdi,%rdi,2), %eax; add */
    memcpy(at + 4, &k, 4);
    at[8] = 0xc3;
}

static unsigned run(void *at, unsigned x)
{
    return ((fn *)at)(x);
}

/* What another wrote is run behind a serializing instruction [SDM 3A 8.1.3]. */
static void serialize(void)
{
    __asm__ volatile("mov %%rsp, %%rcx\n sub $128, %%rsp\n"
                     "mov %%ss, %%eax\n push %%rax\n push %%rcx\n pushf\n"
                     "mov %%cs, %%eax\n push %%rax\n"
                     "lea 1f(%%rip), %%rax\n push %%rax\n iretq\n 1:" ::
                         : "rax", "rcx", "memory", "cc");
}

static void flips(unsigned rounds)
{
    unsigned char *p = map(4 * PAGE, PROT_READ | PROT_WRITE);
    unsigned h = 0;

    for (unsigned i = 0; i < rounds; i++) {
        unsigned char *at = p + rnd() % (4 * PAGE - 16);

        mprotect(p, 4 * PAGE, PROT_READ | PROT_WRITE);
        emit(at, i);
        mprotect(p, 4 * PAGE, PROT_READ | PROT_EXEC);
        h = h * 7 + run(at, i);
        CHECK(run(at, i) == i * 3 + i);
        if (i % 40 == 0) {
            CHECK(!can_write(at));
            IN_CHILD(run(at, 5) == 15 + i);
        }
    }
    munmap(p, 4 * PAGE);
    printf("flips %u\n", h);
}

static unsigned char *writes, *runs;

static void views(void)
{
    int fd = memfd_create("code", 0);

    CHECK(!ftruncate(fd, 4 * PAGE));
    writes = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    runs = mmap(NULL, 4 * PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    close(fd);
}

static void two_views(unsigned rounds)
{
    unsigned bad = 0;

    views();
    for (unsigned i = 0; i < rounds; i++) {
        unsigned at = rnd() % 3 * 4096 + 4090; /* over a page's end */

        emit(writes + at, i);
        serialize();
        bad += run(runs + at, i) != i * 3 + i;
        bad += run(runs + at, i + 1) != i * 3 + 3 + i;
    }
    CHECK(!bad);
    printf("two views\n");
}

/* Functions and counters in one page. */
static void mixed(unsigned rounds)
{
    unsigned char *p = map(PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
    volatile unsigned *count = (volatile unsigned *)(p + 2048);
    unsigned h = 0;

    /* incl (count); lea (%rdi,%rdi,2), %eax; ret */
    memcpy(p, "\xff\x05\xfa\x07\x00\x00\x8d\x04\x7f\xc3", 10);
    for (unsigned i = 0; i < rounds; i++) {
        h += run(p, i);
        if (i % 1000 == 0) {
            emit(p + 512, i);
            h += run(p + 512, i);
        }
    }
    CHECK(*count == rounds);
    munmap(p, PAGE);
    printf("mixed %u\n", h);
}

/* --- another thread writes --- */

static volatile unsigned asked, answered, stop;

static void *runner(void *p)
{
    unsigned seen = 0, bad = 0;

    while (!stop) {
        unsigned n = asked;

        if (n == seen) {
            sched_yield();
            continue;
        }
        serialize();
        bad += run(runs + 64, n) != n * 3 + n * 11;
        seen = n;
        answered = n;
    }
    CHECK(!bad);
    return p;
}

static void hand_over(unsigned rounds)
{
    pthread_t t;

    pthread_create(&t, NULL, runner, NULL);
    for (unsigned i = 1; i <= rounds; i++) {
        emit(writes + 64, i * 11);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        asked = i;
        while (answered != i)
            sched_yield();
    }
    stop = 1;
    pthread_join(t, NULL);
    printf("hand over\n");
}

/*
 * As kernels patch code that others run: first INT3, then the rest. Who meets
 * the INT3 waits in its handler until it has gone, and runs the place again.
 */
static volatile unsigned char *patched;

static void wait_for_patch(int sig, siginfo_t *si, void *uc)
{
    greg_t *reg = ((ucontext_t *)uc)->uc_mcontext.gregs;

    (void)sig, (void)si;
    if ((unsigned char *)(uintptr_t)reg[REG_RIP] != patched + 1)
        _exit(9);
    while (*patched == 0xcc)
        sched_yield();
    reg[REG_RIP]--;
}

static void *patched_runner(void *p)
{
    unsigned bad = 0;

    while (!stop) {
        for (unsigned i = 0; i < 2000; i++) {
            unsigned r = run(runs + 128, 1);

            bad += r != 10 && r != 20;
        }
    }
    CHECK(!bad);
    return p;
}

static void patches(unsigned rounds)
{
    struct sigaction sa = {.sa_sigaction = wait_for_patch,
                           .sa_flags = SA_SIGINFO};
    unsigned char *at = writes + 128;
    pthread_t t;

    sigaction(SIGTRAP, &sa, NULL);
    patched = runs + 128;
    stop = 0;
    memcpy(at, "\xb8\x0a\0\0\0\xc3", 6); /* mov $10, %eax; ret */
    pthread_create(&t, NULL, patched_runner, NULL);
    for (unsigned i = 0; i < rounds; i++) {
        *(volatile unsigned char *)at = 0xcc;
        burn(2000);
        *(volatile unsigned char *)(at + 1) = i & 1 ? 10 : 20;
        sched_yield();
        *(volatile unsigned char *)at = 0xb8;
        burn(20000);
    }
    stop = 1;
    pthread_join(t, NULL);
    catch_faults();
    printf("patches\n");
}

/* Another process writes the code of this one. */
static void neighbours(unsigned rounds)
{
    volatile unsigned *turn = (volatile unsigned *)(writes + 3 * PAGE);
    int status;
    pid_t pid;

    *turn = 0;
    pid = fork();
    for (unsigned i = 0; i < rounds; i++) {
        while (*turn % 2 != !!pid)
            sched_yield();
        if (pid) {
            serialize();
            CHECK(run(runs + 256, i) == i * 3 + i * 5);
        } else {
            emit(writes + 256, i * 5);
        }
        ++*turn;
    }
    if (!pid)
        _exit(42);
    waitpid(pid, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    printf("neighbours\n");
}

int main(int argc, char **argv)
{
    unsigned scale = argc > 1 ? (unsigned)atoi(argv[1]) : 1;

    setvbuf(stdout, NULL, _IOLBF, 0);
    catch_faults();
    burn(3000000);
    flips(400 * scale);
    two_views(2000 * scale);
    mixed(200000);
    hand_over(300 * scale);
    patches(150 * scale);
    neighbours(200 * scale);
    return 0;
}
