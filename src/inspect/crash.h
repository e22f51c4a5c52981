/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash.h - the crash screen: what a kernel developer wants to see of a guest
 * that panicked or triple-faulted, or of a monitor that failed an assert.
 *
 * All of it reads and changes nothing, and does not allocate. The vCPU is
 * parked or the caller's own; after an assert the others may still run: then
 * what is shown of them is a moment's, perhaps not one and the same.
 */
#pragma once

#include "inspect/symbols.h"

/* Who gets the lines, without their ends; at most CRASH_COLUMNS long. */
#define CRASH_COLUMNS 120
struct crash_sink {
    void (*line)(void *ctx, const char *text);
    void *ctx;
};

/* All of it. why: the title; syms may be NULL, as everywhere here. */
void crash_screen(const struct crash_sink *to, struct vcpu *cpu,
                  const struct symbols *syms, const char *why);

/* Its parts. */
void crash_registers(const struct crash_sink *to, struct vcpu *cpu,
                     const struct symbols *syms);
/* Instructions around RIP, which is marked. */
void crash_code(const struct crash_sink *to, struct vcpu *cpu,
                const struct symbols *syms);
/* The page walk of an address, a level a line. */
void crash_walk(const struct crash_sink *to, struct vcpu *cpu, gva_t gva);
/*
 * Who called whom: return addresses of the frame pointers' chain, where there
 * is one; other words on the stack that stand behind a call get a `?'.
 */
void crash_stack(const struct crash_sink *to, struct vcpu *cpu,
                 const struct symbols *syms);
/* The last exceptions and branches, the newest first. */
void crash_history(const struct crash_sink *to, struct vcpu *cpu,
                   const struct symbols *syms);
/* One line: where it is and what it does. */
void crash_summary(const struct crash_sink *to, struct vcpu *cpu,
                   const struct symbols *syms);

/* A sink that writes to a file descriptor; ctx: the descriptor, see there. */
void crash_line_to_fd(void *fd, const char *text);

/*
 * From now on a failed assert or a fatal signal prints the screen of the vCPU
 * that the thread runs, or else of all, on stderr. syms: where the pointer
 * to the symbols will be, may be NULL. count 0: no longer.
 */
void crash_watch(struct vcpu *const *cpus, unsigned count,
                 struct symbols *const *syms);
/* This thread runs `cpu` from now on; NULL: none. */
void crash_running(struct vcpu *cpu);
struct vcpu *crash_current(void);
