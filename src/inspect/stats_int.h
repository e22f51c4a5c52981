/* SPDX-License-Identifier: Apache-2.0 */
/* stats_int.h - what the files of the statistics share. */
#pragma once

#include <stdio.h>

#include "engine/engine.h"
#include "inspect/stats.h"
#include "inspect/stats_boot.h"

#define STATS_VERSION 1

enum stats_group {
    GROUP_EXIT,
    GROUP_ENGINE,
    GROUP_EVENT,
    GROUP_INTERRUPT,
    GROUP_EXCEPTION,
    GROUP_MEMORY,
    GROUP_CODE,
    GROUP_ACCESS,
    GROUP_COUNT,
};

struct stats_row {
    enum stats_group group;
    char name[40];
    uint64_t count, ns;
};

#define STATS_ROWS                                                             \
    (EXIT_COUNT + ENGINE_EXITS + CTR_COUNT + 256 + 32) /* all there can be */

struct stats_device {
    char name[40];
    enum io_kind kind;
    uint64_t base, len, count, ns;
};

struct stats {
    const struct stats_config *cfg;
    FILE *out;
    bool collected;
    uint64_t ns0, ticks0; /* both clocks at the beginning */
    uint64_t ns, ticks;   /* and how far they went */
    unsigned cpus;
    struct {
        uint64_t insns;
        struct vcpu_stats stats;
    } cpu[GUEST_VCPUS_MAX];
    struct boot_times *boot;     /* NULL unless they are wanted */
    struct stats_device *device; /* may be NULL: out of memory */
    unsigned devices;
};

uint64_t stats_ns(const struct stats *s, uint64_t ticks);
/* Word for a group, in JSON and in the table. */
const char *stats_group_name(enum stats_group group);
/*
 * The rows of vCPU `cpu`, or of all summed if it is s->cpus, that are not 0;
 * by group, the heaviest first. Returns how many.
 */
unsigned stats_rows(const struct stats *s, unsigned cpu,
                    struct stats_row row[STATS_ROWS]);
uint64_t stats_insns(const struct stats *s, unsigned cpu);

void stats_table(const struct stats *s, FILE *out);
void stats_json(const struct stats *s, FILE *out);
