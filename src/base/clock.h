/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock.h - the machine's only source of time: nanoseconds since it started,
 * monotonic. Devices never ask the host.
 *
 * It follows the host's clock, or, in a deterministic machine, whoever is its
 * source: then time is a function of what the guest has done.
 */
#pragma once

#include "base/util.h"

struct clock_source {
    uint64_t (*now)(const struct clock_source *s);
    /* The loop's first deadline may have become an earlier one. */
    void (*rearmed)(struct clock_source *s);
};

struct clock {
    uint64_t base_ns; /* CLOCK_MONOTONIC at start, less what was restored */
    uint64_t stands;  /* CLOCK_MONOTONIC when it was stopped; 0: it runs */
    struct clock_source *source; /* NULL: the host's clock */
};

uint64_t clock_host_now(void); /* CLOCK_MONOTONIC, ns */
/* From now_ns on, by the host's clock. */
void clock_start(struct clock *c, uint64_t now_ns);
uint64_t clock_now(const struct clock *c);
