/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_direct.c - claims about stub processes: registers travel, the guest
 * gets no system call, and one that attacks its stub gets no memory, no peace
 * from kicks, and no secret.
 */
#include "engine/direct/direct_int.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/direct/scan.h"
#include "test.h"
#include "x86/fpu.h"
#include "x86/segment.h"

#define BASE   0x123456780000ull
#define CODE   0x400000ull       /* page 1 of RAM, readable and executable */
#define DATA   0x500000ull       /* page 2, writable */
#define TARGET 0x700000000000ull /* where an attacker wants page 3 */
#define PAGES  4

_Static_assert(COMM_CALLS == 0x60, "the list that is forged below");

static struct stub stub;
static uint8_t *ram;
static int ram_fd;
static struct vcpu cpu;
static struct segs segs; /* what the guest has in its tables */

/* Guest code: each ends with a stop. */
asm(".pushsection .rodata\n"
    "just_call: syscall\n"
    "just_call_end:\n"
    "old_call: int $0x80\n"
    "old_call_end:\n"
    "look: mov (%rax), %rbx\n syscall\n"
    "look_end:\n"
    "spin: jmp spin\n"
    "spin_end:\n"
    /* r15: the page of communication; r14: where to go; a list of one call */
    "forge: movq $1, 0x20(%r15)\n movq $0, 0x28(%r15)\n"
    "movq $9, 0x60(%r15)\n mov %rdi, 0x68(%r15)\n mov %rsi, 0x70(%r15)\n"
    "mov %rdx, 0x78(%r15)\n mov %r10, 0x80(%r15)\n mov %r8, 0x88(%r15)\n"
    "mov %r9, 0x90(%r15)\n lea -0x38(%r15), %rcx\n jmp *%r14\n"
    "forge_end:\n"
    "load_gs: mov %eax, %gs\n syscall\n"
    "load_gs_end:\n"
    ".code32\n"
    "call_32: int $0x80\n"
    "call_32_end:\n"
    "enter_32: sysenter\n"
    "enter_32_end:\n"
    "syscall_32: syscall\n"
    "syscall_32_end:\n"
    "look_32: mov %gs:4, %ebx\n mov %fs:8, %esi\n mov %cs, %edx\n"
    "mov %gs, %edi\n mov %fs, %ebp\n int $0x80\n"
    "look_32_end:\n"
    "load_32: mov %eax, %es\n int $0x80\n"
    "load_32_end:\n"
    "spin_32: jmp spin_32\n"
    "spin_32_end:\n"
    ".code64\n"
    ".popsection");
extern const uint8_t just_call[], just_call_end[], old_call[], old_call_end[],
    look[], look_end[], spin[], spin_end[], forge[], forge_end[], load_gs[],
    load_gs_end[], call_32[], call_32_end[], enter_32[], enter_32_end[],
    syscall_32[], syscall_32_end[], look_32[], look_32_end[], load_32[],
    load_32_end[], spin_32[], spin_32_end[];

static void start_stub(void)
{
    struct error err;

    CHECK_EQ(stub_start(&stub, BASE, ram_fd, &err), 0);
    CHECK_EQ(stub_map(&stub, CODE, PAGE_SIZE, PROT_READ | PROT_EXEC, PAGE_SIZE),
             0);
    CHECK_EQ(
        stub_map(&stub, DATA, PAGE_SIZE, PROT_READ | PROT_WRITE, 2 * PAGE_SIZE),
        0);
}

static void code(const uint8_t *from, const uint8_t *end)
{
    memcpy(ram + PAGE_SIZE, from, (size_t)(end - from));
    cpu.rip = CODE;
}

/* Runs the vCPU's registers; why it stopped. */
static enum stub_why go_on(void)
{
    if (frame_put(&cpu, &stub, &segs) || stub_resume(&stub))
        return STUB_ODD;
    return stub_why(&stub);
}

static void revive(void)
{
    stub_end(&stub);
    start_stub();
}

/* The state before a test; what the guest may have is what it had. */
static void reset(void)
{
    memset(&cpu, 0, sizeof(cpu));
    cpu.rflags = FLAG_FIXED;
    cpu.cc_op = 0;
    cpu.fpu.mxcsr = 0x1f80;
    cpu.fpu.fx[0] = 0x7f;
    cpu.fpu.fx[1] = 3;
    cpu.seg[SEG_CS].attr = SEG_L;
    cpu.code_width = 8;
}

static bool reaches(uint64_t at)
{
    enum stub_why why;

    reset();
    code(look, look_end);
    cpu.gpr[R_RAX] = at;
    why = go_on();
    if (why == STUB_ODD)
        revive();
    return why == STUB_CALLED;
}

static void registers_travel(void)
{
    struct vcpu before;

    reset();
    for (unsigned i = 0; i < 16; i++)
        cpu.gpr[i] = 0x1111111111111111ull * i + 7;
    for (unsigned i = 0; i < sizeof(cpu.fpu.ymm); i++)
        ((uint8_t *)cpu.fpu.ymm)[i] = (uint8_t)(i * 13 + 1);
    for (unsigned i = 32; i < 160; i++)
        cpu.fpu.fx[i] = i % 16 < 10 ? (uint8_t)i : 0;
    cpu.fpu.fx[FX_FTW] = 0xff;
    cpu.rflags |= FLAG_CF | FLAG_OF | FLAG_DF | FLAG_ID | FLAG_NT | FLAG_AC;
    cpu.seg[SEG_FS].base = 0x12345000;
    cpu.seg[SEG_GS].base = 0xffff800000001000ull;
    code(just_call, just_call_end);
    before = cpu;
    CHECK_EQ(go_on(), STUB_CALLED);
    memset(cpu.gpr, 0, sizeof(cpu.gpr));
    memset(&cpu.fpu, 0, sizeof(cpu.fpu));
    cpu.rflags = FLAG_FIXED;
    cpu.seg[SEG_FS].base = cpu.seg[SEG_GS].base = 0;
    CHECK_EQ(frame_take(&cpu, &stub, &segs), 0);
    for (unsigned i = 0; i < 16; i++)
        if (i != R_RCX && i != R_R11)
            CHECK_EQ(cpu.gpr[i], before.gpr[i]);
    CHECK_EQ(cpu.rip, CODE + 2);
    CHECK_EQ(cpu.rflags, before.rflags);
    CHECK_EQ(cpu.seg[SEG_FS].base, before.seg[SEG_FS].base);
    CHECK_EQ(cpu.seg[SEG_GS].base, before.seg[SEG_GS].base);
    CHECK(!memcmp(cpu.fpu.ymm, before.fpu.ymm, sizeof(cpu.fpu.ymm)));
    CHECK(!memcmp(cpu.fpu.fx + 32, before.fpu.fx + 32, 128));
    CHECK_EQ(cpu.fpu.mxcsr, before.fpu.mxcsr);
}

static void no_call_gets_out(void)
{
    static const int calls[] = {SYS_write,      SYS_mmap,         SYS_munmap,
                                SYS_kill,       SYS_execve,       SYS_getppid,
                                SYS_exit_group, SYS_rt_sigreturn, SYS_prctl};

    for (unsigned i = 0; i < ARRAY_SIZE(calls); i++) {
        reset();
        code(just_call, just_call_end);
        cpu.gpr[R_RAX] = (uint64_t)calls[i];
        CHECK_EQ(go_on(), STUB_CALLED);
        CHECK_EQ(stub_frame(&stub)->reg[FRAME_RAX], (uint64_t)calls[i]);
        reset();
        code(old_call, old_call_end);
        cpu.gpr[R_RAX] = 1;         /* exit */
        CHECK(go_on() != STUB_ODD); /* a call, or a fault if there is none */
    }
}

static void a_fault_tells_all(void)
{
    const struct stub_frame *f = stub_frame(&stub);

    reset();
    code(look, look_end);
    cpu.gpr[R_RAX] = TARGET + 123;
    CHECK_EQ(go_on(), STUB_FAULTED);
    CHECK_EQ(f->reg[FRAME_CR2], TARGET + 123);
    CHECK_EQ(f->reg[FRAME_ERROR], PF_U);
    CHECK_EQ(f->reg[FRAME_RIP], CODE);
    CHECK(reaches(DATA));
    CHECK(!reaches(TARGET));
}

/* What mapping page 3 takes, but for the secrets. */
static void want_map(void)
{
    reset();
    cpu.gpr[R_RAX] = SYS_mmap;
    cpu.gpr[R_RDI] = TARGET;
    cpu.gpr[R_RSI] = PAGE_SIZE;
    cpu.gpr[R_RDX] = PROT_READ | PROT_WRITE;
    cpu.gpr[R_R10] = MAP_SHARED | MAP_FIXED | MAP_POPULATE;
    cpu.gpr[R_R8] = 3; /* RAM's descriptor */
    cpu.gpr[R_R9] = 3 * PAGE_SIZE;
    cpu.gpr[R_RSP] = BASE + STUB_STACK + 0x4000;
    cpu.gpr[R_R12] = 1;
    cpu.gpr[R_R13] = cpu.gpr[R_RBX] = BASE + STUB_COMM;
    cpu.gpr[R_R15] = BASE + STUB_COMM;
}

/* Every byte of the stub's code as a target of jumps, with what the code
 * itself would have in its registers. */
static void no_jump_into_the_stub_maps(void)
{
    unsigned len = (unsigned)(stub_code_end - stub_code);

    for (unsigned at = 0; at < len; at++) {
        want_map();
        cpu.rip = BASE + at;
        if (go_on() == STUB_ODD)
            revive();
        CHECK(!reaches(TARGET));
    }
}

static void no_list_of_its_own_is_carried_out(void)
{
    unsigned len = (unsigned)(stub_code_end - stub_code);

    for (unsigned at = 0; at < len; at++) {
        want_map();
        cpu.gpr[R_R14] = BASE + at;
        cpu.gpr[R_R13] = BASE + STUB_COMM + COMM_CALLS;
        code(forge, forge_end);
        if (go_on() == STUB_ODD)
            revive();
        CHECK(!reaches(TARGET));
    }
}

/* Other calls by the stub's own instruction: anonymous memory, rights. */
static void no_other_call_is_made(void)
{
    unsigned len = (unsigned)(stub_code_end - stub_code);
    static const int calls[] = {SYS_mprotect,     SYS_mremap,
                                SYS_clone,        SYS_write,
                                SYS_rt_sigaction, SYS_pkey_mprotect};
    unsigned found = 0;

    for (unsigned at = 0; at + 1 < len; at++) {
        if ((uint8_t)stub_code[at] != 0x0f || stub_code[at + 1] != 5)
            continue;
        found++;
        for (unsigned i = 0; i < ARRAY_SIZE(calls); i++) {
            want_map();
            cpu.gpr[R_RAX] = (uint64_t)calls[i];
            cpu.gpr[R_RDI] = CODE;
            cpu.rip = BASE + at;
            CHECK_EQ(go_on(), STUB_ODD);
            revive();
        }
    }
    CHECK(found >= 4);
}

static volatile bool stopped;

static void *kicker(void *arg)
{
    (void)arg;
    while (!stopped) {
        usleep(2000);
        syscall(SYS_kill, stub.pid, STUB_KICK_SIGNAL);
    }
    return NULL;
}

static enum stub_why run_kicked(void)
{
    enum stub_why why;
    pthread_t t;

    stopped = false;
    CHECK_EQ(pthread_create(&t, NULL, kicker, NULL), 0);
    why = go_on();
    stopped = true;
    pthread_join(t, NULL);
    return why;
}

static void a_kick_stops_it(void)
{
    reset();
    code(spin, spin_end);
    CHECK_EQ(run_kicked(), STUB_KICKED);
    CHECK_EQ(stub_frame(&stub)->reg[FRAME_RIP], CODE);
}

/*
 * A frame of its own that blocks all signals, returned to by a jump to the
 * stub's rt_sigreturn, and one offered in the place of a genuine one.
 */
static void kicks_cannot_be_blocked(void)
{
    struct stub_frame *f;
    unsigned len = (unsigned)(stub_code_end - stub_code);

    for (unsigned at = 0; at < len; at++) {
        code(spin, spin_end);
        want_map();
        f = (struct stub_frame *)(ram + 2 * PAGE_SIZE);
        *f = stub.first;
        f->reg[FRAME_RIP] = CODE;
        f->mask = ~0ull;
        cpu.gpr[R_RAX] = SYS_rt_sigreturn;
        cpu.gpr[R_RSP] = DATA + 8;
        cpu.rip = BASE + at;
        if (run_kicked() == STUB_ODD)
            revive();
        reset();
        code(spin, spin_end);
        CHECK_EQ(run_kicked(), STUB_KICKED);
    }
}

static bool area_holds(uint32_t secret)
{
    return memmem(stub.area, STUB_SIZE, &secret, sizeof(secret));
}

static void no_secret_is_left(void)
{
    reset();
    CHECK_EQ(
        stub_map(&stub, DATA, PAGE_SIZE, PROT_READ | PROT_WRITE, 2 * PAGE_SIZE),
        0);
    CHECK(area_holds((uint32_t)(stub.secret[0] >> 32)));
    code(spin, spin_end);
    CHECK_EQ(run_kicked(), STUB_KICKED);
    CHECK(!area_holds((uint32_t)(stub.secret[0] >> 32)));
    CHECK(!area_holds((uint32_t)(stub.secret[1] >> 32)));
    CHECK(!area_holds((uint32_t)(stub.secret[2] >> 32)));
}

/* --- 32-bit code --- */

#define TLS_SEL 0x63
#define LDT_SEL 0x0f
#define DATA_32 0x00cff3000000ffffull

static uint64_t data_at(uint32_t base)
{
    return DATA_32 | (uint64_t)(base & 0xffffff) << 16 |
           (uint64_t)(base >> 24) << 56;
}

static struct seg flat_seg(uint16_t sel, uint32_t attr)
{
    return (struct seg){.sel = sel, .attr = attr, .limit = ~0u};
}

/* A program of a 64-bit Linux's, with two segments of its own. */
static void reset_32(void)
{
    reset();
    cpu.cr0 = CR0_PE | CR0_PG;
    cpu.msr.efer = EFER_LMA;
    cpu.cpl = 3;
    cpu.code_width = 4;
    for (unsigned i = 0; i < SEG_COUNT; i++)
        cpu.seg[i] = flat_seg(STUB_SS, 0xc0f3);
    cpu.seg[SEG_CS] = flat_seg(STUB_CS32, 0xc0fb);
    cpu.seg[SEG_GS].sel = TLS_SEL;
    cpu.seg[SEG_GS].base = DATA;
    cpu.seg[SEG_FS].sel = LDT_SEL;
    cpu.seg[SEG_FS].base = DATA + 0x100;
    segs =
        (struct segs){.flat = {0x00cffb000000ffff, DATA_32, 0x00affb000000ffff},
                      .tls = {data_at(DATA)},
                      .ldt = {0, data_at(DATA + 0x100)},
                      .ldt_len = 2};
}

static void segments_travel(void)
{
    uint32_t *data = (uint32_t *)(ram + 2 * PAGE_SIZE);

    revive(); /* no kick is left */
    reset_32();
    CHECK(segs_fit(&cpu, &segs));
    data[1] = 0x1234567;
    data[0x108 / 4] = 0x89abcde;
    for (unsigned i = 0; i < 16; i++)
        cpu.gpr[i] = 0x11111111u * i + 7;
    code(look_32, look_32_end);
    CHECK_EQ(go_on(), STUB_CALLED);
    CHECK(segs_kept(&stub));
    CHECK_EQ(frame_take(&cpu, &stub, &segs), 0);
    CHECK_EQ(cpu.rip, CODE + (uint64_t)(look_32_end - look_32));
    CHECK_EQ(cpu.gpr[R_RBX], 0x1234567);
    CHECK_EQ(cpu.gpr[R_RSI], 0x89abcde);
    CHECK_EQ(cpu.gpr[R_RDX], STUB_CS32);
    CHECK_EQ(cpu.gpr[R_RDI], TLS_SEL);
    CHECK_EQ(cpu.gpr[R_RBP], LDT_SEL);
    CHECK_EQ(cpu.gpr[R_RCX], 0x11111111u * R_RCX + 7);
    CHECK_EQ(cpu.gpr[R_R15], 0x11111111u * R_R15 + 7);
    CHECK_EQ(cpu.seg[SEG_GS].base, DATA);
    CHECK_EQ(cpu.seg[SEG_FS].base, DATA + 0x100);
    CHECK(reaches(DATA)); /* 64-bit code again */
}

/* What the guest changes in its tables is so in the stub. */
static void descriptors_follow(void)
{
    reset_32();
    segs.tls[0] = data_at(DATA + 4);
    CHECK(!segs_fit(&cpu, &segs)); /* what GS holds is not in the table */
    cpu.seg[SEG_GS].base = DATA + 4;
    CHECK(segs_fit(&cpu, &segs));
    ((uint32_t *)(ram + 2 * PAGE_SIZE))[2] = 0x7654321;
    code(look_32, look_32_end);
    CHECK_EQ(go_on(), STUB_CALLED);
    CHECK_EQ(stub_frame(&stub)->reg[FRAME_RBX], 0x7654321);
    reset_32();
    segs_disown(&segs);
    cpu.seg[SEG_FS] = cpu.seg[SEG_GS] = flat_seg(STUB_SS, 0xc0f3);
    for (unsigned i = 0; i < 2; i++) {
        code(load_32, load_32_end);
        cpu.gpr[R_RAX] = i ? TLS_SEL : LDT_SEL;
        CHECK_EQ(go_on(), STUB_TRAPPED);
        CHECK_EQ(stub_frame(&stub)->reg[FRAME_TRAP], EXC_GP);
    }
    CHECK(!reaches(0xfffff000)); /* where they were handed over */
}

/* Not accessed, 16 bits, of ring 0, code in the GDT: not for stubs. */
static void what_a_process_cannot_have_does_not_fit(void)
{
    static const uint64_t flip[] = {BIT64(40), BIT64(54), BIT64(45), BIT64(43),
                                    BIT64(47), BIT64(44), BIT64(53)};

    for (unsigned i = 0; i < ARRAY_SIZE(flip); i++) {
        reset_32();
        segs.tls[0] ^= flip[i];
        seg_decode(&cpu.seg[SEG_GS], TLS_SEL, segs.tls[0]);
        CHECK(!segs_fit(&cpu, &segs));
    }
    reset_32();
    segs.flat[2] ^= BIT64(41);
    CHECK(!segs_fit(&cpu, &segs)); /* a load of it would not fault */
}

static void no_32_bit_call_gets_out(void)
{
    /* exit, write, sigreturn, rt_sigreturn, mmap2, set_thread_area, getppid */
    static const int calls[] = {1, 4, 119, 173, 192, 243, 64, 110, 252};

    for (unsigned i = 0; i < ARRAY_SIZE(calls); i++) {
        reset_32();
        code(call_32, call_32_end);
        cpu.gpr[R_RAX] = (uint64_t)calls[i];
        CHECK_EQ(go_on(), STUB_CALLED);
        CHECK_EQ(stub_frame(&stub)->reg[FRAME_RAX], (uint64_t)calls[i]);
        CHECK_EQ(stub_frame(&stub)->reg[FRAME_RIP], CODE + 2);
        for (unsigned way = 0; way < 2; way++) {
            reset_32();
            if (way)
                code(enter_32, enter_32_end);
            else
                code(syscall_32, syscall_32_end);
            cpu.gpr[R_RAX] = (uint64_t)calls[i];
            cpu.gpr[R_RSP] = cpu.gpr[R_RBP] = DATA + 0x800;
            CHECK(go_on() != STUB_ODD);
            CHECK(reaches(DATA));
        }
    }
}

static bool loads_gs(uint16_t sel)
{
    enum stub_why why;

    reset();
    code(load_gs, load_gs_end);
    cpu.gpr[R_RAX] = sel;
    why = go_on();
    if (why == STUB_ODD)
        revive();
    return why == STUB_CALLED;
}

/*
 * The calls that set descriptors, and the one that shows the page of
 * communication elsewhere, by a jump to every byte of the stub's code.
 */
static void no_jump_into_the_stub_sets_descriptors(void)
{
    static const struct {
        uint64_t rax, rdi, rsi, rdx, r10;
    } call[] = {
        {BIT64(63) | 243, DATA, 0, 0, 0},
        {243, DATA, 0, 0, 0},
        {SYS_modify_ldt, 0x11, DATA, 16, 0},
        {SYS_mremap, BASE + STUB_COMM, 0, PAGE_SIZE, 3},
    };
    unsigned len = (unsigned)(stub_code_end - stub_code);

    segs_disown(&segs);
    for (unsigned n = 0; n < ARRAY_SIZE(call) * len; n++) {
        unsigned at = n / ARRAY_SIZE(call), i = n % ARRAY_SIZE(call);

        want_map();
        memcpy(ram + 2 * PAGE_SIZE,
               (uint32_t[]){i < 2 ? TLS_SEL >> 3 : 1, 0, 0xfffff, 0x11}, 16);
        cpu.gpr[R_RAX] = call[i].rax;
        cpu.gpr[R_RDI] = call[i].rdi;
        cpu.gpr[R_RSI] = call[i].rsi;
        cpu.gpr[R_RDX] = call[i].rdx;
        cpu.gpr[R_R10] = call[i].r10;
        cpu.gpr[R_R8] = TARGET;
        if (i == 1)
            cpu.gpr[R_RBX] = DATA;
        cpu.rip = BASE + at;
        if (go_on() == STUB_ODD)
            revive();
        if (i + 1 < ARRAY_SIZE(call))
            continue;
        CHECK(!reaches(TARGET));
        CHECK(!loads_gs(TLS_SEL));
        CHECK(!loads_gs(LDT_SEL));
    }
    segs.tls[0] = DATA_32;
    CHECK(loads_gs(TLS_SEL)); /* the monitor can */
    segs_disown(&segs);
}

/* The guest can write the frame and the page of communication. */
static void forged_selectors_are_not_taken(void)
{
    static const uint16_t forged[] = {0x08, 0x10, 0x13, 0x20, 0x33,  0x43,
                                      0x40, 0x7b, 0x00, 0x07, 0xfff7};
    uint64_t *sel = &stub_frame(&stub)->reg[FRAME_SELECTORS];
    struct vcpu before;

    for (unsigned i = 0; i < ARRAY_SIZE(forged); i++) {
        reset_32();
        before = cpu;
        code(spin_32, spin_32_end);
        CHECK_EQ(run_kicked(), STUB_KICKED);
        *sel = (*sel & ~0xffffull) | forged[i];
        CHECK(!segs_kept(&stub));
        CHECK_EQ(frame_take(&cpu, &stub, &segs), -EPROTO);
        *sel = (*sel & 0xffffffff0000) | STUB_CS32 | (uint64_t)forged[i] << 48;
        CHECK_EQ(frame_take(&cpu, &stub, &segs), -EPROTO);
        *sel = stub.selectors;
        stub_comm(&stub)->es = forged[i];
        CHECK_EQ(frame_take(&cpu, &stub, &segs), forged[i] ? -EPROTO : 0);
        CHECK(
            !memcmp(&cpu.seg[SEG_CS], &before.seg[SEG_CS], sizeof(struct seg)));
        CHECK_EQ(cpu.seg[SEG_ES].sel, forged[i] ? STUB_SS : 0);
    }
    stub_frame(&stub)->reg[FRAME_RIP] = BIT64(32); /* in 32-bit code */
    stub_comm(&stub)->es = STUB_SS;
    CHECK_EQ(frame_take(&cpu, &stub, &segs), -EPROTO);
}

/* Whatever is written there, the guest goes on with what it was given. */
static void forged_selectors_do_not_go_on(void)
{
    reset_32();
    code(spin_32, spin_32_end);
    CHECK_EQ(run_kicked(), STUB_KICKED);
    stub_frame(&stub)->reg[FRAME_SELECTORS] = 0x10ull | 0x10ull << 48;
    code(call_32, call_32_end);
    do
        CHECK_EQ(stub_resume(&stub), 0);
    while (stub_why(&stub) == STUB_KICKED);
    CHECK_EQ(stub_why(&stub), STUB_CALLED);
    CHECK(segs_kept(&stub));
    stub_comm(&stub)->ds = 0x10; /* its own code faults, and that is that */
    CHECK(stub_resume(&stub) < 0);
    revive();
    segs_disown(&segs);
}

static void a_death_is_told(void)
{
    reset();
    code(spin, spin_end);
    syscall(SYS_kill, stub.pid, 9);
    CHECK_EQ(go_on(), STUB_ODD);
    revive();
}

/* As on kernels that do not tell of it by themselves. */
static void a_death_is_told_where_waits_do_not_end(void)
{
    reset();
    stub.watch = (int)syscall(SYS_pidfd_open, stub.pid, 0);
    CHECK(stub.watch >= 0);
    code(just_call, just_call_end);
    CHECK_EQ(go_on(), STUB_CALLED);  /* what lives goes on */
    cpu.gpr[R_RAX] = SYS_exit_group; /* by the stub's own instruction */
    cpu.rip = BASE + (uint64_t)(stub_stopped - stub_code) - 2;
    CHECK_EQ(go_on(), STUB_ODD);
    revive();
}

static void one_that_dies_while_stopped_loses_nothing(void)
{
    for (unsigned i = 0; i < 20; i++) {
        reset();
        code(just_call, just_call_end);
        cpu.gpr[R_RDI] = 4711;
        CHECK_EQ(frame_put(&cpu, &stub, &segs), 0);
        syscall(SYS_kill, stub.pid, 9);
        if (i % 4 == 0)
            usleep(2000); /* or it is still about to die */
        CHECK_EQ(stub_resume(&stub), -ESRCH);
        cpu.gpr[R_RDI] = 0;
        CHECK_EQ(frame_take(&cpu, &stub, &segs), 0);
        CHECK_EQ(cpu.gpr[R_RDI], 4711);
        CHECK_EQ(cpu.rip, CODE);
        revive();
    }
}

/* What a frozen cgroup, a debugger and a sleeping host do as well. */
static void one_that_is_halted_goes_on(void)
{
    for (unsigned i = 0; i < 200; i++) {
        reset();
        code(just_call, just_call_end);
        cpu.gpr[R_RDI] = i;
        syscall(SYS_kill, stub.pid, 19); /* SIGSTOP */
        if (i % 3)
            usleep(i % 3 * 100);
        syscall(SYS_kill, stub.pid, 18); /* SIGCONT */
        CHECK_EQ(go_on(), STUB_CALLED);
        CHECK_EQ(stub_frame(&stub)->reg[FRAME_RDI], i);
    }
}

/* A page of code as compilers make it, with the bytes at `at`. */
static bool scanned_as(unsigned at, const char *bytes, size_t len,
                       unsigned widths)
{
    static uint8_t page[PAGE_SIZE];

    for (unsigned i = 0; i + 8 <= PAGE_SIZE; i += 8)
        memcpy(page + i, "\x48\x89\xc3\x48\x8d\x44\x24\x08", 8);
    memcpy(page + at, bytes, len);
    return scan_sensitive(page, widths, SYSCALL_2);
}

static bool scanned(unsigned at, const char *bytes, size_t len)
{
    return scanned_as(at, bytes, len, SCAN_64);
}

static void pages_that_would_show_the_host_are_found(void)
{
    CHECK(!scanned(800, "\x48\x89\xc3", 3));
    CHECK(scanned(800, "\x0f\xa2\x48\x89\xc3\x90\x90\x90", 8)); /* cpuid */
    CHECK(scanned(0, "\x0f\xa2\x48\x89\xc3\x90\x90\x90", 8));
    CHECK(scanned(800, "\x0f\x01\xd0\x48\x89\xc3\x90\x90", 8)); /* xgetbv */
    CHECK(scanned(800, "\x0f\xc7\x64\x24\x40\x90\x90\x90", 8)); /* xsavec */
    CHECK(scanned(800, "\x48\x0f\xae\x64\x24\x40\x90\x90", 8)); /* xsave64 */
    /* the same bytes as a number: mov $0xc3a20f, %eax */
    CHECK(!scanned(800, "\xb8\x0f\xa2\xc3\x00\x90\x90\x90", 8));
    /* calls that a host does not come back from to where they were */
    CHECK(!scanned(800, "\x0f\x05\x48\x89\xc3\x90\x90\x90", 8));
    CHECK(scanned_as(800, "\x0f\x05\x89\xc3\x90\x90\x90\x90", 8, SCAN_32));
    CHECK(!scanned_as(800, "\x0f\x34\x89\xc3\x90\x90\x90\x90", 8, SCAN_32));
    /* 64-bit code: a number; 32-bit code: dec %eax; mov $1, %eax; cpuid */
    CHECK(!scanned(800, "\x48\xb8\x01\0\0\0\x0f\xa2\x89\xc3", 10));
    CHECK(scanned_as(800, "\x48\xb8\x01\0\0\0\x0f\xa2\x89\xc3", 10,
                     SCAN_32 | SCAN_64));
}

int main(void)
{
    struct error err;

    if (stub_probe(&err)) {
        printf("skip direct: %s\n", err.msg);
        return 0;
    }
    ram_fd = memfd_create("ram", MFD_CLOEXEC);
    CHECK_EQ(ftruncate(ram_fd, PAGES * PAGE_SIZE), 0);
    ram = mmap(NULL, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
               ram_fd, 0);
    start_stub();
    RUN(registers_travel);
    RUN(no_call_gets_out);
    RUN(a_fault_tells_all);
    RUN(no_jump_into_the_stub_maps);
    RUN(no_list_of_its_own_is_carried_out);
    RUN(no_other_call_is_made);
    RUN(a_kick_stops_it);
    RUN(kicks_cannot_be_blocked);
    RUN(no_secret_is_left);
    RUN(segments_travel);
    RUN(descriptors_follow);
    RUN(what_a_process_cannot_have_does_not_fit);
    RUN(no_32_bit_call_gets_out);
    RUN(no_jump_into_the_stub_sets_descriptors);
    RUN(forged_selectors_are_not_taken);
    RUN(forged_selectors_do_not_go_on);
    RUN(a_death_is_told);
    RUN(a_death_is_told_where_waits_do_not_end);
    RUN(one_that_dies_while_stopped_loses_nothing);
    RUN(one_that_is_halted_goes_on);
    RUN(pages_that_would_show_the_host_are_found);
    stub_end(&stub);
    return test_status();
}
