/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sem_fpstate.c - saving, restoring and controlling x87, SSE and AVX state.
 *                 [SDM 1 chapter 13; SDM 1 8.1, 10.5]
 *
 * All of it is plain copying between `struct fpu` and guest memory; nothing
 * here touches the host's units. An image is built or read as a whole in a
 * local buffer: a fault half way leaves registers alone.
 */
#include "x86/fpu.h"

#include <string.h>

#include <Zydis/Zydis.h>

#include "x86/access.h"
#include "x86/cpuid.h"
#include "x86/segment.h"
#include "x86/sem.h"

#define MXCSR_MASK  0xffffu
#define MXCSR_RESET 0x1f80u
#define FCW_RESET   0x37fu

#define FX_MXCSR 24
#define FX_MASK  28
#define FX_XMM   160

#define XS_HEADER  512 /* XSTATE_BV, XCOMP_BV, reserved */
#define XS_YMM     576
#define XS_SIZE    FPU_XSAVE_SIZE
#define XS_COMPACT 0x8000000000000000ull

/* --- may it run? --- */

int fpu_check_x87_nowait(struct vcpu *cpu)
{
    return cpu->cr0 & (CR0_EM | CR0_TS) ? raise(cpu, EXC_NM) : 0;
}

static unsigned fx_get16(const struct vcpu *cpu, unsigned at)
{
    uint16_t v;

    memcpy(&v, cpu->fpu.fx + at, 2);
    return v;
}

static void fx_put16(struct vcpu *cpu, unsigned at, unsigned v)
{
    uint16_t w = (uint16_t)v;

    memcpy(cpu->fpu.fx + at, &w, 2);
}

int fpu_check_x87(struct vcpu *cpu)
{
    if (fpu_check_x87_nowait(cpu))
        return STEP_FAULT;
    return fx_get16(cpu, FX_FSW) & FSW_ES ? raise(cpu, EXC_MF) : 0;
}

int fpu_check_mmx(struct vcpu *cpu)
{
    if (cpu->cr0 & CR0_EM)
        return raise_ud(cpu);
    return fpu_check_x87(cpu);
}

int fpu_check_sse(struct vcpu *cpu)
{
    if ((cpu->cr0 & CR0_EM) || !(cpu->cr4 & CR4_OSFXSR))
        return raise_ud(cpu);
    return cpu->cr0 & CR0_TS ? raise(cpu, EXC_NM) : 0;
}

int fpu_check_avx(struct vcpu *cpu)
{
    if (!vcpu_protected(cpu) || !(cpu->cr4 & CR4_OSXSAVE) ||
        (cpu->xcr0 & (XCR0_AVX | XCR0_SSE)) != (XCR0_AVX | XCR0_SSE))
        return raise_ud(cpu);
    return cpu->cr0 & CR0_TS ? raise(cpu, EXC_NM) : 0;
}

/* --- x87: control word, status word, environment --- */

/* ES and B follow from the flags and masks [SDM 1 8.1.3.3]. */
static void fsw_update(struct vcpu *cpu)
{
    unsigned fsw = fx_get16(cpu, FX_FSW), fcw = fx_get16(cpu, FX_FCW);

    fsw &= ~(FSW_ES | FSW_B);
    if (fsw & ~fcw & 0x3f)
        fsw |= FSW_ES | FSW_B;
    fx_put16(cpu, FX_FSW, fsw);
}

static void fcw_set(struct vcpu *cpu, unsigned v)
{
    fx_put16(cpu, FX_FCW, (v & 0x1f3f) | 0x40); /* bit 6 is always set */
    fsw_update(cpu);
}

/* The image holds ST(i): when TOP moves, the registers keep their place. */
static void fsw_set(struct vcpu *cpu, unsigned v)
{
    unsigned turn = (FSW_TOP(v) - FSW_TOP(fx_get16(cpu, FX_FSW))) & 7;
    uint8_t old[128];

    memcpy(old, cpu->fpu.fx + FX_ST(0), sizeof(old));
    for (unsigned i = 0; i < 8; i++)
        memcpy(cpu->fpu.fx + FX_ST(i), old + 16 * ((i + turn) & 7), 16);
    fx_put16(cpu, FX_FSW, v);
    fsw_update(cpu);
}

void fpu_enter_mmx(struct vcpu *cpu)
{
    fsw_set(cpu, fx_get16(cpu, FX_FSW) & ~0x3800u);
    fx_put16(cpu, FX_FTW, 0xff);
}

static void fpu_pointers(struct vcpu *cpu, uint64_t fip, uint64_t fdp,
                         unsigned fop)
{
    memcpy(cpu->fpu.fx + FX_FIP, &fip, 8);
    memcpy(cpu->fpu.fx + FX_FDP, &fdp, 8);
    fx_put16(cpu, FX_FOP, fop & 0x7ff);
}

static void fpu_init(struct vcpu *cpu)
{
    fsw_set(cpu, 0);
    fcw_set(cpu, FCW_RESET);
    fx_put16(cpu, FX_FTW, 0);
    fpu_pointers(cpu, 0, 0, 0);
}

/* Two bits a register: valid, zero, special, empty. */
static unsigned tag_full(const struct vcpu *cpu)
{
    unsigned abridged = cpu->fpu.fx[FX_FTW];
    unsigned top = FSW_TOP(fx_get16(cpu, FX_FSW)), tags = 0;

    for (unsigned i = 0; i < 8; i++) {
        const uint8_t *st = cpu->fpu.fx + FX_ST((i - top) & 7);
        unsigned tag = 3, exp;
        uint64_t frac;

        memcpy(&frac, st, 8);
        exp = (st[8] | st[9] << 8) & 0x7fff;
        if (abridged & BIT(i)) {
            if (exp == 0 && frac == 0)
                tag = 1;
            else
                tag = exp == 0 || exp == 0x7fff || !(frac >> 63) ? 2 : 0;
        }
        tags |= tag << 2 * i;
    }
    return tags;
}

static unsigned tag_abridge(unsigned tags)
{
    unsigned abridged = 0;

    for (unsigned i = 0; i < 8; i++)
        if ((tags >> 2 * i & 3) != 3)
            abridged |= BIT(i);
    return abridged;
}

/* The x87 environment's seven words, 16 or 32 bits each [SDM 1 8.1.10]. */
static unsigned env_build(const struct vcpu *cpu, unsigned opsize, uint8_t *buf)
{
    bool real = !vcpu_protected(cpu);
    uint32_t fip, fdp, w[7];
    unsigned fop = fx_get16(cpu, FX_FOP);

    memcpy(&fip, cpu->fpu.fx + FX_FIP, 4);
    memcpy(&fdp, cpu->fpu.fx + FX_FDP, 4);
    w[0] = fx_get16(cpu, FX_FCW);
    w[1] = fx_get16(cpu, FX_FSW);
    w[2] = tag_full(cpu);
    w[3] = fip;
    w[5] = fdp;
    if (opsize == 2) {
        uint16_t h[7];

        w[4] = real ? (fip >> 16 & 0xf) << 12 | fop : 0;
        w[6] = real ? (fdp >> 16 & 0xf) << 12 : 0;
        for (unsigned i = 0; i < 7; i++)
            h[i] = (uint16_t)w[i];
        memcpy(buf, h, 14);
        return 14;
    }
    w[0] |= 0xffff0000;
    w[1] |= 0xffff0000;
    w[2] |= 0xffff0000;
    if (real) {
        w[3] = 0xffff0000 | (fip & 0xffff);
        w[4] = (fip >> 16) << 12 | fop;
        w[5] = 0xffff0000 | (fdp & 0xffff);
        w[6] = (fdp >> 16) << 12;
    } else {
        w[4] = fop << 16; /* CS and DS are not kept any more */
        w[6] = 0xffff0000;
    }
    memcpy(buf, w, 28);
    return 28;
}

static void env_apply(struct vcpu *cpu, unsigned opsize, const uint8_t *buf)
{
    bool real = !vcpu_protected(cpu);
    uint32_t w[7], fip, fdp, fop;

    if (opsize == 2) {
        uint16_t h[7];

        memcpy(h, buf, 14);
        for (unsigned i = 0; i < 7; i++)
            w[i] = h[i];
        fip = w[3] | (real ? (w[4] & 0xf000) << 4 : 0);
        fdp = w[5] | (real ? (w[6] & 0xf000) << 4 : 0);
        fop = real ? w[4] : 0;
    } else {
        memcpy(w, buf, 28);
        fip = real ? (w[3] & 0xffff) | w[4] >> 12 << 16 : w[3];
        fdp = real ? (w[5] & 0xffff) | w[6] >> 12 << 16 : w[5];
        fop = real ? w[4] : w[4] >> 16;
    }
    fpu_pointers(cpu, fip, fdp, fop);
    fsw_set(cpu, w[1] & 0xffff);
    fcw_set(cpu, w[0]);
    fx_put16(cpu, FX_FTW, tag_abridge(w[2]));
}

/* Linear address of `size` bytes at the memory operand. */
static int image_linear(struct vcpu *cpu, const struct insn *in, unsigned size,
                        unsigned access, gva_t *gva)
{
    if (!(in->flags & INSN_MEM))
        return raise_ud(cpu);
    return seg_linear(cpu, in->seg, insn_ea(cpu, in), size, access, gva);
}

static int image_write(struct vcpu *cpu, const struct insn *in,
                       const uint8_t *buf, unsigned size)
{
    gva_t gva;

    if (image_linear(cpu, in, size, ACC_WRITE, &gva) ||
        lin_probe_write(cpu, gva, size))
        return STEP_FAULT;
    return lin_write(cpu, gva, buf, size);
}

static int image_read(struct vcpu *cpu, const struct insn *in, uint8_t *buf,
                      unsigned size)
{
    gva_t gva;

    if (image_linear(cpu, in, size, ACC_READ, &gva))
        return STEP_FAULT;
    return lin_read(cpu, gva, buf, size);
}

static enum step sem_fninit(struct vcpu *cpu, const struct insn *in)
{
    (void)in;
    if (fpu_check_x87_nowait(cpu))
        return STEP_FAULT;
    fpu_init(cpu);
    return STEP_NEXT;
}

static enum step sem_fnclex(struct vcpu *cpu, const struct insn *in)
{
    (void)in;
    if (fpu_check_x87_nowait(cpu))
        return STEP_FAULT;
    fx_put16(cpu, FX_FSW, fx_get16(cpu, FX_FSW) & 0x7f00);
    return STEP_NEXT;
}

/* FENI, FDISI, FSETPM: of the 8087 and 80287, nothing since */
static enum step sem_fnop_old(struct vcpu *cpu, const struct insn *in)
{
    (void)in;
    return fpu_check_x87_nowait(cpu) ? STEP_FAULT : STEP_NEXT;
}

static enum step store16(struct vcpu *cpu, const struct insn *in, unsigned v)
{
    if (in->flags & INSN_MEM)
        return mem_store(cpu, in->seg, insn_ea(cpu, in), 2, v) ? STEP_FAULT
                                                               : STEP_NEXT;
    reg_set(cpu, R_RAX, 2, v); /* FNSTSW AX */
    return STEP_NEXT;
}

static enum step sem_fnstcw(struct vcpu *cpu, const struct insn *in)
{
    if (fpu_check_x87_nowait(cpu))
        return STEP_FAULT;
    return store16(cpu, in, fx_get16(cpu, FX_FCW));
}

static enum step sem_fnstsw(struct vcpu *cpu, const struct insn *in)
{
    if (fpu_check_x87_nowait(cpu))
        return STEP_FAULT;
    return store16(cpu, in, fx_get16(cpu, FX_FSW));
}

static enum step sem_fldcw(struct vcpu *cpu, const struct insn *in)
{
    uint64_t v;

    if (fpu_check_x87(cpu) || mem_load(cpu, in->seg, insn_ea(cpu, in), 2, &v))
        return STEP_FAULT;
    fcw_set(cpu, (unsigned)v);
    return STEP_NEXT;
}

static enum step sem_fnstenv(struct vcpu *cpu, const struct insn *in)
{
    uint8_t buf[28];
    unsigned size;

    if (fpu_check_x87_nowait(cpu))
        return STEP_FAULT;
    size = env_build(cpu, insn_opsize(cpu, in), buf);
    if (image_write(cpu, in, buf, size))
        return STEP_FAULT;
    fcw_set(cpu, fx_get16(cpu, FX_FCW) | 0x3f); /* masks all */
    return STEP_NEXT;
}

static enum step sem_fldenv(struct vcpu *cpu, const struct insn *in)
{
    unsigned opsize = insn_opsize(cpu, in);
    uint8_t buf[28];

    if (fpu_check_x87(cpu) || image_read(cpu, in, buf, opsize * 7))
        return STEP_FAULT;
    env_apply(cpu, opsize, buf);
    return STEP_NEXT;
}

static enum step sem_fnsave(struct vcpu *cpu, const struct insn *in)
{
    uint8_t buf[28 + 80];
    unsigned size;

    if (fpu_check_x87_nowait(cpu))
        return STEP_FAULT;
    size = env_build(cpu, insn_opsize(cpu, in), buf);
    for (unsigned i = 0; i < 8; i++, size += 10)
        memcpy(buf + size, cpu->fpu.fx + FX_ST(i), 10);
    if (image_write(cpu, in, buf, size))
        return STEP_FAULT;
    fpu_init(cpu);
    return STEP_NEXT;
}

static enum step sem_frstor(struct vcpu *cpu, const struct insn *in)
{
    unsigned opsize = insn_opsize(cpu, in), env = opsize * 7;
    uint8_t buf[28 + 80];

    if (fpu_check_x87(cpu) || image_read(cpu, in, buf, env + 80))
        return STEP_FAULT;
    env_apply(cpu, opsize, buf);
    for (unsigned i = 0; i < 8; i++) {
        memset(cpu->fpu.fx + FX_ST(i), 0, 16);
        memcpy(cpu->fpu.fx + FX_ST(i), buf + env + 10 * i, 10);
    }
    return STEP_NEXT;
}

static enum step sem_fwait(struct vcpu *cpu, const struct insn *in)
{
    (void)in;
    if ((cpu->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS))
        return raise(cpu, EXC_NM);
    if (fx_get16(cpu, FX_FSW) & FSW_ES)
        return raise(cpu, EXC_MF);
    return STEP_NEXT;
}

static enum step sem_emms(struct vcpu *cpu, const struct insn *in)
{
    (void)in;
    if (fpu_check_mmx(cpu))
        return STEP_FAULT;
    fpu_enter_mmx(cpu); /* EMMS resets TOP as well [SDM 3A 12.2] */
    fx_put16(cpu, FX_FTW, 0);
    return STEP_NEXT;
}

/* --- MXCSR, upper halves --- */

static int mxcsr_check(struct vcpu *cpu, const struct insn *in)
{
    return in->flags & INSN_VEX ? fpu_check_avx(cpu) : fpu_check_sse(cpu);
}

static enum step sem_ldmxcsr(struct vcpu *cpu, const struct insn *in)
{
    uint64_t v;

    if (mxcsr_check(cpu, in) || mem_load(cpu, in->seg, insn_ea(cpu, in), 4, &v))
        return STEP_FAULT;
    if (v & ~(uint64_t)MXCSR_MASK)
        return raise_gp(cpu, 0);
    cpu->fpu.mxcsr = (uint32_t)v;
    return STEP_NEXT;
}

static enum step sem_stmxcsr(struct vcpu *cpu, const struct insn *in)
{
    if (mxcsr_check(cpu, in) ||
        mem_store(cpu, in->seg, insn_ea(cpu, in), 4, cpu->fpu.mxcsr))
        return STEP_FAULT;
    return STEP_NEXT;
}

/* Registers that this mode can name. */
static unsigned vec_count(const struct vcpu *cpu)
{
    return cpu->code_width == 8 ? 16 : 8;
}

/* sub would be VEX.vvvv: the mnemonic tells the two apart. */
static enum step sem_vzeroupper(struct vcpu *cpu, const struct insn *in)
{
    bool all = in->op == ZYDIS_MNEMONIC_VZEROALL;

    if (fpu_check_avx(cpu))
        return STEP_FAULT;
    for (unsigned i = 0; i < vec_count(cpu); i++)
        memset(cpu->fpu.ymm[i] + (all ? 0 : 16), 0, all ? 32 : 16);
    return STEP_NEXT;
}

/* --- FXSAVE, FXRSTOR; sub: 8 for the 64-bit pointers --- */

/* FCS and FDS are gone: 32-bit pointers with a zero selector. */
static void legacy_pointers(const struct vcpu *cpu, uint8_t *buf, bool wide)
{
    memcpy(buf + FX_FIP, cpu->fpu.fx + FX_FIP, wide ? 8 : 4);
    memcpy(buf + FX_FDP, cpu->fpu.fx + FX_FDP, wide ? 8 : 4);
    if (!wide) {
        memset(buf + FX_FIP + 4, 0, 4);
        memset(buf + FX_FDP + 4, 0, 4);
    }
}

static void x87_to_image(const struct vcpu *cpu, uint8_t *buf, bool wide)
{
    memcpy(buf, cpu->fpu.fx, 8);
    buf[FX_FTW + 1] = 0;
    legacy_pointers(cpu, buf, wide);
    for (unsigned i = 0; i < 8; i++) {
        memcpy(buf + FX_ST(i), cpu->fpu.fx + FX_ST(i), 10);
        memset(buf + FX_ST(i) + 10, 0, 6);
    }
}

static void x87_from_image(struct vcpu *cpu, const uint8_t *buf, bool wide)
{
    uint16_t fcw, fsw;

    memcpy(&fcw, buf + FX_FCW, 2);
    memcpy(&fsw, buf + FX_FSW, 2);
    memset(cpu->fpu.fx, 0, FX_XMM);
    memcpy(cpu->fpu.fx + FX_FIP, buf + FX_FIP, wide ? 8 : 4);
    memcpy(cpu->fpu.fx + FX_FDP, buf + FX_FDP, wide ? 8 : 4);
    cpu->fpu.fx[FX_FTW] = buf[FX_FTW];
    fx_put16(cpu, FX_FOP, (buf[FX_FOP] | buf[FX_FOP + 1] << 8) & 0x7ff);
    fx_put16(cpu, FX_FSW, fsw);
    fcw_set(cpu, fcw);
    for (unsigned i = 0; i < 8; i++)
        memcpy(cpu->fpu.fx + FX_ST(i), buf + FX_ST(i), 10);
}

static void mxcsr_to_image(const struct vcpu *cpu, uint8_t *buf)
{
    uint32_t mask = MXCSR_MASK;

    memcpy(buf + FX_MXCSR, &cpu->fpu.mxcsr, 4);
    memcpy(buf + FX_MASK, &mask, 4);
}

static uint32_t mxcsr_of_image(const uint8_t *buf)
{
    uint32_t v;

    memcpy(&v, buf + FX_MXCSR, 4);
    return v;
}

static int fxsave_check(struct vcpu *cpu, const struct insn *in)
{
    if (!(in->flags & INSN_MEM))
        return raise_ud(cpu);
    /* unlike SSE's, EM is #NM here [SDM 2A FXSAVE] */
    return fpu_check_x87_nowait(cpu);
}

static enum step sem_fxsave(struct vcpu *cpu, const struct insn *in)
{
    uint8_t buf[416];
    unsigned size = FX_XMM + 16 * vec_count(cpu);
    gva_t gva;

    if (fxsave_check(cpu, in) || image_linear(cpu, in, 512, ACC_WRITE, &gva))
        return STEP_FAULT;
    if (gva & 15)
        return raise_gp(cpu, 0);
    x87_to_image(cpu, buf, in->sub == 8);
    mxcsr_to_image(cpu, buf);
    for (unsigned i = 0; i < vec_count(cpu); i++)
        memcpy(buf + FX_XMM + 16 * i, cpu->fpu.ymm[i], 16);
    if (lin_probe_write(cpu, gva, 512) || lin_write(cpu, gva, buf, size))
        return STEP_FAULT;
    return STEP_NEXT;
}

static enum step sem_fxrstor(struct vcpu *cpu, const struct insn *in)
{
    uint8_t buf[512];
    gva_t gva;

    if (fxsave_check(cpu, in) || image_linear(cpu, in, 512, ACC_READ, &gva))
        return STEP_FAULT;
    if (gva & 15)
        return raise_gp(cpu, 0);
    if (lin_read(cpu, gva, buf, 512))
        return STEP_FAULT;
    if (mxcsr_of_image(buf) & ~MXCSR_MASK)
        return raise_gp(cpu, 0);
    x87_from_image(cpu, buf, in->sub == 8);
    cpu->fpu.mxcsr = mxcsr_of_image(buf);
    for (unsigned i = 0; i < vec_count(cpu); i++)
        memcpy(cpu->fpu.ymm[i], buf + FX_XMM + 16 * i, 16);
    return STEP_NEXT;
}

/* --- XSAVE family --- */

/* Registers' bytes [from, from + 16) of all nameable vectors are zero? */
static bool vec_half_zero(const struct vcpu *cpu, unsigned from)
{
    uint8_t any = 0;

    for (unsigned i = 0; i < vec_count(cpu); i++)
        for (unsigned j = 0; j < 16; j++)
            any |= cpu->fpu.ymm[i][from + j];
    return !any;
}

static bool x87_initial(const struct vcpu *cpu)
{
    static const uint8_t zero[FX_XMM];
    const uint8_t *fx = cpu->fpu.fx;

    return fx_get16(cpu, FX_FCW) == FCW_RESET &&
           !memcmp(fx + FX_FSW, zero, FX_MXCSR - FX_FSW) &&
           !memcmp(fx + FX_ST(0), zero, 128);
}

/* XINUSE: which components are not in their initial state. */
static uint64_t xinuse(const struct vcpu *cpu)
{
    uint64_t v = 0;

    if (!x87_initial(cpu))
        v |= XCR0_X87;
    if (!vec_half_zero(cpu, 0))
        v |= XCR0_SSE;
    if (!vec_half_zero(cpu, 16))
        v |= XCR0_AVX;
    return v;
}

static int xsave_check(struct vcpu *cpu, const struct insn *in, gva_t *gva,
                       unsigned access)
{
    if (!(cpu->cr4 & CR4_OSXSAVE) || !(in->flags & INSN_MEM))
        return raise_ud(cpu);
    if (cpu->cr0 & CR0_TS)
        return raise(cpu, EXC_NM);
    if (image_linear(cpu, in, XS_YMM, access, gva))
        return STEP_FAULT;
    return *gva & 63 ? raise_gp(cpu, 0) : 0;
}

static uint64_t xsave_mask(const struct vcpu *cpu)
{
    uint64_t v = (uint32_t)cpu->gpr[R_RAX] | cpu->gpr[R_RDX] << 32;

    return v & cpu->xcr0;
}

enum xsave_kind { XSAVE_PLAIN, XSAVE_OPT, XSAVE_COMPACT };
#define XS_WIDE 0x10 /* in sub: 64-bit pointers */

static void put_upper_halves(const struct vcpu *cpu, uint8_t *buf)
{
    for (unsigned i = 0; i < vec_count(cpu); i++)
        memcpy(buf + XS_YMM + 16 * i, cpu->fpu.ymm[i] + 16, 16);
}

/* Puts the components in `what` where they belong; both formats agree. */
static void xsave_build(const struct vcpu *cpu, uint64_t what, bool wide,
                        uint8_t *buf)
{
    if (what & XCR0_X87)
        x87_to_image(cpu, buf, wide);
    if (what & XCR0_SSE)
        for (unsigned i = 0; i < vec_count(cpu); i++)
            memcpy(buf + FX_XMM + 16 * i, cpu->fpu.ymm[i], 16);
    if (what & XCR0_AVX)
        put_upper_halves(cpu, buf);
}

/*
 * What is not saved must stay as it is in memory, so the area is read,
 * changed and written: it belongs to the thread that saves. AVX is the only
 * extended component, so the compacted format puts it where the standard
 * one does.
 */
static enum step sem_xsave(struct vcpu *cpu, const struct insn *in)
{
    enum xsave_kind kind = in->sub & 0xf;
    uint64_t rfbm = xsave_mask(cpu), used, what, bv, header[2];
    unsigned size = rfbm & XCR0_AVX ? XS_SIZE : XS_YMM;
    _Alignas(8) uint8_t buf[XS_SIZE];
    gva_t gva;

    if (xsave_check(cpu, in, &gva, ACC_WRITE) ||
        lin_probe_write(cpu, gva, size) || lin_read(cpu, gva, buf, size))
        return STEP_FAULT;
    used = xinuse(cpu);
    if (kind == XSAVE_COMPACT && cpu->fpu.mxcsr != MXCSR_RESET)
        used |= XCR0_SSE; /* there MXCSR counts [SDM 1 13.6] */
    what = kind == XSAVE_PLAIN ? rfbm : rfbm & used;
    memcpy(&bv, buf + XS_HEADER, 8);
    xsave_build(cpu, what, in->sub & XS_WIDE, buf);
    if (kind == XSAVE_COMPACT ? what & XCR0_SSE : rfbm & (XCR0_SSE | XCR0_AVX))
        mxcsr_to_image(cpu, buf);
    header[0] = kind == XSAVE_COMPACT ? what : (bv & ~rfbm) | (used & rfbm);
    header[1] = rfbm | XS_COMPACT;
    memcpy(buf + XS_HEADER, header, kind == XSAVE_COMPACT ? 16 : 8);
    if (lin_write(cpu, gva, buf, size))
        return STEP_FAULT;
    return STEP_NEXT;
}

/* Header rules [SDM 1 13.8.1, 13.8.2]; false: #GP(0). */
static bool xrstor_header_ok(const struct vcpu *cpu, const uint8_t *buf,
                             uint64_t *bv, bool *compact)
{
    static const uint8_t zero[48];
    uint64_t comp;

    memcpy(bv, buf + XS_HEADER, 8);
    memcpy(&comp, buf + XS_HEADER + 8, 8);
    *compact = comp & XS_COMPACT;
    if (memcmp(buf + XS_HEADER + 16, zero, 48) != 0)
        return false;
    if (!*compact)
        return comp == 0 && !(*bv & ~cpu->xcr0);
    comp &= ~XS_COMPACT;
    return cpu_has(cpu, F_XSAVEC) && !(comp & ~cpu->xcr0) && !(*bv & ~comp);
}

static void vec_restore(struct vcpu *cpu, const uint8_t *from, unsigned at)
{
    for (unsigned i = 0; i < vec_count(cpu); i++) {
        if (from)
            memcpy(cpu->fpu.ymm[i] + at, from + 16 * i, 16);
        else
            memset(cpu->fpu.ymm[i] + at, 0, 16);
    }
}

static void xrstor_apply(struct vcpu *cpu, const uint8_t *buf, uint64_t rfbm,
                         uint64_t bv, bool wide)
{
    if (rfbm & XCR0_X87) {
        if (bv & XCR0_X87) {
            x87_from_image(cpu, buf, wide);
        } else {
            memset(cpu->fpu.fx, 0, FX_XMM);
            fcw_set(cpu, FCW_RESET);
        }
    }
    if (rfbm & XCR0_SSE)
        vec_restore(cpu, bv & XCR0_SSE ? buf + FX_XMM : NULL, 0);
    if (rfbm & XCR0_AVX)
        vec_restore(cpu, bv & XCR0_AVX ? buf + XS_YMM : NULL, 16);
}

static enum step sem_xrstor(struct vcpu *cpu, const struct insn *in)
{
    uint64_t rfbm = xsave_mask(cpu), bv;
    _Alignas(8) uint8_t buf[XS_SIZE];
    bool compact, mxcsr;
    gva_t gva;

    if (xsave_check(cpu, in, &gva, ACC_READ) || lin_read(cpu, gva, buf, XS_YMM))
        return STEP_FAULT;
    if (!xrstor_header_ok(cpu, buf, &bv, &compact))
        return raise_gp(cpu, 0);
    if ((rfbm & bv & XCR0_AVX) &&
        lin_read(cpu, gva + XS_YMM, buf + XS_YMM, XS_SIZE - XS_YMM))
        return STEP_FAULT;
    /* compacted: MXCSR goes with SSE; standard: with SSE or AVX asked for */
    mxcsr = compact ? rfbm & bv & XCR0_SSE : rfbm & (XCR0_SSE | XCR0_AVX);
    if (mxcsr && (mxcsr_of_image(buf) & ~MXCSR_MASK))
        return raise_gp(cpu, 0);
    xrstor_apply(cpu, buf, rfbm, bv, in->sub & XS_WIDE);
    if (mxcsr)
        cpu->fpu.mxcsr = mxcsr_of_image(buf);
    else if (compact && (rfbm & XCR0_SSE))
        cpu->fpu.mxcsr = MXCSR_RESET;
    return STEP_NEXT;
}

/* --- the host's --- */

void fpu_to_xsave(const struct vcpu *cpu, uint64_t what, uint8_t *area)
{
    memcpy(area, cpu->fpu.fx, FX_XMM);
    mxcsr_to_image(cpu, area);
    for (unsigned i = 0; i < 16; i++) {
        memcpy(area + FX_XMM + 16 * i, cpu->fpu.ymm[i], 16);
        if (what & XCR0_AVX)
            memcpy(area + XS_YMM + 16 * i, cpu->fpu.ymm[i] + 16, 16);
    }
    memset(area + XS_HEADER, 0, XS_YMM - XS_HEADER);
    memcpy(area + XS_HEADER, &what, sizeof(what));
}

/* Bytes [to, to + 16) of all vectors; from NULL: zeroes. */
static void vec_take(struct vcpu *cpu, const uint8_t *from, unsigned to)
{
    for (unsigned i = 0; i < 16; i++) {
        if (from)
            memcpy(cpu->fpu.ymm[i] + to, from + 16 * i, 16);
        else
            memset(cpu->fpu.ymm[i] + to, 0, 16);
    }
}

void fpu_from_xsave(struct vcpu *cpu, uint64_t what, const uint8_t *area)
{
    uint64_t bv;

    memcpy(&bv, area + XS_HEADER, sizeof(bv));
    if (bv & XCR0_X87) {
        memcpy(cpu->fpu.fx, area, FX_XMM);
    } else {
        memset(cpu->fpu.fx, 0, FX_XMM);
        fx_put16(cpu, FX_FCW, FCW_RESET);
    }
    cpu->fpu.mxcsr = mxcsr_of_image(area) & MXCSR_MASK;
    vec_take(cpu, bv & XCR0_SSE ? area + FX_XMM : NULL, 0);
    if (what & XCR0_AVX)
        vec_take(cpu, bv & XCR0_AVX ? area + XS_YMM : NULL, 16);
}

#define E(name, sem, sub)                                                      \
    {                                                                          \
        ZYDIS_MNEMONIC_##name, 0, sem, sub, false                              \
    }

const struct sem_entry sem_fpstate_table[] = {
    E(FNINIT, sem_fninit, 0),
    E(FNCLEX, sem_fnclex, 0),
    E(FENI8087_NOP, sem_fnop_old, 0),
    E(FDISI8087_NOP, sem_fnop_old, 0),
    E(FSETPM287_NOP, sem_fnop_old, 0),
    E(FNSTCW, sem_fnstcw, 0),
    E(FNSTSW, sem_fnstsw, 0),
    E(FLDCW, sem_fldcw, 0),
    E(FNSTENV, sem_fnstenv, 0),
    E(FLDENV, sem_fldenv, 0),
    E(FNSAVE, sem_fnsave, 0),
    E(FRSTOR, sem_frstor, 0),
    E(FWAIT, sem_fwait, 0),
    E(EMMS, sem_emms, 0),
    E(LDMXCSR, sem_ldmxcsr, 0),
    E(STMXCSR, sem_stmxcsr, 0),
    E(VLDMXCSR, sem_ldmxcsr, 0),
    E(VSTMXCSR, sem_stmxcsr, 0),
    E(VZEROUPPER, sem_vzeroupper, 0),
    E(VZEROALL, sem_vzeroupper, 0),
    E(FXSAVE, sem_fxsave, 4),
    E(FXSAVE64, sem_fxsave, 8),
    E(FXRSTOR, sem_fxrstor, 4),
    E(FXRSTOR64, sem_fxrstor, 8),
    E(XSAVE, sem_xsave, XSAVE_PLAIN),
    E(XSAVE64, sem_xsave, XSAVE_PLAIN | XS_WIDE),
    E(XSAVEOPT, sem_xsave, XSAVE_OPT),
    E(XSAVEOPT64, sem_xsave, XSAVE_OPT | XS_WIDE),
    E(XSAVEC, sem_xsave, XSAVE_COMPACT),
    E(XSAVEC64, sem_xsave, XSAVE_COMPACT | XS_WIDE),
    E(XRSTOR, sem_xrstor, 0),
    E(XRSTOR64, sem_xrstor, XS_WIDE),
    {0, 0, NULL, 0, false},
};
