/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl_cmd.c - what the control socket can be told.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine/ctl_int.h"
#include "machine/hold.h"

static struct json_object *text(const char *s)
{
    return json_object_new_string(s);
}

static struct json_object *number(uint64_t n)
{
    return json_object_new_uint64(n);
}

/* Something to do while no vCPU runs; the client may be gone by then. */
struct ctl_work {
    struct machine_work work;
    struct ctl *ctl;
    struct ctl_client *client;
    char *dir; /* snapshot: ours */
    const struct engine_ops *engine;
};

static void status_vsock(const struct vsock *v, struct json_object *o)
{
    json_object_object_add(o, "vsock", text(v->at.at.sun_path));
    json_object_object_add(o, "vsock_cid", number(v->cid));
    json_object_object_add(o, "vsock_conns", number(v->conns));
}

/* ADDRESS:PORT>PORT/udp, like what --publish says. */
static struct json_object *forward_text(const struct net_forward *f)
{
    char host[INET_ADDRSTRLEN], line[64];

    inet_ntop(AF_INET, &f->host, host, sizeof(host));
    snprintf(line, sizeof(line), "%s:%u:%u%s", host, f->host_port,
             f->guest_port, f->udp ? "/udp" : "");
    return text(line);
}

/* By card: its address as its maker would have it; all that leads in. */
static void status_nets(const struct machine *m, struct json_object *o)
{
    struct json_object *macs = json_object_new_array();
    struct json_object *ports = json_object_new_array();
    char mac[18];
    unsigned i, k;

    for (i = 0; i < m->cfg->nets; i++) {
        const struct net_config *c = &m->net_cfg[i];

        snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", c->mac[0],
                 c->mac[1], c->mac[2], c->mac[3], c->mac[4], c->mac[5]);
        json_object_array_add(macs, text(mac));
        for (k = 0; k < c->forwards; k++)
            json_object_array_add(ports, forward_text(&c->forward[k]));
    }
    json_object_object_add(o, "mac", macs);
    json_object_object_add(o, "published", ports);
}

/* Both ends, as port.NAME. */
static void status_port(const struct port *p, struct json_object *o)
{
    char key[PORT_NAME_MAX + 8], val[640];

    snprintf(key, sizeof(key), "port.%s", p->cfg.name);
    snprintf(val, sizeof(val), "%s; host %s, guest %s", p->cfg.path,
             p->chr.away ? "away" : "here", p->guest_open ? "here" : "away");
    json_object_object_add(o, key, text(val));
}

const char *ctl_state(const struct machine *m)
{
    return machine_held(m, HOLD_USER)  ? "paused"
           : machine_held(m, HOLD_GDB) ? "debugged"
                                       : "running";
}

static void do_status(struct ctl_client *c, struct json_object *req)
{
    const struct machine *m = c->ctl->m;
    struct json_object *o = json_object_new_object();
    uint64_t insns = 0;
    unsigned i;

    (void)req;
    for (i = 0; i < m->cfg->cpus; i++)
        insns += vcpu_insns(&m->cpu[i].cpu);
    json_object_object_add(o, "name", text(m->name));
    json_object_object_add(o, "state", text(ctl_state(m)));
    json_object_object_add(o, "pid", number((uint64_t)getpid()));
    json_object_object_add(o, "engine", text(m->engine->name));
    json_object_object_add(o, "cpus", number(m->cfg->cpus));
    json_object_object_add(o, "memory", number(m->cfg->memory));
    if (m->cfg->firmware)
        json_object_object_add(o, "firmware", text(m->cfg->firmware));
    else
        json_object_object_add(o, "kernel", text(m->cfg->kernel));
    json_object_object_add(
        o, "uptime_ms", number((clock_host_now() - c->ctl->started) / 1000000));
    json_object_object_add(o, "guest_ms",
                           number(clock_now(&m->clock) / 1000000));
    json_object_object_add(o, "instructions", number(insns));
    if (m->vsock)
        status_vsock(m->vsock, o);
    if (m->cfg->nets)
        status_nets(m, o);
    for (i = 0; i < m->cfg->ports; i++)
        status_port(m->port[i], o);
    ctl_answer(c, o);
}

static void pause_work(struct machine *m, struct machine_work *w)
{
    struct ctl_work *cw = container_of(w, struct ctl_work, work);

    loop_lock(&m->loop);
    machine_hold(m, HOLD_USER);
    if (ctl_alive(cw->ctl, cw->client))
        ctl_answer(cw->client, NULL);
    loop_unlock(&m->loop);
    free(cw);
}

static void stats_work(struct machine *m, struct machine_work *w)
{
    struct ctl_work *cw = container_of(w, struct ctl_work, work);
    char *text_now = machine_stats_now(m);
    struct json_object *stats = text_now ? json_tokener_parse(text_now) : NULL;
    struct json_object *o = json_object_new_object();

    free(text_now);
    json_object_object_add(o, "stats", stats);
    loop_lock(&m->loop);
    if (ctl_alive(cw->ctl, cw->client))
        ctl_answer(cw->client, o);
    else
        json_object_put(o);
    loop_unlock(&m->loop);
    free(cw);
}

/* Something to be done while the vCPUs are parked; it answers. */
static void later(struct ctl_client *c,
                  void (*run)(struct machine *m, struct machine_work *w))
{
    struct ctl_work *w = calloc(1, sizeof(*w));

    if (!w) {
        ctl_refuse(c, "out of memory");
        return;
    }
    *w = (struct ctl_work){{NULL, run}, c->ctl, c, NULL, NULL};
    c->busy = true;
    machine_work(c->ctl->m, &w->work);
}

static void do_pause(struct ctl_client *c, struct json_object *req)
{
    (void)req;
    later(c, pause_work);
}

static void do_stats(struct ctl_client *c, struct json_object *req)
{
    (void)req;
    later(c, stats_work);
}

/* Time stands still while it is written. */
static void snapshot_work(struct machine *m, struct machine_work *w)
{
    struct ctl_work *cw = container_of(w, struct ctl_work, work);
    uint64_t start = clock_host_now();
    struct json_object *o;
    struct error err;
    int rc;

    loop_lock(&m->loop);
    machine_hold(m, HOLD_WORK);
    loop_unlock(&m->loop);
    rc = snapshot_save(m, cw->dir, &err);
    loop_lock(&m->loop);
    machine_unhold(m, HOLD_WORK);
    if (ctl_alive(cw->ctl, cw->client)) {
        if (rc) {
            ctl_refuse(cw->client, "%s", err.msg);
        } else {
            o = json_object_new_object();
            json_object_object_add(o, "stopped_us",
                                   number((clock_host_now() - start) / 1000));
            ctl_answer(cw->client, o);
        }
    }
    loop_unlock(&m->loop);
    free(cw->dir);
    free(cw);
}

struct ctl_live {
    struct live_done done;
    struct ctl *ctl;
    struct ctl_client *client;
};

static void live_done(struct live_done *d, uint64_t stopped_ns,
                      const struct error *err)
{
    struct ctl_live *cl = container_of(d, struct ctl_live, done);
    struct json_object *o;

    if (ctl_alive(cl->ctl, cl->client)) {
        if (err->code) {
            ctl_refuse(cl->client, "%s", err->msg);
        } else {
            o = json_object_new_object();
            json_object_object_add(o, "stopped_us", number(stopped_ns / 1000));
            ctl_answer(cl->client, o);
        }
    }
    free(cl);
}

static void snapshot_live(struct ctl_client *c, const char *dir)
{
    struct ctl_live *cl = calloc(1, sizeof(*cl));
    struct error err;

    if (!cl) {
        ctl_refuse(c, "out of memory");
        return;
    }
    *cl = (struct ctl_live){{live_done}, c->ctl, c};
    c->busy = true;
    if (!machine_save_live(c->ctl->m, dir, &cl->done, &err))
        return;
    ctl_refuse(c, "%s", err.msg);
    free(cl);
}

static void do_snapshot(struct ctl_client *c, struct json_object *req)
{
    struct ctl_work *w = calloc(1, sizeof(*w));
    struct json_object *dir, *live;

    if (!json_object_object_get_ex(req, "dir", &dir) ||
        *json_object_get_string(dir) != '/') {
        free(w);
        ctl_refuse(c, "snapshot: give dir, an absolute path");
        return;
    }
    if (c->ctl->m->det) {
        free(w);
        ctl_refuse(c, "a deterministic machine has no snapshots: record it");
        return;
    }
    if (json_object_object_get_ex(req, "live", &live) &&
        json_object_get_boolean(live)) {
        free(w);
        snapshot_live(c, json_object_get_string(dir));
        return;
    }
    if (w)
        *w = (struct ctl_work){{NULL, snapshot_work},
                               c->ctl,
                               c,
                               strdup(json_object_get_string(dir)),
                               NULL};
    if (!w || !w->dir) {
        free(w);
        ctl_refuse(c, "out of memory");
        return;
    }
    c->busy = true;
    machine_work(c->ctl->m, &w->work);
}

/* --- engine --- */

static void engine_work(struct machine *m, struct machine_work *w)
{
    struct ctl_work *cw = container_of(w, struct ctl_work, work);
    struct error err;
    int rc = machine_set_engine(m, cw->engine, &err);

    loop_lock(&m->loop);
    if (ctl_alive(cw->ctl, cw->client)) {
        if (rc)
            ctl_refuse(cw->client, "%s", err.msg);
        else
            ctl_answer(cw->client, NULL);
    }
    loop_unlock(&m->loop);
    free(cw);
}

static void do_engine(struct ctl_client *c, struct json_object *req)
{
    struct ctl_work *w;
    struct json_object *name;
    const struct engine_ops *e = NULL;

    if (json_object_object_get_ex(req, "engine", &name))
        e = engine_find(json_object_get_string(name));
    if (!e) {
        ctl_refuse(c, "engine: there is none of that name; see ringfence "
                      "boot --engine help");
        return;
    }
    w = calloc(1, sizeof(*w));
    if (!w) {
        ctl_refuse(c, "out of memory");
        return;
    }
    *w = (struct ctl_work){{NULL, engine_work}, c->ctl, c, NULL, e};
    c->busy = true;
    machine_work(c->ctl->m, &w->work);
}

/* --- fork --- */

struct ctl_fork {
    struct fork_done done;
    struct ctl *ctl;
    struct ctl_client *client;
};

static void fork_done(struct fork_done *d, char (*names)[96], unsigned count,
                      uint64_t stopped_ns, const struct error *err)
{
    struct ctl_fork *cf = container_of(d, struct ctl_fork, done);
    struct json_object *o, *list;
    unsigned i;

    if (ctl_alive(cf->ctl, cf->client)) {
        list = json_object_new_array();
        for (i = 0; i < count; i++)
            json_object_array_add(list, text(names[i]));
        o = json_object_new_object();
        json_object_object_add(o, "children", list);
        json_object_object_add(o, "stopped_us", number(stopped_ns / 1000));
        if (err->code)
            json_object_object_add(o, "failed", text(err->msg));
        if (count) {
            ctl_answer(cf->client, o);
        } else {
            json_object_put(o);
            ctl_refuse(cf->client, "fork: %s", err->msg);
        }
    }
    free(cf);
}

static void do_fork(struct ctl_client *c, struct json_object *req)
{
    struct machine *m = c->ctl->m;
    struct json_object *v;
    struct ctl_fork *cf = calloc(1, sizeof(*cf));
    const char *prefix = m->name;
    bool publish = json_object_object_get_ex(req, "publish", &v) &&
                   json_object_get_boolean(v);
    struct error err;
    int n = 1;

    if (json_object_object_get_ex(req, "count", &v))
        n = json_object_get_int(v);
    if (json_object_object_get_ex(req, "prefix", &v))
        prefix = json_object_get_string(v);
    if (!cf) {
        ctl_refuse(c, "out of memory");
        return;
    }
    *cf = (struct ctl_fork){{fork_done}, c->ctl, c};
    c->busy = true;
    if (strlen(prefix) > NAME_LEN_MAX - 8 || name_check(prefix, &err))
        ctl_refuse(c, "fork: no such name can be given: %.80s", prefix);
    else if (machine_fork(m, n < 0 ? 0 : (unsigned)n, prefix, publish,
                          &cf->done, &err))
        ctl_refuse(c, "%s", err.msg);
    else
        return;
    free(cf);
}

static void do_resume(struct ctl_client *c, struct json_object *req)
{
    (void)req;
    machine_unhold(c->ctl->m, HOLD_USER);
    ctl_answer(c, NULL);
}

static void do_power(struct ctl_client *c, struct json_object *req)
{
    struct machine *m = c->ctl->m;

    (void)req;
    if (!acpi_pm_listens(&m->pm)) {
        ctl_refuse(c, "the guest does not listen to its power button; quit "
                      "ends the machine");
        return;
    }
    if (m->det)
        det_event(m, RECORD_BUTTON, NULL, 0);
    else
        acpi_pm_power_button(&m->pm);
    ctl_answer(c, NULL);
}

static void do_reset(struct ctl_client *c, struct json_object *req)
{
    (void)req;
    if (c->ctl->m->det) {
        ctl_refuse(c, "a deterministic machine resets itself, or not at all");
        return;
    }
    ctl_answer(c, NULL);
    machine_request(c->ctl->m, MACHINE_RESET, 0);
}

static void do_quit(struct ctl_client *c, struct json_object *req)
{
    (void)req;
    ctl_answer(c, NULL);
    machine_request(c->ctl->m, MACHINE_QUIT, 0);
}

static void viewer_out(struct console_viewer *v, const uint8_t *buf, size_t len)
{
    ctl_send(container_of(v, struct ctl_client, viewer), buf, len);
}

static void do_console(struct ctl_client *c, struct json_object *req)
{
    (void)req;
    ctl_answer(c, NULL);
    c->console = true;
    c->viewer.out = viewer_out;
    console_attach(&c->ctl->m->console, &c->viewer);
}

static void do_resize(struct ctl_client *c, struct json_object *req)
{
    struct json_object *cols, *rows;
    uint16_t size[2];

    if (!json_object_object_get_ex(req, "columns", &cols) ||
        !json_object_object_get_ex(req, "rows", &rows)) {
        ctl_refuse(c, "resize: give columns and rows");
        return;
    }
    size[0] = (uint16_t)json_object_get_int(cols);
    size[1] = (uint16_t)json_object_get_int(rows);
    console_resize(&c->ctl->m->console, size[0], size[1]);
    ctl_answer(c, NULL);
}

/* What it says of itself; newer statistics are on their way. */
static void balloon_answer(struct ctl_client *c, struct virtio_balloon *b)
{
    struct json_object *o = json_object_new_object();
    unsigned i;

    json_object_object_add(o, "target_mib", number(b->target >> 8));
    json_object_object_add(o, "actual_mib", number(b->actual >> 8));
    json_object_object_add(o, "given_back_mib", number(b->reported / MiB));
    for (i = 0; i < VIRTIO_BALLOON_STATS; i++)
        if (b->stat_valid & BIT(i))
            json_object_object_add(o, virtio_balloon_stat(i),
                                   number(b->stat[i]));
    virtio_balloon_ask(b);
    ctl_answer(c, o);
}

static void do_balloon(struct ctl_client *c, struct json_object *req)
{
    struct machine *m = c->ctl->m;
    struct json_object *v;
    int64_t mib = -1;

    if (json_object_object_get_ex(req, "mib", &v))
        mib = json_object_get_int64(v);
    if (!m->cfg->balloon)
        ctl_refuse(c, "it has no balloon; boot it with --balloon");
    else if (m->det)
        ctl_refuse(c, "a deterministic machine keeps its memory");
    else if (json_object_object_get_ex(req, "mib", &v) &&
             (mib < 0 || (uint64_t)mib > m->cfg->memory / MiB ||
              (!mib && strcmp(json_object_get_string(v), "0"))))
        ctl_refuse(c, "balloon: give MiB, from 0 to less than its memory");
    else {
        if (mib >= 0)
            virtio_balloon_set(&m->balloon, (uint64_t)mib * MiB);
        balloon_answer(c, &m->balloon);
    }
}

static const struct ctl_entry {
    const char *name;
    void (*run)(struct ctl_client *c, struct json_object *req);
} entries[] = {
    {"status", do_status}, {"stats", do_stats},
    {"pause", do_pause},   {"resume", do_resume},
    {"power", do_power},   {"reset", do_reset},
    {"quit", do_quit},     {"snapshot", do_snapshot},
    {"fork", do_fork},     {"console", do_console},
    {"resize", do_resize}, {"balloon", do_balloon},
    {"engine", do_engine}, {"counters", ctl_counters},
};

void ctl_command(struct ctl_client *c, struct json_object *req)
{
    struct json_object *name;
    const char *s = "";
    size_t i;

    if (json_object_object_get_ex(req, "command", &name) &&
        json_object_is_type(name, json_type_string))
        s = json_object_get_string(name);
    for (i = 0; i < ARRAY_SIZE(entries); i++) {
        if (!strcmp(s, entries[i].name)) {
            entries[i].run(c, req);
            return;
        }
    }
    ctl_refuse(c, "%.60s: no such command", s);
}
