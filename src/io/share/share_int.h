/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share_int.h - what the files of io/share/ share.
 *
 * A node is an inode that the guest has looked up; a handle is a file or folder
 * that it has open. `lock` guards both tables and all fields of nodes; a node
 * that is `busy` keeps its descriptor. Requests run without the lock.
 *
 * Descriptors are bounded. The one of a node that was not used for long is
 * closed, and opened again by the name where the node was last seen; what is
 * found there must be the same inode, else the guest gets ESTALE and looks
 * again. Nodes whose name the guest removed keep theirs.
 */
#pragma once

#include <linux/fuse.h>
#include <pthread.h>
#include <sys/stat.h>

#include "io/share/share.h"

#define SHARE_NAME_MAX 255
#define SHARE_ROOT     1          /* FUSE_ROOT_ID */
#define SHARE_IO_MAX   (1u << 20) /* bytes of a read or write */

struct share_node {
    struct share_node *next_id, *next_ino; /* hash chains */
    struct share_node *older, *newer;      /* those with a descriptor */
    uint64_t id;
    uint64_t dev, ino;
    int64_t born; /* ns; with dev and ino it is this inode and no other */
    uint16_t type;
    int fd;            /* O_PATH; -1: closed for now */
    uint64_t lookups;  /* that the guest has not forgotten */
    unsigned busy;     /* requests under way */
    unsigned children; /* nodes whose parent this is */
    bool pinned;       /* the name is gone: fd stays */
    struct share_node *parent;
    char *name;
    /* As it was when the guest last opened it. */
    bool seen;
    int64_t mtime, ctime;
    uint64_t size;
};

struct share_handle {
    int fd; /* -1: what was open could not be opened again */
    uint64_t node;
    uint32_t flags; /* of the guest's open() */
    bool dir, wants_write, closed;
    unsigned refs;
    uint32_t generation;
    pthread_mutex_t lock; /* the folder's position */
    int64_t at;
};

struct share {
    char *path;
    bool read_only, mapped;
    uint32_t uid, gid; /* ours, shown as 0 if mapped */
    uint32_t flags;    /* FUSE_ that were agreed on */
    bool ready;        /* FUSE_INIT came */
    bool forking;      /* share_save() is for a child */
    bool forked;       /* share_load() is in one */
    pthread_mutex_t lock;
    struct share_node **by_id, **by_ino;
    unsigned buckets, nodes;
    struct share_node *root;
    struct share_node used; /* head of the list: .newer is the oldest */
    unsigned fds, fds_max;
    uint64_t last_id;
    struct share_handle **handle;
    unsigned handles_max, handles_room;
    uint32_t generation;
};

/* A request being served. */
struct share_op {
    struct share *s;
    const struct share_msg *m;
    struct fuse_in_header head;
    const uint8_t *arg; /* a private copy of what follows the header */
    size_t arg_len;
    const char *name[2]; /* checked: one component each */
    const char *text;
    size_t rest;    /* offset in arg of what follows names and text */
    uint8_t *reply; /* room for `room` bytes */
    size_t room;
    uint64_t direct; /* bytes that went to the in-vectors already */
};

/* What the guest sees of an inode's rights. */
struct share_owner {
    uint32_t uid, gid, mode; /* mode: 07777 */
};

/* "/proc/self/fd/N" */
struct share_fd_path {
    char text[32];
};

void share_fd_path(struct share_fd_path *p, int fd);
int share_stat(int fd, struct statx *st) must_check;
static inline uint64_t share_dev(const struct statx *st)
{
    return (uint64_t)st->stx_dev_major << 32 | st->stx_dev_minor;
}

/* ns since 1970; a guest can set times for which that wraps. */
static inline int64_t share_ns(const struct statx_timestamp *t)
{
    return (int64_t)((uint64_t)t->tv_sec * 1000000000u + t->tv_nsec);
}

/* --- node.c --- */

int nodes_init(struct share *s, int root, struct error *err) must_check;
/* The guest has forgotten all; what requests use goes with them. */
void nodes_forget(struct share *s);
/* Frees all but the root. No request is under way. */
void nodes_clear(struct share *s);
void nodes_fini(struct share *s);
/* Busy, with a descriptor; or NULL and *e. */
struct share_node *node_get(struct share *s, uint64_t id, int *e);
void node_put(struct share *s, struct share_node *n);
/*
 * The inode open as fd (O_PATH; taken over), found as `name` in `parent`. One
 * lookup more, busy.
 */
struct share_node *node_found(struct share *s, struct share_node *parent,
                              const char *name, int fd, const struct statx *st,
                              int *e);
/* Makes room for a descriptor. -ENFILE */
int node_room(struct share *s) must_check;
void node_forget(struct share *s, uint64_t id, uint64_t n);
/* The guest takes away the name; pinned if it is known. */
void node_unnamed(struct share *s, struct share_node *dir, const char *name);
/* The inode st, if known, is now `name` in `dir`. */
void node_renamed(struct share *s, const struct statx *st,
                  struct share_node *dir, const char *name);

/*
 * A node that was saved, without name and parent; fd: its own, or -1. Not
 * busy. -EINVAL: there is one with this id.
 */
int node_back(struct share *s, const struct share_node *as, int fd) must_check;
int node_back_place(struct share *s, uint64_t id, uint64_t parent,
                    const char *name) must_check;

/* --- handle.c --- */

int handles_init(struct share *s, struct error *err) must_check;
void handles_clear(struct share *s);
void handles_fini(struct share *s);
/* Takes fd over, also on failure. flags: open()'s, as the guest gave them. */
int handle_new(struct share *s, int fd, uint64_t node, bool dir, uint32_t flags,
               uint64_t *fh) must_check;
/* One that was saved, in its free place. */
int handle_back(struct share *s, unsigned place, uint32_t generation,
                uint64_t node, bool dir, uint32_t flags, int fd) must_check;
struct share_handle *handle_get(struct share *s, uint64_t fh, bool dir);
/* Why there is none: -ESTALE where it was lost by a restore, else -EBADF. */
int handle_missing(struct share *s, uint64_t fh);
void handle_put(struct share *s, struct share_handle *h);
void handle_release(struct share *s, uint64_t fh);

/* --- attr.c --- */

void owner_get(struct share *s, int fd, const struct statx *st,
               struct share_owner *o);
/* st: as it is; changed if the mode was. */
int owner_set(struct share *s, int fd, struct statx *st,
              const struct share_owner *want) must_check;
/* The owner of what `caller` makes in dir. */
void owner_of_new(struct share *s, struct share_node *dir,
                  const struct statx *dir_st,
                  const struct fuse_in_header *caller, uint32_t mode,
                  struct share_owner *o);
/* Bits with which it is made, before owner_set(). */
uint32_t owner_first_mode(const struct share *s, uint32_t mode);
/* A write by somebody who may not keep set-ID bits. */
int owner_kill_setid(struct share *s, int fd) must_check;
void attr_put(struct share *s, int fd, const struct statx *st,
              struct fuse_attr *a);
bool xattr_hidden(const struct share *s, const char *name);

/* --- requests: the reply's length, or -errno --- */

int op_getattr(struct share_op *o);
int op_setattr(struct share_op *o);
int op_statfs(struct share_op *o);
int op_getxattr(struct share_op *o);
int op_setxattr(struct share_op *o);
int op_listxattr(struct share_op *o);
int op_removexattr(struct share_op *o);

int op_lookup(struct share_op *o);
int op_forget(struct share_op *o);
int op_batch_forget(struct share_op *o);
int op_readlink(struct share_op *o);
int op_symlink(struct share_op *o);
int op_mknod(struct share_op *o);
int op_mkdir(struct share_op *o);
int op_unlink(struct share_op *o);
int op_rmdir(struct share_op *o);
int op_rename(struct share_op *o);
int op_rename2(struct share_op *o);
int op_link(struct share_op *o);
int op_create(struct share_op *o);

int op_open(struct share_op *o);
int op_read(struct share_op *o);
int op_write(struct share_op *o);
int op_flush(struct share_op *o);
int op_release(struct share_op *o);
int op_fsync(struct share_op *o);
int op_fallocate(struct share_op *o);
int op_lseek(struct share_op *o);
int op_copy_file_range(struct share_op *o);
int op_syncfs(struct share_op *o);

int op_opendir(struct share_op *o);
int op_readdir(struct share_op *o);
int op_readdirplus(struct share_op *o);
int op_releasedir(struct share_op *o);
int op_fsyncdir(struct share_op *o);

/* dir.c: looks name up; fills the entry. 0 or -errno. */
int entry_lookup(struct share *s, struct share_node *dir, const char *name,
                 struct fuse_entry_out *e);
/* file.c: opens the inode behind an O_PATH descriptor. An fd or -errno. */
int node_open(struct share *s, const struct share_node *n, uint32_t flags);
/* Of the flags that a guest gives, those that are ours to use. */
int open_flags(uint32_t flags);
uint32_t open_keeps_cache(struct share *s, struct share_node *n);
/* share.c: a component: what could mean anything else is refused. */
int share_name_check(const char *name, size_t len);
/* share.c: grows the reply; NULL: no memory, or the guest has no room. */
uint8_t *op_reply(struct share_op *o, size_t len);
