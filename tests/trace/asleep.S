/* SPDX-License-Identifier: Apache-2.0 */
/* asleep.S - one CPUID, then HLT for ever. */
.section .note.pvh, "a"
    .long 4, 4, 18
    .asciz "Xen"
    .long _start

.text
.code32
.globl _start
_start:
    cli
    xorl %eax, %eax
    cpuid
    hlt
