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

    .bss
    .balign 16
    .skip 8192
stack_top:
