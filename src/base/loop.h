/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h - the event thread: file descriptors, timers, and the device lock.
 *
 * One thread sits in loop_run() and sleeps in epoll_wait() until something
 * happens; there is no polling. Every device callback, whether it comes from
 * here or from a vCPU's MMIO or port access, runs with the device lock held,
 * so devices need no locks of their own. vCPU threads may arm timers while
 * they hold it.
 */
#pragma once

#include <pthread.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/error.h"

struct loop;

/* Caller-owned; must stay alive until removed. */
struct loop_fd {
    int fd;
    /* `events` as epoll gives them. Runs on the event thread, locked. */
    void (*ready)(struct loop_fd *lf, uint32_t events);
};

/* Caller-owned one-shot timer; zero-initialise, then timer_init(). */
struct timer {
    struct loop *loop;
    void (*fire)(struct timer *t); /* event thread, locked */
    uint64_t deadline;             /* clock_now() scale, ns */
    unsigned slot;                 /* 1-based place in the heap, 0: idle */
};

struct loop {
    pthread_mutex_t lock; /* the device lock */
    struct clock *clock;
    int epoll_fd, timer_fd, wake_fd;
    struct timer **heap; /* binary heap by deadline */
    unsigned timers, heap_room;
    uint64_t programmed; /* what timer_fd is set to, 0: disarmed */
    bool stop;
};

int loop_init(struct loop *l, struct clock *clock,
              struct error *err) must_check;
void loop_fini(struct loop *l);

/* Runs until loop_stop(). Takes and releases the lock around callbacks. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l); /* any thread */

/*
 * A clock with a source (clock.h) has no host timer: its owner calls
 * loop_timers_run(), locked, when the first deadline has come. UINT64_MAX: no
 * timer is armed.
 */
uint64_t loop_deadline(const struct loop *l);
void loop_timers_run(struct loop *l);

/*
 * Locked, and while no vCPU runs. Between the two the clock stands still and
 * no timer's time comes; loop_time_go() returns how long it was, in ns. A
 * clock with a source stands still anyway: 0.
 */
void loop_time_stop(struct loop *l);
uint64_t loop_time_go(struct loop *l);

int loop_add(struct loop *l, struct loop_fd *lf, uint32_t events,
             struct error *err) must_check;
void loop_change(struct loop *l, struct loop_fd *lf, uint32_t events);
void loop_remove(struct loop *l, struct loop_fd *lf);

void timer_init(struct timer *t, struct loop *l, void (*fire)(struct timer *t));
/* Locked. Arming an armed timer moves it. A past deadline fires at once. */
void timer_arm(struct timer *t, uint64_t deadline);
void timer_cancel(struct timer *t);

static inline bool timer_armed(const struct timer *t)
{
    return t->slot != 0;
}

static inline void loop_lock(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
}

static inline void loop_unlock(struct loop *l)
{
    pthread_mutex_unlock(&l->lock);
}
