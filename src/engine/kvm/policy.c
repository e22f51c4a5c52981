/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.c - CPUID and MSRs: the machine's model and x86/msr.c, not KVM's
 * tables. Only what the CPU itself has to have is KVM's; every other MSR
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

#define LEAVES_MAX 256

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

    if (list->nent == LEAVES_MAX)
        return;
    /* where the guest is now does not count */
    if (leaf == 0x80000001 && cpu_has(cpu, F_SYSCALL))
        r.edx |= BIT(11);
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

int kvm_filter_msrs(const struct kvm_vm *vm, struct error *err)
{
    static const struct {
        uint32_t base, count;
        uint8_t bits;
        bool read;
    } own[] = {
        {0x48, 1, 1, true},          /* SPEC_CTRL */
        {0x49, 1, 1, false},         /* PRED_CMD */
        {0x174, 3, 7, true},         /* SYSENTER_* */
        {0x277, 1, 1, true},         /* PAT */
        {0xc0000080, 5, 0x1f, true}, /* EFER, STAR, LSTAR, CSTAR, SFMASK */
        {0xc0000100, 4, 0xf, true},  /* FS, GS, KERNEL_GS_BASE, TSC_AUX */
    };
    uint8_t bitmap[ARRAY_SIZE(own)][8] = {{0}};
    struct kvm_msr_filter filter = {.flags = KVM_MSR_FILTER_DEFAULT_DENY};
    struct kvm_enable_cap cap = {.cap = KVM_CAP_X86_USER_SPACE_MSR,
                                 .args = {KVM_MSR_EXIT_REASON_INVAL |
                                          KVM_MSR_EXIT_REASON_UNKNOWN |
                                          KVM_MSR_EXIT_REASON_FILTER}};

    for (unsigned i = 0; i < ARRAY_SIZE(own); i++) {
        bitmap[i][0] = own[i].bits;
        filter.ranges[i] = (struct kvm_msr_filter_range){
            .flags =
                KVM_MSR_FILTER_WRITE | (own[i].read ? KVM_MSR_FILTER_READ : 0),
            .nmsrs = own[i].count,
            .base = own[i].base,
            .bitmap = bitmap[i],
        };
    }
    if (ioctl(vm->fd, KVM_ENABLE_CAP, &cap) ||
        ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &filter))
        return error_set(err, errno, "KVM does not filter MSRs: %s",
                         strerror(errno));
    return 0;
}
