/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interp.c - the interpreter as an engine: the run loop and its events.
 *
 * Between blocks, and only there, the loop looks at `attn`: mail from other
 * vCPUs, INIT and SIPI, NMIs, interrupts, single steps. The order of events
 * between two instructions follows [SDM 3A 6.9, table 6-2].
 */
#include "engine/interp/interp_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "engine/direct/direct.h"
#include "engine/direct/stub.h"
#include "engine/engine.h"
#include "engine/interp/interp.h"
#include "x86/cpuid.h"
#include "x86/debug.h"
#include "x86/exception.h"
#include "x86/exit.h"
#include "x86/trace.h"

#define RUN_ON (-1) /* no engine_exit: go on */

static int interp_probe(struct error *err)
{
    (void)err;
    return 0;
}

static void interp_fini(struct vcpu *cpu)
{
    struct interp *ip = interp_of(cpu);

    if (!ip)
        return;
    mmu_forget_all_code(cpu);
    decoder_fini(&ip->decoder);
    if (ip->arena)
        munmap(ip->arena, ARENA_BYTES);
    free(ip);
    cpu->engine_state = NULL;
}

static int interp_create(struct vcpu *cpu, bool plain, struct error *err)
{
    struct interp *ip = calloc(1, sizeof(*ip));
    int rc;

    if (!ip)
        return error_set(err, ENOMEM, "out of memory for the interpreter");
    cpu->engine_state = ip;
    ip->plain = plain;
    for (unsigned i = 0; i < BLOCK_CACHE; i++)
        ip->cache[i] = &ip->none;
    ip->arena = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (ip->arena == MAP_FAILED) {
        ip->arena = NULL;
        rc = error_set(err, ENOMEM, "out of memory for decoded blocks");
    } else {
        rc = decoder_init(&ip->decoder, cpu->model, err);
    }
    if (rc) {
        interp_fini(cpu);
        return rc;
    }
    mmu_set_forget(cpu, block_forget_page);
    cpu->unit_max = VCPU_UNIT_MAX;
    vcpu_set_limit(cpu, VCPU_NO_LIMIT);
    return 0;
}

static int interp_init(struct vcpu *cpu, struct error *err)
{
    return interp_create(cpu, false, err);
}

static int interp_plain_init(struct vcpu *cpu, struct error *err)
{
    return interp_create(cpu, true, err);
}

/* --- events between instructions --- */

/* Something ends HLT. */
static void wake(struct vcpu *cpu)
{
    if (cpu->halted && trace_on(cpu, TRACE_EXIT))
        trace_woke(cpu);
    cpu->halted = false;
}

/* A debugger wants to know; what happened first is what it is told. */
static int debug_stop(struct vcpu *cpu, enum debug_stop why)
{
    vcpu_attn_clear(cpu, ATTN_DEBUG);
    if (cpu->debug->stop == DEBUG_NONE)
        cpu->debug->stop = why;
    return ENGINE_DEBUG;
}

static int event_exception(struct vcpu *cpu)
{
    if (unlikely(cpu->debug != NULL)) {
        debug_access_undone(cpu);
        if (cpu->debug->catches)
            return debug_stop(cpu, DEBUG_CAUGHT);
    }
    return exc_deliver(cpu) == STEP_STOP ? ENGINE_SHUTDOWN : RUN_ON;
}

static int event_init(struct vcpu *cpu)
{
    vcpu_attn_clear(cpu, ATTN_INIT); /* a SIPI may be close behind */
    if (trace_on(cpu, TRACE_INTR))
        trace_intr(cpu, TRACE_INIT, 0);
    vcpu_reset(cpu, true);
    if (cpu->index) {
        cpu->wait_sipi = true;
        cpu->halted = true;
    }
    return RUN_ON;
}

/* Start-up: real mode at vector * 4 KiB [SDM 3A 9.4]. */
static int event_sipi(struct vcpu *cpu)
{
    vcpu_attn_clear(cpu, ATTN_SIPI);
    if (!cpu->wait_sipi)
        return RUN_ON;
    if (trace_on(cpu, TRACE_INTR))
        trace_intr(cpu, TRACE_SIPI, cpu->sipi_vector);
    cpu->wait_sipi = false;
    wake(cpu);
    cpu->seg[SEG_CS].sel = (uint16_t)(cpu->sipi_vector << 8);
    cpu->seg[SEG_CS].base = (uint64_t)cpu->sipi_vector << 12;
    cpu->rip = 0;
    vcpu_update_mode(cpu);
    return RUN_ON;
}

static int event_nmi(struct vcpu *cpu)
{
    vcpu_attn_clear(cpu, ATTN_NMI);
    wake(cpu);
    cpu->nmi_blocked = true;
    vcpu_update_rflags(cpu);
    return intr_deliver(cpu, EXC_NMI) == STEP_STOP ? ENGINE_SHUTDOWN : RUN_ON;
}

static int event_interrupt(struct vcpu *cpu)
{
    int vector = cpu->intr->ack(cpu->intr_ctx);

    if (vector < 0)
        return RUN_ON;
    wake(cpu);
    return intr_deliver(cpu, (unsigned)vector) == STEP_STOP ? ENGINE_SHUTDOWN
                                                            : RUN_ON;
}

/* Single-step and data breakpoint traps of the instruction just done. */
static int event_debug(struct vcpu *cpu)
{
    raise(cpu, EXC_DB);
    cpu->exc.dr6 = cpu->db_bits;
    cpu->db_pending = false;
    cpu->db_bits = 0;
    return event_exception(cpu);
}

/* Instruction breakpoints: faults, masked once by RF [SDM 3B 17.3.1.1]. */
static bool breakpoint_here(struct vcpu *cpu)
{
    uint64_t hit = 0;

    if (cpu->rflags & FLAG_RF)
        return false;
    for (unsigned i = 0; i < 4; i++)
        if ((cpu->dr7 >> (2 * i) & 3) && !(cpu->dr7 >> (16 + 4 * i) & 3) &&
            cpu->dr[i] == code_linear(cpu))
            hit |= BIT64(i);
    if (!hit)
        return false;
    raise(cpu, EXC_DB);
    cpu->exc.dr6 = hit;
    return true;
}

int interp_fetch(struct vcpu *cpu, struct insn *in)
{
    struct interp *ip = interp_of(cpu);
    gva_t lin = code_linear(cpu);
    uint64_t room = ~0ull; /* bytes up to the limit of CS */
    unsigned off, avail;
    const uint8_t *host;
    uint8_t bytes[15];
    gpa_t gpa;

    if (cpu->code_width != 8) {
        lin &= 0xffffffff;
        if (cpu->rip > cpu->seg[SEG_CS].limit)
            return raise_gp(cpu, 0);
        if (cpu->seg[SEG_CS].limit != 0xffffffff)
            room = cpu->seg[SEG_CS].limit - cpu->rip + 1;
    }
    off = lin & PAGE_OFFSET;
    avail = (unsigned)MIN(PAGE_SIZE - off, 15);
    if (mmu_fetch(cpu, lin, &host, &gpa))
        return STEP_FAULT;
    memcpy(bytes, host, avail);
    if (!insn_decode(&ip->decoder, in, bytes, avail, cpu->code_width, off)) {
        lin += avail;
        if (cpu->code_width != 8)
            lin &= 0xffffffff;
        if (room <= avail)
            return raise_gp(cpu, 0);
        if (mmu_fetch(cpu, lin, &host, &gpa))
            return STEP_FAULT;
        memcpy(bytes + avail, host, 15 - avail);
        insn_decode(&ip->decoder, in, bytes, 15, cpu->code_width, off);
    }
    if (in->len > room)
        return raise_gp(cpu, 0);
    cpu->gpr[R_PAGE] = cpu->rip - off;
    return 0;
}

/* Between the iterations of a REP the flags have RF [SDM 3B 17.3.1.1]. */
static void step_flags(struct vcpu *cpu, const struct insn *in, enum step step)
{
    if (step == STEP_JUMP && insn_unfinished(cpu, in) &&
        ((cpu->dr7 & 0xff) || (cpu->rflags & FLAG_TF)))
        cpu->rflags |= FLAG_RF;
}

/* One instruction, by its semantics; then what is to follow it. */
static int step_one(struct vcpu *cpu)
{
    bool trap = cpu->rflags & FLAG_TF, ss = cpu->shadow == SHADOW_SS;
    struct insn *in = interp_of(cpu)->single;
    enum step step;

    cpu->stats.count[CTR_STEP]++;
    /* a debugger's own step leaves the breakpoint that it is on */
    if (unlikely(cpu->debug != NULL) && !cpu->debug->step &&
        debug_breaks(cpu, code_linear_wrapped(cpu)))
        return debug_stop(cpu, DEBUG_BREAK);
    if ((cpu->dr7 & 0xff) && !ss && breakpoint_here(cpu))
        return event_exception(cpu);
    if (interp_fetch(cpu, in))
        return event_exception(cpu);
    cpu->shadow = SHADOW_NONE;
    cpu->rflags &= ~FLAG_RF; /* it lasts for one instruction */
    cpu->rip = insn_rip(cpu, in);
    if (trace_on(cpu, TRACE_INSN))
        trace_insn(cpu, in);
    step = in->exit ? exit_run(cpu, in) : in->sem(cpu, in);
    if (step == STEP_FAULT) {
        cpu->rip = insn_rip(cpu, in);
        cpu->db_pending = false; /* what was not done hit nothing */
        cpu->db_bits = 0;
        return event_exception(cpu);
    }
    if (step != STEP_JUMP || !insn_unfinished(cpu, in))
        cpu->budget--;
    if (step == STEP_NEXT || step == STEP_SYNC)
        cpu->rip = insn_next_rip(cpu, in);
    if (cpu->code_width != 8)
        cpu->rip &= 0xffffffff;
    cpu->break_block = false;
    if (step == STEP_STOP)
        return ENGINE_SHUTDOWN;
    step_flags(cpu, in, step);
    if (trap && !(in->flags & INSN_NO_TRAP && step == STEP_JUMP)) {
        cpu->db_pending = true;
        cpu->db_bits |= BIT64(14); /* BS */
    }
    return RUN_ON;
}

/*
 * Everything in attn that counts now; ENGINE_* to return, RUN_ON to go on.
 * An interrupt shadow lets one instruction pass first.
 */
static int events_take(struct vcpu *cpu)
{
    uint32_t attn = atomic_load(&cpu->attn);

    if (attn & ATTN_INBOX)
        mmu_inbox(cpu);
    if ((attn & ATTN_TRACE) && trace_take(cpu))
        block_forget_all(cpu);
    if (attn & ATTN_DEBUG)
        return debug_stop(cpu, DEBUG_WATCH);
    if (attn & ATTN_INIT)
        return event_init(cpu);
    if (attn & ATTN_SIPI)
        return event_sipi(cpu);
    if (attn & ATTN_KICK) {
        vcpu_attn_clear(cpu, ATTN_KICK);
        return ENGINE_KICKED;
    }
    if (cpu->wait_sipi)
        return ENGINE_HALTED;
    if (cpu->db_pending && cpu->shadow != SHADOW_SS)
        return event_debug(cpu);
    if (cpu->shadow && !cpu->halted)
        return step_one(cpu);
    /*
     * Steps pass interrupts by: a debugger follows the code, not the clock.
     * But a deterministic run must not change by being looked at.
     */
    if (debug_steps(cpu) && !cpu->halted && !cpu->clock)
        return step_one(cpu);
    if (attn & cpu->attn_mask & ATTN_NMI)
        return event_nmi(cpu);
    if (attn & cpu->attn_mask & ATTN_INTR)
        return event_interrupt(cpu);
    if (cpu->halted)
        return ENGINE_HALTED;
    if (attn & ATTN_STEP)
        return step_one(cpu);
    return RUN_ON;
}

static int events(struct vcpu *cpu)
{
    int exit = events_take(cpu);

    return exit == RUN_ON && debug_steps(cpu) ? debug_stop(cpu, DEBUG_STEP)
                                              : exit;
}

/* Runs blocks until something wants to be looked at. */
static int run_blocks(struct vcpu *cpu)
{
    struct interp *ip = interp_of(cpu);
    const struct insn *in;
    struct block *b = block_cached(cpu);

    if (!b)
        b = block_lookup(cpu);
    if (!b)
        return event_exception(cpu);
    if (b == &ip->none)
        return step_one(cpu);
    cpu->shadow = SHADOW_NONE;
    cpu->break_block = false;
    cpu->gpr[R_PAGE] = cpu->rip - b->off;
    for (in = b->insn; in;)
        in = in->exec(cpu, in);
    switch (ip->leave) {
    case LEAVE_FAULT:
        return event_exception(cpu);
    case LEAVE_HALT:
        return RUN_ON;
    case LEAVE_STOP:
        return ENGINE_SHUTDOWN;
    case LEAVE_SINGLE:
        return step_one(cpu);
    case LEAVE_BREAK:
        return debug_stop(cpu, DEBUG_BREAK);
    default:
        return RUN_ON;
    }
}

/* User code, where some of it runs natively. */
static int run_user(struct vcpu *cpu, struct error *err)
{
    switch (direct_run(cpu)) {
    case DIRECT_STEP:
        return step_one(cpu);
    case DIRECT_EXCEPTION:
        return event_exception(cpu);
    case DIRECT_AGAIN:
        return RUN_ON;
    case DIRECT_FAILED:
        return error_set(err, EILSEQ,
                         "--direct-check: user code did something else "
                         "natively than interpreted, see above");
    default:
        return run_blocks(cpu);
    }
}

/* A block might run past the limit. */
static int step_to_limit(struct vcpu *cpu)
{
    cpu->break_block = false;
    return step_one(cpu);
}

static void left_traced(struct vcpu *cpu, int exit)
{
    /* where a deterministic machine looks around is not the guest's doing */
    if (!cpu->clock || (exit != ENGINE_LIMIT && exit != ENGINE_KICKED))
        trace_left(cpu, engine_exit_name(exit));
}

static int interp_run(struct vcpu *cpu, struct error *err)
{
    int exit;

    cpu->gpr[R_ZERO] = 0;
    do {
        if (unlikely(vcpu_limit_near(cpu)) &&
            !(cpu->direct && direct_chunk_over(cpu)) && vcpu_at_limit(cpu)) {
            exit = ENGINE_LIMIT;
            break;
        }
        if (cpu->cross_block && (cpu->cpl == 3) != cpu->was_user) {
            cpu->was_user = cpu->cpl == 3;
            direct_crossed(cpu, cpu->was_user);
        }
        if (vcpu_attn(cpu) || cpu->halted || cpu->db_pending)
            exit = events(cpu);
        else
            exit = RUN_ON;
        if (exit == RUN_ON && !cpu->halted && !vcpu_attn(cpu) &&
            !cpu->db_pending)
            exit = unlikely(vcpu_limit_near(cpu)) ? step_to_limit(cpu)
                   : cpu->direct && cpu->cpl == 3 ? run_user(cpu, err)
                                                  : run_blocks(cpu);
    } while (exit == RUN_ON);
    flags_sync(cpu);
    if (exit < 0)
        return exit;
    cpu->stats.left[exit]++;
    if (trace_on(cpu, TRACE_EXIT))
        left_traced(cpu, exit);
    return exit;
}

const struct engine_ops engine_interp = {
    .name = "interp",
    .summary = "interpreter: runs anywhere, needs nothing",
    .probe = interp_probe,
    .vcpu_init = interp_init,
    .run = interp_run,
    .kick = engine_kick,
    .vcpu_fini = interp_fini,
    .exact = true,
    .forget_code = mmu_post_forget,
};

/*
 * What the fast handlers are compared with: every instruction by its
 * semantic function, in the same blocks.
 */
const struct engine_ops engine_interp_plain = {
    .name = "interp-plain",
    .summary = "interpreter without its fast paths: to compare with",
    .probe = interp_probe,
    .vcpu_init = interp_plain_init,
    .run = interp_run,
    .kick = engine_kick,
    .vcpu_fini = interp_fini,
    .exact = true,
    .forget_code = mmu_post_forget,
};

/* --- with user code on the CPU itself --- */

static int trap_init(struct vcpu *cpu, struct error *err)
{
    if (interp_init(cpu, err))
        return -err->code;
    if (direct_init(cpu, err)) {
        interp_fini(cpu);
        return -err->code;
    }
    cpu->cross_block = true;
    cpu->was_user = false;
    return 0;
}

static void trap_fini(struct vcpu *cpu)
{
    direct_fini(cpu);
    cpu->cross_block = false;
    interp_fini(cpu);
}

const struct engine_ops engine_trap = {
    .name = "trap",
    .summary = "user code on the CPU, in processes; the kernel interpreted",
    .probe = direct_probe,
    .vcpu_init = trap_init,
    .run = interp_run,
    .kick = engine_kick,
    .vcpu_fini = trap_fini,
    .host_tsc = true,
    .exit_name = stub_why_name,
    .forget_code = mmu_post_forget,
};
