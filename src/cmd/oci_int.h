/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_int.h - the command line of an OCI runtime, as podman, containerd and
 * Docker call it: `ringfence [GLOBAL OPTIONS] COMMAND [OPTIONS] ...`.
 */
#pragma once

#include "base/error.h"
#include "cmd/options.h"
#include "oci/container.h"

/* What stands before the command. */
struct oci_globals {
    const char *root, *log, *log_format, *log_level, *cgroup_manager;
    const char *rootless;
    bool systemd_cgroup, debug;
};

/* --cgroup-manager disabled */
bool oci_no_cgroup(const struct oci_globals *g);

/* One call of a command. */
struct oci_call {
    const struct oci_globals *g;
    char **word; /* arguments that are no options; ends with NULL */
    int words;
    void *options; /* zeroed, and filled by the command's table */
};

struct oci_command {
    const char *name, *summary, *usage;
    const struct option_spec *options; /* NULL: none */
    size_t options_size;
    int words_min, words_max;
    bool program; /* the first word ends the options */
    /* -errno with err; else the exit status. */
    int (*run)(const struct oci_call *call, struct error *err);
    bool makes_process; /* which is this program until it executes another */
};

extern const struct oci_command oci_commands[]; /* ends with a NULL name */

/* Lists that options add to: --env A=1 --env B=2. item ends with a NULL. */
struct oci_list {
    const char **item;
    unsigned count;
};
int oci_list_add(struct oci_list *list, const char *value, struct error *err);

/* --preserve-fds N, for arguments that begin with struct container_options. */
int oci_preserve_fds(void *ctx, const char *v, struct error *err);

struct oci_run_args {
    struct container_options o;
    const char *rootfs, *memory, *cpus, *pids, *net, *user, *cwd, *hostname;
    bool read_only, terminal, init;
    struct oci_list env, bind;
};

struct oci_exec_args {
    struct container_options o;
    const char *process, *cwd, *user, *apparmor, *label;
    bool terminal, no_new_privs;
    struct oci_list env, caps, gids;
};

struct oci_delete_args {
    bool force, regex;
};

struct oci_kill_args {
    bool all;
};

struct oci_list_args {
    const char *format;
    bool quiet;
};

struct oci_update_args {
    const char *resources;
    struct cgroup_limits limits;
};

struct oci_checkpoint_args {
    struct checkpoint_options k;
    struct container_options o; /* restore alone */
    const char *cgroups_mode;
};

struct oci_events_args {
    bool stats;
    const char *interval;
};

struct oci_spec_args {
    const char *bundle;
    bool rootless;
};

int oci_checkpoint(const struct oci_call *c, struct error *err);
int oci_restore(const struct oci_call *c, struct error *err);
int oci_chroot(const struct oci_call *c, struct error *err);
int oci_create(const struct oci_call *c, struct error *err);
int oci_run(const struct oci_call *c, struct error *err);
int oci_start(const struct oci_call *c, struct error *err);
int oci_exec(const struct oci_call *c, struct error *err);
int oci_kill(const struct oci_call *c, struct error *err);
int oci_delete(const struct oci_call *c, struct error *err);
int oci_pause(const struct oci_call *c, struct error *err);
int oci_resume(const struct oci_call *c, struct error *err);
int oci_state(const struct oci_call *c, struct error *err);
int oci_list(const struct oci_call *c, struct error *err);
int oci_ps(const struct oci_call *c, struct error *err);
int oci_update(const struct oci_call *c, struct error *err);
int oci_events(const struct oci_call *c, struct error *err);
int oci_spec(const struct oci_call *c, struct error *err);
int oci_features(const struct oci_call *c, struct error *err);

extern const struct option_spec oci_create_options[], oci_run_options[],
    oci_exec_options[], oci_kill_options[], oci_delete_options[],
    oci_list_options[], oci_ps_options[], oci_update_options[],
    oci_events_options[], oci_spec_options[], oci_checkpoint_options[],
    oci_restore_options[];
