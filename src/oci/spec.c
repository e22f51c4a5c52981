/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec.c - where each field of config.json goes.     [runtime-spec, config.md]
 */
#include "oci/spec.h"

#include <fcntl.h>
#include <string.h>

#include "base/log.h"
#include "fence/caps.h"
#include "oci/json_table.h"
#include "oci/spec_int.h"

/* clang-format off */
/* --- process --- */

static const struct json_field user_fields[] = {
    {"uid", UINT(spec_user, uid)},
    {"gid", UINT(spec_user, gid)},
    {"umask", UINT(spec_user, umask), HAS(spec_user, SPEC_UMASK)},
    {"additionalGids", .kind = JSON_NUMBERS,
     JSON_AT(spec_user, additional_gids)},
    {NULL},
};
static const struct json_shape user_shape = SHAPE(spec_user, user_fields);

static const struct json_field box_fields[] = {
    {"height", UINT(spec_box, height)},
    {"width", UINT(spec_box, width)},
    {NULL},
};
static const struct json_shape box_shape = SHAPE(spec_box, box_fields);

static const struct json_field caps_fields[] = {
    {"bounding", STRINGS(spec_caps_names, bounding)},
    {"effective", STRINGS(spec_caps_names, effective)},
    {"inheritable", STRINGS(spec_caps_names, inheritable)},
    {"permitted", STRINGS(spec_caps_names, permitted)},
    {"ambient", STRINGS(spec_caps_names, ambient)},
    {NULL},
};
static const struct json_shape caps_shape =
    SHAPE(spec_caps_names, caps_fields);

static const struct json_field rlimit_fields[] = {
    {"type", ENUM(spec_rlimit, type, spec_find_rlimit), NEEDED},
    {"hard", UINT(spec_rlimit, hard), NEEDED},
    {"soft", UINT(spec_rlimit, soft), NEEDED},
    {NULL},
};
static const struct json_shape rlimit_shape =
    SHAPE(spec_rlimit, rlimit_fields);

static const struct json_field scheduler_fields[] = {
    {"policy", ENUM(spec_scheduler, policy, spec_find_sched), NEEDED},
    {"nice", SINT(spec_scheduler, nice)},
    {"priority", SINT(spec_scheduler, priority)},
    {"flags", FLAGS(spec_scheduler, flags, spec_find_sched_flag)},
    {"runtime", UINT(spec_scheduler, runtime),
     HAS(spec_scheduler, SPEC_RUNTIME)},
    {"deadline", UINT(spec_scheduler, deadline)},
    {"period", UINT(spec_scheduler, period)},
    {NULL},
};
static const struct json_shape scheduler_shape =
    SHAPE(spec_scheduler, scheduler_fields);

static const struct json_field ioprio_fields[] = {
    {"class", ENUM(spec_ioprio, class, spec_find_ioprio), NEEDED},
    {"priority", SINT(spec_ioprio, priority)},
    {NULL},
};
static const struct json_shape ioprio_shape =
    SHAPE(spec_ioprio, ioprio_fields);

static const struct json_field affinity_fields[] = {
    {"initial", STRING(spec_affinity, initial)},
    {"final", STRING(spec_affinity, final)},
    {NULL},
};
static const struct json_shape affinity_shape =
    SHAPE(spec_affinity, affinity_fields);

static const struct json_field process_fields[] = {
    {"terminal", BOOL(spec_process, terminal)},
    {"consoleSize", INLINE(spec_process, console_size, box_shape)},
    {"user", INLINE(spec_process, user, user_shape)},
    {"args", STRINGS(spec_process, args)},
    {"env", STRINGS(spec_process, env)},
    {"cwd", STRING(spec_process, cwd), NEEDED},
    {"capabilities", OBJECT(spec_process, capabilities, caps_shape)},
    {"rlimits", ARRAY(spec_process, rlimits, rlimit_shape)},
    {"noNewPrivileges", BOOL(spec_process, no_new_privileges)},
    {"apparmorProfile", STRING(spec_process, apparmor_profile)},
    {"selinuxLabel", STRING(spec_process, selinux_label)},
    {"oomScoreAdj", SINT(spec_process, oom_score_adj),
     HAS(spec_process, SPEC_OOM_SCORE_ADJ)},
    {"scheduler", OBJECT(spec_process, scheduler, scheduler_shape)},
    {"ioPriority", OBJECT(spec_process, io_priority, ioprio_shape)},
    {"execCPUAffinity",
     OBJECT(spec_process, exec_cpu_affinity, affinity_shape)},
    {NULL},
};
const struct json_shape spec_process_shape =
    SHAPE(spec_process, process_fields);

/* --- root, mounts, hooks --- */

static const struct json_field root_fields[] = {
    {"path", STRING(spec_root, path), NEEDED},
    {"readonly", BOOL(spec_root, readonly)},
    {NULL},
};
static const struct json_shape root_shape = SHAPE(spec_root, root_fields);

static const struct json_field idmap_fields[] = {
    {"containerID", UINT(spec_idmap, container_id), NEEDED},
    {"hostID", UINT(spec_idmap, host_id), NEEDED},
    {"size", UINT(spec_idmap, size), NEEDED},
    {NULL},
};
static const struct json_shape idmap_shape = SHAPE(spec_idmap, idmap_fields);

static const struct json_field mount_fields[] = {
    {"destination", STRING(spec_mount, destination), NEEDED},
    {"type", STRING(spec_mount, type)},
    {"source", STRING(spec_mount, source)},
    {"options", STRINGS(spec_mount, options)},
    {"uidMappings", ARRAY(spec_mount, uid_mappings, idmap_shape)},
    {"gidMappings", ARRAY(spec_mount, gid_mappings, idmap_shape)},
    {NULL},
};
static const struct json_shape mount_shape = SHAPE(spec_mount, mount_fields);

static const struct json_field hook_fields[] = {
    {"path", STRING(spec_hook, path), NEEDED},
    {"args", STRINGS(spec_hook, args)},
    {"env", STRINGS(spec_hook, env)},
    {"timeout", SINT(spec_hook, timeout), HAS(spec_hook, SPEC_TIMEOUT)},
    {NULL},
};
static const struct json_shape hook_shape = SHAPE(spec_hook, hook_fields);

#define HOOK(k) ARRAY(spec_hooks, kind[k], hook_shape)
static const struct json_field hooks_fields[] = {
    {"prestart", HOOK(HOOK_PRESTART)},
    {"createRuntime", HOOK(HOOK_CREATE_RUNTIME)},
    {"createContainer", HOOK(HOOK_CREATE_CONTAINER)},
    {"startContainer", HOOK(HOOK_START_CONTAINER)},
    {"poststart", HOOK(HOOK_POSTSTART)},
    {"poststop", HOOK(HOOK_POSTSTOP)},
    {NULL},
};
static const struct json_shape hooks_shape = SHAPE(spec_hooks, hooks_fields);

/* --- linux --- */

static const struct json_field namespace_fields[] = {
    {"type", ENUM(spec_namespace, type, spec_find_namespace), NEEDED},
    {"path", STRING(spec_namespace, path)},
    {NULL},
};
static const struct json_shape namespace_shape =
    SHAPE(spec_namespace, namespace_fields);

static const struct json_field device_fields[] = {
    {"path", STRING(spec_device, path), NEEDED},
    {"type", STRING(spec_device, type), NEEDED},
    {"major", SINT(spec_device, major)},
    {"minor", SINT(spec_device, minor)},
    {"fileMode", UINT(spec_device, file_mode),
     HAS(spec_device, SPEC_FILE_MODE)},
    {"uid", UINT(spec_device, uid)},
    {"gid", UINT(spec_device, gid)},
    {NULL},
};
static const struct json_shape device_shape =
    SHAPE(spec_device, device_fields);

static const struct json_field net_device_fields[] = {
    {"name", STRING(spec_net_device, name)},
    {NULL},
};
static const struct json_shape net_device_shape =
    SHAPE(spec_net_device, net_device_fields);

static const struct json_field personality_fields[] = {
    {"domain", ENUM(spec_personality, domain, spec_find_domain), NEEDED},
    {"flags", STRINGS(spec_personality, flags)},
    {NULL},
};
static const struct json_shape personality_shape =
    SHAPE(spec_personality, personality_fields);

static const struct json_field time_fields[] = {
    {"secs", SINT(spec_time_offset, secs)},
    {"nanosecs", UINT(spec_time_offset, nanosecs)},
    {NULL},
};
static const struct json_shape time_shape =
    SHAPE(spec_time_offset, time_fields);

static const struct json_field mempolicy_fields[] = {
    {"mode", ENUM(spec_memory_policy, mode, spec_find_mempolicy), NEEDED},
    {"nodes", STRING(spec_memory_policy, nodes)},
    {"flags", FLAGS(spec_memory_policy, flags, spec_find_mempolicy_flag)},
    {NULL},
};
static const struct json_shape mempolicy_shape =
    SHAPE(spec_memory_policy, mempolicy_fields);

static const struct json_field rdt_fields[] = {
    {"closID", STRING(spec_intel_rdt, clos_id)},
    {NULL},
};
static const struct json_shape rdt_shape = SHAPE(spec_intel_rdt, rdt_fields);

static const struct json_field linux_fields[] = {
    {"uidMappings", ARRAY(spec_linux, uid_mappings, idmap_shape)},
    {"gidMappings", ARRAY(spec_linux, gid_mappings, idmap_shape)},
    {"sysctl", MAP(spec_linux, sysctl)},
    {"resources", OBJECT(spec_linux, resources, spec_resources_shape)},
    {"cgroupsPath", STRING(spec_linux, cgroups_path)},
    {"namespaces", ARRAY(spec_linux, namespaces, namespace_shape)},
    {"devices", ARRAY(spec_linux, devices, device_shape)},
    {"netDevices", DICT(spec_linux, net_devices, net_device_shape)},
    {"seccomp", OBJECT(spec_linux, seccomp, spec_seccomp_shape)},
    {"rootfsPropagation", STRING(spec_linux, rootfs_propagation)},
    {"maskedPaths", STRINGS(spec_linux, masked_paths)},
    {"readonlyPaths", STRINGS(spec_linux, readonly_paths)},
    {"mountLabel", STRING(spec_linux, mount_label)},
    {"intelRdt", OBJECT(spec_linux, intel_rdt, rdt_shape)},
    {"memoryPolicy", OBJECT(spec_linux, memory_policy, mempolicy_shape)},
    {"personality", OBJECT(spec_linux, personality, personality_shape)},
    {"timeOffsets", DICT(spec_linux, time_offsets, time_shape)},
    {NULL},
};
static const struct json_shape linux_shape = SHAPE(spec_linux, linux_fields);

static const struct json_field spec_fields[] = {
    {"ociVersion", STRING(spec, version), NEEDED},
    {"process", OBJECT(spec, process, spec_process_shape)},
    {"root", INLINE(spec, root, root_shape), NEEDED},
    {"hostname", STRING(spec, hostname)},
    {"domainname", STRING(spec, domainname)},
    {"mounts", ARRAY(spec, mounts, mount_shape)},
    {"hooks", INLINE(spec, hooks, hooks_shape)},
    {"annotations", MAP(spec, annotations)},
    {"linux", INLINE(spec, linux_, linux_shape)},
    {NULL},
};
const struct json_shape spec_shape = SHAPE(spec, spec_fields);
/* clang-format on */

int spec_read(struct arena *a, int dir, const char *path, struct spec *spec,
              char **text, struct error *err)
{
    int e;

    memset(spec, 0, sizeof(*spec));
    e = json_read_file(a, dir, path, &spec_shape, spec, text, err);
    return e ? e : spec_check(spec, err);
}

int spec_parse(struct arena *a, const char *text, size_t len, const char *what,
               struct spec *spec, struct error *err)
{
    int e;

    memset(spec, 0, sizeof(*spec));
    e = json_read_text(a, text, len, what, &spec_shape, spec, err);
    return e ? e : spec_check(spec, err);
}

int spec_read_text(struct arena *a, const char *text, const char *what,
                   struct spec *spec, struct error *err)
{
    return spec_parse(a, text, strlen(text), what, spec, err);
}

int spec_read_process(struct arena *a, const char *path, struct spec_process *p,
                      struct error *err)
{
    int e;

    memset(p, 0, sizeof(*p));
    e = json_read_file(a, AT_FDCWD, path, &spec_process_shape, p, NULL, err);
    return e ? e : spec_check_process(p, err);
}

const struct spec_namespace *spec_namespace(const struct spec *spec,
                                            unsigned type)
{
    const struct spec_namespace *n = spec->linux_.namespaces.items;
    unsigned i;

    for (i = 0; i < spec->linux_.namespaces.count; i++)
        if (n[i].type == type)
            return &n[i];
    return NULL;
}

static uint64_t caps_of(const struct json_strings *names, uint64_t kernel)
{
    uint64_t set = 0;
    unsigned i, cap;

    for (i = 0; i < names->count; i++) {
        if (caps_find(names->item[i], &cap) && (kernel & BIT64(cap)))
            set |= BIT64(cap);
        else
            log_warn("process.capabilities: this kernel has no %s",
                     names->item[i]);
    }
    return set;
}

void spec_caps(const struct spec_process *p, struct caps_sets *caps)
{
    const struct spec_caps_names *n = p->capabilities;
    uint64_t kernel = caps_of_kernel();

    memset(caps, 0, sizeof(*caps));
    if (!n)
        return;
    caps->bounding = caps_of(&n->bounding, kernel);
    caps->effective = caps_of(&n->effective, kernel);
    caps->inheritable = caps_of(&n->inheritable, kernel);
    caps->permitted = caps_of(&n->permitted, kernel);
    caps->ambient = caps_of(&n->ambient, kernel);
}
