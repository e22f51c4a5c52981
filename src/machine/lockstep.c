/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lockstep.c - the machine's side: goes as far as it is told, and shows what
 * it looks like there.
 *
 * Everything happens on the deterministic machine's one thread, while nothing
 * runs, and looking changes nothing: the machine goes on as if it had not
 * been stopped. When the peer is gone there is nobody left to run for.
 */
#include "machine/lockstep.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/hash.h"
#include "inspect/disasm.h"
#include "x86/peek.h"
#include "machine/machine_int.h"
#include "mmu/mmu.h"
#include "x86/exception.h"
#include "x86/trace.h"

#define SYMBOL_TRIES 8

struct lockstep {
    int fd;
    struct lockstep_run run; /* what was last asked for */
    unsigned symbol_tries;
    struct tracer tracer;
    struct clock *clock;
    char events[GUEST_VCPUS_MAX][160]; /* since they were last asked for */
};

uint64_t lockstep_next(const struct lockstep *ls)
{
    return ls->run.until;
}

/* --- memory --- */

typedef void page_fn(void *ctx, gpa_t gpa, const uint8_t *page);

/* Each page that is not all zeroes. */
static void ram_each(const struct guest_mem *mem, page_fn *fn, void *ctx)
{
    uint64_t at = 0, end;

    for (; guest_mem_data(mem, &at, &end); at = end)
        for (uint64_t p = at; p < end; p += PAGE_SIZE)
            if (!guest_page_is_zero(mem->ram + p))
                fn(ctx, guest_mem_gpa(mem, p), mem->ram + p);
}

static void ram_digest_page(void *ctx, gpa_t gpa, const uint8_t *page)
{
    *(uint64_t *)ctx += hash64(gpa, page, PAGE_SIZE);
}

struct pages {
    struct lockstep_page *page;
    size_t count, room;
};

/* One that does not fit into memory is left out: a shorter list. */
static void ram_list_page(void *ctx, gpa_t gpa, const uint8_t *page)
{
    struct pages *l = ctx;

    if (l->count == l->room) {
        size_t room = l->room ? l->room * 2 : 4096;
        void *p = realloc(l->page, room * sizeof(*l->page));

        if (!p)
            return;
        l->page = p;
        l->room = room;
    }
    l->page[l->count++] =
        (struct lockstep_page){gpa, hash64(gpa, page, PAGE_SIZE)};
}

static int answer_pages(struct lockstep *ls, struct machine *m)
{
    struct pages l = {0};
    int rc;

    ram_each(&m->mem, ram_list_page, &l);
    rc =
        lockstep_send(ls->fd, LOCKSTEP_DATA, l.page, l.count * sizeof(*l.page));
    free(l.page);
    return rc;
}

static int answer_page(struct lockstep *ls, struct machine *m, gpa_t gpa)
{
    static const uint8_t none[PAGE_SIZE];
    const void *p = guest_mem_ptr(&m->mem, gpa & ~PAGE_OFFSET, PAGE_SIZE);

    return lockstep_send(ls->fd, LOCKSTEP_DATA, p ? p : none, PAGE_SIZE);
}

/* --- events --- */

static uint64_t event_now(struct tracer *t)
{
    return clock_now(container_of(t, struct lockstep, tracer)->clock);
}

static void event_text(const struct trace_event *e, char *buf, size_t len)
{
    int n = 0;

    if (e->cat == TRACE_EXC && e->exc.has_error)
        n = snprintf(buf, len, "%s(0x%x)", exc_name(e->exc.vector),
                     e->exc.error);
    else if (e->cat == TRACE_EXC)
        n = snprintf(buf, len, "%s", exc_name(e->exc.vector));
    else if (e->what == TRACE_HARD)
        n = snprintf(buf, len, "interrupt 0x%02x", e->vector);
    else
        n = snprintf(buf, len, "%s",
                     e->what == TRACE_NMI    ? "NMI"
                     : e->what == TRACE_INIT ? "INIT"
                                             : "SIPI");
    if (e->cat == TRACE_EXC && e->exc.vector == EXC_PF)
        n += snprintf(buf + n, len - (size_t)n, " at 0x%llx",
                      (unsigned long long)e->exc.cr2);
    snprintf(buf + n, len - (size_t)n, " ");
}

/* An INT instruction is seen anyway: it is the instruction. */
static void event_emit(struct tracer *t, struct vcpu *cpu,
                       const struct trace_event *e)
{
    struct lockstep *ls = container_of(t, struct lockstep, tracer);
    char *buf = ls->events[cpu->index];
    size_t used = strlen(buf), room = sizeof(ls->events[0]) - used;

    if (room > 64 && !(e->cat == TRACE_INTR && e->what == TRACE_SOFT))
        event_text(e, buf + used, room);
}

/*
 * Interrupts and exceptions are told while instructions run one by one, but
 * not where --trace listens. Not by trace_set(): the vCPU would have to look,
 * and the run be another.
 */
static void events_listen(struct lockstep *ls, struct machine *m,
                          struct vcpu *cpu, bool on)
{
    ls->clock = &m->clock;
    if (!m->trace)
        trace_init(cpu, &ls->tracer, on ? TRACE_INTR | TRACE_EXC : 0);
}

/* --- instructions --- */

/*
 * A kernel's own are in memory once it runs where it was linked. Looking for
 * them takes milliseconds: a few times, then there are none.
 */
static const struct symbols *insn_symbols(struct lockstep *ls,
                                          struct machine *m, struct vcpu *cpu)
{
    if (!m->symbols && (!(cpu->rip >> 63) || ls->symbol_tries == SYMBOL_TRIES))
        return NULL;
    if (!m->symbols)
        ls->symbol_tries++;
    return machine_symbols(m, cpu);
}

static void insn_describe(struct lockstep *ls, struct machine *m,
                          struct vcpu *cpu, struct lockstep_insn *d)
{
    const struct symbols *syms = insn_symbols(ls, m, cpu);
    gva_t lin = cpu->rip + cpu->seg_base[SEG_CS];
    unsigned n;

    if (cpu->code_width != 8)
        lin &= 0xffffffff;
    d->retired = vcpu_insns(cpu);
    d->rip = cpu->rip;
    n = (unsigned)peek(cpu, lin, d->bytes, sizeof(d->bytes));
    d->len = (uint8_t)disasm(d->text, sizeof(d->text), d->bytes, n,
                             cpu->code_width, cpu->rip, syms);
    symbols_name(syms, lin, d->symbol, sizeof(d->symbol));
    snprintf(d->events, sizeof(d->events), "%s", ls->events[cpu->index]);
    ls->events[cpu->index][0] = '\0';
}

static int answer_insns(struct lockstep *ls, struct machine *m)
{
    struct lockstep_insn d[GUEST_VCPUS_MAX] = {0};

    for (unsigned i = 0; i < m->cfg->cpus; i++)
        insn_describe(ls, m, &m->cpu[i].cpu, &d[i]);
    return lockstep_send(ls->fd, LOCKSTEP_DATA, d, m->cfg->cpus * sizeof(d[0]));
}

/* --- points --- */

static void put_devices(struct machine *m, struct state_writer *w)
{
    loop_lock(&m->loop);
    irqchip_save(&m->chip, w);
    for (unsigned i = 0; i < m->devices; i++)
        m->device[i]->ops->save(m->device[i], w);
    loop_unlock(&m->loop);
}

static struct state_writer *point_state(struct machine *m)
{
    struct state_writer *w = state_writer_new();

    if (!w)
        return NULL;
    for (unsigned i = 0; i < m->cfg->cpus; i++)
        lockstep_put_vcpu(&m->cpu[i].cpu, w);
    put_devices(m, w);
    return w;
}

static int point_send(struct lockstep *ls, struct machine *m, uint64_t insns)
{
    struct lockstep_point p = {
        .insns = insns, .end = m->result.end, .value = m->result.debug_value};
    struct state_writer *w = point_state(m);
    const uint8_t *state;
    uint8_t *msg = NULL;
    int rc = -ENOMEM;
    size_t len;

    ram_each(&m->mem, ram_digest_page, &p.ram);
    state = w ? state_writer_bytes(w, &len) : NULL;
    if (state)
        msg = malloc(sizeof(p) + len);
    if (msg) {
        memcpy(msg, &p, sizeof(p));
        memcpy(msg + sizeof(p), state, len);
        rc = lockstep_send(ls->fd, LOCKSTEP_POINT, msg, sizeof(p) + len);
    }
    free(msg);
    state_writer_free(w);
    return rc;
}

/* --- requests --- */

/* Blocks of other lengths are other blocks: decoded anew. */
static void set_unit(struct lockstep *ls, struct machine *m, unsigned unit)
{
    unit = MAX(1, MIN(unit, VCPU_UNIT_MAX));
    for (unsigned i = 0; i < m->cfg->cpus; i++) {
        struct vcpu *cpu = &m->cpu[i].cpu;

        if (cpu->unit_max == unit)
            continue;
        cpu->unit_max = unit;
        vcpu_set_limit(cpu, VCPU_NO_LIMIT);
        mmu_forget_all_code(cpu);
        events_listen(ls, m, cpu, unit == 1);
    }
}

/* 1: to be run; 0: answered; or -errno. */
static int serve_one(struct lockstep *ls, struct machine *m)
{
    struct lockstep_head head;
    uint64_t arg[2] = {0};
    int rc = lockstep_receive(ls->fd, &head, sizeof(head));

    if (!rc && head.len > sizeof(arg))
        rc = -EPROTO;
    if (!rc)
        rc = lockstep_receive(ls->fd, arg, head.len);
    if (rc)
        return rc;
    switch (head.type) {
    case LOCKSTEP_RUN:
        memcpy(&ls->run, arg, sizeof(ls->run));
        return 1;
    case LOCKSTEP_INSNS:
        return answer_insns(ls, m);
    case LOCKSTEP_PAGES:
        return answer_pages(ls, m);
    case LOCKSTEP_PAGE:
        return answer_page(ls, m, arg[0]);
    default:
        return -EPROTO;
    }
}

static void serve(struct lockstep *ls, struct machine *m, int rc)
{
    while (!rc)
        rc = serve_one(ls, m);
    if (rc > 0) {
        set_unit(ls, m, ls->run.unit);
        return;
    }
    ls->run.until = VCPU_NO_LIMIT;
    if (m->result.end == MACHINE_RUNS)
        machine_request(m, MACHINE_STOPPED, 0);
}

/* --- its life --- */

struct lockstep *lockstep_open(int fd, struct error *err)
{
    struct lockstep *ls;
    int type;
    socklen_t len = sizeof(type);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len)) {
        error_set(err, EINVAL,
                  "--lockstep %d: %s; it is for `ringfence "
                  "compare' alone",
                  fd, strerror(errno));
        return NULL;
    }
    ls = calloc(1, sizeof(*ls));
    if (!ls)
        error_set(err, ENOMEM, "out of memory");
    else
        *ls = (struct lockstep){
            .fd = fd,
            .tracer = {.now = event_now, .emit = event_emit, .hi = UINT64_MAX}};
    return ls;
}

void lockstep_close(struct lockstep *ls)
{
    if (!ls)
        return;
    close(ls->fd);
    free(ls);
}

void lockstep_begin(struct lockstep *ls, struct machine *m)
{
    struct lockstep_hello hello = {.version = LOCKSTEP_VERSION,
                                   .cpus = m->cfg->cpus,
                                   .memory = m->cfg->memory};
    int rc;

    snprintf(hello.engine, sizeof(hello.engine), "%s", m->engine->name);
    snprintf(hello.cpu, sizeof(hello.cpu), "%s",
             m->cfg->cpu ? m->cfg->cpu : CPU_MODEL_DEFAULT);
    rc = lockstep_send(ls->fd, LOCKSTEP_HELLO, &hello, sizeof(hello));
    if (!rc)
        rc = point_send(ls, m, 0);
    serve(ls, m, rc);
}

void lockstep_point(struct lockstep *ls, struct machine *m, uint64_t insns)
{
    serve(ls, m, point_send(ls, m, insns));
}

void lockstep_end(struct lockstep *ls, struct machine *m, uint64_t insns)
{
    serve(ls, m, point_send(ls, m, insns));
}
