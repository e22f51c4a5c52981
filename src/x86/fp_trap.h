/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fp_trap.h - unmasked floating-point exceptions of the guest's, which the
 * host takes as SIGFPE while it runs one of our stubs.
 */
#pragma once

/*
 * Where the running stub wants to go on after SIGFPE; NULL outside of stubs,
 * where SIGFPE is our own fault and kills.
 */
extern __thread const void *volatile fp_trap_exit;

/* Installs the handler; any number of times. */
void fp_trap_install(void);
