/* SPDX-License-Identifier: Apache-2.0 */
#include "x86/flags.h"

struct cc {
    unsigned kind, width;
    uint64_t mask, msb, res, src, first;
};

static inline struct cc cc_open(const struct vcpu *cpu)
{
    struct cc c;

    c.kind = cpu->cc_op & 0xf;
    c.width = 1u << (cpu->cc_op >> 4);
    c.mask = width_mask(c.width);
    c.msb = c.mask ^ (c.mask >> 1);
    c.res = cpu->cc_res;
    c.src = cpu->cc_src;
    c.first = (c.kind == CC_ADD ? c.res - c.src : c.res + c.src) & c.mask;
    return c;
}

static uint64_t cc_carry(const struct cc *c)
{
    if (c->kind == CC_ADD)
        return c->res < c->src ? FLAG_CF : 0;
    return c->first < c->src ? FLAG_CF : 0;
}

static uint64_t cc_overflow(const struct cc *c)
{
    uint64_t v = c->kind == CC_ADD ? (c->first ^ c->res) & (c->src ^ c->res)
                                   : (c->first ^ c->src) & (c->first ^ c->res);

    return v & c->msb ? FLAG_OF : 0;
}

static uint64_t cc_result_flags(const struct cc *c)
{
    uint64_t f = 0;

    if (!c->res)
        f |= FLAG_ZF;
    if (c->res & c->msb)
        f |= FLAG_SF;
    if (!__builtin_parity((unsigned)(c->res & 0xff)))
        f |= FLAG_PF;
    return f;
}

uint64_t flags_status(const struct vcpu *cpu)
{
    struct cc c;
    uint64_t f;

    if (cpu->cc_op == CC_EXPLICIT)
        return cpu->rflags & FLAG_STATUS;
    c = cc_open(cpu);
    f = cc_result_flags(&c);
    if (c.kind == CC_RES)
        return f | (c.src & (FLAG_CF | FLAG_AF | FLAG_OF));
    f |= cc_carry(&c) | cc_overflow(&c);
    return f | ((c.first ^ c.src ^ c.res) & FLAG_AF);
}

bool flags_carry_slow(const struct vcpu *cpu)
{
    struct cc c;

    if (cpu->cc_op == CC_EXPLICIT)
        return cpu->rflags & FLAG_CF;
    c = cc_open(cpu);
    if (c.kind == CC_RES)
        return c.src & FLAG_CF;
    return cc_carry(&c) != 0;
}

void flags_put_slow(struct vcpu *cpu, uint64_t mask, uint64_t val)
{
    if (cpu->cc_op == CC_EXPLICIT) {
        cpu->rflags = (cpu->rflags & ~mask) | val;
        return;
    }
    cpu->cc_src = flags_status(cpu) & (FLAG_CF | FLAG_AF | FLAG_OF);
    cpu->cc_op = CC_RES | (cpu->cc_op & ~0xfu);
    cpu->cc_src = (cpu->cc_src & ~mask) | val;
}

static bool cond_explicit(uint64_t f, unsigned cc)
{
    switch (cc >> 1) {
    case 0:
        return f & FLAG_OF;
    case 1:
        return f & FLAG_CF;
    case 2:
        return f & FLAG_ZF;
    case 3:
        return f & (FLAG_CF | FLAG_ZF);
    case 4:
        return f & FLAG_SF;
    case 5:
        return f & FLAG_PF;
    case 6:
        return !(f & FLAG_SF) != !(f & FLAG_OF);
    default:
        return (f & FLAG_ZF) || !(f & FLAG_SF) != !(f & FLAG_OF);
    }
}

/* After a subtraction every ordering is one comparison. */
static bool cond_sub(const struct cc *c, unsigned cc)
{
    int64_t a = (int64_t)sign_extend(c->first, c->width);
    int64_t b = (int64_t)sign_extend(c->src, c->width);

    switch (cc >> 1) {
    case 0:
        return cc_overflow(c);
    case 1:
        return c->first < c->src;
    case 2:
        return !c->res;
    case 3:
        return c->first <= c->src;
    case 4:
        return c->res & c->msb;
    case 5:
        return !__builtin_parity((unsigned)(c->res & 0xff));
    case 6:
        return a < b;
    default:
        return a <= b;
    }
}

bool flags_cond(const struct vcpu *cpu, unsigned cc)
{
    bool negate = cc & 1;
    struct cc c;

    if (cpu->cc_op == CC_EXPLICIT)
        return cond_explicit(cpu->rflags, cc) != negate;
    if (cc >> 1 == 2) /* the most frequent one */
        return (cpu->cc_res == 0) != negate;
    c = cc_open(cpu);
    if (c.kind == CC_SUB)
        return cond_sub(&c, cc) != negate;
    return cond_explicit(flags_status(cpu), cc) != negate;
}
