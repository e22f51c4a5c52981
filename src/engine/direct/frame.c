/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame.c - registers, between the vCPU and the frame of a stub's signal.
 *
 * What comes from the frame may have been made up by the guest: it is used as
 * user code could have set it, and no bit more.
 */
#include "engine/direct/direct_int.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "x86/cpuid.h"
#include "x86/flags.h"
#include "x86/fpu.h"
#include "x86/msr.h"

static const uint8_t frame_of[16] = {
    [R_RAX] = FRAME_RAX, [R_RCX] = FRAME_RCX, [R_RDX] = FRAME_RDX,
    [R_RBX] = FRAME_RBX, [R_RSP] = FRAME_RSP, [R_RBP] = FRAME_RBP,
    [R_RSI] = FRAME_RSI, [R_RDI] = FRAME_RDI, [R_R8] = FRAME_R8,
    [R_R9] = 1,          [R_R10] = 2,         [R_R11] = 3,
    [R_R12] = 4,         [R_R13] = 5,         [R_R14] = 6,
    [R_R15] = FRAME_R15,
};

static bool mode_fits(const struct vcpu *cpu)
{
    return vcpu_long_mode(cpu) && cpu->code_width != 2 &&
           !(cpu->rflags & (FLAG_TF | FLAG_IOPL)) && !(cpu->dr7 & 0xff) &&
           !(cpu->cr0 & (CR0_TS | CR0_EM)) && (cpu->cr4 & CR4_OSFXSR) &&
           !(cpu->cr4 & CR4_TSD) && cpu->shadow == SHADOW_NONE && !cpu->trace &&
           !cpu->debug && !cpu->clock;
}

static bool host_runs_32(struct vcpu *cpu)
{
    struct direct *d = direct_of(cpu);
    struct error err;

    if (!d->can_32) {
        d->can_32 = stub_probe_32(&err) ? -1 : 1;
        if (d->can_32 < 0)
            log_warn("%s; 32-bit code is interpreted", err.msg);
    }
    return d->can_32 > 0;
}

bool frame_fits(struct vcpu *cpu, struct segs *t)
{
    bool code32 = cpu->code_width == 4;

    if (!mode_fits(cpu) || !segs_read(cpu, t) || (code32 && !segs_fit(cpu, t)))
        return false;
    if ((!code32 && !segs_own(t)) || host_runs_32(cpu))
        return true;
    if (code32 || t->ldt_len)
        return false;
    segs_disown(t); /* then loading one faults */
    return true;
}

#define FP_ALL (XCR0_X87 | XCR0_SSE | XCR0_AVX)

_Static_assert(sizeof(struct stub_fp) == FPU_XSAVE_SIZE, "nothing else");

static void fp_put(const struct vcpu *cpu, struct stub *s)
{
    struct stub_fp *fp = stub_fp(s);

    fpu_to_xsave(cpu, FP_ALL, (uint8_t *)fp);
    memcpy(fp->software, s->software, sizeof(s->software));
}

int frame_put(struct vcpu *cpu, struct stub *s, const struct segs *t)
{
    struct stub_frame *f = stub_frame(s);
    uint64_t flags = flags_get(cpu);
    int rc = segs_put(cpu, s, t);

    if (rc)
        return rc;
    *f = s->first;
    f->reg[FRAME_SELECTORS] = s->selectors;
    for (unsigned i = 0; i < 16; i++)
        f->reg[frame_of[i]] = cpu->gpr[i];
    f->reg[FRAME_RIP] = cpu->rip;
    f->reg[FRAME_FLAGS] = flags;
    stub_comm(s)->flags = FLAG_FIXED | (flags & (FLAG_NT | FLAG_ID));
    stub_comm(s)->fs_base = cpu->seg[SEG_FS].base;
    stub_comm(s)->gs_base = cpu->seg[SEG_GS].base;
    fp_put(cpu, s);
    return 0;
}

static bool canonical(uint64_t a)
{
    return (uint64_t)((int64_t)a >> 47) + 1 <= 1;
}

/* Loading a null selector leaves the base alone on some CPUs, not on ours. */
static void take_base(struct vcpu *cpu, unsigned seg, uint64_t base)
{
    if (cpu->code_width == 8 || (cpu->seg[seg].sel & 0xfffc))
        cpu->seg[seg].base = cpu->seg_base[seg] = base;
}

int frame_take(struct vcpu *cpu, struct stub *s, const struct segs *t)
{
    const struct stub_frame *f = stub_frame(s);
    uint64_t fs = stub_comm(s)->fs_base, gs = stub_comm(s)->gs_base;

    if (!canonical(fs) || !canonical(gs) || !canonical(f->reg[FRAME_RIP]))
        return -EPROTO;
    if (segs_take(cpu, s, t) ||
        (cpu->code_width != 8 && f->reg[FRAME_RIP] >> 32))
        return -EPROTO;
    for (unsigned i = 0; i < 16; i++)
        cpu->gpr[i] = f->reg[frame_of[i]];
    cpu->rip = f->reg[FRAME_RIP];
    flags_sync(cpu);
    cpu->rflags = (cpu->rflags & ~USER_FLAGS) |
                  (f->reg[FRAME_FLAGS] & USER_FLAGS) | FLAG_FIXED;
    take_base(cpu, SEG_FS, fs);
    take_base(cpu, SEG_GS, gs);
    fpu_from_xsave(cpu, FP_ALL, (const uint8_t *)stub_fp(s));
    vcpu_update_rflags(cpu);
    return 0;
}
