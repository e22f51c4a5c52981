/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats.h - what a vCPU counts, always, and what it times, if asked to.
 *
 * Times are ticks of the host's TSC: of the whole of what is counted, so they
 * nest (a device access is a part of its instruction) and do not add up. A
 * vCPU's own thread writes them; others read after it has stopped.
 */
#pragma once

#include "base/util.h"

/* Names in exit.c, in this order. */
enum exit_reason {
    EXIT_NONE, /* an instruction like any other */
    EXIT_CPUID,
    EXIT_HLT,
    EXIT_RDMSR,
    EXIT_WRMSR,
    EXIT_MOV_TO_CR,
    EXIT_MOV_FROM_CR,
    EXIT_CLTS,
    EXIT_LMSW,
    EXIT_MOV_TO_DR,
    EXIT_MOV_FROM_DR,
    EXIT_INVLPG,
    EXIT_INVPCID,
    EXIT_RDTSC,
    EXIT_RDTSCP,
    EXIT_RDPMC,
    EXIT_XSETBV,
    EXIT_LGDT,
    EXIT_LIDT,
    EXIT_SGDT,
    EXIT_SIDT,
    EXIT_LLDT,
    EXIT_LTR,
    EXIT_SLDT,
    EXIT_STR,
    EXIT_INVD,
    EXIT_WBINVD,
    EXIT_PAUSE,
    EXIT_RDRAND,
    EXIT_RDSEED,
    EXIT_IN,
    EXIT_OUT,
    EXIT_INS,
    EXIT_OUTS,
    EXIT_COUNT,
};

/* Counted events that have no table of their own; names in stats.c. */
enum vcpu_counter {
    CTR_INTERRUPT, /* external ones, delivered */
    CTR_NMI,
    CTR_SOFT_INT,  /* INT n, INT3, INTO, INT1 */
    CTR_EXCEPTION, /* also those that come up while one is delivered */
    CTR_PIO,
    CTR_MMIO,
    CTR_APIC,
    CTR_TLB_FILL,   /* misses that a walk of the page tables served */
    CTR_TLB_FAULT,  /* walks that ended in a #PF */
    CTR_TLB_DEVICE, /* walks to what is no RAM: those are not kept */
    CTR_TLB_FLUSH,
    CTR_BLOCK_MISS, /* not in the cache of blocks, or not in the TLB */
    CTR_BLOCK_BUILT,
    CTR_CODE_DROPPED, /* pages whose code was forgotten */
    CTR_STEP,         /* instructions run one by one */
    CTR_DIRECT,       /* user code began to run natively, */
    CTR_DIRECT_32,    /* 32-bit code of it, */
    CTR_DIRECT_CALL,  /* and stopped: a system call, */
    CTR_DIRECT_FILL,  /* a fault that the guest does not see, */
    CTR_DIRECT_FAULT, /* one that it does, */
    CTR_DIRECT_AHEAD, /* (when that was dealt with, its page was mapped) */
    CTR_DIRECT_TRAP,  /* an instruction that is to be emulated, */
    CTR_DIRECT_TAINT, /* a page that is to be interpreted, */
    CTR_DIRECT_KICK,  /* something else to do for the vCPU */
    CTR_SHADOW_PAGE,  /* pages mapped */
    CTR_SHADOW_DROP,  /* and dropped alone */
    CTR_SHADOW_FLUSH, /* spaces dropped as a whole */
    CTR_STUB,         /* processes started */
    CTR_STUB_ODD,     /* and killed for what they did */
    CTR_CHECK_SAME,   /* --direct-check: native stretches that were compared, */
    CTR_CHECK_SKIPPED, /* those that could not be, */
    CTR_CHECK_INSNS,   /* and instructions of the former */
    CTR_KVM,           /* the host's KVM began to run code, */
    CTR_KVM_KICK,      /* and stopped: something else to do for the vCPU, */
    CTR_KVM_WINDOW,    /* an interrupt can be taken now, */
    CTR_KVM_REFUSED,   /* an instruction that it does not emulate */
    CTR_KVM_STEP,      /* instructions interpreted in between, for any reason */
    CTR_KVM_STATE,     /* the state was got back from it */
    CTR_COUNT,
};

struct meter {
    uint64_t count, ticks;
};

#define STATS_LEFT 8

struct vcpu_stats {
    bool timed;
    uint64_t count[CTR_COUNT], ticks[CTR_COUNT];
    struct meter exit[EXIT_COUNT]; /* HLT's time is that asleep */
    struct meter interrupt[256], exception[32];
    uint64_t left[STATS_LEFT]; /* run() returned, by enum engine_exit */
};

const char *vcpu_counter_name(enum vcpu_counter counter);

static inline uint64_t stats_begin(const struct vcpu_stats *s)
{
    return unlikely(s->timed) ? __builtin_ia32_rdtsc() : 0;
}
/* The time since stats_begin() said t0. */
static inline void stats_end(const struct vcpu_stats *s, uint64_t *ticks,
                             uint64_t t0)
{
    if (unlikely(s->timed))
        *ticks += __builtin_ia32_rdtsc() - t0;
}
static inline void stats_count(struct vcpu_stats *s, enum vcpu_counter c,
                               uint64_t t0)
{
    s->count[c]++;
    stats_end(s, &s->ticks[c], t0);
}
static inline void stats_meter(const struct vcpu_stats *s, struct meter *m,
                               uint64_t t0)
{
    m->count++;
    stats_end(s, &m->ticks, t0);
}
