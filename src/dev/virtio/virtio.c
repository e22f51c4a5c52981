/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio.c - the PCI transport.                        [virtio 1.2 4.1]
 *
 * One 64-bit BAR holds common configuration, ISR, device configuration and
 * the bells, a page each; MSI-X has a BAR of its own.
 */
#include "dev/virtio/virtio.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

#define VIRTIO_VENDOR 0x1af4
#define VIRTIO_DEVICE 0x1040 /* plus the virtio id */

#define BAR_REGS 0
#define BAR_MSIX 2

#define PAGE_COMMON 0x0000
#define PAGE_ISR    0x1000
#define PAGE_DEVICE 0x2000
#define PAGE_NOTIFY 0x3000
#define REGS_LEN    0x4000
#define NOTIFY_STEP 4

enum { CFG_COMMON = 1, CFG_NOTIFY, CFG_ISR, CFG_DEVICE, CFG_PCI };

#define ISR_QUEUE  1
#define ISR_CONFIG 2
#define NO_VECTOR  0xffff
#define STATUS_SET                                                             \
    (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER |                        \
     VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_FEATURES_OK |                     \
     VIRTIO_STATUS_FAILED)

/* Offsets of struct virtio_pci_common_cfg [virtio 1.2 4.1.4.3]. */
enum {
    OFFER_SELECT = 0x00,
    OFFER = 0x04,
    AGREE_SELECT = 0x08,
    AGREE = 0x0c,
    CONFIG_MSIX = 0x10,
    NUM_QUEUES = 0x12,
    STATUS = 0x14,
    GENERATION = 0x15,
    QUEUE_SELECT = 0x16,
    QUEUE_SIZE = 0x18,
    QUEUE_MSIX = 0x1a,
    QUEUE_ENABLE = 0x1c,
    QUEUE_NOTIFY = 0x1e,
    QUEUE_DESC = 0x20,
    QUEUE_AVAIL = 0x28,
    QUEUE_USED = 0x30,
    COMMON_LEN = 0x38,
};

static void virtio_interrupt(struct virtio *v, uint8_t isr, uint16_t vector)
{
    if (pci_msix_enabled(&v->pci)) {
        if (vector != NO_VECTOR)
            pci_msix_send(&v->pci, vector);
        return;
    }
    v->isr |= isr;
    pci_set_intx(&v->pci, true);
}

void virtio_signal(struct virtio *v, unsigned q)
{
    if (virtio_running(v) && virtq_should_signal(&v->q[q]))
        virtio_interrupt(v, ISR_QUEUE, v->q[q].msix);
}

bool virtio_serve(struct virtio *v, unsigned q, struct virtq_chain *c,
                  int (*take)(struct virtio *v, unsigned q))
{
    unsigned left;

    for (left = VIRTQ_SIZE_MAX; left && virtio_running(v); left--) {
        int r = virtq_pop(&v->q[q], c), written;
        uint16_t head = c->head;

        if (r < 0)
            virtio_broken(v, "a bad chain from the driver");
        if (r < 0 || (!r && !virtq_want_kicks(&v->q[q], true)))
            break;
        written = r ? take(v, q) : -1;
        if (written >= 0)
            virtq_push(&v->q[q], head, (uint32_t)written);
    }
    virtio_signal(v, q);
    return !left;
}

void virtio_config_changed(struct virtio *v)
{
    v->generation++;
    if (v->status & VIRTIO_STATUS_DRIVER_OK)
        virtio_interrupt(v, ISR_CONFIG, v->config_msix);
}

void virtio_broken(struct virtio *v, const char *why)
{
    if (v->status & VIRTIO_STATUS_NEEDS_RESET)
        return;
    log_guest("%s: %s: needs a reset", v->pci.dev.ops->name, why);
    v->status |= VIRTIO_STATUS_NEEDS_RESET;
    if (v->status & VIRTIO_STATUS_DRIVER_OK)
        virtio_interrupt(v, ISR_CONFIG, v->config_msix);
}

/* What writing 0 to the status does; PCI's own state stays. */
static void transport_reset(struct virtio *v)
{
    if (v->cls->reset)
        v->cls->reset(v);
    for (unsigned i = 0; i < v->queues; i++)
        virtq_reset(&v->q[i]);
    v->agreed = 0;
    v->offer_select = v->agree_select = 0;
    v->queue_select = 0;
    v->config_msix = NO_VECTOR;
    v->status = v->isr = 0;
    pci_set_intx(&v->pci, false);
}

void virtio_reset(struct virtio *v)
{
    transport_reset(v);
    pci_func_reset(&v->pci);
}

void virtio_device_reset(struct device *d)
{
    virtio_reset(container_of(d, struct virtio, pci.dev));
}

static void queues_agree(struct virtio *v)
{
    for (unsigned i = 0; i < v->queues; i++) {
        v->q[i].event_index = v->agreed & VIRTIO_F_EVENT_IDX;
        v->q[i].indirect = v->agreed & VIRTIO_F_INDIRECT_DESC;
    }
}

static void status_write(struct virtio *v, uint8_t val)
{
    uint8_t old = v->status, fresh;

    if (!val) {
        transport_reset(v);
        return;
    }
    fresh = val & STATUS_SET & (uint8_t)~old;
    if (fresh & VIRTIO_STATUS_FEATURES_OK) {
        /* Refused: more than was offered, or a legacy driver. */
        if ((v->agreed & ~v->offered) || !(v->agreed & VIRTIO_F_VERSION_1))
            fresh &= (uint8_t)~VIRTIO_STATUS_FEATURES_OK;
        else
            queues_agree(v);
    }
    if (!((old | fresh) & VIRTIO_STATUS_FEATURES_OK))
        fresh &= (uint8_t)~VIRTIO_STATUS_DRIVER_OK;
    v->status = old | fresh;
    if ((fresh & VIRTIO_STATUS_DRIVER_OK) && v->cls->driver_ok)
        v->cls->driver_ok(v);
}

static struct virtq *queue_selected(struct virtio *v)
{
    return v->queue_select < v->queues ? &v->q[v->queue_select] : NULL;
}

/* The registers of the selected queue as 16-bit words. */
static uint16_t queue_read(struct virtio *v, unsigned off)
{
    const struct virtq *q = queue_selected(v);

    if (!q)
        return off == QUEUE_MSIX ? NO_VECTOR : 0;
    switch (off) {
    case QUEUE_SIZE:
        return q->size;
    case QUEUE_MSIX:
        return q->msix;
    case QUEUE_ENABLE:
        return q->ready;
    case QUEUE_NOTIFY:
        return v->queue_select;
    }
    return 0;
}

/* A half of one of the three 64-bit addresses. */
static uint64_t *queue_address(struct virtq *q, unsigned off)
{
    switch (off & ~7u) {
    case QUEUE_DESC:
        return &q->desc;
    case QUEUE_AVAIL:
        return &q->avail;
    case QUEUE_USED:
        return &q->used;
    }
    return NULL;
}

static uint32_t common_read(struct virtio *v, unsigned off)
{
    struct virtq *q = queue_selected(v);

    switch (off) {
    case OFFER_SELECT:
        return v->offer_select;
    case OFFER:
        return v->offer_select < 2
                   ? (uint32_t)(v->offered >> (32 * v->offer_select))
                   : 0;
    case AGREE_SELECT:
        return v->agree_select;
    case AGREE:
        return v->agree_select < 2
                   ? (uint32_t)(v->agreed >> (32 * v->agree_select))
                   : 0;
    case CONFIG_MSIX:
        return v->config_msix;
    case NUM_QUEUES:
        return v->queues;
    case STATUS:
        return v->status;
    case GENERATION:
        return v->generation;
    case QUEUE_SELECT:
        return v->queue_select;
    case QUEUE_SIZE:
    case QUEUE_MSIX:
    case QUEUE_ENABLE:
    case QUEUE_NOTIFY:
        return queue_read(v, off);
    }
    if (q && !(off & 3) && queue_address(q, off))
        return (uint32_t)(*queue_address(q, off) >> (off & 4 ? 32 : 0));
    return 0;
}

static uint16_t vector_checked(const struct virtio *v, uint32_t val)
{
    return val < v->pci.msix.count ? (uint16_t)val : NO_VECTOR;
}

static void queue_write(struct virtio *v, struct virtq *q, unsigned off,
                        uint32_t val)
{
    uint64_t *addr;

    if (off == QUEUE_MSIX) {
        q->msix = vector_checked(v, val);
        return;
    }
    if (q->ready)
        return; /* fixed until reset [virtio 1.2 4.1.4.3.2] */
    switch (off) {
    case QUEUE_SIZE:
        if (val && val <= q->size_max && !(val & (val - 1)))
            q->size = (uint16_t)val;
        return;
    case QUEUE_ENABLE:
        if (val == 1 && virtq_enable(q))
            virtio_broken(v, "rings are not in RAM");
        return;
    }
    addr = off & 3 ? NULL : queue_address(q, off);
    if (addr && (off & 4))
        *addr = (uint32_t)*addr | (uint64_t)val << 32;
    else if (addr)
        *addr = (*addr & ~0xffffffffull) | val;
}

static void common_write(struct virtio *v, unsigned off, uint32_t val)
{
    unsigned shift = 32 * (v->agree_select & 1);

    switch (off) {
    case OFFER_SELECT:
        v->offer_select = val;
        break;
    case AGREE_SELECT:
        v->agree_select = val;
        break;
    case AGREE:
        if (v->agree_select < 2 && !(v->status & VIRTIO_STATUS_FEATURES_OK))
            v->agreed = (v->agreed & ~(0xffffffffull << shift)) | (uint64_t)val
                                                                      << shift;
        break;
    case CONFIG_MSIX:
        v->config_msix = vector_checked(v, val);
        break;
    case STATUS:
        status_write(v, (uint8_t)val);
        break;
    case QUEUE_SELECT:
        v->queue_select = (uint16_t)val;
        break;
    default:
        if (queue_selected(v))
            queue_write(v, queue_selected(v), off, val);
    }
}

static uint64_t device_read(struct virtio *v, unsigned off, unsigned width)
{
    uint64_t val = 0;
    unsigned len = v->cls->config_len;

    if (off < len)
        v->cls->config_read(v, off, &val, MIN(width, len - off));
    return val;
}

static void virtio_notify(struct virtio *v, unsigned q)
{
    if (q < v->queues && virtio_running(v) && v->q[q].ready)
        v->cls->notify(v, q);
}

static uint64_t regs_read(void *dev, uint64_t off, unsigned width)
{
    struct virtio *v = dev;
    unsigned in_page = off & 0xfff;
    uint8_t isr;

    switch (off & ~0xfffull) {
    case PAGE_COMMON:
        return in_page < COMMON_LEN ? common_read(v, in_page) : 0;
    case PAGE_ISR:
        if (in_page)
            return 0;
        isr = v->isr; /* reading acknowledges */
        v->isr = 0;
        pci_set_intx(&v->pci, false);
        return isr;
    case PAGE_DEVICE:
        return device_read(v, in_page, width);
    }
    return 0;
}

static void regs_write(void *dev, uint64_t off, unsigned width, uint64_t val)
{
    struct virtio *v = dev;
    unsigned in_page = off & 0xfff;

    switch (off & ~0xfffull) {
    case PAGE_COMMON:
        if (in_page < COMMON_LEN)
            common_write(v, in_page, (uint32_t)val);
        break;
    case PAGE_DEVICE:
        if (v->cls->config_write && in_page < v->cls->config_len)
            v->cls->config_write(v, in_page, &val,
                                 MIN(width, v->cls->config_len - in_page));
        break;
    case PAGE_NOTIFY:
        virtio_notify(v, in_page / NOTIFY_STEP);
        break;
    }
}

static const struct io_ops regs_ops = {regs_read, regs_write, 0, 4};

/* The window that the configuration access capability opens, if sane. */
static bool cfg_window(const struct virtio *v, uint32_t *off, uint32_t *len)
{
    *off = pci_get32(&v->pci, v->cfg_cap + 8u);
    *len = pci_get32(&v->pci, v->cfg_cap + 12u);
    return v->pci.config[v->cfg_cap + 4] == BAR_REGS &&
           (*len == 1 || *len == 2 || *len == 4) && *off < REGS_LEN &&
           !(*off & (*len - 1));
}

static bool touches_cfg_data(const struct virtio *v, unsigned off, unsigned len)
{
    unsigned data = v->cfg_cap + 16u;

    return off < data + 4 && data < off + len;
}

static void virtio_config_read(struct pci_func *f, unsigned off, unsigned len)
{
    struct virtio *v = container_of(f, struct virtio, pci);
    uint32_t at, width;

    if (touches_cfg_data(v, off, len) && cfg_window(v, &at, &width))
        pci_put32(f, v->cfg_cap + 16u,
                  (uint32_t)(regs_read(v, at, width) & width_mask(width)));
}

static void virtio_config_written(struct pci_func *f, unsigned off,
                                  unsigned len)
{
    struct virtio *v = container_of(f, struct virtio, pci);
    uint32_t at, width;

    if (touches_cfg_data(v, off, len) && cfg_window(v, &at, &width))
        regs_write(v, at, width,
                   pci_get32(f, v->cfg_cap + 16u) & width_mask(width));
}

/* struct virtio_pci_cap less its first two bytes, and `extra`. */
static unsigned virtio_cap(struct virtio *v, uint8_t type, uint32_t off,
                           uint32_t len, bool extra, uint32_t more)
{
    uint8_t body[18] = {0};
    unsigned n = extra ? 18 : 14;

    body[0] = (uint8_t)(n + 2);
    body[1] = type;
    body[2] = BAR_REGS;
    memcpy(body + 6, &off, 4);
    memcpy(body + 10, &len, 4);
    memcpy(body + 14, &more, 4);
    return pci_func_cap(&v->pci, PCI_CAP_VENDOR, body, n);
}

static void virtio_caps(struct virtio *v)
{
    virtio_cap(v, CFG_COMMON, PAGE_COMMON, COMMON_LEN, false, 0);
    virtio_cap(v, CFG_ISR, PAGE_ISR, 1, false, 0);
    if (v->cls->config_len) /* Linux refuses an empty one */
        virtio_cap(v, CFG_DEVICE, PAGE_DEVICE, v->cls->config_len, false, 0);
    virtio_cap(v, CFG_NOTIFY, PAGE_NOTIFY, v->queues * NOTIFY_STEP, true,
               NOTIFY_STEP);
    v->cfg_cap = (uint8_t)virtio_cap(v, CFG_PCI, 0, 0, true, 0);
    v->pci.writable[v->cfg_cap + 4] = 0xff;
    memset(v->pci.writable + v->cfg_cap + 8, 0xff, 12);
    v->pci.config_read = virtio_config_read;
    v->pci.config_written = virtio_config_written;
}

void virtio_init(struct virtio *v, const struct virtio_class *cls,
                 const struct device_ops *ops, unsigned instance,
                 struct pci_host *host, uint64_t features, unsigned queues,
                 uint16_t queue_size)
{
    rf_assert(queues && queues <= VIRTIO_QUEUES_MAX);
    memset(v, 0, sizeof(*v));
    v->cls = cls;
    v->queues = queues;
    v->offered = features | VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX |
                 VIRTIO_F_INDIRECT_DESC;
    v->config_msix = NO_VECTOR;
    for (unsigned i = 0; i < queues; i++)
        virtq_init(&v->q[i], host->mem, queue_size);
    pci_func_init(&v->pci, ops, instance, VIRTIO_VENDOR,
                  VIRTIO_DEVICE + cls->id, cls->class_code, 1);
    pci_put16(&v->pci, PCI_SUBSYS, VIRTIO_VENDOR);
    pci_put16(&v->pci, PCI_SUBSYS + 2, 0x1100);
    pci_func_intx(&v->pci);
    pci_func_bar(&v->pci, BAR_REGS, REGS_LEN, true, &regs_ops, v);
    pci_func_msix(&v->pci, BAR_MSIX, queues + 1);
    virtio_caps(v);
}

void virtio_save(struct virtio *v, struct state_writer *w)
{
    pci_func_save(&v->pci, w);
    state_put(w, "agreed", v->agreed);
    state_put(w, "offer_select", v->offer_select);
    state_put(w, "agree_select", v->agree_select);
    state_put(w, "queue_select", v->queue_select);
    state_put(w, "config_msix", v->config_msix);
    state_put(w, "status", v->status);
    state_put(w, "isr", v->isr);
    state_put(w, "generation", v->generation);
    state_put(w, "queues", v->queues);
    for (unsigned i = 0; i < v->queues; i++)
        virtq_save(&v->q[i], w, i);
}

int virtio_load(struct virtio *v, struct state_reader *r, struct error *err)
{
    if (pci_func_load(&v->pci, r, err))
        return -err->code;
    v->agreed = state_get(r, "agreed") & v->offered;
    v->offer_select = (uint32_t)state_get_max(r, "offer_select", UINT32_MAX);
    v->agree_select = (uint32_t)state_get_max(r, "agree_select", UINT32_MAX);
    v->queue_select = (uint16_t)state_get_max(r, "queue_select", 0xffff);
    v->config_msix = (uint16_t)state_get_max(r, "config_msix", 0xffff);
    v->status = (uint8_t)state_get_max(r, "status", 0xff);
    v->isr = (uint8_t)state_get_max(r, "isr", 3);
    v->generation = (uint8_t)state_get_max(r, "generation", 0xff);
    state_get_max(r, "queues", v->queues);
    for (unsigned i = 0; i < v->queues; i++)
        virtq_load(&v->q[i], r, i);
    queues_agree(v);
    return state_result(r, err);
}
