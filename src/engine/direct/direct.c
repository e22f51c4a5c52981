/* SPDX-License-Identifier: Apache-2.0 */
/*
 * direct.c - a vCPU's user code in its stubs: enter, stop, and why.
 *
 * Whatever a stub cannot do by itself is done by the interpreter, one
 * instruction of it: a system call, an exception, a store to a page that holds
 * decoded code. So nothing of the architecture is written down here twice.
 */
#include "engine/direct/direct_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "base/log.h"
#include "engine/direct/check.h"
#include "engine/direct/scan.h"
#include "x86/peek.h"
#include "x86/walk.h"

#define SLOT_BITS  39 /* of address space, an entry of the top-level table */
#define SLOT_FIRST 32
#define SLOTS      128
#define CHUNK      4000 /* instructions, from a page that is tainted on */

/* --- stubs --- */

/* No top-level entry: nothing of the guest's is, or can be touched, there. */
static bool slot_free(struct vcpu *cpu, uint64_t base)
{
    gpa_t at = (cpu->cr3 & (BIT64(PHYS_BITS) - 1) & ~PAGE_OFFSET) +
               8 * (base >> SLOT_BITS);
    uint64_t entry;

    return guest_mem_read(cpu->mem, at, &entry, sizeof(entry)) || !(entry & 1);
}

/* Somewhere in a free slot; 0: there is none. */
static uint64_t choose_base(struct vcpu *cpu)
{
    uint64_t r = 0;

    if (getrandom(&r, sizeof(r), 0) != (ssize_t)sizeof(r))
        return 0;
    for (unsigned i = 0; i < SLOTS; i++) {
        uint64_t base = (SLOT_FIRST + (r + i) % SLOTS) << SLOT_BITS;

        if (slot_free(cpu, base))
            return base + (r >> 16 & 0xfffff) * (64 * KiB);
    }
    return 0;
}

static void stub_odd(struct vcpu *cpu, struct stub *s)
{
    cpu->stats.count[CTR_STUB_ODD]++;
    log_debug("vCPU %u: ended a stub process that was tampered with",
              cpu->index);
    stub_end(s);
}

/* The stub of the current space, with what was dropped gone. NULL: none. */
static struct stub *stub_get(struct vcpu *cpu, struct shadow_space *sp)
{
    struct direct *d = direct_of(cpu);
    struct stub *s = &d->stub[sp->index];
    struct error err;
    uint64_t base;
    int rc = 0;

    if (s->pid && !slot_free(cpu, s->base))
        stub_end(s); /* the guest wants the place */
    if (!s->pid) {
        base = choose_base(cpu);
        if (!base)
            return NULL;
        if (stub_start(s, base, cpu->mem->memfd, &err)) {
            log_warn("%s; user code is interpreted from here", err.msg);
            d->broken = true;
            return NULL;
        }
        cpu->stats.count[CTR_STUB]++;
        d->tsc_traps[sp->index] = false;
        shadow_clear(cpu, sp);
    }
    if (sp->drop_all)
        s->widths = 0;
    if (sp->runs > SHADOW_RUNS || !(s->widths & cpu->code_width) ||
        (unlikely(d->check != NULL) && check_full(d->check, sp)))
        shadow_flush_pcid(cpu, sp->pcid); /* scanned as other code */
    s->widths |= cpu->code_width;
    /* first: what is queued behind a call that fails is not done */
    if (d->tsc_traps[sp->index] != (cpu->tsc_offset != 0)) {
        d->tsc_traps[sp->index] = cpu->tsc_offset != 0;
        rc = stub_trap_tsc(s, cpu->tsc_offset != 0);
    }
    if (sp->drop_all && !rc)
        rc = stub_unmap_all(s);
    for (unsigned i = 0; i < sp->drops && !rc; i++)
        rc = stub_unmap(s, sp->drop[i].at, sp->drop[i].len);
    shadow_dropped(sp);
    if (rc)
        stub_odd(cpu, s);
    return rc ? NULL : s;
}

/* --- stops --- */

/* Whom shadow_fill() tells. */
struct sink_to {
    struct stub *stub;
    struct check *check;
};

static int sink_map(void *ctx, gva_t at, uint64_t len, int prot, uint64_t off)
{
    struct sink_to *to = ctx;

    if (unlikely(to->check != NULL) && (prot & PROT_WRITE))
        check_mapped(to->check, off, len);
    return stub_map(to->stub, at, len, prot, off);
}

static bool sink_native(void *ctx, gva_t at, const uint8_t *page)
{
    const struct stub *s = ((struct sink_to *)ctx)->stub;

    return !scan_sensitive(page, at >> 32 ? SCAN_64 : s->widths, s->host_call);
}

static enum shadow_outcome fill(struct vcpu *cpu, struct stub *s,
                                struct shadow_space *sp, gva_t gva,
                                unsigned access)
{
    struct sink_to to = {s, direct_of(cpu)->check};
    struct shadow_sink sink = {.ctx = &to,
                               .map = sink_map,
                               .native = sink_native,
                               .hole = s->base,
                               .hole_end = s->base + STUB_SIZE};

    return shadow_fill(cpu, sp, gva, access, &sink);
}

/*
 * The guest's kernel has dealt with a fault, and the same instruction is to
 * run again: it would stop once more, because the page is not here.
 */
static void fill_told(struct vcpu *cpu, struct stub *s, struct shadow_space *sp)
{
    struct told *t = &direct_of(cpu)->told[sp->index];

    if (t->open && t->rip == cpu->rip &&
        fill(cpu, s, sp, t->gva, t->access) == SHADOW_FILLED)
        cpu->stats.count[CTR_DIRECT_AHEAD]++;
    t->open = false;
}

/* Go on natively? Otherwise *next says what to do. */
static bool stop_fault(struct vcpu *cpu, struct stub *s,
                       struct shadow_space *sp, enum direct_next *next)
{
    const struct stub_frame *f = stub_frame(s);
    uint64_t error = f->reg[FRAME_ERROR];
    unsigned access = error & PF_I   ? ACC_FETCH
                      : error & PF_W ? ACC_WRITE
                                     : ACC_READ;

    switch (fill(cpu, s, sp, f->reg[FRAME_CR2], access)) {
    case SHADOW_FILLED:
        cpu->stats.count[CTR_DIRECT_FILL]++;
        return true;
    case SHADOW_FAULT:
        direct_of(cpu)->told[sp->index] =
            (struct told){f->reg[FRAME_CR2], f->reg[FRAME_RIP], access, true};
        cpu->stats.count[CTR_DIRECT_FAULT]++;
        *next = DIRECT_EXCEPTION;
        return false;
    case SHADOW_TAINTED:
        cpu->stats.count[CTR_DIRECT_TAINT]++;
        *next = DIRECT_INTERPRET;
        return false;
    default:
        cpu->stats.count[CTR_DIRECT_TRAP]++;
        *next = DIRECT_STEP;
        return false;
    }
}

/* The system call's own instruction is to be run. */
static void rewind_call(struct vcpu *cpu, const struct stub_frame *f)
{
    cpu->stats.count[CTR_DIRECT_CALL]++;
    if (f->address - VSYSCALL < PAGE_SIZE) {
        /*
         * The host has returned from a page that is not the guest's. RAX is
         * lost: it was to get the result.
         */
        cpu->rip = f->address;
        cpu->gpr[R_RSP] -= 8;
        return;
    }
    cpu->rip -= 2;
}

/* The user's byte before RIP, for what it is worth: others may write it. */
static uint8_t code_byte(struct vcpu *cpu, unsigned back)
{
    gva_t at = cpu->seg_base[SEG_CS] + cpu->rip - back;
    uint8_t byte;

    if (cpu->code_width == 4)
        at = (uint32_t)at;
    return peek(cpu, at, &byte, 1) ? byte : 0;
}

/* How long it was: INT n, or INT3 or INTO, even if that is not there now. */
static unsigned int_length(struct vcpu *cpu, uint8_t n)
{
    return code_byte(cpu, 2) == 0xcd && code_byte(cpu, 1) == n ? 2 : 1;
}

/* INT3, INTO and the like are told of when they are done. */
static void rewind_trap(struct vcpu *cpu, const struct stub_frame *f)
{
    uint64_t trap = f->reg[FRAME_TRAP];

    cpu->stats.count[CTR_DIRECT_TRAP]++;
    if (trap == EXC_BP || trap == EXC_OF) {
        cpu->rip -= int_length(cpu, (uint8_t)trap);
    } else if (trap == EXC_DB && (f->reg[FRAME_FLAGS] & FLAG_TF)) {
        cpu->db_pending = true; /* it has set it itself */
        cpu->db_bits |= BIT64(14);
    } else if (trap == EXC_DB && code_byte(cpu, 1) == 0xf1) {
        cpu->rip--; /* under some hypervisors RIP is there already */
    }
}

/* Behind a page that is not to run natively: how far to interpret. */
static void chunk_begin(struct vcpu *cpu)
{
    struct direct *d = direct_of(cpu);

    d->chunk_end = vcpu_insns(cpu) + CHUNK;
    vcpu_set_limit(cpu, d->chunk_end);
}

bool direct_chunk_over(struct vcpu *cpu)
{
    struct direct *d = direct_of(cpu);

    if (!d->chunk_end)
        return false;
    d->chunk_end = 0;
    vcpu_set_limit(cpu, VCPU_NO_LIMIT);
    return true;
}

/* A stub did what it must not, or died, in the middle of the guest's code. */
static enum direct_next tampered(struct vcpu *cpu, struct stub *s)
{
    stub_odd(cpu, s);
    raise_gp(cpu, 0); /* where it had begun: the rest is lost */
    return DIRECT_EXCEPTION;
}

static enum direct_next stopped(struct vcpu *cpu, struct stub *s,
                                enum stub_why why, enum direct_next next)
{
    if (frame_take(cpu, s, &direct_of(cpu)->segs))
        return tampered(cpu, s);
    if (why == STUB_CALLED)
        rewind_call(cpu, stub_frame(s));
    else if (why == STUB_TRAPPED)
        rewind_trap(cpu, stub_frame(s));
    if (next == DIRECT_INTERPRET)
        chunk_begin(cpu);
    return cpu->db_pending ? DIRECT_AGAIN : next;
}

/* It died while it was stopped: nothing is lost, another one goes on. */
static enum direct_next died(struct vcpu *cpu, struct stub *s)
{
    enum direct_next next = stopped(cpu, s, STUB_KICKED, DIRECT_AGAIN);

    stub_odd(cpu, s);
    return next;
}

/* Runs until something is to be done that a stub cannot do. */
static enum direct_next run_stub(struct vcpu *cpu, struct shadow_space *sp,
                                 struct stub *s)
{
    enum direct_next next = DIRECT_AGAIN;
    bool retried = false;

    for (;;) {
        enum stub_why why = STUB_KICKED;
        uint64_t t0;
        int rc;

        atomic_store(&cpu->runs_in, s->pid);
        if (vcpu_attn(cpu)) {
            atomic_store(&cpu->runs_in, 0);
            return stopped(cpu, s, why, next);
        }
        t0 = __builtin_ia32_rdtsc();
        rc = stub_resume(s);
        policy_resumed(cpu,
                       s->untimed ? __builtin_ia32_rdtsc() - t0 : stub_ran(s));
        atomic_store(&cpu->runs_in, 0);
        if (rc == -ENOMEM && !retried) {
            /* too many mappings: begin again without any */
            retried = true;
            shadow_flush_pcid(cpu, sp->pcid);
            if (!stub_unmap_all(s)) {
                shadow_dropped(sp);
                continue;
            }
        }
        if (rc == -ESRCH)
            return died(cpu, s);
        why = rc ? STUB_ODD : stub_why(s);
        switch (why) {
        case STUB_FAULTED:
            if (!segs_kept(s)) /* perhaps code of the other width now */
                return stopped(cpu, s, why, DIRECT_AGAIN);
            if (stop_fault(cpu, s, sp, &next))
                continue;
            return stopped(cpu, s, why, next);
        case STUB_KICKED:
            cpu->stats.count[CTR_DIRECT_KICK]++;
            return stopped(cpu, s, why, DIRECT_AGAIN);
        case STUB_CALLED:
        case STUB_TRAPPED:
            return stopped(cpu, s, why, DIRECT_STEP);
        default:
            return tampered(cpu, s);
        }
    }
}

/* --- for the run loop --- */

static void end_all(struct vcpu *cpu)
{
    struct direct *d = direct_of(cpu);

    for (unsigned i = 0; i < SHADOW_SPACES; i++)
        stub_end(&d->stub[i]);
    shadow_drop_all(cpu);
}

/* What stubs map is what this process has as the guest's RAM. */
static bool ram_shared(struct vcpu *cpu)
{
    struct direct *d = direct_of(cpu);

    if (cpu->mem->private) {
        if (cpu->share_ram)
            cpu->share_ram(cpu);
        return false;
    }
    if (d->generation != cpu->mem->generation)
        end_all(cpu);
    d->generation = cpu->mem->generation;
    return true;
}

enum direct_next direct_run(struct vcpu *cpu)
{
    struct direct *d = direct_of(cpu);
    struct shadow_space *sp;
    enum direct_next next;
    struct stub *s;
    uint64_t t0;

    if (!d->now || !(d->now->native || d->check) || d->chunk_end || d->broken ||
        !frame_fits(cpu, &d->segs) || !ram_shared(cpu))
        return DIRECT_INTERPRET;
    t0 = __builtin_ia32_rdtsc();
    sp = shadow_current(cpu);
    if (!d->check && d->warm[sp->index] && (!sp->runs || sp->drop_all)) {
        d->warm[sp->index] = false;
        policy_cold(cpu);
        return DIRECT_INTERPRET;
    }
    d->warm[sp->index] = true;
    s = stub_get(cpu, sp);
    if (!s)
        return DIRECT_INTERPRET;
    cpu->stats.count[CTR_DIRECT]++;
    vcpu_new_code(cpu);
    cpu->stats.count[CTR_DIRECT_32] += cpu->code_width == 4;
    fill_told(cpu, s, sp);
    if (frame_put(cpu, s, &d->segs)) {
        stub_odd(cpu, s);
        return DIRECT_INTERPRET;
    }
    if (unlikely(d->check != NULL))
        check_begin(d->check, cpu, sp);
    next = run_stub(cpu, sp, s);
    policy_stopped(cpu, __builtin_ia32_rdtsc() - t0);
    stats_end(&cpu->stats, &cpu->stats.ticks[CTR_DIRECT], t0);
    if (unlikely(d->check != NULL) && !check_end(d->check, cpu, next))
        next = DIRECT_FAILED;
    return next;
}

void direct_crossed(struct vcpu *cpu, bool user)
{
    if (unlikely(direct_of(cpu)->checks)) {
        vcpu_attn_set(cpu, ATTN_KICK); /* it is over */
        return;
    }
    direct_chunk_over(cpu);
    if (user)
        policy_entered(cpu);
    else
        policy_left(cpu);
}

static gva_t lowest_address(void)
{
    FILE *f = fopen("/proc/sys/vm/mmap_min_addr", "re");
    unsigned long long low = 0;

    if (!f || fscanf(f, "%llu", &low) != 1)
        low = 64 * KiB;
    if (f)
        fclose(f);
    return align_up(low, PAGE_SIZE);
}

int direct_probe(struct error *err)
{
    return stub_probe(err);
}

int direct_init(struct vcpu *cpu, struct error *err)
{
    struct direct *d = calloc(1, sizeof(*d));

    if (!d)
        return error_set(err, ENOMEM, "out of memory");
    for (unsigned i = 0; i < SHADOW_SPACES; i++)
        stub_none(&d->stub[i]);
    if (shadow_init(cpu, lowest_address(), err)) {
        free(d);
        return -err->code;
    }
    if (cpu->direct_check && check_open(cpu, &d->check, err)) {
        shadow_fini(cpu);
        free(d);
        return -err->code;
    }
    cpu->direct = d;
    return 0;
}

void direct_fini(struct vcpu *cpu)
{
    struct direct *d = direct_of(cpu);

    if (!d)
        return;
    for (unsigned i = 0; i < SHADOW_SPACES; i++)
        stub_end(&d->stub[i]);
    check_close(d->check);
    shadow_fini(cpu);
    free(d);
    cpu->direct = NULL;
}
