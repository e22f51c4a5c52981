/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apic_image.h - a local APIC as it goes from irq/ to an engine that has them
 * in the host's kernel, and back, and what is sent to one; neither folder
 * includes the other.
 */
#pragma once

#include <stdint.h>

/* The MSRs that are its own, besides the x2APIC's. */
#define MSR_APIC_BASE    0x1bu
#define MSR_TSC_DEADLINE 0x6e0u

/* As a device writes it [SDM 3A 11.11]. */
struct apic_message {
    uint64_t addr; /* 0: none */
    uint32_t data;
};

#define APIC_IMAGE_REGS 64

struct apic_image {
    /*
     * Register n, which the page has at 16 * n. The timer's current count
     * (0x39) is what remains; a one-shot that is over has an initial count of
     * 0, for it would fire again. The ICR's upper half is 0x31 in both modes.
     */
    uint32_t reg[APIC_IMAGE_REGS];
    uint64_t base;         /* IA32_APIC_BASE */
    uint64_t tsc_deadline; /* 0: none */
};
