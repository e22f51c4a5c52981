/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_apply.c - all limits of a container, controller by controller. Those
 * of one file, or the same on both versions, are here.
 */
#include "fence/cgroup.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fence/cgroup_int.h"

#define CPU "linux.resources.cpu."

static int memory_apply(struct cgroup *cg, const struct cgroup_limits *l,
                        bool update, struct error *err)
{
    if (!l->memory.has)
        return 0;
    return cgroup_on_v2(cg, CGROUP_MEMORY)
               ? cgroup_memory_v2(cg, &l->memory, update, err)
               : cgroup_memory_v1(cg, &l->memory, update, err);
}

static int cpu_apply(struct cgroup *cg, const struct cgroup_limits *l,
                     struct error *err)
{
    if (!l->cpu.has)
        return 0;
    return cgroup_on_v2(cg, CGROUP_CPU) ? cgroup_cpu_v2(cg, &l->cpu, err)
                                        : cgroup_cpu_v1(cg, &l->cpu, err);
}

/* v1's files have no prefix where it is mounted so. */
static int cpuset_set(struct cgroup *cg, const char *json, const char *file,
                      const char *value, struct error *err)
{
    struct cgroup_tree *t;

    if (!value || !*value)
        return 0;
    t = cgroup_set_tree(cg, CGROUP_CPUSET, json, err);
    if (!t)
        return -err->code;
    if (!t->v2 && faccessat(t->fd, file, F_OK, 0))
        file = strchr(file, '.') + 1;
    return cgroup_set(cg, CGROUP_CPUSET, json, file, value, err);
}

static int cpuset_apply(struct cgroup *cg, const struct cgroup_limits *l,
                        struct error *err)
{
    int rc = cpuset_set(cg, CPU "cpus", "cpuset.cpus", l->cpu.cpus, err);

    return rc ? rc
              : cpuset_set(cg, CPU "mems", "cpuset.mems", l->cpu.mems, err);
}

/*
 * None at all would keep clone3() from making the first process in it; with
 * one, the first is there and no other.
 */
static int pids_apply(struct cgroup *cg, const struct cgroup_limits *l,
                      struct error *err)
{
    static const char json[] = "linux.resources.pids.limit";

    if (!(l->has & CGROUP_PIDS_LIMIT))
        return 0;
    if (l->pids < 0)
        return cgroup_set(cg, CGROUP_PIDS, json, "pids.max", "max", err);
    return cgroup_set_number(cg, CGROUP_PIDS, json, "pids.max", MAX(l->pids, 1),
                             err);
}

static bool io_given(const struct cgroup_limits_io *io)
{
    bool given = io->has || io->weight_devices;

    for (unsigned k = 0; k < CGROUP_THROTTLES; k++)
        given |= io->throttle[k].count != 0;
    return given;
}

static int io_apply(struct cgroup *cg, const struct cgroup_limits *l,
                    struct error *err)
{
    if (!io_given(&l->io))
        return 0;
    return cgroup_on_v2(cg, CGROUP_IO) ? cgroup_io_v2(cg, &l->io, err)
                                       : cgroup_io_v1(cg, &l->io, err);
}

/* --- huge pages --- */

/* Pages in use, and, where the kernel counts them (5.7), reserved ones. */
static int hugepage_set(struct cgroup *cg, const char *json,
                        const struct cgroup_hugepage_limit *h,
                        struct error *err)
{
    const char *end =
        cgroup_on_v2(cg, CGROUP_HUGETLB) ? "max" : "limit_in_bytes";
    struct cgroup_tree *t;
    char file[64], limit[24];
    int rc;

    snprintf(limit, sizeof(limit), "%llu", (unsigned long long)h->limit);
    snprintf(file, sizeof(file), "hugetlb.%s.%s", h->page_size, end);
    rc = cgroup_set(cg, CGROUP_HUGETLB, json, file, limit, err);
    if (rc)
        return rc;
    snprintf(file, sizeof(file), "hugetlb.%s.rsvd.%s", h->page_size, end);
    t = cgroup_set_tree(cg, CGROUP_HUGETLB, json, err);
    if (!t || faccessat(t->fd, file, F_OK, 0))
        return 0;
    return cgroup_set(cg, CGROUP_HUGETLB, json, file, limit, err);
}

/* Beside v1, the v2 tree's controllers are turned on only when needed. */
static void hybrid_enable(struct cgroup *cg, enum cgroup_controller c)
{
    struct cgroup_tree *t = cgroup_tree_of(cg, c);

    if (t && t->v2 && cg->layout == CGROUP_HYBRID && !cgroup_tree_open(t))
        cgroup_v2_enable(t, BIT(c));
}

static int hugetlb_apply(struct cgroup *cg, const struct cgroup_limits *l,
                         struct error *err)
{
    char json[64];
    int rc = 0;

    if (l->hugepages)
        hybrid_enable(cg, CGROUP_HUGETLB);
    for (unsigned i = 0; i < l->hugepages && !rc; i++) {
        snprintf(json, sizeof(json), "linux.resources.hugepageLimits[%u]", i);
        rc = hugepage_set(cg, json, &l->hugepage[i], err);
    }
    return rc;
}

/* --- network, RDMA --- */

/* One line of "name words". */
static int named_line(struct cgroup *cg, enum cgroup_controller c,
                      const char *json, const char *file, const char *name,
                      const char *words, struct error *err)
{
    char text[160];

    snprintf(text, sizeof(text), "%s %s", name, words);
    return cgroup_set(cg, c, json, file, text, err);
}

static int net_apply(struct cgroup *cg, const struct cgroup_limits *l,
                     struct error *err)
{
    char words[24];
    int rc = 0;

    if (l->net.has & CGROUP_NET_CLASS)
        rc = cgroup_set_number(cg, CGROUP_NET_CLS,
                               "linux.resources.network.classID",
                               "net_cls.classid", l->net.class_id, err);
    for (unsigned i = 0; i < l->net.priorities && !rc; i++) {
        snprintf(words, sizeof(words), "%u", l->net.priority[i].priority);
        rc = named_line(
            cg, CGROUP_NET_PRIO, "linux.resources.network.priorities",
            "net_prio.ifpriomap", l->net.priority[i].name, words, err);
    }
    return rc;
}

static int rdma_apply(struct cgroup *cg, const struct cgroup_limits *l,
                      struct error *err)
{
    int rc = 0;

    if (l->rdmas)
        hybrid_enable(cg, CGROUP_RDMA);
    for (unsigned i = 0; i < l->rdmas && !rc; i++) {
        const struct cgroup_rdma_limit *r = &l->rdma[i];
        char words[80] = "";
        int n = 0;

        if (r->has & CGROUP_RDMA_HANDLES)
            n = snprintf(words, sizeof(words), "hca_handle=%u ", r->handles);
        if (r->has & CGROUP_RDMA_OBJECTS)
            snprintf(words + n, sizeof(words) - (size_t)n, "hca_object=%u",
                     r->objects);
        rc = named_line(cg, CGROUP_RDMA, "linux.resources.rdma", "rdma.max",
                        r->device, words, err);
    }
    return rc;
}

/* --- files of v2 by name --- */

/* The controller that a file's name begins with; of the tree if unknown. */
static enum cgroup_controller file_controller(const char *file)
{
    enum cgroup_controller c;

    return cgroup_controller_find(file, strcspn(file, "."), &c)
               ? c
               : CGROUP_CONTROLLERS;
}

static struct cgroup_tree *v2_tree(struct cgroup *cg)
{
    for (unsigned i = 0; i < cg->count; i++)
        if (cg->tree[i].v2)
            return &cg->tree[i];
    return NULL;
}

static int unified_line(struct cgroup *cg, enum cgroup_controller c,
                        const char *json, const char *file, const char *line,
                        struct error *err)
{
    struct cgroup_tree *t = v2_tree(cg);
    int rc;

    if (c != CGROUP_CONTROLLERS && cgroup_tree_of(cg, c) == t)
        return cgroup_set(cg, c, json, file, line, err);
    rc = cgroup_tree_open(t);
    if (!rc)
        rc = cgroup_file_write(t->fd, file, line);
    if (rc == -ENOENT)
        return error_set(err, -rc,
                         "%s: there is no such file: this host's cgroup v2 "
                         "does not have the controller",
                         json);
    return rc ? error_set(err, -rc, "%s: %.60s is refused by the kernel (%s)",
                          json, line, strerror(-rc))
              : 0;
}

/* A line at a time, as the kernel wants them. */
static int unified_set(struct cgroup *cg, const struct cgroup_unified *u,
                       struct error *err)
{
    enum cgroup_controller c = file_controller(u->file);
    char json[160], *copy = strdup(u->value), *rest = copy, *line;
    int rc = 0;

    if (!copy)
        return error_set(err, ENOMEM, "out of memory");
    snprintf(json, sizeof(json), "linux.resources.unified.%s", u->file);
    if (c != CGROUP_CONTROLLERS)
        hybrid_enable(cg, c);
    while (!rc && (line = strsep(&rest, "\n")))
        if (*line)
            rc = unified_line(cg, c, json, u->file, line, err);
    free(copy);
    return rc;
}

static int unified_apply(struct cgroup *cg, const struct cgroup_limits *l,
                         struct error *err)
{
    int rc = 0;

    if (l->unifieds && !v2_tree(cg))
        return error_set(err, ENOTSUP,
                         "linux.resources.unified: needs cgroup v2, which "
                         "this host does not have");
    for (unsigned i = 0; i < l->unifieds && !rc; i++) {
        rc = unified_set(cg, &l->unified[i], err);
    }
    return rc;
}

int cgroup_apply(struct cgroup *cg, const struct cgroup_limits *limits,
                 bool update, struct error *err)
{
    static int (*const step[])(struct cgroup *, const struct cgroup_limits *,
                               struct error *) = {
        cpu_apply,  cpuset_apply,  pids_apply,
        io_apply,   hugetlb_apply, net_apply,
        rdma_apply, unified_apply, cgroup_devices_apply,
    };
    int rc = cgroup_limits_check(limits, err);

    if (!rc)
        rc = memory_apply(cg, limits, update, err);

    for (unsigned i = 0; i < ARRAY_SIZE(step) && !rc; i++)
        rc = step[i](cg, limits, err);
    return rc;
}
