/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_set.c - one limit written, and what went wrong in words of whoever
 * wrote config.json: the kernel says EINVAL for a dozen reasons.
 */
#include "fence/cgroup_int.h"

#include <stdio.h>
#include <string.h>

/* The kernel's own ENOTSUPP, which no header has. */
#define KERNEL_ENOTSUPP 524

/* Is it a whole sentence's end? "linux...: VALUE is ..." */
static const struct hint {
    const char *file;
    int code;
    const char *text;
} hints[] = {
    {"memory.limit_in_bytes", EINVAL,
     "is above the limit of memory and swap together: give "
     "linux.resources.memory.swap too"},
    {"memory.memsw.limit_in_bytes", EINVAL,
     "is below linux.resources.memory.limit, which it includes"},
    {"memory.swappiness", EINVAL, "is not a number from 0 to 100"},
    {"memory.use_hierarchy", EINVAL, "is no choice any more: it is always on"},
    {"cpu.cfs_quota_us", EINVAL,
     "is below 1000 (1 ms), below the burst, or more than the parent cgroup "
     "has"},
    {"cpu.cfs_period_us", EINVAL,
     "is not from 1000 to 1000000, or too short for the quota"},
    {"cpu.cfs_burst_us", EINVAL, "is above the quota"},
    {"cpu.max", EINVAL,
     "(quota, period) is not at least 1000 in 1000 to 1000000, or below the "
     "burst"},
    {"cpu.max.burst", EINVAL, "is above the quota"},
    {"cpu.rt_runtime_us", EINVAL,
     "is more realtime than the parent cgroup has left, or than the period"},
    {"cpu.rt_period_us", EINVAL, "is too short for the realtime runtime"},
    {"cpu.idle", EINVAL, "is neither 0 nor 1"},
    {"cpu.shares", EINVAL, "cannot be set while linux.resources.cpu.idle is 1"},
    {"cpu.weight", EINVAL, "cannot be set while linux.resources.cpu.idle is 1"},
    {"pids.max", EINVAL, "is more than the kernel can have"},
};

static const char *hint_find(const char *file, int code)
{
    for (unsigned i = 0; i < ARRAY_SIZE(hints); i++)
        if (hints[i].code == code && !strcmp(hints[i].file, file))
            return hints[i].text;
    return NULL;
}

/* --- why there is no tree, or no file --- */

static const char *c_name(enum cgroup_controller c, bool v2)
{
    return v2 && c == CGROUP_IO ? "io" : cgroup_controller_name(c);
}

static int tree_missing(const struct cgroup *cg, enum cgroup_controller c,
                        const char *json, struct error *err)
{
    if (cg->layout == CGROUP_V2 &&
        (c == CGROUP_NET_CLS || c == CGROUP_NET_PRIO))
        return error_set(err, ENOTSUP,
                         "%s: there is no such limit on cgroup v2", json);
    return error_set(err, ENOTSUP,
                     "%s: needs the cgroup controller %s, which this host "
                     "does not have",
                     json, c_name(c, cg->layout == CGROUP_V2));
}

static int tree_refused(const struct cgroup_tree *t, int code, const char *json,
                        struct error *err)
{
    if (code == ENOENT)
        return error_set(err, ENOENT,
                         "%s: the container was started without a cgroup in "
                         "%s",
                         json, t->mount);
    if (t->refused)
        return error_set(err, code,
                         "%s: needs a cgroup in %s, where this user may not "
                         "make any (%s)",
                         json, t->mount, strerror(code));
    return error_set(err, code, "%s: the cgroup %s%s: %s", json, t->mount,
                     t->path, strerror(code));
}

struct cgroup_tree *cgroup_set_tree(struct cgroup *cg, enum cgroup_controller c,
                                    const char *json, struct error *err)
{
    struct cgroup_tree *t = cgroup_tree_of(cg, c);
    int rc;

    if (!t) {
        tree_missing(cg, c, json, err);
        return NULL;
    }
    rc = cgroup_tree_open(t);
    if (rc) {
        tree_refused(t, -rc, json, err);
        return NULL;
    }
    return t;
}

bool cgroup_on_v2(struct cgroup *cg, enum cgroup_controller c)
{
    const struct cgroup_tree *t = cgroup_tree_of(cg, c);

    return t ? t->v2 : cg->layout == CGROUP_V2;
}

/* --- why a file does not take a value --- */

static int file_missing(const struct cgroup_tree *t, enum cgroup_controller c,
                        const char *json, const char *file, struct error *err)
{
    char text[256];

    if (t->v2 &&
        cgroup_file_read(t->fd, "cgroup.controllers", text, 256) >= 0 &&
        !(cgroup_names_parse(text) & BIT(c)))
        return error_set(err, ENOENT,
                         "%s: needs the cgroup controller %s, which could not "
                         "be turned on for %s: there are processes in its "
                         "parent, or it is not ours",
                         json, c_name(c, true), t->path);
    return error_set(err, ENOENT, "%s: this kernel has no %s", json, file);
}

/* The CPUs or memory nodes that could be named. */
static int set_outside(const struct cgroup_tree *t, const char *json,
                       const char *file, const char *value, struct error *err)
{
    char have[64] = "", name[40];

    snprintf(name, sizeof(name), "%s%s", file, t->v2 ? ".effective" : "");
    cgroup_file_read(t->root, name, have, sizeof(have));
    return error_set(err, EINVAL,
                     "%s: %.60s is no list of what this host or the parent "
                     "cgroup has (%s)",
                     json, value, have);
}

static int in_use(const struct cgroup_tree *t, const char *json,
                  const char *value, struct error *err)
{
    uint64_t usage = 0;
    char text[16];

    cgroup_file_number(
        t->fd, t->v2 ? "memory.current" : "memory.usage_in_bytes", &usage);
    cgroup_bytes_text(usage, text);
    return error_set(err, EBUSY, "%s: %.60s is below what is in use (%s)", json,
                     value, text);
}

static int explain(const struct cgroup_tree *t, enum cgroup_controller c,
                   const char *json, const char *file, const char *value,
                   int code, struct error *err)
{
    const char *hint = hint_find(file, code);

    if (hint)
        return error_set(err, code, "%s: %.60s %s", json, value, hint);
    if (code == ENOENT)
        return file_missing(t, c, json, file, err);
    if (code == EBUSY && c == CGROUP_MEMORY)
        return in_use(t, json, value, err);
    if (c == CGROUP_CPUSET)
        return set_outside(t, json, file, value, err);
    if (code == ENODEV)
        return error_set(err, code, "%s: %.60s: no such device", json, value);
    return error_set(
        err, code, "%s: %.60s is refused by the kernel (%s: %s)", json, value,
        file, code == KERNEL_ENOTSUPP ? "not supported" : strerror(code));
}

int cgroup_set(struct cgroup *cg, enum cgroup_controller c, const char *json,
               const char *file, const char *value, struct error *err)
{
    struct cgroup_tree *t = cgroup_set_tree(cg, c, json, err);
    int rc = t ? cgroup_file_write(t->fd, file, value) : -err->code;

    return t && rc ? explain(t, c, json, file, value, -rc, err) : rc;
}

int cgroup_set_number(struct cgroup *cg, enum cgroup_controller c,
                      const char *json, const char *file, int64_t value,
                      struct error *err)
{
    char text[24];

    snprintf(text, sizeof(text), "%lld", (long long)value);
    return cgroup_set(cg, c, json, file, text, err);
}

int cgroup_settle(struct cgroup *cg, enum cgroup_controller c,
                  struct cgroup_setting *list, unsigned count,
                  struct error *err)
{
    struct cgroup_tree *t;
    unsigned left = count, before;

    if (!count)
        return 0;
    t = cgroup_set_tree(cg, c, list[0].json, err);
    if (!t)
        return -err->code;
    for (unsigned i = 0; i < count; i++)
        list[i].rc = -EAGAIN;
    do {
        before = left;
        for (unsigned i = 0; i < count; i++) {
            if (!list[i].rc)
                continue;
            list[i].rc = cgroup_file_write(t->fd, list[i].file, list[i].value);
            left -= !list[i].rc;
        }
    } while (left && left < before);
    for (unsigned i = 0; i < count; i++)
        if (list[i].rc)
            return explain(t, c, list[i].json, list[i].file, list[i].value,
                           -list[i].rc, err);
    return 0;
}
