/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio.h - a virtio 1.2 device on PCI, modern interface only.
 *                                                       [virtio 1.2 4.1]
 * A device type embeds `struct virtio`, fills in its class, and has queues.
 * Everything runs under the device lock.
 */
#pragma once

#include "dev/pci/pci.h"
#include "dev/virtio/virtq.h"

#define VIRTIO_QUEUES_MAX 16

#define VIRTIO_ID_NET     1
#define VIRTIO_ID_BLOCK   2
#define VIRTIO_ID_CONSOLE 3
#define VIRTIO_ID_RNG     4
#define VIRTIO_ID_BALLOON 5
#define VIRTIO_ID_VSOCK   19
#define VIRTIO_ID_FS      26

#define VIRTIO_F_INDIRECT_DESC BIT64(28)
#define VIRTIO_F_EVENT_IDX     BIT64(29)
#define VIRTIO_F_VERSION_1     BIT64(32)

#define VIRTIO_STATUS_ACKNOWLEDGE 1
#define VIRTIO_STATUS_DRIVER      2
#define VIRTIO_STATUS_DRIVER_OK   4
#define VIRTIO_STATUS_FEATURES_OK 8
#define VIRTIO_STATUS_NEEDS_RESET 64
#define VIRTIO_STATUS_FAILED      128

struct virtio;

struct virtio_class {
    uint16_t id;         /* VIRTIO_ID_ */
    uint32_t class_code; /* PCI's, 24 bits */
    unsigned config_len;
    /* The driver rang queue q's bell. DRIVER_OK is set. */
    void (*notify)(struct virtio *v, unsigned q);
    /* Copies configuration space out at off; off + len <= config_len. */
    void (*config_read)(struct virtio *v, unsigned off, void *buf,
                        unsigned len);
    /* Optional. */
    void (*config_write)(struct virtio *v, unsigned off, const void *buf,
                         unsigned len);
    void (*driver_ok)(struct virtio *v);
    void (*reset)(struct virtio *v); /* stop using the queues, at once */
};

struct virtio {
    struct pci_func pci;
    const struct virtio_class *cls;
    struct loop *loop;
    unsigned queues;
    struct virtq q[VIRTIO_QUEUES_MAX];
    uint64_t offered, agreed;
    uint32_t offer_select, agree_select;
    uint16_t queue_select, config_msix;
    uint8_t status, isr, generation;
    uint8_t cfg_cap; /* offset of the configuration access capability */
};

/* Then pci_add(). features: the device's own. queue_size: of each queue. */
void virtio_init(struct virtio *v, const struct virtio_class *cls,
                 const struct device_ops *ops, unsigned instance,
                 struct pci_host *host, uint64_t features, unsigned queues,
                 uint16_t queue_size);
void virtio_reset(struct virtio *v);
/* The same, for device_ops. */
void virtio_device_reset(struct device *d);
void virtio_save(struct virtio *v, struct state_writer *w);
int virtio_load(struct virtio *v, struct state_reader *r,
                struct error *err) must_check;

/*
 * Takes what the driver has put on queue q, at most a ring's worth, since a
 * vCPU may be filling it meanwhile. take() gets each chain in *c; it returns
 * how many bytes it wrote, and the chain goes back, or -1 to keep it. True:
 * there may be more; let others have the lock.
 */
bool virtio_serve(struct virtio *v, unsigned q, struct virtq_chain *c,
                  int (*take)(struct virtio *v, unsigned q));

/* Signals queue q's used buffers if the driver wants to know. */
void virtio_signal(struct virtio *v, unsigned q);
void virtio_config_changed(struct virtio *v);
/* The driver broke the rules: NEEDS_RESET until it resets us. */
void virtio_broken(struct virtio *v, const char *why);
static inline bool virtio_running(const struct virtio *v)
{
    return (v->status & VIRTIO_STATUS_DRIVER_OK) &&
           !(v->status & VIRTIO_STATUS_NEEDS_RESET);
}
