/* SPDX-License-Identifier: Apache-2.0 */
/*
 * symbols.c - a sorted table of addresses and names, wherever they came from.
 *
 * A kernel of 64 bits lives in the upper half. What its table has below that
 * are offsets into the per-CPU areas and plain numbers: such names can be
 * found, but name no address, and do not move.
 */
#include "inspect/symbols_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UPPER_HALF BIT64(63)
/* How far behind its symbol an address may be: big tables, no gaps. */
#define NEAR_MAX (1 * MiB)
#define NEAR_LAST_MAX                                                          \
    PAGE_SIZE /* behind the last nobody says where it ends                     \
               */

struct symbols *symbols_new(void)
{
    return calloc(1, sizeof(struct symbols));
}

void symbols_free(struct symbols *s)
{
    if (!s)
        return;
    free(s->sym);
    free(s->names);
    free(s);
}

/* Doubles *p until there is room for `need` units. */
static int grow(void **p, size_t *room, size_t need, size_t unit, size_t max)
{
    size_t n = *room ? *room : 1024;
    void *q;

    if (need > max)
        return -EFBIG;
    if (need <= *room)
        return 0;
    while (n < need)
        n *= 2;
    q = realloc(*p, n * unit);
    if (!q)
        return -ENOMEM;
    *p = q;
    *room = n;
    return 0;
}

/* `_text` and `panic` say more than `__pfx_` and weak ones at their place. */
static uint32_t name_rank(const char *name, size_t len, bool weak)
{
    uint32_t under = 0;

    while (under < len && under < 7 && name[under] == '_')
        under++;
    return (weak ? 8u : 0) + under;
}

static bool name_good(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (name[i] <= ' ' || name[i] > '~')
            return false;
    return len && len < SYMBOL_NAME_MAX;
}

int symbols_add(struct symbols *s, uint64_t addr, const char *name, size_t len,
                bool weak)
{
    size_t room = s->room;
    int rc;

    if (!name_good(name, len))
        return 0;
    rc = grow((void **)&s->sym, &room, s->count + 1, sizeof(*s->sym),
              SYMBOLS_MAX);
    s->room = (unsigned)room;
    if (!rc)
        rc = grow((void **)&s->names, &s->names_room, s->names_len + len + 1, 1,
                  SYMBOLS_NAME_MAX);
    if (rc)
        return rc;
    memcpy(s->names + s->names_len, name, len);
    s->names[s->names_len + len] = 0;
    s->sym[s->count++] = (struct symbol){.addr = addr,
                                         .name = (uint32_t)s->names_len,
                                         .rank = name_rank(name, len, weak)};
    s->names_len += len + 1;
    return 0;
}

/* By address; the best name first, else as they came. */
static int symbol_compare(const void *va, const void *vb)
{
    const struct symbol *a = va, *b = vb;

    if (a->addr != b->addr)
        return a->addr < b->addr ? -1 : 1;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    return a->name < b->name ? -1 : a->name > b->name;
}

/* The first that is above addr; count if none is. */
static unsigned symbol_above(const struct symbols *s, uint64_t addr)
{
    unsigned lo = 0, hi = s->count;

    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;

        if (s->sym[mid].addr <= addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static const struct symbol *symbol_named(const struct symbols *s,
                                         const char *name)
{
    for (unsigned i = 0; i < s->count; i++)
        if (!strcmp(s->names + s->sym[i].name, name))
            return &s->sym[i];
    return NULL;
}

bool symbols_finish(struct symbols *s, bool moves)
{
    const struct symbol *entry;

    if (!s->count)
        return false;
    qsort(s->sym, s->count, sizeof(*s->sym), symbol_compare);
    s->upper = s->sym[s->count - 1].addr >= UPPER_HALF;
    if (s->upper)
        s->low = symbol_above(s, UPPER_HALF - 1);
    entry = symbol_named(s, "entry_SYSCALL_64");
    s->entry = entry ? entry->addr : 0;
    s->moves = moves && s->entry >= UPPER_HALF;
    return true;
}

bool symbols_slide(struct symbols *s, const struct vcpu *cpu)
{
    uint64_t by = cpu->msr.lstar - s->entry;

    if (!s->moves)
        return true;
    if (cpu->msr.lstar < UPPER_HALF || (by & PAGE_OFFSET))
        return false;
    atomic_store_explicit(&s->slide, by, memory_order_relaxed);
    return true;
}

unsigned symbols_count(const struct symbols *s)
{
    return s ? s->count : 0;
}

static uint64_t slide_of(const struct symbols *s)
{
    return atomic_load_explicit(&s->slide, memory_order_relaxed);
}

bool symbols_find(const struct symbols *s, const char *name, uint64_t *addr)
{
    const struct symbol *sym = s ? symbol_named(s, name) : NULL;

    if (!sym)
        return false;
    *addr = sym->addr + (sym - s->sym < s->low ? 0 : slide_of(s));
    return true;
}

/* The best symbol for an address, which is *off behind it; or NULL. */
static const struct symbol *symbol_near(const struct symbols *s, uint64_t addr,
                                        uint64_t *off)
{
    uint64_t linked = addr - slide_of(s);
    unsigned i = symbol_above(s, linked);
    const struct symbol *sym;

    if (i <= s->low || (s->upper && addr < UPPER_HALF))
        return NULL;
    /* of those at one address the first is the best */
    for (sym = &s->sym[i - 1]; sym > s->sym && sym[-1].addr == sym->addr;)
        sym--;
    *off = linked - sym->addr;
    return *off < (i == s->count ? NEAR_LAST_MAX : NEAR_MAX) ? sym : NULL;
}

bool symbols_start(const struct symbols *s, uint64_t addr, uint64_t *start)
{
    uint64_t off;

    if (!s || !symbol_near(s, addr, &off))
        return false;
    *start = addr - off;
    return true;
}

bool symbols_name(const struct symbols *s, uint64_t addr, char *buf, size_t len)
{
    const struct symbol *sym;
    uint64_t off;

    if (len)
        buf[0] = 0;
    sym = s && len ? symbol_near(s, addr, &off) : NULL;
    if (!sym)
        return false;
    if (off)
        snprintf(buf, len, "%s+0x%llx", s->names + sym->name,
                 (unsigned long long)off);
    else
        snprintf(buf, len, "%s", s->names + sym->name);
    return true;
}
