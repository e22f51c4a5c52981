/* SPDX-License-Identifier: Apache-2.0 */
/* trace_config.h - what is to be traced, as the command line has it. */
#pragma once

#include "base/error.h"

#define TRACE_RANGES_MAX 16

/* Strings are the caller's and outlive the trace. */
struct trace_config {
    uint32_t cats; /* enum trace_cat; 0: no trace */
    /* Linear addresses of instructions; of the accessed for mem and io. */
    const char *range[TRACE_RANGES_MAX];
    unsigned ranges;  /* 0: everywhere */
    uint64_t start;   /* instructions that a vCPU runs first */
    uint64_t limit;   /* events; 0: no limit */
    const char *file; /* NULL: stderr */
};
