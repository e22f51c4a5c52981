/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpuid.c - every feature that CPUID shows works, and an instruction that it
 * hides is #UD; run with several --cpu models.
 */
#include "guest.h"

static uint32_t l1c, l1d, l7b, l7c, l7d, e1c, e1d, d1a;
static uint64_t mem[128] __attribute__((aligned(64)));

#define HAS(reg, bit) ((reg) >> (bit)&1)
/* Shown: it runs. Hidden: #UD. */
#define EITHER(shown, text, claim)                                             \
    TRAP(asm volatile(text                                                     \
                      :                                                        \
                      : "D"(mem), "S"(mem)                                     \
                      : "rax", "rbx", "rcx", "rdx", "memory", "cc"));          \
    traps((shown) ? NONE : UD, 0, claim)

static void leaves(void)
{
    uint32_t r[4];

    cpuid(1, 0, r);
    l1c = r[2];
    l1d = r[3];
    cpuid(0, 0, r);
    if (r[0] >= 7) {
        cpuid(7, 0, r);
        l7b = r[1];
        l7c = r[2];
        l7d = r[3];
    }
    cpuid(0xd, 1, r);
    d1a = r[0];
    cpuid(0x80000001, 0, r);
    e1c = r[2];
    e1d = r[3];
}

static void general(void)
{
    EITHER(HAS(l1c, 23), "popcnt %%eax, %%eax", "POPCNT");
    EITHER(HAS(l1c, 22), "movbe (%%rdi), %%eax", "MOVBE");
    EITHER(HAS(l1c, 13), "lock cmpxchg16b (%%rdi)", "CMPXCHG16B");
    EITHER(HAS(l1c, 30), "rdrand %%eax", "RDRAND");
    EITHER(HAS(l7b, 18), "rdseed %%eax", "RDSEED");
    EITHER(HAS(l7b, 3), "andn %%eax, %%eax, %%eax", "BMI1: ANDN");
    EITHER(HAS(l7b, 3), "blsi %%eax, %%eax", "BMI1: BLSI");
    EITHER(HAS(l7b, 8), "pext %%eax, %%eax, %%eax", "BMI2: PEXT");
    EITHER(HAS(l7b, 8), "rorx $1, %%eax, %%eax", "BMI2: RORX");
    EITHER(HAS(l7b, 19), "adcx %%eax, %%eax", "ADX: ADCX");
    EITHER(HAS(l7b, 19), "adox %%eax, %%eax", "ADX: ADOX");
    EITHER(HAS(e1d, 27), "rdtscp", "RDTSCP");
    EITHER(HAS(l7c, 22), "rdpid %%rax", "RDPID");
    EITHER(HAS(l7b, 20), "clac", "SMAP: CLAC");
    EITHER(HAS(l7b, 23), "clflushopt (%%rdi)", "CLFLUSHOPT");
    EITHER(HAS(l7b, 24), "clwb (%%rdi)", "CLWB");
    EITHER(HAS(l7d, 14), "serialize", "SERIALIZE");
    EITHER(HAS(l1c, 3), "monitor", "MONITOR");
    EITHER(HAS(l7c, 5), "tpause %%eax", "WAITPKG");
    EITHER(0, "vmcall", "VMX is not there");
    EITHER(HAS(e1c, 2), "vmrun", "SVM");
    mem[0] = 0;
    mem[1] = 0;
    EITHER(HAS(l7b, 10), "xor %%eax, %%eax\n invpcid (%%rdi), %%rax",
           "INVPCID");
    is(HAS(e1c, 5), HAS(l7b, 3) || HAS(e1c, 5), "LZCNT comes with BMI1");
}

static void vectors(void)
{
    set_cr4(get_cr4() | 0x600);
    EITHER(HAS(l1c, 0), "addsubps %%xmm0, %%xmm0", "SSE3");
    EITHER(HAS(l1c, 9), "pshufb %%xmm0, %%xmm0", "SSSE3");
    EITHER(HAS(l1c, 19), "pmulld %%xmm0, %%xmm0", "SSE4.1");
    EITHER(HAS(l1c, 20), "pcmpgtq %%xmm0, %%xmm0", "SSE4.2");
    EITHER(HAS(l1c, 20), "crc32b %%al, %%eax", "SSE4.2: CRC32");
    EITHER(HAS(l1c, 25), "aesenc %%xmm0, %%xmm0", "AES");
    EITHER(HAS(l1c, 1), "pclmulqdq $0, %%xmm0, %%xmm0", "PCLMULQDQ");
    EITHER(HAS(l7b, 29), "sha1msg1 %%xmm0, %%xmm0", "SHA");
    EITHER(HAS(l7c, 8), "gf2p8mulb %%xmm0, %%xmm0", "GFNI");
    TRAP(set_cr4(get_cr4() | 1 << 18));
    traps(HAS(l1c, 26) ? NONE : GP, 0, "CR4.OSXSAVE");
    EITHER(HAS(l1c, 26), "xor %%ecx, %%ecx\n xgetbv", "XGETBV");
    if (HAS(l1c, 28))
        asm volatile("xsetbv" : : "a"(7), "d"(0), "c"(0));
    EITHER(HAS(l1c, 28), "vaddps %%xmm0, %%xmm0, %%xmm0", "AVX");
    EITHER(HAS(l7b, 5), "vpaddd %%ymm0, %%ymm0, %%ymm0", "AVX2");
    EITHER(HAS(l7b, 5), "vpermq $0, %%ymm0, %%ymm0", "AVX2: VPERMQ");
    EITHER(HAS(l1c, 12), "vfmadd231ps %%xmm0, %%xmm0, %%xmm0", "FMA");
    EITHER(HAS(l1c, 29), "vcvtph2ps %%xmm0, %%xmm0", "F16C");
    EITHER(HAS(l1c, 25) && HAS(l1c, 28), "vaesenc %%xmm0, %%xmm0, %%xmm0",
           "AES with VEX");
    EITHER(0, "vpaddd %%zmm0, %%zmm0, %%zmm0", "AVX-512 is not there");
    EITHER(HAS(d1a, 0), "xsaveopt (%%rdi)", "XSAVEOPT");
    EITHER(HAS(d1a, 1), "xsavec (%%rdi)", "XSAVEC");
}

static void control(void)
{
    static const struct {
        unsigned bit;
        const char *claim;
    } bits[] = {{11, "CR4.UMIP"}, {16, "CR4.FSGSBASE"}, {17, "CR4.PCIDE"},
                {20, "CR4.SMEP"}, {21, "CR4.SMAP"},     {7, "CR4.PGE"},
                {12, "CR4.LA57"}, {13, "CR4.VMXE"},     {22, "CR4.PKE"},
                {23, "CR4.CET"},  {24, "CR4.PKS"}};
    bool shown[] = {HAS(l7c, 2),  HAS(l7b, 0),  HAS(l1c, 17), HAS(l7b, 7),
                    HAS(l7b, 20), HAS(l1d, 13), HAS(l7c, 16), 0,
                    HAS(l7c, 3),  HAS(l7c, 7),  HAS(l7c, 31)};

    for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
        word old = get_cr4();

        TRAP(set_cr4(old | 1ul << bits[i].bit));
        traps(shown[i] ? NONE : GP, 0, bits[i].claim);
        TRAP(set_cr4(old));
    }
    TRAP(wrmsr(0xc0000080, rdmsr(0xc0000080) | 1 << 11));
    traps(HAS(e1d, 20) ? NONE : GP, 0, "EFER.NXE");
    TRAP(rdmsr(0x6e0));
    traps(HAS(l1c, 24) ? NONE : GP, 0, "TSC_DEADLINE");
    TRAP(wrmsr(0x1b, rdmsr(0x1b) | 1 << 10));
    traps(HAS(l1c, 21) ? NONE : GP, 0, "x2APIC");
    TRAP(rdmsr(0x3b));
    traps(HAS(l7b, 1) ? NONE : GP, 0, "TSC_ADJUST");
    TRAP(rdmsr(0x10a));
    traps(HAS(l7d, 29) ? NONE : GP, 0, "ARCH_CAPABILITIES");
}

void main(void)
{
    leaves();
    general();
    vectors();
    control();
}
