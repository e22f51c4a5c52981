/* SPDX-License-Identifier: Apache-2.0 */
/*
 * litmus.c - the memory ordering that several processors see. [SDM 3A 9.2]
 *
 * Each test runs its few instructions some thousand times, on fresh cells,
 * all processors leaving a meeting at once; what must never be seen is
 * counted. What may be seen (a store passed by a later load) is told as a
 * comment, since nobody can be made to show it.
 */
#include "guest.h"

#define ROUNDS 3000
#define CPUS   4

struct cell {
    volatile uint32_t v;
    uint32_t pad[15];
} __attribute__((aligned(64)));

static struct cell x[ROUNDS], y[ROUNDS];
static volatile uint32_t seen[CPUS][2][ROUNDS];
static volatile uint64_t other[CPUS * 8];
static unsigned members;

/* One processor's part in a test. */
typedef void part_fn(unsigned i, unsigned me);
static part_fn *part[CPUS];

static void rounds(unsigned me)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        crew_meet(me, members);
        /* now one is first, now another */
        for (unsigned n = (i >> 2 * me) & 3; n; n--)
            asm volatile("nop");
        part[me](i, me);
    }
}

static void wipe(void)
{
    for (unsigned i = 0; i < ROUNDS; i++)
        x[i].v = y[i].v = 0;
}

static bool litmus(unsigned n)
{
    wipe();
    members = n;
    return crew_run(n, rounds);
}

#define STORE(cell, val)                                                       \
    asm volatile("movl %1, %0" : "=m"((cell).v) : "i"(val) : "memory")
#define LOAD(me, n, i, cell)                                                   \
    ({                                                                         \
        uint32_t v_;                                                           \
        asm volatile("movl %1, %0" : "=r"(v_) : "m"((cell).v) : "memory");     \
        seen[me][n][i] = v_;                                                   \
    })

/* How often each processor's loads gave these values. */
static unsigned count2(uint32_t a, uint32_t b)
{
    unsigned n = 0;

    for (unsigned i = 0; i < ROUNDS; i++)
        n += seen[0][0][i] == a && seen[1][0][i] == b;
    return n;
}

static void never(unsigned times, const char *claim)
{
    is(times, 0, claim);
}

/* --- store buffering, and what ends it --- */

#define SB(name, fence)                                                        \
    static void name##_0(unsigned i, unsigned me)                              \
    {                                                                          \
        STORE(x[i], 1);                                                        \
        fence;                                                                 \
        LOAD(me, 0, i, y[i]);                                                  \
    }                                                                          \
    static void name##_1(unsigned i, unsigned me)                              \
    {                                                                          \
        STORE(y[i], 1);                                                        \
        fence;                                                                 \
        LOAD(me, 0, i, x[i]);                                                  \
    }

static void by_cpuid(void)
{
    uint32_t r[4];

    cpuid(0, 0, r);
}

SB(sb, )
SB(sb_mfence, asm volatile("mfence" : : : "memory"))
SB(sb_lock, asm volatile("lock orl $0, (%%rsp)" : : : "memory", "cc"))
SB(sb_xadd, ({
       uint32_t z_ = 0;
       asm volatile("lock xaddl %0, %1"
                    : "+r"(z_), "+m"(other[8 * me])
                    :
                    : "memory", "cc");
   }))
SB(sb_xchg, ({
       uint32_t z_ = 0;
       asm volatile("xchgl %0, %1"
                    : "+r"(z_), "+m"(other[8 * me])
                    :
                    : "memory");
   }))
/* a compare that fails is as locked as any */
SB(sb_cmpxchg, ({
       uint32_t a_ = 5;
       asm volatile("lock cmpxchgl %2, %1"
                    : "+a"(a_), "+m"(other[8 * me])
                    : "r"(7)
                    : "memory", "cc");
   }))
SB(sb_cpuid, by_cpuid())

/* The store itself is the locked one. */
#define SB_SELF(name, op)                                                      \
    static void name##_0(unsigned i, unsigned me)                              \
    {                                                                          \
        uint32_t r_ = 1;                                                       \
        asm volatile(op : "+r"(r_), "+m"(x[i].v) : : "memory", "cc");          \
        LOAD(me, 0, i, y[i]);                                                  \
    }                                                                          \
    static void name##_1(unsigned i, unsigned me)                              \
    {                                                                          \
        uint32_t r_ = 1;                                                       \
        asm volatile(op : "+r"(r_), "+m"(y[i].v) : : "memory", "cc");          \
        LOAD(me, 0, i, x[i]);                                                  \
    }
SB_SELF(self_xchg, "xchgl %0, %1")
SB_SELF(self_xadd, "lock xaddl %0, %1")
SB_SELF(self_or, "lock orl %0, %1")
SB_SELF(self_bts, "lock btsl $0, %1")
SB_SELF(self_inc, "lock incl %1")

static void pair(part_fn *a, part_fn *b)
{
    part[0] = a;
    part[1] = b;
    if (!litmus(2))
        ok(false, "both come to their end");
}

static void buffering(const char *claim, part_fn *a, part_fn *b)
{
    pair(a, b);
    never(count2(0, 0), claim);
}
#define BUFFERING(claim, name) buffering(claim, name##_0, name##_1)

static void store_buffering(void)
{
    pair(sb_0, sb_1);
    put("# a load before an older store: ");
    put_hex(count2(0, 0));
    put(" of ");
    put_hex(ROUNDS);
    put("\n");
    BUFFERING("no load before an older store over MFENCE", sb_mfence);
    BUFFERING("nor over LOCK OR", sb_lock);
    BUFFERING("nor over LOCK XADD elsewhere", sb_xadd);
    BUFFERING("nor over XCHG elsewhere", sb_xchg);
    BUFFERING("nor over a LOCK CMPXCHG that fails", sb_cmpxchg);
    BUFFERING("nor over CPUID", sb_cpuid);
    BUFFERING("nor before an XCHG", self_xchg);
    BUFFERING("nor before a LOCK XADD", self_xadd);
    BUFFERING("nor before a LOCK OR", self_or);
    BUFFERING("nor before a LOCK BTS", self_bts);
    BUFFERING("nor before a LOCK INC", self_inc);
}

/* --- message passing, load buffering, coherence --- */

static void store_both(unsigned i, unsigned me)
{
    STORE(x[i], 1);
    STORE(y[i], 1);
}

static void load_back(unsigned i, unsigned me)
{
    LOAD(me, 0, i, y[i]);
    LOAD(me, 1, i, x[i]);
}

static void message_passing(void)
{
    unsigned bad = 0;

    pair(store_both, load_back);
    for (unsigned i = 0; i < ROUNDS; i++)
        bad += seen[1][0][i] == 1 && seen[1][1][i] == 0;
    never(bad, "stores are seen in their order, loads happen in theirs");
}

static void lb_0(unsigned i, unsigned me)
{
    LOAD(me, 0, i, x[i]);
    STORE(y[i], 1);
}

static void lb_1(unsigned i, unsigned me)
{
    LOAD(me, 0, i, y[i]);
    STORE(x[i], 1);
}

static void w2_0(unsigned i, unsigned me)
{
    STORE(x[i], 1);
    STORE(y[i], 2);
}

static void w2_1(unsigned i, unsigned me)
{
    STORE(y[i], 1);
    STORE(x[i], 2);
}

static void own_0(unsigned i, unsigned me)
{
    STORE(x[i], 1);
    LOAD(me, 0, i, x[i]);
}

static void own_1(unsigned i, unsigned me)
{
    STORE(y[i], 1);
    LOAD(me, 0, i, y[i]);
}

static void twice_0(unsigned i, unsigned me)
{
    STORE(x[i], 1);
    STORE(x[i], 2);
}

static void twice_1(unsigned i, unsigned me)
{
    LOAD(me, 0, i, x[i]);
    LOAD(me, 1, i, x[i]);
}

static void two_processors(void)
{
    unsigned bad = 0;

    message_passing();
    pair(lb_0, lb_1);
    never(count2(1, 1), "no store before an older load");
    pair(w2_0, w2_1);
    for (unsigned i = 0; i < ROUNDS; i++)
        bad += x[i].v == 1 && y[i].v == 1;
    never(bad, "two writers, two cells: no circle of stores");
    pair(own_0, own_1);
    never(ROUNDS - count2(1, 1), "own stores are seen at once");
    pair(twice_0, twice_1);
    bad = 0;
    for (unsigned i = 0; i < ROUNDS; i++)
        bad += seen[1][0][i] > seen[1][1][i];
    never(bad, "a cell never goes back to an older value");
}

/* --- independent writers --- */

static void write_x(unsigned i, unsigned me)
{
    STORE(x[i], 1);
}

static void write_y(unsigned i, unsigned me)
{
    STORE(y[i], 1);
}

static void load_xy(unsigned i, unsigned me)
{
    LOAD(me, 0, i, x[i]);
    LOAD(me, 1, i, y[i]);
}

static void independent(void)
{
    unsigned bad = 0;

    part[0] = write_x;
    part[1] = write_y;
    part[2] = load_xy;
    part[3] = load_back;
    ok(litmus(4), "two writers, two readers");
    for (unsigned i = 0; i < ROUNDS; i++)
        bad +=
            seen[2][0][i] && !seen[2][1][i] && seen[3][0][i] && !seen[3][1][i];
    never(bad, "all processors see stores in one order");
}

/* x passes to y through the second one: causality. */
static void relay(unsigned i, unsigned me)
{
    LOAD(me, 0, i, x[i]);
    if (seen[me][0][i])
        STORE(y[i], 1);
}

static void transitive(void)
{
    unsigned bad = 0;

    part[0] = write_x;
    part[1] = relay;
    part[2] = load_back;
    litmus(3);
    for (unsigned i = 0; i < ROUNDS; i++)
        bad += seen[2][0][i] && !seen[2][1][i];
    never(bad, "what caused a store is seen before it");
}

/* --- accesses in one piece --- */

static uint8_t line[128] __attribute__((aligned(64)));
static unsigned torn, width, offset;

static void flip(unsigned i, unsigned me)
{
    uint64_t v = i & 1 ? ~0ull : 0;
    uint8_t *p = line + offset;

    for (unsigned n = 0; n < 8; n++, v = ~v) {
        if (width == 2)
            *(volatile uint16_t *)p = (uint16_t)v;
        else if (width == 4)
            *(volatile uint32_t *)p = (uint32_t)v;
        else
            *(volatile uint64_t *)p = v;
    }
}

static void look(unsigned i, unsigned me)
{
    uint8_t *p = line + offset;
    uint64_t v, all = ~0ull >> (64 - 8 * width);

    for (unsigned n = 0; n < 8; n++) {
        v = width == 2   ? *(volatile uint16_t *)p
            : width == 4 ? *(volatile uint32_t *)p
                         : *(volatile uint64_t *)p;
        torn += v != 0 && v != all;
    }
}

static void whole(unsigned w, unsigned off, const char *claim)
{
    width = w;
    offset = off;
    torn = 0;
    memset(line, 0, sizeof(line));
    pair(flip, look);
    never(torn, claim);
}

void main(void)
{
    ok(crew_start(CPUS), "four processors");
    store_buffering();
    two_processors();
    independent();
    transitive();
    whole(2, 0, "2 bytes are one access");
    whole(4, 8, "4 bytes are one access");
    whole(8, 16, "8 bytes are one access");
    whole(2, 33, "2 bytes unaligned, in a line");
    whole(4, 37, "4 bytes unaligned, in a line");
    whole(8, 51, "8 bytes unaligned, in a line");
}
