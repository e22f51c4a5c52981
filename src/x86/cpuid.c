/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpuid.c - CPU models and the CPUID instruction. [SDM 2A, CPUID]
 *
 * One table says for each feature where CPUID shows it, which Zydis ISA set
 * it gates, whether it needs the host's unit, and what it rests on. Family,
 * model and stepping are those of a server part that IA32_ARCH_CAPABILITIES
 * can declare free of speculation bugs: an emulated CPU does not speculate.
 */
#include "x86/cpuid.h"

#include <cpuid.h>
#include <errno.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "base/apic_image.h"
#include "x86/walk.h"

enum cpuid_reg { EAX, EBX, ECX, EDX };

/* In which model a feature first appears. */
enum cpu_level { V1 = 1, V2, V3, MAX_ONLY };

struct feature {
    const char *name; /* as in /proc/cpuinfo */
    uint32_t leaf;
    uint8_t reg, bit;
    uint8_t level;
    bool host;     /* runs on the host's units: the host must have it */
    uint8_t needs; /* enum cpu_feature it rests on; F_FPU: nothing */
    uint8_t sub;   /* sub-leaf */
};

#define LEAF_EXT1 0x80000001u
#define LEAF_EXT7 0x80000007u

static const struct feature features[F_COUNT] = {
    [F_FPU] = {"fpu", 1, EDX, 0, V1, false, F_FPU},
    [F_DE] = {"de", 1, EDX, 2, V1, false, F_FPU},
    [F_PSE] = {"pse", 1, EDX, 3, V1, false, F_FPU},
    [F_TSC] = {"tsc", 1, EDX, 4, V1, false, F_FPU},
    [F_MSR] = {"msr", 1, EDX, 5, V1, false, F_FPU},
    [F_PAE] = {"pae", 1, EDX, 6, V1, false, F_FPU},
    [F_MCE] = {"mce", 1, EDX, 7, V1, false, F_FPU},
    [F_CX8] = {"cx8", 1, EDX, 8, V1, false, F_FPU},
    [F_APIC] = {"apic", 1, EDX, 9, V1, false, F_FPU},
    [F_SEP] = {"sep", 1, EDX, 11, V1, false, F_FPU},
    [F_MTRR] = {"mtrr", 1, EDX, 12, V1, false, F_FPU},
    [F_PGE] = {"pge", 1, EDX, 13, V1, false, F_FPU},
    [F_MCA] = {"mca", 1, EDX, 14, V1, false, F_MCE},
    [F_CMOV] = {"cmov", 1, EDX, 15, V1, false, F_FPU},
    [F_PAT] = {"pat", 1, EDX, 16, V1, false, F_FPU},
    [F_PSE36] = {"pse36", 1, EDX, 17, V1, false, F_PSE},
    [F_CLFLUSH] = {"clflush", 1, EDX, 19, V1, false, F_FPU},
    [F_MMX] = {"mmx", 1, EDX, 23, V1, true, F_FPU},
    [F_FXSR] = {"fxsr", 1, EDX, 24, V1, false, F_FPU},
    [F_SSE] = {"sse", 1, EDX, 25, V1, true, F_FXSR},
    [F_SSE2] = {"sse2", 1, EDX, 26, V1, true, F_SSE},
    [F_HT] = {"ht", 1, EDX, 28, V1, false, F_FPU},
    [F_PNI] = {"pni", 1, ECX, 0, V2, true, F_SSE2},
    [F_PCLMULQDQ] = {"pclmulqdq", 1, ECX, 1, V3, true, F_SSE2},
    [F_SSSE3] = {"ssse3", 1, ECX, 9, V2, true, F_PNI},
    [F_FMA] = {"fma", 1, ECX, 12, V3, true, F_AVX},
    [F_CX16] = {"cx16", 1, ECX, 13, V2, false, F_FPU},
    [F_PCID] = {"pcid", 1, ECX, 17, V2, false, F_LM},
    [F_SSE4_1] = {"sse4_1", 1, ECX, 19, V2, true, F_SSSE3},
    [F_SSE4_2] = {"sse4_2", 1, ECX, 20, V2, true, F_SSE4_1},
    [F_X2APIC] = {"x2apic", 1, ECX, 21, V2, false, F_APIC},
    [F_MOVBE] = {"movbe", 1, ECX, 22, V3, false, F_FPU},
    [F_POPCNT] = {"popcnt", 1, ECX, 23, V2, false, F_FPU},
    [F_TSC_DEADLINE] = {"tsc_deadline_timer", 1, ECX, 24, V2, false, F_APIC},
    [F_AES] = {"aes", 1, ECX, 25, V3, true, F_SSE2},
    [F_XSAVE] = {"xsave", 1, ECX, 26, V3, false, F_FXSR},
    [F_AVX] = {"avx", 1, ECX, 28, V3, true, F_XSAVE},
    [F_F16C] = {"f16c", 1, ECX, 29, V3, true, F_AVX},
    [F_RDRAND] = {"rdrand", 1, ECX, 30, V2, false, F_FPU},
    [F_HYPERVISOR] = {"hypervisor", 1, ECX, 31, V1, false, F_FPU},
    [F_ARAT] = {"arat", 6, EAX, 2, V1, false, F_APIC},
    [F_FSGSBASE] = {"fsgsbase", 7, EBX, 0, V3, false, F_LM},
    [F_TSC_ADJUST] = {"tsc_adjust", 7, EBX, 1, V2, false, F_TSC},
    [F_BMI1] = {"bmi1", 7, EBX, 3, V3, false, F_FPU},
    [F_AVX2] = {"avx2", 7, EBX, 5, V3, true, F_AVX},
    [F_SMEP] = {"smep", 7, EBX, 7, V3, false, F_FPU},
    [F_BMI2] = {"bmi2", 7, EBX, 8, V3, false, F_FPU},
    [F_ERMS] = {"erms", 7, EBX, 9, V3, false, F_FPU},
    [F_INVPCID] = {"invpcid", 7, EBX, 10, V3, false, F_FPU},
    [F_RDSEED] = {"rdseed", 7, EBX, 18, V3, false, F_FPU},
    [F_ADX] = {"adx", 7, EBX, 19, V3, false, F_FPU},
    [F_SMAP] = {"smap", 7, EBX, 20, V3, false, F_FPU},
    [F_CLFLUSHOPT] = {"clflushopt", 7, EBX, 23, V3, false, F_CLFLUSH},
    [F_CLWB] = {"clwb", 7, EBX, 24, V3, false, F_CLFLUSH},
    [F_SHA_NI] = {"sha_ni", 7, EBX, 29, V3, true, F_SSE2},
    [F_UMIP] = {"umip", 7, ECX, 2, V3, false, F_FPU},
    [F_RDPID] = {"rdpid", 7, ECX, 22, V3, false, F_FPU},
    [F_MD_CLEAR] = {"md_clear", 7, EDX, 10, V1, false, F_FPU},
    [F_SERIALIZE] = {"serialize", 7, EDX, 14, MAX_ONLY, false, F_FPU},
    [F_SPEC_CTRL] = {"spec_ctrl", 7, EDX, 26, V1, false, F_MSR},
    [F_STIBP] = {"intel_stibp", 7, EDX, 27, V1, false, F_SPEC_CTRL},
    [F_FLUSH_L1D] = {"flush_l1d", 7, EDX, 28, V1, false, F_MSR},
    [F_ARCH_CAPABILITIES] = {"arch_capabilities", 7, EDX, 29, V1, false, F_MSR},
    [F_SSBD] = {"ssbd", 7, EDX, 31, V1, false, F_SPEC_CTRL},
    [F_BHI_CTRL] = {"bhi_ctrl", 7, EDX, 4, V1, false, F_SPEC_CTRL, 2},
    [F_XSAVEOPT] = {"xsaveopt", 0xd, EAX, 0, V3, false, F_XSAVE, 1},
    [F_XSAVEC] = {"xsavec", 0xd, EAX, 1, V3, false, F_XSAVE, 1},
    [F_SYSCALL] = {"syscall", LEAF_EXT1, EDX, 11, V1, false, F_LM},
    [F_NX] = {"nx", LEAF_EXT1, EDX, 20, V1, false, F_PAE},
    [F_PDPE1GB] = {"pdpe1gb", LEAF_EXT1, EDX, 26, V2, false, F_LM},
    [F_RDTSCP] = {"rdtscp", LEAF_EXT1, EDX, 27, V2, false, F_TSC},
    [F_LM] = {"lm", LEAF_EXT1, EDX, 29, V1, false, F_PAE},
    [F_LAHF_LM] = {"lahf_lm", LEAF_EXT1, ECX, 0, V2, false, F_LM},
    [F_ABM] = {"abm", LEAF_EXT1, ECX, 5, V3, false, F_FPU},
    [F_PREFETCHW] = {"3dnowprefetch", LEAF_EXT1, ECX, 8, V2, false, F_FPU},
    [F_NONSTOP_TSC] = {"nonstop_tsc", LEAF_EXT7, EDX, 8, V1, false, F_TSC},
};

/* Other names that people type. */
static const struct {
    const char *alias;
    enum cpu_feature feature;
} aliases[] = {
    {"sse3", F_PNI},
    {"lzcnt", F_ABM},
    {"sse4.1", F_SSE4_1},
    {"sse4.2", F_SSE4_2},
    {"sha", F_SHA_NI},
    {"tsc_deadline", F_TSC_DEADLINE},
    {"tsc-deadline", F_TSC_DEADLINE},
    {"constant_tsc", F_NONSTOP_TSC},
    {"invtsc", F_NONSTOP_TSC},
    {"clfsh", F_CLFLUSH},
    {"sse4_1", F_SSE4_1},
};

static const struct {
    const char *name;
    enum cpu_level level;
} models[] = {
    {"x86-64-v1", V1},
    {"x86-64-v2", V2},
    {"x86-64-v3", V3},
    {"max", MAX_ONLY},
};

const char *cpu_model_names(void)
{
    return "x86-64-v1 x86-64-v2 x86-64-v3 max";
}

const char *cpu_feature_name(unsigned feature)
{
    return feature < F_COUNT ? features[feature].name : NULL;
}

/* --- the host --- */

static uint32_t cpuid_pick(const struct cpuid_regs *r, unsigned reg)
{
    switch (reg) {
    case EAX:
        return r->eax;
    case EBX:
        return r->ebx;
    case ECX:
        return r->ecx;
    default:
        return r->edx;
    }
}

static uint32_t *cpuid_slot(struct cpuid_regs *r, unsigned reg)
{
    switch (reg) {
    case EAX:
        return &r->eax;
    case EBX:
        return &r->ebx;
    case ECX:
        return &r->ecx;
    default:
        return &r->edx;
    }
}

/* Does the host's kernel switch YMM registers? */
static bool host_ymm(void)
{
    uint32_t a, b, c, d;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & BIT(27)))
        return false;
    __asm__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (a & 6) == 6;
}

static bool host_has(enum cpu_feature f)
{
    const struct feature *t = &features[f];
    struct cpuid_regs r = {0};

    if (!__get_cpuid_count(t->leaf, t->sub, &r.eax, &r.ebx, &r.ecx, &r.edx))
        return false;
    if (!(cpuid_pick(&r, t->reg) >> t->bit & 1))
        return false;
    if (f == F_AVX || t->needs == F_AVX)
        return host_ymm();
    return true;
}

/* --- making a model --- */

static void model_set(struct cpu_model *m, enum cpu_feature f, bool on)
{
    uint64_t bit = BIT64(f % 64);

    if (on)
        m->features[f / 64] |= bit;
    else
        m->features[f / 64] &= ~bit;
}

/* Drops what rests on something that is not there, until nothing does. */
static void model_prune(struct cpu_model *m)
{
    bool again;

    do {
        again = false;
        for (unsigned f = 0; f < F_COUNT; f++) {
            if (!cpu_model_has(m, f) || cpu_model_has(m, features[f].needs))
                continue;
            model_set(m, f, false);
            again = true;
        }
    } while (again);
}

/* Adds a feature and all that it rests on. */
static void model_add(struct cpu_model *m, enum cpu_feature f)
{
    while (!cpu_model_has(m, f)) {
        model_set(m, f, true);
        f = features[f].needs;
    }
}

static int feature_find(const char *name, size_t len)
{
    for (unsigned f = 0; f < F_COUNT; f++)
        if (strlen(features[f].name) == len &&
            !memcmp(features[f].name, name, len))
            return (int)f;
    for (size_t i = 0; i < ARRAY_SIZE(aliases); i++)
        if (strlen(aliases[i].alias) == len &&
            !memcmp(aliases[i].alias, name, len))
            return (int)aliases[i].feature;
    return -1;
}

/* The list for an error message; cut where the message ends. */
static void feature_list(char *buf, size_t len)
{
    size_t n = 0;

    buf[0] = 0;
    for (unsigned f = 1; f < F_COUNT; f++) {
        size_t l = strlen(features[f].name);

        if (n + l + 2 > len)
            break;
        if (n)
            buf[n++] = ' ';
        memcpy(buf + n, features[f].name, l + 1);
        n += l;
    }
}

static int model_base(struct cpu_model *m, const char *name, size_t len,
                      struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(models); i++) {
        if (strlen(models[i].name) != len ||
            memcmp(models[i].name, name, len) != 0)
            continue;
        for (unsigned f = 0; f < F_COUNT; f++)
            if (features[f].level <= models[i].level &&
                (!features[f].host || host_has(f)))
                model_set(m, f, true);
        return 0;
    }
    return error_set(err, EINVAL, "no CPU model '%.*s'; there are: %s",
                     (int)MIN(len, 40), name, cpu_model_names());
}

static int model_adjust(struct cpu_model *m, const char *word, size_t len,
                        struct error *err)
{
    char list[420];
    int f;

    if (len < 2 || (*word != '-' && *word != '+')) {
        return error_set(err, EINVAL,
                         "CPU feature '%.*s': write +NAME or -NAME",
                         (int)MIN(len, 40), word);
    }
    f = feature_find(word + 1, len - 1);
    if (f < 0) {
        feature_list(list, sizeof(list));
        return error_set(err, EINVAL, "no CPU feature '%.*s'; there are: %s",
                         (int)MIN(len - 1, 30), word + 1, list);
    }
    if (f == F_FPU)
        return error_set(err, EINVAL, "CPU feature fpu is always there");
    if (*word == '-') {
        model_set(m, f, false);
        return 0;
    }
    if (features[f].host && !host_has(f))
        return error_set(err, ENOTSUP,
                         "CPU feature %s: this host's CPU does not have it",
                         features[f].name);
    model_add(m, f);
    return 0;
}

/* --- which instructions that allows --- */

static const struct {
    uint16_t isa; /* ZydisISASet */
    uint16_t feature;
} isa_gates[] = {
    {ZYDIS_ISA_SET_ADOX_ADCX, F_ADX},
    {ZYDIS_ISA_SET_AES, F_AES},
    {ZYDIS_ISA_SET_AVX, F_AVX},
    {ZYDIS_ISA_SET_AVX2, F_AVX2},
    {ZYDIS_ISA_SET_AVX2GATHER, F_AVX2},
    {ZYDIS_ISA_SET_AVXAES, F_AES},
    {ZYDIS_ISA_SET_BMI1, F_BMI1},
    {ZYDIS_ISA_SET_BMI2, F_BMI2},
    {ZYDIS_ISA_SET_CLFLUSHOPT, F_CLFLUSHOPT},
    {ZYDIS_ISA_SET_CLFSH, F_CLFLUSH},
    {ZYDIS_ISA_SET_CLWB, F_CLWB},
    {ZYDIS_ISA_SET_CMOV, F_CMOV},
    {ZYDIS_ISA_SET_CMPXCHG16B, F_CX16},
    {ZYDIS_ISA_SET_F16C, F_F16C},
    {ZYDIS_ISA_SET_FCMOV, F_CMOV},
    {ZYDIS_ISA_SET_FMA, F_FMA},
    {ZYDIS_ISA_SET_FXSAVE, F_FXSR},
    {ZYDIS_ISA_SET_FXSAVE64, F_FXSR},
    {ZYDIS_ISA_SET_INVPCID, F_INVPCID},
    {ZYDIS_ISA_SET_LONGMODE, F_LM},
    {ZYDIS_ISA_SET_LZCNT, F_ABM},
    {ZYDIS_ISA_SET_MOVBE, F_MOVBE},
    {ZYDIS_ISA_SET_PCLMULQDQ, F_PCLMULQDQ},
    {ZYDIS_ISA_SET_PENTIUMMMX, F_MMX},
    {ZYDIS_ISA_SET_POPCNT, F_POPCNT},
    {ZYDIS_ISA_SET_RDPID, F_RDPID},
    {ZYDIS_ISA_SET_RDRAND, F_RDRAND},
    {ZYDIS_ISA_SET_RDSEED, F_RDSEED},
    {ZYDIS_ISA_SET_RDTSCP, F_RDTSCP},
    {ZYDIS_ISA_SET_RDWRFSGS, F_FSGSBASE},
    {ZYDIS_ISA_SET_SERIALIZE, F_SERIALIZE},
    {ZYDIS_ISA_SET_SHA, F_SHA_NI},
    {ZYDIS_ISA_SET_SMAP, F_SMAP},
    {ZYDIS_ISA_SET_SSE, F_SSE},
    {ZYDIS_ISA_SET_SSE2, F_SSE2},
    {ZYDIS_ISA_SET_SSE2MMX, F_SSE2},
    {ZYDIS_ISA_SET_SSE3, F_PNI},
    {ZYDIS_ISA_SET_SSE3X87, F_PNI},
    {ZYDIS_ISA_SET_SSE4, F_SSE4_1},
    {ZYDIS_ISA_SET_SSE42, F_SSE4_2},
    {ZYDIS_ISA_SET_SSEMXCSR, F_SSE},
    {ZYDIS_ISA_SET_SSE_PREFETCH, F_SSE},
    {ZYDIS_ISA_SET_SSSE3, F_SSSE3},
    {ZYDIS_ISA_SET_SSSE3MMX, F_SSSE3},
    {ZYDIS_ISA_SET_XSAVE, F_XSAVE},
    {ZYDIS_ISA_SET_XSAVEC, F_XSAVEC},
    {ZYDIS_ISA_SET_XSAVEOPT, F_XSAVEOPT},
    /* there on every processor with long mode; F_FPU is always set */
    {ZYDIS_ISA_SET_FAT_NOP, F_FPU},
    {ZYDIS_ISA_SET_I186, F_FPU},
    {ZYDIS_ISA_SET_I286PROTECTED, F_FPU},
    {ZYDIS_ISA_SET_I286REAL, F_FPU},
    {ZYDIS_ISA_SET_I386, F_FPU},
    {ZYDIS_ISA_SET_I486, F_FPU},
    {ZYDIS_ISA_SET_I486REAL, F_FPU},
    {ZYDIS_ISA_SET_I86, F_FPU},
    {ZYDIS_ISA_SET_LAHF, F_FPU},
    {ZYDIS_ISA_SET_PAUSE, F_FPU},
    {ZYDIS_ISA_SET_PENTIUMREAL, F_FPU},
    {ZYDIS_ISA_SET_PPRO, F_FPU},
    {ZYDIS_ISA_SET_PREFETCH_NOP, F_FPU},
    {ZYDIS_ISA_SET_RDPMC, F_FPU},
    {ZYDIS_ISA_SET_X87, F_FPU},
    {ZYDIS_ISA_SET_PREFETCHWT1, F_FPU}, /* a hint */
    /* CET, MPX, CLDEMOTE: the decoder makes NOPs of their hints itself */
};
_Static_assert(ZYDIS_ISA_SET_MAX_VALUE < 256, "cpu_model.isa holds them all");

static void model_isa(struct cpu_model *m)
{
    memset(m->isa, 0, sizeof(m->isa));
    for (size_t i = 0; i < ARRAY_SIZE(isa_gates); i++)
        if (cpu_model_has(m, isa_gates[i].feature))
            m->isa[isa_gates[i].isa / 8] |=
                (uint8_t)(1u << isa_gates[i].isa % 8);
    /* 128-bit carry-less multiply in VEX form needs both */
    if (!cpu_model_has(m, F_AVX))
        m->isa[ZYDIS_ISA_SET_AVXAES / 8] &=
            (uint8_t) ~(1u << ZYDIS_ISA_SET_AVXAES % 8);
}

int cpu_model_parse(struct cpu_model *m, const char *spec, struct error *err)
{
    size_t len = strcspn(spec, ",");
    int r;

    memset(m, 0, sizeof(*m));
    m->cpus = 1;
    r = model_base(m, spec, len, err);
    if (r)
        return r;
    memcpy(m->name, spec, MIN(len, sizeof(m->name) - 1));
    while (spec[len] == ',') {
        spec += len + 1;
        len = strcspn(spec, ",");
        r = model_adjust(m, spec, len, err);
        if (r)
            return r;
    }
    model_prune(m);
    model_isa(m);
    return 0;
}

/* --- what registers may hold --- */

static uint64_t if_has(const struct cpu_model *m, enum cpu_feature f,
                       uint64_t bits)
{
    return cpu_model_has(m, f) ? bits : 0;
}

struct cpu_bit cpu_feature_bit(unsigned feature)
{
    const struct feature *f = &features[feature];

    return (struct cpu_bit){f->leaf, f->sub, f->reg, f->bit};
}

void cpu_model_drop(struct cpu_model *m, unsigned feature)
{
    m->features[feature / 64] &= ~BIT64(feature % 64);
    for (unsigned f = 0; feature != F_FPU && f < F_COUNT; f++)
        if (features[f].needs == feature && cpu_model_has(m, f))
            cpu_model_drop(m, f);
}

uint64_t cpu_cr4_allowed(const struct cpu_model *m)
{
    return CR4_TSD | CR4_PCE | if_has(m, F_DE, CR4_DE) |
           if_has(m, F_PSE, CR4_PSE) | if_has(m, F_PAE, CR4_PAE) |
           if_has(m, F_MCE, CR4_MCE) | if_has(m, F_PGE, CR4_PGE) |
           if_has(m, F_FXSR, CR4_OSFXSR) | if_has(m, F_SSE, CR4_OSXMMEXCPT) |
           if_has(m, F_UMIP, CR4_UMIP) | if_has(m, F_FSGSBASE, CR4_FSGSBASE) |
           if_has(m, F_PCID, CR4_PCIDE) | if_has(m, F_XSAVE, CR4_OSXSAVE) |
           if_has(m, F_SMEP, CR4_SMEP) | if_has(m, F_SMAP, CR4_SMAP);
}

uint64_t cpu_efer_allowed(const struct cpu_model *m)
{
    return if_has(m, F_SYSCALL, EFER_SCE) |
           if_has(m, F_LM, EFER_LME | EFER_LMA) | if_has(m, F_NX, EFER_NXE);
}

uint64_t cpu_xcr0_allowed(const struct cpu_model *m)
{
    return XCR0_X87 | if_has(m, F_SSE, XCR0_SSE) | if_has(m, F_AVX, XCR0_AVX);
}

/* --- the instruction --- */

#define LEAF_LAST     0x16u
#define LEAF_EXT      0x80000000u
#define LEAF_EXT_LAST 0x80000008u
#define LEAF_HV       0x40000000u

/*
 * Sierra Forest's numbers: no retbleed, no gather or register file leaks. And
 * no AVX-512: programs with a function for each model (GCC's target_clones)
 * go by these numbers alone.
 */
#define CPU_SIGNATURE 0x000a06f3u

/*
 * The crystal is the local APIC's timer's clock: 1 GHz, which is KVM's too.
 * Linux takes the TSC's rate from crystal and ratio, in kHz and 32 bits, so
 * of those within 0.2% of that the one with which it comes out best: exact,
 * or 1 or 2 kHz off where the ratio is a whole number.
 */
static void leaf_15(const struct vcpu *cpu, struct cpuid_regs *r)
{
    const uint64_t ghz = 1000000;
    uint64_t khz = cpu->tsc_khz, best = UINT64_MAX;

    for (uint64_t den = 1; khz && best; den++) {
        uint64_t num = MAX((khz * den + ghz / 2) / ghz, 1);
        uint64_t crystal = (khz * den + num / 2) / num;
        uint64_t shown = crystal * num / den;
        uint64_t off = MAX(shown, khz) - MIN(shown, khz);

        if (num > UINT32_MAX / (ghz + ghz / 500))
            break;
        if (crystal - ghz + ghz / 500 > ghz / 250 || off >= best)
            continue;
        best = off;
        r->eax = (uint32_t)den;
        r->ebx = (uint32_t)num;
        r->ecx = (uint32_t)crystal * 1000;
    }
}

static void features_show(const struct vcpu *cpu, uint32_t leaf, uint32_t sub,
                          struct cpuid_regs *r)
{
    for (unsigned f = 0; f < F_COUNT; f++)
        if (features[f].leaf == leaf && features[f].sub == sub &&
            cpu_has(cpu, f))
            *cpuid_slot(r, features[f].reg) |= BIT(features[f].bit);
}

static unsigned cpus_of(const struct vcpu *cpu)
{
    return MAX(cpu->model->cpus, 1u);
}

static unsigned topology_shift(unsigned cpus)
{
    return cpus <= 1 ? 0 : 32 - (unsigned)__builtin_clz(cpus - 1);
}

static void leaf_1(const struct vcpu *cpu, struct cpuid_regs *r)
{
    unsigned cpus = 1u << topology_shift(cpus_of(cpu));

    features_show(cpu, 1, 0, r);
    r->eax = CPU_SIGNATURE;
    r->ebx = cpu->apic_id << 24 | (cpus & 0xff) << 16 | 8 << 8;
    if (cpus_of(cpu) == 1)
        r->edx &= ~BIT(28);
    if (cpu->cr4 & CR4_OSXSAVE)
        r->ecx |= BIT(27);
    if (cpu->intr) {
        uint64_t base;

        /* a disabled APIC is not shown [SDM 3A 11.4.3] */
        if (!cpu->intr->msr_read(cpu->intr_ctx, MSR_APIC_BASE, &base) &&
            !(base & BIT(11)))
            r->edx &= ~BIT(9);
    }
}

/* One cache of leaf 4: type, level, sharing, ways, sets; lines of 64 bytes. */
static struct cpuid_regs cache_leaf(const struct vcpu *cpu, unsigned type,
                                    unsigned level, bool shared, unsigned ways,
                                    unsigned sets)
{
    unsigned cores = (1u << topology_shift(cpus_of(cpu))) - 1;

    return (struct cpuid_regs){
        .eax = type | level << 5 | BIT(8) | (shared ? cores : 0) << 14 |
               (cores & 0x3f) << 26,
        .ebx = 63 | (ways - 1) << 22,
        .ecx = sets - 1,
    };
}

static void leaf_4(const struct vcpu *cpu, uint32_t sub, struct cpuid_regs *r)
{
    switch (sub) {
    case 0:
        *r = cache_leaf(cpu, 1, 1, false, 8, 64);
        break;
    case 1:
        *r = cache_leaf(cpu, 2, 1, false, 8, 64);
        break;
    case 2:
        *r = cache_leaf(cpu, 3, 2, false, 16, 1024);
        break;
    case 3:
        *r = cache_leaf(cpu, 3, 3, true, 16, 16384);
        break;
    }
}

static void leaf_7(const struct vcpu *cpu, uint32_t sub, struct cpuid_regs *r)
{
    /*
     * BHI_CTRL in sub-leaf 2: to Linux BHI_NO is not enough since 6.9, and the
     * software sequence on each system call would cost us dearly.
     */
    features_show(cpu, 7, sub, r);
    if (sub != 0)
        return;
    r->eax = 2; /* last sub-leaf */
    /* FDP only on exceptions; FPU CS and DS are gone */
    r->ebx |= BIT(13);
}

static void leaf_b(const struct vcpu *cpu, uint32_t sub, struct cpuid_regs *r)
{
    if (!cpu_has(cpu, F_X2APIC) && cpus_of(cpu) == 1)
        return;
    r->ecx = sub & 0xff;
    r->edx = cpu->apic_id;
    if (sub == 0) {
        r->ebx = 1;
        r->ecx |= 1 << 8; /* threads: one a core */
    } else if (sub == 1) {
        r->eax = topology_shift(cpus_of(cpu));
        r->ebx = cpus_of(cpu);
        r->ecx |= 2 << 8;
    }
}

static uint32_t xsave_size(uint64_t xcr0)
{
    return xcr0 & XCR0_AVX ? 832 : 576;
}

static void leaf_d(const struct vcpu *cpu, uint32_t sub, struct cpuid_regs *r)
{
    uint64_t allowed = cpu_xcr0_allowed(cpu->model);

    if (!cpu_has(cpu, F_XSAVE))
        return;
    if (sub == 0) {
        r->eax = (uint32_t)allowed;
        r->ebx = xsave_size(cpu->xcr0);
        r->ecx = xsave_size(allowed);
    } else if (sub == 1) {
        features_show(cpu, 0xd, 1, r);
        if (cpu_has(cpu, F_XSAVEC))
            r->ebx = xsave_size(cpu->xcr0);
    } else if (sub == 2 && (allowed & XCR0_AVX)) {
        r->eax = 256;
        r->ebx = 576;
    }
}

static void text(struct cpuid_regs *r, const char *s)
{
    memcpy(r, s, sizeof(*r));
}

static void leaf_basic(const struct vcpu *cpu, uint32_t leaf, uint32_t sub,
                       struct cpuid_regs *r)
{
    switch (leaf) {
    case 0:
        *r = (struct cpuid_regs){LEAF_LAST, 0x756e6547, 0x6c65746e,
                                 0x49656e69}; /* "GenuineIntel" */
        break;
    case 1:
        leaf_1(cpu, r);
        break;
    case 2:
        r->eax = 0x00feff01; /* caches: leaf 4, TLBs: leaf 0x18 */
        break;
    case 4:
        leaf_4(cpu, sub, r);
        break;
    case 6:
        features_show(cpu, 6, 0, r);
        break;
    case 7:
        leaf_7(cpu, sub, r);
        break;
    case 0xb:
        leaf_b(cpu, sub, r);
        break;
    case 0xd:
        leaf_d(cpu, sub, r);
        break;
    case 0x15:
        leaf_15(cpu, r);
        break;
    case 0x16:
        r->eax = r->ebx = cpu->tsc_khz / 1000;
        r->ecx = 100;
        break;
    }
}

static void leaf_extended(const struct vcpu *cpu, uint32_t leaf,
                          struct cpuid_regs *r)
{
    switch (leaf) {
    case LEAF_EXT:
        r->eax = LEAF_EXT_LAST;
        break;
    case LEAF_EXT1:
        features_show(cpu, leaf, 0, r);
        /* Intel shows SYSCALL in 64-bit mode only */
        if (cpu->code_width != 8)
            r->edx &= ~BIT(11);
        break;
    case 0x80000002:
        text(r, "Ringfence CPU (e");
        break;
    case 0x80000003:
        text(r, "mulated x86-64)\0");
        break;
    case 0x80000006:
        r->ecx = 64 | 8 << 12 | 1024 << 16; /* L2: line, ways, KiB */
        break;
    case LEAF_EXT7:
        features_show(cpu, leaf, 0, r);
        break;
    case 0x80000008:
        r->eax = PHYS_BITS | 48 << 8;
        break;
    }
}

struct cpuid_regs cpuid_query(const struct vcpu *cpu, uint32_t leaf,
                              uint32_t subleaf)
{
    struct cpuid_regs r = {0};

    if (leaf == LEAF_HV && cpu_has(cpu, F_HYPERVISOR))
        r = (struct cpuid_regs){LEAF_HV, 0x676e6952, 0x636e6566,
                                0x4d4d5665}; /* "RingfenceVMM" */
    else if (leaf >= LEAF_EXT && leaf <= LEAF_EXT_LAST)
        leaf_extended(cpu, leaf, &r);
    else /* beyond the last: what the last basic leaf has [SDM 2A, CPUID] */
        leaf_basic(cpu, MIN(leaf, LEAF_LAST), subleaf, &r);
    return r;
}
