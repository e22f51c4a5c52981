/* SPDX-License-Identifier: Apache-2.0 */
/*
 * claims.h - what the claims about real cgroups share: which files hold them,
 * and what the processes of a test do.
 */
#pragma once

#include "box.h"

#define NAME "rf-test"

/* Each runs its claims whose names begin so; their status. */
int claims_life(const char *prefix);
int claims_limits(const char *prefix);
int claims_refusals(const char *prefix);
/* Microseconds of each step, the least of 200. */
int bench(void);

/* Runs each of a list X(name)... */
#define CLAIM(name)                                                            \
    if (!strncmp(#name, prefix, strlen(prefix)))                               \
        RUN(name);

/* Has this host the controller? */
bool host_has(enum cgroup_controller c);

#define NEED(c)                                                                \
    do {                                                                       \
        if (!host_has(c))                                                      \
            SKIP("this host has not the controller it needs");                 \
    } while (0)

/* Enough for what it does, too few to fill the machine. */
extern const struct cgroup_limits few_processes;

int do_nothing(void *arg);
/* For ever. */
noreturn_fn int do_sleep(void *arg);
/* Counts in a uint64_t where others see it. */
noreturn_fn int do_count(void *arg);
/* Children that have children, for ever, up to a limit on processes. */
noreturn_fn int do_fork(void *arg);
/* Touches size_t bytes. */
int do_eat(void *arg);
/* 0: int forks could be made, and then EAGAIN. */
int do_fork_until(void *arg);
/* unsigned ms by the clock on the wall. */
int do_burn_ms(void *arg);
/* The same, of a CPU. */
int do_burn_cpu_ms(void *arg);
/* 0: it is in each directory of its struct cgroup. */
int do_look(void *arg);
/* 0: /proc/self/cgroup has the string. */
int do_where(void *arg);
