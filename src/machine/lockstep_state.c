/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lockstep_state.c - a vCPU for comparing: all that software could tell apart,
 * each thing under the name it has in the manual.
 *
 * It is not vcpu_save(): that is made for loading. What an instruction leaves
 * behind where nobody can see it (the scratch half of the FXSAVE image, the
 * last exception) is left out, what derives from other devices is in.
 */
#include "machine/lockstep.h"

#include <stdio.h>

#include "x86/flags.h"
#include "x86/fpu.h"
#include "x86/vcpu.h"

#define VCPU_FIELDS_VERSION 1

/* 64-bit registers that stand as they are in struct vcpu. */
static const struct {
    const char *name;
    size_t offset;
} plain[] = {
#define REG(name, f)                                                           \
    {                                                                          \
        name, offsetof(struct vcpu, f)                                         \
    }
    REG("rax", gpr[R_RAX]),
    REG("rbx", gpr[R_RBX]),
    REG("rcx", gpr[R_RCX]),
    REG("rdx", gpr[R_RDX]),
    REG("rsi", gpr[R_RSI]),
    REG("rdi", gpr[R_RDI]),
    REG("rbp", gpr[R_RBP]),
    REG("rsp", gpr[R_RSP]),
    REG("r8", gpr[R_R8]),
    REG("r9", gpr[R_R9]),
    REG("r10", gpr[R_R10]),
    REG("r11", gpr[R_R11]),
    REG("r12", gpr[R_R12]),
    REG("r13", gpr[R_R13]),
    REG("r14", gpr[R_R14]),
    REG("r15", gpr[R_R15]),
    REG("rip", rip),
    REG("gdtr.base", gdtr.base),
    REG("idtr.base", idtr.base),
    REG("cr0", cr0),
    REG("cr2", cr2),
    REG("cr3", cr3),
    REG("cr4", cr4),
    REG("xcr0", xcr0),
    REG("dr0", dr[0]),
    REG("dr1", dr[1]),
    REG("dr2", dr[2]),
    REG("dr3", dr[3]),
    REG("dr6", dr6),
    REG("dr7", dr7),
    REG("pdpte0", pdpte[0]),
    REG("pdpte1", pdpte[1]),
    REG("pdpte2", pdpte[2]),
    REG("pdpte3", pdpte[3]),
    REG("IA32_EFER", msr.efer),
    REG("IA32_STAR", msr.star),
    REG("IA32_LSTAR", msr.lstar),
    REG("IA32_CSTAR", msr.cstar),
    REG("IA32_FMASK", msr.sfmask),
    REG("IA32_KERNEL_GS_BASE", msr.kernel_gs_base),
    REG("IA32_TSC_AUX", msr.tsc_aux),
    REG("IA32_SYSENTER_CS", msr.sysenter_cs),
    REG("IA32_SYSENTER_ESP", msr.sysenter_esp),
    REG("IA32_SYSENTER_EIP", msr.sysenter_eip),
    REG("IA32_PAT", msr.pat),
    REG("IA32_MISC_ENABLE", msr.misc_enable),
    REG("IA32_SPEC_CTRL", msr.spec_ctrl),
    REG("IA32_DEBUGCTL", msr.debugctl),
    REG("IA32_TSC_ADJUST", msr.tsc_adjust),
    REG("IA32_MTRR_DEF_TYPE", msr.mtrr_def_type),
    REG("IA32_MCG_STATUS", msr.mcg_status),
    REG("IA32_BIOS_SIGN_ID", msr.ucode_rev),
    REG("IA32_XSS", msr.xss),
    REG("apic page", apic_page),
    REG("pending debug bits", db_bits),
#undef REG
};

/* The rest of struct msrs: arrays, of which each is `count` registers. */
static const struct {
    const char *name;
    size_t offset;
    unsigned count;
} arrays[] = {
#define ARRAY(name, f)                                                         \
    {                                                                          \
        name, offsetof(struct vcpu, msr.f), ARRAY_SIZE(((struct msrs *)0)->f)  \
    }
    ARRAY("IA32_MTRR_FIX", mtrr_fixed),
    ARRAY("IA32_MTRR_PHYSBASE", mtrr_base),
    ARRAY("IA32_MTRR_PHYSMASK", mtrr_mask),
    ARRAY("IA32_MC_CTL", mc_ctl),
    ARRAY("IA32_MC_STATUS", mc_status),
    ARRAY("IA32_MC_ADDR", mc_addr),
    ARRAY("IA32_MC_MISC", mc_misc),
#undef ARRAY
};
/* An MSR that is added there is to be added here. */
_Static_assert(sizeof(struct msrs) == (19 + 11 + 16 + 16) * 8, "all MSRs");

static const char *const seg_names[SEG_COUNT] = {"es", "cs", "ss",
                                                 "ds", "fs", "gs"};

static void put_seg(struct state_writer *w, const char *name,
                    const struct seg *s)
{
    char field[24];

    snprintf(field, sizeof(field), "%s.sel", name);
    state_put(w, field, s->sel);
    snprintf(field, sizeof(field), "%s.attr", name);
    state_put(w, field, s->attr);
    snprintf(field, sizeof(field), "%s.limit", name);
    state_put(w, field, s->limit);
    snprintf(field, sizeof(field), "%s.base", name);
    state_put(w, field, s->base);
}

static uint64_t fx_word(const struct vcpu *cpu, unsigned at, unsigned width)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < width; i++)
        v |= (uint64_t)cpu->fpu.fx[at + i] << (8 * i);
    return v;
}

static void put_fpu(struct state_writer *w, const struct vcpu *cpu)
{
    char name[8];

    state_put(w, "fcw", fx_word(cpu, FX_FCW, 2));
    state_put(w, "fsw", fx_word(cpu, FX_FSW, 2));
    state_put(w, "ftw", fx_word(cpu, FX_FTW, 1));
    state_put(w, "fop", fx_word(cpu, FX_FOP, 2));
    state_put(w, "fip", fx_word(cpu, FX_FIP, 8));
    state_put(w, "fdp", fx_word(cpu, FX_FDP, 8));
    state_put(w, "mxcsr", cpu->fpu.mxcsr);
    for (unsigned i = 0; i < 8; i++) {
        snprintf(name, sizeof(name), "st%u", i);
        state_put_blob(w, name, cpu->fpu.fx + FX_ST(i), 10);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(cpu->fpu.ymm); i++) {
        snprintf(name, sizeof(name), "ymm%u", i);
        state_put_blob(w, name, cpu->fpu.ymm[i], sizeof(cpu->fpu.ymm[i]));
    }
}

/* What has arrived and was not taken; an interrupt is the APIC's to show. */
static void put_events(struct state_writer *w, struct vcpu *cpu)
{
    uint32_t attn = atomic_load(&cpu->attn);

    state_put(w, "NMI pending", !!(attn & ATTN_NMI));
    state_put(w, "INIT pending", !!(attn & ATTN_INIT));
    state_put(w, "SIPI pending", !!(attn & ATTN_SIPI));
    state_put(w, "SIPI vector", cpu->sipi_vector);
    state_put(w, "interrupt shadow", cpu->shadow);
    state_put(w, "NMIs blocked", cpu->nmi_blocked);
    state_put(w, "halted", cpu->halted);
    state_put(w, "waits for SIPI", cpu->wait_sipi);
    state_put(w, "shut down", cpu->shutdown);
    state_put(w, "debug trap pending", cpu->db_pending);
}

void lockstep_put_vcpu(struct vcpu *cpu, struct state_writer *w)
{
    char name[32];

    state_begin(w, "vcpu", cpu->index, VCPU_FIELDS_VERSION);
    state_put(w, "instructions", vcpu_insns(cpu));
    for (unsigned i = 0; i < ARRAY_SIZE(plain); i++)
        state_put(w, plain[i].name,
                  *(uint64_t *)((char *)cpu + plain[i].offset));
    state_put(w, "rflags", flags_get(cpu));
    state_put(w, "cpl", cpu->cpl);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        put_seg(w, seg_names[i], &cpu->seg[i]);
    put_seg(w, "ldtr", &cpu->ldtr);
    put_seg(w, "tr", &cpu->tr);
    state_put(w, "gdtr.limit", cpu->gdtr.limit);
    state_put(w, "idtr.limit", cpu->idtr.limit);
    state_put(w, "cr8", cpu->intr->tpr_get(cpu->intr_ctx));
    state_put(w, "tsc", vcpu_tsc(cpu));
    for (unsigned i = 0; i < ARRAY_SIZE(arrays); i++) {
        uint64_t *v = (uint64_t *)((char *)cpu + arrays[i].offset);

        for (unsigned j = 0; j < arrays[i].count; j++) {
            snprintf(name, sizeof(name), "%s%u", arrays[i].name, j);
            state_put(w, name, v[j]);
        }
    }
    put_fpu(w, cpu);
    put_events(w, cpu);
    state_end(w);
}
