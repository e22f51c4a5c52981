/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_only.c - the program ringfence-oci: the containers' commands alone,
 * linked statically, as what podman and containerd call for each step should
 * start at once and load nothing.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/oci.h"

int command_unknown(const char *name)
{
    fprintf(stderr,
            "ringfence: unknown command `%s'; see ringfence-oci "
            "--help\n",
            name);
    return EXIT_USAGE;
}

static int usage(int status)
{
    puts("usage: ringfence-oci [GLOBAL OPTIONS] COMMAND ...\n\nCommands:");
    oci_print_commands();
    puts("\nringfence-oci COMMAND --help explains one.");
    return status;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2)
        return usage(EXIT_USAGE);
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
        !strcmp(argv[1], "help"))
        return argc > 2 && oci_help(argv[2]) ? EXIT_OK : usage(EXIT_OK);
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-v") ||
        !strcmp(argv[1], "version")) {
        oci_print_version();
        return EXIT_OK;
    }
    return oci_main(argc - 1, argv + 1);
}
