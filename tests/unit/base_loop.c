/* SPDX-License-Identifier: Apache-2.0 */
/* base_loop.c - claims about timers and the event loop. */
#include "base/loop.h"

#include <unistd.h>

#include "test.h"

#define MS 1000000ull

struct probe {
    struct timer timer;
    unsigned fired, order, repeat;
    uint64_t at;
};

static unsigned next_order;

static void probe_fire(struct timer *t)
{
    struct probe *p = container_of(t, struct probe, timer);

    p->fired++;
    p->order = ++next_order;
    p->at = clock_now(t->loop->clock);
    if (p->repeat) {
        p->repeat--;
        timer_arm(t, t->deadline + MS);
    }
}

static void stop_fire(struct timer *t)
{
    loop_stop(t->loop);
}

struct bench {
    struct clock clock;
    struct loop loop;
    struct error err;
    struct timer stop;
};

static void bench_up(struct bench *b)
{
    next_order = 0;
    clock_start(&b->clock, 0);
    CHECK_EQ(loop_init(&b->loop, &b->clock, &b->err), 0);
    timer_init(&b->stop, &b->loop, stop_fire);
}

static void bench_run(struct bench *b, uint64_t ms)
{
    loop_lock(&b->loop);
    timer_arm(&b->stop, clock_now(&b->clock) + ms * MS);
    loop_unlock(&b->loop);
    loop_run(&b->loop);
}

static void timers_fire_in_order_of_deadline(void)
{
    struct bench b;
    struct probe p[5] = {0};
    static const unsigned ms[5] = {9, 3, 12, 1, 6}, order[5] = {4, 2, 5, 1, 3};

    bench_up(&b);
    for (int i = 0; i < 5; i++)
        timer_init(&p[i].timer, &b.loop, probe_fire);
    for (int i = 0; i < 5; i++)
        timer_arm(&p[i].timer, clock_now(&b.clock) + ms[i] * MS);
    bench_run(&b, 30);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(p[i].fired, 1);
        CHECK_EQ(p[i].order, order[i]);
        CHECK(p[i].at >= p[i].timer.deadline);
    }
    loop_fini(&b.loop);
}

static void cancelled_and_moved_timers_obey(void)
{
    struct bench b;
    struct probe p[3] = {0};

    bench_up(&b);
    for (int i = 0; i < 3; i++) {
        timer_init(&p[i].timer, &b.loop, probe_fire);
        timer_arm(&p[i].timer, clock_now(&b.clock) + 5 * MS);
    }
    timer_cancel(&p[1].timer);
    timer_arm(&p[2].timer, UINT64_MAX);
    CHECK(!timer_armed(&p[1].timer));
    bench_run(&b, 15);
    CHECK_EQ(p[0].fired, 1);
    CHECK_EQ(p[1].fired, 0);
    CHECK_EQ(p[2].fired, 0);
    CHECK(timer_armed(&p[2].timer));
    loop_fini(&b.loop);
}

static void periodic_timer_and_past_deadline(void)
{
    struct bench b;
    struct probe p[2] = {0};

    bench_up(&b);
    timer_init(&p[0].timer, &b.loop, probe_fire);
    timer_init(&p[1].timer, &b.loop, probe_fire);
    p[0].repeat = 7;
    timer_arm(&p[0].timer, clock_now(&b.clock) + MS);
    timer_arm(&p[1].timer, 0);
    bench_run(&b, 25);
    CHECK_EQ(p[0].fired, 8);
    CHECK_EQ(p[1].fired, 1);
    loop_fini(&b.loop);
}

static void a_stopped_clock_stands_still_and_so_do_timers(void)
{
    struct bench b;
    struct probe p = {0};
    uint64_t now;

    bench_up(&b);
    timer_init(&p.timer, &b.loop, probe_fire);
    timer_arm(&p.timer, clock_now(&b.clock) + 5 * MS);
    loop_time_stop(&b.loop);
    now = clock_now(&b.clock);
    usleep(20000);
    CHECK_EQ(clock_now(&b.clock), now);
    loop_stop(&b.loop);
    loop_run(&b.loop);
    CHECK_EQ(p.fired, 0);
    CHECK(loop_time_go(&b.loop) >= 20 * MS);
    CHECK(clock_now(&b.clock) - now < 15 * MS);
    bench_run(&b, 15);
    CHECK_EQ(p.fired, 1);
    CHECK(p.at >= p.timer.deadline);
    loop_fini(&b.loop);
}

static void *arm_from_thread(void *arg)
{
    struct probe *p = arg;

    usleep(5000);
    loop_lock(p->timer.loop);
    timer_arm(&p->timer, clock_now(p->timer.loop->clock) + MS);
    loop_unlock(p->timer.loop);
    return NULL;
}

static void another_thread_arms_an_earlier_timer(void)
{
    struct bench b;
    struct probe p = {0};
    pthread_t t;

    bench_up(&b);
    timer_init(&p.timer, &b.loop, probe_fire);
    pthread_create(&t, NULL, arm_from_thread, &p);
    bench_run(&b, 60);
    pthread_join(t, NULL);
    CHECK_EQ(p.fired, 1);
    CHECK(p.at < b.stop.deadline - 20 * MS);
    loop_fini(&b.loop);
}

struct pipe_end {
    struct loop_fd lf;
    struct loop *loop;
    unsigned got;
};

static void pipe_ready(struct loop_fd *lf, uint32_t events)
{
    struct pipe_end *p = container_of(lf, struct pipe_end, lf);
    char c;

    if ((events & EPOLLIN) && read(lf->fd, &c, 1) == 1)
        p->got++;
    if (p->got == 3)
        loop_stop(p->loop);
}

static void descriptors_are_served_until_removed(void)
{
    struct bench b;
    struct pipe_end p = {0};
    int fd[2];

    bench_up(&b);
    CHECK_EQ(pipe(fd), 0);
    p.loop = &b.loop;
    p.lf.fd = fd[0];
    p.lf.ready = pipe_ready;
    CHECK_EQ(loop_add(&b.loop, &p.lf, EPOLLIN, &b.err), 0);
    CHECK_EQ(write(fd[1], "abcd", 4), 4);
    loop_run(&b.loop);
    CHECK_EQ(p.got, 3);
    loop_remove(&b.loop, &p.lf);
    bench_run(&b, 5);
    CHECK_EQ(p.got, 3);
    close(fd[0]);
    close(fd[1]);
    loop_fini(&b.loop);
}

int main(void)
{
    RUN(timers_fire_in_order_of_deadline);
    RUN(cancelled_and_moved_timers_obey);
    RUN(periodic_timer_and_past_deadline);
    RUN(a_stopped_clock_stands_still_and_so_do_timers);
    RUN(another_thread_arms_an_earlier_timer);
    RUN(descriptors_are_served_until_removed);
    return test_status();
}
