/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lockstep.h - a deterministic machine that somebody else steps.
 *
 * `ringfence compare` runs two machines, each in a process of its own, and
 * tells each over a socket how far to go. The machine goes exactly there,
 * says what it looks like, and waits. Nothing is ever stepped back: who wants
 * to look closer runs the machine again, which is what determinism is for.
 *
 * A message is a head and `len` bytes, little-endian. The machine begins with
 * LOCKSTEP_HELLO and the point before its first instruction. Then each request
 * gets one answer. Two builds can talk if LOCKSTEP_VERSION is the same, which
 * stands for the digests of memory (hash64()) too. States are compared by the
 * names of their fields.
 */
#pragma once

#include "base/state.h"

struct machine;
struct lockstep;
struct vcpu;

#define LOCKSTEP_VERSION   2
#define LOCKSTEP_BYTES_MAX (64u << 20) /* of one message */

enum lockstep_type {
    /* Requests. */
    LOCKSTEP_RUN = 1, /* struct lockstep_run; answered by a point */
    LOCKSTEP_INSNS,   /* what comes next: a lockstep_insn for each vCPU */
    LOCKSTEP_PAGES,   /* a lockstep_page for each page that is not all zeroes */
    LOCKSTEP_PAGE,    /* u64, guest-physical: its 4096 bytes */
    /* Answers. */
    LOCKSTEP_HELLO = 0x100, /* struct lockstep_hello */
    LOCKSTEP_POINT,         /* struct lockstep_point, and a state file */
    LOCKSTEP_DATA,
};

struct lockstep_head {
    uint32_t type, len;
};

struct lockstep_hello {
    uint32_t version, cpus;
    uint64_t memory;
    char engine[32], cpu[96];
};

/*
 * Run on until `until` instructions have retired on all vCPUs together, in
 * units of at most `unit` (vcpu.unit_max).
 */
struct lockstep_run {
    uint64_t until;
    uint32_t unit, unused;
};

/*
 * All vCPUs are at rest. The state file behind it holds a section "vcpu" for
 * each, whose fields have the manual's names, and one for each device.
 */
struct lockstep_point {
    uint64_t insns; /* retired on all vCPUs; less than asked for: it ended */
    uint64_t ram;   /* digest; a page of zeroes counts as one never touched */
    uint32_t end;   /* enum machine_end, MACHINE_RUNS while it does */
    uint32_t value; /* of MACHINE_DEBUG */
};

struct lockstep_page {
    uint64_t gpa, digest;
};

struct lockstep_insn {
    uint64_t retired; /* on this vCPU */
    uint64_t rip;
    uint8_t bytes[15], len;
    char symbol[96], text[128]; /* of RIP; the disassembly */
    char events[160];           /* taken since the last request of these */
};

_Static_assert(sizeof(struct lockstep_hello) == 144, "wire format");
_Static_assert(sizeof(struct lockstep_run) == 16, "wire format");
_Static_assert(sizeof(struct lockstep_point) == 24, "wire format");
_Static_assert(sizeof(struct lockstep_page) == 16, "wire format");
_Static_assert(sizeof(struct lockstep_insn) == 416, "wire format");

/* --- the machine's side; its one thread --- */

/* fd: a connected stream socket, which becomes the lockstep's. */
struct lockstep *lockstep_open(int fd, struct error *err);
void lockstep_close(struct lockstep *ls);

/*
 * Before the first instruction. From here on each call returns when the next
 * request to run has come; or the peer is gone, and the machine was asked to
 * stop.
 */
void lockstep_begin(struct lockstep *ls, struct machine *m);
/* The count of retired instructions at which to call lockstep_point(). */
uint64_t lockstep_next(const struct lockstep *ls);
/* All vCPUs are at rest, flags are current; insns: retired on all. */
void lockstep_point(struct lockstep *ls, struct machine *m, uint64_t insns);
/* The machine has ended, why is in m->result. */
void lockstep_end(struct lockstep *ls, struct machine *m, uint64_t insns);

/* lockstep_state.c: everything architectural, a field a register. */
void lockstep_put_vcpu(struct vcpu *cpu, struct state_writer *w);

/* --- both sides --- */

/* The whole of it, whatever signals come. -errno; EOF is -EPIPE. */
int lockstep_send(int fd, uint32_t type, const void *p, size_t len) must_check;
int lockstep_receive(int fd, void *p, size_t len) must_check;
