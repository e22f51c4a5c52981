/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_life.c - the life of a container: create, start, kill, delete...
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <regex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/oci_int.h"
#include "oci/signals.h"

int oci_preserve_fds(void *ctx, const char *v, struct error *err)
{
    struct container_options *o = ctx;
    char *end;
    unsigned long n = strtoul(v, &end, 10);

    if (end == v || *end || n > 65536)
        return error_set(err, EINVAL, "--preserve-fds %s: give a number", v);
    o->preserve_fds = (unsigned)n;
    return 0;
}

#define TEXT(m) .field = offsetof(struct container_options, m)

/* clang-format off */
/* All of them work on a struct that begins with struct container_options. */
#define COMMON_OPTIONS                                                         \
    {"bundle", "b", "DIR", "the folder of config.json [.]", TEXT(bundle)},     \
    {"config", "f", "FILE", "instead of config.json", TEXT(config)},           \
    {"console-socket", NULL, "PATH", "where a terminal's master goes",         \
     TEXT(console_socket)},                                                    \
    {"pid-file", NULL, "FILE", "gets the number of the first process",         \
     TEXT(pid_file)},                                                          \
    {"preserve-fds", NULL, "N", "descriptors 3 to 2+N stay open",              \
     oci_preserve_fds},                                                        \
    {"no-pivot", NULL, NULL, "move the root, for a host on a ramfs",           \
     TEXT(no_pivot)},                                                          \
    {"no-new-keyring", NULL, NULL, "keep the caller's session keyring",        \
     TEXT(no_new_keyring)},                                                    \
    {"no-subreaper", NULL, NULL, "as it is in any case", TEXT(no_subreaper)}

#define RUN(m) .field = offsetof(struct oci_run_args, m)

static int run_env(void *ctx, const char *v, struct error *err)
{
    return oci_list_add(&((struct oci_run_args *)ctx)->env, v, err);
}

static int run_bind(void *ctx, const char *v, struct error *err)
{
    return oci_list_add(&((struct oci_run_args *)ctx)->bind, v, err);
}

const struct option_spec oci_create_options[] = {
    COMMON_OPTIONS,
    {0},
};

const struct option_spec oci_run_options[] = {
    COMMON_OPTIONS,
    {"detach", "d", NULL, "do not wait for its end", TEXT(detach)},
    {"keep", NULL, NULL, "do not remove it at its end", TEXT(keep)},
    {"rootfs", NULL, "DIR", "no bundle: this folder is the root; then:",
     RUN(rootfs)},
    {"memory", "m", "SIZE", "limit: 200M, 1G", RUN(memory)},
    {"cpus", NULL, "N", "limit: 0.5, 2", RUN(cpus)},
    {"pids", NULL, "N", "limit of processes and threads", RUN(pids)},
    {"read-only", NULL, NULL, "nothing in the root can be changed",
     RUN(read_only)},
    {"net", NULL, "none|host", "[none]", RUN(net)},
    {"env", "e", "NAME=VALUE", "for the program; may be repeated", run_env},
    {"bind", "v", "HOST:DIR[:ro]", "a folder of the host's; may be repeated",
     run_bind},
    {"user", "u", "USER[:GROUP]", "names or numbers [0]", RUN(user)},
    {"cwd", "w", "DIR", "the working folder [/]", RUN(cwd)},
    {"hostname", NULL, "NAME", "[the container's id]", RUN(hostname)},
    {"tty", "t", NULL, "a terminal", RUN(terminal)},
    {"init", NULL, NULL, "a first process that reaps and passes signals on",
     RUN(init)},
    {0},
};

const struct option_spec oci_delete_options[] = {
    {"force", "f", NULL, "kill it if it runs; no error if there is none",
     .field = offsetof(struct oci_delete_args, force)},
    {"regex", NULL, NULL, "ID is a pattern: each container that it fits",
     .field = offsetof(struct oci_delete_args, regex)},
    {0},
};

const struct option_spec oci_kill_options[] = {
    {"all", "a", NULL, "to each process in its cgroup",
     .field = offsetof(struct oci_kill_args, all)},
    {0},
};
/* clang-format on */

int oci_create(const struct oci_call *c, struct error *err)
{
    struct container_options *o = c->options;

    o->root = c->g->root;
    o->no_cgroup = oci_no_cgroup(c->g);
    o->id = c->word[0];
    return container_create(o, err);
}

int oci_start(const struct oci_call *c, struct error *err)
{
    return container_start(c->g->root, c->word[0], err);
}

/* Goes on after one that fails; the last such failure is told at the end. */
static int delete_fitting(const struct oci_call *c, const regex_t *re,
                          struct error *err)
{
    const struct oci_delete_args *a = c->options;
    struct arena arena = {0};
    const char *root = c->g->root ? c->g->root : oci_state_root_default(&arena);
    struct dirent **f = NULL;
    int n = scandir(root, &f, NULL, alphasort), e = 0, i;

    if (n < 0 && errno != ENOENT)
        e = error_set(err, errno, "%s: %s", root, strerror(errno));
    for (i = 0; i < n; i++) {
        struct error one;

        if (!oci_state_id_fault(f[i]->d_name) &&
            !regexec(re, f[i]->d_name, 0, NULL, 0) &&
            container_delete(root, f[i]->d_name, a->force, &one)) {
            *err = one;
            e = -one.code;
        }
        free(f[i]);
    }
    free(f);
    arena_free(&arena);
    return e;
}

int oci_delete(const struct oci_call *c, struct error *err)
{
    const struct oci_delete_args *a = c->options;
    regex_t re;
    int e;

    if (!a->regex)
        return container_delete(c->g->root, c->word[0], a->force, err);
    if (regcomp(&re, c->word[0], REG_EXTENDED | REG_NOSUB))
        return error_set(err, EINVAL, "--regex %s: is no pattern", c->word[0]);
    e = delete_fitting(c, &re, err);
    regfree(&re);
    return e;
}

int oci_pause(const struct oci_call *c, struct error *err)
{
    return container_pause(c->g->root, c->word[0], true, err);
}

int oci_resume(const struct oci_call *c, struct error *err)
{
    return container_pause(c->g->root, c->word[0], false, err);
}

/* "9", "KILL", "SIGKILL", "RTMIN+2", in any case; 0: none of them. */
static int signal_of(const char *text)
{
    char name[32];
    char *end;
    unsigned i;
    long n = strtol(text, &end, 10);

    if (end != text && !*end)
        return n > 0 && n <= SIGNALS ? (int)n : 0;
    for (i = 0; text[i] && i < sizeof(name) - 1; i++)
        name[i] = (char)toupper((unsigned char)text[i]);
    name[i] = 0;
    text = strncmp(name, "SIG", 3) ? name : name + 3;
    if (!strncmp(text, "RTMIN", 5))
        n = SIGNAL_RT_MIN + strtol(text + 5, &end, 10);
    else if (!strncmp(text, "RTMAX", 5))
        n = SIGNAL_RT_MAX + strtol(text + 5, &end, 10);
    else
        n = 0;
    if (n)
        return !*end && n >= SIGNAL_RT_MIN && n <= SIGNAL_RT_MAX ? (int)n : 0;
    return signal_find(text);
}

int oci_kill(const struct oci_call *c, struct error *err)
{
    const struct oci_kill_args *a = c->options;
    const char *text = c->words > 1 ? c->word[1] : "TERM";
    int sig = signal_of(text);

    if (!sig)
        return error_set(err, EINVAL, "kill: unknown signal \"%s\"", text);
    return container_kill(c->g->root, c->word[0], sig, a->all, err);
}
