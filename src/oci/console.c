/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console.c - a container's terminal: a pair of its own devpts, so that its
 * name means something inside. Nothing is opened by name but devpts' ptmx,
 * which is verified to be that.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd_pass.h"
#include "fence/mount.h"
#include "fence/path.h"
#include "oci/rootfs_int.h"

/* DEVPTS_SUPER_MAGIC is not in every magic.h. */
#define DEVPTS_MAGIC 0x1cd1

int console_connect(const char *path, struct error *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof(a.sun_path))
        return error_set(err, ENAMETOOLONG, "--console-socket: %s is too long",
                         path);
    strcpy(a.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a))) {
        error_set(err, errno, "--console-socket: %s: %s", path,
                  strerror(errno));
        if (fd >= 0)
            close(fd);
        return -err->code;
    }
    return fd;
}

/* As containerd's and conmon's receivers expect it: the name, with the fd. */
int console_send(int sock, int master, struct error *err)
{
    static const char name[] = "/dev/ptmx";
    int e = fd_pass_send(sock, name, sizeof(name), master);

    return e ? error_set(err, -e, "--console-socket: %s", strerror(-e)) : 0;
}

static int master_open(int root, struct error *err)
{
    int fd = path_open_in(root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY);
    struct stat st;
    int zero = 0;

    if (fd < 0)
        return error_set(err, -fd,
                         "process.terminal: /dev/pts/ptmx: %s (a "
                         "mount of devpts is needed)",
                         strerror(-fd));
    if (!rootfs_is_fs(fd, DEVPTS_MAGIC) || fstat(fd, &st) ||
        st.st_rdev != makedev(5, 2) || ioctl(fd, TIOCSPTLCK, &zero)) {
        close(fd);
        return error_set(err, ENOTTY,
                         "process.terminal: /dev/pts/ptmx is no "
                         "devpts");
    }
    return fd;
}

/*
 * From descriptor to descriptor. The image may have made of the name a link to
 * a file that is not masked yet.                          [CVE-2025-52565]
 */
static int bind_console(int root, int slave, struct error *err)
{
    int target = path_make_in(root, "/dev/console", true, NULL), e;

    if (target < 0)
        return error_set(err, -target, "/dev/console: %s", strerror(-target));
    e = rootfs_outside_proc(target, "process.terminal: /dev/console", err);
    if (!e)
        e = mount_bind(slave, "", false, 0, target, err);
    close(target);
    return e;
}

static int become_ours(const struct launch *l, int slave, struct error *err)
{
    int i;

    /* A terminal is a session leader's; setsid() was called before. */
    if (!l->late && ioctl(slave, TIOCSCTTY, 0))
        return error_set(err, errno, "process.terminal: TIOCSCTTY: %s",
                         strerror(errno));
    for (i = 0; i < 3; i++)
        if (dup2(slave, i) < 0)
            return error_set(err, errno, "dup2: %s", strerror(errno));
    if (slave > 2)
        close(slave);
    return 0;
}

int console_open(struct launch *l, int root, struct error *err)
{
    const struct spec_process *p = l->process;
    struct winsize w = {.ws_row = p->console_size.height,
                        .ws_col = p->console_size.width};
    int master = master_open(root, err), slave, e = 0;

    if (master < 0)
        return master;
    slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        e = error_set(err, errno, "process.terminal: %s", strerror(errno));
    if (!e && w.ws_row && w.ws_col)
        ioctl(slave, TIOCSWINSZ, &w);
    if (!e && fchown(slave, p->user.uid, (gid_t)-1) && errno != EINVAL &&
        errno != EPERM)
        e = error_set(err, errno, "process.terminal: chown: %s",
                      strerror(errno));
    if (!e && !l->joins)
        e = bind_console(root, slave, err);
    if (!e)
        e = console_send(l->console_socket, master, err);
    close(master);
    if (!e)
        e = become_ours(l, slave, err);
    else if (slave >= 0)
        close(slave);
    return e;
}
