/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec.h - config.json of a bundle, as structures.         [runtime-spec 1.2]
 *
 * Members are named as in the specification. Strings and arrays live in the
 * arena that they were read into. What spec_read() gives has been checked as
 * far as can be without looking at the system: types, ranges, names, and what
 * must not stand together.
 */
#pragma once

#include <sys/types.h>

#include "fence/caps.h"
#include "fence/cgroup.h"
#include "fence/seccomp.h"
#include "oci/json.h"

#define SPEC_VERSION     "1.2.1"
#define SPEC_VERSION_MIN "1.0.0"

/* Bits of `has` in what follows: number members that may be absent. */
enum spec_has {
    SPEC_UMASK = 1 << 0,
    SPEC_OOM_SCORE_ADJ = 1 << 1,
    SPEC_TIMEOUT = 1 << 2,
    SPEC_FILE_MODE = 1 << 3,
    SPEC_RUNTIME = 1 << 4,
};

struct spec_user {
    unsigned has;
    uint32_t uid, gid, umask;
    struct json_array additional_gids; /* of uint32_t */
};

struct spec_box {
    uint16_t height, width;
};

struct spec_caps_names {
    struct json_strings bounding, effective, inheritable, permitted, ambient;
};

struct spec_rlimit {
    unsigned type; /* RLIMIT_* */
    uint64_t hard, soft;
};

#define SPEC_SCHED_DEADLINE 6 /* <linux/sched.h> clashes with <sched.h> */

struct spec_scheduler {
    unsigned has;
    unsigned policy; /* SCHED_* */
    int32_t nice, priority;
    unsigned flags; /* SCHED_FLAG_* */
    uint64_t runtime, deadline, period;
};

struct spec_ioprio {
    unsigned class; /* IOPRIO_CLASS_* */
    int32_t priority;
};

struct spec_affinity {
    const char *initial, *final; /* lists of CPUs, "0-3,7" */
};

struct spec_process {
    unsigned has;
    bool terminal, no_new_privileges;
    struct spec_box console_size;
    struct spec_user user;
    struct json_strings args, env;
    const char *cwd;
    const struct spec_caps_names *capabilities; /* NULL: none at all */
    struct json_array rlimits;                  /* of struct spec_rlimit */
    const char *apparmor_profile, *selinux_label;
    int32_t oom_score_adj;
    const struct spec_scheduler *scheduler;
    const struct spec_ioprio *io_priority;
    const struct spec_affinity *exec_cpu_affinity;
};

struct spec_root {
    const char *path;
    bool readonly;
};

struct spec_idmap {
    uint32_t container_id, host_id, size;
};

struct spec_mount {
    const char *destination, *type, *source;
    struct json_strings options;
    struct json_array uid_mappings, gid_mappings; /* of struct spec_idmap */
};

struct spec_hook {
    unsigned has;
    const char *path;
    struct json_strings args, env;
    int32_t timeout; /* seconds */
};

enum spec_hook_kind {
    HOOK_PRESTART,
    HOOK_CREATE_RUNTIME,
    HOOK_CREATE_CONTAINER,
    HOOK_START_CONTAINER,
    HOOK_POSTSTART,
    HOOK_POSTSTOP,
    HOOK_KINDS,
};

struct spec_hooks {
    struct json_array kind[HOOK_KINDS]; /* of struct spec_hook */
};

struct spec_namespace {
    unsigned type; /* CLONE_NEW* */
    const char *path;
};

struct spec_device {
    unsigned has;
    const char *path, *type;
    int64_t major, minor;
    uint32_t file_mode, uid, gid;
};

struct spec_net_device {
    const char *key, *name;
};

struct spec_personality {
    unsigned domain; /* PER_* */
    struct json_strings flags;
};

struct spec_time_offset {
    const char *key;
    int64_t secs;
    uint32_t nanosecs;
};

struct spec_memory_policy {
    unsigned mode, flags; /* MPOL_*, MPOL_F_* */
    const char *nodes;
};

struct spec_intel_rdt {
    const char *clos_id;
};

struct spec_seccomp {
    struct seccomp_profile profile;
    unsigned has_flags; /* 1: they stand there, be it as [] */
    const char *listener_path, *listener_metadata;
};

struct spec_linux {
    struct json_array uid_mappings, gid_mappings; /* of struct spec_idmap */
    struct json_array sysctl;                     /* of struct json_pair */
    struct cgroup_limits *resources;
    const char *cgroups_path;
    struct json_array namespaces;  /* of struct spec_namespace */
    struct json_array devices;     /* of struct spec_device */
    struct json_array net_devices; /* of struct spec_net_device */
    struct spec_seccomp *seccomp;
    const char *rootfs_propagation;
    struct json_strings masked_paths, readonly_paths;
    const char *mount_label;
    const struct spec_intel_rdt *intel_rdt;
    const struct spec_memory_policy *memory_policy;
    const struct spec_personality *personality;
    struct json_array time_offsets; /* of struct spec_time_offset */
};

struct spec {
    const char *version;
    struct spec_process *process; /* NULL: none; then nothing can be started */
    struct spec_root root;
    const char *hostname, *domainname;
    struct json_array mounts; /* of struct spec_mount */
    struct spec_hooks hooks;
    struct json_array annotations; /* of struct json_pair */
    struct spec_linux linux_;      /* `linux` is a macro of gnu11 */
};

/*
 * Of the file `path`, at `dir` (AT_FDCWD, or a folder's descriptor). `text`,
 * unless NULL, is given the file's own text. -errno.
 */
int spec_read(struct arena *a, int dir, const char *path, struct spec *spec,
              char **text, struct error *err) must_check;
/* The same, of a text that `what` names in messages. */
int spec_read_text(struct arena *a, const char *text, const char *what,
                   struct spec *spec, struct error *err) must_check;
/* The same of `len` bytes, whatever they are. */
int spec_parse(struct arena *a, const char *text, size_t len, const char *what,
               struct spec *spec, struct error *err) must_check;
/* A process.json of `exec --process`. */
int spec_read_process(struct arena *a, const char *path,
                      struct spec_process *process,
                      struct error *err) must_check;
/* A resources.json of `update --resources`; "-": what comes from stdin. */
int spec_read_resources(struct arena *a, const char *path,
                        struct cgroup_limits *limits,
                        struct error *err) must_check;

/* The namespace of this type (CLONE_NEW*), or NULL: the runtime's own. */
const struct spec_namespace *spec_namespace(const struct spec *spec,
                                            unsigned type);
/*
 * Sets of capabilities by their names. Those that the kernel does not have are
 * passed over with a warning.
 */
void spec_caps(const struct spec_process *p, struct caps_sets *caps);
/* Is there a program to be started? -EINVAL. */
int spec_check_args(const struct spec_process *p, struct error *err) must_check;
/* NULL: unknown. For `features` and for messages: CLONE_NEW* to its name. */
const char *spec_namespace_name(unsigned type);
