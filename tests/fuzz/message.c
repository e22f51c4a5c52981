/* SPDX-License-Identifier: Apache-2.0 */
#include "message.h"

#include <linux/fuse.h>

#include "io/net.h"
#include "io/vsock.h"

static size_t console_message(struct fuzz *f, unsigned q, uint8_t *m,
                              uint32_t *in)
{
    struct {
        uint32_t id;
        uint16_t event, value;
    } c = {fuzz8(f) % 4u, fuzz8(f) % 9u, fuzz8(f) & 1};

    if (q == 2 || !(q & 1)) { /* receives */
        *in = fuzz8(f) < 240 ? 128 : fuzz8(f);
        return 0;
    }
    if (fuzz8(f) < 8)
        c.id = fuzz32(f);
    memcpy(m, &c, sizeof(c));
    return q == 3 ? sizeof(c) : fuzz16(f) % MESSAGE_MAX;
}

/* Ports and numbers that a stream may have, and its other end. */
static struct vsock_header vsock_header(struct fuzz *f)
{
    /* Mostly data: a second request ends a stream. */
    static const uint8_t ops[] = {
        VSOCK_RW,
        VSOCK_RW,
        VSOCK_RW,
        VSOCK_RW,
        VSOCK_RW,
        VSOCK_RW,
        VSOCK_RW,
        VSOCK_RW,
        VSOCK_RW,
        VSOCK_RW,
        VSOCK_REQUEST,
        VSOCK_RESPONSE,
        VSOCK_RESPONSE,
        VSOCK_SHUTDOWN,
        VSOCK_CREDIT_UPDATE,
        VSOCK_CREDIT_REQUEST,
    };
    struct vsock_header h = {
        .src_cid = 3,
        .dst_cid = VSOCK_CID_HOST,
        .src_port = fuzz8(f) & 7 ? 1 : 2,
        .dst_port = fuzz8(f) & 7 ? 5 : 6,
        .type = VSOCK_STREAM,
        .op = ops[fuzz8(f) % ARRAY_SIZE(ops)],
        .buf_alloc = 1u << (fuzz8(f) % 20),
    };

    if (h.op == VSOCK_RESPONSE ||
        fuzz8(f) < 64) /* one that a program of the host's has asked for */
        h.dst_port = (1u << 30) + 1 + fuzz8(f) % 4u;
    switch (fuzz8(f) % 64) {
    case 0:
        h.fwd_cnt = (uint32_t)fuzz_number(f);
        break;
    case 1:
        h.buf_alloc = (uint32_t)fuzz_number(f);
        break;
    case 2:
        h.type = fuzz8(f);
        break;
    case 3:
        h.dst_cid = fuzz_number(f);
        break;
    case 4:
        h.src_cid = fuzz_number(f);
        break;
    case 5:
        h.op = fuzz16(f);
        break;
    case 6:
        h.op = VSOCK_RST;
    }
    return h;
}

static size_t vsock_message(struct fuzz *f, unsigned q, uint8_t *m,
                            uint32_t *more, uint32_t *in)
{
    struct vsock_header h;

    if (q != 1) {
        *in = fuzz8(f) < 240 ? 45u + (fuzz16(f) & 0xfff) : fuzz8(f);
        return 0;
    }
    h = vsock_header(f);
    if (h.op == VSOCK_RW)
        h.len = fuzz8(f) & 1 ? fuzz8(f) : 0x8000u << (fuzz8(f) & 1);
    if (h.op == VSOCK_SHUTDOWN)
        h.flags = fuzz8(f) & 3;
    *more = h.len;
    if (fuzz8(f) < 8)
        h.len = (uint32_t)fuzz_number(f);
    memcpy(m, &h, sizeof(h));
    return sizeof(h);
}

static size_t net_message(struct fuzz *f, unsigned q, uint8_t *m, uint32_t *in)
{
    static const uint16_t commands[] = {0x0000, 0x0100, 0x0200, 0x0300, 0x0400,
                                        0x0500, 0x0001, 0x0101, 0x0002, 0x0005};
    struct net_header h = {
        .flags = fuzz8(f) & 3,
        .gso_type = fuzz8(f) & 5,
        .header_len = fuzz8(f),
        .gso_size = fuzz8(f),
        .csum_start = fuzz8(f),
        .csum_offset = fuzz8(f) & 31,
    };
    uint16_t c = commands[fuzz8(f) % ARRAY_SIZE(commands)];
    uint32_t n = fuzz8(f) & 7;

    if (q == 0) {
        *in = 12u + (fuzz16(f) & 0x7ff);
        return 0;
    }
    if (q == 1) {
        memcpy(m, &h, sizeof(h));
        return sizeof(h) + fuzz16(f) % (MESSAGE_MAX - sizeof(h));
    }
    *in = 1;
    if (fuzz8(f) < 16)
        n = (uint32_t)fuzz_number(f);
    memcpy(m, (const uint8_t[]){(uint8_t)(c >> 8), (uint8_t)c}, 2);
    memcpy(m + 2, &n, 4);
    return 2 + fuzz8(f);
}

/* Operations with the size of their arguments, and of names how many. */
static const struct {
    uint8_t op, args, names;
} fs_ops[] = {
    {FUSE_INIT, 16, 0},        {FUSE_LOOKUP, 0, 1},   {FUSE_LOOKUP, 0, 1},
    {FUSE_GETATTR, 16, 0},     {FUSE_OPENDIR, 8, 0},  {FUSE_READDIRPLUS, 40, 0},
    {FUSE_OPEN, 8, 0},         {FUSE_READ, 40, 0},    {FUSE_WRITE, 40, 1},
    {FUSE_CREATE, 16, 1},      {FUSE_READLINK, 0, 0}, {FUSE_UNLINK, 0, 1},
    {FUSE_STATFS, 0, 0},       {FUSE_FORGET, 8, 0},   {FUSE_MKDIR, 8, 1},
    {FUSE_RENAME2, 16, 2},     {FUSE_SETATTR, 88, 0}, {FUSE_SYMLINK, 0, 2},
    {FUSE_LINK, 8, 1},         {FUSE_RELEASE, 24, 0}, {FUSE_READDIR, 40, 0},
    {FUSE_FALLOCATE, 32, 0},   {FUSE_GETXATTR, 8, 1}, {FUSE_LSEEK, 24, 0},
    {FUSE_BATCH_FORGET, 8, 0},
};

/* struct fuse_in_header, arguments, names: see share.c for the server. */
static size_t fs_message(struct fuzz *f, uint8_t *m, uint32_t *in)
{
    static const char *const names[] = {"f", "d", "l", "..", "../secret", "n"};
    unsigned op = fuzz8(f) % ARRAY_SIZE(fs_ops);
    size_t at = sizeof(struct fuse_in_header);
    struct fuse_in_header h = {
        .opcode = fs_ops[op].op,
        .unique = fuzz8(f),
        .nodeid = 1 + fuzz8(f) % 4u,
    };

    *in = fuzz8(f) < 240 ? 16u + (fuzz16(f) & 0x3fff) : fuzz8(f);
    memset(m, 0, MESSAGE_MAX);
    for (unsigned i = 0; i < fs_ops[op].args; i += 8)
        m[at + i] = fuzz8(f) & 15;
    if (h.opcode == FUSE_INIT)
        memcpy(m + at, (const uint8_t[]){7, 0, 0, 0, 38}, 5);
    at += fs_ops[op].args;
    for (unsigned i = 0; i < fs_ops[op].names; i++) {
        strcpy((char *)m + at, names[fuzz8(f) % ARRAY_SIZE(names)]);
        at += strlen((char *)m + at) + 1;
    }
    h.len = (uint32_t)at;
    if (fuzz8(f) < 8)
        h.len = (uint32_t)fuzz_number(f);
    memcpy(m, &h, sizeof(h));
    return at;
}

static size_t balloon_message(struct fuzz *f, unsigned q, uint8_t *m,
                              uint32_t *in)
{
    size_t len = fuzz8(f) & ~3u;

    if (q >= 3) /* free pages: what they hold may go */
        *in = 4096u * (fuzz8(f) & 3);
    for (size_t i = 0; i < len; i += 4) {
        uint32_t page = fuzz16(f) & 0x7ff;

        memcpy(m + i, &page, 4);
    }
    return q >= 3 ? 0 : len;
}

size_t message_make(struct fuzz *f, const struct virtio *v, unsigned q,
                    uint8_t m[MESSAGE_MAX], uint32_t *more, uint32_t *in)
{
    *in = *more = 0;
    switch (v->cls->id) {
    case VIRTIO_ID_CONSOLE:
        return console_message(f, q, m, in);
    case VIRTIO_ID_VSOCK:
        return vsock_message(f, q, m, more, in);
    case VIRTIO_ID_NET:
        return net_message(f, q, m, in);
    case VIRTIO_ID_FS:
        return fs_message(f, m, in);
    case VIRTIO_ID_BALLOON:
        return balloon_message(f, q, m, in);
    }
    *in = fuzz16(f) & 0xfff;
    return 0;
}
