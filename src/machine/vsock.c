/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock.c - the machine's virtio socket: its place on the host, where a user's
 * mistake shows early; the device later, with the others.
 */
#include "machine/machine_int.h"

#include <errno.h>
#include <stdio.h>

int machine_vsock_init(struct machine *m, struct error *err)
{
    const struct machine_config *cfg = m->cfg;

    if (!cfg->vsock.cid)
        return 0;
    if (cfg->deterministic || cfg->record || cfg->replay)
        return error_set(err, ENOTSUP,
                         "--vsock %s: not in a deterministic machine: what "
                         "programs of the host send is not recorded",
                         cfg->vsock.path);
    if (vsock_open(&m->vsock, &cfg->vsock, &m->loop, err))
        return error_prefix(err, "--vsock");
    return 0;
}

void machine_vsock_fini(struct machine *m)
{
    if (!m->vsock)
        return;
    loop_lock(&m->loop);
    vsock_close(m->vsock);
    loop_unlock(&m->loop);
    m->vsock = NULL;
}

int machine_vsock_plug(struct machine *m, struct error *err)
{
    if (!m->vsock)
        return 0;
    if (virtio_vsock_init(&m->vvsock, 0, &m->pci, &m->loop, m->vsock, err))
        return -err->code;
    machine_device(m, &m->vvsock.v.pci.dev);
    return 0;
}

void machine_vsock_fork(const struct machine *m, const char *name,
                        unsigned number, char *option, size_t len)
{
    const struct machine_config *cfg = m->cfg;
    const char *base = cfg->vsock.base ? cfg->vsock.base : cfg->vsock.path;
    uint64_t cid = cfg->vsock.cid + (uint64_t)number;

    if (cid > VSOCK_CID_LAST)
        cid = VSOCK_CID_FIRST + cid % (VSOCK_CID_LAST - VSOCK_CID_FIRST);
    snprintf(option, len, "%s.%s,cid=%u", base, name, (unsigned)cid);
}
