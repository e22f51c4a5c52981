/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_code.c - what the check's vCPU has decoded, from one stretch to the
 * next.
 *
 * Nobody tells it of writes to RAM: it remembers the pages of which it has
 * code, as they were, and looks. Pages that it wrote itself are forgotten, as
 * nobody knows what of them was decoded when.
 */
#include "engine/direct/check_int.h"

#include <string.h>

static uint64_t pages_of(const struct check *c)
{
    return c->view.mem->ram_size / PAGE_SIZE;
}

static bool decoded(const struct check *c, uint64_t page)
{
    return c->view.view.code_map[page];
}

static void forget(struct check *c, unsigned i)
{
    struct check_pages *p = &c->code;
    uint64_t page = p->page[i];

    mmu_forget_page(c->ref, guest_mem_gpa(c->view.mem, page * PAGE_SIZE));
    p->stamp[page] = 0;
    if (i == --p->count)
        return;
    p->page[i] = p->page[p->count];
    memcpy(c->code_copy[i], c->code_copy[p->count], PAGE_SIZE);
}

static void forget_all(struct check *c)
{
    mmu_forget_all_code(c->ref);
    check_pages_clear(&c->code);
}

/* Pages that were decoded since, as the view has them. */
static void note_new(struct check *c)
{
    const uint64_t *map = (const uint64_t *)c->view.view.code_map;

    for (uint64_t n = 0; n < pages_of(c); n++) {
        if (!(n & 7) && n + 8 <= pages_of(c) && !map[n / 8]) {
            n += 7;
            continue;
        }
        if (!decoded(c, n) || !check_pages_add(&c->code, n))
            continue;
        memcpy(c->code_copy[c->code.count - 1],
               c->view.view.ram + n * PAGE_SIZE, PAGE_SIZE);
        if (c->code.count == CHECK_CODE) {
            forget_all(c);
            return;
        }
    }
}

void check_code_before(struct check *c)
{
    const struct check_pages *w = &c->view.written;

    for (unsigned i = c->code.count; i--;)
        if (!decoded(c, c->code.page[i]))
            forget(c, i);
    note_new(c);
    for (unsigned i = c->code.count; i--;)
        if (w->stamp[c->code.page[i]] == w->now)
            forget(c, i);
}

void check_code_after(struct check *c)
{
    for (unsigned i = c->code.count; i--;) {
        uint64_t page = c->code.page[i];

        if (page == c->break_page ||
            memcmp(c->code_copy[i], c->view.view.ram + page * PAGE_SIZE,
                   PAGE_SIZE))
            forget(c, i);
    }
}
