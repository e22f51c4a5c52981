/* SPDX-License-Identifier: Apache-2.0 */
/*
 * top_serve.c - Prometheus's text over HTTP/1.0 on a unix socket, one client
 * after the other: none may take longer than a moment to ask or to listen.
 *
 * The socket is the user's alone (mode 0600); a proxy in front of it may show
 * it to others.
 */
#include "cmd/top_int.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmd/cmd.h"

#define REQUEST_MAX 8192u
#define PATIENCE_NS 1000000000ull /* with a client */
#define ROUND_NS    1000000000ull /* with machines */

/* Waits for the descriptor until `end`. */
static bool ready(int fd, short events, uint64_t end)
{
    struct pollfd p = {fd, events, 0};
    uint64_t now = clock_host_now();

    return now < end && poll(&p, 1, (int)((end - now) / 1000000) + 1) > 0;
}

/* Up to the blank line that ends the head; false: too long, or too late. */
static bool request_read(int fd, char *buf, uint64_t end)
{
    size_t len = 0;
    ssize_t n;

    while (len < REQUEST_MAX - 1 && ready(fd, POLLIN, end)) {
        n = recv(fd, buf + len, REQUEST_MAX - 1 - len, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n <= 0)
            return false;
        len += (size_t)n;
        buf[len] = '\0';
        if (strstr(buf, "\r\n\r\n") || strstr(buf, "\n\n"))
            return true;
    }
    return false;
}

static void send_all(int fd, const char *s, size_t len, uint64_t end)
{
    while (len && ready(fd, POLLOUT, end)) {
        ssize_t n = send(fd, s, len, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return;
        s += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
}

static void answer(int fd, const char *status, const char *type,
                   const char *body, size_t len)
{
    uint64_t end = clock_host_now() + PATIENCE_NS;
    char head[256];
    int n = snprintf(head, sizeof(head),
                     "HTTP/1.0 %s\r\nContent-Type: %s\r\n"
                     "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                     status, type, len);

    send_all(fd, head, (size_t)n, end);
    send_all(fd, body, len, end);
}

static void refuse(int fd, const char *status)
{
    answer(fd, status, "text/plain", "GET /metrics\n", 13);
}

static bool word_is(const char *s, const char *word)
{
    size_t n = strlen(word);

    return !strncmp(s, word, n) &&
           (s[n] == ' ' || s[n] == '?' || s[n] == '\r' || s[n] == '\n');
}

static void metrics(struct top *t, int fd)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    if (!f) {
        refuse(fd, "500 Internal Server Error");
        return;
    }
    top_round(t, ROUND_NS);
    top_sort(t, TOP_BY_NAME, false);
    top_prometheus(t, f);
    fclose(f);
    answer(fd, "200 OK", "text/plain; version=0.0.4; charset=utf-8", text, len);
    free(text);
}

static void client(struct top *t, int fd)
{
    char buf[REQUEST_MAX];

    if (!request_read(fd, buf, clock_host_now() + PATIENCE_NS))
        refuse(fd, "400 Bad Request");
    else if (strncmp(buf, "GET ", 4))
        refuse(fd, "405 Method Not Allowed");
    else if (!word_is(buf + 4, "/metrics"))
        refuse(fd, "404 Not Found");
    else
        metrics(t, fd);
    close(fd);
}

int top_serve(struct top *t, const char *path)
{
    struct unix_listener u;
    struct error err;
    sigset_t set;
    int sig;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    if (unix_listen(&u, path, 0, &err))
        return command_error("top", &err, EXIT_HOST);
    sig = signalfd(-1, &set, SFD_CLOEXEC);
    for (;;) {
        struct pollfd p[2] = {{sig, POLLIN, 0}, {u.fd, POLLIN, 0}};
        int fd;

        if (poll(p, 2, -1) < 0 && errno != EINTR)
            break;
        if (p[0].revents)
            break;
        fd = accept4(u.fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            client(t, fd);
    }
    close(sig);
    unix_unlisten(&u);
    return EXIT_OK;
}
