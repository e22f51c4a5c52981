/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chroot.c - the plainest fence: another root, and nothing else. It keeps
 * programs from what they do not look for; a hostile one that is root gets out
 * (chroot(2) says how), which is what containers are for.
 */
#include <errno.h>
#include <linux/close_range.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "oci/container.h"
#include "oci/launch.h"

/* Who is not root becomes it in a user namespace of his own. */
static int become_root_of_own(struct error *err)
{
    struct spec_idmap u = {0, geteuid(), 1}, g = {0, getegid(), 1};
    struct json_array uids = {&u, 1}, gids = {&g, 1};

    if (!geteuid())
        return 0;
    if (unshare(CLONE_NEWUSER))
        return error_set(err, errno,
                         "chroot: needs root, or user namespaces, which this "
                         "host does not give to users: %s",
                         strerror(errno));
    return idmap_write(getpid(), &uids, &gids, err);
}

int container_chroot(const char *dir, char **argv, struct error *err)
{
    static char *shell[] = {"/bin/sh", NULL};
    char **program = argv[0] ? argv : shell;
    int e = become_root_of_own(err);

    if (e)
        return e;
    if (chdir(dir) || chroot(".") || chdir("/"))
        return error_set(err, errno, "chroot %s: %s", dir, strerror(errno));
    syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC);
    execvp(program[0], program);
    return error_set(err, errno, "chroot %s: %s: %s", dir, program[0],
                     strerror(errno));
}
