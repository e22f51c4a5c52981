/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stub_layout.h - what a stub process keeps of ours at its base: one page of
 * code, one page to talk through, and the signal stack. Also for assembly.
 *
 * The code page is the same in all stubs, mapped read-only. The others are
 * shared with the monitor; guest code can write them, so what is read there
 * is hostile (stub.h says what that can lead to).
 */
#pragma once

#define STUB_CODE       0x0000
#define STUB_COMM       0x1000
#define STUB_STACK      0x2000
#define STUB_STACK_SIZE 0x6000
#define STUB_SIZE       0x8000

/* Fields of struct stub_comm. */
#define COMM_FRAME   0x00
#define COMM_FS_BASE 0x08
#define COMM_GS_BASE 0x10
#define COMM_FLAGS   0x18
#define COMM_COUNT   0x20
#define COMM_NEXT    0x28
#define COMM_ERROR   0x30
#define COMM_TOKEN   0x38
#define COMM_WENT    0x40
#define COMM_CAME    0x48
#define COMM_TIMED   0x50
#define COMM_DS      0x58
#define COMM_ES      0x5a
#define COMM_FS      0x5c
#define COMM_GS      0x5e
#define COMM_CALLS   0x60
#define COMM_CALL    0x38 /* size of one */

/* In stub_call.nr: a call of 32-bit programs, by INT 0x80. */
#define STUB_CALL_OLD 63

/* What the stub does after its calls. */
#define STUB_RESUME 0 /* the guest goes on, by rt_sigreturn from the frame */
#define STUB_REPORT 1 /* stop again */
#define STUB_TRAP   2 /* stop through a signal: makes the first frame */

/* What the monitor answers a stop with; anything else means it is gone. */
#define STUB_GO 0x5afe

#ifndef __ASSEMBLER__

#include <stddef.h>
#include <stdint.h>

#define STUB_CALLS 64
#define STUB_DESCS 16

struct stub_call {
    uint64_t nr, arg[6];
};

/* struct user_desc of the kernel's, without its bit fields. */
struct stub_desc {
    uint32_t entry, base, limit, flags;
};

struct stub_comm {
    uint64_t frame; /* in: the stack pointer on entry to the handler;
                       out: the one for rt_sigreturn */
    uint64_t fs_base, gs_base;
    uint64_t flags; /* out: RFLAGS, for what rt_sigreturn does not restore */
    uint64_t count; /* of calls; zeroed, as they are, when they were made */
    uint64_t next;
    int64_t error;  /* of the call that failed, -errno; those behind it were
                       not made */
    uint64_t token; /* out: what rt_sigreturn takes; wiped, too */
    uint64_t went, came;     /* in: the TSC before and after the guest's code */
    uint64_t timed;          /* out: may it be read? */
    uint16_t ds, es, fs, gs; /* selectors */
    struct stub_call call[STUB_CALLS];
    struct stub_desc desc[STUB_DESCS]; /* what calls point to */
};

_Static_assert(offsetof(struct stub_comm, frame) == COMM_FRAME, "frame");
_Static_assert(offsetof(struct stub_comm, gs_base) == COMM_GS_BASE, "gs base");
_Static_assert(offsetof(struct stub_comm, flags) == COMM_FLAGS, "flags");
_Static_assert(offsetof(struct stub_comm, count) == COMM_COUNT, "count");
_Static_assert(offsetof(struct stub_comm, next) == COMM_NEXT, "next");
_Static_assert(offsetof(struct stub_comm, error) == COMM_ERROR, "error");
_Static_assert(offsetof(struct stub_comm, token) == COMM_TOKEN, "token");
_Static_assert(offsetof(struct stub_comm, went) == COMM_WENT, "went");
_Static_assert(offsetof(struct stub_comm, came) == COMM_CAME, "came");
_Static_assert(offsetof(struct stub_comm, timed) == COMM_TIMED, "timed");
_Static_assert(offsetof(struct stub_comm, ds) == COMM_DS, "ds");
_Static_assert(offsetof(struct stub_comm, gs) == COMM_GS, "gs");
_Static_assert(offsetof(struct stub_comm, call) == COMM_CALLS, "calls");
_Static_assert(sizeof(struct stub_call) == COMM_CALL, "a call");
_Static_assert(sizeof(struct stub_comm) <= 0x1000, "it is one page");

/* stub_code.S, position-independent. */
extern const char stub_code[], stub_code_end[];
extern const char stub_handler[], stub_first[], stub_stopped[];
/* A program whose only work is to map the above: an ELF file. */
extern const char stub_elf[], stub_elf_end[], stub_elf_base[];

#endif
