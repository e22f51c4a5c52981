/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trap.S - 256 interrupt entries, and a way back out of a trap.
 *
 * Every entry makes a `struct frame` (guest.h) and calls trap_handler().
 * trap_arm() is a setjmp(), trap_unwind() its longjmp().
 */
    .text
    .balign 16
    .globl trap_entries, trap_arm, trap_unwind, user_enter
trap_entries:
    n = 0
    .rept 256
    .balign 16
    .if n == 8 || (n >= 10 && n <= 14) || n == 17 || n == 21
    .else
    push $0
    .endif
    push $n
    jmp trap_common
    n = n + 1
    .endr

#ifdef __x86_64__
trap_common:
    push %rax
    push %rcx
    push %rdx
    push %rbx
    push %rbp
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    cld
    mov %rsp, %rdi
    mov %rsp, %rbp
    and $-16, %rsp
    call trap_handler
    mov %rbp, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rbp
    pop %rbx
    pop %rdx
    pop %rcx
    pop %rax
    add $16, %rsp
    iretq

trap_arm:
    mov (%rsp), %rax
    mov %rax, jump
    lea 8(%rsp), %rax
    mov %rax, jump + 8
    mov %rbx, jump + 16
    mov %rbp, jump + 24
    mov %r12, jump + 32
    mov %r13, jump + 40
    mov %r14, jump + 48
    mov %r15, jump + 56
    movl $1, trap_armed
    xor %eax, %eax
    ret

trap_unwind:
    mov $0x10, %eax
    mov %eax, %ss
    mov %eax, %ds
    mov %eax, %es
    mov jump + 8, %rsp
    pushq $2
    popfq
    mov jump + 16, %rbx
    mov jump + 24, %rbp
    mov jump + 32, %r12
    mov jump + 40, %r13
    mov jump + 48, %r14
    mov jump + 56, %r15
    movl $0, trap_armed
    mov $1, %eax
    jmp *jump

/* user_enter(rip, rsp, rflags, cs, rdi) */
user_enter:
    push $0x23
    push %rsi
    push %rdx
    push %rcx
    push %rdi
    mov %r8, %rdi
    iretq
#else
trap_common:
    pushal
    push %ds
    push %es
    push %fs
    push %gs
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    cld
    mov %esp, %ebp
    push %esp
    call trap_handler
    mov %ebp, %esp
    pop %gs
    pop %fs
    pop %es
    pop %ds
    popal
    add $8, %esp
    iretl

trap_arm:
    mov (%esp), %eax
    mov %eax, jump
    lea 4(%esp), %eax
    mov %eax, jump + 8
    mov %ebx, jump + 16
    mov %ebp, jump + 24
    mov %esi, jump + 32
    mov %edi, jump + 40
    movl $1, trap_armed
    xor %eax, %eax
    ret

trap_unwind:
    mov $0x10, %eax
    mov %eax, %ss
    mov %eax, %ds
    mov %eax, %es
    mov jump + 8, %esp
    push $2
    popfl
    mov jump + 16, %ebx
    mov jump + 24, %ebp
    mov jump + 32, %esi
    mov jump + 40, %edi
    movl $0, trap_armed
    mov $1, %eax
    jmp *jump

/* user_enter(eip, esp, eflags, cs, edi) */
user_enter:
    mov 20(%esp), %edi
    mov 4(%esp), %eax
    mov 8(%esp), %ecx
    mov 12(%esp), %edx
    mov 16(%esp), %ebx
    push $0x23
    push %ecx
    push %edx
    push %ebx
    push %eax
    mov $0x23, %eax
    mov %eax, %ds
    mov %eax, %es
    iretl
#endif

    .bss
    .balign 16
jump:
    .skip 64
    .globl trap_armed
trap_armed:
    .skip 4
