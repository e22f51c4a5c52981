/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvm.c - the run loop on hardware: enter, and answer why it came back.
 *
 * The interrupt controllers are ours, as on the other engines; KVM is told of
 * an interrupt when it can take one. What KVM will not do, one instruction of
 * it, the interpreter does on the same state: so INIT and SIPI, and what the
 * emulator of an odd KVM does not know, need no code here.
 */
#include "engine/kvm/kvm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/log.h"
#include "engine/interp/interp.h"
#include "engine/kvm/kvm_int.h"
#include "mmu/mmu.h"
#include "x86/access.h"
#include "x86/exit.h"
#include "x86/flags.h"
#include "x86/msr.h"

#define RUN_ON ENGINE_EXITS /* none of them, and no error: go on */

static const uint32_t attn_interpreted =
    ATTN_INIT | ATTN_SIPI | ATTN_DEBUG | ATTN_TRACE;

/* --- what comes back from KVM_RUN --- */

static int exit_port(struct vcpu *cpu, struct kvm_run *run)
{
    bool in = run->io.direction == KVM_EXIT_IO_IN, many = run->io.count > 1;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    enum exit_reason why = in     ? many ? EXIT_INS : EXIT_IN
                           : many ? EXIT_OUTS
                                  : EXIT_OUT;
    uint64_t t0 = stats_begin(&cpu->stats), v;

    for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
        v = 0;
        if (in) {
            v = port_in(cpu, run->io.port, run->io.size);
            memcpy(data, &v, run->io.size);
        } else {
            memcpy(&v, data, run->io.size);
            port_out(cpu, run->io.port, run->io.size, v);
        }
    }
    stats_meter(&cpu->stats, &cpu->stats.exit[why], t0);
    return RUN_ON;
}

static int exit_mmio(struct vcpu *cpu, struct kvm_run *run)
{
    unsigned len = MIN(run->mmio.len, sizeof(run->mmio.data));

    if (run->mmio.is_write)
        bus_write(cpu, run->mmio.phys_addr, run->mmio.data, len);
    else
        bus_read(cpu, run->mmio.phys_addr, run->mmio.data, len);
    return RUN_ON;
}

static int exit_rdmsr(struct vcpu *cpu, struct kvm_run *run)
{
    uint64_t t0 = stats_begin(&cpu->stats), v = 0;

    run->msr.error = kvm_msr_own(kvm_of(cpu)->vm, run->msr.index) ||
                     !msr_read(cpu, run->msr.index, &v);
    run->msr.data = v;
    stats_meter(&cpu->stats, &cpu->stats.exit[EXIT_RDMSR], t0);
    return RUN_ON;
}

static int exit_wrmsr(struct vcpu *cpu, struct kvm_run *run, struct error *err)
{
    uint64_t t0 = stats_begin(&cpu->stats);

    /* what is KVM's own it has refused: our copy of it is not current */
    run->msr.error = kvm_msr_own(kvm_of(cpu)->vm, run->msr.index) ||
                     !msr_write(cpu, run->msr.index, run->msr.data);
    stats_meter(&cpu->stats, &cpu->stats.exit[EXIT_WRMSR], t0);
    return kvm_tsc_put(cpu, err) ? -err->code : RUN_ON;
}

/* --- half an instruction --- */

static int exit_open(struct vcpu *cpu, struct kvm_run *run, struct error *err)
{
    kvm_of(cpu)->open = true;
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        return exit_port(cpu, run);
    case KVM_EXIT_MMIO:
        return exit_mmio(cpu, run);
    case KVM_EXIT_X86_RDMSR:
        return exit_rdmsr(cpu, run);
    case KVM_EXIT_X86_WRMSR:
        return exit_wrmsr(cpu, run, err);
    default:
        kvm_of(cpu)->open = false;
        return RUN_ON;
    }
}

/* An access is answered; KVM ends the instruction at its next entry. */
static int instruction_end(struct vcpu *cpu, struct error *err)
{
    struct kvm_cpu *kc = kvm_of(cpu);
    int rc = RUN_ON;

    while (kc->open && rc == RUN_ON) {
        kc->open = false;
        kc->run->immediate_exit = 1;
        if (!ioctl(kc->fd, KVM_RUN, 0))
            rc = exit_open(cpu, kc->run, err); /* another access of it */
        else if (errno != EINTR)
            return error_set(err, errno, "KVM: %s", strerror(errno));
    }
    return rc == RUN_ON ? 0 : rc;
}

/* vcpu.h's promise: the struct has everything. */
static int state_back(struct vcpu *cpu, struct error *err)
{
    if (!kvm_of(cpu)->loaded)
        return 0;
    return instruction_end(cpu, err) || kvm_state_get(cpu, err) ? -err->code
                                                                : 0;
}

/* --- what is not for KVM --- */

/* Translations that the interpreter dropped for the guest. */
static uint64_t translation_drops(const struct vcpu *cpu)
{
    const struct meter *m = cpu->stats.exit;

    return m[EXIT_INVLPG].count + m[EXIT_INVPCID].count +
           m[EXIT_MOV_TO_CR].count + m[EXIT_WRMSR].count;
}

/*
 * KVM's APIC is lent to nobody: the interpreter sees its TPR, and takes no
 * interrupt, for only KVM knows whether the 8259's may come in.
 */
static void apic_stands_by(struct vcpu *cpu)
{
    if (cpu->intr)
        cpu->intr->tpr_set(cpu->intr_ctx, kvm_of(cpu)->cr8);
    if (!cpu->halted && cpu->shadow == SHADOW_NONE) {
        cpu->shadow = SHADOW_STI;
        vcpu_update_rflags(cpu);
    }
}

/* Events that wait, and one instruction. */
static int interpret(struct vcpu *cpu, struct error *err)
{
    struct kvm_cpu *kc = kvm_of(cpu);
    bool apics = kc->vm->apics;
    uint64_t drops, cr3;
    int rc = state_back(cpu, err);

    if (rc)
        return rc;
    if (cpu->shutdown)
        return ENGINE_SHUTDOWN;
    drops = translation_drops(cpu);
    cr3 = cpu->cr3;
    if (apics)
        apic_stands_by(cpu);
    vcpu_set_limit(cpu, vcpu_insns(cpu) + 1);
    rc = engine_interp.run(cpu, err);
    vcpu_set_limit(cpu, VCPU_NO_LIMIT);
    if (drops != translation_drops(cpu) || cr3 != cpu->cr3)
        kc->flush = true;
    if (apics && cpu->intr)
        kc->cr8 = cpu->intr->tpr_get(cpu->intr_ctx);
    cpu->stats.count[CTR_KVM_STEP]++;
    if (rc < 0)
        return rc;
    cpu->stats.left[rc]--; /* run() counts what it returns */
    /* with APICs in KVM it is there that a vCPU sleeps */
    return rc == ENGINE_LIMIT || (rc == ENGINE_HALTED && apics) ? RUN_ON : rc;
}

/* --- what is not the guest's doing --- */

/* The state is in the struct, for whoever shows it. */
static int failed(struct vcpu *cpu, const char *what, uint64_t a, uint64_t b,
                  struct error *err)
{
    struct error lost;

    if (state_back(cpu, &lost))
        log_error("%s", lost.msg);
    return error_set(err, EIO,
                     "KVM %s (0x%llx, 0x%llx) on vCPU %u at %04x:%llx; give "
                     "--engine interp to run this guest",
                     what, (unsigned long long)a, (unsigned long long)b,
                     cpu->index, cpu->seg[SEG_CS].sel,
                     (unsigned long long)cpu->rip);
}

static int exit_internal(struct vcpu *cpu, struct kvm_run *run,
                         struct error *err)
{
    if (run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION)
        return failed(cpu, "has an internal error", run->internal.suberror,
                      run->internal.ndata ? run->internal.data[0] : 0, err);
    cpu->stats.count[CTR_KVM_REFUSED]++;
    kvm_of(cpu)->drop_ud = !kvm_of(cpu)->vm->exits_refused;
    return interpret(cpu, err);
}

static int exit_shutdown(struct vcpu *cpu, struct kvm_run *run,
                         struct error *err)
{
    int rc = state_back(cpu, err);

    (void)run;
    if (rc)
        return rc;
    kvm_of(cpu)->have = false; /* on AMD's it is as after INIT now */
    cpu->shutdown = true;
    log_guest("vcpu %u: triple fault at %04x:%llx", cpu->index,
              cpu->seg[SEG_CS].sel, (unsigned long long)cpu->rip);
    return ENGINE_SHUTDOWN;
}

static int exit_halt(struct vcpu *cpu, struct kvm_run *run, struct error *err)
{
    int rc = state_back(cpu, err);

    (void)run;
    if (rc)
        return rc;
    cpu->stats.exit[EXIT_HLT].count++; /* its time is that of the sleep */
    cpu->halted = true;
    return ENGINE_HALTED;
}

static int exit_window(struct vcpu *cpu, struct kvm_run *run, struct error *err)
{
    (void)run;
    (void)err;
    cpu->stats.count[CTR_KVM_WINDOW]++;
    return RUN_ON;
}

static int exit_eoi(struct vcpu *cpu, struct kvm_run *run, struct error *err)
{
    (void)err;
    if (cpu->intr)
        cpu->intr->eoi(cpu->intr_ctx, run->eoi.vector);
    return RUN_ON;
}

/* What attn or cr8, which are looked at anyway, have something to do with. */
static int exit_nothing(struct vcpu *cpu, struct kvm_run *run,
                        struct error *err)
{
    (void)cpu;
    (void)run;
    (void)err;
    return RUN_ON;
}

static int exit_no_entry(struct vcpu *cpu, struct kvm_run *run,
                         struct error *err)
{
    return failed(cpu, "cannot enter the guest",
                  run->fail_entry.hardware_entry_failure_reason, 0, err);
}

/* All that a guest can bring about; also for `ringfence surface'. */
static const struct {
    uint32_t reason;
    const char *name;
    int (*answer)(struct vcpu *cpu, struct kvm_run *run, struct error *err);
} exits[] = {
#define E(reason, answer)                                                      \
    {                                                                          \
        KVM_EXIT_##reason, #reason, answer                                     \
    }
    E(IO, exit_open),
    E(MMIO, exit_open),
    E(X86_RDMSR, exit_open),
    E(X86_WRMSR, exit_open),
    E(HLT, exit_halt),
    E(IRQ_WINDOW_OPEN, exit_window),
    E(IOAPIC_EOI, exit_eoi),
    E(INTR, exit_nothing),
    E(SET_TPR, exit_nothing),
    E(NMI, exit_nothing),
    E(SHUTDOWN, exit_shutdown),
    E(INTERNAL_ERROR, exit_internal),
    E(FAIL_ENTRY, exit_no_entry),
#undef E
};

static int exited(struct vcpu *cpu, struct kvm_run *run, struct error *err)
{
    for (unsigned i = 0; i < ARRAY_SIZE(exits); i++)
        if (exits[i].reason == run->exit_reason)
            return exits[i].answer(cpu, run, err);
    return failed(cpu, "came back for an unknown reason", run->exit_reason,
                  run->hw.hardware_exit_reason, err);
}

static const char *kvm_exit(unsigned i)
{
    return i < ARRAY_SIZE(exits) ? exits[i].name : NULL;
}

static bool kvm_own_msr(const struct vcpu *cpu, uint32_t msr)
{
    return kvm_msr_own(kvm_of(cpu)->vm, msr);
}

/* --- in --- */

/*
 * With APICs in KVM it alone knows if the 8259's interrupt may come in, and
 * says so when it was entered; nor does a halted vCPU wake up for that.
 */
static int look_ready(struct kvm_cpu *kc, struct error *err)
{
    kc->run->immediate_exit = 1;
    if (ioctl(kc->fd, KVM_RUN, 0) && errno != EINTR)
        return error_set(err, errno, "KVM: %s", strerror(errno));
    kc->ready = kc->run->ready_for_interrupt_injection;
    return 0;
}

/* Interrupts that KVM can take, or is to say when it can. -errno. */
static int inject(struct vcpu *cpu, uint32_t attn, struct error *err)
{
    struct kvm_cpu *kc = kvm_of(cpu);
    struct kvm_interrupt irq;
    int vector;

    if (attn & ATTN_NMI) {
        vcpu_attn_clear(cpu, ATTN_NMI);
        if (ioctl(kc->fd, KVM_NMI))
            return error_set(err, errno, "KVM_NMI: %s", strerror(errno));
    }
    kc->run->request_interrupt_window = 0;
    if (!(attn & ATTN_INTR))
        return 0;
    if (kc->vm->apics && !kc->ready && !kc->open && look_ready(kc, err))
        return -err->code;
    if (!kc->ready || kc->open) {
        kc->run->request_interrupt_window = 1;
        return 0;
    }
    vector = cpu->intr->ack(cpu->intr_ctx);
    if (vector < 0)
        return 0;
    irq.irq = (uint32_t)vector;
    if (kc->vm->apics) {
        if (kvm_extint(cpu, (uint8_t)vector, err))
            return -err->code;
    } else if (ioctl(kc->fd, KVM_INTERRUPT, &irq))
        return error_set(err, errno, "KVM_INTERRUPT: %s", strerror(errno));
    kc->ready = false;
    kc->run->request_interrupt_window = !!(atomic_load(&cpu->attn) & ATTN_INTR);
    cpu->stats.count[CTR_INTERRUPT]++;
    cpu->stats.interrupt[vector & 255].count++;
    return 0;
}

/* seen: what of attn was dealt with. Nonzero: as KVM_RUN. */
static int enter(struct vcpu *cpu, uint32_t seen)
{
    struct kvm_cpu *kc = kvm_of(cpu);
    struct kvm_run *run = kc->run;
    uint64_t t0 = stats_begin(&cpu->stats);
    int rc = EINTR;

    if (!kc->vm->apics)
        run->cr8 = kc->cr8 = cpu->intr ? cpu->intr->tpr_get(cpu->intr_ctx) : 0;
    kvm_kick_arm(run);
    atomic_store(&cpu->runs_in, -kvm_kick_thread());
    if (!(atomic_load(&cpu->attn) & ~seen)) {
        kc->open = false;
        rc = ioctl(kc->fd, KVM_RUN, 0) ? errno : 0;
        kc->ready = run->ready_for_interrupt_injection;
        stats_count(&cpu->stats, CTR_KVM, t0);
    }
    atomic_store(&cpu->runs_in, 0);
    kvm_kick_disarm();
    if (!kc->vm->apics && run->cr8 != kc->cr8 && cpu->intr)
        cpu->intr->tpr_set(cpu->intr_ctx, run->cr8);
    return rc;
}

static int run_hardware(struct vcpu *cpu, uint32_t attn, struct error *err)
{
    struct kvm_cpu *kc = kvm_of(cpu);
    char what[80];
    int rc;

    if (kc->vm->apics && !atomic_load(&kc->vm->lent)) {
        if (cpu->intr->lend(cpu->intr_ctx, err))
            return -err->code;
        atomic_store(&kc->vm->lent, true);
    }
    if (!kc->loaded && (kvm_slots(cpu, err) || kvm_state_put(cpu, err)))
        return -err->code;
    if (inject(cpu, attn, err))
        return -err->code;
    rc = enter(cpu, attn);
    if (!rc)
        return exited(cpu, kc->run, err);
    if (rc == EINTR || rc == EAGAIN) {
        cpu->stats.count[CTR_KVM_KICK]++;
        return RUN_ON;
    }
    snprintf(what, sizeof(what), "says `%s'", strerror(rc));
    return failed(cpu, what, kc->run->exit_reason, 0, err);
}

/* --- for the run loop --- */

/* With the state in the struct: does a halted vCPU go on? */
static bool woken(struct vcpu *cpu, uint32_t attn)
{
    if (!cpu->halted)
        return true;
    if (!(attn & cpu->attn_mask & (ATTN_NMI | ATTN_INTR)))
        return false;
    cpu->halted = false;
    return true;
}

static int step(struct vcpu *cpu, struct error *err)
{
    uint32_t attn = atomic_load(&cpu->attn);
    struct kvm_cpu *kc = kvm_of(cpu);

    if (attn & ATTN_INBOX)
        mmu_inbox(cpu);
    if (cpu->shutdown)
        return ENGINE_SHUTDOWN;
    if (attn & ATTN_KICK) {
        vcpu_attn_clear(cpu, ATTN_KICK);
        return ENGINE_KICKED;
    }
    if ((attn & attn_interpreted) ||
        (!kc->loaded &&
         ((cpu->wait_sipi && !kc->vm->apics) || cpu->db_pending)))
        return interpret(cpu, err);
    if (!kc->loaded && !kc->vm->apics && !woken(cpu, attn))
        return ENGINE_HALTED;
    return run_hardware(cpu, attn & ~(uint32_t)ATTN_INBOX, err);
}

static int kvm_run(struct vcpu *cpu, struct error *err)
{
    int exit, rc;

    flags_sync(cpu);
    do
        exit = step(cpu, err);
    while (exit == RUN_ON);
    if (exit < 0)
        return exit;
    rc = state_back(cpu, err);
    if (rc)
        return rc;
    if (cpu->shutdown)
        exit = ENGINE_SHUTDOWN;
    flags_sync(cpu);
    cpu->stats.left[exit]++;
    return exit;
}

static void kvm_fini(struct vcpu *cpu)
{
    kvm_cpu_close(cpu);
    engine_interp.vcpu_fini(cpu);
}

/* A guest that runs already: KVM has to take it as it is. */
static int try_state(struct vcpu *cpu, struct error *err)
{
    if (!cpu->cr0)
        return 0; /* not even reset */
    if (kvm_slots(cpu, err) || kvm_state_put(cpu, err))
        return -err->code;
    kvm_of(cpu)->loaded = false;
    return 0;
}

static int kvm_init(struct vcpu *cpu, struct error *err)
{
    if (engine_interp.vcpu_init(cpu, err))
        return -err->code;
    /* CPUID now: it asks the APIC, and cannot when that is lent */
    if (kvm_cpu_open(cpu, err) || kvm_state_show(cpu, err) ||
        try_state(cpu, err)) {
        kvm_fini(cpu);
        return -err->code;
    }
    return 0;
}

const struct engine_ops engine_kvm = {
    .name = "kvm",
    .summary = "all code on the CPU, by its virtualization (/dev/kvm)",
    .probe = kvm_probe,
    .prefer = kvm_hardware,
    .vcpu_init = kvm_init,
    .run = kvm_run,
    .kick = engine_kick,
    .vcpu_fini = kvm_fini,
    .opaque = true,
    .huge = true,
    .exit_name = kvm_exit,
    .own_msr = kvm_own_msr,
    .forget_code = mmu_post_forget,
    .apics = &kvm_apics,
};
