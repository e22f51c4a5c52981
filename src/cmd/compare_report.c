/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compare_report.c - a difference, as a person wants to read it: the
 * instruction, what is not the same behind it, and how both got there.
 */
#include "cmd/compare_int.h"

#include <string.h>
#include <unistd.h>

#include "machine/machine.h"

const char *report_end(const struct lockstep_point *p, char *buf, size_t len)
{
    static const char *const names[] = {
        [MACHINE_RUNS] = "runs on",       [MACHINE_POWEROFF] = "power off",
        [MACHINE_QUIT] = "quit",          [MACHINE_RESET] = "reset",
        [MACHINE_PANIC] = "kernel panic", [MACHINE_TRIPLE] = "triple fault",
        [MACHINE_STOPPED] = "stopped",    [MACHINE_DEBUG] = "debug exit",
        [MACHINE_FAILED] = "failed",
    };

    if (p->end == MACHINE_DEBUG)
        snprintf(buf, len, "debug exit with %u", p->value);
    else
        snprintf(buf, len, "%s",
                 p->end < ARRAY_SIZE(names) ? names[p->end] : "ended");
    return buf;
}

/* --- the last instructions --- */

static void print_insn(char mark, const struct past *p, unsigned side)
{
    const struct lockstep_insn *in = &p->insn[side];
    char bytes[3 * sizeof(in->bytes) + 1] = "";

    for (unsigned i = 0; i < in->len && i < sizeof(in->bytes); i++)
        sprintf(bytes + 3 * i, "%02x ", in->bytes[i]);
    printf("%c %12llu  vcpu%u  %016llx %-24s %s\n", mark,
           (unsigned long long)p->number, p->cpu, (unsigned long long)in->rip,
           bytes, in->text);
    if (p->events[side][0])
        printf("%c %12s         %sand the first instruction of the handler\n",
               mark, "", p->events[side]);
}

/* A line with the symbol, where it is another than the line before has. */
static void print_symbol(const struct lockstep_insn *in, char *last,
                         size_t room)
{
    size_t n = strcspn(in->symbol, "+");

    if (!in->symbol[0] || (!strncmp(in->symbol, last, n) && strlen(last) == n))
        return;
    snprintf(last, room, "%.*s", (int)n, in->symbol);
    printf("%24s%s:\n", "", in->symbol);
}

static bool past_same(const struct past *p)
{
    return p->insn[0].rip == p->insn[1].rip &&
           p->insn[0].len == p->insn[1].len &&
           !memcmp(p->insn[0].bytes, p->insn[1].bytes, p->insn[0].len) &&
           !strcmp(p->events[0], p->events[1]);
}

static void print_history(const struct history *h, const struct found *f)
{
    unsigned n = MIN(h->count, COMPARE_HISTORY);
    char symbol[96] = "";

    if (!n)
        return;
    printf("\nThe last instructions of both%s:\n\n",
           f->single ? "; those marked A or B, of one"
                     : ", the interval marked with *");
    for (unsigned i = h->count - n; i < h->count; i++) {
        const struct past *p = &h->past[i % COMPARE_HISTORY];
        bool last = i + 1 == h->count && f->single;

        print_symbol(&p->insn[0], symbol, sizeof(symbol));
        if (past_same(p) && !last) {
            print_insn(!f->single && p->number > f->from ? '*' : ' ', p, 0);
        } else {
            print_insn('A', p, 0);
            print_insn('B', p, 1);
        }
    }
}

/* --- what differs --- */

static void print_differences(const struct differences *l)
{
    for (unsigned i = 0; i < l->count; i++) {
        const struct difference *d = &l->d[i];

        printf("  %s\n", d->name);
        if (d->before[0])
            printf("    before  %s\n", d->before);
        printf("    A       %s\n    B       %s\n", d->value[0], d->value[1]);
    }
    if (l->total > l->count)
        printf("  and %u more\n", l->total - l->count);
}

static const struct past *history_last(const struct history *h)
{
    return h->count ? &h->past[(h->count - 1) % COMPARE_HISTORY] : NULL;
}

static void print_where(const struct compare *c, const struct found *f)
{
    const struct past *p = history_last(&c->history);
    unsigned long long from = f->from + 1, to = f->to;

    if (!f->to)
        printf("They differ before the first instruction:\n\n");
    else if (!f->single)
        printf("They differ after instructions %llu to %llu, but only if these "
               "run without a stop:\nthe difference is in what an engine makes "
               "of several instructions.\n\n",
               from, to);
    else if (p)
        printf("They differ after instruction %llu, on vCPU %u:\n\n"
               "  %016llx  %s%s%s\n\n",
               to, p->cpu, (unsigned long long)p->insn[0].rip,
               p->insn[0].symbol, p->insn[0].symbol[0] ? "  " : "",
               p->insn[0].text);
}

void report_difference(struct compare *c, const struct found *f,
                       const struct differences *l)
{
    print_where(c, f);
    print_differences(l);
    print_history(&c->history, f);
}

/* --- consoles --- */

/* The line that begins at or before `at`, for printing. */
static void print_line(const struct side *s, off_t at)
{
    char line[81];
    ssize_t n = pread(s->console, line, sizeof(line) - 1, at);

    line[MAX(n, 0)] = '\0';
    line[strcspn(line, "\r\n")] = '\0';
    printf("    %c       %s\n", s->letter, line);
}

bool report_console(struct compare *c)
{
    off_t at = 0, line = 0;
    char a[4096], b[4096];
    ssize_t n, m;

    for (;;) {
        n = pread(c->side[0].console, a, sizeof(a), at);
        m = pread(c->side[1].console, b, sizeof(b), at);
        if (n <= 0 && m <= 0)
            return false;
        for (ssize_t i = 0; i < MAX(n, m); i++) {
            if (i >= n || i >= m || a[i] != b[i]) {
                printf("The consoles' output differs from byte %lld on:\n",
                       (long long)at + i);
                print_line(&c->side[0], line);
                print_line(&c->side[1], line);
                return true;
            }
            if (a[i] == '\n')
                line = at + i + 1;
        }
        at += n;
    }
}
