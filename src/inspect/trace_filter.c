/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace_filter.c - names of categories, and address ranges.
 */
#include "inspect/trace_int.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *help;
} cats[TRACE_CATS] = {
    {"insn", "every instruction, disassembled"},
    {"block", "blocks of instructions, as they are entered"},
    {"exit", "what leaves a guest under VMX: CPUID, MSRs, CRs, HLT, I/O, ..."},
    {"intr", "interrupts, NMI, INIT, SIPI, INT n"},
    {"exc", "exceptions, with error code and CR2"},
    {"walk", "page walks, level by level"},
    {"io", "accesses to devices: ports, MMIO, the local APIC"},
    {"mem", "every data access, with its value"},
};

const char *trace_cat_name(unsigned cat)
{
    return cat < TRACE_CATS ? cats[cat].name : NULL;
}

const char *trace_cat_help(unsigned cat)
{
    return cat < TRACE_CATS ? cats[cat].help : NULL;
}

static uint32_t cat_find(const char *word, size_t len)
{
    if (len == 3 && !memcmp(word, "all", 3))
        return TRACE_ALL;
    for (unsigned i = 0; i < TRACE_CATS; i++)
        if (strlen(cats[i].name) == len && !memcmp(cats[i].name, word, len))
            return BIT(i);
    return 0;
}

int trace_cats_parse(const char *text, uint32_t *mask, struct error *err)
{
    for (const char *p = text;; p++) {
        size_t len = strcspn(p, ",");
        uint32_t cat = cat_find(p, len);

        if (!cat)
            return error_set(err, EINVAL,
                             "no category `%.*s'; there are all, insn, block, "
                             "exit, intr, exc, walk, io and mem",
                             (int)MIN(len, 32), p);
        *mask |= cat;
        p += len;
        if (!*p)
            return 0;
    }
}

/* Hex, with or without 0x. Returns what follows, or NULL. */
static const char *hex(const char *text, uint64_t *val)
{
    char *end;

    if (!isxdigit((unsigned char)*text)) /* no sign, no blanks */
        return NULL;
    errno = 0;
    *val = strtoull(text, &end, 16);
    return errno ? NULL : end;
}

static bool is_name(const char *text)
{
    if (!*text || isdigit((unsigned char)*text))
        return false;
    for (const char *p = text; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("_.$", *p))
            return false;
    return strlen(text) < TRACE_NAME_MAX;
}

int trace_range_parse(const char *text, struct trace_range *r)
{
    const char *p = hex(text, &r->lo);
    char sign = p ? *p : 0;
    uint64_t val;

    r->lo = p ? r->lo : 0;
    r->hi = 0;
    r->name[0] = '\0';
    if (sign == '-' || sign == '+') {
        p = hex(p + 1, &val);
        if (!p || *p)
            return -EINVAL;
        if (sign == '+' && __builtin_add_overflow(r->lo, val, &val))
            val = UINT64_MAX;
        r->hi = val;
        return r->hi > r->lo ? 0 : -EINVAL;
    }
    /* `add` and `face` may be names; an address begins with a digit */
    if (p && !*p && (isdigit((unsigned char)*text) || strlen(text) >= 8)) {
        r->hi = r->lo + 1;
        return r->hi ? 0 : -EINVAL;
    }
    if (!is_name(text))
        return -EINVAL;
    r->lo = 0;
    strcpy(r->name, text); /* is_name() looked at the length */
    return 0;
}

int trace_range_check(const char *text, struct error *err)
{
    struct trace_range r;

    if (trace_range_parse(text, &r))
        return error_set(err, EINVAL,
                         "not a range; give START-END or START+LEN in hex, "
                         "END behind START, or a symbol's name");
    return 0;
}

/* Is addr still in the symbol `name`? */
static bool in_symbol(const struct symbols *syms, const char *name,
                      uint64_t addr)
{
    char text[TRACE_NAME_MAX + 32];
    size_t len = strlen(name);

    return symbols_name(syms, addr, text, sizeof(text)) &&
           !strncmp(text, name, len) && (!text[len] || text[len] == '+');
}

void trace_range_find(struct trace_range *r, const struct symbols *syms)
{
    uint64_t step = 1, addr;
    char first[TRACE_NAME_MAX + 32];

    if (!r->name[0] || !symbols_find(syms, r->name, &addr))
        return;
    r->lo = addr;
    r->hi = addr + 1;
    /* an alias is known by its other name */
    if (!symbols_name(syms, addr, first, sizeof(first)))
        return;
    while (step < GiB && in_symbol(syms, first, addr + step))
        step *= 2;
    /* the last byte is in [addr + step / 2, addr + step) */
    for (uint64_t at = step / 2, half = step / 4; step > 1; half /= 2) {
        r->hi = addr + at + 1;
        if (!half)
            break;
        if (in_symbol(syms, first, addr + at + half))
            at += half;
    }
    while (in_symbol(syms, first, r->hi))
        r->hi++;
}
