/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_fs.c - requests, the workers, completions.    [virtio 1.2 5.11]
 *
 * As in virtio_blk.c: popped under the device lock, served without it, pushed
 * under it again. What a request is, only io/share knows. A reset drops what
 * is queued, waits for what is being served, and forgets the guest's state.
 */
#include "dev/virtio/virtio_fs.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/thread.h"

#define QUEUES     2 /* FORGETs first; then the rest */
#define QUEUE_SIZE 256
#define POOL       64 /* requests in flight; the rest waits in the rings */

struct fs_config {
    char tag[SHARE_TAG_MAX];
    uint32_t request_queues;
};

static_assert(sizeof(struct fs_config) == 40, "virtio_fs_config");

struct virtio_fs_req {
    struct virtio_fs_req *next;
    unsigned queue;
    uint32_t written;
    struct virtq_chain chain;
};

static struct virtio_fs *fs_of(struct virtio *v)
{
    return container_of(v, struct virtio_fs, v);
}

static void req_free(struct virtio_fs *f, struct virtio_fs_req *r)
{
    r->next = f->free;
    f->free = r;
}

static void list_free(struct virtio_fs *f, struct virtio_fs_req *r)
{
    while (r) {
        struct virtio_fs_req *next = r->next;

        req_free(f, r);
        r = next;
    }
}

/* --- workers --- */

static void req_serve(struct virtio_fs *f, struct virtio_fs_req *r)
{
    const struct virtq_chain *c = &r->chain;
    const struct share_msg m = {
        .out = c->iov,
        .in = c->iov + c->out_n,
        .out_n = c->out_n,
        .in_n = c->in_n,
        .out_len = c->out_len,
        .in_len = c->in_len,
    };

    r->written = share_serve(f->share, &m);
}

static void *fs_worker(void *arg)
{
    struct virtio_fs *f = arg;
    uint64_t one = 1;

    share_thread();
    fence_thread(VIRTIO_FS_NEEDS, FENCE_CAPS_FILES);
    pthread_mutex_lock(&f->lock);
    for (;;) {
        struct virtio_fs_req *r;

        while (!f->todo && !f->stop)
            pthread_cond_wait(&f->work, &f->lock);
        r = f->todo;
        if (!r)
            break; /* stopping, and all is done */
        f->todo = r->next;
        if (!f->todo)
            f->todo_end = &f->todo;
        f->busy++;
        pthread_mutex_unlock(&f->lock);
        req_serve(f, r);
        pthread_mutex_lock(&f->lock);
        f->busy--;
        r->next = NULL;
        *f->done_end = r;
        f->done_end = &r->next;
        pthread_cond_broadcast(&f->idle);
        if (write(f->done_fd.fd, &one, sizeof(one)) < 0)
            continue; /* full: it is readable anyway */
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* Waits until the workers hold nothing; what is queued is forgotten. */
static void fs_quiesce(struct virtio_fs *f)
{
    struct virtio_fs_req *r;

    pthread_mutex_lock(&f->lock);
    r = f->todo;
    f->todo = NULL;
    f->todo_end = &f->todo;
    while (f->busy)
        pthread_cond_wait(&f->idle, &f->lock);
    pthread_mutex_unlock(&f->lock);
    list_free(f, r);
}

/* --- device lock --- */

static void req_submit(struct virtio_fs *f, struct virtio_fs_req *r)
{
    r->next = NULL;
    pthread_mutex_lock(&f->lock);
    *f->todo_end = r;
    f->todo_end = &r->next;
    pthread_cond_signal(&f->work);
    pthread_mutex_unlock(&f->lock);
}

/* Takes one chain off queue n; false: nothing more for now. */
static bool queue_take(struct virtio_fs *f, unsigned n)
{
    struct virtio_fs_req *r = f->free;
    int got;

    if (!r)
        return false; /* completions will look again */
    f->free = r->next;
    got = virtq_pop(&f->v.q[n], &r->chain);
    if (got < 0)
        virtio_broken(&f->v, "bad request");
    if (got <= 0) {
        req_free(f, r);
        return got == 0 && virtq_want_kicks(&f->v.q[n], true);
    }
    r->queue = n;
    req_submit(f, r);
    return true;
}

static void fs_notify(struct virtio *v, unsigned q)
{
    struct virtio_fs *f = fs_of(v);

    /* A ring's worth at most: a vCPU may be filling it. */
    for (unsigned budget = 2 * VIRTQ_SIZE_MAX; budget; budget--)
        if (!queue_take(f, q))
            break;
}

static struct virtio_fs_req *done_take(struct virtio_fs *f)
{
    struct virtio_fs_req *list;

    pthread_mutex_lock(&f->lock);
    list = f->done;
    f->done = NULL;
    f->done_end = &f->done;
    pthread_mutex_unlock(&f->lock);
    return list;
}

static void fs_complete(struct virtio_fs *f)
{
    struct virtio_fs_req *r = done_take(f);
    uint32_t queues = 0;

    while (r) {
        struct virtio_fs_req *next = r->next;
        struct virtq *q = &f->v.q[r->queue];

        virtq_buf_written(q, &r->chain, r->written);
        virtq_push(q, r->chain.head, r->written);
        queues |= BIT(r->queue);
        req_free(f, r);
        r = next;
    }
    for (unsigned i = 0; i < f->v.queues; i++)
        if (queues & BIT(i))
            virtio_signal(&f->v, i);
}

static void fs_done(struct loop_fd *lf, uint32_t events)
{
    struct virtio_fs *f = container_of(lf, struct virtio_fs, done_fd);
    uint64_t n;

    (void)events;
    if (read(lf->fd, &n, sizeof(n)) < 0)
        return;
    fs_complete(f);
    /* Who was left for want of a place in the pool. */
    for (unsigned i = 0; i < f->v.queues && virtio_running(&f->v); i++)
        if (virtq_deaf(&f->v.q[i]))
            fs_notify(&f->v, i);
}

static void fs_stop(struct virtio *v)
{
    struct virtio_fs *f = fs_of(v);

    fs_quiesce(f);
    list_free(f, done_take(f));
    share_reset(f->share);
}

static void fs_driver_ok(struct virtio *v)
{
    for (unsigned i = 0; i < v->queues; i++)
        fs_notify(v, i);
}

static void fs_config_read(struct virtio *v, unsigned off, void *buf,
                           unsigned len)
{
    struct fs_config cfg = {.request_queues = QUEUES - 1};

    memcpy(cfg.tag, fs_of(v)->tag, sizeof(cfg.tag));
    memcpy(buf, (const uint8_t *)&cfg + off, len);
}

static const struct virtio_class fs_class = {
    .id = VIRTIO_ID_FS,
    .class_code = 0x018000,
    .config_len = sizeof(struct fs_config),
    .notify = fs_notify,
    .config_read = fs_config_read,
    .driver_ok = fs_driver_ok,
    .reset = fs_stop,
};

static struct virtio_fs *fs_dev(struct device *d)
{
    return container_of(d, struct virtio_fs, v.pci.dev);
}

/*
 * What the workers have taken is answered; the rest waits in the rings, for
 * fs_done(): done_fd is still readable.
 */
void virtio_fs_drain(struct virtio_fs *f)
{
    pthread_mutex_lock(&f->lock);
    while (f->busy || f->todo)
        pthread_cond_wait(&f->idle, &f->lock);
    pthread_mutex_unlock(&f->lock);
    fs_complete(f);
}

static void virtio_fs_save(struct device *d, struct state_writer *w)
{
    struct virtio_fs *f = fs_dev(d);

    virtio_fs_drain(f);
    state_begin(w, d->ops->name, d->instance, 1);
    virtio_save(&f->v, w);
    state_end(w);
    share_save(f->share, w, d->instance);
}

static int virtio_fs_load(struct device *d, struct state_reader *r,
                          struct error *err)
{
    struct virtio_fs *f = fs_dev(d);

    fs_stop(&f->v);
    state_open(r, d->ops->name, d->instance, 1);
    if (virtio_load(&f->v, r, err) || share_load(f->share, r, d->instance, err))
        return -err->code;
    if (virtio_running(&f->v))
        fs_driver_ok(&f->v);
    return 0;
}

static void workers_stop(struct virtio_fs *f)
{
    pthread_mutex_lock(&f->lock);
    f->stop = true; /* what is queued is still done */
    pthread_cond_broadcast(&f->work);
    pthread_mutex_unlock(&f->lock);
    while (f->workers)
        pthread_join(f->worker[--f->workers], NULL);
}

static void virtio_fs_fini(struct device *d)
{
    struct virtio_fs *f = fs_dev(d);

    pci_remove(&f->v.pci);
    workers_stop(f);
    if (f->done_fd.fd >= 0) {
        loop_remove(f->v.loop, &f->done_fd);
        close(f->done_fd.fd);
        f->done_fd.fd = -1;
    }
    free(f->pool);
    f->pool = f->free = NULL;
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->work);
    pthread_cond_destroy(&f->idle);
}

static const struct device_ops virtio_fs_ops = {
    "virtio-fs",    virtio_device_reset, virtio_fs_save,
    virtio_fs_load, virtio_fs_fini,
};

/* Workers take no signals: they are for the threads that expect them. */
static int workers_start(struct virtio_fs *f, struct error *err)
{
    sigset_t all, old;
    int e = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    while (!e && f->workers < VIRTIO_FS_WORKERS) {
        e = thread_start(&f->worker[f->workers], fs_worker, f);
        f->workers += !e;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return e ? error_set(err, e, "share's thread: %s", strerror(e)) : 0;
}

static int fs_start(struct virtio_fs *f, struct pci_host *host,
                    struct error *err)
{
    f->pool = calloc(POOL, sizeof(*f->pool));
    if (!f->pool)
        return error_set(err, ENOMEM, "out of memory");
    for (unsigned i = 0; i < POOL; i++)
        req_free(f, &f->pool[i]);
    f->done_fd.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (f->done_fd.fd < 0)
        return error_set(err, errno, "eventfd: %s", strerror(errno));
    if (loop_add(f->v.loop, &f->done_fd, EPOLLIN, err) ||
        pci_add(host, &f->v.pci, err) || workers_start(f, err))
        return -err->code;
    return 0;
}

int virtio_fs_init(struct virtio_fs *f, unsigned instance,
                   struct pci_host *host, struct loop *loop,
                   struct share *share, const char *tag, struct error *err)
{
    memset(f, 0, sizeof(*f));
    virtio_init(&f->v, &fs_class, &virtio_fs_ops, instance, host, 0, QUEUES,
                QUEUE_SIZE);
    f->v.loop = loop;
    f->share = share;
    memcpy(f->tag, tag, strnlen(tag, sizeof(f->tag)));
    f->done_fd = (struct loop_fd){-1, fs_done};
    f->todo_end = &f->todo;
    f->done_end = &f->done;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->work, NULL);
    pthread_cond_init(&f->idle, NULL);
    if (!fs_start(f, host, err))
        return 0;
    virtio_fs_fini(&f->v.pci.dev);
    return -err->code;
}
