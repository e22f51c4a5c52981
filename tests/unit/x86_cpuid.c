/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86_cpuid.c - CPU models: parsing, dependencies, what instructions follow,
 * and the leaves that kernels rely on.
 */
#include <errno.h>

#include <Zydis/Zydis.h>

#include "test.h"
#include "x86/cpuid.h"
#include "x86/flags.h"

static struct cpu_model model;
static struct error err;

static int parse(const char *spec)
{
    err.msg[0] = 0;
    return cpu_model_parse(&model, spec, &err);
}

static void models_are_nested(void)
{
    struct cpu_model v1, v2, v3;

    CHECK_EQ(cpu_model_parse(&v1, "x86-64-v1", &err), 0);
    CHECK_EQ(cpu_model_parse(&v2, "x86-64-v2", &err), 0);
    CHECK_EQ(cpu_model_parse(&v3, "x86-64-v3", &err), 0);
    for (unsigned i = 0; i < 2; i++) {
        CHECK(!(v1.features[i] & ~v2.features[i]));
        CHECK(!(v2.features[i] & ~v3.features[i]));
    }
    CHECK(cpu_model_has(&v1, F_SSE2));
    CHECK(!cpu_model_has(&v1, F_POPCNT));
    CHECK(cpu_model_has(&v2, F_POPCNT));
    CHECK(!cpu_model_has(&v2, F_BMI1));
    CHECK(cpu_model_has(&v3, F_BMI1));
}

static void masking_drops_dependents(void)
{
    CHECK_EQ(parse("x86-64-v3,-avx"), 0);
    CHECK(!cpu_model_has(&model, F_AVX));
    CHECK(!cpu_model_has(&model, F_AVX2));
    CHECK(!cpu_model_has(&model, F_FMA));
    CHECK(!cpu_model_has(&model, F_F16C));
    CHECK(cpu_model_has(&model, F_XSAVE));
    CHECK(!cpu_model_allows(&model, ZYDIS_ISA_SET_AVX2));
    CHECK(!cpu_model_allows(&model, ZYDIS_ISA_SET_AVXAES));
    CHECK_EQ(cpu_xcr0_allowed(&model) & XCR0_AVX, 0);
}

static void adding_brings_what_it_rests_on(void)
{
    CHECK_EQ(parse("x86-64-v1,+xsaveopt"), 0);
    CHECK(cpu_model_has(&model, F_XSAVE));
    CHECK(cpu_model_has(&model, F_XSAVEOPT));
    CHECK(cpu_cr4_allowed(&model) & CR4_OSXSAVE);
}

static void aliases_are_understood(void)
{
    CHECK_EQ(parse("x86-64-v3,-lzcnt,-sse4.2"), 0);
    CHECK(!cpu_model_has(&model, F_ABM));
    CHECK(!cpu_model_has(&model, F_SSE4_2));
    CHECK(!cpu_model_allows(&model, ZYDIS_ISA_SET_LZCNT));
    CHECK(cpu_model_allows(&model, ZYDIS_ISA_SET_BMI1));
}

static void bad_specs_are_errors_that_list_the_choices(void)
{
    CHECK_EQ(parse("pentium"), -EINVAL);
    CHECK(strstr(err.msg, "x86-64-v2"));
    CHECK_EQ(parse(""), -EINVAL);
    CHECK_EQ(parse("max,-frobnicate"), -EINVAL);
    CHECK(strstr(err.msg, "frobnicate") && strstr(err.msg, "avx2"));
    CHECK_EQ(parse("max,avx"), -EINVAL);
    CHECK_EQ(parse("max,"), -EINVAL);
    CHECK_EQ(parse("max,-"), -EINVAL);
    CHECK_EQ(parse("max,-fpu"), -EINVAL);
}

static void what_no_model_has_is_not_decoded(void)
{
    CHECK_EQ(parse("max"), 0);
    CHECK(cpu_model_allows(&model, ZYDIS_ISA_SET_I86));
    CHECK(cpu_model_allows(&model, ZYDIS_ISA_SET_SSE2));
    CHECK(!cpu_model_allows(&model, ZYDIS_ISA_SET_AVX512F_512));
    CHECK(!cpu_model_allows(&model, ZYDIS_ISA_SET_VTX));
    CHECK(!cpu_model_allows(&model, ZYDIS_ISA_SET_SVM));
    CHECK(!cpu_model_allows(&model, ZYDIS_ISA_SET_XOP));
    CHECK(!cpu_model_allows(&model, ZYDIS_ISA_SET_MONITOR));
    CHECK(!cpu_model_allows(&model, 100000));
}

static struct vcpu *vcpu(const char *spec)
{
    static struct vcpu cpu;

    memset(&cpu, 0, sizeof(cpu));
    CHECK_EQ(parse(spec), 0);
    cpu.model = &model;
    cpu.tsc_khz = 2600123;
    cpu.xcr0 = XCR0_X87;
    cpu.code_width = 8;
    return &cpu;
}

static void leaves_show_the_model(void)
{
    struct vcpu *cpu = vcpu("x86-64-v3,-smap");
    struct cpuid_regs r = cpuid_query(cpu, 0, 0);

    CHECK_EQ(r.ebx, 0x756e6547);
    r = cpuid_query(cpu, 7, 0);
    CHECK(!(r.ebx & BIT(20)));
    CHECK(r.ebx & BIT(7));  /* SMEP */
    CHECK(r.edx & BIT(29)); /* ARCH_CAPABILITIES */
    CHECK_EQ(cpuid_query(cpu, 7, 1).eax, 0);
    CHECK_EQ(cpuid_query(cpu, 0x80000008, 0).eax & 0xff, 46);
    r = cpuid_query(cpu, 0x40000000, 0);
    CHECK(!memcmp(&r.ebx, "RingfenceVMM", 12));
}

/* As the manual says of Intel's CPUs, and hardware does for its guests. */
static void beyond_the_last_leaf_is_the_last_basic_one(void)
{
    static const uint32_t beyond[] = {0x17,       0x20,       0x10000000,
                                      0x40000001, 0x40000100, 0x80000009,
                                      0xc0000000, 0xffffffff};
    struct vcpu *cpu = vcpu("x86-64-v3");
    struct cpuid_regs last = cpuid_query(cpu, 0x16, 0);

    CHECK_EQ(cpuid_query(cpu, 0, 0).eax, 0x16);
    CHECK_EQ(last.eax, 2600);
    for (unsigned i = 0; i < ARRAY_SIZE(beyond); i++) {
        struct cpuid_regs r = cpuid_query(cpu, beyond[i], 3);

        CHECK(!memcmp(&r, &last, sizeof(r)));
    }
}

/* What KVM does not carry it must be possible not to show. */
static void a_feature_is_in_its_sub_leaf(void)
{
    struct vcpu *cpu = vcpu("x86-64-v3");
    struct cpu_bit bhi = cpu_feature_bit(F_BHI_CTRL);

    CHECK_EQ(bhi.leaf, 7);
    CHECK_EQ(bhi.subleaf, 2);
    CHECK_EQ(cpuid_query(cpu, 7, 2).edx, 1u << bhi.bit);
    CHECK(!(cpuid_query(cpu, 7, 0).edx >> bhi.bit & 1));
    CHECK_EQ(cpuid_query(cpu, 7, 1).edx, 0);
    CHECK_EQ(cpuid_query(vcpu("x86-64-v3,-bhi_ctrl"), 7, 2).edx, 0);
    CHECK_EQ(cpuid_query(vcpu("x86-64-v3,-spec_ctrl"), 7, 2).edx, 0);
}

static void osxsave_follows_cr4(void)
{
    struct vcpu *cpu = vcpu("x86-64-v3");

    CHECK(!(cpuid_query(cpu, 1, 0).ecx & BIT(27)));
    cpu->cr4 = CR4_OSXSAVE;
    CHECK(cpuid_query(cpu, 1, 0).ecx & BIT(27));
}

/* As Linux computes it, in 32 bits; the APIC timer's clock is 1 GHz. */
static void tsc_leaf_gives_the_frequency(void)
{
    static const uint32_t khz[] = {400000,  999999,  1000000, 2100000, 2600123,
                                   2999999, 3000001, 3800042, 5800017};
    struct vcpu *cpu = vcpu("x86-64-v3");

    for (unsigned i = 0; i < ARRAY_SIZE(khz); i++) {
        struct cpuid_regs r;
        uint32_t shown;

        cpu->tsc_khz = khz[i];
        r = cpuid_query(cpu, 0x15, 0);
        CHECK(r.eax && r.ebx);
        shown = r.ecx / 1000 * r.ebx / r.eax;
        CHECK(shown + 2 >= khz[i] && shown <= khz[i] + 2);
        CHECK(r.ecx >= 998000000 && r.ecx <= 1002000000);
    }
    cpu->tsc_khz = 2600123;
    CHECK_EQ(cpuid_query(cpu, 0x15, 0).ecx / 1000 *
                 cpuid_query(cpu, 0x15, 0).ebx / cpuid_query(cpu, 0x15, 0).eax,
             2600123);
}

static void topology_counts_the_machines_cpus(void)
{
    struct vcpu *cpu = vcpu("x86-64-v3");
    struct cpuid_regs r;

    model.cpus = 3;
    cpu->apic_id = 2;
    r = cpuid_query(cpu, 0xb, 1);
    CHECK_EQ(r.eax, 2);
    CHECK_EQ(r.ebx, 3);
    CHECK_EQ(r.edx, 2);
    CHECK_EQ(r.ecx, 0x201);
    CHECK_EQ(cpuid_query(cpu, 0xb, 2).ebx, 0);
}

static void every_feature_has_a_name(void)
{
    for (unsigned i = 0; i < F_COUNT; i++)
        CHECK(cpu_feature_name(i) && cpu_feature_name(i)[0]);
    CHECK(!cpu_feature_name(F_COUNT));
}

int main(void)
{
    RUN(models_are_nested);
    RUN(masking_drops_dependents);
    RUN(adding_brings_what_it_rests_on);
    RUN(aliases_are_understood);
    RUN(bad_specs_are_errors_that_list_the_choices);
    RUN(what_no_model_has_is_not_decoded);
    RUN(leaves_show_the_model);
    RUN(beyond_the_last_leaf_is_the_last_basic_one);
    RUN(a_feature_is_in_its_sub_leaf);
    RUN(osxsave_follows_cr4);
    RUN(tsc_leaf_gives_the_frequency);
    RUN(topology_counts_the_machines_cpus);
    RUN(every_feature_has_a_name);
    return test_status();
}
