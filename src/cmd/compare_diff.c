/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compare_diff.c - what differs between two machines that stand still.
 *
 * States are compared field by field, by name, so that two builds can be
 * compared whose states are not laid out alike: what only one of them knows is
 * no difference then.
 */
#include "cmd/compare_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "x86/regs.h"

#define DIFFERENCES_MAX 64 /* that are described; all are counted */
#define PAGES_MAX       4  /* of memory, that are looked into */
#define RUNS_MAX        4  /* in each of them */
#define RUN_BYTES       16

/* --- the list --- */

/* The next one; NULL if only the count goes up. */
static struct difference *differences_add(struct differences *l)
{
    l->total++;
    if (l->count == DIFFERENCES_MAX)
        return NULL;
    if (!l->d) {
        l->d = calloc(DIFFERENCES_MAX, sizeof(*l->d));
        if (!l->d)
            return NULL;
    }
    return &l->d[l->count++];
}

void differences_free(struct differences *l)
{
    free(l->d);
    *l = (struct differences){0};
}

/* --- values as people read them --- */

static void flags_text(uint64_t v, char *buf, size_t len)
{
    static const struct {
        uint64_t bit;
        const char *name;
    } flags[] = {
        {FLAG_CF, "CF"}, {FLAG_PF, "PF"},   {FLAG_AF, "AF"},   {FLAG_ZF, "ZF"},
        {FLAG_SF, "SF"}, {FLAG_TF, "TF"},   {FLAG_IF, "IF"},   {FLAG_DF, "DF"},
        {FLAG_OF, "OF"}, {FLAG_NT, "NT"},   {FLAG_RF, "RF"},   {FLAG_VM, "VM"},
        {FLAG_AC, "AC"}, {FLAG_VIF, "VIF"}, {FLAG_VIP, "VIP"}, {FLAG_ID, "ID"},
    };
    int n = snprintf(buf, len, "0x%016llx ", (unsigned long long)v);

    for (unsigned i = 0; i < ARRAY_SIZE(flags); i++)
        if (v & flags[i].bit)
            n += snprintf(buf + n, len - (size_t)n, " %s", flags[i].name);
    if (v & FLAG_IOPL)
        snprintf(buf + n, len - (size_t)n, " IOPL=%u", (unsigned)(v >> 12 & 3));
}

/* A register of up to 32 bytes: the highest byte first. */
static void wide_text(const uint8_t *p, size_t bytes, char *buf, size_t len)
{
    int n = snprintf(buf, len, "0x");

    for (size_t i = bytes; i--;)
        n += snprintf(buf + n, len - (size_t)n, "%02x%s", p[i],
                      i && !(i % 8) ? "_" : "");
}

/* Some bytes, the lowest first. */
static void bytes_text(const uint8_t *p, size_t bytes, char *buf, size_t len)
{
    int n = 0;

    buf[0] = '\0';
    for (size_t i = 0; i < bytes; i++)
        n += snprintf(buf + n, len - (size_t)n, "%s%02x", i ? " " : "", p[i]);
}

static void item_text(const struct state_item *it, size_t at, char *buf,
                      size_t len)
{
    bool vcpu = !strcmp(it->section, "vcpu");

    if (it->blob && vcpu && it->len <= 32)
        wide_text(it->bytes, it->len, buf, len);
    else if (it->blob)
        bytes_text(it->bytes + MIN(at, it->len),
                   MIN(it->len - MIN(at, it->len), RUN_BYTES), buf, len);
    else if (vcpu && !strcmp(it->name, "rflags"))
        flags_text(it->value, buf, len);
    else
        snprintf(buf, len, vcpu ? "0x%016llx" : "0x%llx",
                 (unsigned long long)it->value);
}

/* --- states --- */

static bool item_named(const struct state_item *a, const struct state_item *b)
{
    return a->instance == b->instance && !strcmp(a->name, b->name) &&
           !strcmp(a->section, b->section);
}

static bool item_same(const struct state_item *a, const struct state_item *b)
{
    if (a->blob != b->blob)
        return false;
    return a->blob ? a->len == b->len && !memcmp(a->bytes, b->bytes, a->len)
                   : a->value == b->value;
}

/* States of one build have their fields in one order: look ahead first. */
static bool item_find(const struct state_reader *r, struct state_cursor *c,
                      const struct state_item *want, struct state_item *it)
{
    struct state_cursor all;

    if (!r)
        return false;
    if (state_next(c, it) && item_named(it, want))
        return true;
    state_first(r, &all);
    while (state_next(&all, it)) {
        if (item_named(it, want)) {
            *c = all;
            return true;
        }
    }
    return false;
}

static size_t first_byte(const struct state_item *a, const struct state_item *b)
{
    size_t i = 0;

    if (!a->blob || !b->blob || !strcmp(a->section, "vcpu"))
        return 0; /* a register is shown as a whole */
    while (i < a->len && i < b->len && a->bytes[i] == b->bytes[i])
        i++;
    return align_down(i, 8);
}

/* a or b is NULL if that side does not have it. */
static void item_differs(struct differences *l, const struct state_item *a,
                         const struct state_item *b,
                         const struct state_item *before)
{
    struct difference *d = differences_add(l);
    size_t at = a && b ? first_byte(a, b) : 0;
    const struct state_item *any = a ? a : b;
    int n = 0;

    if (!d)
        return;
    if (strcmp(any->section, "vcpu"))
        n = snprintf(d->name, sizeof(d->name), "device %s %u: ", any->section,
                     any->instance);
    else if (any->instance)
        n = snprintf(d->name, sizeof(d->name), "vCPU %u: ", any->instance);
    n += snprintf(d->name + n, sizeof(d->name) - (size_t)n, "%s", any->name);
    if (at)
        snprintf(d->name + n, sizeof(d->name) - (size_t)n, " from byte %zu",
                 at);
    snprintf(d->value[0], sizeof(d->value[0]), "not there");
    snprintf(d->value[1], sizeof(d->value[1]), "not there");
    if (a)
        item_text(a, at, d->value[0], sizeof(d->value[0]));
    if (b)
        item_text(b, at, d->value[1], sizeof(d->value[1]));
    if (before)
        item_text(before, at, d->before, sizeof(d->before));
}

struct states {
    struct state_reader *r[2], *before; /* before may be NULL */
};

/* Every field that one of them has; `build`: they must have the same. */
static void states_compare(const struct states *s, bool build,
                           struct differences *l)
{
    struct state_cursor at, other = {0}, old = {0};
    struct state_item a, b, o;

    for (unsigned side = 0; side < 2; side++) {
        state_first(s->r[side], &at);
        state_first(s->r[!side], &other);
        if (s->before)
            state_first(s->before, &old);
        while (state_next(&at, &a)) {
            bool there = item_find(s->r[!side], &other, &a, &b);
            bool was = item_find(s->before, &old, &a, &o);

            if (there && side)
                continue; /* seen from the other side */
            if (there ? a.version == b.version && !item_same(&a, &b) : build)
                item_differs(l, !side ? &a : NULL,
                             there  ? &b
                             : side ? &a
                                    : NULL,
                             was ? &o : NULL);
        }
    }
}

static int states_open(const struct compare *c, bool with_before,
                       struct states *s, struct error *err)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct shot *now = &c->side[i].now;

        s->r[i] = state_reader_new(now->state, now->len, err);
        if (!s->r[i])
            return error_prefix(err, "%c (%s)", c->side[i].letter,
                                c->side[i].spec);
    }
    if (with_before && c->side[0].before.state)
        s->before = state_reader_new(c->side[0].before.state,
                                     c->side[0].before.len, err);
    return 0;
}

static void states_close(struct states *s)
{
    state_reader_free(s->r[0]);
    state_reader_free(s->r[1]);
    state_reader_free(s->before);
}

static bool same_build(const struct compare *c)
{
    const char *a = c->side[0].exe, *b = c->side[1].exe;

    return a && b ? !strcmp(a, b) : a == b;
}

static int state_differences(const struct compare *c, bool with_before,
                             struct differences *l, struct error *err)
{
    struct states s = {0};
    int rc = states_open(c, with_before, &s, err);

    if (!rc)
        states_compare(&s, same_build(c), l);
    states_close(&s);
    return rc;
}

bool shots_differ(const struct compare *c)
{
    const struct shot *a = &c->side[0].now, *b = &c->side[1].now;
    struct differences l = {0};
    struct error err;
    bool differ = memcmp(&a->point, &b->point, sizeof(a->point)) != 0;

    if (differ || (a->len == b->len && !memcmp(a->state, b->state, a->len)))
        return differ;
    /* not the same bytes, which other builds need not have */
    differ = state_differences(c, false, &l, &err) || l.total;
    differences_free(&l);
    return differ;
}

/* --- memory --- */

struct page_list {
    struct lockstep_page *page;
    size_t count;
};

static int pages_ask(struct side *s, struct page_list *l, struct error *err)
{
    size_t len;

    l->page = side_ask(s, LOCKSTEP_PAGES, NULL, 0, &len, err);
    if (!l->page)
        return -err->code;
    l->count = len / sizeof(*l->page);
    return 0;
}

/* Bytes [at, at + n) of a page, on both sides. */
static void run_differs(struct differences *l, gpa_t gpa, unsigned at,
                        unsigned n, uint8_t *const page[2])
{
    struct difference *d = differences_add(l);

    if (!d)
        return;
    snprintf(d->name, sizeof(d->name), "memory at physical 0x%llx",
             (unsigned long long)gpa + at);
    for (unsigned i = 0; i < 2; i++)
        bytes_text(page[i] + at, n, d->value[i], sizeof(d->value[i]));
}

static void page_compare(struct differences *l, gpa_t gpa,
                         uint8_t *const page[2])
{
    unsigned at = 0, runs = 0;

    while (at < PAGE_SIZE && runs < RUNS_MAX) {
        unsigned n = 0, last = 0;

        if (page[0][at] == page[1][at]) {
            at++;
            continue;
        }
        for (; n < RUN_BYTES && at + n < PAGE_SIZE; n++)
            if (page[0][at + n] != page[1][at + n])
                last = n + 1;
        run_differs(l, gpa, at, last, page);
        at += last;
        runs++;
    }
}

static int page_differences(struct compare *c, gpa_t gpa, struct differences *l,
                            struct error *err)
{
    uint8_t *page[2] = {NULL, NULL};
    int rc = 0;

    for (unsigned i = 0; i < 2 && !rc; i++) {
        size_t len;

        page[i] =
            side_ask(&c->side[i], LOCKSTEP_PAGE, &gpa, sizeof(gpa), &len, err);
        if (!page[i])
            rc = -err->code;
        else if (len != PAGE_SIZE)
            rc = error_set(err, EPROTO, "%c: a broken answer",
                           c->side[i].letter);
    }
    if (!rc)
        page_compare(l, gpa, page);
    free(page[0]);
    free(page[1]);
    return rc;
}

/* Both lists are in order of address; returns how many pages differ. */
static int pages_merge(struct compare *c, const struct page_list pl[2],
                       struct differences *l, struct error *err)
{
    size_t i = 0, j = 0, pages = 0;

    while (i < pl[0].count || j < pl[1].count) {
        gpa_t a = i < pl[0].count ? pl[0].page[i].gpa : UINT64_MAX;
        gpa_t b = j < pl[1].count ? pl[1].page[j].gpa : UINT64_MAX;
        bool same = a == b && pl[0].page[i].digest == pl[1].page[j].digest;

        i += a <= b;
        j += b <= a;
        if (same)
            continue;
        if (pages++ < PAGES_MAX) {
            if (page_differences(c, MIN(a, b), l, err))
                return -err->code;
        } else {
            l->total++;
        }
    }
    return 0;
}

static int memory_differences(struct compare *c, struct differences *l,
                              struct error *err)
{
    struct page_list pl[2] = {{0}, {0}};
    int rc = pages_ask(&c->side[0], &pl[0], err);

    if (!rc)
        rc = pages_ask(&c->side[1], &pl[1], err);
    if (!rc)
        rc = pages_merge(c, pl, l, err);
    free(pl[0].page);
    free(pl[1].page);
    return rc;
}

/* --- all of it --- */

static void end_differences(const struct compare *c, struct differences *l)
{
    const struct lockstep_point *a = &c->side[0].now.point;
    const struct lockstep_point *b = &c->side[1].now.point;
    struct difference *d;

    if (a->end == b->end && a->value == b->value && a->insns == b->insns)
        return;
    d = differences_add(l);
    if (!d)
        return;
    snprintf(d->name, sizeof(d->name), "the machine");
    for (unsigned i = 0; i < 2; i++) {
        const struct lockstep_point *p = &c->side[i].now.point;
        char how[64];

        snprintf(d->value[i], sizeof(d->value[i]), "%s after %llu instructions",
                 report_end(p, how, sizeof(how)), (unsigned long long)p->insns);
    }
}

int differences_find(struct compare *c, bool with_before, struct differences *l,
                     struct error *err)
{
    *l = (struct differences){0};
    end_differences(c, l);
    if (state_differences(c, with_before, l, err))
        return -err->code;
    if (c->side[0].now.point.ram != c->side[1].now.point.ram)
        return memory_differences(c, l, err);
    return 0;
}
