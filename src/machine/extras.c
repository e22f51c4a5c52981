/* SPDX-License-Identifier: Apache-2.0 */
/*
 * extras.c - small virtio devices that a machine has when asked: a source of
 * random numbers, a balloon.
 */
#include "machine/machine_int.h"

/* So that the device's numbers are others than RDRAND's. */
#define RNG_SALT 0x6a09e667f3bcc908ull

int machine_extras_init(struct machine *m, struct error *err)
{
    uint64_t seed = m->det ? det_seed(m) ^ RNG_SALT : 0;

    if (m->cfg->rng) {
        if (virtio_rng_init(&m->rng, 0, &m->pci, &m->loop,
                            m->det ? &seed : NULL, err))
            return -err->code;
        machine_device(m, &m->rng.v.pci.dev);
    }
    if (m->cfg->balloon) {
        if (virtio_balloon_init(&m->balloon, 0, &m->pci, err))
            return -err->code;
        machine_device(m, &m->balloon.v.pci.dev);
    }
    return 0;
}
