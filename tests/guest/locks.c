/* SPDX-License-Identifier: Apache-2.0 */
/*
 * locks.c - eight processors that wait for each other all the time, on a host
 * with fewer: a ticket lock, whose next owner is whom the host may not be
 * running, and meetings of all. Without a host CPU handed on by those who
 * spin this takes minutes, and the manifest's limit ends it.
 */
#include "guest.h"

#define CPUS  8
#define TURNS 1500
#define MEETS 500

static volatile unsigned next, owner, guarded, turn[CPUS];

static void turns(unsigned me)
{
    for (unsigned i = 0; i < TURNS; i++) {
        unsigned mine = 1;

        asm volatile("lock xaddl %0, %1"
                     : "+r"(mine), "+m"(next)
                     :
                     : "memory", "cc");
        while (owner != mine)
            pause();
        guarded++;
        turn[me]++;
        asm volatile("" : : : "memory");
        owner = mine + 1;
    }
}

static void meetings(unsigned me)
{
    for (unsigned i = 0; i < MEETS; i++)
        crew_meet(me, CPUS);
}

void main(void)
{
    bool fair = true;

    ok(crew_start(CPUS), "eight processors");
    ok(crew_run(CPUS, turns), "a ticket lock comes around");
    is(guarded, CPUS * TURNS, "and guards");
    for (unsigned i = 0; i < CPUS; i++)
        fair &= turn[i] == TURNS;
    ok(fair, "all had their turns");
    ok(crew_run(CPUS, meetings), "all meet, often");
}
