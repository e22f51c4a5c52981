/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_limit.c - claims about vcpu_set_limit(): every engine that says it
 * is exact stops behind the same instructions in the same state, however far
 * it may go at once and however long its blocks may be.
 */
#include <stdlib.h>

#include "engine/engine.h"
#include "mmu/mmu.h"
#include "test.h"
#include "x86/cpuid.h"
#include "x86/flags.h"

#define ENTRY  0x1000u
#define COUNTS 600u

/* Loops, calls, repetitions that take several rounds, a store to itself. */
extern const uint8_t prog[], prog_end[];
__asm__(".pushsection .rodata\n"
        ".code32\n"
        "prog: mov $0x8000, %esp\n"
        "1: push %ecx\n"
        "mov $0x10000, %edi\n"
        "mov $20000, %ecx\n"
        "rep stosb\n"
        "mov $0x10010, %esi\n"
        "mov $0x10000, %edi\n"
        "mov $9000, %ecx\n"
        "std\n"
        "rep movsb\n"
        "cld\n"
        "pop %ecx\n"
        "call 3f\n"
        "cmp $3, %ecx\n"
        "je 2f\n"
        "inc %eax\n"
        "2: dec %ecx\n"
        "jnz 1b\n"
        "mov $7, %ecx\n"
        "incb 4f + 1 - prog + 0x1000\n"
        "4: mov $0x11, %bl\n"
        "jmp 1b\n"
        "3: add $0x1234567, %eax\n"
        "xor %eax, %edx\n"
        "test $1, %dl\n"
        "jz 5f\n"
        "rol $5, %edx\n"
        "5: ret\n"
        "prog_end:\n"
        ".code64\n"
        ".popsection");

struct snapshot {
    uint64_t gpr[16], rip, flags, ram;
};

static struct guest_mem mem;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct cpu_model model;
static struct vcpu *cpu;
static struct snapshot want[COUNTS + 1], got;

static void start(const struct engine_ops *e, unsigned unit)
{
    struct seg flat = {.attr = 0xc093, .limit = ~0u};
    struct error err;

    memset(mem.ram, 0, mem.ram_size);
    memcpy(mem.ram + ENTRY, prog, (size_t)(prog_end - prog));
    cpu = aligned_alloc(64, (sizeof(*cpu) + 63) & ~63ull);
    memset(cpu, 0, sizeof(*cpu));
    cpu->mem = &mem;
    cpu->model = &model;
    cpu->apic_page = UINT64_MAX;
    CHECK(!mmu_init(cpu, &err));
    vcpu_reset(cpu, false);
    cpu->apic_page = UINT64_MAX;
    mmu_join(&cpu, 1);
    CHECK(!e->vcpu_init(cpu, &err));
    for (unsigned i = 0; i < SEG_COUNT; i++)
        cpu->seg[i] = flat;
    cpu->seg[SEG_CS].attr = 0xc09b;
    cpu->cr0 = CR0_PE | CR0_ET;
    cpu->rip = ENTRY;
    cpu->unit_max = unit;
    cpu->gpr[R_RCX] = 4;
    vcpu_update_mode(cpu);
}

static void finish(const struct engine_ops *e)
{
    e->vcpu_fini(cpu);
    mmu_fini(cpu);
    free(cpu);
}

static uint64_t ram_sum(void)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < 0x20000; i += 8)
        sum = sum * 31 + *(const uint64_t *)(mem.ram + i);
    return sum;
}

static struct snapshot take(void)
{
    struct snapshot s = {.rip = cpu->rip, .ram = ram_sum()};

    memcpy(s.gpr, cpu->gpr, sizeof(s.gpr));
    s.flags = flags_get(cpu);
    return s;
}

/* On to `limit`: exactly there. */
static void go(const struct engine_ops *e, uint64_t limit)
{
    struct error err;

    vcpu_set_limit(cpu, limit);
    CHECK_EQ(e->run(cpu, &err), ENGINE_LIMIT);
    CHECK_EQ(vcpu_insns(cpu), limit);
}

static bool ready(void)
{
    struct error err;

    if (mem.ram)
        return true;
    return !guest_mem_init(&mem, 4 * MiB, &lock, &err) &&
           !cpu_model_parse(&model, "x86-64-v2", &err);
}

/* One instruction at a time: what the others have to meet. */
static void make_wanted(void)
{
    const struct engine_ops *e = engine_find("interp-plain");

    start(e, VCPU_UNIT_MAX);
    for (unsigned n = 1; n <= COUNTS; n++) {
        go(e, n);
        want[n] = take();
    }
    finish(e);
}

static void meets(const struct engine_ops *e, unsigned unit, unsigned stride)
{
    start(e, unit);
    for (unsigned n = stride; n <= COUNTS; n += stride) {
        go(e, n);
        got = take();
        if (memcmp(&got, &want[n], sizeof(got))) {
            fprintf(stderr, "%s, units of %u, at %u of %u at a time\n", e->name,
                    unit, n, stride);
            CHECK(false);
            break;
        }
    }
    finish(e);
}

static void every_exact_engine_stops_where_single_steps_do(void)
{
    static const unsigned units[] = {1, 2, 3, VCPU_UNIT_MAX};
    static const unsigned strides[] = {1, 2, 7, 63, 64, 65, 100, COUNTS};

    CHECK(ready());
    make_wanted();
    for (unsigned i = 0; engines[i]; i++)
        for (unsigned u = 0; engines[i]->exact && u < ARRAY_SIZE(units); u++)
            for (unsigned s = 0; s < ARRAY_SIZE(strides); s++)
                meets(engines[i], units[u], strides[s]);
}

static void a_limit_can_come_nearer_and_go_away(void)
{
    const struct engine_ops *e = engine_find("interp");

    CHECK(ready());
    start(e, VCPU_UNIT_MAX);
    vcpu_set_limit(cpu, 500);
    go(e, 100);
    vcpu_set_limit(cpu, VCPU_NO_LIMIT);
    CHECK_EQ(vcpu_insns(cpu), 100);
    go(e, 101);
    go(e, 101); /* at once: it is there */
    finish(e);
}

static void random_numbers_are_the_seeds(void)
{
    uint64_t seed = 42, first[2], v;
    struct error err;
    unsigned i, k;

    /* rdrand %eax; rdrand %edx; jmp . */
    static const uint8_t draw[] = {0x0f, 0xc7, 0xf0, 0x0f,
                                   0xc7, 0xf2, 0xeb, 0xfe};

    CHECK(ready());
    for (i = 0; i < 2; i++) {
        seed = 42;
        start(engine_find("interp"), VCPU_UNIT_MAX);
        CHECK(!cpu_model_parse(&model, "max", &err));
        if (!cpu_has(cpu, F_RDRAND)) {
            finish(engine_find("interp"));
            SKIP("no RDRAND in any CPU model here");
        }
        memcpy(mem.ram + ENTRY, draw, sizeof(draw));
        cpu->rng = &seed;
        go(engine_find("interp"), 5);
        for (k = 0; k < 2; k++) {
            v = cpu->gpr[k ? R_RDX : R_RAX];
            if (i)
                CHECK_EQ(v, first[k]);
            first[k] = v;
        }
        CHECK(first[0] != first[1]);
        finish(engine_find("interp"));
    }
}

/* --- PAUSE --- */

extern const uint8_t spin[], spin_end[];
__asm__(".pushsection .rodata\n"
        ".code32\n"
        "spin: mov $1000, %ecx\n"
        "1: pause\n"
        "cmp %eax, 0x8000\n"
        "loop 1b\n"
        "mov $1000, %ecx\n"
        "2: pause\n" /* now and then, with work between */
        "mov $50, %edx\n"
        "3: dec %edx\n"
        "jnz 3b\n"
        "loop 2b\n"
        "hlt\n"
        "spin_end:\n"
        ".code64\n"
        ".popsection");

static unsigned relaxed;

static void relax(struct vcpu *who)
{
    CHECK(who == cpu);
    relaxed++;
}

static void a_loop_of_pauses_lets_others_run(void)
{
    struct error err;

    for (unsigned i = 0; engines[i]; i++) {
        if (engines[i]->opaque || engines[i]->probe(&err))
            continue;
        start(engines[i], VCPU_UNIT_MAX);
        memcpy(mem.ram + ENTRY, spin, (size_t)(spin_end - spin));
        cpu->relax = relax;
        relaxed = 0;
        CHECK_EQ(engines[i]->run(cpu, &err), ENGINE_HALTED);
        CHECK_EQ(relaxed, 1000 / 64);
        finish(engines[i]);
    }
}

int main(void)
{
    RUN(every_exact_engine_stops_where_single_steps_do);
    RUN(a_limit_can_come_nearer_and_go_away);
    RUN(random_numbers_are_the_seeds);
    RUN(a_loop_of_pauses_lets_others_run);
    return test_status();
}
