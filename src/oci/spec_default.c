/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/spec_default.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fence/caps.h"
#include "fence/seccomp.h"
#include "oci/json_build.h"
#include "oci/spec.h"

#define CPU_PERIOD 100000 /* us */

/* What is the same for all. */
static const char base[] =
    "{\"ociVersion\":\"" SPEC_VERSION
    "\",\"process\":{\"noNewPrivileges\":true,"
    "\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"hard\":1024,\"soft\":1024}]},"
    "\"mounts\":["
    "{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
    "{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\","
    "\"options\":[\"nosuid\",\"strictatime\",\"mode=755\",\"size=65536k\"]},"
    "{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\","
    "\"options\":[\"nosuid\",\"noexec\",\"newinstance\",\"ptmxmode=0666\","
    "\"mode=0620\"]},"
    "{\"destination\":\"/dev/shm\",\"type\":\"tmpfs\",\"source\":\"shm\","
    "\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"mode=1777\","
    "\"size=65536k\"]},"
    "{\"destination\":\"/dev/mqueue\",\"type\":\"mqueue\",\"source\":"
    "\"mqueue\",\"options\":[\"nosuid\",\"noexec\",\"nodev\"]},"
    "{\"destination\":\"/sys\",\"type\":\"sysfs\",\"source\":\"sysfs\","
    "\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"ro\"]},"
    "{\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup\",\"source\":"
    "\"cgroup\",\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"relatime\","
    "\"ro\"]}],"
    "\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"ipc\"},"
    "{\"type\":\"uts\"},{\"type\":\"mount\"},{\"type\":\"cgroup\"}],"
    "\"maskedPaths\":[\"/proc/acpi\",\"/proc/asound\",\"/proc/interrupts\","
    "\"/proc/kcore\",\"/proc/keys\",\"/proc/latency_stats\","
    "\"/proc/timer_list\",\"/proc/timer_stats\",\"/proc/sched_debug\","
    "\"/proc/scsi\",\"/sys/firmware\",\"/sys/devices/virtual/powercap\"],"
    "\"readonlyPaths\":[\"/proc/bus\",\"/proc/fs\",\"/proc/irq\","
    "\"/proc/sys\",\"/proc/sysrq-trigger\"],"
    "\"resources\":{\"devices\":[{\"allow\":false,\"access\":\"rwm\"}]}}}";

/* As Docker gives a container that asks for nothing. */
static const char *const docker_caps[] = {
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
    NULL,
};
static const char *const spec_caps_few[] = {"CAP_AUDIT_WRITE", "CAP_KILL",
                                            "CAP_NET_BIND_SERVICE", NULL};

/* An object that is being made, and where. */
struct object {
    struct arena *a;
    struct json_value *v;
};

static struct object get(struct object o, const char *key)
{
    return (struct object){o.a, json_put_object(o.a, o.v, key)};
}

static void put_text(struct object o, const char *key, const char *text)
{
    json_put(o.v, key, json_new_text(o.a, text));
}

static void put_int(struct object o, const char *key, int64_t v)
{
    json_put(o.v, key, json_new_int(o.a, v));
}

static void put_bool(struct object o, const char *key, bool yes)
{
    json_put(o.v, key, json_new_bool(o.a, yes));
}

static void put_texts(struct object o, const char *key,
                      const char *const *words)
{
    json_put(o.v, key, json_new_texts(o.a, words));
}

/* One more object at the end of a list. */
static struct object add(struct object o, const char *list)
{
    struct object item = {o.a, json_new_object(o.a)};

    json_add(json_put_array(o.a, o.v, list), item.v);
    return item;
}

static void put_caps(struct object process, const struct spec_wish *w)
{
    const char *const *caps = w->docker ? docker_caps : spec_caps_few;
    struct object o = get(process, "capabilities");

    put_texts(o, "bounding", caps);
    put_texts(o, "effective", caps);
    put_texts(o, "permitted", caps);
}

static bool has_name(const char *const *env, const char *name)
{
    for (; env && *env; env++)
        if (!strncmp(*env, name, strlen(name)))
            return true;
    return false;
}

static void put_process(struct object o, const struct spec_wish *w)
{
    static const char *const sh[] = {"sh", NULL};
    struct object process = get(o, "process"), user = get(process, "user");

    put_int(user, "uid", w->uid);
    put_int(user, "gid", w->gid);
    put_bool(process, "terminal", w->terminal);
    put_texts(process, "args", w->args ? w->args : sh);
    put_text(process, "cwd", w->cwd ? w->cwd : "/");
    put_texts(process, "env", w->env);
    if (!has_name(w->env, "PATH="))
        json_add(json_put_array(o.a, process.v, "env"),
                 json_new_text(o.a, "PATH=/usr/local/sbin:/usr/local/bin:"
                                    "/usr/sbin:/usr/bin:/sbin:/bin"));
    put_caps(process, w);
}

static void add_namespace(struct object linux_, const char *type)
{
    put_text(add(linux_, "namespaces"), "type", type);
}

static void put_map(struct object linux_, const char *name, uint32_t host)
{
    struct object m = add(linux_, name);

    put_int(m, "containerID", 0);
    put_int(m, "hostID", host);
    put_int(m, "size", 1);
}

/* A user maps himself; cgroups are for those who were given some. */
static void make_rootless(struct object o, struct object linux_)
{
    struct json_value *mounts = json_put_array(o.a, o.v, "mounts"), *m, *next;

    add_namespace(linux_, "user");
    put_map(linux_, "uidMappings", geteuid());
    put_map(linux_, "gidMappings", getegid());
    m = mounts->first;
    mounts->first = NULL;
    mounts->count = 0;
    for (; m; m = next) {
        next = m->next;
        m->next = NULL;
        if (strcmp(json_get(m, "type")->text, "cgroup"))
            json_add(mounts, m);
    }
    json_drop(linux_.v, "resources");
}

static void put_limits(struct object linux_, const struct spec_wish *w)
{
    struct object r;

    if (!w->memory && !(w->cpus > 0) && !w->pids)
        return;
    r = get(linux_, "resources");
    if (w->memory) {
        put_int(get(r, "memory"), "limit", (int64_t)w->memory);
        put_int(get(r, "memory"), "swap", (int64_t)w->memory);
    }
    if (w->cpus > 0) {
        put_int(get(r, "cpu"), "quota", (int64_t)(w->cpus * CPU_PERIOD));
        put_int(get(r, "cpu"), "period", CPU_PERIOD);
    }
    if (w->pids)
        put_int(get(r, "pids"), "limit", w->pids);
}

static int put_bind(struct object o, const char *bind, struct error *err)
{
    char *copy = arena_strdup(o.a, bind), *dir = strchr(copy, ':'), *more;
    char real[PATH_MAX];
    const char *word;
    struct object m;

    if (!dir || !dir[1] || dir[1] == ':')
        return error_set(err, EINVAL, "--bind %s: give HOST:DIR", bind);
    *dir++ = 0;
    more = strchr(dir, ':');
    if (more)
        *more++ = 0;
    if (!realpath(copy, real))
        return error_set(err, errno, "--bind %s: %s", copy, strerror(errno));
    m = add(o, "mounts");
    put_text(m, "destination", dir);
    put_text(m, "type", "bind");
    put_text(m, "source", arena_strdup(o.a, real));
    for (word = "rbind"; word; word = strsep(&more, ","))
        json_add(json_put_array(m.a, m.v, "options"), json_new_text(m.a, word));
    return 0;
}

/* --- the profile --- */

static const char *action_text(enum seccomp_action a)
{
    enum seccomp_action v;
    unsigned i = 0;

    while (!seccomp_action_find(seccomp_action_name(i), &v) || v != a)
        i++;
    return seccomp_action_name(i);
}

static const char *op_text(enum seccomp_op op)
{
    enum seccomp_op v;
    unsigned i = 0;

    while (!seccomp_op_find(seccomp_op_name(i), &v) || v != op)
        i++;
    return seccomp_op_name(i);
}

static void put_arg(struct object o, const struct seccomp_arg *g)
{
    put_int(o, "index", g->index);
    json_put(o.v, "value", json_new_uint(o.a, g->value));
    json_put(o.v, "valueTwo", json_new_uint(o.a, g->value_two));
    put_text(o, "op", op_text(g->op));
}

static void put_rule(struct object o, const struct seccomp_rule *r)
{
    struct json_value *names = json_new_array(o.a);
    unsigned i;

    for (i = 0; i < r->count; i++)
        json_add(names, json_new_text(o.a, r->names[i]));
    json_put(o.v, "names", names);
    put_text(o, "action", action_text(r->action));
    if (r->errno_ret != SECCOMP_ERRNO_DEFAULT)
        put_int(o, "errnoRet", r->errno_ret);
    for (i = 0; i < r->nargs; i++)
        put_arg(add(o, "args"), &r->args[i]);
}

static uint64_t caps_set_of(const char *const *names)
{
    uint64_t set = 0;
    unsigned cap;

    for (; *names; names++)
        if (caps_find(*names, &cap))
            set |= BIT64(cap);
    return set;
}

uint64_t spec_default_caps(void)
{
    return caps_set_of(docker_caps);
}

static void put_seccomp(struct object linux_)
{
    static const char *const arches[] = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86",
                                         "SCMP_ARCH_X32", NULL};
    struct seccomp_default d;
    const struct seccomp_profile *p = seccomp_default(&d, spec_default_caps());
    struct object o = get(linux_, "seccomp");
    unsigned i;

    put_text(o, "defaultAction", action_text(p->action));
    if (p->errno_ret != SECCOMP_ERRNO_DEFAULT)
        put_int(o, "defaultErrnoRet", p->errno_ret);
    put_texts(o, "architectures", arches);
    for (i = 0; i < p->rule_count; i++)
        put_rule(add(o, "syscalls"), &p->rules[i]);
}

char *spec_default_text(struct arena *a, const struct spec_wish *w,
                        struct error *err)
{
    struct object o = {a, json_parse(a, base, strlen(base), "base", err)};
    struct object linux_ = get(o, "linux"), root = get(o, "root");
    const char *const *b;

    put_text(root, "path", w->rootfs);
    put_bool(root, "readonly", w->readonly);
    put_text(o, "hostname", w->hostname ? w->hostname : "ringfence");
    put_process(o, w);
    if (!w->host_net)
        add_namespace(linux_, "network");
    if (w->rootless)
        make_rootless(o, linux_);
    put_limits(linux_, w);
    if (w->docker)
        put_seccomp(linux_);
    for (b = w->binds; b && *b; b++)
        if (put_bind(o, *b, err))
            return NULL;
    return json_print(a, o.v, true);
}
