/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start.S - from the PVH entry (32-bit, paging off) to guest_init() in the
 * mode that the guest is compiled for.
 *
 * 64-bit: 0..1 GiB is mapped for the supervisor, 1..2 GiB is the same memory
 * for the user, 2..3 GiB is empty for tests, 3..4 GiB is mapped (devices).
 */
    .section .note.pvh, "a", @note
    .long 4, 4, 18
    .asciz "Xen"
    .long _start

    .text
    .code32
    .globl _start
_start:
    cli
    cld
    mov $boot_stack_top, %esp
    lgdt gdt_pointer
#ifdef __x86_64__
    movl $pdpt + 7, pml4
    movl $pd_low + 3, pdpt
    movl $pd_user + 7, pdpt + 8
    movl $pd_high + 3, pdpt + 24
    xor %ecx, %ecx
    mov $0x83, %eax
1:  mov %eax, pd_low(, %ecx, 8)
    lea 4(%eax), %edx
    mov %edx, pd_user(, %ecx, 8)
    lea 0xc0000010(%eax), %edx
    mov %edx, pd_high(, %ecx, 8)
    add $0x200000, %eax
    inc %ecx
    cmp $512, %ecx
    jne 1b
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
    ljmp $8, $2f
    .code64
2:
#else
    mov $0x31, %eax
    mov %eax, %cr0
    ljmp $8, $2f
2:
#endif
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
#ifdef __x86_64__
    mov $boot_stack_top, %rsp
    xor %ebp, %ebp
#endif
    call guest_init
    call main
    call guest_exit

    .data
    .balign 16
    .globl gdt, gdt_pointer
gdt_pointer:
    .word 64 * 8 - 1
    .long gdt
    .long 0
    .balign 16
gdt:
    .quad 0
#ifdef __x86_64__
    .quad 0x00af9b000000ffff        /* 08 kernel code, 64 bits */
    .quad 0x00cf93000000ffff        /* 10 kernel data */
    .quad 0x00cffb000000ffff        /* 18 user code, 32 bits */
    .quad 0x00cff3000000ffff        /* 20 user data */
    .quad 0x00affb000000ffff        /* 28 user code, 64 bits */
    .quad 0, 0                      /* 30 TSS */
    .quad 0x00cf9b000000ffff        /* 40 kernel code, 32 bits */
    .quad 0x00009b000000ffff        /* 48 kernel code, 16 bits */
#else
    .quad 0x00cf9b000000ffff        /* 08 kernel code */
    .quad 0x00cf93000000ffff        /* 10 kernel data */
    .quad 0x00cffb000000ffff        /* 18 user code */
    .quad 0x00cff3000000ffff        /* 20 user data */
    .quad 0x00009b000000ffff        /* 28 16-bit code, base 0 */
    .quad 0x000093000000ffff        /* 30 16-bit data, base 0 */
    .quad 0                         /* 38 TSS */
    .quad 0, 0
#endif
    .fill 54, 8, 0                  /* 50 and up: the guests' own */

    .bss
    .balign 4096
    .globl pml4, pdpt, pd_low, boot_stack_top
#ifdef __x86_64__
pml4:    .skip 4096
pdpt:    .skip 4096
pd_low:  .skip 4096
pd_user: .skip 4096
pd_high: .skip 4096
#endif
    .skip 16384
boot_stack_top:
    .skip 16
