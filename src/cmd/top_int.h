/* SPDX-License-Identifier: Apache-2.0 */
/*
 * top_int.h - what the files of `ringfence top` share.
 *
 * A view is a list of things that run. Each has a connection that never blocks:
 * once an interval it is asked, and what it answers, if it does, becomes its
 * newest sample. Whatever comes out of a socket is hostile: bounded, checked,
 * and printable before anybody shows it.
 *
 * Containers are in the same list: top_container.c finds them, and reads their
 * cgroups in place of asking.
 */
#pragma once

#include <stdio.h>

#include "base/clock.h"
#include "io/unix_socket.h"
#include "machine/names.h"

#define TOP_ITEMS_MAX  256u
#define TOP_COUNTS_MAX 400u
#define TOP_GONE_NS    (10 * 1000000000ull) /* how long the dead are shown */

struct top_count {
    char group[16], name[40];
    uint64_t n;
    double rate; /* a second, since the sample before; 0 without one */
};

/* Sums since it began; bytes, nanoseconds, or as the name says. */
struct top_sample {
    uint64_t at_ns; /* our clock, when it came */
    uint64_t cpus, uptime_ms, guest_ms, insns;
    uint64_t vcpus_ns;         /* of its vCPUs' threads */
    uint64_t monitor_ns;       /* of its other threads */
    uint64_t stubs_ns;         /* of its child processes */
    uint64_t memory, resident; /* the guest's RAM */
    uint64_t monitor, stubs;   /* resident, without guest RAM */
    uint64_t disk_requests, disk_read, disk_written;
    uint64_t net_frames, net_received, net_sent;
    uint64_t exits;
    unsigned counts;
    struct top_count count[TOP_COUNTS_MAX];
};

enum top_state {
    TOP_NEW,     /* not answered yet */
    TOP_UP,      /* answered the last time */
    TOP_SILENT,  /* is there, and does not answer */
    TOP_GARBAGE, /* answers what nobody understands */
    TOP_DENIED,  /* somebody else's */
    TOP_GONE,    /* was there */
};

struct top_link {
    int fd; /* -1: none */
    char *buf;
    size_t len, room;
    uint64_t asked_ns; /* 0: nothing is asked */
    bool counters;     /* that was asked */
};

struct top_item {
    struct sockaddr_un at;
    char name[NAME_LEN_MAX + 1];
    char engine[17], says[17], note[81]; /* what it says of itself */
    unsigned pid, uid;                   /* the kernel's word, not its own */
    enum top_state state;
    bool container;     /* `at` is its state's folder, and nobody is asked */
    bool found;         /* in the last round */
    const char *wanted; /* a command for it, when it can be asked; or NULL */
    uint64_t gone_ns;
    struct top_link link;
    unsigned samples; /* 0, 1, 2: how many of these there are */
    struct top_sample now, was;
};

struct top {
    struct top_item *item[TOP_ITEMS_MAX];
    unsigned items;
    bool all; /* other users' too */
};

/* --- top_find.c --- */

/* Looks who is there, asks them; forgets who has been gone for long enough. */
void top_begin(struct top *t);
void top_free(struct top *t);

/* --- top_container.c --- */

void top_find_containers(struct top *t);
/* Its newest sample; not found any more if it has ended. */
void top_container_ask(struct top_item *it);

/* --- top_link.c --- */

/* Asks, unless an answer is still awaited. */
void top_ask(struct top_item *it);
/* Something can be read. */
void top_link_ready(struct top_item *it);
void top_link_close(struct top_link *l);
/* Nothing for so long: silent. */
void top_link_late(struct top_item *it, uint64_t after_ns);
/*
 * Asks everybody, and waits until all have answered, or so long. What was
 * answered before is `was` afterwards.
 */
void top_round(struct top *t, uint64_t limit_ns);

/* --- top_sample.c --- */

struct json_object;

/* An answer becomes the newest sample. False: it is none. */
bool top_sample_take(struct top_item *it, struct json_object *answer);
/* The count of the same name; NULL: there is none. */
const struct top_count *top_count_find(const struct top_sample *s,
                                       const struct top_count *c);
/* Copies what can be printed; a question mark stands for the rest. */
void top_printable(char *to, size_t len, const char *from);

/* --- top_rate.c --- */

/* Of the time between the last two samples; zeroes without them. */
struct top_rate {
    double seconds;               /* 0: there is only one */
    double vcpus, stubs, monitor; /* CPUs: 1 is all of one */
    double exits, insns;          /* a second, all of these */
    double disk_bytes, disk_requests;
    double net_bytes, net_frames;
};

struct top_rate top_rate_of(const struct top_item *it);
/* Sets the rates of the newest sample's counts. */
void top_count_rates(struct top_item *it);
/* Does a count stand for something that stopped the guest's own code? */
bool top_is_exit(const struct top_count *c);
/* For people: running, paused, silent, ... */
const char *top_state_name(const struct top_item *it);
enum top_order {
    TOP_BY_CPU,
    TOP_BY_EXITS,
    TOP_BY_IO,
    TOP_BY_MEMORY,
    TOP_BY_UPTIME,
    TOP_BY_NAME,
    TOP_ORDERS,
};
extern const char *const top_orders[TOP_ORDERS]; /* their names */
void top_sort(struct top *t, enum top_order by, bool reverse);

/* --- top_table.c --- */

/* The head of the table and a machine's line, both exactly `width` wide. */
void top_head(char *line, unsigned width);
void top_line(const struct top_item *it, char *line, unsigned width);
/* All about one, as text of many lines that the caller frees, or NULL. */
char *top_details(const struct top_item *it);

/* --- top_export.c --- */

/* One object, on one line, or laid out for people. */
void top_json(const struct top *t, FILE *out, bool pretty);
void top_prometheus(const struct top *t, FILE *out);

/* --- top_serve.c, top_screen.c: until a signal; an exit status --- */

int top_serve(struct top *t, const char *path);
int top_screen(struct top *t, uint64_t interval_ns, enum top_order sort);
