/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace_text.c - an event as one line of text, in columns for people and
 * words for grep.
 */
#include "inspect/trace_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Appends; what does not fit is cut. */
static void printf_like(3, 4) add(char *buf, size_t *at, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(buf + *at, TRACE_RECORD - 4 - *at, fmt, ap);
    va_end(ap);
    if (n > 0)
        *at = MIN(*at + (size_t)n, TRACE_RECORD - 5);
}

static void add_end(char *buf, size_t *at, bool tty)
{
    while (*at && buf[*at - 1] == ' ')
        --*at;
    if (tty)
        buf[(*at)++] = '\r'; /* it may be in raw mode */
    buf[(*at)++] = '\n';
}

size_t trace_text_head(char *buf, bool tty)
{
    size_t at = 0;

    add(buf, &at, "#%-3s %14s %14s %-4s %16s %-5s %-12s", "cpu", "insns",
        "seconds", "mode", "address", "what", "which");
    add_end(buf, &at, tty);
    return at;
}

static void add_fields(char *buf, size_t *at, const struct trace_desc *d)
{
    for (unsigned i = 0; i < d->fields; i++) {
        const struct trace_field *f = &d->field[i];

        if (f->kind == FIELD_HEX)
            add(buf, at, " %s=0x%llx", f->key, (unsigned long long)f->value);
        else if (f->kind == FIELD_DEC)
            add(buf, at, " %s=%llu", f->key, (unsigned long long)f->value);
        else
            add(buf, at, " %s=%s", f->key, f->text);
    }
}

size_t trace_text_event(char *buf, const struct trace_desc *d,
                        const struct vcpu *cpu, const struct trace_event *e,
                        bool tty)
{
    size_t at = 0;

    add(buf, &at, "%-4u %14llu %4llu.%09llu %-4s %016llx %-5s ", cpu->index,
        (unsigned long long)e->insns, (unsigned long long)e->ns / 1000000000,
        (unsigned long long)e->ns % 1000000000, d->mode,
        (unsigned long long)e->pc, trace_cat_name(__builtin_ctz(e->cat)));
    if (e->cat == TRACE_INSN) /* its one field is its code */
        add(buf, &at, "%-30s %-40s", d->field[0].text, d->name);
    else
        add(buf, &at, "%-12s", d->name);
    if (e->cat != TRACE_INSN)
        add_fields(buf, &at, d);
    if (d->symbol[0])
        add(buf, &at, " <%s>", d->symbol);
    add_end(buf, &at, tty);
    return at;
}
