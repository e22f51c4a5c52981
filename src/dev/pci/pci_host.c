/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pci_host.c - the host bridge: configuration by ports and by ECAM, and the
 * reset control register that lives between the ports.
 */
#include "dev/pci/pci.h"

#include <string.h>

#include "dev/pci/pci_int.h"

#define ADDRESS_ENABLE 0x80000000u
#define RESET_CPU      4 /* 0xcf9: its rise resets */

static struct pci_func *host_func(struct pci_host *h, unsigned bus,
                                  unsigned devfn)
{
    return bus || (devfn & 7) ? NULL : h->slot[devfn >> 3];
}

static uint32_t data_read(struct pci_host *h, unsigned off, unsigned width)
{
    struct pci_func *f =
        host_func(h, h->address >> 16 & 0xff, h->address >> 8 & 0xff);

    if (!(h->address & ADDRESS_ENABLE) || !f)
        return (uint32_t)width_mask(width);
    return pci_config_read(f, (h->address & 0xfc) + off, width);
}

static uint64_t ports_read(void *dev, uint64_t off, unsigned width)
{
    struct pci_host *h = dev;

    if (off >= 4)
        return data_read(h, (unsigned)off - 4, width);
    if (off == 0 && width == 4)
        return h->address;
    if (off == 1 && width == 1)
        return h->reset_control;
    return width_mask(width);
}

static void reset_write(struct pci_host *h, uint8_t val)
{
    bool rise = (val & RESET_CPU) && !(h->reset_control & RESET_CPU);

    h->reset_control = val & 0x0e;
    if (rise)
        board_reset(h->board);
}

static void ports_write(void *dev, uint64_t off, unsigned width, uint64_t val)
{
    struct pci_host *h = dev;
    struct pci_func *f;

    if (off == 0 && width == 4) {
        h->address = (uint32_t)val & 0x80fffffc;
    } else if (off == 1 && width == 1) {
        reset_write(h, (uint8_t)val);
    } else if (off >= 4 && (h->address & ADDRESS_ENABLE)) {
        f = host_func(h, h->address >> 16 & 0xff, h->address >> 8 & 0xff);
        if (f)
            pci_config_write(f, (h->address & 0xfc) + (unsigned)off - 4, width,
                             (uint32_t)val);
    }
}

static uint64_t ecam_read(void *dev, uint64_t off, unsigned width)
{
    struct pci_func *f =
        host_func(dev, (unsigned)(off >> 20), off >> 12 & 0xff);

    return f ? pci_config_read(f, off & 0xfff, width) : width_mask(width);
}

static void ecam_write(void *dev, uint64_t off, unsigned width, uint64_t val)
{
    struct pci_func *f =
        host_func(dev, (unsigned)(off >> 20), off >> 12 & 0xff);

    if (f)
        pci_config_write(f, off & 0xfff, width, (uint32_t)val);
}

static const struct io_ops ports_ops = {ports_read, ports_write, 0, 4};
static const struct io_ops ecam_ops = {ecam_read, ecam_write, 0, 4};

static struct pci_host *host_of(struct device *d)
{
    return container_of(d, struct pci_host, dev);
}

static void pci_host_reset(struct device *d)
{
    struct pci_host *h = host_of(d);

    h->address = 0;
    h->reset_control = 0;
    pci_func_reset(&h->bridge);
}

static void pci_host_save(struct device *d, struct state_writer *w)
{
    struct pci_host *h = host_of(d);

    state_begin(w, d->ops->name, d->instance, 1);
    state_put(w, "address", h->address);
    state_put(w, "reset_control", h->reset_control);
    pci_func_save(&h->bridge, w);
    state_end(w);
}

static int pci_host_load(struct device *d, struct state_reader *r,
                         struct error *err)
{
    struct pci_host *h = host_of(d);

    state_open(r, d->ops->name, d->instance, 1);
    h->address = (uint32_t)state_get_max(r, "address", UINT32_MAX);
    h->address &= 0x80fffffc;
    h->reset_control = (uint8_t)state_get_max(r, "reset_control", 0x0e);
    return pci_func_load(&h->bridge, r, err);
}

static void pci_host_fini(struct device *d)
{
    struct pci_host *h = host_of(d);

    pci_remove(&h->bridge);
    io_remove(h->mem, IO_PORT, &h->ports);
    io_remove(h->mem, IO_MMIO, &h->ecam);
}

static const struct device_ops pci_host_ops = {
    "pci_host", pci_host_reset, pci_host_save, pci_host_load, pci_host_fini,
};

uint64_t pci_host_mmio64(const struct pci_host *h)
{
    return h->base64;
}

void pci_host_firmware(struct pci_host *h)
{
    h->firmware = true;
    h->base32 = h->next32 = PCI_FIRMWARE_BASE;
    h->len32 = PCI_FIRMWARE_LEN;
    pci_put32(&h->bridge, PCI_SUBSYS, 0x11001af4); /* Red Hat's, QEMU's */
    pci_func_reset(&h->bridge);
}

int pci_host_init(struct pci_host *h, struct guest_mem *mem,
                  struct irqchip *chip, const struct irq_line intx[8],
                  const struct board *board, struct error *err)
{
    memset(h, 0, sizeof(*h));
    h->dev = (struct device){&pci_host_ops, 0};
    h->mem = mem;
    h->chip = chip;
    h->board = board;
    memcpy(h->intx, intx, sizeof(h->intx));
    h->base32 = h->next32 = PCI_MMIO32_BASE;
    h->len32 = PCI_MMIO32_LEN;
    h->base64 = align_up(GUEST_HIGH_BASE + mem->high_size, PCI_MMIO64_LEN);
    h->next64 = h->base64;
    h->ports = (struct io_region){"PCI ports", 0xcf8, 8, &ports_ops, h};
    h->ecam = (struct io_region){"PCI ECAM", PCI_ECAM_BASE, PCI_ECAM_LEN,
                                 &ecam_ops, h};
    /* Red Hat's ids of a generic PCI Express host bridge. */
    pci_func_init(&h->bridge, &pci_host_ops, 0, 0x1b36, 0x0008, 0x060000, 0);
    if (pci_add(h, &h->bridge, err))
        return -err->code;
    if (io_add(mem, IO_PORT, &h->ports, err))
        return -err->code;
    if (io_add(mem, IO_MMIO, &h->ecam, err)) {
        io_remove(mem, IO_PORT, &h->ports);
        return -err->code;
    }
    return 0;
}
