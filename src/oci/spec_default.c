/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/spec_default.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fence/caps.h"
#include "fence/seccomp.h"
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

static void put(json_object *o, const char *key, json_object *value)
{
    json_object_object_add(o, key, value);
}

static json_object *text(const char *s)
{
    return json_object_new_string(s);
}

static json_object *get(json_object *o, const char *key)
{
    json_object *v = json_object_object_get(o, key);

    if (!v) {
        v = json_object_new_object();
        put(o, key, v);
    }
    return v;
}

static json_object *list_of(const char *const *words)
{
    json_object *l = json_object_new_array();

    for (; words && *words; words++)
        json_object_array_add(l, text(*words));
    return l;
}

static void put_caps(json_object *process, const struct spec_wish *w)
{
    const char *const *caps = w->docker ? docker_caps : spec_caps_few;
    json_object *o = get(process, "capabilities");

    put(o, "bounding", list_of(caps));
    put(o, "effective", list_of(caps));
    put(o, "permitted", list_of(caps));
}

static bool has_name(const char *const *env, const char *name)
{
    for (; env && *env; env++)
        if (!strncmp(*env, name, strlen(name)))
            return true;
    return false;
}

static void put_process(json_object *o, const struct spec_wish *w)
{
    static const char *const sh[] = {"sh", NULL};
    json_object *process = get(o, "process"), *user = get(process, "user");
    json_object *env = list_of(w->env);

    put(user, "uid", json_object_new_int64(w->uid));
    put(user, "gid", json_object_new_int64(w->gid));
    put(process, "terminal", json_object_new_boolean(w->terminal));
    put(process, "args", list_of(w->args ? w->args : sh));
    put(process, "cwd", text(w->cwd ? w->cwd : "/"));
    if (!has_name(w->env, "PATH="))
        json_object_array_add(
            env, text("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
                      "/sbin:/bin"));
    put(process, "env", env);
    put_caps(process, w);
}

static void add_namespace(json_object *linux_, const char *type)
{
    json_object *n = json_object_new_object();

    put(n, "type", text(type));
    json_object_array_add(get(linux_, "namespaces"), n);
}

static void put_map(json_object *linux_, const char *name, uint32_t host)
{
    json_object *l = json_object_new_array(), *m = json_object_new_object();

    put(m, "containerID", json_object_new_int(0));
    put(m, "hostID", json_object_new_int64(host));
    put(m, "size", json_object_new_int(1));
    json_object_array_add(l, m);
    put(linux_, name, l);
}

/* A user maps himself; cgroups are for those who were given some. */
static void make_rootless(json_object *o, json_object *linux_)
{
    json_object *mounts = get(o, "mounts");
    size_t i, n = json_object_array_length(mounts);

    add_namespace(linux_, "user");
    put_map(linux_, "uidMappings", geteuid());
    put_map(linux_, "gidMappings", getegid());
    for (i = 0; i < n; i++) {
        json_object *m = json_object_array_get_idx(mounts, i);
        const char *type =
            json_object_get_string(json_object_object_get(m, "type"));

        if (!strcmp(type, "cgroup")) {
            json_object_array_del_idx(mounts, i--, 1);
            n--;
        }
    }
    json_object_object_del(linux_, "resources");
}

static void put_limits(json_object *linux_, const struct spec_wish *w)
{
    json_object *r;

    if (!w->memory && !(w->cpus > 0) && !w->pids)
        return;
    r = get(linux_, "resources");
    if (w->memory) {
        put(get(r, "memory"), "limit",
            json_object_new_int64((int64_t)w->memory));
        put(get(r, "memory"), "swap",
            json_object_new_int64((int64_t)w->memory));
    }
    if (w->cpus > 0) {
        put(get(r, "cpu"), "quota",
            json_object_new_int64((int64_t)(w->cpus * CPU_PERIOD)));
        put(get(r, "cpu"), "period", json_object_new_int64(CPU_PERIOD));
    }
    if (w->pids)
        put(get(r, "pids"), "limit", json_object_new_int64(w->pids));
}

static int put_bind(struct arena *a, json_object *mounts, const char *bind,
                    struct error *err)
{
    char *copy = arena_strdup(a, bind), *dir = strchr(copy, ':'), *more, *word;
    json_object *m, *options;
    char real[PATH_MAX];

    if (!dir || !dir[1] || dir[1] == ':')
        return error_set(err, EINVAL, "--bind %s: give HOST:DIR", bind);
    *dir++ = 0;
    more = strchr(dir, ':');
    if (more)
        *more++ = 0;
    if (!realpath(copy, real))
        return error_set(err, errno, "--bind %s: %s", copy, strerror(errno));
    m = json_object_new_object();
    put(m, "destination", text(dir));
    put(m, "type", text("bind"));
    put(m, "source", text(real));
    options = json_object_new_array();
    json_object_array_add(options, text("rbind"));
    while ((word = strsep(&more, ",")))
        json_object_array_add(options, text(word));
    put(m, "options", options);
    json_object_array_add(mounts, m);
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

static json_object *arg_json(const struct seccomp_arg *g)
{
    json_object *o = json_object_new_object();

    put(o, "index", json_object_new_int64(g->index));
    put(o, "value", json_object_new_uint64(g->value));
    put(o, "valueTwo", json_object_new_uint64(g->value_two));
    put(o, "op", text(op_text(g->op)));
    return o;
}

static json_object *rule_json(const struct seccomp_rule *r)
{
    json_object *o = json_object_new_object(), *l = json_object_new_array();
    unsigned i;

    for (i = 0; i < r->count; i++)
        json_object_array_add(l, text(r->names[i]));
    put(o, "names", l);
    put(o, "action", text(action_text(r->action)));
    if (r->errno_ret != SECCOMP_ERRNO_DEFAULT)
        put(o, "errnoRet", json_object_new_int(r->errno_ret));
    if (r->nargs) {
        l = json_object_new_array();
        for (i = 0; i < r->nargs; i++)
            json_object_array_add(l, arg_json(&r->args[i]));
        put(o, "args", l);
    }
    return o;
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

static void put_seccomp(json_object *linux_)
{
    static const char *const arches[] = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86",
                                         "SCMP_ARCH_X32", NULL};
    struct seccomp_default d;
    const struct seccomp_profile *p = seccomp_default(&d, spec_default_caps());
    json_object *o = get(linux_, "seccomp"), *rules = json_object_new_array();
    unsigned i;

    put(o, "defaultAction", text(action_text(p->action)));
    if (p->errno_ret != SECCOMP_ERRNO_DEFAULT)
        put(o, "defaultErrnoRet", json_object_new_int(p->errno_ret));
    put(o, "architectures", list_of(arches));
    for (i = 0; i < p->rule_count; i++)
        json_object_array_add(rules, rule_json(&p->rules[i]));
    put(o, "syscalls", rules);
}

char *spec_default_text(struct arena *a, const struct spec_wish *w,
                        struct error *err)
{
    json_object *o = json_tokener_parse(base), *linux_ = get(o, "linux");
    json_object *root = get(o, "root");
    const char *const *b;
    char *out = NULL;

    put(root, "path", text(w->rootfs));
    put(root, "readonly", json_object_new_boolean(w->readonly));
    put(o, "hostname", text(w->hostname ? w->hostname : "ringfence"));
    put_process(o, w);
    if (!w->host_net)
        add_namespace(linux_, "network");
    if (w->rootless)
        make_rootless(o, linux_);
    put_limits(linux_, w);
    if (w->docker)
        put_seccomp(linux_);
    for (b = w->binds; b && *b; b++)
        if (put_bind(a, get(o, "mounts"), *b, err))
            break;
    if (!b || !*b)
        out = arena_strdup(a, json_object_to_json_string_ext(
                                  o, JSON_C_TO_STRING_PRETTY |
                                         JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(o);
    return out;
}
