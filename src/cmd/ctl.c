/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl.c - `ringfence ctl`: the other end of a machine's control socket.
 */
#include "cmd/cmd.h"

#include <dirent.h>
#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"
#include "cmd/options.h"
#include "machine/names.h"

#define LINE_MAX_LEN (4u << 20)
#define LEAVE_KEY    0x1d /* Ctrl-] */

struct verb {
    const char *name;
    const char *args, *help; /* args: the JSON names of its arguments */
    void (*show)(struct json_object *answer);
};

/* A line with its newline, out of a stream; NULL: it ended. */
struct lines {
    int fd;
    char *buf;
    size_t len, room;
};

static char *lines_next(struct lines *l)
{
    for (;;) {
        char *end = l->len ? memchr(l->buf, '\n', l->len) : NULL, *line;
        ssize_t n;

        if (end) {
            size_t part = (size_t)(end - l->buf) + 1;

            line = strndup(l->buf, part - 1);
            l->len -= part;
            memmove(l->buf, l->buf + part, l->len);
            return line;
        }
        if (l->len == l->room) {
            size_t room = l->room ? 2 * l->room : 4096;
            char *p = room > LINE_MAX_LEN ? NULL : realloc(l->buf, room);

            if (!p)
                return NULL;
            l->buf = p;
            l->room = room;
        }
        n = read(l->fd, l->buf + l->len, l->room - l->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return NULL;
        l->len += (size_t)n;
    }
}

/* --- one machine --- */

static int ctl_connect(const char *name, struct error *err)
{
    struct sockaddr_un sa;
    int fd;

    if (name_address(&sa, name, err))
        return -err->code;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set(err, errno, "socket: %s", strerror(errno));
    if (!connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
        return fd;
    error_set(err, errno,
              errno == ENOENT || errno == ECONNREFUSED
                  ? "%s: no such machine runs; see ringfence ctl list"
                  : "%s: cannot connect",
              name);
    close(fd);
    return -err->code;
}

/* Sends the request, consumes it; the answer, or NULL and an error. */
static struct json_object *ctl_ask(struct lines *l, struct json_object *req,
                                   struct error *err)
{
    const char *text =
        json_object_to_json_string_ext(req, JSON_C_TO_STRING_PLAIN);
    struct json_object *o = NULL, *ok, *why;
    char *line = NULL;

    if (!fd_write(l->fd, text, strlen(text)) && !fd_write(l->fd, "\n", 1))
        line = lines_next(l);
    json_object_put(req);
    if (line)
        o = json_tokener_parse(line);
    free(line);
    if (!o || !json_object_object_get_ex(o, "ok", &ok)) {
        json_object_put(o);
        error_set(err, EPIPE, "the machine has gone");
        return NULL;
    }
    if (json_object_get_boolean(ok))
        return o;
    error_set(err, EINVAL, "%s",
              json_object_object_get_ex(o, "error", &why)
                  ? json_object_get_string(why)
                  : "refused");
    json_object_put(o);
    return NULL;
}

static struct json_object *request(const char *command)
{
    struct json_object *o = json_object_new_object();

    json_object_object_add(o, "command", json_object_new_string(command));
    return o;
}

/* --- answers for people --- */

static void show_fields(struct json_object *answer)
{
    json_object_object_foreach(answer, key, val)
    {
        if (strcmp(key, "ok"))
            printf("%-13s %s\n", key, json_object_get_string(val));
    }
}

static void show_json(struct json_object *answer)
{
    puts(json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PRETTY));
}

/* --- the console --- */

/*
 * Keys and output until Ctrl-] or the machine's end. Input that is no
 * terminal may end first: then until nothing more is said for three seconds.
 */
static void console_pass(int fd)
{
    struct pollfd p[2] = {{STDIN_FILENO, POLLIN, 0}, {fd, POLLIN, 0}};
    char buf[4096];
    ssize_t n;

    for (;;) {
        int n_ready = poll(p, 2, p[0].fd < 0 ? 3000 : -1);

        if (!n_ready || (n_ready < 0 && errno != EINTR))
            return;
        if (n_ready < 0)
            continue;
        if (p[1].revents) {
            n = read(fd, buf, sizeof(buf));
            if (n <= 0 || fd_write(STDOUT_FILENO, buf, (size_t)n))
                return;
        }
        if (p[0].revents) {
            char *leave;

            n = read(STDIN_FILENO, buf, sizeof(buf));
            if (n <= 0) {
                p[0].fd = -1;
                continue;
            }
            leave =
                isatty(STDIN_FILENO) ? memchr(buf, LEAVE_KEY, (size_t)n) : NULL;
            if (fd_write(fd, buf, leave ? (size_t)(leave - buf) : (size_t)n) ||
                leave)
                return;
        }
    }
}

static int console_size(struct lines *l, struct error *err)
{
    struct json_object *req, *o;
    struct winsize ws;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) || !ws.ws_col)
        return 0;
    req = request("resize");
    json_object_object_add(req, "columns", json_object_new_int(ws.ws_col));
    json_object_object_add(req, "rows", json_object_new_int(ws.ws_row));
    o = ctl_ask(l, req, err);
    json_object_put(o);
    return o ? 0 : -err->code;
}

static int ctl_console(struct lines *l, struct error *err)
{
    struct termios was, raw;
    bool tty = !tcgetattr(STDIN_FILENO, &was);
    struct json_object *o;

    if (console_size(l, err))
        return -err->code;
    o = ctl_ask(l, request("console"), err);
    if (!o)
        return -err->code;
    json_object_put(o);
    if (tty) {
        fputs("Ctrl-] leaves; the machine goes on.\r\n", stderr);
        raw = was;
        cfmakeraw(&raw);
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    if (!fd_write(STDOUT_FILENO, l->buf, l->len))
        console_pass(l->fd);
    if (tty) {
        tcsetattr(STDIN_FILENO, TCSANOW, &was);
        fputs("\n", stderr);
    }
    return 0;
}

/* --- verbs --- */

static const struct verb verbs[] = {
    {"status", "", "what it is and does", show_fields},
    {"stats", "", "what was counted so far, as --stats json has it", show_json},
    {"pause", "", "stop it; its time stands still", NULL},
    {"resume", "", "let it go on", NULL},
    {"power", "", "press its power button", NULL},
    {"reset", "", "as its reset button does", NULL},
    {"quit", "", "end it at once", NULL},
    {"snapshot", "dir --live",
     "save it to the new folder DIR; it goes on, or with\n"
     "                        --live, runs while its memory is written",
     show_fields},
    {"fork", "count ?prefix --publish",
     "COUNT running copies, named NAME-1 and so on, or\n"
     "                        PREFIX-1; --publish: with ports of their own",
     show_fields},
    {"balloon", "?mib",
     "take MIB of memory from it; with nothing, or to\n"
     "                        see what became of it: its statistics",
     show_fields},
    {"engine", "engine", "go on with another engine: interp, trap", NULL},
    {"console", "", "its console, here; Ctrl-] leaves", NULL},
};

static const char *verb_name(const void *ctx, unsigned i)
{
    (void)ctx;
    return i < ARRAY_SIZE(verbs) ? verbs[i].name : NULL;
}

static const struct verb *verb_find(const char *name, struct error *err)
{
    const char *near;
    size_t i;

    for (i = 0; i < ARRAY_SIZE(verbs); i++)
        if (!strcmp(name, verbs[i].name))
            return &verbs[i];
    near = options_nearest(name, verb_name, NULL);
    error_set(err, EINVAL, "%s: there is no such command; %s%s%s", name,
              near ? "did you mean " : "see ringfence help ctl",
              near ? near : "", near ? "?" : "");
    return NULL;
}

/* The machine may have another working directory. */
static void add_argument(struct json_object *o, const char *name,
                         const char *value)
{
    char path[8192], cwd[4096];

    if (strcmp(name, "dir") || *value == '/' || !getcwd(cwd, sizeof(cwd)))
        snprintf(path, sizeof(path), "%s", value);
    else
        snprintf(path, sizeof(path), "%s/%s", cwd, value);
    json_object_object_add(o, name, json_object_new_string(path));
}

/*
 * Words behind the verb become the arguments it knows, in order; those with a
 * question mark and flags may be left out.
 */
static struct json_object *verb_request(const struct verb *v, int argc,
                                        char **argv, struct error *err)
{
    struct json_object *o = request(v->name);
    char names[128], *at = names, *name;

    snprintf(names, sizeof(names), "%s", v->args);
    while ((name = strsep(&at, " ")) && *name) {
        bool optional = *name == '?', flag = *name == '-';
        bool word = argc && strncmp(*argv, "--", 2);

        if (flag ? !argc || strcmp(*argv, name) : optional && !word)
            continue;
        if (!flag && !word) {
            error_set(err, EINVAL, "%s: give %s", v->name, name);
            goto fail;
        }
        if (flag)
            json_object_object_add(o, name + 2, json_object_new_boolean(true));
        else
            add_argument(o, name + optional, *argv);
        argv++;
        argc--;
    }
    if (!argc)
        return o;
    error_set(err, EINVAL, "%s: what is `%s' for?", v->name, *argv);
fail:
    json_object_put(o);
    return NULL;
}

static int ctl_do(const char *name, const struct verb *v,
                  struct json_object *req, bool json, struct error *err)
{
    struct lines l = {.fd = ctl_connect(name, err)};
    struct json_object *o;
    int rc = 0;

    if (l.fd < 0) {
        json_object_put(req);
        return -err->code;
    }
    if (!strcmp(v->name, "console")) {
        json_object_put(req);
        rc = ctl_console(&l, err);
    } else {
        o = ctl_ask(&l, req, err);
        rc = o ? 0 : -err->code;
        if (o && json)
            show_json(o);
        else if (o && v->show)
            v->show(o);
        json_object_put(o);
    }
    close(l.fd);
    free(l.buf);
    return rc;
}

/* --- all machines --- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of all sockets, sorted; the caller frees. */
static size_t machine_names(char ***names)
{
    char path[4096];
    struct error err;
    struct dirent *e;
    size_t n = 0;
    DIR *d;

    *names = NULL;
    if (names_folder(path, sizeof(path), false, &err) || !(d = opendir(path)))
        return 0;
    while ((e = readdir(d))) {
        size_t len = strlen(e->d_name);
        char **p;

        if (len < 6 || strcmp(e->d_name + len - 5, ".sock"))
            continue;
        p = realloc(*names, (n + 1) * sizeof(*p));
        if (!p)
            break;
        *names = p;
        p[n] = strndup(e->d_name, len - 5);
        n += p[n] != NULL;
    }
    closedir(d);
    if (n)
        qsort(*names, n, sizeof(**names), by_name);
    return n;
}

static struct json_object *machine_status(const char *name)
{
    struct error err;
    struct lines l = {.fd = ctl_connect(name, &err)};
    const struct timeval patience = {.tv_sec = 5};
    struct json_object *o = NULL;

    if (l.fd < 0)
        return NULL;
    /* one that hangs does not hide the others */
    setsockopt(l.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    o = ctl_ask(&l, request("status"), &err);
    close(l.fd);
    free(l.buf);
    return o;
}

static const char *field(struct json_object *o, const char *name)
{
    struct json_object *v;

    return json_object_object_get_ex(o, name, &v) ? json_object_get_string(v)
                                                  : "-";
}

static void list_line(struct json_object *o)
{
    unsigned long long memory = strtoull(field(o, "memory"), NULL, 10);

    printf("%-20s %-9s %8s %5s %7lluM %9llus  %s\n", field(o, "name"),
           field(o, "state"), field(o, "pid"), field(o, "cpus"), memory >> 20,
           strtoull(field(o, "uptime_ms"), NULL, 10) / 1000,
           field(o, "engine"));
}

static int ctl_list(bool json)
{
    struct json_object *all = json_object_new_array();
    char **names;
    size_t n = machine_names(&names), i;

    for (i = 0; i < n; i++) {
        struct json_object *o = machine_status(names[i]);

        if (o) {
            json_object_object_del(o, "ok");
            json_object_array_add(all, o);
        }
        free(names[i]);
    }
    free(names);
    if (json) {
        show_json(all);
    } else if (json_object_array_length(all)) {
        printf("%-20s %-9s %8s %5s %8s %10s  %s\n", "NAME", "STATE", "PID",
               "CPUS", "MEMORY", "UPTIME", "ENGINE");
        for (i = 0; i < json_object_array_length(all); i++)
            list_line(json_object_array_get_idx(all, i));
    }
    json_object_put(all);
    return EXIT_OK;
}

void cmd_ctl_help(void)
{
    size_t i;

    puts("usage: ringfence ctl [--json] list\n"
         "       ringfence ctl [--json] NAME COMMAND [ARGUMENT]...\n\n"
         "Talks to running machines over their control sockets.\n"
         "`ringfence boot --name NAME' gives a machine its name.\n");
    for (i = 0; i < ARRAY_SIZE(verbs); i++)
        printf("  %-22s%s\n", verbs[i].name, verbs[i].help);
    puts("\nExit status: 0 done, 1 refused or no such machine, 2 wrong usage.\n"
         "ringfence-ctl(1) has the protocol, one JSON object a line.");
}

int cmd_ctl(int argc, char **argv)
{
    bool json = argc && !strcmp(argv[0], "--json");
    const struct verb *v;
    struct json_object *req;
    struct error err;

    argc -= json;
    argv += json;
    if (argc == 1 && (!strcmp(argv[0], "list") || !strcmp(argv[0], "ls")))
        return ctl_list(json);
    if (argc < 2) {
        error_set(&err, EINVAL, "give `list', or a machine and a command");
        return command_error("ctl", &err, EXIT_USAGE);
    }
    v = verb_find(argv[1], &err);
    req = v ? verb_request(v, argc - 2, argv + 2, &err) : NULL;
    if (!req)
        return command_error("ctl", &err, EXIT_USAGE);
    if (ctl_do(argv[0], v, req, json, &err))
        return command_error("ctl", &err, EXIT_HOST);
    return EXIT_OK;
}
