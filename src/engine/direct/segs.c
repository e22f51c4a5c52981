/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segs.c - segment registers: the guest's, and those of a stub.
 *
 * Native code loads them by itself, from the host's tables. So the stub's
 * descriptors are made the guest's where the host lets a process have such:
 * three entries of the GDT and an LDT, at the same places in Linux guests. For
 * all others the load has to fault here, and is then interpreted. Three more
 * are the host's, which it has for all processes: 32-bit code runs natively
 * only where the guest's table has the same ones there. In 64-bit code, where
 * little depends on them, what differs is hidden (doc/direct.md).
 *
 * What a stub says about its selectors may be forged: registers are loaded as
 * user mode can load them from the guest's own tables, or not at all.
 */
#include "engine/direct/direct_int.h"

#include <errno.h>
#include <string.h>

#include "x86/segment.h"

#define DESC_BYTES 8
#define RAW_ACCESS 40 /* the byte with type, S, DPL and P */
#define RAW_P      BIT64(47)
#define RAW_L      BIT64(53)
#define RAW_DB     BIT64(54)

/* The host's entries 4 to 6: 32-bit code, data, 64-bit code. */
#define FLAT_FIRST 4
static const uint64_t flat[SEGS_FLAT] = {0x00cffb000000ffff, 0x00cff3000000ffff,
                                         0x00affb000000ffff};

/* --- the guest's tables --- */

static bool gdt_read(struct vcpu *cpu, unsigned first, unsigned n,
                     uint64_t *raw)
{
    for (unsigned i = 0; i < n; i++) {
        unsigned off = (first + i) * DESC_BYTES;

        raw[i] = 0;
        if (off + DESC_BYTES - 1 <= cpu->gdtr.limit &&
            sys_load(cpu, cpu->gdtr.base + off, DESC_BYTES, &raw[i]))
            return false;
    }
    return true;
}

static bool ldt_read(struct vcpu *cpu, struct segs *t)
{
    uint64_t bytes = (uint64_t)cpu->ldtr.limit + 1;

    t->ldt_len = 0;
    if (SEL_NULL(cpu->ldtr.sel) || (cpu->ldtr.attr & SEG_UNUSABLE))
        return true;
    if (bytes > sizeof(t->ldt))
        return false;
    t->ldt_len = (unsigned)bytes / DESC_BYTES;
    for (unsigned i = 0; i < t->ldt_len; i++)
        if (sys_load(cpu, cpu->ldtr.base + i * DESC_BYTES, DESC_BYTES,
                     &t->ldt[i]))
            return false;
    return true;
}

bool segs_read(struct vcpu *cpu, struct segs *t)
{
    struct exc keep = cpu->exc;
    bool read = gdt_read(cpu, FLAT_FIRST, SEGS_FLAT, t->flat) &&
                gdt_read(cpu, STUB_TLS_FIRST, STUB_TLS, t->tls) &&
                ldt_read(cpu, t);

    cpu->exc = keep;
    return read;
}

/*
 * The descriptor, if a process can have it; else 0, so that loading it faults:
 * an accessed bit that is to be set, a segment of 16 bits, of another DPL,
 * code that is conforming or in the GDT. One that is not present faults anyway,
 * but LAR sees it.
 */
static uint64_t ours(uint64_t raw, bool tls)
{
    const unsigned need = SEG_DPL(~0u) << 5 | SEG_S | SEG_ACCESSED;
    unsigned access = (unsigned)(raw >> RAW_ACCESS) & 0xff;

    if ((access & need) != need || (raw & RAW_L) || !(raw & RAW_DB))
        return 0;
    if ((access & SEG_CODE) && (tls || (access & SEG_EXPAND_DOWN)))
        return 0;
    return tls && !(access & SEG_P) ? 0 : raw;
}

bool segs_own(const struct segs *t)
{
    for (unsigned i = 0; i < STUB_TLS; i++)
        if (ours(t->tls[i], true))
            return true;
    return t->ldt_len;
}

void segs_disown(struct segs *t)
{
    memset(t->tls, 0, sizeof(t->tls));
    t->ldt_len = 0;
}

/* What loading the selector in a stub gives; 0: a fault. */
static uint64_t find(const struct segs *t, uint16_t sel)
{
    unsigned n = sel / DESC_BYTES;

    if (sel & SEL_TI)
        return n < t->ldt_len && (t->ldt[n] & RAW_P) ? ours(t->ldt[n], false)
                                                     : 0;
    if (n - FLAT_FIRST < SEGS_FLAT)
        return t->flat[n - FLAT_FIRST] == flat[n - FLAT_FIRST]
                   ? flat[n - FLAT_FIRST]
                   : 0;
    if (n - STUB_TLS_FIRST < STUB_TLS)
        return ours(t->tls[n - STUB_TLS_FIRST], true);
    return 0;
}

/* Would loading its selector in a stub give what the register holds? */
static bool same(const struct segs *t, const struct seg *s)
{
    uint64_t raw = find(t, s->sel);
    struct seg d;

    if (SEL_NULL(s->sel))
        return s->attr & SEG_UNUSABLE;
    seg_decode(&d, s->sel, raw);
    return raw && d.attr == s->attr && d.limit == s->limit && d.base == s->base;
}

bool segs_fit(const struct vcpu *cpu, const struct segs *t)
{
    if (memcmp(t->flat, flat, sizeof(flat)))
        return false;
    for (unsigned i = 0; i < SEG_COUNT; i++)
        if (!same(t, &cpu->seg[i]))
            return false;
    return !SEL_NULL(cpu->seg[SEG_CS].sel) && !SEL_NULL(cpu->seg[SEG_SS].sel);
}

/* --- into a stub --- */

static int put_tables(struct stub *s, const struct segs *t)
{
    unsigned len = MAX(t->ldt_len, s->ldt_len);
    int rc = 0;

    for (unsigned i = 0; i < STUB_TLS && !rc; i++) {
        uint64_t raw = ours(t->tls[i], true);

        if (raw == s->tls[i])
            continue;
        s->tls[i] = raw;
        rc = stub_set_desc(s, (uint16_t)((STUB_TLS_FIRST + i) << 3), raw);
    }
    for (unsigned i = 0; i < len && !rc; i++) {
        uint64_t raw = i < t->ldt_len ? ours(t->ldt[i], false) : 0;

        if (raw == s->ldt[i])
            continue;
        s->ldt[i] = raw;
        rc = stub_set_desc(s, (uint16_t)(i << 3 | SEL_TI), raw);
    }
    s->ldt_len = t->ldt_len;
    return rc;
}

/* The selector that a stub can have, or `other`. */
static uint16_t shown(const struct vcpu *cpu, const struct segs *t,
                      unsigned seg, uint16_t other)
{
    uint16_t sel = cpu->seg[seg].sel;

    if (SEL_NULL(sel) && seg != SEG_SS)
        return sel; /* which can be 3: Intel's IRET makes it 0 */
    return find(t, sel) ? sel : other;
}

int segs_put(const struct vcpu *cpu, struct stub *s, const struct segs *t)
{
    uint16_t cs = STUB_CS64, ss = shown(cpu, t, SEG_SS, STUB_SS);
    int rc = put_tables(s, t);

    if (cpu->code_width == 4)
        cs = cpu->seg[SEG_CS].sel;
    stub_comm(s)->ds = shown(cpu, t, SEG_DS, 0);
    stub_comm(s)->es = shown(cpu, t, SEG_ES, 0);
    stub_comm(s)->fs = shown(cpu, t, SEG_FS, 0);
    stub_comm(s)->gs = shown(cpu, t, SEG_GS, 0);
    s->selectors = cs | (uint64_t)ss << 48;
    return rc;
}

/* --- out of a stub --- */

static uint16_t frame_cs(const struct stub *s)
{
    return (uint16_t)stub_frame(s)->reg[FRAME_SELECTORS];
}

static uint16_t frame_ss(const struct stub *s)
{
    return (uint16_t)(stub_frame(s)->reg[FRAME_SELECTORS] >> 48);
}

bool segs_kept(const struct stub *s)
{
    return frame_cs(s) == (uint16_t)s->selectors &&
           frame_ss(s) == s->selectors >> 48;
}

/* A code segment that user mode can go to by itself, with all that follows. */
static int take_cs(struct vcpu *cpu, uint16_t sel)
{
    struct desc d;
    bool wide;

    if (SEL_NULL(sel) || SEL_RPL(sel) != 3 ||
        desc_load(cpu, sel, EXC_GP, 0, &d))
        return -EPROTO;
    wide = d.seg.attr & SEG_L;
    if (!seg_is_code(d.seg.attr) || SEG_DPL(d.seg.attr) != 3 ||
        !(d.seg.attr & SEG_P) || wide == !!(d.seg.attr & SEG_DB) ||
        desc_mark_accessed(cpu, &d))
        return -EPROTO;
    cpu->seg[SEG_CS] = d.seg;
    vcpu_update_mode(cpu);
    return 0;
}

/* 64-bit code that has loaded one of the host's: the guest keeps its own. */
static int take_seg(struct vcpu *cpu, unsigned seg, uint16_t sel)
{
    struct seg s;

    if (!seg_prepare(cpu, seg, sel, &s)) {
        seg_commit(cpu, seg, &s);
        return 0;
    }
    return cpu->code_width == 8 ? 0 : -EPROTO;
}

int segs_take(struct vcpu *cpu, const struct stub *s, const struct segs *t)
{
    const struct stub_comm *c = stub_comm(s);
    const uint16_t now[SEG_COUNT] = {[SEG_DS] = c->ds,
                                     [SEG_ES] = c->es,
                                     [SEG_FS] = c->fs,
                                     [SEG_GS] = c->gs,
                                     [SEG_SS] = frame_ss(s)};
    struct exc keep = cpu->exc;
    int rc = 0;

    for (unsigned i = 0; i < SEG_COUNT && !rc; i++) {
        uint16_t other = i == SEG_SS ? STUB_SS : 0;

        if (i != SEG_CS && now[i] != shown(cpu, t, i, other))
            rc = take_seg(cpu, i, now[i]);
    }
    if (!rc && frame_cs(s) != (uint16_t)s->selectors)
        rc = take_cs(cpu, frame_cs(s));
    cpu->exc = keep;
    return rc;
}
