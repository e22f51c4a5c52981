/* SPDX-License-Identifier: Apache-2.0 */
/*
 * top_container.c - containers beside the machines: found by their states, and
 * what they use read from their cgroups. Nothing is asked of them.
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd/top_int.h"
#include "fence/cgroup_stats.h"
#include "oci/state.h"

/* Where root's are; a user's, and root's of a session, are beside its machines.
 */
#define ALL_ROOT "/run/ringfence/containers"

static uint64_t io_sum(const struct cgroup_stats_io *io,
                       enum cgroup_io_list list, const char *op)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < io->list[list].count; i++)
        if (!strcmp(io->list[list].entry[i].op, op))
            sum += io->list[list].entry[i].value;
    return sum;
}

static uint64_t uptime_ms(const struct container *c)
{
    long hz = sysconf(_SC_CLK_TCK);
    struct timespec now;
    uint64_t ms;

    clock_gettime(CLOCK_BOOTTIME, &now);
    ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    return ms - MIN(ms, c->state.pid_time * 1000 / (uint64_t)MAX(hz, 1));
}

static void sample(struct top_item *it, struct container *c)
{
    struct top_sample *s = &it->now;
    struct cgroup_stats use;
    struct error err;

    it->was = *s;
    it->samples = MIN(it->samples + 1, 2u);
    memset(s, 0, sizeof(*s));
    s->at_ns = clock_host_now();
    s->uptime_ms = uptime_ms(c);
    if (!cgroup_stats_read(&c->cgroup, &use, &err)) {
        s->vcpus_ns = use.cpu.usage;
        s->resident = use.memory.usage.usage;
        if (use.memory.usage.limit < INT64_MAX / 2) /* v1's "none" is huge */
            s->memory = use.memory.usage.limit;
        s->disk_read = io_sum(&use.io, CGROUP_IO_BYTES, "Read");
        s->disk_written = io_sum(&use.io, CGROUP_IO_BYTES, "Write");
        s->disk_requests = io_sum(&use.io, CGROUP_IO_SERVICED, "Read") +
                           io_sum(&use.io, CGROUP_IO_SERVICED, "Write");
    }
    cgroup_stats_free(&use);
}

void top_container_ask(struct top_item *it)
{
    struct container c = {0};
    char root[sizeof(it->at.sun_path)], *id;
    struct error err;

    strcpy(root, it->at.sun_path);
    id = strrchr(root, '/');
    *id++ = 0;
    if (!oci_state_open(&c, root, id, false, &err) && oci_state_alive(&c)) {
        it->pid = (unsigned)c.state.pid;
        it->state = TOP_UP;
        snprintf(it->says, sizeof(it->says), "%s",
                 oci_state_status_name(oci_state_status(&c)));
        sample(it, &c);
    } else {
        it->found = false;
    }
    oci_state_close(&c);
}

static struct top_item *item_new(const char *path, const char *id)
{
    struct top_item *it = calloc(1, sizeof(*it));

    if (!it)
        return NULL;
    snprintf(it->at.sun_path, sizeof(it->at.sun_path), "%s", path);
    snprintf(it->name, sizeof(it->name), "%.*s", NAME_LEN_MAX, id);
    strcpy(it->engine, "container");
    it->container = true;
    it->uid = geteuid();
    it->link.fd = -1;
    return it;
}

static void found(struct top *t, const char *root, const char *id)
{
    char path[sizeof(((struct top_item *)0)->at.sun_path)];
    unsigned i;

    if (oci_state_id_fault(id) ||
        snprintf(path, sizeof(path), "%s/%s", root, id) >= (int)sizeof(path))
        return;
    for (i = 0; i < t->items; i++)
        if (!strcmp(t->item[i]->at.sun_path, path)) {
            t->item[i]->found = true;
            return;
        }
    if (t->items == TOP_ITEMS_MAX)
        return;
    t->item[t->items] = item_new(path, id);
    if (t->item[t->items])
        t->item[t->items++]->found = true;
}

static void find_in(struct top *t, const char *root)
{
    DIR *d = opendir(root);
    struct dirent *e;

    while (d && (e = readdir(d)))
        if (e->d_name[0] != '.')
            found(t, root, e->d_name);
    if (d)
        closedir(d);
}

void top_find_containers(struct top *t)
{
    char root[sizeof(((struct sockaddr_un *)0)->sun_path) + 16];
    const size_t room = sizeof(((struct sockaddr_un *)0)->sun_path);
    struct error err;

    root[0] = 0;
    if (!names_folder(root, room, false, &err)) {
        strcat(root, "/containers");
        find_in(t, root);
    }
    if (t->all && strcmp(root, ALL_ROOT))
        find_in(t, ALL_ROOT);
}
