/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fence.h - what a process, and each of its threads, gives up for good.
 *
 * First fence_process(), with one thread; once all is open, fence_files(), and
 * fence_caps() for each thread. Whatever they start inherits that. A call that
 * the fence denies raises SIGSYS: one line names the thread and the call, and
 * the process aborts. doc/fence.md has the table.
 */
#pragma once

#include "base/error.h"

/* The capabilities of who serves files in their owners' names. */
#define FENCE_CAPS_FILES                                                       \
    (BIT64(0) | BIT64(1) | BIT64(2) | BIT64(3) | BIT64(4) | BIT64(27) |        \
     BIT64(31))
/* Who opens a tap again. */
#define FENCE_CAPS_TAP BIT64(12)

/*
 * No new privileges, and none of the calls that a monitor never needs. No
 * other thread may exist. Fails where the kernel has no seccomp.
 */
int fence_process(struct error *err) must_check;

/* Is this process fenced? Any thread. */
bool fence_on(void);

/*
 * The calling thread keeps of its capabilities only those in `keep`, now and
 * over execve(). Does nothing unless fence_on().
 */
int fence_caps(uint64_t keep, struct error *err) must_check;

/* What a thread does besides computing, waiting and using what is open. */
enum fence_needs {
    FENCE_DISK = 1 << 0,        /* images: written, flushed, cut */
    FENCE_DEVICES = 1 << 1,     /* terminals, networks, sockets that are open */
    FENCE_CONNECTIONS = 1 << 2, /* new sockets; files are opened to be read */
    FENCE_FILES = 1 << 3,       /* any file, as a guest asks */
    FENCE_CODE = 1 << 4,        /* maps code that it has made */
    FENCE_STUBS = 1 << 5,       /* engine trap's processes */
    FENCE_THREADS = 1 << 6,     /* workers, when there is first work for them */
    FENCE_ANYTHING = 1 << 7,    /* the process's list is its own */
};

/*
 * For the head of a thread that can tell nobody an error: it aborts. The
 * thread keeps of its capabilities those in `keep`, and no calls but those it
 * needs (enum fence_needs). Under AddressSanitizer, which makes calls of its
 * own, the process's. Does nothing unless fence_on().
 */
void fence_thread(unsigned needs, uint64_t keep);

/*
 * Landlock, for this thread and those that it starts: no program can be run
 * but this one (unless `programs`), no TCP port bound or connected to (unless
 * `tcp`), no process outside signalled. Nothing, and a debug line, where the
 * kernel has no Landlock.
 */
int fence_files(bool programs, bool tcp, struct error *err) must_check;
