/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpuid.h - CPU models: what CPUID shows, and what therefore works.
 *
 * A model is a set of features and nothing else; it is made once from the
 * command line and never changes while a vCPU refers to it. Features that run
 * on the host's own SIMD units are left out where the host lacks them.
 */
#pragma once

#include "x86/vcpu.h"

/* Order is free; names and CPUID bits are in cpuid.c. */
/* clang-format off */
enum cpu_feature {
    F_FPU, F_DE, F_PSE, F_TSC, F_MSR, F_PAE, F_MCE, F_CX8, F_APIC, F_SEP,
    F_MTRR, F_PGE, F_MCA, F_CMOV, F_PAT, F_PSE36, F_CLFLUSH, F_MMX, F_FXSR,
    F_SSE, F_SSE2, F_HT, F_PNI, F_PCLMULQDQ, F_SSSE3, F_FMA, F_CX16, F_PCID,
    F_SSE4_1, F_SSE4_2, F_X2APIC, F_MOVBE, F_POPCNT, F_TSC_DEADLINE, F_AES,
    F_XSAVE, F_AVX, F_F16C, F_RDRAND, F_HYPERVISOR, F_ARAT, F_FSGSBASE,
    F_TSC_ADJUST, F_BMI1, F_AVX2, F_SMEP, F_BMI2, F_ERMS, F_INVPCID,
    F_RDSEED, F_ADX, F_SMAP, F_CLFLUSHOPT, F_CLWB, F_SHA_NI, F_UMIP, F_RDPID,
    F_MD_CLEAR, F_SERIALIZE, F_SPEC_CTRL, F_STIBP, F_FLUSH_L1D,
    F_ARCH_CAPABILITIES, F_SSBD, F_BHI_CTRL, F_XSAVEOPT, F_XSAVEC, F_SYSCALL,
    F_NX, F_PDPE1GB, F_RDTSCP, F_LM, F_LAHF_LM, F_ABM, F_PREFETCHW,
    F_NONSTOP_TSC, F_COUNT,
};
/* clang-format on */

struct cpu_model {
    char name[32];
    uint64_t features[2]; /* bit set by enum cpu_feature */
    uint8_t isa[32];      /* bit set by ZydisISASet: may be decoded */
    unsigned cpus;        /* vCPUs of the machine, for topology leaves */
};
_Static_assert(F_COUNT <= 128, "cpu_model.features holds all features");

/* The order of CPUID's output. */
struct cpuid_regs {
    uint32_t eax, ebx, ecx, edx;
};

#define CPU_MODEL_DEFAULT "x86-64-v3"

/*
 * "MODEL[,-feature|,+feature]...": fills *m. Errors are one line that lists
 * what is possible. What the host cannot carry is dropped silently from a
 * model's own list, but is an error when asked for with '+'.
 */
int cpu_model_parse(struct cpu_model *m, const char *spec,
                    struct error *err) must_check;
/* "x86-64-v1 x86-64-v2 x86-64-v3 max" and all feature names; for --help. */
const char *cpu_model_names(void);
/* Name of a feature as /proc/cpuinfo has it; NULL behind the last. */
const char *cpu_feature_name(unsigned feature);

/* Where CPUID shows a feature; reg: 0..3 for EAX, EBX, ECX, EDX. */
struct cpu_bit {
    uint32_t leaf, subleaf;
    unsigned reg, bit;
};
struct cpu_bit cpu_feature_bit(unsigned feature);

static inline bool cpu_model_has(const struct cpu_model *m, enum cpu_feature f)
{
    return m->features[f / 64] >> (f % 64) & 1;
}
static inline bool cpu_has(const struct vcpu *cpu, enum cpu_feature f)
{
    return cpu_model_has(cpu->model, f);
}

/*
 * May an instruction of this ZydisISASet be decoded? If not it is #UD, but
 * for LZCNT and TZCNT, which become BSR and BSF.
 */
static inline bool cpu_model_allows(const struct cpu_model *m, unsigned isa_set)
{
    return isa_set < 8 * sizeof(m->isa) &&
           (m->isa[isa_set / 8] >> (isa_set % 8) & 1);
}

/* Takes a feature away, and those that rest on it. */
void cpu_model_drop(struct cpu_model *m, unsigned feature);

/* What CR4, EFER and XCR0 may hold with this model; the rest is #GP. */
uint64_t cpu_cr4_allowed(const struct cpu_model *m);
uint64_t cpu_efer_allowed(const struct cpu_model *m);
uint64_t cpu_xcr0_allowed(const struct cpu_model *m);

/* CPUID as the guest sees it now: also depends on CR4, XCR0 and APIC_BASE. */
struct cpuid_regs cpuid_query(const struct vcpu *cpu, uint32_t leaf,
                              uint32_t subleaf);
