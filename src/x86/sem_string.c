/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sem_string.c - MOVS, STOS, LODS, SCAS, CMPS and their repetitions.
 *
 * A repetition is restartable: every iteration commits before the next, and a
 * fault or an interrupt leaves rCX, rSI and rDI where it stopped, with RIP on
 * the instruction. Forward MOVS and STOS go a page at a time on host memory.
 */
#include "x86/access.h"

#include <Zydis/Mnemonic.h>
#include <string.h>

#include "x86/flags.h"

/* Iterations between looks at attn: bounded latency. */
#define BATCH 4096

struct string {
    unsigned width, awidth;
    uint64_t mask;  /* of the address size */
    uint64_t delta; /* what an iteration adds to rSI and rDI */
};

static struct string string_open(const struct vcpu *cpu, const struct insn *in)
{
    struct string s;

    s.width = in->sub;
    s.awidth = in->awidth;
    s.mask = width_mask(in->awidth);
    s.delta = cpu->rflags & FLAG_DF ? (uint64_t) - (int64_t)s.width : s.width;
    return s;
}

static uint64_t index_of(const struct vcpu *cpu, const struct string *s,
                         unsigned reg)
{
    return cpu->gpr[reg] & s->mask;
}

static void advance(struct vcpu *cpu, const struct string *s, unsigned reg,
                    uint64_t n)
{
    reg_set(cpu, reg, s->awidth, cpu->gpr[reg] + n * s->delta);
}

/* One iteration; nonzero: STEP_FAULT. */
typedef int iterate_fn(struct vcpu *cpu, const struct insn *in,
                       const struct string *s);
/* Several at once, up to max; 0: none could be done that way. */
typedef uint64_t bulk_fn(struct vcpu *cpu, const struct insn *in,
                         const struct string *s, uint64_t max);

/* Finishes a REP that did not run to its end: come back to it. */
static enum step again(struct vcpu *cpu, const struct insn *in)
{
    cpu->rip = insn_rip(cpu, in);
    return STEP_JUMP;
}

static bool repeated(const struct insn *in)
{
    return in->flags & (INSN_REP | INSN_REPNE);
}

/* `compares`: REPE and REPNE end on ZF. */
static enum step repeat(struct vcpu *cpu, const struct insn *in,
                        iterate_fn *iterate, bulk_fn *bulk, bool compares)
{
    struct string s = string_open(cpu, in);
    uint64_t left, n;

    if (!repeated(in))
        return iterate(cpu, in, &s) ? STEP_FAULT : STEP_NEXT;
    for (unsigned i = 0; i < BATCH; i++) {
        left = index_of(cpu, &s, R_RCX);
        if (!left)
            return STEP_NEXT;
        /* each iteration traps when it is stepped */
        n = bulk && !(cpu->rflags & FLAG_TF) ? bulk(cpu, in, &s, left) : 0;
        if (!n) {
            if (iterate(cpu, in, &s))
                return STEP_FAULT;
            n = 1;
        }
        reg_set(cpu, R_RCX, s.awidth, left - n);
        if (compares && (cpu->cc_res == 0) != !!(in->flags & INSN_REP)) /* ZF */
            return STEP_NEXT;
        if (left == n)
            return STEP_NEXT;
        if (vcpu_attn(cpu) || cpu->break_block)
            break;
    }
    return again(cpu, in);
}

/*
 * Host pointer for up to *bytes at seg:off inside one page, or NULL; *bytes
 * shrinks to what is there.
 */
static void *span(struct vcpu *cpu, unsigned seg, uint64_t off, bool write,
                  uint64_t *bytes)
{
    gva_t gva;
    void *p;

    if (cpu->code_width != 8)
        return NULL; /* limits and wrapping: one by one */
    if (seg_linear(cpu, seg, off, 1, write ? ACC_WRITE : ACC_READ, &gva))
        return NULL;
    p = write ? tlb_write(cpu, gva, 1) : tlb_read(cpu, gva, 1);
    *bytes = MIN(*bytes, PAGE_SIZE - (gva & PAGE_OFFSET));
    return p;
}

/* --- MOVS --- */

static int movs_one(struct vcpu *cpu, const struct insn *in,
                    const struct string *s)
{
    uint64_t v;

    if (mem_load(cpu, in->seg, index_of(cpu, s, R_RSI), s->width, &v) ||
        mem_store(cpu, SEG_ES, index_of(cpu, s, R_RDI), s->width, v))
        return STEP_FAULT;
    advance(cpu, s, R_RSI, 1);
    advance(cpu, s, R_RDI, 1);
    return 0;
}

static uint64_t movs_bulk(struct vcpu *cpu, const struct insn *in,
                          const struct string *s, uint64_t max)
{
    uint64_t bytes = max > PAGE_SIZE ? PAGE_SIZE : max * s->width, n;
    uint8_t *from, *to;

    if (cpu->rflags & FLAG_DF)
        return 0;
    from = span(cpu, in->seg, index_of(cpu, s, R_RSI), false, &bytes);
    to = span(cpu, SEG_ES, index_of(cpu, s, R_RDI), true, &bytes);
    n = bytes / s->width;
    if (!from || !to || n < 2)
        return 0;
    bytes = n * s->width;
    if (to > from && to < from + bytes)
        return 0; /* the copy reads what it wrote: keep the order */
    memmove(to, from, bytes);
    advance(cpu, s, R_RSI, n);
    advance(cpu, s, R_RDI, n);
    return n;
}

static enum step sem_movs(struct vcpu *cpu, const struct insn *in)
{
    return repeat(cpu, in, movs_one, movs_bulk, false);
}

/* --- STOS --- */

static int stos_one(struct vcpu *cpu, const struct insn *in,
                    const struct string *s)
{
    (void)in;
    if (mem_store(cpu, SEG_ES, index_of(cpu, s, R_RDI), s->width,
                  cpu->gpr[R_RAX]))
        return STEP_FAULT;
    advance(cpu, s, R_RDI, 1);
    return 0;
}

static void fill(uint8_t *p, uint64_t n, unsigned width, uint64_t v)
{
    if (width == 1 || !v) {
        memset(p, (int)(v & 0xff), n * width);
        return;
    }
    for (uint64_t i = 0; i < n; i++)
        memcpy(p + i * width, &v, width);
}

static uint64_t stos_bulk(struct vcpu *cpu, const struct insn *in,
                          const struct string *s, uint64_t max)
{
    uint64_t bytes = max > PAGE_SIZE ? PAGE_SIZE : max * s->width, n;
    uint8_t *to;

    (void)in;
    if (cpu->rflags & FLAG_DF)
        return 0;
    to = span(cpu, SEG_ES, index_of(cpu, s, R_RDI), true, &bytes);
    n = bytes / s->width;
    if (!to || n < 2)
        return 0;
    fill(to, n, s->width, cpu->gpr[R_RAX] & width_mask(s->width));
    advance(cpu, s, R_RDI, n);
    return n;
}

static enum step sem_stos(struct vcpu *cpu, const struct insn *in)
{
    return repeat(cpu, in, stos_one, stos_bulk, false);
}

/* --- LODS, SCAS, CMPS --- */

static int lods_one(struct vcpu *cpu, const struct insn *in,
                    const struct string *s)
{
    uint64_t v;

    if (mem_load(cpu, in->seg, index_of(cpu, s, R_RSI), s->width, &v))
        return STEP_FAULT;
    reg_set(cpu, R_RAX, s->width, v);
    advance(cpu, s, R_RSI, 1);
    return 0;
}

static enum step sem_lods(struct vcpu *cpu, const struct insn *in)
{
    return repeat(cpu, in, lods_one, NULL, false);
}

static int scas_one(struct vcpu *cpu, const struct insn *in,
                    const struct string *s)
{
    uint64_t a = reg_get(cpu, R_RAX, s->width), v;

    (void)in;
    if (mem_load(cpu, SEG_ES, index_of(cpu, s, R_RDI), s->width, &v))
        return STEP_FAULT;
    advance(cpu, s, R_RDI, 1);
    flags_lazy(cpu, CC_SUB, s->width, a - v, v);
    return 0;
}

static enum step sem_scas(struct vcpu *cpu, const struct insn *in)
{
    return repeat(cpu, in, scas_one, NULL, true);
}

static int cmps_one(struct vcpu *cpu, const struct insn *in,
                    const struct string *s)
{
    uint64_t a, b;

    if (mem_load(cpu, in->seg, index_of(cpu, s, R_RSI), s->width, &a) ||
        mem_load(cpu, SEG_ES, index_of(cpu, s, R_RDI), s->width, &b))
        return STEP_FAULT;
    advance(cpu, s, R_RSI, 1);
    advance(cpu, s, R_RDI, 1);
    flags_lazy(cpu, CC_SUB, s->width, a - b, b);
    return 0;
}

static enum step sem_cmps(struct vcpu *cpu, const struct insn *in)
{
    return repeat(cpu, in, cmps_one, NULL, true);
}

/* A repetition may have to be come back to. */
#define M(name) ZYDIS_MNEMONIC_##name
#define ONE(name, fn, width)                                                   \
    {                                                                          \
        M(name), INSN_JUMP | INSN_COND, fn, .sub = width                       \
    }
#define FAMILY(name, fn)                                                       \
    ONE(name##B, fn, 1), ONE(name##W, fn, 2), ONE(name##D, fn, 4),             \
        ONE(name##Q, fn, 8)
const struct sem_entry sem_string_table[] = {
    FAMILY(MOVS, sem_movs), FAMILY(STOS, sem_stos), FAMILY(LODS, sem_lods),
    FAMILY(SCAS, sem_scas), FAMILY(CMPS, sem_cmps), {0},
};
