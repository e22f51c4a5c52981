/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace.c - from the vCPUs' threads through the filters into the file.
 *
 * The filters that need no lock come first; then one lock covers symbols,
 * formats and buffer, so that lines of several vCPUs do not mix.
 */
#include "inspect/trace_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

/* How often to look for what is not there yet, in instructions. */
#define SLIDE_AGAIN 100000ull
#define GUEST_AGAIN 50000000ull

struct trace {
    struct tracer tracer;
    const struct clock *clock;
    pthread_mutex_t lock;
    bool json, tty;
    atomic_bool over; /* the limit was reached, or the output failed */
    uint64_t left;    /* events until the end */
    uint32_t cats;
    struct trace_range range[TRACE_RANGES_MAX];
    unsigned ranges;

    struct symbols *syms;
    bool own;                     /* the guest's: to be looked for */
    bool known;                   /* they are where the kernel runs */
    uint64_t look_at;             /* instructions */
    bool halted[GUEST_VCPUS_MAX]; /* a slice is open */

    struct trace_desc desc;
    char record[TRACE_RECORD];
    struct trace_out out;
};

/*
 * Process-wide by nature: whatever crashes, what was traced until then is what
 * one wants to see. Set while a trace is open.
 */
static struct trace *_Atomic at_crash;

static void crash_flush(void)
{
    static const struct timespec nap = {.tv_nsec = 100000};
    struct trace *t = atomic_exchange(&at_crash, NULL);

    /* whoever crashed may hold the lock: then what is written has to do */
    for (unsigned i = 0; t && i < 1000; i++) {
        if (!pthread_mutex_trylock(&t->lock)) {
            trace_out_flush(&t->out);
            return; /* with the lock: nothing comes behind it */
        }
        nanosleep(&nap, NULL);
    }
}

static struct trace *trace_of(struct tracer *tracer)
{
    return container_of(tracer, struct trace, tracer);
}

static uint64_t trace_now(struct tracer *tracer)
{
    return clock_now(trace_of(tracer)->clock);
}

/* --- symbols --- */

/*
 * The trace points need not tell of what no range can have. While a symbol is
 * still to be found they tell all: what they tell says when to look.
 */
static void ranges_find(struct trace *t)
{
    gva_t lo = ~0ull, hi = 0;
    bool all = !t->ranges;

    for (unsigned i = 0; i < t->ranges; i++) {
        struct trace_range *r = &t->range[i];

        trace_range_find(r, t->syms);
        all |= r->name[0] && !t->known;
        lo = MIN(lo, r->lo);
        hi = MAX(hi, r->hi);
    }
    t->tracer.lo = all || lo < TRACE_BYTES ? 0 : lo - TRACE_BYTES;
    t->tracer.hi = all ? ~0ull : hi;
}

/* Locked. A kernel is there once it has said where system calls go. */
static void symbols_look(struct trace *t, struct vcpu *cpu,
                         const struct trace_event *e)
{
    if (t->known || !cpu->msr.lstar || !(e->pc >> 63) || e->insns < t->look_at)
        return;
    t->look_at = e->insns + (t->own ? GUEST_AGAIN : SLIDE_AGAIN);
    if (t->own)
        t->syms = symbols_from_guest(cpu);
    if (!t->syms)
        return;
    t->known = symbols_slide(t->syms, cpu);
    if (t->known)
        ranges_find(t);
}

/* --- filters --- */

static unsigned event_len(const struct trace_event *e)
{
    return e->cat == TRACE_MEM  ? e->mem.size
           : e->cat == TRACE_IO ? e->io.width
                                : 1;
}

static bool in_ranges(const struct trace *t, const struct trace_event *e)
{
    if (!t->ranges)
        return true;
    for (unsigned i = 0; i < t->ranges; i++)
        if (trace_range_has(&t->range[i], e->addr, event_len(e)))
            return true;
    return false;
}

/* --- events --- */

static void put(struct trace *t, size_t len)
{
    trace_out_put(&t->out, t->record, len);
}

/* HLT as a slice: whatever a vCPU does next ends it. */
static void halt_slice(struct trace *t, const struct vcpu *cpu,
                       const struct trace_event *e)
{
    bool *halted = &t->halted[cpu->index];

    if (*halted) {
        put(t, trace_json_halt(t->record, cpu->index, e->ns, false));
        *halted = false;
    }
    if (e->what == TRACE_LEFT && cpu->halted) {
        put(t, trace_json_halt(t->record, cpu->index, e->ns, true));
        *halted = true;
    }
}

static void put_event(struct trace *t, struct vcpu *cpu,
                      const struct trace_event *e)
{
    trace_describe(&t->desc, cpu, e, t->syms);
    if (t->json) {
        if (e->cat != TRACE_EXIT || e->what == TRACE_PLAIN)
            put(t, trace_json_event(t->record, &t->desc, cpu, e,
                                    clock_now(t->clock)));
        halt_slice(t, cpu, e);
    } else {
        put(t, trace_text_event(t->record, &t->desc, cpu, e, t->tty));
    }
    if (e->what == TRACE_LEFT)
        trace_out_flush(&t->out); /* it may sleep for long */
}

/* Locked. */
static void count_down(struct trace *t)
{
    if (t->out.error) {
        log_warn("trace: cannot write %s: %s; the trace ends here", t->out.name,
                 strerror(t->out.error));
        t->over = true;
    } else if (t->left && !--t->left) {
        trace_out_flush(&t->out);
        t->over = true;
    }
}

static void trace_emit(struct tracer *tracer, struct vcpu *cpu,
                       const struct trace_event *e)
{
    struct trace *t = trace_of(tracer);

    pthread_mutex_lock(&t->lock);
    if (!t->over) {
        symbols_look(t, cpu, e);
        if (in_ranges(t, e)) {
            put_event(t, cpu, e);
            count_down(t);
        }
    }
    pthread_mutex_unlock(&t->lock);
    if (t->over)
        trace_set(cpu, 0);
}

/* --- life --- */

static int trace_setup(struct trace *t, const struct trace_config *cfg,
                       const char *symbols, struct error *err)
{
    for (unsigned i = 0; i < cfg->ranges; i++) {
        if (trace_range_check(cfg->range[i], err))
            return error_prefix(err, "%s", cfg->range[i]);
        trace_range_parse(cfg->range[i], &t->range[t->ranges++]);
    }
    if (symbols && symbols_load(&t->syms, symbols, err))
        return -err->code;
    ranges_find(t);
    if (trace_out_open(&t->out, cfg->file, t->json ? TRACE_JSON_TAIL : "", err))
        return -err->code;
    t->tty = isatty(t->out.fd);
    put(t, t->json ? trace_json_head(t->record)
                   : trace_text_head(t->record, t->tty));
    trace_out_flush(&t->out); /* valid from the start */
    return 0;
}

static void trace_free(struct trace *t)
{
    symbols_free(t->syms);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

int trace_open(struct trace **out, const struct trace_config *cfg,
               const char *symbols, const struct clock *clock,
               struct error *err)
{
    struct trace *t = calloc(1, sizeof(*t));
    size_t len = cfg->file ? strlen(cfg->file) : 0;

    if (!t)
        return error_set(err, ENOMEM, "out of memory");
    pthread_mutex_init(&t->lock, NULL);
    t->tracer = (struct tracer){.now = trace_now, .emit = trace_emit};
    t->clock = clock;
    t->cats = cfg->cats;
    t->tracer.start = cfg->start;
    t->left = cfg->limit;
    t->own = !symbols;
    t->json = len > 5 && !strcmp(cfg->file + len - 5, ".json");
    if (trace_setup(t, cfg, symbols, err)) {
        trace_free(t);
        return error_prefix(err, "trace");
    }
    at_crash = t;
    crash_hook_add(crash_flush);
    *out = t;
    return 0;
}

void trace_attach(struct trace *t, struct vcpu *cpu)
{
    if (t->json)
        put(t, trace_json_thread(t->record, cpu->index));
    trace_init(cpu, &t->tracer, t->cats);
}

void trace_reset(struct trace *t)
{
    if (!t)
        return;
    t->known = false;
    t->look_at = 0;
    if (t->own) {
        symbols_free(t->syms);
        t->syms = NULL;
    }
    ranges_find(t);
}

void trace_close(struct trace *t)
{
    struct trace *mine = t;
    bool over;

    if (!t)
        return;
    atomic_compare_exchange_strong(&at_crash, &mine, NULL);
    for (unsigned i = 0; i < GUEST_VCPUS_MAX && t->json; i++)
        if (t->halted[i])
            put(t, trace_json_halt(t->record, i, clock_now(t->clock), false));
    over = t->out.error;
    trace_out_close(&t->out);
    if (t->out.error && !over)
        log_warn("trace: cannot write %s: %s", t->out.name,
                 strerror(t->out.error));
    trace_free(t);
}
