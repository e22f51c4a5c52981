/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kallsyms.c - the symbols of a Linux that runs, out of its own memory.
 *
 * Nothing says where the tables are, so they are found by what they hold.
 * Each is aligned to 8 bytes [Linux, scripts/kallsyms.c]:
 *
 *     to 6.3      offsets, relative_base, num_syms, names, markers,
 *                 seqs_of_names (from 6.2), token_table, token_index
 *     from 6.4    num_syms, names, markers, token_table, token_index,
 *                 offsets, relative_base, seqs_of_names
 *
 * token_table is 256 strings, and those of digits are the digits: that is
 * searched for. token_index proves it and says where it starts. Before it are
 * the markers, rising offsets of each 256th name, of which the first is 0;
 * before them the names, with their number in front, which must lead to
 * every marker. Addresses rise too. So what passes all this is a kallsyms;
 * the vCPU's system-call entry says whether it is the running kernel's.
 *
 * The guest writes all of it: one copy is taken, and only that is looked at,
 * each number checked before it is used. `steps` bounds the work.
 */
#include "inspect/symbols_int.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "x86/peek.h"

#define TOKENS 256
/* The kernel's image is contiguous: what to copy around the token table. */
#define COPY_BEFORE (24 * MiB)
#define COPY_BEHIND (8 * MiB)
#define IMAGE_MAX   (512 * MiB)
#define STEPS_MAX   (100u << 20) /* a real table takes about 10 million */
#define TABLES_MAX  16
#define KERNEL_BASE 0xffffffff80000000ull /* as linked [Linux, x86 mm.rst] */

/* Offsets are into `copy`, which is of RAM from `gpa` on. */
struct tables {
    uint8_t *copy;
    size_t len;
    gpa_t gpa;
    size_t tokens, index, markers, names, offsets;
    unsigned count, markers_count;
    uint64_t base;
    bool percpu; /* offsets >= 0 are numbers, the others are from base - 1 */
    unsigned steps;
};

static uint32_t get32(const struct tables *t, size_t at)
{
    uint32_t v;

    memcpy(&v, t->copy + at, sizeof(v));
    return v;
}

static unsigned token_at(const struct tables *t, unsigned code)
{
    return t->copy[t->index + 2 * code] |
           (unsigned)t->copy[t->index + 2 * code + 1] << 8;
}

/* False: the work is taking too long to be a kernel's table. */
static bool step(struct tables *t)
{
    return t->steps < STEPS_MAX && t->steps++ < STEPS_MAX;
}

/* --- the tables, one by the other --- */

/* The strings of all codes are where the index says. */
static bool tokens_agree(const struct tables *t)
{
    size_t at = t->tokens;

    for (unsigned i = 0; i < TOKENS; i++) {
        if (t->tokens + token_at(t, i) != at || at >= t->index)
            return false;
        at += strnlen((const char *)t->copy + at, t->index - at) + 1;
    }
    return at <= t->index && t->index - at < 8;
}

/* digits: where the token of `0` is. */
static bool find_tokens(struct tables *t, size_t digits)
{
    size_t at = digits;

    for (unsigned i = '0'; i < TOKENS; i++) {
        if (at >= t->len || at - digits > UINT16_MAX)
            return false;
        at += strnlen((const char *)t->copy + at, t->len - at) + 1;
    }
    t->index = align_up(at, 8);
    if (t->index + 2 * TOKENS > t->len || token_at(t, '0') > digits)
        return false;
    t->tokens = digits - token_at(t, '0');
    return t->tokens % 8 == 0 && tokens_agree(t);
}

/* Two markers in a row: 256 names of 1 to 511 codes, and their lengths. */
static bool marker_follows(uint32_t a, uint32_t b)
{
    return b > a && b - a >= 2 * 256 && b - a <= (SYMBOL_NAME_MAX + 2) * 256;
}

/* How many there are, if `at` is the first; what follows may look like more. */
static unsigned markers_from(struct tables *t, size_t at)
{
    unsigned n = 1;

    if (get32(t, at))
        return 0;
    while (at + 4 * n + 4 <= t->tokens && step(t) &&
           marker_follows(get32(t, at + 4 * n - 4), get32(t, at + 4 * n)))
        n++;
    return n < 2 ? 0 : n;
}

/* The name at *at, which moves behind it: its codes and their number. */
static unsigned name_next(const struct tables *t, size_t *at, size_t *codes)
{
    unsigned len = t->copy[*at];

    *codes = *at + 1;
    if (len & 0x80) /* from 6.1, in two bytes; before, none was that long */
        len = (len & 0x7f) | (unsigned)t->copy[(*codes)++] << 7;
    *at = *codes + len;
    return len;
}

/* Do so many names, from `names` on, meet all markers and end at them? */
static bool names_agree(struct tables *t, size_t names, unsigned count)
{
    size_t at = names, codes;

    for (unsigned i = 0; i < count; i++) {
        if (!step(t) || at + 2 > t->markers)
            return false;
        if (i % 256 == 0 && get32(t, t->markers + i / 256 * 4) != at - names)
            return false;
        if (!name_next(t, &at, &codes))
            return false;
    }
    return at <= t->markers && t->markers - at < 8;
}

/* Their number is 8 bytes before them. */
static bool find_names(struct tables *t)
{
    unsigned c = t->markers_count;

    for (size_t at = t->markers - 8; at >= 8 && step(t); at -= 8) {
        uint32_t n = get32(t, at - 8);

        /* up to two of the markers may have been something else */
        if (get32(t, at - 4) || n > 256 * c || n + 3 * 256 <= 256 * c ||
            n <= 256 || !names_agree(t, at, n))
            continue;
        t->names = at;
        t->count = n;
        return true;
    }
    return false;
}

static bool find_markers(struct tables *t)
{
    for (size_t at = t->tokens; at >= 16 && step(t);) {
        at -= 8;
        t->markers = at;
        t->markers_count = markers_from(t, at);
        if (t->markers_count && find_names(t))
            return true;
    }
    return false;
}

static uint64_t address(const struct tables *t, unsigned i)
{
    uint32_t off = get32(t, t->offsets + 4 * i);

    if (!t->percpu)
        return t->base + off;
    return off >> 31 ? t->base - 1 - sign_extend(off, 4) : off;
}

static bool addresses_rise(struct tables *t)
{
    for (unsigned i = 1; i < t->count; i++)
        if (!step(t) || address(t, i) < address(t, i - 1))
            return false;
    return true;
}

static bool addresses_from(struct tables *t, size_t offsets, size_t base)
{
    if (base + 8 > t->len)
        return false;
    t->offsets = offsets;
    memcpy(&t->base, t->copy + base, 8);
    /* an image is not 2 GiB: the last is negative, or none is */
    t->percpu = get32(t, offsets + 4 * (t->count - 1)) >> 31;
    return t->base >= KERNEL_BASE && addresses_rise(t);
}

/* Where they are since 6.4, or where they were. */
static bool find_addresses(struct tables *t)
{
    size_t size = align_up(4ull * t->count, 8);
    size_t behind = t->index + 2 * TOKENS, before = t->names - 8;

    if (addresses_from(t, behind, behind + size))
        return true;
    return before >= size + 8 &&
           addresses_from(t, before - 8 - size, before - 8);
}

/* --- what they say --- */

/* Type and name into text, of SYMBOL_NAME_MAX + 1 bytes; their length. */
static size_t expand(const struct tables *t, size_t codes, unsigned n,
                     char *text)
{
    size_t len = 0;

    for (unsigned i = 0; i < n; i++) {
        const uint8_t *p =
            t->copy + t->tokens + token_at(t, t->copy[codes + i]);

        /* tokens_agree(): a 0 comes before the index */
        while (*p && len < SYMBOL_NAME_MAX)
            text[len++] = (char)*p++;
    }
    return len;
}

static struct symbols *decode(const struct tables *t)
{
    struct symbols *s = symbols_new();
    char text[SYMBOL_NAME_MAX];
    size_t at = t->names, codes;

    if (!s)
        return NULL;
    for (unsigned i = 0; i < t->count; i++) {
        unsigned n = name_next(t, &at, &codes);
        size_t len = expand(t, codes, n, text);

        if (len > 1 && symbols_add(s, address(t, i), text + 1, len - 1,
                                   strchr("wWvV", text[0]) != NULL)) {
            symbols_free(s);
            return NULL;
        }
    }
    if (symbols_finish(s, false))
        return s;
    symbols_free(s);
    return NULL;
}

/*
 * Is it the kernel that runs, rather than some other's image in memory? Its
 * system-call entry is the vCPU's; before that is set, its first text is
 * mapped to a little below the table.
 */
static bool is_running(const struct tables *t, const struct symbols *s,
                       struct vcpu *cpu)
{
    gpa_t text, table = t->gpa + t->tokens;
    uint64_t entry;

    if (cpu->msr.lstar)
        return symbols_find(s, "entry_SYSCALL_64", &entry) &&
               entry == cpu->msr.lstar;
    return peek_gpa(cpu, t->base, &text) && text < table &&
           table - text < IMAGE_MAX;
}

/* --- the search --- */

static bool copy_around(struct tables *t, struct guest_mem *m, gpa_t digits)
{
    uint64_t ram = guest_mem_offset(m, digits);
    /* RAM is contiguous on this side of the hole */
    uint64_t low = digits < GUEST_HIGH_BASE ? 0 : m->low_size;
    uint64_t high = digits < GUEST_HIGH_BASE ? m->low_size : m->ram_size;
    uint64_t from = ram - MIN(COPY_BEFORE, ram - low);
    uint64_t to = ram + MIN(COPY_BEHIND, high - ram);

    from = align_down(from, PAGE_SIZE);
    *t = (struct tables){.gpa = guest_mem_gpa(m, from), .len = to - from};
    t->copy = malloc(t->len);
    return t->copy && !guest_mem_read(m, t->gpa, t->copy, t->len);
}

static struct symbols *try_at(struct vcpu *cpu, gpa_t digits)
{
    struct symbols *s = NULL;
    struct tables t;

    if (copy_around(&t, cpu->mem, digits) && find_tokens(&t, digits - t.gpa) &&
        find_markers(&t) && find_addresses(&t))
        s = decode(&t);
    if (s && !is_running(&t, s, cpu)) {
        symbols_free(s);
        s = NULL;
    }
    free(t.copy);
    return s;
}

/* One stretch of RAM that is contiguous and has no holes. */
static struct symbols *search(struct vcpu *cpu, gpa_t gpa, uint64_t len,
                              unsigned *tries)
{
    static const char digits[] =
        "0\0001\0002\0003\0004\0005\0006\0007\0008\0009";
    const char *ram = guest_mem_ptr(cpu->mem, gpa, len), *p = ram;
    struct symbols *s = NULL;

    while (ram && !s && *tries) {
        p = memmem(p, len - (uint64_t)(p - ram), digits, sizeof(digits));
        if (!p)
            break;
        s = try_at(cpu, gpa + (uint64_t)(p - ram));
        p++;
        --*tries;
    }
    return s;
}

struct symbols *symbols_from_guest(struct vcpu *cpu)
{
    struct guest_mem *m = cpu->mem;
    unsigned tries = TABLES_MAX;
    struct symbols *s = NULL;
    uint64_t at = 0, end;

    for (; !s && guest_mem_data(m, &at, &end); at = end) {
        if (at < m->low_size && end > m->low_size)
            end = m->low_size; /* gpas are not contiguous there */
        s = search(cpu, guest_mem_gpa(m, at), end - at, &tries);
    }
    return s;
}
