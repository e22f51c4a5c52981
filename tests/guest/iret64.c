/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iret64.c - delivery and IRET in 64-bit mode: stack alignment, IST, stack
 * switch, compatibility mode, every refusal of IRET; double fault; far calls
 * through 64-bit call gates; LAR, LSL, VERR, VERW; LLDT, LTR.
 */
#include "guest.h"

static uint8_t ist[2][4096] __attribute__((aligned(16)));
static volatile word seen_sp, seen_ss, seen_cs;

CODE(u_done, "int $0x40");
CODE(u_ud, "ud2");
CODE(k_done, "int $0x92");
CODE(c32_add, ".code32\n mov $0x11223344, %eax\n push %eax\n pop %ecx\n"
              "inc %eax\n int $0x92\n.code64");
CODE(c32_dec, ".code32\n .byte 0x48\n int $0x92\n.code64");
CODE(gate_code, "mov %rsp, seen_sp\n mov %ss, %eax\n mov %rax, seen_ss\n"
                "mov %cs, %eax\n mov %rax, seen_cs\n int $0x92");
CODE(u_lcall, "rex.w lcall *(%rdi)\n int $0x40");
CODE(u_cs_mov, "mov %cs, %eax\n int $0x40");

static void iret(word ip, word cs, word flags, word sp, word ss)
{
    asm volatile("push %4\n push %3\n push %2\n push %1\n push %0\n iretq"
                 :
                 : "r"(ip), "r"(cs), "r"(flags), "r"(sp), "r"(ss));
}

static void delivery(void)
{
    word sp;

    TRAP(asm volatile("mov %%rsp, %%rax\n sub $3, %%rsp\n int $0x91"
                      :
                      :
                      : "rax"));
    is(trap.sp, trap.frame.ax - 3, "the saved RSP is the old one");
    is(trap.ss, SEL_DATA, "SS is always saved");
    tss.ist[0] = (word)ist[0] + 4096 - 8;
    idt_gate(0x91, trap_entries[0x91], SEL_CODE, GATE_INT, 1);
    TRAP(asm volatile("int $0x91"));
    traps(0x91, 0, "through an IST");
    is(*(word *)(ist[0] + 4096 - 16 - 8), SEL_DATA,
       "an IST stack is aligned to 16 bytes");
    user_run(u_ud, 0x3000, 0);
    traps(UD, 0, "from user mode");
    is(trap.cs, SEL_UCODE, "saved CS");
    is(trap.ss, SEL_UDATA, "saved SS");
    is(*(word *)(kernel_stack + 8192 - 8), SEL_UDATA, "on RSP0");
    tss.ist[0] = 1ull << 47;
    TRAP(asm volatile("int $0x91"));
    traps(SS, 0, "IST with a non-canonical stack");
    tss.ist[0] = (word)ist[0] + 4096;
    idt_gate(0x91, trap_entries[0x91], SEL_CODE, GATE_TRAP, 0);
    TRAP(asm volatile("sti\n int $0x91"));
    is(trap.flags & 0x200, 0x200, "saved IF");
    (void)sp;
}

static void returns(void)
{
    word sp = (word)kernel_stack + 4096;

    TRAP(iret((word)k_done, SEL_CODE, 2, sp, SEL_DATA));
    traps(0x92, 0, "IRET to the same level");
    is(trap.sp, sp, "loads RSP too");
    TRAP(iret((word)k_done, SEL_CODE, 2, sp, 0));
    traps(0x92, 0, "IRET with a null SS at CPL 0");
    is(trap.ss, 0, "saved null SS");
    TRAP(iret((word)USER(u_done), SEL_UCODE, 2, sp, 3));
    traps(GP, 0, "IRET with a null SS to CPL 3");
    TRAP(iret((word)k_done, 0, 2, sp, SEL_DATA));
    traps(GP, 0, "IRET with a null CS");
    TRAP(iret((word)k_done, SEL_DATA, 2, sp, SEL_DATA));
    traps(GP, SEL_DATA, "IRET with data for CS");
    TRAP(iret((word)k_done, SEL_UCODE & ~3, 2, sp, SEL_DATA));
    traps(GP, SEL_UCODE & ~3, "IRET: RPL below the DPL of CS");
    TRAP(iret((word)USER(u_done), SEL_UCODE, 2, sp, SEL_DATA));
    traps(GP, SEL_DATA, "IRET to CPL 3 with a stack of CPL 0");
    TRAP(iret(1ull << 47, SEL_CODE, 2, sp, SEL_DATA));
    traps(GP, 0, "IRET to a non-canonical address");
    TRAP(iret((word)k_done, SEL_CODE, 0x4002, sp, SEL_DATA));
    traps(0x92, 0, "IRET that loads NT");
    is(trap.flags & 0x4000, 0x4000, "NT is loaded");
    TRAP(set_flags(0x4002); iret((word)k_done, SEL_CODE, 2, sp, SEL_DATA));
    traps(GP, 0, "IRET with NT in long mode");
    TRAP(iret((word)k_done, SEL_CODE, 0x20002, sp, SEL_DATA));
    traps(0x92, 0, "IRET ignores VM in 64-bit mode");
    is(trap.flags & 0x20000, 0, "VM stays clear");
    gdt_set(SEL_OWN, 0, 0xfffff, 0xe09b); /* L and D */
    TRAP(iret((word)k_done, SEL_OWN, 2, sp, SEL_DATA));
    traps(GP, SEL_OWN, "IRET to a segment with L and D");
    gdt_set(SEL_OWN, 0, 0xfffff, 0xa01b);
    TRAP(iret((word)k_done, SEL_OWN, 2, sp, SEL_DATA));
    traps(NP, SEL_OWN, "IRET to a segment not present");
}

static void compatible(void)
{
    word sp = (word)kernel_stack + 4096;

    TRAP(iret((word)c32_add, SEL_CODE32, 2, sp, SEL_DATA));
    traps(0x92, 0, "32-bit code at CPL 0");
    is(trap.frame.cx, 0x11223344, "32-bit PUSH and POP");
    is(trap.sp, sp, "by 4 bytes");
    TRAP(asm volatile("movabs $0xffffffff00000001, %%rax"
                      :
                      :
                      : "rax");
         iret((word)c32_dec, SEL_CODE32, 2, sp, SEL_DATA));
    is(trap.frame.ax >> 32, 0, "0x48 is DEC there, not REX");
    TRAP(iret((word)c32_add + (1ull << 32), SEL_CODE32, 2, sp, SEL_DATA));
    traps(GP, 0, "32-bit code, target above its limit");
    user_run_cs(u_ud, 0, 0, SEL_UCODE32);
    traps(UD, 0, "compatibility mode at CPL 3");
    is(trap.cs, SEL_UCODE32, "saved CS");
}

static void double_fault(void)
{
    static uint8_t df_stack[4096] __attribute__((aligned(16)));

    tss.ist[1] = (word)df_stack + 4096;
    idt_gate(DF, trap_entries[DF], SEL_CODE, GATE_INT, 2);
    TRAP(asm volatile("mov %0, %%rsp\n push %%rax" : : "r"(1ull << 45)));
    traps(DF, 0, "#PF on a missing stack is #DF");
    idt_gate(GP, trap_entries[GP], SEL_CODE, 0x0e, 0);
    TRAP(asm volatile("int $13"));
    traps(NP, GP * 8 + 2, "a software interrupt's gate not present is #NP");
    idt_gate(GP, trap_entries[GP], SEL_CODE, GATE_INT, 0);
    idt_gate(UD, trap_entries[UD], SEL_CODE, 0x0e, 0);
    TRAP(asm volatile("ud2"));
    traps(NP, UD * 8 + 3, "#NP for #UD is #NP, with EXT");
    idt_gate(UD, trap_entries[UD], SEL_CODE, GATE_INT, 0);
    idt_gate(DE, trap_entries[DE], SEL_CODE, 0x0e, 0);
    TRAP(asm volatile("xor %%ecx, %%ecx\n div %%ecx"
                      :
                      :
                      : "rax", "rcx", "rdx"));
    traps(DF, 0, "#NP while #DE is delivered is #DF");
    idt_gate(DE, trap_entries[DE], SEL_CODE, GATE_INT, 0);
    idt_gate(PF, trap_entries[PF], SEL_CODE, 0x0e, 0);
    TRAP(asm volatile("mov %0, %%rax\n mov (%%rax), %%al"
                      :
                      : "r"(1ull << 45)
                      : "rax"));
    traps(DF, 0, "#NP while #PF is delivered is #DF");
    idt_gate(PF, trap_entries[PF], SEL_CODE, GATE_INT, 0);
}

static void gates(void)
{
    static struct {
        uint64_t off;
        uint16_t sel;
    } target = {0, SEL_OWN};
    uint64_t e = (word)gate_code;

    gdt[SEL_OWN / 8] =
        (e & 0xffff) | SEL_CODE << 16 | 0xecull << 40 | (e & 0xffff0000) << 32;
    gdt[SEL_OWN / 8 + 1] = e >> 32;
    user_run(u_lcall, 0, (word)USER(&target));
    traps(0x92, 0, "64-bit call gate from CPL 3");
    is(seen_sp, (word)kernel_stack + 8192 - 32, "four quadwords on RSP0");
    is(seen_ss, 0, "SS is null");
    is(seen_cs, SEL_CODE, "CS of the gate");
    is(*(word *)(kernel_stack + 8192 - 8), SEL_UDATA, "saved SS");
    is(*(word *)(kernel_stack + 8192 - 24), SEL_UCODE, "saved CS");
    TRAP(asm volatile("rex.w lcall *%0" : : "m"(target)));
    traps(0x92, 0, "64-bit call gate at CPL 0");
    is(seen_ss, SEL_DATA, "SS stays");
    gdt[SEL_OWN / 8] &= ~(3ull << 45);
    user_run(u_lcall, 0, (word)USER(&target));
    traps(GP, SEL_OWN, "a gate of DPL 0");
    gdt[SEL_OWN / 8 + 1] = 0x1f00ull << 32 | e >> 32;
    TRAP(asm volatile("rex.w lcall *%0" : : "m"(target)));
    traps(GP, SEL_OWN, "type bits in the upper half");
    gdt_set(SEL_OWN, 0, 0xfffff, 0xa09f); /* conforming */
    gdt[SEL_OWN / 8 + 1] = 0;
    target.off = (word)USER(u_cs_mov);
    asm volatile("" : : : "memory");
    user_run(u_lcall, 0, (word)USER(&target));
    traps(DONE, 0, "conforming code from CPL 3");
    is(trap.frame.ax, SEL_OWN | 3, "runs at CPL 3");
}

static void queries(void)
{
    uint32_t v = 0;
    uint8_t z;

    asm volatile("lar %2, %0\n setz %1" : "+r"(v), "=q"(z) : "r"(SEL_CODE));
    is(v & 0xf0ff00, 0xa09b00, "LAR of code");
    asm volatile("lsl %2, %0\n setz %1" : "+r"(v), "=q"(z) : "r"(SEL_TSS));
    is(v, sizeof(tss) - 1, "LSL of the TSS");
    asm volatile("lar %2, %0\n setz %1" : "+r"(v), "=q"(z) : "r"(0));
    is(z, 0, "LAR of null");
    asm volatile("lar %2, %0\n setz %1" : "+r"(v), "=q"(z) : "r"(0x1000));
    is(z, 0, "LAR beyond the table");
    asm volatile("verw %1\n setz %0" : "=q"(z) : "r"((uint16_t)SEL_CODE));
    is(z, 0, "VERW of code");
    asm volatile("verr %1\n setz %0" : "=q"(z) : "r"((uint16_t)SEL_CODE));
    is(z, 1, "VERR of readable code");
    asm volatile("verw %1\n setz %0" : "=q"(z) : "r"((uint16_t)SEL_DATA));
    is(z, 1, "VERW of data");
    asm volatile("verr %1\n setz %0" : "=q"(z) : "r"((uint16_t)(SEL_DATA | 3)));
    is(z, 0, "VERR with RPL above DPL");
    TRAP(asm volatile("ltr %0" : : "r"((uint16_t)SEL_TSS)));
    traps(GP, SEL_TSS, "LTR of a busy TSS");
    TRAP(asm volatile("ltr %0" : : "r"((uint16_t)0)));
    traps(GP, 0, "LTR of null");
    TRAP(asm volatile("ltr %0" : : "r"((uint16_t)SEL_CODE)));
    traps(GP, SEL_CODE, "LTR of code");
    TRAP(asm volatile("lldt %0" : : "r"((uint16_t)SEL_TSS)));
    traps(GP, SEL_TSS, "LLDT of a TSS");
    TRAP(asm volatile("lldt %0" : : "r"((uint16_t)4)));
    traps(GP, 4, "LLDT with TI");
    TRAP(asm volatile("lldt %0" : : "r"((uint16_t)0)));
    traps(NONE, 0, "LLDT of null");
    gdt_set(SEL_OWN, 0, 15, 0x82);
    gdt[SEL_OWN / 8 + 1] = 0x00008000; /* base bits 63..32 */
    TRAP(asm volatile("lldt %0" : : "r"((uint16_t)SEL_OWN)));
    traps(GP, SEL_OWN, "LLDT: non-canonical base");
}

static void alignment(void)
{
    extern uint8_t u_unaligned[];

    set_cr0(get_cr0() | 1 << 18);
    user_run(u_unaligned, 0x40000, 0);
    traps(AC, 0, "#AC at CPL 3");
    user_run(u_unaligned, 0, 0);
    traps(DONE, 0, "without AC none");
    set_cr0(get_cr0() & ~(1ul << 18));
    user_run(u_unaligned, 0x40000, 0);
    traps(DONE, 0, "without CR0.AM none");
}
CODE(u_unaligned, "mov -7(%rsp), %eax\n int $0x40");

void main(void)
{
    delivery();
    returns();
    compatible();
    double_fault();
    gates();
    queries();
    alignment();
}
