/* SPDX-License-Identifier: Apache-2.0 */
/*
 * code.c - who has decoded what, and who has to forget it.
 *
 * Each vCPU keeps its own decoded code, so the run path takes no locks. What
 * is shared is code_map: a bit for each vCPU that has code of a page. The
 * order that makes it right: a vCPU sets its bit, makes all others give up
 * their right to write the page without looking, and only then decodes; a
 * writer looks at the map after it has stored. Others give it up when they
 * read their mail, between blocks: one that had it tells all to forget the
 * page once more.
 */
#include "mmu/mmu_int.h"

#include <stdlib.h>

#include "base/log.h"

static uint64_t page_number(const struct vcpu *cpu, gpa_t page)
{
    return guest_mem_offset(cpu->mem, page) >> PAGE_SHIFT;
}

static uint64_t granule_mask(unsigned off, unsigned len)
{
    unsigned lo = off / 64, hi = (off + len - 1) / 64;

    return (~0ull << lo) & (~0ull >> (63 - hi));
}

struct code_page *mmu_code_page(struct vcpu *cpu, gpa_t page)
{
    uint64_t n = page_number(cpu, page);

    return n < cpu->mem->ram_size >> PAGE_SHIFT ? mmu_of(cpu)->by_page[n]
                                                : NULL;
}

static void forget_page(struct vcpu *cpu, uint64_t n)
{
    struct mmu *m = mmu_of(cpu);
    struct code_page *cp = m->by_page[n];

    if (!cp)
        return;
    cpu->stats.count[CTR_CODE_DROPPED]++;
    m->by_page[n] = NULL;
    if (m->forget)
        m->forget(cpu, cp);
    atomic_fetch_and(&cpu->mem->code_map[n], (uint8_t)~BIT(cpu->index));
    free(cp);
    cpu->break_block = true;
}

void mmu_forget_all_code(struct vcpu *cpu)
{
    uint64_t pages = cpu->mem->ram_size >> PAGE_SHIFT;

    /* reading the table would commit it: ask the map, which is 1/8 of it */
    for (uint64_t n = 0; n < pages; n++)
        if (cpu->mem->code_map[n] & BIT(cpu->index))
            forget_page(cpu, n);
}

/* Mail is a page address; with this bit it only asks not to write silently. */
#define MAIL_PROTECT 1ull

static void inbox_put(struct vcpu *to, gpa_t mail)
{
    struct mmu_inbox *box = &mmu_of(to)->inbox;

    pthread_mutex_lock(&box->lock);
    if (box->count < MMU_INBOX)
        box->pages[box->count++] = mail;
    else
        box->overflow = true;
    pthread_mutex_unlock(&box->lock);
    vcpu_attn_set(to, ATTN_INBOX);
}

void mmu_post_forget(struct vcpu *cpu, gpa_t page)
{
    inbox_put(cpu, page);
}

static void tell_others(struct vcpu *cpu, gpa_t mail, unsigned map)
{
    struct mmu *m = mmu_of(cpu);

    for (unsigned i = 0; i < m->peer_count; i++) {
        struct vcpu *peer = m->peers[i];

        if (peer != cpu && (map & BIT(peer->index)))
            inbox_put(peer, mail);
    }
}

void mmu_inbox(struct vcpu *cpu)
{
    struct mmu *m = mmu_of(cpu);
    gpa_t pages[MMU_INBOX];
    unsigned count;
    bool overflow;

    vcpu_attn_clear(cpu, ATTN_INBOX);
    pthread_mutex_lock(&m->inbox.lock);
    count = m->inbox.count;
    overflow = m->inbox.overflow;
    for (unsigned i = 0; i < count; i++)
        pages[i] = m->inbox.pages[i];
    m->inbox.count = 0;
    m->inbox.overflow = false;
    pthread_mutex_unlock(&m->inbox.lock);

    if (overflow) {
        mmu_forget_all_code(cpu);
        cpu->mmu->flush_all(cpu);
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        gpa_t page = pages[i] & ~PAGE_OFFSET;
        uint64_t n = page_number(cpu, page);

        /* what was written before this was read is not known to the reader */
        if (!(pages[i] & MAIL_PROTECT))
            forget_page(cpu, n);
        else if (tlb_protect(cpu, guest_mem_ptr(cpu->mem, page, PAGE_SIZE)))
            tell_others(cpu, page, cpu->mem->code_map[n]);
    }
}

void code_store(struct vcpu *cpu, gpa_t page, unsigned off, unsigned len)
{
    uint64_t n = page_number(cpu, page);
    struct code_page *cp = mmu_of(cpu)->by_page[n];

    /* pairs with the order in mmu_watch_code(): map first, then decode */
    atomic_thread_fence(memory_order_seq_cst);
    if (cp && (cp->granules & granule_mask(off, len)))
        forget_page(cpu, n);
    tell_others(cpu, page, cpu->mem->code_map[n]);
}

void mmu_forget_page(struct vcpu *cpu, gpa_t page)
{
    uint64_t n = page_number(cpu, page);

    forget_page(cpu, n);
    tell_others(cpu, page, cpu->mem->code_map[n]);
}

struct code_page *mmu_watch_code(struct vcpu *cpu, gpa_t page, unsigned off,
                                 unsigned len)
{
    struct mmu *m = mmu_of(cpu);
    uint64_t n = page_number(cpu, page);
    struct code_page *cp;

    if (n >= cpu->mem->ram_size >> PAGE_SHIFT)
        return NULL;
    cp = m->by_page[n];
    if (!cp) {
        cp = calloc(1, sizeof(*cp));
        rf_assert(cp);
        cp->gpa = page;
        m->by_page[n] = cp;
        /*
         * Nobody watched this page yet: it may be writable anywhere. If
         * another did, its mail may still be on the way, but what this vCPU
         * writes it must itself see at once.
         */
        if (!atomic_fetch_or(&cpu->mem->code_map[n], (uint8_t)BIT(cpu->index)))
            tell_others(cpu, page | MAIL_PROTECT, ~0u);
        tlb_protect(cpu, guest_mem_ptr(cpu->mem, page, PAGE_SIZE));
    }
    cp->granules |= granule_mask(off, len);
    return cp;
}

void mmu_set_forget(struct vcpu *cpu, code_forget_fn *forget)
{
    mmu_of(cpu)->forget = forget;
}

/* A device or loader wrote RAM. */
static void written_by_device(void *ctx, gpa_t page)
{
    struct mmu *m = ctx;
    uint64_t n = page_number(m->peers[0], page);
    unsigned map = m->peers[0]->mem->code_map[n];

    for (unsigned i = 0; i < m->peer_count; i++)
        if (map & BIT(m->peers[i]->index))
            inbox_put(m->peers[i], page);
}

void mmu_join(struct vcpu *const *cpus, unsigned count)
{
    rf_assert(count >= 1 && count <= GUEST_VCPUS_MAX);
    for (unsigned i = 0; i < count; i++) {
        struct mmu *m = mmu_of(cpus[i]);

        m->peer_count = count;
        for (unsigned j = 0; j < count; j++)
            m->peers[j] = cpus[j];
    }
    cpus[0]->mem->code_ctx = mmu_of(cpus[0]);
    cpus[0]->mem->code_written = written_by_device;
}
