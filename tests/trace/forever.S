/* SPDX-License-Identifier: Apache-2.0 */
/* forever.S - CPUID until somebody ends it. */
.section .note.pvh, "a"
    .long 4, 4, 18
    .asciz "Xen"
    .long _start

.text
.code32
.globl _start
_start:
    xorl %eax, %eax
    cpuid
    jmp _start
