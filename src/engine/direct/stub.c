/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stub.c - starting a stub process, and talking to it.
 *
 * It is a program of two hundred bytes that maps the stub's area and makes the
 * calls that it finds there; so everything that it does to itself, from its
 * signal handlers to its filters, is a list that is written here.
 */
#include "engine/direct/stub.h"

#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "engine/direct/filter.h"
#include "engine/direct/scan.h"

/* The descriptors that it is born with. */
enum { FD_RAM = 3, FD_AREA, FD_SOCKET, FD_LAST };

#define TRAP_BP   3 /* vectors */
#define TRAP_PF   14
#define USER_END  0x7ffffffff000ull /* of a process's addresses */
#define MAP_GUEST (MAP_SHARED | MAP_FIXED | MAP_POPULATE)

#ifndef HWCAP2_FSGSBASE
#define HWCAP2_FSGSBASE 2
#endif

/* linux/seccomp.h, of Linux 6.6. */
#define NOTIF_SET_FLAGS    SECCOMP_IOW(4, uint64_t)
#define NOTIF_SYNC_WAKE_UP 1ul

/* As the kernel has it, not as libc does. */
struct action {
    uint64_t handler, flags, restorer, mask;
};

/* What the calls at the start point to; on the signal stack, then wiped. */
struct start {
    struct action action;
    uint64_t mask;
    struct {
        uint64_t at, flags, size;
    } stack;
    struct rlimit no_core;
    struct __user_cap_header_struct cap_head;
    struct __user_cap_data_struct cap[2];
    struct {
        uint64_t len, insn;
    } prog[2];
    struct stub_filter filter[2];
    struct msghdr msg;
    struct iovec iov;
    char control[CMSG_SPACE(sizeof(int))];
};
_Static_assert(STUB_KICK_SIGNAL == SIGURG, "it interrupts nothing else");
_Static_assert(sizeof(struct start) < STUB_STACK_SIZE, "it fits");

/* --- calls --- */

static void call(struct stub *s, uint64_t nr, uint64_t a, uint64_t b,
                 uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    rf_assert(s->queued < STUB_CALLS);
    stub_comm(s)->call[s->queued++] =
        (struct stub_call){nr, {a, b, c, d, e, f}};
}

#define CALL4(s, nr, a, b, c, d) call(s, nr, a, b, c, d, 0, 0)

static uint64_t in_stub(const struct stub *s, const void *p)
{
    return s->base + (uint64_t)((const uint8_t *)p - s->area);
}

bool stub_cpuid_faults(void)
{
    return !syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1); /* as it is */
}

void stub_filters(const struct stub *s, struct stub_filter f[2])
{
    uint64_t stopped = s->base + (uint64_t)(stub_stopped - stub_code);

    filter_stop(&f[0], stopped);
    filter_guest(&f[1], s->base, s->base + STUB_COMM, stopped, FD_RAM,
                 s->secret);
}

static void put_filters(struct stub *s, struct start *st)
{
    stub_filters(s, st->filter);
    for (unsigned i = 0; i < 2; i++) {
        st->prog[i].len = st->filter[i].len;
        st->prog[i].insn = in_stub(s, st->filter[i].insn);
    }
}

/* The listener will be descriptor 0, the lowest that is free. */
static void put_message(struct stub *s, struct start *st)
{
    struct cmsghdr *c = (struct cmsghdr *)st->control;

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memset(CMSG_DATA(c), 0, sizeof(int));
    st->iov.iov_base = (void *)(uintptr_t)in_stub(s, st->control);
    st->iov.iov_len = 1;
    st->msg.msg_iov = (void *)(uintptr_t)in_stub(s, &st->iov);
    st->msg.msg_iovlen = 1;
    st->msg.msg_control = (void *)(uintptr_t)in_stub(s, st->control);
    st->msg.msg_controllen = sizeof(st->control);
}

static void put_start(struct stub *s)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE,          SIGILL,
                                  SIGTRAP, SIGSYS, STUB_KICK_SIGNAL};
    struct start *st = (struct start *)(s->area + STUB_STACK);

    st->action = (struct action){
        s->base + (uint64_t)(stub_handler - stub_code),
        SA_SIGINFO | SA_ONSTACK | 0x04000000 /* SA_RESTORER */, s->base, ~0ull};
    st->stack.at = s->base + STUB_STACK;
    st->stack.size = STUB_STACK_SIZE;
    st->cap_head.version = _LINUX_CAPABILITY_VERSION_3;
    put_filters(s, st);
    put_message(s, st);

    CALL4(s, SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0);
    CALL4(s, SYS_sigaltstack, in_stub(s, &st->stack), 0, 0, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
        CALL4(s, SYS_rt_sigaction, (uint64_t)signals[i],
              in_stub(s, &st->action), 0, 8);
    CALL4(s, SYS_rt_sigprocmask, SIG_SETMASK, in_stub(s, &st->mask), 0, 8);
    CALL4(s, SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0);
    CALL4(s, SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0);
    if (stub_cpuid_faults())
        CALL4(s, SYS_arch_prctl, ARCH_SET_CPUID, 0, 0, 0);
    CALL4(s, SYS_setrlimit, RLIMIT_CORE, in_stub(s, &st->no_core), 0, 0);
    CALL4(s, SYS_capset, in_stub(s, &st->cap_head), in_stub(s, st->cap), 0, 0);
    CALL4(s, SYS_close_range, 0, 2, 0, 0);
    CALL4(s, SYS_close_range, FD_LAST, ~0u, 0, 0);
    CALL4(s, SYS_seccomp, SECCOMP_SET_MODE_FILTER,
          SECCOMP_FILTER_FLAG_NEW_LISTENER, in_stub(s, &st->prog[0]), 0);
    CALL4(s, SYS_sendmsg, FD_SOCKET, in_stub(s, &st->msg), 0, 0);
    CALL4(s, SYS_close_range, 0, 2, 0, 0);
    CALL4(s, SYS_close_range, FD_RAM + 1, ~0u, 0, 0);
    CALL4(s, SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, in_stub(s, &st->prog[1]),
          0);
    stub_comm(s)->count = s->queued;
    stub_comm(s)->next = STUB_REPORT;
}

/* --- stops --- */

static bool is_dead(const struct stub *s)
{
    siginfo_t info = {0};

    return waitid(P_PID, (id_t)s->pid, &info, WEXITED | WNOHANG | WNOWAIT) ||
           info.si_pid;
}

/*
 * Before Linux 6.11 a wait for a stop goes on for ever if the process has
 * died: so waits for either first. False: it has.
 */
static bool wait_either(const struct stub *s)
{
    struct pollfd p[2] = {{s->notify, POLLIN, 0}, {s->watch, POLLIN, 0}};

    while (poll(p, 2, -1) < 0)
        if (errno != EINTR)
            return false;
    return !p[1].revents;
}

/* Waits until it has stopped. */
static int wait_stop(struct stub *s)
{
    union {
        struct seccomp_notif n;
        uint8_t room[512]; /* it grows with the kernel */
    } u;

    for (;;) {
        if (s->watch >= 0 && !wait_either(s))
            return -EPROTO;
        memset(&u, 0, sizeof(u));
        if (!ioctl(s->notify, SECCOMP_IOCTL_NOTIF_RECV, &u)) {
            s->stop = u.n.id;
            return 0;
        }
        /* ENOENT: it has died, or has been halted just now: see answer() */
        if (errno != EINTR && (errno != ENOENT || is_dead(s)))
            return -EPROTO;
    }
}

/*
 * Answers the stop. SIGSTOP, a debugger, a frozen cgroup or a host that sleeps
 * take it back: then the call is made anew when the process goes on, and is to
 * be answered again. Nothing else has run meanwhile, unless a signal's frame
 * was pushed, which the guest can bring about.
 */
static int answer(struct stub *s)
{
    struct seccomp_notif_resp resp = {.val = STUB_GO};
    uint64_t frame = stub_comm(s)->frame;

    while (s->stop) {
        resp.id = s->stop;
        s->stop = 0;
        if (!ioctl(s->notify, SECCOMP_IOCTL_NOTIF_SEND, &resp))
            return 0;
        if (errno != ENOENT || wait_stop(s))
            break;
        if (stub_comm(s)->frame != frame)
            return -EPROTO;
    }
    return -ESRCH;
}

/*
 * It stopped without having taken the answer: it was halted just when that
 * came. What the answer tells it to wipe is still there; the guest cannot put
 * the token back, which it never saw.
 */
static bool answer_lost(struct stub *s, uint64_t next)
{
    const struct stub_comm *c = stub_comm(s);

    return next == STUB_RESUME ? c->token == s->secret[2]
                               : s->queued && c->count == s->queued;
}

/* Lets it make the queued calls and do what is next, until the next stop. */
static int go(struct stub *s, uint64_t next)
{
    struct stub_comm *c = stub_comm(s);
    unsigned descs;
    int64_t error;
    int rc;

    c->count = s->queued;
    c->next = next;
    c->error = 0;
    do {
        rc = answer(s);
        if (rc)
            return rc;
        if (wait_stop(s)) /* the last thing that it wipes is the token */
            return next == STUB_RESUME && c->token ? -ESRCH : -EPROTO;
    } while (answer_lost(s, next));
    s->queued = 0;
    descs = s->descs;
    s->descs = 0;
    error = c->error;
    if (!error)
        return 0;
    log_debug("stub: a call failed: %lld", (long long)error);
    /* which of its descriptors are set is not known then */
    return error == -ENOMEM && !descs ? -ENOMEM : -EPROTO;
}

static int queue(struct stub *s, uint64_t nr, uint64_t a, uint64_t b,
                 uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    int rc = s->queued == STUB_CALLS ? go(s, STUB_REPORT) : 0;

    if (!rc)
        call(s, nr, a, b, c, d, e, f);
    return rc;
}

int stub_map(struct stub *s, uint64_t at, uint64_t len, int prot, uint64_t off)
{
    rf_assert(at + len <= s->base || at >= s->base + STUB_SIZE);
    return queue(s, SYS_mmap, at, len, (uint64_t)prot, s->secret[0] | MAP_GUEST,
                 s->secret[1] | FD_RAM, off);
}

int stub_unmap(struct stub *s, uint64_t at, uint64_t len)
{
    rf_assert(at + len <= s->base || at >= s->base + STUB_SIZE);
    return queue(s, SYS_munmap, at, len, 0, 0, 0, 0);
}

int stub_unmap_all(struct stub *s)
{
    uint64_t end = s->base + STUB_SIZE;
    int rc = stub_unmap(s, 0, s->base);

    return rc ? rc : stub_unmap(s, end, USER_END - end);
}

int stub_trap_tsc(struct stub *s, bool trap)
{
    s->untimed = trap;
    return queue(s, SYS_prctl, PR_SET_TSC,
                 trap ? PR_TSC_SIGSEGV : PR_TSC_ENABLE, 0, 0, 0, 0);
}

/* --- descriptors --- */

/* Where 32-bit calls find them, in between: no 32-bit program's memory. */
#define COMM_LOW 0xfffff000u

/* The kernel's bits of struct user_desc, from a descriptor's. */
static struct stub_desc desc_of(uint16_t sel, uint64_t raw)
{
    struct stub_desc d = {.entry = sel >> 3, .flags = 1u << 3 | 1u << 5};

    if (!raw)
        return d; /* read-only, not present: "none" */
    d.base = (uint32_t)(raw >> 16 & 0xffffff) | (uint32_t)(raw >> 56) << 24;
    d.limit = (uint32_t)(raw & 0xffff) | (uint32_t)(raw >> 32 & 0xf0000);
    d.flags = (uint32_t)(raw >> 54 & 1) |       /* D/B */
              (uint32_t)(raw >> 42 & 3) << 1 |  /* type, code: conforming */
              (uint32_t)(~raw >> 41 & 1) << 3 | /* not writable, readable */
              (uint32_t)(raw >> 55 & 1) << 4 |  /* G */
              (uint32_t)(~raw >> 47 & 1) << 5 | /* not present */
              (uint32_t)(raw >> 52 & 1) << 6;   /* AVL */
    return d;
}

int stub_set_desc(struct stub *s, uint16_t sel, uint64_t raw)
{
    uint64_t at = STUB_COMM + offsetof(struct stub_comm, desc);
    uint64_t low = COMM_LOW + offsetof(struct stub_comm, desc);
    uint64_t secret = s->secret[2];
    unsigned n;
    int rc = 0;

    if (s->descs == STUB_DESCS || s->queued + 3 > STUB_CALLS)
        rc = go(s, STUB_REPORT);
    if (rc)
        return rc;
    n = s->descs++;
    stub_comm(s)->desc[n] = desc_of(sel, raw);
    at += s->base + n * sizeof(struct stub_desc);
    low += n * sizeof(struct stub_desc);
    if (sel & 4) {
        call(s, SYS_modify_ldt, 0x11, at, sizeof(struct stub_desc), secret, 0,
             0);
        return 0;
    }
    call(s, SYS_mremap, s->base + STUB_COMM, 0, 0x1000,
         MREMAP_MAYMOVE | MREMAP_FIXED, COMM_LOW, secret);
    call(s, BIT64(STUB_CALL_OLD) | I386_SET_THREAD_AREA, low, (uint32_t)secret,
         secret >> 32, 0, 0, 0);
    CALL4(s, SYS_munmap, COMM_LOW, 0x1000, 0, 0);
    return 0;
}

/* --- going on --- */

/* What the guest may have written there, and no signal's return may take. */
static void mend_frame(struct stub *s)
{
    struct stub_frame *f = stub_frame(s);

    f->uc_flags = s->first.uc_flags;
    f->uc_link = 0;
    f->stack = s->first.stack;
    f->stack_flags = s->first.stack_flags;
    f->stack_size = s->first.stack_size;
    f->reg[FRAME_SELECTORS] = s->selectors;
    f->fp = s->first.fp;
    f->mask = 0;
    stub_comm(s)->frame = s->base + s->frame_at + sizeof(uint64_t);
    stub_comm(s)->token = s->secret[2];
    stub_comm(s)->went = stub_comm(s)->came = 0;
    stub_comm(s)->timed = !s->untimed;
}

int stub_resume(struct stub *s)
{
    int rc;

    mend_frame(s);
    rc = go(s, STUB_RESUME);
    if (rc)
        return rc;
    /* the kernel puts all frames at the same place; others are forged */
    return stub_comm(s)->frame == s->base + s->frame_at ? 0 : -EPROTO;
}

uint64_t stub_ran(const struct stub *s)
{
    uint64_t went = stub_comm(s)->went, came = stub_comm(s)->came;

    return went && came > went ? came - went : 0;
}

const char *stub_why_name(unsigned why)
{
    static const char *const names[STUB_WHYS] = {
        [STUB_KICKED] = "kick",     [STUB_CALLED] = "system-call",
        [STUB_FAULTED] = "fault",   [STUB_TRAPPED] = "trap",
        [STUB_ODD] = "forged-stop",
    };

    return why < STUB_WHYS ? names[why] : NULL;
}

enum stub_why stub_why(const struct stub *s)
{
    const struct stub_frame *f = stub_frame(s);

    if (f->reg[FRAME_RIP] - s->base < STUB_SIZE)
        return STUB_ODD; /* somebody jumped there */
    switch (f->signo) {
    case STUB_KICK_SIGNAL:
        return STUB_KICKED;
    case SIGSYS:
        return STUB_CALLED;
    case SIGBUS: /* no memory for a page, if it is not #AC */
    case SIGSEGV:
    case SIGFPE:
    case SIGILL:
    case SIGTRAP:
        if (f->reg[FRAME_TRAP] == TRAP_PF)
            return f->signo == SIGSEGV ? STUB_FAULTED : STUB_ODD;
        return STUB_TRAPPED;
    default:
        return STUB_ODD;
    }
}

/* --- starting --- */

/* Not inlined: what it has in registers has nothing to do with vfork(). */
__attribute__((noinline)) static int program_fd(uint64_t base)
{
    char image[512];
    size_t len = (size_t)(stub_elf_end - stub_elf);
    int fd = memfd_create("ringfence-stub", MFD_CLOEXEC), rc;

    rf_assert(len <= sizeof(image));
    memcpy(image, stub_elf, len);
    memcpy(image + (stub_elf_base - stub_elf), &base, sizeof(base));
    rc = fd < 0 ? -errno : fd_write(fd, image, len);
    if (rc && fd >= 0)
        close(fd);
    return rc ? rc : fd;
}

static int open_area(struct stub *s)
{
    s->area_fd = memfd_create("ringfence-stub-area", MFD_CLOEXEC);
    if (s->area_fd < 0 || ftruncate(s->area_fd, STUB_SIZE))
        return -errno;
    s->area = mmap(NULL, STUB_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
                   s->area_fd, 0);
    if (s->area == MAP_FAILED) {
        s->area = NULL;
        return -errno;
    }
    memcpy(s->area, stub_code, (size_t)(stub_code_end - stub_code));
    return 0;
}

/* In the child of vfork(): nothing but system calls. */
static void become(int program, int ram, int area, int sock, const sigset_t *no)
{
    static char *const nothing[] = {"ringfence-stub", NULL};
    int fd[3] = {ram, area, sock};

    for (unsigned i = 0; i < 3; i++) /* out of the way of each other */
        fd[i] = fcntl(fd[i], F_DUPFD_CLOEXEC, 16);
    program = fcntl(program, F_DUPFD_CLOEXEC, 16);
    for (unsigned i = 0; i < 3; i++)
        if (dup2(fd[i], FD_RAM + (int)i) < 0)
            _exit(1);
    setsid(); /* what a terminal sends is not for it */
    sigprocmask(SIG_SETMASK, no, NULL);
    syscall(SYS_execveat, program, "", nothing, nothing + 1, AT_EMPTY_PATH);
    _exit(1);
}

/* Does a wait for a stop end with the process? */
static bool wait_ends(void)
{
    struct utsname u;
    unsigned major, minor;

    return !uname(&u) && sscanf(u.release, "%u.%u", &major, &minor) == 2 &&
           (major > 6 || (major == 6 && minor >= 11));
}

static int receive_listener(int sock)
{
    char control[CMSG_SPACE(sizeof(int))] = {0}, byte;
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    struct cmsghdr *c;
    int fd;

    if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) <= 0)
        return -EPROTO;
    c = CMSG_FIRSTHDR(&msg);
    if (!c || c->cmsg_type != SCM_RIGHTS)
        return -EPROTO;
    memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    return fd;
}

static int spawn(struct stub *s, int ram)
{
    int program = program_fd(s->base), sock[2] = {-1, -1}, rc = 0;
    sigset_t all, none, before;
    pid_t pid;

    if (program < 0)
        return program;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock)) {
        rc = -errno;
        close(program);
        return rc;
    }
    sigfillset(&all);
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = vfork();
    if (!pid)
        become(program, ram, s->area_fd, sock[1], &none);
    rc = pid < 0 ? -errno : 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(program);
    close(sock[1]);
    s->pid = pid > 0 ? pid : 0;
    if (!rc) {
        s->notify = receive_listener(sock[0]);
        rc = MIN(s->notify, 0);
        if (!rc && !wait_ends()) {
            s->watch = (int)syscall(SYS_pidfd_open, pid, 0);
            rc = s->watch < 0 ? -errno : 0;
        }
        /*
         * The two never run at once: they are faster on one CPU, and on a busy
         * host three times. Linux 6.6; before it the scheduler decides.
         */
        ioctl(s->notify, NOTIF_SET_FLAGS, NOTIF_SYNC_WAKE_UP);
    }
    close(sock[0]);
    return rc;
}

/* The first real frame: what all others will look like, and where. */
static int first_frame(struct stub *s)
{
    const struct stub_frame *f;
    uint64_t at;

    stub_comm(s)->next = 0;
    if (stub_unmap_all(s) || go(s, STUB_TRAP))
        return -EPROTO;
    at = stub_comm(s)->frame - s->base;
    if (at < STUB_STACK || at > STUB_SIZE - sizeof(*f))
        return -EPROTO;
    s->frame_at = at;
    f = stub_frame(s);
    at = f->fp - s->base;
    if (at < STUB_STACK || at > STUB_SIZE - sizeof(struct stub_fp))
        return -EPROTO;
    s->fp_at = at;
    s->first = *f;
    s->selectors = f->reg[FRAME_SELECTORS];
    memcpy(s->software, stub_fp(s)->software, sizeof(s->software));
    return 0;
}

void stub_none(struct stub *s)
{
    memset(s, 0, sizeof(*s));
    s->notify = s->area_fd = s->watch = -1;
}

int stub_start(struct stub *s, uint64_t base, int ram, struct error *err)
{
    int rc;

    stub_none(s);
    s->base = base;
    s->host_call = scan_host_call();
    rc = open_area(s);
    if (!rc && getrandom(s->secret, sizeof(s->secret), 0) !=
                   (ssize_t)sizeof(s->secret))
        rc = -EIO;
    s->secret[0] <<= 32;
    s->secret[1] <<= 32;
    if (!rc) {
        put_start(s);
        rc = spawn(s, ram);
    }
    s->queued = 0;
    if (!rc)
        rc = wait_stop(s);
    if (!rc) {
        rc = stub_comm(s)->error ? (int)stub_comm(s)->error : 0;
        memset(s->area + STUB_STACK, 0, STUB_STACK_SIZE); /* the secrets */
        stub_comm(s)->error = 0;
    }
    if (!rc)
        rc = first_frame(s);
    if (rc) {
        stub_end(s);
        return error_set(err, -rc, "cannot start a stub process: %s",
                         strerror(-rc));
    }
    return 0;
}

void stub_end(struct stub *s)
{
    if (s->pid > 0) {
        kill(s->pid, SIGKILL);
        while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    if (s->notify >= 0)
        close(s->notify);
    if (s->watch >= 0)
        close(s->watch);
    if (s->area)
        munmap(s->area, STUB_SIZE);
    if (s->area_fd >= 0)
        close(s->area_fd);
    stub_none(s);
}

int stub_probe(struct error *err)
{
    struct stub s;
    int ram, rc;

    if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE))
        return error_set(err, ENOSYS,
                         "this host has no RDFSBASE in user mode (Linux 5.9)");
    ram = memfd_create("probe", MFD_CLOEXEC);
    if (ram < 0)
        return error_set(err, errno, "memfd_create: %s", strerror(errno));
    rc = stub_start(&s, 0x100000000000ull, ram, err);
    if (!rc)
        stub_end(&s);
    close(ram);
    return rc;
}

/* INT3 as 32-bit code, with a segment of each table. */
static int run_32(struct stub *s)
{
    const uint64_t data = 0x00cff3000000ffff, at = 0x10000;
    uint64_t *reg = stub_frame(s)->reg;

    if (stub_map(s, at, 0x1000, PROT_READ | PROT_EXEC, 0) ||
        stub_set_desc(s, STUB_TLS_FIRST << 3, data) ||
        stub_set_desc(s, 4, data))
        return -ENOSYS;
    *stub_frame(s) = s->first;
    reg[FRAME_RIP] = at;
    s->selectors = STUB_CS32 | (uint64_t)STUB_SS << 48;
    stub_comm(s)->fs = STUB_TLS_FIRST << 3 | 3;
    stub_comm(s)->gs = 7;
    if (stub_resume(s) || stub_why(s) != STUB_TRAPPED ||
        reg[FRAME_TRAP] != TRAP_BP || reg[FRAME_RIP] != at + 1 ||
        reg[FRAME_SELECTORS] != s->selectors || stub_comm(s)->gs != 7)
        return -ENOSYS;
    return 0;
}

int stub_probe_32(struct error *err)
{
    static const uint8_t int3 = 0xcc;
    int ram = memfd_create("probe", MFD_CLOEXEC), rc;
    struct stub s;

    if (ram < 0 || ftruncate(ram, 0x1000) || pwrite(ram, &int3, 1, 0) != 1) {
        rc = error_set(err, errno, "memfd_create: %s", strerror(errno));
    } else {
        rc = stub_start(&s, 0x100000000000ull, ram, err);
        if (!rc && run_32(&s))
            rc = error_set(err, ENOSYS,
                           "this host has no system calls for 32-bit programs "
                           "(IA32_EMULATION), or no modify_ldt()");
        stub_end(&s);
    }
    if (ram >= 0)
        close(ram);
    return rc;
}
