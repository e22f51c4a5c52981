/* SPDX-License-Identifier: Apache-2.0 */
/*
 * numbers.c - a hash table that was made when the program was built; a
 * container's profile has hundreds of names. Entries hold their names, not
 * pointers, which a position-independent program would have to relocate.
 */
#include "fence/numbers.h"

#include <string.h>

#define SLOTS 1024 /* scripts/call-table has it, too */

struct entry {
    char name[30];
    struct call_numbers numbers;
};

#include "gen/call_table.inc"

/* As scripts/call-table has it. */
static uint32_t name_hash(const char *name)
{
    uint32_t h = 0;

    while (*name)
        h = h * 33 + (unsigned char)*name++;
    return h;
}

const struct call_numbers *call_numbers_find(const char *name)
{
    uint32_t at = name_hash(name) % SLOTS;

    for (; slots[at]; at = (at + 1) % SLOTS) {
        const struct entry *e = &entries[slots[at] - 1];

        if (!strcmp(e->name, name))
            return &e->numbers;
    }
    return NULL;
}

const char *call_numbers_name(unsigned i)
{
    return i < ARRAY_SIZE(entries) ? entries[i].name : NULL;
}
