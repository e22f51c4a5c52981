/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest.c - output, exceptions, descriptors, page tables, chips.
 */
#include "guest.h"

struct trap trap;
hook_fn hook[256];
unsigned failures;
static unsigned claims;
uint64_t idt[512] __attribute__((aligned(16)));
struct tss tss __attribute__((aligned(16)));
uint8_t user_stack[8192] __attribute__((aligned(4096)));
uint8_t kernel_stack[8192] __attribute__((aligned(4096)));
uint8_t pages[32][4096] __attribute__((aligned(4096)));
static uint8_t pool[48][4096] __attribute__((aligned(4096)));
static unsigned pool_used;

void guest_init(void);
void trap_handler(struct frame *f);
extern void main(void);

void *memcpy(void *d, const void *s, size_t n)
{
    void *r = d;
    asm volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
    return r;
}

void *memset(void *d, int c, size_t n)
{
    void *r = d;
    asm volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
    return r;
}

/* --- output and end --- */

void put(const char *s)
{
    for (; *s; s++)
        outb(0x3f8, (uint8_t)*s);
}

void put_hex(uint64_t v)
{
    char b[19] = "0x";
    unsigned n = 2;

    for (int i = 60; i >= 0; i -= 4)
        if (v >> i || !i)
            b[n++] = "0123456789abcdef"[v >> i & 15];
    b[n] = 0;
    put(b);
}

static void claim_head(bool held, const char *claim)
{
    claims++;
    failures += !held;
    put(held ? "ok " : "not ok ");
    put(claim);
}

bool ok(bool held, const char *claim)
{
    claim_head(held, claim);
    put("\n");
    return held;
}

bool is(uint64_t got, uint64_t want, const char *claim)
{
    claim_head(got == want, claim);
    if (got != want) {
        put(": got ");
        put_hex(got);
        put(" want ");
        put_hex(want);
    }
    put("\n");
    return got == want;
}

bool traps(unsigned vector, unsigned error, const char *claim)
{
    bool held = trap.vector == vector && trap.error == error;

    claim_head(held, claim);
    if (!held) {
        put(": vector ");
        put_hex(trap.vector);
        put(" error ");
        put_hex(trap.error);
        put(" ip ");
        put_hex(trap.ip);
        put(" cr2 ");
        put_hex(trap.cr2);
        put(", want ");
        put_hex(vector);
        put("/");
        put_hex(error);
    }
    put("\n");
    return held;
}

void guest_exit(void)
{
    put(failures ? "FAIL\n" : claims ? "PASS\n" : "no claims\n");
    for (;;)
        outl(0xf4, failures || !claims ? 1 : 0);
}

/* --- exceptions --- */

void trap_clear(void)
{
    memset(&trap, 0, sizeof(trap));
    trap.vector = NONE;
}

static void trap_record(const struct frame *f)
{
    trap.vector = f->vector;
    trap.error = f->error;
    trap.ip = f->ip;
    trap.cs = f->cs;
    trap.flags = f->flags;
    trap.cr2 = get_cr2();
    trap.dr6 = get_dr6();
#ifndef __x86_64__
    if (!(f->flags & 0x20000) && !(f->cs & 3)) {
        memcpy(&trap.frame, f, offsetof(struct frame, sp));
        trap.sp = (word)&f->sp;
        return;
    }
#endif
    trap.frame = *f;
    trap.sp = f->sp;
    trap.ss = f->ss;
}

void trap_handler(struct frame *f)
{
    if (hook[f->vector]) {
        hook[f->vector](f);
        return;
    }
    trap_record(f);
    if (trap_armed)
        trap_unwind();
    traps(NONE, 0, "unexpected trap");
    guest_exit();
}

word user_run_cs(const void *code, word flags, word arg, word cs)
{
    return TRAP(user_enter((word)USER(code),
                           (word)USER(user_stack + sizeof(user_stack) - 64),
                           flags | 2, cs, arg));
}

word user_run(const void *code, word flags, word arg)
{
    return user_run_cs(code, flags, arg, SEL_UCODE);
}

/* --- descriptors --- */

void gdt_set(unsigned sel, uint32_t base, uint32_t limit, unsigned attr)
{
    uint32_t lo = (limit & 0xffff) | base << 16;
    uint32_t hi = (base >> 16 & 0xff) | (attr & 0xf0ff) << 8 |
                  (limit & 0xf0000) | (base & 0xff000000);

    gdt[sel / 8] = lo | (uint64_t)hi << 32;
}

void idt_gate(unsigned vector, const void *entry, unsigned sel, unsigned type,
              unsigned ist)
{
    uint64_t e = (word)entry;
    uint64_t lo = (e & 0xffff) | (uint64_t)sel << 16 | (uint64_t)ist << 32 |
                  (uint64_t)type << 40 | (e & 0xffff0000) << 32;

#ifdef __x86_64__
    idt[2 * vector] = lo;
    idt[2 * vector + 1] = e >> 32;
#else
    idt[vector] = lo;
#endif
}

struct table {
    uint16_t limit;
    word base;
} __attribute__((packed));

void idt_load(void)
{
    struct table t = {256 * 2 * sizeof(word) - 1, (word)idt};

    asm volatile("lidt %0" : : "m"(t));
}

static void tss_init(void)
{
#ifdef __x86_64__
    tss.rsp[0] = (word)kernel_stack + sizeof(kernel_stack);
#else
    tss.esp0 = (word)kernel_stack + sizeof(kernel_stack);
    tss.ss0 = SEL_DATA;
#endif
    tss.iomap = sizeof(tss);
    gdt_set(SEL_TSS, (uint32_t)(word)&tss, sizeof(tss) - 1, 0x89);
    asm volatile("ltr %0" : : "r"((uint16_t)SEL_TSS));
}

void guest_init(void)
{
    for (unsigned i = 0; i < 256; i++)
        idt_gate(i, trap_entries[i], SEL_CODE, GATE_INT, 0);
    idt_gate(DONE, trap_entries[DONE], SEL_CODE, GATE_USER, 0);
    idt_load();
    tss_init();
}

/* --- paging --- */

void *page_alloc(void)
{
    if (pool_used == 48) {
        put("out of pages\n");
        failures++;
        guest_exit();
    }
    return memset(pool[pool_used++], 0, 4096);
}

void flush_tlb(void)
{
    set_cr3(get_cr3());
}

#ifdef __x86_64__
uint64_t *pt_entry(uint64_t va, unsigned level)
{
    uint64_t *t = pml4;

    for (unsigned l = 4; l > level; l--) {
        uint64_t *e = &t[va >> (9 * l + 3) & 511];

        if (!(*e & P_P))
            *e = (word)page_alloc() | P_P | P_W | P_U;
        t = (uint64_t *)(*e & 0xffffffffff000);
    }
    return &t[va >> (9 * level + 3) & 511];
}

uint64_t *map(uint64_t va, uint64_t entry, unsigned level)
{
    uint64_t *e = pt_entry(va, level);

    *(volatile uint64_t *)e = entry;
    invlpg((void *)va);
    return e;
}
#endif

/* --- chips --- */

void pic_init(unsigned icw4)
{
    outb(0x20, 0x11);
    outb(0xa0, 0x11);
    outb(0x21, 0x20);
    outb(0xa1, 0x28);
    outb(0x21, 4);
    outb(0xa1, 2);
    outb(0x21, (uint8_t)icw4);
    outb(0xa1, (uint8_t)icw4);
    pic_mask(0xffff);
}

void pic_mask(uint16_t mask)
{
    outb(0x21, (uint8_t)mask);
    outb(0xa1, (uint8_t)(mask >> 8));
}

void lapic_enable(void)
{
    lapic_write(0xf0, 0x1ff);
}

void lapic_eoi(void)
{
    lapic_write(0xb0, 0);
}

void pit_set(unsigned mode, uint16_t count)
{
    outb(0x43, (uint8_t)(0x30 | mode << 1));
    outb(0x40, (uint8_t)count);
    outb(0x40, (uint8_t)(count >> 8));
}

bool wait_for(volatile unsigned *p, unsigned want)
{
    uint64_t start = rdtsc();

    while (*p != want && rdtsc() - start < 3000000000ull)
        pause();
    return *p == want;
}
