/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.c - what reaches beyond the guest is #GP: voltage, power, the host's
 * debug and trace, numbers that nothing has. And two lists for tests/surface,
 * which knows what they have to be: every MSR that is not #GP, and CPUID.
 */
#include "guest.h"

/* Dangerous, or the host's: neither read nor written. */
static const struct {
    uint32_t first, count;
    const char *what;
} denied[] = {
    {0x2, 14, "old counters"},
    {0x35, 1, "cores and threads of the host"},
    {0x9b, 1, "SMM monitor"},
    {0x9e, 1, "SMBASE"},
    {0xc1, 8, "performance counters"},
    {0xcf, 1, "core capabilities"},
    {0xe1, 1, "UMWAIT_CONTROL"},
    {0xe2, 2, "C-states"},
    {0xe7, 2, "MPERF, APERF"},
    {0x122, 1, "TSX_CTRL"},
    {0x123, 1, "MCU_OPT_CTRL"},
    {0x140, 1, "MISC_FEATURES"},
    {0x150, 1, "voltage"},
    {0x186, 8, "performance event selectors"},
    {0x194, 1, "flexible ratio"},
    {0x198, 2, "performance states"},
    {0x19a, 4, "clock modulation, temperature"},
    {0x1a2, 1, "temperature target"},
    {0x1a4, 1, "prefetchers"},
    {0x1a6, 2, "offcore responses"},
    {0x1aa, 4, "power management, turbo ratios"},
    {0x1b1, 2, "package temperature"},
    {0x1c8, 2, "last branch records"},
    {0x1db, 4, "last branch addresses"},
    {0x1f2, 3, "SMRR, PRMRR"},
    {0x1fc, 1, "POWER_CTL"},
    {0x300, 1, "SGX"},
    {0x309, 4, "fixed counters"},
    {0x345, 1, "PERF_CAPABILITIES"},
    {0x38d, 4, "control of counters"},
    {0x3f1, 1, "PEBS"},
    {0x480, 18, "VMX"},
    {0x4c1, 8, "full-width counters"},
    {0x560, 2, "processor trace: buffer"},
    {0x570, 24, "processor trace"},
    {0x600, 2, "debug store"},
    {0x606, 1, "units of power"},
    {0x610, 5, "package power limits"},
    {0x618, 5, "DRAM power limits"},
    {0x620, 2, "uncore ratio"},
    {0x638, 5, "core power limits"},
    {0x640, 3, "graphics power limits"},
    {0x648, 8, "configurable TDP, limit reasons"},
    {0x64f, 1, "CORE_PERF_LIMIT_REASONS"},
    {0x690, 1, "limit reasons"},
    {0x6a0, 7, "shadow stacks"},
    {0x770, 8, "hardware performance states"},
    {0xc80, 1, "debug interface"},
    {0xd90, 1, "bounds"},
    {0xda0, 1, "supervisor states"},
    {0x4b564d00, 8, "KVM's paravirtualization"},
    {0x40000000, 16, "Hyper-V's"},
    {0xc0000104, 1, "TSC ratio"},
    {0xc0000108, 1, "prefetchers"},
    {0xc0010000, 8, "performance counters"},
    {0xc0010010, 1, "SYSCFG"},
    {0xc0010015, 1, "HWCR"},
    {0xc0010061, 4, "performance states"},
    {0xc0010071, 1, "voltage and frequency"},
    {0xc0010112, 2, "SMM"},
    {0xc0010114, 4, "SVM"},
    {0xc0010130, 2, "SEV"},
    {0xc0010292, 2, "power states"},
    {0xc0010299, 3, "power units and energy"},
    {0xc0011020, 1, "load and store configuration"},
    {0xc0011029, 1, "decoder configuration"},
};

static uint64_t value;

static bool can_read(uint32_t n)
{
    return TRAP(value = rdmsr(n)) != GP;
}

static bool can_write(uint32_t n, uint64_t v)
{
    return TRAP(wrmsr(n, v)) != GP;
}

static void dangerous(void)
{
    for (unsigned i = 0; i < sizeof(denied) / sizeof(denied[0]); i++) {
        bool held = true;

        for (uint32_t n = 0; n < denied[i].count; n++)
            held = held && !can_read(denied[i].first + n) &&
                   !can_write(denied[i].first + n, 0) &&
                   !can_write(denied[i].first + n, ~0ull);
        ok(held, denied[i].what);
    }
}

/* Where no register of any CPU is. */
static void random(void)
{
    uint32_t n = 12345, seen = 0;

    for (unsigned i = 0; i < 500; i++) {
        n = n * 1664525 + 1013904223;
        if (n >> 16 && n >> 16 != 0xc000 && n >> 16 != 0xc001)
            seen += can_read(n) || can_write(n, n);
    }
    is(seen, 0, "numbers that nothing has");
}

/* Clocks, and what interrupts do: other values each time. */
static bool moves(uint32_t n)
{
    return n == 0x10 || n == 0x3b || n == 0x6e0 || n >> 8 == 8;
}

/* Written back is what was read: that changes nothing. */
static void list(uint32_t first, uint32_t count)
{
    for (uint32_t n = first; n < first + count; n++) {
        bool r, w;

        value = 0;
        r = can_read(n);
        w = can_write(n, value);
        if (!r && !w)
            continue;
        put("msr ");
        put_hex(n);
        put(r && w ? " rw " : r ? " r " : " w ");
        put_hex(moves(n) ? 0 : value);
        put("\n");
    }
}

static void leaf(uint32_t n, uint32_t subs)
{
    uint32_t r[4];

    for (uint32_t s = 0; s < subs; s++) {
        cpuid(n, s, r);
        put("leaf ");
        put_hex(n);
        put(" ");
        put_hex(s);
        for (unsigned i = 0; i < 4; i++) {
            put(" ");
            put_hex(r[i]);
        }
        put("\n");
    }
}

static void leaves(void)
{
    for (uint32_t n = 0; n <= 0x20; n++)
        leaf(n, n == 4 || n == 7 || n == 0xb || n >= 0xd ? 6 : 2);
    for (uint32_t n = 0; n < 4; n++)
        leaf(0x40000000 + n, 2);
    leaf(0x40000100, 1);
    leaf(0x4fffffff, 1);
    for (uint32_t n = 0; n <= 0x20; n++)
        leaf(0x80000000 + n, 2);
    leaf(0x10000000, 1);
    leaf(0x8fffffff, 1);
    leaf(0xc0000000, 1);
    leaf(0xffffffff, 1);
}

void main(void)
{
    uint32_t r[4];

    leaves();
    cpuid(1, 0, r);
    if (r[2] >> 21 & 1)
        wrmsr(0x1b, rdmsr(0x1b) | 1 << 10); /* x2APIC: its registers too */
    dangerous();
    random();
    list(0, 0x1000);
    list(0x40000000, 0x100);
    list(0x4b564d00, 0x10);
    list(0xc0000000, 0x200);
    list(0xc0010000, 0x300);
    list(0xc0011000, 0x100);
    ok(true, "all MSRs were tried");
}
