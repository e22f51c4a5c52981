/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console.h - the user's terminal, shared by the serial port and the virtio
 * console.
 *
 * Output of both goes to stdout, through a bounded buffer, never blocking.
 * Input goes to the virtio console as soon as that one takes any; the serial
 * port gets it when the virtio console does not come, or says nothing while
 * the serial port does. A terminal on stdin is
 * put in raw mode, with Ctrl-A as escape; it is restored by console_fini(), by
 * the crash hooks, by whoever calls console_restore() from a signal handler,
 * and after SIGKILL by a small process that waits for our end.
 */
#pragma once

#include <sys/uio.h>

#include "base/loop.h"
#include "base/state.h"
#include "io/chardev.h"

#define CONSOLE_OUT_MAX (64 * 1024)
#define CONSOLE_IN_MAX  4096
#define CONSOLE_BACK    (16 * 1024) /* output that a new viewer gets */

/* What the host's side has to say to the guest. */
enum console_input {
    CONSOLE_KEYS,   /* bytes, Ctrl-A sequences taken out */
    CONSOLE_BREAK,  /* no data */
    CONSOLE_RESIZE, /* uint16_t columns, rows */
};

/* Event thread, locked. */
struct console_events {
    void (*quit)(void *ctx);            /* Ctrl-A x */
    void (*closed)(void *ctx, int err); /* stdout is gone: positive errno */
    /*
     * NULL, or: takes input, to hand it to console_input() when it is time (a
     * deterministic machine). The console's timers must then belong to who
     * does that. All output is taken at once, be it that the caller waits.
     */
    void (*input)(void *ctx, enum console_input kind, const void *data,
                  size_t len);
};

/* Somebody else who sees the output, and may type. Caller-owned. */
struct console_viewer {
    void (*out)(struct console_viewer *v, const uint8_t *buf, size_t len);
    struct console_viewer *next;
};

struct console {
    struct chardev serial, virtio; /* to be given to the devices */

    struct loop *loop;
    const struct console_events *events;
    void *events_ctx;
    struct loop_fd in, out, sig;
    struct timer pump;        /* input that epoll does not cover */
    struct chardev *listener; /* who input is for, NULL: nobody yet */
    struct timer settle;      /* until we believe that: */
    bool settled;
    int keeper; /* our end of the keeper's pipe, -1: none */
    pid_t keeper_pid;
    bool in_polls;      /* stdin is known to epoll */
    bool in_on, in_eof; /* in epoll's set; saw the end */
    bool out_polls, out_on, out_dead;
    bool out_opened; /* out.fd is ours to close */
    bool tty, escape;
    unsigned deferred; /* keys that events->input has, and we not back */
    bool serial_spoke, virtio_spoke; /* since the latter's driver is there */
    bool serial_waits, virtio_waits; /* their last write was short */
    uint8_t in_buf[CONSOLE_IN_MAX];
    unsigned in_len;
    uint8_t out_buf[CONSOLE_OUT_MAX];
    unsigned out_head, out_len;
    struct console_viewer *viewers;
    uint8_t back[CONSOLE_BACK]; /* a ring: the last output */
    uint64_t back_len;          /* all that ever was */
};

/*
 * Takes over stdin and stdout; SIGPIPE is ignored from here on, SIGWINCH and
 * SIGCONT are blocked (in this thread and those it starts later) and read
 * through the loop. To be called before any other thread exists. One console
 * a process.
 */
int console_init(struct console *c, struct loop *loop,
                 const struct console_events *events, void *ctx,
                 struct error *err) must_check;
/*
 * What events->input took, in the same order; locked. KEYS: at most as many
 * as it was given. Of more than fits, the oldest go.
 */
void console_input(struct console *c, enum console_input kind, const void *data,
                   size_t len);
/* Locked. A new viewer gets what was said last, then everything. */
void console_attach(struct console *c, struct console_viewer *v);
void console_detach(struct console *c, struct console_viewer *v);
/* A viewer's keys, at most console_room(), and the size of its window. */
size_t console_room(const struct console *c);
void console_type(struct console *c, const uint8_t *keys, size_t len);
void console_resize(struct console *c, uint16_t cols, uint16_t rows);
/* Can something be typed still, at a time that nobody knows? */
bool console_interactive(const struct console *c);
/* Much output waits for its reader. */
bool console_congested(const struct console *c);
/*
 * Section "console". To load, after the devices: who listens is believed to
 * do so still.
 */
void console_save(const struct console *c, struct state_writer *w);
void console_load(struct console *c, struct state_reader *r);
/* Writes out what is buffered (half a second at most), restores. */
void console_fini(struct console *c);
/* Restores the terminal. Async-signal-safe, any thread, idempotent. */
void console_restore(void);
/*
 * Restores the terminal, then lets the signal do what it would have done, for
 * fatal signals that nobody else handles (INT, TERM, HUP, QUIT, SEGV, BUS,
 * ILL, FPE, ABRT). Call it before installing handlers of one's own.
 */
void console_guard_signals(void);
