/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter.h - the two seccomp filters of a stub process.
 */
#pragma once

#include <linux/filter.h>

#include "base/util.h"

#define STUB_FILTER_MAX 160

#define I386_SET_THREAD_AREA 243 /* in the table of 32-bit programs */

struct stub_filter {
    struct sock_filter insn[STUB_FILTER_MAX];
    unsigned len;
};

/*
 * The stop, and nothing else: the call behind which `stopped` stands goes to
 * the listener. It is to be installed first, with one.
 */
void filter_stop(struct stub_filter *f, uint64_t stopped);

/*
 * What the process may do for the rest of its life. Outside the page at
 * `base` any call is a signal. Within: mmap() of descriptor `ram`, shared and
 * at a fixed address, if the upper halves of its flags and its descriptor
 * (which the kernel ignores) are the first two secrets; rt_sigreturn(), if the
 * argument that it does not have is the third; so modify_ldt(), the 32-bit
 * set_thread_area(), and mremap() that shows the page at `comm` at a second
 * place; munmap(), exit_group(), prctl(PR_SET_TSC), and the stop. Anything
 * else kills.
 */
void filter_guest(struct stub_filter *f, uint64_t base, uint64_t comm,
                  uint64_t stopped, unsigned ram, const uint64_t secret[3]);
