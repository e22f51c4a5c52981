/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp_load.c - filters and the kernel. [seccomp(2)]
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fence/seccomp.h"
#include "fence/seccomp_int.h"

#ifndef SECCOMP_FILTER_FLAG_TSYNC_ESRCH /* Linux 5.7 */
#define SECCOMP_FILTER_FLAG_TSYNC_ESRCH (1u << 4)
#endif
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV /* Linux 5.19 */
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1ul << 5)
#endif

/* A filter that cannot be read: known flags get that far. */
static bool flag_known(unsigned flag)
{
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flag, NULL) &&
           errno == EFAULT;
}

bool seccomp_supported(void)
{
    return flag_known(0);
}

unsigned seccomp_flags_supported(void)
{
    unsigned known = 0, flag;

    for (unsigned i = 0; seccomp_flag_name(i); i++)
        if (seccomp_flag_find(seccomp_flag_name(i), &flag)) {
            /* the kernel takes this one only beside a listener */
            unsigned with = flag == SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
                                ? SECCOMP_FILTER_FLAG_NEW_LISTENER
                                : 0;

            if (flag_known(flag | with))
                known |= flag;
        }
    return known;
}

bool seccomp_action_supported(enum seccomp_action a)
{
    uint32_t word = seccomp_action_word(a, 0);

    return !syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &word);
}

static int load_error(const struct seccomp_program *prog, struct error *err)
{
    switch (errno) {
    case EACCES:
        return error_set(err, EACCES,
                         "linux.seccomp: a filter needs no_new_privs "
                         "(process.noNewPrivileges) or CAP_SYS_ADMIN");
    case EBUSY:
        return error_set(err, EBUSY,
                         "linux.seccomp: a filter that is there already has a "
                         "listener, and there can be but one");
    case EINVAL:
        if (prog->flags & ~seccomp_flags_supported())
            return error_set(err, EINVAL,
                             "linux.seccomp.flags: this kernel knows not all "
                             "of them (%#x of %#x)",
                             seccomp_flags_supported(), prog->flags);
        return error_set(err, EINVAL,
                         "linux.seccomp: this kernel has no filters, or "
                         "an action of the profile is too new");
    default:
        return error_set(err, errno, "linux.seccomp: %s", strerror(errno));
    }
}

/*
 * Older kernels do not know TSYNC_ESRCH, but then they have no listeners
 * either; it says that a positive answer is one, and no thread.
 */
static unsigned flags_of(const struct seccomp_program *prog, bool listener)
{
    unsigned flags = prog->flags;

    if (!listener)
        return flags & ~(unsigned)SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    if (flags & SECCOMP_FILTER_FLAG_TSYNC)
        flags |= SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
    return flags | SECCOMP_FILTER_FLAG_NEW_LISTENER;
}

size_t seccomp_program_size(const struct seccomp_program *prog)
{
    return offsetof(struct seccomp_program, insn) +
           prog->len * sizeof(prog->insn[0]);
}

int seccomp_load(const struct seccomp_program *prog, int *listener,
                 struct error *err)
{
    /* The kernel only reads it. */
    struct sock_fprog f = {.len = (unsigned short)prog->len,
                           .filter = (struct sock_filter *)prog->insn};
    long ret;

    if (prog->notify && !listener)
        return error_set(err, EINVAL,
                         "linux.seccomp: SCMP_ACT_NOTIFY needs a "
                         "listenerPath: nobody would answer");
    ret = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                  flags_of(prog, listener), &f);
    if (ret < 0)
        return load_error(prog, err);
    if (ret && !listener)
        return error_set(err, ESRCH,
                         "linux.seccomp: thread %ld has filters of its own",
                         ret);
    if (listener)
        *listener = (int)ret;
    return 0;
}
