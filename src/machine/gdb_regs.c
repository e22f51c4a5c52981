/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gdb_regs.c - reading and writing a vCPU's registers for the debugger.
 *
 * The vCPU is parked: its state is complete. What is written is cut down to
 * what the vCPU may hold, as a loaded state is, so that no value from the
 * debugger can do to the monitor what a guest's could not.
 */
#include "machine/gdb_regs.h"

#include <string.h>

#include "x86/flags.h"
#include "x86/fpu.h"

#define GPR(n, i, t)                                                           \
    {                                                                          \
        n, 8, REG_GPR, i, GDB_CORE, t, NULL                                    \
    }
#define SEL(n, i)                                                              \
    {                                                                          \
        n, 4, REG_SEL, i, GDB_CORE, NULL, NULL                                 \
    }
#define ST(i)                                                                  \
    {                                                                          \
        "st" #i, 10, REG_ST, i, GDB_CORE, "i387_ext", NULL                     \
    }
#define X87(n, i)                                                              \
    {                                                                          \
        n, 4, REG_X87, i, GDB_CORE, NULL, "float"                              \
    }
#define XMM(i)                                                                 \
    {                                                                          \
        "xmm" #i, 16, REG_XMM, i, GDB_SSE, "vec128", NULL                      \
    }
#define YMMH(i)                                                                \
    {                                                                          \
        "ymm" #i "h", 16, REG_YMMH, i, GDB_AVX, "uint128", NULL                \
    }
#define CR(i, t)                                                               \
    {                                                                          \
        "cr" #i, 8, REG_CR, i, GDB_SYSTEM, t, "system"                         \
    }

/* The order inside a feature is gdb's own. */
static const struct gdb_reg regs[] = {
    GPR("rax", R_RAX, NULL),
    GPR("rbx", R_RBX, NULL),
    GPR("rcx", R_RCX, NULL),
    GPR("rdx", R_RDX, NULL),
    GPR("rsi", R_RSI, NULL),
    GPR("rdi", R_RDI, NULL),
    GPR("rbp", R_RBP, "data_ptr"),
    GPR("rsp", R_RSP, "data_ptr"),
    GPR("r8", R_R8, NULL),
    GPR("r9", R_R9, NULL),
    GPR("r10", R_R10, NULL),
    GPR("r11", R_R11, NULL),
    GPR("r12", R_R12, NULL),
    GPR("r13", R_R13, NULL),
    GPR("r14", R_R14, NULL),
    GPR("r15", R_R15, NULL),
    {"rip", 8, REG_RIP, 0, GDB_CORE, "code_ptr", NULL},
    {"eflags", 4, REG_FLAGS, 0, GDB_CORE, "i386_eflags", NULL},
    SEL("cs", SEG_CS),
    SEL("ss", SEG_SS),
    SEL("ds", SEG_DS),
    SEL("es", SEG_ES),
    SEL("fs", SEG_FS),
    SEL("gs", SEG_GS),
    ST(0),
    ST(1),
    ST(2),
    ST(3),
    ST(4),
    ST(5),
    ST(6),
    ST(7),
    X87("fctrl", 0),
    X87("fstat", 1),
    X87("ftag", 2),
    X87("fiseg", 3),
    X87("fioff", 4),
    X87("foseg", 5),
    X87("fooff", 6),
    X87("fop", 7),
    XMM(0),
    XMM(1),
    XMM(2),
    XMM(3),
    XMM(4),
    XMM(5),
    XMM(6),
    XMM(7),
    XMM(8),
    XMM(9),
    XMM(10),
    XMM(11),
    XMM(12),
    XMM(13),
    XMM(14),
    XMM(15),
    {"mxcsr", 4, REG_MXCSR, 0, GDB_SSE, "i386_mxcsr", "vector"},
    {"fs_base", 8, REG_BASE, SEG_FS, GDB_SEGMENTS, NULL, NULL},
    {"gs_base", 8, REG_BASE, SEG_GS, GDB_SEGMENTS, NULL, NULL},
    {"k_gs_base", 8, REG_KERNEL_GS, 0, GDB_SYSTEM, NULL, "system"},
    CR(0, "x64_cr0"),
    CR(2, NULL),
    CR(3, NULL),
    CR(4, "x64_cr4"),
    CR(8, NULL),
    {"efer", 8, REG_EFER, 0, GDB_SYSTEM, "x64_efer", "system"},
    YMMH(0),
    YMMH(1),
    YMMH(2),
    YMMH(3),
    YMMH(4),
    YMMH(5),
    YMMH(6),
    YMMH(7),
    YMMH(8),
    YMMH(9),
    YMMH(10),
    YMMH(11),
    YMMH(12),
    YMMH(13),
    YMMH(14),
    YMMH(15),
};

unsigned gdb_reg_count(const struct gdb *g)
{
    unsigned n = ARRAY_SIZE(regs);

    return cpu_model_has(&g->m->model, F_AVX) ? n : n - 16;
}

const struct gdb_reg *gdb_reg_at(const struct gdb *g, unsigned n)
{
    return n < gdb_reg_count(g) ? &regs[n] : NULL;
}

unsigned gdb_reg_size(const struct gdb *g, unsigned n)
{
    return n < gdb_reg_count(g) ? regs[n].bytes : 0;
}

/* --- x87: fields of the FXSAVE image --- */

static uint32_t fx_word(const struct vcpu *cpu, unsigned at, unsigned bytes)
{
    uint32_t v = 0;

    memcpy(&v, cpu->fpu.fx + at, bytes);
    return v;
}

/* The tag of a register that is not empty [SDM 1 8.1.7]. */
static unsigned x87_tag(const uint8_t *st)
{
    uint64_t mantissa;
    uint16_t exponent;

    memcpy(&mantissa, st, 8);
    memcpy(&exponent, st + 8, 2);
    exponent &= 0x7fff;
    if (!exponent && !mantissa)
        return 1; /* zero */
    if (!exponent || exponent == 0x7fff || !(mantissa >> 63))
        return 2; /* special */
    return 0;
}

static uint32_t x87_tags(const struct vcpu *cpu)
{
    unsigned top = FSW_TOP(fx_word(cpu, FX_FSW, 2)), i;
    uint32_t tags = 0;

    for (i = 0; i < 8; i++)
        tags |= (cpu->fpu.fx[FX_FTW] >> i & 1
                     ? x87_tag(cpu->fpu.fx + FX_ST((i - top) & 7))
                     : 3u)
                << (2 * i);
    return tags;
}

static uint32_t x87_get(const struct vcpu *cpu, unsigned which)
{
    switch (which) {
    case 0:
        return fx_word(cpu, FX_FCW, 2);
    case 1:
        return fx_word(cpu, FX_FSW, 2);
    case 2:
        return x87_tags(cpu);
    case 3:
        return fx_word(cpu, FX_FIP + 4, 2);
    case 4:
        return fx_word(cpu, FX_FIP, 4);
    case 5:
        return fx_word(cpu, FX_FDP + 4, 2);
    case 6:
        return fx_word(cpu, FX_FDP, 4);
    default:
        return fx_word(cpu, FX_FOP, 2);
    }
}

static bool x87_set(struct vcpu *cpu, unsigned which, uint32_t v)
{
    static const struct {
        uint8_t at, bytes;
    } field[] = {
        {FX_FCW, 2}, {FX_FSW, 2},     {0, 0},      {FX_FIP + 4, 2},
        {FX_FIP, 4}, {FX_FDP + 4, 2}, {FX_FDP, 4}, {FX_FOP, 2},
    };
    unsigned i;

    if (which == 0)
        v = (v & 0x1f3f) | 0x40;
    if (which == 7)
        v &= 0x7ff;
    if (which == 2) {
        cpu->fpu.fx[FX_FTW] = 0;
        for (i = 0; i < 8; i++)
            if ((v >> (2 * i) & 3) != 3)
                cpu->fpu.fx[FX_FTW] |= (uint8_t)BIT(i);
    }
    memcpy(cpu->fpu.fx + field[which].at, &v, field[which].bytes);
    return true;
}

/* --- control registers --- */

static uint64_t cr_get(struct gdb *g, const struct vcpu *cpu, unsigned n)
{
    switch (n) {
    case 0:
        return cpu->cr0;
    case 2:
        return cpu->cr2;
    case 3:
        return cpu->cr3;
    case 4:
        return cpu->cr4;
    default: /* not through cpu->intr, which takes the device lock */
        return lapic_tpr_get(&g->m->chip.lapic[cpu->index]);
    }
}

static bool cr_set(struct gdb *g, struct vcpu *cpu, unsigned n, uint64_t v)
{
    switch (n) {
    case 0:
        if ((v & CR0_PG) && !(v & CR0_PE))
            return false;
        if ((v ^ cpu->cr0) & (CR0_PG | CR0_PE))
            return false; /* a change of mode is more than this bit */
        cpu->cr0 = (v & 0xe005003f) | CR0_ET;
        break;
    case 2:
        cpu->cr2 = v;
        return true;
    case 3:
        cpu->cr3 = v & (BIT64(46) - 1);
        break;
    case 4:
        if ((v ^ cpu->cr4) & CR4_PAE)
            return false;
        cpu->cr4 = v & cpu_cr4_allowed(cpu->model);
        break;
    default:
        lapic_tpr_set(&g->m->chip.lapic[cpu->index], v & 15);
        return true;
    }
    cpu->mmu->flush_all(cpu);
    vcpu_update_mode(cpu);
    return true;
}

static bool efer_set(struct vcpu *cpu, uint64_t v)
{
    if ((v ^ cpu->msr.efer) & (EFER_LME | EFER_LMA))
        return false;
    cpu->msr.efer = v & (cpu_efer_allowed(cpu->model) | EFER_LMA);
    cpu->mmu->flush_all(cpu);
    vcpu_update_mode(cpu);
    return true;
}

/* --- the rest --- */

/* A jump: the shadow and the sleep of what was there end. */
static bool rip_set(struct vcpu *cpu, uint64_t v)
{
    if (v == cpu->rip)
        return true;
    cpu->rip = cpu->code_width == 8 ? v : v & 0xffffffff;
    cpu->shadow = SHADOW_NONE;
    cpu->halted = cpu->wait_sipi;
    return true;
}

static bool rflags_set(struct vcpu *cpu, uint32_t v)
{
    uint64_t keep = FLAG_VM; /* a change of mode, too */

    flags_sync(cpu);
    cpu->rflags = (v & 0x3f7fd7 & ~keep) | (cpu->rflags & keep) | FLAG_FIXED;
    vcpu_update_rflags(cpu);
    return true;
}

/* Without descriptors a selector says it all. */
static bool sel_set(struct vcpu *cpu, unsigned seg, uint32_t v)
{
    if (v == cpu->seg[seg].sel)
        return true;
    if (vcpu_protected(cpu) || v > 0xffff)
        return false;
    cpu->seg[seg].sel = (uint16_t)v;
    cpu->seg[seg].base = (uint64_t)v << 4;
    vcpu_update_mode(cpu);
    return true;
}

static bool base_set(struct vcpu *cpu, unsigned seg, uint64_t v)
{
    cpu->seg[seg].base = v;
    vcpu_update_mode(cpu);
    return true;
}

static uint64_t word_get(struct gdb *g, const struct vcpu *cpu,
                         const struct gdb_reg *r)
{
    switch (r->kind) {
    case REG_GPR:
        return cpu->gpr[r->index];
    case REG_RIP:
        return cpu->rip;
    case REG_FLAGS:
        return flags_get(cpu);
    case REG_SEL:
        return cpu->seg[r->index].sel;
    case REG_X87:
        return x87_get(cpu, r->index);
    case REG_MXCSR:
        return cpu->fpu.mxcsr;
    case REG_BASE:
        return cpu->seg[r->index].base;
    case REG_KERNEL_GS:
        return cpu->msr.kernel_gs_base;
    case REG_CR:
        return cr_get(g, cpu, r->index);
    default:
        return cpu->msr.efer;
    }
}

static bool word_set(struct gdb *g, struct vcpu *cpu, const struct gdb_reg *r,
                     uint64_t v)
{
    switch (r->kind) {
    case REG_GPR:
        cpu->gpr[r->index] = v;
        return true;
    case REG_RIP:
        return rip_set(cpu, v);
    case REG_FLAGS:
        return rflags_set(cpu, (uint32_t)v);
    case REG_SEL:
        return sel_set(cpu, r->index, (uint32_t)v);
    case REG_X87:
        return x87_set(cpu, r->index, (uint32_t)v);
    case REG_MXCSR:
        cpu->fpu.mxcsr = v & 0xffff; /* more would fault the host */
        return true;
    case REG_BASE:
        return base_set(cpu, r->index, v);
    case REG_KERNEL_GS:
        cpu->msr.kernel_gs_base = v;
        return true;
    case REG_CR:
        return cr_set(g, cpu, r->index, v);
    default:
        return efer_set(cpu, v);
    }
}

/* Registers that are bytes in memory; NULL: a word. */
static uint8_t *reg_bytes(struct vcpu *cpu, const struct gdb_reg *r)
{
    switch (r->kind) {
    case REG_ST:
        return cpu->fpu.fx + FX_ST(r->index);
    case REG_XMM:
        return cpu->fpu.ymm[r->index];
    case REG_YMMH:
        return cpu->fpu.ymm[r->index] + 16;
    default:
        return NULL;
    }
}

unsigned gdb_reg_get(struct gdb *g, unsigned n, uint8_t *buf)
{
    const struct gdb_reg *r = gdb_reg_at(g, n);
    struct vcpu *cpu = gdb_vcpu(g);
    const uint8_t *p;
    uint64_t v;

    if (!r)
        return 0;
    p = reg_bytes(cpu, r);
    if (!p) {
        v = word_get(g, cpu, r);
        p = (const uint8_t *)&v;
    }
    memcpy(buf, p, r->bytes);
    return r->bytes;
}

bool gdb_reg_set(struct gdb *g, unsigned n, const uint8_t *buf)
{
    const struct gdb_reg *r = gdb_reg_at(g, n);
    struct vcpu *cpu = gdb_vcpu(g);
    uint64_t v = 0;
    uint8_t *p;

    if (!r)
        return false;
    p = reg_bytes(cpu, r);
    if (p) {
        memcpy(p, buf, r->bytes);
        return true;
    }
    memcpy(&v, buf, r->bytes);
    return word_get(g, cpu, r) == v || word_set(g, cpu, r, v);
}
