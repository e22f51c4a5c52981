/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ap.S - another processor from its SIPI in real mode to a 64-bit function.
 *
 * The first part is copied to 0x8000 (SIPI vector 8) and is addressed so.
 */
    .text
    .globl ap_code, ap_code_end, ap_fn, ap_stack_top
    .code16
ap_code:
    cli
    mov %cs, %ax
    mov %ax, %ds
    lgdtl ap_gdt_pointer - ap_code
    mov $1, %eax
    mov %eax, %cr0
    ljmpl $0x40, $ap32
    .balign 4
ap_gdt_pointer:
    .word 64 * 8 - 1
    .long gdt
ap_code_end:

    .code32
ap32:
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $0x20, %eax
    mov %eax, %cr4
    mov $pml4, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    rdmsr
    or $0x100, %eax
    wrmsr
    mov $0x80010031, %eax
    mov %eax, %cr0
    ljmp $8, $ap64
    .code64
ap64:
    mov $1, %eax
    cpuid
    shr $24, %ebx /* the APIC's ID: which stack */
    shl $13, %ebx
    lea ap_stacks(%rbx), %rsp
    lidt ap_idt_pointer
    xor %ebp, %ebp
    call *ap_fn
1:  cli
    hlt
    jmp 1b

    .data
ap_idt_pointer:
    .word 4095
    .quad idt
ap_fn:
    .quad 0
    .bss
    .balign 16
ap_stacks: /* 8 KiB each, downwards, for 1 to 7 */
    .skip 8192 * 8
