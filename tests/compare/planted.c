/* SPDX-License-Identifier: Apache-2.0 */
/*
 * planted.c - what a build with a fault in a fast handler gets wrong: each
 * label is where one of tests/compare/plant-*.sed shows for the first time.
 */
#include "guest.h"

/* A page without code, which fast handlers may write. */
static volatile uint64_t word_here __attribute__((aligned(4096)));

void main(void)
{
    uint64_t missed, flags;

    ok(true, "a long way first");
    word_here = 0x1234;
    asm volatile("mov $1000000, %%ecx\n"
                 "1: lea 3(%%rax), %%rax\n"
                 "dec %%ecx\n"
                 "jnz 1b\n"
                 "mov $0x8100000000000001, %%rax\n"
                 ".globl plant_flag\n"
                 "plant_flag: rol $5, %%rax\n"
                 "pushf\n" /* or the next flags would hide it */
                 "pop %1\n"
                 "stc\n"
                 "mov $7, %%eax\n"
                 ".globl plant_memory\n"
                 "plant_memory: sbb %%rax, %2\n"
                 "mov $3, %%ebx\n"
                 "mov $3, %%eax\n"
                 "xor %%edx, %%edx\n"
                 "nop\n"
                 ".globl plant_pair\n"
                 "plant_pair: cmp %%bx, %%ax\n"
                 "jge 2f\n"
                 "inc %%edx\n"
                 "2: nop\n"
                 : "=&d"(missed), "=&r"(flags), "+m"(word_here)
                 :
                 : "rax", "rbx", "rcx", "cc");
    is(flags & 1, 0, "ROL's carry is the bit that it moved last");
    is(word_here, 0x122c, "SBB stored its result");
    is(missed, 0, "JGE jumps when both are equal");
}
