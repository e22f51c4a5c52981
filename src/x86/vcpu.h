/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu.h - one virtual CPU: the whole architectural state, in one struct.
 *
 * Whatever an engine keeps elsewhere while it runs, this struct is complete
 * and current whenever run() has returned. One host thread owns a vCPU; only
 * `attn` (through vcpu_attn_set), `sipi_vector` and `inbox` may be touched by
 * another.
 *
 * Status flags are lazy, see x86/flags.h. In the middle of a block `rip` is
 * stale: the instruction knows its place (insn_rip(), insn_next_rip()).
 */
#pragma once

#include <setjmp.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "base/clock.h"
#include "mem/guest_mem.h"
#include "x86/history.h"
#include "x86/regs.h"
#include "x86/stats.h"

struct vcpu;
struct cpu_model;
struct ref;
struct vcpu_debug;
struct tracer;
struct state_writer;
struct state_reader;

/* Software TLB. Tags are compared as a whole, see x86/access.h. */
#define TLB_BITS 10
#define TLB_SIZE (1u << TLB_BITS)

struct tlb_entry {
    uint64_t tag_r, tag_w, tag_x; /* page | generation, 0: no such right */
    uint64_t addend;              /* host address = gva + addend */
};

/* One table per set of rights, so that a change of CPL flushes nothing. */
enum tlb_mode {
    TLB_USER,     /* CPL 3 */
    TLB_SUPER,    /* CPL < 3; user pages are missing if SMAP forbids them */
    TLB_SUPER_AC, /* CPL < 3 with EFLAGS.AC: user pages allowed */
    TLB_MODES,
};

/* Access kinds for the walker and the slow paths; a bit mask. */
enum access {
    ACC_READ = 0,
    ACC_WRITE = 1, /* also "read for modify" */
    ACC_FETCH = 2,
    ACC_SYSTEM = 4, /* implicit supervisor access: descriptor tables, TSS */
};

/* Why a vCPU thread should leave its blocks; bits of `attn`. */
enum attn {
    ATTN_INTR = 1 << 0, /* the interrupt controller has one for us */
    ATTN_NMI = 1 << 1,
    ATTN_KICK = 1 << 2, /* somebody wants run() to return */
    ATTN_INIT = 1 << 3,
    ATTN_SIPI = 1 << 4,
    ATTN_INBOX = 1 << 5,  /* code pages to forget, see mmu/ */
    ATTN_STEP = 1 << 6,   /* TF or armed breakpoints: one insn at a time */
    ATTN_DEBUG = 1 << 9,  /* this vCPU touched a debugger's watchpoint */
    ATTN_TRACE = 1 << 10, /* trace_set() */
};

/* Who holds events back for one instruction [SDM 3A 6.8.1, 6.8.3]. */
enum shadow {
    SHADOW_NONE,
    SHADOW_STI,
    SHADOW_SS, /* MOV or POP SS: debug exceptions too */
};

/* The vCPU's window on its interrupt controller; no x86/ code includes irq/. */
struct vcpu_intr_ops {
    /*
     * Accepts the highest-priority deliverable interrupt (IRR to ISR, or
     * 8259 INTA): its vector, or -1. Clears ATTN_INTR when none is left.
     */
    int (*ack)(void *ctx);
    /* CR8 and the TPR are one [SDM 3A 11.8.6]; value 0..15. */
    uint64_t (*tpr_get)(void *ctx);
    void (*tpr_set)(void *ctx, uint64_t cr8);
    /* IA32_APIC_BASE, TSC_DEADLINE, x2APIC 0x800..0x8ff. Nonzero: #GP. */
    int (*msr_read)(void *ctx, uint32_t msr, uint64_t *val);
    int (*msr_write)(void *ctx, uint32_t msr, uint64_t val);
    /* xAPIC page; off 0..0xfff. */
    uint32_t (*mmio_read)(void *ctx, uint32_t off);
    void (*mmio_write)(void *ctx, uint32_t off, uint32_t val);
    /*
     * For an engine that has local APICs (engine_ops.apics), or NULL. All of
     * the machine's go there, until the machine takes them back, with the
     * vCPUs parked; ack() is the 8259's INTA then. -errno.
     */
    int (*lend)(void *ctx, struct error *err);
    /* Such an APIC had the EOI of a level-triggered interrupt. */
    void (*eoi)(void *ctx, uint8_t vector);
};

/* What mmu/ does for x86/; set once by mmu_init(). */
struct vcpu_mmu_ops {
    /*
     * Any access the inline TLB probe did not take. size 1..64, may cross a
     * page. 0, or STEP_FAULT with cpu->exc filled.
     */
    int (*read)(struct vcpu *cpu, gva_t gva, void *buf, unsigned size,
                unsigned access);
    int (*write)(struct vcpu *cpu, gva_t gva, const void *buf, unsigned size,
                 unsigned access);
    /*
     * Checks `size` (1..64) bytes for `access` and says where they are:
     * see struct ref in x86/access.h.
     */
    int (*open)(struct vcpu *cpu, gva_t gva, unsigned size, unsigned access,
                struct ref *ref);
    void (*flush_all)(struct vcpu *cpu);   /* global entries too */
    void (*flush_local)(struct vcpu *cpu); /* current PCID, not global */
    void (*flush_pcid)(struct vcpu *cpu, unsigned pcid);
    void (*flush_page)(struct vcpu *cpu, gva_t gva); /* INVLPG */
    /* CR3 or PCID changed; keep: entries of that PCID stay (CR3 bit 63). */
    void (*switch_cr3)(struct vcpu *cpu, bool keep);
    /*
     * Points cpu->tlb at the table for the current rights. To be called when
     * CPL, EFLAGS.AC, CR0.AM or WP, CR4.SMEP or SMAP, EFER.NXE or DR7 change.
     */
    void (*select)(struct vcpu *cpu);
    /* ref_set() wrote a page that holds decoded code (REF_CODE). */
    void (*code_stored)(struct vcpu *cpu, const struct ref *ref);
};

/* A fault on its way to delivery; filled before STEP_FAULT is returned. */
struct exc {
    uint8_t vector;
    bool has_error;
    uint32_t error;
    uint64_t cr2; /* #PF only */
    uint64_t dr6; /* #DB only: bits to set in DR6 */
};

struct vcpu {
    /*
     * General registers in encoding order, then two that the decoder uses:
     * R_ZERO (always 0) and R_PAGE (linear address, less CS base, of the
     * page that is being executed: next RIP = gpr[R_PAGE] + insn->next).
     */
    uint64_t gpr[R_COUNT];
    uint64_t rip;

    /* Lazy status flags; see x86/flags.h. */
    uint64_t cc_res, cc_src;
    uint32_t cc_op;
    _Atomic uint32_t attn;
    uint32_t attn_mask; /* which bits of attn count now (IF, shadow) */
    uint8_t code_width; /* 2, 4 or 8: default by CS and EFER.LMA */
    uint8_t block_mode; /* code_width, and BLOCK_FLAT: what code decodes to */
    uint8_t cpl;
    uint8_t shadow;   /* enum shadow: no interrupt before the next insn */
    bool break_block; /* leave the block after this instruction */
    bool cross_block; /* and after those that enter or leave user mode */
    bool was_user;    /* with cross_block: CPL 3, when that was last told */
    uint8_t in_block; /* retired of this block and not yet taken off budget */
    uint64_t rflags;  /* everything but CF PF AF ZF SF OF when lazy */

    struct tlb_entry *tlb; /* tlbs[mode], or an empty one: all slow */
    uint64_t tlb_gen[2];   /* by bit 63 of the address; 1..0xfff */
    /*
     * Bases by segment register as effective addresses use them: in 64-bit
     * mode 0 but for FS and GS. Index SEG_NONE is 0.
     */
    uint64_t seg_base[SEG_COUNT + 2];

    struct seg seg[SEG_COUNT]; /* es cs ss ds fs gs */
    struct seg ldtr, tr;
    struct desc_table gdtr, idtr;
    uint64_t cr0, cr2, cr3, cr4; /* CR8 lives in the local APIC */
    uint64_t dr[4], dr6, dr7;
    uint64_t xcr0;
    uint64_t pdpte[4]; /* PAE paging loads them with CR3 [SDM 3A 4.4.1] */
    struct msrs msr;
    struct fpu fpu;

    uint64_t tsc_offset; /* guest TSC = host TSC (or clock) + offset */
    uint64_t tsc_stands; /* held: this instead of the host's; 0: it runs */
    const struct clock *clock; /* deterministic: the TSC is this; or NULL */
    uint64_t *rng;             /* deterministic: RDRAND's state; or NULL */
    uint32_t tsc_khz;

    struct exc exc;   /* valid while a step returns STEP_FAULT */
    bool nmi_blocked; /* until IRET */
    bool halted;      /* HLT, or wait-for-SIPI when !running */
    bool wait_sipi;
    bool shutdown;               /* triple fault */
    _Atomic uint8_t sipi_vector; /* before ATTN_SIPI, by another vCPU */
    uint8_t delivering;          /* depth of exception delivery, for #DF */
    bool db_pending;  /* single-step or data breakpoint trap pending */
    uint64_t db_bits; /* DR6 bits it will set */

    unsigned index; /* 0 is the bootstrap processor */
    uint32_t apic_id;
    const struct cpu_model *model; /* what CPUID shows, x86/cpuid.h */
    struct guest_mem *mem;
    const struct vcpu_mmu_ops *mmu;
    const struct vcpu_intr_ops *intr;
    void *intr_ctx;
    /*
     * Who runs its code now, and is to be sent VCPU_KICK_SIGNAL so that
     * somebody looks at attn: a process, or, negated, a thread; or 0.
     */
    _Atomic pid_t runs_in;
    /* The machine's: ends a halted vCPU's sleep. Any thread; may be NULL. */
    void (*wake)(struct vcpu *cpu);
    /*
     * The machine's: this vCPU waits for another one in a loop of PAUSEs; NULL:
     * it may spin.
     */
    void (*relax)(struct vcpu *cpu);
    /*
     * The machine's: RAM is a private mapping, and its engine wants a shared
     * one. Returns at once; NULL: it stays private.
     */
    void (*share_ram)(struct vcpu *cpu);
    uint64_t pause_last; /* vcpu_insns() of its last PAUSE */
    unsigned pauses;     /* in a row, close to each other */
    gpa_t apic_page;     /* xAPIC MMIO page, or UINT64_MAX: off or x2APIC */

    struct vcpu_debug *debug; /* x86/debug.h; NULL: no debugger */
    uint32_t trace;           /* enum trace_cat; 0: off */
    _Atomic uint32_t trace_next;
    struct tracer *tracer; /* x86/trace.h; set while trace is not 0 */
    void *mmu_state;       /* mmu/ */
    void *engine_state;    /* engine/ */
    void *direct;      /* engine/direct/; NULL: no user code runs natively */
    void *kvm;         /* engine/kvm/; NULL: another engine's */
    bool direct_check; /* what does is interpreted as well, and compared */
    bool host_apics;   /* engine/kvm/: may have its own, see intr->lend() */
    /*
     * Instructions retired, see vcpu_insns(). Counting down lets the end of
     * a block see its limit in the subtraction's sign.
     */
    int64_t budget;      /* until a block may not fit before the limit */
    uint64_t budget_end; /* what was retired when budget reaches 0 */
    unsigned unit_max;   /* most instructions in what an engine runs at once */
    struct vcpu_stats stats;
    /* What is to be told, once, when code of that kind is first run. */
    unsigned first_seen; /* of VCPU_FIRST_ */
    void (*on_first)(struct vcpu *cpu, unsigned what);
    struct vcpu_history history; /* for people */
};

#define VCPU_KICK_SIGNAL 23 /* SIGURG; <signal.h>'s raise() is another */

/* "rax" and so on, by their numbers. */
extern const char *const vcpu_gpr_names[16];

/* From any thread; wakes a halted vCPU through its machine's wake hook. */
void vcpu_attn_set(struct vcpu *cpu, uint32_t bits);
static inline void vcpu_attn_clear(struct vcpu *cpu, uint32_t bits)
{
    atomic_fetch_and(&cpu->attn, ~bits);
}

/* Anything run() should look at before the next instruction? */
static inline bool vcpu_attn(const struct vcpu *cpu)
{
    return unlikely(atomic_load_explicit(&cpu->attn, memory_order_relaxed) &
                    cpu->attn_mask);
}

/*
 * Power-on or INIT state [SDM 3A 10.1.1]. `init` keeps what INIT keeps (x87,
 * SSE, MSRs, caches).
 */
void vcpu_reset(struct vcpu *cpu, bool init);

/*
 * 32-bit code whose CS, DS, ES and SS all cover 4 GiB from 0: linear
 * addresses are effective addresses. Kept current with the segments.
 */
#define BLOCK_FLAT 0x10
/* CS ends before 4 GiB: no block runs unless it is known to fit. */
#define BLOCK_LIMITED 0x20
void vcpu_update_block_mode(struct vcpu *cpu);

/*
 * Recomputes what is derived from CS, CR0, CR4, EFER, CPL, EFLAGS and DR7:
 * code_width, seg_base, tlb, attn_mask, ATTN_STEP. To be called by whoever
 * changes one of them.
 */
void vcpu_update_mode(struct vcpu *cpu);
/* The cheap half, after IF, AC, TF, VM or CPL changed. */
void vcpu_update_rflags(struct vcpu *cpu);

void vcpu_save(struct vcpu *cpu, struct state_writer *w);
int vcpu_load(struct vcpu *cpu, struct state_reader *r,
              struct error *err) must_check;

static inline bool vcpu_long_mode(const struct vcpu *cpu)
{
    return cpu->msr.efer & EFER_LMA; /* 64-bit or compatibility */
}
static inline bool vcpu_protected(const struct vcpu *cpu)
{
    return (cpu->cr0 & CR0_PE) && !(cpu->rflags & FLAG_VM);
}
static inline bool vcpu_real(const struct vcpu *cpu)
{
    return !(cpu->cr0 & CR0_PE);
}
static inline bool vcpu_vm86(const struct vcpu *cpu)
{
    return (cpu->cr0 & CR0_PE) && (cpu->rflags & FLAG_VM);
}

#define VCPU_UNIT_MAX 64
#define VCPU_NO_LIMIT (1ull << 62)

/*
 * Retired instructions: a REP counts when it completes, what faults does not.
 * Exact whenever run() has returned and for the instruction being executed;
 * elsewhere inside run() it may lag behind by a part of a block.
 */
#define VCPU_FIRST_KERNEL BIT(0) /* at the addresses of kernels */
#define VCPU_FIRST_USER   BIT(1)

/* An engine meets code that it has not run before. Its own thread. */
void vcpu_new_code(struct vcpu *cpu);

static inline uint64_t vcpu_insns(const struct vcpu *cpu)
{
    return cpu->budget_end - (uint64_t)cpu->budget + cpu->in_block;
}

/*
 * run() is to return ENGINE_LIMIT before the instruction that would be number
 * `limit` from 0. The vCPU's own thread, also from within an instruction;
 * then the limit lies behind that instruction.
 */
static inline void vcpu_set_limit(struct vcpu *cpu, uint64_t limit)
{
    uint64_t charged = cpu->budget_end - (uint64_t)cpu->budget;

    cpu->budget_end = limit - cpu->unit_max;
    cpu->budget = (int64_t)(cpu->budget_end - charged);
    cpu->break_block = true; /* the rest of it might be too long */
}

/* Less than a whole unit is left before the limit: one by one now. */
static inline bool vcpu_limit_near(const struct vcpu *cpu)
{
    return cpu->budget < 0;
}
static inline bool vcpu_at_limit(const struct vcpu *cpu)
{
    return cpu->budget + (int64_t)cpu->unit_max <= cpu->in_block;
}

/* Guest TSC now. A deterministic machine's clock is in nanoseconds: 1 GHz. */
static inline uint64_t vcpu_tsc(const struct vcpu *cpu)
{
    return (cpu->tsc_stands ? cpu->tsc_stands
            : cpu->clock    ? clock_now(cpu->clock)
                            : __builtin_ia32_rdtsc()) +
           cpu->tsc_offset;
}
