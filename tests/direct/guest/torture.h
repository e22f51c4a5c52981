/* SPDX-License-Identifier: Apache-2.0 */
/*
 * torture.h - what the programs of this folder share. They run in a guest, on
 * one engine and another, and must say the same: so nothing of time, of
 * addresses or of the order of threads is ever printed. Each looks at its own
 * results, too, and says BAD.
 */
#pragma once

#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096ul
#define MiB  (1024 * 1024ul)

#define CHECK(cond)                                                            \
    do {                                                                       \
        if (!(cond))                                                           \
            printf("BAD %s:%d: %s\n", __FILE__, __LINE__, #cond);              \
    } while (0)

/* The same numbers in every run. */
static inline unsigned rnd(void)
{
    static uint64_t x = 88172645463325252ull;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return (unsigned)(x >> 16);
}

/* Long enough to be run natively from here on. */
static inline unsigned burn(unsigned n)
{
    volatile unsigned x = 1;

    for (unsigned i = 0; i < n; i++)
        x = x * 5 + i;
    return x;
}

static inline uint64_t sum(const void *p, size_t len)
{
    const uint64_t *w = p;
    uint64_t h = 14695981039346656037ull;

    for (size_t i = 0; i < len / 8; i++)
        h = (h ^ w[i]) * 1099511628211ull;
    return h;
}

/* A page's worth of what belongs to `seed`. */
static inline void paint(void *page, uint64_t seed)
{
    uint64_t *w = page;

    for (size_t i = 0; i < PAGE / 8; i++)
        w[i] = seed * 0x9e3779b97f4a7c15ull + i;
}

static inline int painted(const void *page, uint64_t seed)
{
    const uint64_t *w = page;

    for (size_t i = 0; i < PAGE / 8; i++)
        if (w[i] != seed * 0x9e3779b97f4a7c15ull + i)
            return 0;
    return 1;
}

static inline int blank(const void *page)
{
    const uint64_t *w = page;

    for (size_t i = 0; i < PAGE / 8; i++)
        if (w[i])
            return 0;
    return 1;
}

static inline void *map(size_t len, int prot)
{
    void *p = mmap(NULL, len, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        printf("BAD no memory\n");
        exit(1);
    }
    return p;
}

/* --- faults --- */

static sigjmp_buf torture_back;
static volatile sig_atomic_t torture_sig;

/*
 * One load or store, by nothing but its own instructions. And all of the
 * program is in pages without libc's CPUID: those are interpreted.
 */
int torture_load(const volatile void *p);
int torture_store(volatile void *p);
extern const char torture_failed[], torture_end[];
__asm__(".pushsection .text\n"
        ".balign 4096\n"
        "torture_load: movzbl (%rdi), %eax\n mov $1, %eax\n ret\n"
        "torture_store: movzbl (%rdi), %eax\n movb %al, (%rdi)\n"
        "mov $1, %eax\n ret\n"
        "torture_end:\n"
        "torture_failed: xor %eax, %eax\n ret\n"
        ".popsection\n"
        ".pushsection .text, 1\n"
        ".balign 4096, 0xcc\n"
        ".popsection");

static inline void torture_on(int sig, siginfo_t *info, void *context)
{
    greg_t *reg = ((ucontext_t *)context)->uc_mcontext.gregs;
    uintptr_t ip = (uintptr_t)reg[REG_RIP];

    (void)info;
    if (ip >= (uintptr_t)torture_load && ip < (uintptr_t)torture_end) {
        reg[REG_RIP] = (greg_t)(uintptr_t)torture_failed;
        return;
    }
    torture_sig = sig;
    siglongjmp(torture_back, 1);
}

static inline void catch_faults(void)
{
    struct sigaction sa = {.sa_sigaction = torture_on, .sa_flags = SA_SIGINFO};
    static const int all[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};

    for (unsigned i = 0; i < sizeof(all) / sizeof(*all); i++)
        sigaction(all[i], &sa, NULL);
}

/* The signal that doing it gets; 0: none. */
#define FAULT_OF(doing)                                                        \
    (torture_sig = 0, (void)(sigsetjmp(torture_back, 1) ? 0 : ((doing), 0)),   \
     torture_sig)

#define can_read  torture_load
#define can_write torture_store

/* fork(); in the child `doing`, which is to be true. */
#define IN_CHILD(doing)                                                        \
    do {                                                                       \
        int status_;                                                           \
        pid_t pid_ = fork();                                                   \
        if (!pid_)                                                             \
            _exit((doing) ? 42 : 1);                                           \
        waitpid(pid_, &status_, 0);                                            \
        CHECK(WIFEXITED(status_) && WEXITSTATUS(status_) == 42);               \
    } while (0)
