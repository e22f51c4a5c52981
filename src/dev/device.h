/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device.h - what every device is to the machine.
 *
 * A device embeds `struct device`, owns no globals and reaches the world only
 * through what its init function was given: the bus (mem/), interrupt lines
 * (irq/), timers and the clock (base/loop.h), back-ends (io/). All calls come
 * with the device lock held.
 */
#pragma once

#include "base/state.h"

struct device;

struct device_ops {
    const char *name; /* the part number; also the state section */
    void (*reset)(struct device *d); /* power-on state; keeps back-ends */
    void (*save)(struct device *d, struct state_writer *w);
    /* Validates: a state file is as hostile as a guest. */
    int (*load)(struct device *d, struct state_reader *r, struct error *err);
    void (*fini)(struct device *d);
};

struct device {
    const struct device_ops *ops;
    unsigned instance;
};
