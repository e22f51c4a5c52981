/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msr.c - model-specific registers. [SDM 4, table 2-2]
 *
 * A register that is storage with a mask is one line of a table; what has an
 * effect has a function. Unknown numbers are #GP(0), as on hardware: Linux
 * probes with the exception handler armed.
 */
#include "x86/msr.h"

#include "base/log.h"
#include "x86/cpuid.h"
#include "x86/segment.h"

#define MSR_APIC_BASE    0x1bu
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC       0x800u
#define MSR_PAT          0x277u
#define MSR_MTRR_FIRST   0x200u
#define MSR_MC_FIRST     0x400u
#define MTRR_COUNT       8u
#define MC_BANKS         4u
#define PAT_RESET        0x0007040600070406ull

/* IA32_ARCH_CAPABILITIES: nothing here speculates. */
#define ARCH_CAPS                                                              \
    (BIT64(0) |  /* RDCL_NO */                                                 \
     BIT64(1) |  /* IBRS_ALL */                                                \
     BIT64(3) |  /* SKIP_L1DFL_VMENTRY */                                      \
     BIT64(4) |  /* SSB_NO */                                                  \
     BIT64(5) |  /* MDS_NO */                                                  \
     BIT64(6) |  /* IF_PSCHANGE_MC_NO */                                       \
     BIT64(8) |  /* TAA_NO */                                                  \
     BIT64(13) | /* SBDR_SSDP_NO */                                            \
     BIT64(14) | /* FBSDP_NO */                                                \
     BIT64(15) | /* PSDP_NO */                                                 \
     BIT64(20) | /* BHI_NO */                                                  \
     BIT64(24) | /* PBRSB_NO */                                                \
     BIT64(26) | /* GDS_NO */                                                  \
     BIT64(27) | /* RFDS_NO */                                                 \
     BIT64(62))  /* ITS_NO */

enum msr_kind {
    MSR_STORE,  /* bits outside mask are #GP */
    MSR_CANON,  /* a linear address, #GP if not canonical */
    MSR_CONST,  /* reads as `value`, writes are #GP */
    MSR_IGNORE, /* reads as `value`, writes vanish */
};

struct msr_entry {
    uint32_t number;
    uint8_t kind;
    uint8_t feature; /* must be shown; F_FPU always is */
    uint32_t field;  /* offset in struct vcpu */
    uint64_t mask;   /* writable bits, or the value */
};

#define FIELD(f) offsetof(struct vcpu, f)

static const struct msr_entry msr_table[] = {
    {0x17, MSR_CONST, F_FPU, 0, 0}, /* PLATFORM_ID */
    {0x34, MSR_CONST, F_FPU, 0, 0}, /* SMI_COUNT */
    {0x48, MSR_STORE, F_SPEC_CTRL, FIELD(msr.spec_ctrl), 0x407},
    {0x8b, MSR_STORE, F_FPU, FIELD(msr.ucode_rev), ~0ull},
    {0xce, MSR_CONST, F_FPU, 0, 0},                   /* PLATFORM_INFO */
    {0xfe, MSR_CONST, F_MTRR, 0, 0x500 | MTRR_COUNT}, /* WC, fixed */
    {0x10a, MSR_CONST, F_ARCH_CAPABILITIES, 0, ARCH_CAPS},
    {0x174, MSR_STORE, F_SEP, FIELD(msr.sysenter_cs), 0xffffffff},
    {0x175, MSR_CANON, F_SEP, FIELD(msr.sysenter_esp), 0},
    {0x176, MSR_CANON, F_SEP, FIELD(msr.sysenter_eip), 0},
    {0x179, MSR_CONST, F_MCA, 0, MC_BANKS}, /* MCG_CAP */
    {0x17a, MSR_STORE, F_MCA, FIELD(msr.mcg_status), 0x7},
    {0x1a0, MSR_STORE, F_FPU, FIELD(msr.misc_enable), ~0ull},
    {0x1b0, MSR_IGNORE, F_FPU, 0, 6}, /* ENERGY_PERF_BIAS */
    {0x1d9, MSR_STORE, F_FPU, FIELD(msr.debugctl), 0x3},
    {0x250, MSR_STORE, F_MTRR, FIELD(msr.mtrr_fixed[0]), ~0ull},
    {0x258, MSR_STORE, F_MTRR, FIELD(msr.mtrr_fixed[1]), ~0ull},
    {0x259, MSR_STORE, F_MTRR, FIELD(msr.mtrr_fixed[2]), ~0ull},
    {0x268, MSR_STORE, F_MTRR, FIELD(msr.mtrr_fixed[3]), ~0ull},
    {0x269, MSR_STORE, F_MTRR, FIELD(msr.mtrr_fixed[4]), ~0ull},
    {0x26a, MSR_STORE, F_MTRR, FIELD(msr.mtrr_fixed[5]), ~0ull},
    {0x26b, MSR_STORE, F_MTRR, FIELD(msr.mtrr_fixed[6]), ~0ull},
    {0x26c, MSR_STORE, F_MTRR, FIELD(msr.mtrr_fixed[7]), ~0ull},
    {0x26d, MSR_STORE, F_MTRR, FIELD(msr.mtrr_fixed[8]), ~0ull},
    {0x26e, MSR_STORE, F_MTRR, FIELD(msr.mtrr_fixed[9]), ~0ull},
    {0x26f, MSR_STORE, F_MTRR, FIELD(msr.mtrr_fixed[10]), ~0ull},
    {0x2ff, MSR_STORE, F_MTRR, FIELD(msr.mtrr_def_type), 0xcff},
    {0xc0000081, MSR_STORE, F_SYSCALL, FIELD(msr.star), ~0ull},
    {0xc0000082, MSR_CANON, F_SYSCALL, FIELD(msr.lstar), 0},
    {0xc0000083, MSR_CANON, F_SYSCALL, FIELD(msr.cstar), 0},
    {0xc0000084, MSR_STORE, F_SYSCALL, FIELD(msr.sfmask), 0xffffffff},
    {0xc0000102, MSR_CANON, F_LM, FIELD(msr.kernel_gs_base), 0},
    {0xc0000103, MSR_STORE, F_RDTSCP, FIELD(msr.tsc_aux), 0xffffffff},
};

static const struct msr_entry *msr_find(const struct vcpu *cpu, uint32_t msr)
{
    size_t lo = 0, hi = ARRAY_SIZE(msr_table);

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        const struct msr_entry *e = &msr_table[mid];

        if (e->number == msr)
            return cpu_has(cpu, e->feature) ? e : NULL;
        if (e->number < msr)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

static uint64_t *msr_field(struct vcpu *cpu, const struct msr_entry *e)
{
    return (uint64_t *)((char *)cpu + e->field);
}

/* --- MTRRs, machine check banks: numbers in groups --- */

static uint64_t *mtrr_variable(struct vcpu *cpu, uint32_t msr)
{
    uint32_t n = msr - MSR_MTRR_FIRST;

    if (n >= 2 * MTRR_COUNT || !cpu_has(cpu, F_MTRR))
        return NULL;
    return n & 1 ? &cpu->msr.mtrr_mask[n / 2] : &cpu->msr.mtrr_base[n / 2];
}

static uint64_t *mc_bank(struct vcpu *cpu, uint32_t msr)
{
    uint32_t n = msr - MSR_MC_FIRST;

    if (n >= 4 * MC_BANKS || !cpu_has(cpu, F_MCA))
        return NULL;
    switch (n & 3) {
    case 0:
        return &cpu->msr.mc_ctl[n / 4];
    case 1:
        return &cpu->msr.mc_status[n / 4];
    case 2:
        return &cpu->msr.mc_addr[n / 4];
    default:
        return &cpu->msr.mc_misc[n / 4];
    }
}

/* --- with effects --- */

static bool pat_valid(uint64_t v)
{
    for (unsigned i = 0; i < 8; i++, v >>= 8)
        if ((v & 0xff) > 7 || (v & 0xff) == 2 || (v & 0xff) == 3)
            return false;
    return true;
}

static bool efer_write(struct vcpu *cpu, uint64_t v)
{
    uint64_t old = cpu->msr.efer;

    if (v & ~cpu_efer_allowed(cpu->model))
        return false;
    if (((v ^ old) & EFER_LME) && (cpu->cr0 & CR0_PG))
        return false;
    v = (v & ~EFER_LMA) | (old & EFER_LMA);
    cpu->msr.efer = v;
    if ((v ^ old) & EFER_NXE)
        cpu->mmu->flush_all(cpu);
    vcpu_update_mode(cpu);
    return true;
}

static bool seg_base_write(struct vcpu *cpu, unsigned seg, uint64_t v)
{
    if (!cpu_has(cpu, F_LM) || !gva_canonical(v))
        return false;
    cpu->seg[seg].base = v;
    cpu->seg_base[seg] = v;
    return true;
}

/* The offset moves the TSC and TSC_ADJUST alike [SDM 3B 17.17.3]. */
static void tsc_write(struct vcpu *cpu, uint64_t v)
{
    uint64_t delta = v - vcpu_tsc(cpu);

    cpu->tsc_offset += delta;
    cpu->msr.tsc_adjust += delta;
}

static bool tsc_adjust_write(struct vcpu *cpu, uint64_t v)
{
    if (!cpu_has(cpu, F_TSC_ADJUST))
        return false;
    cpu->tsc_offset += v - cpu->msr.tsc_adjust;
    cpu->msr.tsc_adjust = v;
    return true;
}

static bool is_apic_msr(uint32_t msr)
{
    return msr == MSR_APIC_BASE || msr == MSR_TSC_DEADLINE ||
           msr - MSR_X2APIC < 0x100;
}

static bool apic_msr_shown(const struct vcpu *cpu, uint32_t msr)
{
    if (!cpu->intr)
        return false;
    if (msr == MSR_TSC_DEADLINE)
        return cpu_has(cpu, F_TSC_DEADLINE);
    if (msr == MSR_APIC_BASE)
        return cpu_has(cpu, F_APIC);
    return cpu_has(cpu, F_X2APIC);
}

/* EXTD (bit 10) without the feature is a reserved bit. */
static bool apic_msr_write(struct vcpu *cpu, uint32_t msr, uint64_t v)
{
    if (!apic_msr_shown(cpu, msr))
        return false;
    if (msr == MSR_APIC_BASE && (v & BIT(10)) && !cpu_has(cpu, F_X2APIC))
        return false;
    return cpu->intr->msr_write(cpu->intr_ctx, msr, v) == 0;
}

/* --- the switch --- */

static bool special_read(struct vcpu *cpu, uint32_t msr, uint64_t *val)
{
    const uint64_t *p;

    switch (msr) {
    case 0x0: /* P5_MC_ADDR, P5_MC_TYPE */
    case 0x1:
        *val = 0;
        return cpu_has(cpu, F_MCE);
    case 0x10:
        *val = vcpu_tsc(cpu);
        return true;
    case 0x3a: /* FEATURE_CONTROL: locked, nothing on */
        *val = 1;
        return true;
    case 0x3b:
        *val = cpu->msr.tsc_adjust;
        return cpu_has(cpu, F_TSC_ADJUST);
    case MSR_PAT:
        *val = cpu->msr.pat;
        return cpu_has(cpu, F_PAT);
    case 0xc0000080:
        *val = cpu->msr.efer;
        return cpu_has(cpu, F_LM) || cpu_has(cpu, F_NX);
    case 0xc0000100:
        *val = cpu->seg[SEG_FS].base;
        return cpu_has(cpu, F_LM);
    case 0xc0000101:
        *val = cpu->seg[SEG_GS].base;
        return cpu_has(cpu, F_LM);
    }
    if (is_apic_msr(msr))
        return apic_msr_shown(cpu, msr) &&
               cpu->intr->msr_read(cpu->intr_ctx, msr, val) == 0;
    p = mtrr_variable(cpu, msr);
    if (!p)
        p = mc_bank(cpu, msr);
    if (!p)
        return false;
    *val = *p;
    return true;
}

static bool group_write(struct vcpu *cpu, uint32_t msr, uint64_t val)
{
    uint64_t *p = mtrr_variable(cpu, msr);

    if (!p) {
        p = mc_bank(cpu, msr);
        /* status, address and misc take only zero [SDM 3B 15.3.2] */
        if (!p || (msr & 3 && val))
            return false;
    }
    *p = val;
    return true;
}

static bool special_write(struct vcpu *cpu, uint32_t msr, uint64_t val)
{
    switch (msr) {
    case 0x10:
        tsc_write(cpu, val);
        return true;
    case 0x3b:
        return tsc_adjust_write(cpu, val);
    case 0x49: /* PRED_CMD: IBPB; nothing to forget */
        return cpu_has(cpu, F_SPEC_CTRL) && !(val & ~1ull);
    case 0x10b: /* FLUSH_CMD */
        return cpu_has(cpu, F_FLUSH_L1D) && !(val & ~1ull);
    case 0x79: /* microcode update: accepted, changes nothing */
        return true;
    case MSR_PAT:
        if (!cpu_has(cpu, F_PAT) || !pat_valid(val))
            return false;
        cpu->msr.pat = val;
        return true;
    case 0xc0000080:
        return efer_write(cpu, val);
    case 0xc0000100:
        return seg_base_write(cpu, SEG_FS, val);
    case 0xc0000101:
        return seg_base_write(cpu, SEG_GS, val);
    }
    if (is_apic_msr(msr))
        return apic_msr_write(cpu, msr, val);
    return group_write(cpu, msr, val);
}

bool msr_read(struct vcpu *cpu, uint32_t msr, uint64_t *val)
{
    const struct msr_entry *e = msr_find(cpu, msr);

    if (e) {
        *val = e->kind == MSR_CONST || e->kind == MSR_IGNORE
                   ? e->mask
                   : *msr_field(cpu, e);
        return true;
    }
    if (special_read(cpu, msr, val))
        return true;
    log_guest("vcpu %u: RDMSR 0x%x: no such register", cpu->index, msr);
    return false;
}

static bool table_write(struct vcpu *cpu, const struct msr_entry *e,
                        uint64_t val)
{
    switch (e->kind) {
    case MSR_STORE:
        if (val & ~e->mask)
            return false;
        break;
    case MSR_CANON:
        if (!gva_canonical(val))
            return false;
        break;
    case MSR_IGNORE:
        return true;
    default:
        return false;
    }
    *msr_field(cpu, e) = val;
    return true;
}

bool msr_write(struct vcpu *cpu, uint32_t msr, uint64_t val)
{
    const struct msr_entry *e = msr_find(cpu, msr);

    if (e ? table_write(cpu, e, val) : special_write(cpu, msr, val))
        return true;
    log_guest("vcpu %u: WRMSR 0x%x of 0x%llx refused", cpu->index, msr,
              (unsigned long long)val);
    return false;
}

void msr_reset(struct vcpu *cpu)
{
    cpu->msr = (struct msrs){
        .pat = PAT_RESET,
        .misc_enable = BIT(0) | BIT(11) | BIT(12), /* no BTS, no PEBS */
        .mtrr_def_type = 0x806, /* on, everything write-back */
        .ucode_rev = 0x2b000603ull << 32,
    };
}
