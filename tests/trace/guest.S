/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest.S - does a known number of things that a trace or a count has to show:
 * a loop, CPUID three times, EFER read and written, paging, a page fault, INT
 * 0x80, one timer interrupt out of HLT, the local APIC, a serial byte.
 */
.section .note.pvh, "a"
    .long 4, 4, 18
    .asciz "Xen"
    .long _start

.text
.code32
.globl _start
_start:
    cli
    movl $stack_top, %esp
    lgdtl gdtr
    ljmpl $8, $flat
flat:
    movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $14, %ecx
    movl $on_fault, %eax
    call gate
    movl $0x80, %ecx
    movl $on_int, %eax
    call gate
    movl $0x20, %ecx
    movl $on_timer, %eax
    call gate
    lidtl idtr
    call known
    call sensitive
    call faulting
    call timer
    movl 0xfee00030, %eax /* the APIC's version */
    movw $0x3f8, %dx
    movb $'A', %al
    outb %al, %dx
finish:
    movb $0, %al
    outb %al, $0xf4
    hlt

.globl known
known:
    movl $3, %ecx
1:  addl %ecx, counter
    decl %ecx
    jnz 1b
    ret

.globl sensitive
sensitive:
    movl $0, %eax
    cpuid
    movl $1, %eax
    cpuid
    movl $0x80000001, %eax
    movl $7, %ecx
    cpuid
    movl $0xc0000080, %ecx
    rdmsr
    orl $1, %eax
    wrmsr
    pause
    wbinvd
    ret

.globl faulting
faulting:
    movl $0x83, directory /* the first 4 MiB, and the last: the APIC */
    movl $0xfec00083, directory + 4 * 0x3fb
    movl %cr4, %eax
    orl $0x10, %eax
    movl %eax, %cr4
    movl $directory, %eax
    movl %eax, %cr3
    movl %cr0, %eax
    orl $0x80000000, %eax
    movl %eax, %cr0
    invlpg 0x1000
    movl $0x1234, 0x40000010
after:
    int $0x80
    ret

.globl timer
timer:
    movb $0x11, %al
    outb %al, $0x20
    movb $0x20, %al
    outb %al, $0x21
    movb $4, %al
    outb %al, $0x21
    movb $3, %al /* with automatic end of interrupt */
    outb %al, $0x21
    movb $0xfe, %al
    outb %al, $0x21
    movb $0x30, %al
    outb %al, $0x43
    movb $0, %al
    outb %al, $0x40
    movb $0x80, %al /* 27 ms */
    outb %al, $0x40
    sti
1:  hlt
    cmpl $0, ticks
    je 1b
    cli
    ret

/* ECX: vector, EAX: handler */
gate:
    movw %ax, idt(,%ecx,8)
    movw $8, idt + 2(,%ecx,8)
    movw $0x8e00, idt + 4(,%ecx,8)
    shrl $16, %eax
    movw %ax, idt + 6(,%ecx,8)
    ret

.globl on_fault
on_fault:
    movl $after, 4(%esp)
    addl $4, %esp
    iretl
.globl on_int
on_int:
    iretl
.globl on_timer
on_timer:
    incl ticks
    iretl

.data
.balign 8
gdt:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr:
    .word 23
    .long gdt
idtr:
    .word 0x81 * 8 - 1
    .long idt
.globl counter
counter:
    .long 0x100
ticks:
    .long 0

.bss
.balign 4096
directory:
    .skip 4096
idt:
    .skip 0x81 * 8
    .skip 1024
stack_top:
