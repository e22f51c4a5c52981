/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block.c - the cache of decoded blocks, by guest-physical page.
 *
 * Blocks come out of an arena by bumping a pointer. Dropping a page unlinks
 * its blocks but leaves their memory, because the vCPU may be in the middle
 * of one; when the arena is full everything goes, between instructions.
 */
#include "engine/interp/interp_int.h"

#include <string.h>

#include "base/log.h"
#include "x86/debug.h"
#include "x86/reissue.h"
#include "x86/trace.h"

/*
 * Blocks do not depend on the limit of CS. A limited vCPU never finds one by
 * block_cached(), which compares the whole mode: block_lookup() has to say
 * each time that the block fits.
 */
static uint8_t block_mode(const struct vcpu *cpu)
{
    return cpu->block_mode & (uint8_t)~BLOCK_LIMITED;
}

/* Do `len` bytes of code at RIP end within CS? */
static bool within_cs(const struct vcpu *cpu, unsigned len)
{
    return !(cpu->block_mode & BLOCK_LIMITED) ||
           cpu->rip + len - 1 <= cpu->seg[SEG_CS].limit;
}

static size_t block_bytes(unsigned count)
{
    return sizeof(struct block) + (count + 1) * sizeof(struct insn);
}

static struct block *arena_block(struct vcpu *cpu)
{
    struct interp *ip = interp_of(cpu);

    if (ip->used + 2 * block_bytes(BLOCK_INSNS_MAX) > ARENA_BYTES ||
        reissue_full(ip->decoder.reissue))
        block_forget_all(cpu);
    return (struct block *)(ip->arena + ip->used);
}

static void sentinel(struct insn *in, const struct insn *last)
{
    memset(in, 0, sizeof(*in));
    in->exec = exec_sentinel;
    in->next = last->next;
    in->place = last->place;
}

/* The handler of an instruction. */
static void bind(const struct vcpu *cpu, struct insn *in)
{
    in->exec = in->exit ? exec_exit : exec_generic;
    if (cpu->trace & TRACE_INSN)
        in->exec = exec_traced;
    else if (interp_of(cpu)->plain || in->exit)
        return;
    else if (cpu->block_mode == 8)
        fast64_bind(in);
    else if (cpu->block_mode & BLOCK_FLAT)
        fast32_bind(in);
}

static void fast_fuse(const struct vcpu *cpu, struct insn *in)
{
    if (interp_of(cpu)->plain || (cpu->trace & TRACE_INSN))
        return;
    if (cpu->block_mode == 8)
        fast64_fuse(in);
    else if (cpu->block_mode & BLOCK_FLAT)
        fast32_fuse(in);
}

/*
 * A block that is traced begins with a pseudo-instruction that says so; `next`
 * is where the block begins. Returns how many there are: 0 or 1.
 */
static unsigned head(const struct vcpu *cpu, struct insn *in, unsigned off)
{
    if (!trace_on(cpu, TRACE_BLOCK))
        return 0;
    *in = (struct insn){.exec = exec_head, .next = (uint16_t)off};
    return 1;
}

static void head_size(struct block *b, unsigned count, unsigned bytes)
{
    if (b->insn[0].exec != exec_head)
        return;
    b->insn[0].imm = count;
    b->insn[0].disp = (int32_t)bytes;
}

static bool ends_block(const struct insn *in)
{
    return (in->flags & (INSN_JUMP | INSN_SYNC)) && !(in->flags & INSN_COND);
}

/*
 * Decodes from `host` on, as far as the page and the block go. Returns the
 * number of bytes; 0 if not even the first instruction ends on this page.
 */
static unsigned decode_run(struct vcpu *cpu, struct block *b,
                           const uint8_t *host, unsigned off)
{
    struct decoder *d = &interp_of(cpu)->decoder;
    unsigned at = off, len, guards, place = 0;
    struct insn *in = b->insn;

    in += head(cpu, in, off);
    if (debug_guards(cpu, off))
        *in++ = (struct insn){.exec = exec_break};
    guards = (unsigned)(in - b->insn);
    while (guards + place < BLOCK_INSNS_MAX && place < cpu->unit_max &&
           at < PAGE_SIZE) {
        unsigned avail = (unsigned)MIN(PAGE_SIZE - at, 15);

        if (place && debug_guards(cpu, at))
            break;
        len = insn_decode(d, in, host + (at - off), avail, cpu->code_width, at);
        if (!len)
            break;
        in->place = (uint8_t)++place;
        bind(cpu, in);
        at += len;
        if (ends_block(in++))
            break;
    }
    b->count = (uint8_t)(guards + place);
    for (unsigned i = guards; i + 1 < b->count; i++)
        fast_fuse(cpu, &b->insn[i]);
    if (place)
        sentinel(in, in - 1);
    head_size(b, place, at - off);
    return at - off;
}

static struct block *block_build_crossing(struct vcpu *cpu, const uint8_t *host,
                                          gpa_t gpa);

static struct block *block_build(struct vcpu *cpu, const uint8_t *host,
                                 gpa_t gpa)
{
    struct interp *ip = interp_of(cpu);
    struct block *b = arena_block(cpu);
    struct code_page *cp;
    unsigned off = gpa & PAGE_OFFSET, len;

    /* watch first, decode then: see mmu/code.c */
    cp = mmu_watch_code(cpu, gpa & ~PAGE_OFFSET, off, 1);
    len = decode_run(cpu, b, host, off);
    if (!len)
        return block_build_crossing(cpu, host, gpa);
    b->host = host;
    b->host2 = NULL;
    b->real = NULL;
    b->mode = block_mode(cpu);
    b->off = (uint16_t)off;
    b->page_next = NULL;
    ip->used += block_bytes(b->count);
    cpu->stats.count[CTR_BLOCK_BUILT]++;
    if (!cp)
        return b; /* not RAM: runs once, then is built again */
    mmu_watch_code(cpu, gpa & ~PAGE_OFFSET, off, len);
    b->page_next = cp->blocks;
    cp->blocks = b;
    ip->cache[block_hash(host)] = b;
    return b;
}

/*
 * The block for an instruction that crosses into the next page, or NULL with
 * a fault. Only for RAM: what is not RAM is decoded each time (&none).
 */
static struct block *block_build_crossing(struct vcpu *cpu, const uint8_t *host,
                                          gpa_t gpa)
{
    struct interp *ip = interp_of(cpu);
    gva_t next = (code_linear(cpu) & ~PAGE_OFFSET) + PAGE_SIZE;
    struct block *b = arena_block(cpu), *stand_in;
    struct code_page *cp1, *cp2;
    const uint8_t *host2;
    struct insn *in;
    gpa_t gpa2;

    if (cpu->code_width != 8 || mmu_fetch(cpu, next, &host2, &gpa2))
        return &ip->none; /* interp_fetch() raises what there is to raise */
    if (debug_guards(cpu, gpa & PAGE_OFFSET))
        return &ip->none; /* step_one() looks for breakpoints */
    cp1 = mmu_watch_code(cpu, gpa & ~PAGE_OFFSET, gpa & PAGE_OFFSET,
                         (unsigned)(PAGE_SIZE - (gpa & PAGE_OFFSET)));
    cp2 = mmu_watch_code(cpu, gpa2, 0, 15);
    in = b->insn + head(cpu, b->insn, gpa & PAGE_OFFSET);
    *in++ = (struct insn){.exec = exec_guard, .imm = (uintptr_t)host2};
    if (!cp1 || !cp2 || interp_fetch(cpu, in))
        return &ip->none;
    in->place = 1;
    bind(cpu, in);
    sentinel(in + 1, in);
    head_size(b, 1, in->len);
    b->host = host;
    b->host2 = host2;
    b->real = NULL;
    b->mode = block_mode(cpu);
    b->count = (uint8_t)(in + 1 - b->insn);
    b->off = (uint16_t)(gpa & PAGE_OFFSET);
    b->page_next = cp1->blocks;
    cp1->blocks = b;
    ip->cache[block_hash(host)] = b;
    ip->used += block_bytes(b->count);

    stand_in = (struct block *)(ip->arena + ip->used);
    *stand_in = (struct block){.real = b, .page_next = cp2->blocks};
    cp2->blocks = stand_in;
    ip->used += block_bytes(0);
    cpu->stats.count[CTR_BLOCK_BUILT]++;
    return b;
}

static struct block *block_in_page(struct code_page *cp, const uint8_t *host,
                                   unsigned mode)
{
    struct block *b = cp ? cp->blocks : NULL;

    while (b && (b->host != host || b->mode != mode))
        b = b->page_next;
    return b;
}

static struct block *block_new(struct vcpu *cpu, const uint8_t *host, gpa_t gpa)
{
    uint64_t t0 = stats_begin(&cpu->stats);
    struct block *b;

    vcpu_new_code(cpu);
    b = block_build(cpu, host, gpa);
    stats_end(&cpu->stats, &cpu->stats.ticks[CTR_BLOCK_BUILT], t0);
    return b;
}

/* The block that begins at host, found or built. */
static struct block *block_at(struct vcpu *cpu, const uint8_t *host, gpa_t gpa)
{
    struct interp *ip = interp_of(cpu);
    struct block *b = ip->cache[block_hash(host)];

    if (b->host == host && b->mode == block_mode(cpu))
        return b; /* it was only the TLB that missed */
    b = block_in_page(mmu_code_page(cpu, gpa & ~PAGE_OFFSET), host,
                      block_mode(cpu));
    if (!b)
        return block_new(cpu, host, gpa);
    ip->cache[block_hash(host)] = b;
    return b;
}

static struct block *block_look(struct vcpu *cpu)
{
    struct interp *ip = interp_of(cpu);
    gva_t lin = code_linear(cpu);
    const uint8_t *host;
    struct block *b;
    gpa_t gpa;

    if (!within_cs(cpu, 1))
        return &ip->none; /* interp_fetch() raises #GP */
    if (cpu->code_width != 8)
        lin &= 0xffffffff;
    if (mmu_fetch(cpu, lin, &host, &gpa))
        return NULL;
    b = block_at(cpu, host, gpa);
    if (b != &ip->none && !within_cs(cpu, b->insn[b->count - 1].next - b->off))
        return &ip->none;
    return b;
}

struct block *block_lookup(struct vcpu *cpu)
{
    uint64_t t0 = stats_begin(&cpu->stats);
    struct block *b = block_look(cpu);

    stats_count(&cpu->stats, CTR_BLOCK_MISS, t0);
    return b;
}

static void block_unlink(struct interp *ip, struct block *b)
{
    struct block **slot = &ip->cache[block_hash(b->host)];

    if (*slot == b)
        *slot = &ip->none;
    b->host = NULL; /* still in a list, perhaps: never found again */
}

void block_forget_page(struct vcpu *cpu, struct code_page *cp)
{
    struct interp *ip = interp_of(cpu);

    for (struct block *b = cp->blocks; b; b = b->page_next)
        block_unlink(ip, b->real ? b->real : b);
    cp->blocks = NULL;
}

void block_forget_all(struct vcpu *cpu)
{
    struct interp *ip = interp_of(cpu);

    mmu_forget_all_code(cpu);
    for (unsigned i = 0; i < BLOCK_CACHE; i++)
        ip->cache[i] = &ip->none;
    ip->used = 0;
    if (reissue_full(ip->decoder.reissue))
        reissue_reset(ip->decoder.reissue);
}
