/* SPDX-License-Identifier: Apache-2.0 */
/*
 * insn.c - any bytes as code, in every mode, on any state: the interpreter
 * neither crashes nor hangs, and touches no memory but the guest's.
 *
 * A timer's signal kicks the vCPU out of endless loops. Exceptions have
 * handlers that halt, so that most inputs end by themselves.
 */
#include "engine/interp/interp.h"
#include "mmu/mmu.h"
#include "world.h"
#include "x86/cpuid.h"
#include "x86/decode.h"
#include "x86/segment.h"

#define RAM     (2 * MiB)
#define GDT     0x1000u
#define IDT     0x2000u
#define TSS     0x4000u
#define PAGES   0x10000u /* PML4, PDPT, PD */
#define CODE    0x20000u
#define STACK   0x30000u
#define DATA    0x40000u /* a page for each register */
#define SNIPPET 32u
#define HALT    0x1f000u /* hlt; jmp back */
#define TURN_US 2000

static struct guest_mem mem;
static struct cpu_model model;
static struct vcpu cpu; /* _Alignas by its own members */
static struct decoder dec;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static volatile unsigned ticks;

/* In a signal handler. */
static void on_tick(void)
{
    ticks++;
    vcpu_attn_set(&cpu, ATTN_KICK);
}

static int intr_ack(void *ctx)
{
    (void)ctx;
    vcpu_attn_clear(&cpu, ATTN_INTR);
    return 0x40;
}

static uint64_t intr_tpr(void *ctx)
{
    (void)ctx;
    return 0;
}

static void intr_tpr_set(void *ctx, uint64_t v)
{
    (void)ctx;
    (void)v;
}

static int intr_msr_read(void *ctx, uint32_t msr, uint64_t *val)
{
    (void)ctx;
    *val = msr;
    return msr & 1;
}

static int intr_msr_write(void *ctx, uint32_t msr, uint64_t val)
{
    (void)ctx;
    return (msr ^ val) & 1;
}

static uint32_t intr_read(void *ctx, uint32_t off)
{
    (void)ctx;
    return off;
}

static void intr_write(void *ctx, uint32_t off, uint32_t val)
{
    (void)ctx;
    FUZZ_CHECK(off < 0x1000);
    (void)val;
}

static const struct vcpu_intr_ops intr_ops = {
    .ack = intr_ack,
    .tpr_get = intr_tpr,
    .tpr_set = intr_tpr_set,
    .msr_read = intr_msr_read,
    .msr_write = intr_msr_write,
    .mmio_read = intr_read,
    .mmio_write = intr_write,
};

static void put64(gpa_t at, uint64_t v)
{
    FUZZ_CHECK(!guest_mem_write(&mem, at, &v, 8));
}

/* Flat segments of both rings; 64-bit or 32-bit code, and 16-bit. */
static void tables(unsigned mode)
{
    uint64_t flags = mode == 2 ? 0xaf : mode == 1 ? 0xcf : 0x0f;

    put64(GDT, 0);
    put64(GDT + 0x08, 0x00009a000000ffff | flags << 48);
    put64(GDT + 0x10, 0x00cf92000000ffff);
    put64(GDT + 0x18, 0x0000fa000000ffff | flags << 48);
    put64(GDT + 0x20, 0x00cff2000000ffff);
    put64(GDT + 0x28, 0x0000890000000067 | (uint64_t)TSS << 16);
    put64(GDT + 0x30, 0);
    for (unsigned v = 0; v < 256; v++) {
        if (mode == 2) {
            put64(IDT + 16 * v, HALT | 8u << 16 | 0x8e0000000000ull);
            put64(IDT + 16 * v + 8, 0);
        } else {
            put64(IDT + 8 * v, (HALT & 0xffff) | 8u << 16 | 0x8e0000000000ull |
                                   (uint64_t)(HALT >> 16) << 48);
        }
    }
    put64(TSS + 4, STACK - 0x1000);
    put64(PAGES, (PAGES + 0x1000) | 7);
    put64(PAGES + 0x1000, (PAGES + 0x2000) | 7);
    for (unsigned i = 0; i < 512; i++)
        put64(PAGES + 0x2000 + 8 * i, i * 0x200000ull | 0x87);
    FUZZ_CHECK(!guest_mem_write(&mem, HALT, "\xf4\xeb\xfd", 3));
}

static void segment(struct seg *s, uint16_t sel, uint32_t attr)
{
    *s = (struct seg){.sel = sel, .attr = attr, .limit = 0xffffffff};
}

/* MSRs that exist, control registers' masks, anything. */
static uint64_t value(struct fuzz *f)
{
    static const uint32_t msrs[] = {
        0x10,       0x1b,       0x3a,       0x48,       0x8b,       0xfe,
        0x174,      0x175,      0x176,      0x179,      0x1a0,      0x1d9,
        0x200,      0x250,      0x277,      0x2ff,      0x38d,      0x6e0,
        0x808,      0xc0000080, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084,
        0xc0000100, 0xc0000101, 0xc0000102, 0xc0000103, 0xda0,      0x122,
        0x49,       0x10a,
    };
    uint8_t how = fuzz8(f);

    if (how < 64)
        return msrs[how & 31];
    return how < 128 ? DATA + 0x1000 * (how & 15) : fuzz_number(f);
}

static void state(struct fuzz *f, unsigned mode, uint8_t how)
{
    bool user = mode != 0 && (how & 1);
    uint16_t ring = user ? 3 : 0;
    uint32_t dpl = user ? SEG_ATTR_DPL3 : 0;

    vcpu_reset(&cpu, false);
    cpu.rip = CODE & 0xffff0000;
    if (mode == 0) {
        cpu.seg[SEG_CS].sel = CODE >> 4;
        cpu.seg[SEG_CS].base = CODE;
        cpu.seg[SEG_CS].limit = 0xffff;
        cpu.rip = 0;
        cpu.idtr = (struct desc_table){0, 0x3ff};
    } else {
        segment(&cpu.seg[SEG_CS], (uint16_t)((user ? 0x18 : 8) | ring),
                SEG_P | SEG_S | SEG_CODE | SEG_WRITABLE | SEG_ACCESSED | dpl |
                    SEG_G |
                    (mode == 2   ? SEG_L
                     : mode == 1 ? SEG_DB
                                 : 0));
        for (unsigned i = 0; i < SEG_COUNT; i++)
            if (i != SEG_CS)
                segment(&cpu.seg[i], (uint16_t)((user ? 0x20 : 0x10) | ring),
                        SEG_P | SEG_S | SEG_WRITABLE | SEG_ACCESSED | dpl |
                            SEG_DB | SEG_G);
        cpu.tr = (struct seg){
            .sel = 0x28, .attr = SEG_P | 11, .base = TSS, .limit = 0x67};
        cpu.gdtr = (struct desc_table){GDT, 0x37};
        cpu.idtr = (struct desc_table){IDT, 0xfff};
        cpu.cr0 = CR0_PE | CR0_ET | CR0_NE | (mode == 2 ? CR0_PG : 0);
        cpu.cr4 = (mode == 2 ? CR4_PAE : 0) |
                  (how & 2 ? CR4_OSFXSR | CR4_OSXSAVE | CR4_OSXMMEXCPT : 0);
        cpu.xcr0 = how & 2 ? 7 : 1;
        cpu.cr3 = PAGES;
        cpu.msr.efer = mode == 2 ? EFER_LME | EFER_LMA | EFER_SCE : 0;
    }
    for (unsigned i = 0; i < 16; i++)
        cpu.gpr[i] = how & 4 ? value(f) : DATA + 0x1000 * i;
    cpu.gpr[R_RSP] = STACK;
    cpu.cpl = (uint8_t)ring;
    cpu.rflags = FLAG_FIXED | (fuzz16(f) & 0x3ed7 & ~(how & 8 ? 0u : 0x100u));
    if (how & 16)
        cpu.dr7 = fuzz32(f) & 0xffff03ff;
    cpu.dr[0] = CODE + fuzz8(f);
    vcpu_update_mode(&cpu);
}

static void decode_all(struct fuzz *f)
{
    static const unsigned widths[] = {2, 4, 8};
    uint8_t bytes[15];
    struct insn in;

    for (unsigned m = 0; m < 3; m++) {
        for (size_t at = f->at; at < f->len && at < f->at + 64; at++) {
            unsigned avail = (unsigned)MIN(f->len - at, sizeof(bytes));

            memcpy(bytes, f->data + at, avail);
            FUZZ_CHECK(insn_decode(&dec, &in, bytes, avail, widths[m], 0) <=
                       avail);
        }
    }
}

/* Far pointers, descriptors' selectors and frames where registers point. */
static void data(struct fuzz *f)
{
    static const uint16_t sels[] = {0x08, 0x10, 0x1b, 0x23,
                                    0x28, 0,    0x30, 0x0b};

    for (unsigned i = 0; i < 16; i++) {
        uint64_t frame[8], sel = sels[fuzz8(f) & 7], at = CODE + fuzz8(f);

        frame[0] = fuzz8(f) & 1 ? at : at | sel << 32;
        frame[1] = sel;
        frame[2] = fuzz16(f) | 2;
        frame[3] = STACK - 0x100;
        frame[4] = sels[fuzz8(f) & 7];
        for (unsigned k = 5; k < 8; k++)
            frame[k] = fuzz_number(f);
        FUZZ_CHECK(
            !guest_mem_write(&mem, DATA + 0x1000 * i, frame, sizeof(frame)));
        if (i == 0)
            FUZZ_CHECK(!guest_mem_write(&mem, STACK, frame, sizeof(frame)));
    }
}

static void run(void)
{
    struct error err;
    uint64_t start = vcpu_insns(&cpu);
    int rc = 0;

    ticks = 0;
    /* Many steps, or two ticks, or the end. */
    while (ticks < 2 && vcpu_insns(&cpu) - start < 5000) {
        rc = engine_interp.run(&cpu, &err);
        FUZZ_CHECK(rc >= 0);
        if (rc != ENGINE_KICKED)
            break;
    }
    vcpu_attn_clear(&cpu, ATTN_KICK);
    /* A state file may say that it waits for its start-up message. */
    FUZZ_CHECK(rc != ENGINE_HALTED || cpu.halted || cpu.wait_sipi);
}

/* A hostile state file: the vCPU runs on with what was accepted. */
static void reload(struct fuzz *f)
{
    struct state_writer *w = state_writer_new();
    struct state_reader *r;
    struct error err = {0};
    uint8_t *copy;
    size_t len;

    FUZZ_CHECK(w != NULL);
    vcpu_save(&cpu, w);
    copy = malloc(1 << 16);
    state_writer_bytes(w, &len);
    FUZZ_CHECK(copy && len < 1 << 16);
    memcpy(copy, state_writer_bytes(w, &len), len);
    state_writer_free(w);
    world_spoil(copy, len, 1 + (fuzz8(f) & 3), f);
    r = state_reader_new(copy, len, &err);
    if (r && vcpu_load(&cpu, r, &err))
        FUZZ_CHECK(err.code && err.msg[0]);
    state_reader_free(r);
    free(copy);
}

/* What runs may have changed tables and pages: the next one lives with it. */
static void snippet(struct fuzz *f, unsigned mode)
{
    uint8_t code[SNIPPET];
    uint8_t how = fuzz8(f);

    memset(code, 0xf4, sizeof(code));
    for (unsigned i = 0; i < SNIPPET - 4 && !fuzz_done(f); i++)
        code[i] = fuzz8(f);
    FUZZ_CHECK(!guest_mem_write(&mem, CODE, code, sizeof(code)));
    state(f, mode, how);
    if (how & 64)
        vcpu_attn_set(&cpu, ATTN_INTR);
    if (fuzz8(f) < 6)
        reload(f);
    cpu.mmu->flush_all(&cpu);
    run();
}

static void one(struct fuzz *f)
{
    uint8_t mode = fuzz8(f);

    mmu_forget_all_code(&cpu);
    /* HLT everywhere, or what adds zeroes to memory for ever. */
    memset(mem.ram, mode & 0x70 ? 0xf4 : 0, RAM);
    mode %= 3;
    atomic_store(&cpu.attn, 0);
    tables(mode);
    data(f);
    decode_all(f);
    fuzz_ticks(on_tick, TURN_US);
    while (!fuzz_done(f))
        snippet(f, mode);
    fuzz_ticks(NULL, 0);
}

/* Instructions as a program has them, with their operands in memory. */
static size_t sample(uint64_t seed, uint8_t *b, size_t room)
{
    static const uint8_t prefixes[] = {0x66, 0xf2, 0xf3, 0xf0, 0x2e,
                                       0x65, 0x67, 0x48, 0x4c, 0x41};
    size_t len = 0;

    while (len < 1 + 16 * 24)
        b[len++] = (uint8_t)fuzz_next(&seed);
    for (unsigned n = 0; n < 64 && len + 2 * SNIPPET < room; n++) {
        size_t at = len++;
        uint64_t r;

        b[at] = (uint8_t)(fuzz_next(&seed) & ~8ull);
        do {
            r = fuzz_next(&seed);
            if (r & 1)
                b[len++] = prefixes[(r >> 8) % sizeof(prefixes)];
            if ((r & 0x70) == 0x10) { /* VEX */
                b[len++] = 0xc4;
                b[len++] = (uint8_t)(0xe0 | (1 + (r >> 16) % 3));
                b[len++] = (uint8_t)(r >> 24);
            } else if (r & 0x40) {
                b[len++] = 0x0f;
                if ((r & 0x1800) == 0x800)
                    b[len++] = r & 0x2000 ? 0x38 : 0x3a;
            }
            b[len++] = (uint8_t)(r >> 32);
            b[len++] = (uint8_t)((r >> 40) & (r >> 62 ? 0x3f : 0xff));
            if (r >> 61 & 1)
                b[len++] = (uint8_t)(r >> 48);
        } while (len - at < SNIPPET - 10);
        while (len - at < SNIPPET - 3)
            b[len++] = 0xf4;
        /* Behind the code: what state() wants. */
        for (unsigned i = 0; i < 20; i++)
            b[len++] = (uint8_t)fuzz_next(&seed);
    }
    return len;
}

static const struct fuzz_target target = {
    .name = "insn",
    .corpus = "insn",
    .max_len = 1000,
    .runs = 800,
    .one = one,
    .sample = sample,
};

int main(int argc, char **argv)
{
    struct vcpu *all[] = {&cpu};
    struct error err;
    int rc;

    FUZZ_CHECK(!guest_mem_init(&mem, RAM, &lock, &err));
    world_fence(&mem);
    FUZZ_CHECK(!cpu_model_parse(&model, CPU_MODEL_DEFAULT, &err));
    model.cpus = 1;
    FUZZ_CHECK(!decoder_init(&dec, &model, &err));
    cpu.model = &model;
    cpu.mem = &mem;
    cpu.intr = &intr_ops;
    cpu.apic_page = 0xfee00000;
    cpu.tsc_khz = 1000000;
    FUZZ_CHECK(!mmu_init(&cpu, &err));
    FUZZ_CHECK(!engine_interp.vcpu_init(&cpu, &err));
    mmu_join(all, 1);
    rc = fuzz_main(argc, argv, &target);
    engine_interp.vcpu_fini(&cpu);
    mmu_fini(&cpu);
    decoder_fini(&dec);
    guest_mem_fini(&mem);
    return rc;
}
