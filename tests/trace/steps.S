/* SPDX-License-Identifier: Apache-2.0 */
/*
 * steps.S - a boot of known steps: a mark, a serial byte, a mark that is longer
 * than any name and has what no terminal wants, user code, the end.
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
    movw %ax, %ss
    movl $first, %esi
    call say
    movw $0x3f8, %dx
    movb $'A', %al
    outb %al, %dx
    movl $second, %esi
    call say
    movl $on_int, %eax /* a gate that user code may call */
    movw %ax, idt + 8 * 0x80
    shrl $16, %eax
    movw %ax, idt + 8 * 0x80 + 6
    lidtl idtr
    movl $tss, %eax
    movw %ax, tss_entry + 2
    shrl $16, %eax
    movb %al, tss_entry + 4
    movw $40, %ax
    ltr %ax
    pushl $35 /* SS, ESP, EFLAGS, CS, EIP */
    pushl $stack_top
    pushl $2
    pushl $27
    pushl $user
    iretl
user:
    int $0x80
on_int:
    movb $0, %al
    outb %al, $0xf4
    hlt

say:
    lodsb
    testb %al, %al
    jz 1f
    outb %al, $0xe9
    jmp say
1:  ret

.data
first:
    .asciz "ready\n\n"
second:
    .asciz "a\"\\\033]0;x\007 and much more than there is room for, of any kind\n"
    .align 8
gdt:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
    .quad 0x00cffb000000ffff, 0x00cff3000000ffff
tss_entry:
    .word 0x67, 0
    .byte 0, 0x89, 0, 0
gdt_end:
gdtr:
    .word gdt_end - gdt - 1
    .long gdt
idtr:
    .word 8 * 0x81 - 1
    .long idt
    .align 8
idt:
    .fill 0x80, 8, 0
    .word 0, 8, 0xee00, 0
tss:
    .long 0, stack_top, 16
    .fill 23, 4, 0
    .align 4096
stack:
    .fill 4096, 1, 0
stack_top:
