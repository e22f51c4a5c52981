/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build.c - puts the machine together: a table of steps, undone in reverse.
 *
 * What the user can have got wrong comes first, and the terminal last, so
 * that an error is printed on a terminal that nobody has touched.
 */
#include "machine/machine_int.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "inspect/stats.h"
#include "inspect/stats_boot.h"
#include "io/disk_fork.h"

#define GRACE_NS (10 * 1000000000ull) /* for the guest to power off */

void machine_device(struct machine *m, struct device *d)
{
    rf_assert(m->devices < MACHINE_DEVICES_MAX);
    m->device[m->devices++] = d;
}

/* --- board: what chips ask for --- */

static void board_on_reset(void *ctx)
{
    machine_request(ctx, MACHINE_RESET, 0);
}

static void board_on_shutdown(void *ctx)
{
    machine_request(ctx, MACHINE_POWEROFF, 0);
}

static void board_on_debug_exit(void *ctx, uint32_t val)
{
    machine_request(ctx, MACHINE_DEBUG, val);
}

static const struct board_ops machine_board_ops = {
    .reset = board_on_reset,
    .shutdown = board_on_shutdown,
    .debug_exit = board_on_debug_exit,
};

static void machine_panicked(void *ctx)
{
    machine_request(ctx, MACHINE_PANIC, 0);
}

/* --- console and signals --- */

static void console_on_quit(void *ctx)
{
    machine_request(ctx, MACHINE_QUIT, 0);
}

static void console_on_closed(void *ctx, int err)
{
    log_warn("the console's output is gone (%s): stopping", strerror(err));
    machine_request(ctx, MACHINE_STOPPED, 0);
}

static void console_on_input(void *ctx, enum console_input kind,
                             const void *data, size_t len)
{
    static const enum record_kind kinds[] = {
        [CONSOLE_KEYS] = RECORD_KEYS,
        [CONSOLE_BREAK] = RECORD_BREAK,
        [CONSOLE_RESIZE] = RECORD_RESIZE,
    };

    det_event(ctx, kinds[kind], data, len);
}

static const struct console_events machine_det_console_events = {
    .quit = console_on_quit,
    .closed = console_on_closed,
    .input = console_on_input,
};

static const struct console_events machine_console_events = {
    .quit = console_on_quit,
    .closed = console_on_closed,
};

static void machine_grace_over(struct timer *t)
{
    struct machine *m = container_of(t, struct machine, grace);

    log_info("the guest did not power off in time: stopping");
    machine_request(m, MACHINE_STOPPED, 0);
}

void machine_button(struct machine *m)
{
    if (!acpi_pm_power_button(&m->pm)) {
        machine_request(m, MACHINE_STOPPED, 0);
        return;
    }
    log_info("power button pressed; a second signal stops the machine");
    timer_arm(&m->grace, clock_now(&m->clock) + GRACE_NS);
}

/* The power button first; a second signal, or no answer, stops. */
static void machine_on_signal(struct loop_fd *lf, uint32_t events)
{
    struct machine *m = container_of(lf, struct machine, signals);
    struct signalfd_siginfo si;

    (void)events;
    if (read(lf->fd, &si, sizeof(si)) != sizeof(si))
        return;
    if (m->button_pressed || gdb_held(m))
        machine_request(m, MACHINE_STOPPED, 0);
    else if (m->det)
        det_event(m, RECORD_BUTTON, NULL, 0);
    else
        machine_button(m);
    m->button_pressed = true;
}

static int step_signals(struct machine *m, struct error *err)
{
    sigset_t set;
    int e;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    /* Blocked in all threads to come: only the loop reads them. */
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    timer_init(&m->grace, &m->loop, machine_grace_over);
    m->signals.ready = machine_on_signal;
    m->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    e = errno;
    if (m->signals.fd < 0)
        return error_set(err, e, "signalfd: %s", strerror(e));
    return loop_add(&m->loop, &m->signals, EPOLLIN, err);
}

static void unstep_signals(struct machine *m)
{
    loop_remove(&m->loop, &m->signals);
    close(m->signals.fd);
}

/* --- steps --- */

static int step_model(struct machine *m, struct error *err)
{
    if (cpu_model_parse(&m->model,
                        m->cfg->cpu ? m->cfg->cpu : CPU_MODEL_DEFAULT, err))
        return -err->code;
    m->model.cpus = m->cfg->cpus;
    return 0;
}

static int kernel_files(struct machine *m, struct error *err)
{
    const struct machine_config *cfg = m->cfg;
    unsigned i;

    if (boot_open(&m->boot, cfg->kernel, cfg->initrd, err))
        return -err->code;
    for (i = 0; i < cfg->modules; i++) {
        if (boot_add_module(&m->boot, cfg->module[i].path, cfg->module[i].text,
                            err)) {
            boot_close(&m->boot);
            return -err->code;
        }
    }
    return 0;
}

static int step_boot_files(struct machine *m, struct error *err)
{
    const struct machine_config *cfg = m->cfg;
    int rc = cfg->firmware ? boot_firmware_open(&m->boot, cfg->firmware, err)
                           : kernel_files(m, err);

    if (rc && cfg->restore) {
        m->boot_missing = *err; /* it is a reboot that needs it */
        return 0;
    }
    return rc;
}

static void unstep_boot_files(struct machine *m)
{
    if (!m->boot_missing.code)
        boot_close(&m->boot);
}

static int disk_setup(struct machine *m, unsigned i, struct error *err)
{
    const struct machine_config *cfg = m->cfg;
    struct disk *d = &m->disk[i];
    bool ro = cfg->disk[i].read_only, qcow2 = cfg->disk[i].qcow2;

    if (cfg->lockstep && !cfg->replay && !ro && qcow2)
        return error_set(err, ENOTSUP,
                         "disk %s: a copy of a qcow2 image cannot be made; "
                         "add ,ro",
                         cfg->disk[i].path);
    if (cfg->lockstep && !cfg->replay && !ro)
        return disk_open_copy(d, cfg->disk[i].path, err);
    if (cfg->restore && snapshot_forked(cfg->restore))
        return disk_fork_open(d, cfg->disk[i].path, ro,
                              snapshot_reader(cfg->restore), i, err);
    if (!cfg->replay)
        return disk_open_format(d, cfg->disk[i].path, ro, qcow2, 0, err);
    return disk_open_tap(d, cfg->disk[i].path,
                         replayer_disk_size(cfg->replay, i), ro, NULL, err);
}

static int step_disks(struct machine *m, struct error *err)
{
    unsigned i;

    for (i = 0; i < m->cfg->disks; i++) {
        if (disk_setup(m, i, err)) {
            while (i--)
                disk_close(&m->disk[i]);
            return -err->code;
        }
        m->disk[i].aio = m->cfg->disk[i].aio;
    }
    return 0;
}

static void unstep_disks(struct machine *m)
{
    unsigned i;

    for (i = 0; i < m->cfg->disks; i++)
        disk_close(&m->disk[i]);
}

static int step_loop(struct machine *m, struct error *err)
{
    clock_start(&m->clock, 0);
    return loop_init(&m->loop, &m->clock, err);
}

static void unstep_loop(struct machine *m)
{
    loop_fini(&m->loop);
}

static int step_mem(struct machine *m, struct error *err)
{
    if (m->cfg->restore)
        return guest_mem_init_file(&m->mem, m->cfg->memory, &m->loop.lock,
                                   snapshot_memory(m->cfg->restore), err);
    if (m->cfg->ram_fd)
        return guest_mem_init_huge(&m->mem, m->cfg->memory, &m->loop.lock,
                                   m->cfg->ram_fd, err);
    return guest_mem_init(&m->mem, m->cfg->memory, &m->loop.lock, err);
}

static void unstep_mem(struct machine *m)
{
    guest_mem_fini(&m->mem);
}

static int step_irqchip(struct machine *m, struct error *err)
{
    return irqchip_init(&m->chip, &m->mem, &m->loop, m->cfg->cpus, err);
}

static void unstep_irqchip(struct machine *m)
{
    irqchip_fini(&m->chip);
}

int64_t machine_wall_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

#define LINE(gsi) irqchip_line(&m->chip, (gsi))

/* Chips that have their place on every PC. */
static int step_legacy(struct machine *m, struct error *err)
{
    m->board = (struct board){&machine_board_ops, m};
    if (i8254_init(&m->i8254, &m->mem, &m->loop, LINE(I8254_IRQ), err))
        return -err->code;
    machine_device(m, &m->i8254.dev);
    if (mc146818_init(&m->rtc, &m->mem, &m->loop, LINE(MC146818_IRQ),
                      m->det
                          ? det_epoch(m)
                          : machine_wall_ns() - (int64_t)clock_now(&m->clock),
                      err))
        return -err->code;
    machine_device(m, &m->rtc.dev);
    if (i8042_init(&m->i8042, &m->mem, &m->board, err))
        return -err->code;
    machine_device(m, &m->i8042.dev);
    if (port92_init(&m->port92, &m->mem, &m->board, err))
        return -err->code;
    machine_device(m, &m->port92.dev);
    if (acpi_pm_init(&m->pm, &m->mem, &m->loop, LINE(ACPI_SCI_GSI), &m->board,
                     err))
        return -err->code;
    machine_device(m, &m->pm.dev);
    if (debug_exit_init(&m->debug_exit, &m->mem, &m->board, err))
        return -err->code;
    machine_device(m, &m->debug_exit.dev);
    if (pvpanic_init(&m->pvpanic, &m->mem, machine_panicked, m, err))
        return -err->code;
    machine_device(m, &m->pvpanic.dev);
    return 0;
}

static int step_pci(struct machine *m, struct error *err)
{
    struct irq_line intx[8];
    unsigned i;

    for (i = 0; i < 8; i++)
        intx[i] = LINE(PCI_INTX_BASE + i);
    if (pci_host_init(&m->pci, &m->mem, &m->chip, intx, &m->board, err))
        return -err->code;
    machine_device(m, &m->pci.dev);
    if (m->cfg->firmware)
        pci_host_firmware(&m->pci);
    return 0;
}

static int step_console(struct machine *m, struct error *err)
{
    return console_init(
        &m->console, &m->loop,
        m->det ? &machine_det_console_events : &machine_console_events, m, err);
}

static void unstep_console(struct machine *m)
{
    console_fini(&m->console);
}

static int step_serial(struct machine *m, struct error *err)
{
    if (ns16550_init(&m->com1, 0, &m->mem, &m->loop, NS16550_COM1,
                     LINE(NS16550_COM1_IRQ), &m->console.serial, err))
        return -err->code;
    machine_device(m, &m->com1.dev);
    return machine_console_plug(m, err);
}

static int step_blk(struct machine *m, struct error *err)
{
    char serial[VIRTIO_BLK_SERIAL + 1];
    unsigned i;

    for (i = 0; i < m->cfg->disks; i++) {
        snprintf(serial, sizeof(serial), "ringfence%u", i);
        if (virtio_blk_init(&m->blk[i], i, &m->pci, &m->loop, &m->disk[i],
                            serial, MIN(m->cfg->cpus, VIRTIO_QUEUES_MAX), err))
            return -err->code;
        machine_device(m, &m->blk[i].v.pci.dev);
    }
    return 0;
}

/* All devices at once: a step that failed half-way left some. */
static void unstep_devices(struct machine *m)
{
    loop_lock(&m->loop);
    while (m->devices) {
        struct device *d = m->device[--m->devices];

        if (d->ops->fini)
            d->ops->fini(d);
    }
    loop_unlock(&m->loop);
}

static int step_nothing(struct machine *m, struct error *err)
{
    (void)m;
    (void)err;
    return 0;
}

static int step_acpi(struct machine *m, struct error *err)
{
    (void)err;
    m->acpi = (struct acpi_config){
        .base = m->cfg->firmware ? m->mem.low_size - ACPI_LEN : 0,
        .cpus = m->cfg->cpus,
        .pm1_evt = ACPI_PM1_EVT,
        .pm1_cnt = ACPI_PM1_CNT,
        .pm_tmr = ACPI_PM_TMR,
        .reset_port = ACPI_RESET_PORT,
        .reset_value = ACPI_RESET_VALUE,
        .sci_gsi = ACPI_SCI_GSI,
        .century = MC146818_CENTURY,
        .lapic_base = LAPIC_BASE,
        .ioapic_base = IOAPIC_BASE,
        .ecam_base = PCI_ECAM_BASE,
        .ecam_buses = PCI_BUSES,
        .mmio32_base = m->pci.base32,
        .mmio32_len = m->pci.len32,
        .mmio64_base = pci_host_mmio64(&m->pci),
        .mmio64_len = PCI_MMIO64_LEN,
    };
    m->boot.append = m->cfg->append;
    m->boot.unpack = m->cfg->unpack;
    m->boot.acpi = &m->acpi;
    return 0;
}

static int step_power(struct machine *m, struct error *err)
{
    int rc;

    boot_step(stats_boot(m->stats), BOOT_STEP_BUILT);
    rc = m->cfg->restore ? snapshot_restore(m, err) : machine_power_on(m, err);
    boot_step(stats_boot(m->stats), BOOT_STEP_LOADED);
    return rc;
}

/*
 * Order: what a user gets wrong; what the rest stands on; the devices, whose
 * common undo is the step "devices"; the console before what uses it.
 */
static const struct machine_step machine_steps[] = {
    {"statistics", machine_stats_init, machine_stats_fini, true},
    {"CPU model", step_model, NULL},
    {"kernel", step_boot_files, unstep_boot_files, true},
    {"symbols", machine_symbols_init, machine_symbols_fini, true},
    {"disks", step_disks, unstep_disks},
    {"shared folders", machine_shares_init, machine_shares_fini},
    {"trace", machine_trace_init, machine_trace_fini, true},
    {"event loop", step_loop, unstep_loop},
    {"networks", machine_nets_init, machine_nets_fini},
    {"vsock", machine_vsock_init, machine_vsock_fini},
    {"ports", machine_ports_init, machine_ports_fini},
    {"deterministic run", det_init, det_fini},
    {"memory", step_mem, unstep_mem},
    {"interrupt controllers", step_irqchip, unstep_irqchip},
    {"vCPUs", machine_cpus_init, machine_cpus_fini},
    {"trace points and times", machine_inspect_points, NULL, true},
    {"signals", step_signals, unstep_signals, true},
    {"debugger", gdb_init, gdb_fini, true},
    {"crash screen", step_nothing, machine_crash_fini, true},
    {"console", step_console, unstep_console, true},
    {"control socket", ctl_init, ctl_fini, true},
    {"forks", step_nothing, machine_fork_fini, true},
    {"live snapshots", step_nothing, machine_save_live_fini, true},
    {"devices", step_nothing, unstep_devices},
    {"legacy devices", step_legacy, NULL},
    {"PCI", step_pci, NULL},
    {"serial lines", step_serial, NULL},
    {"virtio disks", step_blk, NULL},
    {"shared folders' devices", machine_shares_plug, NULL},
    {"network cards", machine_net_cards, NULL},
    {"small devices", machine_extras_init, NULL},
    {"vsock device", machine_vsock_plug, NULL},
    {"boot's steps", machine_marks_init, machine_marks_fini},
    {"ACPI", step_acpi, NULL},
    {"firmware", machine_firmware_init, machine_firmware_fini},
    {"power", step_power, NULL, true},
};

/* A machine with firmware is another one, even to look at. */
static bool step_left_out(const struct machine *m, const struct machine_step *s)
{
    return m->survey && s->to_run &&
           !(s->init == step_boot_files && m->cfg->firmware);
}

int machine_build(struct machine *m, struct error *err)
{
    for (m->built = 0; m->built < ARRAY_SIZE(machine_steps); m->built++) {
        const struct machine_step *s = &machine_steps[m->built];

        log_debug("machine: %s", s->name);
        if (!step_left_out(m, s) && s->init(m, err)) {
            machine_unbuild(m);
            return -err->code;
        }
    }
    return 0;
}

void machine_unbuild(struct machine *m)
{
    while (m->built--) {
        const struct machine_step *s = &machine_steps[m->built];

        if (s->fini && !step_left_out(m, s))
            s->fini(m);
    }
    m->built = 0;
}
