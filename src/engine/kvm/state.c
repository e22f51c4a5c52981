/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.c - the architectural state, to KVM and back.
 *
 * An event that KVM had on its way into the guest when it stopped has no place
 * in struct vcpu, and needs none: x86/exception.c delivers it. Software
 * interrupts are dropped: RIP is still on their instruction.
 */
#include "engine/kvm/kvm_int.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/log.h"
#include "x86/exception.h"
#include "x86/flags.h"
#include "x86/fpu.h"
#include "x86/msr_policy.h"
#include "x86/segment.h"

/* The next MSR that KVM has in place of its field; NULL: no more. */
static const struct msr_rule *next_own(const struct vcpu *cpu, unsigned *at)
{
    while (*at < msr_rule_count) {
        const struct msr_rule *r = &msr_rules[(*at)++];

        if (r->field && r->owner == MSR_BY_CPU &&
            kvm_msr_own(kvm_of(cpu)->vm, r->first))
            return r;
    }
    return NULL;
}

static uint64_t *msr_slot(struct vcpu *cpu, const struct msr_rule *r)
{
    return (uint64_t *)((char *)cpu + r->field);
}

/* --- segments --- */

static void seg_put(struct kvm_segment *k, const struct seg *s)
{
    bool unusable = s->attr & SEG_UNUSABLE;

    k->base = s->base;
    k->limit = s->limit;
    k->selector = s->sel;
    k->type = SEG_TYPE(s->attr);
    k->s = !!(s->attr & SEG_S);
    k->dpl = SEG_DPL(s->attr);
    k->present = !unusable && (s->attr & SEG_P);
    k->avl = s->attr >> 12 & 1;
    k->l = !!(s->attr & SEG_L);
    k->db = !!(s->attr & SEG_DB);
    k->g = !!(s->attr & SEG_G);
    k->unusable = unusable || !(s->attr & SEG_P);
}

static void seg_get(struct seg *s, const struct kvm_segment *k)
{
    s->base = k->base;
    s->limit = k->limit;
    s->sel = k->selector;
    s->attr = k->type | (uint32_t)k->s << 4 | (uint32_t)k->dpl << 5 |
              (uint32_t)k->present << 7 | (uint32_t)k->avl << 12 |
              (uint32_t)k->l << 13 | (uint32_t)k->db << 14 |
              (uint32_t)k->g << 15;
    if (k->unusable || !k->present)
        s->attr = (s->attr & ~SEG_P) | SEG_UNUSABLE;
}

static struct kvm_segment *kvm_seg(struct kvm_sregs *s, unsigned seg)
{
    struct kvm_segment *const all[SEG_COUNT] = {&s->es, &s->cs, &s->ss,
                                                &s->ds, &s->fs, &s->gs};

    return all[seg];
}

/* --- registers --- */

/* The order of struct kvm_regs. */
static const uint8_t gpr_order[16] = {
    R_RAX, R_RBX, R_RCX, R_RDX, R_RSI, R_RDI, R_RSP, R_RBP,
    R_R8,  R_R9,  R_R10, R_R11, R_R12, R_R13, R_R14, R_R15,
};
_Static_assert(offsetof(struct kvm_regs, rip) == 128, "16 registers first");

static void regs_put(const struct vcpu *cpu, struct kvm_regs *k)
{
    for (unsigned i = 0; i < 16; i++)
        (&k->rax)[i] = cpu->gpr[gpr_order[i]];
    k->rip = cpu->rip;
    k->rflags = flags_get(cpu);
}

static void regs_get(struct vcpu *cpu, const struct kvm_regs *k)
{
    for (unsigned i = 0; i < 16; i++)
        cpu->gpr[gpr_order[i]] = (&k->rax)[i];
    cpu->gpr[R_ZERO] = cpu->gpr[R_PAGE] = 0;
    cpu->rip = k->rip;
    cpu->rflags = k->rflags | FLAG_FIXED;
    cpu->cc_op = CC_EXPLICIT;
}

static void sregs_put(struct vcpu *cpu, struct kvm_sregs *k)
{
    uint64_t base = 0;

    for (unsigned i = 0; i < SEG_COUNT; i++)
        seg_put(kvm_seg(k, i), &cpu->seg[i]);
    seg_put(&k->ldt, &cpu->ldtr);
    seg_put(&k->tr, &cpu->tr);
    k->ss.dpl = cpu->cpl; /* which is where hardware has it */
    k->gdt.base = cpu->gdtr.base;
    k->gdt.limit = cpu->gdtr.limit;
    k->idt.base = cpu->idtr.base;
    k->idt.limit = cpu->idtr.limit;
    k->cr0 = cpu->cr0;
    k->cr2 = cpu->cr2;
    k->cr3 = cpu->cr3;
    k->cr4 = cpu->cr4;
    k->efer = cpu->msr.efer;
    if (kvm_of(cpu)->vm->apics) {
        k->cr8 = kvm_of(cpu)->cr8;
        k->apic_base = kvm_of(cpu)->apic_base;
    } else if (cpu->intr) {
        k->cr8 = cpu->intr->tpr_get(cpu->intr_ctx);
        /* KVM has no APIC here: only that CPUID shows one */
        if (!cpu->intr->msr_read(cpu->intr_ctx, MSR_APIC_BASE, &base))
            k->apic_base = base & ~(uint64_t)BIT(10);
    }
    memset(k->interrupt_bitmap, 0, sizeof(k->interrupt_bitmap));
}

/* [SDM 3A 4.4.1]; SREGS has none. */
static void pdpte_get(struct vcpu *cpu)
{
    if ((cpu->cr0 & CR0_PG) && (cpu->cr4 & CR4_PAE) && !vcpu_long_mode(cpu) &&
        guest_mem_read(cpu->mem, cpu->cr3 & 0xffffffe0, cpu->pdpte,
                       sizeof(cpu->pdpte)))
        memset(cpu->pdpte, 0, sizeof(cpu->pdpte));
}

static void sregs_get(struct vcpu *cpu, const struct kvm_sregs *k)
{
    struct kvm_sregs *s = (struct kvm_sregs *)k;

    for (unsigned i = 0; i < SEG_COUNT; i++)
        seg_get(&cpu->seg[i], kvm_seg(s, i));
    seg_get(&cpu->ldtr, &k->ldt);
    seg_get(&cpu->tr, &k->tr);
    cpu->gdtr = (struct desc_table){k->gdt.base, k->gdt.limit};
    cpu->idtr = (struct desc_table){k->idt.base, k->idt.limit};
    cpu->cr0 = k->cr0;
    cpu->cr2 = k->cr2;
    cpu->cr3 = k->cr3;
    cpu->cr4 = k->cr4;
    cpu->msr.efer = k->efer;
    cpu->cpl = !(k->cr0 & CR0_PE) ? 0 : (cpu->rflags & FLAG_VM) ? 3 : k->ss.dpl;
    pdpte_get(cpu);
}

static void debug_put(const struct vcpu *cpu, struct kvm_debugregs *k)
{
    memcpy(k->db, cpu->dr, sizeof(k->db));
    k->dr6 = cpu->dr6;
    k->dr7 = cpu->dr7;
}

static void debug_get(struct vcpu *cpu, const struct kvm_debugregs *k)
{
    memcpy(cpu->dr, k->db, sizeof(k->db));
    cpu->dr6 = k->dr6;
    cpu->dr7 = k->dr7;
}

/* --- x87, SSE, AVX --- */

/* Of what the guest is shown: KVM takes no more. */
static uint64_t components(const struct vcpu *cpu)
{
    return XCR0_X87 | XCR0_SSE | (cpu_has(cpu, F_AVX) ? XCR0_AVX : 0);
}

/* --- events --- */

static void events_put(const struct vcpu *cpu, struct kvm_vcpu_events *k)
{
    memset(&k->exception, 0, sizeof(k->exception));
    memset(&k->interrupt, 0, sizeof(k->interrupt));
    memset(&k->nmi, 0, sizeof(k->nmi));
    k->exception_has_payload = 0;
    k->interrupt.shadow = cpu->shadow == SHADOW_SS ? KVM_X86_SHADOW_INT_MOV_SS
                          : cpu->shadow == SHADOW_STI ? KVM_X86_SHADOW_INT_STI
                                                      : 0;
    k->nmi.masked = cpu->nmi_blocked;
    k->flags = KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_NMI_PENDING;
}

static void events_get(struct vcpu *cpu, const struct kvm_vcpu_events *k)
{
    cpu->shadow = k->interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS ? SHADOW_SS
                  : k->interrupt.shadow                           ? SHADOW_STI
                                                                  : SHADOW_NONE;
    cpu->nmi_blocked = k->nmi.masked;
    if (k->nmi.pending)
        vcpu_attn_set(cpu, ATTN_NMI);
}

/* What was on its way in. The state is complete but for it. */
static void events_finish(struct vcpu *cpu, const struct kvm_vcpu_events *k)
{
    uint8_t nr = k->exception.nr;

    if (k->exception.injected || k->exception.pending) {
        if (nr == EXC_BP || nr == EXC_OF ||
            (nr == EXC_UD && kvm_of(cpu)->drop_ud))
            return;
        cpu->exc = (struct exc){.vector = nr,
                                .has_error = k->exception.has_error_code,
                                .error = k->exception.error_code,
                                .cr2 = cpu->cr2};
        (void)exc_deliver(cpu); /* it has said so if it ends */
    } else if (k->nmi.injected) {
        (void)intr_deliver(cpu, EXC_NMI);
    } else if (k->interrupt.injected && !k->interrupt.soft) {
        (void)intr_deliver(cpu, k->interrupt.nr);
    }
}

/* --- MSRs and the TSC --- */

static int msrs_put(struct vcpu *cpu, struct error *err)
{
    struct kvm_cpu *kc = kvm_of(cpu);
    struct kvm_state *to = &kc->next;
    const struct msr_rule *r;
    unsigned at = 0;
    int n;

    to->msrs.nmsrs = 0;
    while ((r = next_own(cpu, &at))) {
        rf_assert(to->msrs.nmsrs < KVM_MSRS_MAX);
        to->msrs.entries[to->msrs.nmsrs++] = (struct kvm_msr_entry){
            .index = r->first, .data = *msr_slot(cpu, r)};
    }
    if (kc->have &&
        !memcmp(&kc->last.msrs, &kc->next.msrs, sizeof(kc->last.msrs)))
        return 0;
    n = ioctl(kc->fd, KVM_SET_MSRS, &to->msrs);
    if (n == (int)to->msrs.nmsrs)
        return 0;
    return error_set(err, n < 0 ? errno : EINVAL,
                     "KVM does not take the guest's MSR 0x%x",
                     n < 0 ? 0 : to->msrs.entries[n].index);
}

static int msrs_get(struct vcpu *cpu, struct error *err)
{
    struct kvm_cpu *kc = kvm_of(cpu);
    struct kvm_state *from = &kc->last;
    const struct msr_rule *r;
    unsigned at = 0, n = 0;

    if (ioctl(kc->fd, KVM_GET_MSRS, &from->msrs) != (int)from->msrs.nmsrs)
        return error_set(err, EIO, "KVM's MSRs: %s", strerror(errno));
    while ((r = next_own(cpu, &at)))
        *msr_slot(cpu, r) = from->msrs.entries[n++].data;
    return 0;
}

int kvm_tsc_put(struct vcpu *cpu, struct error *err)
{
    struct kvm_cpu *kc = kvm_of(cpu);
    struct kvm_device_attr attr = {
        .group = KVM_VCPU_TSC_CTRL,
        .attr = KVM_VCPU_TSC_OFFSET,
        .addr = (uintptr_t)&cpu->tsc_offset,
    };

    if (kc->have && kc->last.tsc_offset == cpu->tsc_offset)
        return 0;
    if (ioctl(kc->fd, KVM_SET_DEVICE_ATTR, &attr))
        return error_set(err, errno, "KVM does not take the TSC's offset: %s",
                         strerror(errno));
    kc->last.tsc_offset = cpu->tsc_offset;
    return 0;
}

/* --- all of it --- */

/* Sets what KVM does not have already. */
static int part_put(struct kvm_cpu *kc, unsigned long request, size_t at,
                    size_t size, const char *what, struct error *err)
{
    char *next = (char *)&kc->next + at, *last = (char *)&kc->last + at;

    if (kc->have && !memcmp(next, last, size))
        return 0;
    if (ioctl(kc->fd, request, next))
        return error_set(err, errno,
                         "KVM does not take the guest's %s: %s; does its CPU "
                         "carry the guest's CPU model?",
                         what, strerror(errno));
    return 0;
}

#define PUT(kc, request, part, what, err)                                      \
    part_put(kc, request, offsetof(struct kvm_state, part),                    \
             sizeof((kc)->next.part), what, err)

/* Translations go with a change of CR4.PGE, whatever else the CPU caches. */
static void forget_translations(struct kvm_cpu *kc)
{
    struct kvm_sregs s = kc->next.sregs;

    s.cr4 ^= CR4_PGE;
    if (!ioctl(kc->fd, KVM_SET_SREGS, &s))
        kc->last.sregs = s;
    kc->flush = false;
}

static int parts_put(struct vcpu *cpu, struct error *err)
{
    struct kvm_cpu *kc = kvm_of(cpu);

    if (kc->flush && kc->have)
        forget_translations(kc);
    if (PUT(kc, KVM_SET_SREGS, sregs, "system registers", err) ||
        PUT(kc, KVM_SET_REGS, regs, "registers", err))
        return -err->code;
    if (cpu_has(cpu, F_XSAVE) && PUT(kc, KVM_SET_XCRS, xcrs, "XCR0", err))
        return -err->code;
    if (PUT(kc, KVM_SET_XSAVE, xsave, "vector registers", err) ||
        PUT(kc, KVM_SET_DEBUGREGS, debug, "debug registers", err) ||
        msrs_put(cpu, err) || kvm_tsc_put(cpu, err))
        return -err->code;
    return PUT(kc, KVM_SET_VCPU_EVENTS, events, "events", err);
}

int kvm_state_show(struct vcpu *cpu, struct error *err)
{
    struct kvm_cpu *kc = kvm_of(cpu);

    if (!kc->shown && kvm_show_cpuid(cpu, err))
        return -err->code;
    kc->shown = true;
    return 0;
}

int kvm_state_put(struct vcpu *cpu, struct error *err)
{
    struct kvm_cpu *kc = kvm_of(cpu);

    rf_assert(!kc->loaded);
    if (kvm_state_show(cpu, err))
        return -err->code;
    kc->last.tsc_offset = kc->have ? kc->last.tsc_offset : 0;
    kc->next = kc->last;
    regs_put(cpu, &kc->next.regs);
    sregs_put(cpu, &kc->next.sregs);
    debug_put(cpu, &kc->next.debug);
    fpu_to_xsave(cpu, components(cpu), kc->next.xsave);
    events_put(cpu, &kc->next.events);
    kc->next.xcrs.nr_xcrs = 1;
    kc->next.xcrs.xcrs[0].value = cpu->xcr0;
    if (parts_put(cpu, err) || (kc->vm->apics && kvm_mp_put(cpu, err))) {
        kc->have = false;
        return -err->code;
    }
    kc->last = kc->next;
    kc->last.tsc_offset = cpu->tsc_offset;
    kc->have = kc->loaded = true;
    kc->drop_ud = false;
    kc->ready = !kc->vm->apics && (cpu->rflags & FLAG_IF) && !cpu->shadow;
    return 0;
}

int kvm_state_get(struct vcpu *cpu, struct error *err)
{
    struct kvm_cpu *kc = kvm_of(cpu);
    struct kvm_state *s = &kc->last;

    rf_assert(kc->loaded && !kc->open);
    cpu->stats.count[CTR_KVM_STATE]++;
    /* first: it may change the rest */
    if (kc->vm->apics && (kvm_mp_get(cpu, err) || kvm_timer_look(cpu, err)))
        return -err->code;
    if (ioctl(kc->fd, KVM_GET_REGS, &s->regs) ||
        ioctl(kc->fd, KVM_GET_SREGS, &s->sregs) ||
        ioctl(kc->fd, KVM_GET_XSAVE, s->xsave) ||
        ioctl(kc->fd, KVM_GET_DEBUGREGS, &s->debug) ||
        ioctl(kc->fd, KVM_GET_VCPU_EVENTS, &s->events) ||
        (cpu_has(cpu, F_XSAVE) && ioctl(kc->fd, KVM_GET_XCRS, &s->xcrs)))
        return error_set(err, errno, "KVM's state of vCPU %u: %s", cpu->index,
                         strerror(errno));
    if (msrs_get(cpu, err))
        return -err->code;
    regs_get(cpu, &s->regs);
    sregs_get(cpu, &s->sregs);
    debug_get(cpu, &s->debug);
    fpu_from_xsave(cpu, components(cpu), s->xsave);
    if (cpu_has(cpu, F_XSAVE))
        cpu->xcr0 = s->xcrs.xcrs[0].value;
    events_get(cpu, &s->events);
    kc->cr8 = s->sregs.cr8;
    kc->apic_base = s->sregs.apic_base;
    kc->loaded = false;
    cpu->mmu->flush_all(cpu); /* nobody told the software TLB */
    vcpu_update_mode(cpu);
    events_finish(cpu, &s->events);
    return 0;
}
