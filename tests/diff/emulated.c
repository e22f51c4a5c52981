/* SPDX-License-Identifier: Apache-2.0 */
/*
 * emulated.c - a virtual CPU at CPL 3, with just enough of a kernel around
 * it: an IDT whose handlers are HLT, each at its own address, so that where
 * it halted says which exception ended the run.
 */
#include "emulated.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/interp/interp.h"
#include "engine/interp/interp_int.h"
#include "x86/flags.h"

/* Guest-physical, and but for code and data also linear. */
enum {
    PML4 = 0x1000,
    PDPT = 0x2000,
    PD = 0x3000,
    PT_LOW = 0x4000,
    PT = 0x5000,
    IDT = 0x6000,
    TSS = 0x7000,
    HANDLERS = 0x9000,
    STACK_TOP = 0xb000,
    CODE_GPA = 0x10000,
    DATA_GPA = 0x12000,
};

static struct {
    struct guest_mem mem;
    pthread_mutex_t lock;
    struct vcpu *cpu;
    struct cpu_model model;
} emu = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void poke(uint64_t gpa, uint64_t val)
{
    memcpy(emu.mem.ram + gpa, &val, 8);
}

#define P 1ull
#define W 2ull
#define U 4ull

static void make_tables(void)
{
    unsigned code = CODE_ADDR >> 12 & 511, data = DATA_ADDR >> 12 & 511;

    poke(PML4, PDPT | P | W | U);
    poke(PDPT, PD | P | W | U);
    poke(PD, PT_LOW | P | W | U);
    poke(PD + 8 * (CODE_ADDR >> 21), PT | P | W | U);
    for (uint64_t i = 1; i < 16; i++)
        poke(PT_LOW + 8 * i, i << 12 | P | W);
    for (uint64_t i = 0; i < CODE_LEN >> 12; i++)
        poke(PT + 8 * (code + i), (CODE_GPA + (i << 12)) | P | U);
    for (uint64_t i = 0; i < DATA_LEN >> 12; i++)
        poke(PT + 8 * (data + i),
             (DATA_GPA + (i << 12)) | P | U | (i < DATA_RW >> 12 ? W : 0));
    for (uint64_t v = 0; v < 256; v++) {
        uint64_t at = HANDLERS + 16 * v;

        poke(IDT + 16 * v, (at & 0xffff) | 8 << 16 | 0xeeull << 40);
        emu.mem.ram[at] = 0xf4; /* hlt */
    }
    poke(TSS + 4, STACK_TOP);
    poke(TSS + 0x60, 0xffffull << 48); /* no I/O permission bitmap */
    /* one code segment for the handlers */
    poke(TSS + 0x800 + 8, 0x00209b0000000000ull);
}

static int no_interrupt(void *ctx)
{
    (void)ctx;
    return -1;
}
static const struct vcpu_intr_ops no_intr = {.ack = no_interrupt};

static void kernel_state(struct vcpu *cpu)
{
    cpu->cr3 = PML4;
    cpu->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_PGE;
    cpu->cr0 = CR0_PE | CR0_PG | CR0_WP | CR0_NE | CR0_AM | CR0_MP | CR0_ET;
    cpu->msr.efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
    cpu->xcr0 = 7;
    cpu->idtr = (struct desc_table){IDT, 4095};
    cpu->gdtr = (struct desc_table){TSS + 0x800, 0x1f};
    cpu->tr =
        (struct seg){.sel = 0x40, .attr = 0x8b, .limit = 0x67, .base = TSS};
}

static void user_state(struct vcpu *cpu, bool code32)
{
    struct seg null = {.attr = SEG_UNUSABLE};
    struct seg data = {.sel = 0x2b, .attr = 0xc0f3, .limit = ~0u};

    cpu->seg[SEG_CS] = (struct seg){.sel = code32 ? 0x23 : 0x33,
                                    .attr = code32 ? 0xc0fb : 0xa0fb,
                                    .limit = ~0u};
    cpu->seg[SEG_SS] = data;
    cpu->seg[SEG_DS] = cpu->seg[SEG_ES] = code32 ? data : null;
    cpu->seg[SEG_FS] = cpu->seg[SEG_GS] = null;
    cpu->cpl = 3;
    cpu->halted = false;
    cpu->shutdown = false;
    cpu->shadow = 0;
}

bool emulated_init(bool plain)
{
    struct error err;
    struct vcpu *cpu;

    if (guest_mem_init(&emu.mem, 4 * MiB, &emu.lock, &err) ||
        cpu_model_parse(&emu.model, "max", &err))
        goto fail;
    emu.model.cpus = 1;
    emu.cpu = cpu = aligned_alloc(64, (sizeof(*cpu) + 63) & ~63ull);
    memset(cpu, 0, sizeof(*cpu));
    cpu->mem = &emu.mem;
    cpu->model = &emu.model;
    cpu->intr = &no_intr;
    cpu->apic_page = UINT64_MAX;
    if (mmu_init(cpu, &err))
        goto fail;
    vcpu_reset(cpu, false);
    cpu->apic_page = UINT64_MAX;
    mmu_join(&emu.cpu, 1);
    if (engine_interp.vcpu_init(cpu, &err))
        goto fail;
    interp_of(cpu)->plain = plain;
    make_tables();
    kernel_state(cpu);
    return true;
fail:
    fprintf(stderr, "%s\n", err.msg);
    return false;
}

void emulated_fini(void)
{
    engine_interp.vcpu_fini(emu.cpu);
    mmu_fini(emu.cpu);
    guest_mem_fini(&emu.mem);
    free(emu.cpu);
}

const struct cpu_model *emulated_model(void)
{
    return &emu.model;
}

uint8_t *emulated_data(void)
{
    return emu.mem.ram + DATA_GPA;
}

void emulated_code(unsigned off, const uint8_t *code, unsigned len)
{
    if (guest_mem_write(&emu.mem, CODE_GPA + off, code, len))
        abort();
}

static uint64_t stack_word(unsigned n)
{
    uint64_t v;

    memcpy(&v, emu.mem.ram + (emu.cpu->gpr[R_RSP] & 0xffff) + 8 * n, 8);
    return v;
}

static bool has_error_code(unsigned v)
{
    return v == 8 || (v >= 10 && v <= 14) || v == 17;
}

bool emulated_run(const struct state *in, struct state *out)
{
    struct vcpu *cpu = emu.cpu;
    struct error err;
    unsigned at;
    int rc;

    user_state(cpu, in->code32);
    memcpy(cpu->gpr, in->gpr, sizeof(in->gpr));
    cpu->rip = in->rip;
    cpu->rflags = in->rflags | 0x202;
    cpu->cc_op = CC_EXPLICIT;
    memcpy(cpu->fpu.fx, in->x87, 160);
    memcpy(cpu->fpu.ymm, in->ymm, sizeof(in->ymm));
    cpu->fpu.mxcsr = in->mxcsr;
    vcpu_update_mode(cpu);
    cpu->mmu->select(cpu);
    rc = engine_interp.run(cpu, &err);
    if (rc != ENGINE_HALTED || cpu->rip < HANDLERS ||
        cpu->rip >= HANDLERS + 4096)
        return false;

    out->vector = (unsigned)(cpu->rip - HANDLERS) / 16;
    at = has_error_code(out->vector);
    out->error = at ? (unsigned)stack_word(0) : 0;
    out->rip = stack_word(at);
    out->rflags = stack_word(at + 2) & 0x244dd5;
    memcpy(out->gpr, cpu->gpr, sizeof(out->gpr));
    out->gpr[R_RSP] = stack_word(at + 3);
    memcpy(out->x87, cpu->fpu.fx, 160);
    memset(out->x87 + 24, 0, 8);
    memcpy(out->ymm, cpu->fpu.ymm, sizeof(out->ymm));
    out->mxcsr = cpu->fpu.mxcsr;
    out->cr2 = cpu->cr2;
    return true;
}
