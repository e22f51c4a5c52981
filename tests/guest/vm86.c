/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm86.c - virtual-8086 mode: entered by IRET, left by every exception; what
 * IOPL below 3 forbids; segments, limits, ports. [SDM 3A 20]
 */
#include "guest.h"

#define AT            0x3000u /* where the code is copied, CS 0x300 */
#define V(name, text) CODE(name, ".code16\n" text "\n int $0x40\n.code32")

V(v_seg, "mov $0x1234, %ax\n mov %ax, %es\n mov %es, %bx\n mov %cs, %cx\n"
         "mov %ss, %dx");
V(v_mem, "mov $0x480, %ax\n mov %ax, %ds\n movb $0x77, 0x10\n mov 0x10, %bl");
V(v_cli, "cli");
V(v_sti, "sti");
V(v_pushf, "pushf\n pop %ax");
V(v_popf, "push $0x3202\n popf");
V(v_iret, "pushf\n push %cs\n push $1f - v_iret\n iret\n 1: mov $9, %bx");
V(v_hlt, "hlt");
V(v_int, "int $0x21");
V(v_int3, "int3");
V(v_in, "mov $0x3fd, %dx\n in (%dx), %al");
V(v_cr0, "mov %cr0, %eax");
V(v_lgdt, "lgdt 0");
V(v_sldt, "sldt %ax");
V(v_lar, "lar %ax, %bx");
V(v_arpl, "arpl %ax, %bx");
V(v_limit, "mov $0xffff, %bx\n mov (%bx), %ax");
V(v_big, "mov $0x10000, %ebx\n movb (%ebx), %al");
V(v_ud, "ud2");
V(v_div, "xor %cx, %cx\n div %cx");
V(v_call, "lcall $0x301, $4\n");
V(v_smsw, "smsw %ax");
V(v_lds, "push $0x456\n push $0x123\n mov %sp, %bp\n lds (%bp), %bx");
V(v_sysenter, "sysenter");
V(v_tf, "nop\n nop");

static void vm86_enter(word ip, word cs, word flags) __attribute__((noreturn));
static void vm86_enter(word ip, word cs, word flags)
{
    asm volatile("pushl $0x4444\n pushl $0x3333\n pushl $0x2222\n"
                 "pushl $0x1111\n pushl $0x500\n pushl $0xffe\n pushl %2\n"
                 "pushl %1\n pushl %0\n iretl"
                 :
                 : "r"(ip), "r"(cs), "r"(flags | 0x20002));
    __builtin_unreachable();
}

static word run(const uint8_t *code, size_t size, word flags)
{
    memcpy((void *)AT, code, size);
    return TRAP(vm86_enter(0, AT >> 4, flags));
}
#define RUN(code, flags) run(code, (size_t)(code##_end - code), flags)
#define IOPL3            0x3000u

static void frame(void)
{
    RUN(v_seg, IOPL3);
    traps(DONE, 0, "IRET to vm86 mode, INT out of it");
    is(trap.cs, 0x300, "saved CS");
    ok(trap.flags & 0x20000, "saved VM");
    is(trap.frame.v_es, 0x1234, "saved ES");
    is(trap.frame.v_ds, 0x2222, "saved DS");
    is(trap.frame.v_fs, 0x3333, "saved FS");
    is(trap.frame.v_gs, 0x4444, "saved GS");
    is(trap.ss, 0x500, "saved SS");
    is(trap.sp, 0xffe, "saved SP");
    is(trap.frame.ds & 0xffff, 0, "DS is null in the handler");
    is(trap.frame.bx & 0xffff, 0x1234, "MOV from ES");
    is(trap.frame.cx & 0xffff, 0x300, "CS is a paragraph");
    RUN(v_mem, IOPL3);
    is(*(volatile uint8_t *)0x4810, 0x77, "segment times 16");
    is(trap.frame.bx & 0xff, 0x77, "read back");
    RUN(v_lds, IOPL3);
    is(trap.frame.v_ds, 0x456, "LDS");
    is(trap.frame.bx & 0xffff, 0x123, "LDS offset");
}

static void sensitive(void)
{
    RUN(v_cli, 0x200 | IOPL3);
    traps(DONE, 0, "CLI with IOPL 3");
    is(trap.flags & 0x200, 0, "CLI clears IF");
    RUN(v_cli, 0);
    traps(GP, 0, "CLI with IOPL 0");
    RUN(v_sti, 0x2000);
    traps(GP, 0, "STI with IOPL 2");
    RUN(v_pushf, 0);
    traps(GP, 0, "PUSHF with IOPL 0");
    RUN(v_popf, 0);
    traps(GP, 0, "POPF with IOPL 0");
    RUN(v_popf, IOPL3);
    traps(DONE, 0, "POPF with IOPL 3");
    is(trap.flags & 0x3200, 0x3200, "POPF sets IF, IOPL stays");
    RUN(v_iret, 0);
    traps(GP, 0, "IRET with IOPL 0");
    RUN(v_iret, IOPL3);
    traps(DONE, 0, "IRET with IOPL 3 stays in vm86 mode");
    is(trap.frame.bx & 0xffff, 9, "and goes on");
    ok(trap.flags & 0x20000, "with VM");
    RUN(v_int, 0);
    traps(GP, 0, "INT n with IOPL 0");
    idt_gate(0x21, trap_entries[0x21], SEL_CODE, GATE_USER, 0);
    RUN(v_int, IOPL3);
    traps(0x21, 0, "INT n with IOPL 3");
    idt_gate(0x21, trap_entries[0x21], SEL_CODE, GATE_INT, 0);
    RUN(v_int, IOPL3);
    traps(GP, 0x21 * 8 + 2, "INT n into a gate of DPL 0");
    RUN(v_int3, 0);
    traps(GP, 3 * 8 + 2, "INT3 into a gate of DPL 0, IOPL 0");
    idt_gate(BP, trap_entries[BP], SEL_CODE, GATE_USER, 0);
    RUN(v_int3, 0);
    traps(BP, 0, "INT3 needs no IOPL");
}

static void privileged(void)
{
    RUN(v_hlt, IOPL3);
    traps(GP, 0, "HLT");
    RUN(v_cr0, IOPL3);
    traps(GP, 0, "MOV from CR0");
    RUN(v_lgdt, IOPL3);
    traps(GP, 0, "LGDT");
    RUN(v_sldt, IOPL3);
    traps(UD, 0, "SLDT is #UD");
    RUN(v_lar, IOPL3);
    traps(UD, 0, "LAR is #UD");
    RUN(v_arpl, IOPL3);
    traps(UD, 0, "ARPL is #UD");
    RUN(v_smsw, IOPL3);
    traps(DONE, 0, "SMSW");
    RUN(v_in, IOPL3);
    traps(GP, 0, "IN asks the bitmap, not IOPL");
    tss.iomap = (uint16_t)offsetof(struct tss, bitmap);
    memset(tss.bitmap, 0, sizeof(tss.bitmap));
    tss.bitmap[8192] = 0xff;
    RUN(v_in, IOPL3);
    traps(DONE, 0, "IN that the bitmap allows");
    tss.iomap = sizeof(tss);
}

static void faults(void)
{
    RUN(v_limit, IOPL3);
    traps(GP, 0, "a word at 0xffff");
    RUN(v_big, IOPL3);
    traps(GP, 0, "an offset above 64 KiB");
    RUN(v_ud, IOPL3);
    traps(UD, 0, "#UD");
    RUN(v_div, IOPL3);
    traps(DE, 0, "#DE");
    RUN(v_call, IOPL3);
    ok(trap.vector != NONE, "far call by paragraphs");
    RUN(v_tf, IOPL3 | 0x100);
    traps(DB, 0, "single step");
    is(trap.ip, 1, "after one instruction");
    gdt_set(SEL_OWN, 0, 0xfffff, 0xc0fb);
    idt_gate(0x41, trap_entries[0x41], SEL_OWN | 3, GATE_USER, 0);
    idt_gate(DONE, trap_entries[DONE], SEL_OWN, GATE_USER, 0);
    RUN(v_seg, IOPL3);
    traps(GP, SEL_OWN, "a handler of DPL 3 cannot be entered from vm86");
    idt_gate(DONE, trap_entries[DONE], SEL_CODE, GATE_USER, 0);
}

void main(void)
{
    frame();
    sensitive();
    privileged();
    faults();
}
