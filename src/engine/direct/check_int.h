/* SPDX-License-Identifier: Apache-2.0 */
/* check_int.h - what the files of the check share. */
#pragma once

#include "engine/direct/check.h"
#include "x86/debug.h"

/* --- check_state.c: what user code can see in registers --- */

struct check_state {
    uint64_t gpr[16], rip, rflags;
    struct seg seg[SEG_COUNT];
    struct fpu fpu;
};

enum check_part {
    CHECK_GPR = 1 << 0,
    CHECK_RIP = 1 << 1,
    CHECK_FLAGS = 1 << 2,
    CHECK_SEGS = 1 << 3,
    CHECK_FPU = 1 << 4,
    CHECK_MEMORY = 1 << 5, /* not of the registers */
};

void check_state_get(const struct vcpu *cpu, struct check_state *s);
/* ref: user code of cpu's, with these registers and nothing pending. */
void check_state_put(struct vcpu *ref, const struct vcpu *cpu,
                     const struct check_state *s);
/* Which parts are not the same; status flags that are in `undefined` are. */
unsigned check_state_differ(const struct check_state *a,
                            const struct check_state *b, uint64_t undefined);
/* A line for each register that differs. */
void check_state_report(const struct check_state *native,
                        const struct check_state *ref);

/*
 * The native code stopped before or within a repeated string instruction,
 * which the interpreter does in one go.
 */
struct check_rep {
    bool on;
    bool si, di, loads, compares;
    unsigned width;
};
struct check_rep check_rep_at(const uint8_t *bytes, unsigned len);
/* How many iterations lead from these registers to those; 0: none do. */
uint64_t check_rep_between(const struct check_rep *r, const uint64_t *gpr,
                           bool down, const uint64_t *to);

/* --- check_view.c: RAM as it was --- */

/* Pages by their number in RAM. */
struct check_pages {
    uint32_t *page;
    uint32_t *stamp; /* of each page of RAM: is it in the list? */
    uint32_t now;
    unsigned count;
};

bool check_pages_open(struct check_pages *p, uint64_t ram_pages) must_check;
void check_pages_close(struct check_pages *p, uint64_t ram_pages);
void check_pages_clear(struct check_pages *p);
/* False: it is there. */
bool check_pages_add(struct check_pages *p, uint64_t page);

struct check_view {
    struct guest_mem *mem; /* the guest's */
    struct guest_mem view; /* the same, but writes to it stay there */
    unsigned generation;   /* of what it is a view of */
    struct check_pages kept;
    uint8_t *copies; /* of these, as they were */
    /* What is not RAM's own: native code, or somebody here, wrote it. */
    struct check_pages written;
};

int check_view_open(struct check_view *v, struct guest_mem *mem,
                    struct error *err) must_check;
void check_view_close(struct check_view *v);
/* Nothing is kept. -errno: there is no view now. */
int check_view_begin(struct check_view *v) must_check;
void check_view_keep(struct check_view *v, uint64_t page);
/* The view is RAM as it was; nothing was written. */
void check_view_restore(struct check_view *v);
/* A page of the view is being written. */
void check_view_written(struct check_view *v, gpa_t page);
/* Is RAM now what the view is? The first difference, by offset in RAM. */
bool check_view_same(const struct check_view *v, uint64_t *where);
void check_view_report(const struct check_view *v);

/* --- check.c --- */

#define CHECK_CODE 128 /* pages; more, and all are forgotten */

struct check {
    struct vcpu *ref;        /* the check's own vCPU */
    struct check_view view;  /* ref's RAM */
    struct check_pages code; /* of which ref has code, and as they were */
    uint8_t code_copy[CHECK_CODE][PAGE_SIZE];
    uint64_t break_page;    /* of RAM: where the breakpoint is */
    const struct vcpu *cpu; /* while check_end() runs */
    struct vcpu_debug debug;
    struct debug_points points;

    struct check_state from, native;
    const struct shadow_space *full; /* check_full() */
    struct check_rep rep;
    unsigned lost;    /* general registers that the host's kernel took, bits */
    uint64_t began;   /* TSC */
    uint64_t stopped; /* native code, until then, by CTR_* */
    uint64_t insns;   /* ref's, when it began */
    enum direct_next next;

    /* Where the two came closest: the same RIP and general registers. */
    bool close;
    unsigned differ;
    struct check_state at;
    uint64_t at_insns;
};

/* ref begins again, with breakpoints on or off. */
void check_restart(struct check *c, bool breaks);
/* One instruction, or a part of a REP; false: it left user mode. */
bool check_step(struct check *c);

/* --- check_code.c: around check_view_restore() --- */

void check_code_before(struct check *c);
void check_code_after(struct check *c);

/* --- check_trace.c --- */

#define CHECK_LAST 12 /* instructions in a report */

struct check_insn {
    gva_t at;
    uint8_t bytes[15];
};

struct check_trace {
    struct check_insn last[CHECK_LAST];
    unsigned count;     /* of all that were looked at */
    uint64_t undefined; /* status flags that the last ones left so */
    bool differs;       /* there was one that is known to differ */
    bool chooses; /* the last one: which of two faults is the CPU's choice */
};

/*
 * Restarts ref, and comes back to where it had retired `insns` with these
 * registers. all: looks at each instruction, not at the last ones only.
 */
void check_trace_to(struct check *c, uint64_t insns,
                    const struct check_state *s, bool all,
                    struct check_trace *t);
/* Adds what ref is about to run. */
void check_trace_next(struct check *c, struct check_trace *t);
void check_trace_report(const struct check_trace *t, bool wide);
