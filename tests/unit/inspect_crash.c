/* SPDX-License-Identifier: Apache-2.0 */
/* inspect_crash.c - claims about the crash screen, on a vCPU made here. */
#include "inspect/crash.h"
#include "inspect/symbols_int.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "io/console.h"
#include "test.h"
#include "x86/cpuid.h"

#define RAM    (2 * MiB)
#define TABLES 0x10000ull /* page tables, one after the other */
#define CODE   0x20000ull
#define STACK  0x30000ull
#define UPPER  0xffffffff81000000ull /* where CODE and STACK are mapped */

static struct guest_mem mem;
static struct vcpu cpu;
static struct symbols *syms;
static struct cpu_model model;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char text[64 * 1024];

static void collect(void *ctx, const char *line)
{
    size_t n = strlen(text);

    (void)ctx;
    CHECK(strlen(line) <= CRASH_COLUMNS && !strchr(line, '\n'));
    snprintf(text + n, sizeof(text) - n, "%s\n", line);
}

static const struct crash_sink to = {collect, NULL};

static void put64(gpa_t at, uint64_t v)
{
    CHECK_EQ(guest_mem_write(&mem, at, &v, 8), 0);
}

static void put_code(gpa_t at, const char *bytes, size_t len)
{
    CHECK_EQ(guest_mem_write(&mem, at, bytes, len), 0);
}

/* What is said has these lines, in this order. */
static void says(const char *lines)
{
    if (!strstr(text, lines)) {
        fprintf(stderr, "no\n%s\nin\n%s\n", lines, text);
        CHECK(!"the lines");
    }
}

static void says_not(const char *part)
{
    if (strstr(text, part)) {
        fprintf(stderr, "`%s' in\n%s\n", part, text);
        CHECK(!"the lines");
    }
}

/* 64-bit mode; UPPER: 2 MiB of code, from it on STACK is not executable. */
static void setup(void)
{
    static const uint8_t zeroes[RAM];

    CHECK_EQ(guest_mem_write(&mem, 0, zeroes, RAM), 0);
    memset(&cpu, 0, sizeof(cpu));
    cpu.model = &model;
    cpu.mem = &mem;
    vcpu_reset(&cpu, false);
    put64(TABLES + 8 * 511, TABLES + 0x1003);
    put64(TABLES + 0x1000 + 8 * 510, TABLES + 0x2003);
    put64(TABLES + 0x2000 + 8 * 8, TABLES + 0x3003);
    put64(TABLES + 0x3000, CODE | 0x101);
    put64(TABLES + 0x3000 + 8 * 2, STACK | 0x8000000000000063);
    cpu.cr0 = CR0_PE | CR0_PG;
    cpu.cr3 = TABLES;
    cpu.cr4 = CR4_PAE;
    cpu.msr.efer = EFER_LME | EFER_LMA | EFER_NXE;
    cpu.seg[SEG_CS].attr = SEG_P | SEG_S | SEG_CODE | SEG_L;
    cpu.seg[SEG_CS].base = cpu.seg[SEG_SS].base = 0;
    vcpu_update_mode(&cpu);
    cpu.rip = UPPER + 0x100;
    cpu.gpr[R_RSP] = UPPER + 0x2000;
    text[0] = 0;
}

static void registers_are_in_words(void)
{
    setup();
    cpu.gpr[R_R15] = 0x1234;
    cpu.rflags |= FLAG_IF | FLAG_ZF;
    crash_registers(&to, &cpu, syms);
    says("r15 0000000000001234\nrip ffffffff81000100 <panic>\n"
         "rflags 00000242 ZF IF, IOPL 0\ncs ");
    says("code, 64 bits, DPL 0\n");
    says("cr0  0000000080000001 PE PG\n");
    says("cr4  0000000000000020 PAE\nefer 0000000000000d00 LME LMA NXE\n");
}

static void a_walk_is_told_level_by_level(void)
{
    setup();
    crash_walk(&to, &cpu, UPPER + 0x2345);
    says("page walk of ffffffff81002345:\n"
         "  PML4E at 000000010ff8: 0000000000011003 P W\n"
         "  PDPTE at 000000011ff0: 0000000000012003 P W\n"
         "  PDE   at 000000012040: 0000000000013003 P W\n"
         "  PTE   at 000000013010: 8000000000030063 P W A D NX\n"
         "  -> 000000030345, page of 4 KiB, supervisor, writable, dirty\n");
    text[0] = 0;
    crash_walk(&to, &cpu, UPPER + 0x1000);
    says("  PTE   at 000000013008: 0000000000000000\n  not mapped\n");
    text[0] = 0;
    put64(TABLES + 0x2000 + 8 * 8, (TABLES + 0x3003) | 1ull << 51);
    crash_walk(&to, &cpu, UPPER);
    says("P W\n  a reserved bit is set\n");
    text[0] = 0;
    crash_walk(&to, &cpu, 0x800000000000);
    says("0000800000000000 is not canonical\n");
}

static void a_walk_of_32_bits_has_two_levels(void)
{
    setup();
    cpu.msr.efer = 0;
    cpu.cr4 = CR4_PSE;
    put64(TABLES, 0x83);
    vcpu_update_mode(&cpu);
    crash_walk(&to, &cpu, 0x100001234);
    says("page walk of 00001234:\n"
         "  PDE   at 000000010000: 0000000000000083 P W PS\n"
         "  -> 000000001234, page of 4096 KiB, supervisor, writable, "
         "executable\n");
}

static void code_is_shown_from_before_rip(void)
{
    setup();
    put_code(CODE + 0xf0,
             "\x90\x48\x89\xe5\xe8\x07\x00\x00\x00\x31\xc0"
             "\x48\x8b\x04\x25\x00\x10\x00\x00\x0f\x0b",
             21);
    cpu.rip = UPPER + 0xfb;
    crash_code(&to, &cpu, syms);
    says("   ffffffff810000f1: 4889e5                 mov    %rsp,%rbp\n"
         "   ffffffff810000f4: e807000000             call   "
         "0xffffffff81000100 <panic>\n"
         "   ffffffff810000f9: 31c0                   xor    %eax,%eax\n"
         "=> ffffffff810000fb: 488b042500100000       mov    0x1000,%rax\n"
         "   ffffffff81000103: 0f0b                   ud2\n");
}

static void code_ends_where_its_page_does(void)
{
    setup();
    put_code(CODE + 0xffe, "\x31\xc0", 2);
    cpu.rip = UPPER + 0xffe;
    crash_code(&to, &cpu, syms);
    says("=> ffffffff81000ffe: 31c0                   xor    %eax,%eax\n");
    text[0] = 0;
    put_code(CODE, "\x06", 1);
    cpu.rip = UPPER;
    crash_code(&to, &cpu, syms);
    says("=> ffffffff81000000: 06");
    says("(bad)\n");
    text[0] = 0;
    cpu.rip = UPPER + 0x1000;
    crash_code(&to, &cpu, syms);
    says("code: none, RIP is not in mapped memory\npage walk of "
         "ffffffff81001000:\n");
}

static void return_addresses_stand_behind_calls(void)
{
    static const struct {
        const char *bytes;
        size_t len;
    } calls[] = {{"\xe8\x01\x02\x03\x04", 5}, {"\xff\xd0", 2},
                 {"\x41\xff\xd3", 3},         {"\xff\x50\x10", 3},
                 {"\xff\x14\xc5\1\1\1\1", 7}, {"\xff\x15\1\2\3\4", 6},
                 {"\xff\x54\x24\x08", 4},     {"\xff\x90\1\2\3\4", 6}};
    static const struct {
        const char *bytes;
        size_t len;
    } others[] = {{"\xe9\x01\x02\x03\x04", 5},
                  {"\xff\xe0", 2},
                  {"\xff\x15\1\2", 4},
                  {"\x90\x90", 2}};
    char want[40];

    setup();
    for (unsigned i = 0; i < ARRAY_SIZE(calls); i++) {
        put_code(CODE + 0x200 + i * 16, calls[i].bytes, calls[i].len);
        put64(STACK + 16 * i, UPPER + 0x200 + i * 16 + calls[i].len);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
        put_code(CODE + 0x400 + i * 16, others[i].bytes, others[i].len);
        put64(STACK + 16 * i + 8, UPPER + 0x400 + i * 16 + others[i].len);
    }
    crash_stack(&to, &cpu, syms);
    for (unsigned i = 0; i < ARRAY_SIZE(calls); i++) {
        snprintf(want, sizeof(want), "\n  ? %llx <",
                 UPPER + 0x200 + i * 16 + (unsigned long long)calls[i].len);
        says(want);
    }
    says_not("? ffffffff810004");
}

static void frame_pointers_are_believed(void)
{
    setup();
    put_code(CODE + 0x200, "\xe8\x01\x02\x03\x04\xe8\x01\x02\x03\x04", 10);
    put64(STACK + 0x08, UPPER + 0x20a);  /* left over */
    put64(STACK + 0x10, UPPER + 0x2030); /* frame */
    put64(STACK + 0x18, UPPER + 0x205);
    put64(STACK + 0x30, 0); /* the last one */
    put64(STACK + 0x38, UPPER + 0x20a);
    cpu.gpr[R_RBP] = UPPER + 0x2010;
    crash_stack(&to, &cpu, syms);
    says("\n  ? ffffffff8100020a <panic+0x10a>\n"
         "    ffffffff81000205 <panic+0x105>\n"
         "    ffffffff8100020a <panic+0x10a>\n");
    /* in circles */
    text[0] = 0;
    put64(STACK + 0x10, UPPER + 0x2010);
    crash_stack(&to, &cpu, syms);
    says("    ffffffff81000205 <panic+0x105>\n");
}

/* The last call of a function that never returns belongs to it. */
static void the_caller_is_named_not_what_follows(void)
{
    setup();
    put_code(CODE + 0xfb, "\xe8\x01\x02\x03\x04", 5);
    put64(STACK, UPPER + 0x100);
    crash_stack(&to, &cpu, syms);
    says("  ? ffffffff81000100 <_text+0x100>\n");
}

/* An interrupt's stack ends where its page does. */
static void the_stack_before_is_followed(void)
{
    static const uint64_t frame[] = {UPPER, 0x10, 2, UPPER + 0x2800, 0x18};

    for (unsigned by_cpu = 0; by_cpu < 2; by_cpu++) {
        setup();
        put_code(CODE + 0x200, "\xe8\x01\x02\x03\x04", 5);
        put64(TABLES + 0x3000 + 8 * 4, (STACK + 0x1000) | 0x63);
        cpu.gpr[R_RSP] = UPPER + 0x4f00;
        put64(STACK + 0x800, UPPER + 0x205);
        if (by_cpu)
            for (unsigned i = 0; i < 5; i++)
                put64(STACK + 0x1fd8 + 8 * i, frame[i]);
        else
            put64(STACK + 0x1ff8, UPPER + 0x2800);
        crash_stack(&to, &cpu, syms);
        says("stack before that, at ffffffff81002800:\n"
             "  ? ffffffff81000205 <panic+0x105>\n");
    }
    /* in circles */
    text[0] = 0;
    put64(STACK + 0xff8, UPPER + 0x4f00);
    crash_stack(&to, &cpu, syms);
    says("at ffffffff81004f00:\nstack before that, at ffffffff81002800:\n");
}

static void a_stack_that_is_not_there_is_said(void)
{
    setup();
    cpu.gpr[R_RSP] = 0x1000;
    crash_stack(&to, &cpu, syms);
    says("stack: none, RSP is not in mapped memory\n");
}

static void history_is_newest_first(void)
{
    setup();
    for (uint64_t i = 0; i < 100; i++)
        history_branch(&cpu.history, UPPER + 0x100 + i, UPPER + i);
    cpu.history.exc[0] = (struct exc_record){.vector = EXC_PF,
                                             .has_error = true,
                                             .error = PF_W | PF_U,
                                             .cr2 = 0x1234,
                                             .rip = UPPER + 0x100};
    cpu.history.exc[1] = (struct exc_record){.vector = EXC_DF};
    cpu.history.excs = 2;
    crash_history(&to, &cpu, syms);
    says("newest first:\n"
         "             0 insns ago: #DF at 0000000000000000\n"
         "             0 insns ago: #PF error 0006 (user write, not mapped) "
         "1234 at ffffffff81000100 <panic>\n");
    says("newest first:\n  ffffffff81000163 <panic+0x63>                     "
         " -> ffffffff81000063 <_text+0x63>\n  ffffffff81000162 ");
    says_not("ffffffff81000150"); /* 16 of them */
}

/* Whatever registers and memory hold, and however it is called. */
static void any_state_can_be_shown(void)
{
    static const uint64_t bases[] = {0, UPPER, RAM, ~0ull, 0x7ffffffffff8};
    uint8_t *noise = malloc(RAM);

    srand(3);
    for (unsigned i = 0; i < 400; i++) {
        setup();
        for (size_t k = 0; k < 0x40000; k++)
            noise[k] = (uint8_t)rand();
        CHECK_EQ(guest_mem_write(&mem, i & 1 ? 0 : CODE, noise, 0x40000), 0);
        cpu.cr0 = i & 2 ? cpu.cr0 : (i & 4 ? CR0_PE : 0);
        cpu.msr.efer = i & 8 ? cpu.msr.efer : 0;
        cpu.cr4 = i & 16 ? CR4_PAE : 0;
        cpu.seg[SEG_CS].attr ^= i & 32 ? SEG_L : 0;
        cpu.seg[SEG_CS].attr ^= i & 64 ? SEG_DB : 0;
        cpu.seg[SEG_SS].base = i & 128 ? (uint64_t)rand() << 33 : 0;
        cpu.gpr[R_RSP] = bases[i % 5] + (uint64_t)rand() % 0x3000;
        cpu.gpr[R_RBP] = cpu.gpr[R_RSP] + (uint64_t)rand() % 256;
        cpu.rip = bases[(i / 5) % 5] + (uint64_t)rand() % 0x1000;
        cpu.cr2 = (uint64_t)rand() << 40 | (uint64_t)rand();
        cpu.history.excs = (uint32_t)rand();
        cpu.history.branches = (uint32_t)rand();
        vcpu_update_mode(&cpu);
        crash_screen(&to, &cpu, i & 1 ? syms : NULL, "noise");
        says("---- noise\nvCPU 0: ");
    }
    free(noise);
}

/* stderr of a child that fails while it runs the vCPU, or not. */
static void fail_in_child(bool runs, bool by_assert)
{
    struct vcpu *const cpus[] = {&cpu, &cpu};
    int fds[2], status;
    size_t n = 0;
    ssize_t got;

    CHECK_EQ(pipe(fds), 0);
    if (!fork()) {
        dup2(fds[1], STDERR_FILENO);
        crash_watch(cpus, 2, &syms);
        crash_running(runs ? &cpu : NULL);
        rf_assert(!by_assert || 1 + 1 == 3);
        console_guard_signals();
        abort();
        _exit(0);
    }
    close(fds[1]);
    while ((got = read(fds[0], text + n, sizeof(text) - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = 0;
    close(fds[0]);
    wait(&status);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == 6); /* SIGABRT */
}

static void an_assert_shows_the_vcpu_that_ran(void)
{
    setup();
    fail_in_child(true, true);
    says("internal: tests/unit/inspect_crash.c:");
    says("!by_assert || 1 + 1 == 3 is not true; this is a fault of "
         "Ringfence's, please "
         "report it\n---- Ringfence itself failed; the vCPU that was running\n"
         "vCPU 0: 64-bit mode, CPL 0, at ffffffff81000100 <panic>\nrax ");
    CHECK(!strstr(strstr(text, "----") + 4, "----"));
}

static void an_assert_elsewhere_shows_all_vcpus(void)
{
    setup();
    fail_in_child(false, true);
    says("---- Ringfence itself failed, outside of the vCPUs\nvCPU 0: ");
    CHECK(strstr(strstr(text, "----") + 4, "----"));
}

static void a_fatal_signal_shows_it_too(void)
{
    setup();
    fail_in_child(true, false);
    says("---- Ringfence itself failed; the vCPU that was running\n"
         "vCPU 0: 64-bit mode, CPL 0, at ffffffff81000100 <panic>\n");
}

int main(void)
{
    struct error err;

    CHECK_EQ(guest_mem_init(&mem, RAM, &lock, &err), 0);
    CHECK_EQ(cpu_model_parse(&model, "x86-64-v2", &err), 0);
    syms = symbols_new();
    CHECK_EQ(symbols_add(syms, UPPER, "_text", 5, false), 0);
    CHECK_EQ(symbols_add(syms, UPPER + 0x100, "panic", 5, false), 0);
    CHECK(symbols_finish(syms, false));
    RUN(registers_are_in_words);
    RUN(a_walk_is_told_level_by_level);
    RUN(a_walk_of_32_bits_has_two_levels);
    RUN(code_is_shown_from_before_rip);
    RUN(code_ends_where_its_page_does);
    RUN(return_addresses_stand_behind_calls);
    RUN(frame_pointers_are_believed);
    RUN(the_caller_is_named_not_what_follows);
    RUN(the_stack_before_is_followed);
    RUN(a_stack_that_is_not_there_is_said);
    RUN(history_is_newest_first);
    RUN(any_state_can_be_shown);
    RUN(an_assert_shows_the_vcpu_that_ran);
    RUN(an_assert_elsewhere_shows_all_vcpus);
    RUN(a_fatal_signal_shows_it_too);
    symbols_free(syms);
    guest_mem_fini(&mem);
    return test_status();
}
