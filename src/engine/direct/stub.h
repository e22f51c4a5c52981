/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stub.h - a stub process: an address space that holds what the guest's page
 * tables map for user mode, and one thread that runs the guest's user code.
 *
 * It stops at each signal: a fault, an instruction that traps, a system call,
 * a kick. The kernel writes all registers into a frame on the signal stack,
 * which this process shares with it; there they are read and changed.
 *
 * What a hostile guest can do here: jump into the stub's code, write its page
 * of communication and its signal stack, forge a stop. It cannot run while it
 * is stopped, as stops are told by the kernel (seccomp's notification), not
 * by memory. It can make no system call but munmap(), exit_group() and the
 * one that stops it: mapping memory, setting descriptors, and returning from a
 * signal take secret numbers. So the registers that it forges are merely its
 * own, and whatever else looks odd here ends the stub: callers get -EPROTO, and
 * run the guest by other means.
 *
 * Owned by one vCPU's thread. Needs RDFSBASE in user mode (Linux 5.9).
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"
#include "base/util.h"
#include "engine/direct/filter.h"
#include "engine/direct/stub_layout.h"

/* The kernel's order in struct sigcontext. */
enum frame_reg {
    FRAME_R8,
    FRAME_R15 = 7,
    FRAME_RDI,
    FRAME_RSI,
    FRAME_RBP,
    FRAME_RBX,
    FRAME_RDX,
    FRAME_RAX,
    FRAME_RCX,
    FRAME_RSP,
    FRAME_RIP,
    FRAME_FLAGS,
    FRAME_SELECTORS, /* CS, GS, FS, SS */
    FRAME_ERROR,
    FRAME_TRAP,
    FRAME_MASK,
    FRAME_CR2,
    FRAME_REGS,
};

/* struct rt_sigframe, which no header of the kernel's has. */
struct stub_frame {
    uint64_t restorer;
    uint64_t uc_flags, uc_link;
    uint64_t stack, stack_flags, stack_size;
    uint64_t reg[FRAME_REGS];
    uint64_t fp; /* where the XSAVE area is, in the stub's address space */
    uint64_t unused[8];
    uint64_t mask;
    /* siginfo_t */
    int32_t signo, error, code, pad;
    uint64_t address; /* of a fault, or of a system call's instruction */
    int32_t syscall;
    uint32_t arch;
};

/* An XSAVE area in the standard format [SDM 1 13.4]. */
struct stub_fp {
    uint8_t fx[464];
    uint8_t software[48]; /* the kernel's: what follows is there */
    uint64_t present, compact, reserved[6];
    uint8_t ymm_high[16][16];
};

/* Descriptors that user mode can load, besides the host's own three. */
#define STUB_TLS       3
#define STUB_TLS_FIRST 12 /* entries of the host's GDT */
#define STUB_LDT       128
#define STUB_CS32      0x23
#define STUB_SS        0x2b
#define STUB_CS64      0x33

struct stub {
    pid_t pid; /* 0: there is none */
    int notify;
    int watch; /* its pidfd, where a wait must not be for a stop alone; or -1 */
    uint64_t base;
    uint8_t *area; /* STUB_SIZE bytes, as the stub sees them */
    int area_fd;
    /* Upper halves of mmap()'s flags and descriptor; rt_sigreturn()'s own. */
    uint64_t secret[3];
    uint64_t stop;     /* the notification that was not answered; 0: runs */
    uint64_t frame_at; /* of the genuine first frame, in area */
    uint64_t fp_at;    /* 0: none */
    struct stub_frame first;
    uint8_t software[48];
    bool untimed;    /* reading the TSC faults */
    unsigned queued; /* calls to be made before the guest goes on */
    unsigned descs;  /* of its page of communication that they use */
    /* What its descriptor tables hold: segs.c. */
    uint64_t tls[STUB_TLS], ldt[STUB_LDT];
    unsigned ldt_len;
    /* CS and SS, as a frame has them, that the guest goes on with. */
    uint64_t selectors;
    unsigned widths;   /* of code that it ran, 4 or 8, or both */
    uint8_t host_call; /* scan_host_call() */
};

/* Does this host make CPUID fault on demand? Then stubs have it so. */
bool stub_cpuid_faults(void);
/* Can this host run stubs? -errno and why not. Takes a millisecond. */
int stub_probe(struct error *err) must_check;

/* What it may call: the filters that a stub at s->base with these secrets has.
 */
void stub_filters(const struct stub *s, struct stub_filter f[2]);
/*
 * Starts a process with nothing mapped but [base, base + STUB_SIZE); base is
 * page-aligned. ram: the descriptor that stub_map() maps. It is stopped.
 */
int stub_start(struct stub *s, uint64_t base, int ram,
               struct error *err) must_check;
/* There is none. */
void stub_none(struct stub *s);
/* Kills it, wherever it is. */
void stub_end(struct stub *s);

/*
 * To be done before the guest goes on. 0, or -errno: -EPROTO, and the stub is
 * of no use any more. off: of the file; prot as for mmap().
 */
int stub_map(struct stub *s, uint64_t at, uint64_t len, int prot,
             uint64_t off) must_check;
int stub_unmap(struct stub *s, uint64_t at, uint64_t len) must_check;
/* All but the stub itself. */
int stub_unmap_all(struct stub *s) must_check;
/* Reading the TSC faults, or does not (at first). */
int stub_trap_tsc(struct stub *s, bool trap) must_check;

/*
 * Lets the guest go on from the frame; returns when it has stopped again.
 * 0; -EPROTO; -ESRCH if it had died before, so that the guest did not go on;
 * -ENOMEM if a call failed, as one does that needs more mappings than the host
 * allows: then none of those queued behind it was made, and the guest did not
 * go on.
 */
int stub_resume(struct stub *s) must_check;

/*
 * For how many ticks of the TSC the guest ran since stub_resume(), and the two
 * switches; 0: that is not known. The guest can forge it.
 */
uint64_t stub_ran(const struct stub *s);

#define STUB_KICK_SIGNAL 23 /* SIGURG */

/*
 * Makes an entry of the GDT (STUB_TLS_FIRST and up) or of the LDT what `raw`
 * is, a 32-bit segment of DPL 3; 0: nothing. Before the guest goes on.
 */
int stub_set_desc(struct stub *s, uint16_t sel, uint64_t raw) must_check;
/* Can stubs of this host run 32-bit code, with descriptors of its own? */
int stub_probe_32(struct error *err) must_check;

/* Why it has stopped: its frame tells the rest. */
enum stub_why {
    STUB_KICKED,  /* by STUB_KICK_SIGNAL */
    STUB_CALLED,  /* a system call; RIP is behind it */
    STUB_FAULTED, /* #PF: FRAME_CR2, FRAME_ERROR */
    STUB_TRAPPED, /* another exception: FRAME_TRAP is its vector */
    STUB_ODD,     /* in the stub's own code, or by a signal of no cause */
    STUB_WHYS,
};
enum stub_why stub_why(const struct stub *s);
/* For people; NULL behind the last. */
const char *stub_why_name(unsigned why);

static inline struct stub_comm *stub_comm(const struct stub *s)
{
    return (struct stub_comm *)(s->area + STUB_COMM);
}
static inline struct stub_frame *stub_frame(const struct stub *s)
{
    return (struct stub_frame *)(s->area + s->frame_at);
}
static inline struct stub_fp *stub_fp(const struct stub *s)
{
    return (struct stub_fp *)(s->area + s->fp_at);
}
