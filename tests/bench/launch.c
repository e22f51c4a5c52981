/* SPDX-License-Identifier: Apache-2.0 */
/*
 * launch.c - starts a virtual machine monitor and times it from outside.
 *
 * launch init WORD MIB COMMAND...   ms from exec() to WORD on its output, and
 *                                   its RSS then in KiB, less the mapping of
 *                                   MIB that is the guest's RAM
 * launch entry COMMAND...           us from exec() to KVM's first entry into
 *                                   a guest, by the kernel's tracepoint
 *
 * Runs as root, with nobody else on KVM; needs tracefs for `entry`.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TRACING "/sys/kernel/tracing/"

static void die(const char *what)
{
    fprintf(stderr, "launch: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Its output comes to *out; its input is a pipe that nobody writes to. */
static pid_t start(char **argv, int *out)
{
    int o[2], in[2];
    pid_t pid;

    if (pipe(o) || pipe(in))
        die("pipe");
    pid = fork();
    if (pid < 0)
        die("fork");
    if (!pid) {
        dup2(in[0], 0);
        dup2(o[1], 1);
        execv(argv[0], argv);
        die(argv[0]);
    }
    close(o[1]);
    close(in[0]);
    *out = o[0];
    return pid;
}

static void stop(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* KiB of all mappings but those about as long as the guest's RAM. */
static unsigned long rss_less(pid_t pid, unsigned long ram_kib)
{
    char path[64], line[512];
    unsigned long size = 0, rss, sum = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
    f = fopen(path, "r");
    if (!f)
        die(path);
    while (fgets(line, sizeof(line), f)) {
        sscanf(line, "Size: %lu", &size);
        if (sscanf(line, "Rss: %lu", &rss) == 1 &&
            (size < ram_kib || size > ram_kib + 4096))
            sum += rss;
    }
    fclose(f);
    return sum;
}

static int until_word(const char *word, unsigned long mib, char **argv)
{
    static char seen[1 << 20];
    size_t have = 0;
    uint64_t t0 = now_us();
    int out;
    pid_t pid = start(argv, &out);

    while (!strstr(seen, word)) {
        ssize_t n = read(out, seen + have, sizeof(seen) - 1 - have);

        if (n <= 0) {
            fprintf(stderr, "%s\nlaunch: it ended\n", seen);
            stop(pid);
            return 1;
        }
        have += (size_t)n;
    }
    printf("%.1f %lu\n", (double)(now_us() - t0) / 1000,
           rss_less(pid, mib * 1024));
    stop(pid);
    return 0;
}

static void trace_set(const char *name, const char *text)
{
    char path[128];
    int fd;

    snprintf(path, sizeof(path), TRACING "%s", name);
    fd = open(path, O_WRONLY | O_TRUNC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        die(path);
    close(fd);
}

static int until_entry(char **argv)
{
    char line[512];
    double at = 0;
    uint64_t t0;
    int out;
    pid_t pid;
    FILE *f;

    trace_set("trace_clock", "mono");
    trace_set("trace", "");
    trace_set("events/kvm/kvm_entry/enable", "1");
    f = fopen(TRACING "trace_pipe", "r");
    if (!f)
        die(TRACING "trace_pipe");
    t0 = now_us();
    pid = start(argv, &out);
    while (!at && fgets(line, sizeof(line), f)) {
        char *p = strstr(line, ": kvm_entry");

        while (p && p > line && p[-1] != ' ')
            p--;
        if (p)
            at = strtod(p, NULL);
    }
    trace_set("events/kvm/kvm_entry/enable", "0");
    stop(pid);
    fclose(f);
    printf("%.0f\n", at * 1e6 - (double)t0);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 4 && !strcmp(argv[1], "init"))
        return until_word(argv[2], strtoul(argv[3], NULL, 10), argv + 4);
    if (argc > 2 && !strcmp(argv[1], "entry"))
        return until_entry(argv + 2);
    fprintf(stderr, "usage: launch init WORD MIB COMMAND... | "
                    "entry COMMAND...\n");
    return 2;
}
