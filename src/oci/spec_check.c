/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec_check.c - what no table can say of a config.json: values that mean
 * nothing, and things that stand in each other's way.
 */
#include <ctype.h>
#include <errno.h>
#include <linux/sched.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oci/spec_int.h"

#define NO(...) error_set(err, EINVAL, __VA_ARGS__)

static bool absolute(const char *path)
{
    return path && path[0] == '/';
}

static int check_version(const struct spec *s, struct error *err)
{
    const char *v = s->version;
    char *end;

    if (strtoul(v, &end, 10) != 1 || *end != '.' ||
        !isdigit((unsigned char)v[2]))
        return NO("ociVersion: \"%.40s\" is not known, this is a runtime for "
                  "1.0 to " SPEC_VERSION,
                  v);
    return 0;
}

static int check_rlimits(const struct spec_process *p, struct error *err)
{
    const struct spec_rlimit *r = p->rlimits.items;
    uint32_t seen = 0;
    unsigned i;

    for (i = 0; i < p->rlimits.count; i++) {
        if (seen & BIT(r[i].type))
            return NO("process.rlimits[%u].type: stands there twice", i);
        seen |= BIT(r[i].type);
        if (r[i].soft > r[i].hard)
            return NO("process.rlimits[%u].soft: is above the hard limit", i);
    }
    return 0;
}

static int check_env(const struct spec_process *p, struct error *err)
{
    unsigned i;

    for (i = 0; i < p->env.count; i++)
        if (!strchr(p->env.item[i], '=') || p->env.item[i][0] == '=')
            return NO("process.env[%u]: \"%.60s\" is not NAME=VALUE", i,
                      p->env.item[i]);
    return 0;
}

/*
 * What the kernel has one EINVAL for. The words are crun's, as those are what
 * people search for.                                      [sched_setattr(2)]
 */
static int check_deadline(const struct spec_scheduler *s, struct error *err)
{
#define DEADLINE "process.scheduler: sched_setattr: `SCHED_DEADLINE` "
    if (s->policy != SPEC_SCHED_DEADLINE)
        return 0;
    if (!(s->has & SPEC_RUNTIME))
        return NO(DEADLINE "requires `runtime`");
    if (!s->runtime)
        return NO(DEADLINE "runtime must be greater than 0");
    if (!s->deadline)
        return NO(DEADLINE "requires `deadline`");
    if (s->runtime < 1024 || s->runtime >> 63)
        return NO(DEADLINE "runtime %llu must be between 1024 and 2^63-1 ns",
                  (unsigned long long)s->runtime);
    if (s->runtime > s->deadline)
        return NO(DEADLINE "runtime %llu must be <= deadline %llu",
                  (unsigned long long)s->runtime,
                  (unsigned long long)s->deadline);
    if (s->period && s->deadline > s->period)
        return NO(DEADLINE "deadline %llu must be <= period %llu",
                  (unsigned long long)s->deadline,
                  (unsigned long long)s->period);
#undef DEADLINE
    return 0;
}

int spec_check_process(const struct spec_process *p, struct error *err)
{
    int e;

    if (!absolute(p->cwd))
        return NO("process.cwd: \"%.200s\" does not begin with /", p->cwd);
    if (p->args.item && (!p->args.count || !p->args.item[0][0]))
        return NO("process.args: names no program");
    if ((p->has & SPEC_OOM_SCORE_ADJ) &&
        (p->oom_score_adj < -1000 || p->oom_score_adj > 1000))
        return NO("process.oomScoreAdj: %d is not -1000 to 1000",
                  p->oom_score_adj);
    if ((p->user.has & SPEC_UMASK) && p->user.umask > 0777)
        return NO("process.user.umask: 0%o is more than 0777", p->user.umask);
    if (p->io_priority &&
        (p->io_priority->priority < 0 || p->io_priority->priority > 7))
        return NO("process.ioPriority.priority: %d is not 0 to 7",
                  p->io_priority->priority);
    e = p->scheduler ? check_deadline(p->scheduler, err) : 0;
    if (!e)
        e = check_env(p, err);
    return e ? e : check_rlimits(p, err);
}

int spec_check_args(const struct spec_process *p, struct error *err)
{
    if (!p || !p->args.count)
        return NO("process.args: is missing: nothing can be started");
    return 0;
}

static int check_namespaces(const struct spec *s, struct error *err)
{
    const struct spec_namespace *n = s->linux_.namespaces.items;
    unsigned i, seen = 0;

    for (i = 0; i < s->linux_.namespaces.count; i++) {
        if (seen & n[i].type)
            return NO("linux.namespaces[%u].type: \"%s\" stands there twice", i,
                      spec_namespace_name(n[i].type));
        seen |= n[i].type;
        if (n[i].path && n[i].path[0] && !absolute(n[i].path))
            return NO("linux.namespaces[%u].path: \"%.200s\" does not begin "
                      "with /",
                      i, n[i].path);
    }
    return 0;
}

/* `name` is the place in the file. */
static int check_idmaps(const struct json_array *maps, const char *name,
                        struct error *err)
{
    const struct spec_idmap *m = maps->items;
    unsigned i;

    if (maps->count > 340)
        return NO("%s: has more than 340 entries", name);
    for (i = 0; i < maps->count; i++)
        if (!m[i].size || m[i].container_id > UINT32_MAX - m[i].size ||
            m[i].host_id > UINT32_MAX - m[i].size)
            return NO("%s[%u].size: %u is not possible here", name, i,
                      m[i].size);
    return 0;
}

/* What needs a namespace of the container's own. */
static int check_needs(const struct spec *s, struct error *err)
{
    const struct spec_linux *l = &s->linux_;
    const struct spec_namespace *time = spec_namespace(s, CLONE_NEWTIME);
    const struct spec_namespace *user = spec_namespace(s, CLONE_NEWUSER);

    if (s->hostname && s->hostname[0] && !spec_namespace(s, CLONE_NEWUTS))
        return NO("hostname: needs a namespace \"uts\" in linux.namespaces");
    if (s->domainname && s->domainname[0] && !spec_namespace(s, CLONE_NEWUTS))
        return NO("domainname: needs a namespace \"uts\" in linux.namespaces");
    if (l->time_offsets.count && (!time || (time->path && time->path[0])))
        return NO("linux.timeOffsets: needs a new namespace \"time\" in "
                  "linux.namespaces");
    if ((l->uid_mappings.count || l->gid_mappings.count) && !user)
        return NO("linux.uidMappings: needs a namespace \"user\" in "
                  "linux.namespaces");
    if (user && !(user->path && user->path[0]) &&
        !l->uid_mappings.count != !l->gid_mappings.count)
        return NO("linux.%cidMappings: a new namespace \"user\" needs one",
                  l->uid_mappings.count ? 'g' : 'u');
    if (l->net_devices.count && !spec_namespace(s, CLONE_NEWNET))
        return NO("linux.netDevices: needs a namespace \"network\" in "
                  "linux.namespaces");
    return 0;
}

/* What Linux takes as a network device's name. */
static bool device_name(const char *name)
{
    return name[0] && strlen(name) < IF_NAMESIZE && strcmp(name, ".") &&
           strcmp(name, "..") && !strpbrk(name, "/: \t\n\v\f\r%");
}

static const char *new_name(const struct spec_net_device *d)
{
    return d->name && d->name[0] ? d->name : d->key;
}

static int check_net_devices(const struct spec *s, struct error *err)
{
    const struct spec_net_device *d = s->linux_.net_devices.items;
    unsigned i, k;

    for (i = 0; i < s->linux_.net_devices.count; i++) {
        const char *name = new_name(&d[i]);

        if (!device_name(d[i].key))
            return NO("linux.netDevices: \"%.40s\" is no device's name",
                      d[i].key);
        if (!device_name(name))
            return NO("linux.netDevices.%s.name: \"%.40s\" is no device's name",
                      d[i].key, name);
        for (k = 0; k < i; k++)
            if (!strcmp(name, new_name(&d[k])))
                return NO("linux.netDevices.%s.name: \"%s\" stands there twice",
                          d[i].key, name);
    }
    return 0;
}

static int check_offsets(const struct spec *s, struct error *err)
{
    const struct spec_time_offset *t = s->linux_.time_offsets.items;
    unsigned i;

    for (i = 0; i < s->linux_.time_offsets.count; i++) {
        if (strcmp(t[i].key, "monotonic") && strcmp(t[i].key, "boottime"))
            return NO("linux.timeOffsets.%.40s: is neither monotonic nor "
                      "boottime",
                      t[i].key);
        if (t[i].nanosecs >= 1000000000)
            return NO("linux.timeOffsets.%s.nanosecs: is a second or more",
                      t[i].key);
    }
    return 0;
}

/*
 * Sysctls that are the container's own: those of a namespace that it does not
 * share with the host.
 */
static bool sysctl_of(const char *name, unsigned *ns)
{
    static const char *const ipc[] = {
        "kernel.msgmax", "kernel.msgmnb",          "kernel.msgmni",
        "kernel.sem",    "kernel.shmall",          "kernel.shmmax",
        "kernel.shmmni", "kernel.shm_rmid_forced",
    };
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(ipc); i++)
        if (!strcmp(name, ipc[i])) {
            *ns = CLONE_NEWIPC;
            return true;
        }
    *ns =
        !strncmp(name, "net.", 4)          ? CLONE_NEWNET
        : !strncmp(name, "fs.mqueue.", 10) ? CLONE_NEWIPC
        : !strncmp(name, "user.", 5)       ? CLONE_NEWUSER
        : !strcmp(name, "kernel.domainname") || !strcmp(name, "kernel.hostname")
            ? CLONE_NEWUTS
            : 0;
    return *ns != 0;
}

static int check_sysctl(const struct spec *s, struct error *err)
{
    const struct json_pair *p = s->linux_.sysctl.items;
    char name[256];
    unsigned i, ns;
    char *c;

    for (i = 0; i < s->linux_.sysctl.count; i++) {
        /* Both spellings are in use: net.ipv4.x and net/ipv4/x. */
        snprintf(name, sizeof(name), "%s", p[i].key);
        if (strlen(p[i].key) >= sizeof(name) || !strcspn(name, "./") ||
            strstr(name, ".."))
            return NO("linux.sysctl: \"%.80s\" is no name", p[i].key);
        if (strchr(name, '/'))
            for (c = name; *c; c++)
                *c = *c == '/' ? '.' : *c == '.' ? '/' : *c;
        if (!sysctl_of(name, &ns))
            return NO("linux.sysctl.%.80s: belongs to no namespace: it would "
                      "change the host",
                      p[i].key);
        if (!strcmp(name, "kernel.hostname"))
            return NO("linux.sysctl.kernel.hostname: use \"hostname\", which "
                      "it would be in the way of");
        if (!strcmp(name, "kernel.domainname") && s->domainname &&
            s->domainname[0] && strcmp(s->domainname, p[i].value))
            return NO("linux.sysctl.kernel.domainname: \"domainname\" says "
                      "something else");
        if (!spec_namespace(s, ns))
            return NO("linux.sysctl.%.80s: needs a namespace \"%s\" in "
                      "linux.namespaces",
                      p[i].key, spec_namespace_name(ns));
    }
    return 0;
}

static int check_devices(const struct spec *s, struct error *err)
{
    const struct spec_device *d = s->linux_.devices.items;
    unsigned i;

    for (i = 0; i < s->linux_.devices.count; i++) {
        if (!absolute(d[i].path))
            return NO("linux.devices[%u].path: \"%.200s\" does not begin with "
                      "/",
                      i, d[i].path);
        if (strlen(d[i].type) != 1 || !strchr("bcup", d[i].type[0]))
            return NO("linux.devices[%u].type: \"%.20s\" is not b, c, u or p",
                      i, d[i].type);
        if (d[i].type[0] != 'p' && (d[i].major < 0 || d[i].major > 0xfff ||
                                    d[i].minor < 0 || d[i].minor > 0xfffff))
            return NO("linux.devices[%u]: %lld:%lld is no device's number", i,
                      (long long)d[i].major, (long long)d[i].minor);
        if ((d[i].has & SPEC_FILE_MODE) && (d[i].file_mode & ~0170777u))
            return NO("linux.devices[%u].fileMode: 0%o is more than 0777", i,
                      d[i].file_mode);
    }
    return 0;
}

static int check_paths(const struct json_strings *paths, const char *name,
                       struct error *err)
{
    unsigned i;

    for (i = 0; i < paths->count; i++)
        if (!absolute(paths->item[i]))
            return NO("%s[%u]: \"%.200s\" does not begin with /", name, i,
                      paths->item[i]);
    return 0;
}

static int check_hooks(const struct spec *s, struct error *err)
{
    static const char *const names[HOOK_KINDS] = {
        "prestart",       "createRuntime", "createContainer",
        "startContainer", "poststart",     "poststop",
    };
    unsigned k, i;

    for (k = 0; k < HOOK_KINDS; k++) {
        const struct spec_hook *h = s->hooks.kind[k].items;

        for (i = 0; i < s->hooks.kind[k].count; i++) {
            if (!absolute(h[i].path))
                return NO("hooks.%s[%u].path: \"%.200s\" does not begin with "
                          "/",
                          names[k], i, h[i].path);
            if ((h[i].has & SPEC_TIMEOUT) && h[i].timeout <= 0)
                return NO("hooks.%s[%u].timeout: %d is not above 0", names[k],
                          i, h[i].timeout);
        }
    }
    return 0;
}

static int check_mounts(const struct spec *s, struct error *err)
{
    const struct spec_mount *m = s->mounts.items;
    char name[40];
    unsigned i;
    int e;

    for (i = 0; i < s->mounts.count; i++) {
        if (!m[i].destination[0])
            return NO("mounts[%u].destination: is empty", i);
        if (!m[i].uid_mappings.count != !m[i].gid_mappings.count)
            return NO("mounts[%u]: uidMappings and gidMappings go together", i);
        snprintf(name, sizeof(name), "mounts[%u].uidMappings", i);
        e = check_idmaps(&m[i].uid_mappings, name, err);
        name[strlen(name) - strlen("uidMappings")] = 'g';
        if (!e)
            e = check_idmaps(&m[i].gid_mappings, name, err);
        if (e)
            return e;
    }
    return 0;
}

static int check_rest(const struct spec *s, struct error *err)
{
    static const char *const kinds[] = {
        "shared",  "rshared",  "slave",      "rslave",
        "private", "rprivate", "unbindable", "runbindable",
    };
    const char *p = s->linux_.rootfs_propagation;
    unsigned i;

    if (!s->root.path[0])
        return NO("root.path: is empty");
    if (s->linux_.intel_rdt)
        return NO("linux.intelRdt: not built here, as no machine of ours has "
                  "resctrl; leave it out");
    if (!p || !p[0])
        return 0;
    for (i = 0; i < ARRAY_SIZE(kinds); i++)
        if (!strcmp(p, kinds[i]))
            return 0;
    return NO("linux.rootfsPropagation: \"%.40s\" is not known", p);
}

int spec_check(const struct spec *s, struct error *err)
{
    const struct spec_linux *l = &s->linux_;
    int e = check_version(s, err);

    if (!e && s->process)
        e = spec_check_process(s->process, err);
    if (!e)
        e = check_namespaces(s, err);
    if (!e)
        e = check_idmaps(&l->uid_mappings, "linux.uidMappings", err);
    if (!e)
        e = check_idmaps(&l->gid_mappings, "linux.gidMappings", err);
    if (!e)
        e = check_needs(s, err);
    if (!e)
        e = check_net_devices(s, err);
    if (!e)
        e = check_offsets(s, err);
    if (!e)
        e = check_sysctl(s, err);
    if (!e)
        e = check_devices(s, err);
    if (!e)
        e = check_paths(&l->masked_paths, "linux.maskedPaths", err);
    if (!e)
        e = check_paths(&l->readonly_paths, "linux.readonlyPaths", err);
    if (!e)
        e = check_hooks(s, err);
    if (!e)
        e = check_mounts(s, err);
    if (!e && l->resources)
        e = cgroup_limits_check(l->resources, err);
    return e ? e : check_rest(s, err);
}
