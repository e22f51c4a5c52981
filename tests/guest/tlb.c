/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tlb.c - what a change of page tables needs before it must be seen, and
 * what must survive: INVLPG, global pages, PCID, INVPCID, CR3 bit 63.
 * A stale entry that may stay is not claimed to stay. [SDM 3A 4.10]
 */
#include "guest.h"

#define VA ((volatile uint32_t *)TEST_VA)
#define VB ((volatile uint32_t *)(TEST_VA + 0x1000))

static uint64_t *ea, *eb;
static word cr3;

static void point(uint64_t *e, unsigned page, uint64_t bits)
{
    *(volatile uint64_t *)e = (word)pages[page] | P_P | P_W | bits;
}

static void invpcid(word type, uint64_t pcid, uint64_t va)
{
    uint64_t d[2] = {pcid, va};
    asm volatile("invpcid %0, %1" : : "m"(d), "r"(type) : "memory");
}

static void plain(void)
{
    point(ea, 0, 0);
    flush_tlb();
    is(*VA, 100, "mapped");
    point(ea, 1, 0);
    invlpg(VA + 7);
    is(*VA, 101, "INVLPG anywhere in the page");
    point(ea, 2, 0);
    flush_tlb();
    is(*VA, 102, "MOV CR3");
    *ea = 0;
    invlpg(VA);
    TRAP((void)*VA);
    traps(PF, 0, "unmapped after INVLPG");
    point(ea, 3, 0);
    TRAP((void)*VA);
    is(*VA, 103, "not present is never cached");
    *ea = (word)pages[3] | P_P;
    invlpg(VA);
    TRAP(*VA = 103);
    traps(PF, PF_P | PF_W, "read-only");
    point(ea, 3, 0);
    TRAP(*VA = 103);
    ok(trap.vector == NONE || trap.vector == PF,
       "more rights: seen now or after one fault");
    TRAP(*VA = 103);
    traps(NONE, 0, "more rights: seen after the fault");
}

static void global(void)
{
    point(ea, 0, P_G);
    flush_tlb();
    is(*VA, 100, "G without PGE");
    point(ea, 1, P_G);
    flush_tlb();
    is(*VA, 101, "G without PGE means nothing");
    set_cr4(get_cr4() | 0x80);
    is(*VA, 101, "global page");
    point(ea, 2, P_G);
    invlpg(VA);
    is(*VA, 102, "INVLPG drops a global entry");
    point(ea, 3, P_G);
    set_cr4(get_cr4() & ~0x80ul);
    is(*VA, 103, "clearing PGE drops global entries");
    set_cr4(get_cr4() | 0x80);
    (void)*VA;
    point(ea, 4, P_G);
    set_cr4(get_cr4() & ~0x80ul);
    set_cr4(get_cr4() | 0x80);
    is(*VA, 104, "toggling PGE");
}

static void pcid(void)
{
    TRAP(set_cr3(cr3 | 1); set_cr4(get_cr4() | 1 << 17));
    traps(GP, 0, "PCIDE with a PCID in CR3");
    set_cr3(cr3);
    point(ea, 0, 0);
    flush_tlb();
    set_cr4(get_cr4() | 1 << 17);
    is(*VA, 100, "PCID 0");
    set_cr3(cr3 | 1);
    is(*VA, 100, "PCID 1");
    point(ea, 1, 0);
    set_cr3(cr3 | 1);
    is(*VA, 101, "MOV CR3 drops its PCID");
    set_cr3(cr3 | 2);
    is(*VA, 101, "PCID 2");
    point(ea, 2, 0);
    invlpg(VA);
    is(*VA, 102, "INVLPG in PCID 2");
    set_cr3(cr3 | 1);
    is(*VA, 102, "coming back without bit 63 flushes");
    is(get_cr3(), cr3 | 1, "bit 63 reads as 0 (not set)");
    set_cr3(cr3 | 2 | 1ull << 63);
    is(get_cr3(), cr3 | 2, "bit 63 is not stored");
    is(*VA, 102, "with bit 63, the same mapping");
    TRAP(set_cr4(get_cr4() & ~(1ul << 17)));
    traps(NONE, 0, "PCIDE can be cleared in any PCID");
    TRAP(set_cr3(get_cr3() | 1ull << 63));
    traps(GP, 0, "bit 63 without PCIDE");
    set_cr3(cr3);
    set_cr4(get_cr4() | 1 << 17);
}

static void invpcid_types(void)
{
    point(ea, 0, 0);
    point(eb, 5, P_G);
    set_cr3(cr3 | 3);
    is(*VA + *VB, 205, "PCID 3");
    set_cr3(cr3 | 4);
    (void)*VA;
    point(ea, 1, 0);
    invpcid(0, 4, TEST_VA);
    is(*VA, 101, "type 0, own PCID");
    invpcid(0, 3, TEST_VA);
    set_cr3(cr3 | 3 | 1ull << 63);
    is(*VA, 101, "type 0, another PCID");
    set_cr3(cr3 | 4 | 1ull << 63);
    point(ea, 2, 0);
    invpcid(1, 4, 0);
    is(*VA, 102, "type 1, own PCID");
    invpcid(1, 3, 0);
    set_cr3(cr3 | 3 | 1ull << 63);
    is(*VA, 102, "type 1, another PCID");
    point(ea, 3, 0);
    point(eb, 6, P_G);
    invpcid(2, 0, 0);
    is(*VA, 103, "type 2");
    is(*VB, 106, "type 2, global");
    set_cr3(cr3 | 4 | 1ull << 63);
    is(*VA, 103, "type 2, other PCID");
    point(ea, 4, 0);
    invpcid(3, 0, 0);
    is(*VA, 104, "type 3");
    set_cr3(cr3 | 3 | 1ull << 63);
    is(*VA, 104, "type 3, other PCID");
    TRAP(invpcid(4, 0, 0));
    traps(GP, 0, "type 4");
    TRAP(invpcid(0, 0x1000, 0));
    traps(GP, 0, "reserved bits of the descriptor");
    TRAP(invpcid(0, 0, 1ull << 47));
    traps(GP, 0, "type 0, non-canonical");
    TRAP(invpcid(1, 0, 1ull << 47));
    traps(NONE, 0, "type 1 does not look at the address");
    set_cr3(cr3);
    set_cr4(get_cr4() & ~(1ul << 17));
    TRAP(invpcid(1, 1, 0));
    traps(GP, 0, "PCID 1 without PCIDE");
    TRAP(invpcid(1, 0, 0));
    traps(NONE, 0, "PCID 0 without PCIDE");
}

static void tables(void)
{
    uint64_t *pt = page_alloc(), *pde = pt_entry(TEST_VA, 2), old = *pde;

    point(&pt[0], 7, 0);
    point(ea, 0, 0);
    flush_tlb();
    (void)*VA;
    *pde = (word)pt | P_P | P_W;
    invlpg(VA);
    is(*VA, 107, "INVLPG also drops a cached directory entry");
    *pde = old;
    flush_tlb();
    is(*VA, 100, "table exchanged, MOV CR3");
    *pde = 0x600000 | P_P | P_W | P_PS;
    invlpg(VA);
    *(volatile uint32_t *)0x601000 = 0x61;
    is(*VB, 0x61, "4K pages became a 2M page");
    *pde = old;
    invlpg(VB);
    is(*VA, 100, "one INVLPG drops all of a 2M page");
}

/* INVLPG drops global entries whichever PCID made them [SDM 3A 4.10.4.1]. */
static void global_elsewhere(void)
{
    volatile uint32_t *v = (volatile uint32_t *)(TEST_VA + 0x203000);
    uint64_t *pde = pt_entry(TEST_VA + 0x200000, 2);

    *(volatile uint32_t *)0x603000 = 1;
    *(volatile uint32_t *)0x803000 = 2;
    set_cr4(get_cr4() | 1 << 17 | 0x80);
    set_cr3(cr3 | 5);
    *(volatile uint64_t *)pde = 0x600000 | P_P | P_W | P_PS | P_G;
    point(ea, 0, P_G);
    is(*v + *VA, 101, "global pages in PCID 5");
    set_cr3(cr3 | 6);
    *(volatile uint64_t *)pde = 0x800000 | P_P | P_W | P_PS | P_G;
    point(ea, 1, P_G);
    invlpg(v);
    invlpg(VA);
    set_cr3(cr3 | 5 | 1ull << 63);
    is(*v + *VA, 103, "INVLPG in PCID 6 counts for PCID 5's global pages");
    *(volatile uint64_t *)pde = 0;
    set_cr3(cr3);
    set_cr4(get_cr4() & ~(1ul << 17 | 0x80));
}

void main(void)
{
    for (unsigned i = 0; i < 8; i++)
        *(volatile uint32_t *)pages[i] = 100 + i;
    ea = pt_entry(TEST_VA, 1);
    eb = pt_entry(TEST_VA + 0x1000, 1);
    point(eb, 5, 0);
    cr3 = get_cr3();
    plain();
    global();
    tables();
    pcid();
    invpcid_types();
    global_elsewhere();
    TRAP(asm volatile("invlpg (%0)" : : "r"(1ull << 47)));
    traps(NONE, 0, "INVLPG of a non-canonical address");
}
