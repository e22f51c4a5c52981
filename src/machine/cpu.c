/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu.c - the threads of the vCPUs: run, sleep in HLT, park.
 *
 * A halted vCPU waits on a condition variable and costs nothing. machine_pause
 * makes every vCPU leave its engine and park; then the event thread may touch
 * their state.
 */
#include "machine/machine_int.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/thread.h"
#include "fence/fence.h"
#include "inspect/crash.h"
#include "inspect/stats.h"
#include "inspect/stats_boot.h"
#include "mmu/mmu.h"

static bool machine_cpu_parks(const struct machine *m)
{
    return m->pause || m->leave;
}

/*
 * Sleeps until there is something to look at. A vCPU that waits for its
 * start-up message has no other business than INIT, SIPI and kicks.
 */
bool machine_cpu_awake(const struct machine_cpu *mc)
{
    uint32_t attn = atomic_load(&mc->cpu.attn);

    if (mc->cpu.wait_sipi)
        return attn & (ATTN_INIT | ATTN_SIPI | ATTN_KICK);
    /* armed breakpoints are no reason to wake: only what ends HLT is */
    return attn & ((mc->cpu.attn_mask & ~(uint32_t)ATTN_STEP) | ATTN_KICK);
}

static void machine_cpu_sleep(struct machine_cpu *mc)
{
    struct machine *m = mc->m;
    struct vcpu_stats *st = &mc->cpu.stats;
    uint64_t t0 = stats_begin(st);

    pthread_mutex_lock(&m->park_lock);
    /* before the look at attn: pairs with machine_cpu_wake() */
    atomic_store(&mc->asleep, true);
    while (!machine_cpu_awake(mc) && !machine_cpu_parks(m))
        pthread_cond_wait(&mc->wake, &m->park_lock);
    atomic_store(&mc->asleep, false);
    pthread_mutex_unlock(&m->park_lock);
    if (!mc->cpu.wait_sipi)
        stats_end(st, &st->exit[EXIT_HLT].ticks, t0);
}

/*
 * attn is set already. Either this sees `asleep`, or the sleeper, who sets it
 * before it looks, sees attn; the lock closes the gap before its wait.
 */
void machine_cpu_wake(struct vcpu *cpu)
{
    struct machine_cpu *mc = container_of(cpu, struct machine_cpu, cpu);

    if (!atomic_load(&mc->asleep))
        return;
    pthread_mutex_lock(&mc->m->park_lock);
    pthread_cond_signal(&mc->wake);
    pthread_mutex_unlock(&mc->m->park_lock);
}

/*
 * On a host with enough CPUs a yield returns at once, so nothing is lost;
 * else the one waited for gets to run. With the machine alone there is nobody
 * to wait for.
 */
void machine_cpu_relax(struct vcpu *cpu)
{
    (void)cpu;
    sched_yield();
}

bool machine_cpu_gate(struct machine_cpu *mc)
{
    struct machine *m = mc->m;
    bool go;

    pthread_mutex_lock(&m->park_lock);
    while ((m->pause || (mc->frozen && !m->det)) && !m->leave) {
        mc->parked = true;
        pthread_cond_broadcast(&m->parked);
        pthread_cond_wait(&mc->wake, &m->park_lock);
    }
    go = !m->leave;
    mc->parked = !go;
    pthread_cond_broadcast(&m->parked);
    pthread_mutex_unlock(&m->park_lock);
    if (go)
        boot_step(stats_boot(m->stats), BOOT_STEP_ENTERED);
    return go;
}

void machine_cpu_stuck(struct machine_cpu *mc)
{
    struct machine *m = mc->m;

    pthread_mutex_lock(&m->park_lock);
    while (!machine_cpu_parks(m))
        pthread_cond_wait(&mc->wake, &m->park_lock);
    pthread_mutex_unlock(&m->park_lock);
}

void machine_cpu_failed(struct machine_cpu *mc, const struct error *err)
{
    struct machine *m = mc->m;

    pthread_mutex_lock(&m->park_lock);
    if (!m->failure.code)
        m->failure = *err;
    pthread_mutex_unlock(&m->park_lock);
    machine_request(m, MACHINE_FAILED, 0);
}

bool machine_cpu_shutdown(struct machine_cpu *mc)
{
    if (gdb_cpu_crashed(mc))
        return false;
    machine_request(mc->m, MACHINE_TRIPLE, 0);
    return true;
}

static void *machine_cpu_thread(void *arg)
{
    struct machine_cpu *mc = arg;
    struct error err = {.code = EIO, .msg = "the engine failed"};

    fence_thread(machine_cpu_needs(mc->m), 0);
    crash_running(&mc->cpu);
    while (machine_cpu_gate(mc)) {
        int rc = mc->cpu.shutdown ? ENGINE_SHUTDOWN
                                  : mc->m->engine->run(&mc->cpu, &err);

        if (rc == ENGINE_HALTED) {
            machine_cpu_sleep(mc);
        } else if (rc == ENGINE_SHUTDOWN) {
            if (machine_cpu_shutdown(mc))
                machine_cpu_stuck(mc);
        } else if (rc == ENGINE_DEBUG) {
            gdb_cpu_stopped(mc);
        } else if (rc < 0) {
            machine_cpu_failed(mc, &err);
            machine_cpu_stuck(mc);
        }
    }
    return NULL;
}

void machine_cpu_kick(struct machine_cpu *mc)
{
    mc->m->engine->kick(&mc->cpu);
    pthread_mutex_lock(&mc->m->park_lock);
    pthread_cond_signal(&mc->wake); /* it may wait for more than attn */
    pthread_mutex_unlock(&mc->m->park_lock);
}

static void machine_cpus_kick(struct machine *m)
{
    unsigned i;

    for (i = 0; i < m->cfg->cpus; i++)
        machine_cpu_kick(&m->cpu[i]);
}

void machine_interrupt(struct machine *m)
{
    machine_cpus_kick(m);
    loop_stop(&m->loop);
}

void machine_pause(struct machine *m)
{
    unsigned i;

    pthread_mutex_lock(&m->park_lock);
    m->pause = true;
    pthread_mutex_unlock(&m->park_lock);
    machine_cpus_kick(m);
    pthread_mutex_lock(&m->park_lock);
    for (i = 0; i < m->cfg->cpus; i++)
        while (m->cpu[i].started && !m->cpu[i].parked)
            pthread_cond_wait(&m->parked, &m->park_lock);
    pthread_mutex_unlock(&m->park_lock);
}

void machine_resume(struct machine *m)
{
    unsigned i;

    pthread_mutex_lock(&m->park_lock);
    m->pause = false;
    for (i = 0; i < m->cfg->cpus; i++)
        pthread_cond_signal(&m->cpu[i].wake);
    pthread_mutex_unlock(&m->park_lock);
}

int machine_cpus_start(struct machine *m, struct error *err)
{
    unsigned i;

    for (i = 0; i < m->cfg->cpus; i++) {
        struct machine_cpu *mc = &m->cpu[i];
        char name[16];
        int e;

        if (m->det && i)
            break; /* one thread for all */
        e = thread_start(&mc->thread, m->det ? det_thread : machine_cpu_thread,
                         m->det ? (void *)m : mc);

        if (e)
            return error_set(err, e,
                             "cannot start a thread for vCPU %u: %s; "
                             "see ulimit -u",
                             i, strerror(e));
        mc->started = true;
        snprintf(name, sizeof(name), "vcpu%u", i);
        pthread_setname_np(mc->thread, name);
    }
    return 0;
}

void machine_cpus_stop(struct machine *m)
{
    unsigned i;

    pthread_mutex_lock(&m->park_lock);
    m->leave = true;
    pthread_mutex_unlock(&m->park_lock);
    machine_cpus_kick(m);
    for (i = 0; i < m->cfg->cpus; i++)
        if (m->cpu[i].started)
            pthread_join(m->cpu[i].thread, NULL);
}

/* A few millionths off at most, by clocks_read(). */
#define TSC_NAP_US 5000

/* Both clocks at one moment: the best of several looks, good to some 20 ns. */
static void clocks_read(uint64_t *tsc, uint64_t *ns)
{
    uint64_t best = UINT64_MAX;

    *tsc = *ns = 0;

    for (unsigned i = 0; i < 16; i++) {
        uint64_t before = __builtin_ia32_rdtsc(), now = clock_host_now();
        uint64_t took = __builtin_ia32_rdtsc() - before;

        if (took >= best)
            continue;
        best = took;
        *tsc = before + took / 2;
        *ns = now;
    }
}

/* The host's TSC rate in kHz, by a nap of that many microseconds. */
static uint32_t tsc_measure(unsigned us)
{
    struct timespec nap = {.tv_nsec = (long)us * 1000};
    uint64_t t0, c0, t1, c1;

    clocks_read(&c0, &t0);
    nanosleep(&nap, NULL);
    clocks_read(&c1, &t1);
    return (uint32_t)((c1 - c0) * 1000000 / (t1 - t0));
}

/*
 * The guest's TSC is the host's [SDM 3B 17.17.4]. A snapshot has measured it
 * well, if it is this host's: a short look tells.
 */
static uint32_t machine_tsc_khz(const struct machine *m)
{
    uint32_t saved, now;

    if (m->det)
        return DET_TSC_KHZ;
    if (!m->cfg->restore)
        return tsc_measure(TSC_NAP_US);
    saved = snapshot_tsc_khz(m->cfg->restore);
    now = tsc_measure(500);
    return now - saved + saved / 200 <= saved / 100 ? saved
                                                    : tsc_measure(TSC_NAP_US);
}

static int machine_cpu_init(struct machine *m, unsigned i, uint32_t khz,
                            struct error *err)
{
    struct machine_cpu *mc = &m->cpu[i];
    struct vcpu *cpu = &mc->cpu;

    mc->m = m;
    pthread_cond_init(&mc->wake, NULL);
    cpu->index = i;
    cpu->apic_id = i;
    cpu->model = &m->model;
    cpu->mem = &m->mem;
    cpu->intr = &machine_intr_ops;
    cpu->intr_ctx = mc;
    cpu->wake = machine_cpu_wake;
    cpu->share_ram = machine_thaw;
    cpu->relax = m->cfg->cpus > 1 ? machine_cpu_relax : NULL;
    cpu->apic_page = LAPIC_PAGE_OFF;
    cpu->tsc_khz = khz;
    cpu->direct_check = m->cfg->direct_check;
    cpu->host_apics = !m->cfg->user_apics;
    if (m->det)
        det_attach(m, cpu);
    if (mmu_init(cpu, err))
        return -err->code;
    if (m->engine->vcpu_init(cpu, err)) {
        mmu_fini(cpu);
        return -err->code;
    }
    irqchip_connect(&m->chip, i, &machine_lapic_ops, mc);
    return 0;
}

static void machine_cpus_undo(struct machine *m, unsigned count)
{
    while (count--) {
        m->engine->vcpu_fini(&m->cpu[count].cpu);
        mmu_fini(&m->cpu[count].cpu);
    }
}

static int machine_cpus_make(struct machine *m, uint32_t khz, struct error *err)
{
    for (unsigned i = 0; i < m->cfg->cpus; i++) {
        if (machine_cpu_init(m, i, khz, err)) {
            machine_cpus_undo(m, i);
            return -err->code;
        }
    }
    return 0;
}

int machine_cpus_init(struct machine *m, struct error *err)
{
    const struct engine_ops *otherwise = m->cfg->otherwise;
    struct vcpu *cpus[GUEST_VCPUS_MAX];
    uint32_t khz = machine_tsc_khz(m);
    int rc = machine_cpus_make(m, khz, err);

    if (rc && otherwise) {
        log_info("engine: not %s (%s); %s", m->engine->name, err->msg,
                 otherwise->name);
        m->engine = otherwise;
        rc = machine_cpus_make(m, khz, err);
    }
    if (rc)
        return rc;
    for (unsigned i = 0; i < m->cfg->cpus; i++)
        cpus[i] = &m->cpu[i].cpu;
    mmu_join(cpus, m->cfg->cpus);
    return 0;
}

static int machine_cpus_engine(struct machine *m, const struct engine_ops *e,
                               struct error *err)
{
    for (unsigned i = 0; i < m->cfg->cpus; i++) {
        m->engine->vcpu_fini(&m->cpu[i].cpu);
        if (!e->vcpu_init(&m->cpu[i].cpu, err))
            continue;
        /* all as they were: with room that there was a moment ago */
        for (unsigned j = 0; j <= i; j++) {
            struct error again;

            if (j < i)
                e->vcpu_fini(&m->cpu[j].cpu);
            rf_assert(!m->engine->vcpu_init(&m->cpu[j].cpu, &again));
        }
        return -err->code;
    }
    return 0;
}

int machine_set_engine(struct machine *m, const struct engine_ops *e,
                       struct error *err)
{
    if (m->det)
        return error_set(err, ENOTSUP,
                         "a deterministic machine keeps its engine");
    if (e == m->engine)
        return 0;
    if (e->opaque && (m->gdb || m->trace))
        return error_set(err, ENOTSUP,
                         "engine %s: nothing can be traced or debugged on it",
                         e->name);
    if (e->probe(err))
        return error_prefix(err, "engine %s", e->name);
    loop_lock(&m->loop);
    irqchip_take_back(&m->chip);
    loop_unlock(&m->loop);
    if (machine_cpus_engine(m, e, err))
        return error_prefix(err, "engine %s", e->name);
    m->engine = e;
    return 0;
}

void machine_cpus_fini(struct machine *m)
{
    machine_cpus_undo(m, m->cfg->cpus);
}

static void machine_seg(struct seg *s, uint16_t sel, uint32_t attr)
{
    *s = (struct seg){.sel = sel, .attr = attr, .limit = 0xffffffff};
}

/* The bootstrap processor as the kernel's boot protocol wants it. */
static void machine_cpu_entry(struct vcpu *cpu, const struct boot_state *b)
{
    bool lng = b->mode == BOOT_LONG;
    unsigned i;

    for (i = 0; i < SEG_COUNT; i++)
        machine_seg(&cpu->seg[i], BOOT_SEL_DATA,
                    SEG_P | SEG_S | SEG_WRITABLE | SEG_ACCESSED | SEG_DB |
                        SEG_G);
    machine_seg(&cpu->seg[SEG_CS], BOOT_SEL_CODE,
                SEG_P | SEG_S | SEG_CODE | SEG_WRITABLE | SEG_ACCESSED | SEG_G |
                    (lng ? SEG_L : SEG_DB));
    cpu->tr =
        (struct seg){.sel = BOOT_SEL_TSS, .attr = SEG_P | 11, .limit = 0x67};
    cpu->gdtr = (struct desc_table){b->gdt_base, b->gdt_limit};
    cpu->idtr = (struct desc_table){0, 0};
    cpu->cr0 = CR0_PE | CR0_ET | CR0_NE | (lng ? CR0_PG : 0);
    cpu->cr3 = b->cr3;
    cpu->cr4 = lng ? CR4_PAE : 0;
    cpu->msr.efer = lng ? EFER_LME | EFER_LMA : 0;
    cpu->rip = b->rip;
    cpu->gpr[R_RSP] = b->rsp;
    cpu->gpr[R_RSI] = b->rsi;
    cpu->gpr[R_RBX] = b->rbx;
    cpu->gpr[R_RAX] = b->rax;
    cpu->cpl = 0;
    vcpu_update_mode(cpu);
}

uint64_t machine_tsc(const struct machine *m)
{
    if (m->hold_tsc)
        return m->hold_tsc;
    return m->det ? clock_now(&m->clock) : __builtin_ia32_rdtsc();
}

void machine_cpus_reset(struct machine *m)
{
    uint64_t tsc = machine_tsc(m);
    unsigned i;

    for (i = 0; i < m->cfg->cpus; i++) {
        struct vcpu *cpu = &m->cpu[i].cpu;

        atomic_store(&cpu->attn, 0);
        vcpu_reset(cpu, false);
        cpu->tsc_offset = m->engine->host_tsc && !m->det ? 0 : 0 - tsc;
        cpu->shutdown = false;
        /* All but the first wait for INIT and SIPI [SDM 3A 8.4]. */
        cpu->wait_sipi = cpu->halted = i != 0;
        mmu_forget_all_code(cpu);
        if (cpu->mmu)
            cpu->mmu->flush_all(cpu);
    }
    if (m->entry.mode != BOOT_RESET)
        machine_cpu_entry(&m->cpu[0].cpu, &m->entry);
}
