/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.S - a counted integer loop: as a boot sector (for Bochs), as a PVH
 * kernel (for Ringfence and QEMU), and as a program (for the host).
 */
#ifndef COUNT
#define COUNT 1000000
#endif
#ifdef NATIVE
#define EA %rax
#define EB %rbx
#else
#define EA %eax
#define EB %ebx
#endif
.macro THE_LOOP
    movl $COUNT, %ecx
    movl $1, %eax
    movl $2, %ebx
1:  addl %ebx, %eax
    xorl %eax, %ebx
    leal 7(EA,EB,2), %edx
    roll $3, %edx
    addl %edx, %eax
    decl %ecx
    jnz 1b
.endm
#ifdef BOOT_SECTOR
.code16
.globl _start
_start:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    lgdtl gdtr
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $8, $flat
.code32
flat:
    movw $16, %ax
    movw %ax, %ds
    movw %ax, %ss
    THE_LOOP
    movw $0x8900, %dx
    movl $text, %esi
    movl $8, %ecx
    rep outsb
    hlt
text: .ascii "Shutdown"
.balign 8
gdt:  .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr: .word 23
    .long gdt
    .org 510
    .word 0xaa55
#elif defined(NATIVE)
.globl main
main:
    pushq %rbx
    THE_LOOP
    xorl %eax, %eax
    popq %rbx
    ret
.section .note.GNU-stack, "", @progbits
#else
.section .note.pvh, "a", @note
    .long 4, 4, 18
    .asciz "Xen"
    .long _start
.text
.code32
.globl _start
_start:
    THE_LOOP
    movb $1, %al
    outb %al, $0xf4
    cli
    hlt
#endif
