/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nano.c - what one event costs, in cycles of the TSC: the nanobenchmarks of
 * Adams and Agesen (ASPLOS 2006), and a few for user code that runs natively.
 *
 * Prints `nano NAME CYCLES`, the median of five runs that are long enough.
 * Claims that every event happened: so it is a test too.
 *
 * NAME.native: the address space has computed before, so that an engine that
 * chooses by what a space did runs it natively; NAME.cold: it has not. The
 * cost of a fault has that of its handler in it, with all registers saved.
 */
#include "guest.h"

#define EFER       0xc0000080u
#define STAR       0xc0000081u
#define LSTAR      0xc0000082u
#define SFMASK     0xc0000084u
#define CR4_OSFXSR 0x200u /* what any kernel of today sets */

#define RUNS       5
#define RUN_TICKS  8000000u /* a run takes this at least */
#define TURNS_MAX  (1u << 24)
#define WARM_TURNS 400000u

static volatile uint64_t events; /* that the kernel saw */

/* RAX 1: forget the page that the caller will touch next. */
CODE(sc_entry, "incq events\n test %eax, %eax\n jz 1f\n"
               "mov $0x80000000, %eax\n invlpg (%rax)\n 1: sysretq");
CODE(u_spin, "1: dec %rdi\n jnz 1b\n int $0x40");
CODE(u_syscall, "1: xor %eax, %eax\n syscall\n dec %rdi\n jnz 1b\n int $0x40");
CODE(u_refill, "1: mov $1, %eax\n syscall\n mov $0x80000000, %esi\n"
               "mov (%rsi), %al\n dec %rdi\n jnz 1b\n int $0x40");
CODE(u_callret, "1: call 2f\n dec %rdi\n jnz 1b\n int $0x40\n 2: ret");
CODE(u_fault, "mov $0x80001000, %esi\n"
              "1: mov (%rsi), %al\n dec %rdi\n jnz 1b\n int $0x40");
CODE(u_divide, "xor %ecx, %ecx\n"
               "1: div %ecx\n dec %rdi\n jnz 1b\n int $0x40");
CODE(u_far, "1: mov $1500, %edx\n 2: dec %edx\n jnz 2b\n xor %eax, %eax\n"
            "syscall\n dec %rdi\n jnz 1b\n int $0x40");
CODE(u_far_only, "1: mov $1500, %edx\n 2: dec %edx\n jnz 2b\n"
                 "dec %rdi\n jnz 1b\n int $0x40");

/* Steps over the two bytes of `div %ecx` or `mov (%rsi), %al`. */
static void step_over(struct frame *f)
{
    events++;
    f->ip += 2;
}

static void put_dec(uint64_t v)
{
    char b[21];
    unsigned n = sizeof(b);

    b[--n] = 0;
    do
        b[--n] = (char)('0' + v % 10);
    while (v /= 10);
    put(b + n);
}

/* --- an address space for each, so that nothing is known of it --- */

static void space_new(void)
{
    uint64_t *root = page_alloc();

    memcpy(root, pml4, sizeof(pml4));
    set_cr3((word)root);
}

static void spin(uint64_t turns)
{
    user_run(u_spin, 2, turns);
}

static void space_warm(void)
{
    space_new();
    for (unsigned i = 0; i < 4; i++)
        spin(WARM_TURNS);
}

/* --- the kernel's own --- */

static void k_in(const void *code, uint64_t turns)
{
    (void)code;
    while (turns--)
        inb(0x80);
}

static void k_cr8(const void *code, uint64_t turns)
{
    (void)code;
    while (turns--)
        set_cr8(0);
}

static void k_callret(const void *code, uint64_t turns)
{
    (void)code;
    asm volatile("jmp 3f\n 2: ret\n 3:\n 1: call 2b\n dec %0\n jnz 1b"
                 : "+r"(turns)
                 :
                 : "memory", "cc");
}

/* One entry of a table, between two pages. */
static void k_ptemod(const void *code, uint64_t turns)
{
    volatile uint64_t *e = pt_entry(TEST_VA, 1);
    uint64_t a = *e, b = (word)pages[1] | P_P | P_W | P_U | P_A | P_D;

    (void)code;
    for (; turns--; a ^= b, b ^= a, a ^= b)
        *e = b;
}

/* The same as a kernel does it: the TLB is told, the page used. */
static void k_remap(const void *code, uint64_t turns)
{
    volatile uint64_t *e = pt_entry(TEST_VA, 1);
    uint64_t a = *e, b = (word)pages[1] | P_P | P_W | P_U | P_A | P_D;

    (void)code;
    for (; turns--; a ^= b, b ^= a, a ^= b) {
        *e = b;
        invlpg((void *)TEST_VA);
        (void)*(volatile uint8_t *)TEST_VA;
    }
}

static void user(const void *code, uint64_t turns)
{
    user_run(code, 2, turns);
}

/* --- measuring --- */

struct nano {
    const char *name;
    void (*run)(const void *code, uint64_t turns);
    const void *code;
    bool warm, counts; /* its space has computed; the kernel sees each */
    const void *less;  /* the same without the event */
};

static const struct nano nanos[] = {
    {"in", k_in},
    {"cr8wr", k_cr8},
    {"callret", k_callret},
    {"ptemod", k_ptemod},
    {"remap", k_remap},
    {"syscall.cold", user, u_syscall, false, true},
    {"syscall.native", user, u_syscall, true, true},
    {"syscall.far", user, u_far, true, true, u_far_only},
    {"callret.native", user, u_callret, true},
    {"pgfault.cold", user, u_fault, false, true},
    {"pgfault.native", user, u_fault, true, true},
    {"divzero.cold", user, u_divide, false, true},
    {"divzero.native", user, u_divide, true, true},
    {"refill.native", user, u_refill, true, true},
};

static uint64_t ticks(const struct nano *n, const void *code, uint64_t turns)
{
    uint64_t t0 = rdtsc();

    n->run(code, turns);
    return rdtsc() - t0;
}

static uint64_t median(uint64_t v[RUNS])
{
    for (unsigned i = 1; i < RUNS; i++)
        for (unsigned j = i; j && v[j] < v[j - 1]; j--) {
            uint64_t t = v[j];

            v[j] = v[j - 1];
            v[j - 1] = t;
        }
    return v[RUNS / 2];
}

/* Of one turn. The two kinds of runs go in turn: hosts change their mood. */
static uint64_t measure(const struct nano *n)
{
    uint64_t with[RUNS], without[RUNS] = {0}, turns = 64, more, less;

    while (turns < TURNS_MAX && ticks(n, n->code, turns) < RUN_TICKS)
        turns *= 2;
    for (unsigned i = 0; i < RUNS; i++) {
        with[i] = ticks(n, n->code, turns);
        if (n->less)
            without[i] = ticks(n, n->less, turns);
    }
    more = median(with);
    less = median(without);
    return more > less ? (more - less) / turns : 0;
}

static void nano(const struct nano *n)
{
    uint64_t before;

    if (n->warm)
        space_warm();
    else
        space_new();
    put("nano ");
    put(n->name);
    put(" ");
    put_dec(measure(n));
    put("\n");
    before = events;
    n->run(n->code, 1000);
    is(events - before, n->counts ? 1000 : 0, n->name);
}

void main(void)
{
    wrmsr(EFER, rdmsr(EFER) | 1);
    wrmsr(STAR, 0x001b000800000000);
    wrmsr(LSTAR, (word)sc_entry);
    wrmsr(SFMASK, 0x200);
    set_cr4(get_cr4() | CR4_OSFXSR);
    hook[DE] = hook[PF] = step_over;
    map(TEST_VA, (word)pages[0] | P_P | P_W | P_U | P_A | P_D, 1);
    for (unsigned i = 0; i < sizeof(nanos) / sizeof(nanos[0]); i++)
        nano(&nanos[i]);
}
