/* SPDX-License-Identifier: Apache-2.0 */
/* boot_int.h - what the commands that boot a machine share. */
#pragma once

#include "cmd/cmd.h"
#include "machine/machine.h"

struct boot_args {
    const char *command; /* boot or trace */
    struct machine_config cfg;
    char disk_path[MACHINE_DISKS_MAX][4096];
    const char *replay_path;
    struct replayer *replay;
    bool list; /* --help, --engine help, ...: printed, done */
};

/* The command `command`; trace: the categories where --trace gives none. */
int boot_run(const char *command, uint32_t trace, int argc, char **argv);

/* Options, see options.h; ctx is a struct boot_args. trace.c */
int boot_trace(void *ctx, const char *v, struct error *err);
int boot_trace_range(void *ctx, const char *v, struct error *err);
int boot_trace_start(void *ctx, const char *v, struct error *err);
int boot_trace_limit(void *ctx, const char *v, struct error *err);
int boot_trace_file(void *ctx, const char *v, struct error *err);
