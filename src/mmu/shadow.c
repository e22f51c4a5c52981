/* SPDX-License-Identifier: Apache-2.0 */
#include "mmu/shadow.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/log.h"
#include "mmu/mmu_int.h"

#define REGION_PAGES 512
#define REGION_BYTES (REGION_PAGES * PAGE_SIZE)
#define USER_END     0x7ffffffff000ull
#define AROUND       16 /* pages that a fault may fill, aligned */

/* What is mapped of 2 MiB of guest addresses. */
struct shadow_region {
    gva_t base;
    struct shadow_region *next;
    uint64_t mapped[REGION_PAGES / 64], writable[REGION_PAGES / 64];
    uint64_t executable[REGION_PAGES / 64];
    uint32_t page[REGION_PAGES]; /* of RAM */
    bool large;                  /* it was filled from a large page */
};

struct shadow_tables {
    struct shadow_space space[SHADOW_SPACES];
    uint8_t *writers; /* of each page of RAM: at least as many as there are */
    gva_t low;
    uint64_t clock;
};

static struct shadow_tables *shadow_of(const struct vcpu *cpu)
{
    return mmu_of(cpu)->shadow;
}

static unsigned hash(gva_t base)
{
    uint64_t n = base / REGION_BYTES;

    return (unsigned)(n ^ n >> 6 ^ n >> 12) & 63;
}

static struct shadow_region *region_find(struct shadow_space *sp, gva_t base)
{
    struct shadow_region *r = sp->hash[hash(base)];

    while (r && r->base != base)
        r = r->next;
    return r;
}

static struct shadow_region *region_get(struct shadow_space *sp, gva_t base)
{
    struct shadow_region *r = region_find(sp, base);

    if (r)
        return r;
    r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->base = base;
    r->next = sp->hash[hash(base)];
    sp->hash[hash(base)] = r;
    return r;
}

static bool bit(const uint64_t *set, unsigned i)
{
    return set[i / 64] >> (i % 64) & 1;
}

static void bit_put(uint64_t *set, unsigned i, bool on)
{
    set[i / 64] &= ~BIT64(i % 64);
    set[i / 64] |= (uint64_t)on << (i % 64);
}

/* One entry goes. */
static void region_clear(struct shadow_tables *sh, struct shadow_region *r,
                         unsigned i)
{
    if (bit(r->writable, i)) {
        rf_assert(sh->writers[r->page[i]]);
        if (sh->writers[r->page[i]] < UINT8_MAX) /* there it stays */
            sh->writers[r->page[i]]--;
    }
    bit_put(r->mapped, i, false);
    bit_put(r->writable, i, false);
    bit_put(r->executable, i, false);
}

static void region_set(struct shadow_tables *sh, struct shadow_region *r,
                       unsigned i, uint64_t page, int prot)
{
    region_clear(sh, r, i);
    r->page[i] = (uint32_t)page;
    bit_put(r->mapped, i, true);
    bit_put(r->writable, i, prot & PROT_WRITE);
    bit_put(r->executable, i, prot & PROT_EXEC);
    if ((prot & PROT_WRITE) && sh->writers[page] < UINT8_MAX)
        sh->writers[page]++;
}

/* --- dropping --- */

static void space_drop(struct shadow_space *sp, gva_t at, uint64_t len)
{
    struct shadow_range *last = sp->drops ? &sp->drop[sp->drops - 1] : NULL;

    if (last && at == last->at + last->len)
        last->len += len;
    else if (sp->drops < SHADOW_DROPS)
        sp->drop[sp->drops++] = (struct shadow_range){at, len};
    else
        sp->drop_all = true;
}

static void space_forget(struct shadow_tables *sh, struct shadow_space *sp)
{
    for (unsigned h = 0; h < ARRAY_SIZE(sp->hash); h++) {
        struct shadow_region *r = sp->hash[h], *next;

        for (; r; r = next) {
            next = r->next;
            for (unsigned i = 0; i < REGION_PAGES; i++)
                if (bit(r->writable, i))
                    region_clear(sh, r, i);
            free(r);
        }
        sp->hash[h] = NULL;
    }
}

static void space_drop_all(struct vcpu *cpu, struct shadow_space *sp)
{
    if (!sp->runs)
        return; /* there is nothing in it */
    cpu->stats.count[CTR_SHADOW_FLUSH]++;
    space_forget(shadow_of(cpu), sp);
    sp->drop_all = true;
    sp->drops = 0;
}

/* May free all regions. */
static void space_drop_page(struct vcpu *cpu, struct shadow_space *sp,
                            struct shadow_region *r, unsigned i)
{
    region_clear(shadow_of(cpu), r, i);
    cpu->stats.count[CTR_SHADOW_DROP]++;
    space_drop(sp, r->base + i * PAGE_SIZE, PAGE_SIZE);
    if (sp->drop_all)
        space_drop_all(cpu, sp);
}

/* All of a region. May free all regions. */
static void space_drop_region(struct vcpu *cpu, struct shadow_space *sp,
                              struct shadow_region *r)
{
    for (unsigned i = 0; i < REGION_PAGES; i++)
        if (bit(r->mapped, i))
            region_clear(shadow_of(cpu), r, i);
    r->large = false;
    cpu->stats.count[CTR_SHADOW_DROP]++;
    space_drop(sp, r->base, REGION_BYTES);
    if (sp->drop_all)
        space_drop_all(cpu, sp);
}

void shadow_dropped(struct shadow_space *sp)
{
    if (sp->drop_all) {
        sp->runs = 0;
        sp->huge = false;
    }
    sp->drop_all = false;
    sp->drops = 0;
}

void shadow_clear(struct vcpu *cpu, struct shadow_space *sp)
{
    space_drop_all(cpu, sp);
    sp->drop_all = true;
    shadow_dropped(sp);
}

void shadow_drop_all(struct vcpu *cpu)
{
    struct shadow_tables *sh = shadow_of(cpu);

    for (unsigned i = 0; sh && i < SHADOW_SPACES; i++)
        space_drop_all(cpu, &sh->space[i]);
}

void shadow_flush_pcid(struct vcpu *cpu, unsigned pcid)
{
    struct shadow_tables *sh = shadow_of(cpu);

    for (unsigned i = 0; sh && i < SHADOW_SPACES; i++)
        if (sh->space[i].used && sh->space[i].pcid == pcid)
            space_drop_all(cpu, &sh->space[i]);
}

void shadow_flush_page(struct vcpu *cpu, unsigned pcid, gva_t gva)
{
    struct shadow_tables *sh = shadow_of(cpu);

    for (unsigned i = 0; sh && i < SHADOW_SPACES; i++) {
        struct shadow_space *sp = &sh->space[i];
        unsigned n = gva / PAGE_SIZE % REGION_PAGES;
        struct shadow_region *r;

        if (!sp->used || sp->pcid != pcid)
            continue;
        r = region_find(sp, gva & ~(REGION_BYTES - 1));
        /* any address in a large page names all of it [SDM 3A 4.10.4.1] */
        if (sp->huge)
            space_drop_all(cpu, sp);
        else if (r && r->large)
            space_drop_region(cpu, sp, r);
        else if (r && bit(r->mapped, n))
            space_drop_page(cpu, sp, r, n);
    }
}

/* Takes the right to write the page from who has it in the region. */
static bool region_protect(struct vcpu *cpu, struct shadow_space *sp,
                           struct shadow_region *r, uint64_t page)
{
    bool had = false;

    for (unsigned i = 0; i < REGION_PAGES; i++) {
        if (!bit(r->writable, i) || r->page[i] != page)
            continue;
        had = true;
        space_drop_page(cpu, sp, r, i);
        if (sp->drop_all)
            break; /* which freed the regions */
    }
    return had;
}

static bool space_protect(struct vcpu *cpu, struct shadow_space *sp,
                          uint64_t page)
{
    bool had = false;

    for (unsigned h = 0; h < ARRAY_SIZE(sp->hash); h++) {
        struct shadow_region *r = sp->hash[h], *next;

        for (; r && !sp->drop_all; r = next) {
            next = r->next;
            had |= region_protect(cpu, sp, r, page);
        }
    }
    return had;
}

bool shadow_protect(struct vcpu *cpu, uint64_t page)
{
    struct shadow_tables *sh = shadow_of(cpu);
    bool had = false;

    if (!sh || !sh->writers[page])
        return false;
    for (unsigned s = 0; s < SHADOW_SPACES; s++)
        had |= space_protect(cpu, &sh->space[s], page);
    sh->writers[page] = 0; /* also where the count had overflowed */
    return had;
}

/* --- spaces --- */

struct shadow_space *shadow_current(struct vcpu *cpu)
{
    unsigned pcid = cpu->cr4 & CR4_PCIDE ? cpu->cr3 & CR3_PCID : 0;
    struct shadow_tables *sh = shadow_of(cpu);
    struct shadow_space *oldest = &sh->space[0];

    for (unsigned i = 0; i < SHADOW_SPACES; i++) {
        struct shadow_space *sp = &sh->space[i];

        if (sp->used && sp->pcid == pcid) {
            sp->last = ++sh->clock;
            return sp;
        }
        if (oldest->used && (!sp->used || sp->last < oldest->last))
            oldest = sp;
    }
    space_drop_all(cpu, oldest);
    oldest->used = true;
    oldest->pcid = pcid;
    oldest->last = ++sh->clock;
    return oldest;
}

void shadow_writable(const struct shadow_space *sp,
                     void (*fn)(void *ctx, uint64_t ram_page), void *ctx)
{
    for (unsigned h = 0; h < ARRAY_SIZE(sp->hash); h++)
        for (const struct shadow_region *r = sp->hash[h]; r; r = r->next)
            for (unsigned i = 0; i < REGION_PAGES; i++)
                if (bit(r->writable, i))
                    fn(ctx, r->page[i]);
}

/* --- filling --- */

/* A run of pages that is mapped by one call. */
struct run {
    gva_t at;
    uint64_t len, off;
    int prot;
};

struct filler {
    struct vcpu *cpu;
    struct shadow_space *sp;
    const struct shadow_sink *sink;
    struct shadow_region *region;
    struct run run;
};

static int run_end(struct filler *f)
{
    struct run *r = &f->run;
    int rc =
        r->len ? f->sink->map(f->sink->ctx, r->at, r->len, r->prot, r->off) : 0;

    if (r->len)
        f->sp->runs++;
    r->len = 0;
    return rc;
}

static int run_add(struct filler *f, gva_t at, uint64_t off, int prot)
{
    struct run *r = &f->run;
    int rc;

    if (r->len && at == r->at + r->len && off == r->off + r->len &&
        prot == r->prot) {
        r->len += PAGE_SIZE;
        return 0;
    }
    rc = run_end(f);
    *r = (struct run){at, PAGE_SIZE, off, prot};
    return rc;
}

static bool has_code(const struct vcpu *cpu, uint64_t page)
{
    return atomic_load(&cpu->mem->code_map[page]) != 0;
}

/* The page at `at`, which the guest maps as w says. */
static int fill_page(struct filler *f, gva_t at, const struct walk *w)
{
    struct vcpu *cpu = f->cpu;
    uint64_t off = guest_mem_offset(cpu->mem, w->gpa & ~PAGE_OFFSET);
    unsigned i = at / PAGE_SIZE % REGION_PAGES;
    int prot = PROT_READ;

    if ((w->rights & PAGE_W) && (w->rights & PAGE_DIRTY) &&
        !has_code(cpu, off / PAGE_SIZE))
        prot |= PROT_WRITE;
    if (!(w->rights & PAGE_NX) &&
        f->sink->native(f->sink->ctx, at, cpu->mem->ram + off))
        prot |= PROT_EXEC;
    region_set(shadow_of(cpu), f->region, i, off / PAGE_SIZE, prot);
    cpu->stats.count[CTR_SHADOW_PAGE]++;
    return run_add(f, at, off, prot);
}

static bool mappable(const struct filler *f, gva_t at, const struct walk *w)
{
    gpa_t page = w->gpa & ~PAGE_OFFSET;

    return at >= shadow_of(f->cpu)->low && at < USER_END &&
           (at < f->sink->hole || at >= f->sink->hole_end) &&
           guest_mem_offset(f->cpu->mem, page) != UINT64_MAX &&
           page != f->cpu->apic_page;
}

/* A neighbour: what the guest has used, is user's, and is not here yet. */
static bool wanted(const struct filler *f, gva_t at, struct walk *w)
{
    unsigned i = at / PAGE_SIZE % REGION_PAGES;

    return !bit(f->region->mapped, i) && walk_used(f->cpu, at, w) &&
           (w->rights & PAGE_U) && mappable(f, at, w);
}

static bool allowed(const struct filler *f, gva_t at, unsigned access)
{
    unsigned i = at / PAGE_SIZE % REGION_PAGES;

    if (access & ACC_WRITE)
        return bit(f->region->writable, i);
    return !(access & ACC_FETCH) || bit(f->region->executable, i);
}

static int fill_around(struct filler *f, gva_t at, const struct walk *faulted)
{
    gva_t first = at & ~(AROUND * PAGE_SIZE - 1);
    struct walk w;
    int rc = 0;

    /* all of a large page is as used as any of it */
    if (faulted->size >= REGION_BYTES) {
        f->region->large = true;
        f->sp->huge |= faulted->size > REGION_BYTES;
        first = f->region->base;
        for (unsigned i = 0; i < REGION_PAGES && !rc; i++) {
            w = *faulted;
            w.gpa = (faulted->gpa & ~(REGION_BYTES - 1)) + i * PAGE_SIZE;
            if (mappable(f, first + i * PAGE_SIZE, &w))
                rc = fill_page(f, first + i * PAGE_SIZE, &w);
        }
        return rc ? rc : run_end(f);
    }
    for (unsigned i = 0; i < AROUND && !rc; i++) {
        gva_t near = first + i * PAGE_SIZE;

        if (near == at)
            rc = fill_page(f, at, faulted);
        else if (wanted(f, near, &w))
            rc = fill_page(f, near, &w);
    }
    return rc ? rc : run_end(f);
}

enum shadow_outcome shadow_fill(struct vcpu *cpu, struct shadow_space *sp,
                                gva_t gva, unsigned access,
                                const struct shadow_sink *sink)
{
    gva_t at = gva & ~PAGE_OFFSET;
    struct filler f = {.cpu = cpu, .sp = sp, .sink = sink};
    struct walk w;

    if (walk(cpu, gva, access, &w))
        return SHADOW_FAULT;
    if (!mappable(&f, at, &w))
        return SHADOW_OUTSIDE;
    rf_assert(w.rights & PAGE_U);
    f.region = region_get(sp, at & ~(REGION_BYTES - 1));
    if (!f.region)
        return SHADOW_FAILED;
    if ((access & ACC_WRITE) &&
        has_code(cpu, guest_mem_offset(cpu->mem, w.gpa) / PAGE_SIZE))
        mmu_forget_page(cpu, w.gpa & ~PAGE_OFFSET);
    if (fill_around(&f, at, &w))
        return SHADOW_FAILED;
    if (allowed(&f, at, access))
        return SHADOW_FILLED;
    return access & ACC_FETCH ? SHADOW_TAINTED : SHADOW_OUTSIDE;
}

int shadow_init(struct vcpu *cpu, gva_t low, struct error *err)
{
    uint64_t pages = cpu->mem->ram_size / PAGE_SIZE;
    struct shadow_tables *sh = calloc(1, sizeof(*sh));

    if (!sh)
        return error_set(err, ENOMEM, "out of memory for page tables");
    sh->low = low;
    sh->writers = mmap(NULL, pages, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (sh->writers == MAP_FAILED) {
        free(sh);
        return error_set(err, ENOMEM, "out of memory for page tables");
    }
    for (unsigned i = 0; i < SHADOW_SPACES; i++)
        sh->space[i].index = i;
    mmu_of(cpu)->shadow = sh;
    return 0;
}

void shadow_fini(struct vcpu *cpu)
{
    struct shadow_tables *sh = shadow_of(cpu);

    if (!sh)
        return;
    for (unsigned i = 0; i < SHADOW_SPACES; i++)
        space_forget(sh, &sh->space[i]);
    munmap(sh->writers, cpu->mem->ram_size / PAGE_SIZE);
    free(sh);
    mmu_of(cpu)->shadow = NULL;
}
