/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.c - the last steps of a container's process: limits, labels,
 * priorities, user, capabilities, filter, exec().
 *
 * The host's procfs is reached through l->proc, opened before the root
 * changed: what the container has at /proc may be a fake.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "fence/caps.h"
#include "oci/launch.h"
#include "oci/process_int.h"
#include "oci/signals.h"
#include "oci/user.h"

/* --- limits --- */

static const char *const rlimit_names[] = {
    [RLIMIT_CPU] = "RLIMIT_CPU",
    [RLIMIT_FSIZE] = "RLIMIT_FSIZE",
    [RLIMIT_DATA] = "RLIMIT_DATA",
    [RLIMIT_STACK] = "RLIMIT_STACK",
    [RLIMIT_CORE] = "RLIMIT_CORE",
    [RLIMIT_RSS] = "RLIMIT_RSS",
    [RLIMIT_NPROC] = "RLIMIT_NPROC",
    [RLIMIT_NOFILE] = "RLIMIT_NOFILE",
    [RLIMIT_MEMLOCK] = "RLIMIT_MEMLOCK",
    [RLIMIT_AS] = "RLIMIT_AS",
    [RLIMIT_LOCKS] = "RLIMIT_LOCKS",
    [RLIMIT_SIGPENDING] = "RLIMIT_SIGPENDING",
    [RLIMIT_MSGQUEUE] = "RLIMIT_MSGQUEUE",
    [RLIMIT_NICE] = "RLIMIT_NICE",
    [RLIMIT_RTPRIO] = "RLIMIT_RTPRIO",
    [RLIMIT_RTTIME] = "RLIMIT_RTTIME",
};

/*
 * Without CAP_SYS_RESOURCE a hard limit can only go down. Hosts that withhold
 * it from root are common; there, the nearest that can be had.
 */
static int set_rlimit(const struct spec_rlimit *r, struct error *err)
{
    struct rlimit want = {.rlim_cur = r->soft, .rlim_max = r->hard}, have;

    if (!setrlimit(r->type, &want))
        return 0;
    if (errno != EPERM || getrlimit(r->type, &have))
        return error_set(err, errno, "process.rlimits: %s: %s",
                         rlimit_names[r->type], strerror(errno));
    log_warn("process.rlimits: %s: no right to raise the hard limit from %llu "
             "to %llu: it stays",
             rlimit_names[r->type], (unsigned long long)have.rlim_max,
             (unsigned long long)r->hard);
    want.rlim_max = have.rlim_max;
    want.rlim_cur = MIN(want.rlim_cur, have.rlim_max);
    if (setrlimit(r->type, &want))
        return error_set(err, errno, "process.rlimits: %s: %s",
                         rlimit_names[r->type], strerror(errno));
    return 0;
}

/*
 * The stage of an exec has to make one more process: as far as that limit goes
 * down, the process itself sees to it.
 */
static int raise_processes(const struct spec_rlimit *r, struct error *err)
{
    struct spec_rlimit up = *r;
    struct rlimit have;

    if (getrlimit(RLIMIT_NPROC, &have))
        return error_set(err, errno, "process.rlimits: %s", strerror(errno));
    up.hard = up.soft = MAX(r->hard, have.rlim_max);
    return set_rlimit(&up, err);
}

static int set_rlimits(const struct launch *l, struct error *err)
{
    const struct spec_rlimit *r = l->process->rlimits.items;
    unsigned i;
    int e = 0;

    for (i = 0; i < l->process->rlimits.count && !e; i++)
        e = l->late && r[i].type == RLIMIT_NPROC ? raise_processes(&r[i], err)
                                                 : set_rlimit(&r[i], err);
    return e;
}

static int set_oom_score(struct launch *l, struct error *err)
{
    char text[16];
    int e;

    if (!(l->process->has & SPEC_OOM_SCORE_ADJ))
        return 0;
    snprintf(text, sizeof(text), "%d", l->process->oom_score_adj);
    e = proc_write(l, "self/oom_score_adj", text);
    if (e == -EACCES || e == -EPERM) {
        log_warn("process.oomScoreAdj: no right to lower it to %s: it stays",
                 text);
        return 0;
    }
    return e ? error_set(err, -e, "process.oomScoreAdj: %s", strerror(-e)) : 0;
}

/* --- priorities --- */

/* <linux/sched/types.h> clashes with <sched.h>.            [sched_setattr(2)]
 */
struct sched_request {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

static int set_scheduler(const struct spec_scheduler *s, struct error *err)
{
    struct sched_request a = {.size = sizeof(a)};

    if (!s)
        return 0;
    a.policy = s->policy;
    a.flags = s->flags;
    a.nice = s->nice;
    a.priority = (uint32_t)s->priority;
    a.runtime = s->runtime;
    a.deadline = s->deadline;
    a.period = s->period;
    if (syscall(SYS_sched_setattr, 0, &a, 0))
        return error_set(err, errno, "process.scheduler: %s%s", strerror(errno),
                         errno == EPERM && a.priority
                             ? " (needs CAP_SYS_NICE, and with cgroup v1 "
                               "linux.resources.cpu.realtimeRuntime)"
                             : "");
    return 0;
}

static int set_ioprio(const struct spec_ioprio *p, struct error *err)
{
    if (p && syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0,
                     p->class << IOPRIO_CLASS_SHIFT | (unsigned)p->priority))
        return error_set(err, errno, "process.ioPriority: %s", strerror(errno));
    return 0;
}

bool process_parse_list(const char *text, unsigned long *set, unsigned bits)
{
    memset(set, 0, bits / 8);
    while (*text) {
        char *end;
        unsigned long from = strtoul(text, &end, 10), to = from;

        if (end == text)
            return false;
        if (*end == '-') {
            text = end + 1;
            to = strtoul(text, &end, 10);
            if (end == text)
                return false;
        }
        if (from > to || to >= bits || (*end && *end != ','))
            return false;
        for (; from <= to; from++)
            set[from / 64] |= 1ul << from % 64;
        text = *end ? end + 1 : end;
    }
    return true;
}

int process_affinity(const char *cpus, struct error *err)
{
    unsigned long set[1024 / 64];

    if (!cpus || !cpus[0])
        return 0;
    if (!process_parse_list(cpus, set, 1024))
        return error_set(err, EINVAL,
                         "process.execCPUAffinity: \"%.80s\" is no list of "
                         "CPUs",
                         cpus);
    if (syscall(SYS_sched_setaffinity, 0, sizeof(set), set) < 0)
        return error_set(err, errno, "process.execCPUAffinity: %s: %s", cpus,
                         strerror(errno));
    return 0;
}

static int set_mempolicy(const struct spec_memory_policy *m, struct error *err)
{
    unsigned long nodes[1024 / 64];

    if (!m)
        return 0;
    if (!process_parse_list(m->nodes ? m->nodes : "", nodes, 1024))
        return error_set(err, EINVAL,
                         "linux.memoryPolicy.nodes: \"%.80s\" is no list of "
                         "nodes",
                         m->nodes);
    if (syscall(SYS_set_mempolicy, m->mode | m->flags,
                m->nodes && m->nodes[0] ? nodes : NULL,
                m->nodes && m->nodes[0] ? 1024 : 0))
        return error_set(err, errno, "linux.memoryPolicy: %s", strerror(errno));
    return 0;
}

static int set_personality(const struct spec_personality *p, struct error *err)
{
    if (!p)
        return 0;
    if (p->flags.count)
        return error_set(err, EINVAL,
                         "linux.personality.flags: none are "
                         "known yet");
    if (personality(p->domain) < 0)
        return error_set(err, errno, "linux.personality: %s", strerror(errno));
    return 0;
}

/* --- labels --- */

static int set_label(struct launch *l, const char *field, const char *module,
                     const char *file, const char *fallback, const char *text,
                     struct error *err)
{
    int e;

    if (!text || !text[0] || !strcmp(text, "unconfined"))
        return 0;
    e = proc_write(l, file, text);
    if (e == -ENOENT && fallback && faccessat(l->proc, file, F_OK, 0)) {
        file = fallback;
        e = proc_write(l, file, text);
    }
    if (!e)
        return 0;
    /* What comes after "exec " is what config.json has. */
    text += strncmp(text, "exec ", 5) ? 0 : 5;
    if (e == -EINVAL || (e == -ENOENT && faccessat(l->proc, file, F_OK, 0)))
        return error_set(err, -e, "%s: %s: this host has no %s", field, text,
                         module);
    if (e == -ENOENT)
        return error_set(err, -e, "%s: %s is not loaded into the kernel", field,
                         text);
    return error_set(err, -e, "%s: %s: %s", field, text, strerror(-e));
}

static int set_labels(struct launch *l, struct error *err)
{
    const struct spec_process *p = l->process;
    char text[1024];
    int e;

    e = set_label(l, "process.selinuxLabel", "SELinux", "self/attr/exec", NULL,
                  p->selinux_label, err);
    if (e || !p->apparmor_profile || !p->apparmor_profile[0])
        return e;
    snprintf(text, sizeof(text), "exec %s", p->apparmor_profile);
    return set_label(l, "process.apparmorProfile", "AppArmor",
                     "self/attr/apparmor/exec", "self/attr/exec",
                     strcmp(p->apparmor_profile, "unconfined") ? text : NULL,
                     err);
}

int process_prepare(struct launch *l, struct error *err)
{
    const struct spec_process *p = l->process;
    int e = set_rlimits(l, err);

    if (!e)
        e = set_oom_score(l, err);
    if (!e)
        e = set_scheduler(p->scheduler, err);
    if (!e)
        e = set_ioprio(p->io_priority, err);
    if (!e)
        e = set_mempolicy(l->spec->linux_.memory_policy, err);
    return e ? e : set_personality(l->spec->linux_.personality, err);
}

/* --- who it is --- */

static int set_groups(const struct launch *l, struct error *err)
{
    const struct spec_user *u = &l->process->user;
    int fd, n = 0;
    char text[8] = "";

    /* As users of crun have it, for groups that a name gives no number of. */
    if (json_map_get(&l->spec->annotations, "run.oci.keep_original_groups"))
        return 0;
    if (!setgroups(u->additional_gids.count, u->additional_gids.items))
        return 0;
    if (errno != EPERM || u->additional_gids.count)
        return error_set(err, errno, "process.user.additionalGids: %s",
                         strerror(errno));
    /* A user who maps only himself has given setgroups() up. */
    fd = openat(l->proc, "self/setgroups", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = (int)read(fd, text, sizeof(text) - 1);
        close(fd);
    }
    if (n > 3 && !strncmp(text, "deny", 4))
        return 0;
    return error_set(err, EPERM, "process.user: setgroups: %s",
                     strerror(EPERM));
}

static int set_user(const struct launch *l, struct error *err)
{
    const struct spec_user *u = &l->process->user;
    int e = set_groups(l, err);

    if (e)
        return e;
    if (setresgid(u->gid, u->gid, u->gid))
        return error_set(err, errno, "process.user.gid: %u: %s", u->gid,
                         errno == EINVAL ? "is not mapped" : strerror(errno));
    if (setresuid(u->uid, u->uid, u->uid))
        return error_set(err, errno, "process.user.uid: %u: %s", u->uid,
                         errno == EINVAL ? "is not mapped" : strerror(errno));
    return 0;
}

/*
 * Hosts that withhold some from root (CAP_SYS_RESOURCE, often) are common; a
 * container there has the others.
 */
static int limit_caps(struct caps_sets *caps, struct error *err)
{
    struct caps_sets own;
    int e = caps_get(&own, err);
    uint64_t lacks = (caps->permitted | caps->effective | caps->inheritable) &
                     ~own.permitted;
    unsigned i;

    if (e || !lacks)
        return e;
    for (i = 0; i < 64; i++)
        if (lacks >> i & 1)
            log_warn("process.capabilities: the runtime has no %s to give",
                     caps_name(i) ? caps_name(i) : "such capability");
    caps->permitted &= ~lacks;
    caps->effective &= ~lacks;
    caps->inheritable &= ~lacks;
    caps->ambient &= ~lacks;
    return 0;
}

static int set_caps_and_user(const struct launch *l, struct error *err)
{
    struct caps_sets caps;
    int e;

    spec_caps(l->process, &caps);
    e = limit_caps(&caps, err);
    if (!e)
        e = caps_set_bounding(caps.bounding, err);
    if (!e && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
        e = error_set(err, errno, "PR_SET_KEEPCAPS: %s", strerror(errno));
    if (!e)
        e = set_user(l, err);
    if (!e)
        e = caps_set(&caps, err);
    if (e)
        return error_prefix(err, "process");
    prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
    return 0;
}

/*
 * The working folder is the container's, not one of the host's that somebody
 * has left a descriptor of: the kernel says "(unreachable)" of those.
 */
static int enter_cwd(const struct spec_process *p, struct error *err)
{
    char path[4096];

    if (chdir(p->cwd))
        return error_set(err, errno, "process.cwd: %s: %s", p->cwd,
                         strerror(errno));
    if (syscall(SYS_getcwd, path, sizeof(path)) < 0 || path[0] != '/')
        return error_set(err, ENOENT,
                         "process.cwd: %s is outside of the container's root",
                         p->cwd);
    return 0;
}

/* --- exec --- */

static const char *env_get(const struct json_strings *env, const char *name)
{
    size_t n = strlen(name);
    unsigned i;

    for (i = env->count; i-- > 0;)
        if (!strncmp(env->item[i], name, n) && env->item[i][n] == '=')
            return env->item[i] + n + 1;
    return NULL;
}

/* Of names that stand there twice the last one counts. */
static bool is_last(const struct json_strings *env, unsigned i)
{
    size_t n = strcspn(env->item[i], "=") + 1;
    unsigned k;

    for (k = i + 1; k < env->count; k++)
        if (!strncmp(env->item[k], env->item[i], n))
            return false;
    return true;
}

/* HOME of the user by the container's own passwd. */
static const char *home_of(struct launch *l)
{
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    const char *home = NULL;

    if (root >= 0) {
        home = user_home(&l->c->arena, root, l->process->user.uid);
        close(root);
    }
    return home ? home : "/";
}

static const char **environment(struct launch *l)
{
    const struct json_strings *env = &l->process->env;
    const char **list =
        arena_alloc(&l->c->arena, (env->count + 5) * sizeof(*list));
    unsigned n = 0, i;

    for (i = 0; i < env->count; i++)
        if (is_last(env, i))
            list[n++] = env->item[i];
    if (!env_get(env, "HOME"))
        list[n++] = arena_printf(&l->c->arena, "HOME=%s", home_of(l));
    if (l->process->terminal && !env_get(env, "TERM"))
        list[n++] = "TERM=xterm";
    if (l->listen_fds) {
        list[n++] = arena_printf(&l->c->arena, "LISTEN_FDS=%u", l->listen_fds);
        list[n++] = arena_printf(&l->c->arena, "LISTEN_PID=%d", getpid());
    }
    list[n] = NULL;
    return list;
}

int process_become(struct launch *l, struct error *err)
{
    const struct spec_process *p = l->process;
    bool nnp = p->no_new_privileges, there = false;
    struct error dropped;
    int e = set_labels(l, err);

    /* What needs calls that the filter may deny comes first. */
    l->env = environment(l);
    signals_reset();
    umask(p->user.has & SPEC_UMASK ? p->user.umask : 0022);
    if (!e && l->late)
        enter_shed(l);
    if (!e &&
        syscall(SYS_close_range, 3 + l->preserve_fds, ~0u, CLOSE_RANGE_CLOEXEC))
        e = error_set(err, errno, "close_range: %s", strerror(errno));
    if (!e && nnp && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        e = error_set(err, errno, "process.noNewPrivileges: %s",
                      strerror(errno));
    if (!e)
        e = process_reaper(l, err);
    /* Without that, a filter needs a capability that goes with the others. */
    if (!e && l->seccomp && !nnp) {
        /* A filter may deny what looks where we are. */
        there = !enter_cwd(p, &dropped);
        e = process_load_filter(l, err);
    }
    if (!e)
        e = set_caps_and_user(l, err);
    if (!e && !there)
        e = enter_cwd(p, err);
    return !e && l->seccomp && nnp ? process_load_filter(l, err) : e;
}

/* execvpe(), with the container's PATH, and telling why. */
static int try_paths(struct launch *l,
                     int (*try)(const char *, struct launch *),
                     struct error *err)
{
    const char *name = l->process->args.item[0];
    const char *path = env_get(&l->process->env, "PATH");
    int code = ENOENT;

    if (strchr(name, '/')) {
        if (!try(name, l))
            return 0;
        return error_set(err, errno, "exec %s: %s", name, strerror(errno));
    }
    if (!path)
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    while (*path) {
        size_t n = strcspn(path, ":");

        if (!try(arena_printf(&l->c->arena, "%.*s/%s", (int)n, path, name), l))
            return 0;
        if (errno != ENOENT && errno != ENOTDIR)
            code = errno;
        path += n + (path[n] == ':');
    }
    if (code == ENOENT)
        return error_set(err, ENOENT,
                         "exec %s: executable file not found in $PATH", name);
    return error_set(err, code, "exec %s: %s", name, strerror(code));
}

static int do_exec(const char *path, struct launch *l)
{
    return execve(path, (char *const *)l->process->args.item,
                  (char *const *)l->env);
}

int process_exec(struct launch *l, struct error *err)
{
    return try_paths(l, do_exec, err);
}

/* Relative to the folder that it will be started in. */
static int is_there(const char *path, struct launch *l)
{
    if (path[0] == '/')
        return access(path, F_OK);
    return access(arena_printf(&l->c->arena, "%s/%s", l->process->cwd, path),
                  F_OK);
}

int process_find(struct launch *l, struct error *err)
{
    return try_paths(l, is_there, err);
}
