/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smc.c - code that changes: behind the store, in the next instruction, over
 * a page, through another address; pages that are exchanged under code.
 * [SDM 3A 8.1.3, 11.6]
 */
#include "guest.h"

typedef unsigned fn(void);

/* mov $v, %eax; ret */
static void put_code(volatile uint8_t *p, unsigned v)
{
    p[0] = 0xb8;
    *(volatile uint32_t *)(p + 1) = v;
    p[5] = 0xc3;
}

static unsigned run(volatile void *p)
{
    return ((fn *)p)();
}

static void plain(void)
{
    bool good = true;

    for (unsigned i = 0; i < 100; i++) {
        put_code(pages[0], i);
        good &= run(pages[0]) == i;
    }
    ok(good, "rewritten and called, 100 times");
    put_code(pages[0] + 512, 1);
    run(pages[0] + 512);
    pages[0][513] = 2;
    is(run(pages[0] + 512), 2, "one byte of the immediate");
    *(volatile uint16_t *)(pages[0] + 512 + 1) = 3;
    is(run(pages[0] + 512), 3, "two bytes");
    memset(pages[1], 0x90, 4096);
    put_code(pages[1] + 4000, 5);
    is(run(pages[1]), 5, "a slide of NOPs");
    put_code(pages[1] + 2000, 6);
    is(run(pages[1]), 6, "cut short");
    asm volatile("rep stosb"
                 :
                 : "D"(pages[1] + 2000), "c"(6), "a"(0x90)
                 : "memory");
    is(run(pages[1]), 5, "by REP STOSB");
    asm volatile("lock cmpxchgb %b1, %0"
                 : "+m"(pages[1][4001])
                 : "r"(9), "a"(5)
                 : "memory");
    is(run(pages[1]), 9, "by LOCK CMPXCHG");
    asm volatile("xchgb %b1, %0" : "+m"(pages[1][4001]) : "r"(10) : "memory");
    is(run(pages[1]), 10, "by XCHG");
    asm volatile("push %1\n pop %0"
                 : "=m"(*(uint64_t *)(pages[1] + 4001))
                 : "r"(0xc30000000bull));
    is(run(pages[1]), 11, "by POP");
}

static void inside(void)
{
    unsigned v;

    asm volatile("movl $7, 1f+1(%%rip)\n 1: mov $1, %%eax"
                 : "=a"(v)
                 :
                 : "memory");
    is(v, 7, "the next instruction");
    asm volatile("jmp 2f\n .balign 64\n 2: movl $8, 1f+1(%%rip)\n"
                 "nop\n nop\n 1: mov $1, %%eax"
                 : "=a"(v)
                 :
                 : "memory");
    is(v, 8, "later in the same block");
    asm volatile("mov $3, %%ecx\n xor %%eax, %%eax\n"
                 "2: add $1, %%eax\n incb 2b+2(%%rip)\n loop 2b"
                 : "=a"(v)
                 :
                 : "rcx", "memory");
    is(v, 1 + 2 + 3, "a loop that changes its own start");
    asm volatile("lea 1f(%%rip), %%rdi\n mov $0x90, %%al\n mov $2, %%ecx\n"
                 "mov $5, %%edx\n rep stosb\n 1: .byte 0xff, 0xc2\n"
                 : "=d"(v)
                 :
                 : "rax", "rcx", "rdi", "memory");
    is(v, 5, "REP STOSB over what follows");
}

static void alias(void)
{
    map(TEST_VA, (word)pages[2] | P_P | P_W, 1);
    map(TEST_VA + 0x5000, (word)pages[2] | P_P, 1);
    put_code(pages[2], 1);
    is(run((void *)TEST_VA), 1, "at another address");
    put_code(pages[2], 2);
    is(run((void *)TEST_VA), 2, "changed at its own");
    put_code((void *)TEST_VA, 3);
    is(run((void *)(TEST_VA + 0x5000)), 3, "at two addresses, one read-only");
    is(run(pages[2]), 3, "and at the first");
    put_code(pages[3], 33);
    map(TEST_VA, (word)pages[3] | P_P, 1);
    is(run((void *)TEST_VA), 33, "remapped");
    map(TEST_VA, (word)pages[2] | P_P, 1);
    is(run((void *)TEST_VA), 3, "mapped back");
}

/* An instruction that begins at the end of one page. */
static void crossing(void)
{
    volatile uint8_t *p = (volatile uint8_t *)TEST_VA;

    map(TEST_VA, (word)pages[4] | P_P | P_W, 1);
    map(TEST_VA + 0x1000, (word)pages[5] | P_P | P_W, 1);
    put_code(p + 4093, 0x11223344);
    is(run(p + 4093), 0x11223344, "crossing");
    p[4096] = 0x99;
    is(run(p + 4093), 0x11993344, "second page changed");
    p[4095] = 0x88;
    is(run(p + 4093), 0x11998844, "first page changed");
    memcpy(pages[6], pages[5], 4096);
    pages[6][0] = 0x55;
    map(TEST_VA + 0x1000, (word)pages[6] | P_P | P_W, 1);
    is(run(p + 4093), 0x11558844, "second page exchanged");
    map(TEST_VA + 0x1000, 0, 1);
    TRAP(run(p + 4093));
    traps(PF, 0, "second page gone");
    is(trap.cr2, TEST_VA + 0x1000, "CR2 is in the second page");
    is(trap.ip, TEST_VA + 4093, "RIP is in the first");
    map(TEST_VA + 0x1000, (word)pages[5] | P_P | P_W, 1);
    is(run(p + 4093), 0x11998844, "and back");
    map(TEST_VA + 0x8000, (word)pages[4] | P_P, 1);
    map(TEST_VA + 0x9000, (word)pages[6] | P_P, 1);
    is(run((void *)(TEST_VA + 0x8000 + 4093)), 0x11558844,
       "the same first page with another second");
    is(run(p + 4093), 0x11998844, "and the first pair still");
}

void main(void)
{
    plain();
    inside();
    alias();
    crossing();
}
