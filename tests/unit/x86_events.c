/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86_events.c - descriptor checks, delivery of exceptions and interrupts,
 * and far returns, on a vCPU whose memory is an array.
 */
#include "test.h"
#include "x86/cpuid.h"
#include "x86/exception.h"
#include "x86/flags.h"
#include "x86/msr.h"
#include "x86/msr_policy.h"
#include "x86/segment.h"
#include "x86/sem.h"
#include "x86/task.h"

#define RAM_SIZE 0x20000u
#define GDT      0x1000u
#define IDT      0x2000u
#define TSS      0x3000u
#define TSS2     0x3800u
#define STACK0   0x8000u
#define STACK3   0x9000u

/* Selectors of the test's GDT. */
#define K_CODE 0x08
#define K_DATA 0x10
#define U_CODE 0x1b
#define U_DATA 0x23
#define K_TSS  0x28
#define ABSENT 0x38
#define K_TSS2 0x40

static uint8_t ram[RAM_SIZE];
static struct tlb_entry no_tlb[TLB_SIZE];
static struct cpu_model model;
static struct vcpu cpu;

static int ram_read(struct vcpu *c, gva_t gva, void *buf, unsigned size,
                    unsigned access)
{
    if (gva + size > RAM_SIZE || gva + size < gva) {
        raise_error(c, EXC_PF, 0);
        c->exc.cr2 = gva;
        return STEP_FAULT;
    }
    (void)access;
    memcpy(buf, ram + gva, size);
    return 0;
}

static int ram_write(struct vcpu *c, gva_t gva, const void *buf, unsigned size,
                     unsigned access)
{
    uint8_t old[64];

    if (ram_read(c, gva, old, size, access))
        return STEP_FAULT;
    memcpy(ram + gva, buf, size);
    return 0;
}

static void nothing(struct vcpu *c)
{
    (void)c;
}

static void switched(struct vcpu *c, bool keep)
{
    (void)c;
    (void)keep;
}

static const struct vcpu_mmu_ops ram_ops = {
    .read = ram_read,
    .write = ram_write,
    .flush_all = nothing,
    .flush_local = nothing,
    .switch_cr3 = switched,
    .select = nothing,
};

static void put64(unsigned at, uint64_t v)
{
    memcpy(ram + at, &v, 8);
}

static uint64_t get(unsigned at, unsigned width)
{
    uint64_t v = 0;

    memcpy(&v, ram + at, width);
    return v;
}

static uint64_t desc_flat(uint64_t access, uint64_t flags)
{
    return 0xffffull | access << 40 | 0xfull << 48 | flags << 52;
}

static void gate32(unsigned vector, uint16_t sel, uint32_t off, unsigned type)
{
    put64(IDT + 8 * vector, (off & 0xffff) | (uint64_t)sel << 16 |
                                (uint64_t)type << 40 |
                                (uint64_t)(off >> 16) << 48);
}

static void gate64(unsigned vector, uint64_t off, unsigned ist)
{
    put64(IDT + 16 * vector, (off & 0xffff) | (uint64_t)K_CODE << 16 |
                                 (uint64_t)ist << 32 | 0x8eull << 40 |
                                 (off >> 16 & 0xffff) << 48);
    put64(IDT + 16 * vector + 8, off >> 32);
}

/* Protected mode at CPL 0, 32-bit or 64-bit, with GDT, IDT and TSS. */
static void setup(bool wide)
{
    struct error err;
    uint64_t code = wide ? 0xa : 0xc;

    memset(ram, 0, sizeof(ram));
    memset(&cpu, 0, sizeof(cpu));
    CHECK_EQ(cpu_model_parse(&model, "x86-64-v2", &err), 0);
    cpu.model = &model;
    cpu.tlb = no_tlb;
    cpu.tlb_gen[0] = cpu.tlb_gen[1] = 1;
    cpu.mmu = &ram_ops;
    vcpu_reset(&cpu, false);
    put64(GDT + K_CODE, desc_flat(0x9a, code));
    put64(GDT + K_DATA, desc_flat(0x92, 0xc));
    put64(GDT + 0x18, desc_flat(0xfa, code));
    put64(GDT + 0x20, desc_flat(0xf2, 0xc));
    put64(GDT + K_TSS, 0x67 | (uint64_t)TSS << 16 | 0x89ull << 40);
    put64(GDT + ABSENT, desc_flat(0x12, 0xc));
    put64(GDT + K_TSS2, 0x67 | (uint64_t)TSS2 << 16 | 0x89ull << 40);
    cpu.gdtr = (struct desc_table){GDT, 0x47};
    cpu.idtr = (struct desc_table){IDT, 0xfff};
    cpu.cr0 |= CR0_PE;
    if (wide) {
        cpu.msr.efer = EFER_LME | EFER_LMA;
        cpu.cr4 = CR4_PAE;
    }
    put64(TSS + 4, wide ? STACK0 : STACK0 | (uint64_t)K_DATA << 32);
    seg_decode(&cpu.seg[SEG_CS], K_CODE, desc_flat(0x9b, code));
    vcpu_update_mode(&cpu);
    CHECK_EQ(seg_load_tr(&cpu, K_TSS), 0);
    CHECK_EQ(seg_load(&cpu, SEG_SS, K_DATA), 0);
    cpu.gpr[R_RSP] = STACK0;
    cpu.rip = 0x5000;
}

static void go_user(bool wide)
{
    seg_decode(&cpu.seg[SEG_CS], U_CODE, desc_flat(0xfb, wide ? 0xa : 0xc));
    cpu.cpl = 3;
    vcpu_update_mode(&cpu);
    CHECK_EQ(seg_load(&cpu, SEG_SS, U_DATA), 0);
    cpu.gpr[R_RSP] = STACK3;
}

/* --- segments --- */

static void loading_beyond_the_table_is_gp_with_selector(void)
{
    setup(false);
    CHECK_EQ(seg_load(&cpu, SEG_DS, 0x80), STEP_FAULT);
    CHECK_EQ(cpu.exc.vector, EXC_GP);
    CHECK_EQ(cpu.exc.error, 0x80);
}

static void loading_an_absent_segment_is_np_or_ss(void)
{
    setup(false);
    CHECK_EQ(seg_load(&cpu, SEG_DS, ABSENT), STEP_FAULT);
    CHECK_EQ(cpu.exc.vector, EXC_NP);
    CHECK_EQ(seg_load(&cpu, SEG_SS, ABSENT), STEP_FAULT);
    CHECK_EQ(cpu.exc.vector, EXC_SS);
    CHECK_EQ(cpu.exc.error, ABSENT);
}

static void null_data_segment_loads_and_faults_on_use(void)
{
    gva_t gva;

    setup(false);
    CHECK_EQ(seg_load(&cpu, SEG_DS, 3), 0);
    CHECK_EQ(seg_linear(&cpu, SEG_DS, 0, 1, ACC_READ, &gva), STEP_FAULT);
    CHECK_EQ(cpu.exc.vector, EXC_GP);
    CHECK_EQ(seg_load(&cpu, SEG_SS, 0), STEP_FAULT);
}

static void loading_sets_the_accessed_bit(void)
{
    setup(false);
    CHECK_EQ(seg_load(&cpu, SEG_DS, K_DATA), 0);
    CHECK_EQ(get(GDT + K_DATA + 5, 1), 0x93);
}

static void user_may_not_load_kernel_data(void)
{
    setup(false);
    go_user(false);
    CHECK_EQ(seg_load(&cpu, SEG_DS, K_DATA), STEP_FAULT);
    CHECK_EQ(cpu.exc.vector, EXC_GP);
    CHECK_EQ(cpu.exc.error, K_DATA);
}

static void expand_down_limit_is_the_other_side(void)
{
    struct seg s = {.attr = 0x97, .limit = 0xfff};

    CHECK(!seg_in_limit(&s, 0xfff, 1));
    CHECK(seg_in_limit(&s, 0x1000, 4));
    CHECK(!seg_in_limit(&s, 0xfffe, 4));
    s.attr |= SEG_DB;
    CHECK(seg_in_limit(&s, 0xfffe, 4));
}

static void noncanonical_addresses_are_gp_or_ss(void)
{
    gva_t gva;

    setup(true);
    CHECK_EQ(seg_linear(&cpu, SEG_DS, 1ull << 47, 1, ACC_READ, &gva),
             STEP_FAULT);
    CHECK_EQ(cpu.exc.vector, EXC_GP);
    CHECK_EQ(seg_linear(&cpu, SEG_SS, (1ull << 47) - 4, 8, ACC_READ, &gva),
             STEP_FAULT);
    CHECK_EQ(cpu.exc.vector, EXC_SS);
}

static void ltr_marks_busy_and_refuses_a_busy_one(void)
{
    setup(false);
    CHECK_EQ(get(GDT + K_TSS + 5, 1), 0x8b);
    CHECK_EQ(seg_load_tr(&cpu, K_TSS), STEP_FAULT);
    CHECK_EQ(cpu.exc.vector, EXC_GP);
    CHECK_EQ(cpu.exc.error, K_TSS);
}

/* --- exceptions --- */

static void classes_combine_as_in_the_manual(void)
{
    CHECK_EQ(exc_combine(EXC_UD, EXC_GP), EXC_GP);
    CHECK_EQ(exc_combine(EXC_GP, EXC_NP), EXC_DF);
    CHECK_EQ(exc_combine(EXC_GP, EXC_PF), EXC_PF);
    CHECK_EQ(exc_combine(EXC_PF, EXC_GP), EXC_DF);
    CHECK_EQ(exc_combine(EXC_PF, EXC_PF), EXC_DF);
    CHECK_EQ(exc_combine(EXC_DE, EXC_AC), EXC_AC);
    CHECK_EQ(exc_combine(EXC_DF, EXC_GP), -1);
}

static void fault_from_user_switches_the_stack(void)
{
    setup(false);
    go_user(false);
    gate32(EXC_PF, K_CODE, 0x12345678, 0x8e);
    cpu.rflags |= FLAG_IF;
    raise_error(&cpu, EXC_PF, 6);
    cpu.exc.cr2 = 0xdead;
    CHECK_EQ(exc_deliver(&cpu), STEP_JUMP);
    CHECK_EQ(cpu.rip, 0x12345678);
    CHECK_EQ(cpu.cpl, 0);
    CHECK_EQ(cpu.cr2, 0xdead);
    CHECK_EQ(cpu.gpr[R_RSP], STACK0 - 24);
    CHECK_EQ(cpu.seg[SEG_SS].sel, K_DATA);
    CHECK_EQ(get(STACK0 - 24, 4), 6);
    CHECK_EQ(get(STACK0 - 20, 4), 0x5000);
    CHECK_EQ(get(STACK0 - 16, 4), U_CODE);
    CHECK_EQ(get(STACK0 - 12, 4), FLAG_FIXED | FLAG_IF | FLAG_RF);
    CHECK_EQ(get(STACK0 - 8, 4), STACK3);
    CHECK_EQ(get(STACK0 - 4, 4), U_DATA);
    CHECK(!(cpu.rflags & FLAG_IF));
}

static void long_mode_aligns_the_stack_and_uses_ist(void)
{
    setup(true);
    cpu.gpr[R_RSP] = STACK0 - 3;
    gate64(EXC_UD, 0xffffffff81000000ull, 0);
    raise(&cpu, EXC_UD);
    CHECK_EQ(exc_deliver(&cpu), STEP_JUMP);
    CHECK_EQ(cpu.rip, 0xffffffff81000000ull);
    CHECK_EQ(cpu.gpr[R_RSP], STACK0 - 16 - 40);
    CHECK_EQ(get(STACK0 - 16 - 16, 8), STACK0 - 3);

    setup(true);
    put64(TSS + 36, 0xa000); /* IST1 */
    gate64(EXC_NMI, 0x6000, 1);
    CHECK_EQ(intr_deliver(&cpu, EXC_NMI), STEP_JUMP);
    CHECK_EQ(cpu.gpr[R_RSP], 0xa000 - 40);
    CHECK(cpu.nmi_blocked);
    CHECK(!(cpu.attn_mask & ATTN_NMI));
}

static void missing_handlers_end_in_a_triple_fault(void)
{
    setup(false);
    raise(&cpu, EXC_UD);
    CHECK_EQ(exc_deliver(&cpu), STEP_STOP);
    CHECK(cpu.shutdown);
}

static void a_bad_gate_for_gp_is_a_double_fault(void)
{
    setup(false);
    gate32(EXC_DF, K_CODE, 0x7000, 0x8e);
    raise_gp(&cpu, 0);
    CHECK_EQ(exc_deliver(&cpu), STEP_JUMP);
    CHECK_EQ(cpu.rip, 0x7000);
    CHECK_EQ(get((unsigned)cpu.gpr[R_RSP], 4), 0);
}

static void a_fault_on_an_interrupt_has_ext_set(void)
{
    setup(false);
    gate32(EXC_GP, K_CODE, 0x7000, 0x8e);
    CHECK_EQ(intr_deliver(&cpu, 0x40), STEP_JUMP);
    CHECK_EQ(get((unsigned)cpu.gpr[R_RSP], 4), 0x40 * 8 + 3);
}

static void int_n_needs_the_gates_privilege(void)
{
    setup(false);
    go_user(false);
    gate32(0x80, K_CODE, 0x7000, 0x8e);
    CHECK_EQ(intr_software(&cpu, 0x80, 0x5002, EVENT_SOFT), STEP_FAULT);
    CHECK_EQ(cpu.exc.vector, EXC_GP);
    CHECK_EQ(cpu.exc.error, 0x80 * 8 + 2);
    CHECK_EQ(cpu.cpl, 3);
    CHECK_EQ(cpu.rip, 0x5000);
    gate32(0x80, K_CODE, 0x7000, 0xee);
    CHECK_EQ(intr_software(&cpu, 0x80, 0x5002, EVENT_SOFT), STEP_JUMP);
    CHECK_EQ(get(STACK0 - 20, 4), 0x5002);
}

static void a_fault_while_pushing_leaves_the_user_as_it_was(void)
{
    setup(false);
    go_user(false);
    put64(TSS + 4, 0x40000 | (uint64_t)K_DATA << 32); /* outside RAM */
    gate32(0x80, K_CODE, 0x7000, 0xee);
    CHECK_EQ(intr_software(&cpu, 0x80, 0x5002, EVENT_SOFT), STEP_FAULT);
    CHECK_EQ(cpu.exc.vector, EXC_PF);
    CHECK_EQ(cpu.cpl, 3);
    CHECK_EQ(cpu.gpr[R_RSP], STACK3);
    CHECK_EQ(cpu.seg[SEG_CS].sel, U_CODE);
}

static void real_mode_uses_the_vector_table(void)
{
    setup(false);
    vcpu_reset(&cpu, false);
    cpu.idtr = (struct desc_table){0, 0x3ff};
    put64(4 * 8, 0xf0001234);
    cpu.gpr[R_RSP] = 0x1000;
    cpu.rip = 0x77;
    CHECK_EQ(intr_deliver(&cpu, 8), STEP_JUMP);
    CHECK_EQ(cpu.rip, 0x1234);
    CHECK_EQ(cpu.seg[SEG_CS].base, 0xf0000);
    CHECK_EQ(get(0x1000 - 6, 2), 0x77);
}

static void return_to_user_nulls_kernel_segments(void)
{
    struct insn in = {.width = 4, .imm = 8};

    setup(false);
    CHECK_EQ(seg_load(&cpu, SEG_DS, K_DATA), 0);
    CHECK_EQ(seg_load(&cpu, SEG_ES, U_DATA), 0);
    cpu.gpr[R_RSP] = STACK0 - 24;
    put64(STACK0 - 24, 0x6000 | (uint64_t)U_CODE << 32);
    put64(STACK0 - 8, STACK3 | (uint64_t)U_DATA << 32);
    CHECK_EQ(sem_ret_far(&cpu, &in), STEP_JUMP);
    CHECK_EQ(cpu.cpl, 3);
    CHECK_EQ(cpu.rip, 0x6000);
    CHECK_EQ(cpu.gpr[R_RSP], STACK3 + 8);
    CHECK(cpu.seg[SEG_DS].attr & SEG_UNUSABLE);
    CHECK(!(cpu.seg[SEG_ES].attr & SEG_UNUSABLE));
}

static void far_call_through_a_gate_copies_parameters(void)
{
    struct insn in = {.width = 4, .imm = 0, .disp = 0x33};

    setup(false);
    go_user(false);
    /* call gate, DPL 3, two parameters */
    put64(GDT + 0x30,
          0x7000 | (uint64_t)K_CODE << 16 | 2ull << 32 | 0xecull << 40);
    cpu.gpr[R_RSP] = STACK3 - 8;
    put64(STACK3 - 8, 0x1111 | 0x2222ull << 32);
    CHECK_EQ(sem_call_far(&cpu, &in), STEP_JUMP);
    CHECK_EQ(cpu.cpl, 0);
    CHECK_EQ(cpu.rip, 0x7000);
    CHECK_EQ(cpu.gpr[R_RSP], STACK0 - 24);
    CHECK_EQ(get(STACK0 - 16, 4), 0x1111);
    CHECK_EQ(get(STACK0 - 12, 4), 0x2222);
    CHECK_EQ(get(STACK0 - 8, 4), STACK3 - 8);
}

static void task_switch_saves_and_nests(void)
{
    struct insn in = {.width = 4, .disp = K_TSS2};

    setup(false);
    put64(TSS2 + 32, 0x6000 | 2ull << 32); /* EIP, EFLAGS */
    put64(TSS2 + 40 + 16, STACK3);         /* ESP */
    put64(TSS2 + 72, K_DATA | (uint64_t)K_CODE << 32);
    put64(TSS2 + 80, K_DATA | (uint64_t)K_DATA << 32);
    cpu.gpr[R_RAX] = 0x42;
    CHECK_EQ(sem_call_far(&cpu, &in), STEP_JUMP);
    CHECK_EQ(cpu.rip, 0x6000);
    CHECK_EQ(cpu.gpr[R_RSP], STACK3);
    CHECK_EQ(cpu.tr.sel, K_TSS2);
    CHECK(cpu.rflags & FLAG_NT);
    CHECK(cpu.cr0 & CR0_TS);
    CHECK_EQ(get(TSS2, 2), K_TSS);
    CHECK_EQ(get(TSS + 40, 4), 0x42);
    CHECK_EQ(get(GDT + K_TSS + 5, 1), 0x8b); /* still busy */
    CHECK_EQ(get(GDT + K_TSS2 + 5, 1), 0x8b);
}

/* --- MSRs --- */

static void msrs_check_what_they_are_given(void)
{
    uint64_t v;

    setup(true);
    CHECK(msr_write(&cpu, 0xc0000082, 0xffffffff81000000ull));
    CHECK(!msr_write(&cpu, 0xc0000082, 0x8000000000000000ull));
    CHECK(msr_read(&cpu, 0xc0000082, &v));
    CHECK_EQ(v, 0xffffffff81000000ull);
    CHECK(!msr_read(&cpu, 0x12345, &v));
    CHECK(!msr_write(&cpu, 0x277, 0x0202020202020202ull));
    CHECK(!msr_write(&cpu, 0x10a, 0));
    CHECK(msr_write(&cpu, 0xc0000080, EFER_LME | EFER_NXE | EFER_SCE));
    CHECK(cpu.msr.efer & EFER_LMA);
    CHECK(msr_write(&cpu, 0xc0000101, 0x1234));
    CHECK_EQ(cpu.seg_base[SEG_GS], 0x1234);
    CHECK(msr_write(&cpu, 0x3b, 0));
}

static bool can_read(uint32_t n)
{
    uint64_t v;

    return msr_read(&cpu, n, &v);
}

/* The table in order, each number answered as it says, and no other. */
static void the_policy_is_what_msrs_are(void)
{
    uint32_t next = 0;

    setup(true);
    for (unsigned i = 0; i < msr_rule_count; i++) {
        const struct msr_rule *r = &msr_rules[i];
        bool here = msr_rule_shown(r, cpu.model) && r->owner != MSR_BY_APIC;

        CHECK(r->first >= next && r->count && r->access && r->name && r->why);
        for (; next < r->first && r->first - next < 0x1000; next++)
            CHECK(!msr_rule_find(next) && !can_read(next) &&
                  !msr_write(&cpu, next, 0));
        next = r->first + r->count;
        for (uint32_t n = r->first; n < next; n++) {
            CHECK(msr_rule_find(n) == r);
            CHECK_EQ(can_read(n), here && (r->access & MSR_R));
            if (!(r->access & MSR_W))
                CHECK(!msr_write(&cpu, n, 0));
        }
    }
    CHECK(!msr_rule_find(next) && !msr_rule_find(~0u));
}

static void a_hidden_feature_hides_its_msrs(void)
{
    struct cpu_model less;
    struct error err;

    setup(true);
    CHECK(!cpu_model_parse(&less, "x86-64-v1,-mtrr,-mce", &err));
    cpu.model = &less;
    CHECK(!can_read(0xc0000103) && !can_read(0x250) && !can_read(0x400));
    CHECK(can_read(0xc0000080) && can_read(0x277));
}

int main(void)
{
    RUN(loading_beyond_the_table_is_gp_with_selector);
    RUN(loading_an_absent_segment_is_np_or_ss);
    RUN(null_data_segment_loads_and_faults_on_use);
    RUN(loading_sets_the_accessed_bit);
    RUN(user_may_not_load_kernel_data);
    RUN(expand_down_limit_is_the_other_side);
    RUN(noncanonical_addresses_are_gp_or_ss);
    RUN(ltr_marks_busy_and_refuses_a_busy_one);
    RUN(classes_combine_as_in_the_manual);
    RUN(fault_from_user_switches_the_stack);
    RUN(long_mode_aligns_the_stack_and_uses_ist);
    RUN(missing_handlers_end_in_a_triple_fault);
    RUN(a_bad_gate_for_gp_is_a_double_fault);
    RUN(a_fault_on_an_interrupt_has_ext_set);
    RUN(int_n_needs_the_gates_privilege);
    RUN(a_fault_while_pushing_leaves_the_user_as_it_was);
    RUN(real_mode_uses_the_vector_table);
    RUN(return_to_user_nulls_kernel_segments);
    RUN(far_call_through_a_gate_copies_parameters);
    RUN(task_switch_saves_and_nests);
    RUN(msrs_check_what_they_are_given);
    RUN(the_policy_is_what_msrs_are);
    RUN(a_hidden_feature_hides_its_msrs);
    return test_status();
}
