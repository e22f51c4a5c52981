/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msix.c - MSI-X: table, pending bits, masking.    [PCI 3.0 6.8.2]
 */
#include "dev/pci/pci.h"

#include <assert.h>
#include <string.h>

#include "base/log.h"
#include "dev/pci/pci_int.h"

#define CONTROL_ENABLE 0x8000u
#define CONTROL_MASK   0x4000u
#define ENTRY_MASKED   1u

static_assert(sizeof(struct msix_entry) == 16, "the format of the table");
static_assert(MSIX_MAX * sizeof(struct msix_entry) <= MSIX_PBA, "overlap");
static_assert(MSIX_MAX <= 64, "bits of pending");

static uint16_t msix_control(const struct pci_func *f)
{
    return pci_get16(f, f->msix.cap + 2);
}

bool pci_msix_enabled(const struct pci_func *f)
{
    return f->msix.count && (msix_control(f) & CONTROL_ENABLE);
}

void pci_msix_flush(struct pci_func *f)
{
    struct msix *x = &f->msix;

    if (!pci_msix_enabled(f) || (msix_control(f) & CONTROL_MASK))
        return;
    for (unsigned v = 0; v < x->count && x->pending; v++) {
        if (!(x->pending & BIT64(v)) || (x->table[v].control & ENTRY_MASKED))
            continue;
        x->pending &= ~BIT64(v);
        if (f->host && f->host->chip)
            irq_msi(f->host->chip, x->table[v].addr, x->table[v].data);
    }
}

void pci_msix_send(struct pci_func *f, unsigned v)
{
    if (v >= f->msix.count || !pci_msix_enabled(f))
        return;
    f->msix.pending |= BIT64(v);
    pci_msix_flush(f);
}

void pci_msix_reset(struct pci_func *f)
{
    struct msix *x = &f->msix;

    memset(x->table, 0, sizeof(x->table));
    for (unsigned v = 0; v < x->count; v++)
        x->table[v].control = ENTRY_MASKED;
    x->pending = 0;
    pci_put16(f, x->cap + 2, (uint16_t)(x->count - 1));
}

static uint64_t msix_read(void *dev, uint64_t off, unsigned width)
{
    struct msix *x = &((struct pci_func *)dev)->msix;
    const uint8_t *from = NULL;
    uint64_t v = 0;

    if (off + width <= x->count * sizeof(x->table[0]))
        from = (const uint8_t *)x->table + off;
    else if (off >= MSIX_PBA && off + width <= MSIX_PBA + 8)
        from = (const uint8_t *)&x->pending + (off - MSIX_PBA);
    if (from)
        memcpy(&v, from, width);
    return v;
}

static void msix_write(void *dev, uint64_t off, unsigned width, uint64_t val)
{
    struct pci_func *f = dev;
    struct msix *x = &f->msix;

    /* Only aligned words of 4 or 8 bytes are defined. */
    if (width < 4 || (off & (width - 1)) ||
        off + width > x->count * sizeof(x->table[0]))
        return;
    memcpy((uint8_t *)x->table + off, &val, width);
    x->table[off / 16].control &= ENTRY_MASKED;
    pci_msix_flush(f);
}

static const struct io_ops msix_ops = {msix_read, msix_write, 0, 8};

void pci_func_msix(struct pci_func *f, unsigned bar, unsigned vectors)
{
    uint8_t body[10] = {0};

    rf_assert(vectors && vectors <= MSIX_MAX);
    body[0] = (uint8_t)(vectors - 1);
    body[2] = (uint8_t)bar; /* table at offset 0 */
    body[6] = (uint8_t)(bar | (MSIX_PBA & 0xf8));
    body[7] = MSIX_PBA >> 8;
    f->msix.count = vectors;
    f->msix.cap = pci_func_cap(f, PCI_CAP_MSIX, body, sizeof(body));
    f->writable[f->msix.cap + 3] = (CONTROL_ENABLE | CONTROL_MASK) >> 8;
    pci_func_bar(f, bar, PAGE_SIZE, false, &msix_ops, f);
}
