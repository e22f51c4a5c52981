/* SPDX-License-Identifier: Apache-2.0 */
/* stats.c - the counters' names, as they appear in tables and in JSON. */
#include "x86/stats.h"

const char *vcpu_counter_name(enum vcpu_counter counter)
{
    static const char *const names[CTR_COUNT] = {
        [CTR_INTERRUPT] = "interrupts",
        [CTR_NMI] = "nmis",
        [CTR_SOFT_INT] = "software-interrupts",
        [CTR_EXCEPTION] = "exceptions",
        [CTR_PIO] = "port",
        [CTR_MMIO] = "mmio",
        [CTR_APIC] = "apic",
        [CTR_TLB_FILL] = "tlb-fills",
        [CTR_TLB_FAULT] = "page-faults",
        [CTR_TLB_DEVICE] = "device-walks",
        [CTR_TLB_FLUSH] = "tlb-flushes",
        [CTR_BLOCK_MISS] = "block-misses",
        [CTR_BLOCK_BUILT] = "blocks-built",
        [CTR_CODE_DROPPED] = "code-pages-dropped",
        [CTR_STEP] = "single-steps",
        [CTR_DIRECT] = "direct-runs",
        [CTR_DIRECT_32] = "direct-32-bit-runs",
        [CTR_DIRECT_CALL] = "direct-system-calls",
        [CTR_DIRECT_FILL] = "direct-hidden-faults",
        [CTR_DIRECT_FAULT] = "direct-true-faults",
        [CTR_DIRECT_AHEAD] = "direct-filled-ahead",
        [CTR_DIRECT_TRAP] = "direct-traps",
        [CTR_DIRECT_TAINT] = "direct-tainted-pages",
        [CTR_DIRECT_KICK] = "direct-kicks",
        [CTR_SHADOW_PAGE] = "shadow-pages",
        [CTR_SHADOW_DROP] = "shadow-drops",
        [CTR_SHADOW_FLUSH] = "shadow-flushes",
        [CTR_STUB] = "stubs-started",
        [CTR_STUB_ODD] = "stubs-killed",
        [CTR_CHECK_SAME] = "direct-compared",
        [CTR_CHECK_SKIPPED] = "direct-not-compared",
        [CTR_CHECK_INSNS] = "direct-compared-instructions",
        [CTR_KVM] = "kvm-runs",
        [CTR_KVM_KICK] = "kvm-kicks",
        [CTR_KVM_WINDOW] = "kvm-interrupt-windows",
        [CTR_KVM_REFUSED] = "kvm-refused-instructions",
        [CTR_KVM_STEP] = "kvm-interpreted",
        [CTR_KVM_STATE] = "kvm-state-reads",
    };

    return counter < CTR_COUNT ? names[counter] : "";
}
