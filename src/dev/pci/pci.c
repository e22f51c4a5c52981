/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pci.c - a PCI function: configuration space, BARs, capabilities.
 *
 * Configuration space is bytes with two masks: what the guest may write, and
 * what it clears by writing ones. BAR sizing follows from the masks. A BAR is
 * mapped only inside the two windows, so no guest can put one over RAM or a
 * fixed device.
 */
#include "dev/pci/pci.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "dev/pci/pci_int.h"

#define BAR_WIDE 4 /* type bits: 64-bit memory */

void pci_func_init(struct pci_func *f, const struct device_ops *ops,
                   unsigned instance, uint16_t vendor, uint16_t device,
                   uint32_t class_code, uint8_t revision)
{
    memset(f, 0, sizeof(*f));
    f->dev = (struct device){ops, instance};
    pci_put16(f, PCI_VENDOR, vendor);
    pci_put16(f, PCI_DEVICE, device);
    pci_put32(f, PCI_REVISION, class_code << 8 | revision);
    f->writable[PCI_COMMAND] =
        PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | 0x40;
    f->writable[PCI_COMMAND + 1] =
        (PCI_COMMAND_SERR | PCI_COMMAND_NO_INTX) >> 8;
    f->clear[PCI_STATUS + 1] = 0xf9; /* error bits */
    f->writable[0x0c] = 0xff;        /* cache line size */
    f->writable[PCI_INT_LINE] = 0xff;
    f->caps_end = 0x40;
}

void pci_func_bar(struct pci_func *f, unsigned bar, uint64_t size, bool wide,
                  const struct io_ops *ops, void *ctx)
{
    struct pci_bar *b = &f->bar[bar];
    unsigned off = PCI_BAR0 + 4 * bar;
    uint64_t mask;

    rf_assert(bar + wide < PCI_BARS && !b->size);
    b->size = PAGE_SIZE;
    while (b->size < size)
        b->size *= 2;
    b->wide = wide;
    b->region = (struct io_region){f->dev.ops->name, 0, b->size, ops, ctx};
    mask = ~(b->size - 1);
    for (unsigned i = 0; i < (wide ? 8u : 4u); i++)
        f->writable[off + i] = (uint8_t)(mask >> (8 * i));
    f->config[off] = wide ? BAR_WIDE : 0;
}

unsigned pci_func_cap(struct pci_func *f, uint8_t id, const void *body,
                      unsigned len)
{
    unsigned at = f->caps_end;

    rf_assert(at + 2 + len <= PCI_CONFIG_LEN);
    f->config[at] = id;
    memcpy(f->config + at + 2, body, len);
    f->config[f->last_cap ? f->last_cap + 1 : PCI_CAPS] = (uint8_t)at;
    f->last_cap = (uint8_t)at;
    f->caps_end = (uint8_t)align_up(at + 2 + len, 4);
    f->config[PCI_STATUS] |= PCI_STATUS_CAPS;
    return at;
}

void pci_func_intx(struct pci_func *f)
{
    f->config[PCI_INT_PIN] = 1;
}

bool pci_bus_master(const struct pci_func *f)
{
    return pci_get16(f, PCI_COMMAND) & PCI_COMMAND_MASTER;
}

static uint64_t bar_address(const struct pci_func *f, unsigned n)
{
    uint64_t addr = pci_get32(f, PCI_BAR0 + 4 * n);

    if (f->bar[n].wide)
        addr |= (uint64_t)pci_get32(f, PCI_BAR0 + 4 * n + 4) << 32;
    return addr & ~(f->bar[n].size - 1);
}

static void bar_put(struct pci_func *f, unsigned n, uint64_t addr)
{
    unsigned off = PCI_BAR0 + 4 * n;

    pci_put32(f, off, (uint32_t)addr | (f->config[off] & 15));
    if (f->bar[n].wide)
        pci_put32(f, off + 4, (uint32_t)(addr >> 32));
}

static bool bar_allowed(const struct pci_host *h, uint64_t addr, uint64_t len)
{
    return (addr >= h->base32 && addr - h->base32 <= h->len32 - len) ||
           (addr >= h->base64 && addr - h->base64 <= PCI_MMIO64_LEN - len);
}

static void bar_remap(struct pci_func *f, unsigned n)
{
    struct pci_bar *b = &f->bar[n];
    uint64_t addr = bar_address(f, n);
    bool on = (pci_get16(f, PCI_COMMAND) & PCI_COMMAND_MEMORY) &&
              bar_allowed(f->host, addr, b->size);
    struct error err;

    if (b->mapped && (!on || b->region.base != addr)) {
        io_remove(f->host->mem, IO_MMIO, &b->region);
        b->mapped = false;
    }
    if (!on || b->mapped)
        return;
    b->region.base = addr;
    if (io_add(f->host->mem, IO_MMIO, &b->region, &err))
        log_guest("%s", err.msg); /* over another one: nobody answers */
    else
        b->mapped = true;
}

void pci_remap(struct pci_host *h)
{
    /* All of them: one that moves away may uncover another. */
    for (unsigned s = 0; s < PCI_SLOTS; s++)
        for (unsigned n = 0; h->slot[s] && n < PCI_BARS; n++)
            if (h->slot[s]->bar[n].size)
                bar_remap(h->slot[s], n);
}

/* Level of the function's wire at the bridge. */
static void intx_update(struct pci_func *f)
{
    bool out = f->intx && !(pci_get16(f, PCI_COMMAND) & PCI_COMMAND_NO_INTX);
    unsigned wire = PCI_INTX_GSI(f->slot) - PCI_INTX_BASE;
    struct pci_host *h = f->host;

    f->config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTX;
    f->config[PCI_STATUS] |= f->intx ? PCI_STATUS_INTX : 0;
    if (!h || out == f->intx_out)
        return;
    f->intx_out = out;
    h->intx_users[wire] &= ~BIT(f->slot);
    h->intx_users[wire] |= (uint32_t)out << f->slot;
    irq_set(&h->intx[wire], h->intx_users[wire]);
}

void pci_set_intx(struct pci_func *f, bool level)
{
    f->intx = level;
    intx_update(f);
}

static bool range_touches(unsigned off, unsigned len, unsigned at,
                          unsigned at_len)
{
    return off < at + at_len && at < off + len;
}

uint32_t pci_config_read(struct pci_func *f, unsigned off, unsigned len)
{
    uint32_t v = 0;

    /* Beyond: no extended capabilities. */
    if (off >= PCI_CONFIG_LEN || len > PCI_CONFIG_LEN - off)
        return 0;
    if (f->config_read)
        f->config_read(f, off, len);
    for (unsigned i = 0; i < len; i++)
        v |= (uint32_t)f->config[off + i] << (8 * i);
    return v;
}

void pci_config_write(struct pci_func *f, unsigned off, unsigned len,
                      uint32_t val)
{
    if (off >= PCI_CONFIG_LEN || len > PCI_CONFIG_LEN - off)
        return;
    for (unsigned i = 0; i < len; i++) {
        uint8_t v = (uint8_t)(val >> (8 * i)), w = f->writable[off + i];
        uint8_t *p = &f->config[off + i];

        *p =
            (uint8_t)((*p & ~w) | (v & w)) & (uint8_t) ~(v & f->clear[off + i]);
    }
    if (range_touches(off, len, PCI_COMMAND, 2) ||
        range_touches(off, len, PCI_BAR0, 4 * PCI_BARS)) {
        if (f->host)
            pci_remap(f->host);
        intx_update(f);
    }
    if (f->msix.count && range_touches(off, len, f->msix.cap, 4))
        pci_msix_flush(f);
    if (f->config_written)
        f->config_written(f, off, len);
}

static int bar_place(struct pci_host *h, struct pci_bar *b, struct error *err)
{
    uint64_t *next = b->wide ? &h->next64 : &h->next32;
    uint64_t end = b->wide ? h->base64 + PCI_MMIO64_LEN : h->base32 + h->len32;
    uint64_t at = align_up(*next, b->size);

    if (at > end || b->size > end - at)
        return error_set(err, ENOSPC, "no room for PCI BARs");
    b->assigned = at;
    *next = at + b->size;
    return 0;
}

int pci_add(struct pci_host *h, struct pci_func *f, struct error *err)
{
    unsigned slot = 0;

    while (slot < PCI_SLOTS && h->slot[slot])
        slot++;
    if (slot == PCI_SLOTS)
        return error_set(err, ENOSPC, "no free PCI slot");
    for (unsigned n = 0; n < PCI_BARS; n++)
        if (f->bar[n].size && bar_place(h, &f->bar[n], err))
            return -err->code;
    h->slot[slot] = f;
    f->slot = (uint8_t)slot;
    f->host = h;
    pci_func_reset(f);
    return 0;
}

void pci_remove(struct pci_func *f)
{
    struct pci_host *h = f->host;

    if (!h)
        return;
    pci_set_intx(f, false);
    for (unsigned n = 0; n < PCI_BARS; n++)
        if (f->bar[n].mapped)
            io_remove(h->mem, IO_MMIO, &f->bar[n].region);
    h->slot[f->slot] = NULL;
    f->host = NULL;
}

/* As firmware leaves a function: placed, decoding, allowed to do DMA. */
static void func_configure(struct pci_func *f)
{
    pci_put16(f, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    if (f->config[PCI_INT_PIN])
        f->config[PCI_INT_LINE] = PCI_INTX_GSI(f->slot);
    for (unsigned n = 0; n < PCI_BARS; n++)
        if (f->bar[n].size)
            bar_put(f, n, f->bar[n].assigned);
}

/* As RESET does. */
static void func_clear(struct pci_func *f)
{
    pci_put16(f, PCI_COMMAND, 0);
    f->config[PCI_INT_LINE] = 0;
    for (unsigned n = 0; n < PCI_BARS; n++)
        if (f->bar[n].size)
            bar_put(f, n, 0);
}

void pci_func_reset(struct pci_func *f)
{
    pci_set_intx(f, false);
    f->config[PCI_STATUS + 1] = 0;
    f->config[0x0c] = 0;
    if (f->host && f->host->firmware)
        func_clear(f);
    else
        func_configure(f);
    if (f->msix.count)
        pci_msix_reset(f);
    if (f->host)
        pci_remap(f->host);
}

/* Into the current section of the function's own. */
void pci_func_save(struct pci_func *f, struct state_writer *w)
{
    state_put_blob(w, "pci.config", f->config, sizeof(f->config));
    state_put(w, "pci.intx", f->intx);
    if (!f->msix.count)
        return;
    state_put_blob(w, "msix.table", f->msix.table, sizeof(f->msix.table));
    state_put(w, "msix.pending", f->msix.pending);
}

int pci_func_load(struct pci_func *f, struct state_reader *r, struct error *err)
{
    uint8_t config[PCI_CONFIG_LEN];
    bool intx;

    state_get_blob(r, "pci.config", config, sizeof(config));
    intx = state_get_max(r, "pci.intx", 1);
    if (f->msix.count) {
        state_get_blob(r, "msix.table", f->msix.table, sizeof(f->msix.table));
        f->msix.pending = state_get(r, "msix.pending");
    }
    if (state_result(r, err))
        return -err->code;
    /* Only what a guest could have changed; the rest is the device's. */
    for (unsigned i = 0; i < PCI_CONFIG_LEN; i++) {
        uint8_t mask = f->writable[i] | f->clear[i];

        f->config[i] = (uint8_t)((f->config[i] & ~mask) | (config[i] & mask));
    }
    if (f->host)
        pci_remap(f->host);
    pci_set_intx(f, intx);
    return 0;
}
