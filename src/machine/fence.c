/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fence.c - what is given up once all is open; vCPUs and the workers of disks
 * and shares see to themselves. The process's list of calls counts from before
 * the machine was built (cmd/boot.c).
 */
#include "fence/fence.h"

#include <time.h>

#include "machine/machine_int.h"

/* A network with a command runs a program of the user's, from any thread. */
static bool runs_programs(const struct machine_config *c)
{
    for (unsigned i = 0; i < c->nets; i++)
        if (c->net[i].kind == NET_USER && c->net[i].commands)
            return true;
    return false;
}

static bool has_net(const struct machine_config *c, enum net_kind kind)
{
    for (unsigned i = 0; i < c->nets; i++)
        if (c->net[i].kind == kind)
            return true;
    return false;
}

/* The event thread's, which forks inherit: they open shares and taps anew. */
int machine_fence(const struct machine *m, struct error *err)
{
    const struct machine_config *c = m->cfg;
    uint64_t keep = (c->shares ? FENCE_CAPS_FILES : 0) |
                    (has_net(c, NET_TAP) ? FENCE_CAPS_TAP : 0);

    tzset(); /* gmtime_r() would read a file, in the vCPU that asks the RTC */
    if (fence_files(runs_programs(c), has_net(c, NET_USER), err))
        return -err->code;
    return fence_caps(keep, err);
}

/* What runs in a vCPU's thread: its engine, and devices that it writes to. */
unsigned machine_cpu_needs(const struct machine *m)
{
    const struct machine_config *c = m->cfg;
    unsigned needs = FENCE_DISK | FENCE_DEVICES | FENCE_CODE | FENCE_THREADS;

    if (runs_programs(c))
        return FENCE_ANYTHING;
    if (has_net(c, NET_USER) || c->vsock.cid)
        needs |= FENCE_CONNECTIONS;
    return m->det ? needs : needs | FENCE_STUBS; /* ctl may choose it later */
}
