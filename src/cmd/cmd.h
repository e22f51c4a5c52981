/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd.h - the sub-commands; one file each, one table in main.c.
 */
#pragma once

#include "base/error.h"

#define RINGFENCE_VERSION "0.1"

/* Exit statuses; documented in ringfence-boot(1) and `help boot`. */
enum exit_status {
    EXIT_OK = 0,
    EXIT_HOST = 1, /* a file, a disk, memory: nothing to do with usage */
    EXIT_USAGE = 2,
    EXIT_PANIC = 3,
    EXIT_TRIPLE = 4,
    EXIT_STOPPED = 5,
    EXIT_RESET = 6,  /* --no-reboot */
    EXIT_DIFFER = 7, /* compare: the two sides are not the same */
    EXIT_DEBUG = 64, /* plus the low six bits of what was written */
};

struct command {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv); /* without the name; exit status */
    void (*help)(void);
};

extern const struct command commands[]; /* ends with a NULL name */
const struct command *command_find(const char *name);
/* "ringfence NAME: message" on stderr; returns status. */
int command_error(const char *name, const struct error *err, int status);
int command_unknown(const char *name);

int cmd_boot(int argc, char **argv);
void cmd_boot_help(void);
int cmd_compare(int argc, char **argv);
void cmd_compare_help(void);
int cmd_ctl(int argc, char **argv);
void cmd_ctl_help(void);
int cmd_doctor(int argc, char **argv);
void cmd_doctor_help(void);
int cmd_help(int argc, char **argv);
void cmd_help_help(void);
int cmd_surface(int argc, char **argv);
void cmd_surface_help(void);
int cmd_top(int argc, char **argv);
void cmd_top_help(void);
int cmd_trace(int argc, char **argv);
void cmd_trace_help(void);
