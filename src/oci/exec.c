/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec.c - one more process in a container that runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "oci/create_int.h"
#include "oci/process_int.h"
#include "oci/spec_int.h"
#include "oci/user.h"

/* The cgroups that it shall be in. */
static int find_cgroup(struct launch *l, const struct container_options *o,
                       struct error *err)
{
    struct cgroup *cg = &l->c->cgroup;
    const char *sub = o->cgroup;
    int e = 0;

    if (!cg->count)
        return 0;
    if (sub && sub[strspn(sub, "/")])
        e = cgroup_descend(cg, 0, sub, err);
    else if (!sub)
        e = cgroup_follow(cg, l->c->state.pid, err);
    return e ? e : cgroup_enter_prepare(cg, err);
}

static int check_status(struct container *c, const struct container_options *o,
                        struct error *err)
{
    enum state_status s = oci_state_status(c);

    if (s == STATE_RUNNING || s == STATE_CREATED ||
        (s == STATE_PAUSED && o->ignore_paused))
        return 0;
    return error_set(err, EINVAL,
                     "container \"%s\" is %s: no process can be "
                     "started in it",
                     c->id, oci_state_status_name(s));
}

static int prepare(struct launch *l, const struct container_options *o,
                   int *relay, struct error *err)
{
    const struct spec_affinity *a = l->process->exec_cpu_affinity;
    int e = check_status(l->c, o, err);

    if (e)
        return e;
    l->joined_pidfd = oci_state_pidfd(l->c);
    if (l->joined_pidfd < 0)
        return error_set(err, -l->joined_pidfd, "container \"%s\": %s",
                         l->c->id, strerror(-l->joined_pidfd));
    e = proc_open(l, err);
    if (!e && a)
        e = process_affinity(a->initial, err);
    if (!e)
        e = find_cgroup(l, o, err);
    return e ? e : console_choose(l, o, relay, err);
}

/* SYNC_READY, and on to exec(). *pid is that of what spawn() has made. */
static int follow(struct launch *l, pid_t *pid, struct error *err)
{
    int e = sync_expect(l->sync, SYNC_READY, NULL, err);

    if (!e)
        e = start_process(l->sync, l->c, l->spec, err);
    close(l->sync);
    l->sync = -1;
    if (e || !l->late)
        return e;
    *pid = enter_wait(l, *pid, err);
    return MIN(*pid, 0);
}

static int try_start(struct launch *l, pid_t *pid, struct error *err)
{
    int e = l->late ? enter_prepare(l, err) : 0;

    if (e)
        return e;
    *pid = launch_spawn(l, launch_child, err);
    e = *pid < 0 ? *pid : follow(l, pid, err);
    enter_end(l);
    return e;
}

/* The program's process; what was made on the way to an error is gone. */
static pid_t start(struct launch *l, struct error *err)
{
    pid_t pid = 0;
    int e = try_start(l, &pid, err);

    if (e == -EPIPE && pid > 0 && launch_killed_at_birth(l, pid))
        e = try_start(l, &pid, err);
    if (e && pid > 0) {
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    return e ? e : pid;
}

static void end(struct launch *l, int relay)
{
    int fds[] = {l->sync, l->proc, l->console_socket, l->joined_pidfd, relay};
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* --- the process --- */

static int change_user(struct container *c, const struct exec_changes *ch,
                       struct spec_process *p, struct error *err)
{
    uint32_t *gids =
        arena_alloc(&c->arena, (ch->gid_count + 1) * sizeof(*gids));
    char root[40];
    unsigned i;
    int fd, e;

    for (i = 0; i < ch->gid_count; i++)
        gids[i] = (uint32_t)strtoul(ch->gids[i], NULL, 10);
    if (ch->gid_count) {
        p->user.additional_gids.items = gids;
        p->user.additional_gids.count = ch->gid_count;
    }
    if (!ch->user)
        return 0;
    snprintf(root, sizeof(root), "/proc/%d/root", c->state.pid);
    fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "%s: %s", root, strerror(errno));
    e = user_find(fd, ch->user, &p->user, err);
    close(fd);
    return e;
}

/* Both lists, in the arena; a later one wins where names are alike. */
static struct json_strings join_lists(struct container *c,
                                      const struct json_strings *a,
                                      const char *const *b, unsigned count)
{
    struct json_strings all = {NULL, a->count + count};

    all.item = arena_alloc(&c->arena, (all.count + 1) * sizeof(*all.item));
    if (a->count)
        memcpy(all.item, a->item, a->count * sizeof(*all.item));
    if (count)
        memcpy(all.item + a->count, b, count * sizeof(*all.item));
    return all;
}

static void add_caps(struct container *c, const struct exec_changes *ch,
                     struct spec_process *p)
{
    static const struct spec_caps_names none;
    const struct spec_caps_names *old =
        p->capabilities ? p->capabilities : &none;
    struct spec_caps_names *all = arena_alloc(&c->arena, sizeof(*all));

    if (!ch->cap_count)
        return;
    *all = *old;
    all->bounding = join_lists(c, &old->bounding, ch->caps, ch->cap_count);
    all->effective = join_lists(c, &old->effective, ch->caps, ch->cap_count);
    all->permitted = join_lists(c, &old->permitted, ch->caps, ch->cap_count);
    if (p->user.uid) {
        all->inheritable =
            join_lists(c, &old->inheritable, ch->caps, ch->cap_count);
        all->ambient = join_lists(c, &old->ambient, ch->caps, ch->cap_count);
    }
    p->capabilities = all;
}

static int make_process(struct container *c, const struct spec *spec,
                        const struct exec_changes *ch, struct spec_process *p,
                        struct error *err)
{
    const struct spec_caps_names *caps =
        spec->process ? spec->process->capabilities : NULL;
    int e;

    if (ch->process_file) {
        e = spec_read_process(&c->arena, ch->process_file, p, err);
        if (!e && !p->capabilities)
            p->capabilities = caps;
        return e;
    }
    if (!spec->process)
        return error_set(err, EINVAL,
                         "process: config.json has none: give "
                         "--process FILE");
    *p = *spec->process;
    p->args.item = (const char **)ch->args;
    p->args.count = ch->arg_count;
    p->env = join_lists(c, &p->env, ch->env, ch->env_count);
    p->cwd = ch->cwd ? ch->cwd : p->cwd;
    p->apparmor_profile = ch->apparmor ? ch->apparmor : p->apparmor_profile;
    p->selinux_label = ch->label ? ch->label : p->selinux_label;
    p->terminal = ch->terminal;
    p->no_new_privileges |= ch->no_new_privileges;
    e = change_user(c, ch, p, err);
    if (e)
        return e;
    add_caps(c, ch, p);
    return spec_check_process(p, err);
}

static int exec_in(struct container *c, const struct container_options *o,
                   const struct spec *spec, const struct spec_process *process,
                   int *status, struct error *err)
{
    struct launch l = {
        .c = c,
        .spec = spec,
        .process = process,
        .joins = true,
        .sync = -1,
        .start = -1,
        .proc = -1,
        .console_socket = -1,
        .joined_pidfd = -1,
        .source_of_root = -1,
        .report = {-1, -1},
        .nodes = -1,
        .preserve_fds = o->preserve_fds,
        .no_new_keyring = o->no_new_keyring,
    };
    int relay = -1, e;
    pid_t pid = 0;

    e = filter_compile(&c->arena, spec, &l.seccomp, err);
    if (!e)
        e = prepare(&l, o, &relay, err);
    if (!e) {
        l.late = spec_namespace(spec, CLONE_NEWPID) && enter_is_last(&l);
        pid = start(&l, err);
        e = MIN(pid, 0);
    }
    if (!e)
        e = pid_file_write(o->pid_file, pid, err);
    *status = 0;
    if (!e && !o->detach) {
        e = run_wait(pid, relay, -1, err);
        if (e >= 0) {
            *status = e;
            e = 0;
        }
    }
    end(&l, relay);
    return e;
}

int container_exec(const struct container_options *o,
                   const struct exec_changes *changes, int *status,
                   struct error *err)
{
    struct container c = {0};
    struct spec_process process;
    struct spec spec;
    int e;

    close_foreign(o->preserve_fds);
    if (!o->detach)
        run_hold_signals();
    e = oci_state_open(&c, o->root, o->id, false, err);
    if (!e)
        e = config_read(&c, &spec, err);
    if (!e)
        e = make_process(&c, &spec, changes, &process, err);
    if (!e)
        e = exec_in(&c, o, &spec, &process, status, err);
    oci_state_close(&c);
    return e;
}
