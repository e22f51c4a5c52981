/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interp_int.h - what the files of the interpreter share.
 *
 * Decoded instructions stand in arrays, the blocks. Each has a pointer to the
 * function that runs it, which ends by calling the next one's: the compiler
 * makes that a jump (threaded dispatch). Builds whose compiler does not
 * (sanitizers) return to a trampoline instead; see NEXT().
 */
#pragma once

#include "mmu/mmu.h"
#include "x86/decode.h"
#include "x86/flags.h"
#include "x86/sem.h"

#define BLOCK_INSNS_MAX VCPU_UNIT_MAX
#define BLOCK_CACHE     (1u << 15)
#define ARENA_BYTES     (48 * MiB)

/*
 * A run of instructions on one page, entered at the top only; it may be left
 * in the middle by a taken branch. Position-independent: the same block
 * serves every linear address that maps the page.
 *
 * An instruction that reaches into the next page is a block of its own, with
 * a guard before it that checks at each run that the next page is still the
 * one it was decoded from (host2). That page's list has a stand-in for it.
 */
struct block {
    const uint8_t *host;  /* of the first byte; NULL: none */
    const uint8_t *host2; /* start of the second page, or NULL */
    struct block *real;   /* in a stand-in: the block; else NULL */
    uint8_t mode;         /* cpu->block_mode it was decoded for */
    uint8_t count;
    uint16_t off;            /* of the first byte, in its page */
    struct block *page_next; /* others of the same page */
    struct insn insn[];      /* count, and a sentinel */
};

/* Why the chain of instructions returned to the run loop. */
enum leave {
    LEAVE_AGAIN, /* cpu->rip is current: look up, or look at attn */
    LEAVE_FAULT, /* deliver cpu->exc; cpu->rip is the instruction's */
    LEAVE_HALT,
    LEAVE_STOP,
    LEAVE_SINGLE, /* run the instruction at cpu->rip from a fresh decode */
    LEAVE_BREAK,  /* a debugger's breakpoint is at cpu->rip */
};

struct interp {
    struct decoder decoder;
    struct block *cache[BLOCK_CACHE]; /* by host address; never NULL */
    uint8_t *arena;
    size_t used;
    enum leave leave;
    bool plain;            /* semantic functions only, no fast paths */
    struct insn single[2]; /* for interp_step() */
    struct block none;     /* what an empty slot of the cache points to */
};

static inline struct interp *interp_of(const struct vcpu *cpu)
{
    return cpu->engine_state;
}

static inline unsigned block_hash(const uint8_t *host)
{
    uintptr_t h = (uintptr_t)host;

    return (unsigned)(h ^ h >> 15) & (BLOCK_CACHE - 1);
}

#ifdef RINGFENCE_TRAMPOLINE
#define GO(cpu, in) return (void)(cpu), (in)
#else
#define GO(cpu, in) return (in)->exec((cpu), (in))
#endif
#define NEXT(cpu, in) GO(cpu, (in) + 1)

/* Linear address of RIP. */
static inline gva_t code_linear(const struct vcpu *cpu)
{
    return cpu->rip + cpu->seg_base[SEG_CS];
}

/* As breakpoints have it: 32 bits outside 64-bit mode. */
static inline gva_t code_linear_wrapped(const struct vcpu *cpu)
{
    return code_linear(cpu) & (cpu->code_width == 8 ? ~0ull : 0xffffffffull);
}

/* The cached block at cpu->rip, or NULL: build it, or a fetch faults. */
static inline struct block *block_cached(const struct vcpu *cpu)
{
    gva_t lin = code_linear(cpu);
    const struct tlb_entry *e = tlb_slot(cpu, lin);
    const uint8_t *host = (const uint8_t *)(uintptr_t)(lin + e->addend);
    struct block *b;

    if (unlikely(e->tag_x != tlb_want(cpu, lin, 1)))
        return NULL;
    b = interp_of(cpu)->cache[block_hash(host)];
    if (unlikely(b->host != host || b->mode != cpu->block_mode))
        return NULL;
    return b;
}

/*
 * interp.c: fetches and decodes the instruction at RIP, which may reach into
 * the next page. Nonzero: STEP_FAULT.
 */
int interp_fetch(struct vcpu *cpu, struct insn *in);

/* block.c: builds what block_cached() did not find. NULL: STEP_FAULT. */
struct block *block_lookup(struct vcpu *cpu);
void block_forget_page(struct vcpu *cpu, struct code_page *cp);
/* Empties the arena. Only between instructions, from the run loop. */
void block_forget_all(struct vcpu *cpu);

/* exec.c: the handlers that are not a fast path. */
exec_fn exec_generic;  /* calls in->sem */
exec_fn exec_exit;     /* in->exit: by exit_run() */
exec_fn exec_traced;   /* any, while TRACE_INSN is on */
exec_fn exec_head;     /* first of a block while TRACE_BLOCK is on */
exec_fn exec_sentinel; /* behind the last instruction of a block */
exec_fn exec_guard;    /* before one that crosses a page; imm: host2 */
exec_fn exec_break;    /* first of a block at a debugger's breakpoint */

/* Leaves the block: cpu->rip is set, go on there. */
static inline const struct insn *exec_dispatch(struct vcpu *cpu)
{
    struct block *b;

    if (vcpu_attn(cpu) || unlikely(vcpu_limit_near(cpu)))
        goto leave;
    b = block_cached(cpu);
    if (unlikely(!b))
        goto leave;
    cpu->gpr[R_PAGE] = cpu->rip - b->off;
    GO(cpu, b->insn);
leave:
    cpu->in_block = 0;
    interp_of(cpu)->leave = LEAVE_AGAIN;
    return NULL;
}

/* A better handler than exec_generic, where there is one. */
void fast64_bind(struct insn *in);
void fast32_bind(struct insn *in); /* for BLOCK_FLAT */
/* Pairs that run as one; called on each instruction but the last. */
void fast64_fuse(struct insn *in);
void fast32_fuse(struct insn *in);
