/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io_console.c - claims about the terminal: a child process runs a console
 * whose device echoes in capitals; we are the user.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "io/console.h"

#include "test.h"

static struct console con;
static struct loop loop;
static unsigned dead;

static size_t echo_room(void *ctx)
{
    (void)ctx;
    return 16;
}

static void echo(void *ctx, const uint8_t *buf, size_t len)
{
    (void)ctx;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)toupper(buf[i]);

        chardev_write(&con.serial, &c, 1);
        if (c == '!')
            loop_stop(&loop);
    }
}

static const struct chardev_client client = {.can_receive = echo_room,
                                             .receive = echo};

static void on_quit(void *ctx)
{
    (void)ctx;
    loop_stop(&loop);
}

static void on_closed(void *ctx, int err)
{
    (void)ctx;
    dead = (unsigned)err;
    loop_stop(&loop);
}

static const struct console_events events = {on_quit, on_closed};

/* The child: never returns. 0: stopped by '!' or quit; 3: stdout closed. */
static void child(int in, int out, bool crash)
{
    struct clock clock;
    struct error err;

    dup2(in, 0);
    dup2(out, 1);
    for (int fd = 3; fd < 32; fd++)
        close(fd);
    clock_start(&clock, 0);
    if (loop_init(&loop, &clock, &err) ||
        console_init(&con, &loop, &events, NULL, &err))
        _exit(9);
    console_guard_signals();
    chardev_attach(&con.serial, &client, NULL);
    chardev_can_accept(&con.serial);
    if (crash)
        raise(SIGTERM);
    loop_run(&loop);
    console_fini(&con);
    loop_fini(&loop);
    _exit(dead ? 3 : 0);
}

static size_t read_all(int fd, char *buf, size_t room)
{
    size_t n = 0;
    ssize_t r;

    while (n < room - 1 && (r = read(fd, buf + n, room - 1 - n)) > 0)
        n += (size_t)r;
    buf[n] = 0;
    return n;
}

static void pipes_carry_input_and_output(void)
{
    int in[2], out[2], status;
    char buf[64];
    pid_t pid;

    CHECK(!pipe(in) && !pipe(out));
    pid = fork();
    if (!pid)
        child(in[0], out[1], false);
    close(out[1]);
    /* Ctrl-A is nothing special where nobody types. */
    CHECK_EQ(write(in[1], "he\001xllo!", 8), 8);
    read_all(out[0], buf, sizeof(buf));
    CHECK(!strcmp(buf, "HE\001XLLO!"));
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    close(in[0]);
    close(in[1]);
    close(out[0]);
}

static void closed_output_is_reported(void)
{
    int in[2], out[2], status;
    pid_t pid;

    CHECK(!pipe(in) && !pipe(out));
    pid = fork();
    if (!pid)
        child(in[0], out[1], false);
    close(out[1]);
    close(out[0]);
    CHECK_EQ(write(in[1], "a", 1), 1);
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    close(in[0]);
    close(in[1]);
}

static void file_as_input_is_read_to_its_end(void)
{
    char path[] = "/tmp/rf-con-XXXXXX", buf[8192];
    int in = mkstemp(path), out[2], status;
    pid_t pid;

    for (int i = 0; i < 700; i++)
        CHECK_EQ(write(in, "0123456789", 10), 10);
    CHECK_EQ(write(in, "!", 1), 1);
    CHECK_EQ(lseek(in, 0, SEEK_SET), 0);
    CHECK(!pipe(out));
    pid = fork();
    if (!pid)
        child(in, out[1], false);
    close(out[1]);
    CHECK_EQ(read_all(out[0], buf, sizeof(buf)), 7001);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    close(in);
    close(out[0]);
    unlink(path);
}

static int pty_open(int *slave)
{
    int m = posix_openpt(O_RDWR | O_NOCTTY);

    if (m < 0 || grantpt(m) || unlockpt(m))
        return -1;
    *slave = open(ptsname(m), O_RDWR | O_NOCTTY);
    return *slave < 0 ? -1 : m;
}

static void terminal_is_raw_and_restored(void)
{
    struct termios before, during, after;
    int s, m = pty_open(&s), status;
    char buf[512];
    pid_t pid;

    if (m < 0)
        SKIP("no pseudo-terminals here");
    CHECK(!tcgetattr(s, &before));
    pid = fork();
    if (!pid)
        child(s, s, false);
    for (int i = 0; i < 200; i++) {
        usleep(5000);
        if (!tcgetattr(s, &during) && !(during.c_lflag & ICANON))
            break;
    }
    CHECK(!(during.c_lflag & (ICANON | ECHO | ISIG)));
    CHECK_EQ(write(m, "\003\001\001\001h", 5), 5); /* ^C, ^A, help */
    usleep(50000);
    CHECK_EQ(write(m, "\001x", 2), 2);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(!tcgetattr(s, &after));
    CHECK_EQ(after.c_lflag, before.c_lflag);
    CHECK(!(fcntl(s, F_GETFL) & O_NONBLOCK));
    close(s);
    CHECK(read_all(m, buf, sizeof(buf)) > 20);
    CHECK(strstr(buf, "\003\001") && strstr(buf, "this help"));
    close(m);
}

static void terminal_is_restored_when_killed(void)
{
    struct termios before, after;
    int s, m = pty_open(&s), status;
    pid_t pid;

    if (m < 0)
        SKIP("no pseudo-terminals here");
    CHECK(!tcgetattr(s, &before));
    pid = fork();
    if (!pid)
        child(s, s, true);
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    CHECK(!tcgetattr(s, &after));
    CHECK_EQ(after.c_lflag, before.c_lflag);
    close(s);
    close(m);
}

/* --- who gets input, while a machine boots --- */

/* A terminal's two ends in the guest, and what each was given. */
struct ends {
    struct clock clock;
    struct timer stop;
    bool serial_up, polled, virtio_up;
    char serial[16], virtio[16];
};
static struct ends ends;

static bool virtio_ready(void *ctx)
{
    (void)ctx;
    return ends.virtio_up;
}

static bool serial_polled(void *ctx)
{
    (void)ctx;
    return ends.polled;
}

static size_t serial_room(void *ctx)
{
    (void)ctx;
    return ends.serial_up || ends.polled ? 16 : 0;
}

static size_t virtio_room(void *ctx)
{
    (void)ctx;
    return ends.virtio_up ? 16 : 0;
}

static void to_serial(void *ctx, const uint8_t *buf, size_t len)
{
    (void)ctx;
    strncat(ends.serial, (const char *)buf, len);
}

static void to_virtio(void *ctx, const uint8_t *buf, size_t len)
{
    (void)ctx;
    strncat(ends.virtio, (const char *)buf, len);
}

static const struct chardev_client serial_end = {
    .can_receive = serial_room, .polled = serial_polled, .receive = to_serial};
static const struct chardev_client virtio_end = {
    .ready = virtio_ready, .can_receive = virtio_room, .receive = to_virtio};

static void ends_stop(struct timer *t)
{
    loop_stop(t->loop);
}

/* Time passes; what was due happens. */
static void ends_wait(unsigned ms)
{
    ends.clock.base_ns -= ms * 1000000ull;
    loop_lock(&loop);
    timer_arm(&ends.stop, 0);
    loop_unlock(&loop);
    loop_run(&loop);
}

static void ends_type(const char *keys)
{
    loop_lock(&loop);
    console_type(&con, (const uint8_t *)keys, strlen(keys));
    chardev_can_accept(&con.serial);
    loop_unlock(&loop);
    ends_wait(1);
}

static void say(struct chardev *c)
{
    loop_lock(&loop);
    chardev_write(c, (const uint8_t *)"$", 1);
    loop_unlock(&loop);
}

static bool got(const char *serial, const char *virtio)
{
    bool same = !strcmp(ends.serial, serial) && !strcmp(ends.virtio, virtio);

    if (!same)
        fprintf(stderr, "serial `%s', virtio `%s'\n", ends.serial, ends.virtio);
    return same;
}

/* Each in a process of its own: there is one console in a process. */
static bool with_ends(bool (*story)(void))
{
    int status, m, s = -1;
    struct error err;
    pid_t pid;

    m = pty_open(&s);
    pid = m < 0 ? -1 : fork();
    if (!pid) {
        int null = open("/dev/null", O_WRONLY);

        dup2(s, 0);
        dup2(null, 1);
        clock_start(&ends.clock, 100000000000ull);
        if (loop_init(&loop, &ends.clock, &err) ||
            console_init(&con, &loop, &events, NULL, &err))
            _exit(9);
        timer_init(&ends.stop, &loop, ends_stop);
        chardev_attach(&con.serial, &serial_end, NULL);
        chardev_attach(&con.virtio, &virtio_end, NULL);
        status = story() ? 0 : 1;
        console_fini(&con);
        _exit(status);
    }
    close(s);
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    close(m);
    return pid > 0 && status == 0;
}

static bool no_driver_comes(void)
{
    ends_type("a");
    if (!got("", ""))
        return false;
    ends.serial_up = true;
    ends_type("b");
    ends_wait(3500);
    if (!got("", "")) /* the other may still come */
        return false;
    ends_wait(1000);
    ends_type("c");
    return got("abc", "");
}

static bool driver_comes(void)
{
    ends.serial_up = true;
    ends_type("a");
    ends_wait(2000);
    ends.virtio_up = true;
    ends_type("b");
    if (!got("", ""))
        return false;
    ends_wait(1100); /* it has lasted */
    ends_type("c");
    return got("", "abc");
}

static bool driver_speaks(void)
{
    ends.serial_up = ends.virtio_up = true;
    ends_type("a");
    say(&con.virtio);
    ends_wait(1);
    return got("", "a");
}

static bool driver_is_silent(void)
{
    ends.serial_up = ends.virtio_up = true;
    ends_type("a");
    say(&con.serial);
    ends_type("b");
    ends_wait(4100);
    return got("ab", "");
}

static bool firmware_polls(void)
{
    ends.polled = true;
    ends_type("a");
    if (!got("a", ""))
        return false;
    /* A kernel takes over: as if it had been there from the start. */
    ends.polled = false;
    ends.serial_up = true;
    ends_type("b");
    ends_wait(2000);
    ends.virtio_up = true;
    ends_type("c");
    ends_wait(1100);
    return got("a", "bc");
}

/* Saved when it listened; restored where nobody has found that out yet. */
static bool driver_is_restored(void)
{
    struct state_writer *w = state_writer_new();
    struct state_reader *r;
    struct error err;
    const uint8_t *p;
    size_t len;

    ends.virtio_up = true;
    ends_type("a");
    say(&con.virtio);
    ends_wait(1);
    console_save(&con, w);
    con.listener = NULL;
    con.settled = con.virtio_spoke = false;
    p = state_writer_bytes(w, &len);
    r = state_reader_new(p, len, &err);
    console_load(&con, r);
    len = (size_t)state_result(r, &err);
    state_reader_free(r);
    state_writer_free(w);
    ends_type("b");
    return !len && got("", "ab");
}

static void keys_go_to_the_serial_port_if_nobody_else_comes(void)
{
    CHECK(with_ends(no_driver_comes));
}

static void keys_wait_for_the_virtio_console(void)
{
    CHECK(with_ends(driver_comes));
}

static void a_virtio_console_that_speaks_gets_keys_at_once(void)
{
    CHECK(with_ends(driver_speaks));
}

static void a_silent_virtio_console_leaves_keys_to_the_serial_port(void)
{
    CHECK(with_ends(driver_is_silent));
}

static void firmware_that_polls_gets_keys_at_once(void)
{
    CHECK(with_ends(firmware_polls));
}

static void a_restored_listener_gets_keys_at_once(void)
{
    CHECK(with_ends(driver_is_restored));
}

int main(void)
{
    RUN(pipes_carry_input_and_output);
    RUN(closed_output_is_reported);
    RUN(file_as_input_is_read_to_its_end);
    RUN(terminal_is_raw_and_restored);
    RUN(terminal_is_restored_when_killed);
    RUN(keys_go_to_the_serial_port_if_nobody_else_comes);
    RUN(keys_wait_for_the_virtio_console);
    RUN(a_virtio_console_that_speaks_gets_keys_at_once);
    RUN(a_silent_virtio_console_leaves_keys_to_the_serial_port);
    RUN(firmware_that_polls_gets_keys_at_once);
    RUN(a_restored_listener_gets_keys_at_once);
    return test_status();
}
