/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share.c - the share as a whole, and how a request is taken apart.
 *
 * A request's arguments are copied once, checked by the table of operations
 * (their size, and that names are names), and only then given to the one that
 * serves it. File data alone stay in the guest's memory.
 */
#include "io/share/share_int.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/iov.h"
#include "base/log.h"

#define ARG_MAX_LEN  (132u << 10) /* an attribute of 64 KiB, or forgets */
#define REPLY_SMALL  512u
#define FDS_RESERVED 128u /* for the rest of the monitor */
#define FDS_MIN      32u
#define HANDLES_MAX  65536u
#define MINOR_MIN    27 /* Linux 4.20; virtio-fs came with 5.4 */

/* What we can do, if the guest can. */
#define FLAGS                                                                  \
    (FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_AUTO_INVAL_DATA |                \
     FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO |            \
     FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS |             \
     FUSE_HANDLE_KILLPRIV_V2 | FUSE_SUBMOUNTS)

enum {
    OP_WRITES = 1, /* refused by a read-only share */
    OP_SILENT = 2, /* gets no answer */
};

struct share_op_class {
    int (*serve)(struct share_op *o);
    uint16_t size;       /* of the fixed arguments */
    uint8_t names, text; /* strings behind them */
    uint8_t flags;
};

/* --- INIT, DESTROY --- */

static int op_init(struct share_op *o)
{
    const struct fuse_init_in *in = (const void *)o->arg;
    struct fuse_init_out *out = (void *)op_reply(o, sizeof(*out));

    if (!out)
        return -EIO;
    *out = (struct fuse_init_out){
        .major = FUSE_KERNEL_VERSION,
        .minor = FUSE_KERNEL_MINOR_VERSION,
        .max_readahead = in->max_readahead,
        .flags = in->flags & FLAGS,
        .max_background = 64,
        .congestion_threshold = 48,
        .max_write = SHARE_IO_MAX,
        .time_gran = 1,
        .max_pages = SHARE_IO_MAX / 4096,
    };
    if (in->major > FUSE_KERNEL_VERSION)
        return sizeof(*out); /* it asks again, with ours */
    if (in->major < FUSE_KERNEL_VERSION || in->minor < MINOR_MIN)
        return -EPROTO;
    o->s->flags = out->flags;
    __atomic_store_n(&o->s->ready, true, __ATOMIC_RELEASE);
    return sizeof(*out);
}

static int op_destroy(struct share_op *o)
{
    __atomic_store_n(&o->s->ready, false, __ATOMIC_RELEASE);
    handles_clear(o->s);
    nodes_forget(o->s);
    return 0;
}

static const struct share_op_class op_classes[] = {
    [FUSE_LOOKUP] = {op_lookup, 0, 1, 0, 0},
    [FUSE_FORGET] = {op_forget, sizeof(struct fuse_forget_in), 0, 0, OP_SILENT},
    [FUSE_GETATTR] = {op_getattr, sizeof(struct fuse_getattr_in), 0, 0, 0},
    [FUSE_SETATTR] = {op_setattr, sizeof(struct fuse_setattr_in), 0, 0,
                      OP_WRITES},
    [FUSE_READLINK] = {op_readlink, 0, 0, 0, 0},
    [FUSE_SYMLINK] = {op_symlink, 0, 1, 1, OP_WRITES},
    [FUSE_MKNOD] = {op_mknod, sizeof(struct fuse_mknod_in), 1, 0, OP_WRITES},
    [FUSE_MKDIR] = {op_mkdir, sizeof(struct fuse_mkdir_in), 1, 0, OP_WRITES},
    [FUSE_UNLINK] = {op_unlink, 0, 1, 0, OP_WRITES},
    [FUSE_RMDIR] = {op_rmdir, 0, 1, 0, OP_WRITES},
    [FUSE_RENAME] = {op_rename, sizeof(struct fuse_rename_in), 2, 0, OP_WRITES},
    [FUSE_LINK] = {op_link, sizeof(struct fuse_link_in), 1, 0, OP_WRITES},
    [FUSE_OPEN] = {op_open, sizeof(struct fuse_open_in), 0, 0, 0},
    [FUSE_READ] = {op_read, sizeof(struct fuse_read_in), 0, 0, 0},
    [FUSE_WRITE] = {op_write, sizeof(struct fuse_write_in), 0, 0, OP_WRITES},
    [FUSE_STATFS] = {op_statfs, 0, 0, 0, 0},
    [FUSE_RELEASE] = {op_release, sizeof(struct fuse_release_in), 0, 0, 0},
    [FUSE_FSYNC] = {op_fsync, sizeof(struct fuse_fsync_in), 0, 0, 0},
    [FUSE_SETXATTR] = {op_setxattr, FUSE_COMPAT_SETXATTR_IN_SIZE, 0, 1,
                       OP_WRITES},
    [FUSE_GETXATTR] = {op_getxattr, sizeof(struct fuse_getxattr_in), 0, 1, 0},
    [FUSE_LISTXATTR] = {op_listxattr, sizeof(struct fuse_getxattr_in), 0, 0, 0},
    [FUSE_REMOVEXATTR] = {op_removexattr, 0, 0, 1, OP_WRITES},
    [FUSE_FLUSH] = {op_flush, sizeof(struct fuse_flush_in), 0, 0, 0},
    /* 16 bytes up to 7.35; what follows later is not used */
    [FUSE_INIT] = {op_init, 16, 0, 0, 0},
    [FUSE_OPENDIR] = {op_opendir, sizeof(struct fuse_open_in), 0, 0, 0},
    [FUSE_READDIR] = {op_readdir, sizeof(struct fuse_read_in), 0, 0, 0},
    [FUSE_RELEASEDIR] = {op_releasedir, sizeof(struct fuse_release_in), 0, 0,
                         0},
    [FUSE_FSYNCDIR] = {op_fsyncdir, sizeof(struct fuse_fsync_in), 0, 0, 0},
    [FUSE_CREATE] = {op_create, sizeof(struct fuse_create_in), 1, 0, OP_WRITES},
    [FUSE_DESTROY] = {op_destroy, 0, 0, 0, 0},
    [FUSE_BATCH_FORGET] = {op_batch_forget, sizeof(struct fuse_batch_forget_in),
                           0, 0, OP_SILENT},
    [FUSE_FALLOCATE] = {op_fallocate, sizeof(struct fuse_fallocate_in), 0, 0,
                        OP_WRITES},
    [FUSE_READDIRPLUS] = {op_readdirplus, sizeof(struct fuse_read_in), 0, 0, 0},
    [FUSE_RENAME2] = {op_rename2, sizeof(struct fuse_rename2_in), 2, 0,
                      OP_WRITES},
    [FUSE_LSEEK] = {op_lseek, sizeof(struct fuse_lseek_in), 0, 0, 0},
    [FUSE_COPY_FILE_RANGE] = {op_copy_file_range,
                              sizeof(struct fuse_copy_file_range_in), 0, 0,
                              OP_WRITES},
    [FUSE_SYNCFS] = {op_syncfs, 0, 0, 0, 0},
};

/* --- requests --- */

uint8_t *op_reply(struct share_op *o, size_t len)
{
    if (len > o->m->in_len - sizeof(struct fuse_out_header))
        return NULL;
    if (len > o->room) {
        uint8_t *more = calloc(1, len);

        if (!more)
            return NULL;
        free(o->reply);
        o->reply = more;
        o->room = len;
    }
    return o->reply;
}

int share_name_check(const char *name, size_t len)
{
    if (!len || memchr(name, '/', len) || !strcmp(name, ".") ||
        !strcmp(name, ".."))
        return -EINVAL;
    return len > SHARE_NAME_MAX ? -ENAMETOOLONG : 0;
}

static int op_strings(struct share_op *o, const struct share_op_class *c)
{
    size_t at = c->size;
    int i, rc;

    for (i = 0; i < c->names + c->text; i++) {
        const char *p = (const char *)o->arg + at;
        const char *end = memchr(p, 0, o->arg_len - at);

        if (!end)
            return -EINVAL;
        at += (size_t)(end - p) + 1;
        if (i >= c->names) {
            o->text = p;
            continue;
        }
        o->name[i] = p;
        rc = share_name_check(p, (size_t)(end - p));
        if (rc)
            return rc;
    }
    o->rest = at;
    return 0;
}

static int op_serve(struct share_op *o, const struct share_op_class *c)
{
    int rc;

    if (o->head.opcode != FUSE_INIT &&
        !__atomic_load_n(&o->s->ready, __ATOMIC_ACQUIRE))
        return -EIO;
    if (o->arg_len < c->size)
        return -EINVAL;
    rc = op_strings(o, c);
    if (rc)
        return rc;
    if ((c->flags & OP_WRITES) && o->s->read_only)
        return -EROFS;
    return c->serve(o);
}

/* The arguments' private copy; of a write the data stay where they are. */
static int op_copy(struct share_op *o, const struct share_op_class *c,
                   uint8_t *small, size_t small_len)
{
    const struct share_msg *m = o->m;
    uint64_t len = MIN(o->head.len, m->out_len) - sizeof(o->head);
    uint8_t *buf = small;

    if (c->serve == op_write)
        len = MIN(len, c->size);
    if (len > ARG_MAX_LEN)
        return -EINVAL;
    if (len > small_len)
        buf = malloc(len);
    if (!buf)
        return -ENOMEM;
    o->arg = buf;
    o->arg_len = iov_get(m->out, m->out_n, sizeof(o->head), buf, len);
    return 0;
}

static const struct share_op_class *op_class(uint32_t opcode)
{
    if (opcode >= ARRAY_SIZE(op_classes) || !op_classes[opcode].serve)
        return NULL;
    return &op_classes[opcode];
}

/* Header and body, or what has failed. */
static uint32_t op_answer(struct share_op *o, int rc)
{
    struct fuse_out_header head = {.unique = o->head.unique};
    const struct share_msg *m = o->m;
    uint64_t body = rc > 0 ? (uint64_t)rc : 0;

    head.error = rc < 0 ? rc : 0;
    head.len = (uint32_t)(sizeof(head) + body + o->direct);
    iov_put(m->in, m->in_n, 0, &head, sizeof(head));
    iov_put(m->in, m->in_n, sizeof(head), o->reply, body);
    return head.len;
}

uint32_t share_serve(struct share *s, const struct share_msg *m)
{
    uint64_t small[1024 / 8];
    struct share_op o = {.s = s, .m = m, .room = REPLY_SMALL};
    const struct share_op_class *c;
    bool silent;
    int rc = -ENOSYS;

    if (m->out_len < sizeof(o.head))
        return 0;
    iov_get(m->out, m->out_n, 0, &o.head, sizeof(o.head));
    if (o.head.len < sizeof(o.head))
        return 0;
    c = op_class(o.head.opcode);
    silent = c && (c->flags & OP_SILENT);
    if (!silent && m->in_len < sizeof(struct fuse_out_header))
        return 0;
    o.reply = malloc(REPLY_SMALL);
    if (!o.reply)
        rc = -ENOMEM;
    else if (c)
        rc = op_copy(&o, c, (void *)small, sizeof(small));
    if (c && !rc)
        rc = op_serve(&o, c);
    if (o.arg && o.arg != (void *)small)
        free((void *)(uintptr_t)o.arg);
    if (!silent)
        rc = (int)op_answer(&o, rc);
    free(o.reply);
    return silent ? 0 : (uint32_t)rc;
}

void share_thread(void)
{
    /* The guest has applied its own umask; without this chmod() mends it. */
    if (!unshare(CLONE_FS))
        umask(0);
}

/* --- the share --- */

const char *share_path(const struct share *s)
{
    return s->path;
}

/* A share's part of the descriptors: most for nodes, the rest for handles. */
static int limits(struct share *s, unsigned share_max, struct error *err)
{
    struct rlimit rl;
    uint64_t mine;

    if (getrlimit(RLIMIT_NOFILE, &rl))
        return error_set(err, errno, "getrlimit: %s", strerror(errno));
    if (rl.rlim_cur < rl.rlim_max) {
        rl.rlim_cur = rl.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &rl) && getrlimit(RLIMIT_NOFILE, &rl))
            return error_set(err, errno, "setrlimit: %s", strerror(errno));
    }
    mine = rl.rlim_cur <= FDS_RESERVED
               ? 0
               : (MIN(rl.rlim_cur, 1u << 20) - FDS_RESERVED) / share_max;
    if (mine < FDS_MIN)
        return error_set(err, EMFILE,
                         "share %s: too few descriptors (ulimit -n); allow "
                         "%u at least",
                         s->path, FDS_RESERVED + FDS_MIN * share_max);
    s->fds_max = (unsigned)(mine * 3 / 4);
    s->handles_max = (unsigned)MIN(mine / 4, HANDLES_MAX);
    return 0;
}

static int share_init(struct share *s, unsigned share_max, struct error *err)
{
    int fd;

    if (limits(s, share_max, err))
        return -err->code;
    if (access("/proc/self/fd", X_OK))
        return error_set(err, errno, "share %s: needs /proc mounted", s->path);
    fd = open(s->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "share %s: %s", s->path, strerror(errno));
    if (nodes_init(s, fd, err) || handles_init(s, err))
        return -err->code;
    return 0;
}

int share_open(struct share **out, const char *dir, bool read_only,
               unsigned share_max, struct error *err)
{
    struct share *s = calloc(1, sizeof(*s));

    if (!s)
        return error_set(err, ENOMEM, "out of memory");
    s->read_only = read_only;
    s->uid = geteuid();
    s->gid = getegid();
    s->mapped = s->uid != 0;
    pthread_mutex_init(&s->lock, NULL);
    s->path = strdup(dir);
    if (!s->path)
        error_set(err, ENOMEM, "out of memory");
    if (s->path && !share_init(s, share_max, err)) {
        *out = s;
        return 0;
    }
    share_close(s);
    return -err->code;
}

void share_reset(struct share *s)
{
    __atomic_store_n(&s->ready, false, __ATOMIC_RELEASE);
    handles_clear(s);
    nodes_clear(s);
}

void share_close(struct share *s)
{
    handles_fini(s);
    if (s->by_id)
        nodes_fini(s);
    pthread_mutex_destroy(&s->lock);
    free(s->path);
    free(s);
}
