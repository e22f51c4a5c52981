/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace_json.c - events in the trace-event format of Chrome and Perfetto.
 *
 * The machine is the process, a vCPU is a thread. Exits are slices (X), the
 * time in HLT is one between B and E, the rest are instants (i). Numbers that
 * may exceed 53 bits are strings.
 */
#include "inspect/trace_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Room for what closes a record. */
#define JSON_ROOM (TRACE_RECORD - 8)

static void printf_like(3, 4) add(char *buf, size_t *at, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(buf + *at, JSON_ROOM - *at, fmt, ap);
    va_end(ap);
    if (n > 0)
        *at = MIN(*at + (size_t)n, JSON_ROOM - 1);
}

void trace_json_quote(char *buf, size_t len, const char *text)
{
    size_t at = 0;

    for (; *text && at + 7 < len; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\') {
            buf[at++] = '\\';
            buf[at++] = (char)c;
        } else if (c < ' ' || c > '~') {
            at += (size_t)snprintf(buf + at, len - at, "\\u%04x", c);
        } else {
            buf[at++] = (char)c;
        }
    }
    buf[at] = '\0';
}

size_t trace_json_head(char *buf)
{
    size_t at = 0;

    add(buf, &at,
        "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n"
        "{\"ph\":\"M\",\"pid\":1,\"name\":\"process_name\","
        "\"args\":{\"name\":\"ringfence\"}}");
    return at;
}

size_t trace_json_thread(char *buf, unsigned vcpu)
{
    size_t at = 0;

    add(buf, &at,
        ",\n{\"ph\":\"M\",\"pid\":1,\"tid\":%u,\"name\":\"thread_name\","
        "\"args\":{\"name\":\"vCPU %u\"}}",
        vcpu + 1, vcpu);
    return at;
}

/* Time is in microseconds. */
static void add_time(char *buf, size_t *at, const char *key, uint64_t ns)
{
    add(buf, at, "\"%s\":%llu.%03llu,", key, (unsigned long long)ns / 1000,
        (unsigned long long)ns % 1000);
}

static void add_text(char *buf, size_t *at, const char *key, const char *text)
{
    char quoted[sizeof(((struct trace_desc *)0)->text)];

    trace_json_quote(quoted, sizeof(quoted), text);
    add(buf, at, ",\"%s\":\"%s\"", key, quoted);
}

static void add_args(char *buf, size_t *at, const struct trace_desc *d,
                     const struct trace_event *e)
{
    add(buf, at, "\"args\":{\"address\":\"0x%llx\",\"count\":%llu",
        (unsigned long long)e->pc, (unsigned long long)e->insns);
    add_text(buf, at, "mode", d->mode);
    if (d->symbol[0])
        add_text(buf, at, "symbol", d->symbol);
    for (unsigned i = 0; i < d->fields; i++) {
        const struct trace_field *f = &d->field[i];

        if (f->kind == FIELD_HEX)
            add(buf, at, ",\"%s\":\"0x%llx\"", f->key,
                (unsigned long long)f->value);
        else if (f->kind == FIELD_DEC)
            add(buf, at, ",\"%s\":%llu", f->key, (unsigned long long)f->value);
        else
            add_text(buf, at, f->key, f->text);
    }
    add(buf, at, "}}");
}

size_t trace_json_event(char *buf, const struct trace_desc *d,
                        const struct vcpu *cpu, const struct trace_event *e,
                        uint64_t ns)
{
    bool slice = e->cat == TRACE_EXIT && e->what == TRACE_PLAIN;
    char name[sizeof(d->name) * 6];
    size_t at = 0;

    trace_json_quote(name, sizeof(name), d->name);
    add(buf, &at, ",\n{\"pid\":1,\"tid\":%u,\"cat\":\"%s\",\"name\":\"%s\",",
        cpu->index + 1, trace_cat_name(__builtin_ctz(e->cat)), name);
    add_time(buf, &at, "ts", e->ns);
    if (slice) {
        add(buf, &at, "\"ph\":\"X\",");
        add_time(buf, &at, "dur", ns - e->ns);
    } else {
        add(buf, &at, "\"ph\":\"i\",\"s\":\"t\",");
    }
    add_args(buf, &at, d, e);
    return at;
}

size_t trace_json_halt(char *buf, unsigned vcpu, uint64_t ns, bool begins)
{
    size_t at = 0;

    add(buf, &at, ",\n{\"pid\":1,\"tid\":%u,", vcpu + 1);
    add_time(buf, &at, "ts", ns);
    if (begins)
        add(buf, &at, "\"cat\":\"exit\",\"name\":\"halted\",");
    add(buf, &at, "\"ph\":\"%s\"}", begins ? "B" : "E");
    return at;
}
