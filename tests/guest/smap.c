/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smap.c - SMEP and SMAP: the supervisor's use of user pages. [SDM 3A 4.6]
 */
#include "guest.h"

#define VA ((volatile uint32_t *)TEST_VA)
CODE(ret_code, "ret");
CODE(u_stac, "stac");
CODE(u_ac, "pushf\n orl $0x40000, (%rsp)\n popf\n mov (%rdi), %eax\n"
           "int $0x40");
CODE(u_int, "int $0x90");

static word load(void)
{
    return TRAP((void)*VA);
}

static void smep(void)
{
    memcpy(pages[0], ret_code, 1);
    map(TEST_VA, (word)pages[0] | P_P | P_W | P_U, 1);
    TRAP(asm volatile("call *%0" : : "r"(VA)));
    traps(NONE, 0, "without SMEP the supervisor runs a user page");
    set_cr4(get_cr4() | 1 << 20);
    TRAP(asm volatile("call *%0" : : "r"(VA)));
    traps(PF, PF_P | PF_I, "SMEP: fetch from a user page");
    load();
    traps(NONE, 0, "SMEP: data is allowed");
    map(TEST_VA, (word)pages[0] | P_P, 1);
    TRAP(asm volatile("call *%0" : : "r"(VA)));
    traps(NONE, 0, "SMEP: supervisor page runs");
    *pt_entry(TEST_VA, 2) &= ~P_U;
    map(TEST_VA, (word)pages[0] | P_P | P_U, 1);
    TRAP(asm volatile("call *%0" : : "r"(VA)));
    traps(NONE, 0, "SMEP: U clear above makes a supervisor page");
    *pt_entry(TEST_VA, 2) |= P_U;
    set_cr4(get_cr4() & ~(1ul << 20));
}

static void smap(void)
{
    map(TEST_VA, (word)pages[0] | P_P | P_W | P_U, 1);
    load();
    traps(NONE, 0, "without SMAP");
    set_cr4(get_cr4() | 1 << 21);
    load();
    traps(PF, PF_P, "SMAP: read of a user page");
    TRAP(*VA = 1);
    traps(PF, PF_P | PF_W, "SMAP: write of a user page");
    TRAP(asm volatile("stac"); *VA = 1; (void)*VA);
    traps(NONE, 0, "SMAP: STAC allows both");
    TRAP(asm volatile("stac\n clac"); *VA = 1);
    traps(PF, PF_P | PF_W, "SMAP: CLAC forbids");
    TRAP(set_flags(0x40002); (void)*VA);
    traps(NONE, 0, "SMAP: AC by POPF");
    user_run(u_stac, 0, 0);
    traps(UD, 0, "STAC at CPL 3");
    user_run(u_ac, 0, TEST_VA);
    traps(DONE, 0, "user reads its pages under SMAP");
    ok(trap.flags & 0x40000, "AC stays in the saved flags");
}

static void implicit(void)
{
    ((uint64_t *)pages[0])[1] = gdt[SEL_DATA / 8];
    gdt_set(SEL_OWN, TEST_VA, 15, 0x82);
    gdt[SEL_OWN / 8 + 1] = 0;
    TRAP(asm volatile("lldt %0" : : "r"((uint16_t)SEL_OWN)));
    traps(NONE, 0, "LLDT looks at no descriptor in the LDT");
    TRAP(asm volatile("stac\n mov %0, %%es" : : "r"(0xc)));
    traps(PF, PF_P, "SMAP: descriptor load from a user page, AC set");
    is(trap.cr2, TEST_VA + 8, "CR2 of the descriptor");
    set_cr4(get_cr4() & ~(1ul << 21));
    TRAP(asm volatile("mov %0, %%es" : : "r"(0xc)));
    traps(NONE, 0, "descriptor load from a user page");
    /* user code may load segments from a supervisor's table */
    idt_gate(0x90, trap_entries[0x90], SEL_CODE, GATE_USER, 0);
    user_run(u_int, 0, 0);
    traps(0x90, 0, "user INT through supervisor tables");
}

void main(void)
{
    smep();
    smap();
    implicit();
    TRAP(set_cr4(get_cr4() & ~(1ul << 21)); asm volatile("stac"));
    traps(NONE, 0, "STAC without CR4.SMAP");
}
