/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native.c - the host CPU as the oracle.
 *
 * A signal handler's frame holds the whole register state and the kernel
 * loads it on return. So: raise a trap, put the state to try into its frame,
 * return into the instruction; the exception that ends it brings a frame with
 * the result. No assembly, and every register is exact.
 */
#include "native.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

static struct {
    const struct state *in;
    struct state *out;
    bool inside;
    ucontext_t home; /* where native_run() trapped */
    uint8_t home_fp[512];
    uint8_t *code, *data;
    struct sigaction others; /* SIGFPE: the interpreter has a use for it */
} nat;

static const int greg_of[16] = {
    REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
    REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

#define FLAGS_USER 0x244dd5ull /* what user mode sees and may set: no TF */

/* The frame's XSAVE image, standard format; 576: upper halves of YMM. */
static uint8_t *frame_fp(ucontext_t *uc)
{
    return (uint8_t *)uc->uc_mcontext.fpregs;
}

/* Linux's selectors for user code and data. */
#define USER_CS32 0x23
#define USER_CS   0x33
#define USER_DS   0x2b

static void frame_load(ucontext_t *uc, const struct state *s)
{
    greg_t *sel = &uc->uc_mcontext.gregs[REG_CSGSFS];
    uint8_t *fp = frame_fp(uc);
    uint64_t bv;

    *sel = (*sel & ~0xffffll) | (s->code32 ? USER_CS32 : USER_CS);

    for (int i = 0; i < 16; i++)
        uc->uc_mcontext.gregs[greg_of[i]] = (greg_t)s->gpr[i];
    uc->uc_mcontext.gregs[REG_RIP] = (greg_t)s->rip;
    uc->uc_mcontext.gregs[REG_EFL] = (greg_t)(s->rflags | 0x202);
    memcpy(fp, s->x87, 24);
    memcpy(fp + 32, s->x87 + 32, 128);
    memcpy(fp + 24, &s->mxcsr, 4);
    for (int i = 0; i < 16; i++) {
        memcpy(fp + 160 + 16 * i, s->ymm[i], 16);
        memcpy(fp + 576 + 16 * i, s->ymm[i] + 16, 16);
    }
    memcpy(&bv, fp + 512, 8);
    bv |= 7;
    memcpy(fp + 512, &bv, 8);
}

static void frame_store(ucontext_t *uc, struct state *s)
{
    const uint8_t *fp = frame_fp(uc);
    uint64_t bv;

    for (int i = 0; i < 16; i++)
        s->gpr[i] = (uint64_t)uc->uc_mcontext.gregs[greg_of[i]];
    s->rip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
    s->rflags = (uint64_t)uc->uc_mcontext.gregs[REG_EFL] & FLAGS_USER;
    s->vector = (unsigned)uc->uc_mcontext.gregs[REG_TRAPNO];
    s->error = (unsigned)uc->uc_mcontext.gregs[REG_ERR];
    s->cr2 = (uint64_t)uc->uc_mcontext.gregs[REG_CR2];
    memcpy(s->x87, fp, 160);
    memset(s->x87 + 24, 0, 8);
    memcpy(&s->mxcsr, fp + 24, 4);
    memcpy(&bv, fp + 512, 8);
    for (int i = 0; i < 16; i++) {
        memcpy(s->ymm[i], fp + 160 + 16 * i, 16);
        if (bv & 4)
            memcpy(s->ymm[i] + 16, fp + 576 + 16 * i, 16);
        else
            memset(s->ymm[i] + 16, 0, 16);
        if (!(bv & 2))
            memset(s->ymm[i], 0, 16);
    }
    if (!(bv & 1)) { /* x87 in its initial state */
        memset(s->x87, 0, 160);
        s->x87[0] = 0x7f;
        s->x87[1] = 3;
    }
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    if (!nat.inside) {
        if (sig == SIGFPE && nat.others.sa_sigaction) {
            nat.others.sa_sigaction(sig, info, context);
            return;
        }
        if (sig != SIGTRAP || !nat.in) {
            fprintf(stderr, "signal %d at %llx, outside of a case\n", sig,
                    (unsigned long long)uc->uc_mcontext.gregs[REG_RIP]);
            signal(sig, SIG_DFL);
            return;
        }
        memcpy(nat.home.uc_mcontext.gregs, uc->uc_mcontext.gregs,
               sizeof(uc->uc_mcontext.gregs));
        memcpy(nat.home_fp, frame_fp(uc), sizeof(nat.home_fp));
        nat.inside = true;
        frame_load(uc, nat.in);
        return;
    }
    nat.inside = false;
    frame_store(uc, nat.out);
    memcpy(uc->uc_mcontext.gregs, nat.home.uc_mcontext.gregs,
           sizeof(uc->uc_mcontext.gregs));
    memcpy(frame_fp(uc), nat.home_fp, 416);
    nat.in = NULL;
}

void native_use_32(void)
{
    __asm__ volatile("mov %0, %%ds; mov %0, %%es" ::"r"(USER_DS));
}

void native_run(const struct state *in, struct state *out)
{
    nat.in = in;
    nat.out = out;
    __asm__ volatile("int3" ::: "memory");
}

/* Code and data, and an alias of the data that can always be written. */
static bool map_all(void)
{
    int fd = memfd_create("data", MFD_CLOEXEC);
    void *p;

    if (fd < 0 || ftruncate(fd, DATA_LEN) < 0)
        return false;
    nat.data = mmap(NULL, DATA_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    p = mmap((void *)DATA_ADDR, DATA_LEN, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
    if (nat.data == MAP_FAILED || p == MAP_FAILED)
        return false;
    if (mprotect((void *)(DATA_ADDR + DATA_RW), DATA_LEN - DATA_RW, PROT_READ))
        return false;
    close(fd);
    fd = memfd_create("code", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, CODE_LEN) < 0)
        return false;
    nat.code = mmap(NULL, CODE_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    p = mmap((void *)CODE_ADDR, CODE_LEN, PROT_READ | PROT_EXEC,
             MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
    close(fd);
    return nat.code != MAP_FAILED && p != MAP_FAILED;
}

bool native_init(void)
{
    static const int sigs[] = {SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    struct sigaction sa = {.sa_sigaction = on_signal,
                           .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    static uint8_t stack[1 << 18];
    stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack)};

    if (sigaltstack(&ss, NULL) || !map_all())
        return false;
    for (unsigned i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
        sigaction(sigs[i], &sa, sigs[i] == SIGFPE ? &nat.others : NULL);
    return true;
}

uint8_t *native_code(void)
{
    return nat.code;
}

uint8_t *native_data(void)
{
    return nat.data;
}
