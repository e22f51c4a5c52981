/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unpack.h - what Linux packs its kernels with: gzip, lzma, xz, LZ4, zstd.
 *
 * The input is hostile: nothing is read beyond len, written beyond room, and
 * memory for tables is bounded.
 */
#pragma once

#include <sys/types.h>

#include "base/util.h"

/*
 * How much came out; -ENOEXEC: packed by something else; -EINVAL: broken, or
 * more than there is room for; -ENOMEM.
 */
ssize_t unpack(const uint8_t *in, size_t len, uint8_t *out,
               size_t room) must_check;
