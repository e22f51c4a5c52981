/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dir.c - names: looked up, made, moved and removed, one component at a time
 * below the descriptor of a folder. op_names() in share.c has checked them.
 */
#include "io/share/share_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Seconds that the guest may trust a name, or that there is none. */
#define ENTRY_SECONDS 1
#define LINK_MAX_LEN  4096u

static void entry_fill(struct share *s, const struct share_node *n,
                       const struct share_node *dir, const struct statx *st,
                       struct fuse_entry_out *e)
{
    *e = (struct fuse_entry_out){
        .nodeid = n->id,
        .entry_valid = ENTRY_SECONDS,
        .attr_valid = ENTRY_SECONDS,
    };
    attr_put(s, n->fd, st, &e->attr);
    /* Inode numbers mean something within one file system only. */
    if ((s->flags & FUSE_SUBMOUNTS) && S_ISDIR(st->stx_mode) &&
        share_dev(st) != dir->dev)
        e->attr.flags |= FUSE_ATTR_SUBMOUNT;
}

/* O_PATH: nothing is opened that would notice, and no link is followed. */
static int child_open(struct share *s, const struct share_node *dir,
                      const char *name, struct statx *st)
{
    int fd, rc = node_room(s);

    if (rc)
        return rc;
    fd = openat(dir->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    rc = share_stat(fd, st);
    if (!rc)
        return fd;
    close(fd);
    return rc;
}

/* fd: taken over. The node is busy. */
static int entry_of(struct share *s, struct share_node *dir, const char *name,
                    int fd, const struct statx *st, struct fuse_entry_out *e,
                    struct share_node **out)
{
    int rc = 0;
    struct share_node *n = node_found(s, dir, name, fd, st, &rc);

    if (!n)
        return rc;
    entry_fill(s, n, dir, st, e);
    *out = n;
    return 0;
}

int entry_lookup(struct share *s, struct share_node *dir, const char *name,
                 struct fuse_entry_out *e)
{
    struct share_node *n;
    struct statx st;
    int rc, fd = child_open(s, dir, name, &st);

    if (fd < 0)
        return fd;
    rc = entry_of(s, dir, name, fd, &st, e, &n);
    if (!rc)
        node_put(s, n);
    return rc;
}

/* The folder that a request is about. */
static struct share_node *dir_get(struct share_op *o, uint64_t id, int *e)
{
    struct share_node *dir = node_get(o->s, id, e);

    if (dir && dir->type != S_IFDIR) {
        node_put(o->s, dir);
        *e = -ENOTDIR;
        return NULL;
    }
    return dir;
}

int op_lookup(struct share_op *o)
{
    struct fuse_entry_out *e = (void *)op_reply(o, sizeof(*e));
    struct share_node *dir;
    int rc;

    dir = e ? dir_get(o, o->head.nodeid, &rc) : NULL;
    if (!dir)
        return e ? rc : -EIO;
    rc = entry_lookup(o->s, dir, o->name[0], e);
    node_put(o->s, dir);
    if (rc == -ENOENT) {
        *e = (struct fuse_entry_out){.entry_valid = ENTRY_SECONDS};
        rc = 0;
    }
    return rc ? rc : (int)sizeof(*e);
}

int op_forget(struct share_op *o)
{
    const struct fuse_forget_in *in = (const void *)o->arg;

    node_forget(o->s, o->head.nodeid, in->nlookup);
    return 0;
}

int op_batch_forget(struct share_op *o)
{
    const struct fuse_batch_forget_in *in = (const void *)o->arg;
    const struct fuse_forget_one *one = (const void *)(in + 1);
    size_t have = (o->arg_len - sizeof(*in)) / sizeof(*one), i;

    for (i = 0; i < MIN(in->count, have); i++)
        node_forget(o->s, one[i].nodeid, one[i].nlookup);
    return 0;
}

int op_readlink(struct share_op *o)
{
    struct share_node *n;
    size_t room =
        MIN(o->m->in_len - sizeof(struct fuse_out_header), LINK_MAX_LEN);
    uint8_t *buf = op_reply(o, room);
    ssize_t len;
    int rc;

    n = buf ? node_get(o->s, o->head.nodeid, &rc) : NULL;
    if (!n)
        return buf ? rc : -EIO;
    len = readlinkat(n->fd, "", (char *)buf, room);
    rc = len < 0 ? -errno : (int)len;
    node_put(o->s, n);
    /* An inode that is no link: ENOENT from the host's kernel. */
    return rc == -ENOENT ? -EINVAL : rc;
}

/* --- making --- */

struct maker {
    struct share_node *dir;
    struct share_owner owner;
    uint32_t mode;  /* with the type */
    uint32_t first; /* the mode that it is made with */
};

static int maker_init(struct share_op *o, struct maker *mk, uint32_t mode)
{
    struct statx st;
    int rc;

    mk->mode = mode;
    mk->first = owner_first_mode(o->s, mode);
    mk->dir = dir_get(o, o->head.nodeid, &rc);
    if (!mk->dir)
        return rc;
    rc = share_stat(mk->dir->fd, &st);
    if (rc)
        node_put(o->s, mk->dir);
    else
        owner_of_new(o->s, mk->dir, &st, &o->head, mode, &mk->owner);
    return rc;
}

/* The new name gets its owner, and becomes an entry; or goes again. */
static int made(struct share_op *o, struct maker *mk, struct fuse_entry_out *e,
                struct share_node **out)
{
    const char *name = o->name[0];
    struct statx st;
    int fd = child_open(o->s, mk->dir, name, &st), rc = fd < 0 ? fd : 0;

    if (!rc && (st.stx_mode & S_IFMT) != (mk->mode & S_IFMT))
        rc = -ESTALE; /* somebody was faster */
    if (!rc)
        rc = owner_set(o->s, fd, &st, &mk->owner);
    if (!rc)
        rc = share_stat(fd, &st);
    if (!rc)
        return entry_of(o->s, mk->dir, name, fd, &st, e, out);
    if (fd >= 0)
        close(fd);
    unlinkat(mk->dir->fd, name, S_ISDIR(mk->mode) ? AT_REMOVEDIR : 0);
    return rc;
}

/* The end of everything that makes a name; rc: of the call that did. */
static int make_reply(struct share_op *o, struct maker *mk, int rc)
{
    struct fuse_entry_out *e = (void *)op_reply(o, sizeof(*e));
    struct share_node *n;

    if (!rc && !e)
        rc = -EIO;
    if (!rc)
        rc = made(o, mk, e, &n);
    if (!rc)
        node_put(o->s, n);
    node_put(o->s, mk->dir);
    return rc ? rc : (int)sizeof(*e);
}

int op_symlink(struct share_op *o)
{
    struct maker mk;
    int rc = maker_init(o, &mk, S_IFLNK | 0777);

    if (rc)
        return rc;
    rc = symlinkat(o->text, mk.dir->fd, o->name[0]) ? -errno : 0;
    return make_reply(o, &mk, rc);
}

int op_mknod(struct share_op *o)
{
    const struct fuse_mknod_in *in = (const void *)o->arg;
    uint32_t type = in->mode & S_IFMT;
    struct maker mk;
    int rc;

    /*
     * A device node could be opened on the host, where it would mean the
     * host's device. 0:0 is none: overlayfs marks with it what is deleted.
     */
    if (type == S_IFBLK || (type == S_IFCHR && in->rdev))
        return -EPERM;
    rc = maker_init(o, &mk, type ? in->mode : in->mode | S_IFREG);
    if (rc)
        return rc;
    rc = mknodat(mk.dir->fd, o->name[0], (mk.mode & S_IFMT) | mk.first, 0)
             ? -errno
             : 0;
    return make_reply(o, &mk, rc);
}

int op_mkdir(struct share_op *o)
{
    const struct fuse_mkdir_in *in = (const void *)o->arg;
    struct maker mk;
    int rc = maker_init(o, &mk, S_IFDIR | (in->mode & 07777));

    if (rc)
        return rc;
    rc = mkdirat(mk.dir->fd, o->name[0], mk.first) ? -errno : 0;
    return make_reply(o, &mk, rc);
}

int op_link(struct share_op *o)
{
    const struct fuse_link_in *in = (const void *)o->arg;
    struct fuse_entry_out *e = (void *)op_reply(o, sizeof(*e));
    struct share_node *n, *dir;
    struct share_fd_path p;
    int rc;

    dir = e ? dir_get(o, o->head.nodeid, &rc) : NULL;
    if (!dir)
        return e ? rc : -EIO;
    n = node_get(o->s, in->oldnodeid, &rc);
    if (n) {
        /* The one link of /proc's is followed: to the inode itself. */
        share_fd_path(&p, n->fd);
        rc = linkat(AT_FDCWD, p.text, dir->fd, o->name[0], AT_SYMLINK_FOLLOW)
                 ? -errno
                 : 0;
        node_put(o->s, n);
        if (!rc)
            rc = entry_lookup(o->s, dir, o->name[0], e);
    }
    node_put(o->s, dir);
    return rc ? rc : (int)sizeof(*e);
}

/* A regular file that is there already, as open() without O_EXCL finds it. */
static int create_existing(struct share_op *o, struct maker *mk, uint32_t flags,
                           struct fuse_entry_out *e, struct share_node **n)
{
    struct statx st;
    int fd = child_open(o->s, mk->dir, o->name[0], &st), rc;

    if (fd < 0)
        return fd;
    rc = entry_of(o->s, mk->dir, o->name[0], fd, &st, e, n);
    if (rc)
        return rc;
    fd = node_open(o->s, *n, flags & ~(uint32_t)(O_CREAT | O_EXCL));
    if (fd < 0) {
        uint64_t id = (*n)->id;

        node_put(o->s, *n);
        node_forget(o->s, id, 1);
    }
    return fd;
}

/* A descriptor to read and write with, and a busy node. */
static int create_open(struct share_op *o, struct maker *mk, uint32_t flags,
                       struct fuse_entry_out *e, struct share_node **n)
{
    int fd, rc;

    fd = openat(mk->dir->fd, o->name[0],
                open_flags(flags) | O_CREAT | O_EXCL | O_NOFOLLOW, mk->first);
    if (fd < 0 && errno == EEXIST && !(flags & O_EXCL))
        return create_existing(o, mk, flags, e, n);
    if (fd < 0)
        return -errno;
    rc = made(o, mk, e, n);
    if (!rc)
        return fd;
    close(fd);
    return rc;
}

int op_create(struct share_op *o)
{
    const struct fuse_create_in *in = (const void *)o->arg;
    struct fuse_entry_out *e;
    struct fuse_open_out *open;
    struct share_node *n;
    struct maker mk;
    int rc, fd;

    e = (void *)op_reply(o, sizeof(*e) + sizeof(*open));
    if (!e)
        return -EIO;
    open = (void *)(e + 1);
    *open = (struct fuse_open_out){0};
    rc = maker_init(o, &mk, S_IFREG | (in->mode & 07777));
    if (rc)
        return rc;
    fd = create_open(o, &mk, in->flags, e, &n);
    node_put(o->s, mk.dir);
    if (fd < 0)
        return fd;
    rc = handle_new(o->s, fd, n->id, false, in->flags, &open->fh);
    node_put(o->s, n);
    if (rc)
        node_forget(o->s, e->nodeid, 1);
    return rc ? rc : (int)(sizeof(*e) + sizeof(*open));
}

/* --- removing and moving --- */

static int unlink_name(struct share_op *o, int flags)
{
    struct share_node *dir;
    int rc;

    dir = dir_get(o, o->head.nodeid, &rc);
    if (!dir)
        return rc;
    node_unnamed(o->s, dir, o->name[0]);
    rc = unlinkat(dir->fd, o->name[0], flags) ? -errno : 0;
    node_put(o->s, dir);
    return rc;
}

int op_unlink(struct share_op *o)
{
    return unlink_name(o, 0);
}

int op_rmdir(struct share_op *o)
{
    return unlink_name(o, AT_REMOVEDIR);
}

static bool name_stat(const struct share_node *dir, const char *name,
                      struct statx *st)
{
    return !statx(dir->fd, name, AT_SYMLINK_NOFOLLOW,
                  STATX_BASIC_STATS | STATX_BTIME, st);
}

static int rename_name(struct share_op *o, uint64_t newdir, uint32_t flags)
{
    struct share_node *from, *to;
    struct statx moved, other;
    bool is_moved, is_other;
    int rc;

    if (flags &
        ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
        return -EINVAL;
    from = dir_get(o, o->head.nodeid, &rc);
    if (!from)
        return rc;
    to = dir_get(o, newdir, &rc);
    if (to) {
        is_moved = name_stat(from, o->name[0], &moved);
        is_other =
            (flags & RENAME_EXCHANGE) && name_stat(to, o->name[1], &other);
        if (!(flags & (RENAME_EXCHANGE | RENAME_NOREPLACE)))
            node_unnamed(o->s, to, o->name[1]);
        rc = renameat2(from->fd, o->name[0], to->fd, o->name[1], flags) ? -errno
                                                                        : 0;
        if (!rc && is_moved)
            node_renamed(o->s, &moved, to, o->name[1]);
        if (!rc && is_other)
            node_renamed(o->s, &other, from, o->name[0]);
        node_put(o->s, to);
    }
    node_put(o->s, from);
    return rc;
}

int op_rename(struct share_op *o)
{
    const struct fuse_rename_in *in = (const void *)o->arg;

    return rename_name(o, in->newdir, 0);
}

int op_rename2(struct share_op *o)
{
    const struct fuse_rename2_in *in = (const void *)o->arg;

    return rename_name(o, in->newdir, in->flags);
}
