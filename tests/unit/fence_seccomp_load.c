/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers' filters in the kernel: each child loads one, and sees what
 * becomes of its calls.
 */
#include "fence/seccomp.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

/* A filter for one call; everything else is allowed. */
static void load_for(const char *name, enum seccomp_action action, int data,
                     int *listener)
{
    const struct seccomp_rule rule = {&name, 1, action, data};
    const struct seccomp_profile p = {
        .action = SECCOMP_ACT_ALLOW, .rules = &rule, .rule_count = 1};
    struct seccomp_program prog;
    struct error err;

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (seccomp_compile(&p, &prog, &err) ||
        seccomp_load(&prog, listener, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        _exit(99);
    }
}

/* What waitpid() says of a child that does this. */
static int child(void (*fn)(void))
{
    pid_t pid = fork();
    int status = -1;

    if (!pid) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        fn();
        _exit(0);
    }
    waitpid(pid, &status, 0);
    return status;
}

static bool exits(int status, int code)
{
    return WIFEXITED(status) && WEXITSTATUS(status) == code;
}

static bool dies(int status)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

/* --- the actions --- */

static void do_errno(void)
{
    load_for("uname", SECCOMP_ACT_ERRNO, EDOM, NULL);
    if (syscall(SYS_uname, 0) != -1 || errno != EDOM)
        _exit(1);
}

static void do_kill(void)
{
    load_for("uname", SECCOMP_ACT_KILL_PROCESS, -1, NULL);
    syscall(SYS_uname, 0);
}

static void do_log(void)
{
    struct utsname u;

    load_for("uname", SECCOMP_ACT_LOG, -1, NULL);
    if (uname(&u))
        _exit(1);
}

static void actions_do_what_they_say(void)
{
    CHECK(exits(child(do_errno), 0));
    CHECK(dies(child(do_kill)));
    CHECK(exits(child(do_log), 0));
}

static volatile pid_t uname_thread;

static void *uname_call(void *unused)
{
    uname_thread = gettid();
    syscall(SYS_uname, 0);
    return unused;
}

/* The other thread dies alone. */
static void do_kill_thread(void)
{
    pthread_t t;

    load_for("uname", SECCOMP_ACT_KILL_THREAD, -1, NULL);
    if (pthread_create(&t, NULL, uname_call, NULL))
        _exit(1);
    while (!uname_thread || !tgkill(getpid(), uname_thread, 0))
        usleep(1000);
    syscall(SYS_exit_group, 7);
}

static void a_thread_is_killed_alone(void)
{
    CHECK(exits(child(do_kill_thread), 7));
}

static void trapped(int sig, siginfo_t *si, void *ctx)
{
    (void)sig;
    (void)ctx;
    _exit(si->si_syscall == SYS_uname ? 5 : 6);
}

static void do_trap(void)
{
    struct sigaction sa = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO};

    sigaction(SIGSYS, &sa, NULL);
    load_for("uname", SECCOMP_ACT_TRAP, -1, NULL);
    syscall(SYS_uname, 0);
}

static void a_trap_says_which_call_it_was(void)
{
    CHECK(exits(child(do_trap), 5));
}

/* Nobody traces: the call is not there. */
static void do_trace(void)
{
    load_for("uname", SECCOMP_ACT_TRACE, 77, NULL);
    if (syscall(SYS_uname, 0) != -1 || errno != ENOSYS)
        _exit(1);
}

static void do_traced(void)
{
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    load_for("uname", SECCOMP_ACT_TRACE, 77, NULL);
    syscall(SYS_uname, 0);
}

static void a_tracer_gets_the_message(void)
{
    unsigned long message = 0;
    int status = 0;
    pid_t pid;

    CHECK(exits(child(do_trace), 0));
    pid = fork();
    if (!pid) {
        do_traced();
        _exit(0);
    }
    waitpid(pid, &status, 0);
    CHECK(WIFSTOPPED(status));
    ptrace(PTRACE_SETOPTIONS, pid, 0,
           PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL);
    ptrace(PTRACE_CONT, pid, 0, 0);
    waitpid(pid, &status, 0);
    CHECK_EQ(status >> 8, SIGTRAP | PTRACE_EVENT_SECCOMP << 8);
    ptrace(PTRACE_GETEVENTMSG, pid, 0, &message);
    CHECK_EQ(message, 77);
    ptrace(PTRACE_CONT, pid, 0, 0);
    waitpid(pid, &status, 0);
    CHECK(exits(status, 0));
}

/* --- the listener --- */

static void fd_send(int to, int fd)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } c = {0};
    struct iovec iov = {"", 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &c,
                       .msg_controllen = sizeof(c)};

    c.head = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(&c.head), &fd, sizeof(fd));
    if (sendmsg(to, &m, 0) != 1)
        _exit(98);
}

static int fd_take(int from)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } c = {0};
    char byte;
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &c,
                       .msg_controllen = sizeof(c)};
    int fd = -1;

    if (recvmsg(from, &m, MSG_CMSG_CLOEXEC) == 1)
        memcpy(&fd, CMSG_DATA(&c.head), sizeof(fd));
    return fd;
}

static void do_notify(int sock)
{
    int listener = -1;

    load_for("uname", SECCOMP_ACT_NOTIFY, -1, &listener);
    fd_send(sock, listener);
    close(listener);
    _exit((int)syscall(SYS_uname, 0x1234));
}

static void a_listener_answers(void)
{
    struct seccomp_notif n = {0};
    struct seccomp_notif_resp r = {0};
    int pair[2], listener, status = 0;
    pid_t pid;

    CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
    pid = fork();
    if (!pid)
        do_notify(pair[1]);
    close(pair[1]);
    listener = fd_take(pair[0]);
    CHECK(listener >= 0);
    CHECK(!ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n));
    CHECK_EQ(n.data.nr, SYS_uname);
    CHECK_EQ(n.data.args[0], 0x1234);
    CHECK_EQ(n.pid, pid);
    r.id = n.id;
    r.val = 42;
    CHECK(!ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &r));
    waitpid(pid, &status, 0);
    CHECK(exits(status, 42));
    close(listener);
    close(pair[0]);
}

static void a_listener_that_nobody_takes_is_refused(void)
{
    const char *name = "uname";
    const struct seccomp_rule rule = {&name, 1, SECCOMP_ACT_NOTIFY, -1};
    const struct seccomp_profile p = {
        .action = SECCOMP_ACT_ALLOW, .rules = &rule, .rule_count = 1};
    struct seccomp_program prog;
    struct error err;

    CHECK(!seccomp_compile(&p, &prog, &err));
    CHECK(prog.notify);
    CHECK_EQ(seccomp_load(&prog, NULL, &err), -EINVAL);
}

/* --- the default profile, flags --- */

static void do_default(void)
{
    struct seccomp_default d;
    struct seccomp_program prog;
    struct error err;

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (seccomp_compile(seccomp_default(&d, 0), &prog, &err) ||
        seccomp_load(&prog, NULL, &err))
        _exit(99);
    if (syscall(SYS_unshare, 0) != -1 || errno != EPERM)
        _exit(1);
    if (syscall(SYS_clone3, 0, 0) != -1 || errno != ENOSYS)
        _exit(2);
    if (socket(AF_VSOCK, SOCK_STREAM, 0) != -1 || errno != EPERM)
        _exit(3);
    if (!fork())
        execl("/bin/true", "true", NULL);
    if (wait(&(int){0}) < 0)
        _exit(4);
}

static void programs_run_behind_the_default_profile(void)
{
    CHECK(exits(child(do_default), 0));
}

/* Another thread's call is answered, too. */
static void *wait_and_call(void *arg)
{
    volatile int *go = arg;

    while (!*go)
        usleep(100);
    return (void *)syscall(SYS_getppid);
}

static void do_tsync(void)
{
    const char *name = "getppid";
    const struct seccomp_rule rule = {&name, 1, SECCOMP_ACT_ERRNO, EDOM};
    const struct seccomp_profile p = {.action = SECCOMP_ACT_ALLOW,
                                      .rules = &rule,
                                      .rule_count = 1,
                                      .flags = SECCOMP_FILTER_FLAG_TSYNC};
    static volatile int go;
    struct seccomp_program prog;
    struct error err;
    void *got = NULL;
    pthread_t t;

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    pthread_create(&t, NULL, wait_and_call, (void *)&go);
    if (seccomp_compile(&p, &prog, &err) || seccomp_load(&prog, NULL, &err))
        _exit(99);
    go = 1;
    pthread_join(t, &got);
    _exit((long)got == -1 ? 0 : 1);
}

static void tsync_is_for_all_threads(void)
{
    CHECK(exits(child(do_tsync), 0));
}

static void the_kernel_is_asked_what_it_knows(void)
{
    unsigned flags = seccomp_flags_supported();

    CHECK(seccomp_supported());
    CHECK(flags & SECCOMP_FILTER_FLAG_TSYNC);
    CHECK(flags & SECCOMP_FILTER_FLAG_LOG);
    CHECK(!(flags & SECCOMP_FILTER_FLAG_NEW_LISTENER));
    CHECK(seccomp_action_supported(SECCOMP_ACT_NOTIFY));
    CHECK(seccomp_action_supported(SECCOMP_ACT_KILL_THREAD));
}

static void do_unprivileged(void)
{
    static struct seccomp_program prog;
    const struct seccomp_profile p = {.action = SECCOMP_ACT_ALLOW};
    struct error err;

    if (getuid() == 0 && setresuid(65534, 65534, 65534))
        _exit(98);
    if (seccomp_compile(&p, &prog, &err))
        _exit(99);
    _exit(-seccomp_load(&prog, NULL, &err));
}

static void a_filter_needs_no_new_privileges(void)
{
    CHECK(exits(child(do_unprivileged), EACCES));
}

static void unknown_flags_are_named(void)
{
    static struct seccomp_program prog;
    const struct seccomp_profile p = {.action = SECCOMP_ACT_ALLOW,
                                      .flags = 1u << 20};
    struct error err = {0};

    CHECK(!seccomp_compile(&p, &prog, &err));
    CHECK_EQ(seccomp_load(&prog, NULL, &err), -EINVAL);
    CHECK(strstr(err.msg, "linux.seccomp.flags"));
}

static void do_copy(void)
{
    const char *name = "uname";
    const struct seccomp_rule rule = {&name, 1, SECCOMP_ACT_ERRNO, EDOM};
    const struct seccomp_profile p = {
        .action = SECCOMP_ACT_ALLOW, .rules = &rule, .rule_count = 1};
    struct seccomp_program prog, *copy;
    struct error err;

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (seccomp_compile(&p, &prog, &err))
        _exit(99);
    copy = malloc(seccomp_program_size(&prog));
    memcpy(copy, &prog, seccomp_program_size(&prog));
    if (seccomp_load(copy, NULL, &err))
        _exit(98);
    _exit(syscall(SYS_uname, 0) == -1 && errno == EDOM ? 0 : 1);
}

static void a_copy_of_what_is_used_can_be_loaded(void)
{
    CHECK(exits(child(do_copy), 0));
}

int main(void)
{
    RUN(actions_do_what_they_say);
    RUN(a_thread_is_killed_alone);
    RUN(a_trap_says_which_call_it_was);
    RUN(a_tracer_gets_the_message);
    RUN(a_listener_answers);
    RUN(a_listener_that_nobody_takes_is_refused);
    RUN(programs_run_behind_the_default_profile);
    RUN(tsync_is_for_all_threads);
    RUN(the_kernel_is_asked_what_it_knows);
    RUN(a_filter_needs_no_new_privileges);
    RUN(unknown_flags_are_named);
    RUN(a_copy_of_what_is_used_can_be_loaded);
    return test_status();
}
