/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shares.c - the machine's shared folders: opened early, where a user's
 * mistake shows; the devices later, with the others.
 */
#include "machine/machine_int.h"

#include <errno.h>

#include "machine/snapshot.h"

int machine_shares_init(struct machine *m, struct error *err)
{
    const struct machine_config *cfg = m->cfg;
    unsigned i;

    if (cfg->shares && (cfg->deterministic || cfg->record || cfg->replay))
        return error_set(err, ENOTSUP,
                         "share %s: not in a deterministic machine: what is "
                         "in the folder may change",
                         cfg->share[0].path);
    for (i = 0; i < cfg->shares; i++) {
        if (share_open(&m->share[i], cfg->share[i].path,
                       cfg->share[i].read_only, cfg->shares, err)) {
            while (i--)
                share_close(m->share[i]);
            return -err->code;
        }
        if (cfg->restore && snapshot_forked(cfg->restore))
            share_fork_child(m->share[i]);
    }
    return 0;
}

void machine_shares_fini(struct machine *m)
{
    unsigned i;

    for (i = 0; i < m->cfg->shares; i++)
        share_close(m->share[i]);
}

int machine_shares_plug(struct machine *m, struct error *err)
{
    unsigned i;

    for (i = 0; i < m->cfg->shares; i++) {
        if (virtio_fs_init(&m->fs[i], i, &m->pci, &m->loop, m->share[i],
                           m->cfg->share[i].tag, err))
            return -err->code;
        m->device[m->devices++] = &m->fs[i].v.pci.dev;
    }
    return 0;
}

void machine_shares_fork(struct machine *m, bool begin)
{
    unsigned i;

    for (i = 0; i < m->cfg->shares; i++) {
        if (begin) {
            virtio_fs_drain(&m->fs[i]);
            share_fork_begin(m->share[i]);
        } else {
            share_fork_spawned(m->share[i]);
        }
    }
}
