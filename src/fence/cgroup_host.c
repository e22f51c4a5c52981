/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_host.c - which hierarchies this machine has, and where. Where v2 is
 * alone, one statfs() says so. Else /proc/self/cgroup names v1's groups, and a
 * statfs() each that they are where everybody mounts them. Only if they are
 * not, /proc/self/mountinfo is read, whose length and price grow with every
 * container that runs.
 */
#include "fence/cgroup.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "fence/cgroup_int.h"

#define MOUNT "/sys/fs/cgroup"
/* Text of mountinfo beyond this is not looked at. */
#define TEXT_MAX (4 * MiB)

static const char *const controller_name[CGROUP_CONTROLLERS] = {
    [CGROUP_CPU] = "cpu",
    [CGROUP_CPUACCT] = "cpuacct",
    [CGROUP_CPUSET] = "cpuset",
    [CGROUP_MEMORY] = "memory",
    [CGROUP_DEVICES] = "devices",
    [CGROUP_FREEZER] = "freezer",
    [CGROUP_IO] = "blkio",
    [CGROUP_PIDS] = "pids",
    [CGROUP_HUGETLB] = "hugetlb",
    [CGROUP_RDMA] = "rdma",
    [CGROUP_NET_CLS] = "net_cls",
    [CGROUP_NET_PRIO] = "net_prio",
    [CGROUP_PERF_EVENT] = "perf_event",
    [CGROUP_MISC] = "misc",
    [CGROUP_SYSTEMD] = "name=systemd",
};

const char *cgroup_controller_name(enum cgroup_controller c)
{
    return controller_name[c];
}

bool cgroup_controller_find(const char *name, size_t len,
                            enum cgroup_controller *c)
{
    for (unsigned i = 0; i < CGROUP_CONTROLLERS; i++)
        if (!strncmp(controller_name[i], name, len) &&
            !controller_name[i][len]) {
            *c = (enum cgroup_controller)i;
            return true;
        }
    *c = CGROUP_IO; /* v2's name of it */
    return len == 2 && !memcmp(name, "io", 2);
}

uint32_t cgroup_words_parse(const char *text, const char *ends)
{
    uint32_t found = 0;
    enum cgroup_controller c;

    while (*text) {
        size_t len = strcspn(text, ends);

        if (len && cgroup_controller_find(text, len, &c))
            found |= BIT(c);
        text += len;
        text += strspn(text, ends);
    }
    return found;
}

uint32_t cgroup_names_parse(const char *text)
{
    return cgroup_words_parse(text, " \n") | CGROUP_V2_ALWAYS;
}

/* --- /proc/self/cgroup --- */

/*
 * A path of /proc/PID/cgroup as the mount shows it. Seen from another
 * namespace it may begin with "/..": then it is not visible there.
 */
static const char *own_seen(const char *path, const char *root)
{
    size_t len = strcmp(root, "/") ? strlen(root) : 0;

    if (!cgroup_path_below(path, root) || strstr(path, "/.."))
        return "/";
    return path[len] ? path + len : "/";
}

/* "4:memory:/a/b", or "0::/a/b" for v2. */
static void own_line(struct cgroup_host *host, char *line)
{
    char *names, *path;
    uint32_t c;

    strsep(&line, ":");
    names = strsep(&line, ":");
    path = line;
    if (!names || !path || *path != '/')
        return;
    c = cgroup_words_parse(names, ",");
    for (unsigned i = 0; i < host->count; i++) {
        struct cgroup_mount *m = &host->tree[i];

        if (m->v2 ? !*names : (m->controllers & c) != 0)
            m->own = own_seen(path, m->root);
    }
}

static void layout_set(struct cgroup_host *host)
{
    bool v1 = false, v2 = false;

    for (unsigned i = 0; i < host->count; i++) {
        if (host->tree[i].v2)
            v2 = true;
        else
            v1 = true;
    }
    host->layout = v1 && v2 ? CGROUP_HYBRID
                   : v1     ? CGROUP_V1
                   : v2     ? CGROUP_V2
                            : CGROUP_NONE;
}

/* --- the usual places --- */

/* One line: true, unless its hierarchy is somewhere else or nowhere. */
static bool usual_line(struct cgroup_host *host, char *line, char **places,
                       bool (*is_there)(const char *place, bool v2))
{
    char *names, *path, *place = *places;
    bool v2, named;
    uint32_t c;

    strsep(&line, ":");
    names = strsep(&line, ":");
    path = line;
    if (!names || !path || host->count == CGROUP_TREES)
        return true;
    v2 = !*names;
    named = !strncmp(names, "name=", 5);
    c = v2 ? CGROUP_V2_ALWAYS : cgroup_words_parse(names, ",");
    if (!c)
        return true; /* none that we know */
    *places += 1 + sprintf(place, MOUNT "/%s",
                           v2 ? "unified" : names + (named ? 5 : 0));
    if (!is_there(place, v2))
        return v2;
    if (cgroup_mount_add(host, v2, c, place, "/"))
        host->tree[host->count - 1].own = own_seen(path, "/");
    return true;
}

bool cgroup_host_usual(struct cgroup_host *host, char *own, char *places,
                       bool (*is_there)(const char *place, bool v2))
{
    char *line;

    while ((line = strsep(&own, "\n")))
        if (!usual_line(host, line, &places, is_there)) {
            host->count = 0;
            return false;
        }
    layout_set(host);
    return host->layout == CGROUP_V1 || host->layout == CGROUP_HYBRID;
}

void cgroup_host_parse(struct cgroup_host *host, char *mountinfo, char *own)
{
    char *line;

    cgroup_mounts_parse(host, mountinfo);
    while (own && (line = strsep(&own, "\n")))
        own_line(host, line);
    layout_set(host);
}

/* --- reading --- */

static bool is_mounted(const char *place, bool v2)
{
    struct statfs fs;

    return !statfs(place, &fs) &&
           fs.f_type == (v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC);
}

/* Appends a file of /proc to the text at host->text + *used; where it is. */
static int text_append(struct cgroup_host *host, const char *path, size_t *used,
                       size_t *at, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -errno : 1;
    size_t size = *used;

    *at = *used;
    while (n > 0 && size < TEXT_MAX) {
        char *more = realloc(host->text, size + 16 * KiB + 1);

        if (!more) {
            n = -ENOMEM;
            break;
        }
        host->text = more;
        n = read(fd, more + size, 16 * KiB);
        n = n < 0 ? -errno : n;
        size += n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return error_set(err, (int)-n, "%s: %s", path, strerror((int)-n));
    host->text[size] = '\0';
    *used = size + 1;
    return 0;
}

/* What our mount shows may begin below the root that /proc speaks of. */
static void own_check(struct cgroup_mount *m, bool own)
{
    char path[4096];
    int n = snprintf(path, sizeof(path), "%s%s", m->mount, m->own);

    if (!own || n >= (int)sizeof(path) || (m->own[1] && access(path, F_OK)))
        m->own = "/";
}

/* One tree, at the usual place. */
static int v2_read(struct cgroup_host *host, bool own, struct error *err)
{
    char place[] = "1 1 0:1 / " MOUNT " rw - cgroup2 cgroup2 rw";
    size_t used = 0, at = 0;
    int rc = own ? text_append(host, "/proc/self/cgroup", &used, &at, err) : 0;

    if (rc)
        return rc;
    cgroup_host_parse(host, place, host->text);
    host->tree[0].mount = MOUNT;
    host->tree[0].root = "/";
    own_check(&host->tree[0], own);
    return 0;
}

static int v1_read(struct cgroup_host *host, bool own, struct error *err)
{
    size_t used = 0, mounts = 0, mine = 0;
    int rc = text_append(host, "/proc/self/mountinfo", &used, &mounts, err);

    if (!rc && own)
        rc = text_append(host, "/proc/self/cgroup", &used, &mine, err);
    if (!rc)
        cgroup_host_parse(host, host->text + mounts,
                          own ? host->text + mine : NULL);
    return rc;
}

/* False: something is unusual, or there is no memory. */
static bool usual_read(struct cgroup_host *host, bool own)
{
    size_t used = 0, at = 0;
    struct error ignored;
    char *more;

    if (text_append(host, "/proc/self/cgroup", &used, &at, &ignored))
        return false;
    more = realloc(host->text,
                   2 * used + (CGROUP_TREES + 1) * sizeof(MOUNT "/unified"));
    if (!more)
        return false;
    host->text = more;
    if (!cgroup_host_usual(host, more, more + used, is_mounted))
        return false;
    for (unsigned i = 0; i < host->count; i++)
        own_check(&host->tree[i], own);
    return true;
}

/* What the v2 tree controls. */
static void v2_look(struct cgroup_mount *m)
{
    char text[256];
    int dir = open(m->mount, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0)
        return;
    if (cgroup_file_read(dir, "cgroup.controllers", text, sizeof(text)) > 0)
        m->controllers |= cgroup_names_parse(text);
    close(dir);
}

int cgroup_host_read(struct cgroup_host *host, bool own, struct error *err)
{
    int rc;

    memset(host, 0, sizeof(*host));
    if (is_mounted(MOUNT, true))
        rc = v2_read(host, own, err);
    else
        rc = usual_read(host, own) ? 0 : v1_read(host, own, err);
    for (unsigned i = 0; !rc && i < host->count; i++)
        if (host->tree[i].v2)
            v2_look(&host->tree[i]);
    if (rc)
        cgroup_host_free(host);
    return rc;
}

void cgroup_host_free(struct cgroup_host *host)
{
    free(host->text);
    memset(host, 0, sizeof(*host));
}
