/* SPDX-License-Identifier: Apache-2.0 */
/*
 * numbers.h - a system call's numbers, by its name: what scripts/call-table
 * found in the kernel's headers when this was built, and younger ones.
 */
#pragma once

#include "base/util.h"

#define CALL_NUMBERS 600        /* all of them are below */
#define CALL_X32_BIT 0x40000000 /* set in what an x32 program passes */

enum call_abi { CALL_X86_64, CALL_I386, CALL_X32, CALL_ABIS };

struct call_numbers {
    int16_t nr[CALL_ABIS]; /* -1: not there; x32's without the bit */
    /* What i386's socketcall() and ipc() call it, or 0. */
    uint8_t socketcall, ipc;
};

/* NULL: no architecture of x86 has it. */
const struct call_numbers *call_numbers_find(const char *name);

/* For tests: all that there are, and NULL. */
const char *call_numbers_name(unsigned i);
