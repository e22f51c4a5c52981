/* SPDX-License-Identifier: Apache-2.0 */
/* boot_int.h - what the commands that boot a machine share. */
#pragma once

#include "cmd/cmd.h"
#include "machine/machine.h"

#define BOOT_MEMORY (512 * MiB)
/*
 * Without --append. The reset after a panic is a warm one, and only that: so
 * the machine knows a panic from a reboot, and exits with its status.
 */
#define BOOT_APPEND "console=ttyS0 panic=-1 reboot=panic_warm"

struct boot_share {
    char text[4096];
    char tag[64];
};

struct boot_args {
    const char *command; /* boot or trace */
    struct machine_config cfg;
    char disk_path[MACHINE_DISKS_MAX][4096];
    char module_path[MACHINE_MODULES_MAX][4096];
    struct boot_share share[MACHINE_SHARES_MAX];
    char vsock_path[512];
    const char *replay_path;
    struct replayer *replay;
    char *restore_dir; /* ours */
    bool unchecked;
    int restore_fd[2]; /* 0: none */
    bool publish_anew; /* a fork's child */
    struct snapshot *snapshot;
    bool net_none; /* --net none */
    bool small_pages;
    const char *publish[NET_FORWARDS_MAX];
    unsigned publishes;
    const char *pidfile;
    bool list; /* --help, --engine help, ...: printed, done */
};

/* The command `command`; trace: the categories where --trace gives none. */
int boot_run(const char *command, uint32_t trace, int argc, char **argv);

/* boot.c */
int boot_cpus(void *ctx, const char *v, struct error *err);
int boot_memory(void *ctx, const char *v, struct error *err);
int boot_cpu(void *ctx, const char *v, struct error *err);

/* boot_kernel.c */
int boot_firmware_file(void *ctx, const char *v, struct error *err);
int boot_unpack_by(void *ctx, const char *v, struct error *err);
int boot_module(void *ctx, const char *v, struct error *err);
/* When all options have been read. */
int boot_check_kernel(struct boot_args *a, struct error *err);

/* boot_saved.c: fills cfg from a recording or a snapshot, if one was given. */
int boot_open_saved(struct boot_args *a, struct error *err);
void boot_close_saved(struct boot_args *a);
int boot_replay(void *ctx, const char *v, struct error *err);
int boot_restore(void *ctx, const char *v, struct error *err);
/* Cuts `,word' off the text's end; `word=' has a value. False: not there. */
bool boot_word_take(char *text, const char **value, const char *word);
/* boot_disk.c */
int boot_disk(void *ctx, const char *v, struct error *err);
int boot_share(void *ctx, const char *v, struct error *err);
/* c: out of a snapshot; given: by options. */
int boot_restore_shares(struct machine_config *c,
                        const struct machine_config *given, struct error *err);
int boot_restore_fds(void *ctx, const char *v, struct error *err);
int boot_ready_fd(void *ctx, const char *v, struct error *err);
/* Tells whoever waits on --ready-fd why there is no machine. */
void boot_not_ready(const struct machine_config *c, const struct error *err);

/* boot_daemon.c */
int boot_daemonize(void *ctx, const char *v, struct error *err);
int boot_pidfile(void *ctx, const char *v, struct error *err);
/* Returns in the child, with *status -1; in the parent with its status. */
int boot_detach(struct boot_args *a, int *status, struct error *err);
int boot_pid_write(const struct boot_args *a, struct error *err);
void boot_pid_remove(const struct boot_args *a);

/* boot_net.c: when all options have been read. */
int boot_check_nets(struct boot_args *a, struct error *err);
/* c: out of a snapshot; given: by options. */
int boot_restore_nets(struct machine_config *c,
                      const struct machine_config *given, struct error *err);
void boot_fork_nets(struct machine_config *c, bool publish);
int boot_publish_anew(void *ctx, const char *v, struct error *err);
int boot_net(void *ctx, const char *v, struct error *err);
int boot_publish(void *ctx, const char *v, struct error *err);
int boot_rng(void *ctx, const char *v, struct error *err);
int boot_balloon(void *ctx, const char *v, struct error *err);

/* boot_vsock.c; as boot_restore_nets(). fork: a child of a running machine. */
int boot_restore_vsock(struct machine_config *c,
                       const struct machine_config *given, bool fork,
                       struct error *err);
int boot_vsock(void *ctx, const char *v, struct error *err);
int boot_restore_ports(struct machine_config *c,
                       const struct machine_config *given, bool fork,
                       struct error *err);
int boot_port(void *ctx, const char *v, struct error *err);

/* Options, see options.h; ctx is a struct boot_args. trace.c */
int boot_trace(void *ctx, const char *v, struct error *err);
int boot_trace_range(void *ctx, const char *v, struct error *err);
int boot_trace_start(void *ctx, const char *v, struct error *err);
int boot_trace_limit(void *ctx, const char *v, struct error *err);
int boot_trace_file(void *ctx, const char *v, struct error *err);
