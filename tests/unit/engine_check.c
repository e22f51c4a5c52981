/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_check.c - claims about --direct-check: what a native run left is
 * accepted if the interpreter comes to the same, and nothing else is. The
 * native run is played: the test writes registers and memory itself.
 */
#include "engine/direct/check_int.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test.h"
#include "x86/cpuid.h"
#include "x86/fpu.h"

#define CODE 0x8000ull /* identity-mapped, for user mode */
#define DATA 0x9000ull /* this page and the next one */
#define FREE 0xb000ull /* not mapped from here on */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct cpu_model model;
static struct guest_mem mem;
static struct vcpu cpu;
static struct check *check;
static struct shadow_space space;
static int report_fd, stderr_fd;
static char text[8192];

/* Each begins with all registers 0 but those that the test sets. */
asm(".pushsection .rodata\n"
    /* stores 100 .. 1 from DATA on, then calls */
    "count: mov %rcx, (%rdi)\n add $8, %rdi\n dec %rcx\n jnz count\n"
    "count_end: syscall\n"
    "clear: and %rbx, %rax\n"
    "copy: rep movsb\n syscall\n"
    "vector: vaddpd %ymm1, %ymm2, %ymm3\n syscall\n"
    "both: and %rbx, %rax\n syscall\n"
    "ticks: rdtsc\n syscall\n"
    "spin: inc %rax\n jmp spin\n"
    "wait: cmpq $0, (%rdi)\n jz wait\n syscall\n"
    "trap: mov %rbx, (%rdi)\n int3\n"
    "code_end:\n"
    ".popsection");
extern const uint8_t count[], count_end[], clear[], copy[], vector[], both[],
    ticks[], spin[], wait[], trap[], code_end[];

static uint64_t at(const uint8_t *p)
{
    return CODE + (uint64_t)(p - count);
}

static uint64_t *data(uint64_t gpa)
{
    return (uint64_t *)(mem.ram + gpa);
}

static void build(void)
{
    struct error err;

    CHECK_EQ(guest_mem_init(&mem, MiB, &lock, &err), 0);
    cpu.model = &model;
    cpu.mem = &mem;
    cpu.apic_page = UINT64_MAX;
    CHECK_EQ(mmu_init(&cpu, &err), 0);
    *data(0x1000) = 0x2007;
    *data(0x2000) = 0x3007;
    *data(0x3000) = 0x4007;
    for (uint64_t p = CODE; p < FREE; p += PAGE_SIZE)
        *data(0x4000 + p / 512) = p | 7;
    memcpy(mem.ram + CODE, count, (size_t)(code_end - count));
    cpu.cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_WP;
    cpu.cr3 = 0x1000;
    cpu.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    cpu.xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
    cpu.msr.efer = EFER_LME | EFER_LMA | EFER_SCE;
    cpu.seg[SEG_CS].attr = SEG_P | SEG_S | SEG_CODE | SEG_L | 0x60;
    cpu.seg[SEG_SS].attr = SEG_P | SEG_S | SEG_WRITABLE | 0x60;
    CHECK_EQ(check_open(&cpu, &check, &err), 0);
}

/* A native run is to begin there. */
static void begin(const uint8_t *code)
{
    memset(mem.ram + DATA, 0, 2 * PAGE_SIZE);
    memset(cpu.gpr, 0, sizeof(cpu.gpr));
    memset(&cpu.fpu, 0, sizeof(cpu.fpu));
    cpu.fpu.fx[FX_FCW] = 0x7f;
    cpu.fpu.fx[FX_FCW + 1] = 3;
    cpu.fpu.mxcsr = 0x1f80;
    cpu.rflags = FLAG_FIXED | FLAG_IF;
    cpu.cc_op = 0;
    cpu.rip = at(code);
    cpu.cpl = 3;
    cpu.dr7 = 0x400;
    vcpu_update_mode(&cpu);
    memset(&cpu.stats, 0, sizeof(cpu.stats));
    memset(&cpu.exc, 0, sizeof(cpu.exc));
}

static void runs(void)
{
    check_begin(check, &cpu, &space);
    check_mapped(check, DATA, 2 * PAGE_SIZE);
}

/* It has stopped there. Is that believed? Reports go to text[]. */
static bool believed(uint64_t rip, enum direct_next next)
{
    ssize_t n;
    bool ok;

    cpu.rip = rip;
    CHECK_EQ(ftruncate(report_fd, 0), 0);
    lseek(report_fd, 0, SEEK_SET);
    dup2(report_fd, STDERR_FILENO);
    ok = check_end(check, &cpu, next);
    dup2(stderr_fd, STDERR_FILENO);
    n = pread(report_fd, text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = 0;
    return ok;
}

static bool says(const char *words)
{
    if (strstr(text, words))
        return true;
    fprintf(stderr, "not \"%s\" in:\n%s", words, text);
    return false;
}

/* The first n rounds of `count`. */
static void counted(uint64_t n)
{
    begin(count);
    cpu.gpr[R_RDI] = DATA;
    cpu.gpr[R_RCX] = 100;
    runs();
    for (uint64_t i = 0; i < n; i++)
        data(DATA)[i] = 100 - i;
    cpu.gpr[R_RDI] += 8 * n;
    cpu.gpr[R_RCX] -= n;
    cpu.rflags |= n == 100 ? FLAG_ZF : 0;
    cpu.rflags |= __builtin_parityll(cpu.gpr[R_RCX] & 0xff) ? 0 : FLAG_PF;
}

static void the_same_is_believed(void)
{
    counted(100);
    CHECK(believed(at(count_end), DIRECT_STEP));
    CHECK_EQ(cpu.stats.count[CTR_CHECK_SAME], 1);
    CHECK_EQ(cpu.stats.count[CTR_CHECK_INSNS], 400);
    CHECK_EQ(text[0], 0);
    /* a system call that was begun has changed two registers */
    counted(100);
    cpu.gpr[R_RCX] = at(count_end) + 2;
    cpu.gpr[R_R11] = cpu.rflags;
    CHECK(believed(at(count_end), DIRECT_STEP));
    /* kicked in the middle: at the loop's head */
    counted(40);
    CHECK(believed(at(count), DIRECT_AGAIN));
    CHECK_EQ(cpu.stats.count[CTR_CHECK_INSNS], 160);
}

static void a_register_is_missed(void)
{
    counted(100);
    cpu.gpr[R_RBX] = 1;
    CHECK(!believed(at(count_end), DIRECT_STEP));
    CHECK(says("rbx    native 0x0000000000000001, interpreted 0x00000000000000"
               "00"));
    CHECK(says("syscall")); /* where the interpreter went */
    counted(40);
    cpu.gpr[R_RCX]--;
    CHECK(!believed(at(count), DIRECT_AGAIN));
    counted(100);
    CHECK(!believed(at(copy), DIRECT_STEP));
}

static void memory_is_missed(void)
{
    counted(100);
    data(DATA)[7]++;
    CHECK(!believed(at(count_end), DIRECT_STEP));
    CHECK(says("memory at physical 0x9038: native 0x000000000000005e, "
               "interpreted 0x000000000000005d"));
    /* what the code never wrote, and what it wrote elsewhere */
    counted(100);
    data(DATA)[511] = 1;
    CHECK(!believed(at(count_end), DIRECT_STEP));
    CHECK(says("memory at physical 0x9ff8"));
    begin(count);
    cpu.gpr[R_RDI] = DATA;
    cpu.gpr[R_RCX] = 1;
    check_begin(check, &cpu, &space); /* the page was not mapped at all */
    cpu.gpr[R_RDI] += 8;
    cpu.gpr[R_RCX] = 0;
    cpu.rflags |= FLAG_ZF | FLAG_PF;
    CHECK(!believed(at(count_end), DIRECT_STEP));
    CHECK(says("memory at physical 0x9000: native 0x0000000000000000, "
               "interpreted 0x0000000000000001"));
}

static void vectors_are_compared(void)
{
    for (unsigned lane = 0; lane < 4; lane++) {
        begin(vector);
        runs();
        CHECK(believed(at(both) - 2, DIRECT_STEP));
        begin(vector);
        runs();
        cpu.fpu.ymm[3][8 * lane] = 1;
        CHECK(!believed(at(both) - 2, DIRECT_STEP));
        CHECK(says("ymm3   native 0"));
    }
    begin(vector);
    runs();
    cpu.fpu.mxcsr |= 0x20;
    CHECK(!believed(at(both) - 2, DIRECT_STEP));
    CHECK(says("mxcsr"));
}

/* AND leaves AF undefined, and clears CF. */
static bool flag_believed(uint64_t flag)
{
    begin(both);
    runs();
    cpu.rflags |= FLAG_ZF | FLAG_PF;
    cpu.rflags ^= flag;
    return believed(at(ticks) - 2, DIRECT_STEP);
}

static void only_undefined_flags_may_differ(void)
{
    CHECK(flag_believed(0));
    CHECK(flag_believed(FLAG_AF));
    CHECK(!flag_believed(FLAG_CF));
    CHECK(says("rflags"));
    CHECK(!flag_believed(FLAG_DF));
}

/* The first n bytes of 1000, with the REP going on. */
static void copied(unsigned n)
{
    begin(copy);
    for (unsigned i = 0; i < 1000; i++)
        mem.ram[DATA + i] = (uint8_t)(i * 7);
    cpu.gpr[R_RSI] = DATA;
    cpu.gpr[R_RDI] = DATA + PAGE_SIZE;
    cpu.gpr[R_RCX] = 1000;
    runs();
    memcpy(mem.ram + DATA + PAGE_SIZE, mem.ram + DATA, n);
    cpu.gpr[R_RSI] += n;
    cpu.gpr[R_RDI] += n;
    cpu.gpr[R_RCX] -= n;
}

/* Behind an AND, as above. */
static bool cleared_and_copied(uint64_t flag)
{
    copied(100);
    cpu.gpr[R_RSI] = DATA;
    cpu.gpr[R_RDI] = DATA + PAGE_SIZE;
    cpu.gpr[R_RCX] = 1000;
    cpu.rip = at(clear);
    memset(mem.ram + DATA + PAGE_SIZE, 0, PAGE_SIZE);
    runs();
    memcpy(mem.ram + DATA + PAGE_SIZE, mem.ram + DATA, 300);
    cpu.gpr[R_RSI] += 300;
    cpu.gpr[R_RDI] += 300;
    cpu.gpr[R_RCX] -= 300;
    cpu.rflags |= FLAG_ZF | FLAG_PF;
    cpu.rflags ^= flag;
    return believed(at(copy), DIRECT_AGAIN);
}

static void a_repetition_may_stop_anywhere(void)
{
    copied(1000);
    CHECK(believed(at(copy) + 2, DIRECT_STEP));
    copied(333);
    CHECK(believed(at(copy), DIRECT_AGAIN));
    copied(333);
    cpu.gpr[R_RDI]++;
    CHECK(!believed(at(copy), DIRECT_AGAIN));
    copied(333);
    mem.ram[DATA + PAGE_SIZE + 333] = 1;
    CHECK(!believed(at(copy), DIRECT_AGAIN));
    CHECK(cleared_and_copied(0));
    CHECK(cleared_and_copied(FLAG_AF));
    CHECK(!cleared_and_copied(FLAG_SF));
}

/* `trap` with RDI there: a page fault, if the guest has nothing there. */
static bool fault_believed(uint64_t rdi, uint64_t cr2, uint32_t error)
{
    begin(trap);
    cpu.gpr[R_RDI] = rdi;
    runs();
    cpu.exc = (struct exc){
        .vector = EXC_PF, .has_error = true, .error = error, .cr2 = cr2};
    return believed(at(trap), DIRECT_EXCEPTION);
}

static void exceptions_are_compared(void)
{
    CHECK(fault_believed(FREE + 8, FREE + 8, PF_U | PF_W));
    CHECK(!fault_believed(FREE + 8, FREE, PF_U | PF_W));
    CHECK(says("exception: native 14, error 0x6, CR2 0xb000; interpreted 14, "
               "error 0x6, CR2 0xb008"));
    CHECK(!fault_believed(FREE + 8, FREE + 8, PF_U));
    CHECK(!fault_believed(DATA, DATA, PF_U | PF_W)); /* there was none */
    /* and one that the native code did not have */
    begin(trap);
    cpu.gpr[R_RDI] = FREE;
    runs();
    CHECK(!believed(at(trap) + 3, DIRECT_STEP));
}

static void the_clock_is_not_compared(void)
{
    begin(ticks);
    runs();
    cpu.gpr[R_RAX] = 1;
    CHECK(believed(at(spin) - 2, DIRECT_STEP));
    CHECK_EQ(cpu.stats.count[CTR_CHECK_SAME], 0);
    CHECK_EQ(cpu.stats.count[CTR_CHECK_SKIPPED], 1);
}

static void loops_end(void)
{
    begin(spin);
    runs();
    cpu.gpr[R_RAX] = 12345;
    CHECK(believed(at(spin), DIRECT_AGAIN) == false); /* by its flags */
    begin(spin);
    runs();
    cpu.gpr[R_RBX] = 1;
    CHECK(!believed(at(spin), DIRECT_AGAIN));
    CHECK(says("does not get there"));
    /* each round is like the one before */
    begin(wait);
    cpu.gpr[R_RDI] = DATA;
    runs();
    cpu.rflags |= FLAG_ZF | FLAG_PF;
    CHECK(believed(at(wait), DIRECT_AGAIN));
    CHECK_EQ(cpu.stats.count[CTR_CHECK_SAME], 1);
}

/* What has been compared leaves nothing behind. */
static void the_guest_is_untouched(void)
{
    counted(100);
    data(DATA)[600] = 77;
    CHECK(!believed(at(count_end), DIRECT_STEP));
    CHECK_EQ(data(DATA)[600], 77);
    CHECK_EQ(data(DATA)[99], 1);
    CHECK_EQ(cpu.gpr[R_RDI], DATA + 800);
    CHECK_EQ(cpu.rip, at(count_end));
    /* code that was written meanwhile is what runs */
    mem.ram[CODE + 2] = 0x17; /* mov %rdx, (%rdi) */
    counted(100);
    CHECK(!believed(at(count_end), DIRECT_STEP));
    memcpy(mem.ram + CODE, count, (size_t)(code_end - count));
    counted(100);
    CHECK(believed(at(count_end), DIRECT_STEP));
}

int main(void)
{
    struct error err;

    CHECK_EQ(cpu_model_parse(&model, "x86-64-v3", &err), 0);
    report_fd = memfd_create("report", MFD_CLOEXEC);
    stderr_fd = dup(STDERR_FILENO);
    build();
    RUN(the_same_is_believed);
    RUN(a_register_is_missed);
    RUN(memory_is_missed);
    RUN(vectors_are_compared);
    RUN(only_undefined_flags_may_differ);
    RUN(a_repetition_may_stop_anywhere);
    RUN(exceptions_are_compared);
    RUN(the_clock_is_not_compared);
    RUN(loops_end);
    RUN(the_guest_is_untouched);
    check_close(check);
    mmu_fini(&cpu);
    guest_mem_fini(&mem);
    return test_status();
}
