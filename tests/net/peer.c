/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer.c - what busybox cannot do, for a guest; linked statically.
 *
 *     peer udp PORT              prints one datagram, and answers "got N"
 *     peer vlisten PORT          copies one vsock connection to stdout, then
 *                                stdin to it
 *     peer vconnect CID PORT     stdin to a vsock connection, then back
 *     peer eat MIB               touches so much memory and frees it
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

static int die(const char *what)
{
    perror(what);
    return 1;
}

static int udp(int port)
{
    struct sockaddr_in a = {AF_INET, htons((unsigned short)port)}, peer;
    socklen_t len = sizeof(peer);
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    char buf[2048], answer[32];
    ssize_t n;

    if (bind(s, (void *)&a, sizeof(a)))
        return die("bind");
    n = recvfrom(s, buf, sizeof(buf), 0, (void *)&peer, &len);
    if (n < 0)
        return die("recvfrom");
    snprintf(answer, sizeof(answer), "got %zd", n);
    sendto(s, answer, strlen(answer), 0, (void *)&peer, len);
    return fwrite(buf, 1, (size_t)n, stdout) != (size_t)n;
}

static int copy(int from, int to)
{
    char buf[65536];
    ssize_t n;

    while ((n = read(from, buf, sizeof(buf))) > 0)
        for (ssize_t at = 0, k; at < n; at += k)
            if ((k = write(to, buf + at, (size_t)(n - at))) < 0)
                return die("write");
    return n < 0 ? die("read") : 0;
}

static int vlisten(unsigned port)
{
    struct sockaddr_vm a = {
        .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};
    int s = socket(AF_VSOCK, SOCK_STREAM, 0), c;

    if (s < 0 || bind(s, (void *)&a, sizeof(a)) || listen(s, 1))
        return die("vsock");
    printf("listening on %u\n", port);
    fflush(stdout);
    c = accept(s, NULL, NULL);
    if (c < 0 || copy(c, STDOUT_FILENO) || copy(STDIN_FILENO, c))
        return 1;
    return shutdown(c, SHUT_WR);
}

static int vconnect(unsigned cid, unsigned port)
{
    struct sockaddr_vm a = {
        .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
    int s = socket(AF_VSOCK, SOCK_STREAM, 0);

    if (s < 0 || connect(s, (void *)&a, sizeof(a)))
        return die("connect");
    if (copy(STDIN_FILENO, s) || shutdown(s, SHUT_WR))
        return 1;
    return copy(s, STDOUT_FILENO);
}

static int eat(size_t mib)
{
    char *p = malloc(mib << 20);

    if (!p)
        return die("malloc");
    for (size_t i = 0; i < mib << 20; i += 4096)
        p[i] = (char)(i >> 12 | 1);
    printf("ate %zu\n", mib);
    free(p);
    return 0;
}

int main(int argc, char **argv)
{
    unsigned n = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 0;

    if (argc == 3 && !strcmp(argv[1], "udp"))
        return udp((int)n);
    if (argc == 3 && !strcmp(argv[1], "vlisten"))
        return vlisten(n);
    if (argc == 4 && !strcmp(argv[1], "vconnect"))
        return vconnect(n, (unsigned)strtoul(argv[3], NULL, 0));
    if (argc == 3 && !strcmp(argv[1], "eat"))
        return eat(n);
    fprintf(stderr, "peer: see its source\n");
    return 2;
}
