/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - finds the sub-command.
 */
#include "cmd/cmd.h"

#include <signal.h>
#include <string.h>

#include "cmd/oci.h"

int main(int argc, char **argv)
{
    const struct command *c;

    /* A closed pipe is an error of write(), not a silent death. */
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2)
        return cmd_help(0, argv), EXIT_USAGE;
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        return cmd_help(argc - 2, argv + 2);
    if (!strcmp(argv[1], "--version"))
        return command_find("version")->run(0, argv);
    if (argv[1][0] == '-' || oci_is_command(argv[1]))
        return oci_main(argc - 1, argv + 1);
    c = command_find(argv[1]);
    if (!c)
        return command_unknown(argv[1]);
    if (argc > 2 && (!strcmp(argv[2], "--help") || !strcmp(argv[2], "-h"))) {
        c->help();
        return EXIT_OK;
    }
    return c->run(argc - 2, argv + 2);
}
