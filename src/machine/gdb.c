/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gdb.c - the debugger stub's socket, and stopping and resuming for it.
 *
 * A stop is a request like a reset: the vCPUs are told to park, the loop
 * ends, and machine.c asks gdb_holds() when all are parked. From then on the
 * loop runs with the guest standing still, until the debugger resumes it.
 */
#include "machine/gdb_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "mmu/mmu.h"

/* --- stopping --- */

/*
 * The guest's time stands still with it: no watchdog of its own finds that
 * it was away.
 */
static void gdb_hold(struct gdb *g)
{
    g->held = true;
    machine_hold(g->m, HOLD_GDB);
}

static void gdb_let_go(struct gdb *g)
{
    uint64_t ns = machine_unhold(g->m, HOLD_GDB);

    if (!g->ran)
        g->m->rtc.epoch += (int64_t)ns; /* it boots at the hour it is */
    g->ran = true;
    g->held = false;
    g->started = true;
}

bool gdb_held(const struct machine *m)
{
    return m->gdb && m->gdb->held;
}

void gdb_powered_on(struct machine *m)
{
    if (m->gdb)
        memset(m->gdb->crash_told, 0, sizeof(m->gdb->crash_told));
}

static void gdb_want(struct gdb *g, int stopper)
{
    struct machine *m = g->m;

    pthread_mutex_lock(&m->park_lock);
    if (!g->want) {
        g->want = true;
        g->stopper = stopper;
    }
    m->pause = true;
    pthread_mutex_unlock(&m->park_lock);
    machine_interrupt(m);
}

void gdb_cpu_stopped(struct machine_cpu *mc)
{
    gdb_want(mc->m->gdb, (int)mc->cpu.index);
}

bool gdb_cpu_crashed(struct machine_cpu *mc)
{
    struct gdb *g = mc->m->gdb;
    bool look;

    if (!g)
        return false;
    loop_lock(&mc->m->loop);
    look = g->client.fd >= 0 && !g->crash_told[mc->cpu.index];
    loop_unlock(&mc->m->loop);
    if (look)
        gdb_want(g, (int)mc->cpu.index);
    return look;
}

void gdb_interrupt(struct gdb *g)
{
    gdb_want(g, -1);
}

static const char *gdb_watch_name(enum debug_watch_kind kind)
{
    return kind == DEBUG_WATCH_READ    ? "rwatch"
           : kind == DEBUG_WATCH_WRITE ? "watch"
                                       : "awatch";
}

static enum gdb_signal gdb_stop_signal(struct gdb *g, int stopper)
{
    if (stopper < 0)
        return GDB_SIGINT;
    if (!g->m->cpu[stopper].cpu.shutdown)
        return GDB_SIGTRAP;
    g->crash_told[stopper] = true;
    return GDB_SIGSEGV;
}

/* The stop reply; it stays for `?`. */
static void gdb_stop_reply(struct gdb *g, int stopper)
{
    struct vcpu_debug *d = stopper < 0 ? NULL : &g->cpu[stopper];
    size_t n;

    if (stopper >= 0)
        g->thread = (unsigned)stopper;
    n = (size_t)snprintf(g->last_stop, sizeof(g->last_stop),
                         "T%02xthread:%02x;", gdb_stop_signal(g, stopper),
                         g->thread + 1);
    if (!d)
        return;
    if (d->stop == DEBUG_BREAK && g->tells_swbreak)
        snprintf(g->last_stop + n, sizeof(g->last_stop) - n, "swbreak:;");
    if (d->stop == DEBUG_WATCH)
        snprintf(g->last_stop + n, sizeof(g->last_stop) - n, "%s:%llx;",
                 gdb_watch_name(d->kind), (unsigned long long)d->hit);
    d->stop = DEBUG_NONE; /* told */
}

bool gdb_holds(struct machine *m)
{
    struct gdb *g = m->gdb;
    bool want;
    int stopper;

    if (!g)
        return false;
    pthread_mutex_lock(&m->park_lock);
    want = g->want;
    stopper = g->stopper;
    g->want = false;
    pthread_mutex_unlock(&m->park_lock);
    if (!want)
        return g->held;
    loop_lock(&m->loop);
    if (g->client.fd < 0) { /* it left while the guest ran */
        if (!g->held) {
            gdb_hold(g);
            gdb_detach(g);
        }
        loop_unlock(&m->loop);
        return g->held;
    }
    gdb_hold(g);
    gdb_stop_reply(g, stopper);
    if (g->started)
        gdb_send(g, g->last_stop);
    g->started = true;
    gdb_input(g); /* what came while the guest ran */
    loop_unlock(&m->loop);
    return g->held;
}

/* --- resuming --- */

static void gdb_forget_code(struct gdb *g)
{
    unsigned i;

    for (i = 0; i < g->m->cfg->cpus; i++)
        mmu_forget_all_code(&g->m->cpu[i].cpu);
    g->guards_changed = false;
}

/* A watchpoint that another vCPU hit in the same moment: -1, or which. */
static int gdb_untold(struct gdb *g)
{
    unsigned i;

    for (i = 0; i < g->m->cfg->cpus; i++)
        if (g->cpu[i].stop == DEBUG_WATCH)
            return (int)i;
    return -1;
}

/* Others stood at a breakpoint or had stepped: they meet it again, or not. */
static void gdb_release(struct gdb *g, const enum gdb_action *action)
{
    struct machine *m = g->m;
    unsigned i;

    if (g->guards_changed)
        gdb_forget_code(g);
    pthread_mutex_lock(&m->park_lock);
    for (i = 0; i < m->cfg->cpus; i++) {
        g->cpu[i].stop = DEBUG_NONE;
        g->cpu[i].step = action[i] == GDB_STEP;
        m->cpu[i].frozen = action[i] == GDB_FREEZE;
    }
    pthread_mutex_unlock(&m->park_lock);
    for (i = 0; i < m->cfg->cpus; i++)
        vcpu_update_rflags(&m->cpu[i].cpu);
    gdb_let_go(g);
}

void gdb_resume(struct gdb *g, const enum gdb_action *action)
{
    int other = gdb_untold(g);

    if (other >= 0) {
        gdb_stop_reply(g, other);
        gdb_send(g, g->last_stop);
        return;
    }
    gdb_release(g, action);
}

void gdb_detach(struct gdb *g)
{
    enum gdb_action all[GUEST_VCPUS_MAX];
    unsigned i;

    if (!g->held)
        return; /* the lists are in use */
    for (i = 0; i < GUEST_VCPUS_MAX; i++)
        all[i] = GDB_CONTINUE;
    memset(&g->points, 0, sizeof(g->points));
    g->guards_changed = true;
    gdb_release(g, all);
}

/* --- connections --- */

/*
 * A debugger that is gone without a word is a detach; before the guest has
 * run at all, it goes on waiting for one. While the guest runs the lists are
 * in use: it is stopped first, and gdb_holds() detaches.
 */
void gdb_disconnect(struct gdb *g)
{
    if (g->client.fd < 0)
        return;
    loop_remove(&g->m->loop, &g->client);
    close(g->client.fd);
    g->client.fd = -1;
    g->in_len = g->out_len = 0;
    if (g->held && g->ran)
        gdb_detach(g);
    else if (!g->held)
        gdb_want(g, -1);
    log_debug("gdb: the debugger is gone");
}

static void gdb_client_ready(struct loop_fd *lf, uint32_t events)
{
    struct gdb *g = container_of(lf, struct gdb, client);
    ssize_t n;

    (void)events;
    if (g->in_len == sizeof(g->in))
        g->in_len = 0; /* no packet is that long */
    n = recv(lf->fd, g->in + g->in_len, sizeof(g->in) - g->in_len,
             MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        gdb_disconnect(g);
        return;
    }
    g->in_len += (size_t)n;
    gdb_input(g);
}

static bool gdb_client_gone(const struct gdb *g)
{
    char c;

    return g->client.fd >= 0 &&
           recv(g->client.fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* One debugger at a time; a guest that runs is stopped for it. */
static void gdb_accept(struct loop_fd *lf, uint32_t events)
{
    struct gdb *g = container_of(lf, struct gdb, listener);
    int fd = accept4(lf->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), on = 1;
    struct error err;

    (void)events;
    if (fd < 0)
        return;
    if (gdb_client_gone(g))
        gdb_disconnect(g); /* its end is news that has not been read yet */
    if (g->client.fd >= 0) {
        log_warn("gdb: refused a second debugger");
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    g->client.fd = fd;
    g->client.ready = gdb_client_ready;
    g->no_ack = g->tells_swbreak = g->phys = g->broken = false;
    g->thread = g->run_thread = 0;
    g->in_len = g->out_len = 0;
    if (loop_add(&g->m->loop, &g->client, EPOLLIN, &err)) {
        log_warn("gdb: %s", err.msg);
        close(fd);
        g->client.fd = -1;
        return;
    }
    snprintf(g->last_stop, sizeof(g->last_stop), "T05thread:01;");
    if (!g->held) {
        g->started = false; /* nobody has asked yet: no stop reply */
        gdb_want(g, -1);
    }
}

/* --- the listening socket --- */

static long gdb_port(const char *where)
{
    const char *p = strncmp(where, "tcp::", 5) ? where : where + 5;
    char *end;
    long port = strtol(p, &end, 10);

    return *p < '0' || *p > '9' || *end || port < 1 || port > 65535 ? -1 : port;
}

int gdb_address_check(const char *where, struct error *err)
{
    size_t room = sizeof(((struct sockaddr_un *)NULL)->sun_path);

    if (!strncmp(where, "unix:", 5)) {
        if (where[5] && strlen(where + 5) < room)
            return 0;
        return error_set(err, EINVAL,
                         "give unix:PATH, with a path of at "
                         "most %zu characters",
                         room - 1);
    }
    if (gdb_port(where) < 0)
        return error_set(err, EINVAL,
                         "give a port from 1 to 65535, or "
                         "unix:PATH");
    return 0;
}

/* Whoever reaches it owns the guest: this host's own users only. */
static int gdb_listen_tcp(long port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1, e;

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (!bind(fd, (struct sockaddr *)&sa, sizeof(sa)) && !listen(fd, 4))
        return fd;
    e = errno;
    close(fd);
    return -e;
}

static int gdb_listen(struct gdb *g, struct error *err)
{
    const char *where = g->m->cfg->gdb;
    int fd;

    if (!strncmp(where, "unix:", 5)) {
        fd = unix_listen(&g->at, where + 5, 0, err);
        if (!fd)
            fd = g->at.fd;
    } else {
        fd = gdb_listen_tcp(gdb_port(where));
    }
    if (fd < 0)
        return error_set(err, -fd, "--gdb %s: %s%s", where, strerror(-fd),
                         fd == -EADDRINUSE ? "; choose another one" : "");
    g->listener = (struct loop_fd){fd, gdb_accept};
    return loop_add(&g->m->loop, &g->listener, EPOLLIN, err);
}

int gdb_init(struct machine *m, struct error *err)
{
    struct gdb *g;
    unsigned i;

    if (!m->cfg->gdb)
        return 0;
    g = calloc(1, sizeof(*g));
    if (!g)
        return error_set(err, ENOMEM, "out of memory");
    m->gdb = g;
    g->m = m;
    g->client.fd = g->listener.fd = g->at.fd = g->stopper = -1;
    g->ran = m->cfg->gdb_nowait;
    for (i = 0; i < m->cfg->cpus; i++) {
        g->cpu[i].points = &g->points;
        m->cpu[i].cpu.debug = &g->cpu[i];
    }
    if (gdb_listen(g, err)) {
        gdb_fini(m);
        return -err->code;
    }
    if (!m->cfg->gdb_nowait) {
        gdb_hold(g);
        m->pause = true;
    }
    log_info(g->held ? "gdb: the guest waits for a debugger on %s"
                     : "gdb: a debugger may connect to %s",
             m->cfg->gdb);
    return 0;
}

void gdb_fini(struct machine *m)
{
    struct gdb *g = m->gdb;
    char bye[8];
    unsigned i;

    if (!g)
        return;
    for (i = 0; i < m->cfg->cpus; i++)
        m->cpu[i].cpu.debug = NULL;
    if (g->client.fd >= 0) {
        snprintf(bye, sizeof(bye), "W%02x",
                 m->result.end == MACHINE_DEBUG
                     ? 64 + (m->result.debug_value & 63)
                     : m->result.end > MACHINE_QUIT);
        gdb_send(g, bye);
        if (g->client.fd >= 0) {
            loop_remove(&m->loop, &g->client);
            close(g->client.fd);
        }
    }
    /* epoll forgets it, too */
    if (g->at.fd >= 0)
        unix_unlisten(&g->at);
    else if (g->listener.fd >= 0)
        close(g->listener.fd);
    free(g);
    m->gdb = NULL;
}
