/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msr_policy.c - the table. [SDM 4, table 2-2; 3A table 11-6 for the x2APIC]
 *
 * A register is here because a kernel that we boot reads or writes it, or
 * because CPUID shows a feature that promises it. Not here, on purpose: what
 * reaches beyond the guest, like voltage (0x150), power limits and energy
 * (0x610 to 0x64f), frequency (0x198, 0x199), debug and trace of the host
 * (0x570 to 0x587, LBRs), performance counters, SGX, VMX, and HWCR.
 */
#include "x86/msr_policy.h"

#include "base/apic_image.h"

#define MTRR_COUNT 8
#define MC_BANKS   4

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

#define AT(f)    offsetof(struct vcpu, msr.f)
#define ALL      (~0ull)
#define HALF     0xffffffffull
#define BY_MODEL MSR_BY_MODEL
#define BY_APIC  MSR_BY_APIC
#define BY_CPU   MSR_BY_CPU

/* clang-format off */

#define TYPES(number, name, field, mask)                                       \
    {number, 1, MSR_RW, BY_MODEL, MSR_STORE, F_MTRR, name, "memory types",     \
     AT(field), mask}
#define MTRR(n)                                                                \
    TYPES(0x200 + 2 * (n), "MTRR_PHYSBASE", mtrr_base[n], ALL),                \
    TYPES(0x201 + 2 * (n), "MTRR_PHYSMASK", mtrr_mask[n], ALL)

/* status, address and misc take only zero [SDM 3B 15.3.2] */
#define CHECKS(number, name, kind, field, mask)                                \
    {number, 1, MSR_RW, BY_MODEL, kind, F_MCA, name, "machine checks",         \
     AT(field), mask}
#define BANK(n)                                                                \
    CHECKS(0x400 + 4 * (n), "MC_CTL", MSR_STORE, mc_ctl[n], ALL),              \
    CHECKS(0x401 + 4 * (n), "MC_STATUS", MSR_ZERO, mc_status[n], 0),           \
    CHECKS(0x402 + 4 * (n), "MC_ADDR", MSR_ZERO, mc_addr[n], 0),               \
    CHECKS(0x403 + 4 * (n), "MC_MISC", MSR_ZERO, mc_misc[n], 0)

#define X2(number, count, access, name)                                        \
    {number, count, access, BY_APIC, MSR_APIC, F_X2APIC, "X2APIC_" name,       \
     "interrupts", 0, 0}

const struct msr_rule msr_rules[] = {
    {0x0, 2, MSR_R, BY_MODEL, MSR_CONST, F_MCE, "P5_MC_ADDR, P5_MC_TYPE",
     "machine checks of old", 0, 0},
    {0x10, 1, MSR_RW, BY_MODEL, MSR_TSC, F_FPU, "TIME_STAMP_COUNTER",
     "the guest's own clock: an offset", 0, 0},
    {0x17, 1, MSR_R, BY_MODEL, MSR_CONST, F_FPU, "PLATFORM_ID",
     "Linux's microcode driver reads it", 0, 0},
    {MSR_APIC_BASE, 1, MSR_RW, BY_APIC, MSR_APIC, F_APIC, "APIC_BASE",
     "interrupts", 0, 0},
    {0x34, 1, MSR_R, BY_MODEL, MSR_CONST, F_FPU, "SMI_COUNT",
     "Linux reads it: none", 0, 0},
    {0x3a, 1, MSR_R, BY_MODEL, MSR_CONST, F_FPU, "FEATURE_CONTROL",
     "locked, with nothing on: no VMX, no SGX", 0, 1},
    {0x3b, 1, MSR_RW, BY_MODEL, MSR_TSC_ADJUST, F_TSC_ADJUST, "TSC_ADJUST",
     "the guest's own clock", 0, 0},
    {0x48, 1, MSR_RW, BY_CPU, MSR_STORE, F_SPEC_CTRL, "SPEC_CTRL",
     "the guest's own speculation", AT(spec_ctrl), 0x407},
    {0x49, 1, MSR_W, BY_CPU, MSR_COMMAND, F_SPEC_CTRL, "PRED_CMD",
     "the same: a barrier", 0, 1},
    {0x79, 1, MSR_W, BY_MODEL, MSR_COMMAND, F_FPU, "BIOS_UPDT_TRIG",
     "microcode: accepted, and thrown away", 0, ALL},
    {0x8b, 1, MSR_RW, BY_MODEL, MSR_STORE, F_FPU, "BIOS_SIGN_ID",
     "a microcode revision that is new enough", AT(ucode_rev), ALL},
    {0xce, 1, MSR_R, BY_MODEL, MSR_CONST, F_FPU, "PLATFORM_INFO",
     "Linux reads it: nothing", 0, 0},
    {0xfe, 1, MSR_R, BY_MODEL, MSR_CONST, F_MTRR, "MTRRCAP",
     "memory types: WC, fixed ranges", 0, 0x500 | MTRR_COUNT},
    {0x10a, 1, MSR_R, BY_MODEL, MSR_CONST, F_ARCH_CAPABILITIES,
     "ARCH_CAPABILITIES", "which faults of CPUs are not here", 0, ARCH_CAPS},
    {0x10b, 1, MSR_W, BY_MODEL, MSR_COMMAND, F_FLUSH_L1D, "FLUSH_CMD",
     "no cache to flush", 0, 1},
    {0x174, 1, MSR_RW, BY_CPU, MSR_STORE, F_SEP, "SYSENTER_CS",
     "the guest's system calls", AT(sysenter_cs), HALF},
    {0x175, 1, MSR_RW, BY_CPU, MSR_CANON, F_SEP, "SYSENTER_ESP",
     "the guest's system calls", AT(sysenter_esp), 0},
    {0x176, 1, MSR_RW, BY_CPU, MSR_CANON, F_SEP, "SYSENTER_EIP",
     "the guest's system calls", AT(sysenter_eip), 0},
    {0x179, 1, MSR_R, BY_MODEL, MSR_CONST, F_MCA, "MCG_CAP",
     "machine checks: how many banks", 0, MC_BANKS},
    CHECKS(0x17a, "MCG_STATUS", MSR_STORE, mcg_status, 0x7),
    {0x1a0, 1, MSR_RW, BY_MODEL, MSR_STORE, F_FPU, "MISC_ENABLE",
     "stored, with no effect: no turbo, no SpeedStep", AT(misc_enable), ALL},
    {0x1b0, 1, MSR_RW, BY_MODEL, MSR_IGNORE, F_FPU, "ENERGY_PERF_BIAS",
     "Linux sets it: no effect", 0, 6},
    {0x1d9, 1, MSR_RW, BY_MODEL, MSR_STORE, F_FPU, "DEBUGCTL",
     "stored, with no effect: no branch records", AT(debugctl), 0x3},
    MTRR(0), MTRR(1), MTRR(2), MTRR(3), MTRR(4), MTRR(5), MTRR(6), MTRR(7),
    TYPES(0x250, "MTRR_FIX64K", mtrr_fixed[0], ALL),
    {0x258, 2, MSR_RW, BY_MODEL, MSR_STORE, F_MTRR, "MTRR_FIX16K",
     "memory types", AT(mtrr_fixed[1]), ALL},
    {0x268, 8, MSR_RW, BY_MODEL, MSR_STORE, F_MTRR, "MTRR_FIX4K",
     "memory types", AT(mtrr_fixed[3]), ALL},
    {0x277, 1, MSR_RW, BY_CPU, MSR_PAT, F_PAT, "PAT",
     "memory types of the guest's pages", AT(pat), 0},
    TYPES(0x2ff, "MTRR_DEF_TYPE", mtrr_def_type, 0xcff),
    BANK(0), BANK(1), BANK(2), BANK(3),
    {MSR_TSC_DEADLINE, 1, MSR_RW, BY_APIC, MSR_APIC, F_TSC_DEADLINE,
     "TSC_DEADLINE", "the guest's timer", 0, 0},
    X2(0x802, 2, MSR_R, "APICID, VERSION"),
    X2(0x808, 1, MSR_RW, "TPR"),
    X2(0x80a, 1, MSR_R, "PPR"),
    X2(0x80b, 1, MSR_W, "EOI"),
    X2(0x80d, 1, MSR_R, "LDR"),
    X2(0x80f, 1, MSR_RW, "SIVR"),
    X2(0x810, 8, MSR_R, "ISR"),
    X2(0x818, 8, MSR_R, "TMR"),
    X2(0x820, 8, MSR_R, "IRR"),
    X2(0x828, 1, MSR_RW, "ESR"),
    X2(0x830, 1, MSR_RW, "ICR"),
    X2(0x832, 6, MSR_RW, "LVT"),
    X2(0x838, 1, MSR_RW, "INIT_COUNT"),
    X2(0x839, 1, MSR_R, "CUR_COUNT"),
    X2(0x83e, 1, MSR_RW, "DIV_CONF"),
    X2(0x83f, 1, MSR_W, "SELF_IPI"),
    {0xc0000080, 1, MSR_RW, BY_CPU, MSR_EFER, F_FPU, "EFER",
     "long mode, NX, SYSCALL", 0, 0},
    {0xc0000081, 1, MSR_RW, BY_CPU, MSR_STORE, F_SYSCALL, "STAR",
     "the guest's system calls", AT(star), ALL},
    {0xc0000082, 1, MSR_RW, BY_CPU, MSR_CANON, F_SYSCALL, "LSTAR",
     "the guest's system calls", AT(lstar), 0},
    {0xc0000083, 1, MSR_RW, BY_CPU, MSR_CANON, F_SYSCALL, "CSTAR",
     "the guest's system calls", AT(cstar), 0},
    {0xc0000084, 1, MSR_RW, BY_CPU, MSR_STORE, F_SYSCALL, "FMASK",
     "the guest's system calls", AT(sfmask), HALF},
    {0xc0000100, 1, MSR_RW, BY_CPU, MSR_FS_BASE, F_LM, "FS_BASE",
     "the guest's threads", 0, 0},
    {0xc0000101, 1, MSR_RW, BY_CPU, MSR_GS_BASE, F_LM, "GS_BASE",
     "the guest's CPUs", 0, 0},
    {0xc0000102, 1, MSR_RW, BY_CPU, MSR_CANON, F_LM, "KERNEL_GS_BASE",
     "the guest's CPUs", AT(kernel_gs_base), 0},
    {0xc0000103, 1, MSR_RW, BY_CPU, MSR_STORE, F_RDTSCP, "TSC_AUX",
     "a number for RDTSCP", AT(tsc_aux), HALF},
};
/* clang-format on */

const unsigned msr_rule_count = ARRAY_SIZE(msr_rules);

const struct msr_rule *msr_rule_find(uint32_t msr)
{
    unsigned lo = 0, hi = ARRAY_SIZE(msr_rules);

    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        const struct msr_rule *r = &msr_rules[mid];

        if (msr - r->first < r->count)
            return r;
        if (r->first < msr)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

bool msr_rule_shown(const struct msr_rule *r, const struct cpu_model *m)
{
    if (r->kind == MSR_EFER)
        return cpu_model_has(m, F_LM) || cpu_model_has(m, F_NX);
    return cpu_model_has(m, r->feature);
}

const char *msr_owner_name(enum msr_owner owner)
{
    static const char *const names[MSR_OWNERS] = {
        [MSR_BY_MODEL] = "model",
        [MSR_BY_APIC] = "local APIC",
        [MSR_BY_CPU] = "CPU",
    };

    return owner < MSR_OWNERS ? names[owner] : "";
}
