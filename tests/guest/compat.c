/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compat.c - 32-bit user code of a 64-bit kernel: segments of the GDT and of
 * an LDT that change under it, its ways into the kernel, far jumps to 64-bit
 * code. The GDT has Linux's layout, and each piece computes for a while first:
 * so engines that run such code natively do.
 */
#include "guest.h"

#define CS32     0x23
#define DS32     0x2b
#define CS64     0x33
#define LDTR     0x40 /* two entries */
#define TLS      0x63
#define FREE     0x6b
#define LOCAL(n) ((n)*8 + 7)

#define U_CODE32 (A_CODE32 | A_DPL(3))
#define U_DATA32 (A_DATA32 | A_DPL(3))
#define U_CODE64 (A_CODE64 | A_DPL(3))

static uint64_t linux_gdt[16] __attribute__((aligned(16)));
static uint64_t ldt[8] __attribute__((aligned(16)));
static volatile uint32_t data[64] __attribute__((aligned(64)));

#define BURN               "mov $400000, %ecx\n 9: dec %ecx\n jnz 9b\n"
#define CODE32(name, text) CODE(name, ".code32\n" text "\n.code64")

/* A page in which no CPUID of the library's is. */
asm(".pushsection .text\n .balign 4096\n .popsection");
CODE32(c_burn, BURN "int $0x40");
CODE32(c_tls, "mov %edi, %gs\n" BURN
              "mov %gs:4, %eax\n mov %gs, %ebx\n push %gs\n pop %edx\n"
              "mov %cs, %esi\n mov %ss, %ebp\n int $0x40");
CODE32(c_kept, BURN "mov %gs:4, %eax\n mov %gs, %ebx\n int $0x40");
CODE32(c_store, "mov %edi, %es\n" BURN "movl $77, %es:12\n int $0x40");
CODE32(c_over, "mov %edi, %gs\n" BURN "mov %gs:61, %eax\n int $0x40");
CODE32(c_null, "mov %edi, %ds\n" BURN "mov (%esp), %edx\n mov (%esi), %eax\n"
               "int $0x40");
CODE32(c_query, BURN "lar %edi, %eax\n lsl %edi, %ebx\n verw %di\n"
                     "setz %dl\n int $0x40");
CODE32(c_int80, BURN "mov $5, %eax\n int $0x80\n int $0x40");
CODE32(c_into, BURN "mov $0x7f, %al\n add $1, %al\n into\n int $0x40");
CODE32(c_far, BURN "push $0x33\n push %edi\n lret");
CODE(c_wide, BURN "movabs $0x123456789abcdef0, %rax\n mov %cs, %ebx\n"
                  "mov %gs:4, %edx\n int $0x40");
CODE32(c_local, "push %edi\n push $0\n lcall *(%esp)\n int $0x40");
CODE32(c_there, BURN "call 1f\n 1: pop %eax\n mov %cs, %ebx\n int $0x40");
CODE(entry, "int $0x92");

static uint64_t desc(uint32_t base, uint32_t limit, uint64_t attr)
{
    return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 |
           (attr & 0xf0ff) << 40 | (uint64_t)(limit >> 16 & 15) << 48 |
           (uint64_t)(base >> 24) << 56;
}

static uint32_t user(const volatile void *p)
{
    return (uint32_t)(word)USER(p);
}

static void tables(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) g = {sizeof(linux_gdt) - 1, (word)linux_gdt};

    linux_gdt[1] = gdt[1];
    linux_gdt[2] = gdt[2];
    linux_gdt[CS32 >> 3] = desc(0, 0xfffff, U_CODE32);
    linux_gdt[DS32 >> 3] = desc(0, 0xfffff, U_DATA32);
    linux_gdt[CS64 >> 3] = desc(0, 0xfffff, U_CODE64);
    linux_gdt[LDTR >> 3] = desc((uint32_t)(word)ldt, sizeof(ldt) - 1, 0x82);
    asm volatile("lgdt %0\n lldt %w1" : : "m"(g), "r"(LDTR) : "memory");
    for (unsigned i = 0; i < 64; i++)
        data[i] = 0x1000 + i;
}

static void enter(const void *code, word di, word si)
{
    register word ip asm("rax") = user(code);
    register word sp asm("rdx") = user(user_stack) + sizeof(user_stack) - 64;

    asm volatile("mov %4, %%ds\n mov %4, %%es\n push %q4\n push %1\n"
                 "push $0x202\n push %q5\n push %0\n iretq"
                 :
                 : "r"(ip), "r"(sp), "D"(di), "S"(si), "b"((word)DS32),
                   "c"((word)CS32)
                 : "memory");
}

static void run(const void *code, word di, word si)
{
    TRAP(enter(code, di, si));
}

static void gdt_segments(void)
{
    linux_gdt[TLS >> 3] = desc(user(data), 63, 0x4093 | A_DPL(3));
    run(c_tls, TLS, 0);
    traps(DONE, 0, "a segment of the GDT");
    is(trap.frame.ax, 0x1001, "and what is there");
    is(trap.frame.bx, TLS, "its selector, by MOV");
    is(trap.frame.dx, TLS, "by PUSH");
    is(trap.frame.si, CS32, "CS");
    is(trap.frame.bp, DS32, "SS");
    is(trap.cs, CS32, "CS of the frame");
    linux_gdt[TLS >> 3] = desc(user(data + 8), 63, 0x4093 | A_DPL(3));
    run(c_kept, 0, 0);
    is(trap.frame.ax, 0x1001, "a changed descriptor counts when it is loaded");
    is(trap.frame.bx, TLS, "the selector stays");
    run(c_tls, TLS, 0);
    is(trap.frame.ax, 0x1009, "then it does");
    run(c_over, TLS, 0);
    traps(GP, 0, "its limit");
    run(c_over, FREE, 0);
    traps(GP, FREE & ~3u, "an entry that is empty");
    linux_gdt[FREE >> 3] = desc(user(data), 63, 0x4092 | A_DPL(3));
    run(c_store, FREE, 0);
    traps(DONE, 0, "one that was not accessed");
    is(data[3], 77, "a store to it");
    is(linux_gdt[FREE >> 3] >> 40 & 1, 1, "is accessed now");
    linux_gdt[FREE >> 3] = desc(user(data), 63, 0x4091 | A_DPL(3));
    run(c_store, FREE, 0);
    traps(GP, 0, "a store to a read-only segment");
    run(c_query, FREE, 0);
    is(trap.frame.ax & 0xf0ff00, 0x40f100, "LAR");
    is(trap.frame.bx, 63, "LSL");
    is(trap.frame.dx & 0xff, 0, "VERW");
    run(c_null, 0, user(data));
    traps(GP, 0, "a load by a null DS");
}

static void ldt_segments(void)
{
    ldt[1] = desc(user(data + 16), 63, 0x4093 | A_DPL(3));
    run(c_tls, LOCAL(1), 0);
    traps(DONE, 0, "a segment of the LDT");
    is(trap.frame.ax, 0x1011, "and what is there");
    is(trap.frame.bx, LOCAL(1), "its selector");
    ldt[1] = desc(user(data + 24), 63, 0x4093 | A_DPL(3));
    run(c_tls, LOCAL(1), 0);
    is(trap.frame.ax, 0x1019, "a changed one");
    ldt[2] = desc(user(data), 63, 0x4013 | A_DPL(3));
    run(c_tls, LOCAL(2), 0);
    traps(NP, LOCAL(2) & ~3u, "one that is not present");
    run(c_tls, LOCAL(9), 0);
    traps(GP, LOCAL(9) & ~3u, "one beyond the table");
    ldt[3] = desc(user(data), 63, 0x0093 | A_DPL(3));
    run(c_tls, LOCAL(3), 0);
    is(trap.frame.ax, 0x1001, "a 16-bit one");
    asm volatile("mov %0, %%gs" : : "r"(0)); /* natively again */
    ldt[4] = desc(user(c_there), 0xfff, 0x409b | A_DPL(3));
    run(c_local, LOCAL(4), 0);
    traps(DONE, 0, "code of the LDT");
    is(trap.cs, LOCAL(4), "its selector, in the frame");
    is(trap.frame.bx, LOCAL(4), "by MOV");
    ok(trap.frame.ax < 64, "EIP counts from its base");
    asm volatile("lldt %w0" : : "r"(0));
    run(c_tls, LOCAL(1), 0);
    traps(GP, LOCAL(1) & ~3u, "no LDT");
}

/* In its own page: an engine may not run natively what is with it. */
static void *fast_call(uint8_t *page, uint8_t second)
{
    memcpy(page, c_burn, c_burn_end - c_burn - 2);
    page[c_burn_end - c_burn - 2] = 0x0f;
    page[c_burn_end - c_burn - 1] = second;
    invlpg(USER(page)); /* see "known differences" in doc/direct.md */
    return page;
}

static void into_the_kernel(void)
{
    idt_gate(0x80, trap_entries[0x80], SEL_CODE, GATE_USER, 0);
    run(c_int80, 0, 0);
    traps(0x80, 0, "INT 0x80");
    is(trap.frame.ax, 5, "EAX of it");
    is(trap.cs, CS32, "from 32-bit code");
    wrmsr(0x174, SEL_CODE);
    wrmsr(0x175, (word)kernel_stack + 4096);
    wrmsr(0x176, (word)entry);
    run(fast_call(pages[0], 0x34), 0, 0);
    traps(0x92, 0, "SYSENTER");
    is(trap.frame.cx, 0, "ECX of it");
    wrmsr(0xc0000080, rdmsr(0xc0000080) | 1);
    run(fast_call(pages[1], 0x05), 0, 0);
    traps(UD, 0, "SYSCALL");
    run(c_into, 0, 0);
    traps(idt[2 * OF] >> 45 & 3 ? OF : GP,
          idt[2 * OF] >> 45 & 3 ? 0 : OF * 8 + 2, "INTO");
}

static void to_64_bits(void)
{
    for (int i = 0; i < 3; i++) {
        asm volatile("mov %0, %%gs" : : "r"(TLS));
        run(c_far, user(c_wide), 0);
        traps(DONE, 0, "a far return to 64-bit code");
        is(trap.cs, CS64, "CS of the frame");
        is(trap.frame.ax, 0x123456789abcdef0, "a 64-bit register");
        is(trap.frame.bx, CS64, "CS");
        is(trap.frame.dx, 0x1009, "GS keeps its base");
        run(c_burn, 0, 0);
        is(trap.cs, CS32, "and 32-bit code again");
    }
}

void main(void)
{
    set_cr4(get_cr4() | 0x200); /* OSFXSR: engine trap wants it */
    tables();
    for (int i = 0; i < 3; i++)
        run(c_burn, 0, 0);
    traps(DONE, 0, "32-bit code");
    gdt_segments();
    ldt_segments();
    to_64_bits();
    into_the_kernel();
}
