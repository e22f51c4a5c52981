/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tlb.c - the software TLB: fill, flush, and accesses that missed it.
 *
 * Owned by the vCPU's thread; nobody else touches it.
 */
#include "mmu/mmu_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mmu/shadow.h"
#include "x86/debug.h"
#include "x86/trace.h"

static uint64_t rights_config(const struct vcpu *cpu)
{
    return (cpu->cr0 & (CR0_WP | CR0_PG)) |
           (cpu->cr4 & (CR4_SMEP | CR4_SMAP | CR4_PAE | CR4_PSE | CR4_PGE))
               << 32 |
           (cpu->msr.efer & EFER_NXE);
}

static unsigned current_pcid(const struct vcpu *cpu)
{
    return cpu->cr4 & CR4_PCIDE ? cpu->cr3 & CR3_PCID : 0;
}

/* A generation that no entry has; wipes everything when they run out. */
static uint64_t generation_new(struct vcpu *cpu)
{
    struct mmu *m = mmu_of(cpu);

    if (++m->gen_next < MMU_GENERATIONS)
        return m->gen_next;
    memset(m->tlb, 0, sizeof(m->tlb));
    memset(m->pcid_gen, 0, sizeof(m->pcid_gen));
    m->gen_next = 2;
    /* whichever of the two the caller does not replace stays distinct */
    cpu->tlb_gen[0] = 1;
    cpu->tlb_gen[1] = 1;
    m->pcid_gen[current_pcid(cpu)] = 1;
    return m->gen_next;
}

static void large_forget(struct mmu *m, unsigned half)
{
    m->large_lo[half] = ~0ull;
    m->large_hi[half] = 0;
}

static void flush_low(struct vcpu *cpu)
{
    uint64_t gen = generation_new(cpu);

    cpu->tlb_gen[0] = gen;
    mmu_of(cpu)->pcid_gen[current_pcid(cpu)] = (uint16_t)gen;
}

static void flush_high(struct vcpu *cpu)
{
    struct mmu *m = mmu_of(cpu);

    cpu->tlb_gen[1] = generation_new(cpu);
    m->high_local = false;
    large_forget(m, 1);
}

static void flush_all(struct vcpu *cpu)
{
    struct mmu *m = mmu_of(cpu);

    cpu->stats.count[CTR_TLB_FLUSH]++;
    shadow_drop_all(cpu);
    memset(m->pcid_gen, 0, sizeof(m->pcid_gen));
    flush_high(cpu);
    flush_low(cpu);
    large_forget(m, 0);
}

static void flush_local(struct vcpu *cpu)
{
    cpu->stats.count[CTR_TLB_FLUSH]++;
    shadow_flush_pcid(cpu, current_pcid(cpu));
    flush_low(cpu);
    if (mmu_of(cpu)->high_local)
        flush_high(cpu);
}

static void flush_pcid(struct vcpu *cpu, unsigned pcid)
{
    if (pcid == current_pcid(cpu)) {
        flush_local(cpu);
        return;
    }
    shadow_flush_pcid(cpu, pcid);
    mmu_of(cpu)->pcid_gen[pcid & (MMU_GENERATIONS - 1)] = 0;
}

static void flush_page(struct vcpu *cpu, gva_t gva)
{
    struct mmu *m = mmu_of(cpu);
    unsigned half = gva >> 63;

    if (gva >= m->large_lo[half] && gva <= m->large_hi[half]) {
        /* a large page is cached in pieces: all of them must go */
        if (half) {
            flush_high(cpu);
        } else {
            /* a global one may have been cached in other PCIDs too */
            memset(m->pcid_gen, 0, sizeof(m->pcid_gen));
            flush_low(cpu);
            shadow_drop_all(cpu);
        }
        return;
    }
    for (unsigned i = 0; i < TLB_MODES; i++)
        memset(&m->tlb[i][gva >> PAGE_SHIFT & (TLB_SIZE - 1)], 0,
               sizeof(struct tlb_entry));
    if (!half)
        shadow_flush_page(cpu, current_pcid(cpu), gva);
}

static void switch_cr3(struct vcpu *cpu, bool keep)
{
    struct mmu *m = mmu_of(cpu);
    uint64_t gen = m->pcid_gen[current_pcid(cpu)];

    if (m->high_local)
        flush_high(cpu);
    if (keep && gen) {
        cpu->tlb_gen[0] = gen;
        return;
    }
    cpu->stats.count[CTR_TLB_FLUSH]++;
    shadow_flush_pcid(cpu, current_pcid(cpu));
    flush_low(cpu);
}

static enum tlb_mode mode_now(const struct vcpu *cpu)
{
    if (cpu->cpl == 3)
        return TLB_USER;
    return cpu->rflags & FLAG_AC ? TLB_SUPER_AC : TLB_SUPER;
}

/* Watchpoints, alignment checks and traces look at every access. */
static bool must_be_slow(const struct vcpu *cpu)
{
    if (debug_watches(cpu) || trace_on(cpu, TRACE_MEM))
        return true;
    if (cpu->cpl == 3 && (cpu->rflags & FLAG_AC) && (cpu->cr0 & CR0_AM))
        return true;
    for (unsigned i = 0; i < 4; i++)
        if ((cpu->dr7 >> (2 * i) & 3) && (cpu->dr7 >> (16 + 4 * i) & 3))
            return true;
    return false;
}

static void select_table(struct vcpu *cpu)
{
    struct mmu *m = mmu_of(cpu);
    uint64_t config = rights_config(cpu);

    if (config != m->rights_config) {
        m->rights_config = config;
        flush_all(cpu);
    }
    m->slow = must_be_slow(cpu);
    cpu->tlb = m->slow ? m->none : m->tlb[mode_now(cpu)];
}

/* Remembers where large pages are, so that flush_page() finds all of one. */
static void note_large(struct mmu *m, gva_t gva, uint64_t size)
{
    unsigned half = gva >> 63;
    gva_t base = gva & ~(size - 1);

    if (size == PAGE_SIZE)
        return;
    m->large_lo[half] = MIN(m->large_lo[half], base);
    m->large_hi[half] = MAX(m->large_hi[half], base + size - 1);
}

static bool page_has_code(const struct vcpu *cpu, gpa_t page)
{
    uint64_t n = guest_mem_offset(cpu->mem, page) >> PAGE_SHIFT;

    return atomic_load(&cpu->mem->code_map[n]) != 0;
}

static void fill(struct vcpu *cpu, gva_t gva, unsigned access,
                 const struct walk *w, uint8_t *host)
{
    struct mmu *m = mmu_of(cpu);
    enum tlb_mode mode = access & ACC_SYSTEM ? TLB_SUPER : mode_now(cpu);
    struct tlb_entry *e = &m->tlb[mode][gva >> PAGE_SHIFT & (TLB_SIZE - 1)];
    bool user = mode == TLB_USER, ac = mode == TLB_SUPER_AC;
    uint64_t tag = (gva & ~PAGE_OFFSET) | cpu->tlb_gen[gva >> 63];

    if ((gva >> 63) && !((w->rights & PAGE_GLOBAL) && (cpu->cr4 & CR4_PGE)) &&
        (cpu->cr0 & CR0_PG))
        m->high_local = true;
    note_large(m, gva, w->size);
    e->addend = (uintptr_t)host - (gva & ~PAGE_OFFSET);
    e->tag_r = walk_allows(cpu, w->rights, ACC_READ, user, ac) ? tag : 0;
    e->tag_x = walk_allows(cpu, w->rights, ACC_FETCH, user, ac) ? tag : 0;
    e->tag_w = 0;
    if ((w->rights & PAGE_DIRTY) &&
        walk_allows(cpu, w->rights, ACC_WRITE, user, ac) &&
        !page_has_code(cpu, w->gpa & ~PAGE_OFFSET) &&
        (likely(!m->note) || (access & ACC_WRITE)))
        e->tag_w = tag;
}

/* One page: where it is, and whether it holds code somebody has decoded. */
struct place {
    uint8_t *host; /* NULL: I/O */
    gpa_t gpa;
    bool code;
};

static int locate_it(struct vcpu *cpu, gva_t gva, unsigned access,
                     struct place *pl)
{
    struct walk w;
    gpa_t page;
    uint8_t *host;

    if (walk(cpu, gva, access, &w))
        return STEP_FAULT;
    page = w.gpa & ~PAGE_OFFSET;
    pl->gpa = w.gpa;
    pl->host = NULL;
    pl->code = false;
    if (page == cpu->apic_page)
        return 0;
    host = guest_mem_ptr(cpu->mem, page, PAGE_SIZE);
    if (!host)
        return 0;
    pl->host = host + (w.gpa & PAGE_OFFSET);
    fill(cpu, gva, access, &w, host);
    if (access & ACC_WRITE) {
        pl->code = page_has_code(cpu, page);
        if (unlikely(mmu_of(cpu)->note != NULL))
            mmu_of(cpu)->note(cpu, page);
    }
    return 0;
}

static int locate(struct vcpu *cpu, gva_t gva, unsigned access,
                  struct place *pl)
{
    uint64_t t0 = stats_begin(&cpu->stats);
    int rc = locate_it(cpu, gva, access, pl);

    stats_count(&cpu->stats,
                rc         ? CTR_TLB_FAULT
                : pl->host ? CTR_TLB_FILL
                           : CTR_TLB_DEVICE,
                t0);
    return rc;
}

/* Data breakpoints are traps: remembered, raised after the instruction. */
static void watch(struct vcpu *cpu, gva_t gva, unsigned size, bool write)
{
    static const uint8_t lens[] = {1, 2, 8, 4};

    for (unsigned i = 0; i < 4; i++) {
        unsigned rw = cpu->dr7 >> (16 + 4 * i) & 3;
        unsigned len = lens[cpu->dr7 >> (18 + 4 * i) & 3];
        gva_t base = cpu->dr[i] & ~(uint64_t)(len - 1);

        if (!(cpu->dr7 >> (2 * i) & 3) || !(rw == 3 || (rw == 1 && write)))
            continue;
        if (gva < base + len && base < gva + size) {
            cpu->db_pending = true;
            cpu->db_bits |= BIT64(i);
        }
    }
}

static int check_slow(struct vcpu *cpu, gva_t gva, unsigned size,
                      unsigned access)
{
    if (debug_watches(cpu) && !(access & ACC_FETCH))
        debug_access(cpu, gva, size, access & ACC_WRITE);
    if (access & (ACC_SYSTEM | ACC_FETCH))
        return 0;
    if (size <= 8 && (gva & (size - 1)) && cpu->cpl == 3 &&
        (cpu->rflags & FLAG_AC) && (cpu->cr0 & CR0_AM))
        return raise_error(cpu, EXC_AC, 0);
    watch(cpu, gva, size, access & ACC_WRITE);
    return 0;
}

static int mmu_open(struct vcpu *cpu, gva_t gva, unsigned size, unsigned access,
                    struct ref *ref)
{
    unsigned first = (unsigned)(PAGE_SIZE - (gva & PAGE_OFFSET));
    struct place a, b;
    gva_t second = gva + first;

    if (mmu_of(cpu)->slow && check_slow(cpu, gva, size, access))
        return STEP_FAULT;
    if (cpu->code_width != 8)
        second &= 0xffffffff; /* linear addresses wrap */
    if (locate(cpu, gva, access, &a))
        return STEP_FAULT;
    if (first < size && locate(cpu, second, access, &b))
        return STEP_FAULT;
    *ref = (struct ref){.kind = a.host ? REF_HOST : REF_IO,
                        .width = (uint8_t)size,
                        .watch = a.code ? REF_CODE : 0,
                        .p = a.host,
                        .gpa = a.gpa,
                        .cpu = cpu};
    if (trace_on(cpu, TRACE_MEM)) {
        ref->watch |= REF_TRACED | (access & ACC_SYSTEM ? REF_SYSTEM : 0);
        ref->gva = gva;
    }
    if (first >= size)
        return 0;
    ref->kind = REF_SPLIT;
    ref->first = (uint8_t)first;
    ref->p2 = b.host;
    ref->gpa2 = b.gpa;
    ref->watch |= b.code ? REF_CODE : 0;
    return 0;
}

static int mmu_read(struct vcpu *cpu, gva_t gva, void *buf, unsigned size,
                    unsigned access)
{
    struct ref ref;

    if (mmu_open(cpu, gva, size, access, &ref))
        return STEP_FAULT;
    if (ref.kind == REF_HOST && size <= 8 && !(size & (size - 1))) {
        uint64_t v = ref_get(&ref); /* single copy atomic */

        memcpy(buf, &v, size);
        return 0;
    }
    ref_get_bytes(&ref, buf);
    return 0;
}

static int mmu_write(struct vcpu *cpu, gva_t gva, const void *buf,
                     unsigned size, unsigned access)
{
    struct ref ref;

    if (mmu_open(cpu, gva, size, access | ACC_WRITE, &ref))
        return STEP_FAULT;
    if (ref.kind == REF_HOST && size <= 8 && !(size & (size - 1))) {
        uint64_t v = 0;

        memcpy(&v, buf, size);
        ref_set(&ref, v);
        return 0;
    }
    ref_set_bytes(&ref, buf);
    return 0;
}

static void mmu_code_stored(struct vcpu *cpu, const struct ref *ref)
{
    unsigned first = ref->kind == REF_SPLIT ? ref->first : ref->width;

    if (ref->p)
        code_store(cpu, ref->gpa & ~PAGE_OFFSET, ref->gpa & PAGE_OFFSET, first);
    if (ref->kind == REF_SPLIT && ref->p2)
        code_store(cpu, ref->gpa2 & ~PAGE_OFFSET, 0, ref->width - first);
}

/* What a fetch outside RAM and ROM sees. */
static const uint8_t floating_bus[PAGE_SIZE] = {[0 ... PAGE_SIZE - 1] = 0xff};

int mmu_fetch(struct vcpu *cpu, gva_t gva, const uint8_t **host, gpa_t *gpa)
{
    struct place pl;

    if (locate(cpu, gva, ACC_FETCH, &pl))
        return STEP_FAULT;
    *gpa = pl.gpa;
    *host = pl.host ? pl.host : guest_rom_ptr(cpu->mem, pl.gpa);
    if (!*host)
        *host = floating_bus + (gva & PAGE_OFFSET);
    return 0;
}

bool tlb_protect(struct vcpu *cpu, const uint8_t *host)
{
    struct mmu *m = mmu_of(cpu);
    bool had =
        shadow_protect(cpu, (uint64_t)(host - cpu->mem->ram) / PAGE_SIZE);

    for (unsigned i = 0; i < TLB_MODES; i++) {
        for (unsigned j = 0; j < TLB_SIZE; j++) {
            struct tlb_entry *e = &m->tlb[i][j];

            if (e->tag_w &&
                (e->tag_w & ~PAGE_OFFSET) + e->addend == (uintptr_t)host) {
                e->tag_w = 0;
                had = true;
            }
        }
    }
    return had;
}

static const struct vcpu_mmu_ops mmu_ops = {
    .read = mmu_read,
    .write = mmu_write,
    .open = mmu_open,
    .flush_all = flush_all,
    .flush_local = flush_local,
    .flush_pcid = flush_pcid,
    .flush_page = flush_page,
    .switch_cr3 = switch_cr3,
    .select = select_table,
    .code_stored = mmu_code_stored,
};

void mmu_note_writes(struct vcpu *cpu, mmu_write_fn *fn)
{
    mmu_of(cpu)->note = fn;
    flush_all(cpu);
}

int mmu_init(struct vcpu *cpu, struct error *err)
{
    uint64_t pages = cpu->mem->ram_size >> PAGE_SHIFT;
    struct mmu *m = calloc(1, sizeof(*m));

    if (!m)
        return error_set(err, ENOMEM, "out of memory for a vCPU's TLB");
    m->by_page = mmap(NULL, pages * sizeof(*m->by_page), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m->by_page == MAP_FAILED) {
        free(m);
        return error_set(err, ENOMEM, "out of memory for a vCPU's code map");
    }
    pthread_mutex_init(&m->inbox.lock, NULL);
    m->peers[0] = cpu;
    m->peer_count = 1;
    cpu->mmu_state = m;
    cpu->mmu = &mmu_ops;
    flush_all(cpu);
    select_table(cpu);
    return 0;
}

void mmu_fini(struct vcpu *cpu)
{
    struct mmu *m = mmu_of(cpu);
    uint64_t pages = cpu->mem->ram_size >> PAGE_SHIFT;

    if (!m)
        return;
    mmu_forget_all_code(cpu);
    munmap(m->by_page, pages * sizeof(*m->by_page));
    pthread_mutex_destroy(&m->inbox.lock);
    free(m);
    cpu->mmu_state = NULL;
}
