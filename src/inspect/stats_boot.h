/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats_boot.h - when a boot got how far, by the host's clock (--stats boot).
 *
 * Each step is taken down the first time that it happens; a guest that reboots
 * changes nothing. Steps may come from any thread, marks with the device lock.
 */
#pragma once

#include <stdatomic.h>
#include <stdio.h>

#include "base/util.h"

enum boot_step {
    BOOT_STEP_MAIN,    /* our main() */
    BOOT_STEP_BUILT,   /* all but the kernel */
    BOOT_STEP_LOADED,  /* it is in memory */
    BOOT_STEP_ENTERED, /* a vCPU begins */
    BOOT_STEP_KERNEL,  /* runs where it was linked to: it is unpacked */
    BOOT_STEP_CONSOLE, /* the first byte */
    BOOT_STEP_USER,    /* the first user code */
    BOOT_STEP_END,
    BOOT_STEPS,
};

#define BOOT_MARKS_MAX 32u /* later ones are not kept */

struct boot_times {
    uint64_t exec_ns; /* CPU time between exec and main() */
    _Atomic uint64_t at[BOOT_STEPS];
    unsigned marks;
    struct {
        char name[32];
        uint64_t at;
    } mark[BOOT_MARKS_MAX];
};

/* t may be NULL: nobody wants to know. */
void boot_step(struct boot_times *t, enum boot_step step);
/* A step that the guest names; what cannot be printed becomes a dot. */
void boot_mark(struct boot_times *t, const char *name, size_t len);
void boot_times_table(const struct boot_times *t, FILE *out);
void boot_times_json(const struct boot_times *t, FILE *out);
