/* SPDX-License-Identifier: Apache-2.0 */
/*
 * paging32.c - 32-bit paging with 4 KiB and 4 MiB pages, then PAE with 4 KiB
 * and 2 MiB pages and NX; CR3 and the PDPTEs. [SDM 3A 4.3, 4.4]
 */
#include "guest.h"

#define VA ((volatile uint32_t *)TEST_VA)

static uint32_t dir[1024] __attribute__((aligned(4096)));
static uint32_t table[1024] __attribute__((aligned(4096)));
static uint64_t pdpt[4] __attribute__((aligned(32)));
static uint64_t pd[4][512] __attribute__((aligned(4096)));
static uint64_t pt[512] __attribute__((aligned(4096)));

CODE(u_read, "mov (%edi), %eax\n int $0x40");
CODE(u_write, "mov %eax, (%edi)\n int $0x40");
CODE(ret_code, "ret");

static word load(volatile void *p)
{
    return TRAP((void)*(volatile uint32_t *)p);
}

static word store(volatile void *p)
{
    return TRAP(*(volatile uint32_t *)p = 1);
}

static void set32(uint32_t e)
{
    *(volatile uint32_t *)table = e;
    invlpg(VA);
}

static void legacy_on(void)
{
    for (unsigned i = 0; i < 1024; i++)
        dir[i] = i << 22 | 0x87;
    dir[TEST_VA >> 22] = (word)table | 7;
    dir[(TEST_VA >> 22) + 1] = 0;
    set_cr4(get_cr4() | 0x10);
    set_cr3((word)dir);
    set_cr0(get_cr0() | 0x80010000);
}

static void legacy(void)
{
    set32((word)pages[0] | 1);
    load(VA);
    traps(NONE, 0, "4 KiB page");
    is(table[0] & 0x60, 0x20, "A, not D");
    is(dir[TEST_VA >> 22] & 0x60, 0x20, "A in the directory");
    store(VA);
    traps(PF, PF_P | PF_W, "WP");
    user_run(u_read, 0, TEST_VA);
    traps(PF, PF_P | PF_U, "user read of a supervisor page");
    set32((word)pages[0] | 5);
    user_run(u_read, 0, TEST_VA);
    traps(DONE, 0, "user reads a user page");
    user_run(u_write, 0, TEST_VA);
    traps(PF, PF_P | PF_U | PF_W, "user write of a read-only page");
    set32((word)pages[0] | 7);
    user_run(u_write, 0, TEST_VA);
    traps(DONE, 0, "user writes");
    is(table[0] & 0x60, 0x60, "A and D");
    set32(0);
    load(VA);
    traps(PF, 0, "not present");
    is(trap.cr2, TEST_VA, "CR2");
    load(VA + 0x100000);
    traps(PF, 0, "directory entry not present");
}

static void pse(void)
{
    volatile uint32_t *e = &dir[(TEST_VA >> 22) + 1];

    *(volatile uint32_t *)0x600000 = 0x1234;
    *e = 0x400000 | 0x83;
    flush_tlb();
    is(*(volatile uint32_t *)(TEST_VA + 0x600000), 0x1234, "4 MiB page");
    is(*e & 0x60, 0x20, "4 MiB page: A, not D");
    store((void *)(TEST_VA + 0x700000));
    is(*e & 0x60, 0x60, "4 MiB page: D");
    *e = 0x400000 | 0x200000 | 0x83;
    flush_tlb();
    load((void *)(TEST_VA + 0x600000));
    traps(PF, PF_P | PF_R, "4 MiB page: reserved bit 21");
    *e = 0x400000 | 0x2000 | 0x81;
    flush_tlb();
    load((void *)(TEST_VA + 0x600000));
    traps(NONE, 0, "PSE-36: beyond RAM, floats");
}

static void legacy_off(void)
{
    set_cr0(get_cr0() & ~0x80000000ul);
    ok(true, "paging off again");
}

static void set64(uint64_t e)
{
    *(volatile uint32_t *)pt = 0;
    ((volatile uint32_t *)pt)[1] = (uint32_t)(e >> 32);
    *(volatile uint32_t *)pt = (uint32_t)e;
    invlpg(VA);
}

static void pae_on(void)
{
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned j = 0; j < 512; j++)
            pd[i][j] = (uint64_t)i << 30 | j << 21 | 0x87;
        pdpt[i] = (word)pd[i] | 1;
    }
    pd[2][0] = (word)pt | 7;
    pd[2][1] = 0;
    set_cr4(get_cr4() | 0x20);
    set_cr3((word)pdpt);
    set_cr0(get_cr0() | 0x80000000);
}

static void pae(void)
{
    set64((word)pages[0] | 3);
    load(VA);
    traps(NONE, 0, "PAE: 4 KiB page");
    is(pt[0] & 0x60, 0x20, "PAE: A, not D");
    store(VA);
    is(pt[0] & 0x60, 0x60, "PAE: D");
    set64((word)pages[0] | 1);
    store(VA);
    traps(PF, PF_P | PF_W, "PAE: WP");
    set64((word)pages[0] | 1 | 1ull << 62);
    load(VA);
    traps(PF, PF_P | PF_R, "PAE: bit 62 is reserved");
    set64((word)pages[0] | 1 | P_NX);
    load(VA);
    traps(PF, PF_P | PF_R, "PAE: NX without NXE is reserved");
    wrmsr(0xc0000080, rdmsr(0xc0000080) | 0x800);
    memcpy(pages[0], ret_code, 1);
    load(VA);
    traps(NONE, 0, "PAE: NX page is read");
    TRAP(((void (*)(void))VA)());
    traps(PF, PF_P | PF_I, "PAE: fetch from an NX page");
    set64((word)pages[0] | 1);
    TRAP(((void (*)(void))VA)());
    traps(NONE, 0, "PAE: fetch");
    *(volatile uint32_t *)0x600004 = 0x4321;
    pd[2][1] = 0x600000 | 0x83;
    flush_tlb();
    is(*(volatile uint32_t *)(TEST_VA + 0x200004), 0x4321, "2 MiB page");
    is(pd[2][1] & 0x60, 0x20, "2 MiB page: A, not D");
    pd[2][1] = 0x600000 | 0x83 | 1 << 13;
    flush_tlb();
    load((void *)(TEST_VA + 0x200000));
    traps(PF, PF_P | PF_R, "2 MiB page: reserved bit 13");
}

static void registers(void)
{
    uint64_t old = pdpt[2];

    set64((word)pages[0] | 3);
    pdpt[2] = 0;
    asm volatile("" : : : "memory");
    invlpg(VA);
    load(VA);
    traps(NONE, 0, "PDPTEs are registers: a store does not change them");
    flush_tlb();
    load(VA);
    traps(PF, 0, "MOV CR3 loads them");
    pdpt[2] = old | 2;
    TRAP(flush_tlb());
    traps(GP, 0, "MOV CR3: reserved bit in a PDPTE");
    load(VA);
    traps(PF, 0, "and they stay as they were");
    pdpt[2] = old;
    flush_tlb();
    load(VA);
    traps(NONE, 0, "loaded again");
}

void main(void)
{
    legacy_on();
    legacy();
    pse();
    legacy_off();
    pae_on();
    pae();
    registers();
}
