/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apic_image.h - a local APIC as it goes from irq/ to an engine that has them
 * in the host's kernel, and back; neither folder includes the other.
 */
#pragma once

#include <stdint.h>

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
