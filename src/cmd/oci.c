/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci.c - the containers' commands: global options, the table, errors.
 */
#include "cmd/oci.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/oci_int.h"
#include "oci/exe.h"

#define WORDS_MAX 4096

#define TEXT(s, m) .field = offsetof(struct s, m)

/* clang-format off */
static const struct option_spec global_options[] = {
    {"root", NULL, "DIR", "where states are kept [/run/ringfence/containers]",
     TEXT(oci_globals, root)},
    {"log", NULL, "FILE", "messages go there, too",
     TEXT(oci_globals, log)},
    {"log-format", NULL, "text|json", "of that file",
     TEXT(oci_globals, log_format)},
    {"log-level", NULL, "LEVEL", "debug, info, warn or error",
     TEXT(oci_globals, log_level)},
    {"debug", NULL, NULL, "the same as --log-level debug",
     TEXT(oci_globals, debug)},
    {"cgroup-manager", NULL, "NAME", "disabled: none are made [cgroupfs]",
     TEXT(oci_globals, cgroup_manager)},
    {"systemd-cgroup", NULL, NULL, "not here: says what to do instead",
     TEXT(oci_globals, systemd_cgroup)},
    {"rootless", NULL, "auto|true|false", "found out in any case",
     TEXT(oci_globals, rootless)},
    {0},
};

const struct oci_command oci_commands[] = {
    {"checkpoint", "write a running container to files",
     "[--image-path DIR] [OPTIONS] ID", oci_checkpoint_options,
     sizeof(struct oci_checkpoint_args), 1, 1, false, oci_checkpoint},
    {"chroot", "the plainest fence: another root, for a program or a shell",
     "DIR [PROGRAM [ARGS]...]", NULL, 0, 1, WORDS_MAX, true, oci_chroot},
    {"create", "make a container out of a bundle",
     "[--bundle DIR] [OPTIONS] ID", oci_create_options,
     sizeof(struct container_options), 1, 1, false, oci_create, true},
    {"delete", "remove a container that has ended",
     "[--force] ID | --regex PATTERN",
     oci_delete_options, sizeof(struct oci_delete_args), 1, 1, false,
     oci_delete},
    {"events", "what containers use, and when they run out of memory",
     "[--stats] [--interval SECONDS] ID", oci_events_options,
     sizeof(struct oci_events_args), 1, 1, false, oci_events},
    {"exec", "one more process in a container",
     "[OPTIONS] ID PROGRAM [ARGS]...", oci_exec_options,
     sizeof(struct oci_exec_args), 1, WORDS_MAX, true, oci_exec, true},
    {"features", "what this runtime knows, as JSON", "", NULL, 0, 0, 0, false,
     oci_features},
    {"kill", "a signal to a container", "[--all] ID [SIGNAL]",
     oci_kill_options, sizeof(struct oci_kill_args), 1, 2, false, oci_kill},
    {"list", "the containers there are", "[--format json] [--quiet]",
     oci_list_options, sizeof(struct oci_list_args), 0, 0, false, oci_list},
    {"pause", "freeze a container", "ID", NULL, 0, 1, 1, false, oci_pause},
    {"ps", "the processes in a container", "[--format json] ID [PS OPTIONS]",
     oci_ps_options, sizeof(struct oci_list_args), 1, WORDS_MAX, true, oci_ps},
    {"restore", "a container out of what checkpoint wrote",
     "[--image-path DIR] [--bundle DIR] [OPTIONS] ID", oci_restore_options,
     sizeof(struct oci_checkpoint_args), 1, 1, false, oci_restore},
    {"resume", "let a frozen container go on", "ID", NULL, 0, 1, 1, false,
     oci_resume},
    {"run", "make a container, start it, wait for it, remove it",
     "[--bundle DIR] [OPTIONS] ID\n"
     "       ringfence run --rootfs DIR [OPTIONS] -- PROGRAM [ARGS]...",
     oci_run_options, sizeof(struct oci_run_args), 0, WORDS_MAX, true,
     oci_run, true},
    {"spec", "write a config.json to begin with", "[--bundle DIR] [--rootless]",
     oci_spec_options, sizeof(struct oci_spec_args), 0, 0, false, oci_spec},
    {"start", "start a container's program", "ID", NULL, 0, 1, 1, false,
     oci_start},
    {"state", "the state of a container, as JSON", "ID", NULL, 0, 1, 1, false,
     oci_state},
    {"update", "change the limits of a container", "[OPTIONS] ID",
     oci_update_options, sizeof(struct oci_update_args), 1, 1, false,
     oci_update},
    {0},
};
/* clang-format on */

static const struct oci_command *find(const char *name)
{
    const struct oci_command *c;

    for (c = oci_commands; c->name; c++)
        if (!strcmp(c->name, name))
            return c;
    return NULL;
}

bool oci_is_command(const char *name)
{
    return find(name) != NULL;
}

int oci_list_add(struct oci_list *l, const char *value, struct error *err)
{
    const char **more = realloc(l->item, (l->count + 2) * sizeof(*more));

    if (!more)
        return error_set(err, ENOMEM, "no memory");
    l->item = more;
    l->item[l->count++] = value;
    l->item[l->count] = NULL;
    return 0;
}

/* --- help --- */

void oci_print_commands(void)
{
    const struct oci_command *c;

    for (c = oci_commands; c->name; c++)
        printf("  %-10s %s\n", c->name, c->summary);
}

bool oci_help(const char *name)
{
    const struct oci_command *c = find(name);

    if (!c)
        return false;
    printf("usage: ringfence [GLOBAL OPTIONS] %s %s\n\n%s.\n", c->name,
           c->usage, c->summary);
    if (c->options) {
        puts("\nOptions:");
        options_print(c->options);
    }
    puts("\nGlobal options, before the command:");
    options_print(global_options);
    return true;
}

void oci_print_version(void)
{
    puts("ringfence version " RINGFENCE_VERSION "\nspec: " SPEC_VERSION);
}

bool oci_no_cgroup(const struct oci_globals *g)
{
    return g->cgroup_manager && !strcmp(g->cgroup_manager, "disabled");
}

/* --- messages --- */

static int open_log(const struct oci_globals *g, struct error *err)
{
    const char *format = g->log_format ? g->log_format : "text";
    bool json = !strcmp(format, "json");
    int fd;

    if (!json && strcmp(format, "text"))
        return error_set(err, EINVAL, "--log-format %s: give text or json",
                         format);
    if (!g->log)
        return 0;
    fd = open(g->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_set(err, errno, "--log %s: %s", g->log, strerror(errno));
    log_set_file(fd, json);
    return 0;
}

static int set_level(const struct oci_globals *g, struct error *err)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    unsigned i;

    if (g->debug)
        log_set_level(LOG_DEBUG);
    if (!g->log_level)
        return 0;
    for (i = 0; i < ARRAY_SIZE(names); i++)
        if (!strncmp(g->log_level, names[i], strlen(names[i]))) {
            log_set_level((enum log_level)i);
            return 0;
        }
    return error_set(err, EINVAL,
                     "--log-level %s: give debug, info, warn or error",
                     g->log_level);
}

static int check_globals(const struct oci_globals *g, struct error *err)
{
    const char *manager = g->cgroup_manager;
    int e = open_log(g, err);

    if (!e)
        e = set_level(g, err);
    if (e)
        return e;
    if (g->systemd_cgroup || (manager && !strcmp(manager, "systemd")))
        return error_set(err, ENOTSUP,
                         "systemd does not make cgroups here: use cgroupfs "
                         "(podman: --cgroup-manager cgroupfs; containerd: "
                         "SystemdCgroup = false)");
    if (manager && strcmp(manager, "cgroupfs") && !oci_no_cgroup(g))
        return error_set(err, EINVAL,
                         "--cgroup-manager %s: give cgroupfs or disabled",
                         manager);
    return 0;
}

/* On stderr for who called, and in the log for who reads that. */
static int fail(const struct oci_globals *g, const struct error *err,
                int status)
{
    if (g->log)
        log_error("%s", err->msg);
    fprintf(stderr, "ringfence: %s\n", err->msg);
    return status;
}

/* --- calling --- */

static int call(const struct oci_globals *g, const struct oci_command *c,
                int argc, char **argv)
{
    char **words = calloc((size_t)argc + 1, sizeof(*words));
    void *options = calloc(1, c->options_size + 1);
    struct oci_call what = {.g = g, .word = words, .options = options};
    static const struct option_spec none[] = {{0}};
    struct error err;
    int e;

    if (!words || !options) {
        error_set(&err, ENOMEM, "no memory");
        return fail(g, &err, EXIT_HOST);
    }
    e = options_parse_words(c->options ? c->options : none, argc, argv, options,
                            c->program, words, &what.words, c->words_max, &err);
    if (!e && what.words < c->words_min)
        e = error_set(&err, EINVAL, "usage: ringfence %s %s", c->name,
                      c->usage);
    if (e) {
        error_prefix(&err, "%s", c->name);
        e = fail(g, &err, EXIT_HOST);
    } else {
        e = c->run(&what, &err);
        if (e < 0)
            e = fail(g, &err, EXIT_HOST);
    }
    free(options);
    free(words);
    return e;
}

/* `--root DIR --version`: podman and scripts put their options before all. */
static bool asks(const char *word, const char *name, const char *letter)
{
    return !strcmp(word, name) || !strcmp(word, letter);
}

/* How many words the global options take; the command stands behind them. */
static int globals_end(int argc, char **argv)
{
    int i = 0;

    while (i < argc && argv[i][0] == '-' && !asks(argv[i], "--version", "-v") &&
           !asks(argv[i], "--help", "-h")) {
        const struct option_spec *s;
        size_t dashes = strspn(argv[i], "-");
        bool value = false;

        for (s = global_options; s->name; s++)
            if (!strcmp(argv[i] + dashes, s->name))
                value = s->value != NULL;
        i += value ? 2 : 1;
    }
    return i;
}

int oci_main(int argc, char **argv)
{
    struct oci_globals g = {0};
    const struct oci_command *c;
    struct error err;
    int n = globals_end(argc, argv);

    if (n > argc)
        n = argc;
    if (options_parse(global_options, n, argv, &g, &err))
        return fail(&g, &err, EXIT_HOST);
    if (check_globals(&g, &err))
        return fail(&g, &err, EXIT_HOST);
    if (n == argc)
        return command_unknown("");
    if (asks(argv[n], "--version", "-v"))
        return oci_print_version(), EXIT_OK;
    if (asks(argv[n], "--help", "-h")) {
        puts("usage: ringfence [GLOBAL OPTIONS] COMMAND ...\n\nCommands:");
        oci_print_commands();
        puts("\nGlobal options:");
        options_print(global_options);
        return EXIT_OK;
    }
    c = find(argv[n]);
    if (!c)
        return command_unknown(argv[n]);
    if (n + 1 < argc &&
        (!strcmp(argv[n + 1], "--help") || !strcmp(argv[n + 1], "-h")))
        return oci_help(c->name), EXIT_OK;
    if (c->makes_process && exe_protect(argv - 1, &err))
        return fail(&g, &err, EXIT_HOST);
    return call(&g, c, argc - n - 1, argv + n + 1);
}
