/* SPDX-License-Identifier: Apache-2.0 */
/* stats_config.h - which statistics at the end, as the command line has it. */
#pragma once

#include "base/error.h"

enum stats_format { STATS_NONE, STATS_TABLE, STATS_JSON };

struct stats_config {
    enum stats_format format;
    bool timed;       /* times too, which cost a little */
    const char *file; /* the caller's; NULL: stderr */
};
