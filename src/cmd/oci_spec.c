/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_spec.c - containers for people: `run` without a bundle, a config.json to
 * begin with, and what this runtime knows.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "cmd/oci_int.h"
#include "oci/features.h"
#include "oci/spec_default.h"
#include "oci/user.h"

/* clang-format off */
const struct option_spec oci_spec_options[] = {
    {"bundle", "b", "DIR", "where to write it [.]",
     .field = offsetof(struct oci_spec_args, bundle)},
    {"rootless", NULL, NULL, "for who is not root",
     .field = offsetof(struct oci_spec_args, rootless)},
    {0},
};
/* clang-format on */

int oci_spec(const struct oci_call *c, struct error *err)
{
    const struct oci_spec_args *a = c->options;
    struct spec_wish w = {.rootfs = "rootfs",
                          .terminal = true,
                          .readonly = true,
                          .rootless = a->rootless};
    struct arena arena = {0};
    char *text = spec_default_text(&arena, &w, err);
    const char *path =
        arena_printf(&arena, "%s/config.json", a->bundle ? a->bundle : ".");
    int fd, e = 0;

    fd = text ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644) : -1;
    if (!text)
        e = -err->code;
    else if (fd < 0)
        e = error_set(err, errno, "%s: %s", path,
                      errno == EEXIST ? "is there already: move it away"
                                      : strerror(errno));
    else if (fd_write(fd, text, strlen(text)) || fd_write(fd, "\n", 1))
        e = error_set(err, EIO, "%s: cannot write", path);
    if (fd >= 0)
        close(fd);
    arena_free(&arena);
    return e;
}

int oci_features(const struct oci_call *c, struct error *err)
{
    struct arena arena = {0};

    (void)c;
    (void)err;
    puts(features_text(&arena));
    arena_free(&arena);
    return 0;
}

int oci_chroot(const struct oci_call *c, struct error *err)
{
    return container_chroot(c->word[0], c->word + 1, err);
}

/* --- run --- */

static int wish_limits(const struct oci_run_args *a, struct spec_wish *w,
                       struct error *err)
{
    char *end;

    if (a->memory && options_size(a->memory, &w->memory))
        return error_set(err, EINVAL, "--memory %s: give a size, as 200M",
                         a->memory);
    if (a->cpus) {
        w->cpus = strtod(a->cpus, &end);
        if (end == a->cpus || *end || !(w->cpus >= 0.01 && w->cpus <= 1024))
            return error_set(err, EINVAL,
                             "--cpus %s: give a number, 0.01 to 1024", a->cpus);
    }
    if (a->pids) {
        w->pids = strtoll(a->pids, &end, 10);
        if (end == a->pids || *end || w->pids < 1)
            return error_set(err, EINVAL, "--pids %s: give a number above 0",
                             a->pids);
    }
    w->host_net = a->net && !strcmp(a->net, "host");
    if (a->net && !w->host_net && strcmp(a->net, "none"))
        return error_set(err, EINVAL, "--net %s: give none or host", a->net);
    return 0;
}

static int wish_user(const struct oci_run_args *a, struct spec_wish *w,
                     struct error *err)
{
    struct spec_user user = {0};
    int root, e;

    if (!a->user)
        return 0;
    root = open(a->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return error_set(err, errno, "--rootfs %s: %s", a->rootfs,
                         strerror(errno));
    e = user_find(root, a->user, &user, err);
    close(root);
    w->uid = user.uid;
    w->gid = user.gid;
    return e;
}

/* A config.json as if there were a bundle. */
static int front_door(const struct oci_call *c, struct arena *arena,
                      struct error *err)
{
    struct oci_run_args *a = c->options;
    char *real = realpath(a->rootfs, NULL);
    struct spec_wish w = {
        .cwd = a->cwd,
        .args = (const char *const *)c->word,
        .env = a->env.item,
        .binds = a->bind.item,
        .terminal = a->terminal,
        .readonly = a->read_only,
        .rootless = geteuid() != 0,
        .docker = true,
    };
    int e;

    if (!real)
        return error_set(err, errno, "--rootfs %s: %s", a->rootfs,
                         strerror(errno));
    w.rootfs = arena_strdup(arena, real);
    free(real);
    e = wish_limits(a, &w, err);
    if (!e)
        e = wish_user(a, &w, err);
    if (e)
        return e;
    a->o.id = arena_printf(arena, "run-%d", getpid());
    w.hostname = a->hostname ? a->hostname : a->o.id;
    a->o.config_text = spec_default_text(arena, &w, err);
    return a->o.config_text ? 0 : -err->code;
}

/* What belongs to the other way of calling it. */
static int check_way(const struct oci_call *c, struct error *err)
{
    const struct oci_run_args *a = c->options;

    if (a->rootfs)
        return c->words ? 0
                        : error_set(err, EINVAL,
                                    "run: no program: run "
                                    "--rootfs DIR -- PROGRAM");
    if (c->words != 1)
        return error_set(err, EINVAL,
                         c->words ? "run: a bundle says itself what to run: "
                                    "only the container's id is wanted"
                                  : "run: give the container's id, or "
                                    "--rootfs DIR -- PROGRAM");
    if (a->memory || a->cpus || a->pids || a->net || a->user || a->cwd ||
        a->hostname || a->read_only || a->terminal || a->env.count ||
        a->bind.count)
        return error_set(err, EINVAL,
                         "run: with a bundle its config.json "
                         "says that: only --rootfs takes such "
                         "options");
    return 0;
}

int oci_run(const struct oci_call *c, struct error *err)
{
    struct oci_run_args *a = c->options;
    struct arena arena = {0};
    int status = 0, e = check_way(c, err);

    a->o.root = c->g->root;
    a->o.no_cgroup = oci_no_cgroup(c->g);
    a->o.id = c->word[0];
    a->o.init = a->init;
    if (!e && a->rootfs)
        e = front_door(c, &arena, err);
    if (!e)
        e = container_run(&a->o, &status, err);
    arena_free(&arena);
    free(a->env.item);
    free(a->bind.item);
    return e ? e : status;
}
