/* SPDX-License-Identifier: Apache-2.0 */
/*
 * help.c - `ringfence help [command]`, and the table of commands.
 */
#include "cmd/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmd/oci.h"
#include "cmd/options.h"

static int cmd_version(int argc, char **argv)
{
    (void)argv;
    if (argc) {
        struct error err;

        error_set(&err, EINVAL, "takes no arguments");
        return command_error("version", &err, EXIT_USAGE);
    }
    puts("ringfence " RINGFENCE_VERSION);
    return EXIT_OK;
}

static void cmd_version_help(void)
{
    puts("usage: ringfence version\n\nPrints the version.");
}

const struct command commands[] = {
    {"boot", "boot a kernel in a virtual machine", cmd_boot, cmd_boot_help},
    {"compare", "find where two engines, CPU models or builds differ",
     cmd_compare, cmd_compare_help},
    {"ctl", "look at running machines, and tell them what to do", cmd_ctl,
     cmd_ctl_help},
    {"doctor", "what this host offers, and why not better", cmd_doctor,
     cmd_doctor_help},
    {"help", "explain a command", cmd_help, cmd_help_help},
    {"surface", "what a guest of each engine can reach, counted", cmd_surface,
     cmd_surface_help},
    {"top", "what the running machines cost, live, as JSON, for Prometheus",
     cmd_top, cmd_top_help},
    {"trace", "boot, and show what the guest does", cmd_trace, cmd_trace_help},
    {"version", "print the version", cmd_version, cmd_version_help},
    {0},
};

const struct command *command_find(const char *name)
{
    const struct command *c;

    for (c = commands; c->name; c++)
        if (!strcmp(c->name, name))
            return c;
    return NULL;
}

int command_error(const char *name, const struct error *err, int status)
{
    fprintf(stderr, "ringfence %s: %s\n", name, err->msg);
    return status;
}

static const char *command_name(const void *ctx, unsigned i)
{
    return ((const struct command *)ctx)[i].name;
}

int command_unknown(const char *name)
{
    const char *near = options_nearest(name, command_name, commands);

    fprintf(stderr, "ringfence: unknown command `%s'; %s%s%s\n", name,
            near ? "did you mean `" : "see ringfence help", near ? near : "",
            near ? "'?" : "");
    return EXIT_USAGE;
}

void cmd_help_help(void)
{
    puts("usage: ringfence help [COMMAND]\n\n"
         "Explains a command, or lists them all.");
}

static void help_overview(void)
{
    const struct command *c;

    puts("Ringfence runs a Linux kernel in a virtual machine, in an ordinary\n"
         "process: no /dev/kvm, no kernel module, no root. Or a program in a\n"
         "container, also for podman and containerd.\n\n"
         "usage: ringfence COMMAND [OPTION]...\n\nVirtual machines:");
    for (c = commands; c->name; c++)
        printf("  %-10s %s\n", c->name, c->summary);
    puts("\nContainers:");
    oci_print_commands();
    puts("\nTo begin with:\n"
         "  ringfence doctor                  what works here\n"
         "  ringfence boot --kernel vmlinuz   boot a kernel\n"
         "  ringfence help boot               all about booting\n"
         "  ringfence run --rootfs DIR -- sh  a shell in a container");
}

int cmd_help(int argc, char **argv)
{
    const struct command *c;

    if (argc < 1) {
        help_overview();
        return EXIT_OK;
    }
    c = command_find(argv[0]);
    if (!c && oci_help(argv[0]))
        return EXIT_OK;
    if (!c)
        return command_unknown(argv[0]);
    c->help();
    return EXIT_OK;
}
