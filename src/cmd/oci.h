/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci.h - containers: the commands of an OCI runtime.
 */
#pragma once

#include "base/util.h"

/*
 * Global options, a command, its arguments; argv[-1] is the program's name.
 */
int oci_main(int argc, char **argv);
bool oci_is_command(const char *name);
/* False: no such command. */
bool oci_help(const char *name);
void oci_print_commands(void);
/* What clients ask for: "ringfence version V", "spec: V", a line each. */
void oci_print_version(void);
