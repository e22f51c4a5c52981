/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/direct/filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/log.h"

#define NR      offsetof(struct seccomp_data, nr)
#define ARCH    offsetof(struct seccomp_data, arch)
#define IP      offsetof(struct seccomp_data, instruction_pointer)
#define ARG(n)  (offsetof(struct seccomp_data, args) + 8 * (n))
#define HIGH(x) ((x) + 4) /* little endian */

static void put(struct stub_filter *f, uint16_t code, uint32_t k, uint8_t t,
                uint8_t e)
{
    rf_assert(f->len < STUB_FILTER_MAX);
    f->insn[f->len++] = (struct sock_filter){code, t, e, k};
}

static void load(struct stub_filter *f, uint32_t field)
{
    put(f, BPF_LD | BPF_W | BPF_ABS, field, 0, 0);
}

static void mask(struct stub_filter *f, uint32_t bits)
{
    put(f, BPF_ALU | BPF_AND | BPF_K, bits, 0, 0);
}

static void ret(struct stub_filter *f, uint32_t action)
{
    put(f, BPF_RET | BPF_K, action, 0, 0);
}

/* What was loaded has to be k, or the action is that. */
static void want(struct stub_filter *f, uint32_t k, uint32_t action)
{
    put(f, BPF_JMP | BPF_JEQ | BPF_K, k, 1, 0);
    ret(f, action);
}

static void want64(struct stub_filter *f, uint32_t field, uint64_t v,
                   uint32_t action)
{
    load(f, field);
    want(f, (uint32_t)v, action);
    load(f, HIGH(field));
    want(f, (uint32_t)(v >> 32), action);
}

/* If what was loaded is k, what follows counts, up to the returned place. */
static unsigned when(struct stub_filter *f, uint32_t k)
{
    put(f, BPF_JMP | BPF_JEQ | BPF_K, k, 0, 0);
    return f->len;
}

static void end_when(struct stub_filter *f, unsigned start)
{
    f->insn[start - 1].jf = (uint8_t)(f->len - start);
}

void filter_stop(struct stub_filter *f, uint64_t stopped)
{
    f->len = 0;
    load(f, NR);
    want(f, SYS_getppid, SECCOMP_RET_ALLOW);
    want64(f, IP, stopped, SECCOMP_RET_ALLOW);
    ret(f, SECCOMP_RET_USER_NOTIF);
}

/* Of calls by the stub's own code; NR is loaded, and again behind it. */
static void allow(struct stub_filter *f, uint32_t nr)
{
    unsigned w = when(f, nr);

    ret(f, SECCOMP_RET_ALLOW);
    end_when(f, w);
}

/* Signals what is not in the stub's page. */
static void want_in_page(struct stub_filter *f, uint64_t base)
{
    load(f, HIGH(IP));
    want(f, (uint32_t)(base >> 32), SECCOMP_RET_TRAP);
    load(f, IP);
    mask(f, ~0xfffu);
    want(f, (uint32_t)base, SECCOMP_RET_TRAP);
}

/*
 * INT 0x80, SYSENTER and SYSCALL of 32-bit code, and INT 0x80 of any; in the
 * stub's page, set_thread_area() with the halves of the secret as the second
 * and the third argument, which it does not have.
 */
static void old_calls(struct stub_filter *f, uint64_t base, uint64_t secret)
{
    unsigned w;

    load(f, ARCH);
    w = when(f, AUDIT_ARCH_I386);
    want_in_page(f, base);
    load(f, NR);
    want(f, I386_SET_THREAD_AREA, SECCOMP_RET_KILL_PROCESS);
    want64(f, ARG(1), (uint32_t)secret, SECCOMP_RET_KILL_PROCESS);
    want64(f, ARG(2), secret >> 32, SECCOMP_RET_KILL_PROCESS);
    ret(f, SECCOMP_RET_ALLOW);
    end_when(f, w);
}

void filter_guest(struct stub_filter *f, uint64_t base, uint64_t comm,
                  uint64_t stopped, unsigned ram, const uint64_t secret[3])
{
    unsigned w;

    f->len = 0;
    old_calls(f, base, secret[2]);
    load(f, ARCH);
    want(f, AUDIT_ARCH_X86_64, SECCOMP_RET_TRAP);
    want_in_page(f, base);

    load(f, NR);
    allow(f, SYS_munmap);
    allow(f, SYS_exit_group);
    w = when(f, SYS_rt_sigreturn);
    want64(f, ARG(0), secret[2], SECCOMP_RET_KILL_PROCESS);
    ret(f, SECCOMP_RET_ALLOW);
    end_when(f, w);
    w = when(f, SYS_modify_ldt);
    want64(f, ARG(3), secret[2], SECCOMP_RET_KILL_PROCESS);
    ret(f, SECCOMP_RET_ALLOW);
    end_when(f, w);
    w = when(f, SYS_mremap); /* an old length of 0: both places have it */
    want64(f, ARG(0), comm, SECCOMP_RET_KILL_PROCESS);
    want64(f, ARG(1), 0, SECCOMP_RET_KILL_PROCESS);
    want64(f, ARG(2), 0x1000, SECCOMP_RET_KILL_PROCESS);
    want64(f, ARG(3), MREMAP_MAYMOVE | MREMAP_FIXED, SECCOMP_RET_KILL_PROCESS);
    want64(f, ARG(5), secret[2], SECCOMP_RET_KILL_PROCESS);
    ret(f, SECCOMP_RET_ALLOW);
    end_when(f, w);
    w = when(f, SYS_getppid);
    load(f, IP);
    want(f, (uint32_t)stopped, SECCOMP_RET_KILL_PROCESS);
    ret(f, SECCOMP_RET_ALLOW); /* the other filter's is stronger */
    end_when(f, w);
    w = when(f, SYS_prctl);
    want64(f, ARG(0), PR_SET_TSC, SECCOMP_RET_KILL_PROCESS);
    ret(f, SECCOMP_RET_ALLOW);
    end_when(f, w);
    w = when(f, SYS_mmap);
    want64(f, ARG(3), secret[0] | MAP_SHARED | MAP_FIXED | MAP_POPULATE,
           SECCOMP_RET_KILL_PROCESS);
    want64(f, ARG(4), secret[1] | ram, SECCOMP_RET_KILL_PROCESS);
    ret(f, SECCOMP_RET_ALLOW);
    end_when(f, w);
    ret(f, SECCOMP_RET_KILL_PROCESS);
}
