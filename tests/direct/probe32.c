/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe32.c - a 32-bit program that looks at what only 32-bit user mode has:
 * selectors, descriptors of its own, INT 0x80 and SYSENTER, far jumps to
 * 64-bit code and back. What it prints depends on the CPU alone, not on time.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <immintrin.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf back;
static volatile int got, code, cs, fault_gs;
static volatile unsigned trapno, error, ip;
static volatile sig_atomic_t alarms;
static uint32_t block[16] = {0x11111111, 0x22222222, 0x33333333, 0x44444444};
static __thread unsigned mine = 5;

/* Leaves with CS, SS and DS of C code, whatever they were. */
static void on(int sig, siginfo_t *si, void *context)
{
    ucontext_t *uc = context;

    __asm__ volatile("pushf; andl $~0x40000, (%%esp); popf" ::: "memory");
    got = sig;
    code = si->si_code;
    cs = uc->uc_mcontext.gregs[REG_CS] & 0xffff;
    fault_gs = uc->uc_mcontext.gregs[REG_GS] & 0xffff;
    trapno = uc->uc_mcontext.gregs[REG_TRAPNO];
    error = uc->uc_mcontext.gregs[REG_ERR];
    siglongjmp(back, 1);
}

static void tick(int sig)
{
    (void)sig;
    alarms++;
}

static void burn(void)
{
    volatile unsigned x = 1;

    for (unsigned i = 0; i < 3000000; i++)
        x = x * 5 + 1;
}

#define TRY(what, ...)                                                         \
    do {                                                                       \
        got = code = trapno = error = 0;                                       \
        if (!sigsetjmp(back, 1)) {                                             \
            __VA_ARGS__;                                                       \
        }                                                                      \
        printf("%s: %d %d trap %u error %#x\n", what, got, code, trapno,       \
               error);                                                         \
    } while (0)
#define ASM(...) __asm__ volatile(__VA_ARGS__)

static unsigned sel(int which)
{
    unsigned v = 0;

    switch (which) {
    case 0: ASM("mov %%cs, %0" : "=r"(v)); break;
    case 1: ASM("mov %%ds, %0" : "=r"(v)); break;
    case 2: ASM("mov %%es, %0" : "=r"(v)); break;
    case 3: ASM("mov %%ss, %0" : "=r"(v)); break;
    case 4: ASM("push %%fs\n pop %0" : "=r"(v)); break;
    case 5: ASM("push %%gs\n pop %0" : "=r"(v)); break;
    }
    return v;
}

static void show(const char *when)
{
    printf("%s:", when);
    for (int i = 0; i < 6; i++)
        printf(" %x", sel(i) > 3 ? sel(i) : 0); /* Intel's IRET clears 3 */
    printf("\n");
}

static uint32_t fs_at(uint32_t off)
{
    uint32_t v;

    ASM("mov %%fs:(%1), %0" : "=r"(v) : "r"(off) : "memory");
    return v;
}

static void fs_load(unsigned s)
{
    ASM("mov %0, %%fs" : : "r"(s) : "memory");
}

static void query(const char *what, unsigned s)
{
    unsigned ar = 0, limit = 0, r, w;

    ASM("lar %1, %0" : "+r"(ar) : "r"(s) : "cc");
    ASM("lsl %1, %0" : "+r"(limit) : "r"(s) : "cc");
    ASM("xor %0, %0\n verr %w1\n setz %b0" : "=&q"(r) : "r"(s) : "cc");
    ASM("xor %0, %0\n verw %w1\n setz %b0" : "=&q"(w) : "r"(s) : "cc");
    printf("%s: lar %x lsl %x verr %u verw %u\n", what, ar, limit, r, w);
}

/* In a page of its own: one with fast calls in it is not run natively. */
static int in_page(const char *bytes, unsigned len, int eax)
{
    unsigned char *p = mmap(0, 4096, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    memcpy(p, bytes, len);
    mprotect(p, 4096, PROT_READ | PROT_EXEC);
    ASM("call *%1" : "+a"(eax) : "r"(p) : "ecx", "memory");
    munmap(p, 4096);
    return eax;
}

/* --- faults --- */

static void faults(void)
{
    TRY("null", *(volatile int *)8 = 1);
    TRY("kernel", *(volatile int *)0xfffff000 = 1);
    TRY("ud2", ASM("ud2"));
    TRY("int3", ASM("int3"));
    TRY("int 3", ASM(".byte 0xcd, 3"));
    TRY("into", ASM("mov $0x7fffffff, %%eax\n inc %%eax\n into" ::: "eax"));
    TRY("into not", ASM("xor %%eax, %%eax\n into" ::: "eax"));
    TRY("int 4", ASM("int $4"));
    TRY("int 0x81", ASM("int $0x81"));
    TRY("icebp", ASM(".byte 0xf1"));
    TRY("bound", int b[2] = {3, 5};
        ASM("bound %0, %1" : : "r"(6), "m"(*(long long *)b)));
    TRY("hlt", ASM("hlt"));
    TRY("in", ASM("in $0x60, %%al" ::: "al"));
    TRY("divide", ASM("xor %%ecx, %%ecx\n mov $1, %%eax\n cltd\n idiv %%ecx" ::: "eax",
                      "ecx", "edx"));
    TRY("syscall", in_page("\x0f\x05\xc3", 3, 0));
    TRY("tf", ASM("pushf; orl $0x100, (%%esp); popf; nop" ::: "memory"));
    TRY("ac", ASM("pushf; orl $0x40000, (%%esp); popf; mov block+1, %%eax" :::
                      "eax", "memory"));
    ASM("pushf; andl $~0x40000, (%%esp); popf" ::: "memory");
    TRY("ds", ASM("mov %0, %%ds" : : "r"(0x10)));
    TRY("null ds", ASM("push %%ds; mov %0, %%ds; mov block, %%eax; pop %%ds"
                       : : "r"(0) : "eax"));
    ASM("push %%ss; pop %%ds; push %%ss; pop %%es" ::: "memory");
    TRY("far", ASM("lcall $0x10, $0"));
    TRY("ss", ASM("mov %0, %%ss" : : "r"(0)));
    TRY("x87", ASM("fninit; fldz; fld1; fstcw -4(%%esp); andw $~4, -4(%%esp);"
                   "fldcw -4(%%esp); fdiv %%st(1), %%st; fwait" ::: "memory"));
    ASM("fninit");
    burn();
    show("after faults");
}

/* --- instructions that 64-bit mode lacks --- */

static void old(void)
{
    unsigned a = 0x79, f = 0, d[2] = {0, 0}, e;

    ASM("add $0x35, %%al\n daa\n setc %b1" : "+a"(a), "+q"(f));
    printf("daa %x %u", a & 0xff, f & 1);
    a = 0x0f09;
    ASM("add $5, %%al\n aaa" : "+a"(a) : : "cc");
    printf(" aaa %x", a & 0xffff);
    a = 0x45;
    ASM("aam" : "+a"(a) : : "cc");
    printf(" aam %x", a & 0xffff);
    ASM("pushal\n mov $1, %%ebx\n mov $2, %%esi\n popal\n mov %%ebx, %0"
        : "=r"(e) : "b"(77) : "memory");
    printf(" pusha %u", e);
    ASM("mov $0x2b0000, %%ecx\n arpl %%bx, %%cx\n setz %b0" : "=q"(e)
        : "b"(3) : "ecx", "cc");
    printf(" arpl %u", e & 1);
    d[0] = (unsigned)block;
    d[1] = sel(1);
    ASM("push %%es\n les %1, %0\n mov %%es:4(%0), %0\n pop %%es" : "=&r"(e)
        : "m"(*(long long *)d) : "memory");
    printf(" les %x\n", e);
}

/* --- descriptors --- */

static int area(int entry, unsigned base, unsigned limit)
{
    struct user_desc u = {.entry_number = entry, .base_addr = base,
                          .limit = limit, .seg_32bit = 1, .useable = 1};
    int rc = syscall(SYS_set_thread_area, &u);

    return rc ? -1 : (int)u.entry_number;
}

static int ldt(int entry, unsigned base, unsigned limit, unsigned contents,
               int wide, int read_only, int absent)
{
    struct user_desc u = {.entry_number = entry, .base_addr = base,
                          .limit = limit, .seg_32bit = wide,
                          .contents = contents, .read_exec_only = read_only,
                          .seg_not_present = absent, .useable = 1};

    return syscall(SYS_modify_ldt, 0x11, &u, sizeof(u));
}

static void tls(void)
{
    int n = area(-1, (unsigned)block, 15);
    unsigned s = n * 8 + 3;

    printf("thread area %d\n", n);
    fs_load(s);
    show("with fs");
    printf("fs:4 %x fs:8 %x\n", fs_at(4), fs_at(8));
    TRY("fs limit", fs_at(13));
    query("tls", s);
    area(n, (unsigned)block + 4, 15);
    burn();
    printf("changed fs:4 %x\n", fs_at(4)); /* the kernel reloads it */
    fs_load(s);
    printf("loaded fs:4 %x\n", fs_at(4));
    for (int i = 0; i < 30; i++) {
        area(n, (unsigned)block + 4 * (i % 3), 15);
        fs_load(s);
        if (fs_at(0) != block[i % 3])
            printf("wrong: %d\n", i);
    }
    area(n, 0, 0);
    {
        struct user_desc none = {.entry_number = n, .read_exec_only = 1,
                                 .seg_not_present = 1};
        syscall(SYS_set_thread_area, &none);
    }
    TRY("none", fs_load(s));
    query("none", s);
    fs_load(0);
    TRY("null fs", fs_at(0));
    query("code", 0x23);
    query("data", 0x2b);
    query("kernel", 0x10);
}

/* mov %cs, %eax; mov 4(%esp)... ; lret: 12 bytes in, to be reached far. */
static const unsigned char far_code[] = {
    0x8c, 0xc8,             /* mov %cs, %eax */
    0xb9, 0x40, 0x42, 0x0f, 0, /* mov $1000000, %ecx */
    0x49, 0x75, 0xfd,       /* dec %ecx; jnz */
    0xcc, 0x90,             /* int3; nop */
    0xcb,                   /* lret */
};

static volatile int breaks;
static void on_break(int sig, siginfo_t *si, void *context)
{
    ucontext_t *uc = context;

    (void)sig;
    (void)si;
    breaks++;
    ip = uc->uc_mcontext.gregs[REG_EIP];
    cs = uc->uc_mcontext.gregs[REG_CS] & 0xffff;
}

static unsigned far_call(unsigned off, unsigned s)
{
    struct {
        unsigned off;
        unsigned short s;
    } __attribute__((packed)) to = {off, s};
    unsigned v;

    ASM("lcall *%1" : "=&a"(v) : "m"(to) : "ecx", "memory", "cc");
    return v;
}

static void ldts(void)
{
    unsigned char *p = mmap(0, 8192, PROT_READ | PROT_WRITE | PROT_EXEC,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct sigaction sa = {.sa_sigaction = on_break, .sa_flags = SA_SIGINFO},
                     before;

    memcpy(p + 100, far_code, sizeof(far_code));
    printf("ldt %d\n", ldt(0, (unsigned)block, 31, 0, 1, 0, 0));
    fs_load(7);
    show("ldt");
    printf("fs:4 %x\n", fs_at(4));
    burn();
    printf("fs:8 %x\n", fs_at(8));
    TRY("ldt limit", fs_at(29));
    printf("read-only %d\n", ldt(1, (unsigned)block, 31, 0, 1, 1, 0));
    fs_load(15);
    printf("fs:0 %x\n", fs_at(0));
    TRY("read-only", ASM("movl $1, %%fs:0" ::: "memory"));
    printf("absent %d\n", ldt(2, (unsigned)block, 31, 0, 1, 0, 1));
    TRY("absent", fs_load(23));
    printf("16 bits %d\n", ldt(3, (unsigned)block, 31, 0, 0, 0, 0));
    TRY("16 bits", fs_load(31); printf("fs:12 %x\n", fs_at(12)));
    fs_load(0);
    printf("grows down %d\n", ldt(4, (unsigned)block - 32, 31, 1, 1, 0, 0));
    fs_load(39);
    printf("fs:36 %x\n", fs_at(36));
    TRY("grows down", fs_at(20));
    for (unsigned i = 0; i < 6; i++)
        query("ldt", i * 8 + 7);
    sigaction(SIGTRAP, &sa, &before);
    printf("code %d\n", ldt(5, (unsigned)p, 4095, 2, 1, 0, 0));
    for (int i = 0; i < 3; i++)
        printf("far %x", far_call(100, 47)), printf(" at %x:%x\n", cs, ip);
    printf("far %x", far_call((unsigned)p + 100, 0x23));
    printf(" at %x:%u breaks %d\n", cs, ip - (unsigned)p, breaks);
    sigaction(SIGTRAP, &before, 0);
    printf("large %d\n", ldt(500, (unsigned)block, 31, 0, 1, 0, 0));
    fs_load(500 * 8 + 7);
    burn();
    printf("fs:4 %x\n", fs_at(4));
    fs_load(0);
}

/* --- 64-bit code --- */

static const unsigned char wide_code[] = {
    0x49, 0xb8, 8, 7, 6, 5, 4, 3, 2, 1, /* movabs $0x0102030405060708, %r8 */
    0xb9, 0x80, 0x84, 0x1e, 0,          /* mov $2000000, %ecx */
    0xff, 0xc9, 0x75, 0xfc,             /* dec %ecx; jnz */
    0x8c, 0xc8, 0x4c, 0x01, 0xc0,       /* mov %cs, %eax; add %r8, %rax */
    0xff, 0x05, 0, 0, 0, 0,             /* incl next page(%rip) */
    0xcb,                               /* lret */
};

static void wide(void)
{
    unsigned char *p = mmap(0, 8192, PROT_READ | PROT_WRITE | PROT_EXEC,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int off = 4096 - (int)(sizeof(wide_code) - 1);

    memcpy(p, wide_code, sizeof(wide_code));
    memcpy(p + sizeof(wide_code) - 5, &off, 4);
    for (int i = 0; i < 4; i++) {
        printf("wide %x", far_call((unsigned)p, 0x33));
        show("");
    }
    printf("times %u\n", *(unsigned *)(p + 4096));
}

/* --- system calls --- */

static int by_int(int nr)
{
    ASM("int $0x80" : "+a"(nr) : : "memory");
    return nr;
}

/* Only where the kernel uses it, too: an AMD CPU has none in long mode. */
static int by_sysenter(int nr)
{
    if (!memmem((void *)getauxval(AT_SYSINFO), 64, "\x0f\x34", 2))
        return by_int(nr);
    /* push %ecx, %edx, %ebp; mov %esp, %ebp; sysenter */
    return in_page("\x51\x52\x55\x89\xe5\x0f\x34", 7, nr);
}

static int by_vdso(int nr)
{
    ASM("call *%1" : "+a"(nr) : "r"(getauxval(AT_SYSINFO)) : "memory");
    return nr;
}

static void calls(void)
{
    int pid = getpid(), wrong = 0;
    struct timespec a, b;

    for (int i = 0; i < 200; i++) {
        wrong += by_int(20) != pid;
        wrong += by_sysenter(20) != pid;
        wrong += by_vdso(20) != pid;
        if (i % 50 == 0)
            burn();
    }
    printf("calls: %d wrong, none %d %d %d\n", wrong, by_int(5000),
           by_sysenter(5000), by_vdso(5000));
    clock_gettime(CLOCK_MONOTONIC, &a);
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("clock %d\n", b.tv_sec > a.tv_sec ||
           (b.tv_sec == a.tv_sec && b.tv_nsec >= a.tv_nsec));
}

/* --- threads, signals, vectors --- */

static void *adder(void *p)
{
    unsigned gs = sel(5);

    for (int i = 0; i < 200000; i++) {
        __atomic_add_fetch((int *)p, 1, __ATOMIC_SEQ_CST);
        mine += 3;
        if (i % 20000 == 0) {
            ASM("mov %0, %%gs" : : "r"(gs) : "memory");
            getppid();
        }
    }
    return (void *)mine;
}

static void threads(void)
{
    pthread_t t[4];
    void *r;
    int sum = 0;

    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], 0, adder, &sum);
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], &r);
        printf("thread %u\n", (unsigned)r);
    }
    printf("threads %d mine %u\n", sum, mine);
}

static void vectors(void)
{
    __m256d v = _mm256_set_pd(1, 2, 3, 4), w = v;
    double r[4];
    long double q = 1;
    unsigned jit = 0;
    unsigned char *x = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct sigaction sa = {.sa_handler = tick, .sa_flags = SA_RESTART};

    for (int i = 0; i < 1000; i++) {
        w = _mm256_add_pd(w, v);
        if (i % 100 == 0)
            getppid();
    }
    _mm256_storeu_pd(r, w);
    printf("avx %g %g %g %g\n", r[0], r[1], r[2], r[3]);
    sigaction(SIGALRM, &sa, 0);
    ualarm(3000, 3000);
    for (int i = 1; i < 20; i++) {
        q = q / 3 + i;
        burn();
    }
    while (alarms < 5)
        ;
    ualarm(0, 0);
    printf("x87 %.15Lg\n", q);
    for (unsigned i = 0; i < 2000; i++) {
        memcpy(x, "\xb8\0\0\0\0\xc3", 6);
        memcpy(x + 1, &i, 4);
        jit = jit * 7 + ((unsigned (*)(void))x)();
    }
    printf("jit %u\n", jit);
}

static void forks(void)
{
    static int v;

    for (int i = 0; i < 10; i++) {
        int st;
        pid_t k = fork();

        if (!k) {
            v += 100;
            burn();
            _exit(v == i + 100 && mine == 5);
        }
        v++;
        waitpid(k, &st, 0);
        if (WEXITSTATUS(st) != 1 || v != i + 1)
            printf("fork wrong\n");
    }
    printf("forks\n");
}

int main(void)
{
    int sigs[] = {SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGBUS};
    struct sigaction sa = {.sa_sigaction = on, .sa_flags = SA_SIGINFO};

    for (int i = 0; i < 5; i++)
        sigaction(sigs[i], &sa, 0);
    setvbuf(stdout, 0, _IOLBF, 0);
    show("begin");
    burn(); /* so that it runs natively from here */
    show("native");
    faults();
    old();
    tls();
    calls();
    threads();
    vectors();
    forks();
    wide();
    ldts();
    printf("end\n");
    return 0;
}
