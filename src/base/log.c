/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/utf8.h"

/*
 * Process-wide by nature: stderr is. Written at start-up, or atomically.
 */
static struct {
    _Atomic int level;
    _Atomic bool raw;
    _Atomic unsigned guest_second; /* the second that guest_lines counts */
    _Atomic unsigned guest_lines;
    _Atomic bool asserted;
    void (*_Atomic hooks[8])(void);
    _Atomic int fd;
    _Atomic bool json;
} state = {.level = LOG_WARN, .fd = STDERR_FILENO};

void log_set_level(enum log_level level)
{
    state.level = level;
}

void log_set_file(int fd, bool json)
{
    state.fd = fd;
    state.json = json;
}

int log_file(void)
{
    return state.fd;
}

void log_set_raw(bool raw)
{
    state.raw = raw;
}

/* Of JSON: quotes, backslashes and control characters are escaped. */
static size_t json_escape(char *out, size_t size, const char *text)
{
    size_t n = 0;

    for (; *text && n + 7 < size; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\')
            n += (size_t)snprintf(out + n, size - n, "\\%c", c);
        else if (c < 0x20)
            n += (size_t)snprintf(out + n, size - n, "\\u%04x", c);
        else
            out[n++] = (char)c;
    }
    out[n] = 0;
    return n;
}

static size_t json_line(char *line, size_t size, const char *level,
                        const char *text)
{
    struct timespec t;
    struct tm tm;
    char when[40];
    size_t n;

    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
    n = (size_t)snprintf(line, size, "{\"level\":\"%s\",\"msg\":\"", level);
    n += json_escape(line + n, size - n - 64, text);
    return n +
           (size_t)snprintf(line + n, size - n, "\",\"time\":\"%s\"}\n", when);
}

static void log_vat(enum log_level level, const char *fmt, va_list ap)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    const char *end = state.raw ? "\r\n" : "\n";
    char text[600], line[1600];
    size_t n;

    vsnprintf(text, sizeof(text), fmt, ap);
    utf8_make_printable(text);
    if (state.json)
        n = json_line(line, sizeof(line), names[level], text);
    else
        n = (size_t)snprintf(line, sizeof(line), "ringfence: %s: %s%s",
                             names[level], text, end);
    if (write(state.fd, line, n) < 0)
        return; /* nowhere left to complain */
}

void log_at(enum log_level level, const char *fmt, ...)
{
    va_list ap;

    if ((int)level > state.level)
        return;
    va_start(ap, fmt);
    log_vat(level, fmt, ap);
    va_end(ap);
}

void log_guest(const char *fmt, ...)
{
    struct timespec ts;
    va_list ap;

    if (state.level < LOG_DEBUG)
        return;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    if (atomic_exchange(&state.guest_second, (unsigned)ts.tv_sec) !=
        (unsigned)ts.tv_sec)
        state.guest_lines = 0;
    if (atomic_fetch_add(&state.guest_lines, 1) >= 20)
        return;
    va_start(ap, fmt);
    log_vat(LOG_DEBUG, fmt, ap);
    va_end(ap);
}

void crash_hook_add(void (*hook)(void))
{
    for (size_t i = 0; i < ARRAY_SIZE(state.hooks); i++) {
        void (*none)(void) = NULL;

        if (atomic_compare_exchange_strong(&state.hooks[i], &none, hook))
            return;
    }
}

void crash_hooks_run(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(state.hooks); i++) {
        void (*hook)(void) = atomic_exchange(&state.hooks[i], NULL);

        if (hook)
            hook();
    }
}

bool crash_by_assert(void)
{
    return state.asserted;
}

void assert_failed(const char *expr, const char *file, int line)
{
    /* first: a hook may fail too */
    log_error("internal: %s:%d: %s is not true; this is a fault of "
              "Ringfence's, please report it",
              file, line, expr);
    state.asserted = true;
    crash_hooks_run();
    abort();
}
