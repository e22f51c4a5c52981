/* SPDX-License-Identifier: Apache-2.0 */
/*
 * real.c - real mode: interrupts through the IVT, far calls, segment limits,
 * wrapping, unreal mode, what is #UD there. Each piece leaves its results at
 * 0x6000. [SDM 3A 20.1]
 */
#include "guest.h"

void real_call(const void *code, size_t size);

#define R(n) (((volatile uint32_t *)0x6000)[n])
/* 16-bit code at 0x2000; O(x): the offset of a label in it. */
#define REAL(name, text) CODE(name, ".code16\n" text "\n ret\n.code32")
#define O(name, label)   "(" #label " - " #name " + 0x2000)"
/* Sets vector n of the IVT to a handler that is in the piece. */
#define VECTOR(n, where) "movw $" where ", 4*" #n "\n movw $0, 4*" #n "+2\n"

REAL(r_int,
     VECTOR(0x80, O(r_int,
                    9f)) "push $0x1234\n pushf\n pop %ax\n or $0x0200, %ax\n"
                         "mov %sp, %bx\n stc\n int $0x80\n"
                         "mov %ax, 0x6000\n mov %cx, 0x6004\n mov %dx, 0x6008\n"
                         "mov %sp, 0x600c\n pop %ax\n jmp 8f\n"
                         "9: mov %sp, %bp\n mov (%bp), %ax\n mov 2(%bp), %cx\n"
                         "mov 4(%bp), %dx\n iret\n 8:");
REAL(r_div,
     VECTOR(0,
            O(r_div, 9f)) "xor %cx, %cx\n mov $1, %ax\n xor %dx, %dx\n 1: div "
                          "%cx\n jmp 8f\n"
                          "9: mov %sp, %bp\n mov (%bp), %ax\n mov %ax, 0x6000\n"
                          "movw $" O(r_div,
                                     1b) ", 0x6004\n movw $" O(r_div,
                                                               8f) ", (%bp)\n"
                                                                   "iret\n 8:");
REAL(r_limit,
     VECTOR(13, O(r_limit, 9f))
         VECTOR(12,
                O(r_limit,
                  7f)) "movl $0, 0x6000\n movl $0, 0x6004\n mov $0xffff, %bx\n"
                       "mov (%bx), %ax\n jmp 8f\n"
                       "9: movw $13, 0x6000\n mov %sp, %bp\n mov (%bp), %ax\n"
                       "mov %ax, 0x6004\n movw $" O(
                           r_limit,
                           6f) ", (%bp)\n iret\n"
                               "7: movw $12, 0x6008\n mov %sp, %bp\n movw $" O(
                                   r_limit, 8f) ", (%bp)\n"
                                                "iret\n 6: mov $0xffff, %bp\n "
                                                "mov (%bp), %ax\n 8:");
REAL(r_far, "push %ds\n lcall $0x200, $(1f - r_far)\n mov %ax, 0x6000\n"
            "jmp 2f\n 1: mov %cs, %ax\n lret\n 2: pop %ds\n"
            "mov $0x4800, %ax\n mov %ax, %es\n movb $0x5a, %es:4\n"
            "mov %es, 0x6004");
REAL(r_wrap, "mov $0xffff, %ax\n mov %ax, %es\n mov %es:0x10, %al\n"
             "mov %al, 0x6000\n"
             "mov $0x10, %sp\n mov %sp, 0x6004\n mov $0, %sp\n push %ax\n"
             "mov %sp, 0x6008\n mov $0x4ffe, %sp");
/* Every one of them is three bytes, but for ARPL: it gets a NOP. */
REAL(r_ud,
     VECTOR(
         6,
         O(r_ud,
           9f)) "movl $0, 0x6000\n sldt %ax\n str %ax\n lar %ax, %ax\n"
                "arpl %ax, %ax\n nop\n lldt %ax\n ltr %ax\n verr %ax\n jmp 8f\n"
                "9: incl 0x6000\n mov %sp, %bp\n addw $3, (%bp)\n iret\n 8:");
REAL(r_big, "mov %cr0, %eax\n or $1, %al\n mov %eax, %cr0\n"
            "mov $0x10, %bx\n mov %bx, %es\n and $0xfe, %al\n mov %eax, %cr0\n"
            "mov $0x300000, %ebx\n movl $0xcafe, %es:(%ebx)\n"
            "movl %es:(%ebx), %eax\n mov %eax, 0x6000\n xor %ax, %ax\n"
            "mov %ax, %es\n movl %es:(%ebx), %eax\n mov %eax, 0x6004");
REAL(r_priv, "mov %cr0, %eax\n mov %eax, 0x6000\n cli\n sti\n cli\n smsw %ax\n"
             "mov %ax, 0x6004\n sgdt 0x6010\n sidt 0x6018\n wbinvd\n clts\n"
             "mov %cr4, %eax\n mov %eax, %cr4");
REAL(r_flags,
     "pushf\n pop %ax\n or $0x7000, %ax\n push %ax\n popf\n pushf\n"
     "pop %ax\n mov %ax, 0x6000\n push $2\n popf\n"
     "pushfl\n pop %eax\n or $0x200000, %eax\n push %eax\n popfl\n pushfl\n"
     "pop %eax\n mov %eax, 0x6004\n push $2\n popf");
REAL(r_step, VECTOR(1, O(r_step, 9f)) "movl $0, 0x6000\n pushf\n pop %ax\n or "
                                      "$0x100, %ax\n push %ax\n popf\n"
                                      "nop\n nop\n push $2\n popf\n jmp 8f\n "
                                      "9: incl 0x6000\n iret\n 8:");
REAL(r_o32, "mov $0x89abcdef, %eax\n push %eax\n pop %cx\n pop %dx\n"
            "mov %cx, 0x6000\n mov %dx, 0x6004\n"
            "mov $0x6008, %ebx\n movl $0x13572468, (%ebx)\n"
            "mov $3, %ecx\n mov $0x600c, %di\n mov $0x41, %al\n rep stosb");
REAL(r_end,
     VECTOR(13,
            O(r_end,
              9f)) "movl $0, 0x6000\n mov $0x1000, %ax\n mov %ax, %es\n"
                   "movw $0x9090, %es:0xfffc\n movw $0x9090, %es:0xfffe\n"
                   "ljmp $0x1000, $0xfffc\n"
                   "9: mov %sp, %bp\n mov (%bp), %ax\n mov %ax, %cs:0x6000\n"
                   "mov 2(%bp), %ax\n mov %ax, %cs:0x6004\n add $6, %sp\n 8:");

#define RUN(code)                                                              \
    memset((void *)0x6000, 0, 64);                                             \
    real_call(code, (size_t)(code##_end - code))

static void interrupts(void)
{
    RUN(r_int);
    is(R(1) & 0xffff, 0, "INT: saved CS");
    is(R(2) & 1, 1, "INT: saved flags");
    ok((R(0) & 0xffff) > 0x2000 && (R(0) & 0xffff) < 0x2100, "INT: saved IP");
    is(R(3) & 0xffff, 0x4ffc, "IRET: SP is back");
    RUN(r_div);
    is(R(0) & 0xffff, R(1) & 0xffff, "#DE saves its own IP");
    RUN(r_limit);
    is(R(0) & 0xffff, 13, "a word at 0xffff is #GP");
    is(R(2) & 0xffff, 12, "a word at SS:0xffff is #SS");
    RUN(r_step);
    is(R(0), 4, "single step");
}

static void addresses(void)
{
    RUN(r_far);
    is(R(0) & 0xffff, 0x200, "far call: CS");
    is(*(volatile uint8_t *)0x48004, 0x5a, "segment times 16");
    *(volatile uint8_t *)0x100000 = *(volatile uint8_t *)0x100000;
    RUN(r_wrap);
    is(R(0) & 0xff, *(volatile uint8_t *)0x100000, "FFFF:0010 is 1 MiB");
    is(R(2) & 0xffff, 0xfffe, "PUSH wraps SP");
    RUN(r_big);
    is(R(0), 0xcafe, "unreal mode: a 4 GiB limit stays");
    is(R(1), 0xcafe, "a load of the segment keeps the limit");
    is(*(volatile uint32_t *)0x300000, 0xcafe, "it went there");
    RUN(r_end);
    is(R(0) & 0xffff, 0, "IP beyond 0xffff is #GP: saved IP");
    is(R(1) & 0xffff, 0x1000, "saved CS");
}

static void instructions(void)
{
    RUN(r_ud);
    is(R(0), 7, "SLDT, STR, LAR, ARPL, LLDT, LTR, VERR are #UD");
    RUN(r_priv);
    is(R(0) & 1, 0, "MOV from CR0: PE clear");
    is(R(1) & 1, 0, "SMSW");
    is(*(volatile uint16_t *)0x6018, 0x3ff, "SIDT");
    RUN(r_flags);
    is(R(0) & 0x7000, 0x7000, "POPF sets IOPL and NT");
    ok(R(1) & 0x200000, "POPFD sets ID");
    RUN(r_o32);
    is(R(0) & 0xffff, 0xcdef, "PUSH of 32 bits: low");
    is(R(1) & 0xffff, 0x89ab, "PUSH of 32 bits: high");
    is(R(2), 0x13572468, "32-bit addresses and data");
    is(R(3) & 0xffffff, 0x414141, "REP STOSB");
}

void main(void)
{
    interrupts();
    addresses();
    instructions();
}
