/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json: one with every field that the tables know, and each of them
 * with each wrong type, out of range and missing.
 */
#include "oci/spec.h"

#include <errno.h>
#include <json-c/json.h>

#include "oci/spec_int.h"
#include "test.h"

/* Everything but intelRdt, which is refused as a whole. */
/* clang-format off */
static const char config[] =
"{'ociVersion': '1.2.0', 'process': {"
" 'terminal': false, 'consoleSize': {'height': 1, 'width': 2},"
" 'user': {'uid': 1, 'gid': 2, 'umask': 18, 'additionalGids': [3]},"
" 'args': ['sh'], 'env': ['A=b'], 'cwd': '/', 'capabilities': {"
"  'bounding': ['CAP_KILL'], 'effective': ['CAP_KILL'],"
"  'inheritable': ['CAP_KILL'], 'permitted': ['CAP_KILL'],"
"  'ambient': ['CAP_KILL']},"
" 'rlimits': [{'type': 'RLIMIT_CPU', 'hard': 2, 'soft': 1}],"
" 'noNewPrivileges': true, 'apparmorProfile': 'a', 'selinuxLabel': 's',"
" 'oomScoreAdj': 5, 'scheduler': {'policy': 'SCHED_OTHER', 'nice': 1,"
"  'priority': 1, 'flags': ['SCHED_FLAG_RECLAIM'], 'runtime': 1,"
"  'deadline': 1, 'period': 1},"
" 'ioPriority': {'class': 'IOPRIO_CLASS_BE', 'priority': 4},"
" 'execCPUAffinity': {'initial': '0', 'final': '0'}},"
"'root': {'path': 'rootfs', 'readonly': true},"
"'hostname': 'h', 'domainname': 'd',"
"'mounts': [{'destination': '/m', 'type': 'bind', 'source': '/s',"
" 'options': ['bind'],"
" 'uidMappings': [{'containerID': 0, 'hostID': 1, 'size': 1}],"
" 'gidMappings': [{'containerID': 0, 'hostID': 1, 'size': 1}]}],"
"'hooks': {"
" 'prestart': [{'path': '/h', 'args': ['a'], 'env': ['A=b'], 'timeout': 1}],"
" 'createRuntime': [{'path': '/h', 'args': ['a'], 'env': ['A=b'],"
"  'timeout': 1}],"
" 'createContainer': [{'path': '/h', 'args': ['a'], 'env': ['A=b'],"
"  'timeout': 1}],"
" 'startContainer': [{'path': '/h', 'args': ['a'], 'env': ['A=b'],"
"  'timeout': 1}],"
" 'poststart': [{'path': '/h', 'args': ['a'], 'env': ['A=b'], 'timeout': 1}],"
" 'poststop': [{'path': '/h', 'args': ['a'], 'env': ['A=b'], 'timeout': 1}]},"
"'annotations': {'k': 'v'},"
"'linux': {"
" 'uidMappings': [{'containerID': 0, 'hostID': 1, 'size': 1}],"
" 'gidMappings': [{'containerID': 0, 'hostID': 1, 'size': 1}],"
" 'sysctl': {'net.x': '1'}, 'cgroupsPath': '/c',"
" 'namespaces': [{'type': 'time', 'path': ''}, {'type': 'uts'},"
"  {'type': 'user'}, {'type': 'network', 'path': '/n'}],"
" 'devices': [{'path': '/dev/x', 'type': 'c', 'major': 1, 'minor': 3,"
"  'fileMode': 438, 'uid': 0, 'gid': 0}],"
" 'netDevices': {'eth0': {'name': 'e'}}, 'rootfsPropagation': 'private',"
" 'maskedPaths': ['/proc/kcore'], 'readonlyPaths': ['/proc/sys'],"
" 'mountLabel': 'l', 'memoryPolicy': {'mode': 'MPOL_BIND', 'nodes': '0',"
"  'flags': ['MPOL_F_STATIC_NODES']},"
" 'personality': {'domain': 'LINUX', 'flags': []},"
" 'timeOffsets': {'boottime': {'secs': 1, 'nanosecs': 1}},"
" 'seccomp': {'defaultAction': 'SCMP_ACT_ERRNO', 'defaultErrnoRet': 1,"
"  'architectures': ['SCMP_ARCH_X86_64'],"
"  'flags': ['SECCOMP_FILTER_FLAG_LOG'], 'listenerPath': '/l',"
"  'listenerMetadata': 'm', 'syscalls': [{'names': ['read'],"
"   'action': 'SCMP_ACT_ALLOW', 'errnoRet': 1, 'args': [{'index': 0,"
"    'value': 1, 'valueTwo': 2, 'op': 'SCMP_CMP_EQ'}]}]},"
" 'resources': {"
"  'devices': [{'allow': true, 'type': 'c', 'major': 1, 'minor': 3,"
"   'access': 'rwm'}],"
"  'memory': {'limit': 1, 'reservation': 1, 'swap': 1, 'kernel': 1,"
"   'kernelTCP': 1, 'swappiness': 1, 'disableOOMKiller': true,"
"   'useHierarchy': true, 'checkBeforeUpdate': true},"
"  'cpu': {'shares': 2, 'quota': 1000, 'burst': 1, 'period': 1000,"
"   'realtimeRuntime': 1, 'realtimePeriod': 1, 'idle': 0, 'cpus': '0',"
"   'mems': '0'},"
"  'pids': {'limit': 1},"
"  'blockIO': {'weight': 10, 'leafWeight': 10, 'weightDevice': [{'major': 8,"
"    'minor': 0, 'weight': 10, 'leafWeight': 10}],"
"   'throttleReadBpsDevice': [{'major': 8, 'minor': 0, 'rate': 1}],"
"   'throttleWriteBpsDevice': [{'major': 8, 'minor': 0, 'rate': 1}],"
"   'throttleReadIOPSDevice': [{'major': 8, 'minor': 0, 'rate': 1}],"
"   'throttleWriteIOPSDevice': [{'major': 8, 'minor': 0, 'rate': 1}]},"
"  'hugepageLimits': [{'pageSize': '2MB', 'limit': 1}],"
"  'network': {'classID': 1, 'priorities': [{'name': 'e', 'priority': 1}]},"
"  'rdma': {'mlx': {'hcaHandles': 1, 'hcaObjects': 1}},"
"  'unified': {'memory.high': '1'}}}}";
/* clang-format on */

struct walk {
    struct arena arena;
    json_object *root;
    unsigned done;
};

/* json-c takes our quotes, too. */
static json_object *config_new(void)
{
    json_object *o = json_tokener_parse(config);

    CHECK(o != NULL);
    return o;
}

static int read_root(json_object *root, bool whole, struct error *err)
{
    const char *text = json_object_to_json_string(root);
    struct arena a = {0};
    struct spec spec = {0};
    int e;

    memset(err, 0, sizeof(*err));
    if (whole)
        e = spec_read_text(&a, text, "config.json", &spec, err);
    else
        e = json_read_text(&a, text, strlen(text), "config.json", &spec_shape,
                           &spec, err);
    arena_free(&a);
    return e;
}

/* The document as it is now is refused, with a message of this place. */
static void refused_at(struct walk *w, const char *path, const char *how)
{
    size_t n = strlen(path);
    struct error err;

    w->done++;
    if (!read_root(w->root, false, &err) || strncmp(err.msg, path, n) ||
        strncmp(err.msg + n, ": ", 2) || strchr(err.msg, '\n')) {
        fprintf(stderr, "%s %s: \"%s\"\n", path, how, err.msg);
        test_failed = 1;
    }
}

static json_type type_of(uint8_t kind)
{
    switch (kind) {
    case JSON_STRING:
    case JSON_ENUM:
        return json_type_string;
    case JSON_BOOL:
        return json_type_boolean;
    case JSON_NUMBER:
        return json_type_int;
    case JSON_MAP:
    case JSON_OBJECT:
    case JSON_INLINE:
    case JSON_DICT:
        return json_type_object;
    default:
        return json_type_array;
    }
}

/* Where a value is: in an object by its key, or the first of an array. */
static void place_set(json_object *in, const char *key, json_object *value)
{
    if (key)
        json_object_object_add(in, key, value);
    else
        json_object_array_put_idx(in, 0, value);
}

/* Each type but that one. */
static void wrong_types(struct walk *w, json_object *in, const char *key,
                        const char *path, json_type right)
{
    static const char *const values[] = {"5",    "1.5", "\"text\"",
                                         "true", "{}",  "[]"};
    json_object *was = key ? json_object_object_get(in, key)
                           : json_object_array_get_idx(in, 0);

    json_object_get(was);
    for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
        json_object *v = json_tokener_parse(values[i]);

        if (json_object_get_type(v) == right) {
            json_object_put(v);
            continue;
        }
        place_set(in, key, v);
        refused_at(w, path, values[i]);
    }
    place_set(in, key, was);
}

static void wrong_value(struct walk *w, json_object *in, const char *key,
                        const char *path, const char *value)
{
    json_object *was = key ? json_object_object_get(in, key)
                           : json_object_array_get_idx(in, 0);

    json_object_get(was);
    /* json-c would cut a number that is too large. */
    place_set(in, key,
              *value == '"' ? json_tokener_parse(value)
                            : json_object_new_double_s(0, value));
    refused_at(w, path, value);
    place_set(in, key, was);
}

static void walk_shape(struct walk *w, json_object *o, const char *path,
                       const struct json_shape *shape);

/* What is in a list or an object, too. */
static void walk_below(struct walk *w, json_object *v, const char *path,
                       const struct json_field *f)
{
    char *below;

    switch (f->kind) {
    case JSON_OBJECT:
    case JSON_INLINE:
        walk_shape(w, v, path, f->shape);
        return;
    case JSON_MAP:
    case JSON_DICT: {
        json_object_object_foreach(v, key, value)
        {
            below = arena_printf(&w->arena, "%s.%s", path, key);
            wrong_types(w, v, key, below,
                        f->shape ? json_type_object : json_type_string);
            if (f->shape)
                walk_shape(w, value, below, f->shape);
        }
        return;
    }
    default:
        break;
    }
    below = arena_printf(&w->arena, "%s[0]", path);
    if (!json_object_array_length(v))
        json_object_array_add(v, json_object_new_string("x"));
    wrong_types(w, v, NULL, below,
                f->kind == JSON_ARRAY     ? json_type_object
                : f->kind == JSON_NUMBERS ? json_type_int
                                          : json_type_string);
    if (f->kind == JSON_ARRAY)
        walk_shape(w, json_object_array_get_idx(v, 0), below, f->shape);
    else if (f->kind == JSON_NUMBERS)
        wrong_value(w, v, NULL, below, "4294967296");
    else if (f->find)
        wrong_value(w, v, NULL, below, "\"unheard-of\"");
}

static void walk_number(struct walk *w, json_object *o, const char *path,
                        const struct json_field *f)
{
    static const char *const never[] = {
        "99999999999999999999", "-99999999999999999999", "1.5", "1e3",
        "-9223372036854775809",
    };

    for (unsigned i = 0; i < ARRAY_SIZE(never); i++)
        wrong_value(w, o, f->name, path, never[i]);
    if (!f->is_signed)
        wrong_value(w, o, f->name, path, "-1");
    if (f->is_signed || f->size < 8)
        wrong_value(w, o, f->name, path, "18446744073709551615");
    if (f->size < 8)
        wrong_value(w, o, f->name, path, "-9223372036854775808");
}

static void walk_missing(struct walk *w, json_object *o, const char *path,
                         const char *name)
{
    json_object *was = json_object_get(json_object_object_get(o, name));

    json_object_object_del(o, name);
    refused_at(w, path, "missing");
    json_object_object_add(o, name, was);
}

static void walk_shape(struct walk *w, json_object *o, const char *path,
                       const struct json_shape *shape)
{
    for (const struct json_field *f = shape->fields; f->name; f++) {
        json_object *v = json_object_object_get(o, f->name);

        if (!strcmp(f->name, "intelRdt"))
            continue;
        char *here = arena_printf(&w->arena, "%s%s%s", path, path[0] ? "." : "",
                                  f->name);
        if (!v) {
            fprintf(stderr, "the test has no %s\n", here);
            test_failed = 1;
            continue;
        }
        wrong_types(w, o, f->name, here, type_of(f->kind));
        if (f->kind == JSON_NUMBER)
            walk_number(w, o, here, f);
        else if (f->kind == JSON_ENUM)
            wrong_value(w, o, f->name, here, "\"unheard-of\"");
        else if (f->kind == JSON_STRING)
            wrong_value(w, o, f->name, here, "\"a\\u0000b\"");
        else if (f->kind != JSON_BOOL)
            walk_below(w, v, here, f);
        if (f->required)
            walk_missing(w, o, here, f->name);
    }
}

static void a_whole_config_is_taken(void)
{
    json_object *root = config_new();
    struct error err;

    if (read_root(root, true, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        test_failed = 1;
    }
    json_object_put(root);
}

static void each_field_with_each_wrong_type_is_named(void)
{
    struct walk w = {.root = config_new()};
    struct error err;

    walk_shape(&w, w.root, "", &spec_shape);
    CHECK(w.done > 1500);
    CHECK(!read_root(w.root, false, &err)); /* all was put back */
    json_object_put(w.root);
    arena_free(&w.arena);
}

/* One change to the whole, by a JSON pointer, and the message's beginning. */
/* clang-format off */
static const struct {
    const char *at, *value, *why;
} absurd[] = {
    {"/ociVersion", "'2.0.0'", "ociVersion: "},
    {"/ociVersion", "'1'", "ociVersion: "},
    {"/mounts/0/uidMappings/0/size", "0", "mounts[0].uidMappings[0].size: "},
    {"/mounts/0/gidMappings/0/hostID", "4294967295",
     "mounts[0].gidMappings[0].size: "},
    {"/linux/resources/memory/limit", "-2", "linux.resources.memory.limit: "},
    {"/linux/resources/memory/swappiness", "9223372036854775808",
     "linux.resources.memory.swappiness: "},
    {"/linux/resources/cpu/shares", "9223372036854775808",
     "linux.resources.cpu.shares: "},
    {"/linux/resources/cpu/idle", "2", "linux.resources.cpu.idle: "},
    {"/linux/resources/blockIO/weight", "1001",
     "linux.resources.blockIO.weight: "},
    {"/linux/resources/devices/0/major", "-5", "linux.resources.devices[0]: "},
    {"/linux/resources/devices/0/minor", "2147483648",
     "linux.resources.devices[0]: "},
    {"/linux/resources/devices/0/access", "'rx'",
     "linux.resources.devices[0].access: "},
    {"/linux/resources/hugepageLimits/0/pageSize", "'../2MB'",
     "linux.resources.hugepageLimits[0].pageSize: "},
    {"/linux/resources/rdma", "{'a b': {}}", "linux.resources.rdma: "},
    {"/linux/resources/unified", "{'cgroup.procs': '1'}",
     "linux.resources.unified: "},
    {"/linux/resources/unified", "{'../cpu.max': '1'}",
     "linux.resources.unified: "},
    {"/process/cwd", "'x'", "process.cwd: "},
    {"/process/args", "[]", "process.args: "},
    {"/process/args/0", "''", "process.args: "},
    {"/process/env/0", "'A'", "process.env[0]: "},
    {"/process/env/0", "'=A'", "process.env[0]: "},
    {"/process/oomScoreAdj", "1001", "process.oomScoreAdj: "},
    {"/process/user/umask", "512", "process.user.umask: "},
    {"/process/ioPriority/priority", "8", "process.ioPriority.priority: "},
    {"/process/rlimits/0/soft", "3", "process.rlimits[0].soft: "},
    {"/root/path", "''", "root.path: "},
    {"/mounts/0/destination", "''", "mounts[0].destination: "},
    {"/mounts/0/uidMappings", "[]", "mounts[0]: "},
    {"/hooks/poststop/0/path", "'h'", "hooks.poststop[0].path: "},
    {"/hooks/prestart/0/timeout", "0", "hooks.prestart[0].timeout: "},
    {"/linux/uidMappings", "[]", "linux.uidMappings: "},
    {"/linux/gidMappings/0/size", "0", "linux.gidMappings[0].size: "},
    {"/linux/gidMappings/0/size", "4294967295", "linux.gidMappings[0].size: "},
    {"/linux/namespaces/1/type", "'time'", "linux.namespaces[1].type: "},
    {"/linux/namespaces/1/type", "'ipc'", "hostname: "},
    {"/linux/namespaces/3/path", "'n'", "linux.namespaces[3].path: "},
    {"/linux/sysctl", "{'kernel.panic': '1'}", "linux.sysctl.kernel.panic: "},
    {"/linux/sysctl", "{'net/../kernel/panic': '1'}", "linux.sysctl: "},
    {"/linux/sysctl", "{'net./../kernel': '1'}", "linux.sysctl: "},
    {"/linux/sysctl", "{'': '1'}", "linux.sysctl: "},
    {"/linux/sysctl", "{'kernel.sem': '1'}", "linux.sysctl.kernel.sem: "},
    {"/linux/devices/0/path", "'x'", "linux.devices[0].path: "},
    {"/linux/devices/0/type", "'cc'", "linux.devices[0].type: "},
    {"/linux/devices/0/type", "''", "linux.devices[0].type: "},
    {"/linux/devices/0/major", "-1", "linux.devices[0]: "},
    {"/linux/devices/0/fileMode", "2097152", "linux.devices[0].fileMode: "},
    {"/linux/maskedPaths/0", "'x'", "linux.maskedPaths[0]: "},
    {"/linux/readonlyPaths/0", "''", "linux.readonlyPaths[0]: "},
    {"/linux/rootfsPropagation", "'x'", "linux.rootfsPropagation: "},
    {"/linux/timeOffsets", "{'x': {}}", "linux.timeOffsets.x: "},
    {"/linux/timeOffsets/boottime/nanosecs", "1000000000",
     "linux.timeOffsets.boottime.nanosecs: "},
    {"/linux/intelRdt", "{'closID': 'x'}", "linux.intelRdt: "},
};
/* clang-format on */

static void what_means_nothing_is_named_too(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(absurd); i++) {
        json_object *root = config_new();
        struct error err = {0};

        CHECK(!json_pointer_set(&root, absurd[i].at,
                                json_tokener_parse(absurd[i].value)));
        if (!read_root(root, true, &err) ||
            strncmp(err.msg, absurd[i].why, strlen(absurd[i].why))) {
            fprintf(stderr, "%s = %s: \"%s\"\n", absurd[i].at, absurd[i].value,
                    err.msg);
            test_failed = 1;
        }
        json_object_put(root);
    }
}

static void capabilities_by_name(void)
{
    const char *kill[] = {"CAP_KILL", "CAP_NOT_THERE", NULL};
    struct spec_caps_names n = {.effective = {kill, 2}};
    struct spec_process p = {.capabilities = &n};
    struct caps_sets c;

    spec_caps(&p, &c);
    CHECK_EQ(c.effective, BIT64(5));
    CHECK_EQ(c.permitted | c.bounding | c.inheritable | c.ambient, 0);
    p.capabilities = NULL;
    spec_caps(&p, &c);
    CHECK_EQ(c.effective, 0);
}

int main(void)
{
    RUN(a_whole_config_is_taken);
    RUN(each_field_with_each_wrong_type_is_named);
    RUN(what_means_nothing_is_named_too);
    RUN(capabilities_by_name);
    return test_status();
}
