/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pci.h - PCI as its functions and its host bridge see it.  [PCI 3.0, PCIe]
 *
 * One bus, 32 slots, one function each. The monitor places the BARs as
 * firmware would, unless there is firmware; the guest may move them. BARs are
 * memory only.
 */
#pragma once

#include "base/loop.h"
#include "dev/board.h"
#include "dev/device.h"
#include "irq/irq.h"
#include "mem/guest_mem.h"

#define PCI_SLOTS      32
#define PCI_CONFIG_LEN 256
#define PCI_BARS       6

/*
 * Bus 0 alone, as long as there is no bridge to another: each further one that
 * ACPI names costs Linux an exit for each of its slots.
 */
#define PCI_BUSES       1
#define PCI_ECAM_BASE   0xe0000000ull /* 1 MiB a bus; at most 256 */
#define PCI_ECAM_LEN    (PCI_BUSES * MiB)
#define PCI_MMIO32_BASE 0xc0000000ull
#define PCI_MMIO32_LEN  0x20000000ull
#define PCI_MMIO64_LEN  (16 * GiB)
/* Where firmware puts BARs, who knows nothing of our choice. */
#define PCI_FIRMWARE_BASE 0xf0000000ull
#define PCI_FIRMWARE_LEN  0x0ec00000ull
#define PCI_INTX_BASE     16
/* _PRT: INTA of a slot; the other pins are not used. */
#define PCI_INTX_GSI(slot) (PCI_INTX_BASE + ((slot)&7))

/* Offsets in configuration space. */
#define PCI_VENDOR   0x00
#define PCI_DEVICE   0x02
#define PCI_COMMAND  0x04
#define PCI_STATUS   0x06
#define PCI_REVISION 0x08
#define PCI_CLASS    0x09
#define PCI_HEADER   0x0e
#define PCI_BAR0     0x10
#define PCI_SUBSYS   0x2c
#define PCI_CAPS     0x34
#define PCI_INT_LINE 0x3c
#define PCI_INT_PIN  0x3d

#define PCI_COMMAND_IO      BIT(0)
#define PCI_COMMAND_MEMORY  BIT(1)
#define PCI_COMMAND_MASTER  BIT(2)
#define PCI_COMMAND_SERR    BIT(8)
#define PCI_COMMAND_NO_INTX BIT(10)
#define PCI_STATUS_INTX     BIT(3)
#define PCI_STATUS_CAPS     BIT(4)

#define PCI_CAP_VENDOR 0x09
#define PCI_CAP_MSIX   0x11

struct pci_host;
struct pci_func;

struct pci_bar {
    uint64_t size; /* 0: none; a power of two, at least 4096 */
    bool wide;     /* 64 bits: takes the next one too */
    bool mapped;
    uint64_t assigned; /* by us, at start and at each reset */
    struct io_region region;
};

#define MSIX_MAX 64

struct msix_entry {
    uint64_t addr;
    uint32_t data;
    uint32_t control; /* bit 0: masked */
};

/* MSI-X: table at 0 and pending bits at MSIX_PBA of a BAR of its own. */
#define MSIX_PBA 0x800

struct msix {
    unsigned count; /* 0: the function has none */
    unsigned cap;   /* offset in configuration space */
    struct msix_entry table[MSIX_MAX];
    uint64_t pending;
};

struct pci_func {
    struct device dev;
    struct pci_host *host; /* NULL until pci_add() */
    uint8_t slot;
    bool intx;     /* what the function asks for */
    bool intx_out; /* what the bridge was told */
    uint8_t config[PCI_CONFIG_LEN];
    uint8_t writable[PCI_CONFIG_LEN]; /* bits that the guest may change */
    uint8_t clear[PCI_CONFIG_LEN];    /* bits cleared by writing 1 */
    struct pci_bar bar[PCI_BARS];
    uint8_t caps_end, last_cap;
    struct msix msix;
    /*
     * Optional: see accesses before (read) and after (write) they happen.
     */
    void (*config_read)(struct pci_func *f, unsigned off, unsigned len);
    void (*config_written)(struct pci_func *f, unsigned off, unsigned len);
};

struct pci_host {
    struct device dev;
    struct guest_mem *mem;
    struct irqchip *chip;
    const struct board *board;
    struct irq_line intx[8]; /* by gsi - PCI_INTX_BASE */
    uint32_t intx_users[8];  /* a bit a slot */
    struct pci_func *slot[PCI_SLOTS];
    struct pci_func bridge; /* 0:00.0 */
    struct io_region ports, ecam;
    uint32_t address;               /* 0xcf8 */
    uint8_t reset_control;          /* 0xcf9 */
    uint64_t base32, len32, base64; /* windows; the last is as long as ever */
    uint64_t next32, next64;
    bool firmware; /* functions are left as RESET leaves them */
};

/*
 * The host bridge: ports 0xcf8..0xcff with the reset control register 0xcf9,
 * and ECAM. intx: the wires of GSI 16..23.
 */
int pci_host_init(struct pci_host *h, struct guest_mem *mem,
                  struct irqchip *chip, const struct irq_line intx[8],
                  const struct board *board, struct error *err) must_check;
/*
 * Before functions are added: firmware will place BARs, so they have no place
 * until then; and it finds by the bridge's subsystem that there is fw_cfg.
 */
void pci_host_firmware(struct pci_host *h);
/* 64-bit window, above RAM, for the DSDT; len is PCI_MMIO64_LEN. */
uint64_t pci_host_mmio64(const struct pci_host *h);

/* Fills the standard header. class: base, sub and interface in 24 bits. */
void pci_func_init(struct pci_func *f, const struct device_ops *ops,
                   unsigned instance, uint16_t vendor, uint16_t device,
                   uint32_t class_code, uint8_t revision);
/* Before pci_add(). size is rounded up to a power of two and a page. */
void pci_func_bar(struct pci_func *f, unsigned bar, uint64_t size, bool wide,
                  const struct io_ops *ops, void *ctx);
/* Appends a capability; returns its offset. body: what follows the link. */
unsigned pci_func_cap(struct pci_func *f, uint8_t id, const void *body,
                      unsigned len);
/* Makes `bar` the MSI-X BAR. */
void pci_func_msix(struct pci_func *f, unsigned bar, unsigned vectors);
/* Uses INTA. */
void pci_func_intx(struct pci_func *f);

/* Plugs it into the next free slot and places its BARs. */
int pci_add(struct pci_host *h, struct pci_func *f,
            struct error *err) must_check;
void pci_remove(struct pci_func *f);

/* Called by the function's own reset, save, load. */
void pci_func_reset(struct pci_func *f);
void pci_func_save(struct pci_func *f, struct state_writer *w);
int pci_func_load(struct pci_func *f, struct state_reader *r,
                  struct error *err) must_check;

/* As the guest does; for the bridge, capabilities and tests. */
uint32_t pci_config_read(struct pci_func *f, unsigned off, unsigned len);
void pci_config_write(struct pci_func *f, unsigned off, unsigned len,
                      uint32_t val);

void pci_set_intx(struct pci_func *f, bool level);
bool pci_msix_enabled(const struct pci_func *f);
/* Sends, or remembers while masked. Nothing if v is out of range. */
void pci_msix_send(struct pci_func *f, unsigned v);
bool pci_bus_master(const struct pci_func *f);

static inline uint16_t pci_get16(const struct pci_func *f, unsigned off)
{
    return (uint16_t)(f->config[off] | f->config[off + 1] << 8);
}

static inline void pci_put16(struct pci_func *f, unsigned off, uint16_t v)
{
    f->config[off] = (uint8_t)v;
    f->config[off + 1] = (uint8_t)(v >> 8);
}

static inline uint32_t pci_get32(const struct pci_func *f, unsigned off)
{
    return pci_get16(f, off) | (uint32_t)pci_get16(f, off + 2) << 16;
}

static inline void pci_put32(struct pci_func *f, unsigned off, uint32_t v)
{
    pci_put16(f, off, (uint16_t)v);
    pci_put16(f, off + 2, (uint16_t)(v >> 16));
}
