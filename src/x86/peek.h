/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peek.h - reading a guest's memory by linear address without its noticing:
 * no accessed bits, no faults, no device touched.
 */
#pragma once

#include "x86/vcpu.h"

/*
 * Copies up to len bytes at gva as the vCPU's page tables map it now, with a
 * supervisor's rights. Returns how many, fewer where a page is missing or is
 * not RAM. The vCPU is parked or the caller's own.
 */
size_t peek(struct vcpu *cpu, gva_t gva, void *buf, size_t len);

/* Where gva is mapped to; false: nowhere, or not canonical. */
bool peek_gpa(struct vcpu *cpu, gva_t gva, gpa_t *gpa);
