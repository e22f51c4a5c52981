/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_exec.c - exec, and update.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/oci_int.h"

#define EXEC(m) .field = offsetof(struct oci_exec_args, m)
#define TEXT(m) .field = offsetof(struct container_options, m)

static int exec_env(void *ctx, const char *v, struct error *err)
{
    return oci_list_add(&((struct oci_exec_args *)ctx)->env, v, err);
}

static int exec_cap(void *ctx, const char *v, struct error *err)
{
    return oci_list_add(&((struct oci_exec_args *)ctx)->caps, v, err);
}

static int exec_gid(void *ctx, const char *v, struct error *err)
{
    return oci_list_add(&((struct oci_exec_args *)ctx)->gids, v, err);
}

/* clang-format off */
const struct option_spec oci_exec_options[] = {
    {"process", "p", "FILE", "a process of the runtime-spec, as JSON",
     EXEC(process)},
    {"cwd", NULL, "DIR", "the working folder", EXEC(cwd)},
    {"env", "e", "NAME=VALUE", "may be repeated", exec_env},
    {"tty", "t", NULL, "a terminal", EXEC(terminal)},
    {"user", "u", "USER[:GROUP]", "names or numbers", EXEC(user)},
    {"additional-gids", "g", "GID", "may be repeated", exec_gid},
    {"cap", "c", "NAME", "one capability more; may be repeated", exec_cap},
    {"no-new-privs", NULL, NULL, "set-uid programs do nothing",
     EXEC(no_new_privs)},
    {"apparmor", NULL, "PROFILE", "", EXEC(apparmor)},
    {"process-label", NULL, "LABEL", "of SELinux", EXEC(label)},
    {"detach", "d", NULL, "do not wait for its end", TEXT(detach)},
    {"console-socket", NULL, "PATH", "where a terminal's master goes",
     TEXT(console_socket)},
    {"pid-file", NULL, "FILE", "gets the number of the process",
     TEXT(pid_file)},
    {"preserve-fds", NULL, "N", "descriptors 3 to 2+N stay open",
     oci_preserve_fds},
    {"cgroup", NULL, "PATH", "below the container's", TEXT(cgroup)},
    {"ignore-paused", NULL, NULL, "start it in a frozen container, too",
     TEXT(ignore_paused)},
    {"no-new-keyring", NULL, NULL, "keep the caller's session keyring",
     TEXT(no_new_keyring)},
    {0},
};
/* clang-format on */

int oci_exec(const struct oci_call *c, struct error *err)
{
    struct oci_exec_args *a = c->options;
    struct exec_changes ch = {
        .process_file = a->process,
        .args = (const char *const *)c->word + 1,
        .arg_count = (unsigned)c->words - 1,
        .env = a->env.item,
        .env_count = a->env.count,
        .caps = a->caps.item,
        .cap_count = a->caps.count,
        .gids = a->gids.item,
        .gid_count = a->gids.count,
        .cwd = a->cwd,
        .user = a->user,
        .apparmor = a->apparmor,
        .label = a->label,
        .terminal = a->terminal,
        .no_new_privileges = a->no_new_privs,
    };
    int status = 0, e;

    a->o.root = c->g->root;
    a->o.id = c->word[0];
    if (!a->process && c->words < 2)
        return error_set(err, EINVAL,
                         "exec: no program to run: exec %s "
                         "PROGRAM, or --process FILE",
                         c->word[0]);
    e = container_exec(&a->o, &ch, &status, err);
    free(a->env.item);
    free(a->caps.item);
    free(a->gids.item);
    if (e == -ENOENT || e == -EACCES)
        status = e == -ENOENT ? 127 : 126;
    return e ? e : status;
}
