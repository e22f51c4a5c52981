/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sem_system.c - flags with privilege, CPUID, MSRs, time stamps, FS and GS
 *                bases, fences, hints; and the table of all system
 *                instructions. [SDM 3A 2.8]
 *
 * STEP_SYNC is returned where interrupts may become possible; what only
 * forbids them, or changes rights of data accesses, takes effect at once.
 */
#include <sys/random.h>

#include <Zydis/Zydis.h>

#include "x86/cpuid.h"
#include "x86/flags.h"
#include "x86/msr.h"
#include "x86/segment.h"
#include "x86/sem.h"

static unsigned iopl(const struct vcpu *cpu)
{
    return (cpu->rflags & FLAG_IOPL) >> 12;
}

static bool privileged(const struct vcpu *cpu)
{
    return cpu->cpl == 0;
}

/* --- HLT, IF --- */

static enum step sem_hlt(struct vcpu *cpu, const struct insn *in)
{
    if (!privileged(cpu))
        return raise_gp(cpu, 0);
    cpu->rip = insn_next_rip(cpu, in);
    cpu->halted = true;
    return STEP_HALT;
}

/* In vm86 mode CPL is 3, so one rule does for all modes but real. */
static bool if_allowed(const struct vcpu *cpu)
{
    return vcpu_real(cpu) || cpu->cpl <= iopl(cpu);
}

static enum step sem_cli(struct vcpu *cpu, const struct insn *in)
{
    (void)in;
    if (!if_allowed(cpu))
        return raise_gp(cpu, 0);
    cpu->rflags &= ~FLAG_IF;
    vcpu_update_rflags(cpu);
    return STEP_NEXT;
}

static enum step sem_sti(struct vcpu *cpu, const struct insn *in)
{
    (void)in;
    if (!if_allowed(cpu))
        return raise_gp(cpu, 0);
    if (cpu->rflags & FLAG_IF)
        return STEP_NEXT;
    cpu->rflags |= FLAG_IF;
    cpu->shadow = SHADOW_STI;
    vcpu_update_rflags(cpu);
    return STEP_SYNC;
}

/* --- PUSHF, POPF; sub: operand size --- */

static bool pushf_allowed(const struct vcpu *cpu)
{
    return !vcpu_vm86(cpu) || iopl(cpu) == 3;
}

static enum step sem_pushf(struct vcpu *cpu, const struct insn *in)
{
    if (!pushf_allowed(cpu))
        return raise_gp(cpu, 0);
    if (stack_push(cpu, in->sub, flags_get(cpu) & ~(FLAG_VM | FLAG_RF)))
        return STEP_FAULT;
    return STEP_NEXT;
}

static enum step sem_popf(struct vcpu *cpu, const struct insn *in)
{
    uint64_t mask = flags_writable(cpu, in->sub), val, old;

    if (!pushf_allowed(cpu))
        return raise_gp(cpu, 0);
    if (stack_pop(cpu, in->sub, &val))
        return STEP_FAULT;
    flags_sync(cpu);
    old = cpu->rflags;
    cpu->rflags = ((old & ~mask) | (val & mask) | FLAG_FIXED) & ~FLAG_RF;
    if (!((old ^ cpu->rflags) & (FLAG_IF | FLAG_TF | FLAG_AC)))
        return STEP_NEXT;
    vcpu_update_rflags(cpu);
    return STEP_SYNC;
}

/* --- SMAP --- */

static enum step sem_clac(struct vcpu *cpu, const struct insn *in)
{
    (void)in;
    if (!privileged(cpu))
        return raise_ud(cpu);
    cpu->rflags &= ~FLAG_AC;
    vcpu_update_rflags(cpu);
    return STEP_NEXT;
}

static enum step sem_stac(struct vcpu *cpu, const struct insn *in)
{
    (void)in;
    if (!privileged(cpu))
        return raise_ud(cpu);
    cpu->rflags |= FLAG_AC;
    vcpu_update_rflags(cpu);
    return STEP_NEXT;
}

/* --- CPUID, MSRs --- */

static enum step sem_cpuid(struct vcpu *cpu, const struct insn *in)
{
    struct cpuid_regs r =
        cpuid_query(cpu, (uint32_t)cpu->gpr[R_RAX], (uint32_t)cpu->gpr[R_RCX]);

    (void)in;
    cpu->gpr[R_RAX] = r.eax;
    cpu->gpr[R_RBX] = r.ebx;
    cpu->gpr[R_RCX] = r.ecx;
    cpu->gpr[R_RDX] = r.edx;
    return STEP_NEXT;
}

static void put_edx_eax(struct vcpu *cpu, uint64_t v)
{
    cpu->gpr[R_RAX] = (uint32_t)v;
    cpu->gpr[R_RDX] = v >> 32;
}

static enum step sem_rdmsr(struct vcpu *cpu, const struct insn *in)
{
    uint64_t v;

    (void)in;
    if (!privileged(cpu) || !msr_read(cpu, (uint32_t)cpu->gpr[R_RCX], &v))
        return raise_gp(cpu, 0);
    put_edx_eax(cpu, v);
    return STEP_NEXT;
}

static enum step sem_wrmsr(struct vcpu *cpu, const struct insn *in)
{
    uint64_t v = (uint32_t)cpu->gpr[R_RAX] | cpu->gpr[R_RDX] << 32;

    (void)in;
    if (!privileged(cpu) || !msr_write(cpu, (uint32_t)cpu->gpr[R_RCX], v))
        return raise_gp(cpu, 0);
    return STEP_SYNC;
}

/* --- time --- */

static bool tsc_allowed(const struct vcpu *cpu)
{
    return !(cpu->cr4 & CR4_TSD) || privileged(cpu);
}

static enum step sem_rdtsc(struct vcpu *cpu, const struct insn *in)
{
    (void)in;
    if (!tsc_allowed(cpu))
        return raise_gp(cpu, 0);
    put_edx_eax(cpu, vcpu_tsc(cpu));
    return STEP_NEXT;
}

static enum step sem_rdtscp(struct vcpu *cpu, const struct insn *in)
{
    (void)in;
    if (!tsc_allowed(cpu))
        return raise_gp(cpu, 0);
    put_edx_eax(cpu, vcpu_tsc(cpu));
    cpu->gpr[R_RCX] = (uint32_t)cpu->msr.tsc_aux;
    return STEP_NEXT;
}

static enum step sem_rdpid(struct vcpu *cpu, const struct insn *in)
{
    reg_set(cpu, in->rm, cpu->code_width == 8 ? 8 : 4,
            (uint32_t)cpu->msr.tsc_aux);
    return STEP_NEXT;
}

/* CPUID shows no performance counters, so every index is wrong. */
static enum step sem_rdpmc(struct vcpu *cpu, const struct insn *in)
{
    (void)in;
    return raise_gp(cpu, 0);
}

/* --- FSGSBASE; sub: the segment --- */

static bool fsgsbase_allowed(const struct vcpu *cpu)
{
    return cpu->code_width == 8 && (cpu->cr4 & CR4_FSGSBASE);
}

static enum step sem_rdbase(struct vcpu *cpu, const struct insn *in)
{
    if (!fsgsbase_allowed(cpu))
        return raise_ud(cpu);
    reg_set(cpu, in->rm, in->rm_width, cpu->seg[in->sub].base);
    return STEP_NEXT;
}

static enum step sem_wrbase(struct vcpu *cpu, const struct insn *in)
{
    uint64_t v = reg_get(cpu, in->rm, in->rm_width);

    if (!fsgsbase_allowed(cpu))
        return raise_ud(cpu);
    if (!gva_canonical(v))
        return raise_gp(cpu, 0);
    cpu->seg[in->sub].base = v;
    cpu->seg_base[in->sub] = v;
    return STEP_NEXT;
}

/* --- caches, fences, hints --- */

static enum step sem_wbinvd(struct vcpu *cpu, const struct insn *in)
{
    (void)in;
    return privileged(cpu) ? STEP_NEXT : raise_gp(cpu, 0);
}

/* CLFLUSH and kin fault as a load of one byte does. */
static enum step sem_clflush(struct vcpu *cpu, const struct insn *in)
{
    struct ref line;

    if (!(in->flags & INSN_MEM))
        return raise_ud(cpu);
    if (ref_open_at(cpu, in->seg, insn_ea(cpu, in), 1, REF_R, &line))
        return STEP_FAULT;
    return STEP_NEXT;
}

/* Guest stores are host stores: the host's fence is the guest's. */
static enum step sem_fence(struct vcpu *cpu, const struct insn *in)
{
    (void)cpu;
    (void)in;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return STEP_NEXT;
}

/*
 * PAUSE in a loop: the vCPU waits for another, which may be waiting for the
 * host CPU that this one burns. Hardware has the same remedy, PAUSE-loop
 * exiting [SDM 3C 25.1.3]: PAUSEs in a row, each not far behind the last.
 */
#define PAUSE_GAP  64 /* instructions, at most, between two of a loop */
#define PAUSE_LOOP 64 /* of them until it is one: a few microseconds */

static enum step sem_pause(struct vcpu *cpu, const struct insn *in)
{
    uint64_t now = vcpu_insns(cpu);

    (void)in;
    if (now - cpu->pause_last > PAUSE_GAP)
        cpu->pauses = 0;
    cpu->pause_last = now;
    if (!(++cpu->pauses % PAUSE_LOOP) && cpu->relax)
        cpu->relax(cpu);
    return STEP_NEXT;
}

static enum step sem_serialize(struct vcpu *cpu, const struct insn *in)
{
    (void)cpu;
    (void)in;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return STEP_SYNC;
}

/* A deterministic machine's come from its seed (SplitMix64). */
static bool random_number(struct vcpu *cpu, uint64_t *v)
{
    if (!cpu->rng)
        return getrandom(v, sizeof(*v), GRND_NONBLOCK) == sizeof(*v);
    *v = *cpu->rng += 0x9e3779b97f4a7c15;
    *v = (*v ^ *v >> 30) * 0xbf58476d1ce4e5b9;
    *v = (*v ^ *v >> 27) * 0x94d049bb133111eb;
    *v ^= *v >> 31;
    return true;
}

/* CF tells whether the host had randomness at hand. */
static enum step sem_rdrand(struct vcpu *cpu, const struct insn *in)
{
    uint64_t v = 0;
    bool ok = random_number(cpu, &v);

    reg_set(cpu, in->rm, in->rm_width, ok ? v : 0);
    flags_set(cpu, FLAG_STATUS, ok ? FLAG_CF : 0);
    return STEP_NEXT;
}

#define E(name, flags, sem, sub)                                               \
    {                                                                          \
        ZYDIS_MNEMONIC_##name, flags, sem, sub, false                          \
    }

const struct sem_entry sem_system_table[] = {
    E(HLT, INSN_JUMP | INSN_SYNC, sem_hlt, 0),
    E(CLI, 0, sem_cli, 0),
    E(STI, INSN_SYNC, sem_sti, 0),
    E(PUSHF, 0, sem_pushf, 2),
    E(PUSHFD, 0, sem_pushf, 4),
    E(PUSHFQ, 0, sem_pushf, 8),
    E(POPF, INSN_SYNC, sem_popf, 2),
    E(POPFD, INSN_SYNC, sem_popf, 4),
    E(POPFQ, INSN_SYNC, sem_popf, 8),
    E(CLAC, 0, sem_clac, 0),
    E(STAC, 0, sem_stac, 0),
    E(CPUID, 0, sem_cpuid, 0),
    E(RDMSR, 0, sem_rdmsr, 0),
    E(WRMSR, INSN_SYNC, sem_wrmsr, 0),
    E(RDTSC, 0, sem_rdtsc, 0),
    E(RDTSCP, 0, sem_rdtscp, 0),
    E(RDPID, 0, sem_rdpid, 0),
    E(RDPMC, 0, sem_rdpmc, 0),
    E(RDFSBASE, 0, sem_rdbase, SEG_FS),
    E(RDGSBASE, 0, sem_rdbase, SEG_GS),
    E(WRFSBASE, 0, sem_wrbase, SEG_FS),
    E(WRGSBASE, 0, sem_wrbase, SEG_GS),
    E(RDRAND, 0, sem_rdrand, 0),
    E(RDSEED, 0, sem_rdrand, 0),

    /* sem_control.c */
    E(CLTS, INSN_SYNC, sem_clts, 0),
    E(LMSW, INSN_SYNC, sem_lmsw, 0),
    E(SMSW, 0, sem_smsw, 0),
    E(LGDT, 0, sem_lgdt, 0),
    E(LIDT, 0, sem_lidt, 0),
    E(SGDT, 0, sem_sgdt, 0),
    E(SIDT, 0, sem_sidt, 0),
    E(LLDT, 0, sem_lldt, 0),
    E(LTR, 0, sem_ltr, 0),
    E(SLDT, 0, sem_sldt, 0),
    E(STR, 0, sem_str, 0),
    E(LAR, 0, sem_lar, 0),
    E(LSL, 0, sem_lsl, 0),
    E(VERR, 0, sem_verr, 0),
    E(VERW, 0, sem_verw, 0),
    E(ARPL, 0, sem_arpl, 0),
    E(LDS, 0, sem_lds, SEG_DS),
    E(LES, 0, sem_lds, SEG_ES),
    E(LFS, 0, sem_lds, SEG_FS),
    E(LGS, 0, sem_lds, SEG_GS),
    E(LSS, 0, sem_lds, SEG_SS),
    E(INVLPG, INSN_SYNC, sem_invlpg, 0),
    E(INVPCID, INSN_SYNC, sem_invpcid, 0),
    E(XGETBV, 0, sem_xgetbv, 0),
    E(XSETBV, INSN_SYNC, sem_xsetbv, 0),

    E(INVD, 0, sem_wbinvd, 0),
    E(WBINVD, 0, sem_wbinvd, 0),
    E(CLFLUSH, 0, sem_clflush, 0),
    E(CLFLUSHOPT, 0, sem_clflush, 0),
    E(CLWB, 0, sem_clflush, 0),
    E(LFENCE, 0, sem_fence, 0),
    E(MFENCE, 0, sem_fence, 0),
    E(SFENCE, 0, sem_fence, 0),
    E(SERIALIZE, INSN_SYNC, sem_serialize, 0),
    E(NOP, 0, sem_nop, 0),
    E(PAUSE, 0, sem_pause, 0),
    E(ENDBR32, 0, sem_nop, 0),
    E(ENDBR64, 0, sem_nop, 0),
    E(PREFETCH, 0, sem_nop, 0),
    E(PREFETCHNTA, 0, sem_nop, 0),
    E(PREFETCHT0, 0, sem_nop, 0),
    E(PREFETCHT1, 0, sem_nop, 0),
    E(PREFETCHT2, 0, sem_nop, 0),
    E(PREFETCHW, 0, sem_nop, 0),
    E(PREFETCHWT1, 0, sem_nop, 0),
    E(UD0, INSN_JUMP, sem_undefined, 0),
    E(UD1, INSN_JUMP, sem_undefined, 0),
    E(UD2, INSN_JUMP, sem_undefined, 0),
    E(RSM, INSN_JUMP, sem_undefined, 0),
    {0, 0, NULL, 0, false},
};
