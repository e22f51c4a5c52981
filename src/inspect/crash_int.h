/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash_int.h - what the parts of the crash screen share.
 */
#pragma once

#include "inspect/crash.h"

/* A line; what is longer than CRASH_COLUMNS is cut. */
void crash_say(const struct crash_sink *to, const char *fmt, ...)
    printf_like(2, 3);

/* "ffffffff81000000 <name+0x1c>", 8 digits outside long mode. */
#define CRASH_PLACE 80
const char *crash_place(const struct vcpu *cpu, const struct symbols *syms,
                        uint64_t addr, char buf[CRASH_PLACE]);

/* Bits by name, "CF ZF"; the table ends with a name of NULL. */
struct crash_bit {
    uint64_t bit;
    const char *name;
};
void crash_bits(char *buf, size_t len, uint64_t v, const struct crash_bit *t);
