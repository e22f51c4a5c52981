/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lapic.c - acceptance, priority, registers of a local APIC.  [SDM 3A 11]
 *
 * The timer is in lapic_timer.c. Registers are numbered as x2APIC's MSRs are,
 * less 0x800; the xAPIC offset is 16 times that.
 *
 * Deviation: at power-on LINT0 of the bootstrap processor passes the 8259's
 * interrupts, as firmware would have set it, because kernels start without
 * firmware here. It does so with the APIC disabled by SVR too, as on boards
 * whose firmware leaves "virtual wire" mode behind.
 */
#include "irq/lapic.h"

#include <string.h>

#include "base/log.h"
#include "irq/lapic_int.h"

#define BASE_BSP    BIT64(8)
#define BASE_EXTD   BIT64(10)
#define BASE_ENABLE BIT64(11)
#define BASE_ADDR   0x000ffffffffff000ull

#define SVR_ENABLE BIT(8)
#define SVR_MASK   0x3ffu /* vector, enable, focus */

#define ESR_SEND_VECTOR BIT(5)
#define ESR_RECV_VECTOR BIT(6)
#define ESR_REGISTER    BIT(7)

static const uint32_t lvt_writable[LVT_COUNT] = {
    [LVT_UNUSED] = LVT_MASKED, [LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff,
    [LVT_PERF] = 0x107ff,      [LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff,
    [LVT_ERROR] = 0x100ff,
};

bool lapic_x2(const struct lapic *l)
{
    return l->base & BASE_EXTD;
}

static bool lapic_on(const struct lapic *l)
{
    return l->base & BASE_ENABLE;
}

bool lapic_enabled(const struct lapic *l)
{
    return lapic_on(l) && (l->svr & SVR_ENABLE);
}

/* The highest vector that is set, or -1. */
static int bits_highest(const uint32_t bits[8])
{
    for (int i = 7; i >= 0; i--)
        if (bits[i])
            return i * 32 + 31 - __builtin_clz(bits[i]);
    return -1;
}

static bool bits_test(const uint32_t bits[8], unsigned v)
{
    return bits[v / 32] >> (v % 32) & 1;
}

static void bits_set(uint32_t bits[8], unsigned v, bool on)
{
    bits[v / 32] &= ~BIT(v % 32);
    bits[v / 32] |= (uint32_t)on << (v % 32);
}

unsigned lapic_priority(const struct lapic *l)
{
    int v = bits_highest(l->isr);
    unsigned isrv = v < 0 ? 0 : (unsigned)v;

    return l->tpr >> 4 >= isrv >> 4 ? l->tpr : isrv & 0xf0;
}

/* The vector that may interrupt now, or -1. */
static int lapic_pending(const struct lapic *l)
{
    int v = bits_highest(l->irr);

    return v >= 0 && (unsigned)v >> 4 > lapic_priority(l) >> 4 ? v : -1;
}

/* Does this APIC pass the 8259's interrupts? */
static bool lapic_extint(struct lapic *l)
{
    uint32_t lint0 = l->lvt[LVT_LINT0];

    if (!lapic_on(l)) {
        /* The pin is INTR, which a PC connects to one processor. */
        if (l->index)
            return false;
    } else if ((lint0 & LVT_MASKED) || (lint0 >> 8 & 7) != LAPIC_EXTINT) {
        return false;
    }
    return l->bus->extint(l->bus->ctx, l);
}

/* For the vCPU: ack() may have something. */
static bool lapic_intr(struct lapic *l)
{
    return l->away ? l->lint0 : lapic_pending(l) >= 0 || lapic_extint(l);
}

void lapic_update(struct lapic *l)
{
    bool intr = lapic_intr(l);

    if (intr == l->intr)
        return;
    l->intr = intr;
    l->cpu_ops->intr(l->cpu, intr);
}

int lapic_ack(struct lapic *l)
{
    int v = l->away ? -1 : lapic_pending(l);

    if (v >= 0) {
        bits_set(l->irr, (unsigned)v, false);
        bits_set(l->isr, (unsigned)v, true);
    } else if (l->away ? l->lint0 : lapic_extint(l)) {
        v = l->bus->inta(l->bus->ctx);
    }
    lapic_update(l);
    return v;
}

static void lapic_error(struct lapic *l, uint32_t bit)
{
    bool again = l->esr_next & bit;

    l->esr_next |= bit;
    /* The error's own bad vector does not ask for itself. */
    if (!again)
        lapic_lvt(l, LVT_ERROR);
}

static void lapic_accept(struct lapic *l, uint8_t vector, bool level)
{
    if (!lapic_enabled(l))
        return;
    if (vector < 16) {
        lapic_error(l, ESR_RECV_VECTOR);
        return;
    }
    bits_set(l->irr, vector, true);
    bits_set(l->tmr, vector, level);
    lapic_update(l);
}

void lapic_lvt(struct lapic *l, unsigned n)
{
    uint32_t lvt = l->lvt[n];

    if (l->away || !lapic_on(l) || (lvt & LVT_MASKED))
        return;
    switch (n == LVT_TIMER || n == LVT_ERROR ? LAPIC_FIXED : lvt >> 8 & 7) {
    case LAPIC_FIXED:
        lapic_accept(l, (uint8_t)lvt, false);
        break;
    case LAPIC_NMI:
        l->cpu_ops->nmi(l->cpu);
        break;
    default: /* ExtINT is lapic_extint(); SMI and INIT are not wired */
        break;
    }
}

void lapic_lint0(struct lapic *l, bool level)
{
    bool rise = level && !l->lint0;

    l->lint0 = level;
    if (rise)
        lapic_lvt(l, LVT_LINT0);
    lapic_update(l);
}

void lapic_nmi_pin(struct lapic *l)
{
    lapic_lvt(l, LVT_LINT1);
}

/* [SDM 3A 11.6.2, 11.12.10] */
static bool lapic_matches_logical(const struct lapic *l, uint32_t dest)
{
    uint32_t mine = l->ldr >> 24;

    if (lapic_x2(l))
        return dest >> 16 == l->ldr >> 16 && (dest & l->ldr & 0xffff);
    dest &= 0xff;
    if (l->dfr >> 28 == 0xf)
        return dest & mine;
    return (dest >> 4 == 0xf || dest >> 4 == mine >> 4) && (dest & mine & 0xf);
}

bool lapic_matches(const struct lapic *l, const struct lapic_msg *m)
{
    if (!lapic_on(l))
        return false;
    if (m->dest == (m->wide ? UINT32_MAX : 0xff) && (!m->logical || m->wide))
        return true;
    if (m->logical)
        return lapic_matches_logical(l, m->dest);
    return m->dest == l->id;
}

void lapic_deliver(struct lapic *l, const struct lapic_msg *m)
{
    switch (m->mode) {
    case LAPIC_FIXED:
    case LAPIC_LOWEST:
        lapic_accept(l, m->vector, m->level);
        break;
    case LAPIC_NMI:
        l->cpu_ops->nmi(l->cpu);
        break;
    case LAPIC_INIT:
        /* The level de-assert only set arbitration ids, once. */
        if (!m->assert_ && m->level)
            break;
        lapic_init_reset(l);
        l->cpu_ops->init(l->cpu);
        break;
    case LAPIC_STARTUP:
        l->cpu_ops->sipi(l->cpu, m->vector);
        break;
    default:
        log_guest("APIC %u: delivery mode %u is ignored", l->index, m->mode);
    }
}

static void lapic_send(struct lapic *l)
{
    struct lapic_msg m = {
        .dest = (uint32_t)(l->icr >> 32),
        .vector = (uint8_t)l->icr,
        .mode = l->icr >> 8 & 7,
        .logical = l->icr >> 11 & 1,
        .assert_ = l->icr >> 14 & 1,
        .level = l->icr >> 15 & 1,
        .shorthand = l->icr >> 18 & 3,
        .wide = lapic_x2(l),
    };

    if (!m.wide)
        m.dest >>= 24;
    if (m.mode <= LAPIC_LOWEST) {
        m.level = false; /* such IPIs are edges [SDM 3A 11.6.1] */
        if (m.vector < 16) {
            lapic_error(l, ESR_SEND_VECTOR);
            return;
        }
    } else if (m.shorthand == LAPIC_TO_SELF || m.shorthand == LAPIC_TO_ALL) {
        return; /* not valid with these modes [SDM 3A table 11-3] */
    }
    l->bus->send(l->bus->ctx, l, &m);
}

static void lapic_eoi(struct lapic *l)
{
    int v = bits_highest(l->isr);

    if (v < 0)
        return;
    bits_set(l->isr, (unsigned)v, false);
    if (bits_test(l->tmr, (unsigned)v))
        l->bus->eoi(l->bus->ctx, (uint8_t)v);
    lapic_update(l);
}

static void lapic_svr_write(struct lapic *l, uint32_t val)
{
    l->svr = val & SVR_MASK;
    if (l->svr & SVR_ENABLE)
        return;
    for (unsigned i = 0; i < LVT_COUNT; i++)
        l->lvt[i] |= LVT_MASKED;
    lapic_timer_rearm(l);
    lapic_update(l);
}

static void lapic_lvt_write(struct lapic *l, unsigned n, uint32_t val)
{
    uint32_t old = l->lvt[n];

    val &= lvt_writable[n];
    if (!(l->svr & SVR_ENABLE))
        val |= LVT_MASKED;
    l->lvt[n] = val;
    if (n == LVT_TIMER)
        lapic_timer_lvt(l, old);
    else if (n == LVT_LINT0)
        lapic_update(l);
}

int lapic_reg_lvt(unsigned reg)
{
    return reg >= 0x32 && reg <= 0x37 ? (int)(reg - 0x32 + LVT_TIMER) : -1;
}

bool lapic_reg_read(struct lapic *l, unsigned reg, uint32_t *val)
{
    if (lapic_reg_lvt(reg) >= 0) {
        *val = l->lvt[lapic_reg_lvt(reg)];
        return true;
    }
    switch (reg) {
    case 0x02:
        *val = lapic_x2(l) ? l->id : l->id << 24;
        break;
    case 0x03:
        *val = 0x14 | (LVT_COUNT - 2) << 16; /* the last one's number */
        break;
    case 0x08:
        *val = l->tpr;
        break;
    case 0x0a:
        *val = lapic_priority(l);
        break;
    case 0x0d:
        *val = l->ldr;
        break;
    case 0x0f:
        *val = l->svr;
        break;
    case 0x10 ... 0x17:
        *val = l->isr[reg & 7];
        break;
    case 0x18 ... 0x1f:
        *val = l->tmr[reg & 7];
        break;
    case 0x20 ... 0x27:
        *val = l->irr[reg & 7];
        break;
    case 0x28:
        *val = l->esr;
        break;
    case 0x30:
        *val = (uint32_t)l->icr;
        break;
    case 0x38:
        *val = l->timer_init;
        break;
    case 0x39:
        *val = lapic_timer_count(l);
        break;
    case 0x3e:
        *val = l->timer_div;
        break;
    default:
        return false;
    }
    return true;
}

static bool reg_write(struct lapic *l, unsigned reg, uint32_t val)
{
    if (lapic_reg_lvt(reg) >= 0) {
        lapic_lvt_write(l, (unsigned)lapic_reg_lvt(reg), val);
        return true;
    }
    switch (reg) {
    case 0x08:
        l->tpr = (uint8_t)val;
        lapic_update(l);
        break;
    case 0x0b:
        lapic_eoi(l);
        break;
    case 0x0f:
        lapic_svr_write(l, val);
        break;
    case 0x28:
        l->esr = l->esr_next;
        l->esr_next = 0;
        break;
    case 0x38:
        lapic_timer_start(l, val);
        break;
    case 0x3e:
        lapic_timer_divide(l, val & 0xb);
        break;
    default:
        return false;
    }
    return true;
}

uint32_t lapic_mmio_read(struct lapic *l, uint32_t off)
{
    unsigned reg = off >> 4 & 0xff;
    uint32_t val = 0;

    if (off & 15)
        return 0;
    if (reg == 0x31)
        return (uint32_t)(l->icr >> 32);
    if (reg == 0x0e)
        return l->dfr;
    if (!lapic_reg_read(l, reg, &val) && reg != 0x09 && reg != 0x0b)
        lapic_error(l, ESR_REGISTER);
    return val;
}

void lapic_mmio_write(struct lapic *l, uint32_t off, uint32_t val)
{
    unsigned reg = off >> 4 & 0xff;

    if (off & 15)
        return;
    switch (reg) {
    case 0x02: /* the id is read-only, as on all but old processors */
    case 0x03:
    case 0x39:
        break;
    case 0x0d:
        l->ldr = val & 0xff000000;
        break;
    case 0x0e:
        l->dfr = val | 0x0fffffff;
        break;
    case 0x30:
        l->icr = (l->icr & ~0xffffffffull) | (val & 0xccfff);
        lapic_send(l);
        break;
    case 0x31:
        l->icr = (l->icr & 0xffffffffull) | (uint64_t)val << 32;
        break;
    default:
        if (!reg_write(l, reg, val))
            lapic_error(l, ESR_REGISTER);
    }
}

static void lapic_tell_page(struct lapic *l)
{
    if (l->cpu_ops->page)
        l->cpu_ops->page(l->cpu, lapic_on(l) && !lapic_x2(l)
                                     ? l->base & BASE_ADDR
                                     : LAPIC_PAGE_OFF);
}

/* [SDM 3A 11.12.5], table of transitions. */
static int lapic_base_write(struct lapic *l, uint64_t val)
{
    uint64_t mode = val & (BASE_ENABLE | BASE_EXTD);
    uint64_t old = l->base & (BASE_ENABLE | BASE_EXTD);

    if ((val & ~(BASE_ADDR | BASE_BSP | BASE_ENABLE | BASE_EXTD)) ||
        mode == BASE_EXTD || (!old && (mode & BASE_EXTD)) ||
        ((old & BASE_EXTD) && mode == BASE_ENABLE))
        return -1;
    l->base = val;
    if (!mode && old)
        lapic_init_reset(l);
    if ((mode & BASE_EXTD) && !(old & BASE_EXTD)) {
        l->id = l->index;
        l->ldr = (l->id >> 4) << 16 | BIT(l->id & 15);
        l->icr = (uint32_t)l->icr;
    }
    lapic_tell_page(l);
    lapic_update(l);
    return 0;
}

static int x2_read(struct lapic *l, unsigned reg, uint64_t *val)
{
    uint32_t v;

    if (reg == 0x30) {
        *val = l->icr;
        return 0;
    }
    if (!lapic_reg_read(l, reg, &v))
        return -1;
    *val = v;
    return 0;
}

/* Bits that are #GP in this mode; the page ignores them [SDM 3A 10.12.1.3]. */
static uint64_t x2_reserved(unsigned reg)
{
    switch (reg) {
    case 0x08: /* TPR */
        return ~0xffull;
    case 0x0f: /* SVR */
        return ~0x13ffull;
    case 0x3e: /* timer divisor */
        return ~0xbull;
    default:
        return 0;
    }
}

static int x2_write(struct lapic *l, unsigned reg, uint64_t val)
{
    struct lapic_msg self = {.vector = (uint8_t)val,
                             .mode = LAPIC_FIXED,
                             .shorthand = LAPIC_TO_SELF,
                             .wide = true};

    if (reg == 0x30) {
        l->icr = val & 0xffffffff000ccfffull;
        lapic_send(l);
        return 0;
    }
    if (val >> 32 || ((reg == 0x0b || reg == 0x28) && val))
        return -1;
    if (reg == 0x3f) {
        if (val > 0xff)
            return -1;
        l->bus->send(l->bus->ctx, l, &self);
        return 0;
    }
    if (val & x2_reserved(reg))
        return -1;
    return reg_write(l, reg, (uint32_t)val) ? 0 : -1;
}

int lapic_msr_read(struct lapic *l, uint32_t msr, uint64_t *val)
{
    if (msr == MSR_APIC_BASE)
        *val = l->base;
    else if (msr == MSR_TSC_DEADLINE)
        *val = lapic_timer_tsc_mode(l) ? l->tsc_deadline : 0;
    else if (lapic_x2(l) && msr >> 8 == 8)
        return x2_read(l, msr & 0xff, val);
    else
        return -1;
    return 0;
}

int lapic_msr_write(struct lapic *l, uint32_t msr, uint64_t val)
{
    if (msr == MSR_APIC_BASE)
        return lapic_base_write(l, val);
    if (msr == MSR_TSC_DEADLINE) {
        lapic_timer_deadline(l, val);
        return 0;
    }
    return lapic_x2(l) && msr >> 8 == 8 ? x2_write(l, msr & 0xff, val) : -1;
}

uint64_t lapic_tpr_get(struct lapic *l)
{
    return l->tpr >> 4;
}

void lapic_tpr_set(struct lapic *l, uint64_t cr8)
{
    l->tpr = (uint8_t)(cr8 << 4);
    lapic_update(l);
}

void lapic_init(struct lapic *l, unsigned index, struct loop *loop,
                const struct lapic_bus *bus)
{
    *l = (struct lapic){.index = index, .bus = bus};
    lapic_timer_setup(l, loop);
}

void lapic_fini(struct lapic *l)
{
    timer_cancel(&l->timer);
}

void lapic_connect(struct lapic *l, const struct lapic_cpu_ops *ops, void *cpu)
{
    l->cpu_ops = ops;
    l->cpu = cpu;
}

void lapic_init_reset(struct lapic *l)
{
    timer_cancel(&l->timer);
    l->tpr = 0;
    l->svr = 0xff;
    l->dfr = UINT32_MAX;
    l->ldr = lapic_x2(l) ? (l->id >> 4) << 16 | BIT(l->id & 15) : 0;
    l->esr = l->esr_next = 0;
    l->icr = 0;
    for (unsigned i = 0; i < LVT_COUNT; i++)
        l->lvt[i] = LVT_MASKED;
    memset(l->irr, 0, sizeof(l->irr));
    memset(l->isr, 0, sizeof(l->isr));
    memset(l->tmr, 0, sizeof(l->tmr));
    l->timer_div = l->timer_init = 0;
    l->timer_start = l->tsc_deadline = 0;
    if (!l->index)
        l->lvt[LVT_LINT0] = LAPIC_EXTINT << 8;
    lapic_update(l);
}

void lapic_reset(struct lapic *l)
{
    l->base = LAPIC_BASE | BASE_ENABLE | (l->index ? 0 : BASE_BSP);
    l->id = l->index;
    lapic_init_reset(l);
    lapic_tell_page(l);
}

void lapic_save(struct lapic *l, struct state_writer *w)
{
    state_begin(w, "lapic", l->index, 1);
    state_put(w, "base", l->base);
    state_put(w, "tpr", l->tpr);
    state_put(w, "svr", l->svr);
    state_put(w, "ldr", l->ldr);
    state_put(w, "dfr", l->dfr);
    state_put(w, "esr", l->esr);
    state_put(w, "esr_next", l->esr_next);
    state_put(w, "icr", l->icr);
    state_put_blob(w, "lvt", l->lvt, sizeof(l->lvt));
    state_put_blob(w, "irr", l->irr, sizeof(l->irr));
    state_put_blob(w, "isr", l->isr, sizeof(l->isr));
    state_put_blob(w, "tmr", l->tmr, sizeof(l->tmr));
    state_put(w, "timer_div", l->timer_div);
    state_put(w, "timer_init", l->timer_init);
    state_put(w, "timer_start", l->timer_start);
    state_put(w, "tsc_deadline", l->tsc_deadline);
    state_end(w);
}

/* What no guest could have set is put right. */
void lapic_sanitize(struct lapic *l)
{
    l->base &= BASE_ADDR | BASE_BSP | BASE_ENABLE | BASE_EXTD;
    if (!lapic_on(l))
        l->base &= ~BASE_EXTD;
    l->svr &= SVR_MASK;
    l->icr &= 0xffffffff000ccfffull;
    l->timer_div &= 0xb;
    l->irr[0] &= ~0xffffu;
    l->isr[0] &= ~0xffffu;
    for (unsigned i = 0; i < LVT_COUNT; i++)
        l->lvt[i] &= lvt_writable[i];
}

void lapic_settle(struct lapic *l)
{
    l->id = l->index;
    lapic_timer_rearm(l);
    lapic_tell_page(l);
    /* Tell the vCPU again, whatever it was told before. */
    l->intr = lapic_intr(l);
    l->cpu_ops->intr(l->cpu, l->intr);
}

int lapic_load(struct lapic *l, struct state_reader *r, struct error *err)
{
    timer_cancel(&l->timer);
    if (state_open(r, "lapic", l->index, 1)) {
        l->base = state_get(r, "base");
        l->tpr = (uint8_t)state_get_max(r, "tpr", 255);
        l->svr = (uint32_t)state_get_max(r, "svr", UINT32_MAX);
        l->ldr = (uint32_t)state_get_max(r, "ldr", UINT32_MAX);
        l->dfr = (uint32_t)state_get_max(r, "dfr", UINT32_MAX);
        l->esr = (uint32_t)state_get_max(r, "esr", 255);
        l->esr_next = (uint32_t)state_get_max(r, "esr_next", 255);
        l->icr = state_get(r, "icr");
        state_get_blob(r, "lvt", l->lvt, sizeof(l->lvt));
        state_get_blob(r, "irr", l->irr, sizeof(l->irr));
        state_get_blob(r, "isr", l->isr, sizeof(l->isr));
        state_get_blob(r, "tmr", l->tmr, sizeof(l->tmr));
        l->timer_div = (uint32_t)state_get_max(r, "timer_div", 0xb);
        l->timer_init = (uint32_t)state_get_max(r, "timer_init", UINT32_MAX);
        l->timer_start = state_get(r, "timer_start");
        l->tsc_deadline = state_get(r, "tsc_deadline");
        lapic_sanitize(l);
    }
    if (state_result(r, err))
        return -err->code;
    lapic_settle(l);
    return 0;
}
