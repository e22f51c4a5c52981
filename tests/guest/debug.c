/* SPDX-License-Identifier: Apache-2.0 */
/*
 * debug.c - breakpoints of every kind and length, DR6 and DR7, single step.
 * [SDM 3B 17.2, 17.3]
 */
#include "guest.h"

#define LABEL(l)                                                               \
    ({                                                                         \
        extern uint8_t l[];                                                    \
        (word) l;                                                              \
    })

static volatile uint64_t data[4] __attribute__((aligned(64)));
static volatile unsigned steps;
static volatile word step_ip[32];
static volatile word last_dr6;

/* Counts single steps; the code clears TF itself. */
static void on_step(struct frame *f)
{
    if (steps < 32)
        step_ip[steps] = f->ip;
    steps++;
    last_dr6 = get_dr6();
    set_dr6(0xffff0ff0);
    if (steps > 40)
        f->flags &= ~0x100ul;
}

static void on_rf(struct frame *f)
{
    steps++;
    last_dr6 = get_dr6();
    f->flags |= 0x10000;
}

static void arm(unsigned n, volatile void *at, unsigned rw, unsigned len)
{
    set_dr6(0xffff0ff0);
    switch (n) {
    case 0:
        set_dr0((word)at);
        break;
    case 1:
        set_dr1((word)at);
        break;
    case 2:
        set_dr2((word)at);
        break;
    default:
        set_dr3((word)at);
    }
    set_dr7(2ul << 2 * n | (word)(rw | len << 2) << (16 + 4 * n) | 0x400);
}

static void off(void)
{
    set_dr7(0x400);
    set_dr6(0xffff0ff0);
}

static void registers(void)
{
    set_dr6(0);
    is(get_dr6(), 0xffff0ff0, "DR6: fixed bits");
    set_dr7(0xffff0000);
    is(get_dr7(), 0xffff0400, "DR7: fixed bits");
    set_dr7(0xd800);
    is(get_dr7(), 0x400, "DR7: bits 11, 12, 14 and 15 stay clear");
    set_dr7(0);
    TRAP(asm volatile("mov %0, %%dr7" : : "r"(1ull << 32)));
    traps(GP, 0, "upper half of DR7");
    TRAP(asm volatile("mov %0, %%dr6" : : "r"(1ull << 32)));
    traps(GP, 0, "upper half of DR6");
    TRAP(asm volatile("mov %%db4, %%rax" : : : "rax"));
    traps(NONE, 0, "DR4 is DR6");
    set_cr4(get_cr4() | 8);
    TRAP(asm volatile("mov %%db4, %%rax" : : : "rax"));
    traps(UD, 0, "DR4 with CR4.DE");
    set_cr4(get_cr4() & ~8ul);
    off();
    set_dr7(0x2400);
    TRAP(asm volatile(".globl l_gd\nl_gd: mov %%db0, %%rax" : : : "rax"));
    traps(DB, 0, "GD: access to a debug register");
    is(trap.ip, LABEL(l_gd), "GD is a fault");
    is(trap.dr6, 0xffff2ff0, "DR6.BD");
    is(get_dr7(), 0x400, "GD is cleared on the way");
    off();
}

static void watch_write(volatile void *at, unsigned len, unsigned bytes)
{
    volatile uint8_t *p = (volatile uint8_t *)at;
    bool good = true;

    arm(1, at, 1, len);
    for (int i = -1; i <= (int)bytes; i++) {
        TRAP(p[i] = 1);
        good &= trap.vector == (i < 0 || i == (int)bytes ? NONE : DB);
    }
    is(good, 1, "write breakpoint covers its length and no more");
    off();
}

static void data_breakpoints(void)
{
    volatile uint8_t *p = (volatile uint8_t *)data;
    uint8_t v;

    watch_write(&data[1], 0, 1);
    watch_write(&data[1], 1, 2);
    watch_write(&data[1], 3, 4);
    watch_write(&data[1], 2, 8);
    arm(0, &data[1], 1, 3);
    TRAP(asm volatile("movl $1, %0\n.globl l_dw\nl_dw:" : "=m"(data[1])));
    traps(DB, 0, "write breakpoint");
    is(trap.ip, LABEL(l_dw), "data breakpoints are traps");
    is(trap.dr6, 0xffff0ff1, "DR6.B0");
    TRAP((void)p[8]);
    traps(NONE, 0, "write breakpoint and a read");
    TRAP(asm volatile("movl $1, 6(%0)" : : "r"(data)));
    traps(DB, 0, "write that ends in it");
    TRAP(asm volatile("movq $1, 4(%0)" : : "r"(data)));
    traps(DB, 0, "write around it");
    TRAP(asm volatile("lock addl $1, %0" : "+m"(data[1])));
    traps(DB, 0, "locked read-modify-write");
    arm(2, &data[1], 3, 3);
    TRAP(v = p[9]);
    traps(DB, 0, "read-write breakpoint and a read");
    is(trap.dr6, 0xffff0ff4, "DR6.B2");
    TRAP(p[9] = v);
    traps(DB, 0, "read-write breakpoint and a write");
    TRAP(asm volatile("mov %0, %%rdi\n mov $32, %%ecx\n xor %%eax, %%eax\n"
                      "rep stosb"
                      :
                      : "r"(data)
                      : "rax", "rcx", "rdi", "memory"));
    traps(DB, 0, "REP STOSB into it");
    is(trap.frame.cx, 23, "after the iteration that hit");
    off();
    TRAP(p[8] = 1);
    traps(NONE, 0, "disabled");
    set_dr7(0x400 | 0xf0000);
    TRAP(p[8] = 1);
    traps(NONE, 0, "neither L nor G");
    off();
}

static void fault_wins(void)
{
    map(TEST_VA, 0, 1);
    arm(0, (void *)TEST_VA, 1, 3);
    TRAP(*(volatile uint32_t *)TEST_VA = 1);
    traps(PF, PF_W, "a faulting write hits no breakpoint");
    is(trap.dr6, 0xffff0ff0, "and sets nothing in DR6");
    TRAP(asm volatile("nop"));
    traps(NONE, 0, "nor later");
    off();
}

static void instruction(void)
{
    unsigned n = 0;

    arm(3, (void *)LABEL(l_ib), 0, 0);
    TRAP(asm volatile("nop\n.globl l_ib\nl_ib: nop\n nop"));
    traps(DB, 0, "instruction breakpoint");
    is(trap.ip, LABEL(l_ib), "it is a fault");
    is(trap.dr6, 0xffff0ff8, "DR6.B3");
    is(trap.flags & 0x10000, 0, "its saved RF is 0");
    hook[DB] = on_rf;
    steps = 0;
    arm(3, (void *)LABEL(l_ib2), 0, 0);
    asm volatile("mov $3, %%ecx\n.globl l_ib2\nl_ib2: dec %%ecx\n"
                 "inc %0\n test %%ecx, %%ecx\n jnz l_ib2"
                 : "+r"(n)
                 :
                 : "rcx");
    is(n, 3, "RF lets the instruction pass");
    is(steps, 3, "RF is cleared by the instruction");
    steps = 0;
    arm(3, (void *)LABEL(l_ib3), 0, 0);
    asm volatile("mov $3, %%ecx\n 1:\n.globl l_ib3\nl_ib3: jmp 2f\n"
                 "2: loop 1b"
                 :
                 :
                 : "rcx");
    is(steps, 3, "RF is cleared by a jump too");
    hook[DB] = 0;
    TRAP(asm volatile("xor %%eax, %%eax\n mov (%%rax), %%eax\n ud2"
                      :
                      :
                      : "rax"));
    ok(trap.flags & 0x10000, "faults save RF set");
    TRAP(asm volatile("int3"));
    is(trap.flags & 0x10000, 0, "traps save RF clear");
    off();
    arm(0, (void *)LABEL(l_ss), 0, 0);
    TRAP(asm volatile("mov %%ss, %%eax\n mov %%eax, %%ss\n"
                      ".globl l_ss\nl_ss: nop\n nop"
                      :
                      :
                      : "rax"));
    traps(NONE, 0, "no instruction breakpoint behind MOV SS");
    off();
    arm(0, (void *)LABEL(l_pf), 0, 0);
    TRAP(asm volatile("xor %%eax, %%eax\n .globl l_pf\n"
                      "l_pf: ud2"
                      :
                      :
                      : "rax"));
    traps(DB, 0, "instruction breakpoint before #UD");
    off();
}

#define STEPS(text)                                                            \
    ({                                                                         \
        steps = 0;                                                             \
        hook[DB] = on_step;                                                    \
        asm volatile("pushf\n pushf\n orl $0x100, (%%rsp)\n popf\n" text       \
                     "\n popf\n nop"                                           \
                     :                                                         \
                     :                                                         \
                     : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r11",         \
                       "memory", "cc");                                        \
        hook[DB] = 0;                                                          \
        steps;                                                                 \
    })

CODE(sc_entry, "mov %rcx, %r8\n push %r11\n popfq\n jmp *%r8");

static void on_vector(struct frame *f)
{
    (void)f;
}

static void single_step(void)
{
    STEPS(".globl l_s0\nl_s0: nop\n.globl l_s1\nl_s1: nop");
    is(steps, 3, "TF: two NOPs and the POPF that ends it");
    is(step_ip[0], LABEL(l_s1), "the instruction behind POPF runs first");
    is(last_dr6, 0xffff4ff0, "DR6.BS");
    STEPS("nop\n mov %%ss, %%eax\n mov %%eax, %%ss\n nop\n nop");
    is(steps, 5, "no trap between MOV SS and the next instruction");
    STEPS("jmp 1f\n nop\n 1: call 2f\n jmp 3f\n 2: ret\n 3: nop");
    is(steps, 6, "jumps, calls and returns");
    STEPS("mov $4, %%ecx\n 1: loop 1b");
    is(steps, 6, "LOOP");
    STEPS("mov $4, %%ecx\n mov %%rsp, %%rsi\n rep lodsb");
    is(steps, 7, "each iteration of REP");
    hook[0x91] = on_vector;
    STEPS("int $0x91\n nop");
    is(steps, 2, "INT is stepped over");
    STEPS("sti\n cli\n nop");
    is(steps, 4, "STI does not hold the step back");
}

static void on_pushf(struct frame *f)
{
    if (!steps++)
        step_ip[0] = f->ip;
    f->flags &= ~0x100ul;
}

static void syscalls(void)
{
    word efer = rdmsr(0xc0000080);

    wrmsr(0xc0000080, efer | 1);
    wrmsr(0xc0000081, 0x0018000800000000);
    wrmsr(0xc0000082, (word)sc_entry);
    wrmsr(0xc0000084, 0x100);
    steps = 0;
    hook[DB] = on_step;
    asm volatile("pushf\n pushf\n orl $0x100, (%%rsp)\n popf\n syscall\n"
                 ".globl l_sc\nl_sc: nop\n popf\n nop"
                 :
                 :
                 : "rcx", "r8", "r11", "memory", "cc");
    hook[DB] = 0;
    is(step_ip[0], LABEL(l_sc), "SYSCALL with TF in SFMASK does not trap");
    wrmsr(0xc0000084, 0);
    steps = 0;
    hook[DB] = on_pushf;
    asm volatile("pushf\n pushf\n orl $0x100, (%%rsp)\n popf\n syscall\n"
                 "popf\n nop"
                 :
                 :
                 : "rcx", "r8", "r11", "memory", "cc");
    hook[DB] = 0;
    is(step_ip[0], (word)sc_entry, "SYSCALL with TF kept traps at its target");
    wrmsr(0xc0000080, efer);
}

void main(void)
{
    registers();
    data_breakpoints();
    fault_wins();
    instruction();
    single_step();
    syscalls();
}
