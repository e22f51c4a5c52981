/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iov.h - lists of pieces of memory, as readv() and writev() take them.
 */
#pragma once

#include <sys/uio.h>

#include "base/util.h"

static inline uint64_t iov_bytes(const struct iovec *iov, unsigned n)
{
    uint64_t len = 0;

    while (n--)
        len += iov++->iov_len;
    return len;
}

/*
 * The bytes [off, off + len) of n pieces, as at most `max` pieces in `to`;
 * what is not there is left out. Returns how many pieces.
 */
static inline unsigned iov_slice(struct iovec *to, unsigned max,
                                 const struct iovec *from, unsigned n,
                                 uint64_t off, uint64_t len)
{
    unsigned k = 0;

    for (unsigned i = 0; i < n && len && k < max; i++) {
        uint64_t have = from[i].iov_len;

        if (off >= have) {
            off -= have;
            continue;
        }
        have = MIN(have - off, len);
        to[k++] = (struct iovec){(char *)from[i].iov_base + off, have};
        len -= have;
        off = 0;
    }
    return k;
}

/*
 * Copies the bytes [off, off + len) of n pieces to buf, or buf into them.
 * Returns how many there were.
 */
size_t iov_get(const struct iovec *iov, unsigned n, uint64_t off, void *buf,
               size_t len);
size_t iov_put(const struct iovec *iov, unsigned n, uint64_t off,
               const void *buf, size_t len);
