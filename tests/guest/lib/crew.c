/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crew.c - a task for several processors at once, and where they meet.
 */
#include "guest.h"

/* A cache line each, or the tests would measure false sharing. */
struct seat {
    volatile unsigned up, order, done, met, pad[12];
} __attribute__((aligned(64)));

static struct seat seat[CREW_MAX];
static void (*volatile task)(unsigned me);

static void seat_main(void)
{
    unsigned me = lapic_read(0x20) >> 24, order = 0;

    lapic_enable();
    seat[me].up = 1;
    for (;;) {
        while (seat[me].order == order)
            pause();
        order = seat[me].order;
        task(me);
        seat[me].done = order;
    }
}

bool crew_start(unsigned n)
{
    bool all = true;

    for (unsigned i = 1; i < n; i++) {
        seat[i].up = seat[i].order = seat[i].done = 0;
        ap_start(i, seat_main);
        all &= wait_for(&seat[i].up, 1);
    }
    return all;
}

bool crew_run(unsigned n, void (*fn)(unsigned me))
{
    bool all = true;

    task = fn;
    for (unsigned i = 0; i < n; i++)
        seat[i].met = 0;
    for (unsigned i = 1; i < n; i++)
        seat[i].order++;
    fn(0);
    for (unsigned i = 1; i < n; i++)
        all &= wait_for(&seat[i].done, seat[i].order);
    return all;
}

void crew_meet(unsigned me, unsigned n)
{
    unsigned mine = ++seat[me].met;

    for (unsigned i = 0; i < n; i++)
        while ((int)(seat[i].met - mine) < 0)
            pause();
}
