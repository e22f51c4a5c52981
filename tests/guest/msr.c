/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msr.c - MSRs: unknown ones are #GP(0), reserved bits are #GP(0), values
 * stay; XCR0; the TSC and its adjustment.
 */
#include "guest.h"

static void gp_write(uint32_t n, uint64_t v, const char *claim)
{
    TRAP(wrmsr(n, v));
    traps(GP, 0, claim);
}

static void keeps(uint32_t n, uint64_t v, const char *claim)
{
    uint64_t old = rdmsr(n);

    wrmsr(n, v);
    is(rdmsr(n), v, claim);
    wrmsr(n, old);
}

static void xsetbv(uint32_t n, uint64_t v)
{
    asm volatile("xsetbv"
                 :
                 : "c"(n), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}

static void xcr0(void)
{
    TRAP(xsetbv(0, 1));
    traps(UD, 0, "XSETBV without OSXSAVE");
    set_cr4(get_cr4() | 1 << 18);
    TRAP(xsetbv(0, 1));
    traps(NONE, 0, "XCR0 = x87");
    TRAP(xsetbv(0, 3));
    traps(NONE, 0, "XCR0 = x87, SSE");
    TRAP(xsetbv(0, 2));
    traps(GP, 0, "XCR0 without x87");
    TRAP(xsetbv(0, 5));
    traps(GP, 0, "XCR0: AVX without SSE");
    TRAP(xsetbv(0, 1ull << 62 | 3));
    traps(GP, 0, "XCR0: unknown bit");
    TRAP(xsetbv(1, 3));
    traps(GP, 0, "XCR1");
    TRAP(asm volatile("xgetbv" : : "c"(7) : "rax", "rdx"));
    traps(GP, 0, "XGETBV 7");
}

void main(void)
{
    uint64_t t;

    TRAP(rdmsr(0x12345));
    traps(GP, 0, "unknown MSR");
    gp_write(0x12345, 0, "write of an unknown MSR");
    TRAP(rdmsr(0xc0001234));
    traps(GP, 0, "unknown MSR, high range");
    TRAP(rdmsr(0x40000000));
    traps(GP, 0, "unknown MSR, hypervisor range");
    keeps(0xc0000081, 0x123400000000, "STAR");
    keeps(0xc0000082, 0xffff800012345678, "LSTAR");
    keeps(0xc0000103, 0x87654321, "TSC_AUX");
    gp_write(0xc0000103, 1ull << 32, "TSC_AUX: upper half");
    keeps(0x277, 0x0007040600070406, "PAT");
    gp_write(0x277, 2, "PAT: type 2");
    gp_write(0x277, 8, "PAT: type 8");
    gp_write(0xc0000080, 1ull << 1, "EFER: reserved bit");
    gp_write(0xc0000080, rdmsr(0xc0000080) & ~0x100ull,
             "EFER: LME while paging");
    wrmsr(0xc0000080, rdmsr(0xc0000080) & ~0x400ull);
    ok(rdmsr(0xc0000080) & 0x400, "EFER: LMA is read-only");
    gp_write(0xc0000100, 1ull << 47, "FS_BASE non-canonical");
    gp_write(0x175, 1ull << 47, "SYSENTER_ESP non-canonical");
    gp_write(0x10a, 0, "ARCH_CAPABILITIES is read-only");
    gp_write(0xfe, 0, "MTRRCAP is read-only");
    wrmsr(0x10, 1ull << 40);
    t = rdmsr(0x10);
    ok(t - (1ull << 40) < 1ull << 36, "TSC can be written");
    t = rdtsc();
    wrmsr(0x3b, rdmsr(0x3b) + (1ull << 41));
    ok(rdtsc() - t >= 1ull << 41, "TSC_ADJUST moves the TSC");
    TRAP(asm volatile("rdtscp" : : : "rax", "rcx", "rdx"));
    traps(NONE, 0, "RDTSCP");
    xcr0();
}
