/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc.c - many processes: forks of forks, storms of vfork() and exec, forty
 * that compute in turn; and one that another one traces.
 */
#include "torture.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>

/* --- forks --- */

static char *cow;
#define COW 24

/* Each has pages of its own that nobody else ever sees. */
static int tree(unsigned depth, unsigned me)
{
    int good = 1, status;
    pid_t child[2];

    for (unsigned i = 0; i < COW; i++)
        paint(cow + i * PAGE, me * 100 + i);
    if (!depth) {
        burn(20000);
    } else {
        for (unsigned k = 0; k < 2; k++) {
            child[k] = fork();
            if (!child[k])
                _exit(tree(depth - 1, me * 2 + k) ? 42 : 1);
            paint(cow + (me + k) % COW * PAGE, me * 100 + (me + k) % COW);
        }
        for (unsigned k = 0; k < 2; k++) {
            good &= child[k] > 0 && waitpid(child[k], &status, 0) == child[k];
            good &= WIFEXITED(status) && WEXITSTATUS(status) == 42;
        }
    }
    for (unsigned i = 0; i < COW; i++)
        good &= painted(cow + i * PAGE, me * 100 + i);
    return good;
}

static void forks(unsigned depth)
{
    cow = map(COW * PAGE, PROT_READ | PROT_WRITE);
    CHECK(tree(depth, 1));
    munmap(cow, COW * PAGE);
    printf("forks\n");
}

static void storms(unsigned rounds)
{
    unsigned good = 0;
    int status;

    for (unsigned i = 0; i < rounds; i++) {
        char number[16];
        pid_t pid;

        sprintf(number, "%u", i);
        pid = i & 1 ? vfork() : fork();
        if (!pid) {
            execl("/proc/self/exe", "proc", "answer", number, NULL);
            _exit(1);
        }
        waitpid(pid, &status, 0);
        good += WIFEXITED(status) && WEXITSTATUS(status) == (int)(i * 7 % 100);
    }
    CHECK(good == rounds);
    /* one becomes the next, many times */
    IN_CHILD((execl("/proc/self/exe", "proc", "chain", "40", NULL), 0));
    printf("storms\n");
}

static uint64_t mixed(uint64_t seed, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        seed = (seed ^ seed >> 13) * 0x9e3779b97f4a7c15ull + i;
    return seed;
}

/* They go on one by one, each in an address space of its own. */
static void in_turn(unsigned count, unsigned rounds)
{
    uint64_t *result = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t want = 0, got = 0;
    volatile uint64_t *same = map(PAGE, PROT_READ | PROT_WRITE);
    int status;

    for (unsigned i = 0; i < count; i++) {
        if (fork())
            continue;
        *same = i; /* at one address in all of them */
        for (unsigned r = 0; r < rounds; r++) {
            *same = mixed(*same, 20000);
            sched_yield();
        }
        result[i] = *same;
        _exit(42);
    }
    for (unsigned i = 0; i < count; i++) {
        CHECK(wait(&status) > 0 && WEXITSTATUS(status) == 42);
    }
    for (unsigned i = 0; i < count; i++) {
        uint64_t x = i;

        for (unsigned r = 0; r < rounds; r++)
            x = mixed(x, 20000);
        want += x;
        got += result[i];
    }
    CHECK(got == want);
    printf("in turn %016llx\n", (unsigned long long)got);
}

/* --- traced --- */

static volatile uint64_t watched;
static volatile unsigned go_on = 1;

__attribute__((noinline)) static unsigned target(unsigned x)
{
    __asm__ volatile("nop\n nop\n");
    return x * 3 + 1;
}

static void child_works(void)
{
    unsigned x = 1;

    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    burn(400000);
    for (unsigned i = 0; i < 10; i++)
        x = target(x);
    burn(400000);
    watched = x;
    burn(100000);
    getppid();
    while (go_on)
        burn(1000);
    _exit(42);
}

static int stopped_by(pid_t pid)
{
    int status;

    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
        return -1;
    return WSTOPSIG(status);
}

static void breakpoints(pid_t pid)
{
    uintptr_t at = (uintptr_t)target;
    struct user_regs_struct r;
    long was = ptrace(PTRACE_PEEKTEXT, pid, at, 0);
    uint64_t h = 0;

    CHECK(!ptrace(PTRACE_POKETEXT, pid, at, (was & ~0xffl) | 0xcc));
    for (unsigned i = 0; i < 10; i++) {
        CHECK(!ptrace(PTRACE_CONT, pid, 0, 0));
        CHECK(stopped_by(pid) == SIGTRAP);
        CHECK(!ptrace(PTRACE_GETREGS, pid, 0, &r));
        CHECK(r.rip == at + 1);
        h = h * 31 + r.rdi;
        r.rip = at;
        if (i == 5)
            r.rdi = 1000; /* it will never know */
        CHECK(!ptrace(PTRACE_SETREGS, pid, 0, &r));
        CHECK(!ptrace(PTRACE_POKETEXT, pid, at, was));
        for (unsigned k = 0; k < 3; k++) {
            CHECK(!ptrace(PTRACE_SINGLESTEP, pid, 0, 0));
            CHECK(stopped_by(pid) == SIGTRAP);
            CHECK(!ptrace(PTRACE_GETREGS, pid, 0, &r));
            h = h * 31 + r.rip - at;
        }
        if (i < 9)
            CHECK(!ptrace(PTRACE_POKETEXT, pid, at, (was & ~0xffl) | 0xcc));
    }
    printf("breakpoints %016llx\n", (unsigned long long)h);
}

static void watchpoint(pid_t pid)
{
    const size_t dr = offsetof(struct user, u_debugreg);
    unsigned long value;

    CHECK(!ptrace(PTRACE_POKEUSER, pid, dr, &watched));
    CHECK(!ptrace(PTRACE_POKEUSER, pid, dr + 7 * 8, 0x90001)); /* 8 written */
    CHECK(!ptrace(PTRACE_CONT, pid, 0, 0));
    CHECK(stopped_by(pid) == SIGTRAP);
    value = (unsigned long)ptrace(PTRACE_PEEKDATA, pid, &watched, 0);
    printf("watchpoint %lu\n", value);
    CHECK(!ptrace(PTRACE_POKEUSER, pid, dr + 7 * 8, 0));
}

static void system_calls(pid_t pid)
{
    struct user_regs_struct r;
    unsigned stops = 0;

    do {
        CHECK(!ptrace(PTRACE_SYSCALL, pid, 0, 0));
        CHECK(stopped_by(pid) == SIGTRAP);
        CHECK(!ptrace(PTRACE_GETREGS, pid, 0, &r));
        stops++;
    } while (r.orig_rax != SYS_getppid && stops < 50);
    CHECK(!ptrace(PTRACE_SYSCALL, pid, 0, 0) && stopped_by(pid) == SIGTRAP);
    printf("calls %u\n", stops);
}

static void steps_of(pid_t pid, unsigned count)
{
    struct user_regs_struct r;
    struct user_fpregs_struct f;
    struct iovec iov = {&f, sizeof(f)};
    unsigned good = 0;

    for (unsigned i = 0; i < count; i++) {
        CHECK(!ptrace(PTRACE_SINGLESTEP, pid, 0, 0));
        CHECK(stopped_by(pid) == SIGTRAP);
        CHECK(!ptrace(PTRACE_GETREGS, pid, 0, &r));
        good += r.rip >= 0x400000 && r.rip < 0x600000;
    }
    CHECK(!ptrace(PTRACE_GETREGSET, pid, NT_PRFPREG, &iov));
    CHECK(good == count && f.mxcsr == 0x1f80);
    printf("steps\n");
}

static void tracing(void)
{
    struct iovec mine, theirs;
    unsigned stop = 0;
    pid_t pid = fork();
    int status;

    if (!pid)
        child_works();
    CHECK(stopped_by(pid) == SIGSTOP);
    breakpoints(pid);
    watchpoint(pid);
    system_calls(pid);
    steps_of(pid, 400);
    CHECK(!ptrace(PTRACE_DETACH, pid, 0, 0));
    usleep(20000); /* it computes, and somebody writes its memory */
    mine = (struct iovec){&stop, sizeof(stop)};
    theirs = (struct iovec){(void *)&go_on, sizeof(go_on)};
    CHECK(process_vm_writev(pid, &mine, 1, &theirs, 1, 0) == sizeof(stop));
    waitpid(pid, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    printf("traced\n");
}

/* Attached to in the middle of a computation, again and again. */
static void attached(unsigned rounds)
{
    struct user_regs_struct r;
    struct pollfd done;
    int status, p[2];
    uint64_t got = 0;
    pid_t pid;

    CHECK(!pipe(p));
    done = (struct pollfd){.fd = p[0], .events = POLLIN};
    pid = fork();
    if (!pid) {
        uint64_t x = 5;

        for (unsigned i = 0; i < 200; i++)
            x = mixed(x, 50000);
        CHECK(write(p[1], &x, sizeof(x)) == sizeof(x));
        for (;;) /* a step of pause() would never end */
            burn(1000);
    }
    for (unsigned i = 0; i < rounds && !poll(&done, 1, 2); i++) {
        CHECK(!ptrace(PTRACE_ATTACH, pid, 0, 0));
        CHECK(stopped_by(pid) == SIGSTOP);
        CHECK(!ptrace(PTRACE_GETREGS, pid, 0, &r));
        for (unsigned k = 0; k < 5; k++)
            if (!ptrace(PTRACE_SINGLESTEP, pid, 0, 0))
                CHECK(stopped_by(pid) == SIGTRAP);
        CHECK(!ptrace(PTRACE_DETACH, pid, 0, 0));
    }
    CHECK(read(p[0], &got, sizeof(got)) == sizeof(got));
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    printf("attached %016llx\n", (unsigned long long)got);
}

/* --- pages that another thread provides --- */

static void *provider(void *p)
{
    int fd = *(int *)p;
    char *page = map(PAGE, PROT_READ | PROT_WRITE);
    struct uffd_msg msg;

    while (read(fd, &msg, sizeof(msg)) == sizeof(msg)) {
        uint64_t at = msg.arg.pagefault.address & ~(PAGE - 1);
        struct uffdio_copy copy = {at, (uintptr_t)page, PAGE, 0, 0};

        paint(page, at / PAGE % 1024);
        ioctl(fd, UFFDIO_COPY, &copy);
    }
    return NULL;
}

static void provided(unsigned pages)
{
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    struct uffdio_api api = {.api = UFFD_API};
    struct uffdio_register reg;
    unsigned good = 0;
    pthread_t t;
    char *p;

    if (fd < 0 || ioctl(fd, UFFDIO_API, &api)) {
        printf("no userfaultfd\n");
        return;
    }
    p = map(pages * PAGE, PROT_READ | PROT_WRITE);
    reg = (struct uffdio_register){
        {(uintptr_t)p, pages * PAGE}, UFFDIO_REGISTER_MODE_MISSING, 0};
    CHECK(!ioctl(fd, UFFDIO_REGISTER, &reg));
    pthread_create(&t, NULL, provider, &fd);
    for (unsigned n = 0; n < 2; n++) {
        for (unsigned i = 0; i < pages; i++)
            good +=
                painted(p + i * PAGE, (uintptr_t)(p + i * PAGE) / PAGE % 1024);
        madvise(p, pages * PAGE, MADV_DONTNEED);
    }
    CHECK(good == 2 * pages);
    printf("provided\n");
}

int main(int argc, char **argv)
{
    unsigned scale = argc == 2 ? (unsigned)atoi(argv[1]) : 1;

    if (argc == 3 && !strcmp(argv[1], "answer"))
        return atoi(argv[2]) * 7 % 100;
    if (argc == 3 && !strcmp(argv[1], "chain")) {
        char number[16];

        sprintf(number, "%d", atoi(argv[2]) - 1);
        burn(20000);
        if (atoi(argv[2]))
            execl("/proc/self/exe", "proc", "chain", number, NULL);
        return 42;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    burn(3000000);
    forks(scale > 1 ? 8 : 6);
    storms(40 * scale);
    in_turn(40, 4 * scale);
    tracing();
    attached(30 * scale);
    provided(200);
    return 0;
}
