/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create_int.h - what create, run, start and exec share.
 */
#pragma once

#include "oci/container.h"
#include "oci/launch.h"

/* A container that is being made: everything that has to be undone. */
struct making {
    const struct container_options *o;
    struct container c;
    struct spec spec;
    struct launch l;
    const char *config; /* config.json's own text */
    const char *bundle;
    pid_t pid;  /* of the process; 0: none yet */
    int relay;  /* where its terminal comes from if we keep it; or -1 */
    int notify; /* where it says that it is ready; or -1 */
    struct cgroup_limits limits;
    bool have_state, have_cgroup;
    bool started; /* SYNC_START has been sent */
};

/*
 * Up to SYNC_READY. with_start: a socket waits for `start`; else the process
 * waits for SYNC_START on l.sync. What fails is undone.
 */
int making_create(struct making *m, const struct container_options *o,
                  bool with_start, struct error *err) must_check;
/*
 * What the caller has left open, but for what is asked for: a container that
 * waits for `start` would keep it open. Before anything of ours is open.
 */
void close_foreign(unsigned preserve);
/* The first half of it: config, state, cgroups' names; no process yet. */
int making_begin(struct making *m, const struct container_options *o,
                 bool with_start, struct error *err) must_check;
/* The cgroups, for a process that is made after them. */
int making_cgroup(struct making *m, struct error *err) must_check;
/* Kills, removes, runs poststop hooks. */
void making_undo(struct making *m);
/* Closes; what was made stays. */
void making_end(struct making *m);

/*
 * Tells the process on `sock` to go on, and follows it to exec(). A seccomp
 * listener is given to whom config.json names.
 */
int start_process(int sock, struct container *c, const struct spec *spec,
                  struct error *err) must_check;
/* The same of one that was told already. */
int start_follow(int sock, struct container *c, const struct spec *spec,
                 struct error *err) must_check;
/* If one fails, the container has to go.        [runtime-spec, lifecycle 9] */
int poststart_hooks(struct container *c, const struct spec *spec,
                    struct error *err) must_check;

/* Checks and opens what a terminal needs: l->console_socket. */
int console_choose(struct launch *l, const struct container_options *o,
                   int *relay, struct error *err) must_check;
int pid_file_write(const char *path, pid_t pid, struct error *err) must_check;
/* linux.seccomp, if there is one. */
int filter_compile(struct arena *a, const struct spec *spec,
                   const struct seccomp_program **out,
                   struct error *err) must_check;

/*
 * Until the process ends: signals go on to it, `relay` (or -1) is the socket
 * that its terminal's master comes from, `notify` (or -1) notify_open()'s. Its
 * status as of a shell.
 */
int run_wait(pid_t pid, int relay, int notify, struct error *err) must_check;
/* The rest of a run: waits unless it is detached, and removes. */
int run_to_end(struct making *m, int *status, struct error *err) must_check;
/* Before the process is made: signals wait until run_wait(). */
void run_hold_signals(void);

/* config.json as it was at create. */
int config_read(struct container *c, struct spec *spec,
                struct error *err) must_check;
/* Kills, removes cgroup and state; c is locked. */
int container_remove(struct container *c, const struct spec *spec,
                     struct error *err) must_check;
