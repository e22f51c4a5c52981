/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calls.c - the lists; see doc/fence.md for the threads that have them.
 */
#include "fence/calls.h"

#include <asm/ioctls.h>
#include <asm/unistd.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/log.h"
#include "fence/fence.h"

#define ANY_CLONE_NEW                                                          \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |             \
     CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
#define END 0xffff /* of a list */

/* The number of a 32-bit program's call. */
#define I386_SET_THREAD_AREA 243

/* Younger than the oldest headers that this is built with. */
#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif
#ifndef __NR_memfd_secret
#define __NR_memfd_secret 447
#endif

/* clang-format off */

/* --- the process --- */

/* Other processes, other namespaces, the whole host: none of our business. */
static const uint16_t never[] = {
    /* mounts and namespaces; unshare has a rule */
    __NR_mount, __NR_umount2, __NR_pivot_root, __NR_chroot,
    __NR_move_mount, __NR_open_tree, __NR_fsopen, __NR_fsconfig,
    __NR_fsmount, __NR_fspick, __NR_mount_setattr, __NR_setns,
    __NR_unshare, __NR_quotactl, __NR_quotactl_fd, __NR_open_by_handle_at,
    __NR_fanotify_init, __NR_fanotify_mark,
    /* other processes' memory and descriptors */
    __NR_process_vm_writev, __NR_pidfd_getfd, __NR_kcmp,
    __NR_process_madvise, __NR_process_mrelease, __NR_migrate_pages,
    __NR_move_pages,
#ifndef __SANITIZE_ADDRESS__ /* its leak check stops the threads */
    __NR_ptrace, __NR_process_vm_readv, __NR_personality,
#endif
    /* the kernel's inside */
    __NR_bpf, __NR_perf_event_open, __NR_userfaultfd, __NR_kexec_load,
    __NR_kexec_file_load, __NR_create_module, __NR_init_module,
    __NR_finit_module, __NR_delete_module, __NR_syslog,
    __NR_lookup_dcookie, __NR_keyctl, __NR_add_key, __NR_request_key,
    __NR_memfd_secret,
    /* the host */
    __NR_reboot, __NR_swapon, __NR_swapoff, __NR_acct, __NR_settimeofday,
    __NR_clock_settime, __NR_adjtimex, __NR_clock_adjtime,
    __NR_sethostname, __NR_setdomainname, __NR_iopl, __NR_ioperm,
    __NR_modify_ldt, __NR_vhangup,
    /* who we are */
    __NR_setuid, __NR_setgid, __NR_setreuid, __NR_setregid, __NR_setresuid,
    __NR_setresgid, __NR_setgroups, __NR_setfsuid, __NR_setfsgid,
    /* old ways, and calls that were never there */
    __NR_uselib, __NR_ustat, __NR_sysfs, __NR__sysctl, __NR_nfsservctl,
    __NR_remap_file_pages, __NR_get_kernel_syms, __NR_query_module,
    __NR_getpmsg, __NR_putpmsg, __NR_afs_syscall, __NR_tuxcall,
    __NR_security, __NR_vserver, __NR_io_setup, __NR_shmget, __NR_shmat,
    __NR_shmctl, __NR_shmdt, __NR_semget, __NR_semop, __NR_semctl,
    __NR_semtimedop, __NR_msgget, __NR_msgsnd, __NR_msgrcv, __NR_msgctl,
    END};

/* --- threads --- */

static const uint16_t base[] = {
    __NR_read, __NR_write, __NR_readv, __NR_writev, __NR_pread64,
    __NR_pwrite64, __NR_preadv, __NR_pwritev, __NR_lseek, __NR_close,
    __NR_fstat, __NR_fcntl, __NR_dup, __NR_epoll_ctl, __NR_epoll_wait,
    __NR_epoll_pwait, __NR_poll, __NR_ppoll, __NR_eventfd2,
    __NR_timerfd_settime, __NR_futex, __NR_sched_yield,
    __NR_sched_getaffinity, __NR_getcpu, __NR_nanosleep,
    __NR_clock_nanosleep, __NR_clock_gettime, __NR_clock_getres,
    __NR_gettimeofday, __NR_time, __NR_getrandom, __NR_mmap, __NR_munmap,
    __NR_mremap, __NR_mprotect, __NR_madvise, __NR_brk, __NR_membarrier,
    __NR_rt_sigaction, __NR_rt_sigprocmask, __NR_rt_sigreturn,
    __NR_sigaltstack, __NR_tgkill, __NR_gettid, __NR_getpid, __NR_getppid,
    __NR_getuid, __NR_geteuid, __NR_getrusage, __NR_sysinfo, __NR_uname,
    __NR_restart_syscall,
    __NR_set_robust_list, __NR_rseq, __NR_exit, __NR_exit_group, END};

/* --- what a thread may need besides, enum fence_needs --- */

static const uint16_t disk[] = {
    __NR_preadv2, __NR_pwritev2, __NR_fsync, __NR_fdatasync,
    __NR_fallocate, __NR_ftruncate, __NR_sync_file_range,
    END};

/* Of descriptors that are open: terminals, networks, sockets, disks' rings. */
static const uint16_t devices[] = {
    __NR_io_uring_enter,
    __NR_sendto, __NR_sendmsg, __NR_sendmmsg, __NR_recvfrom, __NR_recvmsg,
    __NR_recvmmsg, __NR_shutdown, __NR_accept, __NR_accept4,
    __NR_getsockname, __NR_getpeername, __NR_getsockopt, __NR_setsockopt,
    __NR_ioctl, __NR_select, __NR_pselect6, END};

/* Another thread, which then gives up what it does not need. */
static const uint16_t threads[] = {
    __NR_seccomp, __NR_capget, __NR_capset, __NR_prctl,
    __NR_set_tid_address, END};

static const uint16_t connections[] = {
    __NR_socket, __NR_connect, __NR_bind, __NR_listen, __NR_socketpair,
    __NR_pipe2, __NR_stat, __NR_newfstatat, __NR_statx, END};

/* Starting one, its own calls until it has its filters, and ending it. */
static const uint16_t stubs[] = {
    __NR_memfd_create, __NR_ftruncate, __NR_socketpair, __NR_sendmsg,
    __NR_recvmsg, __NR_vfork, __NR_dup2, __NR_dup3, __NR_setsid,
    __NR_execveat, __NR_wait4, __NR_waitid, __NR_pidfd_open, __NR_kill,
    __NR_ioctl, __NR_close_range, __NR_seccomp, __NR_setrlimit,
    __NR_capset, __NR_arch_prctl, __NR_prctl,
    __NR_modify_ldt, /* the process's rule for it holds, too */
    END};

static const uint16_t files[] = {
    __NR_open, __NR_openat, __NR_openat2, __NR_stat, __NR_lstat,
    __NR_newfstatat, __NR_statx, __NR_statfs, __NR_fstatfs,
    __NR_getdents64, __NR_access, __NR_faccessat, __NR_faccessat2,
    __NR_mkdirat, __NR_mknodat, __NR_unlinkat, __NR_unlink, __NR_rmdir,
    __NR_renameat, __NR_renameat2, __NR_linkat, __NR_symlinkat,
    __NR_readlink, __NR_readlinkat, __NR_fchmod, __NR_chmod, __NR_fchmodat,
    __NR_fchmodat2, __NR_chown, __NR_fchown, __NR_lchown, __NR_fchownat,
    __NR_utimensat, __NR_truncate, __NR_flock, __NR_fadvise64, __NR_syncfs,
    __NR_copy_file_range, __NR_sendfile, __NR_splice, __NR_umask,
    __NR_fchdir, __NR_chdir, __NR_getcwd, __NR_setxattr, __NR_lsetxattr,
    __NR_fsetxattr, __NR_getxattr, __NR_lgetxattr, __NR_fgetxattr,
    __NR_listxattr, __NR_llistxattr, __NR_flistxattr, __NR_removexattr,
    __NR_lremovexattr, __NR_fremovexattr, __NR_prlimit64, __NR_getrlimit,
    END};

/* clang-format on */

static void answer(struct fence_table *t, const uint16_t *list,
                   enum fence_answer a)
{
    for (; *list != END; list++) {
        rf_assert(*list < FENCE_CALLS);
        t->answer[*list] = (uint8_t)a;
    }
}

/* Rules of one call have to follow each other. */
static void rule(struct fence_table *t, unsigned call, unsigned arg,
                 uint32_t mask, uint32_t value, enum fence_answer a)
{
    rf_assert(t->rules < FENCE_RULES_MAX);
    t->rule[t->rules++] = (struct fence_rule){(uint16_t)call, (uint8_t)arg,
                                              (uint8_t)a, mask, value};
}

static void rule_sockets(struct fence_table *t)
{
    static const uint32_t families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};

    t->answer[__NR_socket] = FENCE_TRAP;
    for (unsigned i = 0; i < ARRAY_SIZE(families); i++)
        rule(t, __NR_socket, 0, ~0u, families[i], FENCE_ALLOW);
}

/* Its flags are in memory, where no filter sees them; libc can do without. */
static void rule_clone(struct fence_table *t)
{
    t->answer[__NR_clone3] = FENCE_ABSENT;
    t->answer[__NR_clone] = FENCE_TRAP;
}

void fence_table_process(struct fence_table *t)
{
    memset(t, 0, sizeof(*t));
    memset(t->answer, FENCE_ALLOW, sizeof(t->answer));
    for (unsigned i = 0; i < FENCE_CALLS; i++)
        if (!fence_call_name(i))
            t->answer[i] = FENCE_ABSENT;
    answer(t, never, FENCE_TRAP);
    rule_clone(t);
    rule(t, __NR_clone, 0, ANY_CLONE_NEW, 0, FENCE_ALLOW);
    /* a share's thread has a umask of its own */
    rule(t, __NR_unshare, 0, ~0u, CLONE_FS, FENCE_ALLOW);
    /* typing into the user's terminal */
    rule(t, __NR_ioctl, 1, ~0u, TIOCSTI, FENCE_TRAP);
    rule(t, __NR_ioctl, 1, ~0u, TIOCLINUX, FENCE_TRAP);
    rule_sockets(t);
    /* Stub processes give 32-bit code its segments; their filters let nobody
     * else do it (doc/direct.md). Writing an entry: nothing else. */
    rule(t, __NR_modify_ldt, 0, ~0u, 0x11, FENCE_ALLOW);
    t->i386 = I386_SET_THREAD_AREA;
}

/* A thread's name, for the line that says why it ends. */
static void rule_prctl(struct fence_table *t)
{
    rule(t, __NR_prctl, 0, ~0u, PR_SET_NAME, FENCE_ALLOW);
    rule(t, __NR_prctl, 0, ~0u, PR_GET_NAME, FENCE_ALLOW);
    rule(t, __NR_prctl, 0, ~0u, PR_SET_VMA, FENCE_ALLOW); /* of libc's heap */
}

/* Threads, and no processes but of stubs, which vfork() has. */
static void rule_threads(struct fence_table *t)
{
    const uint32_t thread = CLONE_VM | CLONE_THREAD;

    rule(t, __NR_clone, 0, thread | ANY_CLONE_NEW, thread, FENCE_ALLOW);
}

/* No program is mapped, and none made. */
static void rule_no_code(struct fence_table *t)
{
    rule(t, __NR_mmap, 2, PROT_EXEC, PROT_EXEC, FENCE_TRAP);
    rule(t, __NR_mprotect, 2, PROT_EXEC, PROT_EXEC, FENCE_TRAP);
}

/* To look up a name server, for one. */
static void rule_read_only(struct fence_table *t)
{
    rule(t, __NR_openat, 2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY,
         FENCE_ALLOW);
    rule(t, __NR_open, 1, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY, FENCE_ALLOW);
}

/*
 * libc's malloc() looks at /proc/sys/vm/overcommit_memory before it gives heap
 * back, and for the number of CPUs: it can do without, and asks like this.
 */
static void rule_libc(struct fence_table *t)
{
    rule(t, __NR_openat, 2, ~0u, O_RDONLY | O_CLOEXEC, FENCE_REFUSE);
}

void fence_table_thread(struct fence_table *t, unsigned needs)
{
    static const struct {
        unsigned need;
        const uint16_t *list;
    } lists[] = {
        {FENCE_DISK, disk},       {FENCE_DEVICES, devices},
        {FENCE_STUBS, stubs},     {FENCE_CONNECTIONS, connections},
        {FENCE_FILES, disk},      {FENCE_FILES, files},
        {FENCE_THREADS, threads},
    };

    memset(t, 0, sizeof(*t)); /* FENCE_TRAP */
    answer(t, base, FENCE_ALLOW);
    for (unsigned i = 0; i < ARRAY_SIZE(lists); i++)
        if (needs & lists[i].need)
            answer(t, lists[i].list, FENCE_ALLOW);
    t->answer[__NR_clone3] = FENCE_ABSENT;
    if (needs & FENCE_STUBS)
        t->i386 = I386_SET_THREAD_AREA;
    if (needs & FENCE_THREADS)
        rule_threads(t);
    if (!t->answer[__NR_prctl])
        rule_prctl(t);
    if (!(needs & FENCE_CODE))
        rule_no_code(t);
    if (needs & FENCE_CONNECTIONS)
        rule_read_only(t);
    else if (!(needs & FENCE_FILES))
        rule_libc(t);
}

/* --- names --- */

const char *fence_call_name(unsigned nr)
{
    static const char *const call_names[FENCE_CALLS] = {
#include "gen/call_names.inc"
    };

    return nr < FENCE_CALLS ? call_names[nr] : NULL;
}
