/* SPDX-License-Identifier: Apache-2.0 */
/*
 * string.c - repeated string instructions with a fault in the middle leave
 * the registers where they stopped, and can be started again; accesses that
 * cross pages, LOCK on split data, MMIO of every width.
 */
#include "guest.h"

#define VA (TEST_VA + 0x10000)

static void stos(void)
{
    uint64_t *e = map(VA + 0x1000, 0, 1);

    map(VA, (word)pages[0] | P_P | P_W, 1);
    TRAP(asm volatile("rep stosb"
                      :
                      : "D"(VA + 0x0ff0), "c"(64), "a"(7)
                      : "memory"));
    traps(PF, PF_W, "REP STOSB into a missing page");
    is(trap.frame.cx, 48, "RCX: what is left");
    is(trap.frame.di, VA + 0x1000, "RDI: where it stopped");
    is(trap.cr2, VA + 0x1000, "CR2");
    is(pages[0][0xfff], 7, "what came before is written");
    TRAP(asm volatile("rep stosq"
                      :
                      : "D"(VA + 0x0ff4), "c"(8), "a"(~0ull)
                      : "memory"));
    traps(PF, PF_W, "REP STOSQ across the boundary");
    is(trap.frame.cx, 7, "the element that crosses does not count");
    is(trap.frame.di, VA + 0xffc, "RDI at the element that crosses");
    TRAP(asm volatile("std\n rep stosb"
                      :
                      : "D"(VA + 8), "c"(64), "a"(9)
                      : "memory"));
    traps(PF, PF_W, "downwards");
    is(trap.frame.cx, 64 - 9, "RCX downwards");
    is(trap.frame.di, VA - 1, "RDI downwards");
    map(VA + 0x1000, (word)pages[1] | P_P | P_W, 1);
    TRAP(asm volatile("rep stosb" : : "D"(VA), "c"(8192), "a"(3) : "memory"));
    traps(NONE, 0, "two pages");
    is(pages[1][4095], 3, "to the end");
    (void)e;
}

static void movs(void)
{
    map(VA + 0x2000, 0, 1);
    for (unsigned i = 0; i < 4096; i++)
        pages[0][i] = (uint8_t)i;
    TRAP(asm volatile("rep movsq"
                      :
                      : "S"(VA), "D"(VA + 0x1fc0), "c"(64)
                      : "memory"));
    traps(PF, PF_W, "REP MOVSQ, destination ends");
    is(trap.frame.cx, 56, "RCX");
    is(trap.frame.si, VA + 64, "RSI");
    is(trap.frame.di, VA + 0x2000, "RDI");
    TRAP(asm volatile("rep movsb"
                      :
                      : "S"(VA + 0x1ff0), "D"(VA), "c"(64)
                      : "memory"));
    traps(PF, 0, "REP MOVSB, source ends");
    is(trap.frame.cx, 48, "RCX");
    for (unsigned i = 0; i < 4096; i++)
        pages[0][i] = (uint8_t)i;
    asm volatile("rep movsb"
                 :
                 : "S"(pages[0]), "D"(pages[0] + 1), "c"(100)
                 : "memory");
    is(pages[0][100], 0, "overlapping by one fills");
    asm volatile("std\n rep movsb\n cld"
                 :
                 : "S"(pages[0] + 299), "D"(pages[0] + 300), "c"(100)
                 : "memory");
    is(pages[0][300], 299 & 0xff, "downwards moves");
    is(pages[0][201], 200, "downwards moves all");
}

static void compare(void)
{
    word n = 4096, si = VA, di = VA;
    uint8_t z;

    map(VA + 0x1000, 0, 1);
    TRAP(asm volatile("repe cmpsb" : : "S"(VA), "D"(VA), "c"(8192) : "memory"));
    traps(PF, 0, "REPE CMPSB runs into a missing page");
    is(trap.frame.cx, 4096, "RCX");
    memset(pages[0], 1, 4096);
    pages[0][77] = 2;
    TRAP(asm volatile("mov $2, %%al\n repne scasb\n ud2"
                      :
                      : "D"(VA), "c"(4096)
                      : "memory", "rax"));
    is(trap.frame.di, VA + 78, "REPNE SCASB stops behind the match");
    ok(trap.flags & 0x40, "with ZF");
    n = 0;
    asm volatile("cmp %%rax, %%rax\n rep stosb\n setz %1"
                 : "+c"(n), "=r"(z)
                 : "D"(1ull << 47)
                 : "memory");
    is(z, 1, "RCX 0: nothing is touched, flags stay");
    (void)si;
    (void)di;
}

static void locked(void)
{
    volatile uint64_t *p = (volatile uint64_t *)(VA + 0xffc);

    map(VA + 0x1000, (word)pages[1] | P_P | P_W, 1);
    *p = 0xffffffff;
    asm volatile("lock addq $1, %0" : "+m"(*p));
    is(*p, 0x100000000, "LOCK ADD across pages");
    is(*(uint32_t *)pages[1], 1, "the upper half is in the second");
    asm volatile("lock xaddq %1, %0" : "+m"(*p) : "r"(5ull));
    is(*p, 0x100000005, "LOCK XADD across pages");
    map(VA + 0x1000, (word)pages[1] | P_P, 1);
    TRAP(asm volatile("lock addq $1, %0" : "+m"(*p)));
    traps(PF, PF_P | PF_W, "second page read-only");
    is(*p, 0x100000005, "nothing changed");
    p = (volatile uint64_t *)(VA + 61);
    *p = 41;
    asm volatile("lock incq %0" : "+m"(*p));
    is(*p, 42, "LOCK INC across cache lines");
}

static void wide(void)
{
    __attribute__((aligned(16))) static uint64_t d[2] = {1, 2};
    uint64_t a = 1, b = 2;
    uint8_t z;

    asm volatile("lock cmpxchg16b %0\n setz %1"
                 : "+m"(d), "=q"(z), "+a"(a), "+d"(b)
                 : "b"(7ull), "c"(8ull));
    is(z * 100 + d[0] * 10 + d[1], 178, "CMPXCHG16B");
    TRAP(asm volatile("cmpxchg16b 8(%0)" : : "r"(d)));
    traps(GP, 0, "CMPXCHG16B unaligned");
}

static void mmio(void)
{
    volatile uint32_t *version = (volatile uint32_t *)(LAPIC + 0x30);
    uint32_t v = *version, w;

    is(v & 0xff, 0x14, "MMIO of 4 bytes");
    lapic_write(0x80, 0x30);
    asm volatile("lock orl $0x10, %0"
                 : "+m"(*(volatile uint32_t *)(LAPIC + 0x80)));
    is(lapic_read(0x80), 0x30, "LOCK OR on MMIO");
    asm volatile("xchgl %0, %1"
                 : "=r"(w), "+m"(*(volatile uint32_t *)(LAPIC + 0x80))
                 : "0"(0x50));
    is(w, 0x30, "XCHG with MMIO");
    lapic_write(0x80, 0);
    memset(pages[0], 0, 64);
    asm volatile("rep movsl"
                 :
                 : "S"(version), "D"(pages[0]), "c"(1)
                 : "memory");
    is(*(uint32_t *)pages[0], v, "REP MOVS from MMIO");
    is(*(volatile uint32_t *)0xd1000000, 0xffffffff, "nothing there: ones");
    *(volatile uint32_t *)0xd1000000 = 1;
    ok(true, "a write to nothing vanishes");
}

void main(void)
{
    stos();
    movs();
    compare();
    locked();
    wide();
    mmio();
}
