/* SPDX-License-Identifier: Apache-2.0 */
/*
 * save.c - what the guest knows of the share and has open there, in a state
 * file.
 *
 * An inode is saved as the place where it was last seen and as which inode it
 * was: it is opened when the guest next asks for it, as one whose descriptor
 * was closed to save descriptors. If another one is there, or none, that node
 * is stale, and the guest looks again. Open files are opened again at once,
 * with their flags. What has no name any more cannot be found again.
 *
 * A fork's child has all of its parent's descriptors that have no name, or are
 * open files: their numbers are in its state, and only a child believes them.
 * Folders are opened anew, for their position is the descriptor's.
 *
 * A state file is hostile: ids are unique, names are names, places are checked.
 */
#include "io/share/share_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#define SAVED_MAX (256u << 20)

struct saved_node {
    uint64_t id, parent, dev, ino, size, lookups;
    int64_t born, mtime, ctime;
    uint32_t type, name_len;
    int32_t fd; /* a child's; else -1 */
    uint8_t pinned, seen, unused[2];
};

struct saved_handle {
    uint64_t node;
    uint32_t place, generation, flags, dir;
    int32_t fd; /* a child's; else -1 */
    uint32_t unused;
};

/* Grows; `failed' when memory ran out. */
struct bytes {
    uint8_t *p;
    size_t len, room;
    bool failed;
};

static void bytes_add(struct bytes *b, const void *p, size_t len)
{
    if (b->room - b->len < len) {
        size_t room = 2 * b->room + len + 4096;
        uint8_t *more = b->failed ? NULL : realloc(b->p, room);

        if (!more) {
            b->failed = true;
            return;
        }
        b->p = more;
        b->room = room;
    }
    memcpy(b->p + b->len, p, len);
    b->len += len;
}

/* --- saving --- */

static void node_save(const struct share *s, const struct share_node *n,
                      struct bytes *b)
{
    struct saved_node r = {
        .id = n->id,
        .parent = n->parent ? n->parent->id : 0,
        .dev = n->dev,
        .ino = n->ino,
        .size = n->size,
        .lookups = n->lookups,
        .born = n->born,
        .mtime = n->mtime,
        .ctime = n->ctime,
        .type = n->type,
        .name_len = n->name ? (uint32_t)strlen(n->name) : 0,
        .fd = s->forking && n->pinned ? n->fd : -1,
        .pinned = n->pinned,
        .seen = n->seen,
    };

    bytes_add(b, &r, sizeof(r));
    bytes_add(b, n->name ? n->name : "", r.name_len);
}

static void handle_save(const struct share *s, unsigned place, struct bytes *b)
{
    const struct share_handle *h = s->handle[place];
    struct saved_handle r = {
        .node = h->node,
        .place = place,
        .generation = h->generation,
        .flags = h->flags,
        .dir = h->dir,
        .fd = s->forking && !h->dir ? h->fd : -1,
    };

    bytes_add(b, &r, sizeof(r));
}

static void put_bytes(struct state_writer *w, const char *name,
                      const char *len_name, struct bytes *b)
{
    /* A length that no reader takes: the file says that it is not whole. */
    state_put(w, len_name, b->failed ? UINT64_MAX : b->len);
    state_put_blob(w, name, b->p, b->failed ? 0 : b->len);
    free(b->p);
}

void share_save(struct share *s, struct state_writer *w, unsigned instance)
{
    struct bytes nodes = {0}, handles = {0};
    struct share_node *n;
    unsigned i;

    pthread_mutex_lock(&s->lock);
    for (i = 0; i < s->buckets; i++)
        for (n = s->by_id[i]; n; n = n->next_id)
            node_save(s, n, &nodes);
    for (i = 0; i < s->handles_max; i++)
        if (s->handle[i])
            handle_save(s, i, &handles);
    state_begin(w, "share", instance, 1);
    state_put(w, "ready", s->ready);
    state_put(w, "flags", s->flags);
    state_put(w, "last_id", s->last_id);
    state_put(w, "generation", s->generation);
    put_bytes(w, "nodes", "nodes_len", &nodes);
    put_bytes(w, "handles", "handles_len", &handles);
    state_end(w);
    pthread_mutex_unlock(&s->lock);
}

/* --- loading --- */

static int broken(const struct share *s, struct error *err)
{
    return error_set(err, EINVAL, "share %s: its saved state is broken",
                     s->path);
}

static uint8_t *get_bytes(struct state_reader *r, const char *name,
                          const char *len_name, size_t *len)
{
    uint8_t *p;

    *len = state_get_max(r, len_name, SAVED_MAX);
    p = malloc(*len + 1);
    if (p)
        state_get_blob(r, name, p, *len);
    return p;
}

/* The next record and its name; false: the end, or *bad. */
static bool node_next(const uint8_t **at, const uint8_t *end,
                      struct saved_node *r, char name[SHARE_NAME_MAX + 1],
                      bool *bad)
{
    if (*at == end)
        return false;
    *bad = true;
    if ((size_t)(end - *at) < sizeof(*r))
        return false;
    memcpy(r, *at, sizeof(*r));
    *at += sizeof(*r);
    if (r->name_len > SHARE_NAME_MAX || r->name_len > (size_t)(end - *at))
        return false;
    memcpy(name, *at, r->name_len);
    name[r->name_len] = 0;
    *at += r->name_len;
    if (r->name_len &&
        (memchr(name, 0, r->name_len) || share_name_check(name, r->name_len)))
        return false;
    *bad = false;
    return true;
}

/* A descriptor that our parent has left us. */
static int inherited(const struct share *s, int32_t fd)
{
    if (!s->forked || fd < 3 || fcntl(fd, F_SETFD, FD_CLOEXEC))
        return -1;
    return fd;
}

/* dev: of the root's file system then, which may have another number now. */
static int node_load(struct share *s, const struct saved_node *r, uint64_t dev)
{
    struct share_node n = {
        .id = r->id,
        .dev = r->dev == dev ? s->root->dev : r->dev,
        .ino = r->ino,
        .born = r->born,
        .type = (uint16_t)r->type,
        .fd = -1,
        .lookups = r->lookups,
        .pinned = r->pinned,
        .seen = r->seen,
        .mtime = r->mtime,
        .ctime = r->ctime,
        .size = r->size,
    };

    if (r->id == SHARE_ROOT) {
        s->root->lookups = r->lookups;
        return 0;
    }
    if (!r->id || r->id > s->last_id)
        return -EINVAL;
    return node_back(s, &n, inherited(s, r->fd));
}

static uint64_t root_dev(const uint8_t *at, const uint8_t *end)
{
    char name[SHARE_NAME_MAX + 1];
    struct saved_node r;
    bool bad;

    while (node_next(&at, end, &r, name, &bad))
        if (r.id == SHARE_ROOT)
            return r.dev;
    return 0;
}

static int nodes_load(struct share *s, const uint8_t *p, size_t len,
                      struct error *err)
{
    const uint8_t *at = p, *end = p + len;
    uint64_t dev = root_dev(p, end);
    char name[SHARE_NAME_MAX + 1];
    struct saved_node r;
    bool bad = false;
    int rc = 0;

    while (!rc && node_next(&at, end, &r, name, &bad))
        rc = node_load(s, &r, dev);
    if (rc == -ENOMEM)
        return error_set(err, ENOMEM, "out of memory");
    if (rc || bad)
        return broken(s, err);
    /* Now that all are there: who is below whom. */
    for (at = p; node_next(&at, end, &r, name, &bad);)
        if (r.name_len && r.id != SHARE_ROOT &&
            node_back_place(s, r.id, r.parent, name))
            return broken(s, err);
    return 0;
}

/* What cannot be opened is a handle that says ESTALE. */
static int handle_fd(struct share *s, const struct saved_handle *r)
{
    int fd = r->dir ? -1 : inherited(s, r->fd), e;
    struct share_node *n = fd < 0 ? node_get(s, r->node, &e) : NULL;

    if (n) {
        fd = node_open(s, n, r->flags);
        node_put(s, n);
    }
    return fd;
}

static int handles_load(struct share *s, const uint8_t *p, size_t len,
                        struct error *err)
{
    struct saved_handle r;

    if (len % sizeof(r))
        return broken(s, err);
    for (size_t at = 0; at < len; at += sizeof(r)) {
        memcpy(&r, p + at, sizeof(r));
        if (r.place >= s->handles_max)
            return error_set(err, EMFILE,
                             "share %s: the guest has more files open than "
                             "ulimit -n allows here",
                             s->path);
        if (r.generation > s->generation || s->handle[r.place] ||
            (s->read_only && (r.flags & O_ACCMODE) != O_RDONLY))
            return broken(s, err);
        if (handle_back(s, r.place, r.generation, r.node, r.dir, r.flags,
                        handle_fd(s, &r)))
            return error_set(err, ENOMEM, "out of memory");
    }
    return 0;
}

int share_load(struct share *s, struct state_reader *r, unsigned instance,
               struct error *err)
{
    size_t nodes_len, handles_len;
    uint8_t *nodes, *handles;
    bool ready;
    int rc;

    state_open(r, "share", instance, 1);
    ready = state_get_max(r, "ready", 1);
    s->flags = (uint32_t)state_get_max(r, "flags", UINT32_MAX);
    s->last_id = state_get_max(r, "last_id", UINT64_MAX / 2);
    s->generation = (uint32_t)state_get_max(r, "generation", UINT32_MAX);
    nodes = get_bytes(r, "nodes", "nodes_len", &nodes_len);
    handles = get_bytes(r, "handles", "handles_len", &handles_len);
    rc = state_result(r, err);
    if (!rc && (!nodes || !handles))
        rc = error_set(err, ENOMEM, "out of memory");
    if (!rc)
        rc = nodes_load(s, nodes, nodes_len, err);
    if (!rc)
        rc = handles_load(s, handles, handles_len, err);
    if (!rc)
        __atomic_store_n(&s->ready, ready, __ATOMIC_RELEASE);
    free(nodes);
    free(handles);
    return rc;
}

/* --- forks --- */

/* What a child inherits: what cannot be found by name, and open files. */
static void each_fd(struct share *s, int flags)
{
    struct share_node *n;
    unsigned i;

    for (i = 0; i < s->buckets; i++)
        for (n = s->by_id[i]; n; n = n->next_id)
            if (n->pinned && n->fd >= 0)
                fcntl(n->fd, F_SETFD, flags);
    for (i = 0; i < s->handles_max; i++)
        if (s->handle[i] && !s->handle[i]->dir && s->handle[i]->fd >= 0)
            fcntl(s->handle[i]->fd, F_SETFD, flags);
}

void share_fork_begin(struct share *s)
{
    s->forking = true;
    each_fd(s, 0);
}

void share_fork_spawned(struct share *s)
{
    if (s->forking)
        each_fd(s, FD_CLOEXEC);
    s->forking = false;
}

void share_fork_child(struct share *s)
{
    s->forked = true;
}
