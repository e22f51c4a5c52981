/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cycles.h - what the benches of the boundary's cost (stops.c, signals.c)
 * share: took[] is one round's cycles of the TSC each, and a line of the
 * report its median and its lowest tenth.
 */
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 10000

static uint64_t took[ROUNDS];

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void print(const char *what)
{
    qsort(took, ROUNDS, sizeof(took[0]), compare);
    printf("%-28s %8llu %8llu\n", what, (unsigned long long)took[ROUNDS / 2],
           (unsigned long long)took[ROUNDS / 10]);
    fflush(stdout);
}

/* pid 0: who calls. on < 0: anywhere. */
static void pin(pid_t pid, int on)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (on < 0 || i == on)
            CPU_SET((size_t)i, &set);
    if (sched_setaffinity(pid, sizeof(set), &set))
        fprintf(stderr, "cannot use CPU %d: %s\n", on, strerror(errno));
}

static void die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}
