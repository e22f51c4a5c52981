/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <time.h>

#define NS_PER_SEC 1000000000ull

uint64_t clock_host_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

void clock_start(struct clock *c, uint64_t now_ns)
{
    *c = (struct clock){.base_ns = clock_host_now() - now_ns};
}

uint64_t clock_now(const struct clock *c)
{
    if (c->source)
        return c->source->now(c->source);
    return (c->stands ? c->stands : clock_host_now()) - c->base_ns;
}
