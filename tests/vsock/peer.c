/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer.c - a guest's side of vsock and of virtio ports; linked statically.
 *
 *     peer cid                its own number
 *     peer call PORT BYTES    to the host: sends, shuts down, reads to the end
 *     peer hold PORT          to the host: says how it ends
 *     peer echo PORT          answers all who connect, each by itself
 *     peer port FILE          echoes a virtio port; says when the host's end
 *                             comes and goes
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static char buf[65536];

static uint32_t adler(uint32_t sum, const char *p, size_t len)
{
    uint32_t a = sum & 0xffff, b = sum >> 16;

    while (len--) {
        a = (a + (uint8_t)*p++) % 65521;
        b = (b + a) % 65521;
    }
    return b << 16 | a;
}

static int vsock(uint32_t cid, uint32_t port, int listening)
{
    struct sockaddr_vm sa = {
        .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
    int s = socket(AF_VSOCK, SOCK_STREAM, 0), rc;

    rc = listening ? bind(s, (struct sockaddr *)&sa, sizeof(sa)) ||
                         listen(s, 128)
                   : connect(s, (struct sockaddr *)&sa, sizeof(sa));
    if (!rc)
        return s;
    printf("port %u: %s\n", port, strerror(errno));
    exit(1);
}

static int cid(void)
{
    int fd = open("/dev/vsock", O_RDONLY);
    unsigned n = 0;

    if (fd < 0 || ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &n))
        printf("cid: %s\n", strerror(errno));
    else
        printf("cid %u\n", n);
    return 0;
}

/* All of it; what happened if not. */
static int put(int fd, const char *p, size_t len)
{
    while (len) {
        ssize_t n = write(fd, p, len);

        if (n < 0)
            return errno;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

static int call(uint32_t port, size_t bytes)
{
    int s = vsock(VMADDR_CID_HOST, port, 0), rc = 0;
    uint32_t out = 1, in = 1, seed = port;
    size_t got = 0;
    ssize_t n;

    while (bytes && !rc) {
        size_t len = bytes < sizeof(buf) ? bytes : sizeof(buf);

        for (size_t i = 0; i < len; i++)
            buf[i] = (char)((seed = seed * 1103515245 + 12345) >> 16);
        out = adler(out, buf, len);
        rc = put(s, buf, len);
        bytes -= len;
    }
    shutdown(s, SHUT_WR);
    while ((n = read(s, buf, sizeof(buf))) > 0) {
        in = adler(in, buf, (size_t)n);
        got += (size_t)n;
    }
    printf("call %u: sent %u, got %zu %u, %s %s\n", port, out, got, in,
           strerror(rc), n < 0 ? strerror(errno) : "end");
    return 0;
}

static int hold(uint32_t port)
{
    int s = vsock(VMADDR_CID_HOST, port, 0);
    ssize_t n;

    printf("hold\n");
    fflush(stdout);
    n = read(s, buf, sizeof(buf));
    printf("hold ended: %s\n", n < 0 ? strerror(errno) : n ? "data" : "end");
    return 0;
}

static int echo(uint32_t port)
{
    int s = vsock(VMADDR_CID_ANY, port, 1);

    signal(SIGCHLD, SIG_IGN);
    printf("echo %u\n", port);
    fflush(stdout);
    for (;;) {
        int c = accept(s, NULL, NULL);
        ssize_t n = 0;

        if (c < 0 || fork()) {
            close(c);
            continue;
        }
        while ((n = read(c, buf, sizeof(buf))) > 0 && !put(c, buf, (size_t)n))
            continue;
        _exit(0);
    }
}

/* A port reads as ended while nobody is at its other end. */
static int port(const char *file)
{
    int fd = open(file, O_RDWR), here = 0;

    printf("port %s\n", fd < 0 ? strerror(errno) : "open");
    for (;;) {
        struct pollfd p = {fd, POLLIN, 0};
        ssize_t n;

        fflush(stdout);
        if (fd < 0 || poll(&p, 1, here ? -1 : 0) < 0)
            return 1;
        if (!here)
            usleep(50000); /* poll() cannot wait for somebody to come */
        if (here && (p.revents & POLLHUP)) {
            here = 0;
            printf("port hup, read %zd\n", read(fd, buf, 1));
            continue; /* what poll() said is old */
        } else if (!here && !(p.revents & POLLHUP)) {
            here = 1;
            printf("port connected\n");
        }
        /* An end that is not there is readable, and may come meanwhile. */
        if (!here || !(p.revents & POLLIN))
            continue;
        n = read(fd, buf, sizeof(buf));
        if (n > 0)
            put(fd, buf, (size_t)n);
    }
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    uint32_t n = argc > 2 ? (uint32_t)atoi(argv[2]) : 0;

    signal(SIGPIPE, SIG_IGN);
    if (!strcmp(what, "cid"))
        return cid();
    if (!strcmp(what, "call") && argc > 3)
        return call(n, (size_t)atoi(argv[3]));
    if (!strcmp(what, "hold"))
        return hold(n);
    if (!strcmp(what, "echo"))
        return echo(n);
    if (!strcmp(what, "port") && argc > 2)
        return port(argv[2]);
    return 2;
}
