/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ports.c - the machine's named ports: their ends on the host. The device is
 * the virtio console.
 */
#include "machine/machine_int.h"

#include <errno.h>
#include <stdio.h>

/* What the guest says may go to a file: it is the same each time. */
static int port_one(struct machine *m, unsigned i, struct error *err)
{
    struct port_config c = m->cfg->port[i];

    if (m->cfg->replay)
        c.kind = PORT_NOWHERE;
    else if (c.kind == PORT_UNIX && (m->cfg->deterministic || m->cfg->record))
        return error_set(err, ENOTSUP,
                         "--port %s: not in a deterministic machine: what "
                         "programs of the host send is not recorded; "
                         "file:PATH is possible",
                         c.name);
    return port_open(&m->port[i], &c, &m->loop, err);
}

int machine_ports_init(struct machine *m, struct error *err)
{
    unsigned i;

    for (i = 0; i < m->cfg->ports; i++) {
        if (port_one(m, i, err)) {
            while (i--)
                port_close(m->port[i]);
            return -err->code;
        }
    }
    return 0;
}

void machine_ports_fini(struct machine *m)
{
    unsigned i;

    loop_lock(&m->loop);
    for (i = 0; i < m->cfg->ports; i++)
        port_close(m->port[i]);
    loop_unlock(&m->loop);
}

int machine_console_plug(struct machine *m, struct error *err)
{
    struct virtio_console_named named[MACHINE_PORTS_MAX];
    unsigned i;

    for (i = 0; i < m->cfg->ports; i++)
        named[i] = (struct virtio_console_named){m->port[i]->cfg.name,
                                                 &m->port[i]->chr};
    if (virtio_console_init(&m->vcon, 0, &m->pci, &m->console.virtio, named,
                            m->cfg->ports, err))
        return -err->code;
    machine_device(m, &m->vcon.v.pci.dev);
    return 0;
}

void machine_port_fork(const struct machine *m, unsigned i, const char *name,
                       char *option, size_t len)
{
    const struct port_config *c = &m->cfg->port[i];

    snprintf(option, len, "%s=%s:%s.%s", c->name,
             c->kind == PORT_UNIX ? "unix" : "file",
             *c->base ? c->base : c->path, name);
}
