/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console_save.c - who listens to the console, in a state file: whoever types
 * at a restored machine need not wait until that is found out again.
 */
#include "io/console.h"

void console_save(const struct console *c, struct state_writer *w)
{
    state_begin(w, "console", 0, 1);
    state_put(w, "serial_spoke", c->serial_spoke);
    state_put(w, "virtio_spoke", c->virtio_spoke);
    state_put(w, "settled", c->settled);
    state_put(w, "serial", c->listener == &c->serial);
    state_put(w, "virtio", c->listener == &c->virtio);
    state_end(w);
}

void console_load(struct console *c, struct state_reader *r)
{
    bool serial, virtio;

    state_open(r, "console", 0, 1);
    c->serial_spoke = state_get_max(r, "serial_spoke", 1);
    c->virtio_spoke = state_get_max(r, "virtio_spoke", 1);
    c->settled = state_get_max(r, "settled", 1);
    serial = state_get_max(r, "serial", 1);
    virtio = state_get_max(r, "virtio", 1);
    c->listener = virtio ? &c->virtio : serial ? &c->serial : NULL;
    if (c->settled)
        timer_cancel(&c->settle);
    else
        c->listener = NULL; /* looked for anew */
}
