/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan.h - does a page hold instructions that user mode may execute, and that
 * would show the host instead of the vCPU?
 *
 * CPUID and XGETBV; XSAVE, XSAVEC and XSAVEOPT, which would save what the
 * host's XCR0 enables and the guest has made no room for. Where the host cannot
 * make them fault, a page that seems to hold one is not run natively. (SGDT and
 * its like fault by UMIP, or the host kernel answers them with constants.)
 */
#pragma once

#include "base/util.h"

#define SCAN_32    4u /* these are widths of code */
#define SCAN_64    8u
#define SYSCALL_2  0x05 /* second bytes */
#define SYSENTER_2 0x34

/*
 * Which call of 32-bit code gets to the host's kernel, and comes back with
 * another EIP: SYSCALL_2 or SYSENTER_2. The other one is #UD.
 */
uint8_t scan_host_call(void);

/*
 * page: 4096 bytes. widths: what code it may hold; call: in 32-bit code that
 * one counts, too. A byte sequence counts where a good part of the ways to
 * decode what stands before it make it the start of an instruction.
 * Instructions over the page's end are not seen.
 */
bool scan_sensitive(const uint8_t *page, unsigned widths, uint8_t call);
