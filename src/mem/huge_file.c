/* SPDX-License-Identifier: Apache-2.0 */
/*
 * huge_file.c - a file in memory whose pages can be huge ones.
 *
 * Those of a memfd can be only if the host's administrator has said so
 * (shmem_enabled; as it comes, never). A tmpfs says so itself when it is
 * mounted: one is made here, attached nowhere, for one file without a name,
 * and ends with it. That takes CAP_SYS_ADMIN: who has it not gets it in a
 * child with a user namespace of its own, which shares our descriptors and
 * puts the file in the place of a memfd. What fails leaves the memfd.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mem/guest_mem.h"

static bool fs_set(int fs, const char *key, const char *value)
{
    return !syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0);
}

/* size: without a limit. advise: huge for mappings that ask for it. */
static int tmpfs_file(void)
{
    int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    int mount = -1, fd = -1;

    if (fs < 0)
        return -1;
    if (fs_set(fs, "huge", "advise") && fs_set(fs, "size", "0") &&
        !syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
        mount = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
                             MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    if (mount >= 0)
        fd = openat(mount, ".", O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    if (mount >= 0)
        close(mount);
    close(fs);
    return fd;
}

static bool file_says(const char *path, const char *text, int len)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, (size_t)len) == len;

    if (fd >= 0)
        close(fd);
    return ok;
}

/* A user namespace in which this user is itself, and may mount. */
static bool own_namespace(void)
{
    char uid[40], gid[40];
    int u = snprintf(uid, sizeof(uid), "%u %u 1", geteuid(), geteuid());
    int g = snprintf(gid, sizeof(gid), "%u %u 1", getegid(), getegid());

    return !syscall(SYS_unshare, CLONE_NEWUSER | CLONE_NEWNS) &&
           file_says("/proc/self/setgroups", "deny", 4) &&
           file_says("/proc/self/gid_map", gid, g) &&
           file_says("/proc/self/uid_map", uid, u);
}

int guest_mem_huge_file(void)
{
    int fd = tmpfs_file(), child, huge;

    if (fd >= 0)
        return fd;
    fd = memfd_create("guest-ram", MFD_CLOEXEC);
    if (fd < 0)
        return -1;
    child = (int)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
    if (!child) {
        huge = own_namespace() ? tmpfs_file() : -1;
        if (huge >= 0) {
            dup3(huge, fd, O_CLOEXEC);
            close(huge);
        }
        _exit(0);
    }
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    return fd;
}
