/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_kvm.c - claims about the state that goes to KVM and comes back: all
 * of it, unchanged; what KVM had on its way is delivered; code that runs there
 * leaves what the interpreter leaves. Skipped where there is no KVM.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/kvm/kvm_int.h"
#include "mmu/mmu.h"
#include "test.h"
#include "x86/flags.h"
#include "x86/fpu.h"
#include "x86/segment.h"

#define ENTRY 0x1000u

/* Ends in HLT: arithmetic, a call, a string, memory. */
extern const uint8_t prog[], prog_end[];
__asm__(".pushsection .rodata\n"
        ".code32\n"
        "prog: mov $0x8000, %esp\n"
        "mov $0x10000, %edi\n"
        "mov $1000, %ecx\n"
        "rep stosb\n"
        "mov $50, %ecx\n"
        "1: call 2f\n"
        "xor %ecx, 0x10020\n"
        "loop 1b\n"
        "hlt\n"
        "2: add $0x1234567, %eax\n"
        "rol $3, %eax\n"
        "push %eax\n"
        "pop %ebx\n"
        "adc %ebx, %edx\n"
        "ret\n"
        "prog_end:\n"
        ".code64\n"
        ".popsection");

static struct guest_mem mem;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct cpu_model model;
static struct vcpu *cpu;
static bool apics; /* KVM may have the local APIC */

/* What KVM is made to say to the next KVM_RUN, in place of running. */
static struct {
    bool on;
    uint32_t reason, suberror;
} says;
/* The n-th call from now on, counted down, fails; 0: none. */
static unsigned fails_at;

/* Before libc's, for this program. */
int ioctl(int fd, unsigned long request, ...)
{
    va_list ap;
    void *arg;

    va_start(ap, request);
    arg = va_arg(ap, void *);
    va_end(ap);
    if (fails_at && !--fails_at) {
        errno = ENOMEM;
        return -1;
    }
    if (request == KVM_RUN && says.on) {
        says.on = false;
        kvm_of(cpu)->run->exit_reason = says.reason;
        kvm_of(cpu)->run->internal.suberror = says.suberror;
        kvm_of(cpu)->run->internal.ndata = 0;
        return 0;
    }
    return (int)syscall(SYS_ioctl, fd, request, arg);
}

static bool start(const char *engine)
{
    const struct engine_ops *e = engine_find(engine);
    struct seg flat = {.attr = 0xc093, .limit = ~0u};
    struct error err;

    if (e->probe(&err))
        return false;
    CHECK(!guest_mem_init(&mem, 4 * MiB, &lock, &err));
    CHECK(!cpu_model_parse(&model, apics ? "x86-64-v3" : "x86-64-v1", &err));
    memcpy(mem.ram + ENTRY, prog, (size_t)(prog_end - prog));
    cpu = aligned_alloc(64, (sizeof(*cpu) + 63) & ~63ull);
    memset(cpu, 0, sizeof(*cpu));
    cpu->mem = &mem;
    cpu->model = &model;
    cpu->apic_page = UINT64_MAX;
    cpu->host_apics = apics;
    CHECK(!mmu_init(cpu, &err));
    CHECK(!e->vcpu_init(cpu, &err));
    vcpu_reset(cpu, false);
    mmu_join(&cpu, 1);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        cpu->seg[i] = flat;
    cpu->seg[SEG_CS].attr = 0xc09b;
    cpu->cr0 = CR0_PE | CR0_ET | CR0_NE;
    cpu->rip = ENTRY;
    vcpu_update_mode(cpu);
    return true;
}

static void finish(const char *engine)
{
    engine_find(engine)->vcpu_fini(cpu);
    mmu_fini(cpu);
    free(cpu);
    guest_mem_fini(&mem);
}

/* As a guest could leave it. */
static void scramble(void)
{
    for (unsigned i = 0; i < 16; i++)
        cpu->gpr[i] = 0x1111222233334444ull * (i + 1);
    cpu->rflags = FLAG_FIXED | FLAG_CF | FLAG_ZF | FLAG_DF;
    cpu->cr2 = 0x123456;
    cpu->cr3 = 0x5000;
    cpu->dr[0] = 0x1234;
    cpu->dr[3] = 0x5678;
    cpu->dr7 = 0x401;
    cpu->gdtr = (struct desc_table){0x2000, 0x7f};
    cpu->idtr = (struct desc_table){0x3000, 0xfff};
    cpu->seg[SEG_FS].base = 0x10203040;
    cpu->seg[SEG_GS] = seg_null(0);
    cpu->msr.star = 0x23001000000000ull;
    cpu->msr.lstar = 0xffffffff81000000ull;
    cpu->msr.sfmask = 0x47700;
    cpu->msr.kernel_gs_base = 0xffff888000000000ull;
    cpu->msr.sysenter_esp = 0x9000;
    cpu->fpu.mxcsr = 0x9f80;
    cpu->fpu.fx[FX_FCW] = 0x7f;
    cpu->fpu.fx[FX_FTW] = 0x81;
    for (unsigned i = 0; i < 16; i++)
        memset(cpu->fpu.ymm[i], (int)(0x30 + i), 16);
    for (unsigned i = 0; i < 8; i++)
        memset(cpu->fpu.fx + FX_ST(i), (int)(0x50 + i), 10);
    cpu->nmi_blocked = true;
    vcpu_update_mode(cpu);
}

static void same_segments(const struct vcpu *was)
{
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        CHECK_EQ(cpu->seg[i].attr & SEG_UNUSABLE,
                 was->seg[i].attr & SEG_UNUSABLE);
        CHECK_EQ(cpu->seg[i].sel, was->seg[i].sel);
        if (was->seg[i].attr & SEG_UNUSABLE)
            continue;
        CHECK_EQ(cpu->seg[i].base, was->seg[i].base);
        CHECK_EQ(cpu->seg[i].limit, was->seg[i].limit);
        CHECK_EQ(cpu->seg[i].attr, was->seg[i].attr);
    }
}

static void same(const struct vcpu *was)
{
    CHECK(!memcmp(cpu->gpr, was->gpr, 16 * 8));
    CHECK_EQ(cpu->rip, was->rip);
    CHECK_EQ(flags_get(cpu), flags_get(was));
    CHECK_EQ(cpu->cr0, was->cr0);
    CHECK_EQ(cpu->cr2, was->cr2);
    CHECK_EQ(cpu->cr3, was->cr3);
    CHECK_EQ(cpu->cr4, was->cr4);
    CHECK_EQ(cpu->cpl, was->cpl);
    CHECK(!memcmp(cpu->dr, was->dr, sizeof(cpu->dr)));
    CHECK_EQ(cpu->dr7, was->dr7);
    CHECK_EQ(cpu->gdtr.base, was->gdtr.base);
    CHECK_EQ(cpu->idtr.limit, was->idtr.limit);
    CHECK(!memcmp(&cpu->msr, &was->msr, sizeof(cpu->msr)));
    CHECK_EQ(cpu->fpu.mxcsr, was->fpu.mxcsr);
    CHECK_EQ(cpu->fpu.fx[FX_FCW], was->fpu.fx[FX_FCW]);
    CHECK_EQ(cpu->fpu.fx[FX_FTW], was->fpu.fx[FX_FTW]);
    for (unsigned i = 0; i < 8; i++)
        CHECK(!memcmp(cpu->fpu.fx + FX_ST(i), was->fpu.fx + FX_ST(i), 10));
    for (unsigned i = 0; i < 16; i++)
        CHECK(!memcmp(cpu->fpu.ymm[i], was->fpu.ymm[i], 16));
    CHECK_EQ(cpu->nmi_blocked, was->nmi_blocked);
    CHECK_EQ(cpu->tsc_offset, was->tsc_offset);
    same_segments(was);
}

static void forget(void)
{
    memset(cpu->gpr, 0, sizeof(cpu->gpr));
    memset(cpu->seg, 0, sizeof(cpu->seg));
    memset(cpu->fpu.ymm, 0, sizeof(cpu->fpu.ymm));
    memset(cpu->fpu.fx, 0, sizeof(cpu->fpu.fx));
    memset(cpu->dr, 0, sizeof(cpu->dr));
    cpu->msr.star = cpu->msr.lstar = cpu->msr.kernel_gs_base = 0;
    cpu->cr2 = cpu->cr3 = cpu->rip = cpu->rflags = 0;
    cpu->nmi_blocked = false;
}

static void all_state_comes_back(void)
{
    static struct vcpu was;
    struct error err;

    if (!start("kvm"))
        SKIP("no usable /dev/kvm");
    scramble();
    was = *cpu;
    CHECK(!kvm_slots(cpu, &err));
    CHECK(!kvm_state_put(cpu, &err));
    forget();
    CHECK(!kvm_state_get(cpu, &err));
    same(&was);
    finish("kvm");
}

/* The second time only what differs is set. */
static void a_change_goes_in(void)
{
    struct error err;

    if (!start("kvm"))
        SKIP("no usable /dev/kvm");
    CHECK(!kvm_slots(cpu, &err) && !kvm_state_put(cpu, &err));
    CHECK(!kvm_state_get(cpu, &err));
    cpu->gpr[R_R9] = 99;
    cpu->msr.lstar = 0x7000;
    cpu->fpu.ymm[3][5] = 7;
    cpu->seg[SEG_ES].base = 0x777000;
    CHECK(!kvm_state_put(cpu, &err));
    forget();
    CHECK(!kvm_state_get(cpu, &err));
    CHECK_EQ(cpu->gpr[R_R9], 99);
    CHECK_EQ(cpu->msr.lstar, 0x7000);
    CHECK_EQ(cpu->fpu.ymm[3][5], 7);
    CHECK_EQ(cpu->seg[SEG_ES].base, 0x777000);
    finish("kvm");
}

/* An interrupt that KVM has taken is at its handler when the state is back. */
static void what_was_on_its_way_is_delivered(void)
{
    struct kvm_interrupt irq = {.irq = 0x21};
    struct error err;

    if (!start("kvm"))
        SKIP("no usable /dev/kvm");
    cpu->cr0 = CR0_ET | CR0_NE; /* real mode: the handler's address is short */
    for (unsigned i = 0; i < SEG_COUNT; i++)
        cpu->seg[i] = seg_flat16(0, i == SEG_CS ? 0x9b : 0x93);
    cpu->idtr = (struct desc_table){0, 0x3ff};
    memcpy(mem.ram + 0x21 * 4, "\x00\x60\x00\x00", 4);
    cpu->gpr[R_RSP] = 0x8000;
    cpu->rflags |= FLAG_IF;
    vcpu_update_mode(cpu);
    CHECK(!kvm_slots(cpu, &err) && !kvm_state_put(cpu, &err));
    CHECK(!ioctl(kvm_of(cpu)->fd, KVM_INTERRUPT, &irq));
    CHECK(!kvm_state_get(cpu, &err));
    CHECK_EQ(cpu->rip, 0x6000);
    CHECK_EQ(cpu->gpr[R_RSP], 0x7ffa);
    CHECK(!(cpu->rflags & FLAG_IF));
    CHECK(!memcmp(mem.ram + 0x7ffa, "\x00\x10", 2));
    finish("kvm");
}

static uint64_t run_to_halt(const char *engine, uint64_t gpr[16])
{
    struct error err = {.msg = ""};
    uint64_t sum = 0;
    int rc = engine_find(engine)->run(cpu, &err);

    CHECK_EQ(rc, ENGINE_HALTED);
    CHECK(cpu->halted);
    memcpy(gpr, cpu->gpr, 16 * 8);
    for (unsigned i = 0; i < 0x2000; i++)
        sum = sum * 31 + mem.ram[0xf000 + i];
    return sum + cpu->rip + flags_get(cpu);
}

static void code_leaves_what_the_interpreter_leaves(void)
{
    uint64_t a[16], b[16], want;

    CHECK(start("interp"));
    want = run_to_halt("interp", a);
    finish("interp");
    if (!start("kvm"))
        SKIP("no usable /dev/kvm");
    CHECK_EQ(run_to_halt("kvm", b), want);
    CHECK(!memcmp(a, b, sizeof(a)));
    finish("kvm");
}

static void a_kick_ends_a_run(void)
{
    struct error err;

    if (!start("kvm"))
        SKIP("no usable /dev/kvm");
    engine_find("kvm")->kick(cpu);
    CHECK_EQ(engine_find("kvm")->run(cpu, &err), ENGINE_KICKED);
    CHECK_EQ(cpu->rip, ENTRY);
    finish("kvm");
}

/* The registers are in the struct for who shows them; one line says what. */
static void failure(uint32_t reason, uint32_t suberror, const char *want)
{
    struct error err = {.msg = ""};

    if (!start("kvm"))
        SKIP("no usable /dev/kvm");
    cpu->gpr[R_RBX] = 0x1234;
    says.on = true;
    says.reason = reason;
    says.suberror = suberror;
    CHECK_EQ(engine_find("kvm")->run(cpu, &err), -EIO);
    CHECK(strstr(err.msg, want));
    CHECK(strstr(err.msg, "on vCPU 0 at 0000:1000; give --engine interp"));
    CHECK_EQ(cpu->gpr[R_RBX], 0x1234);
    CHECK_EQ(cpu->rip, ENTRY);
    CHECK(!kvm_of(cpu)->loaded);
    finish("kvm");
}

static void an_internal_error_ends_with_a_line(void)
{
    failure(KVM_EXIT_INTERNAL_ERROR, KVM_INTERNAL_ERROR_DELIVERY_EV,
            "KVM has an internal error (0x3, ");
}

static void a_failed_entry_ends_with_a_line(void)
{
    failure(KVM_EXIT_FAIL_ENTRY, 0, "KVM cannot enter the guest (0x");
}

static void an_unknown_exit_ends_with_a_line(void)
{
    failure(0x7777, 0, "KVM came back for an unknown reason (0x7777, ");
}

/* What its emulator does not know is interpreted, and that is all. */
static void what_kvm_does_not_emulate_is_interpreted(void)
{
    uint64_t a[16], b[16], want;

    CHECK(start("interp"));
    want = run_to_halt("interp", a);
    finish("interp");
    if (!start("kvm"))
        SKIP("no usable /dev/kvm");
    says.on = true;
    says.reason = KVM_EXIT_INTERNAL_ERROR;
    says.suberror = KVM_INTERNAL_ERROR_EMULATION;
    CHECK_EQ(run_to_halt("kvm", b), want);
    CHECK_EQ(cpu->stats.count[CTR_KVM_REFUSED], 1);
    CHECK(!memcmp(a, b, sizeof(a)));
    finish("kvm");
}

/* Each call fails once: a line, nothing left behind, and the next try works. */
static void any_call_may_fail(void)
{
    const struct engine_ops *e = engine_find("kvm");
    struct error err;
    unsigned n, failed = 0;

    if (!start("kvm"))
        SKIP("no usable /dev/kvm");
    for (n = 1; n < 100; n++) {
        e->vcpu_fini(cpu);
        CHECK(!mem.slots && !cpu->kvm && cpu->model == &model);
        memset(&err, 0, sizeof(err));
        fails_at = n;
        if (!e->vcpu_init(cpu, &err)) {
            if (fails_at)
                break; /* there are not that many */
            continue;  /* it could do without */
        }
        failed++;
        CHECK(err.code && err.msg[0] && !strchr(err.msg, '\n'));
        fails_at = 0;
        CHECK(!e->vcpu_init(cpu, &err));
    }
    fails_at = 0;
    CHECK(n < 100 && failed > 5);
    finish("kvm");
}

/* As after a fork: the slots move, and a small guest has none above 4 GiB. */
static void ram_may_be_mapped_anew(void)
{
    struct error err;
    int fd;

    if (!start("kvm"))
        SKIP("no usable /dev/kvm");
    CHECK(!kvm_slots(cpu, &err));
    fd = guest_mem_freeze(&mem, &err);
    CHECK(fd >= 0);
    close(fd);
    CHECK(!kvm_slots(cpu, &err));
    CHECK(!guest_mem_thaw(&mem, &err));
    CHECK(!kvm_slots(cpu, &err));
    finish("kvm");
}

static void local_apic_comes_back(void)
{
    struct apic_image in = {.base = 0xfee00d00}, out; /* x2APIC */
    uint64_t far = 1ull << 62;
    struct error err;

    apics = true;
    if (!start("kvm"))
        SKIP("no usable /dev/kvm");
    if (!kvm_of(cpu)->vm->apics)
        SKIP("this KVM has no local APICs for us");
    in.reg[0x02] = 0;
    in.reg[0x08] = 0x30;
    in.reg[0x0f] = 0x1ff;
    in.reg[0x13] = BIT(4);          /* 0x64 is served */
    in.reg[0x22] = BIT(5) | BIT(6); /* 0x45 and 0x46 wait */
    in.reg[0x32] = 0x400ef;         /* TSC deadline */
    in.reg[0x35] = 0x10700;
    in.reg[0x3e] = 0xb;
    in.tsc_deadline = far;
    CHECK(!kvm_apics.put(cpu, &in, &err));
    /* a message, to the APIC of ID 0, while it is there */
    CHECK(kvm_apics.message(cpu, &(struct apic_message){0xfee00000, 0x4088}));
    CHECK(!kvm_apics.get(cpu, &out, &err));
    CHECK_EQ(out.base, in.base);
    for (unsigned i = 0x08; i < 0x40; i++)
        if (i != 0x0a && i != 0x0d && i != 0x0e && i != 0x24)
            CHECK_EQ(out.reg[i], in.reg[i]);
    CHECK_EQ(out.reg[0x24], BIT(8));
    CHECK_EQ(out.tsc_deadline, far);
    CHECK_EQ(kvm_of(cpu)->cr8, 3);
    finish("kvm");
    apics = false;
}

/* The vCPU has left: an interrupt that KVM has not made yet is not lost. */
static void a_timer_that_ends_meanwhile_has_sent(void)
{
    struct apic_image in = {.base = 0xfee00d00}, out;
    struct error err;

    apics = true;
    if (!start("kvm"))
        SKIP("no usable /dev/kvm");
    if (!kvm_of(cpu)->vm->apics)
        SKIP("this KVM has no local APICs for us");
    in.reg[0x0f] = 0x1ff;
    in.reg[0x32] = 0xef; /* one-shot, of 20 ms */
    in.reg[0x38] = in.reg[0x39] = 20000000;
    in.reg[0x3e] = 0xb;
    CHECK(!kvm_apics.put(cpu, &in, &err));
    CHECK(!kvm_slots(cpu, &err) && !kvm_state_put(cpu, &err));
    CHECK(!kvm_state_get(cpu, &err));
    CHECK(!kvm_apics.get(cpu, &out, &err));
    CHECK(out.reg[0x39] > 0);
    CHECK_EQ(out.reg[0x27], 0);
    usleep(40000);
    CHECK(!kvm_apics.get(cpu, &out, &err));
    CHECK_EQ(out.reg[0x39], 0);
    CHECK_EQ(out.reg[0x27], BIT(0xef & 31));
    in.reg[0x38] = in.reg[0x39] = 0;
    CHECK(!kvm_apics.put(cpu, &in, &err));
    CHECK(!kvm_apics.get(cpu, &out, &err));
    CHECK_EQ(out.reg[0x27], 0);
    finish("kvm");
    apics = false;
}

/* HLT and the wait for a start-up message are KVM's then, and come back. */
static void a_sleep_goes_there_and_back(void)
{
    struct error err;

    apics = true;
    if (!start("kvm"))
        SKIP("no usable /dev/kvm");
    if (!kvm_of(cpu)->vm->apics)
        SKIP("this KVM has no local APICs for us");
    for (unsigned i = 0; i < 3; i++) {
        cpu->halted = i > 0;
        cpu->wait_sipi = i > 1;
        CHECK(!kvm_slots(cpu, &err) && !kvm_state_put(cpu, &err));
        cpu->halted = cpu->wait_sipi = i == 0;
        CHECK(!kvm_state_get(cpu, &err));
        CHECK_EQ(cpu->halted, i > 0);
        CHECK_EQ(cpu->wait_sipi, i > 1);
    }
    finish("kvm");
    apics = false;
}

static void a_dropped_feature_takes_those_on_it_along(void)
{
    struct error err;

    CHECK(!cpu_model_parse(&model, "x86-64-v2", &err));
    cpu_model_drop(&model, F_SSE2);
    CHECK(!cpu_model_has(&model, F_SSE2));
    CHECK(!cpu_model_has(&model, F_PNI));
    CHECK(!cpu_model_has(&model, F_SSE4_2));
    CHECK(cpu_model_has(&model, F_SSE));
}

int main(void)
{
    RUN(all_state_comes_back);
    RUN(a_change_goes_in);
    RUN(what_was_on_its_way_is_delivered);
    RUN(code_leaves_what_the_interpreter_leaves);
    RUN(a_kick_ends_a_run);
    RUN(an_internal_error_ends_with_a_line);
    RUN(a_failed_entry_ends_with_a_line);
    RUN(an_unknown_exit_ends_with_a_line);
    RUN(what_kvm_does_not_emulate_is_interpreted);
    RUN(any_call_may_fail);
    RUN(ram_may_be_mapped_anew);
    RUN(local_apic_comes_back);
    RUN(a_timer_that_ends_meanwhile_has_sent);
    RUN(a_sleep_goes_there_and_back);
    RUN(a_dropped_feature_takes_those_on_it_along);
    return test_status();
}
