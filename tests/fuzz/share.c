/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share.c - hostile FUSE requests, with the real server on a real folder: any
 * operation, numbers that were given out or made up, names that mean something
 * elsewhere, arguments cut short. What is beside the folder stays as it is, and
 * nothing of it shows in an answer.
 */
#include "fuzz.h"

#include <linux/fuse.h>

#include "io/share/share.h"
#include "tree.h"

#define FILE_MAX 65536 /* a guest may fill a disk; not this one's */

static struct share *s;
static uint64_t node[16], fh[16]; /* the last that were given out */
static unsigned nodes, fhs;
static uint8_t in[8192], out[20000];

static uint64_t pick(struct fuzz *f, const uint64_t *known, unsigned n)
{
    uint8_t how = fuzz8(f);

    if (how < 40 || !n)
        return how < 4 ? fuzz_number(f) : 1;
    return known[how % MIN(n, 16u)];
}

static size_t put_name(struct fuzz *f, size_t at)
{
    static const char *const names[] = {"f",
                                        "d",
                                        "l",
                                        "m",
                                        "p",
                                        "a",
                                        "b",
                                        "c",
                                        "e",
                                        "f",
                                        "d",
                                        "l",
                                        "..",
                                        ".",
                                        "",
                                        "../secret",
                                        "/",
                                        "l/",
                                        "m/secret",
                                        "d/../..",
                                        "proc",
                                        "user.a",
                                        "user.containers.override_stat",
                                        "system.posix_acl_access",
                                        "security.capability",
                                        "../next",
                                        "/etc/passwd"};
    uint8_t how = fuzz8(f);
    const char *name = names[how % ARRAY_SIZE(names)];
    size_t len = strlen(name);

    if (how == 255) {
        len = fuzz16(f) % 600;
        memset(in + at, 'n', len);
    } else {
        memcpy(in + at, name, len);
    }
    in[at + len] = 0;
    return at + len + (how != 254);
}

/* Fixed arguments: numbers, with a handle or node where most have one. */
static size_t put_args(struct fuzz *f, size_t at, size_t len)
{
    for (size_t i = 0; i < len; i += 4) {
        uint32_t v = fuzz8(f) & 1 ? (uint32_t)fuzz_number(f) : fuzz8(f);

        memcpy(in + at + i, &v, 4);
    }
    if (len >= 8 && fuzz8(f) < 220) {
        uint64_t v = fuzz8(f) & 3 ? pick(f, fh, fhs) : pick(f, node, nodes);

        memcpy(in + at, &v, 8);
    }
    if (len >= 24 && fuzz8(f) < 200) {
        uint64_t off = fuzz8(f);
        uint32_t size = fuzz16(f) & 0x1fff;

        memcpy(in + at + 8, &off, 8);
        memcpy(in + at + 16, &size, 4);
    }
    return at + len;
}

struct shape {
    uint8_t op, args, names;
};

static const struct shape shapes[] = {
    {FUSE_LOOKUP, 0, 1},       {FUSE_FORGET, 8, 0},
    {FUSE_GETATTR, 16, 0},     {FUSE_SETATTR, 88, 0},
    {FUSE_READLINK, 0, 0},     {FUSE_SYMLINK, 0, 2},
    {FUSE_MKNOD, 16, 1},       {FUSE_MKDIR, 8, 1},
    {FUSE_UNLINK, 0, 1},       {FUSE_RMDIR, 0, 1},
    {FUSE_RENAME, 8, 2},       {FUSE_LINK, 8, 1},
    {FUSE_OPEN, 8, 0},         {FUSE_READ, 40, 0},
    {FUSE_WRITE, 40, 3},       {FUSE_STATFS, 0, 0},
    {FUSE_RELEASE, 24, 0},     {FUSE_FSYNC, 16, 0},
    {FUSE_SETXATTR, 8, 2},     {FUSE_GETXATTR, 8, 1},
    {FUSE_LISTXATTR, 8, 0},    {FUSE_REMOVEXATTR, 0, 1},
    {FUSE_FLUSH, 24, 0},       {FUSE_OPENDIR, 8, 0},
    {FUSE_READDIR, 40, 0},     {FUSE_RELEASEDIR, 24, 0},
    {FUSE_FSYNCDIR, 16, 0},    {FUSE_CREATE, 16, 1},
    {FUSE_BATCH_FORGET, 8, 3}, {FUSE_FALLOCATE, 32, 0},
    {FUSE_READDIRPLUS, 40, 0}, {FUSE_RENAME2, 16, 2},
    {FUSE_LSEEK, 24, 0},       {FUSE_COPY_FILE_RANGE, 56, 0},
    {FUSE_LOOKUP, 0, 1},       {FUSE_CREATE, 16, 1},
    {FUSE_OPEN, 8, 0},         {FUSE_WRITE, 40, 3},
};

/* What the server gave out is what a guest would use next. */
static void learn(uint32_t op, uint32_t len)
{
    uint64_t v[2];

    if (len < 16 + sizeof(v))
        return;
    memcpy(v, out + 16, sizeof(v));
    switch (op) {
    case FUSE_CREATE:
        node[nodes++ % 16] = v[0];
        memcpy(v, out + 16 + sizeof(struct fuse_entry_out), 8);
        fh[fhs++ % 16] = v[0];
        break;
    case FUSE_LOOKUP:
    case FUSE_MKDIR:
    case FUSE_MKNOD:
    case FUSE_SYMLINK:
    case FUSE_LINK:
        if (v[0])
            node[nodes++ % 16] = v[0];
        break;
    case FUSE_OPEN:
    case FUSE_OPENDIR:
        fh[fhs++ % 16] = v[0];
        break;
    }
}

static uint32_t serve(struct fuzz *f, uint32_t op, size_t len)
{
    struct fuse_in_header h = {.len = (uint32_t)len,
                               .opcode = op,
                               .nodeid = pick(f, node, nodes),
                               .uid = fuzz8(f) & 3,
                               .gid = fuzz8(f) & 3};
    uint8_t cut = fuzz8(f);
    struct iovec vi[2], vo[2];
    struct share_msg m = {vi, vo, 2, 2, len, sizeof(out)};
    uint32_t n;

    if (cut > 240)
        h.len = (uint32_t)fuzz_number(f);
    if (cut > 248)
        m.out_len = fuzz16(f) % (len + 1);
    if (cut % 16 == 7)
        m.in_len = fuzz8(f);
    memcpy(in, &h, sizeof(h));
    vi[0] = (struct iovec){in, MIN(m.out_len, 47)};
    vi[1] = (struct iovec){in + 47, m.out_len - vi[0].iov_len};
    vo[0] = (struct iovec){out, MIN(m.in_len, 20)};
    vo[1] = (struct iovec){out + 20, m.in_len - vo[0].iov_len};
    memset(out, 0, sizeof(out));
    n = share_serve(s, &m);
    FUZZ_CHECK(n <= m.in_len);
    FUZZ_CHECK(!memmem(out, sizeof(out), TREE_SECRET, strlen(TREE_SECRET)));
    return n;
}

static void step(struct fuzz *f)
{
    const struct shape *sh = &shapes[fuzz8(f) % ARRAY_SIZE(shapes)];
    size_t at = sizeof(struct fuse_in_header);
    uint32_t op = sh->op;

    at = put_args(f, at, sh->args);
    for (unsigned i = 0; i < sh->names; i++)
        at = put_name(f, at);
    if (fuzz8(f) < 3)
        op = fuzz8(f);
    if (op == FUSE_SYNCFS || op == FUSE_DESTROY)
        op = FUSE_GETATTR; /* one takes long, the other ends it */
    learn(op, serve(f, op, at));
}

static void init(void)
{
    struct fuse_in_header h = {.opcode = FUSE_INIT, .len = sizeof(h) + 16};
    struct fuse_init_in a = {.major = 7, .minor = 38, .flags = ~0u};
    struct iovec vi = {in, h.len}, vo = {out, sizeof(out)};
    struct share_msg m = {&vi, &vo, 1, 1, h.len, sizeof(out)};

    memcpy(in, &h, sizeof(h));
    memcpy(in + sizeof(h), &a, 16);
    FUZZ_CHECK(share_serve(s, &m) > 16);
}

static void one(struct fuzz *f)
{
    uint8_t how = fuzz8(f);
    struct error err;

    tree_up(FILE_MAX);
    nodes = fhs = 0;
    FUZZ_CHECK(!share_open(&s, tree_path(TREE_SHARED), how < 16, 1, &err));
    init();
    while (!fuzz_done(f))
        step(f);
    if (how & 1) {
        share_reset(s);
        init();
        step(f);
    }
    share_close(s);
    tree_check();
    tree_down();
}

static const struct fuzz_target target = {
    .name = "share",
    .corpus = "share",
    .max_len = 2000,
    .runs = 2500,
    .one = one,
};

int main(int argc, char **argv)
{
    atexit(tree_down);
    return fuzz_main(argc, argv, &target);
}
