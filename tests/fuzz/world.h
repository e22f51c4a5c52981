/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world.h - a whole board without CPUs, for fuzzers: every chip, a disk in
 * memory, a terminal that takes and gives what the fuzzer says, and a clock
 * that the fuzzer turns. RAM has a page on either side that nobody may touch.
 */
#pragma once

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
#include "dev/virtio/virtio_balloon.h"
#include "dev/virtio/virtio_blk.h"
#include "dev/virtio/virtio_console.h"
#include "dev/virtio/virtio_net.h"
#include "dev/virtio/virtio_rng.h"
#include "dev/virtio/virtio_vsock.h"
#include "fuzz.h"
#include "irq/irqchip.h"

#define WORLD_RAM     (4 * MiB)
#define WORLD_DISK    (1 * MiB)
#define WORLD_CPUS    2
#define WORLD_DEVICES 20
#define WORLD_PORTS   2 /* named ones of the console */
#define WORLD_HOSTS   8 /* programs that talk through vsock */

struct world {
    struct clock clock;
    struct loop loop;
    struct guest_mem mem;
    struct irqchip chip;
    struct board board;
    struct i8254 i8254;
    struct mc146818 rtc;
    struct i8042 i8042;
    struct port92 port92;
    struct acpi_pm pm;
    struct debug_exit debug_exit;
    struct pvpanic pvpanic;
    struct fw_cfg fw_cfg;
    struct debugcon debugcon;
    struct pci_host pci;
    struct ns16550 com1;
    struct virtio_console vcon;
    struct virtio_blk blk;
    struct net net; /* ends in what reads each byte */
    struct virtio_net vnet;
    struct virtio_rng rng;
    struct virtio_balloon balloon;
    struct vsock *vs;
    struct virtio_vsock vsock;
    int service[2];        /* listen at the host's ports 5 and 6 */
    int host[WORLD_HOSTS]; /* streams, -1: none */
    struct chardev serial, terminal, far[WORLD_PORTS];
    struct disk disk;
    int disk_fd;
    struct device *device[WORLD_DEVICES];
    unsigned devices;
    struct timer turn;
    unsigned takes; /* bytes that the terminal takes now */
};

void world_up(struct world *w);
void world_down(struct world *w);
void world_reset(struct world *w);
/* Time passes; whatever is due happens. */
void world_wait(struct world *w, uint64_t ns);
/* Until the disk's thread has nothing left. */
void world_drain(struct world *w);
/* Owned by the caller: state_writer_free(). */
struct state_writer *world_save(struct world *w);
int world_load(struct world *w, const uint8_t *buf, size_t len);
/* What programs of the host do at the ends of ports and streams. */
void world_outside(struct world *w, struct fuzz *f);
/* Changes a state file, and mostly mends its checksums afterwards. */
void world_spoil(uint8_t *buf, size_t len, unsigned changes, struct fuzz *f);
/* A page that may not be touched before and after RAM. */
void world_fence(struct guest_mem *m);
/* Random accesses to registers: the board's own grammar. */
void world_poke(struct world *w, struct fuzz *f);
