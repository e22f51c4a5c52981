/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thread.h - threads with a stack that fits what they do.
 */
#pragma once

#include <pthread.h>

/*
 * As pthread_create(), an errno; the stack is 1 MiB long: one of libc's 8 MiB
 * may hold a place for a huge page, and is 2 MiB of memory then.
 */
int thread_start(pthread_t *t, void *(*run)(void *ctx), void *ctx);
