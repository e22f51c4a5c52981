/* SPDX-License-Identifier: Apache-2.0 */
/*
 * atomic.c - LOCK on four processors at once: each form, each width, over the
 * border of a cache line, of a page, of two pages that are no neighbours; and
 * what several processors do to each other's code, tables and lives.
 * [SDM 3A 9.1, 9.3]
 */
#include "guest.h"

#define CPUS  4
#define TIMES 2000

static uint8_t room[64] __attribute__((aligned(64)));
static volatile uint8_t *at; /* what the test works on */
static unsigned width;
static volatile unsigned plain, stop, got[CPUS];

static uint64_t value(void)
{
    uint64_t v = 0;

    memcpy(&v, (void *)at, width);
    return v;
}

static void start(volatile void *p, unsigned w)
{
    at = p;
    width = w;
    memset((void *)p, 0, w);
}

/* --- arithmetic that loses nothing --- */

#define EACH(name, code)                                                       \
    static void name(unsigned me)                                              \
    {                                                                          \
        for (unsigned i = 0; i < TIMES; i++) {                                 \
            code;                                                              \
        }                                                                      \
    }
#define ON(type) "+m"(*(volatile type *)at)

EACH(inc8, asm volatile("lock incb %0" : ON(uint8_t) : : "cc"))
EACH(inc16, asm volatile("lock incw %0" : ON(uint16_t) : : "cc"))
EACH(inc32, asm volatile("lock incl %0" : ON(uint32_t) : : "cc"))
EACH(inc64, asm volatile("lock incq %0" : ON(uint64_t) : : "cc"))
EACH(add32, asm volatile("lock addl $1, %0" : ON(uint32_t) : : "cc"))
EACH(add64, asm volatile("lock addq $1, %0" : ON(uint64_t) : : "cc"))
EACH(sub64, asm volatile("lock subq $-1, %0" : ON(uint64_t) : : "cc"))
EACH(adc64, asm volatile("stc\n lock adcq $0, %0" : ON(uint64_t) : : "cc"))
EACH(sbb64, asm volatile("stc\n lock sbbq $-2, %0" : ON(uint64_t) : : "cc"))
EACH(xadd32, ({
         uint32_t n_ = 1;
         asm volatile("lock xaddl %0, %1" : "+r"(n_), ON(uint32_t) : : "cc");
     }))
EACH(xadd64, ({
         uint64_t n_ = 1;
         asm volatile("lock xaddq %0, %1" : "+r"(n_), ON(uint64_t) : : "cc");
     }))
EACH(not64, asm volatile("lock notq %0" : ON(uint64_t) : : "cc"))
EACH(cmpxchg8, ({
         uint8_t a_ = *at;
         asm volatile("1: lea 1(%%rax), %%ecx\n lock cmpxchgb %%cl, %1\n jne 1b"
                      : "+a"(a_), ON(uint8_t)
                      :
                      : "rcx", "cc");
     }))
EACH(cmpxchg64, ({
         uint64_t a_ = *(volatile uint64_t *)at;
         asm volatile(
             "1: lea 1(%%rax), %%rcx\n lock cmpxchgq %%rcx, %1\n jne 1b"
             : "+a"(a_), ON(uint64_t)
             :
             : "rcx", "cc");
     }))
/* both halves count */
EACH(cmpxchg8b, ({
         asm volatile("xor %%eax, %%eax\n xor %%edx, %%edx\n"
                      "1: lea 1(%%rax), %%ebx\n lea 1(%%rdx), %%ecx\n"
                      "lock cmpxchg8b %0\n jne 1b"
                      : ON(uint64_t)
                      :
                      : "rax", "rbx", "rcx", "rdx", "cc");
     }))
EACH(cmpxchg16b, ({
         asm volatile("xor %%eax, %%eax\n xor %%edx, %%edx\n"
                      "1: lea 1(%%rax), %%rbx\n lea 1(%%rdx), %%rcx\n"
                      "lock cmpxchg16b %0\n jne 1b"
                      : ON(unsigned __int128)
                      :
                      : "rax", "rbx", "rcx", "rdx", "cc");
     }))

static void counts(void (*fn)(unsigned), volatile void *p, unsigned w,
                   uint64_t want, const char *claim)
{
    start(p, w);
    want &= ~0ull >> (64 - 8 * w);
    is(crew_run(CPUS, fn) ? value() : ~want, want, claim);
}

#define ALL ((uint64_t)CPUS * TIMES)

static void forms(void)
{
    counts(inc8, room, 1, ALL, "LOCK INC of a byte");
    counts(inc16, room, 2, ALL, "of 2 bytes");
    counts(inc32, room, 4, ALL, "of 4 bytes");
    counts(inc64, room, 8, ALL, "of 8 bytes");
    counts(add64, room, 8, ALL, "LOCK ADD");
    counts(sub64, room, 8, ALL, "LOCK SUB");
    counts(adc64, room, 8, ALL, "LOCK ADC");
    counts(sbb64, room, 8, ALL, "LOCK SBB");
    counts(xadd32, room, 4, ALL, "LOCK XADD");
    counts(cmpxchg8, room, 1, ALL, "LOCK CMPXCHG of a byte");
    counts(cmpxchg64, room, 8, ALL, "LOCK CMPXCHG of 8 bytes");
    counts(cmpxchg8b, room, 8, ALL | ALL << 32, "LOCK CMPXCHG8B");
    start(room + 8, 8);
    counts(cmpxchg16b, room, 8, ALL, "LOCK CMPXCHG16B");
    at = room + 8;
    is(value(), ALL, "and its upper half");
    memset(room, 0, 16);
}

/* --- a bit, or a word, that guards plain memory --- */

#define GUARD(name, take, leave)                                               \
    static void name(unsigned me)                                              \
    {                                                                          \
        for (unsigned i = 0; i < TIMES / 8; i++) {                             \
            take;                                                              \
            plain++;                                                           \
            leave;                                                             \
        }                                                                      \
    }

static unsigned xchg(volatile uint32_t *p, unsigned v)
{
    asm volatile("xchgl %0, %1" : "+r"(v), "+m"(*p) : : "memory");
    return v;
}

GUARD(by_xchg, while (xchg((volatile uint32_t *)at, 1)) pause(),
      *(volatile uint32_t *)at = 0)
GUARD(by_bts,
      asm volatile("1: lock btsl $5, %0\n jnc 2f\n pause\n jmp 1b\n2:"
                   : ON(uint32_t)
                   :
                   : "memory", "cc"),
      asm volatile("lock btrl $5, %0"
                   : ON(uint32_t)
                   :
                   : "memory", "cc"))
GUARD(by_or,
      asm volatile("1: xor %%eax, %%eax\n mov $1, %%ecx\n"
                   "lock cmpxchgb %%cl, %0\n je 2f\n pause\n jmp 1b\n2:"
                   : ON(uint8_t)
                   :
                   : "rax", "rcx", "memory", "cc"),
      asm volatile("lock andb $0xfe, %0"
                   : ON(uint8_t)
                   :
                   : "memory", "cc"))

static void guards(void (*fn)(unsigned), volatile void *p, const char *claim)
{
    start(p, 4);
    plain = 0;
    is(crew_run(CPUS, fn) ? plain : 0, ALL / 8, claim);
}

/* --- over borders --- */

static void other_half(unsigned me)
{
    volatile uint32_t *low = (volatile uint32_t *)at;

    for (unsigned i = 0; i < TIMES; i++) {
        if (i % 32 == 0)
            crew_meet(me, CPUS); /* or one is done before the next begins */
        if (me & 1)
            asm volatile("lock addq $1, %0" : ON(uint64_t) : : "cc");
        else
            asm volatile("lock incl %0" : "+m"(low[1]) : : "cc");
    }
}

static void border(uint8_t *p, const char *claim)
{
    put("# ");
    put(claim);
    put("\n");
    counts(inc16, p - 1, 2, ALL, "LOCK INC of 2 bytes");
    counts(add32, p - 1, 4, ALL, "LOCK ADD of 4 bytes");
    counts(xadd64, p - 3, 8, ALL, "LOCK XADD of 8 bytes");
    counts(not64, p - 5, 8, 0, "LOCK NOT, an even number of times");
    counts(cmpxchg64, p - 7, 8, ALL, "LOCK CMPXCHG");
    counts(cmpxchg8b, p - 2, 8, ALL | ALL << 32, "LOCK CMPXCHG8B");
    guards(by_xchg, p - 2, "a lock by XCHG");
    guards(by_bts, p - 1, "a lock by BTS and BTR");
    start(p - 4, 8);
    crew_run(CPUS, other_half);
    is(value(), ALL / 2 | ALL / 2 << 32,
       "atomic too for one who takes only the other half");
}

static void borders(void)
{
    map(TEST_VA, (word)pages[5] | P_P | P_W, 1);
    map(TEST_VA + 4096, (word)pages[2] | P_P | P_W, 1);
    /* entries of others for TEST_VA do not exist: nobody was there */
    border(room + 64 - 32, "inside a line");
    border(pages[8] + 64, "between lines");
    border(pages[8] + 4096, "between neighbouring pages");
    border((uint8_t *)TEST_VA + 4096, "between pages from two places");
}

/* --- code that another processor changes --- */

static uint8_t *code;

/* mov $i, %eax; ret, with the immediate in one aligned store */
static void write_code(volatile uint8_t *p, unsigned v)
{
    p[0] = 0xb8;
    *(volatile uint32_t *)(p + 1) = v;
    p[5] = 0xc3;
}

static volatile unsigned published, bad;

/* Whoever is told of new code, and serializes, runs it [SDM 3A 9.1.3]. */
static void cross(unsigned me)
{
    uint32_t r[4];

    for (unsigned i = 1; i <= 1000; i++) {
        if (!me) {
            write_code(code, i);
            published = i;
        } else {
            while (published != i)
                pause();
            cpuid(0, 0, r);
            bad += ((unsigned (*)(void))code)() != i;
        }
        crew_meet(me, CPUS);
    }
}

/* Changed while it runs: old or new, and nothing else. */
static void race(unsigned me)
{
    for (unsigned i = 0; i < TIMES; i++) {
        if (!me) {
            *(volatile uint32_t *)(code + 1) = i & 1 ? ~0u : 0;
            continue;
        }
        unsigned v = ((unsigned (*)(void))code)();
        bad += v != 0 && v != ~0u;
    }
}

/* Each its own code, all in one page. */
static void own_code(unsigned me)
{
    uint8_t *p = code + 64 * me + 3;

    for (unsigned i = 0; i < 500; i++) {
        if (i % 8 == 0)
            crew_meet(me, CPUS);
        write_code(p, i + me);
        bad += ((unsigned (*)(void))p)() != i + me;
    }
}

static void changing_code(void)
{
    code = pages[10] + 3; /* its immediate is aligned */
    crew_run(CPUS, cross);
    is(bad, 0, "code changed by another, then told of: it runs");
    write_code(code, 0);
    bad = 0;
    crew_run(CPUS, race);
    is(bad, 0, "changed while it runs: old or new");
    bad = 0;
    crew_run(CPUS, own_code);
    is(bad, 0, "four change their own code in one page");
}

/* --- a translation taken away from three that use it --- */

static volatile unsigned acks;

static void on_shoot(struct frame *f)
{
    (void)f;
    invlpg((void *)(TEST_VA + 8192));
    asm volatile("lock incl %0" : "+m"(acks));
    lapic_eoi();
}

static void shoot(unsigned me)
{
    volatile uint32_t *p = (volatile uint32_t *)(TEST_VA + 8192);
    uint64_t *e = pt_entry(TEST_VA + 8192, 1);

    if (me) {
        asm volatile("sti");
        while (!stop)
            bad += *p == 0xdead;
        asm volatile("cli");
        return;
    }
    for (unsigned i = 0; i < 200; i++) {
        acks = 0;
        *(volatile uint32_t *)pages[12 + (~i & 1)] = i;
        *(volatile uint64_t *)e = (word)pages[12 + (~i & 1)] | P_P | P_W;
        lapic_write(0x300, 0xc4051);
        while (acks != CPUS - 1)
            pause();
        /* nobody can see it any more */
        *(volatile uint32_t *)pages[12 + (i & 1)] = 0xdead;
    }
    stop = 1;
}

static void shoot_down(void)
{
    hook[0x51] = on_shoot;
    map(TEST_VA + 8192, (word)pages[12] | P_P | P_W, 1);
    bad = stop = 0;
    ok(crew_run(CPUS, shoot), "200 TLB shoot-downs of three processors");
    is(bad, 0, "none uses what it has acknowledged");
}

/* --- INIT in the middle of everything --- */

static void endless(void)
{
    lapic_enable();
    asm volatile("sti");
    for (;;) {
        inc32(1);
        asm volatile("lock incl %0" : "+m"(plain));
    }
}

static void lives(void)
{
    bool good = true;

    start(room, 4);
    for (unsigned i = 0; i < 20 && good; i++) {
        for (unsigned n = 1; n < CPUS; n++) {
            unsigned before = plain;

            ap_start(n, endless);
            for (uint64_t t = rdtsc();
                 plain == before && rdtsc() - t < 3000000000ull;)
                pause();
            good &= plain != before;
        }
    }
    ok(good, "INIT and SIPI, 60 times, out of LOCKed loops");
    ok(crew_start(CPUS), "and into other work");
    counts(inc32, room, 4, ALL, "which is done");
}

void main(void)
{
    lapic_enable();
    ok(crew_start(CPUS), "four processors");
    forms();
    guards(by_xchg, room, "a lock by XCHG");
    guards(by_bts, room, "a lock by BTS and BTR");
    guards(by_or, room, "a lock by CMPXCHG and AND");
    borders();
    changing_code();
    shoot_down();
    lives();
}
