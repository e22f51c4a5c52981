/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.c - CPUID and MSRs: the machine's model and x86/msr_policy.c, not
 * KVM's tables. Only what the CPU itself has to have is KVM's; every other MSR
 * comes back to us, and #GP is what we say it is.
 */
#include "engine/kvm/kvm_int.h"

#include <cpuid.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/log.h"
#include "x86/msr_policy.h"

#define LEAVES_MAX 256
#define MSR_SPAN   64 /* numbers that a range of the filter has room for */

/* --- what KVM carries --- */

static struct kvm_cpuid2 *cpuid_list(struct error *err)
{
    struct kvm_cpuid2 *list =
        calloc(1, sizeof(*list) + LEAVES_MAX * sizeof(list->entries[0]));

    if (!list)
        error_set(err, ENOMEM, "out of memory");
    return list;
}

static struct kvm_cpuid2 *supported(struct error *err)
{
    struct kvm_cpuid2 *list;
    int fd = kvm_device_open(err), rc;

    if (fd < 0)
        return NULL;
    list = cpuid_list(err);
    if (list) {
        list->nent = LEAVES_MAX;
        rc = ioctl(fd, KVM_GET_SUPPORTED_CPUID, list);
        if (rc) {
            error_set(err, errno, "KVM's list of features: %s",
                      strerror(errno));
            free(list);
            list = NULL;
        }
    }
    close(fd);
    return list;
}

static bool carries(const struct kvm_cpuid2 *list, const struct cpu_bit *b)
{
    for (unsigned i = 0; i < list->nent; i++) {
        const struct kvm_cpuid_entry2 *e = &list->entries[i];
        const uint32_t r[4] = {e->eax, e->ebx, e->ecx, e->edx};

        if (e->function == b->leaf && e->index == b->subleaf)
            return r[b->reg] >> b->bit & 1;
    }
    return false;
}

/* Ours to give, whatever KVM says: chips and MSRs that are not KVM's. */
static bool is_ours(unsigned feature)
{
    switch (feature) {
    case F_APIC:
    case F_X2APIC:
    case F_TSC_DEADLINE:
    case F_TSC_ADJUST:
    case F_HYPERVISOR:
    case F_ARAT:
    case F_HT:
    case F_MTRR:
    case F_MCE:
    case F_MCA:
    case F_NONSTOP_TSC:
        return true;
    default:
        return false;
    }
}

int kvm_reduce_model(struct cpu_model *m, struct error *err)
{
    struct kvm_cpuid2 *list = supported(err);
    char names[512] = "";
    size_t used = 0;

    if (!list)
        return -err->code;
    for (unsigned f = 0; f < F_COUNT; f++) {
        struct cpu_bit b = cpu_feature_bit(f);

        if (!cpu_model_has(m, f) || is_ours(f) || carries(list, &b))
            continue;
        cpu_model_drop(m, f);
        used += (size_t)snprintf(names + used, sizeof(names) - used, " %s",
                                 cpu_feature_name(f));
        used = MIN(used, sizeof(names) - 1);
    }
    free(list);
    /* what the interpreter does not suffer from, a CPU may */
    cpu_model_drop(m, F_ARCH_CAPABILITIES);
    if (used)
        log_info("this host's KVM does not carry, so the guest is not shown:%s",
                 names);
    return 0;
}

int kvm_hardware(struct error *err)
{
    struct kvm_cpuid2 *list = supported(err);
    struct cpu_bit sse3 = cpu_feature_bit(F_PNI);
    unsigned a, b, c = 0, d;
    bool real;

    if (!list)
        return -err->code;
    /* hardware cannot take away what needs no help of the kernel's */
    real = !__get_cpuid(1, &a, &b, &c, &d) || !(c >> sse3.bit & 1) ||
           carries(list, &sse3);
    free(list);
    return real ? 0
                : error_set(err, ENOTSUP,
                            "this host's KVM is made in software: it does not "
                            "carry the CPU's own SSE3");
}

/* --- CPUID --- */

static void leaf_add(struct vcpu *cpu, struct kvm_cpuid2 *list, uint32_t leaf,
                     uint32_t sub, bool indexed)
{
    struct cpuid_regs r = cpuid_query(cpu, leaf, sub);

    /* KVM shows zeroes for what is not listed, and adds to what is */
    if (list->nent == LEAVES_MAX || !(r.eax | r.ebx | r.ecx | r.edx))
        return;
    /* where the guest is now does not count */
    if (leaf == 0x80000001 && cpu_has(cpu, F_SYSCALL))
        r.edx |= BIT(11);
    if (leaf == 1)
        r.edx |= BIT(9); /* KVM takes it away while the APIC is disabled */
    list->entries[list->nent++] = (struct kvm_cpuid_entry2){
        .function = leaf,
        .index = sub,
        .flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
        .eax = r.eax,
        .ebx = r.ebx,
        .ecx = r.ecx,
        .edx = r.edx,
    };
}

/* How many sub-leaves a leaf has; 0: its sub-leaf does not count. */
static unsigned subleaves(uint32_t leaf)
{
    switch (leaf) {
    case 4:
        return 4;
    case 7:
    case 0xb:
    case 0xd:
        return 3;
    default:
        return 0;
    }
}

static void range_add(struct vcpu *cpu, struct kvm_cpuid2 *list, uint32_t first,
                      uint32_t last)
{
    for (uint32_t leaf = first; leaf <= last; leaf++) {
        unsigned subs = subleaves(leaf);

        if (!subs)
            leaf_add(cpu, list, leaf, 0, false);
        for (unsigned i = 0; i < subs; i++)
            leaf_add(cpu, list, leaf, i, true);
    }
}

int kvm_show_cpuid(struct vcpu *cpu, struct error *err)
{
    struct kvm_cpu *kc = kvm_of(cpu);
    struct kvm_cpuid2 *list = cpuid_list(err);
    int rc = 0;

    if (!list)
        return -err->code;
    range_add(cpu, list, 0, cpuid_query(cpu, 0, 0).eax);
    if (cpu_has(cpu, F_HYPERVISOR))
        leaf_add(cpu, list, 0x40000000, 0, false);
    range_add(cpu, list, 0x80000000, cpuid_query(cpu, 0x80000000, 0).eax);
    if (ioctl(kc->fd, KVM_SET_CPUID2, list))
        rc = error_set(err, errno, "KVM does not take this CPU model: %s",
                       strerror(errno));
    free(list);
    return rc;
}

/* --- MSRs --- */

/*
 * The rules that KVM's filter lets through, in as few ranges as there are;
 * whatever it does not comes back to us, and msr.c has the same table.
 */
struct filter {
    struct kvm_msr_filter kvm;
    uint8_t bits[KVM_MSR_FILTER_MAX_RANGES][MSR_SPAN / 8];
    unsigned ranges;
};

bool kvm_msr_own(const struct kvm_vm *vm, uint32_t msr)
{
    const struct msr_rule *r = msr_rule_find(msr);

    return r && msr_rule_shown(r, &vm->model) &&
           (r->owner == MSR_BY_CPU || (r->owner == MSR_BY_APIC && vm->apics));
}

/* The last range, if the rule fits in; else a new one. NULL: no room. */
static struct kvm_msr_filter_range *range_for(struct filter *f,
                                              const struct msr_rule *r)
{
    uint32_t flags = (r->access & MSR_R ? KVM_MSR_FILTER_READ : 0) |
                     (r->access & MSR_W ? KVM_MSR_FILTER_WRITE : 0);
    struct kvm_msr_filter_range *range = f->kvm.ranges + f->ranges - 1;

    if (f->ranges && range->flags == flags &&
        r->first + r->count - range->base <= MSR_SPAN)
        return range;
    if (f->ranges == KVM_MSR_FILTER_MAX_RANGES || r->count > MSR_SPAN)
        return NULL;
    range = f->kvm.ranges + f->ranges;
    *range = (struct kvm_msr_filter_range){
        .flags = flags, .base = r->first, .bitmap = f->bits[f->ranges++]};
    return range;
}

static bool rule_add(struct filter *f, const struct msr_rule *r)
{
    struct kvm_msr_filter_range *range = range_for(f, r);
    uint32_t at;

    if (!range)
        return false;
    at = r->first - range->base;
    range->nmsrs = at + r->count;
    for (uint32_t i = at; i < range->nmsrs; i++)
        range->bitmap[i / 8] |= (uint8_t)(1u << i % 8);
    return true;
}

int kvm_filter_msrs(const struct kvm_vm *vm, struct error *err)
{
    struct filter f = {.kvm.flags = KVM_MSR_FILTER_DEFAULT_DENY};
    struct kvm_enable_cap cap = {.cap = KVM_CAP_X86_USER_SPACE_MSR,
                                 .args = {KVM_MSR_EXIT_REASON_INVAL |
                                          KVM_MSR_EXIT_REASON_UNKNOWN |
                                          KVM_MSR_EXIT_REASON_FILTER}};

    for (unsigned i = 0; i < msr_rule_count; i++)
        if (kvm_msr_own(vm, msr_rules[i].first) &&
            msr_rules[i].first >> 8 != 8 && /* x2APIC's pass KVM's filter */
            !rule_add(&f, &msr_rules[i]))
            return error_set(err, ENOSPC, "KVM's filter of MSRs has no room");
    if (ioctl(vm->fd, KVM_ENABLE_CAP, &cap) ||
        ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &f.kvm))
        return error_set(err, errno, "KVM does not filter MSRs: %s",
                         strerror(errno));
    return 0;
}
