/* SPDX-License-Identifier: Apache-2.0 */
/* stats_config.h - which statistics at the end, as the command line has it. */
#pragma once

#include "base/error.h"

enum stats_format {
    STATS_NONE,
    STATS_TABLE,
    STATS_JSON,
    STATS_BOOT, /* when the boot got how far: stats_boot.h */
    STATS_BOOT_JSON,
};

struct stats_config {
    enum stats_format format;
    bool timed;       /* times too, which cost a little */
    const char *file; /* the caller's; NULL: stderr */
    uint64_t
        main_ns; /* host's clock when main() began, for the boot's steps, */
    uint64_t exec_ns; /* and the CPU time that it took to get there */
};
