/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exceptions64.c - in 64-bit mode every exception has its vector, its error
 * code and the right saved RIP: faults at the instruction, traps behind it.
 */
#include "guest.h"

#define AT(label)                                                              \
    ({                                                                         \
        extern uint8_t label[];                                                \
        (word) label;                                                          \
    })

static volatile uint64_t zero;

static void divide(void)
{
    TRAP(asm volatile("xor %%edx, %%edx\n mov $1, %%eax\n"
                      ".globl l_div\nl_div: divl %0"
                      :
                      : "m"(zero)
                      : "rax", "rdx"));
    traps(DE, 0, "#DE by zero");
    is(trap.ip, AT(l_div), "#DE is a fault");
    TRAP(asm volatile("mov $2, %%edx\n xor %%eax, %%eax\n mov $1, %%ecx\n"
                      "div %%ecx"
                      :
                      :
                      : "rax", "rcx", "rdx"));
    traps(DE, 0, "#DE by overflow");
    TRAP(asm volatile("movabs $0x8000000000000000, %%rax\n cqo\n"
                      "mov $-1, %%rcx\n idiv %%rcx"
                      :
                      :
                      : "rax", "rcx", "rdx"));
    traps(DE, 0, "#DE by the most negative number");
}

static void software(void)
{
    TRAP(asm volatile("int3\n.globl l_bp\nl_bp:"));
    traps(BP, 0, "#BP");
    is(trap.ip, AT(l_bp), "#BP is a trap");
    TRAP(asm volatile("int $0x80\n.globl l_int\nl_int:"));
    traps(0x80, 0, "INT n");
    is(trap.ip, AT(l_int), "INT n saves the next RIP");
    TRAP(asm volatile(".byte 0xf1"));
    traps(DB, 0, "INT1 is #DB");
    is(trap.dr6 & 0x600f, 0, "INT1 leaves DR6 alone");
}

static void invalid(void)
{
    TRAP(asm volatile(".globl l_ud\nl_ud: ud2"));
    traps(UD, 0, "#UD by UD2");
    is(trap.ip, AT(l_ud), "#UD is a fault");
    TRAP(asm volatile(".byte 0x0f, 0x0b"));
    traps(UD, 0, "UD2 by its bytes");
    TRAP(asm volatile(".byte 0x06"));
    traps(UD, 0, "PUSH ES is #UD");
    TRAP(asm volatile(".byte 0xce"));
    traps(UD, 0, "INTO is #UD");
    TRAP(asm volatile(".byte 0x62, 0x00, 0x00, 0x00, 0x00, 0x00"));
    traps(UD, 0, "BOUND is not there");
    TRAP(asm volatile(".byte 0x9a, 0, 0, 0, 0, 8, 0"));
    traps(UD, 0, "CALL ptr16:32 is #UD");
    TRAP(asm volatile(".byte 0xf0, 0x90"));
    traps(UD, 0, "LOCK NOP is #UD");
    TRAP(asm volatile(".byte 0xf0, 0x01, 0xc0"));
    traps(UD, 0, "LOCK ADD on a register is #UD");
    TRAP(asm volatile(".byte 0x8e, 0xc8"));
    traps(UD, 0, "MOV CS, r is #UD");
    TRAP(asm volatile(".byte 0x0f, 0x20, 0xc8"));
    traps(UD, 0, "MOV r, CR1 is #UD");
    TRAP(asm volatile(".byte 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,"
                      "0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90"));
    traps(GP, 0, "16 bytes of instruction are #GP");
    TRAP(asm volatile(".byte 0xd6"));
    traps(UD, 0, "SALC is #UD");
}

static void fpu(void)
{
    word cr0 = get_cr0();

    TRAP(set_cr0(cr0 | 8); asm volatile("fnop"));
    traps(NM, 0, "#NM: x87 with TS");
    set_cr0(cr0);
    TRAP(set_cr0(cr0 | 4); asm volatile("fnop"));
    traps(NM, 0, "#NM: x87 with EM");
    set_cr0((cr0 & ~2ul) | 8);
    TRAP(asm volatile("fwait"));
    traps(NONE, 0, "FWAIT with TS but without MP");
    set_cr0(cr0 | 10);
    TRAP(asm volatile("fwait"));
    traps(NM, 0, "#NM: FWAIT with TS and MP");
    set_cr0(cr0);
    TRAP(asm volatile("xorps %xmm0, %xmm0"));
    traps(UD, 0, "SSE without OSFXSR is #UD");
    set_cr4(get_cr4() | 0x200);
    TRAP(set_cr0(cr0 | 8); asm volatile("xorps %xmm0, %xmm0"));
    traps(NM, 0, "#NM: SSE with TS");
    set_cr0(cr0);
    TRAP(set_cr0(cr0 | 4); asm volatile("xorps %xmm0, %xmm0"));
    traps(UD, 0, "SSE with EM is #UD");
    set_cr0(cr0);
    TRAP(asm volatile("xorps %xmm0, %xmm0"));
    traps(NONE, 0, "SSE runs");
    TRAP(set_cr0(cr0 | 8); asm volatile("clts; fnop"));
    traps(NONE, 0, "CLTS");
    set_cr0(cr0);
}

static void math(void)
{
    uint32_t mxcsr = 0x1f80 & ~0x200;
    uint16_t cw = 0x37f & ~4;

    TRAP(asm volatile("fninit\n fldcw %0\n fldz\n fld1\n fdiv %%st(1), %%st\n"
                      ".globl l_mf\nl_mf: fwait"
                      :
                      : "m"(cw)));
    traps(MF, 0, "#MF");
    is(trap.ip, AT(l_mf), "#MF comes with the next waiting instruction");
    TRAP(asm volatile("fnstcw %0\n fnclex" : "=m"(cw)));
    traps(NONE, 0, "FNSTCW and FNCLEX do not wait");
    TRAP(asm volatile("fwait"));
    traps(NONE, 0, "FNCLEX clears it");
    TRAP(asm volatile("fninit"));
    TRAP(asm volatile("ldmxcsr %0\n xorps %%xmm0, %%xmm0\n movaps %%xmm0, "
                      "%%xmm1\n cmpeqps %%xmm1, %%xmm1\n cvtdq2ps %%xmm1, "
                      "%%xmm1\n divps %%xmm0, %%xmm1"
                      :
                      : "m"(mxcsr)));
    traps(UD, 0, "SIMD exception without OSXMMEXCPT is #UD");
    set_cr4(get_cr4() | 0x400);
    TRAP(asm volatile("ldmxcsr %0\n xorps %%xmm0, %%xmm0\n pcmpeqd %%xmm1, "
                      "%%xmm1\n cvtdq2ps %%xmm1, %%xmm1\n"
                      ".globl l_xm\nl_xm: divps %%xmm0, %%xmm1"
                      :
                      : "m"(mxcsr)));
    traps(XM, 0, "#XM");
    is(trap.ip, AT(l_xm), "#XM is a fault");
    mxcsr = 0x10000;
    TRAP(asm volatile("ldmxcsr %0" : : "m"(mxcsr)));
    traps(GP, 0, "reserved bit of MXCSR");
    TRAP(asm volatile("movaps %0, %%xmm0" : : "m"(pages[0][8])));
    traps(GP, 0, "MOVAPS unaligned");
}

static void protection(void)
{
    TRAP(asm volatile("movabs $0x800000000000, %%rax\n mov (%%rax), %%al"
                      :
                      :
                      : "rax"));
    traps(GP, 0, "#GP: load from a non-canonical address");
    TRAP(asm volatile("movabs $0x7fffffffffff, %%rax\n mov (%%rax), %%eax"
                      :
                      :
                      : "rax"));
    traps(GP, 0, "#GP: load into the hole");
    TRAP(asm volatile("mov %%rsp, %%rcx\n movabs $0x800000000000, %%rsp\n"
                      "pop %%rax"
                      :
                      :
                      : "rax", "rcx"));
    traps(SS, 0, "#SS: POP from a non-canonical stack");
    TRAP(asm volatile("movabs $0x800000000000, %%rax\n mov %%rbp, %%rcx\n"
                      "mov %%rax, %%rbp\n mov (%%rbp), %%eax"
                      :
                      :
                      : "rax", "rcx"));
    traps(SS, 0, "#SS: non-canonical by RBP");
    TRAP(asm volatile("movabs $0x800000000000, %%rax\n jmp *%%rax"
                      :
                      :
                      : "rax"));
    traps(GP, 0, "#GP: jump to a non-canonical address");
    TRAP(asm volatile("mov %0, %%ds" : : "r"(SEL_OWN + 0x100)));
    traps(GP, SEL_OWN + 0x100, "#GP(sel): data segment not there");
    TRAP(asm volatile("mov %0, %%ds" : : "r"(0x1000)));
    traps(GP, 0x1000, "#GP(sel): beyond the GDT");
    TRAP(asm volatile("mov %0, %%ds" : : "r"(0x1004)));
    traps(GP, 0x1004, "#GP(sel): no LDT");
    gdt_set(SEL_OWN, 0, 0xfffff, 0xc013);
    TRAP(asm volatile("mov %0, %%es" : : "r"(SEL_OWN)));
    traps(NP, SEL_OWN, "#NP(sel)");
    TRAP(asm volatile("mov %0, %%ss" : : "r"(SEL_OWN)));
    traps(SS, SEL_OWN, "#SS(sel): stack segment not present");
    TRAP(asm volatile("mov %0, %%ss" : : "r"(SEL_CODE)));
    traps(GP, SEL_CODE, "#GP(sel): code as stack");
    TRAP(asm volatile("int $0x90"));
    traps(0x90, 0, "gate present");
    idt[2 * 0x90] &= ~(1ull << 47);
    TRAP(asm volatile("int $0x90"));
    traps(NP, 0x90 * 8 + 2, "#NP(IDT): gate not present");
    idt_gate(0x90, trap_entries[0x90], SEL_CODE, 0x85, 0);
    TRAP(asm volatile("int $0x90"));
    traps(GP, 0x90 * 8 + 2, "#GP(IDT): task gate in 64-bit mode");
    idt_gate(0x90, trap_entries[0x90], SEL_CODE32, GATE_INT, 0);
    TRAP(asm volatile("int $0x90"));
    traps(GP, SEL_CODE32, "#GP: handler in a 32-bit segment");
    idt_gate(0x90, trap_entries[0x90], 0, GATE_INT, 0);
    TRAP(asm volatile("int $0x90"));
    traps(GP, 0, "#GP(0): null selector in a gate");
    set_cr0(get_cr0());
    TRAP(set_cr0((get_cr0() & ~1ul)));
    traps(GP, 0, "PG without PE");
    TRAP(set_cr0(get_cr0() | 0x20000000));
    traps(GP, 0, "NW without CD");
    TRAP(set_cr0(get_cr0() & ~0x80000000ul));
    traps(GP, 0, "paging off in 64-bit mode");
    TRAP(set_cr4(get_cr4() & ~0x20ul));
    traps(GP, 0, "PAE off in long mode");
    TRAP(set_cr4(get_cr4() | 1ul << 31));
    traps(GP, 0, "reserved bit of CR4");
    TRAP(set_cr3(get_cr3() | 1ull << 60));
    traps(GP, 0, "reserved bit of CR3");
    TRAP(asm volatile("mov %0, %%cr0" : : "r"(1ull << 32 | get_cr0())));
    traps(GP, 0, "upper half of CR0");
    TRAP(set_cr8(16));
    traps(GP, 0, "CR8 above 15");
}

static uint8_t ist[4096];

void main(void)
{
    tss.ist[0] = (word)ist + sizeof(ist);
    idt_gate(SS, trap_entries[SS], SEL_CODE, GATE_INT, 1);
    divide();
    software();
    invalid();
    fpu();
    math();
    protection();
}
