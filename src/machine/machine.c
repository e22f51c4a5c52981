/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine.c - the life of a machine: run, reset in place, end.
 *
 * The main thread is the event thread. A request stops its loop; what follows
 * (pause the vCPUs, reset everything) happens outside the loop and without
 * the device lock, because a vCPU may need that to get to where it parks.
 */
#include "machine/machine_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "inspect/crash.h"
#include "machine/lockstep.h"

/* Where a BIOS finds how it was reset; Linux writes it. 0x1234: warm. */
#define BIOS_RESET_FLAG 0x472
#define BIOS_RESET_WARM 0x1234

void machine_request(struct machine *m, enum machine_end why, uint32_t value)
{
    pthread_mutex_lock(&m->park_lock);
    if (m->request == MACHINE_RUNS) {
        m->request = why;
        m->requester = crash_current() ? crash_current()->index : 0;
        m->result.debug_value = value;
    }
    m->pause = true; /* no instruction behind the one that asked */
    pthread_mutex_unlock(&m->park_lock);
    machine_interrupt(m);
}

/*
 * A guest that is told `panic=-1 reboot=panic_warm` resets after a panic, and
 * then only, with the warm flag set: that is how a panic is seen without any
 * driver in the guest.
 */
static bool machine_reset_was_panic(struct machine *m)
{
    uint16_t flag;

    if (!m->cfg->append || !strstr(m->cfg->append, "reboot=panic_w"))
        return false;
    return !guest_mem_read(&m->mem, BIOS_RESET_FLAG, &flag, sizeof(flag)) &&
           flag == BIOS_RESET_WARM;
}

static int machine_reboot(struct machine *m, struct error *err)
{
    log_debug("machine: reset");
    timer_cancel(&m->grace);
    m->button_pressed = false;
    if (machine_power_on(m, err))
        return error_prefix(err, "reboot");
    return 0;
}

/* Unless somebody wants the vCPUs to stay where they are. */
static void machine_go_on(struct machine *m)
{
    if (!gdb_holds(m) && !m->hold)
        machine_resume(m);
}

/* Takes the request. True: go on running. */
static bool machine_serve(struct machine *m, struct error *err)
{
    enum machine_end why;

    machine_pause(m);
    machine_work_run(m);
    pthread_mutex_lock(&m->park_lock);
    why = m->request;
    m->request = MACHINE_RUNS;
    pthread_mutex_unlock(&m->park_lock);

    if (why == MACHINE_RESET && machine_reset_was_panic(m))
        why = MACHINE_PANIC;
    if (why == MACHINE_RESET && !m->cfg->no_reboot) {
        if (!machine_reboot(m, err)) {
            machine_go_on(m);
            return true;
        }
        why = MACHINE_FAILED;
    } else if (why == MACHINE_FAILED) {
        *err = m->failure;
    } else if (why == MACHINE_RUNS) {
        machine_go_on(m);
        return true;
    }
    m->result.end = why;
    return false;
}

/* Whoever started it waits for this word, and for its end. */
static void machine_tell_ready(const struct machine *m)
{
    if (m->cfg->ready_fd > 0 && write(m->cfg->ready_fd, "ok\n", 3) != 3)
        log_warn("nobody waits for this machine to be ready");
    if (m->cfg->detach && dup2(STDOUT_FILENO, STDERR_FILENO) < 0)
        log_warn("cannot let go of the terminal");
}

static int machine_live(struct machine *m, struct error *err)
{
    int rc;

    machine_crash_watch(m);
    rc = machine_cpus_start(m, err);
    if (rc)
        m->result.end = MACHINE_FAILED;
    else {
        machine_tell_ready(m);
        do
            loop_run(&m->loop);
        while (machine_serve(m, err));
    }
    machine_cpus_stop(m);
    det_end(m);
    if (m->cfg->lockstep)
        lockstep_end(m->cfg->lockstep, m, det_insns(m));
    return m->result.end == MACHINE_FAILED ? -err->code : 0;
}

struct machine *machine_new(const struct machine_config *cfg, struct error *err)
{
    /* calloc() does not know how far a vCPU's registers are aligned. */
    struct machine *m = aligned_alloc(_Alignof(struct machine), sizeof(*m));

    if (!m) {
        error_set(err, ENOMEM, "out of memory");
        return NULL;
    }
    memset(m, 0, sizeof(*m));
    m->cfg = cfg;
    m->engine = cfg->engine;
    pthread_mutex_init(&m->park_lock, NULL);
    pthread_cond_init(&m->parked, NULL);
    return m;
}

int machine_run(const struct machine_config *cfg, struct machine_result *res,
                struct error *err)
{
    struct machine *m = machine_new(cfg, err);
    int rc;

    if (!m)
        return -err->code;
    rc = machine_build(m, err);
    if (!rc) {
        rc = machine_fence(m, err);
        if (!rc)
            rc = machine_live(m, err);
        *res = m->result;
        machine_stats_collect(m);
        machine_unbuild(m);
    }
    free(m);
    return rc;
}
