/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu.c - reset, derived state, attention, saving and loading of a vCPU.
 *
 * Everything architectural is saved; what derives from it (bases in use, TLB
 * table, attention mask) is recomputed. A state file is hostile: what the
 * host's own instructions would choke on is masked when it is read.
 */
#include "x86/vcpu.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/state.h"
#include "x86/cpuid.h"
#include "x86/debug.h"
#include "x86/flags.h"
#include "x86/msr.h"
#include "x86/segment.h"

#define VCPU_STATE_VERSION 1u

const char *const vcpu_gpr_names[16] = {
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
    "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15",
};

void vcpu_attn_set(struct vcpu *cpu, uint32_t bits)
{
    pid_t pid;

    atomic_fetch_or(&cpu->attn, bits);
    /* whoever sets it looks at attn after that */
    pid = atomic_load(&cpu->runs_in);
    if (unlikely(pid > 0))
        syscall(SYS_kill, pid, VCPU_KICK_SIGNAL);
    else if (unlikely(pid < 0))
        syscall(SYS_tgkill, getpid(), -pid, VCPU_KICK_SIGNAL);
    if (cpu->wake)
        cpu->wake(cpu);
}

/* --- derived state --- */

/* A no-op when nothing changes: the atomic would cost on every STI. */
static void attn_step(struct vcpu *cpu, bool on)
{
    uint32_t now = atomic_load_explicit(&cpu->attn, memory_order_relaxed);

    if (on == !!(now & ATTN_STEP))
        return;
    if (on)
        atomic_fetch_or(&cpu->attn, ATTN_STEP);
    else
        atomic_fetch_and(&cpu->attn, ~(uint32_t)ATTN_STEP);
}

void vcpu_update_rflags(struct vcpu *cpu)
{
    uint32_t mask = ~0u;

    if (cpu->cross_block && (cpu->cpl == 3) != cpu->was_user)
        cpu->break_block = true;

    if (!(cpu->rflags & FLAG_IF))
        mask &= ~(uint32_t)ATTN_INTR;
    if (cpu->nmi_blocked)
        mask &= ~(uint32_t)ATTN_NMI;
    cpu->attn_mask = mask;
    attn_step(cpu, (cpu->rflags & FLAG_TF) || (cpu->dr7 & 0xff) ||
                       cpu->db_pending || debug_steps(cpu));
    if (cpu->mmu)
        cpu->mmu->select(cpu);
}

static bool covers_all(const struct seg *s, uint32_t must)
{
    return !s->base && s->limit == 0xffffffff && !(s->attr & SEG_UNUSABLE) &&
           (s->attr & (SEG_CODE | SEG_EXPAND_DOWN)) != SEG_EXPAND_DOWN &&
           (s->attr & (SEG_P | SEG_S | must)) == (SEG_P | SEG_S | must);
}

void vcpu_update_block_mode(struct vcpu *cpu)
{
    const struct seg *s = cpu->seg;

    cpu->block_mode = cpu->code_width;
    if (cpu->code_width != 8 && s[SEG_CS].limit != 0xffffffff)
        cpu->block_mode |= BLOCK_LIMITED;
    if (cpu->code_width == 4 && covers_all(&s[SEG_CS], SEG_CODE) &&
        covers_all(&s[SEG_DS], SEG_WRITABLE) && !(s[SEG_DS].attr & SEG_CODE) &&
        covers_all(&s[SEG_ES], SEG_WRITABLE) && !(s[SEG_ES].attr & SEG_CODE) &&
        covers_all(&s[SEG_SS], SEG_WRITABLE | SEG_DB))
        cpu->block_mode |= BLOCK_FLAT;
}

void vcpu_update_mode(struct vcpu *cpu)
{
    uint32_t cs = cpu->seg[SEG_CS].attr;
    bool flat = vcpu_long_mode(cpu) && (cs & SEG_L);

    cpu->code_width = flat ? 8 : cs & SEG_DB ? 4 : 2;
    for (unsigned i = 0; i < SEG_FS; i++)
        cpu->seg_base[i] = flat ? 0 : cpu->seg[i].base;
    cpu->seg_base[SEG_FS] = cpu->seg[SEG_FS].base;
    cpu->seg_base[SEG_GS] = cpu->seg[SEG_GS].base;
    cpu->seg_base[SEG_NONE] = 0;
    vcpu_update_block_mode(cpu);
    vcpu_update_rflags(cpu);
}

/* --- reset --- */

static void reset_segments(struct vcpu *cpu)
{
    for (unsigned i = 0; i < SEG_COUNT; i++)
        cpu->seg[i] = seg_flat16(0, 0x93);
    cpu->seg[SEG_CS] = seg_flat16(0xf000, 0x9b);
    cpu->seg[SEG_CS].base = 0xffff0000;
    cpu->ldtr = seg_flat16(0, SEG_P | DESC_LDT);
    cpu->tr = seg_flat16(0, SEG_P | DESC_TSS_BUSY);
    cpu->gdtr = cpu->idtr = (struct desc_table){.limit = 0xffff};
}

static void reset_fpu(struct vcpu *cpu)
{
    memset(&cpu->fpu, 0, sizeof(cpu->fpu));
    cpu->fpu.fx[0] = 0x40; /* FCW */
    cpu->fpu.fx[4] = 0xff; /* power-on: all registers hold +0.0 */
    cpu->fpu.mxcsr = 0x1f80;
    cpu->xcr0 = XCR0_X87;
}

void vcpu_reset(struct vcpu *cpu, bool init)
{
    uint64_t cache = init ? cpu->cr0 & (CR0_CD | CR0_NW) : CR0_CD | CR0_NW;

    memset(cpu->gpr, 0, sizeof(cpu->gpr));
    cpu->gpr[R_RDX] = 0x000806f8; /* as CPUID's leaf 1 */
    cpu->rip = 0xfff0;
    cpu->rflags = FLAG_FIXED;
    cpu->cc_op = CC_EXPLICIT;
    cpu->cpl = 0;
    reset_segments(cpu);
    cpu->cr0 = cache | CR0_ET;
    cpu->cr2 = cpu->cr3 = cpu->cr4 = 0;
    memset(cpu->dr, 0, sizeof(cpu->dr));
    cpu->dr6 = 0xffff0ff0;
    cpu->dr7 = 0x400;
    memset(cpu->pdpte, 0, sizeof(cpu->pdpte));
    if (init) {
        cpu->msr.efer = 0; /* INIT clears EFER but no other MSR */
    } else {
        msr_reset(cpu);
        reset_fpu(cpu);
    }
    cpu->shadow = SHADOW_NONE;
    cpu->nmi_blocked = cpu->halted = cpu->shutdown = false;
    cpu->wait_sipi = cpu->db_pending = cpu->break_block = false;
    cpu->db_bits = 0;
    cpu->delivering = 0;
    cpu->exc = (struct exc){0};
    vcpu_attn_clear(cpu, ATTN_NMI | ATTN_STEP);
    if (cpu->mmu)
        cpu->mmu->flush_all(cpu);
    vcpu_update_mode(cpu);
}

/* --- saving and loading --- */

/* 64-bit fields that are stored as they are. */
static const struct {
    const char *name;
    size_t offset;
} words[] = {
#define WORD(f)                                                                \
    {                                                                          \
#f, offsetof(struct vcpu, f)                                           \
    }
    WORD(rip), WORD(cr2), WORD(cr3), WORD(dr6), WORD(dr7), WORD(db_bits),
#undef WORD
};

static void seg_save(struct state_writer *w, const char *name,
                     const struct seg *s)
{
    uint64_t v[4] = {s->sel, s->attr, s->limit, s->base};

    state_put_blob(w, name, v, sizeof(v));
}

static void seg_restore(struct state_reader *r, const char *name, struct seg *s)
{
    uint64_t v[4] = {0};

    state_get_blob(r, name, v, sizeof(v));
    s->sel = (uint16_t)v[0];
    s->attr = (uint32_t)v[1] & (0xf0ff | SEG_UNUSABLE);
    s->limit = (uint32_t)v[2];
    s->base = v[3];
}

static const char *const seg_names[SEG_COUNT] = {"es", "cs", "ss",
                                                 "ds", "fs", "gs"};

/* Requests that have arrived but were not taken yet. */
#define ATTN_SAVED (ATTN_NMI | ATTN_INIT | ATTN_SIPI)

static void save_events(struct vcpu *cpu, struct state_writer *w)
{
    state_put(w, "attn", atomic_load(&cpu->attn) & ATTN_SAVED);
    state_put(w, "shadow", cpu->shadow);
    state_put(w, "nmi_blocked", cpu->nmi_blocked);
    state_put(w, "halted", cpu->halted);
    state_put(w, "wait_sipi", cpu->wait_sipi);
    state_put(w, "sipi_vector", cpu->sipi_vector);
    state_put(w, "shutdown", cpu->shutdown);
    state_put(w, "db_pending", cpu->db_pending);
}

void vcpu_save(struct vcpu *cpu, struct state_writer *w)
{
    state_begin(w, "vcpu", cpu->index, VCPU_STATE_VERSION);
    state_put_blob(w, "gpr", cpu->gpr, 16 * sizeof(cpu->gpr[0]));
    state_put(w, "rflags", flags_get(cpu));
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        state_put(w, words[i].name,
                  *(uint64_t *)((char *)cpu + words[i].offset));
    for (unsigned i = 0; i < SEG_COUNT; i++)
        seg_save(w, seg_names[i], &cpu->seg[i]);
    seg_save(w, "ldtr", &cpu->ldtr);
    seg_save(w, "tr", &cpu->tr);
    state_put(w, "gdtr.base", cpu->gdtr.base);
    state_put(w, "gdtr.limit", cpu->gdtr.limit);
    state_put(w, "idtr.base", cpu->idtr.base);
    state_put(w, "idtr.limit", cpu->idtr.limit);
    state_put(w, "cpl", cpu->cpl);
    state_put(w, "cr0", cpu->cr0);
    state_put(w, "cr4", cpu->cr4);
    state_put(w, "xcr0", cpu->xcr0);
    state_put_blob(w, "dr", cpu->dr, sizeof(cpu->dr));
    state_put_blob(w, "pdpte", cpu->pdpte, sizeof(cpu->pdpte));
    state_put_blob(w, "msr", &cpu->msr, sizeof(cpu->msr));
    state_put_blob(w, "fx", cpu->fpu.fx, sizeof(cpu->fpu.fx));
    state_put_blob(w, "ymm", cpu->fpu.ymm, sizeof(cpu->fpu.ymm));
    state_put(w, "mxcsr", cpu->fpu.mxcsr);
    state_put(w, "tsc", vcpu_tsc(cpu));
    state_put(w, "insns", vcpu_insns(cpu));
    save_events(cpu, w);
    state_end(w);
}

static void load_events(struct vcpu *cpu, struct state_reader *r)
{
    uint32_t attn = (uint32_t)state_get(r, "attn") & ATTN_SAVED;

    cpu->shadow = (uint8_t)state_get_max(r, "shadow", SHADOW_SS);
    cpu->nmi_blocked = state_get_max(r, "nmi_blocked", 1);
    cpu->halted = state_get_max(r, "halted", 1);
    cpu->wait_sipi = state_get_max(r, "wait_sipi", 1);
    cpu->sipi_vector = (uint8_t)state_get_max(r, "sipi_vector", 255);
    cpu->shutdown = state_get_max(r, "shutdown", 1);
    cpu->db_pending = state_get_max(r, "db_pending", 1);
    atomic_fetch_or(&cpu->attn, attn);
}

static void load_registers(struct vcpu *cpu, struct state_reader *r)
{
    state_get_blob(r, "gpr", cpu->gpr, 16 * sizeof(cpu->gpr[0]));
    cpu->gpr[R_ZERO] = cpu->gpr[R_PAGE] = 0;
    cpu->rflags = (state_get(r, "rflags") & 0x3f7fd7) | FLAG_FIXED;
    cpu->cc_op = CC_EXPLICIT;
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        *(uint64_t *)((char *)cpu + words[i].offset) =
            state_get(r, words[i].name);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        seg_restore(r, seg_names[i], &cpu->seg[i]);
    seg_restore(r, "ldtr", &cpu->ldtr);
    seg_restore(r, "tr", &cpu->tr);
    cpu->gdtr.base = state_get(r, "gdtr.base");
    cpu->gdtr.limit = (uint16_t)state_get_max(r, "gdtr.limit", 0xffff);
    cpu->idtr.base = state_get(r, "idtr.base");
    cpu->idtr.limit = (uint16_t)state_get_max(r, "idtr.limit", 0xffff);
    cpu->cpl = (uint8_t)state_get_max(r, "cpl", 3);
    cpu->cr0 = (state_get(r, "cr0") & 0xe005003f) | CR0_ET;
    cpu->cr4 = state_get(r, "cr4") & cpu_cr4_allowed(cpu->model);
    cpu->xcr0 =
        (state_get(r, "xcr0") & cpu_xcr0_allowed(cpu->model)) | XCR0_X87;
    state_get_blob(r, "dr", cpu->dr, sizeof(cpu->dr));
    state_get_blob(r, "pdpte", cpu->pdpte, sizeof(cpu->pdpte));
}

int vcpu_load(struct vcpu *cpu, struct state_reader *r, struct error *err)
{
    if (!state_open(r, "vcpu", cpu->index, VCPU_STATE_VERSION))
        return state_result(r, err);
    load_registers(cpu, r);
    state_get_blob(r, "msr", &cpu->msr, sizeof(cpu->msr));
    cpu->msr.efer &= cpu_efer_allowed(cpu->model);
    state_get_blob(r, "fx", cpu->fpu.fx, sizeof(cpu->fpu.fx));
    state_get_blob(r, "ymm", cpu->fpu.ymm, sizeof(cpu->fpu.ymm));
    /* reserved bits would fault the host when it is loaded */
    cpu->fpu.mxcsr = (uint32_t)state_get(r, "mxcsr") & 0xffff;
    cpu->tsc_offset = 0;
    cpu->tsc_offset = state_get(r, "tsc") - vcpu_tsc(cpu);
    cpu->in_block = 0;
    cpu->budget_end = state_get(r, "insns") + (uint64_t)cpu->budget;
    load_events(cpu, r);
    if (cpu->mmu)
        cpu->mmu->flush_all(cpu);
    vcpu_update_mode(cpu);
    return state_result(r, err);
}

/* Linux's part of the address space: behind the decompressor, above user code.
 */
static bool kernel_address(const struct vcpu *cpu)
{
    return (cpu->cr0 & CR0_PG) && (cpu->rip >> 63 || (cpu->code_width == 4 &&
                                                      cpu->rip >= 0xc0000000u));
}

void vcpu_new_code(struct vcpu *cpu)
{
    unsigned what = 0;

    if (likely(!cpu->first_seen))
        return;
    if (cpu->cpl == 3)
        what = VCPU_FIRST_USER;
    else if (kernel_address(cpu))
        what = VCPU_FIRST_KERNEL;
    if (!(cpu->first_seen & what))
        return;
    cpu->first_seen &= ~what;
    cpu->on_first(cpu, what);
}
