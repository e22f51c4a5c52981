/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xsave.c - XSAVE, XSAVEOPT, XSAVEC, XRSTOR: what they write and what they
 * refuse; FXSAVE. [SDM 1 13]
 */
#include "guest.h"

static uint8_t area[1024] __attribute__((aligned(64)));
static uint8_t fx[512] __attribute__((aligned(16)));
#define BV   (*(volatile uint64_t *)(area + 512))
#define COMP (*(volatile uint64_t *)(area + 520))

static void xsave(void *p, uint32_t mask)
{
    asm volatile("xsave (%0)" : : "r"(p), "a"(mask), "d"(0) : "memory");
}
static void xsavec(void *p, uint32_t mask)
{
    asm volatile("xsavec (%0)" : : "r"(p), "a"(mask), "d"(0) : "memory");
}
static void xsaveopt(void *p, uint32_t mask)
{
    asm volatile("xsaveopt (%0)" : : "r"(p), "a"(mask), "d"(0) : "memory");
}
static void xrstor(void *p, uint32_t mask)
{
    asm volatile("xrstor (%0)" : : "r"(p), "a"(mask), "d"(0) : "memory");
}
static void xsetbv(uint32_t v)
{
    asm volatile("xsetbv" : : "c"(0), "a"(v), "d"(0));
}

static void enable(void)
{
    TRAP(xsave(area, 7));
    traps(UD, 0, "XSAVE without OSXSAVE");
    set_cr4(get_cr4() | 0x40600);
    TRAP(asm volatile("vxorps %ymm0, %ymm0, %ymm0"));
    traps(UD, 0, "AVX while XCR0 has no AVX");
    xsetbv(7);
    TRAP(asm volatile("vxorps %ymm0, %ymm0, %ymm0"));
    traps(NONE, 0, "AVX runs");
}

static void save(void)
{
    memset(area, 0xee, sizeof(area));
    BV = 0;
    asm volatile("fninit\n vzeroall\n pcmpeqd %xmm3, %xmm3\n"
                 "vinsertf128 $1, %xmm3, %ymm5, %ymm5");
    xsave(area, 7);
    is(BV & 6, 6, "XSAVE: SSE and AVX in use");
    is(*(uint64_t *)(area + 160 + 48), ~0ull, "XMM3 at its place");
    is(*(uint64_t *)(area + 576 + 80), ~0ull, "YMM5's upper half");
    is(*(uint16_t *)area, 0x37f, "FCW");
    memset(area, 0xee, sizeof(area));
    BV = 0;
    xsave(area, 2);
    is(BV, 2, "only what was asked for");
    is(area[0], 0xee, "x87 part untouched");
    is(area[576], 0xee, "AVX part untouched");
    is(*(uint32_t *)(area + 24), 0x1f80, "MXCSR comes with SSE");
    memset(area, 0xee, sizeof(area));
    memset(area + 512, 0, 64);
    asm volatile("vzeroupper");
    xsaveopt(area, 7);
    ok(!(BV & 4) || area[576] == 0, "XSAVEOPT: AVX in its first state");
    memset(area, 0xee, sizeof(area));
    memset(area + 512, 0, 64);
    asm volatile("vinsertf128 $1, %xmm3, %ymm5, %ymm5");
    xsavec(area, 4);
    is(COMP, 1ull << 63 | 4, "XSAVEC: compacted format");
    is(BV, 4, "XSAVEC: what it wrote");
    is(*(uint64_t *)(area + 576 + 80), ~0ull, "XSAVEC: first of the extended");
    TRAP(xsave(area + 8, 7));
    traps(GP, 0, "XSAVE unaligned");
}

static void restore(void)
{
    memset(area, 0, sizeof(area));
    xsavec(area, 7);
    asm volatile("pxor %xmm3, %xmm3");
    xrstor(area, 7);
    memset(fx, 0, sizeof(fx));
    asm volatile("fxsave (%0)" : : "r"(fx) : "memory");
    is(*(uint64_t *)(fx + 160 + 48), ~0ull, "XRSTOR of the compacted format");
    memset(area, 0, sizeof(area));
    xsave(area, 7);
    BV = 0;
    xrstor(area, 7);
    asm volatile("fxsave (%0)" : : "r"(fx) : "memory");
    is(*(uint64_t *)(fx + 160 + 48), 0, "XSTATE_BV clear: first state");
    BV = 8;
    TRAP(xrstor(area, 7));
    traps(GP, 0, "XSTATE_BV with an unknown component");
    BV = 3;
    COMP = 1;
    TRAP(xrstor(area, 7));
    traps(GP, 0, "XCOMP_BV without bit 63");
    COMP = 1ull << 63 | 1;
    TRAP(xrstor(area, 7));
    traps(GP, 0, "XSTATE_BV not in XCOMP_BV");
    COMP = 0;
    area[528] = 1;
    TRAP(xrstor(area, 7));
    traps(GP, 0, "header bytes 23 to 16");
    area[528] = 0;
    *(uint32_t *)(area + 24) = 0x10000;
    TRAP(xrstor(area, 7));
    traps(GP, 0, "MXCSR with reserved bits");
    *(uint32_t *)(area + 24) = 0x1f80;
    TRAP(xrstor(area + 16, 7));
    traps(GP, 0, "XRSTOR unaligned");
    TRAP(asm volatile("fxrstor 8(%0)" : : "r"(fx)));
    traps(GP, 0, "FXRSTOR unaligned");
    TRAP(set_cr0(get_cr0() | 8); xsave(area, 7));
    traps(NM, 0, "XSAVE with TS");
    set_cr0(get_cr0() & ~8ul);
}

static void sizes(void)
{
    uint32_t r[4];

    cpuid(0xd, 0, r);
    is(r[0], 7, "CPUID: x87, SSE, AVX");
    is(r[1], 832, "CPUID: size now");
    xsetbv(3);
    cpuid(0xd, 0, r);
    is(r[1], 576, "CPUID: size without AVX");
    is(r[2], 832, "CPUID: size at most");
    xsetbv(7);
    cpuid(0xd, 2, r);
    is(r[0] << 16 | r[1], 256u << 16 | 576, "CPUID: where AVX is");
    cpuid(0xd, 1, r);
    is(r[0] & 3, 3, "CPUID: XSAVEOPT and XSAVEC");
    cpuid(1, 0, r);
    is(r[2] >> 27 & 1, 1, "CPUID: OSXSAVE follows CR4");
    set_cr4(get_cr4() & ~0x40000ul);
    cpuid(1, 0, r);
    is(r[2] >> 27 & 1, 0, "CPUID: and back");
}

void main(void)
{
    enable();
    save();
    restore();
    sizes();
}
