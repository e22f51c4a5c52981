/* SPDX-License-Identifier: Apache-2.0 */
/*
 * top_screen.c - the live view, on a terminal.
 *
 * Of the terminal it wants what all have had since the VT100: cursor
 * addressing, erasing, reverse video, and the alternate screen, which those
 * without ignore. That is ten sequences: less than a library for all terminals
 * ever made costs. Each picture is one write(), line by line over the last one,
 * so that nothing flickers.
 */
#include "cmd/top_int.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "cmd/cmd.h"

#define WIDTH_MAX  1000u
#define SETTLE_NS  200000000ull /* how long a picture waits for the slow */
#define SILENT_MIN 1000000000ull

enum { KEY_UP = 256, KEY_DOWN, KEY_PAGE_UP, KEY_PAGE_DOWN, KEY_ESC };

struct screen {
    struct top *t;
    uint64_t interval_ns;
    enum top_order sort;
    bool reverse, details, colours, help, leave;
    char chosen[sizeof(((struct sockaddr_un *)0)->sun_path)];
    unsigned scroll; /* of the details */
    unsigned rows, cols;
    struct termios was;
};

/* --- the picture --- */

static void line_out(FILE *f, const struct screen *s, const char *style,
                     const char *text)
{
    bool styled = s->colours && style;

    fprintf(f, "%s%.*s%s\x1b[K", styled ? style : "", (int)s->cols, text,
            styled ? "\x1b[0m" : "");
}

static struct top_item *chosen(const struct screen *s)
{
    for (unsigned i = 0; i < s->t->items; i++)
        if (!strcmp(s->t->item[i]->at.sun_path, s->chosen))
            return s->t->item[i];
    return s->t->items ? s->t->item[0] : NULL;
}

static unsigned chosen_index(const struct screen *s)
{
    const struct top_item *it = chosen(s);

    for (unsigned i = 0; i < s->t->items; i++)
        if (s->t->item[i] == it)
            return i;
    return 0;
}

static void draw_title(FILE *f, const struct screen *s)
{
    char line[WIDTH_MAX], clock[16];
    time_t now = time(NULL);
    struct tm tm;

    strftime(clock, sizeof(clock), "%H:%M:%S", localtime_r(&now, &tm));
    snprintf(line, sizeof(line),
             "ringfence top  %s  %u machine%s  every %.3g s  by %s%s", clock,
             s->t->items, s->t->items == 1 ? "" : "s",
             (double)s->interval_ns / 1e9, top_orders[s->sort],
             s->reverse ? ", reversed" : "");
    line_out(f, s, "\x1b[1m", line);
}

static const char *style_of(const struct screen *s, const struct top_item *it)
{
    if (it == chosen(s))
        return "\x1b[7m";
    switch (it->state) {
    case TOP_SILENT:
    case TOP_GARBAGE:
        return "\x1b[31m";
    case TOP_GONE:
    case TOP_DENIED:
        return "\x1b[2m";
    default:
        return NULL;
    }
}

/* The lines of the table that there is room for, the chosen one among them. */
static void draw_table(FILE *f, const struct screen *s)
{
    unsigned room = s->rows > 3 ? s->rows - 3 : 0, at = chosen_index(s), first;
    unsigned width = s->cols > 1 ? s->cols - 1 : 0;
    char line[WIDTH_MAX + 32];

    first = room && at >= room ? at - room + 1 : 0;
    if (s->rows > 2) {
        fputs("\r\n", f);
        top_head(line + 1, width);
        line[0] = ' ';
        line_out(f, s, "\x1b[1m", line);
    }
    for (unsigned i = first; i < s->t->items && i < first + room; i++) {
        fputs("\r\n", f);
        top_line(s->t->item[i], line + 1, width);
        line[0] = i == at ? '>' : ' ';
        line_out(f, s, style_of(s, s->t->item[i]), line);
    }
}

static void draw_text(FILE *f, struct screen *s, const char *text)
{
    unsigned room = s->rows > 2 ? s->rows - 2 : 0, lines = 0;
    const char *p;
    char line[WIDTH_MAX];

    for (p = text; (p = strchr(p, '\n')); p++)
        lines++;
    s->scroll = MIN(s->scroll, lines > room ? lines - room : 0);
    p = text;
    for (unsigned i = 0; i < s->scroll; i++)
        p = strchr(p, '\n') + 1;
    for (; room && *p; room--) {
        size_t len = strcspn(p, "\n");

        snprintf(line, sizeof(line), "%.*s", (int)MIN(len, sizeof(line) - 1),
                 p);
        fputs("\r\n", f);
        line_out(f, s, NULL, line);
        p += len + (p[len] == '\n');
    }
}

static const char help_text[] =
    "up, down, j, k    choose a machine, or scroll its details\n"
    "Enter             its details: all that it counts; Esc leaves them\n"
    "p                 pause it, or let it go on\n"
    "s, r              sort by something else; the other way round\n"
    "+, -              look more often, less often\n"
    "q                 leave\n"
    "GUEST% STUB% MON% of one host CPU: its vCPUs' threads; processes that "
    "run\n"
    "                  its user code (engine trap); the rest of its monitor\n"
    "RAM RES VMM       the guest's RAM; what of it is resident; what its\n"
    "                  processes take besides\n"
    "silent            is there, and does not answer\n"
    "garbage           says what nobody understands: no machine, or an old "
    "one\n"
    "gone, denied      has ended; is somebody else's\n";

static void draw(struct screen *s)
{
    const struct top_item *it = chosen(s);
    char *text = NULL, *details;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    if (!f)
        return;
    fputs("\x1b[H", f);
    draw_title(f, s);
    if (s->help)
        draw_text(f, s, help_text);
    else if (s->details && it && (details = top_details(it))) {
        draw_text(f, s, details);
        free(details);
    } else {
        draw_table(f, s);
    }
    fputs("\x1b[J", f);
    if (s->rows > 1) {
        fprintf(f, "\x1b[%u;1H", s->rows);
        line_out(f, s, NULL,
                 s->t->items || s->help
                     ? "q leave  h help  Enter details  p pause  s sort"
                     : "no machine runs; q leaves");
    }
    fclose(f);
    if (fd_write(STDOUT_FILENO, text, len))
        s->leave = true; /* nobody looks any more */
    free(text);
}

/* --- keys --- */

/* The next key of those typed; *used: how many bytes it took. */
static int key_next(const char *p, size_t len, size_t *used)
{
    static const struct {
        const char *text;
        int key;
    } keys[] = {
        {"\x1b[A", KEY_UP},       {"\x1bOA", KEY_UP},
        {"\x1b[B", KEY_DOWN},     {"\x1bOB", KEY_DOWN},
        {"\x1b[5~", KEY_PAGE_UP}, {"\x1b[6~", KEY_PAGE_DOWN},
    };

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        *used = strlen(keys[i].text);
        if (*used <= len && !memcmp(p, keys[i].text, *used))
            return keys[i].key;
    }
    *used = 1;
    if (*p != '\x1b')
        return (unsigned char)*p;
    if (len == 1)
        return KEY_ESC;
    while (*used < len && p[*used] < '@') /* something that we do not know */
        ++*used;
    *used = MIN(len, *used + 1);
    return 0;
}

static void choose(struct screen *s, int step)
{
    unsigned at = chosen_index(s);

    if (!s->t->items)
        return;
    if (step < 0)
        at -= MIN(at, (unsigned)-step);
    else
        at = MIN(at + (unsigned)step, s->t->items - 1);
    strcpy(s->chosen, s->t->item[at]->at.sun_path);
}

static void move(struct screen *s, int step)
{
    if (!s->details && !s->help)
        choose(s, step);
    else if (step < 0)
        s->scroll -= MIN(s->scroll, (unsigned)-step);
    else
        s->scroll += (unsigned)step; /* drawing knows where the end is */
}

static void toggle_pause(struct screen *s)
{
    struct top_item *it = chosen(s);

    if (!it || it->state != TOP_UP)
        return;
    strcpy(s->chosen, it->at.sun_path);
    it->wanted = strcmp(it->says, "paused") ? "pause" : "resume";
    top_ask(it);
}

static void pace(struct screen *s, double by)
{
    double ns = (double)s->interval_ns * by;

    if (ns >= 0.1e9 && ns <= 3600e9)
        s->interval_ns = (uint64_t)ns;
}

static void key_do(struct screen *s, int key)
{
    int page = s->rows > 4 ? (int)s->rows - 3 : 1;
    const struct top_item *it;

    switch (key) {
    case 'q':
    case 3: /* Ctrl-C */
        s->leave = true;
        break;
    case KEY_UP:
    case 'k':
        move(s, -1);
        break;
    case KEY_DOWN:
    case 'j':
        move(s, 1);
        break;
    case KEY_PAGE_UP:
        move(s, -page);
        break;
    case KEY_PAGE_DOWN:
    case ' ':
        move(s, page);
        break;
    case '\r':
    case '\n':
        it = chosen(s);
        if (it)
            strcpy(s->chosen, it->at.sun_path);
        s->details = it && !s->details;
        s->scroll = 0;
        break;
    case KEY_ESC:
        s->details = s->help = false;
        break;
    case 'h':
    case '?':
        s->help = !s->help;
        s->scroll = 0;
        break;
    case 's':
        s->sort = (s->sort + 1) % TOP_ORDERS;
        break;
    case 'r':
        s->reverse = !s->reverse;
        break;
    case 'p':
        toggle_pause(s);
        break;
    case '+':
        pace(s, 0.5);
        break;
    case '-':
        pace(s, 2);
        break;
    }
}

static void keys_read(struct screen *s)
{
    char buf[256];
    ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));
    size_t used;

    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
        s->leave = true; /* the terminal is gone */
    for (ssize_t i = 0; i < n; i += (ssize_t)used) {
        key_do(s, key_next(buf + i, (size_t)(n - i), &used));
        /* the next one means what would have been seen by now */
        top_sort(s->t, s->sort, s->reverse);
    }
}

/* --- the terminal --- */

static void size_read(struct screen *s)
{
    struct winsize ws;

    s->rows = 24;
    s->cols = 80;
    if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) && ws.ws_row && ws.ws_col) {
        s->rows = ws.ws_row;
        s->cols = ws.ws_col;
    }
    s->cols = MIN(s->cols, WIDTH_MAX - 1);
}

static void terminal_take(struct screen *s)
{
    struct termios raw = s->was;

    cfmakeraw(&raw);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    /* alternate screen, no cursor, no wrapping at the right edge */
    fputs("\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J", stdout);
    fflush(stdout);
}

static void terminal_give_back(struct screen *s)
{
    fputs("\x1b[?7h\x1b[?25h\x1b[?1049l", stdout);
    fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSANOW, &s->was);
}

/* --- the loop --- */

static void signal_read(struct screen *s, int sig)
{
    struct signalfd_siginfo si;

    if (read(sig, &si, sizeof(si)) != sizeof(si))
        return;
    if (si.ssi_signo == SIGWINCH)
        size_read(s);
    else
        s->leave = true;
}

/* Waits for keys, signals and answers, until `end`. True: draw it anew. */
static bool wait_once(struct screen *s, int sig, uint64_t end, unsigned *open)
{
    struct pollfd p[TOP_ITEMS_MAX + 2];
    struct top_item *who[TOP_ITEMS_MAX];
    uint64_t now = clock_host_now();
    unsigned n = 0, had = *open;
    int ms = now < end ? (int)((end - now) / 1000000) + 1 : 0;

    for (unsigned i = 0; i < s->t->items; i++) {
        if (!s->t->item[i]->link.asked_ns)
            continue;
        who[n] = s->t->item[i];
        p[n++] = (struct pollfd){s->t->item[i]->link.fd, POLLIN, 0};
    }
    p[n] = (struct pollfd){STDIN_FILENO, POLLIN, 0};
    p[n + 1] = (struct pollfd){sig, POLLIN, 0};
    if (poll(p, n + 2, ms) <= 0)
        return false;
    *open = 0;
    for (unsigned i = 0; i < n; i++) {
        if (p[i].revents)
            top_link_ready(who[i]);
        *open += who[i]->link.asked_ns != 0;
    }
    if (p[n].revents)
        keys_read(s);
    if (p[n + 1].revents)
        signal_read(s, sig);
    return p[n].revents || p[n + 1].revents || (had && !*open);
}

/*
 * One interval. The picture is drawn when all have answered, or have had
 * their time, and whenever a key or a signal came.
 */
static void interval(struct screen *s, int sig)
{
    uint64_t start = clock_host_now(), end = start + s->interval_ns;
    uint64_t settled = MIN(end, start + SETTLE_NS);
    unsigned open = 1;
    bool drawn = false;

    top_begin(s->t);
    top_sort(s->t, s->sort, s->reverse);
    while (!s->leave && clock_host_now() < end) {
        bool want = wait_once(s, sig, drawn ? end : settled, &open);

        if (!want && (drawn || clock_host_now() < settled))
            continue;
        for (unsigned i = 0; i < s->t->items; i++)
            top_link_late(s->t->item[i], MAX(SILENT_MIN, s->interval_ns));
        top_sort(s->t, s->sort, s->reverse);
        draw(s);
        drawn = true;
        end = MIN(end, start + s->interval_ns); /* a key may have changed it */
    }
}

int top_screen(struct top *t, uint64_t interval_ns, enum top_order sort)
{
    const char *none = getenv("NO_COLOR");
    struct screen s = {.t = t,
                       .interval_ns = interval_ns,
                       .sort = sort,
                       .colours = !none || !*none};
    sigset_t set;
    int sig;

    if (tcgetattr(STDIN_FILENO, &s.was))
        return EXIT_HOST;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGWINCH);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sig = signalfd(-1, &set, SFD_CLOEXEC);
    size_read(&s);
    terminal_take(&s);
    while (!s.leave)
        interval(&s, sig);
    terminal_give_back(&s);
    close(sig);
    return EXIT_OK;
}
