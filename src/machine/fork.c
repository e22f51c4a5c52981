/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fork.c - see fork.h.
 *
 * Each child has the writing end of a pipe: through it says whether it runs
 * ("ok", or an error), and it closes with the child's (and the child's
 * children's) end, which is when disks need keep nothing for it any more.
 */
#include "machine/fork.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "io/disk_fork.h"
#include "machine/machine_int.h"

#define LINE 512

struct fork_child {
    struct machine_fork *fork;
    struct loop_fd pipe; /* -1: it never was, or is gone */
    bool told;           /* it has said something, or will not */
    bool runs;
    size_t len;
    unsigned number; /* counted over all forks of the parent, from 1 */
    char line[LINE], name[96];
};

struct machine_fork {
    struct machine_fork *next;
    struct machine *m;
    struct machine_work work;
    struct fork_done *done; /* NULL: has been called */
    unsigned disk_fork[MACHINE_DISKS_MAX];
    unsigned disks;  /* that were forked */
    unsigned number; /* of the first child */
    char prefix[NAME_LEN_MAX + 1];
    uint64_t stopped_ns;
    struct error err;
    bool publish;
    unsigned count;
    struct fork_child child[];
};

/* --- children come and go --- */

static void fork_tell(struct machine_fork *f)
{
    char(*names)[96] = calloc(f->count, sizeof(*names));
    struct fork_done *d = f->done;
    unsigned n = 0, i;

    for (i = 0; i < f->count; i++)
        if (!f->child[i].told)
            break;
    if (i < f->count || !d) {
        free(names);
        return;
    }
    for (i = 0; names && i < f->count; i++)
        if (f->child[i].runs)
            memcpy(names[n++], f->child[i].name, sizeof(*names));
    f->done = NULL;
    d->done(d, names, n, f->stopped_ns, &f->err);
    free(names);
}

static void fork_free(struct machine_fork *f)
{
    struct machine_fork **at = &f->m->forks;
    unsigned i;

    for (i = 0; i < f->disks; i++)
        disk_fork_end(&f->m->disk[i], f->disk_fork[i]);
    while (*at && *at != f)
        at = &(*at)->next;
    if (*at)
        *at = f->next;
    free(f);
}

/* It has said all that it will say before it runs. */
static void child_told(struct fork_child *c)
{
    struct machine_fork *f = c->fork;

    c->told = true;
    c->runs = c->len >= 3 && !memcmp(c->line, "ok\n", 3);
    if (!c->runs && !f->err.code) {
        c->line[strcspn(c->line, "\n")] = 0;
        error_set(&f->err, ECHILD, "%s: %s", c->name,
                  *c->line ? c->line : "it ended before it ran");
    }
    fork_tell(f);
}

static void child_gone(struct fork_child *c)
{
    struct machine_fork *f = c->fork;
    unsigned i;

    loop_remove(&f->m->loop, &c->pipe);
    close(c->pipe.fd);
    c->pipe.fd = -1;
    if (!c->told)
        child_told(c);
    for (i = 0; i < f->count; i++)
        if (f->child[i].pipe.fd >= 0)
            return;
    fork_free(f);
}

static void child_ready(struct loop_fd *lf, uint32_t events)
{
    struct fork_child *c = container_of(lf, struct fork_child, pipe);
    char rest[64];
    ssize_t n;

    (void)events;
    if (c->told)
        n = read(lf->fd, rest, sizeof(rest));
    else
        n = read(lf->fd, c->line + c->len, LINE - 1 - c->len);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        child_gone(c);
        return;
    }
    if (c->told)
        return;
    c->len += (size_t)n;
    if (memchr(c->line, '\n', c->len) || c->len == LINE - 1)
        child_told(c);
}

/* --- making them --- */

/* In the new process, which may only do what a signal handler may. */
static noreturn_fn void child_exec(char *const *argv, int state, int memory,
                                   int ready)
{
    int null = open("/dev/null", O_RDWR);

    setsid();
    if (fork()) /* whose parent nobody waits for */
        _exit(0);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    fcntl(state, F_SETFD, 0);
    fcntl(memory, F_SETFD, 0);
    fcntl(ready, F_SETFD, 0);
    execv("/proc/self/exe", argv);
    _exit(127);
}

/* The command line of a child, with all that it must not share. */
struct child_args {
    const char *argv[16 + 2 * MACHINE_PORTS_MAX];
    char fds[32], ready[16], vsock[640], port[MACHINE_PORTS_MAX][640];
};

static void child_command(const struct fork_child *c, int state, int memory,
                          int ready, struct child_args *a)
{
    const struct machine *m = c->fork->m;
    const char *first[] = {"ringfence",    "boot",   "--restore-fds",
                           a->fds,         "--name", c->name,
                           "--ready-fd",   a->ready, "--engine",
                           m->engine->name};
    unsigned n = ARRAY_SIZE(first), i;

    memcpy(a->argv, first, sizeof(first));
    snprintf(a->fds, sizeof(a->fds), "%d:%d", state, memory);
    snprintf(a->ready, sizeof(a->ready), "%d", ready);
    if (m->vsock) {
        machine_vsock_fork(m, c->name, c->number, a->vsock, sizeof(a->vsock));
        a->argv[n++] = "--vsock";
        a->argv[n++] = a->vsock;
    }
    for (i = 0; i < m->cfg->ports; i++) {
        machine_port_fork(m, i, c->name, a->port[i], sizeof(a->port[i]));
        a->argv[n++] = "--port";
        a->argv[n++] = a->port[i];
    }
    if (c->fork->publish)
        a->argv[n++] = "--publish-anew";
    if (m->cfg->no_fence)
        a->argv[n++] = "--no-fence";
    a->argv[n] = NULL;
}

static int child_spawn(struct fork_child *c, int state, int memory,
                       struct error *err)
{
    struct child_args args;
    int pipe[2];
    pid_t pid;

    if (pipe2(pipe, O_CLOEXEC))
        return error_set(err, errno, "pipe: %s", strerror(errno));
    fcntl(pipe[0], F_SETFL, O_NONBLOCK);
    child_command(c, state, memory, pipe[1], &args);
    pid = fork();
    if (!pid)
        child_exec((char *const *)(uintptr_t)args.argv, state, memory, pipe[1]);
    close(pipe[1]);
    if (pid < 0) {
        error_set(err, errno, "fork: %s", strerror(errno));
        close(pipe[0]);
        return -err->code;
    }
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    c->pipe = (struct loop_fd){pipe[0], child_ready};
    if (!loop_add(&c->fork->m->loop, &c->pipe, EPOLLIN, err))
        return 0;
    close(pipe[0]);
    c->pipe.fd = -1;
    return -err->code;
}

static int fork_disks(struct machine_fork *f, struct error *err)
{
    struct machine *m = f->m;
    unsigned i;

    loop_lock(&m->loop);
    for (i = 0; i < m->cfg->disks; i++)
        virtio_blk_drain(&m->blk[i]);
    machine_shares_fork(m, true);
    loop_unlock(&m->loop);
    for (i = 0; i < m->cfg->disks; i++) {
        if (disk_fork_begin(&m->disk[i], &f->disk_fork[i], err))
            return -err->code;
        f->disks++;
    }
    return 0;
}

/* What all children begin with: descriptors of state and memory. */
static int fork_take(struct machine_fork *f, int *state, int *memory,
                     struct error *err)
{
    struct machine *m = f->m;

    if (fork_disks(f, err))
        return -err->code;
    *state = snapshot_save_state(m, err);
    if (*state < 0)
        return -err->code;
    *memory = guest_mem_freeze(&m->mem, err);
    return *memory < 0 ? -err->code : 0;
}

/* The vCPUs are parked; time stands still until the files are there. */
static void fork_work(struct machine *m, struct machine_work *w)
{
    struct machine_fork *f = container_of(w, struct machine_fork, work);
    int state = -1, memory = -1, rc;
    uint64_t start = clock_host_now();
    unsigned i, spawned = 0;

    loop_lock(&m->loop);
    machine_hold(m, HOLD_WORK);
    loop_unlock(&m->loop);
    rc = fork_take(f, &state, &memory, &f->err);
    loop_lock(&m->loop);
    machine_unhold(m, HOLD_WORK);
    f->stopped_ns = clock_host_now() - start;
    for (i = 0; i < f->count; i++) {
        struct fork_child *c = &f->child[i];

        c->number = f->number + i;
        snprintf(c->name, sizeof(c->name), "%s-%u", f->prefix, c->number);
        c->told = rc || child_spawn(c, state, memory, &f->err);
        rc |= c->told;
        spawned += !c->told;
    }
    for (i = 0; i < m->cfg->disks; i++)
        disk_fork_spawned(&m->disk[i]);
    machine_shares_fork(m, false);
    if (state >= 0)
        close(state);
    if (memory >= 0)
        close(memory);
    if (!spawned) {
        fork_tell(f);
        fork_free(f);
    }
    loop_unlock(&m->loop);
}

int machine_fork(struct machine *m, unsigned children, const char *prefix,
                 bool publish, struct fork_done *d, struct error *err)
{
    struct machine_fork *f;
    unsigned i;

    if (!children || children > FORK_CHILDREN_MAX)
        return error_set(err, EINVAL, "fork: give a number from 1 to %d",
                         FORK_CHILDREN_MAX);
    if (m->det)
        return error_set(err, ENOTSUP,
                         "a deterministic machine cannot be forked");
    f = calloc(1, sizeof(*f) + children * sizeof(f->child[0]));
    if (!f)
        return error_set(err, ENOMEM, "out of memory");
    f->m = m;
    f->work.run = fork_work;
    f->done = d;
    f->count = children;
    f->publish = publish;
    f->number = m->forked + 1;
    m->forked += children;
    snprintf(f->prefix, sizeof(f->prefix), "%s", prefix);
    for (i = 0; i < children; i++) {
        f->child[i].fork = f;
        f->child[i].pipe.fd = -1;
    }
    f->next = m->forks;
    m->forks = f;
    machine_work(m, &f->work);
    return 0;
}

void machine_fork_fini(struct machine *m)
{
    unsigned i;

    while (m->forks) {
        struct machine_fork *f = m->forks;

        for (i = 0; i < f->count; i++) {
            if (f->child[i].pipe.fd < 0)
                continue;
            loop_remove(&m->loop, &f->child[i].pipe);
            close(f->child[i].pipe.fd);
        }
        m->forks = f->next;
        free(f);
    }
}
