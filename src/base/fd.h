/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fd.h - reading and writing a descriptor to the end, whatever signals come
 * and however small the steps are.
 */
#pragma once

#include <sys/types.h>

#include "base/util.h"

/* What there is of len bytes: fewer only at the end of the file. -errno. */
ssize_t fd_read_some(int fd, void *buf, size_t len, uint64_t off);
/* All of it: 0, or -errno; -ENODATA where the file ends before. */
int fd_read_at(int fd, void *buf, size_t len, uint64_t off);
int fd_write_at(int fd, const void *buf, size_t len, uint64_t off);
/* The same where the descriptor stands, as sockets and pipes do. */
int fd_read(int fd, void *buf, size_t len);
int fd_write(int fd, const void *buf, size_t len);

/*
 * The next run of a sparse file, at or behind `at` and below `size`, that may
 * hold other than zeroes: [*start, *end). False: there is none. Where the file
 * system does not know, all of it.
 */
bool fd_data(int fd, uint64_t at, uint64_t size, uint64_t *start,
             uint64_t *end);
