/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fd_pass.h - a message on a unix socket, with a descriptor.   [unix(7)]
 */
#pragma once

#include <sys/types.h>

#include "base/util.h"

/* fd: -1: none goes along. 0, or -errno; a closed peer raises no signal. */
int fd_pass_send(int sock, const void *data, size_t len, int fd);
/*
 * How many bytes came, 0 at the end, -errno. *fd gets the descriptor that came
 * along (close-on-exec), or -1. flags: of recvmsg().
 */
ssize_t fd_pass_receive(int sock, void *data, size_t len, int flags, int *fd);
