/* SPDX-License-Identifier: Apache-2.0 */
/*
 * det.c - the run loop of a deterministic machine, and what it lets in.
 *
 * At each stop of the loop, in this order: what came from outside, timers
 * that are due, then one vCPU goes on. What came from outside enters only if
 * time has passed since the loop last looked. So its time alone says where a
 * replay has to let it in: before the timers of the same time.
 *
 * The thread of the loop does everything the guest can see. The event thread
 * writes output, and queues what it reads (park_lock).
 */
#include "machine/det.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "fence/fence.h"
#include "inspect/crash.h"
#include "machine/lockstep.h"
#include "machine/machine_int.h"

/*
 * How long a vCPU runs while others wait, if it does not wait for them
 * itself, and at most at a time.
 */
#define SLICE 20000ull
#define RUN   1000000ull
#define NEVER UINT64_MAX
/* 2025-01-01: recent enough for file systems and certificates. */
#define EPOCH_NS (1735689600ll * 1000000000ll)

struct det_item {
    struct det_item *next;
    enum record_kind kind;
    size_t len;
    uint8_t data[];
};

struct det {
    struct machine *m;
    struct clock_source source;
    uint64_t skew;               /* ns that were skipped in idleness */
    uint64_t total;              /* instructions of all, at the last stop */
    struct machine_cpu *current; /* NULL: between runs */
    uint64_t started;            /* its own count at the last stop */
    uint64_t limit;              /* where it is to stop, on total's scale */
    unsigned turn;               /* whose slice it is */
    uint64_t slice;              /* what is left of it */
    uint64_t looked;             /* when what came from outside was let in */
    struct record_origin origin;
    uint64_t rng;

    struct det_item *first, **last; /* park_lock */
    size_t queued;                  /* bytes of them; park_lock */

    struct recorder *rec;
    struct replayer *rep;
    struct det_tap {
        struct disk_tap tap;
        struct det *d;
        unsigned n; /* the disk's number */
    } tap[MACHINE_DISKS_MAX];
};

/* --- time --- */

static struct det *det_of(const struct clock_source *s)
{
    return container_of(s, struct det, source);
}

uint64_t det_insns(const struct machine *m)
{
    const struct det *d = m->det;

    return d->total +
           (d->current ? vcpu_insns(&d->current->cpu) - d->started : 0);
}

static uint64_t det_now(const struct clock_source *s)
{
    return det_of(s)->skew + det_insns(det_of(s)->m);
}

/* From within an instruction: the run is not to go beyond that count. */
static void det_stop_at(struct det *d, uint64_t at)
{
    at = MAX(at, det_insns(d->m) + 1); /* the instruction itself is done */
    if (at >= d->limit)
        return;
    d->limit = at;
    vcpu_set_limit(&d->current->cpu, d->started + (at - d->total));
}

/* An instruction of the current vCPU armed a timer. */
static void det_rearmed(struct clock_source *s)
{
    struct det *d = det_of(s);
    uint64_t deadline = loop_deadline(&d->m->loop);

    if (d->current)
        det_stop_at(d, MAX(deadline, d->skew) - d->skew);
}

/* It waits for another vCPU, which gets its turn. */
static void det_relax(struct vcpu *cpu)
{
    struct det *d = container_of(cpu, struct machine_cpu, cpu)->m->det;

    d->slice = 0;
    det_stop_at(d, 0);
}

void det_poke(struct machine_cpu *mc)
{
    if (mc == mc->m->det->current)
        mc->cpu.break_block = true;
}

int64_t det_epoch(const struct machine *m)
{
    return m->det->origin.epoch_ns;
}

void det_random(const struct machine *m, void *buf, size_t len)
{
    uint8_t *p = buf;
    uint64_t v = m->det->origin.seed;

    for (size_t i = 0; i < len; i += 8) {
        v = hash64(v, &i, sizeof(i));
        memcpy(p + i, &v, MIN(len - i, 8));
    }
}

uint64_t det_seed(const struct machine *m)
{
    return m->det->origin.seed;
}

/* --- what comes from outside --- */

void det_event(struct machine *m, enum record_kind kind, const void *data,
               size_t len)
{
    struct det *d = m->det;
    struct det_item *item = malloc(sizeof(*item) + len);
    unsigned i;

    if (!item) {
        log_warn("out of memory: input is lost");
        return;
    }
    *item = (struct det_item){.kind = kind, .len = len};
    if (len)
        memcpy(item->data, data, len);
    pthread_mutex_lock(&m->park_lock);
    *d->last = item;
    d->last = &item->next;
    d->queued += sizeof(*item) + len;
    pthread_mutex_unlock(&m->park_lock);
    for (i = 0; m->cpu[0].started && i < m->cfg->cpus; i++)
        machine_cpu_kick(&m->cpu[i]);
}

size_t det_queued(const struct machine *m)
{
    struct det *d = m->det;
    size_t n;

    pthread_mutex_lock(&d->m->park_lock);
    n = d->queued;
    pthread_mutex_unlock(&d->m->park_lock);
    return n;
}

static struct det_item *items_take(struct det *d)
{
    struct det_item *list;

    pthread_mutex_lock(&d->m->park_lock);
    list = d->first;
    d->first = NULL;
    d->last = &d->first;
    d->queued = 0;
    pthread_mutex_unlock(&d->m->park_lock);
    return list;
}

static bool items_wait(struct det *d)
{
    bool any;

    pthread_mutex_lock(&d->m->park_lock);
    any = d->first != NULL;
    pthread_mutex_unlock(&d->m->park_lock);
    return any;
}

/* Lets it in, now. */
static void det_apply(struct det *d, enum record_kind kind, const void *data,
                      size_t len)
{
    struct console *c = &d->m->console;

    if (d->rec)
        recorder_put(d->rec, kind, det_now(&d->source), data, len);
    switch (kind) {
    case RECORD_KEYS:
        console_input(c, CONSOLE_KEYS, data, len);
        break;
    case RECORD_BREAK:
        console_input(c, CONSOLE_BREAK, NULL, 0);
        break;
    case RECORD_RESIZE:
        console_input(c, CONSOLE_RESIZE, data, len);
        break;
    case RECORD_PACKET:
        machine_net_packet(d->m, data, len);
        break;
    case RECORD_BUTTON:
        machine_button(d->m);
        break;
    default:
        break;
    }
}

static void det_failed(struct det *d, const struct error *err)
{
    machine_cpu_failed(&d->m->cpu[0], err);
}

/* The replayed machine is not where the recorded one was. */
static void det_diverged(struct det *d, const struct error *why)
{
    struct error err;

    error_set(&err, EILSEQ,
              "the replay left the recorded run at instruction %llu: %s",
              (unsigned long long)det_insns(d->m), why->msg);
    det_failed(d, &err);
}

/* The user or the host ended it, not the guest. */
static bool ended_from_outside(const struct record_chunk *c,
                               struct record_end *end)
{
    if (c->len != sizeof(*end))
        return false;
    memcpy(end, c->data, sizeof(*end));
    return end->end == MACHINE_QUIT || end->end == MACHINE_STOPPED;
}

/*
 * When the chunk is to be let in. A guest that ends itself does so at the
 * recorded time, perhaps by what does not retire (a triple fault): it is late
 * behind it.
 */
static uint64_t chunk_time(const struct record_chunk *c)
{
    struct record_end end;

    return c->time + (c->kind == RECORD_END && !ended_from_outside(c, &end));
}

/* When the recording has something from outside; NEVER: the guest is first. */
static uint64_t replay_deadline(struct det *d)
{
    const struct record_chunk *c;
    struct error err = {0};

    if (!d->rep)
        return NEVER;
    c = replayer_next(d->rep, &err);
    if (!c)
        return det_now(&d->source); /* it ends here */
    return c->kind == RECORD_DISK ? NEVER : chunk_time(c);
}

static void replay_end(struct det *d, const struct record_chunk *c)
{
    struct record_end end;
    struct error err;

    if (ended_from_outside(c, &end)) {
        machine_request(d->m, end.end, end.debug_value);
        return;
    }
    error_set(&err, EILSEQ, "the recorded guest had ended, this one goes on");
    det_diverged(d, &err);
}

/* Everything from outside whose time has come. */
static void replay_let_in(struct det *d)
{
    const struct record_chunk *c;
    struct error err = {0};

    while ((c = replayer_next(d->rep, &err)) && c->kind != RECORD_DISK &&
           chunk_time(c) <= det_now(&d->source)) {
        if (c->kind == RECORD_END) {
            replay_end(d, c);
            return;
        }
        det_apply(d, c->kind, c->data, c->len);
        replayer_done(d->rep);
    }
    if (!c && err.code) {
        det_failed(d, &err);
    } else if (!c) {
        log_warn("the recording ends here, without its end: it was cut off");
        machine_request(d->m, MACHINE_STOPPED, 0);
    }
}

static void det_let_in(struct det *d)
{
    uint64_t now = det_now(&d->source);
    struct det_item *item, *next;

    if (d->rep) {
        replay_let_in(d);
        return;
    }
    if (now == d->looked)
        return;
    d->looked = now;
    for (item = items_take(d); item; item = next) {
        next = item->next;
        det_apply(d, item->kind, item->data, item->len);
        free(item);
    }
}

/* --- disks --- */

static void tap_seen(struct disk_tap *t, struct disk *disk,
                     const struct disk_request *r, int rc)
{
    struct det_tap *dt = container_of(t, struct det_tap, tap);

    (void)disk;
    recorder_put_disk(dt->d->rec, det_now(&dt->d->source), dt->n, r, rc);
}

static int tap_play(struct disk_tap *t, struct disk *disk,
                    const struct disk_request *r)
{
    struct det_tap *dt = container_of(t, struct det_tap, tap);
    struct error err;
    int rc;

    (void)disk;
    if (!replayer_disk(dt->d->rep, dt->n, r, &rc, &err))
        return rc;
    det_diverged(dt->d, &err);
    return -EIO;
}

static void det_taps(struct det *d)
{
    unsigned i;

    for (i = 0; i < d->m->cfg->disks; i++) {
        d->tap[i] = (struct det_tap){
            {d->rep ? tap_play : NULL, d->rec ? tap_seen : NULL}, d, i};
        if (d->rep || d->rec)
            d->m->disk[i].tap = &d->tap[i].tap;
    }
}

/* --- the run loop --- */

static bool det_runnable(const struct machine_cpu *mc)
{
    return !mc->frozen && (!mc->cpu.halted || machine_cpu_awake(mc));
}

static void det_next_turn(struct det *d)
{
    d->turn = (d->turn + 1) % d->m->cfg->cpus;
    d->slice = SLICE;
}

/* Whose turn it is, or NULL: all sleep. */
static struct machine_cpu *det_pick(struct det *d)
{
    unsigned i;

    if (!d->slice)
        det_next_turn(d);
    for (i = 0; i < d->m->cfg->cpus; i++) {
        if (det_runnable(&d->m->cpu[d->turn]))
            return &d->m->cpu[d->turn];
        det_next_turn(d);
    }
    return NULL;
}

/* The next thing on the clock: a timer, or the recording's. */
static uint64_t det_deadline(struct det *d)
{
    uint64_t timer;

    loop_lock(&d->m->loop);
    timer = MIN(loop_deadline(&d->m->loop), replay_deadline(d));
    loop_unlock(&d->m->loop);
    return timer;
}

/* Runs mc up to the next thing that happens, and takes the time. */
static int det_run(struct det *d, struct machine_cpu *mc, struct error *err)
{
    uint64_t now = det_now(&d->source), deadline = det_deadline(d), n = RUN;
    int rc;

    if (d->m->cfg->cpus > 1)
        n = MIN(n, d->slice);
    if (deadline != NEVER)
        n = MIN(n, MAX(deadline, now + 1) - now);
    if (!d->rep && items_wait(d))
        n = 1; /* it is let in when time has passed */
    if (d->m->cfg->lockstep)
        n = MIN(n, lockstep_next(d->m->cfg->lockstep) - d->total);
    d->started = vcpu_insns(&mc->cpu);
    d->limit = d->total + n;
    vcpu_set_limit(&mc->cpu, d->started + n);
    d->current = mc;
    crash_running(&mc->cpu);
    rc = mc->cpu.shutdown ? ENGINE_SHUTDOWN : d->m->engine->run(&mc->cpu, err);
    crash_running(NULL);
    d->current = NULL;
    n = vcpu_insns(&mc->cpu) - d->started;
    d->total += n;
    d->slice -= MIN(n, d->slice);
    vcpu_set_limit(&mc->cpu, VCPU_NO_LIMIT);
    return rc;
}

/* Waits at most ns of the host's time for something to be let in. */
static void det_wait(struct det *d, uint64_t ns)
{
    struct machine *m = d->m;
    uint64_t until = clock_host_now() + MIN(ns, 1000000000000ull);
    struct timespec ts = {(time_t)(until / 1000000000),
                          (long)(until % 1000000000)};

    pthread_mutex_lock(&m->park_lock);
    while (!d->first && !m->pause && !m->leave)
        if (pthread_cond_clockwait(&m->cpu[0].wake, &m->park_lock,
                                   CLOCK_MONOTONIC, &ts))
            break;
    pthread_mutex_unlock(&m->park_lock);
}

/* All vCPUs are halted, and nobody is there to end it. */
static void det_idle_forever(struct det *d)
{
    log_info("all vCPUs are halted, for what will never come: stopping");
    machine_request(d->m, MACHINE_STOPPED, 0);
}

/*
 * All vCPUs are halted: on to the next thing on the clock. If somebody could
 * type or send, time goes by at the host's pace, so that they can.
 */
static void det_idle(struct det *d)
{
    uint64_t now = det_now(&d->source), next = det_deadline(d), host, ns;
    bool live = !d->rep &&
                (console_interactive(&d->m->console) || machine_net_live(d->m));

    if (next != NEVER && !live) {
        d->skew += MAX(next, now + 1) - now;
        return;
    }
    if (next == NEVER && d->m->cfg->lockstep) {
        det_idle_forever(d);
        return;
    }
    host = clock_host_now();
    det_wait(d, next == NEVER ? NEVER : MAX(next, now) - now);
    ns = MAX(clock_host_now() - host, 1);
    d->skew += next == NEVER ? ns : MIN(ns, MAX(next, now + 1) - now);
}

static bool det_gate(struct det *d)
{
    struct machine *m = d->m;
    unsigned i;

    for (i = 0; i < m->cfg->cpus; i++)
        vcpu_attn_clear(&m->cpu[i].cpu, ATTN_KICK); /* before the look */
    return machine_cpu_gate(&m->cpu[0]);
}

static bool det_stopping(struct machine *m)
{
    bool yes;

    pthread_mutex_lock(&m->park_lock);
    yes = m->pause || m->leave;
    pthread_mutex_unlock(&m->park_lock);
    return yes;
}

static void det_step(struct det *d)
{
    struct machine *m = d->m;
    struct error err = {.code = EIO, .msg = "the engine failed"};
    struct machine_cpu *mc;
    int rc;

    loop_lock(&m->loop);
    det_let_in(d);
    loop_timers_run(&m->loop);
    loop_unlock(&m->loop);
    if (det_stopping(m))
        return;
    mc = det_pick(d);
    if (!mc) {
        det_idle(d);
        return;
    }
    rc = det_run(d, mc, &err);
    if (rc == ENGINE_DEBUG)
        gdb_cpu_stopped(mc);
    else if (rc < 0)
        det_failed(d, &err);
    if (rc < 0 || (rc == ENGINE_SHUTDOWN && machine_cpu_shutdown(mc)))
        machine_cpu_stuck(&m->cpu[0]);
}

void *det_thread(void *machine)
{
    struct machine *m = machine;
    struct lockstep *ls = m->cfg->lockstep;

    fence_thread(machine_cpu_needs(m), 0);
    if (ls)
        lockstep_begin(ls, m);
    while (det_gate(m->det)) {
        if (ls && det_insns(m) == lockstep_next(ls))
            lockstep_point(ls, m, det_insns(m));
        det_step(m->det);
        while (console_congested(&m->console) && !det_stopping(m))
            usleep(1000); /* whoever reads the output is slow */
    }
    return NULL;
}

/* --- building --- */

static int det_files(struct det *d, struct error *err)
{
    const struct machine_config *cfg = d->m->cfg;

    d->rep = cfg->replay;
    if (d->rep)
        d->origin = *replayer_origin(d->rep);
    if (!cfg->record)
        return 0;
    return recorder_open(&d->rec, cfg->record, cfg, d->m->net_cfg, d->m->disk,
                         &d->origin, err);
}

/* A recorded run is like any other; a merely deterministic one like itself. */
static struct record_origin det_origin(const struct machine_config *cfg)
{
    struct record_origin o = {cfg->seed, EPOCH_NS};
    struct timespec t;

    if (!cfg->record)
        return o;
    clock_gettime(CLOCK_REALTIME, &t);
    o.epoch_ns = t.tv_sec * 1000000000ll + t.tv_nsec;
    if (!cfg->seeded && getrandom(&o.seed, sizeof(o.seed), 0) < 0)
        o.seed = (uint64_t)o.epoch_ns;
    return o;
}

int det_init(struct machine *m, struct error *err)
{
    const struct machine_config *cfg = m->cfg;
    struct det *d;

    if (!cfg->deterministic && !cfg->record && !cfg->replay)
        return 0;
    if (!cfg->engine->exact)
        return error_set(err, ENOTSUP,
                         "the engine %s cannot stop at an exact instruction; "
                         "take another for a deterministic run",
                         cfg->engine->name);
    d = calloc(1, sizeof(*d));
    if (!d)
        return error_set(err, ENOMEM, "out of memory");
    d->m = m;
    d->last = &d->first;
    d->looked = NEVER;
    d->slice = SLICE;
    d->source = (struct clock_source){det_now, det_rearmed};
    d->origin = det_origin(cfg);
    m->det = d;
    if (det_files(d, err)) {
        det_fini(m);
        return -err->code;
    }
    d->rng = d->origin.seed;
    det_taps(d);
    m->clock.source = &d->source;
    return 0;
}

void det_attach(struct machine *m, struct vcpu *cpu)
{
    cpu->clock = &m->clock;
    cpu->rng = &m->det->rng;
    cpu->relax = m->cfg->cpus > 1 ? det_relax : NULL;
}

void det_end(struct machine *m)
{
    struct det *d = m->det;
    struct record_end end = {m->result.end, m->result.debug_value, 0};

    if (!d || !d->rec)
        return;
    end.insns = d->total;
    recorder_put(d->rec, RECORD_END, det_now(&d->source), &end, sizeof(end));
}

void det_fini(struct machine *m)
{
    struct det *d = m->det;
    struct det_item *item, *next;
    unsigned i;

    if (!d)
        return;
    for (i = 0; i < m->cfg->disks; i++) /* who closes them looks at it */
        if (m->disk[i].tap == &d->tap[i].tap)
            m->disk[i].tap = NULL;
    for (item = d->first; item; item = next) {
        next = item->next;
        free(item);
    }
    if (d->rec)
        recorder_close(d->rec);
    m->clock.source = NULL;
    m->det = NULL;
    free(d);
}
