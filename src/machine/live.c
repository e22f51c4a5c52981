/* SPDX-License-Identifier: Apache-2.0 */
/*
 * live.c - see live.h. The thread has what live_take() has taken, and
 * says by an eventfd that it is done; the event thread does the rest.
 */
#include "machine/live.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/thread.h"
#include "machine/machine_int.h"
#include "machine/snapshot.h"

struct machine_live {
    struct machine *m;
    struct machine_work work;
    struct live_done *done;
    char *dir;
    struct snapshot_job job;
    struct guest_mem mem; /* RAM as it was */
    struct loop_fd ended; /* the eventfd; -1: there is no thread */
    pthread_t thread;
    uint64_t stopped_ns;
    struct error err;
};

static void live_free(struct machine_live *l)
{
    l->m->live = NULL;
    if (l->ended.fd >= 0) {
        loop_remove(&l->m->loop, &l->ended);
        close(l->ended.fd);
    }
    free(l->dir);
    free(l);
}

static void *live_thread(void *ctx)
{
    struct machine_live *l = ctx;
    uint64_t one = 1;

    if (!snapshot_finish(&l->job, &l->mem, &l->err))
        l->err.code = 0;
    guest_mem_fini(&l->mem);
    if (write(l->ended.fd, &one, sizeof(one)) != sizeof(one))
        log_error("eventfd: %s", strerror(errno));
    return NULL;
}

static void live_ended(struct loop_fd *lf, uint32_t events)
{
    struct machine_live *l = container_of(lf, struct machine_live, ended);

    (void)events;
    pthread_join(l->thread, NULL);
    l->done->done(l->done, l->stopped_ns, &l->err);
    live_free(l);
}

/* It takes no signals: they are for the threads that expect them. */
static int thread_go(struct machine_live *l, struct error *err)
{
    struct loop_fd ended = {eventfd(0, EFD_CLOEXEC), live_ended};
    sigset_t all, old;
    int e;

    if (ended.fd < 0)
        return error_set(err, errno, "eventfd: %s", strerror(errno));
    l->ended = ended;
    if (loop_add(&l->m->loop, &l->ended, EPOLLIN, err)) {
        close(ended.fd);
        l->ended.fd = -1;
        return -err->code;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    e = thread_start(&l->thread, live_thread, l);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!e)
        return 0;
    loop_remove(&l->m->loop, &l->ended);
    close(l->ended.fd);
    l->ended.fd = -1;
    return error_set(err, e, "a snapshot's thread: %s", strerror(e));
}

/* Without the device lock, vCPUs parked. */
static int live_take(struct machine_live *l, struct error *err)
{
    struct machine *m = l->m;
    int fd;

    if (snapshot_begin(m, &l->job, l->dir, err))
        return -err->code;
    fd = guest_mem_freeze(&m->mem, err);
    if (fd >= 0) {
        int rc = guest_mem_init_file(&l->mem, m->mem.ram_size, NULL, fd, err);

        close(fd);
        if (!rc)
            return 0;
    }
    snapshot_drop(&l->job);
    return -err->code;
}

static void live_work(struct machine *m, struct machine_work *w)
{
    struct machine_live *l = container_of(w, struct machine_live, work);
    uint64_t start = clock_host_now();
    int rc;

    loop_lock(&m->loop);
    machine_hold(m, HOLD_WORK);
    loop_unlock(&m->loop);
    rc = live_take(l, &l->err);
    loop_lock(&m->loop);
    machine_unhold(m, HOLD_WORK);
    l->stopped_ns = clock_host_now() - start;
    if (!rc && thread_go(l, &l->err)) {
        snapshot_drop(&l->job);
        guest_mem_fini(&l->mem);
        rc = -1;
    }
    if (rc) {
        l->done->done(l->done, l->stopped_ns, &l->err);
        live_free(l);
    }
    loop_unlock(&m->loop);
}

int machine_save_live(struct machine *m, const char *dir, struct live_done *d,
                      struct error *err)
{
    struct machine_live *l;

    if (m->live)
        return error_set(err, EBUSY, "another snapshot is being written");
    l = calloc(1, sizeof(*l));
    if (l)
        l->dir = strdup(dir);
    if (!l || !l->dir) {
        free(l);
        return error_set(err, ENOMEM, "out of memory");
    }
    l->m = m;
    l->work.run = live_work;
    l->done = d;
    l->ended.fd = -1;
    m->live = l;
    machine_work(m, &l->work);
    return 0;
}

void machine_save_live_fini(struct machine *m)
{
    struct machine_live *l = m->live;

    if (!l)
        return;
    if (l->ended.fd >= 0) {
        atomic_store(&l->job.stop, true);
        pthread_join(l->thread, NULL);
    }
    if (l->ended.fd < 0 || l->err.code)
        error_set(&l->err, ECANCELED, "no snapshot: the machine has ended");
    loop_lock(&m->loop);
    l->done->done(l->done, l->stopped_ns, &l->err);
    live_free(l);
    loop_unlock(&m->loop);
}
