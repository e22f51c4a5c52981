/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_queue.c - see disk_queue.h. The worker touches nothing but the disk,
 * and the operation that it does; `lock` guards the two lists that it shares
 * with those who hold the device lock.
 */
#include "io/disk_queue.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/thread.h"
#include "io/disk_ring.h"

/* --- the thread --- */

void disk_io_do(struct disk *d, struct disk_io *io)
{
    io->rc = disk_do(d, &io->r, io->iov);
    if (!io->rc && io->sync)
        io->rc = disk_flush(d);
}

static void *queue_worker(void *arg)
{
    struct disk_queue *q = arg;

    fence_thread(DISK_QUEUE_NEEDS, 0);
    pthread_mutex_lock(&q->lock);
    for (;;) {
        struct disk_io *io;

        while (!q->todo && !q->stop)
            pthread_cond_wait(&q->work, &q->lock);
        io = q->todo;
        if (!io)
            break; /* stopping, and all is done */
        q->todo = io->next;
        if (!q->todo)
            q->todo_end = &q->todo;
        q->busy = true;
        pthread_mutex_unlock(&q->lock);
        disk_io_do(q->d, io);
        pthread_mutex_lock(&q->lock);
        q->busy = false;
        io->next = NULL;
        *q->done_end = io;
        q->done_end = &io->next;
        pthread_cond_broadcast(&q->idle);
        disk_queue_poke(q);
    }
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

/* It takes no signals: they are for the threads that expect them. */
static int worker_start(struct disk_queue *q)
{
    sigset_t all, old;
    int e;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    e = thread_start(&q->worker, queue_worker, q);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    q->worker_on = !e;
    return -e;
}

/* With a ring there is a thread only once something needs it. */
static void worker_put(struct disk_queue *q, struct disk_io *io)
{
    bool here = !q->worker_on && worker_start(q);

    if (here)
        disk_io_do(q->d, io);
    io->next = NULL;
    pthread_mutex_lock(&q->lock);
    if (here) {
        *q->done_end = io;
        q->done_end = &io->next;
        disk_queue_poke(q);
    } else {
        *q->todo_end = io;
        q->todo_end = &io->next;
        pthread_cond_signal(&q->work);
    }
    pthread_mutex_unlock(&q->lock);
}

/* --- the ring --- */

static bool ring_possible(const struct disk_queue *q)
{
    const struct disk_tap *t = q->d->tap;

    return q->ring && (!t || t->idle) && !q->d->qcow2;
}

/* It does not work any more: what it holds goes to the worker. */
static void ring_give_up(struct disk_queue *q, int rc)
{
    struct disk_io *io = disk_ring_left(q->ring), *next;

    log_warn("disk %s: io_uring: %s; going on by a thread", q->d->path,
             strerror(-rc));
    loop_remove(q->loop, &q->ring_fd);
    disk_ring_close(q->ring);
    q->ring = NULL;
    for (; io; io = next) {
        next = io->next;
        worker_put(q, io);
    }
}

/* What the ring has done; what it could not do goes to the worker. */
static void ring_reap(struct disk_queue *q, struct disk_io ***end, bool again)
{
    struct disk_io *io;

    while (q->ring && (io = disk_ring_next(q->ring))) {
        if (again && io->rc == -EAGAIN) {
            worker_put(q, io);
            continue;
        }
        io->next = NULL;
        **end = io;
        *end = &io->next;
    }
}

static void ring_ready(struct loop_fd *lf, uint32_t events)
{
    struct disk_queue *q = container_of(lf, struct disk_queue, ring_fd);

    (void)events;
    q->ready(q);
}

static int ring_start(struct disk_queue *q, struct error *err)
{
    if (disk_ring_open(&q->ring, err))
        return -err->code;
    q->ring_fd.fd = disk_ring_fd(q->ring);
    if (!loop_add(q->loop, &q->ring_fd, EPOLLIN, err))
        return 0;
    disk_ring_close(q->ring);
    q->ring = NULL;
    return -err->code;
}

/* --- both --- */

void disk_queue_put(struct disk_queue *q, struct disk_io *io)
{
    if (!ring_possible(q) || !disk_ring_put(q->ring, q->d, io))
        worker_put(q, io);
}

void disk_queue_go(struct disk_queue *q)
{
    int rc = q->ring ? disk_ring_submit(q->ring) : 0;

    if (rc)
        ring_give_up(q, rc);
}

struct disk_io *disk_queue_take(struct disk_queue *q)
{
    struct disk_io *list, **end;

    pthread_mutex_lock(&q->lock);
    list = q->done;
    end = list ? q->done_end : &list;
    q->done = NULL;
    q->done_end = &q->done;
    pthread_mutex_unlock(&q->lock);
    ring_reap(q, &end, true);
    return list;
}

void disk_queue_poke(struct disk_queue *q)
{
    uint64_t one = 1;

    if (write(q->done_fd.fd, &one, sizeof(one)) < 0)
        return; /* full: it is readable anyway */
}

static void queue_done(struct loop_fd *lf, uint32_t events)
{
    struct disk_queue *q = container_of(lf, struct disk_queue, done_fd);
    uint64_t n;

    (void)events;
    if (read(lf->fd, &n, sizeof(n)) == sizeof(n))
        q->ready(q);
}

static void list_append(struct disk_queue *q, struct disk_io *list)
{
    struct disk_io *next;

    pthread_mutex_lock(&q->lock);
    for (; list; list = next) {
        next = list->next;
        list->next = NULL;
        *q->done_end = list;
        q->done_end = &list->next;
    }
    pthread_mutex_unlock(&q->lock);
}

static void worker_wait(struct disk_queue *q)
{
    pthread_mutex_lock(&q->lock);
    while (q->busy || q->todo)
        pthread_cond_wait(&q->idle, &q->lock);
    pthread_mutex_unlock(&q->lock);
}

void disk_queue_drain(struct disk_queue *q)
{
    struct disk_io *list = NULL, **end = &list;

    disk_queue_go(q);
    while (q->ring && disk_ring_pending(q->ring)) {
        disk_ring_wait(q->ring, false);
        ring_reap(q, &end, true);
        disk_queue_go(q);
    }
    list_append(q, list);
    worker_wait(q);
}

struct disk_io *disk_queue_drop(struct disk_queue *q)
{
    struct disk_io *list = NULL, **end = &list, *rest;
    bool cancel = true;

    while (q->ring && disk_ring_pending(q->ring)) {
        disk_queue_go(q);
        if (!q->ring)
            break;
        disk_ring_wait(q->ring, cancel);
        cancel = false;
        ring_reap(q, &end, false);
    }
    pthread_mutex_lock(&q->lock);
    *end = q->todo;
    q->todo = NULL;
    q->todo_end = &q->todo;
    while (q->busy)
        pthread_cond_wait(&q->idle, &q->lock);
    pthread_mutex_unlock(&q->lock);
    rest = disk_queue_take(q);
    while (*end)
        end = &(*end)->next;
    *end = rest;
    return list;
}

bool disk_queue_busy(struct disk_queue *q)
{
    bool busy = q->ring && disk_ring_pending(q->ring);

    pthread_mutex_lock(&q->lock);
    busy |= q->busy || q->todo || q->done;
    pthread_mutex_unlock(&q->lock);
    return busy;
}

/* The ring, unless the user wants none; else the thread. */
static int queue_ways(struct disk_queue *q, struct error *err)
{
    struct error why = {0};
    int rc;

    if (q->d->aio != DISK_AIO_THREADS && !q->d->qcow2 && ring_start(q, &why))
        log_at(q->d->aio == DISK_AIO_URING ? LOG_WARN : LOG_INFO,
               "disk %s: %s; going on by a thread", q->d->path, why.msg);
    rc = q->ring ? 0 : worker_start(q);
    return rc ? error_set(err, -rc, "disk thread: %s", strerror(-rc)) : 0;
}

int disk_queue_open(struct disk_queue *q, struct disk *d, struct loop *loop,
                    void (*ready)(struct disk_queue *q), struct error *err)
{
    *q = (struct disk_queue){
        .d = d,
        .loop = loop,
        .ready = ready,
        .ring_fd = {-1, ring_ready},
        .done_fd = {eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), queue_done},
    };
    q->todo_end = &q->todo;
    q->done_end = &q->done;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->work, NULL);
    pthread_cond_init(&q->idle, NULL);
    if (q->done_fd.fd < 0)
        error_set(err, errno, "eventfd: %s", strerror(errno));
    else if (!loop_add(loop, &q->done_fd, EPOLLIN, err) && !queue_ways(q, err))
        return 0;
    disk_queue_close(q);
    return -err->code;
}

void disk_queue_close(struct disk_queue *q)
{
    if (!q->todo_end)
        return; /* it was never opened */
    disk_queue_drain(q);
    if (q->worker_on) {
        pthread_mutex_lock(&q->lock);
        q->stop = true;
        pthread_cond_signal(&q->work);
        pthread_mutex_unlock(&q->lock);
        pthread_join(q->worker, NULL);
    }
    if (q->ring) {
        loop_remove(q->loop, &q->ring_fd);
        disk_ring_close(q->ring);
    }
    if (q->done_fd.fd >= 0) {
        loop_remove(q->loop, &q->done_fd);
        close(q->done_fd.fd);
    }
    pthread_mutex_destroy(&q->lock);
    pthread_cond_destroy(&q->work);
    pthread_cond_destroy(&q->idle);
    q->todo_end = NULL;
}
