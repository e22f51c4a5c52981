/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signals.h - signals as the kernel counts them: 1 to 64. Every libc keeps some
 * for itself, other ones each, and leaves them out of its sets; a container's
 * program may use another libc than we do.
 */
#pragma once

#include <stdint.h>

#define SIGNALS       64
#define SIGNALS_ALL   UINT64_MAX
#define SIGNAL_BIT(n) (1ull << ((n)-1))
/* What people mean by RTMIN: glibc's. */
#define SIGNAL_RT_MIN 34
#define SIGNAL_RT_MAX 64

/* Blocks exactly these; those more. */
void signals_block_only(uint64_t set);
void signals_block(uint64_t set);
/* A signalfd(2), O_CLOEXEC, or -errno. */
int signals_open(uint64_t set);
/* Waits for one of them, which are blocked; its number, or -errno. */
int signals_wait(uint64_t set);
/* All to what they do by default, and none blocked. */
void signals_reset(void);
/* Of "KILL" the number; 0: there is none of that name. */
int signal_find(const char *name);
