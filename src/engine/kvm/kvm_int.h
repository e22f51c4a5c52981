/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvm_int.h - what the files of this engine share.
 *
 * Either the vCPU's struct or KVM has the newest state (kvm_cpu.loaded). It is
 * moved only when run() returns, or when the interpreter does something in
 * between; what KVM has already is not set again.
 */
#pragma once

#include <linux/kvm.h>

#include "engine/engine.h"
#include "x86/cpuid.h"

#define KVM_MSRS_MAX 16

/* A vCPU's state as KVM takes it. */
struct kvm_state {
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_debugregs debug;
    struct kvm_xcrs xcrs;
    struct kvm_vcpu_events events;
    struct {
        uint32_t nmsrs, pad;
        struct kvm_msr_entry entries[KVM_MSRS_MAX];
    } msrs; /* struct kvm_msrs, with room */
    uint64_t tsc_offset;
    uint8_t xsave[4096]; /* struct kvm_xsave, without what is behind */
};
_Static_assert(offsetof(struct kvm_msrs, entries) == 8, "as struct kvm_state");

enum kvm_slot { SLOT_LOW, SLOT_HIGH, SLOT_ROM, SLOT_COUNT };

/* What the vCPUs of one guest memory share; in guest_mem.slots. */
struct kvm_vm {
    int fd;
    unsigned users;
    size_t run_len;       /* bytes of each vCPU's shared pages */
    pthread_mutex_t lock; /* the slots */
    bool mapped;
    unsigned generation;       /* guest_mem's, of the slots */
    uint64_t slot[SLOT_COUNT]; /* bytes that KVM has there */
    const uint8_t *rom;        /* guest_mem's, of the slots */
    void *rom_copy;            /* its pages */
    uint64_t rom_size;
    bool exits_refused;     /* no #UD for what KVM does not emulate */
    bool apics;             /* KVM can have the local APICs */
    atomic_bool lent;       /* it has them; cleared with the vCPUs parked */
    struct cpu_model model; /* the machine's, less what KVM does not carry */
};

struct kvm_cpu {
    int fd;
    struct kvm_run *run;
    struct kvm_vm *vm;
    const struct cpu_model *model; /* the machine's */
    bool loaded;                   /* KVM has the newest state */
    bool have;                     /* `last` is what KVM has */
    bool shown;                    /* CPUID was set */
    bool open;                     /* the next entry ends an instruction */
    bool ready;                    /* takes an interrupt now */
    bool flush;                    /* translations that KVM has are void */
    bool drop_ud;                  /* the #UD that it made is not the guest's */
    uint64_t cr8;                  /* as KVM has it */
    uint64_t apic_base;            /* with vm->apics, likewise */
    uint32_t mp;                   /* with vm->apics: KVM_MP_STATE_ */
    uint32_t timer_left;           /* of a one-shot, when the vCPU left; or 0 */
    struct kvm_state last, next;
};

static inline struct kvm_cpu *kvm_of(const struct vcpu *cpu)
{
    return cpu->kvm;
}

/* vm.c */
int kvm_probe(struct error *err) must_check;
/* A descriptor, or -errno with what to do about it. */
int kvm_device_open(struct error *err) must_check;
int kvm_cpu_open(struct vcpu *cpu, struct error *err) must_check;
void kvm_cpu_close(struct vcpu *cpu);
/* RAM and ROM where they are now; cheap if they have not moved. */
int kvm_slots(struct vcpu *cpu, struct error *err) must_check;

/* policy.c: what the guest sees and may reach. */
int kvm_reduce_model(struct cpu_model *m, struct error *err) must_check;
/*
 * 0 if the host's KVM runs the guest on the CPU itself. Others, made in
 * software, know less than the CPU does, and do not boot every kernel.
 */
int kvm_hardware(struct error *err) must_check;
int kvm_show_cpuid(struct vcpu *cpu, struct error *err) must_check;
int kvm_filter_msrs(const struct kvm_vm *vm, struct error *err) must_check;
/* Does the filter leave this MSR to KVM? What it refuses then is #GP. */
bool kvm_msr_own(const struct kvm_vm *vm, uint32_t msr);

/* state.c: the vCPU's struct to KVM, and back. No instruction is half done. */
int kvm_state_put(struct vcpu *cpu, struct error *err) must_check;
int kvm_state_get(struct vcpu *cpu, struct error *err) must_check;
/* The offset alone, when the guest has written its TSC. */
int kvm_tsc_put(struct vcpu *cpu, struct error *err) must_check;

/* CPUID, once. */
int kvm_state_show(struct vcpu *cpu, struct error *err) must_check;

/* apic.c: KVM's own local APICs; the 8259 pair and the IOAPIC stay ours. */
extern const struct engine_apics kvm_apics;
/* For a VM without vCPUs: vm->apics, if this KVM can. */
void kvm_apics_enable(struct kvm_vm *vm);
/* Halted, waiting for a start-up message, running: part of the state. */
int kvm_mp_put(struct vcpu *cpu, struct error *err) must_check;
int kvm_mp_get(struct vcpu *cpu, struct error *err) must_check;
/*
 * With the rest of the state: how far its timer is. One that ends while nobody
 * is in KVM_RUN leaves no trace there but a count of 0.
 */
int kvm_timer_look(struct vcpu *cpu, struct error *err) must_check;
/*
 * An interrupt of the 8259's, when KVM can take it. KVM_INTERRUPT would keep
 * it where nobody can see it if the state is wanted before it is delivered.
 */
int kvm_extint(struct vcpu *cpu, uint8_t vector, struct error *err) must_check;

/* kick.c: KVM_RUN that a signal to this thread ends, now or soon. */
int kvm_kick_init(struct error *err) must_check;
int kvm_kick_thread(void);
void kvm_kick_arm(struct kvm_run *run);
void kvm_kick_disarm(void);
