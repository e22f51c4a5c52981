/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_state.c - the registers of two vCPUs, as user code can tell them apart.
 */
#include "engine/direct/check_int.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "engine/direct/direct_int.h"
#include "x86/flags.h"
#include "x86/fpu.h"

void check_state_get(const struct vcpu *cpu, struct check_state *s)
{
    memcpy(s->gpr, cpu->gpr, sizeof(s->gpr));
    s->rip = cpu->rip;
    s->rflags = flags_get(cpu);
    memcpy(s->seg, cpu->seg, sizeof(s->seg));
    s->fpu = cpu->fpu;
}

/* What only the kernel can change. */
static void put_system(struct vcpu *ref, const struct vcpu *cpu)
{
    ref->ldtr = cpu->ldtr;
    ref->tr = cpu->tr;
    ref->gdtr = cpu->gdtr;
    ref->idtr = cpu->idtr;
    ref->cr0 = cpu->cr0;
    ref->cr2 = cpu->cr2;
    ref->cr3 = cpu->cr3;
    ref->cr4 = cpu->cr4;
    memcpy(ref->dr, cpu->dr, sizeof(ref->dr));
    ref->dr6 = cpu->dr6;
    ref->dr7 = cpu->dr7;
    ref->xcr0 = cpu->xcr0;
    memcpy(ref->pdpte, cpu->pdpte, sizeof(ref->pdpte));
    ref->msr = cpu->msr;
    ref->tsc_offset = cpu->tsc_offset;
    ref->tsc_khz = cpu->tsc_khz;
}

void check_state_put(struct vcpu *ref, const struct vcpu *cpu,
                     const struct check_state *s)
{
    put_system(ref, cpu);
    memcpy(ref->gpr, s->gpr, sizeof(s->gpr));
    ref->rip = s->rip;
    ref->rflags = s->rflags;
    ref->cc_op = CC_EXPLICIT;
    memcpy(ref->seg, s->seg, sizeof(ref->seg));
    ref->fpu = s->fpu;
    ref->cpl = 3;
    ref->shadow = SHADOW_NONE;
    ref->nmi_blocked = ref->halted = ref->shutdown = false;
    ref->db_pending = false;
    ref->db_bits = 0;
    ref->delivering = 0;
    ref->in_block = 0;
    ref->was_user = true;
    atomic_store(&ref->attn, 0);
    vcpu_update_mode(ref);
}

/* The last instruction's place and pointers are not kept by all CPUs. */
static bool same_fpu(const struct fpu *a, const struct fpu *b)
{
    if (memcmp(a->fx + FX_FCW, b->fx + FX_FCW, 4) ||
        a->fx[FX_FTW] != b->fx[FX_FTW] || a->mxcsr != b->mxcsr)
        return false;
    for (unsigned i = 0; i < 8; i++)
        if (memcmp(a->fx + FX_ST(i), b->fx + FX_ST(i), 10))
            return false;
    return !memcmp(a->ymm, b->ymm, sizeof(a->ymm));
}

/* Which null selector it is depends on the CPU: some clear it at IRET. */
static bool same_seg(const struct seg *a, const struct seg *b)
{
    if (!(a->sel & ~3) && !(b->sel & ~3))
        return a->base == b->base;
    return a->sel == b->sel && a->base == b->base && a->attr == b->attr &&
           a->limit == b->limit;
}

unsigned check_state_differ(const struct check_state *a,
                            const struct check_state *b, uint64_t undefined)
{
    unsigned parts = 0;

    if (memcmp(a->gpr, b->gpr, sizeof(a->gpr)))
        parts |= CHECK_GPR;
    if (a->rip != b->rip)
        parts |= CHECK_RIP;
    if ((a->rflags ^ b->rflags) & USER_FLAGS & ~(undefined & FLAG_STATUS))
        parts |= CHECK_FLAGS;
    for (unsigned i = 0; i < SEG_COUNT; i++)
        if (!same_seg(&a->seg[i], &b->seg[i]))
            parts |= CHECK_SEGS;
    if (!same_fpu(&a->fpu, &b->fpu))
        parts |= CHECK_FPU;
    return parts;
}

/* --- for people --- */

static void report_u64(const char *name, uint64_t native, uint64_t ref)
{
    if (native != ref)
        log_error("  %-6s native 0x%016llx, interpreted 0x%016llx", name,
                  (unsigned long long)native, (unsigned long long)ref);
}

static void report_bytes(const char *name, const uint8_t *native,
                         const uint8_t *ref, unsigned len)
{
    char a[65], b[65];

    if (!memcmp(native, ref, len))
        return;
    for (unsigned i = 0; i < len; i++) { /* as a number: the last one first */
        snprintf(a + 2 * i, 3, "%02x", native[len - 1 - i]);
        snprintf(b + 2 * i, 3, "%02x", ref[len - 1 - i]);
    }
    log_error("  %-6s native %s, interpreted %s", name, a, b);
}

static void report_fpu(const struct fpu *native, const struct fpu *ref)
{
    char name[8];

    report_bytes("fcw", native->fx + FX_FCW, ref->fx + FX_FCW, 2);
    report_bytes("fsw", native->fx + FX_FSW, ref->fx + FX_FSW, 2);
    report_bytes("ftw", native->fx + FX_FTW, ref->fx + FX_FTW, 1);
    report_u64("mxcsr", native->mxcsr, ref->mxcsr);
    for (unsigned i = 0; i < 8; i++) {
        snprintf(name, sizeof(name), "st%u", i);
        report_bytes(name, native->fx + FX_ST(i), ref->fx + FX_ST(i), 10);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(native->ymm); i++) {
        snprintf(name, sizeof(name), "ymm%u", i);
        report_bytes(name, native->ymm[i], ref->ymm[i], 32);
    }
}

void check_state_report(const struct check_state *native,
                        const struct check_state *ref)
{
    static const char *const segs[SEG_COUNT] = {"es", "cs", "ss",
                                                "ds", "fs", "gs"};

    report_u64("rip", native->rip, ref->rip);
    for (unsigned i = 0; i < 16; i++)
        report_u64(vcpu_gpr_names[i], native->gpr[i], ref->gpr[i]);
    report_u64("rflags", native->rflags & USER_FLAGS, ref->rflags & USER_FLAGS);
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        report_u64(segs[i], native->seg[i].sel, ref->seg[i].sel);
        report_u64("base", native->seg[i].base, ref->seg[i].base);
    }
    report_fpu(&native->fpu, &ref->fpu);
}

/* --- repeated string instructions --- */

static bool is_prefix(uint8_t b)
{
    return b == 0x66 || b == 0x67 || b == 0xf2 || b == 0xf3 || b == 0x2e ||
           b == 0x36 || b == 0x3e || b == 0x26 || b == 0x64 || b == 0x65;
}

struct check_rep check_rep_at(const uint8_t *bytes, unsigned len)
{
    struct check_rep r = {.width = 4};
    bool rep = false;
    unsigned i = 0;
    uint8_t op;

    for (; i < len && is_prefix(bytes[i]); i++) {
        rep |= bytes[i] == 0xf2 || bytes[i] == 0xf3;
        if (bytes[i] == 0x66)
            r.width = 2;
    }
    if (i < len && (bytes[i] & 0xf8) == 0x48) { /* REX.W */
        r.width = 8;
        i++;
    } else if (i < len && (bytes[i] & 0xf0) == 0x40) {
        i++;
    }
    if (!rep || i >= len)
        return r;
    op = bytes[i] & 0xfe;
    if (!(bytes[i] & 1))
        r.width = 1;
    r.si = op == 0xa4 || op == 0xa6 || op == 0xac;
    r.di = op == 0xa4 || op == 0xa6 || op == 0xaa || op == 0xae;
    r.loads = op == 0xac;
    r.compares = op == 0xa6 || op == 0xae;
    r.on = r.si || r.di;
    return r;
}

uint64_t check_rep_between(const struct check_rep *r, const uint64_t *gpr,
                           bool down, const uint64_t *to)
{
    uint64_t n = gpr[R_RCX] - to[R_RCX];
    uint64_t way = down ? 0 - n * r->width : n * r->width;

    if (!r->on || !n || n > gpr[R_RCX])
        return 0;
    for (unsigned i = 0; i < 16; i++) {
        uint64_t moved =
            (i == R_RSI && r->si) || (i == R_RDI && r->di) ? way : 0;

        if (i != R_RCX && !(i == R_RAX && r->loads) && gpr[i] + moved != to[i])
            return 0;
    }
    return n;
}
