/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attack.c - what a hostile process does, for tests/oci/hostile. It prints a
 * line that begins with "!" for each way out that it finds, and harms nothing.
 *
 *   watch MARKER   looks at every process that turns up in /proc: is its
 *                  program writable, does a descriptor, folder or root of it
 *                  lead to the host's file MARKER? Until it is killed.
 *   swap A B       exchanges two names as fast as it can, until it is killed
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 3 && !strcmp(argv[1], "watch")) {
        stat("/bin/busybox", &own);
        printf("ready\n");
        for (;;)
            watch_once(argv[2], getpid());
    }
    if (argc == 4 && !strcmp(argv[1], "swap"))
        for (;;)
            if (renameat2(AT_FDCWD, argv[2], AT_FDCWD, argv[3],
                          RENAME_EXCHANGE))
                return 1;
    return 2;
}
