/* SPDX-License-Identifier: Apache-2.0 */
/*
 * debug.h - what a debugger outside the guest asks of a vCPU.
 *
 * Breakpoints and watchpoints are lists of linear addresses that the engine
 * looks at: guest memory and the guest's own debug registers are untouched.
 * The lists are shared by all vCPUs and change only while every one of them
 * is parked. A vCPU that meets a point leaves run() with ENGINE_DEBUG.
 */
#pragma once

#include "x86/vcpu.h"

#define DEBUG_BREAKS_MAX  256
#define DEBUG_WATCHES_MAX 32

enum debug_watch_kind {
    DEBUG_WATCH_WRITE = 2, /* the numbers of gdb's Z packets */
    DEBUG_WATCH_READ = 3,
    DEBUG_WATCH_ACCESS = 4,
};

struct debug_watch {
    gva_t gva;
    uint64_t len;
    enum debug_watch_kind kind;
};

struct debug_points {
    gva_t at[DEBUG_BREAKS_MAX]; /* breakpoints */
    unsigned breaks;
    struct debug_watch watch[DEBUG_WATCHES_MAX];
    unsigned watches;
    /*
     * Bit n: an instruction at offset n of any page may be a breakpoint, so
     * decoded code has a guard before it. May have too many bits, never too
     * few; who sets one makes every vCPU forget its code.
     */
    uint64_t guard[PAGE_SIZE / 64];
};

enum debug_stop {
    DEBUG_NONE,
    DEBUG_STEP,
    DEBUG_BREAK,
    DEBUG_WATCH,
    DEBUG_CAUGHT, /* an exception, before it is delivered */
};

struct vcpu_debug {
    const struct debug_points *points;
    bool step;    /* leave after one instruction */
    bool catches; /* leave with DEBUG_CAUGHT */
    /* Does the breakpoint that was met count? NULL: all do. */
    bool (*wanted)(const struct vcpu *cpu);
    enum debug_stop stop; /* why run() returned ENGINE_DEBUG */
    gva_t hit;            /* DEBUG_WATCH: the address inside the watched */
    enum debug_watch_kind kind;
};

/* Is there a breakpoint at this linear address? */
bool debug_breaks(const struct vcpu *cpu, gva_t lin);
/* An access is being made; a hit sets ATTN_DEBUG and ends the block. */
void debug_access(struct vcpu *cpu, gva_t gva, unsigned size, bool write);
/* The access faulted: it was not made. */
void debug_access_undone(struct vcpu *cpu);

/* Could a breakpoint be at this offset of its page? */
static inline bool debug_guards(const struct vcpu *cpu, unsigned off)
{
    return unlikely(cpu->debug != NULL) &&
           (cpu->debug->points->guard[off / 64] >> (off % 64) & 1);
}
static inline bool debug_steps(const struct vcpu *cpu)
{
    return unlikely(cpu->debug != NULL) && cpu->debug->step;
}
static inline bool debug_watches(const struct vcpu *cpu)
{
    return unlikely(cpu->debug != NULL) && cpu->debug->points->watches;
}
