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
    ".popsection");
extern const uint8_t just_call[], just_call_end[], old_call[], old_call_end[],
    look[], look_end[], spin[], spin_end[], forge[], forge_end[];

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
    frame_put(&cpu, &stub);
    if (stub_resume(&stub))
        return STUB_ODD;
    return stub_why(&stub);
}

static void revive(void)
{
    stub_end(&stub);
    start_stub();
}

static bool reaches(uint64_t at)
{
    enum stub_why why;

    code(look, look_end);
    cpu.gpr[R_RAX] = at;
    why = go_on();
    if (why == STUB_ODD)
        revive();
    return why == STUB_CALLED;
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
    CHECK_EQ(frame_take(&cpu, &stub), 0);
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
        usleep(10000);
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
        frame_put(&cpu, &stub);
        syscall(SYS_kill, stub.pid, 9);
        if (i % 4 == 0)
            usleep(2000); /* or it is still about to die */
        CHECK_EQ(stub_resume(&stub), -ESRCH);
        cpu.gpr[R_RDI] = 0;
        CHECK_EQ(frame_take(&cpu, &stub), 0);
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
static bool scanned(unsigned at, const char *bytes, size_t len)
{
    static uint8_t page[PAGE_SIZE];

    for (unsigned i = 0; i + 8 <= PAGE_SIZE; i += 8)
        memcpy(page + i, "\x48\x89\xc3\x48\x8d\x44\x24\x08", 8);
    memcpy(page + at, bytes, len);
    return scan_sensitive(page);
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
    RUN(a_death_is_told);
    RUN(a_death_is_told_where_waits_do_not_end);
    RUN(one_that_dies_while_stopped_loses_nothing);
    RUN(one_that_is_halted_goes_on);
    RUN(pages_that_would_show_the_host_are_found);
    stub_end(&stub);
    return test_status();
}
