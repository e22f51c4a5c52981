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

/*
 * page: 4096 bytes. A byte sequence counts where a good part of the ways to
 * decode what stands before it make it the start of an instruction.
 * Instructions over the page's end are not seen.
 */
bool scan_sensitive(const uint8_t *page);
