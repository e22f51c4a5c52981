/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace.h - where the trace points' events go: filters, then a file.
 *
 * Text has one line an event. A file whose name ends in .json gets the
 * trace-event format that ui.perfetto.dev and chrome://tracing load; what is
 * on the disk is valid JSON after every flush. An output that fails is told
 * once and ends the trace, not the guest.
 */
#pragma once

#include "base/clock.h"
#include "inspect/trace_config.h"
#include "x86/trace.h"

/* "exit,intr": adds to *cats. Errors name the word and what there is. */
int trace_cats_parse(const char *text, uint32_t *cats,
                     struct error *err) must_check;
/* By number, 0 to TRACE_CATS - 1; what it shows, for people. */
const char *trace_cat_name(unsigned cat);
const char *trace_cat_help(unsigned cat);
/* START-END, START+LEN in hex, or a symbol: is it one of these? */
int trace_range_check(const char *text, struct error *err) must_check;

struct trace;

/*
 * Opens the file and reads the symbols, of which NULL is the guest's own. The
 * clock outlives the trace.
 */
int trace_open(struct trace **t, const struct trace_config *cfg,
               const char *symbols, const struct clock *clock,
               struct error *err) must_check;
/* Before the vCPU runs. */
void trace_attach(struct trace *t, struct vcpu *cpu);
/* Another kernel will be there. No vCPU runs. t may be NULL. */
void trace_reset(struct trace *t);
/* What is left is written. No vCPU runs any more. t may be NULL. */
void trace_close(struct trace *t);
