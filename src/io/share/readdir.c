/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readdir.c - folders, read in pieces from where the guest says.
 *
 * Positions are the host's own, so nothing has to be kept of a big folder. An
 * entry that does not fit is read again with the next piece.
 */
#include "io/share/share_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE_MIN 1024u
#define PIECE_MAX 65536u

struct piece {
    uint8_t *out;
    size_t len, room;
};

int op_opendir(struct share_op *o)
{
    struct fuse_open_out *out = (void *)op_reply(o, sizeof(*out));
    struct share_node *n;
    int rc, fd;

    n = out ? node_get(o->s, o->head.nodeid, &rc) : NULL;
    if (!n)
        return out ? rc : -EIO;
    *out = (struct fuse_open_out){0};
    fd = n->type == S_IFDIR ? node_open(o->s, n, O_RDONLY) : -ENOTDIR;
    node_put(o->s, n);
    rc = fd < 0
             ? fd
             : handle_new(o->s, fd, o->head.nodeid, true, O_RDONLY, &out->fh);
    return rc ? rc : (int)sizeof(*out);
}

int op_releasedir(struct share_op *o)
{
    const struct fuse_release_in *in = (const void *)o->arg;

    handle_release(o->s, in->fh);
    return 0;
}

static bool is_dot(const char *name)
{
    return !strcmp(name, ".") || !strcmp(name, "..");
}

/* False: it does not fit. */
static bool piece_add(struct piece *p, const struct dirent64 *d,
                      const struct fuse_entry_out *e)
{
    size_t name = strnlen(d->d_name, SHARE_NAME_MAX);
    size_t head = e ? sizeof(*e) : 0;
    size_t len = head + FUSE_NAME_OFFSET + FUSE_DIRENT_ALIGN(name);
    struct fuse_dirent *out = (void *)(p->out + p->len + head);

    if (len > p->room - p->len)
        return false;
    memset(p->out + p->len, 0, len);
    if (e)
        memcpy(p->out + p->len, e, sizeof(*e));
    out->ino = d->d_ino;
    out->off = (uint64_t)d->d_off;
    out->namelen = (uint32_t)name;
    out->type = d->d_type;
    memcpy(out->name, d->d_name, name);
    p->len += len;
    return true;
}

/* One entry with its inode. One that has gone meanwhile is left out. */
static bool piece_add_plus(struct share *s, struct share_node *dir,
                           struct piece *p, const struct dirent64 *d)
{
    struct fuse_entry_out e = {0};
    size_t need = sizeof(e) + FUSE_NAME_OFFSET +
                  FUSE_DIRENT_ALIGN(strnlen(d->d_name, SHARE_NAME_MAX));

    if (need > p->room - p->len)
        return false; /* before the lookup counts */
    if (!is_dot(d->d_name) && entry_lookup(s, dir, d->d_name, &e))
        e = (struct fuse_entry_out){0}; /* the guest looks it up itself */
    return piece_add(p, d, &e);
}

/* From the handle's position, which is behind what was added at the end. */
static int piece_read(struct share *s, struct share_node *dir,
                      struct share_handle *h, struct piece *p, size_t want)
{
    uint8_t *buf = malloc(want);
    ssize_t got = buf ? getdents64(h->fd, buf, want) : -1, at = 0;
    int rc = buf ? (got < 0 ? -errno : 0) : -ENOMEM;

    while (at < got) {
        struct dirent64 *d = (void *)(buf + at);

        if (dir ? !piece_add_plus(s, dir, p, d) : !piece_add(p, d, NULL))
            break;
        h->at = d->d_off;
        at += d->d_reclen;
    }
    if (at < got)
        h->at = -1; /* the kernel's is further on */
    free(buf);
    return rc;
}

static int read_dir(struct share_op *o, bool plus)
{
    const struct fuse_read_in *in = (const void *)o->arg;
    uint64_t room = o->m->in_len - sizeof(struct fuse_out_header);
    struct piece p = {.room = MIN(MIN(in->size, room), PIECE_MAX)};
    struct share_handle *h = NULL;
    struct share_node *dir;
    int rc;

    p.out = op_reply(o, p.room);
    dir = p.out ? node_get(o->s, o->head.nodeid, &rc) : NULL;
    if (!dir)
        return p.out ? rc : -EIO;
    h = handle_get(o->s, in->fh, true);
    rc = h ? 0 : handle_missing(o->s, in->fh);
    if (h) {
        pthread_mutex_lock(&h->lock);
        if (h->at != (int64_t)in->offset &&
            lseek(h->fd, (off_t)in->offset, SEEK_SET) < 0)
            rc = -errno;
        if (!rc)
            rc = piece_read(o->s, plus ? dir : NULL, h, &p,
                            MAX(plus ? p.room / 3 : p.room, PIECE_MIN));
        pthread_mutex_unlock(&h->lock);
        handle_put(o->s, h);
    }
    node_put(o->s, dir);
    return rc ? rc : (int)p.len;
}

int op_readdir(struct share_op *o)
{
    return read_dir(o, false);
}

int op_readdirplus(struct share_op *o)
{
    return read_dir(o, true);
}
