/* SPDX-License-Identifier: Apache-2.0 */
/*
 * syscall.c - SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS, FSGSBASE and the
 * instructions that user mode may be denied.
 */
#include "guest.h"

#define EFER 0xc0000080u

static struct {
    volatile word cx, r11, flags, sp, cs, ss;
} seen;

CODE(sc_entry, "mov %rcx, seen\n mov %r11, seen+8\n pushf\n"
               "pop seen+16\n mov %rsp, seen+24\n mov %cs, %eax\n"
               "mov %rax, seen+32\n mov %ss, %eax\n mov %rax, seen+40\n"
               "mov $kernel_stack + 8192, %rsp\n int $0x92");
CODE(se_entry, "mov %rsp, seen+24\n pushf\n pop seen+16\n"
               "mov %cs, %eax\n mov %rax, seen+32\n int $0x92");
CODE(u_syscall, "syscall\n int $0x40");
CODE(u_sysenter, "sysenter\n int $0x40");
CODE(u_done, "int $0x40");
CODE(u_sysret, "sysretq");
CODE(u_sysexit, "sysexitq");
CODE(u_swapgs, "swapgs");
CODE(u_wrfsbase, "wrfsbase %rdi\n mov %fs:0, %al\n int $0x40");
CODE(u_rdgsbase, "rdgsbase %rax\n int $0x40");
CODE(u_rdtsc, "rdtsc\n int $0x40");
CODE(u_rdtscp, "rdtscp\n int $0x40");
CODE(u_rdpmc, "xor %ecx, %ecx\n rdpmc");
CODE(u_sgdt, "sgdt -32(%rsp)\n int $0x40");
CODE(u_sidt, "sidt -32(%rsp)\n int $0x40");
CODE(u_sldt, "sldt %eax\n int $0x40");
CODE(u_str, "str %eax\n int $0x40");
CODE(u_smsw, "smsw %eax\n int $0x40");
CODE(u_cli, "cli\n int $0x40");
CODE(u_sti, "sti\n int $0x40");
CODE(u_hlt, "hlt");
CODE(u_in, "mov $0x3fd, %edx\n in (%dx), %al\n int $0x40");
CODE(u_inl, "mov $0x3fc, %edx\n in (%dx), %eax\n int $0x40");
CODE(u_popf, "pushq $0x3202\n popfq\n int $0x40");
CODE(u_wrmsr, "wrmsr");
CODE(u_cr, "mov %cr0, %rax");
CODE(u_dr, "mov %dr7, %rax");
CODE(u_lgdt, "lgdt (%rsp)");
CODE(u_lldt, "lldt %ax");
CODE(u_ltr, "ltr %ax");
CODE(u_invlpg, "invlpg (%rsp)");
CODE(u_wbinvd, "wbinvd");
CODE(u_clts, "clts");
CODE(u_int80, "int $0x93");
CODE(u_int3, "int3");
CODE(u_pushf, "pushf\n pop %rax\n int $0x40");

static void syscall(void)
{
    wrmsr(EFER, rdmsr(EFER) & ~1ull);
    user_run(u_syscall, 0, 0);
    traps(UD, 0, "SYSCALL without EFER.SCE");
    TRAP(asm volatile("sysretq"));
    traps(UD, 0, "SYSRET without EFER.SCE");
    wrmsr(EFER, rdmsr(EFER) | 1);
    wrmsr(0xc0000081, 0x001b000800000000);
    wrmsr(0xc0000082, (word)sc_entry);
    wrmsr(0xc0000084, 0x40400);
    user_run(u_syscall, 0x40cd7, 0);
    traps(0x92, 0, "SYSCALL");
    is(seen.cx, (word)USER(u_syscall) + 2, "RCX: the next RIP");
    is(seen.r11, 0x40cd7, "R11: the flags");
    is(seen.flags & ~0x44ul, 0x893, "SFMASK clears flags");
    is(seen.sp, (word)USER(user_stack) + sizeof(user_stack) - 64,
       "RSP stays the user's");
    is(seen.cs, 8, "CS from STAR");
    is(seen.ss, 16, "SS from STAR");
    TRAP(wrmsr(0xc0000082, 1ull << 47));
    traps(GP, 0, "LSTAR takes canonical addresses only");
    user_run(u_sysret, 0, 0);
    traps(GP, 0, "SYSRET at CPL 3");
    TRAP(asm volatile("mov %0, %%rcx\n mov $0x10ed7, %%r11d\n sysretq"
                      :
                      : "r"(USER(u_done))
                      : "rcx", "r11"));
    traps(DONE, 0, "SYSRET to 64-bit code");
    is(trap.cs, SEL_UCODE, "CS of SYSRET");
    is(trap.ss, SEL_UDATA, "SS of SYSRET");
    is(trap.flags, 0xed7, "flags of SYSRET, RF clear");
    TRAP(asm volatile("mov %0, %%rcx\n mov $2, %%r11d\n sysretl"
                      :
                      : "r"(USER(u_done))
                      : "rcx", "r11"));
    traps(DONE, 0, "SYSRET to 32-bit code");
    is(trap.cs, SEL_UCODE32, "CS of SYSRET to 32 bits");
    TRAP(asm volatile("movabs $0x800000000000, %%rcx\n mov $2, %%r11d\n"
                      "sysretq"
                      :
                      :
                      : "rcx", "r11"));
    traps(GP, 0, "SYSRET to a non-canonical address");
    is(trap.cs, SEL_CODE, "it faults at CPL 0");
    user_run_cs(u_syscall, 0, 0, SEL_UCODE32);
    traps(UD, 0, "SYSCALL in compatibility mode");
}

static void sysenter(void)
{
    wrmsr(0x174, 0);
    user_run(u_sysenter, 0, 0);
    traps(GP, 0, "SYSENTER with a null CS");
    wrmsr(0x174, 8);
    wrmsr(0x175, (word)kernel_stack + 4096);
    wrmsr(0x176, (word)se_entry);
    user_run(u_sysenter, 0x202, 0);
    traps(0x92, 0, "SYSENTER");
    is(seen.sp, (word)kernel_stack + 4096, "RSP of SYSENTER");
    is(seen.flags & 0x200, 0, "SYSENTER clears IF");
    is(seen.cs, 8, "CS of SYSENTER");
    TRAP(asm volatile("mov %0, %%rdx\n mov %1, %%rcx\n sysexitq"
                      :
                      : "r"(USER(u_done)), "r"(USER(user_stack + 4096))
                      : "rcx", "rdx"));
    traps(DONE, 0, "SYSEXIT to 64-bit code");
    is(trap.cs, SEL_UCODE, "CS of SYSEXIT");
    is(trap.ss, 0x33, "SS of SYSEXIT");
    is(trap.sp, (word)USER(user_stack + 4096), "RSP of SYSEXIT");
    TRAP(asm volatile("mov %0, %%rdx\n mov %1, %%rcx\n sysexitl"
                      :
                      : "r"(USER(u_done)), "r"(USER(user_stack + 4096))
                      : "rcx", "rdx"));
    traps(DONE, 0, "SYSEXIT to 32-bit code");
    is(trap.cs, SEL_UCODE32, "CS of SYSEXIT to 32 bits");
    user_run(u_sysexit, 0, 0);
    traps(GP, 0, "SYSEXIT at CPL 3");
}

static void bases(void)
{
    uint64_t *p = (uint64_t *)pages[0];

    TRAP(asm volatile("rdfsbase %%rax" : : : "rax"));
    traps(UD, 0, "RDFSBASE without CR4.FSGSBASE");
    user_run(u_rdgsbase, 0, 0);
    traps(UD, 0, "RDGSBASE at CPL 3 without CR4.FSGSBASE");
    set_cr4(get_cr4() | 1 << 16);
    wrmsr(0xc0000101, 0x1111000);
    user_run(u_rdgsbase, 0, 0);
    is(trap.frame.ax, 0x1111000, "RDGSBASE at CPL 3");
    user_run(u_wrfsbase, 0, USER_BASE + 0x100000);
    traps(DONE, 0, "WRFSBASE at CPL 3");
    is(rdmsr(0xc0000100), USER_BASE + 0x100000, "MSR and WRFSBASE are one");
    TRAP(asm volatile("wrgsbase %0" : : "r"(1ull << 47)));
    traps(GP, 0, "WRGSBASE of a non-canonical address");
    TRAP(asm volatile("wrgsbase %k0" : : "r"(~0ull)));
    is(rdmsr(0xc0000101), 0xffffffff, "32-bit WRGSBASE zero-extends");
    wrmsr(0xc0000102, (word)p);
    p[1] = 0x4711;
    asm volatile("swapgs\n mov %%gs:8, %%rax" : "=a"(p[2]));
    is(p[2], 0x4711, "SWAPGS");
    is(rdmsr(0xc0000102), 0xffffffff, "SWAPGS swaps");
    user_run(u_swapgs, 0, 0);
    traps(GP, 0, "SWAPGS at CPL 3");
    TRAP(wrmsr(0xc0000102, 1ull << 47));
    traps(GP, 0, "KERNEL_GS_BASE takes canonical addresses only");
    asm volatile("mov %0, %%gs" : : "r"(0));
    set_cr4(get_cr4() & ~(1ul << 16));
}

static void user_check(const void *code, unsigned vector, const char *claim)
{
    user_run(code, 0, 0);
    traps(vector, 0, claim);
}

static void denied(void)
{
    user_check(u_cli, GP, "CLI with IOPL 0");
    user_check(u_sti, GP, "STI with IOPL 0");
    user_run(u_cli, 0x3000, 0);
    traps(DONE, 0, "CLI with IOPL 3");
    user_run(u_sti, 0x3000, 0);
    traps(DONE, 0, "STI with IOPL 3");
    is(trap.flags & 0x200, 0x200, "and it sets IF");
    user_check(u_popf, DONE, "POPF at CPL 3");
    is(trap.flags & 0x3200, 0, "POPF at CPL 3 changes neither IF nor IOPL");
    user_check(u_hlt, GP, "HLT");
    user_check(u_wrmsr, GP, "WRMSR");
    user_check(u_cr, GP, "MOV from CR0");
    user_check(u_dr, GP, "MOV from DR7");
    user_check(u_lgdt, GP, "LGDT");
    user_check(u_lldt, GP, "LLDT");
    user_check(u_ltr, GP, "LTR");
    user_check(u_invlpg, GP, "INVLPG");
    user_check(u_wbinvd, GP, "WBINVD");
    user_check(u_clts, GP, "CLTS");
    user_check(u_rdtsc, DONE, "RDTSC");
    user_check(u_rdtscp, DONE, "RDTSCP");
    set_cr4(get_cr4() | 4);
    user_check(u_rdtsc, GP, "RDTSC with TSD");
    user_check(u_rdtscp, GP, "RDTSCP with TSD");
    TRAP(rdtsc());
    traps(NONE, 0, "RDTSC at CPL 0 with TSD");
    set_cr4(get_cr4() & ~4ul);
    user_check(u_rdpmc, GP, "RDPMC");
    user_check(u_sgdt, DONE, "SGDT");
    set_cr4(get_cr4() | 1 << 11);
    user_check(u_sgdt, GP, "SGDT with UMIP");
    user_check(u_sidt, GP, "SIDT with UMIP");
    user_check(u_sldt, GP, "SLDT with UMIP");
    user_check(u_str, GP, "STR with UMIP");
    user_check(u_smsw, GP, "SMSW with UMIP");
    TRAP(asm volatile("smsw %%eax" : : : "rax"));
    traps(NONE, 0, "SMSW at CPL 0 with UMIP");
    set_cr4(get_cr4() & ~(1ul << 11));
    user_run(u_int80, 0, 0);
    traps(GP, 0x93 * 8 + 2, "INT n into a gate of DPL 0");
    user_run(u_int3, 0, 0);
    traps(GP, 3 * 8 + 2, "INT3 into a gate of DPL 0");
}

static void ports(void)
{
    user_check(u_in, GP, "IN without a bitmap");
    tss.iomap = (uint16_t)offsetof(struct tss, bitmap);
    memset(tss.bitmap, 0xff, sizeof(tss.bitmap));
    user_check(u_in, GP, "IN, bit set");
    tss.bitmap[0x3fd / 8] &= ~(1u << (0x3fd & 7));
    user_check(u_in, DONE, "IN, bit clear");
    user_check(u_inl, GP, "IN of 4 bytes, one bit clear");
    tss.bitmap[0x3fc / 8] &= 0x0f;
    user_check(u_inl, DONE, "IN of 4 bytes, all clear");
    tss.iomap = sizeof(tss);
    user_run(u_in, 0x3000, 0);
    traps(DONE, 0, "IN with IOPL 3");
}

void main(void)
{
    syscall();
    sysenter();
    bases();
    denied();
    ports();
}
