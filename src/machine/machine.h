/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine.h - one virtual PC, from power-on to its end.
 *
 * machine_run() is the whole of it for cmd/. The calling thread becomes the
 * event thread; each vCPU gets a thread. Whoever wants the machine to end or
 * to reset calls machine_request(), from any thread; the event thread does it.
 */
#pragma once

#include "base/error.h"
#include "boot/boot.h"
#include "inspect/stats_config.h"
#include "inspect/trace_config.h"
#include "io/disk.h"
#include "io/net_config.h"
#include "io/port.h"
#include "io/vsock.h"

struct engine_ops;
struct lockstep;
struct replayer;
struct snapshot;

#define MACHINE_DISKS_MAX   8
#define MACHINE_MODULES_MAX 8
#define MACHINE_SHARES_MAX  4
#define MACHINE_NETS_MAX    4
#define MACHINE_PORTS_MAX   6

/* Strings are the caller's and outlive the machine. */
struct machine_config {
    const char *kernel, *initrd, *append;
    enum boot_unpack unpack;
    struct {
        const char *path, *text;
    } module[MACHINE_MODULES_MAX]; /* a multiboot kernel's */
    unsigned modules;
    const char *firmware; /* instead of these */
    unsigned cpus;
    uint64_t memory; /* bytes */
    int ram_fd;      /* guest_mem_huge_file()'s, taken; 0: small pages */
    const struct engine_ops *engine;
    /* If that one cannot make the vCPUs; NULL: then it is an error. */
    const struct engine_ops *otherwise;
    const char *cpu; /* MODEL[,-feature]..., NULL: the default */
    struct {
        const char *path;
        bool read_only, qcow2;
        enum disk_aio aio;
    } disk[MACHINE_DISKS_MAX];
    unsigned disks;
    struct {
        const char *path, *tag;
        bool read_only;
    } share[MACHINE_SHARES_MAX]; /* folders for the guest; io/share */
    unsigned shares;
    struct net_config net[MACHINE_NETS_MAX];
    unsigned nets;
    bool rng, balloon; /* virtio devices */
    struct vsock_config vsock;
    struct port_config port[MACHINE_PORTS_MAX];
    unsigned ports;
    bool no_reboot;
    int ready_fd;     /* told "ok\n" when it runs, closed with it; 0: nobody */
    bool detach;      /* stderr goes where stdout goes, once it runs */
    const char *name; /* of its control socket; NULL: it makes one up */
    bool verbose;
    bool no_fence;       /* fence.h: for who debugs the monitor */
    bool user_apics;     /* not KVM's own, with engine kvm */
    bool direct_check;   /* engine/direct/check.h */
    const char *symbols; /* file for the kernel's names; NULL: the guest's */
    const char *gdb;     /* where a debugger connects, gdb.h; NULL: nowhere */
    bool gdb_nowait;     /* runs without waiting for it */
    /* A run that can be repeated exactly, machine/det.h. */
    bool deterministic;
    bool seeded; /* seed was given */
    uint64_t seed;
    const char *record;        /* file; implies deterministic */
    struct replayer *replay;   /* likewise; machine/record.h */
    struct snapshot *restore;  /* instead of a power-on; snapshot.h */
    struct lockstep *lockstep; /* who steps a deterministic one; or NULL */
    struct trace_config trace;
    struct stats_config stats;
};

/* Why a machine ended. */
enum machine_end {
    MACHINE_RUNS,
    MACHINE_POWEROFF, /* the guest's own doing */
    MACHINE_QUIT,     /* Ctrl-A x */
    MACHINE_RESET,    /* with no_reboot */
    MACHINE_PANIC,
    MACHINE_TRIPLE,
    MACHINE_STOPPED, /* a signal, or the console went away */
    MACHINE_DEBUG,   /* wrote to the debug-exit port */
    MACHINE_FAILED,  /* the host's fault; see the error */
};

struct machine_result {
    enum machine_end end;
    uint32_t debug_value; /* MACHINE_DEBUG */
};

/*
 * Builds and runs it. Nonzero: it did not get to run, or MACHINE_FAILED.
 * No other thread may exist yet: signals get blocked for all to come.
 */
int machine_run(const struct machine_config *cfg, struct machine_result *res,
                struct error *err) must_check;
