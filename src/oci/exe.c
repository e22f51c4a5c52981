/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/exe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fence/mount.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static bool is_protected(int exe)
{
    struct statvfs s;
    int seals = fcntl(exe, F_GET_SEALS);

    if (seals >= 0)
        return (seals & SEALS) == SEALS;
    return !fstatvfs(exe, &s) && (s.f_flag & ST_RDONLY);
}

/* Cheap, but only for who may mount. */
static int readonly_mount(void)
{
    struct error err;
    int fd = mount_copy(AT_FDCWD, "/proc/self/exe", false, false, &err);

    if (fd >= 0 && mount_attr(fd, MOUNT_ATTR_RDONLY, 0, false, -1, &err)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static int sealed_copy(int exe)
{
    int fd = memfd_create("ringfence", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct stat st;
    off_t left;
    ssize_t n = 1;

    if (fd < 0 || fstat(exe, &st))
        return fd;
    for (left = st.st_size; left && n > 0; left -= n)
        n = sendfile(fd, exe, NULL, (size_t)left);
    if (left || fcntl(fd, F_ADD_SEALS, SEALS)) {
        close(fd);
        return -1;
    }
    return fd;
}

int exe_protect(char **argv, struct error *err)
{
    int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), fd;

    if (exe < 0)
        return error_set(err, errno, "/proc/self/exe: %s", strerror(errno));
    if (is_protected(exe)) {
        close(exe);
        prctl(PR_SET_NAME, "ringfence");
        return 0;
    }
    fd = readonly_mount();
    if (fd < 0)
        fd = sealed_copy(exe);
    close(exe);
    if (fd < 0)
        return error_set(err, errno, "cannot protect /proc/self/exe: %s",
                         strerror(errno));
    execveat(fd, "", argv, environ, AT_EMPTY_PATH);
    return error_set(err, errno, "/proc/self/exe: %s", strerror(errno));
}
