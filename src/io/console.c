/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console.c - stdin and stdout.
 *
 * stdout must never block the event thread, and O_NONBLOCK would be seen by
 * everybody who shares it, the shell included; so terminals and pipes are
 * opened anew where /proc allows that. Event thread, device lock; only
 * console_restore() may run anywhere.
 */
#include "io/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/log.h"

#define ESCAPE_KEY 0x01 /* Ctrl-A */
/*
 * How long it takes to believe that somebody listens. Nobody waits for what
 * comes from a file or a pipe, and on a busy host a boot takes its time.
 */
#define SERIAL_NS      4000000000ull
#define SERIAL_FILE_NS 30000000000ull
#define VIRTIO_NS      1000000000ull

/*
 * Process-wide by nature: the terminal is, and a signal handler has no other
 * way to it. Written before `raw` or `flags_set` is set, once.
 */
static struct {
    _Atomic bool raw, flags_set;
    struct termios tty; /* of stdin, as we found it */
    int flags;          /* of stdout, as we found it */
} restore;

void console_restore(void)
{
    int e = errno;

    if (atomic_exchange(&restore.raw, false))
        tcsetattr(STDIN_FILENO, TCSANOW, &restore.tty);
    if (atomic_exchange(&restore.flags_set, false))
        fcntl(STDOUT_FILENO, F_SETFL, restore.flags);
    errno = e;
}

static void console_fatal(int sig)
{
    if (sig == SIGSEGV || sig == SIGBUS || sig == SIGILL || sig == SIGFPE ||
        sig == SIGABRT)
        crash_hooks_run(); /* our own fault; an assert has run them before */
    console_restore();
    raise(sig); /* SA_RESETHAND: now the default action */
}

void console_guard_signals(void)
{
    static const int sigs[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGSEGV,
                               SIGBUS, SIGILL,  SIGFPE, SIGABRT};
    struct sigaction sa = {.sa_handler = console_fatal,
                           .sa_flags = (int)SA_RESETHAND | SA_NODEFER};

    for (unsigned i = 0; i < ARRAY_SIZE(sigs); i++) {
        struct sigaction old;

        if (!sigaction(sigs[i], NULL, &old) && !(old.sa_flags & SA_SIGINFO) &&
            old.sa_handler == SIG_DFL)
            sigaction(sigs[i], &sa, NULL);
    }
}

static struct termios raw_of(const struct termios *tty)
{
    struct termios t = *tty;

    cfmakeraw(&t);
    return t;
}

/*
 * The keeper: nobody can handle SIGKILL, so a child waits for the end of the
 * pipe and puts the terminal back if it is still as we left it. It has a
 * session of its own, so that no key and no hang-up reaches it, and none of
 * our files: locks on disks must go with us.
 */
static noreturn_fn void keeper_main(int end)
{
    struct termios now, raw = raw_of(&restore.tty);
    sigset_t all;
    char c;

    prctl(PR_SET_NAME, "ringfence-tty");
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    setsid();
    dup2(end, STDOUT_FILENO);
    close_range(STDERR_FILENO, ~0u, 0);
    while (read(STDOUT_FILENO, &c, 1) < 0 && errno == EINTR)
        continue;
    if (!tcgetattr(STDIN_FILENO, &now) && now.c_lflag == raw.c_lflag &&
        now.c_iflag == raw.c_iflag && now.c_oflag == raw.c_oflag)
        tcsetattr(STDIN_FILENO, TCSANOW, &restore.tty);
    _exit(0);
}

/* Without one, only SIGKILL leaves the terminal raw: no reason to stop. */
static void keeper_start(struct console *c)
{
    int end[2];

    if (pipe2(end, O_CLOEXEC))
        return;
    c->keeper_pid = fork();
    if (!c->keeper_pid)
        close(end[1]), keeper_main(end[0]);
    close(end[0]);
    c->keeper = end[1];
    if (c->keeper_pid < 0) {
        close(c->keeper);
        c->keeper = -1;
    }
}

static void keeper_stop(struct console *c)
{
    if (c->keeper < 0)
        return;
    close(c->keeper);
    c->keeper = -1;
    while (waitpid(c->keeper_pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

static void console_raw(void)
{
    struct termios t = raw_of(&restore.tty);

    if (tcsetattr(STDIN_FILENO, TCSANOW, &t))
        return;
    restore.raw = true;
    log_set_raw(true);
}

/* Gives up on stdout: the guest goes on talking to nobody. */
static void out_die(struct console *c, int e)
{
    if (c->out_dead)
        return;
    c->out_dead = true;
    c->out_len = 0;
    if (c->out_on)
        loop_remove(c->loop, &c->out);
    c->out_on = false;
    if (c->events && c->events->closed)
        c->events->closed(c->events_ctx, e);
}

/* As much as goes without blocking; regular files take everything. */
static size_t out_now(struct console *c, const uint8_t *buf, size_t len)
{
    size_t done = 0;

    while (done < len && !c->out_dead) {
        ssize_t n = write(c->out.fd, buf + done, len - done);

        if (n >= 0)
            done += (size_t)n;
        else if (errno == EAGAIN)
            break;
        else if (errno != EINTR)
            out_die(c, errno);
    }
    return c->out_dead ? len : done;
}

static void out_watch(struct console *c)
{
    bool want = c->out_len && c->out_polls && !c->out_dead;
    struct error err;

    if (want == c->out_on)
        return;
    if (!want)
        loop_remove(c->loop, &c->out);
    else if (loop_add(c->loop, &c->out, EPOLLOUT, &err))
        return;
    c->out_on = want;
}

static void out_flush(struct console *c)
{
    while (c->out_len) {
        size_t run = MIN(c->out_len, CONSOLE_OUT_MAX - c->out_head);
        size_t n = out_now(c, c->out_buf + c->out_head, run);

        if (c->out_dead)
            return;
        c->out_head = (unsigned)(c->out_head + n) % CONSOLE_OUT_MAX;
        c->out_len -= (unsigned)n;
        if (n < run)
            return;
    }
}

static bool deferring(const struct console *c)
{
    return c->events && c->events->input;
}

/* Blocks until all of it is out: a guest must not see how fast we are. */
static size_t out_wait(struct console *c, const uint8_t *buf, size_t len)
{
    struct pollfd p = {.fd = c->out.fd, .events = POLLOUT};
    size_t done = 0;

    while (!c->out_dead && (c->out_len || done < len)) {
        poll(&p, 1, -1);
        out_flush(c);
        if (!c->out_len)
            done += out_now(c, buf + done, len - done);
    }
    return len;
}

static size_t console_write(struct console *c, const uint8_t *buf, size_t len)
{
    size_t done = c->out_len ? 0 : out_now(c, buf, len);

    if (deferring(c) && len - done > CONSOLE_OUT_MAX - c->out_len)
        done += out_wait(c, buf + done, len - done);
    while (done < len && c->out_len < CONSOLE_OUT_MAX) {
        c->out_buf[(c->out_head + c->out_len++) % CONSOLE_OUT_MAX] =
            buf[done++];
    }
    out_watch(c);
    return done;
}

static void out_ready(struct loop_fd *lf, uint32_t events)
{
    struct console *c = container_of(lf, struct console, out);

    if ((events & EPOLLERR) && !(events & EPOLLOUT)) {
        out_die(c, EPIPE);
    } else {
        out_flush(c);
    }
    out_watch(c);
    if (c->out_len > CONSOLE_OUT_MAX / 2)
        return;
    if (c->serial_waits) {
        c->serial_waits = false;
        chardev_writable(&c->serial);
    }
    if (c->virtio_waits) {
        c->virtio_waits = false;
        chardev_writable(&c->virtio);
    }
}

/*
 * Who gets input. Linux opens the serial port before it loads the driver of
 * the virtio console, so what comes before then is for the latter; and that
 * driver throws away what comes while it starts. So a new listener has to
 * last a while first, or to say something.
 *
 * A distribution may load that driver and never use it, its login prompt
 * being on the serial port: if that port has spoken since, and the virtio
 * console has not, then input is for the serial port.
 *
 * Firmware, a boot loader, a memory tester ask the serial port for keys over
 * and over: then there is nothing to wait for, until a kernel takes over.
 */
static bool virtio_listens(struct console *c)
{
    return chardev_ready(&c->virtio) && (c->virtio_spoke || !c->serial_spoke);
}

static struct chardev *in_target(struct console *c)
{
    bool keep = c->settled && c->listener == &c->serial;
    struct chardev *now = NULL;

    if (!c->virtio.client)
        return &c->serial;
    if (chardev_polled(&c->serial) && !chardev_ready(&c->virtio)) {
        c->listener = NULL;
        c->settled = false;
        timer_cancel(&c->settle);
        return &c->serial;
    }
    if (virtio_listens(c))
        now = &c->virtio;
    else if (keep || chardev_room(&c->serial))
        now = &c->serial;
    if (now != c->listener) {
        c->listener = now;
        c->settled = false;
        timer_cancel(&c->settle);
        if (now)
            timer_arm(&c->settle,
                      clock_now(c->loop->clock) + (now == &c->virtio ? VIRTIO_NS
                                                   : c->tty          ? SERIAL_NS
                                                            : SERIAL_FILE_NS));
    }
    return c->settled ? now : NULL;
}

/* Hands buffered input to whoever listens. */
static void in_feed(struct console *c)
{
    while (c->in_len) {
        struct chardev *to = in_target(c);
        uint8_t part[256];
        size_t n = to ? MIN(MIN(chardev_room(to), c->in_len), sizeof(part)) : 0;

        if (!n)
            return;
        /* Taken out first: the device may call back for more. */
        memcpy(part, c->in_buf, n);
        c->in_len -= (unsigned)n;
        memmove(c->in_buf, c->in_buf + n, c->in_len);
        chardev_receive(to, part, n);
    }
}

/*
 * A terminal is read even if nobody takes what it says: Ctrl-A x must get
 * through. console_input() drops the oldest keys then.
 */
static size_t in_room(const struct console *c)
{
    unsigned used = c->deferred + (c->tty ? 0 : c->in_len);

    return CONSOLE_IN_MAX - MIN(used, CONSOLE_IN_MAX);
}

/* stdin is watched while there is room for what it says. */
static void in_watch(struct console *c)
{
    bool want = !c->in_eof && in_room(c);
    struct error err;

    if (!c->in_polls) {
        if (want && !c->in_len && !timer_armed(&c->pump))
            timer_arm(&c->pump, clock_now(c->loop->clock) + 1000000);
        return;
    }
    if (want == c->in_on)
        return;
    if (!want)
        loop_remove(c->loop, &c->in);
    else if (loop_add(c->loop, &c->in, EPOLLIN, &err))
        return;
    c->in_on = want;
}

void console_input(struct console *c, enum console_input kind, const void *data,
                   size_t len)
{
    uint16_t size[2];

    switch (kind) {
    case CONSOLE_KEYS:
        c->deferred -= (unsigned)MIN(len, c->deferred);
        len = MIN(len, CONSOLE_IN_MAX / 2);
        if (len > CONSOLE_IN_MAX - c->in_len) {
            c->in_len /= 2;
            memmove(c->in_buf, c->in_buf + c->in_len, c->in_len);
        }
        memcpy(c->in_buf + c->in_len, data, len);
        c->in_len += (unsigned)len;
        in_feed(c);
        in_watch(c);
        return;
    case CONSOLE_BREAK:
        chardev_break(&c->serial);
        return;
    case CONSOLE_RESIZE:
        if (len != sizeof(size))
            return;
        memcpy(size, data, sizeof(size));
        chardev_resize(&c->serial, size[0], size[1]);
        chardev_resize(&c->virtio, size[0], size[1]);
        return;
    }
}

static void host_says(struct console *c, enum console_input kind,
                      const void *data, size_t len)
{
    if (!deferring(c)) {
        console_input(c, kind, data, len);
        return;
    }
    if (kind == CONSOLE_KEYS)
        c->deferred += (unsigned)len;
    c->events->input(c->events_ctx, kind, data, len);
}

bool console_interactive(const struct console *c)
{
    return c->in_polls && !c->in_eof;
}

bool console_congested(const struct console *c)
{
    return c->out_len > CONSOLE_OUT_MAX / 2;
}

static void console_help(struct console *c)
{
    static const char text[] = "\r\nCtrl-A x  stop the machine\r\n"
                               "Ctrl-A b  send a break\r\n"
                               "Ctrl-A h  this help\r\n"
                               "Ctrl-A Ctrl-A  send Ctrl-A\r\n";

    console_write(c, (const uint8_t *)text, sizeof(text) - 1);
}

/* The key after Ctrl-A; true: it is for the guest. */
static bool escape_key(struct console *c, uint8_t key)
{
    c->escape = false;
    switch (key) {
    case 'x':
    case 'X':
        if (c->events && c->events->quit)
            c->events->quit(c->events_ctx);
        return false;
    case 'b':
        host_says(c, CONSOLE_BREAK, NULL, 0);
        return false;
    case 'h':
    case '?':
        console_help(c);
        return false;
    default:
        return key == ESCAPE_KEY;
    }
}

static void in_take(struct console *c, const uint8_t *buf, size_t len)
{
    uint8_t keys[CONSOLE_IN_MAX / 2];
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        if (c->escape) {
            if (!escape_key(c, buf[i]))
                continue;
        } else if (c->tty && buf[i] == ESCAPE_KEY) {
            c->escape = true;
            continue;
        }
        keys[n++] = buf[i];
    }
    if (n)
        host_says(c, CONSOLE_KEYS, keys, n);
}

static void in_read(struct console *c)
{
    uint8_t buf[CONSOLE_IN_MAX / 2];
    size_t room = MIN(in_room(c), sizeof(buf));
    ssize_t n;

    if (!room || c->in_eof)
        return;
    n = read(c->in.fd, buf, room);
    if (n > 0)
        in_take(c, buf, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        c->in_eof = true;
}

static void in_ready(struct loop_fd *lf, uint32_t events)
{
    struct console *c = container_of(lf, struct console, in);

    (void)events;
    in_read(c);
    in_watch(c);
}

/* stdin is a file: it is always ready, and epoll does not know it. */
static void in_pump(struct timer *t)
{
    struct console *c = container_of(t, struct console, pump);

    in_read(c);
    in_watch(c);
}

static void in_settled(struct timer *t)
{
    struct console *c = container_of(t, struct console, settle);

    c->settled = true;
    in_feed(c);
    in_watch(c);
}

static void console_accept(struct console *c)
{
    in_feed(c);
    in_watch(c);
}

/* --- viewers --- */

static void views_write(struct console *c, const uint8_t *b, size_t len)
{
    struct console_viewer *v, *next;
    size_t i;

    for (i = len > CONSOLE_BACK ? len - CONSOLE_BACK : 0; i < len; i++)
        c->back[(c->back_len + i) % CONSOLE_BACK] = b[i];
    c->back_len += len;
    for (v = c->viewers; v; v = next) {
        next = v->next;
        v->out(v, b, len);
    }
}

void console_attach(struct console *c, struct console_viewer *v)
{
    size_t n = (size_t)MIN(c->back_len, CONSOLE_BACK);
    size_t from = (size_t)((c->back_len - n) % CONSOLE_BACK);
    size_t first = MIN(n, CONSOLE_BACK - from);

    v->out(v, c->back + from, first);
    v->out(v, c->back, n - first);
    v->next = c->viewers;
    c->viewers = v;
}

void console_detach(struct console *c, struct console_viewer *v)
{
    struct console_viewer **at = &c->viewers;

    while (*at && *at != v)
        at = &(*at)->next;
    if (*at)
        *at = v->next;
}

size_t console_room(const struct console *c)
{
    return in_room(c);
}

void console_type(struct console *c, const uint8_t *keys, size_t len)
{
    host_says(c, CONSOLE_KEYS, keys, MIN(len, CONSOLE_IN_MAX / 2));
}

void console_resize(struct console *c, uint16_t cols, uint16_t rows)
{
    uint16_t size[2] = {cols, rows};

    host_says(c, CONSOLE_RESIZE, size, sizeof(size));
}

static size_t serial_write(struct chardev *chr, const uint8_t *b, size_t len)
{
    struct console *c = container_of(chr, struct console, serial);
    size_t n = console_write(c, b, len);

    views_write(c, b, n);
    c->serial_spoke = chardev_ready(&c->virtio);
    c->virtio_spoke &= c->serial_spoke; /* not before a reset */
    c->serial_waits |= n < len;
    return n;
}

static size_t virtio_write(struct chardev *chr, const uint8_t *b, size_t len)
{
    struct console *c = container_of(chr, struct console, virtio);
    size_t n = console_write(c, b, len);

    views_write(c, b, n);
    c->virtio_spoke = true;
    c->virtio_waits |= n < len;
    if (c->listener == chr && !c->settled)
        timer_arm(&c->settle, 0); /* it lives */
    return n;
}

static void serial_accept(struct chardev *chr)
{
    console_accept(container_of(chr, struct console, serial));
}

static void virtio_accept(struct chardev *chr)
{
    console_accept(container_of(chr, struct console, virtio));
}

static const struct chardev_ops serial_ops = {serial_write, serial_accept};
static const struct chardev_ops virtio_ops = {virtio_write, virtio_accept};

static void console_measure(struct console *c)
{
    struct winsize ws;
    uint16_t size[2];

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) &&
        ioctl(STDIN_FILENO, TIOCGWINSZ, &ws))
        return;
    size[0] = ws.ws_col;
    size[1] = ws.ws_row;
    host_says(c, CONSOLE_RESIZE, size, sizeof(size));
}

static void sig_ready(struct loop_fd *lf, uint32_t events)
{
    struct console *c = container_of(lf, struct console, sig);
    struct signalfd_siginfo si;

    (void)events;
    while (read(lf->fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
        if (si.ssi_signo == SIGCONT && c->tty)
            console_raw(); /* the shell has changed it meanwhile */
    console_measure(c);
}

/* An own, non-blocking description of stdout, or the shared one. */
static void out_open(struct console *c)
{
    struct stat st;
    int flags = fcntl(STDOUT_FILENO, F_GETFL);

    c->out.fd = STDOUT_FILENO;
    c->out.ready = out_ready;
    if (fstat(STDOUT_FILENO, &st) || S_ISREG(st.st_mode) || flags < 0)
        return;
    c->out_polls = true;
    if (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode)) {
        int fd = open("/proc/self/fd/1",
                      O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

        if (fd >= 0) {
            c->out.fd = fd;
            c->out_opened = true;
            return;
        }
    }
    restore.flags = flags;
    if (!(flags & O_NONBLOCK) &&
        !fcntl(STDOUT_FILENO, F_SETFL, flags | O_NONBLOCK))
        restore.flags_set = true;
}

static int sig_open(struct console *c, struct error *err)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    sigaddset(&set, SIGCONT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    c->sig.ready = sig_ready;
    c->sig.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (c->sig.fd < 0)
        return error_set(err, errno, "signalfd: %s", strerror(errno));
    return loop_add(c->loop, &c->sig, EPOLLIN, err);
}

int console_init(struct console *c, struct loop *loop,
                 const struct console_events *events, void *ctx,
                 struct error *err)
{
    memset(c, 0, sizeof(*c));
    c->loop = loop;
    c->events = events;
    c->events_ctx = ctx;
    c->serial.ops = &serial_ops;
    c->virtio.ops = &virtio_ops;
    c->in.fd = STDIN_FILENO;
    c->in.ready = in_ready;
    c->sig.fd = c->keeper = -1;
    timer_init(&c->pump, loop, in_pump);
    timer_init(&c->settle, loop, in_settled);
    signal(SIGPIPE, SIG_IGN);
    out_open(c);
    if (sig_open(c, err)) {
        console_fini(c);
        return -err->code;
    }
    if (!tcgetattr(STDIN_FILENO, &restore.tty)) {
        signal(SIGTTOU, SIG_IGN); /* restoring must work in the background */
        c->tty = true;
        crash_hook_add(console_restore);
        keeper_start(c);
        console_raw();
    }
    if (!loop_add(loop, &c->in, EPOLLIN, err))
        c->in_polls = c->in_on = true;
    else if (err->code == EBADF)
        c->in_eof = true; /* stdin is closed */
    in_watch(c);
    console_measure(c);
    return 0;
}

void console_fini(struct console *c)
{
    struct pollfd p = {.fd = c->out.fd, .events = POLLOUT};

    for (int tries = 0; tries < 5 && c->out_len && !c->out_dead; tries++) {
        poll(&p, 1, 100);
        out_flush(c);
    }
    if (c->in_on)
        loop_remove(c->loop, &c->in);
    if (c->out_on)
        loop_remove(c->loop, &c->out);
    timer_cancel(&c->pump);
    timer_cancel(&c->settle);
    if (c->sig.fd >= 0) {
        loop_remove(c->loop, &c->sig);
        close(c->sig.fd);
    }
    if (c->out_opened)
        close(c->out.fd);
    c->out_opened = c->in_on = c->out_on = false;
    c->sig.fd = -1;
    console_restore();
    keeper_stop(c);
    log_set_raw(false);
}
