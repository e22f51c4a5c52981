/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gdb_points.c - breakpoints and watchpoints: Z and z packets.
 *
 * Soft and hard breakpoints are one list. Guards in decoded code are only
 * ever added (x86/debug.h): gdb takes its breakpoints out at every stop, and
 * decoding everything again each time would be felt.
 */
#include "machine/gdb_int.h"

#include <string.h>

static int point_add_break(struct gdb *g, gva_t at)
{
    struct debug_points *p = &g->points;
    unsigned off = at & PAGE_OFFSET, i;

    for (i = 0; i < p->breaks; i++)
        if (p->at[i] == at)
            return 0;
    if (p->breaks == DEBUG_BREAKS_MAX)
        return -1;
    p->at[p->breaks++] = at;
    if (!(p->guard[off / 64] >> (off % 64) & 1)) {
        p->guard[off / 64] |= BIT64(off % 64);
        g->guards_changed = true;
    }
    return 0;
}

static void point_drop_break(struct gdb *g, gva_t at)
{
    struct debug_points *p = &g->points;
    unsigned i;

    for (i = 0; i < p->breaks; i++)
        if (p->at[i] == at) {
            p->at[i] = p->at[--p->breaks];
            return;
        }
}

static bool point_is(const struct debug_watch *a, const struct debug_watch *b)
{
    return a->gva == b->gva && a->len == b->len && a->kind == b->kind;
}

static int point_add_watch(struct gdb *g, const struct debug_watch *w)
{
    struct debug_points *p = &g->points;
    unsigned i;

    for (i = 0; i < p->watches; i++)
        if (point_is(&p->watch[i], w))
            return 0;
    if (p->watches == DEBUG_WATCHES_MAX || !w->len)
        return -1;
    p->watch[p->watches++] = *w;
    return 0;
}

static void point_drop_watch(struct gdb *g, const struct debug_watch *w)
{
    struct debug_points *p = &g->points;
    unsigned i;

    for (i = 0; i < p->watches; i++)
        if (point_is(&p->watch[i], w)) {
            p->watch[i] = p->watch[--p->watches];
            return;
        }
}

/* "Ztype,addr,kind[;...]": conditions and commands stay with gdb. */
void gdb_point(struct gdb *g, const char *packet)
{
    const char *p = packet + 1;
    uint64_t type, addr, kind;
    struct debug_watch w;
    int rc = 0;

    if (!gdb_number(&p, &type) || *p++ != ',' || !gdb_number(&p, &addr) ||
        *p++ != ',' || !gdb_number(&p, &kind)) {
        gdb_send(g, "E16");
        return;
    }
    if (type > DEBUG_WATCH_ACCESS) {
        gdb_send(g, "");
        return;
    }
    w = (struct debug_watch){addr, kind, (enum debug_watch_kind)type};
    if (type < DEBUG_WATCH_WRITE && *packet == 'Z')
        rc = point_add_break(g, addr);
    else if (type < DEBUG_WATCH_WRITE)
        point_drop_break(g, addr);
    else if (*packet == 'Z')
        rc = point_add_watch(g, &w);
    else
        point_drop_watch(g, &w);
    gdb_send(g, rc ? "E1c" : "OK");
}
