/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace.h - trace points: what a vCPU did, told to whoever listens.
 *
 * A point costs one predictable branch while its category is off, and the
 * interpreter's fast paths have none: an engine binds other handlers while
 * instructions or blocks are traced, and forgets its code when that changes.
 *
 * Events are told on the vCPU's own thread, in its order, when what they tell
 * has happened (but instructions and blocks before they run). Nothing in them
 * is the host's: of a deterministic run they are the same each time.
 */
#pragma once

#include "x86/insn.h"
#include "x86/walk.h"

enum trace_cat {
    TRACE_INSN = 1 << 0,  /* every instruction, before it runs */
    TRACE_BLOCK = 1 << 1, /* decoded blocks, as they are entered */
    TRACE_EXIT = 1 << 2,  /* x86/exit.h, and why the engine returned */
    TRACE_INTR = 1 << 3,  /* interrupts, NMI, INIT, SIPI, INT n */
    TRACE_EXC = 1 << 4,
    TRACE_WALK = 1 << 5, /* page walks that the TLB asked for */
    TRACE_IO = 1 << 6,   /* ports, MMIO, the APIC's page */
    TRACE_MEM = 1 << 7,  /* every data access; all are slow then */
    TRACE_CATS = 8,      /* how many */
    TRACE_ALL = (1 << TRACE_CATS) - 1,
};

/* What event->what means, by category. */
enum trace_what {
    TRACE_PLAIN,
    TRACE_LEFT, /* EXIT: run() returned; `name` says why */
    TRACE_WOKE, /* EXIT: a halted vCPU goes on */
    TRACE_HARD, /* INTR: from the interrupt controller */
    TRACE_NMI,
    TRACE_INIT,
    TRACE_SIPI,
    TRACE_SOFT,  /* INTR: INT n, INT3, INTO, INT1 */
    TRACE_PORT,  /* IO */
    TRACE_MMIO,  /* IO */
    TRACE_APIC,  /* IO */
    TRACE_WHATS, /* how many */
};

#define TRACE_BYTES 64

/* One event; the members behind `addr` that its category has. */
struct trace_event {
    enum trace_cat cat;
    enum trace_what what;
    uint64_t insns; /* retired before it */
    uint64_t ns;    /* machine's clock: when it began */
    uint64_t rip;
    gva_t pc;   /* linear */
    gva_t addr; /* what ranges are about: accessed, or pc */
    union {
        struct {
            const struct insn *in;  /* EXIT: its reason is in->exit */
            uint64_t rax, rcx, rdx; /* before */
            bool fault;             /* cpu->exc says which */
        } exit;
        struct {
            unsigned count, bytes;
        } block;
        unsigned vector; /* INTR */
        struct exc exc;
        struct {
            gva_t gva;
            unsigned access; /* enum access */
            struct walk_steps steps;
            bool fault; /* cpu->exc is the #PF; else: */
            struct walk found;
        } walk;
        struct {
            const char *device; /* NULL: nobody is there */
            unsigned width;
            bool write;
            uint64_t value;
        } io;
        struct {
            unsigned size;
            bool write, system;
            uint8_t bytes[TRACE_BYTES];
        } mem;
        const char *name; /* TRACE_LEFT */
    };
};

/* Who listens. Calls come from all vCPUs' threads. */
struct tracer {
    uint64_t (*now)(struct tracer *t); /* the machine's clock, ns */
    void (*emit)(struct tracer *t, struct vcpu *cpu,
                 const struct trace_event *e);
    /*
     * What it surely does not want: events before the vCPU's instruction
     * `start`, and those with addr outside [lo, hi]. May be too little.
     */
    uint64_t start;
    _Atomic gva_t lo, hi;
};

static inline bool trace_on(const struct vcpu *cpu, uint32_t cats)
{
    return unlikely(cpu->trace & cats);
}

/* Before the vCPU runs. */
void trace_init(struct vcpu *cpu, struct tracer *t, uint32_t cats);
/*
 * Other categories, from the vCPU's next look at attn on. Any thread. The
 * engine answers ATTN_TRACE with trace_take().
 */
void trace_set(struct vcpu *cpu, uint32_t cats);
/* True: they changed, all decoded code is to be forgotten. */
bool trace_take(struct vcpu *cpu);

/* Each is to be called only if trace_on() says so. cpu->rip is current. */
void trace_insn(struct vcpu *cpu, const struct insn *in);
void trace_block(struct vcpu *cpu, unsigned count, unsigned bytes);
void trace_left(struct vcpu *cpu, const char *why);
void trace_woke(struct vcpu *cpu);
void trace_intr(struct vcpu *cpu, enum trace_what what, unsigned vector);
void trace_exc(struct vcpu *cpu, const struct exc *exc);
void trace_io(struct vcpu *cpu, enum trace_what what, const char *device,
              uint64_t addr, unsigned width, bool write, uint64_t value);
void trace_mem(struct vcpu *cpu, gva_t gva, const void *bytes, unsigned size,
               bool write, bool system);
/* found: NULL if it ended in a fault. */
void trace_walk(struct vcpu *cpu, gva_t gva, unsigned access,
                const struct walk_steps *steps, const struct walk *found);
/* Around the instruction; no end if the beginning says false. */
bool trace_exit_begin(struct vcpu *cpu, const struct insn *in,
                      struct trace_event *e);
void trace_exit_end(struct vcpu *cpu, struct trace_event *e, bool fault);
