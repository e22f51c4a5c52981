/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node.c - the inodes that the guest knows, and their descriptors.
 */
#include "io/share/share_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#define BUCKETS_FIRST 1024u
#define NODES_MAX     (1u << 22) /* a guest may not fill our memory */
#define EVICT_TRIES   64u
#define CLOSED_MAX    256u /* folders above a node that have to be reopened */

static unsigned id_slot(const struct share *s, uint64_t id)
{
    return (unsigned)(id & (s->buckets - 1));
}

static unsigned ino_slot(const struct share *s, uint64_t dev, uint64_t ino)
{
    uint64_t h = (ino ^ dev << 20) * 0x9e3779b97f4a7c15ull;

    return (unsigned)(h >> 32) & (s->buckets - 1);
}

static int64_t born_at(const struct statx *st)
{
    if (!(st->stx_mask & STATX_BTIME))
        return 0;
    return share_ns(&st->stx_btime);
}

static bool same_inode(const struct share_node *n, const struct statx *st)
{
    return n->dev == share_dev(st) && n->ino == st->stx_ino &&
           n->born == born_at(st) && n->type == (st->stx_mode & S_IFMT);
}

/* --- the list of descriptors, oldest use first --- */

static void used_remove(struct share_node *n)
{
    n->older->newer = n->newer;
    n->newer->older = n->older;
}

static void used_append(struct share *s, struct share_node *n)
{
    n->older = s->used.older;
    n->newer = &s->used;
    n->older->newer = n;
    s->used.older = n;
}

static void node_opened(struct share *s, struct share_node *n, int fd)
{
    n->fd = fd;
    s->fds++;
    used_append(s, n);
}

static void node_closed(struct share *s, struct share_node *n)
{
    if (n->fd < 0)
        return;
    close(n->fd);
    n->fd = -1;
    s->fds--;
    used_remove(n);
}

static int evict(struct share *s)
{
    unsigned i;

    for (i = 0; i < EVICT_TRIES && s->used.newer != &s->used; i++) {
        struct share_node *n = s->used.newer;

        if (!n->busy && !n->pinned && n != s->root) {
            node_closed(s, n);
            return 0;
        }
        used_remove(n);
        used_append(s, n);
    }
    return -ENFILE;
}

static int room(struct share *s)
{
    while (s->fds >= s->fds_max)
        if (evict(s))
            return -ENFILE;
    return 0;
}

int node_room(struct share *s)
{
    int rc;

    pthread_mutex_lock(&s->lock);
    rc = room(s);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* --- tables --- */

static void table_add(struct share *s, struct share_node *n)
{
    struct share_node **id = &s->by_id[id_slot(s, n->id)];
    struct share_node **ino = &s->by_ino[ino_slot(s, n->dev, n->ino)];

    n->next_id = *id;
    *id = n;
    n->next_ino = *ino;
    *ino = n;
}

static void ino_remove(struct share *s, struct share_node *n)
{
    struct share_node **p = &s->by_ino[ino_slot(s, n->dev, n->ino)];

    while (*p && *p != n)
        p = &(*p)->next_ino;
    if (*p)
        *p = n->next_ino;
    n->next_ino = NULL;
}

static void table_remove(struct share *s, struct share_node *n)
{
    struct share_node **p = &s->by_id[id_slot(s, n->id)];

    while (*p != n)
        p = &(*p)->next_id;
    *p = n->next_id;
    ino_remove(s, n);
}

/* Twice as many buckets; without memory the chains just get longer. */
static void table_grow(struct share *s)
{
    struct share_node **id = calloc(2ul * s->buckets, sizeof(*id));
    struct share_node **ino = calloc(2ul * s->buckets, sizeof(*ino));
    struct share_node **old = s->by_id, *n, *next;
    unsigned i, was = s->buckets;

    if (!id || !ino) {
        free(id);
        free(ino);
        return;
    }
    free(s->by_ino);
    s->by_id = id;
    s->by_ino = ino;
    s->buckets = 2 * was;
    for (i = 0; i < was; i++) {
        for (n = old[i]; n; n = next) {
            next = n->next_id;
            table_add(s, n);
        }
    }
    free(old);
}

static struct share_node *find_id(struct share *s, uint64_t id)
{
    struct share_node *n = s->by_id[id_slot(s, id)];

    while (n && n->id != id)
        n = n->next_id;
    return n;
}

/* An inode number that was given to a new inode meanwhile is not the same. */
static struct share_node *find_inode(struct share *s, const struct statx *st)
{
    struct share_node *n = s->by_ino[ino_slot(s, share_dev(st), st->stx_ino)];

    while (n && !same_inode(n, st))
        n = n->next_ino;
    return n;
}

/* --- life --- */

static void node_free(struct share *s, struct share_node *n)
{
    table_remove(s, n);
    node_closed(s, n);
    free(n->name);
    free(n);
    s->nodes--;
}

/* Frees what nobody needs any more: n, then perhaps what is above it. */
static void node_drop(struct share *s, struct share_node *n)
{
    while (n != s->root && !n->lookups && !n->busy && !n->children) {
        struct share_node *up = n->parent;

        node_free(s, n);
        if (!up)
            return;
        up->children--;
        n = up;
    }
}

/* Where it was last seen. Nothing is lost if there is no memory for it. */
static void node_place(struct share *s, struct share_node *n,
                       struct share_node *parent, const char *name)
{
    struct share_node *was = n->parent;
    char *copy;

    if (n == s->root || n == parent ||
        (was == parent && n->name && !strcmp(n->name, name)))
        return;
    copy = strdup(name);
    if (!copy)
        return;
    free(n->name);
    n->name = copy;
    parent->children++;
    n->parent = parent;
    if (was) {
        was->children--;
        node_drop(s, was);
    }
}

static struct share_node *node_new(struct share *s, int fd,
                                   const struct statx *st)
{
    struct share_node *n;

    if (s->nodes >= NODES_MAX)
        return NULL;
    n = calloc(1, sizeof(*n));
    if (!n)
        return NULL;
    n->id = ++s->last_id;
    n->dev = share_dev(st);
    n->ino = st->stx_ino;
    n->born = born_at(st);
    n->type = st->stx_mode & S_IFMT;
    if (++s->nodes > s->buckets)
        table_grow(s);
    table_add(s, n);
    node_opened(s, n, fd);
    return n;
}

struct share_node *node_found(struct share *s, struct share_node *parent,
                              const char *name, int fd, const struct statx *st,
                              int *e)
{
    struct share_node *n;

    pthread_mutex_lock(&s->lock);
    n = find_inode(s, st);
    if (!n) {
        n = node_new(s, fd, st);
        *e = -ENOMEM;
    } else if (n->fd < 0) {
        node_opened(s, n, fd);
    } else {
        close(fd);
        fd = -1;
    }
    if (n) {
        n->lookups++;
        n->busy++;
        n->pinned = false; /* it has a name */
        node_place(s, n, parent, name);
    } else if (fd >= 0) {
        close(fd);
    }
    pthread_mutex_unlock(&s->lock);
    return n;
}

/* Opens n below its parent, which is open. */
static int reopen_one(struct share *s, struct share_node *n)
{
    struct statx st;
    int fd, rc = room(s);

    if (rc)
        return rc;
    fd = openat(n->parent->fd, n->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? -ESTALE : -errno;
    rc = share_stat(fd, &st);
    if (!rc && !same_inode(n, &st))
        rc = -ESTALE;
    if (rc)
        close(fd);
    else
        node_opened(s, n, fd);
    return rc;
}

/* From the first folder above that is open, down to n. */
static int reopen(struct share *s, struct share_node *n)
{
    struct share_node *chain[CLOSED_MAX];
    unsigned depth = 0, i;
    int rc = 0;

    for (; n && n->fd < 0; n = n->parent) {
        if (depth == CLOSED_MAX)
            return -ESTALE;
        chain[depth++] = n;
    }
    if (!n)
        return -ESTALE;
    n->busy++;
    for (i = depth; i-- && !rc;) {
        rc = reopen_one(s, chain[i]);
        chain[i]->busy++; /* until all is done: room() must not take it */
    }
    for (i++; i < depth; i++)
        chain[i]->busy--;
    n->busy--;
    return rc;
}

struct share_node *node_get(struct share *s, uint64_t id, int *e)
{
    struct share_node *n;

    pthread_mutex_lock(&s->lock);
    n = find_id(s, id);
    *e = n ? 0 : -ESTALE;
    if (n && n->fd < 0)
        *e = reopen(s, n);
    if (*e) {
        n = NULL;
    } else {
        n->busy++;
        used_remove(n);
        used_append(s, n);
    }
    pthread_mutex_unlock(&s->lock);
    return n;
}

void node_put(struct share *s, struct share_node *n)
{
    pthread_mutex_lock(&s->lock);
    n->busy--;
    node_drop(s, n);
    pthread_mutex_unlock(&s->lock);
}

void node_forget(struct share *s, uint64_t id, uint64_t count)
{
    struct share_node *n;

    pthread_mutex_lock(&s->lock);
    n = find_id(s, id);
    if (n && n != s->root) {
        n->lookups -= MIN(count, n->lookups);
        node_drop(s, n);
    }
    pthread_mutex_unlock(&s->lock);
}

void node_unnamed(struct share *s, struct share_node *dir, const char *name)
{
    struct share_node *n;
    struct statx st;

    if (statx(dir->fd, name, AT_SYMLINK_NOFOLLOW,
              STATX_BASIC_STATS | STATX_BTIME, &st))
        return;
    pthread_mutex_lock(&s->lock);
    n = find_inode(s, &st);
    if (n && n->fd < 0)
        node_place(s, n, dir, name);
    if (n && (n->fd >= 0 || !reopen(s, n)))
        n->pinned = true;
    pthread_mutex_unlock(&s->lock);
}

void node_renamed(struct share *s, const struct statx *st,
                  struct share_node *dir, const char *name)
{
    struct share_node *n;

    pthread_mutex_lock(&s->lock);
    n = find_inode(s, st);
    if (n)
        node_place(s, n, dir, name);
    pthread_mutex_unlock(&s->lock);
}

/* --- saved ones --- */

int node_back(struct share *s, const struct share_node *as, int fd)
{
    struct share_node *n;

    if (find_id(s, as->id) || s->nodes >= NODES_MAX)
        return -EINVAL;
    n = malloc(sizeof(*n));
    if (!n)
        return -ENOMEM;
    *n = *as;
    n->fd = -1;
    if (++s->nodes > s->buckets)
        table_grow(s);
    table_add(s, n);
    if (fd >= 0)
        node_opened(s, n, fd);
    return 0;
}

int node_back_place(struct share *s, uint64_t id, uint64_t parent,
                    const char *name)
{
    struct share_node *n = find_id(s, id), *up = find_id(s, parent);

    if (!n || !up || n == up || n->parent)
        return -EINVAL;
    node_place(s, n, up, name);
    return 0;
}

/* --- all of them --- */

int nodes_init(struct share *s, int root, struct error *err)
{
    struct statx st;
    int rc = share_stat(root, &st);

    s->buckets = BUCKETS_FIRST;
    s->by_id = calloc(s->buckets, sizeof(*s->by_id));
    s->by_ino = calloc(s->buckets, sizeof(*s->by_ino));
    s->used.older = s->used.newer = &s->used;
    if (!rc && s->by_id && s->by_ino)
        s->root = node_new(s, root, &st);
    if (s->root)
        return 0;
    close(root);
    return error_set(err, rc ? -rc : ENOMEM, "share %s: %s", s->path,
                     rc ? strerror(-rc) : "out of memory");
}

static bool bucket_drop_one(struct share *s, unsigned i)
{
    struct share_node *n = s->by_id[i];

    while (n && (n == s->root || n->busy || n->children))
        n = n->next_id;
    if (n)
        node_drop(s, n);
    return n;
}

/* Leaves first: each takes those above it along that have no other. */
void nodes_forget(struct share *s)
{
    struct share_node *n;
    unsigned i;

    pthread_mutex_lock(&s->lock);
    for (i = 0; i < s->buckets; i++)
        for (n = s->by_id[i]; n; n = n->next_id)
            n->lookups = 0;
    for (i = 0; i < s->buckets; i++)
        while (bucket_drop_one(s, i))
            ;
    pthread_mutex_unlock(&s->lock);
}

/* Children first is not needed: all of them go. */
void nodes_clear(struct share *s)
{
    struct share_node *n, *next;
    unsigned i;

    pthread_mutex_lock(&s->lock);
    for (i = 0; i < s->buckets; i++) {
        for (n = s->by_id[i]; n; n = next) {
            next = n->next_id;
            if (n == s->root)
                continue;
            rf_assert(!n->busy);
            node_free(s, n);
        }
    }
    s->root->children = 0;
    s->root->seen = false;
    pthread_mutex_unlock(&s->lock);
}

void nodes_fini(struct share *s)
{
    if (s->root) {
        nodes_clear(s);
        node_free(s, s->root);
    }
    free(s->by_id);
    free(s->by_ino);
}
