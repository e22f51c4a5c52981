/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_daemon.c - --daemonize and --pidfile.
 *
 * The parent waits until its child's machine runs, or has failed: so what is
 * wrong is on the terminal, and in the parent's status. One thread so far.
 */
#include "cmd/boot_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int boot_daemonize(void *ctx, const char *v, struct error *err)
{
    (void)v;
    (void)err;
    ((struct boot_args *)ctx)->cfg.detach = true;
    return 0;
}

int boot_pidfile(void *ctx, const char *v, struct error *err)
{
    (void)err;
    ((struct boot_args *)ctx)->pidfile = v;
    return 0;
}

/* The parent: until the child says "ok", or ends. */
static int daemon_wait(int fd, pid_t child)
{
    char word[3] = "";
    ssize_t n;
    int status;

    do
        n = read(fd, word, sizeof(word));
    while (n < 0 && errno == EINTR);
    if (n == 3 && !memcmp(word, "ok\n", 3))
        return EXIT_OK;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_HOST;
}

/* Errors still go to the terminal; input and output go nowhere. */
static int daemon_detach(struct error *err)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
        dup2(null, STDOUT_FILENO) < 0)
        return error_set(err, errno, "--daemonize: /dev/null: %s",
                         strerror(errno));
    close(null);
    setsid();
    return 0;
}

int boot_detach(struct boot_args *a, int *status, struct error *err)
{
    int fd[2];
    pid_t child;

    *status = -1;
    if (!a->cfg.detach)
        return 0;
    if (a->cfg.ready_fd)
        return error_set(err, EINVAL, "--daemonize: not with --ready-fd");
    if (pipe2(fd, O_CLOEXEC) < 0 || (child = fork()) < 0)
        return error_set(err, errno, "--daemonize: %s", strerror(errno));
    if (child) {
        close(fd[1]);
        *status = daemon_wait(fd[0], child);
        return 0;
    }
    close(fd[0]);
    a->cfg.ready_fd = fd[1];
    return daemon_detach(err);
}

int boot_pid_write(const struct boot_args *a, struct error *err)
{
    int fd, e;

    if (!a->pidfile)
        return 0;
    fd = open(a->pidfile, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0) {
        e = errno;
        if (fd >= 0)
            close(fd);
        return error_set(err, e,
                         "--pidfile %s: %s; give a file that can be written to",
                         a->pidfile, strerror(e));
    }
    close(fd);
    return 0;
}

void boot_pid_remove(const struct boot_args *a)
{
    if (a->pidfile)
        unlink(a->pidfile);
}
