/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_rng.h - random numbers, of the host or of a seed. [virtio 1.2 5.4]
 *
 * A guest gets at most VIRTIO_RNG_RATE bytes a second; requests wait.
 */
#pragma once

#include "dev/virtio/virtio.h"

#define VIRTIO_RNG_RATE (1 * MiB)

struct virtio_rng {
    struct virtio v;
    struct timer refill;
    uint32_t budget; /* bytes that may be given now */
    bool seeded;
    uint64_t seed; /* deterministic: the generator's state */
    struct virtq_chain chain;
};

/* seed NULL: the host's getrandom(). Takes the next free PCI slot. */
int virtio_rng_init(struct virtio_rng *r, unsigned instance,
                    struct pci_host *host, struct loop *loop,
                    const uint64_t *seed, struct error *err) must_check;
