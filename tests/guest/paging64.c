/* SPDX-License-Identifier: Apache-2.0 */
/*
 * paging64.c - 4-level paging: P, W, U and NX at every level and page size,
 * WP, reserved bits, accessed and dirty bits, #PF error codes and CR2.
 * [SDM 3A 4.5 to 4.8]
 */
#include "guest.h"

#define VA     ((volatile uint32_t *)TEST_VA)
#define PA(i)  ((word)pages[i])
#define MAXPHY ((uint64_t)1 << 51)

CODE(u_read, "mov (%rdi), %eax\n int $0x40");
CODE(u_write, "mov %eax, (%rdi)\n int $0x40");
CODE(u_jump, "jmp *%rdi");
CODE(u_rmw, "lock addl $0, (%rdi)\n int $0x40");
CODE(ret_code, "ret");

static word load(volatile void *p)
{
    return TRAP((void)*(volatile uint32_t *)p);
}

static word store(volatile void *p)
{
    return TRAP(*(volatile uint32_t *)p = 1);
}

static word fetch(volatile void *p)
{
    return TRAP(asm volatile("call *%0" : : "r"(p) : "memory", "rax"));
}

static void supervisor(void)
{
    map(TEST_VA, 0, 1);
    load(VA);
    traps(PF, 0, "read, not present");
    is(trap.cr2, TEST_VA, "CR2 of a read");
    store(VA + 5);
    traps(PF, PF_W, "write, not present");
    is(trap.cr2, TEST_VA + 20, "CR2 of a write");
    map(TEST_VA, PA(0) | P_P, 1);
    load(VA);
    traps(NONE, 0, "supervisor reads a read-only page");
    store(VA);
    traps(PF, PF_P | PF_W, "WP: supervisor write to a read-only page");
    set_cr0(get_cr0() & ~0x10000ul);
    store(VA);
    traps(NONE, 0, "without WP the supervisor writes");
    set_cr0(get_cr0() | 0x10000);
    store(VA);
    traps(PF, PF_P | PF_W, "setting WP takes effect at once");
    TRAP(asm volatile("lock addl $0, %0" : "+m"(*VA)));
    traps(PF, PF_P | PF_W, "read-modify-write faults as a write");
    TRAP(asm volatile("movl $5, %%eax\n lock cmpxchgl %%eax, %0"
                      : "+m"(*VA)
                      :
                      : "rax"));
    traps(PF, PF_P | PF_W, "failing CMPXCHG faults as a write");
}

static void user(void)
{
    map(TEST_VA, PA(0) | P_P | P_W, 1);
    user_run(u_read, 0, TEST_VA);
    traps(PF, PF_P | PF_U, "user read of a supervisor page");
    user_run(u_write, 0, TEST_VA);
    traps(PF, PF_P | PF_U | PF_W, "user write of a supervisor page");
    map(TEST_VA, PA(0) | P_P | P_U, 1);
    user_run(u_read, 0, TEST_VA);
    traps(DONE, 0, "user reads a user page");
    user_run(u_write, 0, TEST_VA);
    traps(PF, PF_P | PF_U | PF_W, "user write of a read-only page");
    user_run(u_rmw, 0, TEST_VA);
    traps(PF, PF_P | PF_U | PF_W, "user read-modify-write");
    set_cr0(get_cr0() & ~0x10000ul);
    user_run(u_write, 0, TEST_VA);
    traps(PF, PF_P | PF_U | PF_W, "WP off does not help the user");
    set_cr0(get_cr0() | 0x10000);
    map(TEST_VA, 0, 1);
    user_run(u_read, 0, TEST_VA);
    traps(PF, PF_U, "user read, not present");
    map(TEST_VA, PA(0) | P_P | P_W | P_U, 1);
    user_run(u_write, 0, TEST_VA);
    traps(DONE, 0, "user writes a writable page");
    *pt_entry(TEST_VA, 2) &= ~P_U;
    flush_tlb();
    user_run(u_read, 0, TEST_VA);
    traps(PF, PF_P | PF_U, "U clear in the directory counts");
    *pt_entry(TEST_VA, 2) |= P_U;
    *pt_entry(TEST_VA, 3) &= ~P_W;
    flush_tlb();
    user_run(u_write, 0, TEST_VA);
    traps(PF, PF_P | PF_U | PF_W, "W clear in the PDPT counts");
    *pt_entry(TEST_VA, 3) |= P_W;
    flush_tlb();
}

static void no_execute(void)
{
    memcpy(pages[0], ret_code, 1);
    map(TEST_VA, PA(0) | P_P | P_W | P_NX, 1);
    load(VA);
    traps(PF, PF_P | PF_R, "NX without NXE is a reserved bit");
    wrmsr(0xc0000080, rdmsr(0xc0000080) | 0x800);
    load(VA);
    traps(NONE, 0, "NX page can be read");
    fetch(VA);
    traps(PF, PF_P | PF_I, "fetch from an NX page");
    is(trap.cr2, TEST_VA, "CR2 of a fetch");
    is(trap.ip, TEST_VA, "RIP of a fetch");
    map(TEST_VA, PA(0) | P_P, 1);
    fetch(VA);
    traps(NONE, 0, "fetch without NX");
    *pt_entry(TEST_VA, 2) |= P_NX;
    flush_tlb();
    fetch(VA);
    traps(PF, PF_P | PF_I, "NX in the directory counts");
    *pt_entry(TEST_VA, 2) &= ~P_NX;
    map(TEST_VA, 0, 1);
    fetch(VA);
    traps(PF, PF_I, "fetch, not present");
    map(TEST_VA, PA(0) | P_P | P_U | P_NX, 1);
    user_run(u_jump, 0, TEST_VA);
    traps(PF, PF_P | PF_U | PF_I, "user fetch from an NX page");
}

static void reserved(void)
{
    map(TEST_VA, PA(0) | P_P | MAXPHY, 1);
    load(VA);
    traps(PF, PF_P | PF_R, "reserved address bit in a PTE");
    map(TEST_VA, PA(0) | P_P | P_W, 1);
    *pt_entry(TEST_VA, 2) |= MAXPHY;
    flush_tlb();
    store(VA);
    traps(PF, PF_P | PF_R | PF_W, "reserved address bit in a PDE");
    *pt_entry(TEST_VA, 2) &= ~MAXPHY;
    map(1ull << 40, PA(0) | P_P, 1);
    load((void *)(1ull << 40));
    traps(NONE, 0, "another PML4E");
    *pt_entry(1ull << 40, 4) |= P_PS;
    flush_tlb();
    load((void *)(1ull << 40));
    traps(PF, PF_P | PF_R, "PS in the PML4E is reserved");
}

static void large(void)
{
    uint64_t *pde, *pdpte, old;

    pde = map(TEST_VA + 0x200000, 0x200000 | P_P | P_W | P_PS, 2);
    load((void *)(TEST_VA + 0x345678));
    traps(NONE, 0, "2 MiB page");
    is(*pde & (P_A | P_D), P_A, "2 MiB page: accessed, not dirty");
    store((void *)(TEST_VA + 0x345678));
    is(*pde & (P_A | P_D), P_A | P_D, "2 MiB page: dirty");
    *(volatile uint32_t *)0x3ffff8 = 0x1234567;
    is(*(volatile uint32_t *)(TEST_VA + 0x3ffff8), 0x1234567,
       "2 MiB page: the right place");
    map(TEST_VA + 0x200000, 0x200000 | P_P | P_PS | 0x4000, 2);
    load((void *)(TEST_VA + 0x200000));
    traps(PF, PF_P | PF_R, "2 MiB page: reserved bit 14");
    map(TEST_VA + 0x200000, 0x200000 | P_P | P_PS | 0x1000, 2);
    load((void *)(TEST_VA + 0x200000));
    traps(NONE, 0, "2 MiB page: PAT bit is allowed");
    map(TEST_VA + 0x200000, 0x200000 | P_P | P_PS | P_NX, 2);
    fetch((void *)(TEST_VA + 0x200000));
    traps(PF, PF_P | PF_I, "2 MiB page: NX");
    pdpte = pt_entry(TEST_VA, 3);
    old = *pdpte;
    *pdpte = P_P | P_W | P_PS;
    flush_tlb();
    is(*(volatile uint32_t *)(TEST_VA + 0x3ffff8), 0x1234567, "1 GiB page");
    is(*pdpte & (P_A | P_D), P_A, "1 GiB page: accessed, not dirty");
    store((void *)(TEST_VA + 0x300000));
    is(*pdpte & (P_A | P_D), P_A | P_D, "1 GiB page: dirty");
    *pdpte = P_P | P_W | P_PS | 0x200000;
    flush_tlb();
    load(VA);
    traps(PF, PF_P | PF_R, "1 GiB page: reserved bit 21");
    *pdpte = old;
    flush_tlb();
}

static void bits(void)
{
    uint64_t *e = map(TEST_VA, PA(0) | P_P | P_W, 1);

    *pt_entry(TEST_VA, 2) &= ~P_A;
    *pt_entry(TEST_VA, 3) &= ~P_A;
    flush_tlb();
    load(VA);
    is(*e & (P_A | P_D), P_A, "a read sets A only");
    is(*pt_entry(TEST_VA, 2) & (P_A | P_D), P_A, "A in the PDE, no D");
    is(*pt_entry(TEST_VA, 3) & (P_A | P_D), P_A, "A in the PDPTE");
    store(VA);
    is(*e & (P_A | P_D), P_A | P_D, "a write sets D, though cached");
    map(TEST_VA, PA(0) | P_P, 1);
    store(VA);
    is(*e & P_D, 0, "a faulting write sets no D");
    map(TEST_VA, PA(0) | P_P | P_W, 1);
    TRAP(asm volatile("lock cmpxchgl %%eax, %0" : "+m"(*VA) : "a"(0x77)));
    is(*e & (P_A | P_D), P_A | P_D, "CMPXCHG that fails sets D");
    map(TEST_VA, PA(0) | P_P | P_W, 1);
    map(TEST_VA + 4096, 0, 1);
    store((void *)(TEST_VA + 4094));
    traps(PF, PF_W, "write across pages, second not present");
    is(trap.cr2, TEST_VA + 4096, "CR2 is in the second page");
    memset(pages[0], 0, 4096);
    store((void *)(TEST_VA + 4094));
    is(pages[0][4094], 0, "nothing of it was written");
    map(TEST_VA + 4096, PA(5) | P_P | P_W, 1);
    *(volatile uint32_t *)(TEST_VA + 4094) = 0x44332211;
    is(pages[0][4095], 0x22, "across pages: first");
    is(pages[5][0], 0x33, "across pages: second");
}

void main(void)
{
    supervisor();
    user();
    no_execute();
    reserved();
    large();
    bits();
}
