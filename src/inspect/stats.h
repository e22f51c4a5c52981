/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats.h - what the vCPUs and devices counted, as a table or as JSON.
 *
 * Times were taken in ticks of the host's TSC; how long a tick is comes from
 * both clocks at the beginning and at the end.
 */
#pragma once

#include "inspect/stats_config.h"
#include "x86/vcpu.h"

/* "table", "json", "json:FILE": times too. */
int stats_parse(const char *text, struct stats_config *cfg,
                struct error *err) must_check;

struct stats;
struct boot_times;

/* Opens the file. The configuration outlives it. */
int stats_open(struct stats **s, const struct stats_config *cfg,
               struct error *err) must_check;
/* NULL: nobody wants to know. */
struct boot_times *stats_boot(struct stats *s);
/* Before the vCPU runs. */
void stats_attach(struct stats *s, struct vcpu *cpu);
/*
 * Takes everything: no vCPU runs any more, devices are still there. Nothing of
 * them is needed afterwards.
 */
void stats_collect(struct stats *s, struct vcpu *const *cpus, unsigned count);
/*
 * What there is now as JSON, in memory that the caller frees; no vCPU runs.
 * NULL: out of memory. Nothing else changes.
 */
char *stats_now(const struct stats *s, struct vcpu *const *cpus,
                unsigned count);
/*
 * Tells row() what all vCPUs together have counted, group by group, biggest
 * first, while they run: nobody waits for anybody, so counts may be a little
 * older in one row than in another. Returns the instructions.
 */
uint64_t stats_peek(struct vcpu *const *cpus, unsigned count,
                    void (*row)(void *ctx, const char *group, const char *name,
                                uint64_t count),
                    void *ctx);
/*
 * Writes it, if it was collected and the configuration has a format; closes.
 * s may be NULL.
 */
void stats_close(struct stats *s);
