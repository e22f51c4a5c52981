/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attr.c - attributes, owners and their mapping, extended attributes.
 *
 * An O_PATH descriptor has few calls of its own; the others go through its
 * link in /proc, which leads to the inode itself, also if that is a symbolic
 * link: nothing is followed behind it.
 */
#include "io/share/share_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define OVERRIDE  "user.containers.override_stat"
#define NOBODY    65534u
#define MODE_BITS 07777u
#define XATTR_MAX 65536u

void share_fd_path(struct share_fd_path *p, int fd)
{
    snprintf(p->text, sizeof(p->text), "/proc/self/fd/%d", fd);
}

int share_stat(int fd, struct statx *st)
{
    return statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW,
                 STATX_BASIC_STATS | STATX_BTIME, st)
               ? -errno
               : 0;
}

/* --- owners --- */

static bool has_override(const struct share *s, const struct statx *st)
{
    return s->mapped && (S_ISREG(st->stx_mode) || S_ISDIR(st->stx_mode));
}

/* uid:gid:mode in octal, and perhaps more behind a colon */
static bool override_get(int fd, struct share_owner *o)
{
    struct share_fd_path p;
    char text[64], *end = text;
    unsigned long v[3];
    ssize_t n;

    share_fd_path(&p, fd);
    n = getxattr(p.text, OVERRIDE, text, sizeof(text) - 1);
    if (n <= 0)
        return false;
    text[n] = 0;
    for (int i = 0; i < 3; i++) {
        if (*end < '0' || *end > '9')
            return false;
        v[i] = strtoul(end, &end, i < 2 ? 10 : 8);
        if (v[i] > UINT32_MAX || (*end && *end != ':'))
            return false;
        end += *end == ':';
    }
    *o = (struct share_owner){(uint32_t)v[0], (uint32_t)v[1],
                              (uint32_t)v[2] & MODE_BITS};
    return true;
}

/* What it is without an override. */
static void owner_plain(const struct share *s, const struct statx *st,
                        struct share_owner *o)
{
    *o = (struct share_owner){st->stx_uid, st->stx_gid,
                              st->stx_mode & MODE_BITS};
    if (s->mapped) {
        o->uid = st->stx_uid == s->uid ? 0 : NOBODY;
        o->gid = st->stx_gid == s->gid ? 0 : NOBODY;
    }
}

void owner_get(struct share *s, int fd, const struct statx *st,
               struct share_owner *o)
{
    owner_plain(s, st, o);
    if (has_override(s, st))
        override_get(fd, o);
}

static int mode_set(int fd, struct statx *st, uint32_t mode)
{
    struct share_fd_path p;

    if ((st->stx_mode & MODE_BITS) == mode)
        return 0;
    share_fd_path(&p, fd);
    if (chmod(p.text, mode))
        return -errno;
    st->stx_mode = (uint16_t)((st->stx_mode & S_IFMT) | mode);
    return 0;
}

uint32_t owner_first_mode(const struct share *s, uint32_t mode)
{
    if (!s->mapped)
        return mode & MODE_BITS;
    /* We have to get in later, and set-ID bits are the guest's alone. */
    return (mode & 0777) | (S_ISDIR(mode) ? 0700 : 0600);
}

static int owner_set_mapped(struct share *s, int fd, struct statx *st,
                            const struct share_owner *want)
{
    uint32_t real = owner_first_mode(s, (st->stx_mode & S_IFMT) | want->mode);
    struct share_fd_path p;
    struct share_owner plain;
    char text[64];
    int e = 0;

    owner_plain(s, st, &plain);
    share_fd_path(&p, fd);
    if (want->uid == plain.uid && want->gid == plain.gid &&
        want->mode == real) {
        if (removexattr(p.text, OVERRIDE) && errno != ENODATA &&
            errno != EOPNOTSUPP)
            return -errno;
        return mode_set(fd, st, real);
    }
    snprintf(text, sizeof(text), "%u:%u:0%o", want->uid, want->gid, want->mode);
    if (setxattr(p.text, OVERRIDE, text, strlen(text), 0))
        e = errno;
    if (!e)
        return mode_set(fd, st, real);
    /* No such attributes here: the mode at least can be had. */
    if (e == EOPNOTSUPP && want->uid == plain.uid && want->gid == plain.gid)
        return mode_set(fd, st, want->mode);
    return e == EOPNOTSUPP ? -EPERM : -e;
}

static int owner_set_real(int fd, struct statx *st,
                          const struct share_owner *want)
{
    int rc;

    if (want->uid != st->stx_uid || want->gid != st->stx_gid) {
        if (fchownat(fd, "", want->uid, want->gid, AT_EMPTY_PATH))
            return -errno;
        /* which may have taken set-ID bits away */
        rc = share_stat(fd, st);
        if (rc)
            return rc;
    }
    return S_ISLNK(st->stx_mode) ? 0 : mode_set(fd, st, want->mode);
}

int owner_set(struct share *s, int fd, struct statx *st,
              const struct share_owner *want)
{
    if (!s->mapped)
        return owner_set_real(fd, st, want);
    if (has_override(s, st))
        return owner_set_mapped(s, fd, st, want);
    /* Links and FIFOs have no place for an owner; they stay root's. */
    return S_ISLNK(st->stx_mode) ? 0 : mode_set(fd, st, want->mode & 0777);
}

void owner_of_new(struct share *s, struct share_node *dir,
                  const struct statx *dir_st,
                  const struct fuse_in_header *caller, uint32_t mode,
                  struct share_owner *o)
{
    struct share_owner above;

    owner_get(s, dir->fd, dir_st, &above);
    *o = (struct share_owner){caller->uid, caller->gid, mode & MODE_BITS};
    if (above.mode & S_ISGID) {
        o->gid = above.gid;
        if (S_ISDIR(mode))
            o->mode |= S_ISGID;
    }
}

/* As a kernel does it for those without CAP_FSETID. */
static uint32_t mode_without_setid(uint32_t mode)
{
    return mode & ~(S_ISUID | (mode & S_IXGRP ? S_ISGID : 0u));
}

int owner_kill_setid(struct share *s, int fd)
{
    struct share_owner o;
    struct statx st;
    uint32_t mode;
    int rc = share_stat(fd, &st);

    if (rc)
        return rc;
    owner_get(s, fd, &st, &o);
    mode = mode_without_setid(o.mode);
    if (mode == o.mode || !S_ISREG(st.stx_mode))
        return 0;
    o.mode = mode;
    return owner_set(s, fd, &st, &o);
}

/* --- GETATTR, SETATTR --- */

void attr_put(struct share *s, int fd, const struct statx *st,
              struct fuse_attr *a)
{
    struct share_owner o;

    owner_get(s, fd, st, &o);
    *a = (struct fuse_attr){
        .ino = st->stx_ino,
        .size = st->stx_size,
        .blocks = st->stx_blocks,
        .atime = (uint64_t)st->stx_atime.tv_sec,
        .mtime = (uint64_t)st->stx_mtime.tv_sec,
        .ctime = (uint64_t)st->stx_ctime.tv_sec,
        .atimensec = st->stx_atime.tv_nsec,
        .mtimensec = st->stx_mtime.tv_nsec,
        .ctimensec = st->stx_ctime.tv_nsec,
        .mode = (st->stx_mode & S_IFMT) | o.mode,
        .nlink = st->stx_nlink,
        .uid = o.uid,
        .gid = o.gid,
        .rdev = st->stx_rdev_major << 8 | (st->stx_rdev_minor & 0xff) |
                (st->stx_rdev_minor & ~0xffu) << 12,
        .blksize = st->stx_blksize,
    };
}

static int attr_reply(struct share_op *o, int fd, const struct statx *st)
{
    struct fuse_attr_out *out = (void *)op_reply(o, sizeof(*out));

    if (!out)
        return -EIO;
    *out = (struct fuse_attr_out){.attr_valid_nsec = 0, .attr_valid = 1};
    attr_put(o->s, fd, st, &out->attr);
    return sizeof(*out);
}

int op_getattr(struct share_op *o)
{
    const struct fuse_getattr_in *in = (const void *)o->arg;
    struct share_handle *h = NULL;
    struct share_node *n = NULL;
    struct statx st;
    int rc = 0, fd;

    /* A file that is open is there even where its name is not. */
    if (in->getattr_flags & FUSE_GETATTR_FH)
        h = handle_get(o->s, in->fh, false);
    if (!h)
        n = node_get(o->s, o->head.nodeid, &rc);
    if (!h && !n)
        return rc;
    fd = h ? h->fd : n->fd;
    rc = share_stat(fd, &st);
    if (!rc)
        rc = attr_reply(o, fd, &st);
    if (h)
        handle_put(o->s, h);
    if (n)
        node_put(o->s, n);
    return rc;
}

static int set_owner(struct share_op *o, int fd, struct statx *st,
                     const struct fuse_setattr_in *in)
{
    bool chown = in->valid & (FATTR_UID | FATTR_GID);
    struct share_owner was, want;

    owner_get(o->s, fd, st, &was);
    want = was;
    if (in->valid & FATTR_UID)
        want.uid = in->uid;
    if (in->valid & FATTR_GID)
        want.gid = in->gid;
    if (in->valid & FATTR_MODE)
        want.mode = in->mode & MODE_BITS;
    else if ((chown || (in->valid & FATTR_KILL_SUIDGID)) &&
             S_ISREG(st->stx_mode))
        want.mode = mode_without_setid(was.mode);
    if (!memcmp(&was, &want, sizeof(was)))
        return 0;
    return owner_set(o->s, fd, st, &want);
}

static int set_size(struct share_op *o, const struct share_node *n,
                    const struct fuse_setattr_in *in)
{
    struct share_handle *h =
        in->valid & FATTR_FH ? handle_get(o->s, in->fh, false) : NULL;
    int fd, rc = 0;

    if (in->size > INT64_MAX)
        rc = -EFBIG;
    else if (h && h->wants_write)
        rc = ftruncate(h->fd, (off_t)in->size) ? -errno : 0;
    else {
        fd = node_open(o->s, n, O_WRONLY);
        rc = fd < 0 ? fd : ftruncate(fd, (off_t)in->size) ? -errno : 0;
        if (fd >= 0)
            close(fd);
    }
    if (h)
        handle_put(o->s, h);
    return rc;
}

static struct timespec time_of(uint32_t valid, uint32_t set, uint32_t now,
                               uint64_t sec, uint32_t nsec)
{
    if (valid & now)
        return (struct timespec){.tv_nsec = UTIME_NOW};
    if (!(valid & set) || nsec >= 1000000000u)
        return (struct timespec){.tv_nsec = UTIME_OMIT};
    return (struct timespec){(time_t)sec, nsec};
}

static int set_times(const struct share_node *n,
                     const struct fuse_setattr_in *in)
{
    struct timespec t[2] = {
        time_of(in->valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atime,
                in->atimensec),
        time_of(in->valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime,
                in->mtimensec),
    };
    struct share_fd_path p;

    if (!(in->valid &
          (FATTR_ATIME | FATTR_ATIME_NOW | FATTR_MTIME | FATTR_MTIME_NOW)))
        return 0;
    if (n->type == S_IFLNK)
        return utimensat(n->fd, "", t, AT_EMPTY_PATH) ? -errno : 0;
    share_fd_path(&p, n->fd);
    return utimensat(AT_FDCWD, p.text, t, 0) ? -errno : 0;
}

int op_setattr(struct share_op *o)
{
    const struct fuse_setattr_in *in = (const void *)o->arg;
    struct share_node *n;
    struct statx st;
    int rc;

    n = node_get(o->s, o->head.nodeid, &rc);
    if (!n)
        return rc;
    rc = share_stat(n->fd, &st);
    if (!rc)
        rc = set_owner(o, n->fd, &st, in);
    if (!rc && (in->valid & FATTR_SIZE))
        rc = set_size(o, n, in);
    if (!rc)
        rc = set_times(n, in);
    if (!rc)
        rc = share_stat(n->fd, &st);
    if (!rc)
        rc = attr_reply(o, n->fd, &st);
    node_put(o->s, n);
    return rc;
}

int op_statfs(struct share_op *o)
{
    struct fuse_statfs_out *out = (void *)op_reply(o, sizeof(*out));
    struct share_node *n;
    struct statfs fs;
    int rc;

    n = out ? node_get(o->s, o->head.nodeid, &rc) : NULL;
    if (!n)
        return out ? rc : -EIO;
    rc = fstatfs(n->fd, &fs) ? -errno : (int)sizeof(*out);
    node_put(o->s, n);
    if (rc < 0)
        return rc;
    *out = (struct fuse_statfs_out){{
        .blocks = fs.f_blocks,
        .bfree = fs.f_bfree,
        .bavail = fs.f_bavail,
        .files = fs.f_files,
        .ffree = fs.f_ffree,
        .bsize = (uint32_t)fs.f_bsize,
        .namelen = (uint32_t)fs.f_namelen,
        .frsize = (uint32_t)fs.f_frsize,
    }};
    return rc;
}

/* --- extended attributes --- */

/* Who may write to a file in the guest could make it root's there. */
bool xattr_hidden(const struct share *s, const char *name)
{
    return s->mapped && !strcmp(name, OVERRIDE);
}

int op_getxattr(struct share_op *o)
{
    const struct fuse_getxattr_in *in = (const void *)o->arg;
    uint32_t size = MIN(in->size, XATTR_MAX);
    struct share_fd_path p;
    struct share_node *n;
    uint8_t *buf;
    ssize_t got;
    int rc;

    if (xattr_hidden(o->s, o->text))
        return -ENODATA;
    buf = op_reply(o, MAX(size, sizeof(struct fuse_getxattr_out)));
    n = buf ? node_get(o->s, o->head.nodeid, &rc) : NULL;
    if (!n)
        return buf ? rc : -ERANGE;
    share_fd_path(&p, n->fd);
    got = getxattr(p.text, o->text, buf, size);
    rc = got < 0 ? -errno : (int)got;
    node_put(o->s, n);
    if (rc < 0 || in->size)
        return rc;
    *(struct fuse_getxattr_out *)buf =
        (struct fuse_getxattr_out){.size = (uint32_t)rc};
    return sizeof(struct fuse_getxattr_out);
}

/* The list without what is hidden; its length. */
static int list_filter(const struct share *s, char *list, int len)
{
    int at = 0, keep = 0;

    while (at < len) {
        int n = (int)strnlen(list + at, (size_t)(len - at)) + 1;

        n = MIN(n, len - at);
        if (!xattr_hidden(s, list + at)) {
            memmove(list + keep, list + at, (size_t)n);
            keep += n;
        }
        at += n;
    }
    return keep;
}

int op_listxattr(struct share_op *o)
{
    const struct fuse_getxattr_in *in = (const void *)o->arg;
    struct share_fd_path p;
    struct share_node *n;
    uint8_t *out;
    char *list;
    int rc;

    n = node_get(o->s, o->head.nodeid, &rc);
    if (!n)
        return rc;
    list = malloc(XATTR_MAX + 1);
    share_fd_path(&p, n->fd);
    rc = list ? (int)listxattr(p.text, list, XATTR_MAX) : -1;
    rc = rc < 0 ? (list ? -errno : -ENOMEM) : rc;
    node_put(o->s, n);
    if (rc >= 0) {
        list[rc] = 0;
        rc = list_filter(o->s, list, rc);
        out = op_reply(o, MAX((size_t)rc, sizeof(struct fuse_getxattr_out)));
        if (in->size && (!out || (uint32_t)rc > in->size)) {
            rc = -ERANGE;
        } else if (in->size) {
            memcpy(out, list, (size_t)rc);
        } else if (out) {
            *(struct fuse_getxattr_out *)out =
                (struct fuse_getxattr_out){.size = (uint32_t)rc};
            rc = sizeof(struct fuse_getxattr_out);
        }
    }
    free(list);
    return rc;
}

int op_setxattr(struct share_op *o)
{
    const struct fuse_setxattr_in *in = (const void *)o->arg;
    struct share_fd_path p;
    struct share_node *n;
    int rc;

    if (xattr_hidden(o->s, o->text))
        return -EPERM;
    if (in->size > XATTR_MAX || in->size > o->arg_len - o->rest)
        return -EINVAL;
    n = node_get(o->s, o->head.nodeid, &rc);
    if (!n)
        return rc;
    share_fd_path(&p, n->fd);
    rc = setxattr(p.text, o->text, o->arg + o->rest, in->size, (int)in->flags)
             ? -errno
             : 0;
    node_put(o->s, n);
    return rc;
}

int op_removexattr(struct share_op *o)
{
    struct share_fd_path p;
    struct share_node *n;
    int rc;

    if (xattr_hidden(o->s, o->text))
        return -ENODATA;
    n = node_get(o->s, o->head.nodeid, &rc);
    if (!n)
        return rc;
    share_fd_path(&p, n->fd);
    rc = removexattr(p.text, o->text) ? -errno : 0;
    node_put(o->s, n);
    return rc;
}
