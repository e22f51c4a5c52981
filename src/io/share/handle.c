/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handle.c - what the guest has open. A handle's number holds its place and a
 * generation, so that one that was released names nothing.
 */
#include "io/share/share_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

int handles_init(struct share *s, struct error *err)
{
    s->handle = calloc(s->handles_max, sizeof(*s->handle));
    return s->handle ? 0 : error_set(err, ENOMEM, "out of memory");
}

/* The first free place; handles_room: there is none below it. */
static int handle_place(struct share *s)
{
    unsigned i;

    for (i = s->handles_room; i < s->handles_max; i++)
        if (!s->handle[i])
            return (int)(s->handles_room = i);
    s->handles_room = i;
    return -ENFILE;
}

static struct share_handle *handle_make(int fd, uint64_t node, bool dir,
                                        uint32_t flags)
{
    struct share_handle *h = calloc(1, sizeof(*h));

    if (!h) {
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    *h = (struct share_handle){
        .fd = fd,
        .node = node,
        .flags = flags,
        .dir = dir,
        .wants_write = (flags & O_ACCMODE) != O_RDONLY,
        .refs = 1,
    };
    pthread_mutex_init(&h->lock, NULL);
    return h;
}

static void handle_free(struct share_handle *h)
{
    if (h->fd >= 0)
        close(h->fd);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

int handle_new(struct share *s, int fd, uint64_t node, bool dir, uint32_t flags,
               uint64_t *fh)
{
    struct share_handle *h = handle_make(fd, node, dir, flags);
    int place;

    if (!h)
        return -ENOMEM;
    pthread_mutex_lock(&s->lock);
    place = handle_place(s);
    if (place >= 0) {
        h->generation = ++s->generation;
        s->handle[place] = h;
        *fh = (uint64_t)h->generation << 32 | (uint32_t)place;
    }
    pthread_mutex_unlock(&s->lock);
    if (place < 0)
        handle_free(h);
    return MIN(place, 0);
}

int handle_back(struct share *s, unsigned place, uint32_t generation,
                uint64_t node, bool dir, uint32_t flags, int fd)
{
    struct share_handle *h = handle_make(MAX(fd, -1), node, dir, flags);

    if (!h)
        return -ENOMEM;
    h->generation = generation;
    h->at = -1; /* a folder's position comes with each request */
    s->handle[place] = h;
    return 0;
}

static void handle_drop(struct share *s, unsigned i)
{
    struct share_handle *h = s->handle[i];

    if (--h->refs)
        return;
    s->handle[i] = NULL;
    handle_free(h);
}

static struct share_handle *handle_find(struct share *s, uint64_t fh)
{
    uint32_t i = (uint32_t)fh;
    struct share_handle *h = i < s->handles_max ? s->handle[i] : NULL;

    return h && !h->closed && h->generation == fh >> 32 ? h : NULL;
}

struct share_handle *handle_get(struct share *s, uint64_t fh, bool dir)
{
    struct share_handle *h;

    pthread_mutex_lock(&s->lock);
    h = handle_find(s, fh);
    if (h && (h->dir != dir || h->fd < 0))
        h = NULL;
    if (h)
        h->refs++;
    pthread_mutex_unlock(&s->lock);
    return h;
}

int handle_missing(struct share *s, uint64_t fh)
{
    struct share_handle *h;

    pthread_mutex_lock(&s->lock);
    h = handle_find(s, fh);
    pthread_mutex_unlock(&s->lock);
    return h && h->fd < 0 ? -ESTALE : -EBADF;
}

/* Its place in the table stays its own until the last reference has gone. */
static void handle_unref(struct share *s, struct share_handle *h)
{
    unsigned i;

    if (h->refs > 1) {
        h->refs--;
        return;
    }
    for (i = 0; i < s->handles_max; i++)
        if (s->handle[i] == h)
            break;
    rf_assert(i < s->handles_max);
    handle_drop(s, i);
    s->handles_room = MIN(s->handles_room, i);
}

void handle_put(struct share *s, struct share_handle *h)
{
    pthread_mutex_lock(&s->lock);
    handle_unref(s, h);
    pthread_mutex_unlock(&s->lock);
}

void handle_release(struct share *s, uint64_t fh)
{
    struct share_handle *h;

    pthread_mutex_lock(&s->lock);
    h = handle_find(s, fh);
    if (h) {
        h->closed = true;
        if (h->refs == 1) {
            handle_drop(s, (uint32_t)fh);
            s->handles_room = MIN(s->handles_room, (uint32_t)fh);
        } else {
            h->refs--;
        }
    }
    pthread_mutex_unlock(&s->lock);
}

void handles_clear(struct share *s)
{
    unsigned i;

    pthread_mutex_lock(&s->lock);
    for (i = 0; i < s->handles_max; i++) {
        if (s->handle[i] && !s->handle[i]->closed) {
            s->handle[i]->closed = true;
            handle_drop(s, i);
        }
    }
    s->handles_room = 0;
    pthread_mutex_unlock(&s->lock);
}

void handles_fini(struct share *s)
{
    if (s->handle)
        handles_clear(s);
    free(s->handle);
}
