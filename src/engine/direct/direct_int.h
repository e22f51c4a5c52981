/* SPDX-License-Identifier: Apache-2.0 */
/* direct_int.h - what the files of the direct executor share. */
#pragma once

#include "engine/direct/direct.h"
#include "engine/direct/stub.h"
#include "mmu/shadow.h"

/*
 * How user code of one address space (one CR3) is run, and what that costs:
 * policy.c. Times are in ticks of the TSC.
 */
struct policy {
    gpa_t root;
    bool native;
    uint64_t insns;   /* interpreted, since it was last decided */
    unsigned entries; /* of the kernel meanwhile, or stops */
    uint64_t useful;  /* in native code, as far as that can be told */
    uint64_t ticks;   /* in all that it took besides */
    unsigned backoff; /* doublings of what it takes to become native again */
};
#define POLICIES 64

_Static_assert(STUB_KICK_SIGNAL == VCPU_KICK_SIGNAL,
               "vcpu_attn_set() sends it");

/* The page of Linux's oldest user-mode calls, at one place for all. */
#define VSYSCALL 0xffffffffff600000ull

/* RFLAGS that user mode can change with IOPL 0. */
#define USER_FLAGS                                                             \
    (FLAG_STATUS | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_AC | FLAG_ID)

/* A page fault that the guest's kernel was told of, by native code. */
struct told {
    gva_t gva;
    uint64_t rip;
    unsigned access;
    bool open; /* the instruction was not run again since */
};

struct check;

/*
 * What user mode can load into segment registers, of the guest's tables: the
 * entries of the GDT that the host has for all, those that it has for each
 * process, and the LDT.
 */
#define SEGS_FLAT 3
struct segs {
    uint64_t flat[SEGS_FLAT], tls[STUB_TLS], ldt[STUB_LDT];
    unsigned ldt_len;
};

struct direct {
    struct stub stub[SHADOW_SPACES];
    struct told told[SHADOW_SPACES];
    bool tsc_traps[SHADOW_SPACES];
    bool warm[SHADOW_SPACES]; /* it ran, so it had something mapped */
    struct policy policy[POLICIES];
    struct policy *now;  /* of the current address space */
    uint64_t since;      /* vcpu_insns() when user mode was entered */
    uint64_t least;      /* native code with its two switches: what they take */
    uint64_t ran;        /* native code, since direct_run() began */
    uint64_t chunk_end;  /* interpret up to there: a page that is tainted */
    unsigned generation; /* of RAM's mapping, when stubs last ran */
    struct segs segs;    /* as read when native code was last entered */
    int can_32;          /* stub_probe_32(): 1 yes, -1 no, 0 not asked yet */
    bool broken;         /* it does not work here after all */
    struct check *check; /* check.h; NULL: nobody asked for it */
    bool checks;         /* it is a check's own vCPU, which is interpreted */
};

static inline struct direct *direct_of(const struct vcpu *cpu)
{
    return cpu->direct;
}

/* --- frame.c: the vCPU's registers and the frame's --- */

/* Can user code in this state run natively at all? Then reads *t. */
bool frame_fits(struct vcpu *cpu, struct segs *t);
/* 0 or stub_set_desc()'s. */
int frame_put(struct vcpu *cpu, struct stub *s,
              const struct segs *t) must_check;
/* -EPROTO: nothing that a CPU would have. */
int frame_take(struct vcpu *cpu, struct stub *s,
               const struct segs *t) must_check;

/* --- segs.c: segment registers --- */

/* The guest's tables, as far as they matter. False: they are too large. */
bool segs_read(struct vcpu *cpu, struct segs *t);
/* Is there one that stubs have to be given? */
bool segs_own(const struct segs *t);
/* Let there be none. */
void segs_disown(struct segs *t);
/* Can a stub show 32-bit code all the segments that its registers hold? */
bool segs_fit(const struct vcpu *cpu, const struct segs *t);
int segs_put(const struct vcpu *cpu, struct stub *s,
             const struct segs *t) must_check;
/* Are CS and SS what was put? */
bool segs_kept(const struct stub *s);
/* Bases of FS and GS apart. -EPROTO: user mode could not load that. */
int segs_take(struct vcpu *cpu, const struct stub *s,
              const struct segs *t) must_check;

/* --- policy.c --- */

void policy_entered(struct vcpu *cpu);
void policy_left(struct vcpu *cpu);
/*
 * Nothing of the address space is mapped any more: it is another one, or will
 * have to fault everything in again. Interpret it for a while.
 */
void policy_cold(struct vcpu *cpu);
/* A stub ran the guest for so long, with the two switches, and stopped. */
void policy_resumed(struct vcpu *cpu, uint64_t ran);
/* direct_run() took so long. */
void policy_stopped(struct vcpu *cpu, uint64_t ticks);
