/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

#define FOLDER "notify"
#define SOCKET FOLDER "/notify"
/* For addresses that are no folder's name, of abstract sockets. */
#define USUAL "/run/notify"

static const char *asked(void)
{
    const char *path = getenv("NOTIFY_SOCKET");

    return path && path[0] ? path : NULL;
}

/* Whatever it has there, `items` of that size and one more. */
static void *grow(struct arena *a, struct json_array *array, size_t size)
{
    char *items = arena_alloc(a, (array->count + 1) * size);

    if (array->count)
        memcpy(items, array->items, array->count * size);
    array->items = items;
    return items + size * array->count++;
}

static void add_mount(struct container *c, struct spec *spec, const char *path)
{
    static const char *const options[] = {"bind",  "ro",     "nosuid",
                                          "nodev", "noexec", NULL};
    struct spec_mount *m = grow(&c->arena, &spec->mounts, sizeof(*m));

    m->destination = path;
    m->type = "bind";
    m->source = arena_printf(&c->arena, "%s/%s/" FOLDER, c->root, c->id);
    m->options.item = (const char **)options;
    m->options.count = ARRAY_SIZE(options) - 1;
}

static void add_variable(struct arena *a, struct spec_process *p,
                         const char *path)
{
    const char **env = arena_alloc(a, (p->env.count + 2) * sizeof(*env));

    if (p->env.count)
        memcpy(env, p->env.item, p->env.count * sizeof(*env));
    env[p->env.count++] = arena_printf(a, "NOTIFY_SOCKET=%s/notify", path);
    p->env.item = env;
}

int notify_add(struct container *c, struct spec *spec, struct error *err)
{
    const char *path = asked();
    struct sockaddr_un a;

    if (!path || !spec->process || !spec_namespace(spec, CLONE_NEWNS))
        return 0;
    if (path[0] != '/' || strlen(path) + sizeof("/notify") > sizeof(a.sun_path))
        path = USUAL;
    if (mkdirat(c->dir, FOLDER, 0755))
        return error_set(err, errno, "%s/%s/" FOLDER ": %s", c->root, c->id,
                         strerror(errno));
    add_mount(c, spec, arena_strdup(&c->arena, path));
    add_variable(&c->arena, spec->process, path);
    return 0;
}

int notify_open(const struct container *c)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd;

    if (!asked() || faccessat(c->dir, FOLDER, F_OK, 0))
        return -1;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/" SOCKET,
             c->dir);
    /* Whatever the program's user; and nothing else is in that folder. */
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) ||
        fchmodat(c->dir, SOCKET, 0777, 0)) {
        log_warn("NOTIFY_SOCKET: nobody will hear that it is ready: %s",
                 strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static void tell_host(void)
{
    static const char ready[] = "READY=1";
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    const char *path = asked();
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    size_t n = strlen(path);

    if (n >= sizeof(a.sun_path))
        n = sizeof(a.sun_path) - 1;
    memcpy(a.sun_path, path, n);
    if (a.sun_path[0] == '@')
        a.sun_path[0] = 0;
    if (fd < 0 ||
        sendto(fd, ready, strlen(ready), MSG_NOSIGNAL, (struct sockaddr *)&a,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
        log_warn("NOTIFY_SOCKET: %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

bool notify_pass(int fd)
{
    char text[4096], *line, *rest = text;
    ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

    text[n > 0 ? n : 0] = 0;
    while ((line = strsep(&rest, "\n")))
        if (!strcmp(line, "READY=1")) {
            tell_host();
            return true;
        }
    return false;
}

void notify_wait(const struct container *c, int fd, int pidfd)
{
    struct pollfd p[] = {{fd, POLLIN, 0}, {pidfd, POLLIN, 0}};

    oci_state_unlock(c);
    for (;;) {
        if (poll(p, 2, -1) < 0)
            continue;
        /* First this: what it said before its end counts. */
        if ((p[0].revents & POLLIN) ? notify_pass(fd) : p[1].revents)
            return;
    }
}

void notify_remove(const struct container *c)
{
    unlinkat(c->dir, SOCKET, 0);
    unlinkat(c->dir, FOLDER, AT_REMOVEDIR);
}
