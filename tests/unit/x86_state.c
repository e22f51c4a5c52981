/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86_state.c - a vCPU's own state: reset, attention, saving and loading.
 */
#include <stdlib.h>

#include "base/state.h"
#include "test.h"
#include "x86/cpuid.h"
#include "x86/flags.h"

static struct cpu_model model;
static struct vcpu one, two;

static void setup(struct vcpu *cpu)
{
    struct error err;

    memset(cpu, 0, sizeof(*cpu));
    CHECK_EQ(cpu_model_parse(&model, "x86-64-v2", &err), 0);
    cpu->model = &model;
    vcpu_reset(cpu, false);
}

static void reset_is_the_manuals(void)
{
    setup(&one);
    CHECK_EQ(one.rip, 0xfff0);
    CHECK_EQ(one.seg_base[SEG_CS], 0xffff0000);
    CHECK_EQ(one.cr0, 0x60000010);
    CHECK_EQ(one.dr6, 0xffff0ff0);
    CHECK_EQ(one.dr7, 0x400);
    CHECK_EQ(one.fpu.mxcsr, 0x1f80);
    CHECK_EQ(one.code_width, 2);
}

static void init_keeps_vectors_and_msrs(void)
{
    setup(&one);
    one.fpu.ymm[3][0] = 7;
    one.msr.star = 5;
    one.msr.efer = EFER_SCE;
    vcpu_reset(&one, true);
    CHECK_EQ(one.fpu.ymm[3][0], 7);
    CHECK_EQ(one.msr.star, 5);
    CHECK_EQ(one.msr.efer, 0);
}

static void interrupts_count_only_with_if(void)
{
    setup(&one);
    vcpu_attn_set(&one, ATTN_INTR);
    CHECK(!vcpu_attn(&one));
    one.rflags |= FLAG_IF;
    vcpu_update_rflags(&one);
    CHECK(vcpu_attn(&one));
}

static void trap_flag_asks_for_single_steps(void)
{
    setup(&one);
    one.rflags |= FLAG_TF;
    vcpu_update_rflags(&one);
    CHECK(vcpu_attn(&one));
    one.rflags &= ~FLAG_TF;
    vcpu_update_rflags(&one);
    CHECK(!vcpu_attn(&one));
}

static void loading_restores_what_was_saved(void)
{
    struct state_writer *w = state_writer_new();
    struct state_reader *r;
    struct error err;
    const uint8_t *bytes;
    size_t len;

    setup(&one);
    setup(&two);
    one.gpr[R_R13] = 0x1234;
    one.rip = 0x99;
    flags_lazy(&one, CC_RES, 4, 0, 0); /* ZF and PF, not yet computed */
    one.msr.lstar = 0xffffffff81000000;
    one.fpu.ymm[15][31] = 0xaa;
    one.fpu.mxcsr = 0xffffffff; /* a hostile file */
    one.cr4 = CR4_LA57 | CR4_PAE;
    one.nmi_blocked = true;
    vcpu_save(&one, w);
    bytes = state_writer_bytes(w, &len);
    CHECK(bytes != NULL);
    r = state_reader_new(bytes, len, &err);
    CHECK(r != NULL);
    if (r)
        CHECK_EQ(vcpu_load(&two, r, &err), 0);
    CHECK_EQ(two.gpr[R_R13], 0x1234);
    CHECK_EQ(two.rip, 0x99);
    CHECK_EQ(flags_get(&two), FLAG_FIXED | FLAG_ZF | FLAG_PF);
    CHECK_EQ(two.msr.lstar, 0xffffffff81000000);
    CHECK_EQ(two.fpu.ymm[15][31], 0xaa);
    CHECK_EQ(two.fpu.mxcsr, 0xffff);
    CHECK_EQ(two.cr4, CR4_PAE);
    CHECK(!(two.attn_mask & ATTN_NMI));
    state_reader_free(r);
    state_writer_free(w);
}

int main(void)
{
    RUN(reset_is_the_manuals);
    RUN(init_keeps_vectors_and_msrs);
    RUN(interrupts_count_only_with_if);
    RUN(trap_flag_asks_for_single_steps);
    RUN(loading_restores_what_was_saved);
    return test_status();
}
