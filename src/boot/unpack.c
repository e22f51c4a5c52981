/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/unpack.h"

#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define TABLES_MAX  (160 * MiB) /* a dictionary's worth, for lzma and xz */
#define LZ4_MAGIC   4           /* bytes of the legacy format's magic number */
#define LZ4_OUT_MAX (8 * MiB)   /* of each of its blocks */

static ssize_t unpack_gzip(const uint8_t *in, size_t len, uint8_t *out,
                           size_t room)
{
    z_stream z = {.next_in = (uint8_t *)(uintptr_t)in,
                  .avail_in = (uInt)MIN(len, UINT32_MAX),
                  .next_out = out,
                  .avail_out = (uInt)MIN(room, UINT32_MAX)};
    int rc;

    if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
        return -ENOMEM;
    rc = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    return rc == Z_STREAM_END ? (ssize_t)z.total_out : -EINVAL;
}

static ssize_t lzma_do(lzma_stream *s, lzma_ret rc, const uint8_t *in,
                       size_t len, uint8_t *out, size_t room)
{
    if (rc != LZMA_OK)
        return -ENOMEM;
    s->next_in = in;
    s->avail_in = len;
    s->next_out = out;
    s->avail_out = room;
    rc = lzma_code(s, LZMA_FINISH);
    lzma_end(s);
    return rc == LZMA_STREAM_END  ? (ssize_t)s->total_out
           : rc == LZMA_MEM_ERROR ? -ENOMEM
                                  : -EINVAL;
}

static ssize_t unpack_xz(const uint8_t *in, size_t len, uint8_t *out,
                         size_t room)
{
    lzma_stream s = LZMA_STREAM_INIT;

    return lzma_do(&s, lzma_stream_decoder(&s, TABLES_MAX, 0), in, len, out,
                   room);
}

static ssize_t unpack_lzma(const uint8_t *in, size_t len, uint8_t *out,
                           size_t room)
{
    lzma_stream s = LZMA_STREAM_INIT;

    return lzma_do(&s, lzma_alone_decoder(&s, TABLES_MAX), in, len, out, room);
}

static uint32_t le32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

/* Blocks, each behind its length, after one magic number [lz4, Legacy frame].
 */
static ssize_t unpack_lz4(const uint8_t *in, size_t len, uint8_t *out,
                          size_t room)
{
    size_t done = 0;

    in += LZ4_MAGIC;
    len -= LZ4_MAGIC;
    while (len >= 4) {
        size_t part = le32(in), into = MIN(room - done, LZ4_OUT_MAX);
        int n;

        if (part > len - 4)
            return -EINVAL;
        n = LZ4_decompress_safe((const char *)in + 4, (char *)out + done,
                                (int)part, (int)into);
        if (n < 0)
            return -EINVAL;
        done += (size_t)n;
        in += 4 + part;
        len -= 4 + part;
    }
    return len ? -EINVAL : (ssize_t)done;
}

static ssize_t unpack_zstd(const uint8_t *in, size_t len, uint8_t *out,
                           size_t room)
{
    size_t n = ZSTD_decompress(out, room, in, len);

    return ZSTD_isError(n) ? -EINVAL : (ssize_t)n;
}

ssize_t unpack(const uint8_t *in, size_t len, uint8_t *out, size_t room)
{
    static const struct {
        const char *magic;
        size_t len;
        ssize_t (*run)(const uint8_t *in, size_t len, uint8_t *out,
                       size_t room);
    } formats[] = {
        {"\x1f\x8b", 2, unpack_gzip},
        {"\xfd\x37zXZ", 6, unpack_xz}, /* with the zero behind */
        {"\x5d\0\0", 3, unpack_lzma},
        {"\x02\x21\x4c\x18", 4, unpack_lz4},
        {"\x28\xb5\x2f\xfd", 4, unpack_zstd},
    };

    for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
        if (len >= formats[i].len &&
            !memcmp(in, formats[i].magic, formats[i].len))
            return formats[i].run(in, len, out, room);
    return -ENOEXEC;
}
