/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sig.c - signals and contexts: programs that page for themselves, are
 * interrupted while they compute, step themselves, and change what they
 * return to; threads that wait for each other.
 */
#include "torture.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

static void on(int sig, void (*fn)(int, siginfo_t *, void *), int flags)
{
    struct sigaction sa = {.sa_sigaction = fn, .sa_flags = SA_SIGINFO | flags};

    CHECK(!sigaction(sig, &sa, NULL));
}

/* --- a program that pages for itself --- */

#define AREA     256
#define RESIDENT 16

static char *area;
static unsigned ring[RESIDENT], turn, loads;
static uint64_t kept[AREA]; /* the word of each page that changes */

static void load_page(int sig, siginfo_t *si, void *uc)
{
    unsigned i = (unsigned)((char *)si->si_addr - area) / PAGE;
    unsigned out = ring[turn % RESIDENT];

    (void)sig, (void)uc;
    if (i >= AREA)
        _exit(3);
    if (turn >= RESIDENT) {
        kept[out] = *(uint64_t *)(area + out * PAGE);
        madvise(area + out * PAGE, PAGE, MADV_DONTNEED);
        mprotect(area + out * PAGE, PAGE, PROT_NONE);
    }
    mprotect(area + i * PAGE, PAGE, PROT_READ | PROT_WRITE);
    paint(area + i * PAGE, i);
    *(uint64_t *)(area + i * PAGE) = kept[i];
    ring[turn++ % RESIDENT] = i;
    loads++;
}

static void user_paging(unsigned rounds)
{
    uint64_t h = 0;

    area = map(AREA * PAGE, PROT_NONE);
    on(SIGSEGV, load_page, SA_ONSTACK);
    for (unsigned n = 0; n < rounds; n++) {
        unsigned i = rnd() % AREA, k = 1 + rnd() % 511;
        uint64_t *w = (uint64_t *)(area + i * PAGE);

        h = h * 31 + w[k] + ++*w;
    }
    printf("paging %u %016llx\n", loads, (unsigned long long)h);
    munmap(area, AREA * PAGE);
    catch_faults();
}

static volatile unsigned always = 1;

static unsigned endless(unsigned n)
{
    volatile char room[8000];

    room[n % 8000] = 1;
    return (always ? endless(n + 1) : 0) + (unsigned)room[n % 7999];
}

static void overflow(int sig, siginfo_t *si, void *uc)
{
    (void)sig, (void)si, (void)uc;
    siglongjmp(torture_back, 1);
}

static void stack_overflows(void)
{
    volatile unsigned n = 0;

    on(SIGSEGV, overflow, SA_ONSTACK);
    while (n < 10) {
        n++;
        if (!sigsetjmp(torture_back, 1))
            endless(0);
    }
    catch_faults();
    printf("overflows %u\n", n);
}

/* --- interrupted --- */

static volatile sig_atomic_t ticks;

static void tick(int sig, siginfo_t *si, void *uc)
{
    volatile double x = ticks;

    (void)sig, (void)si, (void)uc;
    for (int i = 0; i < 20; i++)
        x = x * 1.5 + 1;
    __asm__ volatile("vpcmpeqd %%xmm0, %%xmm0, %%xmm0\n"
                     "vinsertf128 $1, %%xmm0, %%ymm0, %%ymm7\n"
                     "fldpi\nfstp %%st(0)\n" ::
                         : "xmm0", "xmm7");
    ticks++;
}

/* Integers, x87 and vectors; what comes out is always the same. */
static uint64_t compute(unsigned n)
{
    uint64_t h = 1;
    long double q = 1;
    double r[4] = {1, 2, 3, 4};

    __asm__ volatile("vmovupd %0, %%ymm7\nvmovupd %0, %%ymm8" ::"m"(r)
                     : "xmm7", "xmm8");
    for (unsigned i = 1; i <= n; i++) {
        h = (h ^ i) * 1099511628211ull;
        q = q / 3 + i;
        __asm__ volatile("vaddpd %%ymm8, %%ymm7, %%ymm7" ::: "xmm7");
    }
    __asm__ volatile("vmovupd %%ymm7, %0" : "=m"(r)::"xmm7");
    return h + (uint64_t)(q * 1000) + (uint64_t)(r[0] + r[1] + r[2] + r[3]);
}

static void interrupted(int which, int sig, const char *name)
{
    struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
    uint64_t want;
    unsigned n = 0;

    setitimer(which, &never, NULL);
    want = compute(100000);
    on(sig, tick, SA_RESTART);
    ticks = 0;
    setitimer(which, &often, NULL);
    while (ticks < 40 || n < 10) {
        CHECK(compute(100000) == want);
        n++;
    }
    setitimer(which, &never, NULL);
    printf("%s %016llx\n", name, (unsigned long long)want);
}

/* --- steps --- */

static volatile unsigned steps;
static uint64_t step_hash;
static uintptr_t step_base;

static void step(int sig, siginfo_t *si, void *uc)
{
    greg_t *reg = ((ucontext_t *)uc)->uc_mcontext.gregs;

    (void)sig;
    steps++;
    step_hash = step_hash * 31 + (uint64_t)reg[REG_RIP] - step_base;
    step_hash = step_hash * 31 + (uint64_t)reg[REG_RAX];
    step_hash = step_hash * 31 + (uint64_t)si->si_code;
}

#define STEPPED(name, body)                                                    \
    do {                                                                       \
        steps = 0;                                                             \
        step_hash = 0;                                                         \
        burn(300000);                                                          \
        __asm__ volatile("lea 0f(%%rip), %%rax\n mov %%rax, %0\n"              \
                         "xor %%eax, %%eax\n"                                  \
                         "0: sub $128, %%rsp\n"                                \
                         "pushf\n orl $0x100, (%%rsp)\n popf\n" body           \
                         "pushf\n andl $~0x100, (%%rsp)\n popf\n"              \
                         "add $128, %%rsp\n"                                   \
                         : "=m"(step_base)::"rax", "rcx", "rdx", "rsi", "rdi", \
                           "r11", "memory", "cc");                             \
        printf("steps %s %u %016llx\n", name, steps,                           \
               (unsigned long long)step_hash);                                 \
    } while (0)

static void stepping(void)
{
    on(SIGTRAP, step, 0);
    STEPPED("nop", "nop\n nop\n");
    STEPPED("loop", "mov $20, %%ecx\n 1: inc %%eax\n loop 1b\n");
    STEPPED("f1", ".byte 0x04, 0xf1\n nop\n"); /* add $0xf1, %al */
    STEPPED("cc", ".byte 0x04, 0xcc\n nop\n");
    STEPPED("call", "mov $39, %%eax\n syscall\n xor %%eax, %%eax\n nop\n");
    STEPPED("pushf",
            "pushf\n pop %%rcx\n and $~0x8d5, %%ecx\n mov %%ecx, %%eax\n");
    STEPPED("int3", "int3\n nop\n");
    STEPPED("rep", "lea -64(%%rsp), %%rdi\n mov $5, %%ecx\n xor %%eax, "
                   "%%eax\n rep stosb\n");
    steps = 0;
    step_hash = step_base = 0;
    __asm__ volatile("mov $0xcccccccc, %%eax\n int3\n"
                     ".byte 0xcd, 3\n"
                     "xor %%eax, %%eax\n .byte 0xf1\n" ::
                         : "rax");
    CHECK(steps == 3);
    catch_faults();
}

/* Returns to another place with other registers. */
static void elsewhere(int sig, siginfo_t *si, void *uc)
{
    ucontext_t *c = uc;

    (void)sig, (void)si;
    c->uc_mcontext.gregs[REG_RIP] += 2; /* over ud2 */
    c->uc_mcontext.gregs[REG_RAX] = 77;
    c->uc_mcontext.gregs[REG_R15] = 1234567;
    c->uc_mcontext.gregs[REG_EFL] |= 0x401; /* CF, DF */
    c->uc_mcontext.fpregs->_xmm[3].element[0] = 0xabcd;
    c->uc_mcontext.fpregs->mxcsr = 0x7f80;
}

static void edited(void)
{
    uint64_t rax, r15, flags, xmm = 0;
    unsigned mxcsr, old = 0x1f80;

    on(SIGILL, elsewhere, 0);
    for (int i = 0; i < 30; i++) {
        burn(1000);
        __asm__ volatile("ldmxcsr %5\n pxor %%xmm3, %%xmm3\n"
                         "clc\n cld\n ud2\n"
                         "pushf\n pop %2\n cld\n movq %%xmm3, %3\n"
                         "stmxcsr %4\n ldmxcsr %5\n mov %%r15, %1\n"
                         : "=&a"(rax), "=&r"(r15), "=&r"(flags), "=&r"(xmm),
                           "=m"(mxcsr)
                         : "m"(old)
                         : "r15", "xmm3", "cc", "memory");
        CHECK(rax == 77 && r15 == 1234567 && (flags & 0x401) == 0x401);
        CHECK((xmm & 0xffffffff) == 0xabcd && mxcsr == 0x7f80);
    }
    catch_faults();
    printf("edited\n");
}

/* --- contexts --- */

static ucontext_t main_context, context[3];
static double carried[3];
static unsigned switches;

static void walker(int me)
{
    double x = me;

    for (int i = 0; i < 1000; i++) {
        x = x * 1.0000001 + i;
        if (i % 100 == me)
            burn(3000);
        switches++;
        swapcontext(&context[me], &context[(me + 1) % 3]);
    }
    carried[me] = x;
}

static void contexts(void)
{
    for (volatile int i = 0; i < 3; i++) {
        getcontext(&context[i]);
        context[i].uc_stack.ss_sp = map(65536, PROT_READ | PROT_WRITE);
        context[i].uc_stack.ss_size = 65536;
        context[i].uc_link = i == 2 ? &main_context : &context[i + 1];
        makecontext(&context[i], (void (*)(void))walker, 1, i);
    }
    swapcontext(&main_context, &context[0]);
    printf("contexts %u %.9g %.9g %.9g\n", switches, carried[0], carried[1],
           carried[2]);
}

/* --- threads --- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER, pi, robust;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static uint64_t shared[4];
static unsigned baton, rounds_of;

static void *contender(void *p)
{
    unsigned me = (unsigned)(uintptr_t)p;

    for (unsigned i = 0; i < rounds_of * 500; i++) {
        pthread_mutex_lock(i & 1 ? &lock : &pi);
        shared[i & 1]++;
        if (i % 200 == 0)
            sched_yield(); /* with the lock held */
        pthread_mutex_unlock(i & 1 ? &lock : &pi);
        __atomic_add_fetch(&shared[2], i, __ATOMIC_RELAXED);
    }
    for (unsigned i = 0; i < rounds_of * 40; i++) {
        pthread_mutex_lock(&lock);
        while (baton % 4 != me)
            pthread_cond_wait(&changed, &lock);
        baton++;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
    }
    for (unsigned i = 0; i < rounds_of * 10; i++) {
        pthread_barrier_wait(&barrier);
        if (i % 4 == me)
            shared[3] = shared[3] * 3 + i;
        pthread_barrier_wait(&barrier);
    }
    return (void *)(uintptr_t)compute(20000);
}

static void *dies(void *p)
{
    pthread_mutex_lock(&robust);
    return p;
}

static void threads(unsigned rounds)
{
    pthread_mutexattr_t a;
    pthread_t t[4];
    uint64_t same = compute(20000);

    rounds_of = rounds;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&pi, &a);
    pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_NONE);
    pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&robust, &a);
    pthread_barrier_init(&barrier, NULL, 4);
    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, contender, (void *)i);
    for (unsigned i = 0; i < 4; i++) {
        void *got;

        pthread_join(t[i], &got);
        CHECK((uint64_t)(uintptr_t)got == same);
    }
    printf("threads %llu %llu %llu %llu\n", (unsigned long long)shared[0],
           (unsigned long long)shared[1], (unsigned long long)shared[2],
           (unsigned long long)shared[3]);
    for (unsigned i = 0; i < 20; i++) {
        pthread_create(&t[0], NULL, dies, NULL);
        pthread_join(t[0], NULL);
        CHECK(pthread_mutex_lock(&robust) == EOWNERDEAD);
        pthread_mutex_consistent(&robust);
        pthread_mutex_unlock(&robust);
    }
    printf("robust\n");
}

/* Threads that compute while a timer of each interrupts just that one. */
static void *timed(void *p)
{
    struct sigevent e = {.sigev_notify = SIGEV_THREAD_ID,
                         .sigev_signo = SIGUSR1};
    struct itimerspec often = {{0, 700000}, {0, 700000}};
    uint64_t want = compute(50000);
    unsigned bad = 0;
    timer_t t;

    e._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    CHECK(!timer_create(CLOCK_MONOTONIC, &e, &t));
    CHECK(!timer_settime(t, 0, &often, NULL));
    for (int i = 0; i < 15; i++)
        bad += compute(50000) != want;
    timer_delete(t);
    CHECK(!bad);
    return p;
}

static void timers(void)
{
    pthread_t t[4];

    on(SIGUSR1, tick, SA_RESTART);
    for (unsigned i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, timed, NULL);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    printf("timers\n");
}

int main(int argc, char **argv)
{
    unsigned scale = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
    stack_t alt = {.ss_sp = map(65536, PROT_READ | PROT_WRITE),
                   .ss_size = 65536};

    setvbuf(stdout, NULL, _IOLBF, 0);
    CHECK(!sigaltstack(&alt, NULL));
    catch_faults();
    burn(3000000);
    user_paging(1500 * scale);
    stack_overflows();
    interrupted(ITIMER_REAL, SIGALRM, "alarms");
    interrupted(ITIMER_PROF, SIGPROF, "profile");
    interrupted(ITIMER_VIRTUAL, SIGVTALRM, "virtual");
    stepping();
    edited();
    contexts();
    threads(scale);
    timers();
    return 0;
}
