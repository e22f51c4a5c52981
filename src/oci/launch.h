/* SPDX-License-Identifier: Apache-2.0 */
/*
 * launch.h - how a process gets into a container: what the runtime's side and
 * the new process's side share. The new process is a copy of the runtime
 * (fork), single-threaded, and so has all of this.
 *
 *   runtime (create.c, exec.c)          the new process (init.c)
 *     spawn() ------------------------> namespaces
 *     ids mapped --------------------> (with a user namespace)
 *     cgroups (late_cgroup) ---------->  its network, SYNC_CGROUP
 *                                       cgroups, entered by itself
 *                        SYNC_MOUNTED <- mounts
 *     state saved; hooks, if any ----->  SYNC_GO
 *                          SYNC_READY <- root changed, console, limits
 *     state saved
 *     SYNC_START (from here or `start`) -> user, capabilities, seccomp, exec
 *
 * For exec the right side is the stage, and a process of the container is only
 * made in the end (enter.c).
 */
#pragma once

#include "oci/spec.h"
#include "oci/state.h"

struct rootfs;

struct launch {
    struct container *c;
    const struct spec *spec;
    const struct spec_process *process;
    const struct seccomp_program *seccomp; /* NULL: none */
    const char *bundle, *rootfs;           /* absolute */

    int sync;              /* our end of the pair; the new process's in it */
    int start;             /* where the new process waits for `start`, or -1 */
    int proc;              /* the host's /proc, O_PATH, verified */
    int console_socket;    /* where a terminal's master goes, or -1 */
    int *sources;          /* of mounts, detached; -1: the process opens it */
    int source_of_root;    /* the same of the rootfs */
    int nodes;             /* rootfs_nodes(), or -1 */
    unsigned preserve_fds; /* from 3 on */
    unsigned listen_fds;   /* so many of them are systemd's sockets */
    bool no_pivot, no_new_keyring;
    bool reaper;       /* pid 1 is ours, the program its child */
    bool joins;        /* exec: into a running container */
    int joined_pidfd;  /* exec: whose namespaces */
    unsigned made;     /* CLONE_NEW* of what is new */
    bool in_userns;    /* not the host's user namespace */
    bool cloned;       /* born in its v2 cgroup */
    bool in_cgroup;    /* the stage has entered all of them */
    bool born_outside; /* it shall not be */
    bool late_cgroup;  /* made while it makes its network: SYNC_CGROUP */
    struct rootfs *rootfs_state;
    const char **env; /* by process_become() */

    bool late;      /* the pid namespace is entered last: enter.c */
    int report[2];  /* a pipe; the process has its end [1] */
    pid_t *entered; /* memory that the runtime and the stage share */
};

/* --- spawn.c --- */

/*
 * Starts child(l) in the container's namespaces; it has the other end of
 * l->sync. Ids are mapped and l->made is set when this returns. The pid, or
 * -errno; the caller kills and waits for what fails later.
 */
pid_t launch_spawn(struct launch *l, int (*child)(struct launch *),
                   struct error *err) must_check;
/*
 * Some kernels kill a process at birth if it is born into a cgroup whose
 * parent, or the runtime's own, was once killed as a whole. Is that how this
 * one, whose l->sync is at its end, has ended? It is worth another try then:
 * l->born_outside is set.
 */
bool launch_killed_at_birth(struct launch *l, pid_t pid);

/* --- enter.c --- */

/* May l->late be set? */
bool enter_is_last(const struct launch *l);
/* With l->late: what launch_spawn() needs, and its end. */
int enter_prepare(struct launch *l, struct error *err) must_check;
void enter_end(struct launch *l);
/*
 * In the runtime, when the stage (which launch_spawn() has returned) has
 * closed l->sync: the program's process, once it has been executed.
 */
pid_t enter_wait(struct launch *l, pid_t stage, struct error *err) must_check;
/* In the stage, before a filter may deny it: closes what is not needed. */
void enter_shed(struct launch *l);
/* The step itself: the stage ends here, the process comes back. */
int enter_pid_namespace(struct launch *l, struct error *err) must_check;
/* Instead of sync_send_error(), in the process. */
void enter_report(struct launch *l, const struct error *err);

/* --- idmap.c --- */

/*
 * The maps of a new user namespace that config.json gives none: ids as they
 * are for root, and a user's own as 0. In `a`.
 */
void idmap_default(struct arena *a, struct spec *spec);
/* Writes the maps of a process in a new user namespace. */
int idmap_write(pid_t pid, const struct json_array *uids,
                const struct json_array *gids, struct error *err) must_check;
/* A descriptor of a user namespace with these maps. */
int idmap_namespace(const struct json_array *uids,
                    const struct json_array *gids,
                    struct error *err) must_check;

/* --- init.c: the new process --- */

/* Never returns: exec() or exit(). */
int launch_child(struct launch *l);
/* Does the runtime do anything between SYNC_MOUNTED and SYNC_GO? */
bool launch_pauses(const struct launch *l);

/* --- rootfs.c, rootfs_dev.c, rootfs_cgroup.c: mounts, in the new process ---
 */

/* Everything up to SYNC_MOUNTED; then, after the hooks, the rest. */
int rootfs_mount(struct launch *l, struct error *err) must_check;
int rootfs_enter(struct launch *l, struct error *err) must_check;
/*
 * The sources of binds, opened in the runtime's namespaces, for a process that
 * might not be allowed to reach them: it has another user namespace, or other
 * ids shall be shown (idmap). Before launch_spawn(); fills l->sources.
 */
int rootfs_sources(struct launch *l, struct error *err) must_check;
/* In the runtime, once the process has its own copies. */
void rootfs_sources_close(struct launch *l);

/* --- proc.c --- */

/* l->proc: the host's procfs, which is seen to be one. */
int proc_open(struct launch *l, struct error *err) must_check;
/* -EINVAL: a sysctl is of a namespace that is joined, and is our own. */
int proc_check_sysctls(const struct launch *l, struct error *err) must_check;
/* Writes to a file there: "self/attr/exec". -EXDEV: it is none of procfs. */
int proc_write(const struct launch *l, const char *name,
               const char *text) must_check;

/* --- console.c --- */

/* A terminal in the container's devpts, its master sent; it becomes ours. */
int console_open(struct launch *l, int root, struct error *err) must_check;
/* A terminal's master to that socket. */
int console_send(int sock, int master, struct error *err) must_check;
/* Connects to the socket that a master shall go to. */
int console_connect(const char *path, struct error *err) must_check;

/* --- process.c: what exec() needs --- */

/* Limits, labels, priorities: while there are rights for it. */
int process_prepare(struct launch *l, struct error *err) must_check;
/* User, groups, capabilities, filter. */
int process_become(struct launch *l, struct error *err) must_check;
/* Comes back only with an error. */
int process_exec(struct launch *l, struct error *err) must_check;

/* --- hooks.c --- */

/*
 * Runs them in turn, with the state on stdin. The first that fails ends it,
 * unless `go_on`: then it is a warning.
 */
int hooks_run(const struct json_array *hooks, const char *name,
              struct container *c, enum state_status status, bool go_on,
              struct error *err) must_check;
