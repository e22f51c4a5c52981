/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compare_int.h - what the files of `ringfence compare` share.
 *
 * Two machines run in child processes of their own and are stepped over a
 * socket (machine/lockstep.h). This process only asks, compares and prints;
 * it has one thread. Errors are the host's: what differs is a result.
 */
#pragma once

#include <stdio.h>
#include <sys/types.h>

#include "machine/lockstep.h"
#include "mem/guest_mem.h"

#define COMPARE_HISTORY 16

/* What a machine looked like when it stood still. */
struct shot {
    struct lockstep_point point;
    uint8_t *state; /* a state file; owned */
    size_t len;
};

struct side {
    char letter;                    /* for people: A or B */
    const char *spec;               /* as the user gave it */
    char *words;                    /* the same, taken apart; owned */
    const char *exe, *engine, *cpu; /* NULL: this program, the default */

    pid_t pid; /* 0: not running */
    int fd;
    int console, log; /* memfds: its stdout and stderr */
    struct lockstep_hello hello;
    struct shot now, before;
    struct lockstep_insn insn[GUEST_VCPUS_MAX]; /* what comes next */
};

/* One instruction that has been run, of either side. */
struct past {
    uint64_t number; /* from 1, over all vCPUs */
    unsigned cpu;
    struct lockstep_insn insn[2]; /* by side; the same but for the last */
    char events[2][sizeof(((struct lockstep_insn *)0)->events)];
};

struct history {
    struct past past[COMPARE_HISTORY];
    unsigned count; /* ever; the ring holds the last of them */
};

struct compare {
    struct side side[2];
    char **options; /* for `boot` */
    int option_count;
    bool replay; /* they say that a recorded run is to be compared */
    uint64_t limit, interval;
    bool help;
    bool quiet; /* no progress on stderr */
    struct history history;
};

/* --- compare_side.c: the child processes --- */

void side_init(struct side *s, char letter);
/* "interp", "exe=PATH,engine=NAME,cpu=MODEL,-feature": see the man page. */
int side_parse(struct side *s, const char *spec, struct error *err) must_check;
void side_free(struct side *s);
/* Both machines, up to their first point. */
int sides_start(struct compare *c, struct error *err) must_check;
void sides_stop(struct compare *c);
/* Both run to there; `before` becomes what `now` was. */
int sides_run(struct compare *c, uint64_t until, unsigned unit,
              struct error *err) must_check;
/* Fills in insn[] of both. */
int sides_insns(struct compare *c, struct error *err) must_check;
/* Lets both go on to their ends; exit statuses as of waitpid(). */
int sides_finish(struct compare *c, int status[2],
                 struct error *err) must_check;
/*
 * Asks and takes one answer of unknown length, malloc()ed. NULL after an
 * error.
 */
void *side_ask(struct side *s, enum lockstep_type type, const void *arg,
               size_t arg_len, size_t *len, struct error *err);

/* --- compare_search.c: where they differ --- */

enum outcome {
    OUTCOME_SAME,   /* both ended, the same way */
    OUTCOME_LIMIT,  /* no difference up to the limit */
    OUTCOME_DIFFER, /* both stand behind the difference */
};

struct found {
    uint64_t from, to; /* same after `from` instructions, not after `to` */
    bool single;       /* to is from + 1, seen one instruction at a time */
};

/* enum outcome, or -errno. The machines stand where the search ended. */
int compare_search(struct compare *c, struct found *f,
                   struct error *err) must_check;

/* --- compare_diff.c: what differs --- */

struct difference {
    char name[160];
    char before[168], value[2][168]; /* before: empty if not known */
};

struct differences {
    struct difference *d; /* owned; the first `count` of `total` */
    unsigned count, room, total;
};

/* Quick: is there anything at all? */
bool shots_differ(const struct compare *c);
/* Registers and devices, then memory, which asks the machines. */
int differences_find(struct compare *c, bool with_before, struct differences *l,
                     struct error *err) must_check;
void differences_free(struct differences *l);

/* --- compare_report.c --- */

void report_difference(struct compare *c, const struct found *f,
                       const struct differences *l);
/* Where the consoles' output is not the same; false: nowhere. */
bool report_console(struct compare *c);
/* How a machine ended: "power off", "triple fault". */
const char *report_end(const struct lockstep_point *p, char *buf, size_t len);
