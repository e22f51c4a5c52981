/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create.c - a container is made: the runtime's side (see launch.h).
 *
 * The state is saved before each thing that would have to be cleaned up: a
 * runtime that is killed in between leaves what `delete --force` takes away.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/utf8.h"
#include "oci/create_int.h"
#include "oci/notify.h"
#include "oci/netdev.h"
#include "oci/sync.h"

/* --- reading --- */

/* As an absolute one without links, which the state has: so it is UTF-8. */
static int path_find(struct making *m, const char *what, const char *path,
                     const char **out, struct error *err)
{
    char *real = realpath(path, NULL);

    if (!real)
        return error_set(err, errno, "%s %s: %s", what, path, strerror(errno));
    *out = arena_strdup(&m->c.arena, real);
    free(real);
    return utf8_is(*out)
               ? 0
               : error_set(err, EILSEQ, "%s %s: is not UTF-8", what, *out);
}

static int find_bundle(struct making *m, struct error *err)
{
    return path_find(m, "bundle", m->o->bundle ? m->o->bundle : ".", &m->bundle,
                     err);
}

static int read_config(struct making *m, struct error *err)
{
    const char *name = m->o->config ? m->o->config : "config.json";
    char *text = NULL;
    int dir, e;

    if (m->o->config_text) {
        m->config = m->o->config_text;
        return spec_read_text(&m->c.arena, m->config, "config.json", &m->spec,
                              err);
    }
    dir = open(m->bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_set(err, errno, "bundle %s: %s", m->bundle,
                         strerror(errno));
    e = spec_read(&m->c.arena, dir, name, &m->spec, &text, err);
    m->config = text;
    close(dir);
    return e;
}

static int find_rootfs(struct making *m, struct error *err)
{
    const char *path = m->spec.root.path;

    if (path[0] != '/')
        path = arena_printf(&m->c.arena, "%s/%s", m->bundle, path);
    return path_find(m, "root.path:", path, &m->l.rootfs, err);
}

/* An annotation of crun's users: rather no container than half a filter. */
static int check_calls(const struct spec *spec, const struct spec_seccomp *s,
                       struct error *err)
{
    unsigned i, k;

    if (!json_map_get(&spec->annotations,
                      "run.oci.seccomp_fail_unknown_syscall"))
        return 0;
    for (i = 0; i < s->profile.rule_count; i++)
        for (k = 0; k < s->profile.rules[i].count; k++)
            if (!seccomp_call_known(s->profile.rules[i].names[k]))
                return error_set(err, EINVAL,
                                 "linux.seccomp.syscalls[%u].names[%u]: no "
                                 "call is named %.80s",
                                 i, k, s->profile.rules[i].names[k]);
    return 0;
}

int filter_compile(struct arena *a, const struct spec *spec,
                   const struct seccomp_program **out, struct error *err)
{
    const struct spec_seccomp *s = spec->linux_.seccomp;
    struct seccomp_profile profile;
    struct seccomp_program full; /* 32 KiB, most of it never touched */
    size_t size;
    int e;

    *out = NULL;
    if (!s)
        return 0;
    profile = s->profile;
    if (!s->has_flags) /* as runc and crun have it */
        profile.flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    e = check_calls(spec, s, err);
    if (!e)
        e = seccomp_compile(&profile, &full, err);
    if (e)
        return e;
    /* Who waits at that socket gets one, be there nothing to be told of. */
    if (s->listener_path && s->listener_path[0])
        full.notify = true;
    size = seccomp_program_size(&full);
    *out = memcpy(arena_alloc(a, size), &full, size);
    return 0;
}

/* --- the state --- */

/*
 * As of RFC 3339. gmtime_r() would read the host's time zone first, which
 * takes ten system calls. Years are counted from March, so that the leap day
 * is the last of one.
 */
static const char *date_text(struct arena *a, const struct timespec *t)
{
    long days = t->tv_sec / 86400 + 719468, second = t->tv_sec % 86400;
    long era = days / 146097, day = days % 146097;
    long year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    long month;

    day -= 365 * year + year / 4 - year / 100;
    month = (5 * day + 2) / 153;
    day -= (153 * month + 2) / 5;
    month += month < 10 ? 3 : -9;
    return arena_printf(a, "%04ld-%02ld-%02ldT%02ld:%02ld:%02ld.%09ldZ",
                        era * 400 + year + (month <= 2), month, day + 1,
                        second / 3600, second / 60 % 60, second % 60,
                        t->tv_nsec);
}

static const char *time_text(struct arena *a)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return date_text(a, &t);
}

static int save_config(struct making *m, struct error *err)
{
    int fd = openat(m->c.dir, "config.json",
                    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600),
        e;

    if (fd < 0)
        return error_set(err, errno, "%s/%s/config.json: %s", m->c.root,
                         m->c.id, strerror(errno));
    e = fd_write(fd, m->config, strlen(m->config));
    if (close(fd) && !e)
        e = -errno;
    return e ? error_set(err, -e, "%s/%s/config.json: %s", m->c.root, m->c.id,
                         strerror(-e))
             : 0;
}

static int make_state(struct making *m, struct error *err)
{
    struct state *s = &m->c.state;
    int e = oci_state_create(&m->c, m->o->root, m->o->id, err);

    if (e)
        return e;
    m->have_state = true;
    s->bundle = m->bundle;
    s->rootfs = m->l.rootfs;
    s->created = time_text(&m->c.arena);
    s->owner = geteuid() ? arena_printf(&m->c.arena, "%u", geteuid()) : "root";
    s->annotations = m->spec.annotations;
    e = notify_add(&m->c, &m->spec, err);
    return e ? e : save_config(m, err);
}

/* --- cgroups --- */

/* Its names, and what shall be set; saved, but not made yet. */
static int find_cgroup(struct making *m, struct error *err)
{
    const struct spec_linux *s = &m->spec.linux_;
    const char *path = s->cgroups_path;
    bool host_root = !geteuid() && oci_in_host_userns();
    struct cgroup_host host;
    int e;

    /* A user's own cgroup is the only place where he may make one. */
    if (!host_root && !(path && path[0]))
        path = m->c.id;
    e = cgroup_host_read(&host, path && path[0] && path[0] != '/', err);
    if (e)
        return e;
    if (s->resources)
        m->limits = *s->resources;
    /* Devices are not for users to hand out; nor can they be opened there. */
    m->limits.device_defaults = host_root;
    if (!host_root)
        m->limits.devices = 0;
    e = cgroup_find(&m->c.cgroup, &host, path, m->c.id, err);
    cgroup_host_free(&host);
    if (e)
        return e;
    oci_state_set_cgroup(&m->c);
    return oci_state_save(&m->c, err);
}

static int make_cgroup(struct making *m, struct error *err)
{
    int e = cgroup_create(&m->c.cgroup, &m->limits, true, err);

    if (e)
        return e;
    m->have_cgroup = true;
    oci_state_set_cgroup(&m->c); /* how much of it is ours */
    return cgroup_apply(&m->c.cgroup, &m->limits, false, err);
}

int making_cgroup(struct making *m, struct error *err)
{
    int e = m->o->no_cgroup ? 0 : make_cgroup(m, err);

    return e ? e : cgroup_enter_prepare(&m->c.cgroup, err);
}

/*
 * A new network takes the kernel as long as cgroups in all hierarchies of v1:
 * so the process makes the one while we make the others. It cannot be so on
 * v2, where it is born in its cgroup, nor with a user namespace, from which it
 * could not enter those that we have not opened.
 */
static bool cgroup_beside(const struct making *m)
{
    const struct spec_namespace *net = spec_namespace(&m->spec, CLONE_NEWNET);
    const struct cgroup_limits *l = &m->limits;

    return net && !(net->path && net->path[0]) &&
           !m->spec.linux_.net_devices.count && m->c.cgroup.count &&
           m->c.cgroup.layout != CGROUP_V2 && !l->unifieds && !l->hugepages &&
           !l->rdmas && !geteuid() && !spec_namespace(&m->spec, CLONE_NEWUSER);
}

/* It has waited for this. */
static int give_cgroup(struct making *m, struct error *err)
{
    unsigned refused = 0, i;

    for (i = 0; i < m->c.cgroup.count; i++)
        if (m->c.cgroup.tree[i].refused)
            refused |= BIT(i);
    return sync_send(m->l.sync, SYNC_CGROUP, (int)refused, -1)
               ? 0
               : error_set(err, EPIPE, "the container's process is gone");
}

/* --- the process --- */

static int listen_for_start(struct making *m, struct error *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    /* By the folder's descriptor, as such a path may have 107 characters. */
    snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/start",
             m->c.dir);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 1))
        return error_set(err, errno, "%s/%s/start: %s", m->c.root, m->c.id,
                         strerror(errno));
    m->l.start = fd;
    return 0;
}

int console_choose(struct launch *l, const struct container_options *o,
                   int *relay, struct error *err)
{
    bool terminal = l->process && l->process->terminal;
    int pair[2];

    l->console_socket = -1;
    if (relay)
        *relay = -1;
    if (o->console_socket && !terminal)
        return error_set(err, EINVAL,
                         "--console-socket: process.terminal is "
                         "false, so there is none to send");
    if (!terminal)
        return 0;
    if (o->console_socket) {
        l->console_socket = console_connect(o->console_socket, err);
        return MIN(l->console_socket, 0);
    }
    if (!relay || o->detach)
        return error_set(err, EINVAL,
                         "process.terminal: needs "
                         "--console-socket, where it can go");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return error_set(err, errno, "socketpair: %s", strerror(errno));
    l->console_socket = pair[0];
    *relay = pair[1];
    return 0;
}

int pid_file_write(const char *path, pid_t pid, struct error *err)
{
    char text[16], *temp;
    int fd, e = 0;

    if (!path)
        return 0;
    snprintf(text, sizeof(text), "%d", (int)pid);
    if (asprintf(&temp, "%s.%d", path, getpid()) < 0)
        return error_set(err, ENOMEM, "--pid-file: no memory");
    /* Whoever waits for the file shall find the number in it. */
    fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        e = -errno;
    if (!e)
        e = fd_write(fd, text, strlen(text));
    if (fd >= 0)
        close(fd);
    if (!e && rename(temp, path))
        e = -errno;
    if (e && fd >= 0)
        unlink(temp);
    free(temp);
    return e ? error_set(err, -e, "--pid-file: %s: %s", path, strerror(-e)) : 0;
}

/* Its network namespace comes with SYNC_MOUNTED: it is ours to open no more. */
static int give_devices(struct making *m, int ns, struct error *err)
{
    const struct json_array *devices = &m->spec.linux_.net_devices;
    int e = 0;

    if (devices->count && ns < 0)
        e = error_set(err, EPIPE, "linux.netDevices: no namespace came");
    else if (devices->count)
        e = netdev_move(devices, ns, err);
    if (ns >= 0)
        close(ns);
    return e;
}

/* The hooks at SYNC_MOUNTED. */
static int run_hooks(struct making *m, struct error *err)
{
    const struct spec_hooks *h = &m->spec.hooks;
    int ns = -1, e = sync_expect(m->l.sync, SYNC_MOUNTED, &ns, err);

    if (!e)
        e = give_devices(m, ns, err);
    /* There is an environment by now: "created". [runtime-spec, lifecycle] */
    if (!e)
        e = hooks_run(&h->kind[HOOK_PRESTART], "prestart", &m->c, STATE_CREATED,
                      false, err);
    if (!e)
        e = hooks_run(&h->kind[HOOK_CREATE_RUNTIME], "createRuntime", &m->c,
                      STATE_CREATED, false, err);
    if (!e && !sync_send(m->l.sync, SYNC_GO, 0, -1))
        e = error_set(err, EPIPE, "the container's process is gone");
    return e;
}

/*
 * To SYNC_READY. Where nothing is to be done between that and SYNC_START, the
 * latter is there before the process waits for it: to sleep, and to be woken,
 * takes longer than most of its work.
 */
static int follow(struct making *m, struct error *err)
{
    int e = 0;

    /* If nobody hears it any more, he has left a word for SYNC_READY. */
    if (launch_pauses(&m->l))
        e = run_hooks(m, err);
    else
        (void)sync_send(m->l.sync, SYNC_GO, 0, -1);
    if (e)
        return e;
    if (m->l.start < 0 && !m->o->pid_file)
        m->started = sync_send(m->l.sync, SYNC_START, 0, -1);
    return sync_expect(m->l.sync, SYNC_READY, NULL, err);
}

static int try_process(struct making *m, struct error *err)
{
    int e = rootfs_sources(&m->l, err);

    if (e)
        return e;
    m->pid = launch_spawn(&m->l, launch_child, err);
    if (m->pid < 0) {
        e = m->pid;
        m->pid = 0;
        return e;
    }
    rootfs_sources_close(&m->l);
    m->c.state.pid = m->pid;
    m->c.state.pid_time = oci_state_start_time(m->pid);
    if (m->l.late_cgroup)
        e = make_cgroup(m, err);
    if (!e)
        e = oci_state_save(&m->c, err);
    /* Not earlier: whoever cleans up after us must know who is in there. */
    if (!e && m->l.late_cgroup)
        e = give_cgroup(m, err);
    if (!e)
        e = follow(m, err);
    return e ? e : pid_file_write(m->o->pid_file, m->pid, err);
}

static int make_process(struct making *m, struct error *err)
{
    int e = try_process(m, err);

    if (e != -EPIPE || m->pid <= 0 || !launch_killed_at_birth(&m->l, m->pid))
        return e;
    m->pid = 0;
    close(m->l.sync);
    m->l.sync = -1;
    return try_process(m, err);
}

/* systemd's sockets come first, and go on to the program. */
static void listen_fds(struct launch *l, unsigned preserve)
{
    const char *text = getenv("LISTEN_FDS");
    unsigned long n = text ? strtoul(text, NULL, 10) : 0;

    l->listen_fds = n <= 65536 ? (unsigned)n : 0;
    l->preserve_fds = l->listen_fds + preserve;
}

static int prepare(struct making *m, bool with_start, struct error *err)
{
    struct launch *l = &m->l;
    int e = find_bundle(m, err);

    if (!e)
        e = read_config(m, err);
    if (!e)
        e = find_rootfs(m, err);
    if (!e)
        e = filter_compile(&m->c.arena, &m->spec, &l->seccomp, err);
    if (!e)
        e = proc_open(l, err);
    if (e)
        return e;
    idmap_default(&m->c.arena, &m->spec);
    l->c = &m->c;
    l->spec = &m->spec;
    l->process = m->spec.process;
    l->bundle = m->bundle;
    e = proc_check_sysctls(l, err);
    if (e)
        return e;
    listen_fds(l, m->o->preserve_fds);
    l->no_pivot = m->o->no_pivot;
    l->no_new_keyring = m->o->no_new_keyring;
    l->reaper = m->o->init;
    if (with_start)
        return console_choose(l, m->o, NULL, err);
    return console_choose(l, m->o, &m->relay, err);
}

void close_foreign(unsigned preserve)
{
    unsigned first = 3 + preserve, log = (unsigned)log_file();

    if (log < first) {
        syscall(SYS_close_range, first, ~0u, 0);
        return;
    }
    if (log > first)
        syscall(SYS_close_range, first, log - 1, 0);
    syscall(SYS_close_range, log + 1, ~0u, 0);
}

int making_begin(struct making *m, const struct container_options *o,
                 bool with_start, struct error *err)
{
    int e;

    close_foreign(o->preserve_fds);
    memset(m, 0, sizeof(*m));
    m->o = o;
    m->c.dir = m->c.root_fd = m->relay = m->notify = -1;
    m->l.sync = m->l.start = m->l.proc = m->l.console_socket = -1;
    m->l.source_of_root = m->l.nodes = -1;
    e = prepare(m, with_start, err);
    if (!e)
        e = make_state(m, err);
    return e || o->no_cgroup ? e : find_cgroup(m, err);
}

int making_create(struct making *m, const struct container_options *o,
                  bool with_start, struct error *err)
{
    int e = making_begin(m, o, with_start, err);

    m->l.late_cgroup = !e && cgroup_beside(m);
    if (!e && !m->l.late_cgroup)
        e = making_cgroup(m, err);
    if (!e && with_start)
        e = listen_for_start(m, err);
    else if (!e)
        m->notify = notify_open(&m->c);
    if (!e)
        e = make_process(m, err);
    if (e)
        making_undo(m);
    return e;
}

void making_undo(struct making *m)
{
    struct error err;

    if (m->pid > 0) {
        kill(m->pid, SIGKILL);
        while (waitpid(m->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    if (m->have_cgroup &&
        (cgroup_kill(&m->c.cgroup, &err) || cgroup_remove(&m->c.cgroup, &err)))
        log_warn("%s", err.msg);
    if (m->pid > 0 && hooks_run(&m->spec.hooks.kind[HOOK_POSTSTOP], "poststop",
                                &m->c, STATE_STOPPED, true, &err))
        log_warn("%s", err.msg);
    if (m->have_state && oci_state_remove(&m->c, &err))
        log_warn("%s", err.msg);
    making_end(m);
}

void making_end(struct making *m)
{
    int fds[] = {m->l.sync,           m->l.start, m->l.proc,
                 m->l.console_socket, m->relay,   m->notify};
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    oci_state_close(&m->c);
}

int container_create(const struct container_options *o, struct error *err)
{
    struct making m;
    int e = making_create(&m, o, true, err);

    if (!e)
        making_end(&m);
    return e;
}
