/* SPDX-License-Identifier: Apache-2.0 */
#include "base/iov.h"

#include <string.h>

static size_t iov_copy(const struct iovec *iov, unsigned n, uint64_t off,
                       void *buf, size_t len, bool put)
{
    struct iovec piece;
    size_t done = 0;

    for (; n && done < len; iov++, n--) {
        char *at = (char *)buf + done;

        if (iov_slice(&piece, 1, iov, 1, off, len - done)) {
            memcpy(put ? piece.iov_base : at, put ? at : piece.iov_base,
                   piece.iov_len);
            done += piece.iov_len;
        }
        off -= MIN(off, iov->iov_len);
    }
    return done;
}

size_t iov_get(const struct iovec *iov, unsigned n, uint64_t off, void *buf,
               size_t len)
{
    return iov_copy(iov, n, off, buf, len, false);
}

size_t iov_put(const struct iovec *iov, unsigned n, uint64_t off,
               const void *buf, size_t len)
{
    return iov_copy(iov, n, off, (void *)(uintptr_t)buf, len, true);
}
