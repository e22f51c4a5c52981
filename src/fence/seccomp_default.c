/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp_default.c - what a container may call that asks for nothing else:
 * what Docker gives it (moby/profiles, seccomp/default.json), for x86. All
 * else is EPERM, and ENOSYS what is younger. Not there, so denied: io_uring,
 * keys, userfaultfd, modules, swap, quotas, kexec, and what is dead.
 */
#include <assert.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/socket.h>

#include "base/log.h"
#include "fence/seccomp.h"

/* clang-format off */

static const char *const always[] = {
    /* Reading, writing, and where in a file. */
    "_llseek", "copy_file_range", "fadvise64", "fadvise64_64", "fallocate",
    "fdatasync", "fsync", "ftruncate", "ftruncate64", "lseek", "pread64",
    "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read",
    "readahead", "readv", "sendfile", "sendfile64", "splice", "sync",
    "sync_file_range", "syncfs", "tee", "truncate", "truncate64",
    "vmsplice", "write", "writev",
    /* Descriptors. */
    "close", "close_range", "creat", "dup", "dup2", "dup3", "fcntl",
    "fcntl64", "flock", "ioctl", "memfd_create", "memfd_secret",
    "name_to_handle_at", "open", "openat", "openat2", "pipe", "pipe2",
    /* What is known of files. */
    "access", "faccessat", "faccessat2", "fanotify_mark", "fstat",
    "fstat64", "fstatat64", "fstatfs", "fstatfs64", "getcwd", "getdents",
    "getdents64", "inotify_add_watch", "inotify_init", "inotify_init1",
    "inotify_rm_watch", "listmount", "lstat", "lstat64", "newfstatat",
    "readlink", "readlinkat", "stat", "stat64", "statfs", "statfs64",
    "statmount", "statx",
    /* Names and owners of files. */
    "chdir", "chmod", "chown", "chown32", "fchdir", "fchmod", "fchmodat",
    "fchmodat2", "fchown", "fchown32", "fchownat", "futimesat", "lchown",
    "lchown32", "link", "linkat", "mkdir", "mkdirat", "mknod", "mknodat",
    "rename", "renameat", "renameat2", "rmdir", "symlink", "symlinkat",
    "umask", "unlink", "unlinkat", "utime", "utimensat", "utimensat_time64",
    "utimes",
    /* Extended attributes. */
    "fgetxattr", "flistxattr", "fremovexattr", "fsetxattr", "getxattr",
    "getxattrat", "lgetxattr", "listxattr", "listxattrat", "llistxattr",
    "lremovexattr", "lsetxattr", "removexattr", "removexattrat", "setxattr",
    "setxattrat",
    /* Waiting for several things. */
    "_newselect", "epoll_create", "epoll_create1", "epoll_ctl",
    "epoll_ctl_old", "epoll_pwait", "epoll_pwait2", "epoll_wait",
    "epoll_wait_old", "eventfd", "eventfd2", "io_cancel", "io_destroy",
    "io_getevents", "io_pgetevents", "io_pgetevents_time64", "io_setup",
    "io_submit", "poll", "ppoll", "ppoll_time64", "pselect6",
    "pselect6_time64", "select", "signalfd", "signalfd4",
    /* Sockets. */
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname",
    "getsockopt", "listen", "recv", "recvfrom", "recvmmsg",
    "recvmmsg_time64", "recvmsg", "send", "sendmmsg", "sendmsg", "sendto",
    "setsockopt", "shutdown", "socketcall", "socketpair",
    /* Messages, semaphores, shared memory. */
    "ipc", "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive",
    "mq_timedreceive_time64", "mq_timedsend", "mq_timedsend_time64",
    "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd", "semctl", "semget",
    "semop", "semtimedop", "semtimedop_time64", "shmat", "shmctl", "shmdt",
    "shmget",
    /* Memory. */
    "brk", "cachestat", "madvise", "map_shadow_stack", "membarrier",
    "mincore", "mlock", "mlock2", "mlockall", "mmap", "mmap2", "mprotect",
    "mremap", "mseal", "msync", "munlock", "munlockall", "munmap",
    "pkey_alloc", "pkey_free", "pkey_mprotect", "process_mrelease",
    "remap_file_pages",
    /* Processes and threads. */
    "arch_prctl", "execve", "execveat", "exit", "exit_group", "fork",
    "futex", "futex_requeue", "futex_time64", "futex_wait", "futex_waitv",
    "futex_wake", "get_robust_list", "get_thread_area", "getpgid",
    "getpgrp", "getpid", "getppid", "getsid", "gettid", "landlock_add_rule",
    "landlock_create_ruleset", "landlock_restrict_self", "modify_ldt",
    "pidfd_open", "pidfd_send_signal", "prctl", "process_vm_readv",
    "process_vm_writev", "ptrace", "restart_syscall", "rseq", "seccomp",
    "set_robust_list", "set_thread_area", "set_tid_address", "setpgid",
    "setsid", "uretprobe", "vfork", "wait4", "waitid", "waitpid",
    /* Signals. */
    "alarm", "kill", "pause", "rt_sigaction", "rt_sigpending",
    "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend",
    "rt_sigtimedwait", "rt_sigtimedwait_time64", "rt_tgsigqueueinfo",
    "sigaltstack", "sigprocmask", "sigreturn", "tgkill", "tkill",
    /* Users, groups and capabilities. */
    "capget", "capset", "getegid", "getegid32", "geteuid", "geteuid32",
    "getgid", "getgid32", "getgroups", "getgroups32", "getresgid",
    "getresgid32", "getresuid", "getresuid32", "getuid", "getuid32",
    "setfsgid", "setfsgid32", "setfsuid", "setfsuid32", "setgid",
    "setgid32", "setgroups", "setgroups32", "setregid", "setregid32",
    "setresgid", "setresgid32", "setresuid", "setresuid32", "setreuid",
    "setreuid32", "setuid", "setuid32",
    /* Time. */
    "adjtimex", "clock_adjtime", "clock_adjtime64", "clock_getres",
    "clock_getres_time64", "clock_gettime", "clock_gettime64",
    "clock_nanosleep", "clock_nanosleep_time64", "getitimer",
    "gettimeofday", "nanosleep", "setitimer", "time", "timer_create",
    "timer_delete", "timer_getoverrun", "timer_gettime", "timer_gettime64",
    "timer_settime", "timer_settime64", "timerfd_create", "timerfd_gettime",
    "timerfd_gettime64", "timerfd_settime", "timerfd_settime64", "times",
    /* Scheduling and limits. */
    "getcpu", "getpriority", "getrlimit", "getrusage", "ioprio_get",
    "ioprio_set", "prlimit64", "sched_get_priority_max",
    "sched_get_priority_min", "sched_getaffinity", "sched_getattr",
    "sched_getparam", "sched_getscheduler", "sched_rr_get_interval",
    "sched_rr_get_interval_time64", "sched_setaffinity", "sched_setattr",
    "sched_setparam", "sched_setscheduler", "sched_yield", "setpriority",
    "setrlimit", "ugetrlimit",
    /* The rest. */
    "getrandom", "sysinfo", "uname",
};

static const char *const socket_[] = {"socket"};
static const char *const personality_[] = {"personality"};
static const char *const clone_[] = {"clone"};
static const char *const clone3_[] = {"clone3"};

/* For those who have a capability. */
static const char *const by_handle[] = {"open_by_handle_at"};
static const char *const admin[] = {
    "bpf", "clone", "clone3", "fanotify_init", "fsconfig", "fsmount",
    "fsopen", "fspick", "lookup_dcookie", "lsm_get_self_attr",
    "lsm_list_modules", "lsm_set_self_attr", "mount", "mount_setattr",
    "move_mount", "open_tree", "perf_event_open", "quotactl", "quotactl_fd",
    "setdomainname", "sethostname", "setns", "syslog", "umount", "umount2",
    "unshare",
};
static const char *const boot[] = {"reboot"};
static const char *const root[] = {"chroot"};
static const char *const modules[] = {
    "delete_module", "finit_module", "init_module",
};
static const char *const accounts[] = {"acct"};
static const char *const trace[] = {"kcmp", "pidfd_getfd", "process_madvise"};
static const char *const ports[] = {"ioperm", "iopl"};
static const char *const clocks[] = {
    "clock_settime", "clock_settime64", "settimeofday", "stime",
};
static const char *const hangup[] = {"vhangup"};
static const char *const nodes[] = {
    "get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node",
};
static const char *const kernel_log[] = {"syslog"};
static const char *const bpf[] = {"bpf"};
static const char *const perf[] = {"perf_event_open"};

/* Crypto of the kernel's (AF_ALG) and the host behind a VM's (AF_VSOCK): not
 * for containers. */
static const struct seccomp_arg before_alg[] = {{0, SECCOMP_OP_LT, AF_ALG, 0}};
static const struct seccomp_arg is_nfc[] = {{0, SECCOMP_OP_EQ, AF_NFC, 0}};
static const struct seccomp_arg past_vsock[] = {
    {0, SECCOMP_OP_GT, AF_VSOCK, 0}};

/* Linux, with a 32-bit machine's name or not; and the question which it is. */
static const struct seccomp_arg linux_[] = {{0, SECCOMP_OP_EQ, 0x00000, 0}};
static const struct seccomp_arg linux32[] = {{0, SECCOMP_OP_EQ, 0x00008, 0}};
static const struct seccomp_arg uname26[] = {{0, SECCOMP_OP_EQ, 0x20000, 0}};
static const struct seccomp_arg both[] = {{0, SECCOMP_OP_EQ, 0x20008, 0}};
static const struct seccomp_arg which[] = {
    {0, SECCOMP_OP_EQ, 0xffffffff, 0}};

/* New namespaces are the administrator's. */
static const struct seccomp_arg no_namespaces[] = {
    {0, SECCOMP_OP_MASKED_EQ,
     CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
     CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET, 0}};

#define CALLS(list)      .names = list, .count = ARRAY_SIZE(list)
#define ALLOW(list)      {CALLS(list), SECCOMP_ACT_ALLOW}
#define ALLOW_IF(list, arg) \
    {CALLS(list), SECCOMP_ACT_ALLOW, .args = arg, .nargs = 1}

enum { ANYBODY, WITH, WITHOUT };

static const struct {
    uint8_t who, cap;
    struct seccomp_rule rule;
} groups[] = {
    {ANYBODY, 0, ALLOW(always)},
    {ANYBODY, 0, ALLOW_IF(socket_, before_alg)},
    {ANYBODY, 0, ALLOW_IF(socket_, is_nfc)},
    {ANYBODY, 0, ALLOW_IF(socket_, past_vsock)},
    {ANYBODY, 0, ALLOW_IF(personality_, linux_)},
    {ANYBODY, 0, ALLOW_IF(personality_, linux32)},
    {ANYBODY, 0, ALLOW_IF(personality_, uname26)},
    {ANYBODY, 0, ALLOW_IF(personality_, both)},
    {ANYBODY, 0, ALLOW_IF(personality_, which)},
    {WITH, CAP_DAC_READ_SEARCH, ALLOW(by_handle)},
    {WITH, CAP_SYS_ADMIN, ALLOW(admin)},
    {WITHOUT, CAP_SYS_ADMIN, ALLOW_IF(clone_, no_namespaces)},
    /* its flags are in memory; libc takes clone() on ENOSYS */
    {WITHOUT, CAP_SYS_ADMIN, {CALLS(clone3_), SECCOMP_ACT_ERRNO, ENOSYS}},
    {WITH, CAP_SYS_BOOT, ALLOW(boot)},
    {WITH, CAP_SYS_CHROOT, ALLOW(root)},
    {WITH, CAP_SYS_MODULE, ALLOW(modules)},
    {WITH, CAP_SYS_PACCT, ALLOW(accounts)},
    {WITH, CAP_SYS_PTRACE, ALLOW(trace)},
    {WITH, CAP_SYS_RAWIO, ALLOW(ports)},
    {WITH, CAP_SYS_TIME, ALLOW(clocks)},
    {WITH, CAP_SYS_TTY_CONFIG, ALLOW(hangup)},
    {WITH, CAP_SYS_NICE, ALLOW(nodes)},
    {WITH, CAP_SYSLOG, ALLOW(kernel_log)},
    {WITH, CAP_BPF, ALLOW(bpf)},
    {WITH, CAP_PERFMON, ALLOW(perf)},
};

/* clang-format on */

static const enum seccomp_arch arches[] = {
    SECCOMP_ARCH_X86_64,
    SECCOMP_ARCH_X86,
    SECCOMP_ARCH_X32,
};

static bool is_for(unsigned i, uint64_t caps)
{
    bool has = caps & BIT64(groups[i].cap);

    return groups[i].who == ANYBODY || has == (groups[i].who == WITH);
}

const struct seccomp_profile *seccomp_default(struct seccomp_default *d,
                                              uint64_t caps)
{
    unsigned rules = 0;

    static_assert(ARRAY_SIZE(groups) <= SECCOMP_DEFAULT_RULES, "all fit");
    for (unsigned i = 0; i < ARRAY_SIZE(groups); i++)
        if (is_for(i, caps))
            d->rule[rules++] = groups[i].rule;
    d->profile = (struct seccomp_profile){
        .action = SECCOMP_ACT_ERRNO,
        .errno_ret = EPERM,
        .arches = arches,
        .arch_count = ARRAY_SIZE(arches),
        .rules = d->rule,
        .rule_count = rules,
        .flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    };
    return &d->profile;
}
