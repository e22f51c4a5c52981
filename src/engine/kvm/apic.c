/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apic.c - local APICs in KVM, without its 8259, 8254 and IOAPIC ("split"):
 * timers, EOIs and inter-processor interrupts make no exit, a halted vCPU
 * sleeps in KVM_RUN, and what a booting guest alone uses is not in the kernel.
 *
 * kvm_vm.lent: KVM's APICs are the guest's; else they are void.
 */
#include "engine/kvm/kvm_int.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/log.h"

#define PINS_MAX 24

_Static_assert(sizeof(struct kvm_lapic_state) == 16 * APIC_IMAGE_REGS,
               "a page");

void kvm_apics_enable(struct kvm_vm *vm)
{
    static const int need[] = {KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_X2APIC_API,
                               KVM_CAP_SIGNAL_MSI, KVM_CAP_IRQ_ROUTING,
                               KVM_CAP_MP_STATE};
    struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP,
                                   .args = {PINS_MAX}};
    struct kvm_enable_cap ids = {.cap = KVM_CAP_X2APIC_API,
                                 .args = {KVM_X2APIC_API_USE_32BIT_IDS}};

    for (unsigned i = 0; i < ARRAY_SIZE(need); i++)
        if (ioctl(vm->fd, KVM_CHECK_EXTENSION, need[i]) <= 0) {
            log_debug("kvm: local APICs are ours, without extension %d",
                      need[i]);
            return;
        }
    vm->apics = !ioctl(vm->fd, KVM_ENABLE_CAP, &ids) &&
                !ioctl(vm->fd, KVM_ENABLE_CAP, &split);
}

/* --- is it running? --- */

static uint32_t mp_of(const struct vcpu *cpu)
{
    return cpu->wait_sipi ? KVM_MP_STATE_INIT_RECEIVED
           : cpu->halted  ? KVM_MP_STATE_HALTED
                          : KVM_MP_STATE_RUNNABLE;
}

int kvm_mp_put(struct vcpu *cpu, struct error *err)
{
    struct kvm_cpu *kc = kvm_of(cpu);
    struct kvm_mp_state mp = {.mp_state = mp_of(cpu)};

    if (kc->have && kc->mp == mp.mp_state)
        return 0;
    if (ioctl(kc->fd, KVM_SET_MP_STATE, &mp))
        return error_set(err, errno, "KVM_SET_MP_STATE: %s", strerror(errno));
    kc->mp = mp.mp_state;
    return 0;
}

/* KVM takes INIT and the start-up message first, if they are there. */
static int mp_ask(struct kvm_cpu *kc, struct error *err)
{
    struct kvm_mp_state mp;

    if (ioctl(kc->fd, KVM_GET_MP_STATE, &mp))
        return error_set(err, errno, "KVM_GET_MP_STATE: %s", strerror(errno));
    kc->mp = mp.mp_state;
    return 0;
}

int kvm_mp_get(struct vcpu *cpu, struct error *err)
{
    struct kvm_cpu *kc = kvm_of(cpu);

    if (mp_ask(kc, err))
        return -err->code;
    cpu->wait_sipi = kc->mp == KVM_MP_STATE_INIT_RECEIVED ||
                     kc->mp == KVM_MP_STATE_UNINITIALIZED;
    cpu->halted = cpu->wait_sipi || kc->mp == KVM_MP_STATE_HALTED;
    return 0;
}

/* --- there and back --- */

static int msr_put(struct kvm_cpu *kc, uint32_t msr, uint64_t val,
                   struct error *err)
{
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry e;
    } m = {.head.nmsrs = 1, .e = {.index = msr, .data = val}};

    if (ioctl(kc->fd, KVM_SET_MSRS, &m) == 1)
        return 0;
    return error_set(err, EINVAL, "KVM does not take the APIC's MSR 0x%x", msr);
}

static int msr_get(struct kvm_cpu *kc, uint32_t msr, uint64_t *val,
                   struct error *err)
{
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry e;
    } m = {.head.nmsrs = 1, .e = {.index = msr}};

    if (ioctl(kc->fd, KVM_GET_MSRS, &m) != 1)
        return error_set(err, EINVAL, "KVM has no MSR 0x%x", msr);
    *val = m.e.data;
    return 0;
}

/* What a one-shot timer has left; 0 if it is none, or is to send nothing. */
static uint32_t timer_left(const struct apic_image *img)
{
    return img->reg[APIC_REG_LVT_TIMER] & (LVT_MASKED | LVT_TIMER_MODE)
               ? 0
               : img->reg[APIC_REG_COUNT];
}

/*
 * The order counts: the mode first, which the registers' meaning depends on;
 * the TSC before what waits for it.
 */
static int apic_put(struct vcpu *cpu, const struct apic_image *img,
                    struct error *err)
{
    struct kvm_cpu *kc = kvm_of(cpu);
    struct kvm_lapic_state page = {{0}};

    for (unsigned i = 0; i < APIC_IMAGE_REGS; i++)
        memcpy(page.regs + 16 * i, &img->reg[i], 4);
    if (kvm_tsc_put(cpu, err) || msr_put(kc, MSR_APIC_BASE, img->base, err))
        return -err->code;
    if (ioctl(kc->fd, KVM_SET_LAPIC, &page))
        return error_set(err, errno, "KVM does not take APIC %u: %s",
                         cpu->index, strerror(errno));
    if (img->tsc_deadline &&
        msr_put(kc, MSR_TSC_DEADLINE, img->tsc_deadline, err))
        return -err->code;
    kc->apic_base = img->base;
    kc->cr8 = img->reg[APIC_REG_TPR] >> 4;
    kc->timer_left = timer_left(img);
    return 0;
}

/* Its struct has not gone to KVM since it waits for the message. */
static int started_early(struct vcpu *cpu, struct error *err)
{
    struct kvm_sregs s;

    if (ioctl(kvm_of(cpu)->fd, KVM_GET_SREGS, &s))
        return error_set(err, errno, "KVM_GET_SREGS: %s", strerror(errno));
    cpu->sipi_vector = (uint8_t)(s.cs.base >> 12);
    vcpu_attn_set(cpu, ATTN_SIPI);
    return 0;
}

/* What others have sent since the struct has the state. */
static int late_events(struct vcpu *cpu, struct error *err)
{
    struct kvm_cpu *kc = kvm_of(cpu);
    struct kvm_vcpu_events e;
    uint32_t was = kc->mp;

    rf_assert(!kc->loaded);
    if (ioctl(kc->fd, KVM_GET_VCPU_EVENTS, &e))
        return error_set(err, errno, "KVM_GET_VCPU_EVENTS: %s",
                         strerror(errno));
    if (e.nmi.pending) {
        vcpu_attn_set(cpu, ATTN_NMI);
        kc->last.events.nmi.pending = 1; /* so that the next put drops it */
    }
    if (mp_ask(kc, err))
        return -err->code;
    if (!kc->have)
        return cpu->wait_sipi && kc->mp == KVM_MP_STATE_RUNNABLE
                   ? started_early(cpu, err)
                   : 0;
    if (!e.smi.latched_init && kc->mp == was)
        return 0;
    kc->loaded = true;
    return kvm_state_get(cpu, err);
}

static int image_get(struct kvm_cpu *kc, struct apic_image *img,
                     struct error *err)
{
    struct kvm_lapic_state page;

    if (ioctl(kc->fd, KVM_GET_LAPIC, &page))
        return error_set(err, errno, "KVM_GET_LAPIC: %s", strerror(errno));
    for (unsigned i = 0; i < APIC_IMAGE_REGS; i++)
        memcpy(&img->reg[i], page.regs + 16 * i, 4);
    return 0;
}

int kvm_timer_look(struct vcpu *cpu, struct error *err)
{
    struct apic_image img;

    if (image_get(kvm_of(cpu), &img, err))
        return -err->code;
    kvm_of(cpu)->timer_left = timer_left(&img);
    return 0;
}

/* It ended since the vCPU left: KVM would have sent this at its next entry. */
static void timer_late(const struct kvm_cpu *kc, struct apic_image *img)
{
    unsigned v = img->reg[APIC_REG_LVT_TIMER] & 255;

    if (!kc->timer_left || img->reg[APIC_REG_COUNT])
        return;
    img->reg[APIC_REG_IRR + v / 32] |= BIT(v % 32);
    img->reg[APIC_REG_TMR + v / 32] &= ~BIT(v % 32);
}

static int apic_get(struct vcpu *cpu, struct apic_image *img, struct error *err)
{
    struct kvm_cpu *kc = kvm_of(cpu);

    atomic_store(&kc->vm->lent, false);
    *img = (struct apic_image){.base = 0};
    if (late_events(cpu, err) || msr_get(kc, MSR_APIC_BASE, &img->base, err) ||
        msr_get(kc, MSR_TSC_DEADLINE, &img->tsc_deadline, err) ||
        image_get(kc, img, err))
        return -err->code;
    timer_late(kc, img);
    return 0;
}

/* --- while they are there --- */

int kvm_extint(struct vcpu *cpu, uint8_t vector, struct error *err)
{
    struct kvm_cpu *kc = kvm_of(cpu);
    struct kvm_mp_state mp = {.mp_state = KVM_MP_STATE_RUNNABLE};
    struct kvm_vcpu_events e;

    if (ioctl(kc->fd, KVM_GET_VCPU_EVENTS, &e))
        return error_set(err, errno, "KVM_GET_VCPU_EVENTS: %s",
                         strerror(errno));
    e.flags = 0;
    e.interrupt.injected = 1;
    e.interrupt.nr = vector;
    e.interrupt.soft = 0;
    if (ioctl(kc->fd, KVM_SET_VCPU_EVENTS, &e) ||
        ioctl(kc->fd, KVM_SET_MP_STATE, &mp))
        return error_set(err, errno, "KVM does not take an interrupt: %s",
                         strerror(errno));
    kc->mp = mp.mp_state;
    return 0;
}

static bool apic_send(struct vcpu *cpu, const struct apic_message *m)
{
    struct kvm_msi msi = {.address_lo = (uint32_t)m->addr,
                          .address_hi = (uint32_t)(m->addr >> 32),
                          .data = m->data};

    return ioctl(kvm_of(cpu)->vm->fd, KVM_SIGNAL_MSI, &msi) > 0;
}

/* KVM reads off the routes of an IOAPIC's pins whose EOIs we wait for. */
static void apic_levels(struct vcpu *cpu, const struct apic_message *pin,
                        unsigned n)
{
    struct {
        struct kvm_irq_routing head;
        struct kvm_irq_routing_entry e[PINS_MAX];
    } table = {.head.nr = 0};

    for (unsigned i = 0; i < n && i < PINS_MAX; i++)
        if (pin[i].addr)
            table.e[table.head.nr++] = (struct kvm_irq_routing_entry){
                .gsi = i,
                .type = KVM_IRQ_ROUTING_MSI,
                .u.msi = {.address_lo = (uint32_t)pin[i].addr,
                          .address_hi = (uint32_t)(pin[i].addr >> 32),
                          .data = pin[i].data},
            };
    if (ioctl(kvm_of(cpu)->vm->fd, KVM_SET_GSI_ROUTING, &table))
        log_error("KVM does not take the IOAPIC's routes: %s", strerror(errno));
}

const struct engine_apics kvm_apics = {
    .put = apic_put,
    .get = apic_get,
    .message = apic_send,
    .levels = apic_levels,
};
