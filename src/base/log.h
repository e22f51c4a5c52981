/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - messages for a person, on stderr, and the last word of an assert.
 *
 * Thread-safe. What a guest can provoke goes through log_guest(), which is
 * silent unless asked for (--verbose) and limited to a few lines a second. A
 * message is one line, whatever it quotes: see utf8_make_printable().
 */
#pragma once

#include "base/util.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);
/*
 * Messages go to `fd` instead of stderr, appended, as lines of JSON if `json`:
 * {"level":...,"msg":...,"time":...}. A last word goes to both.
 */
void log_set_file(int fd, bool json);
int log_file(void); /* the descriptor; that of stderr by default */
/*
 * Terminal in raw mode: end lines with CR LF. Called by io/console.
 */
void log_set_raw(bool raw);
void log_at(enum log_level level, const char *fmt, ...) printf_like(2, 3);

#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

/* A guest did something odd: LOG_DEBUG, rate-limited. */
void log_guest(const char *fmt, ...) printf_like(1, 2);

/*
 * Our own error: prints the place, runs the crash hooks (terminal restore,
 * vCPU dump), aborts. Stays on in release builds; `cond` has no side effects.
 */
void assert_failed(const char *expr, const char *file, int line) noreturn_fn;
#define rf_assert(cond)                                                        \
    (likely(cond) ? (void)0 : assert_failed(#cond, __FILE__, __LINE__))

/*
 * At most 8 hooks, run in the order they came, once, on the thread that
 * failed, whatever locks it holds: after an assert, or in the handler of a
 * fatal signal, where they may only do what is async-signal-safe.
 */
void crash_hook_add(void (*hook)(void));
void crash_hooks_run(void);
/* For hooks: is it an assert, and no signal? */
bool crash_by_assert(void);
