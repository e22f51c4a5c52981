/* SPDX-License-Identifier: Apache-2.0 */
/* trace_int.h - what the files of the trace share. */
#pragma once

#include <pthread.h>

#include "inspect/symbols.h"
#include "inspect/trace.h"

/* --- trace_filter.c --- */

#define TRACE_NAME_MAX 128

/* [lo, hi); empty while its symbol is not known. */
struct trace_range {
    uint64_t lo, hi;
    char name[TRACE_NAME_MAX]; /* empty: it was given by numbers */
};

/* Nonzero: not a range. Fills the name or the numbers. */
int trace_range_parse(const char *text, struct trace_range *r);
/* Looks the name up: from its symbol to the next. */
void trace_range_find(struct trace_range *r, const struct symbols *syms);
/* Does [addr, addr + len) touch it? */
static inline bool trace_range_has(const struct trace_range *r, uint64_t addr,
                                   unsigned len)
{
    return addr < r->hi && addr + (len - 1) >= r->lo;
}

/* --- trace_out.c --- */

/* One page: SIGKILL cuts a write in two between pages. */
#define TRACE_BUFFER 4096
#define TRACE_RECORD 4096 /* the longest text of one event */
#define TRACE_TAIL   16

/*
 * A file that always ends well: `tail` is written behind the buffer, and the
 * next flush begins where it was. What cannot seek gets it at the end.
 */
struct trace_out {
    int fd;
    bool owned, seeks, lively; /* lively: every record is flushed */
    int error;                 /* positive errno; nothing is written then */
    const char *name;          /* for messages */
    const char *tail;
    uint64_t at; /* where the buffer goes */
    size_t len;  /* whole records only */
    char buf[TRACE_BUFFER + TRACE_TAIL];
};

int trace_out_open(struct trace_out *o, const char *file, const char *tail,
                   struct error *err) must_check;
/* len <= TRACE_RECORD. Errors end up in o->error. */
void trace_out_put(struct trace_out *o, const char *text, size_t len);
void trace_out_flush(struct trace_out *o);
void trace_out_close(struct trace_out *o);

/* --- trace_event.c: an event as a name and fields --- */

enum trace_field_kind { FIELD_HEX, FIELD_DEC, FIELD_TEXT };

struct trace_field {
    const char *key;
    enum trace_field_kind kind;
    uint64_t value;
    const char *text;
};

#define TRACE_FIELDS 24

struct trace_desc {
    char name[96];
    struct trace_field field[TRACE_FIELDS];
    unsigned fields;
    char symbol[TRACE_NAME_MAX + 16]; /* of event->pc, or empty */
    char mode[8];                     /* "64:0": code width and CPL */
    char text[512];                   /* what the fields' texts stand in */
    size_t text_len;
};

void trace_describe(struct trace_desc *d, struct vcpu *cpu,
                    const struct trace_event *e, const struct symbols *syms);

/* --- formats: one event; buf has TRACE_RECORD bytes. The length --- */

size_t trace_text_head(char *buf, bool tty);
size_t trace_text_event(char *buf, const struct trace_desc *d,
                        const struct vcpu *cpu, const struct trace_event *e,
                        bool tty);

#define TRACE_JSON_TAIL "\n]}\n"
size_t trace_json_head(char *buf);
size_t trace_json_thread(char *buf, unsigned vcpu);
/* ns: when it ended. */
size_t trace_json_event(char *buf, const struct trace_desc *d,
                        const struct vcpu *cpu, const struct trace_event *e,
                        uint64_t ns);
/* A halted vCPU's slice: it begins or ends. */
size_t trace_json_halt(char *buf, unsigned vcpu, uint64_t ns, bool begins);
/* Text as it stands between JSON's quotes; len counts the end. */
void trace_json_quote(char *buf, size_t len, const char *text);
