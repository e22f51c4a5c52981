/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h - what is known of a container between two commands: the folder
 * ROOT/ID with
 *
 *   state.json    this file's struct; replaced as a whole
 *   config.json   the bundle's, as it was at create
 *   start         a socket while the container waits for `start`
 *
 * A folder without state.json is what a killed create leaves; `delete --force`
 * takes it away. Commands that change something hold a lock on the folder.
 */
#pragma once

#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"
#include "fence/cgroup.h"
#include "oci/json.h"

enum state_status {
    STATE_CREATING,
    STATE_CREATED,
    STATE_RUNNING,
    STATE_PAUSED,
    STATE_STOPPED,
};

struct state_cgroup {
    uint32_t controllers, made;
    bool v2;
    const char *mount, *path;
};

struct state {
    const char *version, *id, *bundle, *rootfs, *created, *owner;
    int32_t pid;       /* of the container's first process; 0: none yet */
    uint64_t pid_time; /* when it started, in clock ticks since boot */
    uint32_t cgroup_layout;
    struct json_array cgroups; /* of struct state_cgroup */
    struct json_array annotations;
};

struct container {
    struct arena arena;
    const char *root, *id;
    int root_fd, dir; /* the state's folder; -1: not open */
    struct state state;
    struct cgroup cgroup;
};

/* "created": as the specification has it. */
const char *oci_state_status_name(enum state_status s);
/* NULL, or why an id cannot be one. */
const char *oci_state_id_fault(const char *id);
/*
 * Others can do something to the container between these two. False: it does
 * not exist any more.
 */
void oci_state_unlock(const struct container *c);
bool oci_state_lock(const struct container *c);
/* Is this user namespace the host's? */
bool oci_in_host_userns(void);
/* Where states are, unless --root says: for root, or for a user. */
const char *oci_state_root_default(struct arena *a);

/*
 * A new folder, locked. -EEXIST: there is a container of that name. `root` is
 * made if it is missing.
 */
int oci_state_create(struct container *c, const char *root, const char *id,
                     struct error *err) must_check;
/*
 * Of a container that exists, with its cgroups. -ENOENT: there is none. If
 * `lock`, waits for others that change it.
 */
int oci_state_open(struct container *c, const char *root, const char *id,
                   bool lock, struct error *err) must_check;
/*
 * After oci_state_open(), be it that it failed: is somebody making or changing
 * it now? A lock that nobody holds tells of one who was killed.
 */
bool oci_state_busy(const struct container *c);
void oci_state_close(struct container *c);
/*
 * In a process that was forked: its copies of the descriptors would keep the
 * lock for as long as it lives.
 */
void oci_state_let_go(struct container *c);
/* Replaces state.json. */
int oci_state_save(struct container *c, struct error *err) must_check;
/* Takes the folder away. */
int oci_state_remove(struct container *c, struct error *err) must_check;

/* c->cgroup into the state, to be saved. */
void oci_state_set_cgroup(struct container *c);
enum state_status oci_state_status(struct container *c);
/* Is the first process there? A zombie is not. */
bool oci_state_alive(const struct container *c);
/* A descriptor of the first process; -ESRCH: it is gone. */
int oci_state_pidfd(const struct container *c) must_check;
/* When a process started; 0: it is none, or a zombie. */
uint64_t oci_state_start_time(pid_t pid);

/*
 * What hooks get on stdin, and `state` prints: the specification's state, in
 * the arena. status: may differ from the real one, as in hooks.
 */
char *oci_state_text(struct container *c, enum state_status status);
/* The same, to be put into something else; its texts are the container's. */
struct json_value *oci_state_json(struct container *c,
                                  enum state_status status);
