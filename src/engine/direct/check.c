/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.c - does the interpreter come to what native code left?
 *
 * ref, a vCPU of the check's own, has a breakpoint where the native code
 * stopped, that counts when its general registers are the native ones. Then
 * all the rest has to be the same, memory too: if not, it was an earlier
 * round of a loop, perhaps, and ref goes on. It ends where ref itself enters
 * the kernel, or has done more than a CPU can.
 */
#include "engine/direct/check_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine/direct/direct_int.h"
#include "engine/interp/interp.h"
#include "x86/peek.h"

#define CHUNK     1000000    /* instructions between looks at what they were */
#define PER_TICK  8          /* at most, on any CPU */
#define MOST      (1u << 29) /* instructions: what takes longer is let be */
#define FULL      2048       /* writable pages */
#define CLOSE_MAX 256        /* rounds of a loop whose registers are alike */

enum found {
    FOUND_SAME,
    FOUND_ENTRY, /* ref entered the kernel before */
    FOUND_FAR,   /* ref went on for longer than the native code can have */
    FOUND_CANNOT /* be compared */
};

/* --- ref --- */

static bool same_but(unsigned lost, const uint64_t *a, const uint64_t *b)
{
    for (unsigned i = 0; i < 16; i++)
        if (!(lost & 1u << i) && a[i] != b[i])
            return false;
    return true;
}

/* Is ref, at the breakpoint, where the native code stopped? */
static bool wanted(const struct vcpu *ref)
{
    const struct check *c = container_of(ref->debug, struct check, debug);

    if (same_but(c->lost, ref->gpr, c->native.gpr))
        return true;
    return unlikely(c->rep.on) &&
           check_rep_between(&c->rep, ref->gpr, ref->rflags & FLAG_DF,
                             c->native.gpr);
}

static void break_at(struct check *c, gva_t at)
{
    unsigned off = at & PAGE_OFFSET;

    memset(c->points.guard, 0, sizeof(c->points.guard));
    c->points.guard[off / 64] = BIT64(off % 64);
    c->points.at[0] = at;
}

void check_restart(struct check *c, bool breaks)
{
    struct vcpu *ref = c->ref;

    c->points.breaks = breaks;
    c->debug.step = false;
    c->debug.stop = DEBUG_NONE;
    check_code_before(c);
    check_view_restore(&c->view);
    check_code_after(c);
    check_state_put(ref, c->cpu, &c->from);
    ref->mmu->flush_all(ref);
    c->insns = vcpu_insns(ref);
}

static int run(struct check *c, uint64_t limit)
{
    struct error err;

    vcpu_set_limit(c->ref, limit);
    return engine_interp.run(c->ref, &err);
}

/* The stop is taken. */
static enum debug_stop stopped(struct check *c)
{
    enum debug_stop stop = c->debug.stop;

    c->debug.stop = DEBUG_NONE;
    return stop;
}

bool check_step(struct check *c)
{
    int exit;

    c->debug.step = true;
    vcpu_update_rflags(c->ref);
    exit = run(c, VCPU_NO_LIMIT);
    c->debug.step = false;
    vcpu_update_rflags(c->ref);
    return exit == ENGINE_DEBUG && stopped(c) == DEBUG_STEP;
}

/* How many instructions ref did since it began. */
static uint64_t done(const struct check *c)
{
    return vcpu_insns(c->ref) - c->insns;
}

/* What the clock or chance gave is another thing each time. */
static uint64_t chances(const struct vcpu *ref)
{
    const struct meter *m = ref->stats.exit;

    return m[EXIT_RDTSC].count + m[EXIT_RDTSCP].count + m[EXIT_RDRAND].count +
           m[EXIT_RDSEED].count + m[EXIT_RDPMC].count;
}

/* --- comparing --- */

/* Does as much of the REP as the native code did. False: it cannot. */
static bool rep_part(struct check *c, uint64_t iterations)
{
    struct vcpu *ref = c->ref;
    uint64_t rip = ref->rip;

    ref->gpr[R_RCX] = iterations;
    do {
        if (!check_step(c))
            return false;
    } while (ref->rip == rip && ref->gpr[R_RCX]);
    if (ref->gpr[R_RCX])
        return false;
    ref->rip = rip;
    ref->gpr[R_RCX] = c->native.gpr[R_RCX];
    return true;
}

/* Flags that the last instructions left undefined differ without harm. */
static uint64_t undefined_at(struct check *c, const struct check_state *s)
{
    struct check_trace t;

    check_trace_to(c, done(c), s, false, &t);
    c->points.breaks = 1; /* the guards are still there */
    return t.undefined;
}

static bool note_close(struct check *c, const struct check_state *s,
                       uint64_t insns, unsigned differ)
{
    c->close = true;
    c->at = *s;
    c->at_insns = insns;
    c->differ = differ;
    return !differ;
}

/*
 * The host's #XM has left its reasons in MXCSR. The vCPU runs the instruction
 * again, interpreted; ref has not run it yet.
 */
static uint32_t xm_reasons(const struct check *c)
{
    uint32_t mxcsr = c->native.fpu.mxcsr;

    return c->next == DIRECT_STEP ? mxcsr & ~(mxcsr >> 7) & 0x3f : 0;
}

static void ref_state(const struct check *c, struct check_state *s)
{
    check_state_get(c->ref, s);
    s->fpu.mxcsr |= xm_reasons(c);
}

/*
 * ref is where the native code stopped, by RIP and general registers, or
 * about to do a part of a REP. Is all the same?
 */
static bool all_same(struct check *c)
{
    struct vcpu *ref = c->ref;
    uint64_t n = check_rep_between(&c->rep, ref->gpr, ref->rflags & FLAG_DF,
                                   c->native.gpr);
    uint64_t insns, undefined = 0, where;
    struct check_state s;
    unsigned differ;

    ref_state(c, &s);
    differ = check_state_differ(&c->native, &s, 0);
    /* before a REP the registers are to differ */
    if ((n ? differ & ~CHECK_GPR : differ) == CHECK_FLAGS) {
        undefined = undefined_at(c, &s);
        differ = check_state_differ(&c->native, &s, undefined);
    }
    insns = done(c);
    if (n) {
        if (!rep_part(c, n))
            return note_close(c, &s, insns, CHECK_RIP);
        ref_state(c, &s);
        /* what a comparison leaves in the middle is the CPU's business */
        if (c->rep.compares)
            undefined = FLAG_STATUS;
        differ = check_state_differ(&c->native, &s, undefined);
    }
    if (!check_view_same(&c->view, &where))
        differ |= CHECK_MEMORY;
    return note_close(c, &s, insns, differ);
}

/* An exception that the native code stopped with is ref's next, too. */
static bool same_exception(struct check *c)
{
    const struct exc *a = &c->cpu->exc, *b = &c->ref->exc;

    if (c->next != DIRECT_EXCEPTION)
        return true;
    do {
        if (!check_step(c))
            return a->vector == b->vector && a->has_error == b->has_error &&
                   (!a->has_error || a->error == b->error) &&
                   (a->vector != EXC_PF || a->cr2 == b->cr2);
    } while (c->rep.on && c->ref->rip == c->native.rip);
    return false;
}

/* ref stands at the breakpoint: is this it? */
static bool meets(struct check *c)
{
    if (c->ref->rip != c->native.rip || !wanted(c->ref))
        return false;
    for (unsigned i = 0; i < 16; i++)
        if (c->lost & 1u << i)
            c->native.gpr[i] = c->ref->gpr[i];
    return all_same(c);
}

static enum found search(struct check *c, uint64_t most)
{
    uint64_t chance = chances(c->ref);
    unsigned rounds = 0;

    for (;;) {
        uint64_t left = most - MIN(done(c), most);
        int exit = run(c, vcpu_insns(c->ref) + MIN(left, CHUNK));

        if (exit == ENGINE_DEBUG) {
            bool caught = stopped(c) != DEBUG_BREAK;

            if (meets(c))
                return FOUND_SAME;
            if (chances(c->ref) != chance || ++rounds > CLOSE_MAX)
                return FOUND_CANNOT;
            if (caught || !check_step(c))
                return FOUND_ENTRY;
        } else if (exit != ENGINE_LIMIT) {
            return chances(c->ref) != chance ? FOUND_CANNOT : FOUND_ENTRY;
        } else if (chances(c->ref) != chance) {
            return FOUND_CANNOT;
        } else if (done(c) >= most) {
            return most == MOST ? FOUND_CANNOT : FOUND_FAR;
        }
    }
}

/* --- the report --- */

static const char *why(const struct check *c, enum found found)
{
    if (found == FOUND_SAME)
        return "the interpreter has another exception there, or none";
    if (c->close)
        return "the interpreter comes by with something else";
    if (found == FOUND_ENTRY)
        return "the interpreter enters the kernel without having been there";
    return "the interpreter does not get there";
}

static void report(struct check *c, enum found found)
{
    bool wide = c->cpu->code_width == 8;
    struct check_trace t;

    if (!c->close) {
        check_state_get(c->ref, &c->at);
        c->at_insns = done(c);
    }
    log_error("user code did something else natively: from RIP 0x%llx to "
              "0x%llx, CR3 0x%llx: %s",
              (unsigned long long)c->from.rip,
              (unsigned long long)c->native.rip,
              (unsigned long long)c->cpu->cr3, why(c, found));
    if (found == FOUND_SAME)
        log_error("  exception: native %u, error 0x%x, CR2 0x%llx; "
                  "interpreted %u, error 0x%x, CR2 0x%llx",
                  c->cpu->exc.vector, c->cpu->exc.error,
                  (unsigned long long)c->cpu->exc.cr2, c->ref->exc.vector,
                  c->ref->exc.error, (unsigned long long)c->ref->exc.cr2);
    check_state_report(&c->native, &c->at);
    if (c->close)
        check_view_report(&c->view);
    log_error("  the interpreter's last instructions, of %llu, and the next:",
              (unsigned long long)c->at_insns);
    check_trace_to(c, c->at_insns, NULL, false, &t);
    check_trace_next(c, &t);
    check_trace_report(&t, wide);
}

/* Something in the whole of it is known to do something else. */
static bool known(struct check *c, enum found found)
{
    struct check_trace t;

    if (done(c) > CHUNK)
        return false;
    check_trace_to(c, done(c), NULL, true, &t);
    check_trace_next(c, &t);
    return t.differs || (found == FOUND_SAME && t.chooses);
}

/* --- for direct.c --- */

static void keep(void *ctx, uint64_t page)
{
    struct check *c = ctx;

    check_view_keep(&c->view, page);
}

static uint64_t lost(const struct vcpu *cpu)
{
    return cpu->stats.count[CTR_STUB_ODD];
}

bool check_full(const struct check *c, const struct shadow_space *sp)
{
    return c->full == sp;
}

void check_begin(struct check *c, struct vcpu *cpu,
                 const struct shadow_space *sp)
{
    check_state_get(cpu, &c->from);
    c->stopped = lost(cpu);
    c->next = DIRECT_INTERPRET;
    if (!check_view_begin(&c->view))
        shadow_writable(sp, keep, c);
    else
        c->stopped = ~0ull; /* nothing to compare with */
    c->full = c->view.kept.count > FULL ? sp : NULL;
    c->began = __builtin_ia32_rdtsc();
}

void check_mapped(struct check *c, uint64_t off, uint64_t len)
{
    for (uint64_t at = off; at < off + len; at += PAGE_SIZE)
        check_view_keep(&c->view, at / PAGE_SIZE);
}

/* What stands where the native code stopped; it need not be mapped. */
static void stopped_at(struct check *c, struct vcpu *cpu, gva_t at)
{
    uint8_t bytes[15];
    unsigned len = (unsigned)MIN(PAGE_SIZE - (at & PAGE_OFFSET), 15);
    gpa_t gpa;

    c->rep.on = false;
    c->lost = at - VSYSCALL < PAGE_SIZE ? 1u << R_RAX : 0;
    c->break_page = UINT64_MAX;
    if (!peek_gpa(cpu, at, &gpa))
        return;
    /* code of it gets its guard when it is decoded */
    c->break_page = guest_mem_offset(cpu->mem, gpa) / PAGE_SIZE;
    if (peek(cpu, at, bytes, len) < len)
        return;
    c->rep = check_rep_at(bytes, len);
    if (c->next == DIRECT_STEP && bytes[0] == 0x0f &&
        (len < 2 || bytes[1] == 0x05))
        c->lost = 1u << R_RCX | 1u << R_R11; /* a SYSCALL that was begun */
}

static bool compare(struct check *c, struct vcpu *cpu, uint64_t most)
{
    enum found found;
    uint64_t insns;

    c->close = false;
    c->cpu = cpu;
    check_restart(c, true);
    found = search(c, most);
    insns = done(c);
    if (found == FOUND_SAME && same_exception(c)) {
        /* an instruction that is to be interpreted may be the first one */
        cpu->stats.count[CTR_CHECK_SAME] += insns != 0;
        cpu->stats.count[CTR_CHECK_INSNS] += insns;
        return true;
    }
    if (found == FOUND_CANNOT || known(c, found)) {
        cpu->stats.count[CTR_CHECK_SKIPPED]++;
        return true;
    }
    report(c, found);
    return false;
}

bool check_end(struct check *c, struct vcpu *cpu, enum direct_next next)
{
    uint64_t ticks = __builtin_ia32_rdtsc() - c->began;
    uint64_t most = MIN(ticks * PER_TICK + CHUNK, MOST);
    gva_t at = cpu->rip + cpu->seg_base[SEG_CS];

    if (c->stopped != lost(cpu)) {
        cpu->stats.count[CTR_CHECK_SKIPPED]++;
        return true; /* its registers are gone */
    }
    check_state_get(cpu, &c->native);
    c->next = next;
    stopped_at(c, cpu, at);
    break_at(c, at);
    return compare(c, cpu, most);
}

/* --- beginning and end --- */

static void written(struct vcpu *ref, gpa_t page)
{
    struct check *c = container_of(ref->debug, struct check, debug);

    check_view_written(&c->view, page);
}

static int own_vcpu(struct check *c, const struct vcpu *cpu, struct error *err)
{
    struct vcpu *ref = aligned_alloc(_Alignof(struct vcpu), sizeof(*ref));
    struct direct *none = calloc(1, sizeof(*none));

    c->ref = ref;
    if (ref)
        memset(ref, 0, sizeof(*ref));
    if (!ref || !none) {
        free(none);
        return error_set(err, ENOMEM, "out of memory for --direct-check");
    }
    none->checks = true;
    ref->direct = none;
    ref->model = cpu->model;
    ref->mem = &c->view.view;
    ref->apic_page = UINT64_MAX;
    if (mmu_init(ref, err))
        return -err->code;
    if (engine_interp.vcpu_init(ref, err))
        return -err->code;
    mmu_note_writes(ref, written);
    c->debug.points = &c->points;
    c->debug.wanted = wanted;
    c->debug.catches = true;
    ref->debug = &c->debug;
    ref->cross_block = true;
    return 0;
}

int check_open(struct vcpu *cpu, struct check **out, struct error *err)
{
    struct check *c =
        aligned_alloc(_Alignof(struct check), sizeof(struct check));

    if (!c)
        return error_set(err, ENOMEM, "out of memory for --direct-check");
    memset(c, 0, sizeof(*c));
    if (check_view_open(&c->view, cpu->mem, err)) {
        free(c);
        return -err->code;
    }
    if (!check_pages_open(&c->code, cpu->mem->ram_size / PAGE_SIZE)) {
        check_close(c);
        return error_set(err, ENOMEM, "out of memory for --direct-check");
    }
    if (own_vcpu(c, cpu, err)) {
        check_close(c);
        return -err->code;
    }
    *out = c;
    return 0;
}

void check_close(struct check *c)
{
    if (!c)
        return;
    if (c->ref) {
        engine_interp.vcpu_fini(c->ref);
        mmu_fini(c->ref);
        free(c->ref->direct);
        free(c->ref);
    }
    check_pages_close(&c->code, c->view.mem->ram_size / PAGE_SIZE);
    check_view_close(&c->view);
    free(c);
}
