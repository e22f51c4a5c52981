/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compare_side.c - one machine under comparison: a child process that runs
 * `boot --deterministic --lockstep FD`, its console and its messages in
 * memory. It dies with us, whatever we die of.
 */
#include "cmd/compare_int.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/options.h"
#include "engine/engine.h"

/* --- what the user asks for --- */

static const char *engine_name(const void *ctx, unsigned i)
{
    (void)ctx;
    return engines[i] ? engines[i]->name : NULL;
}

/* Another build may have other engines: it will say so itself. */
static int side_check_engine(const struct side *s, struct error *err)
{
    const char *near;

    if (s->exe || !s->engine || !strcmp(s->engine, "auto") ||
        engine_find(s->engine))
        return 0;
    near = options_nearest(s->engine, engine_name, NULL);
    return error_set(err, EINVAL, "%s: there is no engine `%s'; %s%s%s",
                     s->spec, s->engine,
                     near ? "did you mean " : "see boot --engine help",
                     near ? near : "", near ? "?" : "");
}

static bool word_value(const char *word, const char *name, const char **value)
{
    size_t n = strlen(name);

    if (strncmp(word, name, n))
        return false;
    *value = word + n;
    return true;
}

void side_init(struct side *s, char letter)
{
    *s = (struct side){.letter = letter, .fd = -1, .console = -1, .log = -1};
}

int side_parse(struct side *s, const char *spec, struct error *err)
{
    char *word, *next;

    s->spec = spec;
    s->words = strdup(spec);
    if (!s->words)
        return error_set(err, ENOMEM, "out of memory");
    for (word = s->words; word; word = next) {
        if (word_value(word, "cpu=", &s->cpu))
            break; /* its commas are its own */
        next = strchr(word, ',');
        if (next)
            *next++ = '\0';
        if (!word_value(word, "exe=", &s->exe) &&
            !word_value(word, "engine=", &s->engine))
            s->engine = word;
    }
    if ((s->exe && !*s->exe) || (s->engine && !*s->engine) ||
        (s->cpu && !*s->cpu))
        return error_set(err, EINVAL,
                         "`%s': not a side; give ENGINE, or some of "
                         "engine=NAME,exe=PATH,cpu=MODEL",
                         spec);
    return side_check_engine(s, err);
}

static void shot_free(struct shot *shot)
{
    free(shot->state);
    *shot = (struct shot){0};
}

void side_free(struct side *s)
{
    free(s->words);
    s->words = NULL;
}

/* --- the process --- */

/* Their messages and console output; what is not wanted costs no file. */
static int memory_file(const char *name, struct error *err)
{
    int fd = memfd_create(name, MFD_CLOEXEC);

    return fd >= 0 ? fd
                   : error_set(err, errno, "cannot make a file in memory: %s",
                               strerror(errno));
}

static noreturn_fn void side_exec(const struct compare *c, const struct side *s,
                                  int fd, pid_t parent)
{
    char **argv = calloc((size_t)c->option_count + 10, sizeof(*argv));
    char number[16];
    int n = 0, null = open("/dev/null", O_RDONLY);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || !argv)
        _exit(EXIT_FAILURE);
    setpgid(0, 0); /* Ctrl-C is ours */
    dup2(null, STDIN_FILENO);
    dup2(s->console, STDOUT_FILENO);
    dup2(s->log, STDERR_FILENO);
    fcntl(fd, F_SETFD, 0);
    snprintf(number, sizeof(number), "%d", fd);
    argv[n++] = (char *)"ringfence";
    argv[n++] = (char *)"boot";
    if (!c->replay) { /* a recording has its own seed */
        argv[n++] = (char *)"--deterministic";
        argv[n++] = (char *)"--seed=1";
    }
    for (int i = 0; i < c->option_count; i++)
        argv[n++] = c->options[i];
    argv[n++] = (char *)"--lockstep";
    argv[n++] = number;
    if (s->engine) {
        argv[n++] = (char *)"--engine";
        argv[n++] = (char *)s->engine;
    }
    if (s->cpu) {
        argv[n++] = (char *)"--cpu";
        argv[n++] = (char *)s->cpu;
    }
    execv(s->exe ? s->exe : "/proc/self/exe", argv);
    dprintf(STDERR_FILENO, "cannot run %s: %s\n", s->exe, strerror(errno));
    _exit(EXIT_FAILURE);
}

static int side_spawn(struct compare *c, struct side *s, struct error *err)
{
    pid_t parent = getpid();
    int pair[2];

    s->console = memory_file("console", err);
    s->log = memory_file("log", err);
    if (s->console < 0 || s->log < 0)
        return -err->code;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return error_set(err, errno, "cannot make a socket: %s",
                         strerror(errno));
    s->fd = pair[0];
    s->pid = fork();
    if (!s->pid)
        side_exec(c, s, pair[1], parent);
    close(pair[1]);
    if (s->pid < 0) {
        s->pid = 0;
        return error_set(err, errno, "cannot start a process: %s",
                         strerror(errno));
    }
    return 0;
}

static void close_file(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int side_wait(struct side *s)
{
    int status = 0;

    while (s->pid && waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    s->pid = 0;
    return status;
}

static void side_stop(struct side *s)
{
    if (s->pid)
        kill(s->pid, SIGKILL);
    side_wait(s);
    close_file(&s->fd);
    close_file(&s->console);
    close_file(&s->log);
    shot_free(&s->now);
    shot_free(&s->before);
}

void sides_stop(struct compare *c)
{
    side_stop(&c->side[0]);
    side_stop(&c->side[1]);
}

/* The line that a process left behind, without who said it. */
static const char *side_last_word(struct side *s, char *buf, size_t room)
{
    static const char who[] = "ringfence boot: ";
    ssize_t len = pread(s->log, buf, room - 1, 0);

    buf[MAX(len, 0)] = '\0';
    buf[strcspn(buf, "\n")] = '\0';
    return strncmp(buf, who, strlen(who)) ? buf : buf + strlen(who);
}

/* It is gone, and not as a guest goes: says what it said. */
static int side_died(struct side *s, int rc, struct error *err)
{
    char line[400];
    const char *word = side_last_word(s, line, sizeof(line));
    int status;

    if (rc != -EPIPE && rc != -ECONNRESET)
        return error_set(err, -rc, "%c (%s): cannot talk to it: %s", s->letter,
                         s->spec, strerror(-rc));
    status = side_wait(s);
    if (WIFSIGNALED(status))
        return error_set(err, EIO, "%c (%s) was killed by signal %d%s%s",
                         s->letter, s->spec, WTERMSIG(status),
                         *word ? ": " : "", word);
    return error_set(
        err, WIFEXITED(status) && WEXITSTATUS(status) == 2 ? EINVAL : EIO,
        "%c (%s): %s", s->letter, s->spec,
        *word ? word : "it ended without a word");
}

/* --- messages --- */

/* The next message, whose type must be this; malloc()ed. */
static void *side_receive(struct side *s, enum lockstep_type type, size_t *len,
                          struct error *err)
{
    struct lockstep_head head;
    int rc = lockstep_receive(s->fd, &head, sizeof(head));
    void *p = NULL;

    if (!rc && (head.type != type || head.len > LOCKSTEP_BYTES_MAX))
        rc = -EPROTO;
    if (!rc && !(p = malloc(head.len + 1)))
        rc = -ENOMEM;
    if (!rc)
        rc = lockstep_receive(s->fd, p, head.len);
    if (!rc) {
        *len = head.len;
        return p;
    }
    free(p);
    side_died(s, rc, err);
    return NULL;
}

void *side_ask(struct side *s, enum lockstep_type type, const void *arg,
               size_t arg_len, size_t *len, struct error *err)
{
    int rc = lockstep_send(s->fd, type, arg, arg_len);

    if (rc) {
        side_died(s, rc, err);
        return NULL;
    }
    return side_receive(s, LOCKSTEP_DATA, len, err);
}

static int side_receive_point(struct side *s, struct error *err)
{
    size_t len;
    uint8_t *p = side_receive(s, LOCKSTEP_POINT, &len, err);

    if (!p)
        return -err->code;
    if (len < sizeof(s->now.point)) {
        free(p);
        return error_set(err, EPROTO, "%c (%s): a broken answer", s->letter,
                         s->spec);
    }
    shot_free(&s->before);
    s->before = s->now;
    memcpy(&s->now.point, p, sizeof(s->now.point));
    s->now.len = len - sizeof(s->now.point);
    s->now.state = p;
    memmove(p, p + sizeof(s->now.point), s->now.len);
    return 0;
}

static int side_receive_hello(struct side *s, struct error *err)
{
    size_t len;
    void *p = side_receive(s, LOCKSTEP_HELLO, &len, err);

    if (!p)
        return -err->code;
    memcpy(&s->hello, p, MIN(len, sizeof(s->hello)));
    free(p);
    if (len != sizeof(s->hello) || s->hello.version != LOCKSTEP_VERSION)
        return error_set(err, EPROTO,
                         "%c (%s): another version of lock-step; compare "
                         "builds that are closer to each other",
                         s->letter, s->spec);
    s->hello.engine[sizeof(s->hello.engine) - 1] = '\0';
    s->hello.cpu[sizeof(s->hello.cpu) - 1] = '\0';
    return 0;
}

/* --- both --- */

int sides_start(struct compare *c, struct error *err)
{
    for (unsigned i = 0; i < 2; i++)
        if (side_spawn(c, &c->side[i], err))
            return -err->code;
    for (unsigned i = 0; i < 2; i++)
        if (side_receive_hello(&c->side[i], err) ||
            side_receive_point(&c->side[i], err))
            return -err->code;
    if (c->side[0].hello.cpus != c->side[1].hello.cpus ||
        c->side[0].hello.cpus > GUEST_VCPUS_MAX)
        return error_set(err, EPROTO, "the machines have %u and %u vCPUs",
                         c->side[0].hello.cpus, c->side[1].hello.cpus);
    return 0;
}

int sides_run(struct compare *c, uint64_t until, unsigned unit,
              struct error *err)
{
    struct lockstep_run run = {.until = until, .unit = unit};
    int rc;

    for (unsigned i = 0; i < 2; i++) {
        rc = lockstep_send(c->side[i].fd, LOCKSTEP_RUN, &run, sizeof(run));
        if (rc)
            return side_died(&c->side[i], rc, err);
    }
    for (unsigned i = 0; i < 2; i++)
        if (side_receive_point(&c->side[i], err))
            return -err->code;
    return 0;
}

int sides_insns(struct compare *c, struct error *err)
{
    for (unsigned i = 0; i < 2; i++) {
        struct side *s = &c->side[i];
        size_t len, want = s->hello.cpus * sizeof(s->insn[0]);
        void *p = side_ask(s, LOCKSTEP_INSNS, NULL, 0, &len, err);

        if (!p)
            return -err->code;
        memcpy(s->insn, p, MIN(len, want));
        free(p);
        if (len != want)
            return error_set(err, EPROTO, "%c (%s): a broken answer", s->letter,
                             s->spec);
        for (unsigned j = 0; j < s->hello.cpus; j++) {
            s->insn[j].symbol[sizeof(s->insn[j].symbol) - 1] = '\0';
            s->insn[j].text[sizeof(s->insn[j].text) - 1] = '\0';
            s->insn[j].events[sizeof(s->insn[j].events) - 1] = '\0';
        }
    }
    return 0;
}

int sides_finish(struct compare *c, int status[2], struct error *err)
{
    struct lockstep_run run = {.until = UINT64_MAX, .unit = 64};

    for (unsigned i = 0; i < 2; i++) {
        struct side *s = &c->side[i];
        int rc = lockstep_send(s->fd, LOCKSTEP_RUN, &run, sizeof(run));

        if (rc)
            return side_died(s, rc, err);
        status[i] = side_wait(s);
    }
    return 0;
}
