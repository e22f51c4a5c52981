/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container.h - what can be done with containers: the commands of an OCI
 * runtime, without their command line.          [runtime-spec, runtime.md]
 *
 * Every function opens the container by root and id and closes it again.
 * They return 0 or -errno with one line in `err`.
 */
#pragma once

#include "oci/spec.h"
#include "oci/state.h"

/* Options that create, run and exec share. NULL and 0: not given. */
struct container_options {
    const char *root, *id;
    const char *bundle; /* NULL: the current folder */
    const char *config; /* in the bundle; NULL: config.json */
    const char *console_socket, *pid_file;
    unsigned preserve_fds;
    bool no_pivot, no_new_keyring, no_subreaper, detach, keep;
    bool no_cgroup;          /* create, run: it stays in the caller's */
    bool init;               /* run alone: a first process of our own */
    bool ignore_paused;      /* exec alone */
    const char *cgroup;      /* exec alone: below the container's */
    const char *config_text; /* instead of a file in the bundle */
};

int container_create(const struct container_options *o,
                     struct error *err) must_check;
int container_start(const char *root, const char *id,
                    struct error *err) must_check;
/*
 * create, start, wait, delete. Signals go on to the container. *status: its
 * exit status, 128 + n for a signal's death; with `detach` 0.
 */
int container_run(const struct container_options *o, int *status,
                  struct error *err) must_check;

/*
 * What a process of `exec` has other than the container's first one. From
 * process_file if that is given; the rest then counts for nothing.
 */
struct exec_changes {
    const char *process_file;
    const char *const *args, *const *env, *const *caps, *const *gids;
    unsigned arg_count, env_count, cap_count, gid_count;
    const char *cwd, *user, *apparmor, *label;
    bool terminal, no_new_privileges;
};

/* One more process. *status as above. */
int container_exec(const struct container_options *o,
                   const struct exec_changes *changes, int *status,
                   struct error *err) must_check;
/* To the first process, or if `all` to each in its cgroup. */
int container_kill(const char *root, const char *id, int sig, bool all,
                   struct error *err) must_check;
/* force: one that runs is killed; one that does not exist is no error. */
int container_delete(const char *root, const char *id, bool force,
                     struct error *err) must_check;
int container_pause(const char *root, const char *id, bool paused,
                    struct error *err) must_check;
int container_update(const char *root, const char *id,
                     const struct cgroup_limits *limits,
                     struct error *err) must_check;

/* What checkpoint and restore share; NULL and false: not given. */
struct checkpoint_options {
    const char *images, *work, *parent, *criu;
    const char *lsm_profile, *lsm_mount_context;
    bool leave_running, pre_dump, tcp_established, tcp_skip_in_flight;
    bool ext_unix_sk, shell_job, file_locks, auto_dedup, link_remap;
};

/*
 * Writes a running container to a folder, by CRIU, and removes it, unless it
 * is to go on (leave_running, pre_dump).
 */
int container_checkpoint(const char *root, const char *id,
                         const struct checkpoint_options *k,
                         struct error *err) must_check;
/* The way back. Otherwise as container_run(). */
int container_restore(const struct container_options *o,
                      const struct checkpoint_options *k, int *status,
                      struct error *err) must_check;

/*
 * Another root, and nothing else, for a program (NULL: a shell). Comes back
 * only with an error.
 */
int container_chroot(const char *dir, char **argv,
                     struct error *err) must_check;
