/* SPDX-License-Identifier: Apache-2.0 */
/* start.S - the header, and what the loader left, for kernel.c. */
#ifndef FLAGS
#define FLAGS 7 /* pages, memory, and a video mode that nobody will set */
#endif
    .section .multiboot, "a"
    .balign 4
header:
    .long 0x1badb002, FLAGS, -(0x1badb002 + (FLAGS))
    .long header, load_start, load_end, bss_end, _start
    .long 0, 1024, 768, 32

    .text
    .globl _start
_start:
#ifdef HIGH /* paging is off: only what moves with the code can be used */
    mov $0xf4, %edx
    mov %eax, %ecx
    mov $1, %eax
    cmp $0x2badb002, %ecx
    jne 1f
    xor %eax, %eax
1:  out %eax, %dx
    hlt
#endif
    mov $stack_top, %esp
#ifdef REAL
    jmp real_mode
#endif
    push %eax
    pushf
    pop %edx
    pop %eax
    push %edx
    mov %cr0, %ecx
    push %ecx
    push %ebx
    push %eax
    call kernel
    mov $0xf4, %edx
    out %eax, %dx
    hlt

#ifdef REAL /* down to real mode, below 1 MiB: INT 15h and the data area */
real_mode:
    mov $low, %esi
    mov $0x7000, %edi
    mov $low_end - low, %ecx
    cld
    rep movsb
    lgdt pointer
    ljmp $8, $0x7000
    .balign 8
gdt:
    .quad 0, 0x00009b000000ffff, 0x000093000000ffff
pointer:
    .word 23
    .long gdt
low:
    .code16
    mov $16, %ax
    mov %ax, %ds
    mov %ax, %ss
    mov %cr0, %eax
    and $0xfe, %al
    mov %eax, %cr0
    ljmp $0, $0x7000 + 1f - low
1:  xor %ax, %ax
    mov %ax, %ds
    mov %ax, %ss
    mov $0x7000, %sp
    lidt ivt - low + 0x7000
    xor %ebp, %ebp
    mov $0xe820, %ax
    clc
    int $0x15
    adc $0, %bp                     /* CF: it failed */
    cmp $0xe820, %ax
    sete %al
    movzbw %al, %ax
    add %ax, %bp
    cmpw $639, 0x413
    sete %al
    movzbw %al, %ax
    add %ax, %bp
    mov $3, %eax
    sub %ebp, %eax
    mov $0xf4, %dx
    out %eax, %dx
    hlt
ivt:
    .word 0x3ff
    .long 0
    .code32
low_end:
#endif

    .bss
    .balign 16
    .skip 8192
stack_top:
