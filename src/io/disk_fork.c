/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_fork.c - see disk_fork.h. All of it runs as the disk's tap, on
 * whichever thread does the disk's I/O, one operation at a time (`lock`).
 */
#include "io/disk_fork.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "io/qcow2.h"

#define CLUSTER   DISK_FORK_CLUSTER
#define FORKS_MAX 64 /* of one machine, with children alive */

/* A sparse file of clusters, and which of them it has. */
struct store {
    int data, map; /* descriptors, inherited by children */
    _Atomic uint8_t *has;
    size_t clusters;
};

/* One ancestor's part of a child's view. */
struct level {
    struct store overlay; /* its own writes; level 0 has none: the image */
    struct store kept;    /* what it overwrote since its child was forked */
};

struct disk_fork {
    struct disk_tap tap;
    pthread_mutex_t lock;
    struct disk *d;
    struct disk *image; /* the first ancestor's */
    struct disk base;   /* with ancestors: that, to read */
    /* Ancestors from the first one on; empty: the disk is the image itself. */
    struct level level[DISK_FORK_DEPTH];
    unsigned depth;
    struct store own; /* with ancestors: what this machine wrote */
    struct store keep[FORKS_MAX];
    bool live[FORKS_MAX]; /* it has children still */
    unsigned forks;       /* places of keep[] that were ever used */
    unsigned newest;      /* which of them is the last fork's */
    uint8_t *buf;         /* a cluster */
};

/* --- stores --- */

static void store_close(struct store *s)
{
    if (s->has)
        munmap((void *)s->has, s->clusters);
    if (s->data >= 0)
        close(s->data);
    if (s->map >= 0)
        close(s->map);
    *s = (struct store){.data = -1, .map = -1};
}

static int store_map(struct store *s, uint64_t size, struct error *err)
{
    void *p;

    s->clusters = (size_t)((size + CLUSTER - 1) / CLUSTER);
    p = mmap(NULL, s->clusters, PROT_READ | PROT_WRITE, MAP_SHARED, s->map, 0);
    if (p == MAP_FAILED)
        return error_set(err, errno, "disk of a fork: %s", strerror(errno));
    s->has = p;
    return 0;
}

/* Where big temporary files go; without a name from the start. */
static int temp_file(void)
{
    static const char *const folders[] = {"/var/tmp", "/tmp"};
    const char *dir = getenv("TMPDIR");
    int fd = dir ? open(dir, O_TMPFILE | O_RDWR, 0600) : -1;

    for (size_t i = 0; fd < 0 && i < ARRAY_SIZE(folders); i++)
        fd = open(folders[i], O_TMPFILE | O_RDWR, 0600);
    return fd;
}

static int store_new(struct store *s, uint64_t size, struct error *err)
{
    *s = (struct store){.data = temp_file(), .map = memfd_create("map", 0)};
    s->clusters = (size_t)((size + CLUSTER - 1) / CLUSTER);
    if (s->data >= 0 && s->map >= 0 && !ftruncate(s->data, (off_t)size) &&
        !ftruncate(s->map, (off_t)s->clusters)) {
        if (!store_map(s, size, err))
            return 0;
    } else {
        error_set(err, errno, "a temporary file for the disk of a fork: %s",
                  strerror(errno));
    }
    store_close(s);
    return -err->code;
}

static bool store_has(const struct store *s, uint64_t c)
{
    return atomic_load_explicit(&s->has[c], memory_order_acquire) != 0;
}

static void store_mark(struct store *s, uint64_t c)
{
    atomic_store_explicit(&s->has[c], 1, memory_order_release);
}

/* --- views --- */

/*
 * In a format, an ancestor's image is read by tables that the ancestor goes on
 * changing. That does no harm: what it changes in them belongs to clusters
 * that it has kept before, and of these the caller takes what was kept.
 */
static int image_read(struct disk_fork *f, void *buf, size_t len, uint64_t off)
{
    struct iovec iov = {buf, len};
    const struct disk_request r = {DISK_READ, false, &iov, 1, off, len};

    return f->image->qcow2 ? disk_file(f->image, &r)
                           : fd_read_at(f->image->fd, buf, len, off);
}

/*
 * [off, off + len), inside one cluster, as the first `levels` ancestors'
 * descendant saw it when it was forked; 0: the image now.
 */
static int view_read(struct disk_fork *f, unsigned levels, void *buf,
                     size_t len, uint64_t off)
{
    const struct level *l;
    uint64_t c = off / CLUSTER;
    int rc;

    if (!levels)
        return image_read(f, buf, len, off);
    l = &f->level[levels - 1];
    if (l->overlay.has && store_has(&l->overlay, c))
        rc = fd_read_at(l->overlay.data, buf, len, off);
    else
        rc = view_read(f, levels - 1, buf, len, off);
    /* after the read: pairs with keep() before the ancestor's write */
    if (store_has(&l->kept, c))
        rc = fd_read_at(l->kept.data, buf, len, off);
    return rc;
}

static int own_read(struct disk_fork *f, void *buf, size_t len, uint64_t off)
{
    if (f->own.has && store_has(&f->own, off / CLUSTER))
        return fd_read_at(f->own.data, buf, len, off);
    return view_read(f, f->depth, buf, len, off);
}

static size_t cluster_len(const struct disk_fork *f, uint64_t c)
{
    return (size_t)MIN(CLUSTER, f->d->size - c * CLUSTER);
}

/* Before this machine overwrites the cluster: for all who still need it. */
static int keep(struct disk_fork *f, uint64_t c)
{
    size_t len = cluster_len(f, c);
    bool read = false;
    int rc;

    for (unsigned i = 0; i < f->forks; i++) {
        if (!f->live[i] || store_has(&f->keep[i], c))
            continue;
        rc = read ? 0 : own_read(f, f->buf, len, c * CLUSTER);
        read = true;
        if (!rc)
            rc = fd_write_at(f->keep[i].data, f->buf, len, c * CLUSTER);
        if (rc)
            return rc;
        store_mark(&f->keep[i], c);
    }
    return 0;
}

/* The cluster becomes this machine's own, whole, before a part is written. */
static int own(struct disk_fork *f, uint64_t c)
{
    size_t len = cluster_len(f, c);
    int rc;

    if (!f->depth || store_has(&f->own, c))
        return 0;
    rc = view_read(f, f->depth, f->buf, len, c * CLUSTER);
    if (!rc)
        rc = fd_write_at(f->own.data, f->buf, len, c * CLUSTER);
    if (!rc)
        store_mark(&f->own, c);
    return rc;
}

/*
 * What a write may change of the image: all that is placed together. A cluster
 * of the image's that is written to gets another place, and its old one may
 * be used for something else.
 */
static uint64_t grain(const struct disk_fork *f)
{
    return f->image->qcow2 && !f->depth
               ? MAX((uint64_t)CLUSTER, qcow2_cluster(f->image))
               : CLUSTER;
}

static int prepare_write(struct disk_fork *f, uint64_t off, uint64_t len)
{
    uint64_t start = align_down(off, grain(f)), c;
    uint64_t end = MIN(align_up(off + len, grain(f)), f->d->size);
    int rc = 0;

    if (!len)
        return 0;
    for (c = start / CLUSTER; !rc && c <= (end - 1) / CLUSTER; c++) {
        rc = keep(f, c);
        if (!rc)
            rc = own(f, c);
    }
    return rc;
}

/* --- the tap --- */

static int fork_transfer(struct disk_fork *f, const struct disk_request *r)
{
    uint64_t off = r->off;
    int rc = 0;

    for (unsigned i = 0; !rc && i < r->n; i++) {
        uint8_t *p = r->iov[i].iov_base;
        size_t left = r->iov[i].iov_len;

        while (!rc && left) {
            size_t part = (size_t)MIN(left, CLUSTER - off % CLUSTER);

            rc = r->op == DISK_WRITE ? fd_write_at(f->own.data, p, part, off)
                                     : own_read(f, p, part, off);
            p += part;
            off += part;
            left -= part;
        }
    }
    return rc;
}

static int fork_zero(struct disk_fork *f, uint64_t off, uint64_t len)
{
    static const uint8_t zeroes[4096];
    int rc = 0;

    while (!rc && len) {
        size_t part = (size_t)MIN(len, sizeof(zeroes));

        rc = fd_write_at(f->own.data, (void *)(uintptr_t)zeroes, part, off);
        off += part;
        len -= part;
    }
    return rc;
}

/* A machine without ancestors writes to its image; others to their overlay. */
static int fork_do(struct disk_fork *f, const struct disk_request *r)
{
    int rc = 0;

    if (r->op != DISK_READ && r->op != DISK_FLUSH)
        rc = prepare_write(f, r->off, r->len);
    if (rc)
        return rc;
    if (!f->depth)
        return disk_file(f->d, r);
    switch (r->op) {
    case DISK_READ:
    case DISK_WRITE:
        return fork_transfer(f, r);
    case DISK_ZERO:
        return fork_zero(f, r->off, r->len);
    case DISK_FLUSH: /* the overlay ends with the machine */
    case DISK_DISCARD:
        break;
    }
    return 0;
}

static int fork_play(struct disk_tap *t, struct disk *d,
                     const struct disk_request *r)
{
    struct disk_fork *f = container_of(t, struct disk_fork, tap);
    int rc;

    (void)d;
    pthread_mutex_lock(&f->lock);
    rc = fork_do(f, r);
    pthread_mutex_unlock(&f->lock);
    return rc;
}

static struct disk_fork *fork_of(const struct disk *d)
{
    return d->tap && d->tap->play == fork_play
               ? container_of(d->tap, struct disk_fork, tap)
               : NULL;
}

/* image: NULL for f->base, yet to be opened. */
static struct disk_fork *fork_new(struct disk *d, struct disk *image,
                                  struct error *err)
{
    struct disk_fork *f = calloc(1, sizeof(*f));

    if (f)
        f->buf = malloc(CLUSTER);
    if (!f || !f->buf) {
        free(f);
        error_set(err, ENOMEM, "out of memory");
        return NULL;
    }
    f->tap.play = fork_play;
    f->d = d;
    f->image = image ? image : &f->base;
    f->base.fd = -1;
    f->own = (struct store){.data = -1, .map = -1};
    pthread_mutex_init(&f->lock, NULL);
    d->tap = &f->tap;
    return f;
}

/* --- the parent --- */

static void inherit(int fd)
{
    int flags = fcntl(fd, F_GETFD);

    fcntl(fd, F_SETFD, flags & ~FD_CLOEXEC);
}

static void uninherit(int fd)
{
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* Children get all of these, or none of them is left open in a stranger. */
static void all_fds(struct disk_fork *f, void (*fn)(int fd))
{
    unsigned i;

    fn(f->image->fd);
    for (i = 0; i < f->depth; i++) {
        if (f->level[i].overlay.has) {
            fn(f->level[i].overlay.data);
            fn(f->level[i].overlay.map);
        }
        fn(f->level[i].kept.data);
        fn(f->level[i].kept.map);
    }
    if (f->own.has) {
        fn(f->own.data);
        fn(f->own.map);
    }
    if (f->forks && f->live[f->newest]) {
        fn(f->keep[f->newest].data);
        fn(f->keep[f->newest].map);
    }
}

int disk_fork_begin(struct disk *d, unsigned *fork, struct error *err)
{
    struct disk_fork *f = fork_of(d);
    unsigned n = 0;

    if (!f) {
        if (d->tap)
            return error_set(err, ENOTSUP, "disk %s: cannot be forked",
                             d->path);
        f = fork_new(d, d, err);
        if (!f)
            return -err->code;
    }
    if (disk_settle(d, err))
        return -err->code;
    while (n < f->forks && f->live[n])
        n++;
    if (n == FORKS_MAX)
        return error_set(err, ENOSPC,
                         "disk %s: %d forks have children that run; end some, "
                         "or snapshot the machine",
                         d->path, FORKS_MAX);
    if (f->depth == DISK_FORK_DEPTH)
        return error_set(err, ENOSPC, "disk %s: a fork of a fork of %d others",
                         d->path, DISK_FORK_DEPTH - 1);
    if (store_new(&f->keep[n], d->size, err))
        return -err->code;
    f->live[n] = true;
    f->tap.idle = false;
    f->forks = MAX(f->forks, n + 1);
    *fork = f->newest = n;
    all_fds(f, inherit);
    return 0;
}

void disk_fork_spawned(struct disk *d)
{
    if (fork_of(d))
        all_fds(fork_of(d), uninherit);
}

void disk_fork_end(struct disk *d, unsigned fork)
{
    struct disk_fork *f = fork_of(d);

    if (!f || fork >= f->forks || !f->live[fork])
        return;
    pthread_mutex_lock(&f->lock);
    f->live[fork] = false;
    store_close(&f->keep[fork]);
    f->tap.idle = !f->depth;
    for (unsigned i = 0; i < f->forks; i++)
        f->tap.idle &= !f->live[i];
    pthread_mutex_unlock(&f->lock);
}

static void put_store(struct state_writer *w, const char *name, unsigned i,
                      const struct store *s)
{
    char field[32];

    snprintf(field, sizeof(field), "%s%u.data", name, i);
    state_put(w, field, s->has ? (uint64_t)s->data : 0);
    snprintf(field, sizeof(field), "%s%u.map", name, i);
    state_put(w, field, s->has ? (uint64_t)s->map : 0);
}

/* The child's last ancestor is this machine. */
void disk_fork_save(struct disk *d, struct state_writer *w, unsigned instance)
{
    struct disk_fork *f = fork_of(d);
    unsigned i;

    state_begin(w, "disk_fork", instance, 1);
    state_put(w, "size", d->size);
    state_put(w, "image", (uint64_t)f->image->fd);
    state_put(w, "qcow2", f->image->qcow2 != NULL);
    state_put(w, "depth", f->depth + 1);
    for (i = 0; i < f->depth; i++) {
        put_store(w, "overlay", i, &f->level[i].overlay);
        put_store(w, "kept", i, &f->level[i].kept);
    }
    put_store(w, "overlay", i, &f->own);
    put_store(w, "kept", i, &f->keep[f->newest]);
    state_end(w);
}

/* --- the child --- */

static int get_fd(struct state_reader *r, const char *field)
{
    int fd = (int)state_get_max(r, field, INT32_MAX);

    if (fd > 2)
        uninherit(fd);
    return fd;
}

/* A store without descriptors stays empty: it has nothing. */
static int get_store(struct state_reader *r, const char *name, unsigned i,
                     uint64_t size, struct store *s, struct error *err)
{
    char field[32];

    *s = (struct store){.data = -1, .map = -1};
    snprintf(field, sizeof(field), "%s%u.data", name, i);
    s->data = get_fd(r, field);
    snprintf(field, sizeof(field), "%s%u.map", name, i);
    s->map = get_fd(r, field);
    if (state_result(r, err))
        return -err->code;
    if (s->data > 2 && s->map > 2)
        return store_map(s, size, err);
    s->data = s->map = -1;
    return 0;
}

static int get_levels(struct disk_fork *f, struct state_reader *r,
                      struct error *err)
{
    unsigned depth = (unsigned)state_get_max(r, "depth", DISK_FORK_DEPTH);

    for (; f->depth < depth; f->depth++) {
        struct level *l = &f->level[f->depth];

        if (get_store(r, "overlay", f->depth, f->d->size, &l->overlay, err) ||
            get_store(r, "kept", f->depth, f->d->size, &l->kept, err))
            return -err->code;
        if (!l->kept.has)
            return error_set(err, EINVAL, "a fork without its disk");
    }
    return store_new(&f->own, f->d->size, err);
}

int disk_fork_open(struct disk *d, const char *name, bool read_only,
                   struct state_reader *r, unsigned instance, struct error *err)
{
    struct disk_fork *f;
    uint64_t size;
    bool qcow2;
    int image;

    state_open(r, "disk_fork", instance, 1);
    size = state_get_max(r, "size", INT64_MAX);
    image = get_fd(r, "image");
    qcow2 = state_get_max(r, "qcow2", 1);
    if (state_result(r, err) ||
        disk_open_tap(d, name, size, read_only, NULL, err))
        return -err->code;
    f = fork_new(d, NULL, err);
    if (f && !disk_open_fd(&f->base, image, name, qcow2, err) &&
        !get_levels(f, r, err)) {
        uninherit(f->own.data);
        uninherit(f->own.map);
        return 0;
    }
    disk_close(d);
    return -err->code;
}

bool disk_fork_inherited(const struct disk *d)
{
    const struct disk_fork *f = fork_of(d);

    return f && f->depth;
}

void disk_fork_close(struct disk *d)
{
    struct disk_fork *f = fork_of(d);
    unsigned i;

    if (!f)
        return;
    for (i = 0; i < f->forks; i++)
        if (f->live[i])
            store_close(&f->keep[i]);
    for (i = 0; i < f->depth; i++) {
        store_close(&f->level[i].overlay);
        store_close(&f->level[i].kept);
    }
    store_close(&f->own);
    if (f->base.path)
        disk_close(&f->base);
    pthread_mutex_destroy(&f->lock);
    free(f->buf);
    free(f);
    d->tap = NULL;
}
