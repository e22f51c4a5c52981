/* SPDX-License-Identifier: Apache-2.0 */
/*
 * target.c - something to debug: calls, a second processor that counts, and
 * a loop that only the debugger can end.
 */
#include "guest.h"

#define NOINLINE __attribute__((noinline))

volatile unsigned watched, sum, ticks, leave, up;

NOINLINE unsigned inner(unsigned v)
{
    asm volatile("");
    sum += v;
    return sum;
}

NOINLINE void outer(unsigned v)
{
    watched = inner(v) * 2;
}

NOINLINE void tick(void)
{
    ticks++;
}

static void ap_main(void)
{
    up = 1;
    for (;;)
        tick();
}

NOINLINE void spin(void)
{
    while (!leave)
        pause();
}

void main(void)
{
    lapic_enable();
    ap_start(1, ap_main);
    wait_for(&up, 1);
    for (unsigned i = 1; i <= 4; i++)
        outer(i);
    spin();
    is(sum, 10, "all calls were made");
}
