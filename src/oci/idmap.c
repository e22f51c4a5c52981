/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idmap.c - the ids of a user namespace: /proc/PID/uid_map and gid_map,
 * written by us if we may, by newuidmap and newgidmap if not.
 *                                                        [user_namespaces(7)]
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "oci/launch.h"

static int write_proc(pid_t pid, const char *name, const char *text)
{
    char path[64];
    int fd, e;

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    e = write(fd, text, strlen(text)) < 0 ? -errno : 0;
    close(fd);
    return e;
}

#define OWN_MAX 340 /* lines that the kernel allows in a map */

/* What this process's own namespace has, each id as itself. */
static void own_ids(struct arena *a, const char *file, struct json_array *maps)
{
    struct spec_idmap *m = arena_alloc(a, OWN_MAX * sizeof(*m));
    FILE *f = fopen(file, "re");
    unsigned n = 0, outside;

    while (f && n < OWN_MAX &&
           fscanf(f, "%u %u %u", &m[n].container_id, &outside, &m[n].size) ==
               3) {
        m[n].host_id = m[n].container_id;
        n++;
    }
    if (f)
        fclose(f);
    maps->items = m;
    maps->count = n;
}

static void one_id(struct arena *a, uint32_t id, struct json_array *maps)
{
    struct spec_idmap *m = arena_alloc(a, sizeof(*m));

    m->host_id = id;
    m->size = 1;
    maps->items = m;
    maps->count = 1;
}

void idmap_default(struct arena *a, struct spec *spec)
{
    const struct spec_namespace *user = spec_namespace(spec, CLONE_NEWUSER);
    struct spec_linux *l = &spec->linux_;

    if (!user || (user->path && user->path[0]) || l->uid_mappings.count)
        return;
    if (geteuid()) {
        one_id(a, geteuid(), &l->uid_mappings);
        one_id(a, getegid(), &l->gid_mappings);
        return;
    }
    own_ids(a, "/proc/self/uid_map", &l->uid_mappings);
    own_ids(a, "/proc/self/gid_map", &l->gid_mappings);
}

static char *map_text(const struct json_array *maps)
{
    const struct spec_idmap *m = maps->items;
    size_t size = maps->count * 40 + 1, n = 0;
    char *text = malloc(size);
    unsigned i;

    if (!text)
        return NULL;
    text[0] = 0;
    for (i = 0; i < maps->count; i++)
        n += (size_t)snprintf(text + n, size - n, "%u %u %u\n",
                              m[i].container_id, m[i].host_id, m[i].size);
    return text;
}

/* newuidmap PID INSIDE OUTSIDE COUNT... */
static int run_helper(const char *helper, pid_t pid,
                      const struct json_array *maps, struct error *err)
{
    const struct spec_idmap *m = maps->items;
    char **argv = calloc(maps->count * 3 + 3, sizeof(*argv));
    int status = 0, n = 0;
    unsigned i;
    pid_t child;

    if (!argv)
        return error_set(err, ENOMEM, "%s: no memory", helper);
    argv[n++] = strdup(helper);
    if (asprintf(&argv[n++], "%d", (int)pid) < 0)
        n--;
    for (i = 0; i < maps->count; i++) {
        uint32_t v[3] = {m[i].container_id, m[i].host_id, m[i].size};
        unsigned k;

        for (k = 0; k < 3; k++)
            if (asprintf(&argv[n++], "%u", v[k]) < 0)
                n--;
    }
    child = fork();
    if (!child) {
        execvp(helper, argv);
        _exit(127);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    while (n)
        free(argv[--n]);
    free(argv);
    if (child > 0 && WIFEXITED(status) && !WEXITSTATUS(status))
        return 0;
    return error_set(err, EPERM, "cannot map ids: %s %s", helper,
                     WIFEXITED(status) && WEXITSTATUS(status) == 127
                         ? "is not installed (package uidmap)"
                         : "refuses: see /etc/subuid and /etc/subgid");
}

static int write_map(pid_t pid, const char *name, const char *helper,
                     const struct json_array *maps, struct error *err)
{
    char *text = map_text(maps);
    int e = text ? write_proc(pid, name, text) : -ENOMEM;

    free(text);
    if (e == -EPERM || e == -EACCES)
        return run_helper(helper, pid, maps, err);
    return e ? error_set(err, -e, "cannot map ids: %s: %s", name, strerror(-e))
             : 0;
}

int idmap_write(pid_t pid, const struct json_array *uids,
                const struct json_array *gids, struct error *err)
{
    const struct spec_idmap *g = gids->items;
    int e;

    /*
     * A user may map his own group if setgroups() is given up, so that no
     * group that denies him something can be left. [user_namespaces(7)]
     */
    if (geteuid() && gids->count == 1 && g->size == 1 &&
        g->host_id == getegid())
        write_proc(pid, "setgroups", "deny");
    e = write_map(pid, "uid_map", "newuidmap", uids, err);
    return e ? e : write_map(pid, "gid_map", "newgidmap", gids, err);
}

int idmap_namespace(const struct json_array *uids,
                    const struct json_array *gids, struct error *err)
{
    char path[40];
    int go[2], fd = -1, e;
    pid_t pid;
    char c;

    if (pipe2(go, O_CLOEXEC))
        return error_set(err, errno, "pipe: %s", strerror(errno));
    pid = fork();
    if (!pid) {
        close(go[0]);
        c = unshare(CLONE_NEWUSER) ? 'e' : 'k';
        if (write(go[1], &c, 1) == 1)
            pause();
        _exit(1);
    }
    close(go[1]);
    e = pid < 0 || read(go[0], &c, 1) != 1 || c != 'k'
            ? error_set(err, EPERM, "cannot make a user namespace")
            : idmap_write(pid, uids, gids, err);
    close(go[0]);
    if (!e) {
        snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            e = error_set(err, errno, "%s: %s", path, strerror(errno));
    }
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    return e ? e : fd;
}
