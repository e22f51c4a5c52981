/* SPDX-License-Identifier: Apache-2.0 */
/*
 * real.S - runs a piece of 16-bit code in real mode, from 32-bit mode.
 *
 * real_call(code, size) copies it to 0x2000, enters real mode with all
 * segments 0 and SP 0x5000, calls it, and comes back when it returns.
 */
    .text
    .code32
    .globl real_call
real_call:
    pushal
    sidt real_idt
    mov %esp, real_esp
    mov 36(%esp), %esi
    mov 40(%esp), %ecx
    mov $0x2000, %edi
    rep movsb
    mov $real_code, %esi
    mov $real_end - real_code, %ecx
    mov $0x1000, %edi
    rep movsb
    lidt real_ivt
    ljmp $0x28, $0x1000

    .code16
real_code:
    mov $0x30, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %fs
    mov %ax, %gs
    mov %ax, %ss
    mov %cr0, %eax
    and $0x7ffffffe, %eax
    mov %eax, %cr0
    ljmp $0, $0x1000 + 1f - real_code
1:  xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %fs
    mov %ax, %gs
    mov %ax, %ss
    mov $0x5000, %sp
    mov $0x2000, %ax
    call *%ax
    cli
    cld
    lgdtl %cs:(0x1000 + real_gdt - real_code)
    mov %cr0, %eax
    or $1, %eax
    mov %eax, %cr0
    ljmpl $8, $real_back
real_gdt:
    .word 64 * 8 - 1
    .long gdt
real_end:

    .code32
real_back:
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    mov real_esp, %esp
    lidt real_idt
    push $2
    popfl
    popal
    ret

    .data
real_esp:
    .long 0
real_idt:
    .word 0
    .long 0
real_ivt:
    .word 0x3ff
    .long 0
