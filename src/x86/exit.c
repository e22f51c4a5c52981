/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exit.c - which instructions are exits, and running one.
 */
#include "x86/exit.h"

#include <Zydis/Zydis.h>

#include "x86/sem.h"
#include "x86/trace.h"

static const struct {
    uint16_t op;
    uint8_t reason;
} exit_ops[] = {
#define E(name)                                                                \
    {                                                                          \
        ZYDIS_MNEMONIC_##name, EXIT_##name                                     \
    }
#define S(name, what)                                                          \
    {                                                                          \
        ZYDIS_MNEMONIC_##name, EXIT_##what                                     \
    }
    E(CPUID),       E(HLT),         E(RDMSR),       E(WRMSR),     E(CLTS),
    E(LMSW),        E(INVLPG),      E(INVPCID),     E(RDTSC),     E(RDTSCP),
    E(RDPMC),       E(XSETBV),      E(LGDT),        E(LIDT),      E(SGDT),
    E(SIDT),        E(LLDT),        E(LTR),         E(SLDT),      E(STR),
    E(INVD),        E(WBINVD),      E(PAUSE),       E(RDRAND),    E(RDSEED),
    E(IN),          E(OUT),         S(INSB, INS),   S(INSW, INS), S(INSD, INS),
    S(OUTSB, OUTS), S(OUTSW, OUTS), S(OUTSD, OUTS),
#undef E
#undef S
};

enum exit_reason exit_reason_of(const struct insn *in)
{
    if (in->sem == sem_mov_to_cr)
        return EXIT_MOV_TO_CR;
    if (in->sem == sem_mov_from_cr)
        return EXIT_MOV_FROM_CR;
    if (in->sem == sem_mov_to_dr)
        return EXIT_MOV_TO_DR;
    if (in->sem == sem_mov_from_dr)
        return EXIT_MOV_FROM_DR;
    if (in->sem == sem_undefined)
        return EXIT_NONE;
    for (size_t i = 0; i < ARRAY_SIZE(exit_ops); i++)
        if (exit_ops[i].op == in->op)
            return exit_ops[i].reason;
    return EXIT_NONE;
}

const char *exit_name(enum exit_reason reason)
{
    static const char *const names[EXIT_COUNT] = {
        [EXIT_NONE] = "",
        [EXIT_CPUID] = "cpuid",
        [EXIT_HLT] = "hlt",
        [EXIT_RDMSR] = "rdmsr",
        [EXIT_WRMSR] = "wrmsr",
        [EXIT_MOV_TO_CR] = "mov-to-cr",
        [EXIT_MOV_FROM_CR] = "mov-from-cr",
        [EXIT_CLTS] = "clts",
        [EXIT_LMSW] = "lmsw",
        [EXIT_MOV_TO_DR] = "mov-to-dr",
        [EXIT_MOV_FROM_DR] = "mov-from-dr",
        [EXIT_INVLPG] = "invlpg",
        [EXIT_INVPCID] = "invpcid",
        [EXIT_RDTSC] = "rdtsc",
        [EXIT_RDTSCP] = "rdtscp",
        [EXIT_RDPMC] = "rdpmc",
        [EXIT_XSETBV] = "xsetbv",
        [EXIT_LGDT] = "lgdt",
        [EXIT_LIDT] = "lidt",
        [EXIT_SGDT] = "sgdt",
        [EXIT_SIDT] = "sidt",
        [EXIT_LLDT] = "lldt",
        [EXIT_LTR] = "ltr",
        [EXIT_SLDT] = "sldt",
        [EXIT_STR] = "str",
        [EXIT_INVD] = "invd",
        [EXIT_WBINVD] = "wbinvd",
        [EXIT_PAUSE] = "pause",
        [EXIT_RDRAND] = "rdrand",
        [EXIT_RDSEED] = "rdseed",
        [EXIT_IN] = "in",
        [EXIT_OUT] = "out",
        [EXIT_INS] = "ins",
        [EXIT_OUTS] = "outs",
    };

    return reason < EXIT_COUNT ? names[reason] : "";
}

static enum step exit_traced(struct vcpu *cpu, const struct insn *in)
{
    struct trace_event e;
    enum step step;

    if (!trace_exit_begin(cpu, in, &e))
        return in->sem(cpu, in);
    step = in->sem(cpu, in);
    trace_exit_end(cpu, &e, step == STEP_FAULT);
    return step;
}

/*
 * Serializing instructions, and I/O, wait until all stores are seen
 * [SDM 3A 9.3]. Guest stores are host stores: so a fence of the host's.
 */
#define E(name) BIT64(EXIT_##name)
static const uint64_t exit_drains =
    E(CPUID) | E(WRMSR) | E(MOV_TO_CR) | E(MOV_TO_DR) | E(INVLPG) | E(INVPCID) |
    E(LGDT) | E(LIDT) | E(LLDT) | E(LTR) | E(INVD) | E(WBINVD) | E(IN) |
    E(OUT) | E(INS) | E(OUTS);
#undef E
_Static_assert(EXIT_COUNT <= 64, "bits of exit_drains");

enum step exit_run(struct vcpu *cpu, const struct insn *in)
{
    uint64_t t0 = stats_begin(&cpu->stats);
    enum step step;

    if (exit_drains >> in->exit & 1)
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    step = trace_on(cpu, TRACE_EXIT) ? exit_traced(cpu, in) : in->sem(cpu, in);
    stats_meter(&cpu->stats, &cpu->stats.exit[in->exit], t0);
    return step;
}
