/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk.c - 32-bit, PAE and 4-level paging in one loop over levels.
 *
 * Page tables are the guest's memory: other vCPUs and devices change them
 * meanwhile, so an entry is read once, and A and D are set by
 * compare-and-exchange on the value that was checked; if it lost a race the
 * walk starts again.
 */
#include "x86/walk.h"

#include "x86/insn.h"
#include "x86/trace.h"

#define PTE_P  0x1ull
#define PTE_W  0x2ull
#define PTE_U  0x4ull
#define PTE_A  0x20ull
#define PTE_D  0x40ull
#define PTE_PS 0x80ull
#define PTE_G  0x100ull
#define PTE_NX 0x8000000000000000ull

#define ADDR_MASK ((BIT64(PHYS_BITS) - 1) & ~PAGE_OFFSET)
#define PHYS_RSVD (((BIT64(52) - 1) ^ (BIT64(PHYS_BITS) - 1)))

/* One paging mode, as the walk needs it. */
struct paging {
    unsigned levels, bits; /* index bits a level */
    unsigned entry;        /* bytes an entry */
    bool nx, pse36;
};

struct cursor {
    unsigned level; /* levels .. 1 */
    gpa_t table;
    unsigned rights;
};

enum outcome { WALK_MAPPED, WALK_DEEPER, WALK_ABSENT, WALK_RSVD, WALK_AGAIN };

static struct paging paging_mode(const struct vcpu *cpu)
{
    struct paging p = {.bits = 9, .entry = 8};

    p.nx = cpu->msr.efer & EFER_NXE;
    if (vcpu_long_mode(cpu)) {
        p.levels = 4;
    } else if (cpu->cr4 & CR4_PAE) {
        p.levels = 2; /* the PDPTEs are registers */
    } else {
        p.levels = 2;
        p.bits = 10;
        p.entry = 4;
        p.nx = false;
    }
    return p;
}

static uint64_t entry_load(struct vcpu *cpu, gpa_t gpa, unsigned size)
{
    void *p = guest_mem_ptr(cpu->mem, gpa, size);

    if (!p)
        return ~0ull; /* as the bus answers: reserved bits set */
    return size == 8 ? __atomic_load_n((uint64_t *)p, __ATOMIC_RELAXED)
                     : __atomic_load_n((uint32_t *)p, __ATOMIC_RELAXED);
}

/* False: somebody else changed the entry. */
static bool entry_mark(struct vcpu *cpu, gpa_t gpa, unsigned size, uint64_t old,
                       uint64_t bits)
{
    void *p = guest_mem_ptr(cpu->mem, gpa, size);
    uint32_t old32 = (uint32_t)old;

    if ((old & bits) == bits)
        return true;
    if (size == 8)
        return __atomic_compare_exchange_n((uint64_t *)p, &old, old | bits,
                                           false, __ATOMIC_SEQ_CST,
                                           __ATOMIC_RELAXED);
    return __atomic_compare_exchange_n((uint32_t *)p, &old32,
                                       (uint32_t)(old | bits), false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* Can an entry of this level map a page, if its PS bit is set? */
static bool large_allowed(const struct vcpu *cpu, const struct paging *p,
                          unsigned level)
{
    if (p->entry == 4)
        return level == 2 && (cpu->cr4 & CR4_PSE);
    return level == 2 || (level == 3 && p->levels == 4);
}

static unsigned level_shift(const struct paging *p, unsigned level)
{
    return PAGE_SHIFT + p->bits * (level - 1);
}

static uint64_t reserved_bits(const struct paging *p, unsigned level, bool leaf)
{
    uint64_t rsvd;

    if (p->entry == 4)
        /* PSE-36: bits 20..13 are address bits 39..32, bit 21 is reserved */
        return leaf && level == 2 ? BIT64(21) : 0;
    rsvd = PHYS_RSVD;
    if (!p->nx)
        rsvd |= PTE_NX;
    if (p->levels == 2)
        rsvd |= 0x7ff0000000000000ull; /* PAE has nothing in 62..52 */
    if (leaf && level > 1)
        rsvd |= (BIT64(level_shift(p, level)) - 1) & ~0x1fffull;
    if (!leaf && level == 4)
        rsvd |= PTE_PS;
    return rsvd;
}

static void leaf_found(const struct paging *p, const struct cursor *c,
                       uint64_t e, gva_t gva, struct walk *w)
{
    w->size = BIT64(level_shift(p, c->level));
    w->gpa = e & ADDR_MASK;
    if (p->entry == 4 && c->level == 2)
        w->gpa = (e & 0xffc00000ull) | (e >> 13 & 0xff) << 32;
    w->gpa = (w->gpa & ~(w->size - 1)) | (gva & (w->size - 1));
    w->rights = c->rights;
    if (e & PTE_D)
        w->rights |= PAGE_DIRTY;
    if (e & PTE_G)
        w->rights |= PAGE_GLOBAL;
}

/* One level: reads the entry, narrows the rights, finds a leaf or descends. */
static enum outcome walk_level(struct vcpu *cpu, const struct paging *p,
                               struct cursor *c, gva_t gva, struct walk *w,
                               gpa_t *entry_at, uint64_t *entry)
{
    unsigned index =
        (unsigned)(gva >> level_shift(p, c->level)) & ((1u << p->bits) - 1);
    bool leaf;
    uint64_t e;

    *entry_at = c->table + index * p->entry;
    *entry = e = entry_load(cpu, *entry_at, p->entry);
    if (!(e & PTE_P))
        return WALK_ABSENT;
    leaf = c->level == 1 || ((e & PTE_PS) && large_allowed(cpu, p, c->level));
    if (e & reserved_bits(p, c->level, leaf))
        return WALK_RSVD;
    if (!(e & PTE_W))
        c->rights &= ~(unsigned)PAGE_W;
    if (!(e & PTE_U))
        c->rights &= ~(unsigned)PAGE_U;
    if (p->nx && (e & PTE_NX))
        c->rights |= PAGE_NX;
    if (leaf) {
        leaf_found(p, c, e, gva, w);
        return WALK_MAPPED;
    }
    c->table = e & (p->entry == 4 ? 0xfffff000ull : ADDR_MASK);
    c->level--;
    return WALK_DEEPER;
}

/* The root of the walk; false: an absent PDPTE. */
static bool walk_root(const struct vcpu *cpu, const struct paging *p, gva_t gva,
                      struct cursor *c)
{
    *c = (struct cursor){.level = p->levels, .rights = PAGE_W | PAGE_U};
    if (p->entry == 4) {
        c->table = cpu->cr3 & 0xfffff000ull;
    } else if (p->levels == 4) {
        c->table = cpu->cr3 & ADDR_MASK;
    } else {
        uint64_t e = cpu->pdpte[gva >> 30 & 3];

        c->table = e & ADDR_MASK;
        return e & PTE_P;
    }
    return true;
}

bool walk_allows(const struct vcpu *cpu, unsigned rights, unsigned access,
                 bool user, bool ac)
{
    if (user) {
        if (!(rights & PAGE_U))
            return false;
        if ((access & ACC_WRITE) && !(rights & PAGE_W))
            return false;
        return !((access & ACC_FETCH) && (rights & PAGE_NX));
    }
    if (access & ACC_FETCH)
        return !(rights & PAGE_NX) &&
               !((rights & PAGE_U) && (cpu->cr4 & CR4_SMEP));
    if ((rights & PAGE_U) && (cpu->cr4 & CR4_SMAP) && !ac)
        return false;
    return !(access & ACC_WRITE) || (rights & PAGE_W) || !(cpu->cr0 & CR0_WP);
}

static int page_fault(struct vcpu *cpu, gva_t gva, unsigned access, bool user,
                      uint32_t error)
{
    if (access & ACC_WRITE)
        error |= PF_W;
    if (user)
        error |= PF_U;
    /* I is only reported where fetches can be told apart [SDM 3A 4.7] */
    if ((access & ACC_FETCH) &&
        ((cpu->cr4 & CR4_SMEP) ||
         ((cpu->cr4 & CR4_PAE) && (cpu->msr.efer & EFER_NXE))))
        error |= PF_I;
    raise_error(cpu, EXC_PF, error);
    cpu->exc.cr2 = gva;
    return STEP_FAULT;
}

static void walk_identity(gva_t gva, struct walk *w)
{
    w->gpa = gva;
    w->size = PAGE_SIZE;
    w->rights = PAGE_W | PAGE_U | PAGE_DIRTY | PAGE_GLOBAL;
}

/* As walk(), one attempt; WALK_AGAIN when it lost a race. */
static enum outcome walk_once(struct vcpu *cpu, gva_t gva, unsigned access,
                              struct walk *w, struct walk_steps *s)
{
    bool user = cpu->cpl == 3 && !(access & ACC_SYSTEM);
    bool ac = (cpu->rflags & FLAG_AC) && !(access & ACC_SYSTEM);
    struct paging p = paging_mode(cpu);
    uint64_t mark = PTE_A;
    struct cursor c;
    enum outcome o;

    s->n = 0;
    if (!walk_root(cpu, &p, gva, &c))
        return page_fault(cpu, gva, access, user, 0), WALK_ABSENT;
    do {
        o = walk_level(cpu, &p, &c, gva, w, &s->at[s->n], &s->entry[s->n]);
        s->n++;
    } while (o == WALK_DEEPER);
    if (o == WALK_ABSENT)
        return page_fault(cpu, gva, access, user, 0), WALK_ABSENT;
    if (o == WALK_RSVD)
        return page_fault(cpu, gva, access, user, PF_P | PF_RSVD), WALK_ABSENT;
    if (!walk_allows(cpu, w->rights, access, user, ac))
        return page_fault(cpu, gva, access, user, PF_P), WALK_ABSENT;

    for (unsigned i = 0; i < s->n; i++) {
        if (i == s->n - 1 && (access & ACC_WRITE)) {
            mark |= PTE_D;
            w->rights |= PAGE_DIRTY;
        }
        if (!entry_mark(cpu, s->at[i], p.entry, s->entry[i], mark))
            return WALK_AGAIN;
    }
    return WALK_MAPPED;
}

int walk(struct vcpu *cpu, gva_t gva, unsigned access, struct walk *w)
{
    struct walk_steps s;
    enum outcome o;

    if (!(cpu->cr0 & CR0_PG)) {
        walk_identity(gva, w);
        return 0;
    }
    do {
        o = walk_once(cpu, gva, access, w, &s);
    } while (o == WALK_AGAIN);
    if (trace_on(cpu, TRACE_WALK))
        trace_walk(cpu, gva, access, &s, o == WALK_MAPPED ? w : NULL);
    return o == WALK_MAPPED ? 0 : STEP_FAULT;
}

enum walk_end walk_explain(struct vcpu *cpu, gva_t gva, struct walk_steps *s,
                           struct walk *w)
{
    struct paging p = paging_mode(cpu);
    struct cursor c;
    enum outcome o;

    s->n = 0;
    if (!(cpu->cr0 & CR0_PG)) {
        walk_identity(gva, w);
        return WALK_IS_MAPPED;
    }
    if (!walk_root(cpu, &p, gva, &c))
        return WALK_IS_ABSENT;
    do {
        o = walk_level(cpu, &p, &c, gva, w, &s->at[s->n], &s->entry[s->n]);
        s->n++;
    } while (o == WALK_DEEPER);
    return o == WALK_MAPPED ? WALK_IS_MAPPED
           : o == WALK_RSVD ? WALK_IS_RESERVED
                            : WALK_IS_ABSENT;
}

bool walk_peek(struct vcpu *cpu, gva_t gva, struct walk *w)
{
    struct walk_steps s;

    return walk_explain(cpu, gva, &s, w) == WALK_IS_MAPPED;
}

bool walk_used(struct vcpu *cpu, gva_t gva, struct walk *w)
{
    struct walk_steps s;
    uint64_t used = PTE_A;

    if (walk_explain(cpu, gva, &s, w) != WALK_IS_MAPPED)
        return false;
    for (unsigned i = 0; i < s.n; i++)
        used &= s.entry[i];
    return used || !(cpu->cr0 & CR0_PG);
}

int walk_load_pdptes(struct vcpu *cpu, uint64_t cr3, uint64_t pdpte[4])
{
    for (unsigned i = 0; i < 4; i++) {
        uint64_t e = entry_load(cpu, (cr3 & 0xffffffe0ull) + 8 * i, 8);

        /* bits 1, 2, 5..8 and everything above the address are reserved */
        if ((e & PTE_P) && (e & (0x1e6ull | ~(BIT64(PHYS_BITS) - 1))))
            return raise_gp(cpu, 0);
        pdpte[i] = e;
    }
    return 0;
}
