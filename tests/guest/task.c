/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task.c - hardware task switches: by JMP, CALL, a task gate in the GDT and
 * in the IDT, back by IRET; busy bits, NT, link, TS, the T bit, 16-bit TSS.
 * [SDM 3A 7]
 */
#include "guest.h"

#define SEL_T2   0x60
#define SEL_GATE 0x68
#define SEL_T16  0x70

static struct tss two __attribute__((aligned(16)));
static uint16_t sixteen[64];
static uint8_t stack[4096] __attribute__((aligned(16)));
static volatile uint32_t runs, seen_flags, seen_error, seen_cr0, seen_tr;

CODE(t_iret, "1: incl runs\n pushf\n pop seen_flags\n mov %cr0, %eax\n"
             "mov %eax, seen_cr0\n str %eax\n mov %eax, seen_tr\n clts\n"
             "iret\n jmp 1b");
CODE(t_error, "1: incl runs\n pop seen_error\n addl $2, tss+32\n clts\n"
              "iret\n jmp 1b");
CODE(t_jmp, "incl runs\n pushf\n pop seen_flags\n clts\n ljmp $0x38, $0\n");
CODE(t_trap, "nop\n int $0x92");
CODE(t_16, ".code16\n addr32 incl runs\n mov %sp, %cx\n int $0x92\n.code32");

static void prepare(const void *code)
{
    memset(&two, 0, sizeof(two));
    two.eip = (word)code;
    two.esp = (word)stack + sizeof(stack);
    two.eflags = 2;
    two.cs = SEL_CODE;
    two.ds = two.es = two.ss = two.fs = two.gs = SEL_DATA;
    two.iomap = sizeof(two);
    gdt_set(SEL_T2, (word)&two, sizeof(two) - 1, 0x89);
    gdt[SEL_GATE / 8] = (uint64_t)SEL_T2 << 16 | 0x85ull << 40;
    runs = seen_flags = 0;
}

static unsigned type(unsigned sel)
{
    return ((volatile uint64_t *)gdt)[sel / 8] >> 40 & 0x1f;
}

/* A fault in the new task leaves TR there; this brings the first one back. */
static void restore(void)
{
    gdt_set(SEL_TSS, (word)&tss, sizeof(tss) - 1, 0x89);
    asm volatile("ltr %0\n clts" : : "r"((uint16_t)SEL_TSS));
}

static void call(void)
{
    uint32_t keep = 0x1234;

    prepare(t_iret);
    TRAP(asm volatile("lcall $0x60, $0" : "+b"(keep) : : "memory"));
    traps(NONE, 0, "CALL to a TSS and IRET back");
    is(runs, 1, "it ran");
    ok(seen_flags & 0x4000, "NT is set in the new task");
    ok(seen_cr0 & 8, "CR0.TS is set");
    is(seen_tr, SEL_T2, "TR");
    is(two.link & 0xffff, SEL_TSS, "link to the old task");
    is(keep, 0x1234, "registers come back");
    is(type(SEL_T2), 9, "not busy after IRET");
    is(type(SEL_TSS), 11, "the old task stayed busy");
    TRAP(asm volatile("lcall $0x60, $0" : : : "memory"));
    is(runs, 2, "again: the task goes on behind its IRET");
    prepare(t_iret);
    TRAP(asm volatile("lcall $0x68, $0" : : : "memory"));
    is(runs, 1, "through a task gate");
}

static void jump(void)
{
    prepare(t_jmp);
    TRAP(asm volatile("ljmp $0x60, $0" : : : "memory"));
    traps(NONE, 0, "JMP to a TSS and JMP back");
    is(runs, 1, "it ran");
    is(seen_flags & 0x4000, 0, "JMP sets no NT");
    is(type(SEL_T2), 9, "JMP clears the busy bit it leaves");
    is(type(SEL_TSS), 11, "and sets the one it enters");
}

static void refusals(void)
{
    prepare(t_iret);
    TRAP(asm volatile("ljmp $0x38, $0"));
    traps(GP, SEL_TSS, "a busy TSS");
    gdt_set(SEL_T2, (word)&two, 0x66, 0x89);
    TRAP(asm volatile("ljmp $0x60, $0"));
    traps(TS, SEL_T2, "a TSS too short");
    gdt_set(SEL_T2, (word)&two, sizeof(two) - 1, 0x09);
    TRAP(asm volatile("ljmp $0x60, $0"));
    traps(NP, SEL_T2, "a TSS not present");
    prepare(t_iret);
    TRAP(set_flags(0x4002); asm volatile("iret"));
    ok(trap.vector == TS, "IRET with NT and a link that is not busy");
    tss.link = 0;
    TRAP(set_flags(0x4002); asm volatile("iret"));
    traps(TS, 0, "IRET with NT and a null link");
    prepare(t_iret);
    two.ds = 0x1000;
    TRAP(asm volatile("lcall $0x60, $0"));
    traps(TS, 0x1000, "a bad DS in the new task");
    is(trap.ip, (word)t_iret, "faults in the new task");
    restore();
}

static void idt_gates(void)
{
    prepare(t_iret);
    idt[0x95] = (uint64_t)SEL_T2 << 16 | 0x85ull << 40;
    TRAP(asm volatile("int $0x95" : : : "memory"));
    traps(NONE, 0, "INT through a task gate");
    is(runs, 1, "it ran");
    prepare(t_error);
    idt[GP] = (uint64_t)SEL_T2 << 16 | 0x85ull << 40;
    TRAP(asm volatile("mov %0, %%fs" : : "r"(0x1000)));
    idt_gate(GP, trap_entries[GP], SEL_CODE, GATE_INT, 0);
    traps(NONE, 0, "#GP through a task gate, skipped by the task");
    is(seen_error, 0x1000, "the error code is on the new stack");
    is(runs, 1, "it ran");
}

static void trap_bit(void)
{
    prepare(t_trap);
    two.trap = 1;
    TRAP(asm volatile("ljmp $0x60, $0"));
    traps(DB, 0, "T bit of the TSS");
    is(trap.dr6 & 0xe00f, 0x8000, "DR6.BT");
    is(trap.ip, (word)t_trap, "before the first instruction");
    set_dr6(0xffff0ff0);
    restore();
}

static void small(void)
{
    memset(sixteen, 0, sizeof(sixteen));
    /* the code is addressed with 16 bits: a copy in low memory */
    memcpy((void *)0x3000, t_16, (size_t)(t_16_end - t_16));
    gdt_set(SEL_T16, (word)sixteen, 43, 0x81);
    sixteen[7] = 0x3000;      /* IP */
    sixteen[8] = 2;           /* flags */
    sixteen[13] = 0x1ff0;     /* SP */
    sixteen[17] = SEL_DATA;   /* ES */
    sixteen[18] = SEL_CODE16; /* CS */
    sixteen[19] = SEL_DATA;   /* SS */
    sixteen[20] = SEL_DATA;   /* DS */
    runs = 0;
    TRAP(asm volatile("ljmp $0x70, $0"));
    traps(0x92, 0, "a 16-bit TSS");
    is(trap.cs, SEL_CODE16, "16-bit code");
    is(trap.frame.cx & 0xffff, 0x1ff0, "its SP");
    restore();
}

void main(void)
{
    call();
    jump();
    refusals();
    idt_gates();
    trap_bit();
    small();
}
