/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msr.c - model-specific registers: what those of msr_policy.c do.
 *         [SDM 4, table 2-2]
 *
 * What is not listed there, or hidden by the model, is #GP(0), as on hardware:
 * Linux probes with the exception handler armed.
 */
#include "x86/msr.h"

#include "base/apic_image.h"
#include "base/log.h"
#include "x86/cpuid.h"
#include "x86/msr_policy.h"
#include "x86/segment.h"

#define PAT_RESET 0x0007040600070406ull

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
    if (!gva_canonical(v))
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

static void tsc_adjust_write(struct vcpu *cpu, uint64_t v)
{
    cpu->tsc_offset += v - cpu->msr.tsc_adjust;
    cpu->msr.tsc_adjust = v;
}

/* EXTD (bit 10) without the feature is a reserved bit. */
static bool apic_write(struct vcpu *cpu, uint32_t msr, uint64_t v)
{
    if (!cpu->intr)
        return false;
    if (msr == MSR_APIC_BASE && (v & BIT(10)) && !cpu_has(cpu, F_X2APIC))
        return false;
    return cpu->intr->msr_write(cpu->intr_ctx, msr, v) == 0;
}

/* --- by the table --- */

/* The rule for it, if this guest may do that; NULL: #GP(0). */
static const struct msr_rule *rule_for(const struct vcpu *cpu, uint32_t msr,
                                       enum msr_access access)
{
    const struct msr_rule *r = msr_rule_find(msr);

    return r && (r->access & access) && msr_rule_shown(r, cpu->model) ? r
                                                                      : NULL;
}

static uint64_t *field_of(struct vcpu *cpu, const struct msr_rule *r,
                          uint32_t msr)
{
    return (uint64_t *)((char *)cpu + r->field) + (msr - r->first);
}

static bool store(struct vcpu *cpu, const struct msr_rule *r, uint32_t msr,
                  uint64_t val, bool good)
{
    if (good)
        *field_of(cpu, r, msr) = val;
    return good;
}

static bool rule_read(struct vcpu *cpu, const struct msr_rule *r, uint32_t msr,
                      uint64_t *val)
{
    switch ((enum msr_kind)r->kind) {
    case MSR_STORE:
    case MSR_CANON:
    case MSR_ZERO:
    case MSR_PAT:
        *val = *field_of(cpu, r, msr);
        return true;
    case MSR_CONST:
    case MSR_IGNORE:
        *val = r->value;
        return true;
    case MSR_APIC:
        return cpu->intr && !cpu->intr->msr_read(cpu->intr_ctx, msr, val);
    case MSR_TSC:
        *val = vcpu_tsc(cpu);
        return true;
    case MSR_TSC_ADJUST:
        *val = cpu->msr.tsc_adjust;
        return true;
    case MSR_EFER:
        *val = cpu->msr.efer;
        return true;
    case MSR_FS_BASE:
        *val = cpu->seg[SEG_FS].base;
        return true;
    case MSR_GS_BASE:
        *val = cpu->seg[SEG_GS].base;
        return true;
    case MSR_COMMAND:
        break;
    }
    return false;
}

static bool rule_write(struct vcpu *cpu, const struct msr_rule *r, uint32_t msr,
                       uint64_t val)
{
    switch ((enum msr_kind)r->kind) {
    case MSR_STORE:
        return store(cpu, r, msr, val, !(val & ~r->value));
    case MSR_CANON:
        return store(cpu, r, msr, val, gva_canonical(val));
    case MSR_ZERO:
        return store(cpu, r, msr, val, !val);
    case MSR_PAT:
        return store(cpu, r, msr, val, pat_valid(val));
    case MSR_COMMAND:
        return !(val & ~r->value);
    case MSR_IGNORE:
        return true;
    case MSR_APIC:
        return apic_write(cpu, msr, val);
    case MSR_TSC:
        tsc_write(cpu, val);
        return true;
    case MSR_TSC_ADJUST:
        tsc_adjust_write(cpu, val);
        return true;
    case MSR_EFER:
        return efer_write(cpu, val);
    case MSR_FS_BASE:
        return seg_base_write(cpu, SEG_FS, val);
    case MSR_GS_BASE:
        return seg_base_write(cpu, SEG_GS, val);
    case MSR_CONST:
        break;
    }
    return false;
}

bool msr_read(struct vcpu *cpu, uint32_t msr, uint64_t *val)
{
    const struct msr_rule *r = rule_for(cpu, msr, MSR_R);

    if (r && rule_read(cpu, r, msr, val))
        return true;
    log_guest("vcpu %u: RDMSR 0x%x: no such register", cpu->index, msr);
    return false;
}

bool msr_write(struct vcpu *cpu, uint32_t msr, uint64_t val)
{
    const struct msr_rule *r = rule_for(cpu, msr, MSR_W);

    if (r && rule_write(cpu, r, msr, val))
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
