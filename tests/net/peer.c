/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer.c - what busybox cannot do, for a guest; linked statically.
 *
 *     peer udp PORT              prints one datagram, and answers "got N"
 *     peer eat MIB               touches so much memory and frees it
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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
    if (argc == 3 && !strcmp(argv[1], "eat"))
        return eat(n);
    fprintf(stderr, "peer: see its source\n");
    return 2;
}
