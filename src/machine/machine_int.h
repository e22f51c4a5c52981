/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine_int.h - what the files of machine/ share.
 *
 * Locks: the device lock (loop.lock) before park_lock. vCPU state belongs to
 * its thread while that is not parked, else to the event thread.
 */
#pragma once

#include "base/loop.h"
#include "boot/boot.h"
#include "dev/acpi_pm.h"
#include "dev/debug_exit.h"
#include "dev/debugcon.h"
#include "dev/fw_cfg.h"
#include "dev/i8042.h"
#include "dev/i8254.h"
#include "dev/mc146818.h"
#include "dev/ns16550.h"
#include "dev/pci/pci.h"
#include "dev/port92.h"
#include "dev/pvpanic.h"
#include "dev/virtio/virtio_blk.h"
#include "dev/vmgenid.h"
#include "dev/virtio/virtio_console.h"
#include "dev/virtio/virtio_fs.h"
#include "dev/virtio/virtio_balloon.h"
#include "dev/virtio/virtio_net.h"
#include "dev/virtio/virtio_rng.h"
#include "dev/virtio/virtio_vsock.h"
#include "engine/engine.h"
#include "inspect/symbols.h"
#include "io/console.h"
#include "irq/irqchip.h"
#include "machine/ctl.h"
#include "machine/det.h"
#include "machine/fork.h"
#include "machine/gdb.h"
#include "machine/hold.h"
#include "machine/live.h"
#include "machine/machine.h"
#include "machine/names.h"
#include "machine/snapshot.h"
#include "x86/cpuid.h"

#define MACHINE_DEVICES_MAX                                                    \
    (22 + MACHINE_DISKS_MAX + MACHINE_SHARES_MAX + MACHINE_NETS_MAX)

struct boot_marks;
struct ctl;
struct det;
struct machine;
struct stats;
struct trace;

struct machine_cpu {
    struct vcpu cpu;
    struct machine *m;
    pthread_t thread;
    bool started;
    pthread_cond_t wake; /* with park_lock */
    bool parked;         /* park_lock */
    bool frozen;         /* park_lock; the debugger lets only others run */
    atomic_bool asleep;  /* in HLT: attn is to be told by `wake` */
};

struct machine {
    const struct machine_config *cfg;
    const struct engine_ops *engine; /* cfg's, until it is changed */
    struct clock clock;
    struct loop loop;
    struct guest_mem mem;
    struct irqchip chip;
    struct board board;
    struct cpu_model model;

    struct boot_source boot;
    struct error boot_missing; /* restored, and the kernel is gone */
    struct acpi_config acpi;
    struct boot_state entry;

    struct console console;
    struct acpi_pm pm;
    struct debug_exit debug_exit;
    struct i8042 i8042;
    struct i8254 i8254;
    struct mc146818 rtc;
    struct ns16550 com1;
    struct port92 port92;
    struct pvpanic pvpanic;
    struct fw_cfg fw_cfg; /* this and the next only with firmware */
    struct debugcon debugcon;
    struct pci_host pci;
    struct virtio_console vcon;
    struct disk disk[MACHINE_DISKS_MAX];
    struct virtio_blk blk[MACHINE_DISKS_MAX];
    struct share *share[MACHINE_SHARES_MAX];
    struct virtio_fs fs[MACHINE_SHARES_MAX];
    struct net_config net_cfg[MACHINE_NETS_MAX]; /* complete */
    struct net *net[MACHINE_NETS_MAX];
    struct virtio_net vnet[MACHINE_NETS_MAX];
    struct virtio_rng rng;
    struct virtio_balloon balloon;
    struct port *port[MACHINE_PORTS_MAX];
    struct vsock *vsock; /* NULL: none */
    struct virtio_vsock vvsock;
    struct device *device[MACHINE_DEVICES_MAX]; /* in order of reset */
    unsigned devices;

    struct machine_cpu cpu[GUEST_VCPUS_MAX];

    /* Signals that end the machine. */
    struct loop_fd signals;
    struct timer grace; /* after the power button */
    bool button_pressed;

    pthread_mutex_t park_lock;
    pthread_cond_t parked; /* a vCPU has parked */
    bool pause, leave;     /* park_lock; what the vCPU threads should do */

    /* First request wins; park_lock. */
    enum machine_end request;
    unsigned requester; /* the vCPU that asked, or 0 */
    struct machine_result result;
    struct error failure;
    struct gdb *gdb;         /* NULL without --gdb */
    struct symbols *symbols; /* see machine_symbols() */
    struct ctl *ctl;         /* NULL: no control socket */
    char name[NAME_LEN_MAX + 1];
    unsigned hold;              /* enum hold; device lock */
    uint64_t hold_tsc;          /* machine_tsc() when it began; 0: it runs */
    struct machine_work *work;  /* park_lock */
    struct machine_work thaw;   /* thaw.c */
    atomic_int thaw_asked;      /* under way, or has failed */
    struct machine_live *live;  /* live.h; device lock */
    struct machine_fork *forks; /* that have children; device lock */
    unsigned forked;            /* children ever */
    struct det *det;            /* NULL unless deterministic */
    struct stats *stats;        /* NULL without --stats and --verbose */
    struct boot_marks *marks;   /* NULL without --stats boot */
    struct trace *trace;        /* NULL without --trace */
    struct vcpu *crash_cpu[GUEST_VCPUS_MAX];
    bool survey;    /* it will never run: surface.c looks at it */
    unsigned built; /* steps of machine_steps that are done */
};

/* One step of putting a machine together; undone in reverse order. */
struct machine_step {
    const char *name;
    int (*init)(struct machine *m, struct error *err);
    void (*fini)(struct machine *m); /* optional */
    bool to_run; /* a machine that is only looked at does without */
};

/* machine.c: not built yet; free() ends it. NULL: err says why. */
struct machine *machine_new(const struct machine_config *cfg,
                            struct error *err);
/* build.c: all steps, or none after an error. */
int machine_build(struct machine *m, struct error *err) must_check;
void machine_unbuild(struct machine *m);
/* Reset of all chips and vCPUs, and the kernel loaded again. Parked. */
int machine_power_on(struct machine *m, struct error *err) must_check;
/* A new VM generation ID. */
void machine_generation(struct machine *m, uint8_t id[VMGENID_LEN]);
/* The chips alone. */
void machine_reset_devices(struct machine *m);
/* CLOCK_REALTIME, ns. */
int64_t machine_wall_ns(void);

/* For whoever adds a device; the order is that of resets and snapshots. */
void machine_device(struct machine *m, struct device *d);

/* net.c: back-ends first, then the cards. */
int machine_nets_init(struct machine *m, struct error *err) must_check;
void machine_nets_fini(struct machine *m);
int machine_net_cards(struct machine *m, struct error *err) must_check;
/* What came as RECORD_PACKET; not trusted. */
void machine_net_packet(struct machine *m, const void *data, size_t len);
/* firmware.c: nothing, without --firmware */
int machine_firmware_init(struct machine *m, struct error *err) must_check;
void machine_firmware_fini(struct machine *m);
/* What a battery would have kept, as this machine has it. */
void machine_firmware_power_on(struct machine *m);
/* extras.c */
int machine_extras_init(struct machine *m, struct error *err) must_check;
/* Could something come from a network? */
bool machine_net_live(const struct machine *m);

/* fence.c: once all is open. */
int machine_fence(const struct machine *m, struct error *err) must_check;
/* enum fence_needs of a vCPU's thread. */
unsigned machine_cpu_needs(const struct machine *m);

/* cpu.c: vCPU threads. */
int machine_cpus_init(struct machine *m, struct error *err) must_check;
void machine_cpus_fini(struct machine *m);
void machine_cpus_reset(struct machine *m);
int machine_cpus_start(struct machine *m, struct error *err) must_check;
void machine_cpus_stop(struct machine *m);
/*
 * Waits while the machine is paused. False: the thread should end. The one
 * thread of a deterministic machine passes frozen vCPUs by itself.
 */
bool machine_cpu_gate(struct machine_cpu *mc);
/* Can anything end this vCPU's sleep now? */
bool machine_cpu_awake(const struct machine_cpu *mc);
/* After the end: nothing runs until the event thread has decided. */
void machine_cpu_stuck(struct machine_cpu *mc);
/* It triple-faulted. True: the machine ends; false: a debugger looks first. */
bool machine_cpu_shutdown(struct machine_cpu *mc);
void machine_cpu_failed(struct machine_cpu *mc, const struct error *err);
/* The guest's power button, or an end if it has none. Device lock. */
void machine_button(struct machine *m);
/* The host's TSC, or the deterministic machine's clock; it stands in a hold. */
uint64_t machine_tsc(const struct machine *m);
/* Returns when no vCPU runs; without the device lock. */
void machine_pause(struct machine *m);
void machine_resume(struct machine *m);
/*
 * symbols.c: of --symbols, or the guest's own, which a reset forgets. All for
 * the event thread.
 */
int machine_symbols_init(struct machine *m, struct error *err) must_check;
void machine_symbols_fini(struct machine *m);
void machine_symbols_reset(struct machine *m);
/* NULL: there are none (yet). `cpu` is parked. Not for each event. */
const struct symbols *machine_symbols(struct machine *m, struct vcpu *cpu);
/* inspect.c: the file first, the vCPUs later. */
int machine_trace_init(struct machine *m, struct error *err) must_check;
void machine_trace_fini(struct machine *m);
int machine_stats_init(struct machine *m, struct error *err) must_check;
void machine_stats_fini(struct machine *m);
/* The vCPUs have stopped, the devices are still there. */
void machine_stats_collect(struct machine *m);
/* As JSON, the caller's; vCPUs parked. NULL: out of memory. */
char *machine_stats_now(struct machine *m);
/* marks.c: nothing, without --stats boot */
int machine_marks_init(struct machine *m, struct error *err) must_check;
void machine_marks_fini(struct machine *m);
int machine_inspect_points(struct machine *m, struct error *err) must_check;
/* shares.c: the folders; then their devices. */
int machine_shares_init(struct machine *m, struct error *err) must_check;
void machine_shares_fini(struct machine *m);
int machine_shares_plug(struct machine *m, struct error *err) must_check;
/* Device lock held: before a fork's state is saved, and when it is done. */
void machine_shares_fork(struct machine *m, bool begin);
/* vsock.c: its sockets; then the device. */
int machine_vsock_init(struct machine *m, struct error *err) must_check;
void machine_vsock_fini(struct machine *m);
int machine_vsock_plug(struct machine *m, struct error *err) must_check;
/* What --vsock says for the number-th fork, called `name`. */
void machine_vsock_fork(const struct machine *m, const char *name,
                        unsigned number, char *option, size_t len);
/* ports.c: the host's ends; then the console, whose ports they are. */
int machine_ports_init(struct machine *m, struct error *err) must_check;
void machine_ports_fini(struct machine *m);
int machine_console_plug(struct machine *m, struct error *err) must_check;
/* What --port says of the i-th for a fork called `name`. */
void machine_port_fork(const struct machine *m, unsigned i, const char *name,
                       char *option, size_t len);
/* crash.c: the crash screen, if that is how the machine ended. */
void machine_crash_fini(struct machine *m);
/* From now on a failed assert shows it too. */
void machine_crash_watch(struct machine *m);
/* glue.c */
extern const struct vcpu_intr_ops machine_intr_ops;
extern const struct lapic_cpu_ops machine_lapic_ops;
/* vcpu.wake: ends a halted vCPU's sleep. */
void machine_cpu_wake(struct vcpu *cpu);
/*
 * The vCPUs, which are parked, go on with another engine; if it does not want
 * to, with the one they had.
 */
int machine_set_engine(struct machine *m, const struct engine_ops *engine,
                       struct error *err) must_check;
/* vcpu.share_ram: soon. */
void machine_thaw(struct vcpu *cpu);
/* vcpu.relax: lets other vCPUs have the host's CPU. */
void machine_cpu_relax(struct vcpu *cpu);
/* Makes its thread look at pause and leave, wherever it is. */
void machine_cpu_kick(struct machine_cpu *mc);
/* All of them, and the event thread. Any thread, without park_lock. */
void machine_interrupt(struct machine *m);

/*
 * Ends the machine, or resets it (MACHINE_RESET). Any thread, with or without
 * the device lock; returns at once, the event thread acts. value: debug exit.
 */
void machine_request(struct machine *m, enum machine_end why, uint32_t value);
