/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prot32.c - segments in 32-bit protected mode: limits, expand-down, types,
 * null, LDT, call gates of 16 and 32 bits, conforming code, RETF, LSS, ARPL,
 * #OF, #BR, #SS, #TS, #NP; 16-bit code and stacks.
 */
#include "guest.h"

static struct {
    volatile uint32_t esp, ss, cs, eax;
} seen;
static uint8_t stack16[256] __attribute__((aligned(16)));

CODE(u_done, "int $0x40");
CODE(u_int94, "int $0x94");
CODE(u_lcall, "pushl $0x1111\n pushl $0x2222\n lcall *(%edi)\n int $0x40");
CODE(gate_code, "mov %esp, seen\n mov %ss, seen+4\n mov %cs, seen+8\n"
                "int $0x92");
CODE(gate_ret, "mov 8(%esp), %eax\n lret $8");
CODE(u_into, "mov $0x7fffffff, %eax\n inc %eax\n into\n int $0x40");
CODE(u_ds, "mov $0x10, %eax\n mov %eax, %ds");
CODE(u_seg, "mov %edi, %es\n int $0x40");
CODE(u_data, "mov %ds, %eax\n mov %es, %ecx\n mov %fs, %edx\n int $0x40");
CODE(k_c16, ".code16\n mov %di, %ss\n mov $0xabcd0080, %esp\n"
            "push %ax\n mov $0x12345678, %ebx\n push %bx\n"
            "mov %esp, %ecx\n int $0x92\n.code32");

#define LOAD(seg, off)                                                         \
    TRAP(asm volatile("movb %%" #seg ":(%0), %%al" : : "r"(off) : "eax"))
#define STORE(seg, off)                                                        \
    TRAP(asm volatile("movb %%al, %%" #seg ":(%0)" : : "r"(off) : "memory"))
#define SEG(seg, sel) asm volatile("mov %0, %%" #seg : : "r"(sel))

static void limits(void)
{
    gdt_set(SEL_OWN, (word)pages[0], 0xff, 0x4093);
    SEG(fs, SEL_OWN);
    LOAD(fs, 0xff);
    traps(NONE, 0, "last byte of a segment");
    LOAD(fs, 0x100);
    traps(GP, 0, "one beyond the limit");
    TRAP(asm volatile("movl %%fs:0xfd, %%eax" : : : "eax"));
    traps(GP, 0, "4 bytes over the limit");
    TRAP(asm volatile("movl %%fs:0xfc, %%eax" : : : "eax"));
    traps(NONE, 0, "4 bytes up to it");
    gdt_set(SEL_OWN, (word)pages[0], 0, 0xc093);
    SEG(fs, SEL_OWN);
    LOAD(fs, 0xfff);
    traps(NONE, 0, "granularity of 4 KiB");
    LOAD(fs, 0x1000);
    traps(GP, 0, "and beyond");
    gdt_set(SEL_OWN, (word)pages[0], 0xff, 0x4097);
    SEG(fs, SEL_OWN);
    LOAD(fs, 0xff);
    traps(GP, 0, "expand-down: at the limit");
    LOAD(fs, 0x100);
    traps(NONE, 0, "expand-down: above it");
    gdt_set(SEL_OWN, (word)pages[0], 0xff, 0x0097);
    SEG(fs, SEL_OWN);
    LOAD(fs, 0xffff);
    traps(NONE, 0, "expand-down, 16 bits: up to 64 KiB");
    LOAD(fs, 0x10000);
    traps(GP, 0, "expand-down, 16 bits: no more");
    gdt_set(SEL_OWN, 0, 0xfffff, 0xc091);
    SEG(fs, SEL_OWN);
    STORE(fs, pages[0]);
    traps(GP, 0, "write to read-only data");
    gdt_set(SEL_OWN, 0, 0xfffff, 0xc099);
    TRAP(SEG(fs, SEL_OWN));
    traps(GP, SEL_OWN, "execute-only code as data");
    gdt_set(SEL_OWN, 0, 0xfffff, 0xc090);
    SEG(fs, SEL_OWN);
    is(gdt[SEL_OWN / 8] >> 40 & 1, 1, "loading sets the accessed bit");
    SEG(fs, 0);
    LOAD(fs, pages[0]);
    traps(GP, 0, "null segment");
    TRAP(SEG(ss, 0));
    traps(GP, 0, "null SS");
    gdt_set(SEL_OWN, 0, 0xfffff, 0xc013);
    TRAP(SEG(ss, SEL_OWN));
    traps(SS, SEL_OWN, "SS not present");
    TRAP(SEG(fs, SEL_OWN));
    traps(NP, SEL_OWN, "FS not present");
}

/* At CPL 3: the handler needs a flat stack. */
CODE(u_ss, "mov %edi, %ss\n xor %ebp, %ebp\n mov $0x800, %esp\n"
           "push %eax\n mov 0x1000(%ebp), %eax");
CODE(u_push, "mov %edi, %ss\n mov $0x1004, %esp\n push %eax");

static void stack_fault(void)
{
    gdt_set(SEL_OWN, (word)pages[0], 0xfff, 0x40f3);
    user_run(u_ss, 0, SEL_OWN | 3);
    traps(SS, 0, "#SS beyond the limit, by EBP");
    is(trap.sp, 0x7fc, "PUSH below it is allowed");
    user_run(u_push, 0, SEL_OWN | 3);
    traps(SS, 0, "#SS: PUSH beyond the limit");
    is(trap.sp, 0x1004, "ESP did not move");
}

static void code_limit(void)
{
    static uint8_t code[4096] __attribute__((aligned(4096)));

    memset(code, 0x90, sizeof(code));
    gdt_set(SEL_OWN, (word)code, 0xff, 0x409b);
    TRAP(asm volatile("ljmp $0x50, $0xf0"));
    traps(GP, 0, "running over the end of CS");
    is(trap.ip, 0x100, "at the first byte beyond");
    code[0xfe] = 0xb8;
    TRAP(asm volatile("ljmp $0x50, $0xf0"));
    traps(GP, 0, "an instruction that crosses the end of CS");
    is(trap.ip, 0xfe, "at its first byte");
    TRAP(asm volatile("ljmp $0x50, $0x100"));
    traps(GP, 0, "far jump beyond the limit");
    is(trap.cs, SEL_CODE, "faults at its origin");
    memset(code, 0x90, 512);
    gdt_set(SEL_OWN, (word)code, 0xfff, 0x409b);
    TRAP(asm volatile("ljmp $0x50, $0xf0"));
    traps(GP, 0, "to the end of a page");
    is(trap.ip, 0x1000, "and no further");
    TRAP(asm volatile("ljmp $0x10, $0"));
    traps(GP, SEL_DATA, "far jump to data");
    TRAP(asm volatile("ljmp $0, $0"));
    traps(GP, 0, "far jump to null");
    gdt_set(SEL_OWN, 0, 0xfffff, 0xc01b);
    TRAP(asm volatile("ljmp $0x50, $0"));
    traps(NP, SEL_OWN, "far jump to code not present");
}

static void gate(unsigned type, unsigned dpl, unsigned params, const void *code)
{
    word e = (word)code;

    gdt[SEL_OWN / 8] = (e & 0xffff) | SEL_CODE << 16 | (uint64_t)params << 32 |
                       (uint64_t)(0x80 | dpl << 5 | type) << 40 |
                       (uint64_t)(e >> 16) << 48;
}

static void gates(void)
{
    static struct {
        uint32_t off;
        uint16_t sel;
    } target = {0, SEL_OWN};
    uint32_t *top = (uint32_t *)(kernel_stack + sizeof(kernel_stack));

    gate(0xc, 3, 2, gate_code);
    user_run(u_lcall, 0, (word)&target);
    traps(0x92, 0, "32-bit call gate from CPL 3");
    is(seen.esp, (word)(top - 6), "SS, ESP, two parameters, CS, EIP");
    is(seen.ss, SEL_DATA, "SS from the TSS");
    is(seen.cs, SEL_CODE, "CS at CPL 0");
    is(top[-1], SEL_UDATA, "saved SS");
    is(top[-3], 0x1111, "first parameter");
    is(top[-4], 0x2222, "second parameter");
    is(top[-5], SEL_UCODE, "saved CS");
    gate(0xc, 3, 2, gate_ret);
    user_run(u_lcall, 0, (word)&target);
    traps(DONE, 0, "RETF to CPL 3");
    is(trap.frame.ax, 0x2222, "the gate saw its parameter");
    is(trap.sp, (word)user_stack + sizeof(user_stack) - 64,
       "parameters are gone from the outer stack");
    gate(0xc, 0, 0, gate_code);
    user_run(u_lcall, 0, (word)&target);
    traps(GP, SEL_OWN, "call gate of DPL 0");
    gate(0xc, 3, 0, gate_code);
    gdt[SEL_OWN / 8] &= ~(1ull << 47);
    user_run(u_lcall, 0, (word)&target);
    traps(NP, SEL_OWN, "call gate not present");
    gate(0xc, 3, 0, gate_code);
}

static void gate_bad_stack(void)
{
    static struct {
        uint32_t off;
        uint16_t sel;
    } target = {0, SEL_OWN};

    /* conforming: no stack switch, no change of level */
    gdt_set(SEL_OWN, 0, 0xfffff, 0xc09f);
    target.off = (word)u_done;
    user_run(u_lcall, 0, (word)&target);
    traps(DONE, 0, "conforming code from CPL 3");
    is(trap.cs, SEL_OWN | 3, "runs at CPL 3");
    gdt_set(SEL_OWN, 0, 0xfffff, 0xc09b);
    user_run(u_lcall, 0, (word)&target);
    traps(GP, SEL_OWN, "non-conforming code of DPL 0 from CPL 3");
    gdt_set(SEL_OWN, 0, 0xfffff, 0xc0fb);
    TRAP(asm volatile("ljmp *%0" : : "m"(target)));
    traps(GP, SEL_OWN, "code of DPL 3 from CPL 0");
}

static void user(void)
{
    user_run(u_into, 0, 0);
    traps(GP, OF * 8 + 2, "INTO into a gate of DPL 0");
    idt_gate(OF, trap_entries[OF], SEL_CODE, GATE_USER, 0);
    user_run(u_into, 0, 0);
    traps(OF, 0, "#OF");
    user_run(u_ds, 0, 0);
    traps(GP, SEL_DATA, "user loads data of DPL 0");
    user_run(u_seg, 0, SEL_DATA | 3);
    traps(GP, SEL_DATA, "RPL does not help");
    user_run(u_seg, 0, 3);
    traps(DONE, 0, "null with RPL 3");
}

static void legacy(void)
{
    static int32_t bounds[2] = {-5, 7};
    uint16_t sel;
    uint8_t z;

    TRAP(asm volatile("bound %0, %1" : : "r"(7), "m"(bounds[0])));
    traps(NONE, 0, "BOUND inside");
    TRAP(asm volatile("bound %0, %1" : : "r"(8), "m"(bounds[0])));
    traps(BR, 0, "#BR above");
    TRAP(asm volatile("bound %0, %1" : : "r"(-6), "m"(bounds[0])));
    traps(BR, 0, "#BR below");
    sel = 0x10;
    asm volatile("arpl %2, %0\n setz %1"
                 : "+r"(sel), "=q"(z)
                 : "r"((uint16_t)3));
    is(sel << 1 | z, 0x13 << 1 | 1, "ARPL raises");
    asm volatile("arpl %2, %0\n setz %1"
                 : "+r"(sel), "=q"(z)
                 : "r"((uint16_t)1));
    is(sel << 1 | z, 0x13 << 1, "ARPL does not lower");
    TRAP(asm volatile(".byte 0xd4, 0" : : : "eax"));
    traps(DE, 0, "AAM 0 is #DE");
    TRAP(asm volatile("mov $0x0f, %%al\n aaa" : : : "eax"));
    traps(NONE, 0, "AAA");
    TRAP(asm volatile(".byte 0x0f, 0x05"));
    traps(UD, 0, "SYSCALL in protected mode is #UD");
    TRAP(asm volatile("swapgs_: .byte 0x0f, 0x01, 0xf8"));
    traps(UD, 0, "SWAPGS outside 64-bit mode is #UD");
    TRAP(asm volatile(".byte 0xc4, 0xc0, 0, 0, 0, 0"));
    ok(trap.vector == UD, "LES with a register is #UD");
    gdt_set(SEL_OWN, 0, 0x1ff, 0x82);
    gdt_set(SEL_OWN + 8, 0, 0, 0);
    asm volatile("lldt %0" : : "r"((uint16_t)SEL_OWN));
    TRAP(SEG(fs, 0x204));
    traps(GP, 0x204, "beyond the LDT");
    asm volatile("lldt %0" : : "r"((uint16_t)0));
    TRAP(SEG(fs, 4));
    traps(GP, 4, "no LDT");
}

static void sixteen(void)
{
    gdt_set(SEL_OWN, (word)k_c16, 0xffff, 0x00fb);
    gdt_set(SEL_OWN + 8, (word)stack16, 0xffff, 0x00f3);
    idt_gate(0x92, trap_entries[0x92], SEL_CODE, GATE_USER, 0);
    TRAP(user_enter(0, 0, 2, SEL_OWN | 3, SEL_OWN + 11));
    traps(0x92, 0, "16-bit code on a 16-bit stack");
    is(trap.frame.cx, 0xabcd007c, "PUSH moves SP by 2, and SP alone");
    is(trap.frame.bx, 0x12345678, "operand size prefix");
    is(trap.ip, (word)(k_c16_end - k_c16), "EIP is an offset");
}

CODE(u_sysenter, "mov $0x1234, %ebp\n sysenter");
CODE(se_entry, "mov %esp, seen\n mov %cs, seen+8\n pushf\n pop %eax\n"
               "mov $u_done, %edx\n lea user_stack+4096, %ecx\n sysexit");

static void sysenter(void)
{
    wrmsr(0x174, 0);
    user_run(u_sysenter, 0, 0);
    traps(GP, 0, "SYSENTER with a null CS");
    wrmsr(0x174, SEL_CODE);
    wrmsr(0x175, (word)kernel_stack + 4096);
    wrmsr(0x176, (word)se_entry);
    user_run(u_sysenter, 0x202, 0);
    traps(DONE, 0, "SYSENTER, SYSEXIT");
    is(seen.esp, (word)kernel_stack + 4096, "ESP of SYSENTER");
    is(seen.cs, SEL_CODE, "CS of SYSENTER");
    is(trap.frame.ax & 0x200, 0, "SYSENTER clears IF");
    is(trap.cs, SEL_UCODE, "CS of SYSEXIT");
    is(trap.ss, SEL_UDATA, "SS of SYSEXIT");
    is(trap.sp, (word)user_stack + 4096, "ESP of SYSEXIT");
}

CODE(k_done, "int $0x92");

/* Linear addresses have 32 bits: base and offset wrap. */
static void wrapping(void)
{
    word at = (word)k_done + 0x100000;

    gdt_set(SEL_OWN, 0xfff00000, 0xfffff, A_CODE32);
    gdt_set(SEL_OWN + 8, 0xfff00000, 0xfffff, A_DATA32);
    *(volatile uint32_t *)pages[0] = 0x600d;
    SEG(fs, SEL_OWN + 8);
    TRAP(asm volatile("mov %%fs:(%0), %%eax"
                      :
                      : "r"((word)pages[0] + 0x100000)
                      : "eax");
         asm volatile("int $0x92"));
    is(trap.frame.ax, 0x600d, "data wraps at 4 GiB");
    TRAP(asm volatile("push %0\n push %1\n lret" : : "r"(SEL_OWN), "r"(at)));
    traps(0x92, 0, "code wraps at 4 GiB");
    is(trap.ip, at + 2, "EIP does not");
    SEG(fs, 0);
}

static void small_gate(void)
{
    uint16_t *top = (uint16_t *)(kernel_stack + sizeof(kernel_stack));

    memset(kernel_stack, 0, sizeof(kernel_stack));
    memcpy((void *)0x3000, gate_code, (size_t)(gate_code_end - gate_code));
    idt_gate(0x94, (void *)0x3000, SEL_CODE, 0xe6, 0);
    user_run(u_int94, 0, 0);
    traps(0x92, 0, "16-bit interrupt gate");
    is(seen.esp, (word)(top - 5), "five words");
    is(top[-1], SEL_UDATA, "saved SS");
    is(top[-4], SEL_UCODE, "saved CS");
}

void main(void)
{
    limits();
    stack_fault();
    code_limit();
    gates();
    gate_bad_stack();
    user();
    legacy();
    sixteen();
    sysenter();
    wrapping();
    small_gate();
}
