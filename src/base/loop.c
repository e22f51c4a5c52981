/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.c - epoll, one timerfd for all timers, one eventfd to stop.
 *
 * Two tricks keep it right and cheap. The blocking wait runs unlocked, and
 * what it reports is asked for again with the lock held: so an fd that was
 * removed meanwhile is never called. And while the event thread is at work,
 * `programmed` is LOOP_AWAKE, earlier than any deadline: arming a timer then
 * costs no system call, for the thread programs timer_fd before it sleeps.
 */
#include "base/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/log.h"

#define LOOP_AWAKE 1ull /* a value of `programmed` */
#define LOOP_BATCH 64   /* callbacks before vCPUs get the lock again */
#define NS_PER_SEC 1000000000ull

/* Sets timer_fd to the first deadline, if it is not there already. */
static void loop_program(struct loop *l)
{
    uint64_t first = l->timers ? MAX(l->heap[0]->deadline, 2) : 0;
    struct itimerspec its = {0};
    uint64_t host;

    if (l->clock->stands || l->clock->source)
        first = 0;
    if (first == l->programmed)
        return;
    if (first) {
        if (__builtin_add_overflow(first, l->clock->base_ns, &host) ||
            host > INT64_MAX)
            host = INT64_MAX;
        its.it_value.tv_sec = (time_t)(host / NS_PER_SEC);
        its.it_value.tv_nsec = (long)(host % NS_PER_SEC);
    }
    timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &its, NULL);
    l->programmed = first;
}

static void heap_put(struct loop *l, unsigned i, struct timer *t)
{
    l->heap[i] = t;
    t->slot = i + 1;
}

static void heap_up(struct loop *l, unsigned i, struct timer *t)
{
    while (i && l->heap[(i - 1) / 2]->deadline > t->deadline) {
        heap_put(l, i, l->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    heap_put(l, i, t);
}

static void heap_down(struct loop *l, unsigned i, struct timer *t)
{
    for (;;) {
        unsigned child = 2 * i + 1;

        if (child >= l->timers)
            break;
        if (child + 1 < l->timers &&
            l->heap[child + 1]->deadline < l->heap[child]->deadline)
            child++;
        if (l->heap[child]->deadline >= t->deadline)
            break;
        heap_put(l, i, l->heap[child]);
        i = child;
    }
    heap_put(l, i, t);
}

static void heap_remove(struct loop *l, struct timer *t)
{
    unsigned i = t->slot - 1;
    struct timer *last = l->heap[--l->timers];

    t->slot = 0;
    if (last == t)
        return;
    if (i && l->heap[(i - 1) / 2]->deadline > last->deadline)
        heap_up(l, i, last);
    else
        heap_down(l, i, last);
}

void timer_init(struct timer *t, struct loop *l, void (*fire)(struct timer *t))
{
    /* Room for all timers there are, so that arming never allocates. */
    struct timer **heap = realloc(l->heap, (l->heap_room + 1) * sizeof(*heap));

    rf_assert(heap);
    l->heap = heap;
    l->heap_room++;
    *t = (struct timer){.loop = l, .fire = fire};
}

void timer_arm(struct timer *t, uint64_t deadline)
{
    struct loop *l = t->loop;

    if (t->slot) {
        if (t->deadline == deadline)
            return;
        heap_remove(l, t);
    }
    rf_assert(l->timers < l->heap_room);
    t->deadline = deadline;
    heap_up(l, l->timers++, t);
    if (l->clock->source)
        l->clock->source->rearmed(l->clock->source);
    /* A later first deadline is left alone: one wake-up for nothing. */
    else if (!l->programmed || MAX(deadline, 2) < l->programmed)
        loop_program(l);
}

void timer_cancel(struct timer *t)
{
    if (t->slot)
        heap_remove(t->loop, t);
}

static int loop_watch(struct loop *l, int fd, void *ptr)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = ptr};

    return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
}

int loop_init(struct loop *l, struct clock *clock, struct error *err)
{
    int e;

    *l = (struct loop){.clock = clock};
    pthread_mutex_init(&l->lock, NULL);
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->epoll_fd >= 0 && l->timer_fd >= 0 && l->wake_fd >= 0 &&
        !loop_watch(l, l->timer_fd, &l->timer_fd) &&
        !loop_watch(l, l->wake_fd, &l->wake_fd))
        return 0;
    e = errno;
    loop_fini(l);
    return error_set(err, e, "event loop: %s", strerror(e));
}

void loop_fini(struct loop *l)
{
    if (l->wake_fd >= 0)
        close(l->wake_fd);
    if (l->timer_fd >= 0)
        close(l->timer_fd);
    if (l->epoll_fd >= 0)
        close(l->epoll_fd);
    free(l->heap);
    l->heap = NULL;
    l->timers = l->heap_room = 0;
    l->wake_fd = l->timer_fd = l->epoll_fd = -1;
    pthread_mutex_destroy(&l->lock);
}

void loop_stop(struct loop *l)
{
    uint64_t one = 1;

    __atomic_store_n(&l->stop, true, __ATOMIC_RELEASE);
    /* Fails only when the counter is full, and then it is readable. */
    if (write(l->wake_fd, &one, sizeof(one)) < 0)
        return;
}

static bool loop_stopped(struct loop *l)
{
    return __atomic_load_n(&l->stop, __ATOMIC_ACQUIRE);
}

/* Is this one of the loop's own fds? They only end the sleep. */
static bool loop_own(struct loop *l, const struct epoll_event *ev)
{
    uint64_t n;

    if (ev->data.ptr == &l->timer_fd) {
        if (read(l->timer_fd, &n, sizeof(n)) == sizeof(n))
            l->programmed = 0; /* it went off: nothing is set */
        return true;
    }
    if (ev->data.ptr != &l->wake_fd)
        return false;
    if (read(l->wake_fd, &n, sizeof(n)) < 0)
        n = 0; /* somebody else emptied it */
    return true;
}

/*
 * Locked. One event at a time: a callback may remove any fd, and the next
 * epoll_wait() knows.
 */
static void loop_dispatch(struct loop *l)
{
    struct epoll_event ev;

    for (int i = 0; i < LOOP_BATCH && !loop_stopped(l); i++) {
        struct loop_fd *lf;

        if (epoll_wait(l->epoll_fd, &ev, 1, 0) != 1)
            return;
        if (loop_own(l, &ev)) {
            l->programmed = LOOP_AWAKE;
            continue;
        }
        lf = ev.data.ptr;
        lf->ready(lf, ev.events);
    }
}

uint64_t loop_deadline(const struct loop *l)
{
    return l->timers ? l->heap[0]->deadline : UINT64_MAX;
}

void loop_timers_run(struct loop *l)
{
    uint64_t now = clock_now(l->clock);

    for (int i = 0; i < LOOP_BATCH && l->timers; i++) {
        struct timer *t = l->heap[0];

        if (t->deadline > now)
            return;
        heap_remove(l, t);
        t->fire(t);
    }
}

void loop_time_stop(struct loop *l)
{
    if (l->clock->stands || l->clock->source)
        return;
    l->clock->stands = clock_host_now();
    loop_program(l);
}

uint64_t loop_time_go(struct loop *l)
{
    uint64_t ns;

    if (!l->clock->stands)
        return 0;
    ns = clock_host_now() - l->clock->stands;
    l->clock->base_ns += ns;
    l->clock->stands = 0;
    loop_program(l);
    return ns;
}

void loop_run(struct loop *l)
{
    struct epoll_event ev;
    bool only_timer = false;

    loop_lock(l);
    while (!loop_stopped(l)) {
        l->programmed = LOOP_AWAKE;
        if (!only_timer)
            loop_dispatch(l);
        if (!l->clock->source)
            loop_timers_run(l);
        loop_program(l);
        loop_unlock(l);
        if (epoll_wait(l->epoll_fd, &ev, 1, -1) == 1)
            only_timer = ev.data.ptr == &l->timer_fd;
        else
            only_timer = false; /* a signal: look at everything */
        loop_lock(l);
    }
    __atomic_store_n(&l->stop, false, __ATOMIC_RELEASE);
    /* From here on nobody programs timer_fd for others. */
    loop_program(l);
    loop_unlock(l);
}

int loop_add(struct loop *l, struct loop_fd *lf, uint32_t events,
             struct error *err)
{
    struct epoll_event ev = {.events = events, .data.ptr = lf};
    int e;

    if (!epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, lf->fd, &ev))
        return 0;
    e = errno;
    return error_set(err, e, "event loop: %s", strerror(e));
}

void loop_change(struct loop *l, struct loop_fd *lf, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = lf};

    epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, lf->fd, &ev);
}

void loop_remove(struct loop *l, struct loop_fd *lf)
{
    epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, lf->fd, NULL);
}
