/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest.h - what a bare-metal guest can use.
 *
 * A guest's main() makes claims with ok(), is() and traps(); each is printed,
 * and one that fails makes the exit status fail. TRAP(code) runs code and
 * comes back on the first exception, which `trap` then describes. Interrupts
 * are off; a vector with a hook calls it and goes on.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef unsigned long word; /* the width of a register */

#ifdef __x86_64__
struct frame {
    word r15, r14, r13, r12, r11, r10, r9, r8, di, si, bp, bx, dx, cx, ax;
    word vector, error, ip, cs, flags, sp, ss;
};
#else
/* sp and ss are there only if the privilege changed. */
struct frame {
    word gs, fs, es, ds, di, si, bp, sp_here, bx, dx, cx, ax;
    word vector, error, ip, cs, flags, sp, ss;
    word v_es, v_ds, v_fs, v_gs; /* only out of vm86 mode */
};
#endif

#define NONE 0xffu /* trap.vector: nothing happened */

/* The last exception that no hook took. */
struct trap {
    volatile word vector, error, ip, cs, flags, sp, ss, cr2, dr6;
    struct frame frame;
};
extern struct trap trap;
extern volatile int trap_armed;
typedef void (*hook_fn)(struct frame *f);
extern hook_fn hook[256];
extern unsigned failures;

#define SEL_CODE 0x08
#define SEL_DATA 0x10
#ifdef __x86_64__
#define SEL_UCODE32 0x1b
#define SEL_UDATA   0x23
#define SEL_UCODE   0x2b
#define SEL_TSS     0x30
#define SEL_CODE32  0x40
#define SEL_CODE16  0x48
#else
#define SEL_UCODE  0x1b
#define SEL_UDATA  0x23
#define SEL_CODE16 0x28
#define SEL_DATA16 0x30
#define SEL_TSS    0x38
#endif
#define SEL_OWN 0x50 /* the first free one */
extern uint64_t gdt[64];

#define DE 0u
#define DB 1u
#define BP 3u
#define OF 4u
#define BR 5u
#define UD 6u
#define NM 7u
#define DF 8u
#define TS 10u
#define NP 11u
#define SS 12u
#define GP 13u
#define PF 14u
#define MF 16u
#define AC 17u
#define XM 19u

#define PF_P 1u
#define PF_W 2u
#define PF_U 4u
#define PF_R 8u
#define PF_I 16u

/* --- output and end --- */
void put(const char *s);
void put_hex(uint64_t v);
/* One claim; prints it. Returns whether it held. */
bool ok(bool held, const char *claim);
bool is(uint64_t got, uint64_t want, const char *claim);
/* The last TRAP() was this vector with this error code. */
bool traps(unsigned vector, unsigned error, const char *claim);
void guest_exit(void) __attribute__((noreturn));

/* --- exceptions --- */
int trap_arm(void) __attribute__((returns_twice));
void trap_unwind(void) __attribute__((noreturn));
void trap_clear(void);
void user_enter(word ip, word sp, word flags, word cs, word di)
    __attribute__((noreturn));
extern uint8_t trap_entries[256][16];

#define TRAP(code)                                                             \
    ({                                                                         \
        trap_clear();                                                          \
        if (!trap_arm()) {                                                     \
            code;                                                              \
        }                                                                      \
        trap_armed = 0;                                                        \
        trap.vector;                                                           \
    })

/* Runs position-independent code at CPL 3 until it traps (INT 0x40: done). */
#define DONE 0x40u
word user_run(const void *code, word flags, word arg);
word user_run_cs(const void *code, word flags, word arg, word cs);
#ifdef __x86_64__
#define USER_BASE 0x40000000ull
#else
#define USER_BASE 0ull
#endif
#define USER(p) ((void *)((word)(p) + USER_BASE))
extern uint8_t user_stack[8192];
extern uint8_t kernel_stack[8192];

/* A piece of code with a name, for user mode or for being copied. */
#define CODE(name, text)                                                       \
    extern uint8_t name[], name##_end[];                                       \
    asm(".pushsection .text\n.balign 16\n" #name ":\n" text "\n" #name         \
        "_end:\n.popsection")

/* --- descriptors --- */
void gdt_set(unsigned sel, uint32_t base, uint32_t limit, unsigned attr);
/* attr: access byte | flags nibble << 12, as in `struct seg`. */
#define A_CODE32 0xc09bu
#define A_DATA32 0xc093u
#define A_CODE16 0x009bu
#define A_DATA16 0x0093u
#define A_CODE64 0xa09bu
#define A_DPL(n) ((n) << 5)
void idt_gate(unsigned vector, const void *entry, unsigned sel, unsigned type,
              unsigned ist);
#define GATE_INT  0x8eu
#define GATE_TRAP 0x8fu
#define GATE_USER 0xeeu
void idt_load(void);
extern uint64_t idt[512];

#ifdef __x86_64__
struct tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1, ist[7], reserved2;
    uint16_t reserved3, iomap;
    uint8_t bitmap[8193];
} __attribute__((packed));
#else
struct tss {
    uint32_t link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx,
        edx, ebx, esp, ebp, esi, edi, es, cs, ss, ds, fs, gs, ldt;
    uint16_t trap, iomap;
    uint8_t bitmap[8193];
} __attribute__((packed));
#endif
extern struct tss tss;

/* --- paging --- */
extern uint8_t pages[32][4096]; /* for tests to map */
#define TEST_VA 0x80000000ul    /* 1 GiB that nothing uses */
#define P_P     1ull
#define P_W     2ull
#define P_U     4ull
#define P_PCD   0x10ull
#define P_A     0x20ull
#define P_D     0x40ull
#define P_PS    0x80ull
#define P_G     0x100ull
#define P_NX    0x8000000000000000ull
/* A zeroed page from a pool, physical = linear. */
void *page_alloc(void);
#ifdef __x86_64__
extern uint64_t pml4[512], pdpt[512], pd_low[512];
/* The entry for va at level 1 (4K) to 4; makes tables (P|W|U) on the way. */
uint64_t *pt_entry(uint64_t va, unsigned level);
/* Sets it, and flushes va. */
uint64_t *map(uint64_t va, uint64_t entry, unsigned level);
#endif

/* --- instructions --- */
static inline void outb(uint16_t port, uint8_t v)
{
    asm volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}
static inline void outl(uint16_t port, uint32_t v)
{
    asm volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}
static inline uint8_t inb(uint16_t port)
{
    uint8_t v;
    asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline uint64_t rdmsr(uint32_t n)
{
    uint32_t lo, hi;
    asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(n) : "memory");
    return lo | (uint64_t)hi << 32;
}
static inline void wrmsr(uint32_t n, uint64_t v)
{
    asm volatile("wrmsr"
                 :
                 : "c"(n), "a"((uint32_t)v), "d"((uint32_t)(v >> 32))
                 : "memory");
}
static inline uint64_t rdtsc(void)
{
    uint32_t lo, hi;
    asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return lo | (uint64_t)hi << 32;
}
#define REG_ACCESS(name)                                                       \
    static inline word get_##name(void)                                        \
    {                                                                          \
        word v;                                                                \
        asm volatile("mov %%" #name ", %0" : "=r"(v) : : "memory");            \
        return v;                                                              \
    }                                                                          \
    static inline void set_##name(word v)                                      \
    {                                                                          \
        asm volatile("mov %0, %%" #name : : "r"(v) : "memory");                \
    }
REG_ACCESS(cr0)
REG_ACCESS(cr2)
REG_ACCESS(cr3)
REG_ACCESS(cr4)
REG_ACCESS(dr0)
REG_ACCESS(dr1)
REG_ACCESS(dr2)
REG_ACCESS(dr3)
REG_ACCESS(dr6)
REG_ACCESS(dr7)
#ifdef __x86_64__
REG_ACCESS(cr8)
#endif
static inline word get_flags(void)
{
    word v;
    asm volatile("pushf\n pop %0" : "=r"(v) : : "memory");
    return v;
}
static inline void set_flags(word v)
{
    asm volatile("push %0\n popf" : : "r"(v) : "memory", "cc");
}
static inline void invlpg(const volatile void *p)
{
    asm volatile("invlpg (%0)" : : "r"(p) : "memory");
}
static inline void cpuid(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    asm volatile("cpuid"
                 : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
                 : "a"(leaf), "c"(sub));
}
static inline void pause(void)
{
    asm volatile("pause" : : : "memory");
}
void *memcpy(void *d, const void *s, size_t n);
void *memset(void *d, int c, size_t n);
void flush_tlb(void); /* by CR3 */

/* --- interrupt controllers --- */
#define LAPIC  0xfee00000ul
#define IOAPIC 0xfec00000ul
static inline uint32_t lapic_read(unsigned reg)
{
    return *(volatile uint32_t *)(LAPIC + reg);
}
static inline void lapic_write(unsigned reg, uint32_t v)
{
    *(volatile uint32_t *)(LAPIC + reg) = v;
}
static inline uint32_t ioapic_read(unsigned reg)
{
    *(volatile uint32_t *)IOAPIC = reg;
    return *(volatile uint32_t *)(IOAPIC + 0x10);
}
static inline void ioapic_write(unsigned reg, uint32_t v)
{
    *(volatile uint32_t *)IOAPIC = reg;
    *(volatile uint32_t *)(IOAPIC + 0x10) = v;
}
/* 8259 pair at vectors 0x20 and 0x28, everything masked. */
void pic_init(unsigned icw4);
void pic_mask(uint16_t mask);
void lapic_enable(void); /* spurious vector 0xff */
void lapic_eoi(void);
/* 8254 counter 0, mode 0 or 2, count in 1193182ths of a second. */
void pit_set(unsigned mode, uint16_t count);
/* Spins with interrupts as they are until *p == want, or about a second. */
bool wait_for(volatile unsigned *p, unsigned want);
/* Starts processor `id` in fn on its own stack, by INIT and SIPI (64-bit). */
void ap_start(unsigned id, void (*fn)(void));

/* --- several processors, each with a task: crew.c, 64-bit --- */
#define CREW_MAX 8
/* Starts processors 1 to n - 1 with their local APICs on; false: not all. */
bool crew_start(unsigned n);
/* Runs fn(0) here and fn(1) to fn(n - 1) on the others; waits for all. */
bool crew_run(unsigned n, void (*fn)(unsigned me));
/* In fn: waits until all n have come here as often. */
void crew_meet(unsigned me, unsigned n);
