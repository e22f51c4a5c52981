/* SPDX-License-Identifier: Apache-2.0 */
/*
 * odd.c - instructions that compilers seldom make, each behind enough others
 * to be run natively: old ways into the kernel, far returns, faults in the
 * middle of what spans two pages, jumps to nowhere.
 */
#include "torture.h"

#include <sys/syscall.h>
#include <time.h>

static siginfo_t last;
static uint64_t last_reg[3]; /* RCX, RDI, RIP */

static void note(int sig, siginfo_t *si, void *uc)
{
    greg_t *reg = ((ucontext_t *)uc)->uc_mcontext.gregs;

    last = *si;
    last_reg[0] = (uint64_t)reg[REG_RCX];
    last_reg[1] = (uint64_t)reg[REG_RDI];
    last_reg[2] = (uint64_t)reg[REG_RIP];
    torture_sig = sig;
    siglongjmp(torture_back, 1);
}

#define TRY(...)                                                               \
    do {                                                                       \
        memset(&last, 0, sizeof(last));                                        \
        burn(20000);                                                           \
        if (!sigsetjmp(torture_back, 1))                                       \
            __asm__ volatile(__VA_ARGS__);                                     \
    } while (0)

static void old_calls(void)
{
    time_t (*vsyscall)(time_t *) = (void *)0xffffffffff600400;
    unsigned good = 0;

    for (unsigned i = 0; i < 50; i++) {
        uint64_t pid = 20, r8 = 0x1234567812345678ull;
        time_t now = time(NULL), then = 0;

        burn(2000);
        __asm__ volatile("int $0x80" : "+a"(pid)::"memory");
        __asm__ volatile("mov %1, %%r8\n mov $20, %%eax\n int $0x80\n"
                         "mov %%r8, %0"
                         : "=r"(r8)
                         : "r"(r8)
                         : "rax", "r8", "memory");
        if (!sigsetjmp(torture_back, 1))
            then = vsyscall(NULL);
        good += pid == (uint64_t)getpid() && r8 == 0x1234567812345678ull &&
                (then == 0 || then - now <= 1);
    }
    printf("old calls %u\n", good);
}

static void far_ways(void)
{
    unsigned cs, ss, good = 0;

    __asm__("mov %%cs, %0\n mov %%ss, %1" : "=r"(cs), "=r"(ss));
    for (uint64_t i = 0; i < 50; i++) {
        uint64_t got = 0;

        burn(2000);
        __asm__ volatile("sub $128, %%rsp\n push %1\n lea 1f(%%rip), %%rax\n"
                         "push %%rax\n lretq\n 1: mov %2, %0\n"
                         "add $128, %%rsp"
                         : "=r"(got)
                         : "r"((uint64_t)cs), "r"(i)
                         : "rax", "memory");
        good += got == i;
    }
    printf("far %x %x %u\n", cs, ss, good);
}

static void bases(void)
{
    unsigned good = 0;

    for (uint64_t i = 1; i <= 200; i++) {
        uint64_t base = (i << 40) & 0x7fffffffffff, got;

        __asm__ volatile("wrgsbase %0" ::"r"(base));
        if (i % 10 == 0)
            syscall(SYS_getppid);
        if (i % 50 == 0)
            usleep(1000);
        burn(500);
        __asm__ volatile("rdgsbase %0" : "=r"(got));
        good += got == base;
    }
    __asm__ volatile("wrgsbase %0" ::"r"(0ull));
    printf("bases %u\n", good);
}

static void spans(void)
{
    char *p = map(3 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
    volatile unsigned count = 0;

    memset(p, 0, 2 * PAGE);
    munmap(p + 2 * PAGE, PAGE);
    memset(p, 0x11, 2 * PAGE);
    /* a store half in and half out leaves nothing behind */
    TRY("movq $-1, (%0)" ::"r"(p + 2 * PAGE - 3) : "memory");
    printf("store %d %ld %x\n", last.si_code, (long)((char *)last.si_addr - p),
           (unsigned)p[2 * PAGE - 1]);
    TRY("lock cmpxchg16b (%0)" ::"r"(p + 2 * PAGE - 8)
        : "rax", "rdx", "cc", "memory");
    printf("unaligned 16 %d\n", last.si_signo);
    /* a repetition stops where it is */
    TRY("mov %0, %%rdi\n mov $5000, %%ecx\n mov $7, %%eax\n rep stosb" ::"r"(
            p + 2 * PAGE - 1000)
        : "rdi", "rcx", "rax", "memory");
    printf("rep %llu %ld\n", (unsigned long long)last_reg[0],
           (long)(last_reg[1] - (uint64_t)(uintptr_t)p));
    /* code that ends in the middle of an instruction */
    memcpy(p + 2 * PAGE - 3, "\x90\x90\xb8", 3);
    TRY("jmp *%0" ::"r"(p + 2 * PAGE - 3) : "rax");
    printf("fetch %d %ld %ld\n", last.si_code, (long)((char *)last.si_addr - p),
           (long)(last_reg[2] - (uint64_t)(uintptr_t)p));
    /* jumps to where no address is; what was before them is done once */
    for (unsigned i = 0; i < 20; i++) {
        TRY("incl %0\n mov $0x800000000000, %%rax\n jmp *%%rax"
            : "+m"(count)::"rax");
        CHECK(last.si_signo == SIGSEGV);
        TRY("incl %0\n mov $0x1234567812345678, %%rax\n push %%rax\n ret"
            : "+m"(count)::"rax");
        CHECK(last.si_signo == SIGSEGV);
        TRY("incl %0\n xor %%eax, %%eax\n mov $0xffffffff81000000, %%rax\n"
            "call *%%rax"
            : "+m"(count)::"rax");
        CHECK(last.si_signo == SIGSEGV);
    }
    printf("nowhere %u\n", count);
    mprotect(p, PAGE, PROT_READ | PROT_WRITE);
    memcpy(p, "\xc3", 1);
    TRY("jmp *%0" ::"r"(p));
    printf("no code %d %ld\n", last.si_code, (long)((char *)last.si_addr - p));
    munmap(p, 2 * PAGE);
}

static void refused(void)
{
    TRY("cli");
    printf("cli %d %d\n", last.si_signo, last.si_code);
    TRY("mov %%cr0, %%rax" ::: "rax");
    printf("cr0 %d %d\n", last.si_signo, last.si_code);
    TRY("rdmsr" ::: "rax", "rdx");
    printf("rdmsr %d %d\n", last.si_signo, last.si_code);
    TRY("int $0x41");
    printf("int %d %d\n", last.si_signo, last.si_code);
    TRY("movaps 1(%%rsp), %%xmm0" ::: "xmm0");
    printf("movaps %d %d\n", last.si_signo, last.si_code);
    TRY("mov $0x1234, %%eax\n mov %%ax, %%es" ::: "rax");
    printf("es %d %d\n", last.si_signo, last.si_code);
    TRY("xor %%edx, %%edx\n mov $5, %%eax\n xor %%ecx, %%ecx\n div %%ecx" ::
            : "rax", "rcx", "rdx");
    printf("div %d %d\n", last.si_signo, last.si_code);
    TRY("pushq $0x1f00\n ldmxcsr (%%rsp)\n pop %%rax\n xorps %%xmm0, %%xmm0\n"
        "pcmpeqd %%xmm1, %%xmm1\n psrld $25, %%xmm1\n pslld $23, %%xmm1\n"
        "pushq $0x1d80\n ldmxcsr (%%rsp)\n pop %%rax\n divps %%xmm0, %%xmm1" ::
            : "rax", "xmm0", "xmm1", "memory");
    printf("simd %d %d\n", last.si_signo, last.si_code);
    TRY("fninit\n pushq $0x33b\n fldcw (%%rsp)\n pop %%rax\n fld1\n fldz\n"
        "fdivrp\n fwait" ::
            : "rax", "memory");
    printf("x87 %d %d\n", last.si_signo, last.si_code);
    __asm__ volatile("fninit");
}

int main(void)
{
    struct sigaction sa = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
    static const int all[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (unsigned i = 0; i < sizeof(all) / sizeof(*all); i++)
        sigaction(all[i], &sa, NULL);
    burn(3000000);
    old_calls();
    far_ways();
    bases();
    spans();
    refused();
    return 0;
}
