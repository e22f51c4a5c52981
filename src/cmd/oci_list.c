/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_list.c - what there is: state, list, ps.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/oci_int.h"
#include "oci/json_build.h"

/* clang-format off */
const struct option_spec oci_list_options[] = {
    {"format", "f", "table|json", "[table]",
     .field = offsetof(struct oci_list_args, format)},
    {"quiet", "q", NULL, "ids alone",
     .field = offsetof(struct oci_list_args, quiet)},
    {0},
};

const struct option_spec oci_ps_options[] = {
    {"format", "f", "table|json", "json: numbers alone [table]",
     .field = offsetof(struct oci_list_args, format)},
    {0},
};
/* clang-format on */

static int check_format(const char *format, struct error *err)
{
    if (!format || !strcmp(format, "table") || !strcmp(format, "json"))
        return 0;
    return error_set(err, EINVAL, "--format %s: give table or json", format);
}

static bool is_json(const char *format)
{
    return format && !strcmp(format, "json");
}

#define SETTLE_US 2000
#define IDLE_MAX  50 /* tries while nobody holds the lock, or not yet */

/*
 * Until there is a process, a container that is being made has nothing to
 * tell: waits for that, a second at most. No hook asks that early, so that
 * none can wait for itself.
 */
static int open_made(struct container *c, const struct oci_call *call,
                     struct error *err)
{
    unsigned i, idle = 0;
    int e = 0;

    for (i = 0; i < 1000000 / SETTLE_US; i++) {
        e = oci_state_open(c, call->g->root, call->word[0], false, err);
        if (!(e == -ENODATA || (!e && !c->state.pid)) ||
            (!oci_state_busy(c) && ++idle > IDLE_MAX))
            break;
        oci_state_close(c);
        usleep(SETTLE_US);
    }
    return e;
}

int oci_state(const struct oci_call *call, struct error *err)
{
    struct container c = {0};
    int e = open_made(&c, call, err);

    if (!e)
        puts(oci_state_text(&c, oci_state_status(&c)));
    oci_state_close(&c);
    return e;
}

/* `all`, in its own arena, outlives the container's. */
struct list {
    struct arena arena;
    struct json_value *all;
};

static void list_json(struct list *l, struct container *c, enum state_status s)
{
    char *text = json_print(&l->arena, oci_state_json(c, s), false);
    struct error err;

    json_add(l->all, json_parse(&l->arena, text, strlen(text), "state", &err));
}

static void list_row(struct container *c, const struct oci_list_args *a,
                     struct list *l)
{
    enum state_status s = oci_state_status(c);

    if (a->quiet)
        puts(c->id);
    else if (is_json(a->format))
        list_json(l, c, s);
    else
        printf("%-24s %-8d %-8s %-40s %-30s %s\n", c->id,
               s == STATE_STOPPED ? 0 : c->state.pid, oci_state_status_name(s),
               c->state.bundle, c->state.created, c->state.owner);
}

/* One that ends meanwhile, or was never finished, is no reason to stop. */
static void list_one(const char *root, const char *id,
                     const struct oci_list_args *a, struct list *l)
{
    struct container c = {0};
    struct error err;

    if (!oci_state_open(&c, root, id, false, &err))
        list_row(&c, a, l);
    else if (err.code != ENOENT && err.code != ENOTDIR)
        fprintf(stderr, "ringfence: %s\n", err.msg);
    oci_state_close(&c);
}

int oci_list(const struct oci_call *call, struct error *err)
{
    const struct oci_list_args *a = call->options;
    struct list l = {0};
    const char *root =
        call->g->root ? call->g->root : oci_state_root_default(&l.arena);
    struct dirent **f = NULL;
    int e = check_format(a->format, err), n = 0, i;

    l.all = json_new_array(&l.arena);
    if (!e)
        n = scandir(root, &f, NULL, alphasort);
    if (!e && n < 0 && errno != ENOENT)
        e = error_set(err, errno, "%s: %s", root, strerror(errno));
    if (!e && !a->quiet && !is_json(a->format))
        printf("%-24s %-8s %-8s %-40s %-30s %s\n", "ID", "PID", "STATUS",
               "BUNDLE", "CREATED", "OWNER");
    for (i = 0; i < n; i++) {
        if (!e && f[i]->d_name[0] != '.')
            list_one(root, f[i]->d_name, a, &l);
        free(f[i]);
    }
    free(f);
    if (!e && is_json(a->format) && !a->quiet)
        puts(json_print(&l.arena, l.all, true));
    arena_free(&l.arena);
    return e;
}

/* --- ps --- */

static void ps_json(const pid_t *pids, unsigned count)
{
    unsigned i;

    putchar('[');
    for (i = 0; i < count; i++)
        printf("%s%d", i ? "," : "", (int)pids[i]);
    puts("]");
}

static bool in_list(const pid_t *pids, unsigned count, long pid)
{
    unsigned i;

    for (i = 0; i < count; i++)
        if (pids[i] == pid)
            return true;
    return false;
}

/* Lines of ps whose PID is one of ours, and the heading. */
static int ps_table(const pid_t *pids, unsigned count, char **options,
                    struct error *err)
{
    char command[4096] = "exec ps", line[4096];
    int column = -1, i;
    FILE *p;

    for (i = 0; options[i]; i++) {
        if (strspn(options[i], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRST"
                               "UVWXYZ0123456789-,=+:_%") != strlen(options[i]))
            return error_set(err, EINVAL, "ps: bad option `%s'", options[i]);
        strncat(command, " ", sizeof(command) - strlen(command) - 1);
        strncat(command, options[i], sizeof(command) - strlen(command) - 1);
    }
    if (!options[0])
        strcat(command, " -ef");
    p = popen(command, "re");
    while (p && fgets(line, sizeof(line), p)) {
        char copy[sizeof(line)], *rest = copy, *word;
        int n = 0;

        strcpy(copy, line);
        while ((word = strsep(&rest, " \t\n"))) {
            if (!*word)
                continue;
            if (column < 0 && !strcmp(word, "PID")) {
                column = n;
                fputs(line, stdout);
                break;
            }
            if (n++ == column) {
                if (in_list(pids, count, strtol(word, NULL, 10)))
                    fputs(line, stdout);
                break;
            }
        }
    }
    if (!p || pclose(p) || column < 0)
        return error_set(err, ENOENT,
                         "ps: there is none on this host, or it "
                         "shows no PID: use --format json");
    return 0;
}

int oci_ps(const struct oci_call *call, struct error *err)
{
    const struct oci_list_args *a = call->options;
    struct container c = {0};
    pid_t *pids = NULL;
    unsigned count = 0;
    int e = check_format(a->format, err);

    if (!e)
        e = oci_state_open(&c, call->g->root, call->word[0], false, err);
    else
        return e;
    if (!e)
        e = cgroup_pids(&c.cgroup, &pids, &count, err);
    if (!e && is_json(a->format))
        ps_json(pids, count);
    else if (!e)
        e = ps_table(pids, count, call->word + 1, err);
    free(pids);
    oci_state_close(&c);
    return e;
}
