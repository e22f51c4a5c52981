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

/* Numbers of registers, which the page has at 16 * n. [SDM 3A 11.4.1] */
enum apic_reg {
    APIC_REG_TPR = 0x08,
    APIC_REG_LDR = 0x0d,
    APIC_REG_DFR = 0x0e,
    APIC_REG_SVR = 0x0f,
    APIC_REG_ISR = 0x10,
    APIC_REG_TMR = 0x18,
    APIC_REG_IRR = 0x20,
    APIC_REG_ESR = 0x28,
    APIC_REG_ICR = 0x30,
    APIC_REG_ICR_HIGH = 0x31,
    APIC_REG_LVT_TIMER = 0x32,
    APIC_REG_INIT = 0x38,
    APIC_REG_COUNT = 0x39,
    APIC_REG_DIVIDE = 0x3e,
};

/* Bits of an entry of the local vector table. */
#define LVT_MASKED     (1u << 16)
#define LVT_TIMER_MODE (3u << 17) /* 0: one-shot */

#define APIC_IMAGE_REGS 64

struct apic_image {
    /*
     * By enum apic_reg. The timer's current count is what remains; a one-shot
     * that is over has an initial count of 0, for it would fire again. The
     * ICR's upper half is 0x31 in both modes.
     */
    uint32_t reg[APIC_IMAGE_REGS];
    uint64_t base;         /* IA32_APIC_BASE */
    uint64_t tsc_deadline; /* 0: none */
};
