/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attack.c - what a hostile process does, for tests/oci/hostile. It prints a
 * line that begins with "!" for each way out that it finds, and harms nothing.
 *
 *   watch MARKER   looks at every process that turns up in /proc: is its
 *                  program writable, does a descriptor, folder or root of it
 *                  lead to the host's file MARKER? Until it is killed.
 *   trace MARKER   the same with CAP_SYS_PTRACE: each process that is brought
 *                  in is stopped where it stands; has it a right, a socket, a
 *                  word of the runtime's environment that we have not?
 *   ready          tells the service manager that it is, and more
 *   swap A B       exchanges two names as fast as it can, until it is killed
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define UP "../../../../../../../../../../../.."

static struct stat own;

/* The path leads to a folder of the host's, if MARKER is found from there. */
static void try_folder(const char *path, const char *marker)
{
    static const char *const ways[] = {"%s%s", "%s/" UP "%s"};
    char text[600];

    for (unsigned i = 0; i < 2; i++) {
        snprintf(text, sizeof(text), ways[i], path, marker);
        if (!access(text, F_OK))
            printf("!%s leads out\n", path);
    }
}

/* As the published attack: held by a descriptor, opened to write through it. */
static void try_program(const char *path)
{
    char text[64];
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC), w;

    if (fd < 0)
        return;
    if (!fstat(fd, &st) && st.st_size != own.st_size) {
        printf("seen %s\n", path);
        snprintf(text, sizeof(text), "/proc/self/fd/%d", fd);
        for (unsigned i = 0; i < 200; i++) {
            w = open(text, O_WRONLY | O_CLOEXEC);
            if (w >= 0) {
                printf("!%s is writable\n", path);
                close(w);
                break;
            }
        }
    }
    close(fd);
}

static void try_descriptors(const char *pid, const char *marker)
{
    char path[400];
    struct dirent *e;
    DIR *d;

    snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
    d = opendir(path);
    while (d && (e = readdir(d))) {
        snprintf(path, sizeof(path), "/proc/%.20s/fd/%.20s", pid, e->d_name);
        if (e->d_name[0] != '.')
            try_folder(path, marker);
    }
    if (d)
        closedir(d);
}

/* --- with CAP_SYS_PTRACE --- */

static void read_file(const char *pid, const char *name, char *buf, size_t size)
{
    char path[64];
    ssize_t n = 0, got;
    int fd;

    snprintf(path, sizeof(path), "/proc/%.20s/%s", pid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && n < (ssize_t)size - 1 &&
           (got = read(fd, buf + n, size - 1 - (size_t)n)) > 0)
        n += got;
    buf[n] = 0;
    for (ssize_t i = 0; i < n; i++)
        if (!buf[i])
            buf[i] = ' ';
    if (fd >= 0)
        close(fd);
}

static unsigned long long rights(const char *pid)
{
    char text[4096], *p;

    read_file(pid, "status", text, sizeof(text));
    p = strstr(text, "CapPrm:");
    return p ? strtoull(p + 7, NULL, 16) : 0;
}

static void try_sockets(const char *pid)
{
    char path[64], to[128];

    for (unsigned fd = 0; fd < 40; fd++) {
        snprintf(path, sizeof(path), "/proc/%.20s/fd/%u", pid, fd);
        ssize_t n = readlink(path, to, sizeof(to) - 1);

        to[n > 0 ? n : 0] = 0;
        if (!strncmp(to, "socket:", 7) || (fd > 2 && to[0] == '/'))
            printf("!%s is %s\n", path, to);
    }
}

static void try_traced(const char *pid, const char *marker)
{
    unsigned long long more;
    char text[8192];
    int known = 0;

    /* Whatever is the same program as ours is ours. */
    snprintf(text, sizeof(text), "/proc/%.20s/exe", pid);
    struct stat st;
    if (!stat(text, &st))
        known = st.st_ino == own.st_ino && st.st_dev == own.st_dev;
    if (known || ptrace(PTRACE_SEIZE, atoi(pid), 0, 0))
        return;
    ptrace(PTRACE_INTERRUPT, atoi(pid), 0, 0);
    waitpid(atoi(pid), NULL, __WALL);
    printf("stopped %s\n", pid);
    more = rights(pid) & ~rights("self");
    if (more)
        printf("!%s has rights %llx\n", pid, more);
    read_file(pid, "environ", text, sizeof(text));
    if (strstr(text, "RUNTIMES_OWN"))
        printf("!%s has the runtime's environment\n", pid);
    try_sockets(pid);
    try_descriptors(pid, marker);
    snprintf(text, sizeof(text), "/proc/%.20s/cwd", pid);
    try_folder(text, marker);
    snprintf(text, sizeof(text), "/proc/%.20s/root", pid);
    try_folder(text, marker);
    ptrace(PTRACE_DETACH, atoi(pid), 0, 0);
}

/* Those that are there already are no news. */
static void trace_all(const char *marker)
{
    int last = getpid();
    char pid[16];

    for (;;) {
        FILE *f = fopen("/proc/loadavg", "r");
        int newest = 0;

        if (!f || fscanf(f, "%*s %*s %*s %*s %d", &newest) != 1)
            _exit(1);
        fclose(f);
        for (; last < newest; last++) {
            snprintf(pid, sizeof(pid), "%d", last + 1);
            try_traced(pid, marker);
        }
    }
}

static void watch_once(const char *marker, int self)
{
    DIR *d = opendir("/proc");
    struct dirent *e;
    char path[300];

    while (d && (e = readdir(d))) {
        if (atoi(e->d_name) <= 0 || atoi(e->d_name) == self)
            continue;
        snprintf(path, sizeof(path), "/proc/%.20s/exe", e->d_name);
        try_program(path);
        snprintf(path, sizeof(path), "/proc/%.20s/cwd", e->d_name);
        try_folder(path, marker);
        snprintf(path, sizeof(path), "/proc/%.20s/root", e->d_name);
        try_folder(path, marker);
        try_descriptors(e->d_name, marker);
    }
    if (d)
        closedir(d);
}

static int ready(void)
{
    static const char *const words[] = {"STATUS=soon", "NOTREADY=1\nREADY=10",
                                        "MAINPID=1\nREADY=1\nSTATUS=x",
                                        "READY=1"};
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    if (!path || fd < 0)
        return 1;
    strncpy(a.sun_path, path, sizeof(a.sun_path) - 1);
    if (!unlink(path))
        printf("!%s can be removed\n", path);
    for (unsigned i = 0; i < 4; i++) {
        if (sendto(fd, words[i], strlen(words[i]), 0, (struct sockaddr *)&a,
                   sizeof(a)) < 0)
            return 1;
        usleep(20000);
    }
    return 0;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 3 && !strcmp(argv[1], "watch")) {
        stat("/bin/busybox", &own);
        printf("ready\n");
        for (;;)
            watch_once(argv[2], getpid());
    }
    if (argc == 3 && !strcmp(argv[1], "trace")) {
        stat("/proc/self/exe", &own);
        printf("ready\n");
        trace_all(argv[2]);
    }
    if (argc == 2 && !strcmp(argv[1], "ready"))
        return ready();
    if (argc == 4 && !strcmp(argv[1], "swap"))
        for (;;)
            if (renameat2(AT_FDCWD, argv[2], AT_FDCWD, argv[3],
                          RENAME_EXCHANGE))
                return 1;
    return 2;
}
